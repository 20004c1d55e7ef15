/* Scope-bound release for C17: declare with auto_*, hand ownership out with take(). */
#ifndef CORE_CLEANUP_H
#define CORE_CLEANUP_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define auto_release(fn) __attribute__((cleanup(fn)))
#define auto_free auto_release(release_mem)
#define auto_close auto_release(release_fd) /* int fd = -1 */
#define auto_fclose auto_release(release_file)
#define auto_closedir auto_release(release_dir)

static inline void release_mem(void *p)
{
	free(*(void **)p);
}
static inline void release_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
static inline void release_file(FILE **f)
{
	if (*f)
		fclose(*f);
}
static inline void release_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

#define take(p)                          \
	({                               \
		__typeof__(p) take_ = (p); \
		(p) = NULL;              \
		take_;                   \
	})
static inline int take_fd(int *fd)
{
	int f = *fd;

	*fd = -1;
	return f;
}

#endif
