/* Replacing a member of a btrfs, present or missing, by another device. */
#ifndef OS_BTRFS_REPLACE_H
#define OS_BTRFS_REPLACE_H

#include "lib/os/btrfs.h"

/*
 * Copies what member devid holds (from the other copies, where it is missing) to target, which
 * then takes its place; what target held is overwritten. Blocks until it is done. A cut of power or
 * an unmount suspends it; the kernel goes on with it by itself at the next mount.
 * -EINPROGRESS: an exclusive operation runs; -ECANCELED: cancelled.
 */
int btrfs_replace(int fd, const char *object, uint64_t devid, const char *target, struct err *e);

enum btrfs_replace_state { BTRFS_REPLACE_NEVER, BTRFS_REPLACE_RUNNING, BTRFS_REPLACE_FINISHED,
			   BTRFS_REPLACE_CANCELED, BTRFS_REPLACE_SUSPENDED };
struct btrfs_replace {
	enum btrfs_replace_state state;
	unsigned permille; /* done */
	uint64_t write_errors, uncorrectable_errors;
};
int btrfs_replace_progress(int fd, const char *object, struct btrfs_replace *ret, struct err *e);
int btrfs_replace_cancel(int fd, const char *object, struct err *e);

/* The superblock of a member. */
struct btrfs_super {
	uint64_t devid;	     /* 0 while it is the target of a replace that has not finished */
	uint64_t generation; /* of the last commit that this member was part of */
};
/* fd: of the block device. -EINVAL: no btrfs is there. */
int btrfs_super_read(int fd, struct btrfs_super *ret);

#endif
