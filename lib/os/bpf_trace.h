/* A running trace, as bpf.c opens it and bpf_counts.c reads it. */
#ifndef OS_BPF_TRACE_H
#define OS_BPF_TRACE_H

#include "lib/os/bpf.h"

enum { LINKS_MAX = 24 };

struct bpf_object;
struct bpf_link;
struct ring_buffer;

struct vfs_trace {
	struct vfs_backend backend;
	struct bpf_object *object;
	struct bpf_link *links[LINKS_MAX];
	int programs[LINKS_MAX];
	unsigned n_links;
	struct ring_buffer *ring;
	int cpus;
	int rows, hists, unused, roots, cgroups, verdicts, counters;
	bool key_root, key_cgroup;
	unsigned keys_max, names_max;
	uint64_t names_tidied, unnamed_tidied; /* how many there had been by then */
	int stats; /* keeps BPF_STATS_RUN_TIME on while open */
	void *bss;
	size_t bss_size, bss_epoch, bss_generation, key_size;
	struct vfs_hist *per_cpu;
	char tracefs[64];
	unsigned return_probes; /* made in tracefs */
	vfs_event_fn *fn;
	void *fn_arg;
};

/* Returns that a kretprobe in tracefs had no room to wait for. */
uint64_t vfs_trace_missed_returns(const struct vfs_trace *t);

#endif
