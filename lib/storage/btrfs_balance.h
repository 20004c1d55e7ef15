/* Balance: rewriting a btrfs's chunks, all or those that are mostly empty. */
#ifndef STORAGE_BTRFS_BALANCE_H
#define STORAGE_BTRFS_BALANCE_H

#include "lib/os/btrfs_work.h"
#include "lib/storage/btrfs_fs.h"

struct balance {
	const char *path; /* mount point */
	const char *uuid;
	uint32_t state; /* idle, running, paused, pausing, cancelling, finished, cancelled */
	uint64_t expected_chunks, considered_chunks, completed_chunks;
	double left_percent;
	const char *exclusive_operation; /* what the filesystem is busy with, as sysfs has it */
};
extern const struct table balance_table;

/*
 * Runs a balance and returns when it has ended: progress goes to w->report, w->stop cancels it
 * (-EINTR). Safe in a background worker. *ret is what was done, also on failure. -EINPROGRESS: an
 * exclusive operation runs, which the error names.
 */
int balance_run(struct world *w, const struct btrfs_fs *fs, const struct btrfs_balance_filter *f,
		struct btrfs_balance *ret, struct err *e);

/* The error -EINPROGRESS with the name of the operation that is in the way. */
int btrfs_busy(struct world *w, const struct btrfs_fs *fs, struct err *e);

extern const struct operation balance_start_op, balance_status_op, balance_cancel_op;

#endif
