/* Nix values: memory, names, faults, positions, attribute sets, text, JSON (see nix.h). */
#include "applets/storadvise/nix.h"

#include "lib/core/sink.h"

#include <errno.h>
#include <inttypes.h>

/* Memory and bounds. */

void *nix_alloc(struct nix *x, size_t n)
{
	enum { BLOCK = 256 << 10 };
	void *p;

	n = (n + 7) & ~(size_t)7;
	x->memory_bytes += n;
	if (x->memory_bytes > x->limits.memory_bytes)
		nix_raise(x, FAULT_LIMIT, 0, "evaluation needs more than %zu MiB of memory",
			  x->limits.memory_bytes >> 20);
	if (n > BLOCK / 4)
		return arena_alloc(&x->mem, n);
	if (n > x->block_left) {
		x->block = arena_alloc(&x->mem, BLOCK);
		x->block_left = BLOCK;
	}
	p = x->block;
	x->block += n;
	x->block_left -= n;
	return p;
}

void *nix_grow(struct nix *x, void *items, size_t n, size_t *cap, size_t item_bytes)
{
	void *larger;

	if (items && n < *cap)
		return items;
	*cap = *cap ? *cap * 2 : item_bytes == 1 ? 32 : 4;
	larger = nix_alloc(x, *cap * item_bytes);
	if (n)
		memcpy(larger, items, n * item_bytes);
	return larger;
}

char *nix_strn(struct nix *x, const char *s, size_t n)
{
	char *p = nix_alloc(x, n + 1);

	if (n)
		memcpy(p, s, n);
	return p;
}

void nix_check_stack(struct nix *x)
{
	char here;

	/* The sanitizers may put locals elsewhere: a frame's address is on the real stack. */
	(void)here;
	if (x->stack_base - (uintptr_t)__builtin_frame_address(0) > x->stack_bytes)
		nix_raise(x, FAULT_LIMIT, 0, "nested too deeply (or an endless recursion)");
}

void nix_count(struct nix *x, uint64_t steps)
{
	x->steps += steps;
	if (x->steps > x->limits.steps)
		nix_raise(x, FAULT_LIMIT, 0, "evaluation takes more than %" PRIu64 " steps",
			  x->limits.steps);
}

/* Faults. */

void nix_raise(struct nix *x, enum nix_fault kind, uint32_t pos, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	x->fault.text = arena_vprintf(&x->mem, fmt, ap);
	va_end(ap);
	x->fault.kind = kind;
	x->fault.pos = pos;
	longjmp(*x->jump, 1);
}

void nix_raise_unknown(struct nix *x, const struct nix_value *v)
{
	x->fault.kind = v->fault;
	x->fault.pos = v->pos;
	x->fault.text = v->reason;
	longjmp(*x->jump, 1);
}

int nix_protect(struct nix *x, void (*fn)(struct nix *x, void *arg), void *arg, struct err *e)
{
	jmp_buf *outer = x->jump, mine;
	uintptr_t base = x->stack_base;
	const struct nix_file *f;
	unsigned line, column;

	if (!outer)
		x->stack_base = (uintptr_t)__builtin_frame_address(0);
	if (!setjmp(mine)) {
		x->jump = &mine;
		fn(x, arg);
		x->jump = outer;
		x->stack_base = base;
		return 0;
	}
	x->jump = outer;
	x->stack_base = base;
	f = nix_position(x, x->fault.pos, &line, &column);
	if (!f)
		return err_make(e, ERR_FAILED, -EBADMSG, NULL, NULL, "%s", x->fault.text);
	return err_make(e, ERR_FAILED, -EBADMSG, f->name, NULL, "line %u, column %u: %s: `%.200s`",
			line, column, x->fault.text, nix_line(x, x->fault.pos));
}

/* Names. */

static uint32_t hash(const char *s, size_t n)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)s[i]) * 16777619u;
	return h;
}

const struct nix_symbol *nix_symbol(struct nix *x, const char *s, size_t n)
{
	uint32_t h = hash(s, n);
	struct nix_symbol *sym;
	const struct nix_symbol **slot;

	if (x->symbols_n >= x->symbols_cap) {
		uint32_t cap = x->symbols_cap ? x->symbols_cap * 4 : 1024;
		const struct nix_symbol **larger = xcalloc(cap, sizeof *larger);

		for (uint32_t i = 0; i < x->symbols_cap; i++)
			for (const struct nix_symbol *p = x->symbols[i], *then; p; p = then) {
				then = p->next;
				((struct nix_symbol *)(uintptr_t)p)->next = larger[p->hash % cap];
				larger[p->hash % cap] = p;
			}
		free(x->symbols);
		x->symbols = larger;
		x->symbols_cap = cap;
	}
	slot = &x->symbols[h % x->symbols_cap];
	for (const struct nix_symbol *p = *slot; p; p = p->next)
		if (p->hash == h && p->n == n && !memcmp(p->name, s, n))
			return p;
	sym = nix_alloc(x, sizeof *sym + n + 1);
	sym->hash = h;
	sym->n = (uint32_t)n;
	memcpy(sym->name, s, n);
	sym->next = *slot;
	*slot = sym;
	x->symbols_n++;
	return sym;
}

/* Files and positions. */

struct nix_file *nix_load(struct nix *x, const char *name, const char *text, size_t n)
{
	struct nix_file *f;

	x->files = vec_grow(x->files, x->files_n, &x->files_cap, sizeof *x->files);
	f = &x->files[x->files_n++];
	*f = (struct nix_file){ .name = nix_strn(x, name, strlen(name)), .text = text, .n = n,
				.base = x->next_base };
	x->next_base += (uint32_t)n + 1;
	return f;
}

const struct nix_file *nix_position(struct nix *x, uint32_t pos, unsigned *line, unsigned *column)
{
	for (size_t i = 0; pos && i < x->files_n; i++) {
		const struct nix_file *f = &x->files[i];
		const char *start = f->text, *at, *newline;

		if (pos < f->base || pos > f->base + f->n)
			continue;
		at = f->text + (pos - f->base);
		for (*line = 1; (newline = memchr(start, '\n', (size_t)(at - start))); (*line)++)
			start = newline + 1;
		*column = (unsigned)(at - start) + 1;
		return f;
	}
	return NULL;
}

const char *nix_line(struct nix *x, uint32_t pos)
{
	unsigned line, column;
	const struct nix_file *f = nix_position(x, pos, &line, &column);
	const char *start, *end;

	if (!f)
		return "";
	start = f->text + (pos - f->base) - (column - 1);
	end = memchr(start, '\n', (size_t)(f->text + f->n - start));
	return arena_strn(&x->mem, start,
			  (size_t)((end ? end : f->text + f->n) - start));
}

const char *nix_place(struct nix *x, uint32_t pos)
{
	unsigned line, column;
	const struct nix_file *f = nix_position(x, pos, &line, &column);

	return f ? arena_printf(&x->mem, "%s:%u:%u", f->name, line, column) : "";
}

/* Sets. */

struct nix_attrs *nix_attrs_alloc(struct nix *x, size_t n)
{
	return nix_alloc(x, sizeof(struct nix_attrs) + n * sizeof(struct nix_attr));
}

static int by_address(const void *pa, const void *pb)
{
	const struct nix_attr *a = pa, *b = pb;

	return (uintptr_t)a->name < (uintptr_t)b->name ? -1 : (uintptr_t)a->name >
								      (uintptr_t)b->name;
}

void nix_attrs_sort(struct nix_attrs *a)
{
	if (a->n > 1)
		qsort(a->items, a->n, sizeof *a->items, by_address);
}

const struct nix_attr *nix_find(const struct nix_attrs *a, const struct nix_symbol *name)
{
	uint32_t low = 0, high = a->n;

	while (low < high) {
		uint32_t mid = (low + high) / 2;

		if (a->items[mid].name == name)
			return &a->items[mid];
		if ((uintptr_t)a->items[mid].name < (uintptr_t)name)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

static int by_name(const void *pa, const void *pb)
{
	const struct nix_attr *const *a = pa, *const *b = pb;

	return strcmp((*a)->name->name, (*b)->name->name);
}

const struct nix_attr **nix_by_name(struct nix *x, const struct nix_attrs *a)
{
	const struct nix_attr **r = nix_alloc(x, (a->n + 1) * sizeof(void *));

	for (uint32_t i = 0; i < a->n; i++)
		r[i] = &a->items[i];
	if (a->n > 1)
		qsort(r, a->n, sizeof *r, by_name);
	return r;
}

void nix_add(struct nix_builder *b, const char *name, struct nix_value *v)
{
	if (b->n == b->cap) {
		size_t cap = b->cap;

		b->items = nix_grow(b->x, b->items, b->n, &cap, sizeof *b->items);
		b->cap = (uint32_t)cap;
	}
	b->items[b->n++] = (struct nix_attr){ nix_symbol(b->x, name, strlen(name)), v, v->pos };
}

struct nix_value *nix_attrs(struct nix_builder *b)
{
	struct nix_value *v = nix_new(b->x, NIX_ATTRS);
	struct nix_attrs *a = nix_attrs_alloc(b->x, b->n);

	a->n = b->n;
	if (b->n)
		memcpy(a->items, b->items, b->n * sizeof *a->items);
	nix_attrs_sort(a);
	v->attrs = a;
	return v;
}

/* Values. */

struct nix_value *nix_new(struct nix *x, enum nix_type type)
{
	struct nix_value *v = nix_alloc(x, sizeof *v);

	v->type = (uint8_t)type;
	return v;
}

struct nix_value *nix_string(struct nix *x, const char *s)
{
	struct nix_value *v = nix_new(x, NIX_STRING);

	v->length = (uint32_t)strlen(s);
	v->text = nix_strn(x, s, v->length);
	return v;
}

struct nix_value *nix_integer(struct nix *x, int64_t i)
{
	struct nix_value *v = nix_new(x, NIX_INT);

	v->integer = i;
	return v;
}

struct nix_value *nix_unknown(struct nix *x, const char *reason)
{
	struct nix_value *v = nix_new(x, NIX_UNKNOWN);

	v->fault = FAULT_MISSING;
	v->reason = reason;
	return v;
}

struct nix_value *nix_list(struct nix *x, struct nix_value **items, size_t n)
{
	struct nix_value *v = nix_new(x, NIX_LIST);

	v->items = items;
	v->n = (uint32_t)n;
	return v;
}

struct nix_value *nix_from_json(struct nix *x, const struct json *j, uint32_t pos)
{
	struct nix_value *v = nix_new(x, NIX_NULL);
	struct nix_builder b = { .x = x };
	size_t n = json_length(j);

	nix_check_stack(x);
	switch (json_kind(j)) {
	case JSON_NULL:
		break;
	case JSON_BOOL:
		v->type = NIX_BOOL;
		json_as_bool(j, &v->boolean);
		break;
	case JSON_INTEGER:
		v->type = NIX_INT;
		if (json_as_i64(j, &v->integer)) {
			v->type = NIX_FLOAT;
			json_as_double(j, &v->real);
		}
		break;
	case JSON_DOUBLE:
		v->type = NIX_FLOAT;
		json_as_double(j, &v->real);
		break;
	case JSON_STRING:
		v = nix_string(x, json_string(j));
		break;
	case JSON_ARRAY:
		v->type = NIX_LIST;
		v->n = (uint32_t)n;
		v->items = nix_alloc(x, (n + 1) * sizeof *v->items);
		for (size_t i = 0; i < n; i++)
			v->items[i] = nix_from_json(x, json_at(j, i), pos);
		break;
	case JSON_OBJECT:
		for (struct json_member m = { 0 }; json_next(j, &m);)
			nix_add(&b, m.key, nix_from_json(x, m.value, pos));
		v = nix_attrs(&b);
		break;
	}
	v->pos = pos;
	return v;
}

const char *nix_type_name(const struct nix_value *v)
{
	static const char *const names[] = { "null", "a Boolean", "an integer", "a float",
					     "a string", "a path", "a list", "a set", "a function",
					     "a built-in function",
					     "a partially applied built-in function", "unknown",
					     "a thunk", "a thunk", "a thunk" };

	return names[v->type];
}

char *nix_canonical(struct nix *x, const char *path)
{
	char *r = nix_alloc(x, strlen(path) + 2);
	bool absolute = *path == '/';
	size_t n = 0, fixed = 0; /* fixed: leading ../ of a relative path */

	if (absolute)
		r[n++] = '/';
	fixed = n;
	while (*path) {
		size_t k = strcspn(path, "/");

		if (k == 2 && !memcmp(path, "..", 2)) {
			if (n > fixed) {
				n--;
				while (n > fixed && r[n - 1] != '/')
					n--;
				if (n > fixed)
					n--;
				else if (!absolute)
					n = fixed;
			} else if (!absolute) {
				if (n)
					r[n++] = '/';
				memcpy(r + n, "..", 2);
				n += 2;
				fixed = n;
			}
		} else if (k && !(k == 1 && *path == '.')) {
			if (n && r[n - 1] != '/')
				r[n++] = '/';
			memcpy(r + n, path, k);
			n += k;
		}
		path += k;
		while (*path == '/')
			path++;
	}
	if (!n)
		r[n++] = '.';
	r[n] = '\0';
	return r;
}

/* Text. */

static const char *coerce_list(struct nix *x, struct nix_value *v, uint32_t pos, size_t *ret_n)
{
	char *text = NULL;
	size_t n = 0, cap = 0;

	for (uint32_t i = 0; i < v->n; i++) {
		size_t k;
		const char *s = nix_coerce(x, v->items[i], true, pos, &k);

		while (!text || cap - n < k + 2)
			text = nix_grow(x, text, text ? cap : 0, &cap, 1);
		memcpy(text + n, s, k);
		n += k;
		/* An empty list adds no space, as in libexpr. */
		if (i + 1 < v->n && !(v->items[i]->type == NIX_LIST && !v->items[i]->n))
			text[n++] = ' ';
	}
	if (text)
		text[n] = '\0';
	*ret_n = n;
	return text ? text : "";
}

const char *nix_coerce(struct nix *x, struct nix_value *v, bool all, uint32_t pos, size_t *ret_n)
{
	const struct nix_attr *a;
	struct nix_value r = { .pos = pos };
	char buf[352]; /* %f of the largest double */

	nix_check_stack(x);
	nix_force(x, v);
	switch (v->type) {
	case NIX_STRING:
		*ret_n = v->length;
		return v->text;
	case NIX_PATH:
		if (!all)
			nix_raise(x, FAULT_MISSING, pos,
				  "a path in a string is its place in the Nix store");
		*ret_n = v->length;
		return v->text;
	case NIX_UNKNOWN:
		nix_raise_unknown(x, v);
	case NIX_ATTRS:
		a = nix_find(v->attrs, nix_symbol(x, "__toString", 10));
		if (a) {
			nix_call(x, a->value, v, &r);
			return nix_coerce(x, &r, all, pos, ret_n);
		}
		a = nix_find(v->attrs, nix_symbol(x, "outPath", 7));
		if (a)
			return nix_coerce(x, a->value, all, pos, ret_n);
		if (v->attrs->open)
			nix_raise(x, FAULT_MISSING, pos, "a set that is not known here");
		break;
	case NIX_NULL:
	case NIX_BOOL:
		if (all) {
			const char *s = v->type == NIX_BOOL && v->boolean ? "1" : "";

			*ret_n = strlen(s);
			return s;
		}
		break;
	case NIX_INT:
	case NIX_FLOAT:
		if (!all)
			break;
		if (v->type == NIX_INT)
			snprintf(buf, sizeof buf, "%" PRId64, v->integer);
		else
			snprintf(buf, sizeof buf, "%f", v->real);
		*ret_n = strlen(buf);
		return nix_strn(x, buf, *ret_n);
	case NIX_LIST:
		if (all)
			return coerce_list(x, v, pos, ret_n);
		break;
	}
	nix_raise(x, FAULT_TYPE, pos ? pos : v->pos, "cannot coerce %s to a string",
		  nix_type_name(v));
}

/* JSON. */

static void json_text(FILE *out, const char *s)
{
	putc('"', out);
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < 0x20)
			fprintf(out, "\\u%04x", c);
		else
			putc(c, out);
	}
	putc('"', out);
}

static void json_attrs(struct nix *x, struct nix_value *v, FILE *out)
{
	const struct nix_attr **order, *a;
	const char *s;
	size_t n;

	if (nix_find(v->attrs, nix_symbol(x, "__toString", 10))) {
		s = nix_coerce(x, v, false, v->pos, &n);
		json_text(out, s);
		return;
	}
	a = nix_find(v->attrs, nix_symbol(x, "outPath", 7));
	if (a) {
		nix_json_value(x, a->value, out);
		return;
	}
	order = nix_by_name(x, v->attrs);
	putc('{', out);
	for (uint32_t i = 0; i < v->attrs->n; i++) {
		if (i)
			putc(',', out);
		json_text(out, order[i]->name->name);
		putc(':', out);
		nix_json_value(x, order[i]->value, out);
	}
	putc('}', out);
}

void nix_json_value(struct nix *x, struct nix_value *v, FILE *out)
{
	nix_check_stack(x);
	nix_count(x, 1);
	nix_force(x, v);
	switch (v->type) {
	case NIX_NULL:
		fputs("null", out);
		break;
	case NIX_BOOL:
		fputs(v->boolean ? "true" : "false", out);
		break;
	case NIX_INT:
		fprintf(out, "%" PRId64, v->integer);
		break;
	case NIX_FLOAT:
		if (isfinite(v->real))
			fprintf(out, "%.15g", v->real);
		else
			fputs("null", out);
		break;
	case NIX_STRING:
		json_text(out, v->text);
		break;
	case NIX_PATH:
		nix_raise(x, FAULT_MISSING, v->pos, "a path in JSON is its place in the Nix store");
	case NIX_LIST:
		putc('[', out);
		for (uint32_t i = 0; i < v->n; i++) {
			if (i)
				putc(',', out);
			nix_json_value(x, v->items[i], out);
		}
		putc(']', out);
		break;
	case NIX_ATTRS:
		json_attrs(x, v, out);
		break;
	case NIX_UNKNOWN:
		nix_raise_unknown(x, v);
	default:
		nix_raise(x, FAULT_TYPE, v->pos, "cannot convert %s to JSON", nix_type_name(v));
	}
}

struct to_json {
	struct nix_value *v;
	FILE *out;
};

static void to_json(struct nix *x, void *arg)
{
	struct to_json *t = arg;

	nix_json_value(x, t->v, t->out);
}

int nix_to_json(struct nix *x, struct nix_value *v, FILE *out, struct err *e)
{
	return nix_protect(x, to_json, &(struct to_json){ v, out }, e);
}

/* Readers that do not raise. */

static void look(struct nix *x, void *arg)
{
	nix_force(x, arg);
}

enum nix_type nix_look(struct nix *x, struct nix_value *v)
{
	struct err e = { 0 };

	if (!v)
		return NIX_UNKNOWN;
	if (v->type >= NIX_THUNK && nix_protect(x, look, v, &e)) {
		v->type = NIX_UNKNOWN;
		v->fault = (uint8_t)x->fault.kind;
		v->reason = x->fault.text;
	}
	return v->type;
}

struct nix_value *nix_get(struct nix *x, struct nix_value *attrs, const char *name)
{
	const struct nix_attr *a;

	if (nix_look(x, attrs) != NIX_ATTRS)
		return NULL;
	a = nix_find(attrs->attrs, nix_symbol(x, name, strlen(name)));
	return a ? a->value : NULL;
}

const char *nix_text(struct nix *x, struct nix_value *v)
{
	return nix_look(x, v) == NIX_STRING ? v->text : NULL;
}

struct auto_call {
	struct nix_value *v, *r;
};

static void auto_call(struct nix *x, void *arg)
{
	struct auto_call *c = arg;
	struct nix_builder b = { .x = x };
	struct nix_value *args, *pkgs;
	struct nix_attrs *open;

	nix_add(&b, "lib", x->lib);
	pkgs = nix_attrs(&b);
	open = nix_attrs_alloc(x, 1);
	*open = (struct nix_attrs){ .n = 1, .open = true };
	open->items[0] = pkgs->attrs->items[0];
	pkgs->attrs = open;
	nix_add(&b, "pkgs", pkgs);
	args = nix_attrs(&b);
	((struct nix_attrs *)(uintptr_t)args->attrs)->open = true;
	c->r = nix_lazy_call(x, c->v, args);
	nix_force(x, c->r);
}

int nix_auto_call(struct nix *x, struct nix_value *v, struct nix_value **ret, struct err *e)
{
	struct auto_call c = { .v = v };
	int r = nix_protect(x, auto_call, &c, e);

	if (!r)
		*ret = c.r;
	return r;
}
