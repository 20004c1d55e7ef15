/* Nix source to expressions: a recursive-descent parser with Nix's precedence (see nix.h). */
#include "applets/storadvise/nix_parse.h"

#include <inttypes.h>

static struct nix_expr *parse_select(struct parser *s);
static void parse_bindings(struct parser *s, struct nix_attrs_expr *into, int end);

/* Attribute sets. */

static struct nix_name parse_name(struct parser *s)
{
	struct nix_name n = { .pos = lex_here(s) };
	struct nix_expr *e;

	switch (s->token) {
	case T_ID:
	case T_OR:
		n.symbol = nix_symbol(s->x, s->start, (size_t)(s->p - s->start));
		lex_next(s);
		return n;
	case T_STRING:
		e = parse_string(s);
		break;
	case T_DOLLAR:
		lex_next(s);
		e = nix_parse_expr(s);
		lex_expect(s, '}', "'}'");
		break;
	default:
		lex_syntax(s, "an attribute's name");
	}
	if (e->op == X_CONST && e->value->type == NIX_STRING)
		n.symbol = nix_symbol(s->x, e->value->text, e->value->length);
	else
		n.expr = e;
	return n;
}

static struct nix_name *parse_path_of_names(struct parser *s, size_t *ret_n)
{
	struct nix_name *v = NULL;
	size_t n = 0, cap = 0;

	for (;;) {
		v = nix_grow(s->x, v, n, &cap, sizeof *v);
		v[n++] = parse_name(s);
		if (s->token != '.')
			break;
		lex_next(s);
	}
	*ret_n = n;
	return v;
}

static size_t slot_of(const struct nix_attrs_expr *a, const struct nix_symbol *name)
{
	size_t i = name->hash & (a->index_cap - 1);

	while (a->index[i] && a->items[a->index[i] - 1].name.symbol != name)
		i = (i + 1) & (a->index_cap - 1);
	return i;
}

static struct nix_binding *find_binding(const struct nix_attrs_expr *a,
					const struct nix_symbol *name)
{
	uint32_t i = a->index_cap ? a->index[slot_of(a, name)] : 0;

	return i ? &a->items[i - 1] : NULL;
}

static void duplicate(struct parser *s, const struct nix_name *n) __attribute__((noreturn));
static void duplicate(struct parser *s, const struct nix_name *n)
{
	nix_raise(s->x, FAULT_SYNTAX, n->pos, "attribute '%s' is defined twice", n->symbol->name);
}

static struct nix_binding *add_binding(struct parser *s, struct nix_attrs_expr *a,
				       struct nix_name name, struct nix_expr *value)
{
	struct nix_binding *b;

	if (!name.symbol) {
		a->dynamic = nix_grow(s->x, a->dynamic, a->dynamic_n, &a->dynamic_cap,
				      sizeof *a->dynamic);
		b = &a->dynamic[a->dynamic_n++];
	} else {
		if (find_binding(a, name.symbol))
			duplicate(s, &name);
		a->items = nix_grow(s->x, a->items, a->n, &a->cap, sizeof *a->items);
		b = &a->items[a->n++];
		b->name = name;
		if (a->n * 2 > a->index_cap) {
			a->index_cap = a->index_cap ? a->index_cap * 4 : 16;
			a->index = nix_alloc(s->x, a->index_cap * sizeof *a->index);
			for (size_t i = 0; i < a->n - 1; i++)
				a->index[slot_of(a, a->items[i].name.symbol)] = (uint32_t)i + 1;
		}
		a->index[slot_of(a, name.symbol)] = (uint32_t)a->n;
	}
	*b = (struct nix_binding){ .name = name, .value = value };
	return b;
}

static struct nix_expr *attrs_node(struct parser *s, uint32_t pos, bool recursive)
{
	struct nix_expr *e = nix_node(s, X_ATTRS, pos);

	e->attrs = nix_alloc(s->x, sizeof *e->attrs);
	e->attrs->recursive = recursive;
	return e;
}

/* a.b.c = value: sets on the way are made or, when they are written out, extended. */
static void bind_path(struct parser *s, struct nix_attrs_expr *a, struct nix_name *path, size_t n,
		      struct nix_expr *value)
{
	struct nix_binding *b;

	for (size_t i = 0; i + 1 < n; i++) {
		b = path[i].symbol ? find_binding(a, path[i].symbol) : NULL;
		if (!b)
			b = add_binding(s, a, path[i], attrs_node(s, path[i].pos, false));
		else if (b->inherited || b->value->op != X_ATTRS)
			duplicate(s, &path[i]);
		a = b->value->attrs;
	}
	path += n - 1;
	b = path->symbol ? find_binding(a, path->symbol) : NULL;
	if (!b) {
		add_binding(s, a, *path, value);
		return;
	}
	if (b->inherited || b->value->op != X_ATTRS || value->op != X_ATTRS)
		duplicate(s, path);
	for (size_t i = 0; i < value->attrs->n; i++) {
		struct nix_binding *m = &value->attrs->items[i];

		add_binding(s, b->value->attrs, m->name, m->value)->inherited = m->inherited;
	}
	for (size_t i = 0; i < value->attrs->dynamic_n; i++)
		add_binding(s, b->value->attrs, value->attrs->dynamic[i].name,
			    value->attrs->dynamic[i].value);
}

static struct nix_expr *variable(struct parser *s, const struct nix_symbol *name, uint32_t pos)
{
	struct nix_expr *e = nix_node(s, X_VAR, pos);

	e->symbol = name;
	return e;
}

static void parse_inherit(struct parser *s, struct nix_attrs_expr *into)
{
	struct nix_expr *from = NULL;

	lex_next(s);
	if (s->token == '(') {
		lex_next(s);
		from = nix_parse_expr(s);
		lex_expect(s, ')', "')'");
	}
	while (s->token != ';') {
		struct nix_name name = parse_name(s);
		struct nix_expr *v;

		if (!name.symbol)
			nix_raise(s->x, FAULT_SYNTAX, name.pos, "inherit needs constant names");
		if (from) {
			v = nix_node(s, X_SELECT, name.pos);
			v->of = from;
			v->path_items = nix_alloc(s->x, sizeof name);
			*v->path_items = name;
			v->path_n = 1;
		} else {
			v = variable(s, name.symbol, name.pos);
		}
		add_binding(s, into, name, v)->inherited = !from;
	}
	lex_next(s);
}

static void parse_bindings(struct parser *s, struct nix_attrs_expr *into, int end)
{
	while (s->token != end) {
		struct nix_name *path;
		size_t n;

		if (s->token == T_INHERIT) {
			parse_inherit(s, into);
			continue;
		}
		path = parse_path_of_names(s, &n);
		lex_expect(s, '=', "'='");
		bind_path(s, into, path, n, nix_parse_expr(s));
		lex_expect(s, ';', "';'");
	}
	lex_next(s);
}

/* Expressions, from the tightest binding to the loosest. */

static struct nix_expr *parse_list(struct parser *s)
{
	struct nix_expr *e = nix_node(s, X_LIST, lex_here(s));
	size_t cap = 0;

	lex_next(s);
	while (s->token != ']') {
		e->items = nix_grow(s->x, e->items, e->n, &cap, sizeof *e->items);
		e->items[e->n] = parse_select(s);
		e->n++;
	}
	lex_next(s);
	return e;
}

static struct nix_expr *parse_number(struct parser *s)
{
	uint32_t pos = lex_here(s);
	char *text = nix_strn(s->x, s->start, (size_t)(s->p - s->start));
	struct nix_expr *e = nix_constant(s, s->token == T_INT ? NIX_INT : NIX_FLOAT, pos);

	if (s->token == T_FLOAT) {
		e->value->real = strtod(text, NULL);
	} else {
		uint64_t v = 0;
		bool over = false;

		for (; *text; text++)
			over |= __builtin_mul_overflow(v, 10u, &v) ||
				__builtin_add_overflow(v, (uint64_t)(*text - '0'), &v);
		if (over || v > INT64_MAX)
			nix_raise(s->x, FAULT_SYNTAX, pos, "the integer does not fit in 64 bits");
		e->value->integer = (int64_t)v;
	}
	lex_next(s);
	return e;
}

static bool starts_simple(int t)
{
	switch (t) {
	case T_ID: case T_INT: case T_FLOAT: case T_STRING: case T_INDENTED: case T_PATH:
	case T_HOME: case T_SEARCH: case T_URI: case '(': case '{': case '[': case T_REC: case T_LET:
		return true;
	}
	return false;
}

static struct nix_expr *parse_simple(struct parser *s)
{
	uint32_t pos = lex_here(s);
	struct nix_expr *e;

	switch (s->token) {
	case T_ID:
		e = variable(s, nix_symbol(s->x, s->start, (size_t)(s->p - s->start)), pos);
		break;
	case T_INT:
	case T_FLOAT:
		return parse_number(s);
	case T_STRING:
		return parse_string(s);
	case T_INDENTED:
		return parse_indented(s);
	case T_PATH:
	case T_HOME:
		return parse_path(s);
	case T_SEARCH:
		e = nix_text_node(s, s->start, (size_t)(s->p - s->start), pos);
		e->op = X_SEARCH_PATH;
		break;
	case T_URI:
		e = nix_text_node(s, s->start, (size_t)(s->p - s->start), pos);
		break;
	case '(':
		lex_next(s);
		e = nix_parse_expr(s);
		lex_expect(s, ')', "')'");
		return e;
	case '[':
		return parse_list(s);
	case T_LET: /* let { a = 1; body = a; } */
	case T_REC:
	case '{':
		e = attrs_node(s, pos, s->token != '{');
		if (s->token == T_LET)
			e->op = X_OLD_LET;
		if (s->token != '{') {
			lex_next(s);
			if (s->token != '{')
				lex_syntax(s, "'{'");
		}
		lex_next(s);
		parse_bindings(s, e->attrs, '}');
		return e;
	default:
		lex_syntax(s, "an expression");
	}
	lex_next(s);
	return e;
}

static struct nix_expr *parse_select(struct parser *s)
{
	struct nix_expr *e = parse_simple(s), *select;
	uint32_t pos = lex_here(s);

	if (s->token == '.') {
		lex_next(s);
		select = nix_node(s, X_SELECT, pos);
		select->of = e;
		select->path_items = parse_path_of_names(s, &select->path_n);
		select->pos = select->path_items[0].pos;
		if (s->token == T_OR) {
			lex_next(s);
			select->otherwise = parse_select(s);
		}
		return select;
	}
	if (s->token == T_OR) { /* `f or`, where or is a name */
		struct nix_expr *name = variable(s, nix_symbol(s->x, "or", 2), pos);

		lex_next(s);
		return nix_node2(s, X_CALL, pos, e, name);
	}
	return e;
}

static struct nix_expr *parse_application(struct parser *s)
{
	uint32_t pos = lex_here(s);
	struct nix_expr *f = parse_select(s);

	while (starts_simple(s->token))
		f = nix_node2(s, X_CALL, pos, f, parse_select(s));
	return f;
}

enum { LEFT, RIGHT, NONE, PREC_NOT = 7, PREC_HAS = 11, PREC_NEGATE = 12 };

static const struct infix {
	int token, prec, side;
	enum nix_op op;
} infixes[] = {
	{ T_IMPLIES, 1, RIGHT, X_IMPLIES }, { T_LOGICAL_OR, 2, LEFT, X_OR },
	{ T_AND, 3, LEFT, X_AND },	    { T_EQ, 4, NONE, X_EQUAL },
	{ T_NE, 4, NONE, X_UNEQUAL },	    { '<', 5, NONE, X_LESS },
	{ T_LE, 5, NONE, X_LESS_EQUAL },    { '>', 5, NONE, X_GREATER },
	{ T_GE, 5, NONE, X_GREATER_EQUAL }, { T_UPDATE, 6, RIGHT, X_UPDATE },
	{ '+', 8, LEFT, X_ADD },	    { '-', 8, LEFT, X_SUB },
	{ '*', 9, LEFT, X_MUL },	    { '/', 9, LEFT, X_DIV },
	{ T_CONCAT, 10, RIGHT, X_CONCAT },  { '?', PREC_HAS, NONE, X_HAS },
};

static const struct infix *infix_of(int token)
{
	for (size_t i = 0; i < COUNT(infixes); i++)
		if (infixes[i].token == token)
			return &infixes[i];
	return NULL;
}

static struct nix_expr *parse_operators(struct parser *s, int min)
{
	const struct infix *o;
	struct nix_expr *left;
	uint32_t pos = lex_here(s);
	int not_again = 0;

	nix_check_stack(s->x);
	if (s->token == '!') {
		lex_next(s);
		left = nix_node2(s, X_NOT, pos, parse_operators(s, PREC_NOT + 1), NULL);
	} else if (s->token == '-') {
		lex_next(s);
		left = nix_node2(s, X_NEGATE, pos, parse_operators(s, PREC_NEGATE + 1), NULL);
	} else {
		left = parse_application(s);
	}
	while ((o = infix_of(s->token)) && o->prec >= min) {
		if (o->prec == not_again)
			lex_syntax(s, "brackets around one of two operators that do not chain");
		pos = lex_here(s);
		lex_next(s);
		if (o->op == X_HAS) {
			struct nix_expr *has = nix_node(s, X_HAS, pos);

			has->of = left;
			has->path_items = parse_path_of_names(s, &has->path_n);
			left = has;
		} else {
			left = nix_node2(s, o->op, pos, left,
				     parse_operators(s, o->side == RIGHT ? o->prec : o->prec + 1));
		}
		not_again = o->side == NONE ? o->prec : 0;
	}
	return left;
}

/* Is the '{' at hand a function's pattern? Looks ahead, and comes back. */
static bool is_pattern(struct parser *s)
{
	struct parser saved = *s;
	bool r = false;

	lex_next(s);
	if (s->token == T_ELLIPSIS) {
		r = true;
	} else if (s->token == '}') {
		lex_next(s);
		r = s->token == ':' || s->token == '@';
	} else if (s->token == T_ID) {
		lex_next(s);
		r = s->token == ',' || s->token == '?';
		if (s->token == '}') {
			lex_next(s);
			r = s->token == ':' || s->token == '@';
		}
	}
	*s = saved;
	return r;
}

static void parse_formals(struct parser *s, struct nix_expr *f)
{
	size_t cap = 0;

	f->formals = nix_grow(s->x, NULL, 0, &cap, sizeof *f->formals);
	lex_next(s);
	while (s->token != '}') {
		struct nix_formal *d;

		if (s->token == T_ELLIPSIS) {
			f->ellipsis = true;
			lex_next(s);
			if (s->token != '}')
				lex_syntax(s, "'}'");
			break;
		}
		if (s->token != T_ID)
			lex_syntax(s, "an argument's name");
		f->formals = nix_grow(s->x, f->formals, f->formals_n, &cap, sizeof *f->formals);
		d = &f->formals[f->formals_n];
		*d = (struct nix_formal){ .pos = lex_here(s) };
		d->name = nix_symbol(s->x, s->start, (size_t)(s->p - s->start));
		for (size_t i = 0; i < f->formals_n; i++)
			if (f->formals[i].name == d->name)
				lex_syntax(s, "each argument once");
		f->formals_n++;
		nix_count(s->x, f->formals_n);
		lex_next(s);
		if (s->token == '?') {
			struct nix_expr *def;

			lex_next(s);
			def = nix_parse_expr(s);
			f->formals[f->formals_n - 1].def = def;
		}
		if (s->token == ',')
			lex_next(s);
		else if (s->token != '}')
			lex_syntax(s, "',' or '}'");
	}
	lex_next(s);
}

static struct nix_expr *parse_lambda(struct parser *s)
{
	struct nix_expr *f = nix_node(s, X_LAMBDA, lex_here(s));

	if (s->token == T_ID) {
		f->argument = nix_symbol(s->x, s->start, (size_t)(s->p - s->start));
		lex_next(s);
		if (s->token == '@') {
			lex_next(s);
			if (s->token != '{')
				lex_syntax(s, "'{'");
			parse_formals(s, f);
		}
	} else {
		parse_formals(s, f);
		if (s->token == '@') {
			lex_next(s);
			if (s->token != T_ID)
				lex_syntax(s, "a name");
			f->argument = nix_symbol(s->x, s->start, (size_t)(s->p - s->start));
			lex_next(s);
		}
	}
	for (size_t i = 0; i < f->formals_n; i++)
		if (f->formals[i].name == f->argument)
			nix_raise(s->x, FAULT_SYNTAX, f->formals[i].pos,
				  "the argument's name '%s' is used twice",
				  f->argument->name);
	lex_expect(s, ':', "':'");
	f->body = nix_parse_expr(s);
	return f;
}

static int peek(struct parser *s)
{
	struct parser saved = *s;
	int t;

	lex_next(s);
	t = s->token;
	*s = saved;
	return t;
}

struct nix_expr *nix_parse_expr(struct parser *s)
{
	uint32_t pos = lex_here(s);
	struct nix_expr *e;
	int t;

	nix_check_stack(s->x);
	nix_count(s->x, 1);
	switch (s->token) {
	case T_ID:
		t = peek(s);
		if (t == ':' || t == '@')
			return parse_lambda(s);
		break;
	case '{':
		if (is_pattern(s))
			return parse_lambda(s);
		break;
	case T_ASSERT:
	case T_WITH:
		e = nix_node(s, s->token == T_WITH ? X_WITH : X_ASSERT, pos);
		lex_next(s);
		e->a = nix_parse_expr(s);
		lex_expect(s, ';', "';'");
		e->b = nix_parse_expr(s);
		return e;
	case T_LET:
		if (peek(s) == '{')
			break;
		e = nix_node(s, X_LET, pos);
		lex_next(s);
		e->a = attrs_node(s, pos, true);
		parse_bindings(s, e->a->attrs, T_IN);
		if (e->a->attrs->dynamic_n)
			nix_raise(s->x, FAULT_SYNTAX, e->a->attrs->dynamic[0].name.pos,
				  "let needs constant names");
		e->b = nix_parse_expr(s);
		return e;
	case T_IF:
		e = nix_node(s, X_IF, pos);
		lex_next(s);
		e->a = nix_parse_expr(s);
		lex_expect(s, T_THEN, "'then'");
		e->b = nix_parse_expr(s);
		lex_expect(s, T_ELSE, "'else'");
		e->c = nix_parse_expr(s);
		return e;
	}
	return parse_operators(s, 1);
}

const struct nix_expr *nix_parse(struct nix *x, const struct nix_file *file)
{
	struct parser s = { .x = x, .file = file, .p = file->text, .end = file->text + file->n };
	const struct nix_expr *e;

	lex_next(&s);
	e = nix_parse_expr(&s);
	if (s.token != T_END)
		lex_syntax(&s, "the end of the file");
	return e;
}
