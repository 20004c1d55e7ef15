/*
 * The one table of the volume manager: each method of the daemon with its operation and the
 * client's command. Dispatch, the OpenRPC document, the client's commands and its help stand on it.
 */
#ifndef STORAGE_METHODS_H
#define STORAGE_METHODS_H

#include "lib/core/applet.h"
#include "lib/os/json.h"

enum method_flag {
	/* A change that the kernel lets others go on beside, or that ends another: takes no lock. */
	METHOD_SHARED = 1,
	/* Answers when it has begun, with what `status` shows, and goes on. */
	METHOD_BACKGROUND = 2,
	/* Its result is a JSON document, not rows. */
	METHOD_DOCUMENT = 4,
};

/* command, operation, flags, operation that shows how far a background one is */
#define METHODS(M)                                                                              \
	M("status", inventory_op, 0, NULL)                                                      \
	M("disks", list_disks_op, 0, NULL)                                                      \
	M("partitions", list_partitions_op, 0, NULL)                                            \
	M("filesystems", list_mos_filesystems_op, 0, NULL)                                      \
	M("mounts", list_mos_mounts_op, 0, NULL)                                                \
	M("subvolumes", list_subvolumes_op, 0, NULL)                                            \
	M("free-space", list_free_space_op, 0, NULL)                                            \
	M("topologies", feasible_topologies_op, 0, NULL)                                        \
	M("usage", usage_op, 0, NULL)                                                           \
	M("device-stats", device_stats_op, 0, NULL)                                             \
	M("scrub-status", scrub_status_op, 0, NULL)                                             \
	M("fs-usage", fs_usage_op, 0, NULL)                                                     \
	M("fs-df", fs_df_op, 0, NULL)                                                           \
	M("create-partition", create_partition_op, 0, NULL)                                     \
	M("create-filesystem", create_filesystem_op, 0, NULL)                                   \
	M("mount", mount_op, 0, NULL)                                                           \
	M("unmount", unmount_op, 0, NULL)                                                       \
	M("create-subvolume", create_subvolume_op, 0, NULL)                                     \
	M("delete-subvolume", delete_subvolume_op, 0, NULL)                                     \
	M("snapshot", snapshot_subvolume_op, 0, NULL)                                           \
	M("set-quota", set_quota_op, 0, NULL)                                                   \
	M("scrub-start", scrub_start_op, METHOD_SHARED | METHOD_BACKGROUND, &scrub_status_op)   \
	M("scrub-cancel", scrub_cancel_op, METHOD_SHARED, NULL)                                 \
	M("balance-start", balance_start_op, METHOD_SHARED | METHOD_BACKGROUND, &balance_status_op) \
	M("balance-status", balance_status_op, 0, NULL)                                         \
	M("balance-cancel", balance_cancel_op, METHOD_SHARED, NULL)                             \
	M("defrag", defrag_op, METHOD_SHARED, NULL)                                             \
	M("resize-max", resize_max_op, 0, NULL)                                                 \
	M("watch", watch_op, 0, NULL)                                                           \
	M("discover", discover_op, METHOD_DOCUMENT, NULL)

#define METHOD_OPERATION(command, op, flags, status) extern const struct operation op;
METHODS(METHOD_OPERATION)
#undef METHOD_OPERATION

struct method {
	const char *command; /* the client's */
	const struct operation *op;
	unsigned flags;
	const struct operation *status;
};
extern const struct method methods[]; /* ends with op == NULL */
#define METHODS_MAX 64

/* "storage.list_disks"; in buf. */
enum { METHOD_NAME_MAX = 64 };
const char *method_name(const struct method *m, char buf[static METHOD_NAME_MAX]);
const struct method *method_by_name(const char *name);
const struct method *method_by_op(const struct operation *op);

/*
 * What a daemon must hold a caller to, who is perhaps not its own administrator: paths absolute,
 * without `..`; those of directories and mount points lead through no link, those of devices to
 * below /dev. ERR_INVALID. What is not there is left for the operation to say.
 */
int method_check_paths(const struct method *m, const void *params, struct err *e);

/*
 * Runs it and gives its result as JSON text of one line, to be freed: rows by the writer of core, a
 * document, or null. A background one runs to its end. Returns what the operation returns; *ret is
 * NULL on failure.
 */
int method_run(struct world *w, const struct method *m, const void *params, char **ret,
	       struct err *e);
/* Params of the status operation with the values that params has by the same names. */
const void *method_status_params(const struct method *m, const void *params, struct arena *a);
/* Runs an operation as method_run() does. */
int method_rows(struct world *w, const struct operation *op, const void *params, char **ret,
		struct err *e);

/* The rows of a result, given to a sink as the operation itself would: the inverse of method_rows(). */
int method_replay(const struct operation *op, const void *params, const struct json *result,
		  struct arena *a, struct sink *out, struct err *e);

#endif
