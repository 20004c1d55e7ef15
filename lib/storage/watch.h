/* What changes in a machine's storage, as events: disks, mounts, scrubs, balances, btrfs errors. */
#ifndef STORAGE_WATCH_H
#define STORAGE_WATCH_H

#include "lib/core/op.h"

enum event_kind { EVENT_DISK_ADDED, EVENT_DISK_REMOVED, EVENT_DISK_CHANGED, EVENT_PARTITION_ADDED,
		  EVENT_PARTITION_REMOVED, EVENT_PARTITION_CHANGED, EVENT_MOUNTED, EVENT_UNMOUNTED,
		  EVENT_REMOUNTED, EVENT_SCRUB, EVENT_BALANCE, EVENT_DEVICE_ERRORS };

struct event {
	double seen_time;
	uint32_t event;	      /* enum event_kind */
	const char *object;   /* device node, mount point */
	const char *text;     /* what there is to say beyond the columns */
	double done_percent;  /* scrub, balance */
	uint64_t count, rise; /* device_errors: the counter, and by how much it rose */
};
extern const struct table event_table;

/* Rows until w->stop. What is there at first is no event, but a scrub or balance that runs is. */
extern const struct operation watch_op;

/* What the daemon sends to those who watch; its params are a row. */
#define WATCH_NOTIFICATION "storage.event"

#endif
