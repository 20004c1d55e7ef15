/* Mounting and unmounting: see mount_ops.h. */
#include "lib/storage/mount_ops.h"

#include "lib/os/btrfs.h"
#include "lib/os/mount.h"
#include "lib/storage/inventory.h"

#include <errno.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

struct mount_params {
	const char *source, *target, *fstype, *options;
};
static const struct field mount_params[] = {
	FIELD(struct mount_params, source, REQUIRED, "block device", .arg = "DEVICE",
	      .complete = "device"),
	FIELD(struct mount_params, target, REQUIRED, "existing directory to mount it on", .arg = "DIR",
	      .complete = "dir"),
	FIELD(struct mount_params, fstype, REQUIRED, "filesystem: btrfs, ext4, vfat ...", .arg = "TYPE"),
	FIELD(struct mount_params, options, 0, "options, joined by commas", .letter = 'O',
	      .arg = "OPTION,..."),
	FIELD_END,
};

/* The name of a filesystem in the kernel: nothing that libmount would read as a list or a helper. */
static int check_fstype(const char *fstype, struct err *e)
{
	for (const char *p = fstype; *p; p++)
		if (!(*p >= 'a' && *p <= 'z') && !(*p >= '0' && *p <= '9') && !strchr("_-.", *p))
			return err_make(e, ERR_INVALID, -EINVAL, "fstype",
					"give one type, such as btrfs or ext4",
					"'%.100s' is no name of a filesystem", fstype);
	return *fstype ? 0 : err_make(e, ERR_INVALID, -EINVAL, "fstype", NULL, "is empty");
}

static int open_target(const char *path, struct err *e)
{
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
				.resolve = RESOLVE_NO_SYMLINKS };
	int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);

	if (fd >= 0)
		return fd;
	if (errno == ELOOP)
		return err_make(e, ERR_INVALID, -ELOOP, path, "give the path without links",
				"leads through a symbolic link");
	if (errno == ENOENT)
		return err_make(e, ERR_INVALID, -ENOENT, path, "make it with mkdir",
				"the directory does not exist");
	if (errno == ENOTDIR)
		return err_make(e, ERR_INVALID, -ENOTDIR, path, NULL, "is not a directory");
	return err_sys(e, -errno, path, "open");
}

static int check_source(const char *path, struct stat *st, struct err *e)
{
	if (stat(path, st))
		return err_make(e, errno == ENOENT ? ERR_NO_DEVICE : ERR_FAILED, -errno, path, NULL,
				"%s", strerror(errno));
	if (!S_ISBLK(st->st_mode))
		return err_make(e, ERR_NO_DEVICE, -ENOTBLK, path,
				S_ISREG(st->st_mode) ? "attach an image with losetup first" : NULL,
				"is not a block device");
	return 0;
}

/* The last mount on target: an earlier one is hidden. */
static int find_mount(struct world *w, const char *target, struct mount_point *ret, bool *found,
		      struct err *e)
{
	struct mount_point *all;
	size_t n;
	int r = inventory_mounts(w, &all, &n, e);

	*found = false;
	for (size_t i = 0; !r && i < n; i++)
		if (streq(all[i].target, target)) {
			*ret = all[i];
			*found = true;
		}
	return r;
}

/* The kernel must know every member of a btrfs before it mounts one, and sees only those scanned. */
static int scan_members(struct world *w, const char *source, struct err *e)
{
	struct filesystem *all;
	struct stat mine, st;
	size_t n;
	int r = inventory_filesystems(w, &all, &n, e);

	if (r || stat(source, &mine))
		return r;
	for (size_t i = 0; i < n; i++) {
		bool ours = false;

		for (const char **d = all[i].devices; d && *d; d++)
			ours |= !stat(*d, &st) && st.st_rdev == mine.st_rdev;
		if (!ours || !streq(all[i].fstype, "btrfs"))
			continue;
		for (const char **d = all[i].devices; *d && !r; d++)
			r = btrfs_scan(*d, e);
		return r;
	}
	return 0;
}

static const char *option_value(const char *options, const char *name, struct arena *a)
{
	size_t len = strlen(name);

	for (const char *p = options; p && *p; p += strcspn(p, ","), p += *p == ',')
		if (!strncmp(p, name, len) && p[len] == '=')
			return arena_strn(a, p + len + 1, strcspn(p + len + 1, ","));
	return NULL;
}

/* Whether the same is mounted there: the same source, and of a btrfs the subvolume asked for. */
static bool is_same(struct world *w, const struct mount_point *m, const struct mount_params *p,
		    const struct stat *source)
{
	const char *subvol = option_value(p->options, "subvol", w->mem);
	const char *subvolid = option_value(p->options, "subvolid", w->mem);
	const char *has = option_value(m->options, "subvolid", w->mem);
	struct stat st;

	if (!streq(m->fstype, p->fstype) || !m->source || stat(m->source, &st) ||
	    !S_ISBLK(st.st_mode) || st.st_rdev != source->st_rdev)
		return false;
	if (subvolid && !streq(subvolid, has))
		return false;
	if (subvol && m->root)
		return streq(subvol + strspn(subvol, "/"), m->root + strspn(m->root, "/"));
	return subvol || subvolid || !m->root || streq(m->root, "/");
}

static int run_mount(struct world *w, const void *params, struct sink *out, struct err *e)
{
	const struct mount_params *p = params;
	int target auto_close = -1;
	struct mount_point row;
	struct stat source;
	const char *real, *link;
	bool found;
	int r = check_fstype(p->fstype, e);

	if (!r)
		r = check_source(p->source, &source, e);
	if (r)
		return r;
	target = open_target(p->target, e);
	if (target < 0)
		return target;
	link = arena_printf(w->mem, "/proc/self/fd/%d", target);
	real = root_readlink(&w->root, link, w->mem);
	if (!real)
		return err_sys(e, -errno, p->target, "find its path");
	r = find_mount(w, real, &row, &found, e);
	if (r)
		return r;
	if (found && is_same(w, &row, p, &source))
		return sink_row(out, &mount_table, &row);
	if (found)
		return err_make(e, ERR_FAILED, -EBUSY, p->target, "unmount it first",
				"%s (%s) is mounted there", row.source, row.fstype);
	if (streq(p->fstype, "btrfs"))
		r = scan_members(w, p->source, e);
	/* By the descriptor: what was looked at is what is mounted on. */
	if (!r)
		r = mount_fs(p->source, link, p->fstype, p->options, e);
	if (r) {
		if (streq(e->object, link))
			snprintf(e->object, sizeof e->object, "%s", p->target);
		return r;
	}
	r = find_mount(w, real, &row, &found, e);
	if (!r && !found)
		return err_make(e, ERR_FAILED, -EIO, p->target, NULL,
				"was mounted, and is gone from the table of mounts");
	return r ? r : sink_row(out, &mount_table, &row);
}

const struct operation mount_op = {
	.name = "mount",
	.summary = "mount a filesystem on an existing directory",
	.params = mount_params,
	.params_size = sizeof(struct mount_params),
	.tables = TABLES(&mount_table),
	.flags = OP_CHANGES | OP_ONE_ROW,
	.run = run_mount,
};

struct unmount_params {
	const char *path;
};
static const struct field unmount_params[] = {
	FIELD(struct unmount_params, path, REQUIRED | OPERAND, "mount point", .arg = "DIR",
	      .complete = "mount"),
	FIELD_END,
};

static int run_unmount(struct world *w, const void *params, struct sink *out, struct err *e)
{
	const struct unmount_params *p = params;
	size_t n = strlen(p->path);
	struct mount_point row;
	const char *path;
	bool found;
	int r;

	(void)out;
	while (n > 1 && p->path[n - 1] == '/')
		n--;
	path = arena_strn(w->mem, p->path, n);
	r = find_mount(w, path, &row, &found, e);
	if (r)
		return r;
	/* umount(2) of the root makes it read-only instead. */
	if (streq(path, "/"))
		return err_make(e, ERR_INVALID, -EBUSY, path, NULL, "is the root of the system");
	if (!found)
		return err_make(e, ERR_INVALID, -EINVAL, path, "mos-volmgr mounts lists them",
				"is not a mount point");
	return mount_unmount(path, e);
}

const struct operation unmount_op = {
	.name = "unmount",
	.summary = "unmount what is mounted on a directory, when nothing uses it",
	.params = unmount_params,
	.params_size = sizeof(struct unmount_params),
	.flags = OP_CHANGES,
	.run = run_unmount,
};
