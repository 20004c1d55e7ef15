/* Scrub: reading a btrfs whole, checking and repairing it. */
#ifndef STORAGE_BTRFS_SCRUB_H
#define STORAGE_BTRFS_SCRUB_H

#include "lib/storage/btrfs_fs.h"

enum scrub_state { SCRUB_NEVER, SCRUB_RUNNING, SCRUB_FINISHED, SCRUB_ABORTED, SCRUB_INTERRUPTED };

struct scrub { /* of the filesystem, or of one of its devices */
	uint32_t state;
	uint64_t devid;	  /* devices only */
	const char *path; /* mount point; device */
	const char *uuid;
	double started_time, resumed_time;
	double duration_s, left_s;
	uint64_t total_bytes, scrubbed_bytes;
	double done_percent;
	uint64_t rate_bytes_per_s, limit_bytes_per_s;
	uint64_t errors; /* read + csum + verify + super */
	uint64_t read_errors, csum_errors, verify_errors, super_errors, malloc_errors,
		corrected_errors, uncorrectable_errors, unverified_errors, no_csum, csum_discards;
};
extern const struct table scrub_table, scrub_device_table;

/*
 * Scrubs every device at once, one thread each, and returns when all are done: progress goes to
 * w->report, w->stop cancels (-EINTR). The record that scrub_status and btrfs-progs read is kept
 * all along. Safe to run in a background worker of a process of several threads. Returns
 * EXIT_FOUND when errors were found, corrected ones too; -EINPROGRESS when a scrub runs already.
 */
int scrub_run(struct world *w, const struct btrfs_fs *fs, bool read_only, struct err *e);
/* How it stands: one row of the filesystem, one of each device. */
int scrub_show(struct world *w, const struct btrfs_fs *fs, struct sink *out, struct err *e);

extern const struct operation scrub_start_op, scrub_status_op, scrub_cancel_op;

#endif
