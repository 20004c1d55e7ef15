/* How the space of filesystems is used: by statvfs, and for btrfs by chunks. */
#ifndef STORAGE_BTRFS_USAGE_H
#define STORAGE_BTRFS_USAGE_H

#include "lib/storage/btrfs_fs.h"

struct fs_overall { /* as `btrfs filesystem usage` has it: bytes on devices, copies counted */
	const char *path, *uuid, *label;
	uint64_t device_size_bytes, device_allocated_bytes;
	int64_t device_unallocated_bytes; /* below 0 on a degraded one */
	uint64_t device_missing_bytes, device_slack_bytes, used_bytes;
	uint64_t free_estimated_bytes, free_estimated_min_bytes, free_statfs_bytes;
	double data_ratio, metadata_ratio; /* bytes on devices for one byte of content */
	uint64_t global_reserve_bytes, global_reserve_used_bytes;
	bool multiple_profiles;
};
struct fs_space { /* one type and profile; without its copies */
	const char *type, *profile;
	uint64_t total_bytes, used_bytes;
	double used_percent;
};
struct fs_chunks { /* of one device; type "Unallocated" is what is left of it */
	uint64_t devid;
	const char *path;
	const char *type, *profile;
	int64_t size_bytes;
};

/* The rule: from what the kernel told to the sums. path, uuid, label and free_statfs_bytes are the
 * caller's. */
void fs_overall_from(const struct btrfs_device *d, size_t n_devices, const struct btrfs_space *s,
		     size_t n_spaces, const struct btrfs_chunks *c, size_t n_chunks,
		     struct fs_overall *ret);

extern const struct operation usage_op, fs_usage_op, fs_df_op;

#endif
