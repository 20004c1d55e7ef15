/* vfslat's parts: what a command line asks for, the running trace, names for what the kernel counts. */
#ifndef APPLETS_VFSLAT_VFSLAT_H
#define APPLETS_VFSLAT_VFSLAT_H

#include "lib/core/applet.h"
#include "lib/core/graph.h"
#include "lib/os/bpf.h"
#include "lib/os/mount.h"
#include "lib/storage/k8s.h"

struct vfslat_params {
	/* what is traced */
	const char **op, **kind;
	double slow_ms;
	bool all;
	double sample;
	const char **path, **mount, **pid, **cgroup;
	const char *comm;
	uint64_t min_size_bytes;
	const char **without;
	/* how */
	const char *backend, *kubelet;
	bool no_split, self_time;
	uint32_t max_events, max_keys, max_names;
	uint64_t buffer_bytes;
	/* where else it goes */
	const char *metrics, *listen, *otlp;
	double metrics_interval_s, forget_s;
	bool legacy_names;
	/* summaries */
	const char **by;
	double interval_s, duration_s;
	const char *sort;
};

extern const char *const vfslat_op_names[VFS_OPS + 1]; /* by enum vfs_op */

/* What operations are grouped by: --by. */
enum group {
	GROUP_OP,
	GROUP_MOUNT,
	GROUP_FSTYPE,
	GROUP_DEVICE,
	GROUP_POD,
	GROUP_VOLUME,
	GROUP_CONTAINER,
	GROUP_COMMAND,
	GROUPS,
};

/* programs.c */
struct vfs_programs vfslat_programs(void);
void vfs_programs_free(struct vfs_programs *p);
#define auto_vfs_programs auto_release(vfs_programs_free)

/* names.c: who and where. Strings stay valid until the next names_refresh(). */
struct who {
	const char *cgroup;
	struct k8s_container container;
	const char *namespace, *pod, *container_name;
};

struct place {
	const char *device; /* "sda1", "0:45" */
	const char *fstype, *mount;
	const char *path; /* the host's; where the host does not see it, the filesystem's own */
	struct k8s_volume volume;
};

struct names;
int names_new(const struct vfslat_params *p, const struct root *root, struct names **ret,
	      struct err *e);
void names_free(struct names **n);
#define auto_names auto_release(names_free)
/* Ready to read (POLLPRI) when a mount came or went; -1: there is none. */
int names_fd(const struct names *n);
/* Reads anew what may have changed; now_ns: CLOCK_MONOTONIC. Cheap when nothing has. */
void names_refresh(struct names *n, bool mounts_changed, uint64_t now_ns);
void names_who(struct names *n, struct vfs_trace *t, uint64_t cgroup, struct who *ret);
/* path: below the superblock's root, NULL: the mount's root itself. fstype may be NULL. */
void names_place(struct names *n, struct vfs_trace *t, const struct vfs_root_key *root,
		 uint32_t mount_id, const char *path, const struct who *who, struct place *ret,
		 struct arena *a);
const struct mount_info *names_mounts(const struct names *n, size_t *ret_n);
const struct k8s_node *names_node(const struct names *n);
/* The host's files, also as seen from a container. */
const struct root *names_root(const struct names *n);
/* A path from names that the kernel gave, leaf first. */
const char *names_path(const char *names, size_t length, bool truncated, struct arena *a);
uint32_t names_dev(const char *devno); /* "8:1" as the kernel writes it, 0: none */

/* session.c: a trace that runs. */
struct session {
	struct world *w;
	const struct vfslat_params *p;
	struct sink *out;
	struct vfs_trace *trace;
	struct names *names;
	struct exporter *exporter; /* metrics; NULL: none asked for */
	struct vfs_backend backends[VFS_BACKENDS];
	unsigned without; /* 1 << enum volume_type */
	uint64_t slow_ns, started_ns;
	uint64_t forget_ns; /* what has not grown for so long is given up */
	double wall_minus_monotonic_s;
	uint64_t warned_lost, warned_ns, flushed_ns;
	unsigned pending;
	void (*on_event)(struct session *s, const struct vfs_event *e, const char *path);
	struct err *e;
	int failed; /* -errno of a row that could not be written */
};
/* groups: bits 1 << enum group that the kernel's counts must tell apart. */
int session_open(struct session *s, unsigned groups, bool counts_only, struct err *e);
void session_close(struct session *s);
#define auto_session auto_release(session_close)
/* Handles what comes until until_ns (CLOCK_MONOTONIC, U64_NONE: for ever). 0; 1 when stopped;
 * -errno. */
int session_run(struct session *s, uint64_t until_ns, struct err *e);
/* Waits at most so long, once, and handles what there is. */
int session_step(struct session *s, int timeout_ms, struct err *e);
/* What is left in the buffer, the last metrics, what was lost. */
int session_end(struct session *s, struct err *e);
void session_event_row(struct session *s, const struct vfs_event *e, const char *path);
/* Columns that a person can best do without, first to go first, where the terminal is narrow. */
struct droppable {
	const char *column;
	unsigned characters;
};
/* Of the terminal on stdout; 0: rows are not shown on one. */
unsigned session_width(const struct world *w);
/* Hides what does not fit; need: of the table with all that it shows. */
void session_fit(struct sink *out, const struct table *t, unsigned width, unsigned need,
		 const struct droppable *drops);
/* Says on stderr what was lost since it last did. */
void session_warn_losses(struct session *s, bool last);

extern const struct table slow_table;

/* summary.c: the kernel's counts, by group. */
struct summary_row {
	double start_time, interval_s;
	const char *operation, *mount, *fstype, *device, *namespace, *pod, *pod_uid, *volume_type,
		*volume, *plugin, *container, *container_id, *command;
	uint64_t count, errors, slow, bytes;
	double rate;
	double bytes_per_s;
	uint64_t avg_ns, p50_ns, p90_ns, p99_ns, max_ns;
	double cpu_percent, queued_percent, blocked_percent;
};

struct counts { /* one key's, or one group's */
	uint64_t count, errors, slow, bytes, total_ns, blocked_ns, queued_ns, split_ns, max_ns;
	uint64_t slots[HIST_SLOTS];
};

struct summary_group {
	struct summary_row row; /* its group's columns; strings in the arena of the summary */
	struct counts counts;
};

struct summary;
int summary_groups(const char *const *by, unsigned *ret_groups, struct err *e);
/* keeps_maximum: max_ns is that since its last reading; for one reader at most. */
struct summary *summary_new(unsigned groups, bool keeps_maximum);
void summary_free(struct summary **m);
#define auto_summary auto_release(summary_free)
/* Reads the counts and gives what was added since the last time, the most time first. Items and
 * their strings live until the next call. */
int summary_read(struct summary *m, struct session *s, struct summary_group **ret, size_t *ret_n,
		 struct err *e);
void summary_fill_row(struct summary_group *g, double interval_s);
uint64_t counts_quantile_ns(const struct counts *c, double q);
uint64_t slot_low_ns(unsigned slot);
uint64_t slot_high_ns(unsigned slot);
void counts_add(struct counts *to, const struct counts *c);

extern const struct table summary_table;
/* width: of the terminal; 0: no matter. */
void summary_show_columns(struct sink *out, const struct table *t, unsigned groups, unsigned width);
/* "op,mount" */
const char *summary_group_text(unsigned groups, struct arena *a);
extern const struct field vfslat_summary_params[]; /* in vfslat.c, beside the other modes' */
extern const struct operation vfslat_summary_op, vfslat_histogram_op, vfslat_heatmap_op,
	vfslat_top_op, vfslat_volumes_op;

/* export.c: OpenMetrics to a file and over HTTP, OTLP JSON lines. */
struct exporter;
int exporter_open(struct session *s, struct exporter **ret, struct err *e);
void exporter_close(struct exporter **x);
/* For poll(): the listening socket, or -1. */
int exporter_fd(const struct exporter *x);
/* Writes what is due, answers who asks. */
int exporter_run(struct exporter *x, struct session *s, bool asked, bool last, struct err *e);

#endif
