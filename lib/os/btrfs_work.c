/* Long work inside a btrfs: see btrfs_work.h. */
#include "lib/os/btrfs_work.h"

#include <errno.h>
#include <linux/btrfs.h>
#include <linux/ioprio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

static int fail(struct err *e, const char *object, const char *doing)
{
	if (errno == EPERM || errno == EACCES)
		return err_make(e, ERR_UNSUPPORTED, -errno, object, "run it as root", "%s: %s",
				doing, strerror(errno));
	return err_sys(e, -errno, object, "%s", doing);
}

static void convert(const struct btrfs_scrub_progress *p, struct btrfs_scrub *ret)
{
	*ret = (struct btrfs_scrub){
		.data_extents_scrubbed = p->data_extents_scrubbed,
		.tree_extents_scrubbed = p->tree_extents_scrubbed,
		.data_bytes_scrubbed = p->data_bytes_scrubbed,
		.tree_bytes_scrubbed = p->tree_bytes_scrubbed,
		.read_errors = p->read_errors,
		.csum_errors = p->csum_errors,
		.verify_errors = p->verify_errors,
		.no_csum = p->no_csum,
		.csum_discards = p->csum_discards,
		.super_errors = p->super_errors,
		.malloc_errors = p->malloc_errors,
		.uncorrectable_errors = p->uncorrectable_errors,
		.corrected_errors = p->corrected_errors,
		.last_physical = p->last_physical,
		.unverified_errors = p->unverified_errors,
	};
}

int btrfs_scrub(int fd, const char *object, uint64_t devid, bool read_only,
		struct btrfs_scrub *ret, struct err *e)
{
	struct btrfs_ioctl_scrub_args args = {
		.devid = devid,
		.end = UINT64_MAX,
		.flags = read_only ? BTRFS_SCRUB_READONLY : 0,
	};
	long before = syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0);
	int r;

	/* Of this thread; a scheduler without priorities ignores it. */
	syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0));
	r = ioctl(fd, BTRFS_IOC_SCRUB, &args) ? fail(e, object, "scrub") : 0;
	if (before >= 0)
		syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, before);
	convert(&args.progress, ret);
	return r;
}

int btrfs_scrub_progress(int fd, const char *object, uint64_t devid, struct btrfs_scrub *ret,
			 struct err *e)
{
	struct btrfs_ioctl_scrub_args args = { .devid = devid };

	if (ioctl(fd, BTRFS_IOC_SCRUB_PROGRESS, &args))
		return errno == ENOTCONN || errno == ENODEV
			       ? 0
			       : fail(e, object, "ask how far the scrub is");
	convert(&args.progress, ret);
	return 1;
}

int btrfs_scrub_cancel(int fd, const char *object, struct err *e)
{
	if (!ioctl(fd, BTRFS_IOC_SCRUB_CANCEL, NULL))
		return 1;
	return errno == ENOTCONN ? 0 : fail(e, object, "cancel the scrub");
}

uint64_t btrfs_scrub_limit_bytes_per_s(const struct root *root, const char *uuid, uint64_t devid)
{
	return root_attr_u64(root, 0, "/sys/fs/btrfs/%s/devinfo/%llu/scrub_speed_max", uuid,
			     (unsigned long long)devid);
}

static void convert_balance(const struct btrfs_ioctl_balance_args *args, struct btrfs_balance *ret)
{
	*ret = (struct btrfs_balance){
		.expected = args->stat.expected,
		.considered = args->stat.considered,
		.completed = args->stat.completed,
		.running = args->state & BTRFS_BALANCE_STATE_RUNNING,
		.pausing = args->state & BTRFS_BALANCE_STATE_PAUSE_REQ,
		.cancelling = args->state & BTRFS_BALANCE_STATE_CANCEL_REQ,
	};
}

int btrfs_balance(int fd, const char *object, const struct btrfs_balance_filter *f,
		  struct btrfs_balance *ret, struct err *e)
{
	struct btrfs_ioctl_balance_args args = { 0 };
	struct btrfs_balance_args filter = { 0 };
	int r;

	if (f->usage_percent != UINT64_MAX) {
		filter.flags |= BTRFS_BALANCE_ARGS_USAGE;
		filter.usage = f->usage_percent;
	}
	if (f->limit != UINT64_MAX) {
		filter.flags |= BTRFS_BALANCE_ARGS_LIMIT;
		filter.limit = f->limit;
	}
	if (f->convert) {
		filter.flags |= BTRFS_BALANCE_ARGS_CONVERT | BTRFS_BALANCE_ARGS_SOFT;
		filter.target = f->convert;
	}
	if (f->types & BTRFS_DATA) {
		args.flags |= BTRFS_BALANCE_DATA;
		args.data = filter;
	}
	if (f->types & BTRFS_METADATA) {
		args.flags |= BTRFS_BALANCE_METADATA | BTRFS_BALANCE_SYSTEM;
		args.meta = filter;
		args.sys = filter;
	}
	r = ioctl(fd, BTRFS_IOC_BALANCE_V2, &args);
	if (r > 0) /* before 5.11 a code of btrfs's own, for "another operation runs" */
		errno = EINPROGRESS;
	r = r ? fail(e, object, "balance") : 0;
	convert_balance(&args, ret);
	return r;
}

int btrfs_balance_progress(int fd, const char *object, struct btrfs_balance *ret, struct err *e)
{
	struct btrfs_ioctl_balance_args args = { 0 };

	*ret = (struct btrfs_balance){ 0 };
	if (ioctl(fd, BTRFS_IOC_BALANCE_PROGRESS, &args))
		return errno == ENOTCONN ? 0 : fail(e, object, "ask how far the balance is");
	convert_balance(&args, ret);
	return 1;
}

int btrfs_balance_cancel(int fd, const char *object, struct err *e)
{
	if (!ioctl(fd, BTRFS_IOC_BALANCE_CTL, BTRFS_BALANCE_CTL_CANCEL))
		return 1;
	return errno == ENOTCONN ? 0 : fail(e, object, "cancel the balance");
}

int btrfs_defrag(int fd, const char *object, uint64_t start_bytes, uint64_t length_bytes,
		 enum btrfs_compression compression, struct err *e)
{
	struct btrfs_ioctl_defrag_range_args args = {
		.start = start_bytes,
		.len = length_bytes,
		.flags = BTRFS_DEFRAG_RANGE_START_IO |
			 (compression ? BTRFS_DEFRAG_RANGE_COMPRESS : 0),
		.compress_type = compression,
		.extent_thresh = 32 << 20, /* as btrfs filesystem defragment */
	};

	return ioctl(fd, BTRFS_IOC_DEFRAG_RANGE, &args) ? fail(e, object, "defragment") : 0;
}
