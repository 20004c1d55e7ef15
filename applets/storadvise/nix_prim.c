/* Nix's built-in functions on types, sets, control and files (see nix.h). */
#include "applets/storadvise/nix.h"

static struct nix_value *force(struct nix *x, struct nix_value *v, enum nix_type t)
{
	nix_want(x, v, t, 0);
	return v;
}

static void give_bool(struct nix_value *out, bool b)
{
	out->type = NIX_BOOL;
	out->boolean = b;
}

static enum nix_type type_of(struct nix *x, struct nix_value *v)
{
	nix_force(x, v);
	if (v->type == NIX_UNKNOWN)
		nix_raise_unknown(x, v);
	return v->type;
}

static bool is_function(enum nix_type t)
{
	return t == NIX_LAMBDA || t == NIX_PRIMITIVE || t == NIX_PARTIAL;
}

#define IS(name, condition)                                                             \
	static void prim_is_##name(struct nix *x, struct nix_value **a, struct nix_value *out) \
	{                                                                               \
		enum nix_type t = type_of(x, a[0]);                                     \
		give_bool(out, condition);                                              \
	}
IS(null, t == NIX_NULL)
IS(bool, t == NIX_BOOL)
IS(int, t == NIX_INT)
IS(float, t == NIX_FLOAT)
IS(string, t == NIX_STRING)
IS(path, t == NIX_PATH)
IS(list, t == NIX_LIST)
IS(attrs, t == NIX_ATTRS)
IS(function, is_function(t))

static void give_text(struct nix *x, struct nix_value *out, const char *s, size_t n)
{
	out->type = NIX_STRING;
	out->text = nix_strn(x, s, n);
	out->length = (uint32_t)n;
}

static void prim_type_of(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	static const char *const names[] = { "null", "bool", "int",  "float", "string",
					     "path", "list", "set", "lambda" };
	enum nix_type t = type_of(x, a[0]);
	const char *s = is_function(t) ? "lambda" : names[t];

	give_text(x, out, s, strlen(s));
}

static void prim_throw(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	size_t n;
	const char *s = nix_coerce(x, a[0], false, 0, &n);

	(void)out;
	nix_raise(x, FAULT_THROW, a[0]->pos, "throw: %s", s);
}

static void prim_abort(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	size_t n;
	const char *s = nix_coerce(x, a[0], false, 0, &n);

	(void)out;
	nix_raise(x, FAULT_ABORT, a[0]->pos, "abort: %s", s);
}

static void prim_try_eval(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	struct nix_builder b = { .x = x };
	jmp_buf *outer = x->jump, mine;
	bool ok;

	if (!setjmp(mine)) {
		x->jump = &mine;
		nix_force(x, a[0]);
		if (a[0]->type == NIX_UNKNOWN)
			nix_raise_unknown(x, a[0]);
		ok = true;
	} else {
		ok = false;
	}
	x->jump = outer;
	if (!ok && x->fault.kind != FAULT_THROW && x->fault.kind != FAULT_ASSERT)
		longjmp(*outer, 1);
	nix_add(&b, "success", ok ? x->lib_true : x->lib_false);
	nix_add(&b, "value", ok ? a[0] : x->lib_false);
	*out = *nix_attrs(&b);
}

static void prim_seq(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	type_of(x, a[0]);
	nix_force(x, a[1]);
	*out = *a[1];
}

static void force_deep(struct nix *x, struct nix_value *v)
{
	nix_check_stack(x);
	nix_count(x, 1);
	type_of(x, v);
	if (v->type == NIX_LIST)
		for (uint32_t i = 0; i < v->n; i++)
			force_deep(x, v->items[i]);
	if (v->type == NIX_ATTRS)
		for (uint32_t i = 0; i < v->attrs->n; i++)
			force_deep(x, v->attrs->items[i].value);
}

static void prim_deep_seq(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	force_deep(x, a[0]);
	nix_force(x, a[1]);
	*out = *a[1];
}

static void prim_trace(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	nix_force(x, a[1]);
	*out = *a[1];
}

/* Numbers. */

#define NUMBER(name, operator, whole)                                                        \
	static void prim_##name(struct nix *x, struct nix_value **a, struct nix_value *out)  \
	{                                                                                    \
		enum nix_type s = type_of(x, a[0]), t = type_of(x, a[1]);                    \
		double p = s == NIX_INT ? (double)a[0]->integer : a[0]->real;                \
		double q = t == NIX_INT ? (double)a[1]->integer : a[1]->real;                \
                                                                                             \
		if ((s != NIX_INT && s != NIX_FLOAT) || (t != NIX_INT && t != NIX_FLOAT))    \
			nix_raise(x, FAULT_TYPE, 0, "a number was expected");                \
		if (s == NIX_INT && t == NIX_INT) {                                          \
			out->type = NIX_INT;                                                 \
			out->integer = whole(x, a[0]->integer, a[1]->integer);               \
		} else {                                                                     \
			out->type = NIX_FLOAT;                                               \
			out->real = p operator q;                                            \
		}                                                                            \
	}

static int64_t whole_add(struct nix *x, int64_t a, int64_t b)
{
	(void)x;
	return (int64_t)((uint64_t)a + (uint64_t)b);
}
static int64_t whole_sub(struct nix *x, int64_t a, int64_t b)
{
	(void)x;
	return (int64_t)((uint64_t)a - (uint64_t)b);
}
static int64_t whole_mul(struct nix *x, int64_t a, int64_t b)
{
	(void)x;
	return (int64_t)((uint64_t)a * (uint64_t)b);
}
static int64_t whole_div(struct nix *x, int64_t a, int64_t b)
{
	if (!b)
		nix_raise(x, FAULT_TYPE, 0, "division by zero");
	return b == -1 ? (int64_t)-(uint64_t)a : a / b;
}
NUMBER(add, +, whole_add)
NUMBER(sub, -, whole_sub)
NUMBER(mul, *, whole_mul)

static void prim_div(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	if (type_of(x, a[0]) == NIX_INT && type_of(x, a[1]) == NIX_INT) {
		out->type = NIX_INT;
		out->integer = whole_div(x, a[0]->integer, a[1]->integer);
		return;
	}
	double p = a[0]->type == NIX_INT ? (double)a[0]->integer : a[0]->real;
	double q = type_of(x, a[1]) == NIX_INT ? (double)a[1]->integer : a[1]->real;

	if ((a[0]->type != NIX_INT && a[0]->type != NIX_FLOAT) ||
	    (a[1]->type != NIX_INT && a[1]->type != NIX_FLOAT))
		nix_raise(x, FAULT_TYPE, 0, "a number was expected");
	if (q == 0)
		nix_raise(x, FAULT_TYPE, 0, "division by zero");
	out->type = NIX_FLOAT;
	out->real = p / q;
}

static void prim_less_than(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	give_bool(out, nix_less(x, a[0], a[1], 0));
}

#define BITS(name, operator)                                                                \
	static void prim_bit_##name(struct nix *x, struct nix_value **a, struct nix_value *out) \
	{                                                                                   \
		out->integer = force(x, a[0], NIX_INT)->integer operator                    \
			       force(x, a[1], NIX_INT)->integer;                            \
		out->type = NIX_INT;                                                        \
	}
BITS(and, &)
BITS(or, |)
BITS(xor, ^)

static double real_of(struct nix *x, struct nix_value *v)
{
	if (type_of(x, v) == NIX_INT)
		return (double)v->integer;
	return force(x, v, NIX_FLOAT)->real;
}

static void prim_ceil(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	double d = real_of(x, a[0]);

	out->type = NIX_INT;
	out->integer = (int64_t)d + (d > (double)(int64_t)d);
}

static void prim_floor(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	double d = real_of(x, a[0]);

	out->type = NIX_INT;
	out->integer = (int64_t)d - (d < (double)(int64_t)d);
}

/* Sets. */

static const struct nix_symbol *symbol_of(struct nix *x, struct nix_value *v)
{
	force(x, v, NIX_STRING);
	return nix_symbol(x, v->text, v->length);
}

static void give_list(struct nix *x, struct nix_value *out, size_t n)
{
	if (n > x->limits.list_items)
		nix_raise(x, FAULT_LIMIT, 0, "a list of more than %zu elements",
			  x->limits.list_items);
	out->type = NIX_LIST;
	out->items = nix_alloc(x, (n + 1) * sizeof *out->items);
	out->n = (uint32_t)n;
}

static const struct nix_attrs *attrs_of(struct nix *x, struct nix_value *v)
{
	force(x, v, NIX_ATTRS);
	/* Its names cannot be counted. */
	if (v->attrs->open)
		nix_raise(x, FAULT_MISSING, v->pos, "a set whose names are not known here");
	return v->attrs;
}

static struct nix_value *text_value(struct nix *x, const struct nix_symbol *s)
{
	struct nix_value *v = nix_new(x, NIX_STRING);

	v->text = s->name;
	v->length = s->n;
	return v;
}

static void prim_attr_names(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	const struct nix_attrs *s = attrs_of(x, a[0]);
	const struct nix_attr **order = nix_by_name(x, s);

	give_list(x, out, s->n);
	for (uint32_t i = 0; i < s->n; i++)
		out->items[i] = text_value(x, order[i]->name);
}

static void prim_attr_values(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	const struct nix_attrs *s = attrs_of(x, a[0]);
	const struct nix_attr **order = nix_by_name(x, s);

	give_list(x, out, s->n);
	for (uint32_t i = 0; i < s->n; i++)
		out->items[i] = order[i]->value;
}

static const struct nix_attr *get_attr(struct nix *x, struct nix_value *name, struct nix_value *set)
{
	const struct nix_symbol *s = symbol_of(x, name);
	const struct nix_attr *f;

	force(x, set, NIX_ATTRS);
	f = nix_find(set->attrs, s);
	if (!f && set->attrs->open)
		nix_raise(x, FAULT_MISSING, name->pos, "'%s' is not known here", s->name);
	return f;
}

static void prim_get_attr(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	const struct nix_attr *f = get_attr(x, a[0], a[1]);

	if (!f)
		nix_raise(x, FAULT_TYPE, a[0]->pos, "attribute '%s' missing", a[0]->text);
	nix_force(x, f->value);
	*out = *f->value;
}

static void prim_has_attr(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	give_bool(out, get_attr(x, a[0], a[1]));
}

static void prim_remove_attrs(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	const struct nix_attrs *s = force(x, a[0], NIX_ATTRS)->attrs;
	struct nix_attrs *r = nix_attrs_alloc(x, s->n);

	force(x, a[1], NIX_LIST);
	for (uint32_t j = 0; j < a[1]->n; j++)
		symbol_of(x, a[1]->items[j]);
	for (uint32_t i = 0; i < s->n; i++) {
		bool gone = false;

		for (uint32_t j = 0; j < a[1]->n && !gone; j++)
			gone = streq(a[1]->items[j]->text, s->items[i].name->name);
		nix_count(x, a[1]->n);
		if (!gone)
			r->items[r->n++] = s->items[i];
	}
	r->open = s->open;
	out->type = NIX_ATTRS;
	out->attrs = r;
}

static void prim_intersect_attrs(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	const struct nix_attrs *p = attrs_of(x, a[0]), *q = attrs_of(x, a[1]);
	struct nix_attrs *r = nix_attrs_alloc(x, q->n);

	for (uint32_t i = 0; i < q->n; i++)
		if (nix_find(p, q->items[i].name))
			r->items[r->n++] = q->items[i];
	out->type = NIX_ATTRS;
	out->attrs = r;
}

static void prim_list_to_attrs(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	struct nix_value *name = nix_string(x, "name"), *value = nix_string(x, "value");
	struct nix_attrs *r;
	uint32_t to = 0;

	force(x, a[0], NIX_LIST);
	r = nix_attrs_alloc(x, a[0]->n);
	for (uint32_t i = 0; i < a[0]->n; i++) {
		const struct nix_attr *n = get_attr(x, name, a[0]->items[i]);
		const struct nix_attr *v;

		if (!n)
			nix_raise(x, FAULT_TYPE, a[0]->items[i]->pos, "attribute 'name' missing");
		symbol_of(x, n->value);
		v = get_attr(x, value, a[0]->items[i]);
		if (!v)
			nix_raise(x, FAULT_TYPE, a[0]->items[i]->pos, "attribute 'value' missing");
		r->items[r->n++] = (struct nix_attr){ symbol_of(x, n->value), v->value,
						      n->value->pos };
	}
	/* The first of a name wins; the sort is not stable, so duplicates go before it. */
	if (r->n > 1) {
		struct nix_attrs *sorted = nix_attrs_alloc(x, r->n);
		uint32_t slots = r->n * 2, *seen = nix_alloc(x, slots * sizeof *seen);

		for (uint32_t i = 0; i < r->n; i++) {
			uint32_t h = r->items[i].name->hash % slots;

			while (seen[h] && sorted->items[seen[h] - 1].name != r->items[i].name)
				h = (h + 1) % slots;
			if (seen[h])
				continue;
			sorted->items[to++] = r->items[i];
			seen[h] = to;
		}
		sorted->n = to;
		nix_attrs_sort(sorted);
		r = sorted;
	}
	out->type = NIX_ATTRS;
	out->attrs = r;
}

static void prim_map_attrs(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	const struct nix_attrs *s = attrs_of(x, a[1]);
	struct nix_attrs *r = nix_attrs_alloc(x, s->n);

	for (uint32_t i = 0; i < s->n; i++) {
		struct nix_value *with_name =
			nix_lazy_call(x, a[0], text_value(x, s->items[i].name));

		r->items[r->n++] = (struct nix_attr){
			s->items[i].name, nix_lazy_call(x, with_name, s->items[i].value),
			s->items[i].pos };
	}
	out->type = NIX_ATTRS;
	out->attrs = r;
}

static void prim_cat_attrs(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	const struct nix_symbol *s = symbol_of(x, a[0]);
	uint32_t n = 0;

	force(x, a[1], NIX_LIST);
	give_list(x, out, a[1]->n);
	for (uint32_t i = 0; i < a[1]->n; i++) {
		const struct nix_attr *f =
			nix_find(force(x, a[1]->items[i], NIX_ATTRS)->attrs, s);

		if (f)
			out->items[n++] = f->value;
	}
	out->n = n;
}

static void prim_function_args(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	struct nix_builder b = { .x = x };
	const struct nix_expr *f;

	if (type_of(x, a[0]) == NIX_LAMBDA) {
		f = a[0]->expr;
		for (size_t i = 0; i < f->formals_n; i++)
			nix_add(&b, f->formals[i].name->name,
				f->formals[i].def ? x->lib_true : x->lib_false);
	} else if (!is_function(a[0]->type)) {
		nix_raise(x, FAULT_TYPE, a[0]->pos, "a function was expected");
	}
	*out = *nix_attrs(&b);
}

static void prim_zip_attrs_with(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	struct nix_attrs *all;
	size_t total = 0;
	uint32_t n = 0;

	force(x, a[1], NIX_LIST);
	for (uint32_t i = 0; i < a[1]->n; i++)
		total += attrs_of(x, a[1]->items[i])->n;
	all = nix_attrs_alloc(x, total);
	for (uint32_t i = 0; i < a[1]->n; i++)
		for (uint32_t j = 0; j < a[1]->items[i]->attrs->n; j++) {
			const struct nix_attr *f = &a[1]->items[i]->attrs->items[j];
			uint32_t k = 0;

			while (k < n && all->items[k].name != f->name)
				k++;
			nix_count(x, n);
			if (k == n) {
				all->items[n++] = (struct nix_attr){ f->name,
					nix_new(x, NIX_LIST), f->pos };
				all->items[k].value->items =
					nix_alloc(x, a[1]->n * sizeof(void *));
			}
			all->items[k].value->items[all->items[k].value->n++] = f->value;
		}
	for (uint32_t k = 0; k < n; k++)
		all->items[k].value = nix_lazy_call(
			x, nix_lazy_call(x, a[0], text_value(x, all->items[k].name)),
			all->items[k].value);
	all->n = n;
	nix_attrs_sort(all);
	out->type = NIX_ATTRS;
	out->attrs = all;
}

/* Files: only what is below the root, and only as text. */

static const char *path_of(struct nix *x, struct nix_value *v)
{
	size_t n;

	return nix_coerce(x, v, true, 0, &n);
}

static void prim_import(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	struct nix_value *v = nix_import(x, path_of(x, a[0]), a[0]->pos);

	nix_force(x, v);
	*out = *v;
}

static void prim_path_exists(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	give_bool(out, root_exists(x->root, path_of(x, a[0])));
}

static void prim_read_file(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	const char *path = path_of(x, a[0]);
	char *text;
	size_t n;
	int r = root_read(x->root, path, x->limits.file_bytes, &x->mem, &text, &n);

	if (r)
		nix_raise(x, FAULT_FILE, a[0]->pos, "%s: %s", path, strerror(-r));
	give_text(x, out, text, strlen(text));
}

static void prim_unknown(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	(void)out;
	nix_raise(x, FAULT_MISSING, a[0]->pos, "what is outside of this file is not known here");
}

static void prim_attr_pos(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	const struct nix_attr *f = get_attr(x, a[0], a[1]);
	struct nix_builder b = { .x = x };
	unsigned line, column;
	const struct nix_file *file = f ? nix_position(x, f->pos, &line, &column) : NULL;

	if (!file) {
		out->type = NIX_NULL;
		return;
	}
	nix_add(&b, "file", nix_string(x, file->name));
	nix_add(&b, "line", nix_integer(x, line));
	nix_add(&b, "column", nix_integer(x, column));
	*out = *nix_attrs(&b);
}

/* Of a set made of readers' facts (open): is the name there, and known? */
static void prim_known(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	nix_force(x, a[0]);
	give_bool(out, a[0]->type != NIX_UNKNOWN);
}

static void prim_why_unknown(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	const char *s;

	nix_force(x, a[0]);
	s = a[0]->type == NIX_UNKNOWN ? a[0]->reason : "";
	give_text(x, out, s, strlen(s));
}

void nix_primitives_core(struct nix_builder *b)
{
	static const struct nix_primitive all[] = {
		{ "isNull", 1, prim_is_null }, { "isBool", 1, prim_is_bool },
		{ "isInt", 1, prim_is_int }, { "isFloat", 1, prim_is_float },
		{ "isString", 1, prim_is_string }, { "isPath", 1, prim_is_path },
		{ "isList", 1, prim_is_list }, { "isAttrs", 1, prim_is_attrs },
		{ "isFunction", 1, prim_is_function }, { "typeOf", 1, prim_type_of },
		{ "throw", 1, prim_throw }, { "abort", 1, prim_abort },
		{ "tryEval", 1, prim_try_eval }, { "seq", 2, prim_seq },
		{ "deepSeq", 2, prim_deep_seq }, { "trace", 2, prim_trace },
		{ "addErrorContext", 2, prim_trace }, { "warn", 2, prim_trace },
		{ "add", 2, prim_add }, { "sub", 2, prim_sub }, { "mul", 2, prim_mul },
		{ "div", 2, prim_div }, { "lessThan", 2, prim_less_than },
		{ "bitAnd", 2, prim_bit_and }, { "bitOr", 2, prim_bit_or },
		{ "bitXor", 2, prim_bit_xor }, { "ceil", 1, prim_ceil }, { "floor", 1, prim_floor },
		{ "attrNames", 1, prim_attr_names }, { "attrValues", 1, prim_attr_values },
		{ "getAttr", 2, prim_get_attr }, { "hasAttr", 2, prim_has_attr },
		{ "removeAttrs", 2, prim_remove_attrs },
		{ "intersectAttrs", 2, prim_intersect_attrs },
		{ "listToAttrs", 1, prim_list_to_attrs }, { "mapAttrs", 2, prim_map_attrs },
		{ "catAttrs", 2, prim_cat_attrs }, { "functionArgs", 1, prim_function_args },
		{ "zipAttrsWith", 2, prim_zip_attrs_with },
		{ "unsafeGetAttrPos", 2, prim_attr_pos },
		{ "import", 1, prim_import }, { "pathExists", 1, prim_path_exists },
		{ "readFile", 1, prim_read_file }, { "getEnv", 1, prim_unknown },
		{ "readDir", 1, prim_unknown }, { "fetchTarball", 1, prim_unknown },
		{ "fetchGit", 1, prim_unknown }, { "fetchurl", 1, prim_unknown },
		{ "derivation", 1, prim_unknown }, { "getFlake", 1, prim_unknown },
		{ "placeholder", 1, prim_unknown }, { "hashString", 2, prim_unknown },
		{ "scopedImport", 2, prim_unknown }, { "storePath", 1, prim_unknown },
		{ "toFile", 2, prim_unknown }, { "fromTOML", 1, prim_unknown },
		{ "storboxKnown", 1, prim_known }, { "storboxWhyUnknown", 1, prim_why_unknown },
	};

	for (size_t i = 0; i < COUNT(all); i++) {
		struct nix_value *v = nix_new(b->x, NIX_PRIMITIVE);

		v->primitive = &all[i];
		nix_add(b, all[i].name, v);
	}
	nix_add(b, "currentSystem", nix_unknown(b->x, "the system it is built for"));
	nix_add(b, "currentTime", nix_unknown(b->x, "the time"));
	nix_add(b, "nixVersion", nix_string(b->x, "2.8.0"));
	nix_add(b, "langVersion", nix_integer(b->x, 6));
	nix_add(b, "storeDir", nix_string(b->x, "/nix/store"));
}
