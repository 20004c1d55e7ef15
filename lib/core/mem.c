/* Memory: see mem.h. */
#include "lib/core/mem.h"

#include <stdalign.h>
#include <stdint.h>

static void out_of_memory(void)
{
	static const char msg[] = "storbox: out of memory\n";

	/* Nothing can be freed or reported in order here. */
	if (write(2, msg, sizeof msg - 1) < 0)
		_exit(1);
	_exit(1);
}

void *xmalloc(size_t size)
{
	void *p = malloc(size ? size : 1);

	if (!p)
		out_of_memory();
	return p;
}

void *xcalloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size ? size : 1);

	if (!p)
		out_of_memory();
	return p;
}

void *xrealloc(void *p, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		out_of_memory();
	p = realloc(p, bytes ? bytes : 1);
	if (!p)
		out_of_memory();
	return p;
}

char *xstrdup(const char *s)
{
	size_t n = strlen(s) + 1;

	return memcpy(xmalloc(n), s, n);
}

char *xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0)
		out_of_memory();
	return s;
}

struct arena_chunk {
	struct arena_chunk *next;
	size_t used, size;
	alignas(max_align_t) unsigned char data[];
};

enum { CHUNK_BYTES = 8192 - sizeof(struct arena_chunk), CHUNK_MOST = 1 << 18 };

/* Each is twice the one before, so that much data takes few of them and little data little memory. */
static size_t next_chunk_bytes(const struct arena *a)
{
	size_t twice = a->head ? 2 * a->head->size : CHUNK_BYTES;

	return twice < CHUNK_BYTES ? CHUNK_BYTES : twice > CHUNK_MOST ? CHUNK_MOST : twice;
}

void *arena_alloc(struct arena *a, size_t size)
{
	struct arena_chunk *c = a->head;
	size_t need = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	void *p;

	if (need < size)
		out_of_memory();
	if (!c || c->size - c->used < need) {
		size_t room = next_chunk_bytes(a);

		room = need > room / 4 ? need : room;
		c = xcalloc(1, sizeof *c + room);
		c->size = room;
		if (room == need && a->head) { /* a large one goes behind the chunk in use */
			c->next = a->head->next;
			a->head->next = c;
		} else {
			c->next = a->head;
			a->head = c;
		}
	}
	p = c->data + c->used;
	c->used += need;
	return p;
}

char *arena_strn(struct arena *a, const char *s, size_t n)
{
	char *p = arena_alloc(a, n + 1);

	memcpy(p, s, n);
	return p;
}

char *arena_str(struct arena *a, const char *s)
{
	return s ? arena_strn(a, s, strlen(s)) : NULL;
}

char *arena_u64(struct arena *a, uint64_t v)
{
	char buf[20], *p = buf + sizeof buf;

	do
		*--p = (char)('0' + v % 10);
	while (v /= 10);
	return arena_strn(a, p, (size_t)(buf + sizeof buf - p));
}

char *arena_vprintf(struct arena *a, const char *fmt, va_list ap)
{
	char small[256], *p;
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(small, sizeof small, fmt, again);
	va_end(again);
	if (n < 0)
		out_of_memory();
	if ((size_t)n < sizeof small)
		return arena_strn(a, small, (size_t)n);
	p = arena_alloc(a, (size_t)n + 1);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	return p;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *p;

	va_start(ap, fmt);
	p = arena_vprintf(a, fmt, ap);
	va_end(ap);
	return p;
}

void arena_free(struct arena *a)
{
	while (a->head) {
		struct arena_chunk *c = a->head;

		a->head = c->next;
		free(c);
	}
}

void arena_reset(struct arena *a)
{
	struct arena_chunk *keep = a->head;
	size_t used = 0;

	if (!keep)
		return;
	for (struct arena_chunk *c = keep; c; c = c->next)
		used += c->used;
	if (keep->next) {
		arena_free(a);
		used += used / 4;
		used = used > CHUNK_BYTES ? used : CHUNK_BYTES;
		keep = xcalloc(1, sizeof *keep + used);
		keep->size = used;
	} else {
		memset(keep->data, 0, keep->used); /* what an arena gives is zeroed */
		keep->used = 0;
	}
	a->head = keep;
}

void *vec_grow(void *items, size_t n, size_t *cap, size_t size)
{
	if (n == *cap) {
		*cap = *cap ? *cap * 2 : 8;
		items = xrealloc(items, *cap, size);
	}
	memset((char *)items + n * size, 0, size);
	return items;
}

size_t strlist_len(const char *const *list)
{
	size_t n = 0;

	while (list && list[n])
		n++;
	return n;
}

/* The array has room for 2^k - 1 items and doubles when it is full. */
void strlist_add(struct arena *a, const char ***list, const char *s)
{
	size_t n = strlist_len(*list);

	if (!*list || (n && !((n + 1) & n))) {
		const char **bigger = arena_alloc(a, (2 * n + 2) * sizeof *bigger);

		if (n)
			memcpy(bigger, *list, n * sizeof *bigger);
		*list = bigger;
	}
	(*list)[n] = s;
	(*list)[n + 1] = NULL;
}

bool strlist_has(const char *const *list, const char *s)
{
	for (; list && *list; list++)
		if (!strcmp(*list, s))
			return true;
	return false;
}

bool ends_with(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && !strcmp(s + n - m, suffix);
}
