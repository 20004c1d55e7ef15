/* The top level of a btrfs, by a mount that nobody else sees: see btrfs.h. */
#include "lib/os/btrfs.h"

#include <errno.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

/* libc may lack the new mount interface (musl 1.2.3, glibc before 2.36). */
static int fs_open(const char *type)
{
	return (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
}
static int fs_config(int fd, unsigned command, const char *key, const char *value)
{
	return (int)syscall(SYS_fsconfig, fd, command, key, value, 0);
}
static int fs_mount(int fd, unsigned attributes)
{
	return (int)syscall(SYS_fsmount, fd, FSMOUNT_CLOEXEC, attributes);
}

/* Whether some mounted btrfs has this block device: then it is in that filesystem's sysfs. */
static bool is_mounted(const struct root *root, const char *device)
{
	struct arena mem auto_arena = { 0 };
	const char *link, *name, **all;
	struct stat st;

	if (stat(device, &st) || !S_ISBLK(st.st_mode))
		return false;
	link = root_readlink(root,
			     arena_printf(&mem, "/sys/dev/block/%u:%u", major(st.st_rdev),
					  minor(st.st_rdev)),
			     &mem);
	if (!link || root_list(root, "/sys/fs/btrfs", &mem, &all))
		return false;
	name = strrchr(link, '/') ? strrchr(link, '/') + 1 : link;
	for (; all && *all; all++)
		if (root_exists(root, arena_printf(&mem, "/sys/fs/btrfs/%s/devices/%s", *all, name)))
			return true;
	return false;
}

/* The filesystem's own words, which the kernel keeps for this descriptor: "e btrfs: ...". */
static int fail_mount(struct err *e, int fs, const char *device)
{
	int code = -errno;
	char text[512], *p = text;
	ssize_t n = read(fs, text, sizeof text - 1);

	if (n > 2) {
		text[n] = '\0';
		p += text[1] == ' ' ? 2 : 0;
		return err_make(e, ERR_FAILED, code, device, NULL, "mount its top level: %s (%s)",
				strerror(-code), p);
	}
	if (code == -ENOENT)
		return err_make(e, ERR_NO_DEVICE, code, device,
				"attach the missing one; it is never mounted degraded",
				"mount its top level: another device of this btrfs is not known");
	return err_sys(e, code, device, "mount its top level");
}

int btrfs_open_top(const struct root *root, const char *device, bool writable, struct err *e)
{
	int fs auto_close = -1, mnt auto_close = -1;
	bool read_only = !writable || is_mounted(root, device);
	int fd;

	fs = fs_open("btrfs");
	if (fs < 0 && errno == ENODEV)
		return err_make(e, ERR_UNSUPPORTED, -ENODEV, device, "load the btrfs module",
				"this kernel has no btrfs");
	if (fs < 0 && (errno == EPERM || errno == ENOSYS))
		return err_make(e, ERR_UNSUPPORTED, -errno, device,
				errno == EPERM ? "run it as root" : "it needs Linux 5.2",
				"mount its top level: %s", strerror(errno));
	if (fs < 0)
		return err_sys(e, -errno, device, "mount its top level");
	/*
	 * Asked for read-only where it is mounted already: btrfs then gives a mount of the very
	 * superblock as it is (fs/btrfs/super.c, btrfs_reconfigure_for_mount()), writable or not;
	 * asking for a writable one would turn a read-only filesystem writable for everybody.
	 */
	if (fs_config(fs, FSCONFIG_SET_STRING, "source", device) ||
	    fs_config(fs, FSCONFIG_SET_STRING, "subvolid", "5") ||
	    (read_only && fs_config(fs, FSCONFIG_SET_FLAG, "ro", NULL)) ||
	    fs_config(fs, FSCONFIG_CMD_CREATE, NULL, NULL))
		return fail_mount(e, fs, device);
	mnt = fs_mount(fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC |
				   (writable ? 0 : MOUNT_ATTR_RDONLY));
	if (mnt < 0)
		return fail_mount(e, fs, device);
	/* The mount goes with mnt; what is open on it keeps the filesystem until it is closed. */
	fd = openat(mnt, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_sys(e, -errno, device, "open its top level") : fd;
}

int btrfs_open_below(int dir, const char *path, int flags)
{
	struct open_how how = {
		.flags = (unsigned)(flags | O_CLOEXEC),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
	};
	int fd;

	do /* EAGAIN: something was renamed while the path was walked */
		fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
	while (fd < 0 && errno == EAGAIN);
	return fd < 0 ? -errno : fd;
}
