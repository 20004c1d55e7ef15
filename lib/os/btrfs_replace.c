/* Replacing a member: see btrfs_replace.h. */
#include "lib/os/btrfs_replace.h"

#include <errno.h>
#include <linux/btrfs.h>
#include <sys/ioctl.h>

static int fail(struct err *e, const char *object, const char *doing)
{
	return err_sys(e, -errno, object, "%s", doing);
}

int btrfs_replace(int fd, const char *object, uint64_t devid, const char *target, struct err *e)
{
	struct btrfs_ioctl_dev_replace_args args = {
		.cmd = BTRFS_IOCTL_DEV_REPLACE_CMD_START,
		.start.srcdevid = devid,
	};
	int r;

	if (strlen(target) >= sizeof args.start.tgtdev_name)
		return err_sys(e, -ENAMETOOLONG, target, "replace");
	memcpy(args.start.tgtdev_name, target, strlen(target) + 1);
	r = ioctl(fd, BTRFS_IOC_DEV_REPLACE, &args);
	if (r > 0) /* a code of btrfs's own, BTRFS_ERROR_DEV_EXCL_RUN_IN_PROGRESS: errno says nothing */
		return err_make(e, ERR_FAILED, -EINPROGRESS, object, "wait for it to end, or cancel it",
				"another exclusive operation runs, such as a balance, or is paused");
	if (r)
		return fail(e, object, "replace a member");
	if (args.result == BTRFS_IOCTL_DEV_REPLACE_RESULT_ALREADY_STARTED ||
	    args.result == BTRFS_IOCTL_DEV_REPLACE_RESULT_SCRUB_INPROGRESS)
		return err_make(e, ERR_FAILED, -EINPROGRESS, object, "wait for it to end",
				args.result == BTRFS_IOCTL_DEV_REPLACE_RESULT_ALREADY_STARTED
					? "a replace runs already"
					: "a scrub runs");
	return 0;
}

int btrfs_replace_progress(int fd, const char *object, struct btrfs_replace *ret, struct err *e)
{
	struct btrfs_ioctl_dev_replace_args args = { .cmd = BTRFS_IOCTL_DEV_REPLACE_CMD_STATUS };
	static const enum btrfs_replace_state states[] = {
		[BTRFS_IOCTL_DEV_REPLACE_STATE_NEVER_STARTED] = BTRFS_REPLACE_NEVER,
		[BTRFS_IOCTL_DEV_REPLACE_STATE_STARTED] = BTRFS_REPLACE_RUNNING,
		[BTRFS_IOCTL_DEV_REPLACE_STATE_FINISHED] = BTRFS_REPLACE_FINISHED,
		[BTRFS_IOCTL_DEV_REPLACE_STATE_CANCELED] = BTRFS_REPLACE_CANCELED,
		[BTRFS_IOCTL_DEV_REPLACE_STATE_SUSPENDED] = BTRFS_REPLACE_SUSPENDED,
	};

	if (ioctl(fd, BTRFS_IOC_DEV_REPLACE, &args))
		return fail(e, object, "ask how far the replace is");
	*ret = (struct btrfs_replace){
		.state = args.status.replace_state < COUNT(states)
				 ? states[args.status.replace_state]
				 : BTRFS_REPLACE_NEVER,
		.permille = (unsigned)args.status.progress_1000,
		.write_errors = args.status.num_write_errors,
		.uncorrectable_errors = args.status.num_uncorrectable_read_errors,
	};
	return 0;
}

int btrfs_replace_cancel(int fd, const char *object, struct err *e)
{
	struct btrfs_ioctl_dev_replace_args args = { .cmd = BTRFS_IOCTL_DEV_REPLACE_CMD_CANCEL };

	return ioctl(fd, BTRFS_IOC_DEV_REPLACE, &args) ? fail(e, object, "cancel the replace") : 0;
}

static uint64_t little_endian(const unsigned char *b)
{
	uint64_t n = 0;

	for (int i = 7; i >= 0; i--)
		n = n << 8 | b[i];
	return n;
}

/* struct btrfs_super_block, btrfs_tree.h: the first superblock is at 64 KiB, its magic at 0x40, the
 * generation at 0x48, and the item of the member it stands on, which begins with the devid, at 0xc9. */
int btrfs_super_read(int fd, struct btrfs_super *ret)
{
	enum { SUPER = 0x10000, MAGIC_AT = 0x40, GENERATION_AT = 0x48, DEVID_AT = 0xc9 };
	static const char magic[8] = "_BHRfS_M";
	unsigned char b[DEVID_AT + 8];

	if (pread(fd, b, sizeof b, SUPER) != sizeof b || memcmp(b + MAGIC_AT, magic, sizeof magic))
		return -EINVAL;
	*ret = (struct btrfs_super){ little_endian(b + DEVID_AT), little_endian(b + GENERATION_AT) };
	return 0;
}
