/*
 * Files below a root: "" or "/" is the running machine, another directory a recorded one
 * (--sysroot). With another root every path, through symbolic links too, stays below it
 * (openat2 RESOLVE_IN_ROOT). Paths are absolute: "/sys/block".
 */
#ifndef CORE_ROOT_H
#define CORE_ROOT_H

#include "lib/core/err.h"
#include "lib/core/mem.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>

struct root {
	const char *path; /* for messages: "" for the machine itself */
	int fd;		  /* O_PATH; -1 for the machine itself */
};

#define ROOT_MACHINE ((struct root){ .path = "", .fd = -1 })

int root_init(struct root *r, const char *path, struct err *e);
void root_done(struct root *r);
static inline bool root_is_machine(const struct root *r)
{
	return r->fd < 0;
}

/* An open file (O_CLOEXEC added), or -errno. */
int root_open(const struct root *r, const char *path, int flags);
int root_stat(const struct root *r, const char *path, struct stat *st);
bool root_exists(const struct root *r, const char *path);
/* A link's text, or NULL (errno set). */
char *root_readlink(const struct root *r, const char *path, struct arena *a);
/* The path with all its links resolved, as seen below the root, or NULL (errno set). */
char *root_realpath(const struct root *r, const char *path, struct arena *a);

/* A whole file, at most max bytes (-EFBIG beyond), NUL-terminated in the arena; length may be NULL.
 * Returns 0 or -errno; the caller words the error, for a missing file is often no error. */
int root_read(const struct root *r, const char *path, size_t max, struct arena *a, char **ret,
	      size_t *ret_length);
/* A small text file such as a sysfs attribute, without trailing white space; NULL on failure
 * (errno set). The path is a format. */
char *root_attr(const struct root *r, struct arena *a, const char *path_fmt, ...) PRINTF(3, 4);
/* An attribute that holds one unsigned number, decimal or 0x...; fallback when it cannot be read. */
uint64_t root_attr_u64(const struct root *r, uint64_t fallback, const char *path_fmt, ...)
	PRINTF(3, 4);
/* Names in a directory in version order (sda2 before sda10), without . and ..; -errno. */
int root_list(const struct root *r, const char *path, struct arena *a, const char ***ret);

#endif
