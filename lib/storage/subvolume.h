/* Subvolumes, snapshots and quotas of a btrfs, by name below its top level: the operations. */
#ifndef STORAGE_SUBVOLUME_H
#define STORAGE_SUBVOLUME_H

#include "lib/core/op.h"

struct subvolume {
	uint64_t id, gen, cgen; /* gen: last change; cgen: of its making */
	uint64_t parent, top_level;
	const char *path;
	bool read_only;
	const char *uuid, *parent_uuid, *received_uuid;
	double created_time, changed_time;
	uint64_t referenced_bytes, exclusive_bytes, max_bytes; /* with quotas on */
	const char **mount_points;
	const char **snapshots; /* of it: paths; only where one subvolume is shown */
	const char *quota;	/* "off", "simple", "full" */
	bool quota_inconsistent;
};
extern const struct table subvolume_table, subvolume_detail_table, subvolume_quota_table;

/* What mos-sysvol makes and nobody deletes: names at the top level. NULL at the end. */
extern const char *const core_subvolumes[];

/*
 * Whether a name is one below the top level: relative, no empty component, `.` or `..`, at most
 * 255 bytes each; new: no control characters either. ERR_INVALID.
 */
int subvolume_check_name(const char *name, bool new, struct err *e);

extern const struct operation list_subvolumes_op, show_subvolume_op, create_subvolume_op,
	snapshot_subvolume_op, delete_subvolume_op, set_quota_op;

#endif
