/* What is remembered of scrubs, in btrfs-progs' own format and place, so that both tools agree. */
#ifndef STORAGE_BTRFS_SCRUB_FILE_H
#define STORAGE_BTRFS_SCRUB_FILE_H

#include "lib/core/root.h"
#include "lib/os/btrfs_work.h"

struct scrub_record { /* of one device */
	uint64_t devid;
	struct btrfs_scrub counters;
	uint64_t started_s, resumed_s, duration_s; /* since the epoch; 0: never */
	bool canceled;
	bool finished; /* ended, cancelled or not; false: it runs, or its program was killed */
};

/*
 * The last records of a filesystem: from the program that runs a scrub now (btrfs-progs listens on
 * a socket), else from the file. No record is no error: *ret_n is 0. Lines that are not understood
 * are skipped.
 */
int scrub_file_read(const struct root *root, const char *uuid, struct arena *a,
		    struct scrub_record **ret, size_t *ret_n, struct err *e);
/* Replaces the file as a whole; makes its directory. durable: on the disk before it returns. */
int scrub_file_write(const char *uuid, const struct scrub_record *records, size_t n, bool durable,
		     struct err *e);

#endif
