/* Long work inside a btrfs: scrub, balance, defragmentation. Each blocks until it is done. */
#ifndef OS_BTRFS_WORK_H
#define OS_BTRFS_WORK_H

#include "lib/os/btrfs.h"

struct btrfs_scrub { /* the kernel's counters, in its order */
	uint64_t data_extents_scrubbed, tree_extents_scrubbed, data_bytes_scrubbed,
		tree_bytes_scrubbed, read_errors, csum_errors, verify_errors, no_csum, csum_discards,
		super_errors, malloc_errors, uncorrectable_errors, corrected_errors, last_physical,
		unverified_errors;
};

/*
 * Reads one device whole, checks it and repairs what has another copy (unless read_only), at idle
 * I/O priority: one call, and one thread, for each device. *ret is filled in also on failure.
 * -ECANCELED: cancelled by somebody; -EINPROGRESS: one runs already.
 */
int btrfs_scrub(int fd, const char *object, uint64_t devid, bool read_only,
		struct btrfs_scrub *ret, struct err *e);
/* 1 while a scrub of this device runs (*ret is how far it is), 0 when none does, or -errno. */
int btrfs_scrub_progress(int fd, const char *object, uint64_t devid, struct btrfs_scrub *ret,
			 struct err *e);
/* Of all devices: 1 when one ran, 0 when none did, or -errno. Returns when it has ended. */
int btrfs_scrub_cancel(int fd, const char *object, struct err *e);
/* What an administrator set as its limit, 0 for none. */
uint64_t btrfs_scrub_limit_bytes_per_s(const struct root *root, const char *uuid, uint64_t devid);

struct btrfs_balance {
	uint64_t expected, considered, completed; /* chunks */
	bool running; /* else it is paused */
	bool pausing, cancelling;
};
struct btrfs_balance_filter {
	uint64_t types;		 /* of BTRFS_DATA and BTRFS_METADATA (with it, system) */
	uint64_t usage_percent;	 /* only chunks used less than that; U64_NONE: all */
	uint64_t limit;		 /* at most so many chunks of each type; U64_NONE: all */
	uint64_t convert;	 /* BTRFS_RAID1 ...: only chunks of other profiles, to it; 0: none */
};
/* Rewrites chunks. -ECANCELED: cancelled or paused; -EINPROGRESS: an exclusive operation runs. */
int btrfs_balance(int fd, const char *object, const struct btrfs_balance_filter *f,
		  struct btrfs_balance *ret, struct err *e);
/* 1 when there is one, running or paused; 0 when there is none; or -errno. */
int btrfs_balance_progress(int fd, const char *object, struct btrfs_balance *ret, struct err *e);
/* 1 when there was one, 0 when none, or -errno. Returns when it has ended. */
int btrfs_balance_cancel(int fd, const char *object, struct err *e);

enum btrfs_compression { BTRFS_COMPRESS_NONE, BTRFS_COMPRESS_ZLIB, BTRFS_COMPRESS_LZO,
			 BTRFS_COMPRESS_ZSTD };
/* Rewrites fragmented extents of a part of a file (compressing them); fd is the file. What it
 * rewrites is no longer shared with snapshots and reflinks. */
int btrfs_defrag(int fd, const char *object, uint64_t start_bytes, uint64_t length_bytes,
		 enum btrfs_compression compression, struct err *e);

#endif
