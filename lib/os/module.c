/* Kernel modules: see module.h. */
#include "lib/os/module.h"

#include "lib/core/run.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

/* From linux/module.h (5.17): the kernel itself unpacks .xz, .gz or .zst as it was configured. */
#define INIT_COMPRESSED_FILE 4

static bool has_filesystem(struct world *w, const char *fstype)
{
	struct arena mem auto_arena = { 0 };
	const char *text = root_attr(&w->root, &mem, "/proc/filesystems");
	size_t n = strlen(fstype);

	while (text && *text) {
		size_t line = strcspn(text, "\n");

		if (line > n && text[line - n - 1] == '\t' && !strncmp(text + line - n, fstype, n))
			return true;
		text += line + (text[line] == '\n');
	}
	return false;
}

static bool is_loaded(struct world *w, const char *module)
{
	struct arena mem auto_arena = { 0 };
	char *path = arena_printf(&mem, "/sys/module/%s", module);

	for (char *c = path; *c; c++)
		*c = *c == '-' ? '_' : *c;
	return root_exists(&w->root, path);
}

static int insert(const char *path)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	int flags = ends_with(path, ".ko") ? 0 : INIT_COMPRESSED_FILE;

	if (fd < 0)
		return -errno;
	if (syscall(SYS_finit_module, fd, "", flags) && errno != EEXIST)
		return -errno;
	return 0;
}

/* depmod's lists, below /lib/modules/RELEASE. */
struct lists {
	const char *dir;
	char *dep, *softdep, *alias;
	struct arena *mem;
};

/* Module names are written with - or _ as one likes. */
static bool same_name(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((a[i] == '-' ? '_' : a[i]) != (b[i] == '-' ? '_' : b[i]))
			return false;
	return !b[n];
}

static const char *next_line(const char *line)
{
	line += strcspn(line, "\n");
	return line + (*line == '\n');
}

/* "kernel/fs/btrfs/btrfs.ko.xz" */
static bool is_file_of(const char *path, size_t n, const char *module)
{
	const char *base = memrchr(path, '/', n), *dot;

	base = base ? base + 1 : path;
	dot = memchr(base, '.', n - (size_t)(base - path));
	return dot && same_name(base, module, (size_t)(dot - base));
}

/* From "FILE: NEEDED FILE...": the file and those it needs; each needs only those behind it. */
static const char **files_of(const struct lists *l, const char *module)
{
	const char **files = NULL;

	for (const char *line = l->dep; line && *line && !files; line = next_line(line)) {
		size_t end = strcspn(line, "\n"), n = strcspn(line, ":");

		if (n >= end || !is_file_of(line, n, module))
			continue;
		strlist_add(l->mem, &files, arena_strn(l->mem, line, n));
		for (const char *p = line + n + 1; p < line + end; p += n) {
			p += *p == ' ';
			n = strcspn(p, " \n");
			if (n)
				strlist_add(l->mem, &files, arena_strn(l->mem, p, n));
		}
	}
	return files;
}

static int load(const struct lists *l, const char *module, int depth);

/* "softdep btrfs pre: blake2b-256 crypto-crc32c": what it will ask the kernel for by name, and the
 * kernel modprobe. That some are missing shows when the module is loaded. */
static void load_softdeps(const struct lists *l, const char *file, int depth)
{
	for (const char *line = l->softdep; line && *line; line = next_line(line)) {
		const char *p = line + strlen("softdep "), *end = line + strcspn(line, "\n");
		size_t n = strcspn(p, " \n");
		bool before = false;

		if (!starts_with(line, "softdep ") ||
		    !is_file_of(file, strlen(file), arena_strn(l->mem, p, n)))
			continue;
		for (p += n; p < end; p += n) {
			p += *p == ' ';
			n = strcspn(p, " \n");
			if (n && p[n - 1] == ':')
				before = !strncmp(p, "pre:", n);
			else if (n && before)
				load(l, arena_strn(l->mem, p, n), depth + 1);
		}
	}
}

/* "alias crypto-crc32c crc32c_intel": the first that this machine can use. */
static int load_alias(const struct lists *l, const char *name, int depth)
{
	int r = -ENOENT;

	for (const char *line = l->alias; line && *line && r; line = next_line(line)) {
		const char *p = line + strlen("alias ");
		size_t n = strcspn(p, " \n");

		if (!starts_with(line, "alias ") || p[n] != ' ' || !same_name(p, name, n))
			continue;
		p += n + 1;
		r = load(l, arena_strn(l->mem, p, strcspn(p, " \n")), depth + 1);
	}
	return r;
}

static int load(const struct lists *l, const char *module, int depth)
{
	const char **files = depth > 4 ? NULL : files_of(l, module);
	int r = 0;

	if (depth > 4)
		return -ELOOP;
	if (!files)
		return load_alias(l, module, depth);
	for (size_t i = strlist_len((const char *const *)files); i-- > 0 && !r;) {
		load_softdeps(l, files[i], depth);
		r = insert(arena_printf(l->mem, "%s/%s", l->dir, files[i]));
	}
	return r;
}

static int load_by_hand(const char *module, struct arena *a)
{
	struct root machine = ROOT_MACHINE;
	struct lists l = { .mem = a };
	struct utsname u;
	int r;

	if (uname(&u))
		return -errno;
	l.dir = arena_printf(a, "/lib/modules/%s", u.release);
	r = root_read(&machine, arena_printf(a, "%s/modules.dep", l.dir), 16 << 20, a, &l.dep, NULL);
	if (r)
		return r;
	root_read(&machine, arena_printf(a, "%s/modules.softdep", l.dir), 1 << 20, a, &l.softdep,
		  NULL);
	root_read(&machine, arena_printf(a, "%s/modules.alias", l.dir), 16 << 20, a, &l.alias, NULL);
	return load(&l, module, 0);
}

int module_load(struct world *w, const char *module, const char *fstype)
{
	struct arena mem auto_arena = { 0 };
	struct err e = { 0 };
	bool there = fstype ? has_filesystem(w, fstype) : is_loaded(w, module);

	if (there || !root_is_machine(&w->root))
		return 0;
	if (run_find("modprobe", &mem) &&
	    !run_program((const char *const[]){ "modprobe", "-q", module, NULL }, NULL, &mem, NULL,
			 &e))
		return 0;
	return load_by_hand(module, &mem);
}
