/* libmount's wrapper: see mount.h. */
#include "lib/os/mount.h"

#include <errno.h>
#include <libmount/libmount.h>
#include <sys/swap.h>
#include <sys/sysmacros.h>

static void release_table(struct libmnt_table **t)
{
	mnt_unref_table(*t);
}
static void release_context(struct libmnt_context **c)
{
	mnt_free_context(*c);
}
static void release_iter(struct libmnt_iter **i)
{
	mnt_free_iter(*i);
}

/* A line that cannot be read would hide a mount: that fails the whole reading. */
static int on_bad_line(struct libmnt_table *t, const char *file, int line)
{
	(void)t;
	(void)file;
	(void)line;
	return -EBADMSG;
}

/* libmount's results: 0, -errno, or -MNT_ERR_* from 5000 on. */
static int as_errno(int r)
{
	return r > 0 ? -r : r > -MNT_ERR_NOFSTAB ? r : -EBADMSG;
}

static int open_table(const struct root *r, const char *path, bool swaps,
		      struct libmnt_table **ret)
{
	struct libmnt_table *t auto_release(release_table) = NULL;
	auto_close int fd = root_open(r, path, O_RDONLY);
	char name[40];
	int rc;

	if (fd < 0)
		return fd;
	t = mnt_new_table();
	if (!t)
		return -ENOMEM;
	mnt_table_set_parser_errcb(t, on_bad_line);
	/* The table for swaps is chosen by the function, and only by file name. */
	snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
	if (swaps) {
		rc = mnt_table_parse_swaps(t, name);
	} else {
		auto_fclose FILE *f = fdopen(fd, "re");

		if (!f)
			return -errno;
		take_fd(&fd);
		rc = mnt_table_parse_stream(t, f, path);
	}
	if (rc)
		return as_errno(rc);
	*ret = take(t);
	return 0;
}

int mounts_read(const struct root *r, struct arena *a, struct mount_info **ret, size_t *ret_n,
		struct err *e)
{
	return mounts_read_of(r, "self", a, ret, ret_n, e);
}

int mounts_read_of(const struct root *r, const char *process, struct arena *a,
		   struct mount_info **ret, size_t *ret_n, struct err *e)
{
	const char *path = arena_printf(a, "/proc/%s/mountinfo", process);
	struct libmnt_table *t auto_release(release_table) = NULL;
	struct libmnt_iter *i auto_release(release_iter) = mnt_new_iter(MNT_ITER_FORWARD);
	struct mount_info *rows;
	struct libmnt_fs *fs;
	size_t n = 0;
	int rc = open_table(r, path, false, &t);

	/* A recording may be without mounts; a machine without its /proc must not look unmounted. */
	if (rc == -ENOENT && !root_is_machine(r)) {
		*ret = NULL;
		*ret_n = 0;
		return 0;
	}
	if (rc)
		return err_sys(e, rc, path, "read mounts");
	rows = arena_alloc(a, (size_t)(mnt_table_get_nents(t) + 1) * sizeof *rows);
	while (!mnt_table_next_fs(t, i, &fs)) {
		dev_t d = mnt_fs_get_devno(fs);

		rows[n++] = (struct mount_info){
			.target = arena_str(a, mnt_fs_get_target(fs)),
			.source = arena_str(a, mnt_fs_get_source(fs)),
			.fstype = arena_str(a, mnt_fs_get_fstype(fs)),
			.options = arena_str(a, mnt_fs_get_options(fs)),
			.fs_options = arena_str(a, mnt_fs_get_fs_options(fs)),
			.root = arena_str(a, mnt_fs_get_root(fs)),
			.devno = arena_printf(a, "%u:%u", major(d), minor(d)),
			.id = (uint64_t)mnt_fs_get_id(fs),
		};
	}
	*ret = rows;
	*ret_n = n;
	return 0;
}

int swaps_read(const struct root *r, struct arena *a, struct swap_info **ret, size_t *ret_n,
	       struct err *e)
{
	static const char path[] = "/proc/swaps";
	struct libmnt_table *t auto_release(release_table) = NULL;
	struct libmnt_iter *i auto_release(release_iter) = mnt_new_iter(MNT_ITER_FORWARD);
	struct swap_info *rows;
	struct libmnt_fs *fs;
	size_t n = 0;
	int rc = open_table(r, path, true, &t);

	*ret = NULL;
	*ret_n = 0;
	if (rc == -ENOENT)
		return 0;
	if (rc)
		return err_sys(e, rc, path, "read swaps");
	rows = arena_alloc(a, (size_t)(mnt_table_get_nents(t) + 1) * sizeof *rows);
	while (!mnt_table_next_fs(t, i, &fs))
		rows[n++] = (struct swap_info){
			.path = arena_str(a, mnt_fs_get_source(fs)),
			.size_bytes = (uint64_t)mnt_fs_get_size(fs) * 1024,
			.used_bytes = (uint64_t)mnt_fs_get_usedsize(fs) * 1024,
			.priority = mnt_fs_get_priority(fs),
		};
	*ret = rows;
	*ret_n = n;
	return 0;
}

static struct libmnt_context *new_context(void)
{
	struct libmnt_context *c = mnt_new_context();

	if (!c)
		return NULL;
	/* No /sbin/mount.TYPE, no /run/mount/utab, and the paths are used as they are given. */
	mnt_context_disable_helpers(c, 1);
	mnt_context_disable_mtab(c, 1);
	mnt_context_disable_canonicalize(c, 1);
	return c;
}

/* libmount's own words on why, which know more than the errno ("wrong fs type, bad option, ..."). */
static int context_error(struct libmnt_context *c, int rc, const char *object, const char *doing,
			 struct err *e)
{
	int code = mnt_context_get_syscall_errno(c);
	char why[512] = "";

	code = code > 0 ? -code : as_errno(rc);
	/* What a filesystem's own checks give, and musl has no words for. */
	if (code == -EUCLEAN)
		return err_make(e, ERR_FAILED, code, object, "look at it with its fsck",
				"%s: the filesystem is damaged", doing);
	mnt_context_get_excode(c, rc, why, sizeof why);
	if (!*why)
		return err_sys(e, code, object, "%s", doing);
	return err_make(e, ERR_FAILED, code, object, NULL, "%s: %s", doing, why);
}

int mount_fs(const char *source, const char *target, const char *fstype, const char *options,
	     struct err *e)
{
	struct libmnt_context *c auto_release(release_context) = new_context();
	char doing[512];
	int rc;

	if (!c)
		return err_sys(e, -ENOMEM, target, "mount");
	rc = mnt_context_set_source(c, source);
	if (!rc)
		rc = mnt_context_set_target(c, target);
	if (!rc)
		rc = mnt_context_set_fstype(c, fstype);
	if (!rc && options && *options)
		rc = mnt_context_set_options(c, options);
	if (!rc)
		rc = mnt_context_mount(c);
	if (!rc)
		return 0;
	snprintf(doing, sizeof doing, "mount %.200s %.40s%s%.200s", source, fstype,
		 options && *options ? " with " : "", options ? options : "");
	return context_error(c, rc, target, doing, e);
}

int mount_unmount(const char *target, struct err *e)
{
	struct libmnt_context *c auto_release(release_context) = new_context();
	int rc;

	if (!c)
		return err_sys(e, -ENOMEM, target, "unmount");
	rc = mnt_context_set_target(c, target);
	if (!rc)
		rc = mnt_context_umount(c);
	return rc ? context_error(c, rc, target, "unmount", e) : 0;
}

int swap_on(const char *path, int priority, struct err *e)
{
	int flags = priority < 0 ? 0 : SWAP_FLAG_PREFER | (priority & SWAP_FLAG_PRIO_MASK);

	return swapon(path, flags) ? err_sys(e, -errno, path, "enable swap") : 0;
}

int swap_off(const char *path, struct err *e)
{
	return swapoff(path) ? err_sys(e, -errno, path, "disable swap") : 0;
}
