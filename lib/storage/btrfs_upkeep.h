/* Keeping a btrfs: devices' error counters, growing it to its devices, defragmenting files. */
#ifndef STORAGE_BTRFS_UPKEEP_H
#define STORAGE_BTRFS_UPKEEP_H

#include "lib/storage/btrfs_fs.h"

struct device_errors { /* columns as btrfs-progs' JSON has them */
	uint64_t devid;
	const char *device; /* NULL: missing */
	uint64_t write_io_errs, read_io_errs, flush_io_errs, corruption_errs, generation_errs;
};
extern const struct table device_errors_table;
/* In the arena, by devid; a missing device has no numbers (U64_NONE). */
int device_errors_read(struct world *w, const struct btrfs_fs *fs, bool reset,
		       struct device_errors **ret, size_t *ret_n, struct err *e);

/* device_stats only reads; reset_device_stats shows the counters and sets them to 0. */
extern const struct operation device_stats_op, reset_device_stats_op, resize_max_op, defrag_op;

#endif
