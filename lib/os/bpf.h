/* vfslat's BPF programs: loaded, attached by the best backend that works, read. Wraps libbpf. */
#ifndef OS_BPF_H
#define OS_BPF_H

#include "bpf/vfslat.h"
#include "lib/core/err.h"
#include "lib/core/mem.h"

#include <stdint.h>

struct vfs_trace;

/* The two forms of the programs as ELF files: with task storage, with a hash map. vfs_trace_open()
 * needs them no longer than its call. */
struct vfs_programs {
	const void *elf[2];
	size_t size[2];
};

struct vfs_trace_options {
	struct vfs_programs programs;
	struct vfs_config config; /* own_tgid, key_* and shared are filled in */
	struct vfs_subtree subtrees[VFS_SUBTREES];
	const char *backend;   /* "fentry", "kprobe", "syscalls"; NULL or "auto": the best that works */
	unsigned keys_max;     /* rows of counts */
	unsigned names_max;    /* of mounts, and of cgroups */
	uint64_t buffer_bytes; /* of the ring buffer: a power of two, at least a page */
	bool run_time;	       /* have the kernel measure the programs' run time (it costs some) */
};

/* What one way to attach came to; also for those that were not tried. */
struct vfs_backend {
	const char *name;    /* "fentry" */
	const char *state;   /* where a thread's operation is kept: "task storage", "hash map" */
	const char *measures; /* "the VFS function", "the system call" */
	const char *unseen;   /* what it cannot see */
	bool tried, works;
	const char *reason;  /* why it does not work; NULL */
	const char **functions; /* attached to; NULL where it does not work */
};
enum { VFS_BACKENDS = 6 };

/*
 * Opens the first that works. With all, tries every one and opens none: *ret stays NULL. Either way
 * list says what came of each (VFS_BACKENDS items, strings in the arena). ERR_UNSUPPORTED with the
 * reason when none works.
 */
int vfs_trace_open(const struct vfs_trace_options *o, bool all, struct vfs_backend *list,
		   struct arena *a, struct vfs_trace **ret, struct err *e);
void vfs_trace_close(struct vfs_trace **t);
#define auto_vfs_trace auto_release(vfs_trace_close)
const struct vfs_backend *vfs_trace_backend(const struct vfs_trace *t);

/* For poll(): readable when the buffer is half full. What is in it before that is there to read too. */
int vfs_trace_fd(const struct vfs_trace *t);
/* Hands over what is in the buffer; the number of events, or -errno. path: path_length bytes of names
 * from the leaf up. */
typedef void vfs_event_fn(void *arg, const struct vfs_event *e, const char *path);
int vfs_trace_poll(struct vfs_trace *t, vfs_event_fn *fn, void *arg);

/* Every row of counts, summed over the CPUs; max_ns is that of the epoch. Members of the key that
 * were not asked for are zero. */
typedef void vfs_hist_fn(void *arg, const struct vfs_key *key, const struct vfs_hist *h);
int vfs_trace_hists(struct vfs_trace *t, vfs_hist_fn *fn, void *arg);
/* The maximum is that of an interval; this begins one. */
void vfs_trace_next_epoch(struct vfs_trace *t);
/* Gives rows up; their keys begin anew when they come again. Takes some tens of milliseconds. */
void vfs_trace_forget(struct vfs_trace *t, const struct vfs_key *keys, size_t n);

int vfs_trace_root(struct vfs_trace *t, const struct vfs_root_key *key, struct vfs_root *ret);
int vfs_trace_cgroup(struct vfs_trace *t, uint64_t id, struct vfs_cgroup *ret);
/* Makes room for names where many were met since the last time: those of mounts and cgroups that no
 * count refers to go. They come back by themselves with the next event. */
void vfs_trace_tidy(struct vfs_trace *t);
int vfs_trace_decide(struct vfs_trace *t, const struct vfs_verdict_key *key, uint32_t verdict);
void vfs_trace_forget_verdicts(struct vfs_trace *t);

struct vfs_health {
	struct vfs_counters counters; /* summed over the CPUs */
	uint64_t uncounted; /* operations for which a map was full */
	uint64_t unnamed;   /* times that the name of a mount or cgroup could not be kept */
	uint64_t missed;    /* calls whose program did not run (kprobe without a free slot, recursion) */
	uint64_t runs;	    /* of the programs, where the kernel measures it */
	uint64_t run_ns;
	unsigned programs;  /* attached */
};
void vfs_trace_health(struct vfs_trace *t, struct vfs_health *ret);

#endif
