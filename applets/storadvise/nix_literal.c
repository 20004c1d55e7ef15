/* Nodes of constants, strings in both forms, and paths, with what is interpolated (see nix_parse.h). */
#include "applets/storadvise/nix_parse.h"

struct nix_expr *nix_node(struct parser *s, enum nix_op op, uint32_t pos)
{
	struct nix_expr *n = nix_alloc(s->x, sizeof *n);

	n->op = op;
	n->pos = pos;
	return n;
}

struct nix_expr *nix_node2(struct parser *s, enum nix_op op, uint32_t pos, struct nix_expr *a,
			      struct nix_expr *b)
{
	struct nix_expr *n = nix_node(s, op, pos);

	n->a = a;
	n->b = b;
	return n;
}

struct nix_expr *nix_constant(struct parser *s, enum nix_type type, uint32_t pos)
{
	struct nix_expr *n = nix_node(s, X_CONST, pos);

	n->value = nix_new(s->x, type);
	n->value->pos = pos;
	return n;
}

struct nix_expr *nix_text_node(struct parser *s, const char *t, size_t n, uint32_t pos)
{
	struct nix_expr *c = nix_constant(s, NIX_STRING, pos);

	c->value->text = nix_strn(s->x, t, n);
	c->value->length = (uint32_t)n;
	return c;
}

/* Strings. A piece is text or an interpolated expression. */

struct piece {
	char *text;
	size_t n, cap;
	bool sealed; /* an escape in a '' string: a token of its own for the indentation */
	struct nix_expr *expr;
};

struct pieces {
	struct piece *items;
	size_t n, cap;
};

static struct piece *add_piece(struct parser *s, struct pieces *v)
{
	v->items = nix_grow(s->x, v->items, v->n, &v->cap, sizeof *v->items);
	memset(&v->items[v->n], 0, sizeof *v->items);
	return &v->items[v->n++];
}

static void add_text(struct parser *s, struct pieces *v, const char *t, size_t n, bool sealed)
{
	struct piece *last = v->n ? &v->items[v->n - 1] : NULL;

	if (!last || last->expr || last->sealed || sealed) {
		last = add_piece(s, v);
		last->sealed = sealed;
	}
	while (last->cap - last->n < n + 1)
		last->text = nix_grow(s->x, last->text, last->cap, &last->cap, 1);
	memcpy(last->text + last->n, t, n);
	last->n += n;
}

/* s->p is behind "${"; leaves it behind "}". */
static void add_interpolation(struct parser *s, struct pieces *v)
{
	struct nix_expr *e;

	lex_next(s);
	e = nix_parse_expr(s);
	if (s->token != '}')
		lex_syntax(s, "'}' at the end of the interpolation");
	add_piece(s, v)->expr = e;
}

static char unescape(char c)
{
	return c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : c;
}

static struct nix_expr *join(struct parser *s, struct pieces *v, uint32_t pos, bool path)
{
	struct nix_expr *e;

	if (!v->n)
		return nix_text_node(s, "", 0, pos);
	if (v->n == 1 && !v->items[0].expr)
		return nix_text_node(s, v->items[0].text, v->items[0].n, pos);
	e = nix_node(s, X_INTERPOLATE, pos);
	e->path = path;
	e->items = nix_alloc(s->x, v->n * sizeof *e->items);
	for (size_t i = 0; i < v->n; i++)
		e->items[e->n++] = v->items[i].expr
					   ? v->items[i].expr
					   : nix_text_node(s, v->items[i].text, v->items[i].n, pos);
	return e;
}

static void unterminated(struct parser *s, uint32_t pos) __attribute__((noreturn));
static void unterminated(struct parser *s, uint32_t pos)
{
	nix_raise(s->x, FAULT_SYNTAX, pos, "the string does not end");
}

struct nix_expr *parse_string(struct parser *s)
{
	uint32_t pos = lex_here(s);
	struct pieces v = { 0 };

	for (;;) {
		char c = lex_at(s, s->p), d = lex_at(s, s->p + 1);

		if (s->p >= s->end)
			unterminated(s, pos);
		if (c == '"') {
			s->p++;
			break;
		}
		if (c == '\\') {
			char u = unescape(d);

			if (s->p + 1 >= s->end)
				unterminated(s, pos);
			add_text(s, &v, &u, 1, false);
			s->p += 2;
		} else if (c == '$' && d == '{') {
			s->p += 2;
			add_interpolation(s, &v);
		} else if (c == '$' && d == '$') { /* "$${x}" is no interpolation */
			add_text(s, &v, "$$", 2, false);
			s->p += 2;
		} else if (c == '\r') { /* ends of lines are \n */
			add_text(s, &v, "\n", 1, false);
			s->p += d == '\n' ? 2 : 1;
		} else {
			add_text(s, &v, s->p++, 1, false);
		}
	}
	lex_next(s);
	return join(s, &v, pos, false);
}

/* The '' string's common indentation; lines of spaces alone do not count (libexpr's rule). */
static size_t min_indent(const struct pieces *v)
{
	size_t min = 1000000, cur = 0;
	bool line_start = true;

	for (size_t i = 0; i < v->n; i++) {
		const struct piece *k = &v->items[i];

		if (k->expr || k->sealed) {
			if (line_start && cur < min)
				min = cur;
			line_start = false;
			continue;
		}
		for (size_t j = 0; j < k->n; j++) {
			if (!line_start) {
				line_start = k->text[j] == '\n';
				cur = 0;
			} else if (k->text[j] == ' ') {
				cur++;
			} else if (k->text[j] == '\n') {
				cur = 0;
			} else {
				line_start = false;
				if (cur < min)
					min = cur;
			}
		}
	}
	return min;
}

static void strip_indent(struct pieces *v)
{
	size_t min = min_indent(v), dropped = 0;
	bool line_start = true;

	for (size_t i = 0; i < v->n; i++) {
		struct piece *k = &v->items[i];
		size_t to = 0;

		if (k->expr) {
			line_start = false;
			dropped = 0;
			continue;
		}
		for (size_t j = 0; j < k->n; j++) {
			char c = k->text[j];

			if (!line_start) {
				k->text[to++] = c;
				line_start = c == '\n';
			} else if (c == ' ') {
				if (dropped++ >= min)
					k->text[to++] = c;
			} else {
				dropped = 0;
				line_start = c == '\n';
				k->text[to++] = c;
			}
		}
		k->n = to;
		/* The last line goes when it holds nothing but spaces. */
		if (i == v->n - 1) {
			while (to && k->text[to - 1] == ' ')
				to--;
			if (to && k->text[to - 1] == '\n')
				k->n = to;
		}
	}
}

struct nix_expr *parse_indented(struct parser *s)
{
	uint32_t pos = lex_here(s);
	struct pieces v = { 0 };
	const char *p = s->p;

	while (lex_at(s, p) == ' ')
		p++;
	if (lex_at(s, p) == '\n')
		s->p = p + 1;
	for (;;) {
		char c = lex_at(s, s->p), d = lex_at(s, s->p + 1), third = lex_at(s, s->p + 2);

		if (s->p >= s->end)
			unterminated(s, pos);
		if (c == '\'' && d == '\'') {
			if (third == '$') {
				add_text(s, &v, "$", 1, true);
				s->p += 3;
			} else if (third == '\'') {
				add_text(s, &v, "''", 2, true);
				s->p += 3;
			} else if (third == '\\') {
				char u = unescape(lex_at(s, s->p + 3));

				if (s->p + 3 >= s->end)
					unterminated(s, pos);
				add_text(s, &v, &u, 1, true);
				s->p += 4;
			} else {
				s->p += 2;
				break;
			}
		} else if (c == '$' && d == '{') {
			s->p += 2;
			add_interpolation(s, &v);
		} else if (c == '$' && d && d != '\'') {
			add_text(s, &v, s->p, 2, false);
			s->p += 2;
		} else {
			/* A lone quote or dollar is a token of its own in libexpr's lexer. */
			bool lone = (c == '\'' && !(d && d != '\'' && d != '$')) || c == '$';

			add_text(s, &v, s->p, 1, lone);
			s->p++;
		}
	}
	strip_indent(&v);
	/* Neighbouring texts become one. */
	for (size_t i = 1; i < v.n;) {
		struct piece a = v.items[i - 1], b = v.items[i];

		if (a.expr || b.expr) {
			i++;
			continue;
		}
		v.items[i - 1].text = nix_alloc(s->x, a.n + b.n + 1);
		if (a.n)
			memcpy(v.items[i - 1].text, a.text, a.n);
		if (b.n)
			memcpy(v.items[i - 1].text + a.n, b.text, b.n);
		v.items[i - 1].n = a.n + b.n;
		memmove(&v.items[i], &v.items[i + 1], (v.n - i - 1) * sizeof *v.items);
		v.n--;
	}
	lex_next(s);
	return join(s, &v, pos, false);
}

/* A path; relative ones start at the file's directory. */
struct nix_expr *parse_path(struct parser *s)
{
	uint32_t pos = lex_here(s);
	struct pieces v = { 0 };
	struct nix_expr *e;
	bool interpolated = false;

	if (s->token == T_HOME)
		nix_raise(s->x, FAULT_MISSING, pos, "a path below the home directory");
	if (*s->start != '/') {
		const char *slash = strrchr(s->file->name, '/');

		if (slash)
			add_text(s, &v, s->file->name, (size_t)(slash - s->file->name) + 1, false);
		else
			add_text(s, &v, "./", 2, false);
	}
	add_text(s, &v, s->start, (size_t)(s->p - s->start), false);
	if (s->p[-1] == '/' && !(lex_at(s, s->p) == '$' && lex_at(s, s->p + 1) == '{'))
		lex_syntax(s, "a path without a slash at its end");
	for (;;) {
		if (lex_at(s, s->p) == '$' && lex_at(s, s->p + 1) == '{') {
			s->p += 2;
			add_interpolation(s, &v);
			interpolated = true;
		} else if (interpolated && (lex_is_path(lex_at(s, s->p)) ||
					    (lex_at(s, s->p) == '/' && lex_at(s, s->p + 1) != '/'))) {
			add_text(s, &v, s->p++, 1, false);
		} else {
			break;
		}
	}
	lex_next(s);
	e = join(s, &v, pos, true);
	if (e->op == X_CONST) {
		e->value->type = NIX_PATH;
		e->value->text = nix_canonical(s->x, e->value->text);
		e->value->length = (uint32_t)strlen(e->value->text);
	}
	return e;
}
