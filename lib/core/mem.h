/* Memory: allocation that cannot fail, and an arena that owns all strings of one call. */
#ifndef CORE_MEM_H
#define CORE_MEM_H

#include "lib/core/cleanup.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define PRINTF(f, a) __attribute__((format(printf, f, a)))
#define NEVER_NULL __attribute__((returns_nonnull))

/* Out of memory ends the process: the one exception to "a library never exits". */
void *xmalloc(size_t size) NEVER_NULL;
void *xcalloc(size_t n, size_t size) NEVER_NULL; /* zeroed */
void *xrealloc(void *p, size_t n, size_t size) NEVER_NULL;
char *xstrdup(const char *s) NEVER_NULL;
char *xasprintf(const char *fmt, ...) PRINTF(1, 2) NEVER_NULL;

/* An arena frees everything at once; a zeroed struct is an empty arena. */
struct arena {
	struct arena_chunk *head;
};

void *arena_alloc(struct arena *a, size_t size) NEVER_NULL; /* zeroed, aligned for any type */
char *arena_str(struct arena *a, const char *s); /* NULL stays NULL */
char *arena_strn(struct arena *a, const char *s, size_t n);
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF(2, 3) NEVER_NULL;
char *arena_u64(struct arena *a, uint64_t v); /* "%llu", without the cost of a format */
char *arena_vprintf(struct arena *a, const char *fmt, va_list ap) PRINTF(2, 0);
void arena_free(struct arena *a); /* empties it; may be used again */
void arena_reset(struct arena *a); /* the same, but keeps room for as much again */
#define auto_arena auto_release(arena_free)

/*
 * A growing array: VEC(struct disk) disks = { 0 }; *vec_add(&v) = d; v.items[i], v.n.
 * Freed with vec_free(). vec_add() returns a zeroed new item, valid until the next vec_add().
 */
#define VEC(T)           \
	struct {         \
		T *items; \
		size_t n, cap; \
	}
#define vec_add(v)                                                                           \
	((v)->items = vec_grow((v)->items, (v)->n, &(v)->cap, sizeof *(v)->items), \
	 &(v)->items[(v)->n++])
#define vec_free(v) (free((v)->items), (v)->items = NULL, (v)->n = (v)->cap = 0)
void *vec_grow(void *items, size_t n, size_t *cap, size_t size) NEVER_NULL;

/* A NULL-terminated array of strings in an arena; *list may be NULL at first. */
void strlist_add(struct arena *a, const char ***list, const char *s);
size_t strlist_len(const char *const *list);
bool strlist_has(const char *const *list, const char *s);

static inline bool streq(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}
static inline bool starts_with(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}
bool ends_with(const char *s, const char *suffix);

#endif
