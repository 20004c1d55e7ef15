/* Evaluates Nix expressions lazily: thunks, environments, calls, operators (see nix.h). */
#include "applets/storadvise/nix.h"

#include <errno.h>

/* A frame of names. Lexical names win over those of any `with`. */
struct nix_env {
	struct nix_env *up;
	const struct nix_attrs *attrs; /* or, where NULL: */
	struct nix_value *with;
	bool building; /* attrs' values are not all there yet */
};

static void eval(struct nix *x, struct nix_env *env, const struct nix_expr *e,
		 struct nix_value *out);

static struct nix_env *frame(struct nix *x, struct nix_env *up, const struct nix_attrs *attrs)
{
	struct nix_env *env = nix_alloc(x, sizeof *env);

	env->up = up;
	env->attrs = attrs;
	return env;
}

/* Forcing. Whatever is raised meanwhile, the thunk is left whole: again a thunk (so that tryEval
 * can look at it twice), or, in soft mode, unknown. */
void nix_force(struct nix *x, struct nix_value *v)
{
	struct nix_value saved = *v;
	jmp_buf *outer = x->jump, mine;

	if (v->type < NIX_THUNK)
		return;
	if (v->type == NIX_BUSY)
		nix_raise(x, FAULT_RECURSION, v->pos, "infinite recursion");
	nix_check_stack(x);
	v->type = NIX_BUSY;
	if (setjmp(mine)) {
		x->jump = outer;
		*v = saved;
		if (!x->soft || x->fault.kind == FAULT_LIMIT)
			longjmp(*outer, 1);
		v->type = NIX_UNKNOWN;
		v->fault = (uint8_t)x->fault.kind;
		v->reason = x->fault.text;
		if (x->fault.pos)
			v->pos = x->fault.pos;
		return;
	}
	x->jump = &mine;
	if (saved.type == NIX_THUNK)
		eval(x, saved.env, saved.expr, v);
	else
		nix_call(x, saved.function, saved.argument, v);
	x->jump = outer;
}

void nix_want(struct nix *x, struct nix_value *v, enum nix_type type, uint32_t pos)
{
	static const char *const names[] = { "null",	 "a Boolean", "an integer", "a float",
					     "a string", "a path",    "a list",	    "a set",
					     "a function" };

	nix_force(x, v);
	if (v->type == type)
		return;
	if (v->type == NIX_UNKNOWN)
		nix_raise_unknown(x, v);
	nix_raise(x, FAULT_TYPE, pos ? pos : v->pos, "value is %s while %s was expected",
		  nix_type_name(v), names[type]);
}

static struct nix_value *with_lookup(struct nix *x, struct nix_env *env,
				     const struct nix_symbol *name, uint32_t pos)
{
	for (; env; env = env->up) {
		const struct nix_attr *a;

		if (env->attrs)
			continue;
		nix_want(x, env->with, NIX_ATTRS, pos);
		a = nix_find(env->with->attrs, name);
		if (a)
			return a->value;
		if (env->with->attrs->open)
			nix_raise(x, FAULT_MISSING, pos, "'%s' may come from a with that is not "
							 "known here", name->name);
	}
	nix_raise(x, FAULT_TYPE, pos, "undefined variable '%s'", name->name);
}

/* NULL when no frame has the name, or it is still being built. */
static struct nix_value *lexical(struct nix_env *env, const struct nix_symbol *name, bool *building)
{
	*building = false;
	for (; env; env = env->up) {
		const struct nix_attr *a = env->attrs ? nix_find(env->attrs, name) : NULL;

		if (!a)
			continue;
		*building = env->building;
		return *building ? NULL : a->value;
	}
	return NULL;
}

static struct nix_value *lookup(struct nix *x, struct nix_env *env, const struct nix_symbol *name,
				uint32_t pos)
{
	bool building;
	struct nix_value *v = lexical(env, name, &building);

	return v ? v : with_lookup(x, env, name, pos);
}

static struct nix_value *closure(struct nix *x, enum nix_type type, struct nix_env *env,
				 const struct nix_expr *e)
{
	struct nix_value *v = nix_new(x, type);

	v->pos = e->pos;
	v->env = env;
	v->expr = e;
	return v;
}

/* The expression as a value for later; no thunk where none is needed (which also makes a function
 * equal to itself, as in libexpr). */
static struct nix_value *delay(struct nix *x, struct nix_env *env, const struct nix_expr *e)
{
	struct nix_value *v;
	bool building;

	switch (e->op) {
	case X_CONST:
		return e->value;
	case X_LAMBDA:
		return closure(x, NIX_LAMBDA, env, e);
	case X_VAR:
		v = lexical(env, e->symbol, &building);
		if (v)
			return v;
		break;
	}
	return closure(x, NIX_THUNK, env, e);
}

static int by_symbol(const void *a, const void *b)
{
	const struct nix_binding *p = a, *q = b;

	return (uintptr_t)p->name.symbol < (uintptr_t)q->name.symbol ? -1 : 1;
}

static const struct nix_attrs *add_dynamic(struct nix *x, struct nix_env *env,
					   const struct nix_attrs_expr *d,
					   const struct nix_attrs *have)
{
	struct nix_attrs *all = nix_attrs_alloc(x, have->n + d->dynamic_n);

	memcpy(all->items, have->items, have->n * sizeof *have->items);
	all->n = have->n;
	for (size_t i = 0; i < d->dynamic_n; i++) {
		const struct nix_binding *b = &d->dynamic[i];
		struct nix_value name = { 0 };
		const struct nix_symbol *s;

		eval(x, env, b->name.expr, &name);
		if (name.type == NIX_NULL)
			continue;
		nix_want(x, &name, NIX_STRING, b->name.pos);
		s = nix_symbol(x, name.text, name.length);
		for (uint32_t j = 0; j < all->n; j++)
			if (all->items[j].name == s)
				nix_raise(x, FAULT_TYPE, b->name.pos,
					  "dynamic attribute '%s' is already defined", s->name);
		nix_count(x, all->n);
		all->items[all->n++] =
			(struct nix_attr){ s, delay(x, env, b->value), b->name.pos };
	}
	nix_attrs_sort(all);
	return all;
}

/* Gives the set; ret_env is the scope with its names when it is recursive. */
static const struct nix_attrs *eval_attrs(struct nix *x, struct nix_env *env,
					  struct nix_attrs_expr *d, struct nix_env **ret_env)
{
	struct nix_attrs *a = nix_attrs_alloc(x, d->n);
	struct nix_env *scope = env;
	const struct nix_attrs *r = a;

	if (!d->sorted && d->n > 1)
		qsort(d->items, d->n, sizeof *d->items, by_symbol);
	d->sorted = true;
	a->n = (uint32_t)d->n;
	for (size_t i = 0; i < d->n; i++)
		a->items[i] = (struct nix_attr){ d->items[i].name.symbol, NULL,
						 d->items[i].name.pos };
	if (d->recursive) {
		scope = frame(x, env, a);
		scope->building = true;
	}
	for (size_t i = 0; i < d->n; i++)
		a->items[i].value =
			delay(x, d->items[i].inherited ? env : scope, d->items[i].value);
	if (d->recursive)
		scope->building = false;
	if (d->dynamic_n)
		r = add_dynamic(x, scope, d, a);
	*ret_env = scope;
	return r;
}

static const struct nix_symbol *name_of(struct nix *x, struct nix_env *env,
					const struct nix_name *n)
{
	struct nix_value v = { 0 };

	if (n->symbol)
		return n->symbol;
	eval(x, env, n->expr, &v);
	nix_want(x, &v, NIX_STRING, n->pos);
	return nix_symbol(x, v.text, v.length);
}

static void missing(struct nix *x, const struct nix_attrs *a, const struct nix_name *n,
		    const struct nix_symbol *s) __attribute__((noreturn));
static void missing(struct nix *x, const struct nix_attrs *a, const struct nix_name *n,
		    const struct nix_symbol *s)
{
	if (a->open)
		nix_raise(x, FAULT_MISSING, n->pos, "'%s' is not known here", s->name);
	nix_raise(x, FAULT_TYPE, n->pos, "attribute '%s' missing", s->name);
}

static void eval_select(struct nix *x, struct nix_env *env, const struct nix_expr *e,
			struct nix_value *out)
{
	struct nix_value base = { .pos = e->pos }, *v = &base;

	eval(x, env, e->of, v);
	for (size_t i = 0; i < e->path_n; i++) {
		const struct nix_symbol *s = name_of(x, env, &e->path_items[i]);
		const struct nix_attr *a = NULL;

		nix_force(x, v);
		if (v->type == NIX_ATTRS)
			a = nix_find(v->attrs, s);
		else if (v->type == NIX_UNKNOWN || !e->otherwise)
			nix_want(x, v, NIX_ATTRS, e->path_items[i].pos);
		if (!a && v->type == NIX_ATTRS && (!e->otherwise || v->attrs->open))
			missing(x, v->attrs, &e->path_items[i], s);
		if (!a) {
			eval(x, env, e->otherwise, out);
			return;
		}
		v = a->value;
	}
	nix_force(x, v);
	*out = *v;
}

static bool eval_has(struct nix *x, struct nix_env *env, const struct nix_expr *e)
{
	struct nix_value base = { .pos = e->pos }, *v = &base;

	eval(x, env, e->of, v);
	for (size_t i = 0; i < e->path_n; i++) {
		const struct nix_symbol *s = name_of(x, env, &e->path_items[i]);
		const struct nix_attr *a;

		nix_force(x, v);
		if (v->type == NIX_UNKNOWN)
			nix_raise_unknown(x, v);
		if (v->type != NIX_ATTRS)
			return false;
		a = nix_find(v->attrs, s);
		if (!a && v->attrs->open)
			missing(x, v->attrs, &e->path_items[i], s);
		if (!a)
			return false;
		v = a->value;
	}
	return true;
}

static struct nix_env *bind_pattern(struct nix *x, const struct nix_expr *f, struct nix_env *up,
				    struct nix_value *argument)
{
	const struct nix_attrs *given;
	struct nix_attrs *a;
	struct nix_env *env;
	size_t used = 0;

	nix_want(x, argument, NIX_ATTRS, 0);
	given = argument->attrs;
	a = nix_attrs_alloc(x, f->formals_n + 1);
	env = frame(x, up, a);
	for (size_t i = 0; i < f->formals_n; i++) {
		const struct nix_formal *d = &f->formals[i];
		const struct nix_attr *got = nix_find(given, d->name);
		struct nix_value *v;

		used += !!got;
		if (got) {
			v = got->value;
		} else if (d->def) {
			v = closure(x, NIX_THUNK, env, d->def);
		} else if (given->open) {
			v = nix_unknown(x, nix_strn(x, d->name->name, d->name->n));
			v->pos = d->pos;
		} else {
			nix_raise(x, FAULT_TYPE, d->pos,
				  "function called without required argument '%s'", d->name->name);
		}
		a->items[a->n++] = (struct nix_attr){ d->name, v, d->pos };
	}
	if (!f->ellipsis && !given->open && used < given->n)
		for (uint32_t i = 0; i < given->n; i++) {
			size_t j = 0;

			while (j < f->formals_n && f->formals[j].name != given->items[i].name)
				j++;
			if (j == f->formals_n)
				nix_raise(x, FAULT_TYPE, f->pos,
					  "function called with unexpected argument '%s'",
					  given->items[i].name->name);
		}
	if (f->argument)
		a->items[a->n++] = (struct nix_attr){ f->argument, argument, f->pos };
	nix_attrs_sort(a);
	return env;
}

static struct nix_env *bind(struct nix *x, const struct nix_value *f, struct nix_value *argument)
{
	struct nix_attrs *a;

	if (f->expr->formals)
		return bind_pattern(x, f->expr, f->env, argument);
	a = nix_attrs_alloc(x, 1);
	a->n = 1;
	a->items[0] = (struct nix_attr){ f->expr->argument, argument, f->expr->pos };
	return frame(x, f->env, a);
}

static void call_primitive(struct nix *x, const struct nix_value *f, struct nix_value *argument,
			   struct nix_value *out)
{
	const struct nix_primitive *p = f->primitive;
	struct nix_value **args = nix_alloc(x, p->arity * sizeof *args), r = { 0 };
	unsigned n = 0;

	if (f->type == NIX_PARTIAL)
		while (n < p->arity && f->args[n]) {
			args[n] = f->args[n];
			n++;
		}
	args[n++] = argument;
	r.pos = argument->pos;
	if (n < p->arity) {
		r.type = NIX_PARTIAL;
		r.primitive = p;
		r.args = args;
	} else {
		p->call(x, args, &r);
	}
	*out = r;
}

/* A set with __functor is a function of itself. */
static void functor(struct nix *x, struct nix_value *f)
{
	const struct nix_attr *a;
	struct nix_value *self = nix_new(x, NIX_NULL);

	nix_force(x, f);
	if (f->type == NIX_UNKNOWN)
		nix_raise_unknown(x, f);
	a = f->type == NIX_ATTRS ? nix_find(f->attrs, nix_symbol(x, "__functor", 9)) : NULL;
	if (!a)
		nix_raise(x, FAULT_TYPE, f->pos,
			  "attempt to call something which is not a function but %s",
			  nix_type_name(f));
	*self = *f;
	nix_call(x, a->value, self, f);
}

void nix_call(struct nix *x, struct nix_value *function, struct nix_value *argument,
	      struct nix_value *out)
{
	struct nix_value f;

	nix_force(x, function);
	f = *function;
	nix_check_stack(x);
	nix_count(x, 1);
	while (f.type != NIX_LAMBDA && f.type != NIX_PRIMITIVE && f.type != NIX_PARTIAL)
		functor(x, &f);
	if (f.type == NIX_LAMBDA)
		eval(x, bind(x, &f, argument), f.expr->body, out);
	else
		call_primitive(x, &f, argument, out);
}

struct nix_value *nix_lazy_call(struct nix *x, struct nix_value *function,
				struct nix_value *argument)
{
	struct nix_value *v = nix_new(x, NIX_APPLY);

	v->function = function;
	v->argument = argument;
	v->pos = argument->pos;
	return v;
}

static bool eval_bool(struct nix *x, struct nix_env *env, const struct nix_expr *e)
{
	struct nix_value v = { .pos = e->pos };

	eval(x, env, e, &v);
	nix_want(x, &v, NIX_BOOL, e->pos);
	return v.boolean;
}

static bool is_number(const struct nix_value *v)
{
	return v->type == NIX_INT || v->type == NIX_FLOAT;
}

static void arithmetic(struct nix *x, enum nix_op op, struct nix_value *a, struct nix_value *b,
		       uint32_t pos, struct nix_value *out)
{
	if (a->type == NIX_UNKNOWN)
		nix_raise_unknown(x, a);
	if (b->type == NIX_UNKNOWN)
		nix_raise_unknown(x, b);
	if (!is_number(a) || !is_number(b))
		nix_raise(x, FAULT_TYPE, pos, "value is %s while a number was expected",
			  nix_type_name(is_number(a) ? b : a));
	out->pos = pos;
	if (op == X_DIV && (b->type == NIX_INT ? !b->integer : b->real == 0))
		nix_raise(x, FAULT_TYPE, pos, "division by zero");
	if (a->type == NIX_INT && b->type == NIX_INT) {
		/* Nix 2.8 wraps around. */
		uint64_t p = (uint64_t)a->integer, q = (uint64_t)b->integer;

		if (op == X_DIV && b->integer == -1)
			p = -p;
		else if (op == X_DIV)
			p = (uint64_t)(a->integer / b->integer);
		else
			p = op == X_ADD ? p + q : op == X_SUB ? p - q : p * q;
		out->type = NIX_INT;
		out->integer = (int64_t)p;
	} else {
		double p = a->type == NIX_INT ? (double)a->integer : a->real;
		double q = b->type == NIX_INT ? (double)b->integer : b->real;

		out->type = NIX_FLOAT;
		out->real = op == X_ADD ? p + q : op == X_SUB ? p - q : op == X_MUL ? p * q : p / q;
	}
}

struct text {
	char *s;
	size_t n, cap;
};

static void append(struct nix *x, struct text *t, const char *s, size_t n)
{
	if (t->cap - t->n < n + 1) {
		size_t cap = t->cap * 2 > t->n + n + 1 ? t->cap * 2 : t->n + n + 1;
		char *larger = nix_alloc(x, cap);

		if (t->n)
			memcpy(larger, t->s, t->n);
		t->s = larger;
		t->cap = cap;
	}
	memcpy(t->s + t->n, s, n);
	t->n += n;
	t->s[t->n] = '\0';
}

static void set_text(struct nix *x, struct nix_value *out, struct text *t, bool path)
{
	if (!t->s)
		append(x, t, "", 0);
	out->type = path ? NIX_PATH : NIX_STRING;
	out->text = path ? nix_canonical(x, t->s) : t->s;
	out->length = (uint32_t)(path ? strlen(out->text) : t->n);
}

static void eval_interpolate(struct nix *x, struct nix_env *env, const struct nix_expr *e,
			     struct nix_value *out)
{
	struct text t = { 0 };
	const char *s;
	size_t n;

	for (size_t i = 0; i < e->n; i++) {
		struct nix_value v = { .pos = e->items[i]->pos };

		eval(x, env, e->items[i], &v);
		/* Within a path another path stands for its text. */
		if (e->path && v.type == NIX_PATH) {
			s = v.text;
			n = v.length;
		} else {
			s = nix_coerce(x, &v, false, e->items[i]->pos, &n);
		}
		append(x, &t, s, n);
	}
	out->pos = e->pos;
	set_text(x, out, &t, e->path);
}

static void eval_add(struct nix *x, struct nix_env *env, const struct nix_expr *e,
		     struct nix_value *out)
{
	struct nix_value a = { .pos = e->a->pos }, b = { .pos = e->b->pos };
	struct text t = { 0 };
	const char *s;
	size_t n;

	eval(x, env, e->a, &a);
	eval(x, env, e->b, &b);
	if (a.type == NIX_UNKNOWN)
		nix_raise_unknown(x, &a);
	if (is_number(&a)) {
		arithmetic(x, X_ADD, &a, &b, e->pos, out);
		return;
	}
	s = a.type == NIX_PATH ? a.text : nix_coerce(x, &a, false, e->pos, &n);
	append(x, &t, s, a.type == NIX_PATH ? a.length : n);
	if (a.type == NIX_PATH && b.type == NIX_PATH)
		append(x, &t, b.text, b.length);
	else
		s = nix_coerce(x, &b, false, e->pos, &n), append(x, &t, s, n);
	out->pos = e->a->pos;
	set_text(x, out, &t, a.type == NIX_PATH);
}

static void update(struct nix *x, const struct nix_attrs *a, const struct nix_attrs *b,
		   struct nix_value *out)
{
	struct nix_attrs *r = nix_attrs_alloc(x, a->n + b->n);
	uint32_t i = 0, j = 0;

	while (i < a->n || j < b->n) {
		if (j == b->n || (i < a->n && (uintptr_t)a->items[i].name <
						      (uintptr_t)b->items[j].name)) {
			r->items[r->n++] = a->items[i++];
		} else {
			if (i < a->n && a->items[i].name == b->items[j].name)
				i++;
			r->items[r->n++] = b->items[j++];
		}
	}
	r->open = a->open || b->open;
	out->type = NIX_ATTRS;
	out->attrs = r;
}

static void concat(struct nix *x, const struct nix_value *a, const struct nix_value *b,
		   struct nix_value *out)
{
	size_t n = (size_t)a->n + b->n;
	struct nix_value **items = nix_alloc(x, (n + 1) * sizeof *items);

	if (n > x->limits.list_items)
		nix_raise(x, FAULT_LIMIT, a->pos, "a list of more than %zu elements",
			  x->limits.list_items);
	if (a->n)
		memcpy(items, a->items, a->n * sizeof *items);
	if (b->n)
		memcpy(items + a->n, b->items, b->n * sizeof *items);
	out->type = NIX_LIST;
	out->items = items;
	out->n = (uint32_t)n;
}

static void set_bool(struct nix_value *out, bool b, uint32_t pos)
{
	out->type = NIX_BOOL;
	out->boolean = b;
	out->pos = pos;
}

static void eval_operator(struct nix *x, struct nix_env *env, const struct nix_expr *e,
			  struct nix_value *out)
{
	struct nix_value a = { .pos = e->a->pos }, b = { 0 };

	switch (e->op) {
	case X_NOT:
		return set_bool(out, !eval_bool(x, env, e->a), e->pos);
	case X_AND:
		return set_bool(out, eval_bool(x, env, e->a) && eval_bool(x, env, e->b), e->pos);
	case X_OR:
		return set_bool(out, eval_bool(x, env, e->a) || eval_bool(x, env, e->b), e->pos);
	case X_IMPLIES:
		return set_bool(out, !eval_bool(x, env, e->a) || eval_bool(x, env, e->b), e->pos);
	case X_ADD:
		return eval_add(x, env, e, out);
	}
	eval(x, env, e->a, &a);
	if (e->op == X_NEGATE) {
		struct nix_value zero = { .type = NIX_INT };

		return arithmetic(x, X_SUB, &zero, &a, e->pos, out);
	}
	b.pos = e->b->pos;
	eval(x, env, e->b, &b);
	switch (e->op) {
	case X_EQUAL:
		return set_bool(out, nix_equal(x, &a, &b), e->pos);
	case X_UNEQUAL:
		return set_bool(out, !nix_equal(x, &a, &b), e->pos);
	case X_LESS:
		return set_bool(out, nix_less(x, &a, &b, e->pos), e->pos);
	case X_GREATER:
		return set_bool(out, nix_less(x, &b, &a, e->pos), e->pos);
	case X_LESS_EQUAL:
		return set_bool(out, !nix_less(x, &b, &a, e->pos), e->pos);
	case X_GREATER_EQUAL:
		return set_bool(out, !nix_less(x, &a, &b, e->pos), e->pos);
	case X_UPDATE:
		nix_want(x, &a, NIX_ATTRS, e->pos);
		nix_want(x, &b, NIX_ATTRS, e->pos);
		out->pos = e->a->pos;
		return update(x, a.attrs, b.attrs, out);
	case X_CONCAT:
		nix_want(x, &a, NIX_LIST, e->pos);
		nix_want(x, &b, NIX_LIST, e->pos);
		out->pos = e->pos;
		return concat(x, &a, &b, out);
	default:
		return arithmetic(x, e->op, &a, &b, e->pos, out);
	}
}

/* <nixpkgs> and <nixpkgs/lib> stand for the part of nixpkgs' lib that we have. */
static void search_path(struct nix *x, const struct nix_expr *e, struct nix_value *out)
{
	const char *s = e->value->text;

	if (strcmp(s, "<nixpkgs>") && strcmp(s, "<nixpkgs/lib>"))
		nix_raise(x, FAULT_MISSING, e->pos, "%s is not known here", s);
	*out = *e->value;
	out->type = NIX_PATH;
}

static void eval_list(struct nix *x, struct nix_env *env, const struct nix_expr *e,
		      struct nix_value *out)
{
	struct nix_value **items = nix_alloc(x, (e->n + 1) * sizeof *items);

	if (e->n > x->limits.list_items)
		nix_raise(x, FAULT_LIMIT, e->pos, "a list of more than %zu elements",
			  x->limits.list_items);
	for (size_t i = 0; i < e->n; i++)
		items[i] = delay(x, env, e->items[i]);
	out->type = NIX_LIST;
	out->pos = e->pos;
	out->items = items;
	out->n = (uint32_t)e->n;
}

/* What ends in another expression goes round the loop, so that a tail call takes no stack. */
static void eval(struct nix *x, struct nix_env *env, const struct nix_expr *e,
		 struct nix_value *out)
{
	struct nix_value *v, f;
	struct nix_env *inner;

	nix_check_stack(x);
	for (;;) {
		nix_count(x, 1);
		switch (e->op) {
		case X_CONST:
			*out = *e->value;
			return;
		case X_VAR:
			v = lookup(x, env, e->symbol, e->pos);
			nix_force(x, v);
			*out = *v;
			return;
		case X_INTERPOLATE:
			return eval_interpolate(x, env, e, out);
		case X_SELECT:
			return eval_select(x, env, e, out);
		case X_HAS:
			return set_bool(out, eval_has(x, env, e), e->pos);
		case X_ATTRS:
			out->attrs = eval_attrs(x, env, e->attrs, &inner);
			out->type = NIX_ATTRS;
			out->pos = e->pos;
			return;
		case X_OLD_LET: {
			const struct nix_attr *body = nix_find(
				eval_attrs(x, env, e->attrs, &inner), nix_symbol(x, "body", 4));

			if (!body)
				nix_raise(x, FAULT_TYPE, e->pos, "attribute 'body' missing");
			nix_force(x, body->value);
			*out = *body->value;
			return;
		}
		case X_LIST:
			return eval_list(x, env, e, out);
		case X_LAMBDA:
			out->type = NIX_LAMBDA;
			out->pos = e->pos;
			out->env = env;
			out->expr = e;
			return;
		case X_LET:
			eval_attrs(x, env, e->a->attrs, &inner);
			env = inner;
			e = e->b;
			break;
		case X_WITH:
			inner = frame(x, env, NULL);
			inner->with = delay(x, env, e->a);
			env = inner;
			e = e->b;
			break;
		case X_IF:
			e = eval_bool(x, env, e->a) ? e->b : e->c;
			break;
		case X_ASSERT:
			if (!eval_bool(x, env, e->a))
				nix_raise(x, FAULT_ASSERT, e->pos, "assertion failed");
			e = e->b;
			break;
		case X_CALL:
			f = (struct nix_value){ .pos = e->a->pos };
			eval(x, env, e->a, &f);
			v = delay(x, env, e->b);
			while (f.type != NIX_LAMBDA && f.type != NIX_PRIMITIVE &&
			       f.type != NIX_PARTIAL)
				functor(x, &f);
			if (f.type != NIX_LAMBDA) {
				call_primitive(x, &f, v, out);
				if (out->pos < 1)
					out->pos = e->pos;
				return;
			}
			env = bind(x, &f, v);
			e = f.expr->body;
			break;
		case X_SEARCH_PATH:
			return search_path(x, e, out);
		default:
			return eval_operator(x, env, e, out);
		}
	}
}

/* Comparison. */

bool nix_equal(struct nix *x, struct nix_value *a, struct nix_value *b)
{
	nix_check_stack(x);
	nix_count(x, 1);
	nix_force(x, a);
	nix_force(x, b);
	if (a->type == NIX_UNKNOWN)
		nix_raise_unknown(x, a);
	if (b->type == NIX_UNKNOWN)
		nix_raise_unknown(x, b);
	if (a == b)
		return true;
	if (is_number(a) && is_number(b) && a->type != b->type)
		return (a->type == NIX_INT ? (double)a->integer : a->real) ==
		       (b->type == NIX_INT ? (double)b->integer : b->real);
	if (a->type != b->type)
		return false;
	switch (a->type) {
	case NIX_NULL:
		return true;
	case NIX_BOOL:
		return a->boolean == b->boolean;
	case NIX_INT:
		return a->integer == b->integer;
	case NIX_FLOAT:
		return a->real == b->real;
	case NIX_STRING:
	case NIX_PATH:
		return a->length == b->length && !memcmp(a->text, b->text, a->length);
	case NIX_LIST:
		if (a->n != b->n)
			return false;
		for (uint32_t i = 0; i < a->n; i++)
			if (!nix_equal(x, a->items[i], b->items[i]))
				return false;
		return true;
	case NIX_ATTRS:
		if (a->attrs == b->attrs)
			return true;
		if (a->attrs->n != b->attrs->n)
			return false;
		for (uint32_t i = 0; i < a->attrs->n; i++)
			if (a->attrs->items[i].name != b->attrs->items[i].name ||
			    !nix_equal(x, a->attrs->items[i].value, b->attrs->items[i].value))
				return false;
		return true;
	}
	return false;
}

bool nix_less(struct nix *x, struct nix_value *a, struct nix_value *b, uint32_t pos)
{
	nix_force(x, a);
	nix_force(x, b);
	if (a->type == NIX_UNKNOWN)
		nix_raise_unknown(x, a);
	if (b->type == NIX_UNKNOWN)
		nix_raise_unknown(x, b);
	if (a->type == NIX_INT && b->type == NIX_INT)
		return a->integer < b->integer;
	if (is_number(a) && is_number(b))
		return (a->type == NIX_INT ? (double)a->integer : a->real) <
		       (b->type == NIX_INT ? (double)b->integer : b->real);
	if (a->type != b->type || (a->type != NIX_STRING && a->type != NIX_PATH))
		nix_raise(x, FAULT_TYPE, pos, "cannot compare %s with %s", nix_type_name(a),
			  nix_type_name(b));
	return strcmp(a->text, b->text) < 0;
}

struct nix_env *nix_base_env(struct nix *x, struct nix_value *names)
{
	return frame(x, NULL, names->attrs);
}
