/* btrfs quotas: modes, limits and usage of subvolumes' own groups (qgroup 0/ID). */
#ifndef OS_BTRFS_QUOTA_H
#define OS_BTRFS_QUOTA_H

#include "lib/os/btrfs.h"

/* Simple quotas (Linux 6.7) charge an extent to the subvolume that wrote it; full ones follow
 * sharing, and cost time with every snapshot. */
enum btrfs_quota_mode { BTRFS_QUOTA_OFF, BTRFS_QUOTA_SIMPLE, BTRFS_QUOTA_FULL };
extern const char *const btrfs_quota_mode_names[]; /* "off", "simple", "full" */

struct btrfs_quota {
	uint32_t mode;	   /* enum btrfs_quota_mode */
	bool inconsistent; /* the numbers are wrong and limits do not hold: a rescan is needed */
	bool rescanning;
};
/* Of a mounted filesystem. fd is only needed to see a rescan; before Linux 6.1, which is the first
 * to tell the state in sysfs, inconsistent is never set. */
int btrfs_quota_get(const struct root *root, const char *uuid, int fd, const char *object,
		    struct btrfs_quota *ret, struct err *e);

/* Turns quotas on: simple ones, or full ones where this kernel has none (those then count what is
 * there, a rescan that goes on in the background). *ret is the mode it got. */
int btrfs_quota_enable(int fd, const char *object, enum btrfs_quota_mode *ret, struct err *e);
int btrfs_quota_disable(int fd, const char *object, struct err *e);
/* Starts counting again; -EINVAL with simple quotas. Waits for it to end when wait. */
int btrfs_quota_rescan(int fd, const char *object, bool wait, struct err *e);

struct btrfs_qgroup { /* U64_NONE: unknown; max: no limit */
	uint64_t referenced_bytes, exclusive_bytes, max_bytes, max_exclusive_bytes;
};
/* From sysfs, as it is now. False when there is none (quotas off, before Linux 5.9). */
bool btrfs_qgroup_get(const struct root *root, const char *uuid, uint64_t subvol_id,
		      struct btrfs_qgroup *ret);
/* How much a subvolume may refer to; U64_NONE takes the limit away. -ENOTCONN: quotas are off;
 * -ENOENT: it has no group. */
int btrfs_qgroup_limit(int fd, const char *object, uint64_t subvol_id, uint64_t max_bytes,
		       struct err *e);
/* -EBUSY: still in use (its subvolume's space is being freed); -ENOENT: there is none. */
int btrfs_qgroup_create(int fd, const char *object, uint64_t subvol_id, struct err *e);
int btrfs_qgroup_remove(int fd, const char *object, uint64_t subvol_id, struct err *e);

#endif
