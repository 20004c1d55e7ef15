/* Nix's built-in functions on lists (see nix.h). */
#include "applets/storadvise/nix.h"

static struct nix_value *list(struct nix *x, struct nix_value *v)
{
	nix_want(x, v, NIX_LIST, 0);
	return v;
}

static void make(struct nix *x, struct nix_value *out, size_t n)
{
	if (n > x->limits.list_items)
		nix_raise(x, FAULT_LIMIT, out->pos, "a list of more than %zu elements",
			  x->limits.list_items);
	out->type = NIX_LIST;
	out->items = nix_alloc(x, (n + 1) * sizeof *out->items);
	out->n = (uint32_t)n;
}

static bool truth(struct nix *x, struct nix_value *f, struct nix_value *v)
{
	struct nix_value r = { 0 };

	nix_call(x, f, v, &r);
	nix_want(x, &r, NIX_BOOL, v->pos);
	return r.boolean;
}

static void set_bool(struct nix_value *out, bool b)
{
	out->type = NIX_BOOL;
	out->boolean = b;
}

static void prim_length(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	out->integer = list(x, a[0])->n;
	out->type = NIX_INT;
}

static void element(struct nix *x, struct nix_value *l, int64_t i, struct nix_value *out)
{
	if (i < 0 || i >= list(x, l)->n)
		nix_raise(x, FAULT_TYPE, l->pos, "list index %lld is out of bounds", (long long)i);
	nix_force(x, l->items[i]);
	*out = *l->items[i];
}

static void prim_head(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	element(x, a[0], 0, out);
}

static void prim_elem_at(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	list(x, a[0]);
	nix_want(x, a[1], NIX_INT, 0);
	element(x, a[0], a[1]->integer, out);
}

static void prim_tail(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	if (!list(x, a[0])->n)
		nix_raise(x, FAULT_TYPE, a[0]->pos, "'tail' called on an empty list");
	out->type = NIX_LIST;
	out->items = a[0]->items + 1;
	out->n = a[0]->n - 1;
}

static void prim_map(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	make(x, out, list(x, a[1])->n);
	for (uint32_t i = 0; i < out->n; i++)
		out->items[i] = nix_lazy_call(x, a[0], a[1]->items[i]);
}

static void prim_filter(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	struct nix_value r = { .pos = out->pos };
	uint32_t n = 0;

	make(x, &r, list(x, a[1])->n);
	for (uint32_t i = 0; i < a[1]->n; i++)
		if (truth(x, a[0], a[1]->items[i]))
			r.items[n++] = a[1]->items[i];
	r.n = n;
	*out = r;
}

static void prim_partition(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	struct nix_value *right = nix_new(x, NIX_LIST), *wrong = nix_new(x, NIX_LIST);
	struct nix_builder b = { .x = x };

	make(x, right, list(x, a[1])->n);
	make(x, wrong, a[1]->n);
	right->n = wrong->n = 0;
	for (uint32_t i = 0; i < a[1]->n; i++) {
		struct nix_value *to = truth(x, a[0], a[1]->items[i]) ? right : wrong;

		to->items[to->n++] = a[1]->items[i];
	}
	nix_add(&b, "right", right);
	nix_add(&b, "wrong", wrong);
	*out = *nix_attrs(&b);
}

static void prim_group_by(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	struct nix_builder b = { .x = x };

	list(x, a[1]);
	for (uint32_t i = 0; i < a[1]->n; i++) {
		struct nix_value name = { 0 }, *v;
		uint32_t j = 0;
		size_t cap;

		nix_call(x, a[0], a[1]->items[i], &name);
		nix_want(x, &name, NIX_STRING, 0);
		while (j < b.n && strcmp(b.items[j].name->name, name.text))
			j++;
		nix_count(x, b.n);
		if (j == b.n)
			nix_add(&b, name.text, nix_new(x, NIX_LIST));
		v = b.items[j].value;
		/* Room grows at powers of two. */
		cap = v->n;
		if (!(v->n & (v->n - 1))) {
			struct nix_value **larger = nix_alloc(x, (cap ? cap * 2 : 1) *
									 sizeof *larger);

			if (cap)
				memcpy(larger, v->items, cap * sizeof *larger);
			v->items = larger;
		}
		v->items[v->n++] = a[1]->items[i];
	}
	*out = *nix_attrs(&b);
}

static void prim_fold(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	struct nix_value *acc = a[1];

	list(x, a[2]);
	for (uint32_t i = 0; i < a[2]->n; i++) {
		struct nix_value partial = { 0 }, *next = nix_new(x, NIX_NULL);

		nix_call(x, a[0], acc, &partial);
		nix_call(x, &partial, a[2]->items[i], next);
		acc = next;
	}
	nix_force(x, acc);
	*out = *acc;
}

static void prim_all(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	uint32_t i = 0;

	for (list(x, a[1]); i < a[1]->n && truth(x, a[0], a[1]->items[i]);)
		i++;
	set_bool(out, i == a[1]->n);
}

static void prim_any(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	uint32_t i = 0;

	for (list(x, a[1]); i < a[1]->n && !truth(x, a[0], a[1]->items[i]);)
		i++;
	set_bool(out, i < a[1]->n);
}

static void prim_elem(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	uint32_t i = 0;

	for (list(x, a[1]); i < a[1]->n && !nix_equal(x, a[0], a[1]->items[i]);)
		i++;
	set_bool(out, i < a[1]->n);
}

static void join(struct nix *x, struct nix_value **lists, uint32_t n, struct nix_value *out)
{
	struct nix_value r = { .pos = out->pos };
	size_t total = 0;

	for (uint32_t i = 0; i < n; i++)
		total += list(x, lists[i])->n;
	make(x, &r, total);
	r.n = 0;
	for (uint32_t i = 0; i < n; i++) {
		if (lists[i]->n)
			memcpy(r.items + r.n, lists[i]->items, lists[i]->n * sizeof *r.items);
		r.n += lists[i]->n;
	}
	*out = r;
}

static void prim_concat_lists(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	list(x, a[0]);
	join(x, a[0]->items, a[0]->n, out);
}

static void prim_concat_map(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	struct nix_value mapped = { 0 };

	prim_map(x, a, &mapped);
	join(x, mapped.items, mapped.n, out);
}

static void prim_gen_list(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	nix_want(x, a[1], NIX_INT, 0);
	if (a[1]->integer < 0)
		nix_raise(x, FAULT_TYPE, a[1]->pos, "cannot create a list of negative size");
	make(x, out, (size_t)a[1]->integer);
	for (uint32_t i = 0; i < out->n; i++)
		out->items[i] = nix_lazy_call(x, a[0], nix_integer(x, i));
}

static bool before(struct nix *x, struct nix_value *less, struct nix_value *p, struct nix_value *q)
{
	struct nix_value partial = { 0 };

	nix_call(x, less, p, &partial);
	return truth(x, &partial, q);
}

/* A stable merge sort, as libexpr's is stable. */
static void merge_sort(struct nix *x, struct nix_value *less, struct nix_value **v,
		       struct nix_value **spare, size_t n)
{
	size_t half = n / 2, i = 0, j = half, k = 0;

	if (n < 2)
		return;
	merge_sort(x, less, v, spare, half);
	merge_sort(x, less, v + half, spare, n - half);
	while (i < half && j < n)
		spare[k++] = before(x, less, v[j], v[i]) ? v[j++] : v[i++];
	while (i < half)
		spare[k++] = v[i++];
	while (j < n)
		spare[k++] = v[j++];
	memcpy(v, spare, n * sizeof *v);
}

static void prim_sort(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	struct nix_value r = { .pos = out->pos };

	make(x, &r, list(x, a[1])->n);
	if (r.n)
		memcpy(r.items, a[1]->items, r.n * sizeof *r.items);
	merge_sort(x, a[0], r.items, nix_alloc(x, (r.n + 1) * sizeof *r.items), r.n);
	*out = r;
}

static void prim_generic_closure(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	struct nix_value *start, *operator, **found = NULL, **keys = NULL;
	size_t n = 0, cap = 0, keys_cap = 0, done = 0;

	nix_want(x, a[0], NIX_ATTRS, 0);
	start = nix_get(x, a[0], "startSet");
	operator = nix_get(x, a[0], "operator");
	if (!start || !operator)
		nix_raise(x, FAULT_TYPE, a[0]->pos, "'startSet' and 'operator' are needed");
	for (struct nix_value *more = list(x, start);;) {
		struct nix_value *r;

		for (uint32_t i = 0; i < more->n; i++) {
			struct nix_value *key;
			size_t j = 0;

			nix_want(x, more->items[i], NIX_ATTRS, 0);
			key = nix_get(x, more->items[i], "key");
			if (!key)
				nix_raise(x, FAULT_TYPE, a[0]->pos, "attribute 'key' missing");
			while (j < n && !nix_equal(x, keys[j], key))
				j++;
			if (j < n)
				continue;
			found = nix_grow(x, found, n, &cap, sizeof *found);
			keys = nix_grow(x, keys, n, &keys_cap, sizeof *keys);
			found[n] = more->items[i];
			keys[n++] = key;
		}
		if (done == n)
			break;
		r = nix_new(x, NIX_NULL);
		nix_call(x, operator, found[done++], r);
		more = list(x, r);
	}
	make(x, out, n);
	if (n)
		memcpy(out->items, found, n * sizeof *found);
}

void nix_primitives_lists(struct nix_builder *b)
{
	static const struct nix_primitive all[] = {
		{ "length", 1, prim_length }, { "head", 1, prim_head }, { "tail", 1, prim_tail },
		{ "elemAt", 2, prim_elem_at }, { "map", 2, prim_map },
		{ "filter", 2, prim_filter }, { "partition", 2, prim_partition },
		{ "groupBy", 2, prim_group_by }, { "foldl'", 3, prim_fold },
		{ "all", 2, prim_all }, { "any", 2, prim_any }, { "elem", 2, prim_elem },
		{ "concatLists", 1, prim_concat_lists }, { "concatMap", 2, prim_concat_map },
		{ "genList", 2, prim_gen_list }, { "sort", 2, prim_sort },
		{ "genericClosure", 1, prim_generic_closure },
	};

	for (size_t i = 0; i < COUNT(all); i++) {
		struct nix_value *v = nix_new(b->x, NIX_PRIMITIVE);

		v->primitive = &all[i];
		nix_add(b, all[i].name, v);
	}
}
