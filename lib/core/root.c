/* Files below a root: see root.h. */
#include "lib/core/root.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

int root_init(struct root *r, const char *path, struct err *e)
{
	*r = ROOT_MACHINE;
	if (!path || !*path || streq(path, "/"))
		return 0;
	r->fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (r->fd < 0)
		return err_make(e, ERR_USAGE, -errno, "--sysroot", "give a directory", "%s: %s", path,
				strerror(errno));
	r->path = path;
	return 0;
}

void root_done(struct root *r)
{
	if (r->fd >= 0)
		close(r->fd);
	*r = ROOT_MACHINE;
}

int root_open(const struct root *r, const char *path, int flags)
{
	struct open_how how = { .flags = (uint64_t)flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	long fd;

	if (root_is_machine(r))
		fd = open(path, flags | O_CLOEXEC);
	else
		fd = syscall(SYS_openat2, r->fd, path, &how, sizeof how);
	return fd < 0 ? -errno : (int)fd;
}

int root_stat(const struct root *r, const char *path, struct stat *st)
{
	auto_close int fd = root_open(r, path, O_PATH);

	if (fd < 0)
		return fd;
	return fstat(fd, st) ? -errno : 0;
}

bool root_exists(const struct root *r, const char *path)
{
	struct stat st;

	return !root_stat(r, path, &st);
}

static char *fd_readlinkat(int fd, const char *name, struct arena *a)
{
	char buf[4096];
	ssize_t n = readlinkat(fd, name, buf, sizeof buf);

	return n < 0 ? NULL : arena_strn(a, buf, (size_t)n);
}

char *root_readlink(const struct root *r, const char *path, struct arena *a)
{
	auto_close int fd = root_open(r, path, O_PATH | O_NOFOLLOW);

	if (fd < 0) {
		errno = -fd;
		return NULL;
	}
	return fd_readlinkat(fd, "", a);
}

char *root_realpath(const struct root *r, const char *path, struct arena *a)
{
	auto_close int fd = root_open(r, path, O_PATH);
	char link[40], *real, *top;

	if (fd < 0) {
		errno = -fd;
		return NULL;
	}
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	real = fd_readlinkat(AT_FDCWD, link, a);
	if (!real || root_is_machine(r))
		return real;
	snprintf(link, sizeof link, "/proc/self/fd/%d", r->fd);
	top = fd_readlinkat(AT_FDCWD, link, a);
	if (!top || !starts_with(real, top)) {
		errno = EXDEV;
		return NULL;
	}
	real += strlen(top);
	return *real ? real : arena_str(a, "/");
}

int root_read(const struct root *r, const char *path, size_t max, struct arena *a, char **ret,
	      size_t *ret_length)
{
	auto_close int fd = root_open(r, path, O_RDONLY);
	auto_free char *buf = NULL;
	size_t n = 0, cap = 0;

	if (fd < 0)
		return fd;
	for (;;) {
		ssize_t got;

		if (n == cap) {
			cap = cap ? cap * 2 : 4096;
			buf = xrealloc(buf, cap, 1);
		}
		got = read(fd, buf + n, cap - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			break;
		n += (size_t)got;
		if (n > max)
			return -EFBIG;
	}
	*ret = arena_strn(a, buf, n);
	if (ret_length)
		*ret_length = n;
	return 0;
}

char *root_attr(const struct root *r, struct arena *a, const char *path_fmt, ...)
{
	char path[4096], start[4096], *text = start;
	size_t n;
	ssize_t got;
	va_list ap;
	int len, err;

	va_start(ap, path_fmt);
	len = vsnprintf(path, sizeof path, path_fmt, ap);
	va_end(ap);
	if (len < 0 || (size_t)len >= sizeof path) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	auto_close int fd = root_open(r, path, O_RDONLY);
	if (fd < 0) {
		errno = -fd;
		return NULL;
	}
	/* sysfs gives an attribute in one read; only a larger file takes more. */
	got = read(fd, start, sizeof start);
	if (got < 0)
		return NULL;
	n = (size_t)got;
	if (n == sizeof start) {
		err = root_read(r, path, 1 << 20, a, &text, &n);
		if (err) {
			errno = -err;
			return NULL;
		}
	}
	while (n && (text[n - 1] == '\n' || text[n - 1] == ' ' || text[n - 1] == '\t'))
		n--;
	return arena_strn(a, text, n);
}

uint64_t root_attr_u64(const struct root *r, uint64_t fallback, const char *path_fmt, ...)
{
	char path[4096], text[64], *end;
	unsigned long long v;
	va_list ap;
	ssize_t n;
	int len;

	va_start(ap, path_fmt);
	len = vsnprintf(path, sizeof path, path_fmt, ap);
	va_end(ap);
	if (len < 0 || (size_t)len >= sizeof path)
		return fallback;
	auto_close int fd = root_open(r, path, O_RDONLY);
	if (fd < 0)
		return fallback;
	n = read(fd, text, sizeof text - 1);
	if (n <= 0)
		return fallback;
	text[n] = '\0';
	if (*text < '0' || *text > '9')
		return fallback;
	errno = 0;
	v = strtoull(text, &end, starts_with(text, "0x") ? 16 : 10);
	if (errno || (*end && *end != '\n' && *end != ' '))
		return fallback;
	return v;
}

static int by_version(const void *a, const void *b)
{
	return strverscmp(*(const char *const *)a, *(const char *const *)b);
}

int root_list(const struct root *r, const char *path, struct arena *a, const char ***ret)
{
	int fd = root_open(r, path, O_RDONLY | O_DIRECTORY);
	auto_closedir DIR *dir = NULL;
	VEC(const char *) names = { 0 };
	struct dirent *d;

	if (fd < 0)
		return fd;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -errno;
	}
	while ((d = readdir(dir)))
		if (!streq(d->d_name, ".") && !streq(d->d_name, ".."))
			*vec_add(&names) = arena_str(a, d->d_name);
	if (names.n)
		qsort(names.items, names.n, sizeof *names.items, by_version);
	*ret = arena_alloc(a, (names.n + 1) * sizeof **ret);
	if (names.n)
		memcpy(*ret, names.items, names.n * sizeof **ret);
	vec_free(&names);
	return 0;
}
