/* Which btrfs is meant: see btrfs_fs.h. */
#include "lib/storage/btrfs_fs.h"

#include "lib/os/blkid.h"
#include "lib/os/btrfs_subvol.h"
#include "lib/storage/inventory.h"

#include <errno.h>
#include <sys/statvfs.h>
#include <linux/stat.h>
#include <sys/syscall.h>

void btrfs_fs_close(struct btrfs_fs *fs)
{
	if (fs->fd >= 0)
		close(fs->fd);
	fs->fd = -1;
}

/* Hands the descriptor to *ret once what it is on is known. */
static int adopt(int *fd, const char *name, bool writable, struct btrfs_fs *ret, struct err *e)
{
	struct btrfs_info info;
	struct statvfs st;
	int r = btrfs_get_info(*fd, name, &info, e);

	if (r)
		return r;
	if (writable && !fstatvfs(*fd, &st) && st.f_flag & ST_RDONLY)
		return err_make(e, ERR_FAILED, -EROFS, name, "mount it writable first",
				"the filesystem is mounted read-only");
	*ret = (struct btrfs_fs){ .fd = take_fd(fd), .name = name, .info = info };
	return 0;
}

/* Every member that is known to the kernel; then the top level by the first of them. */
static int open_members(struct world *w, const char *name, const char *const *devices,
			uint64_t total, bool writable, struct btrfs_fs *ret, struct err *e)
{
	int fd auto_close = -1;
	bool ready = true;
	int r = 0;

	for (size_t i = 0; devices[i] && !r; i++)
		r = btrfs_scan(devices[i], e);
	if (!r)
		r = btrfs_ready(devices[0], &ready, e);
	if (r)
		return r;
	if (!ready)
		return err_make(e, ERR_FAILED, -ENODEV, name,
				"attach the missing devices; it is never mounted degraded",
				total == U64_NONE ? "only %zu of its devices are here"
						  : "only %zu of its %llu devices are here",
				strlist_len(devices), (unsigned long long)total);
	fd = btrfs_open_top(&w->root, devices[0], writable, e);
	if (fd < 0)
		return fd;
	return adopt(&fd, name, writable, ret, e);
}

/* Those of a label or UUID; more than one filesystem is a refusal. */
static int find(struct world *w, const char *name, const char *label, const char *uuid,
		const struct filesystem **ret, struct err *e)
{
	struct filesystem *all;
	size_t n;
	int r = inventory_filesystems(w, &all, &n, e);

	if (r)
		return r;
	*ret = NULL;
	for (size_t i = 0; i < n; i++) {
		const struct filesystem *f = &all[i];

		if (!streq(f->fstype, "btrfs") || !f->devices || (label && !streq(f->label, label)) ||
		    (uuid && !streq(f->uuid, uuid)))
			continue;
		if (*ret && !streq((*ret)->uuid, f->uuid))
			return err_refuse(e, name, "name the one you mean by --fs UUID=...",
					  "two btrfs filesystems have this label: UUID %s on %s, and "
					  "UUID %s on %s",
					  (*ret)->uuid, (*ret)->devices[0], f->uuid, f->devices[0]);
		if (!*ret)
			*ret = f;
	}
	if (*ret)
		return 0;
	if (geteuid())
		return err_make(e, ERR_UNSUPPORTED, -EPERM, name, "run it as root",
				"no such btrfs found, but not every device can be read");
	return err_make(e, ERR_NO_DEVICE, -ENODEV, name, "name another by --fs PATH",
			"there is no btrfs filesystem of that %s", label ? "label" : "UUID");
}

static int open_found(struct world *w, const char *name, const char *label, const char *uuid,
		      bool writable, struct btrfs_fs *ret, struct err *e)
{
	const struct filesystem *f;
	int r = find(w, name, label, uuid, &f, e);

	if (r)
		return r;
	return open_members(w, name, (const char *const *)f->devices, f->total_devices, writable,
			    ret, e);
}

static int open_device(struct world *w, const char *path, bool writable, struct btrfs_fs *ret,
		       struct err *e)
{
	const char *alone[] = { path, NULL };
	struct probe p;
	bool ready;
	int r = blkid_probe_path(path, w->mem, &p, e);

	if (r == -EACCES || r == -EPERM)
		return err_make(e, ERR_UNSUPPORTED, r, path, "run it as root", "open: %s",
				strerror(-r));
	if (r)
		return r;
	if (!streq(p.type, "btrfs"))
		return err_make(e, ERR_INVALID, -EINVAL, path, NULL, "is not a btrfs: holds %s",
				p.ambiguous ? "conflicting signatures"
				: p.type    ? p.type
				: p.table   ? "a partition table"
					    : "nothing known");
	r = btrfs_ready(path, &ready, e);
	if (r)
		return r;
	if (ready)
		return open_members(w, path, alone, U64_NONE, writable, ret, e);
	return open_found(w, path, NULL, p.uuid, writable, ret, e);
}

static int open_directory(struct world *w, const char *path, bool writable, struct btrfs_fs *ret,
			  struct err *e)
{
	int fd auto_close = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct btrfs_device *devices;
	uint64_t id;
	size_t n;
	int r;

	if (fd < 0)
		return err_sys(e, -errno, path, "open");
	r = btrfs_subvol_id(fd, path, &id, e);
	if (r < 0)
		return r;
	if (r == 1 && id == BTRFS_TOP_LEVEL)
		return adopt(&fd, path, writable, ret, e);
	r = btrfs_get_devices(fd, path, w->mem, &devices, &n, e);
	if (r)
		return r;
	for (size_t i = 0; i < n; i++) {
		int top auto_close = -1;
		struct stat st;

		if (!devices[i].path || stat(devices[i].path, &st) || !S_ISBLK(st.st_mode))
			continue;
		top = btrfs_open_top(&w->root, devices[i].path, writable, e);
		return top < 0 ? top : adopt(&top, path, writable, ret, e);
	}
	return err_make(e, ERR_FAILED, -ENODEV, path, "mount subvolid=5 and name that",
			"none of its devices has a node here, so its top level cannot be reached");
}

int btrfs_fs_open_top(struct world *w, const char *fs, bool writable, struct btrfs_fs *ret,
		      struct err *e)
{
	struct stat st;

	if (!fs)
		return open_found(w, "LABEL=" MOS_DATA_LABEL, MOS_DATA_LABEL, NULL, writable, ret, e);
	if (starts_with(fs, "LABEL="))
		return open_found(w, fs, fs + 6, NULL, writable, ret, e);
	if (starts_with(fs, "UUID="))
		return open_found(w, fs, NULL, fs + 5, writable, ret, e);
	if (stat(fs, &st))
		return err_make(e, errno == ENOENT ? ERR_NO_DEVICE : ERR_FAILED, -errno, fs, NULL,
				"%s", strerror(errno));
	if (S_ISBLK(st.st_mode))
		return open_device(w, fs, writable, ret, e);
	if (S_ISDIR(st.st_mode))
		return open_directory(w, fs, writable, ret, e);
	return err_make(e, ERR_INVALID, -ENOTDIR, fs,
			S_ISREG(st.st_mode) ? "attach an image with losetup first" : NULL,
			"is neither a directory nor a block device");
}

/* STATX_ATTR_MOUNT_ROOT (Linux 5.8) by the bare system call: musl has no statx structure of its own
 * in every version. Where the kernel cannot tell, the parent's device number does. */
static bool is_mount_point(int fd)
{
	struct statx sx = { 0 };
	struct stat here, above;

	if (!syscall(SYS_statx, fd, "", AT_EMPTY_PATH, 0, &sx) &&
	    sx.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT)
		return sx.stx_attributes & STATX_ATTR_MOUNT_ROOT;
	return !fstat(fd, &here) && !fstatat(fd, "..", &above, 0) &&
	       (here.st_dev != above.st_dev || here.st_ino == above.st_ino);
}

int btrfs_fs_open_mounted(struct world *w, const char *mount_point, struct btrfs_fs *ret,
			  struct err *e)
{
	int fd auto_close = open(mount_point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint64_t id;
	int r;

	(void)w;
	if (fd < 0)
		return err_make(e, errno == ENOENT ? ERR_NO_DEVICE : ERR_FAILED, -errno, mount_point,
				NULL, "%s", strerror(errno));
	r = btrfs_subvol_id(fd, mount_point, &id, e);
	if (r < 0)
		return r;
	if (!is_mount_point(fd))
		return err_make(e, ERR_INVALID, -EINVAL, mount_point,
				"mount the filesystem there, or name its mount point",
				"is not a mount point");
	return adopt(&fd, mount_point, false, ret, e);
}

int btrfs_fs_mounts(struct world *w, const struct btrfs_fs *fs, struct btrfs_mount **ret,
		    size_t *ret_n, struct err *e)
{
	struct btrfs_device *devices;
	struct mount_point *all;
	size_t n, n_all;
	int r = btrfs_get_devices(fs->fd, fs->name, w->mem, &devices, &n, e);

	if (!r)
		r = inventory_mounts(w, &all, &n_all, e);
	if (r)
		return r;
	*ret = arena_alloc(w->mem, (n_all + 1) * sizeof **ret);
	*ret_n = 0;
	for (size_t i = 0; i < n_all; i++) {
		struct stat source, member;

		if (!streq(all[i].fstype, "btrfs") || !all[i].source ||
		    stat(all[i].source, &source) || !S_ISBLK(source.st_mode))
			continue;
		for (size_t k = 0; k < n; k++)
			if (devices[k].path && !stat(devices[k].path, &member) &&
			    member.st_rdev == source.st_rdev) {
				(*ret)[(*ret_n)++] =
					(struct btrfs_mount){ all[i].target, all[i].root };
				break;
			}
	}
	return 0;
}

const struct field btrfs_mount_fields[] = {
	FIELD(struct btrfs_mount_params, mount_point, REQUIRED | OPERAND, "where the btrfs is mounted",
	      .complete = "mount"),
	FIELD_END,
};
