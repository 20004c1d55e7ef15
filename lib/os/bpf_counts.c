/* What the programs counted and noted in their maps: read, and given up where it is old. */
#include "lib/os/bpf_trace.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

static void add_up(struct vfs_hist *sum, const struct vfs_hist *h, uint64_t epoch)
{
	sum->count += h->count;
	sum->errors += h->errors;
	sum->slow += h->slow;
	sum->bytes += h->bytes;
	sum->total_ns += h->total_ns;
	sum->blocked_ns += h->blocked_ns;
	sum->queued_ns += h->queued_ns;
	sum->split_ns += h->split_ns;
	if (h->max_epoch == epoch && h->max_ns > sum->max_ns)
		sum->max_ns = h->max_ns;
	for (int i = 0; i < HIST_SLOTS; i++)
		sum->slots[i] += h->slots[i];
}

static uint64_t *epoch_of(const struct vfs_trace *t)
{
	return (uint64_t *)((char *)t->bss + t->bss_epoch);
}

int vfs_trace_hists(struct vfs_trace *t, vfs_hist_fn *fn, void *arg)
{
	struct vfs_key key = { 0 }, next = { 0 };
	const void *from = NULL;
	int r;

	while (!(r = bpf_map_get_next_key(t->rows, from, &next))) {
		struct vfs_hist sum = { 0 };
		uint32_t row;

		from = &key;
		memcpy(&key, &next, t->key_size);
		if (bpf_map_lookup_elem(t->rows, &key, &row) ||
		    bpf_map_lookup_elem(t->hists, &row, t->per_cpu))
			continue;
		for (int i = 0; i < t->cpus; i++)
			add_up(&sum, &t->per_cpu[i], *epoch_of(t));
		fn(arg, &key, &sum);
	}
	return r == -ENOENT ? 0 : r;
}

void vfs_trace_next_epoch(struct vfs_trace *t)
{
	__atomic_add_fetch(epoch_of(t), 1, __ATOMIC_RELAXED);
}

/* Until the programs that run now have ended, which is what the kernel's RCU waits for; with one CPU
 * membarrier() does not (kernel/sched/membarrier.c). */
static void wait_for_programs(void)
{
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2 || syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0))
		usleep(100000);
}

void vfs_trace_forget(struct vfs_trace *t, const struct vfs_key *keys, size_t n)
{
	uint32_t *rows auto_free = xcalloc(n, sizeof *rows);
	uint32_t *generation = (uint32_t *)((char *)t->bss + t->bss_generation);
	size_t found = 0;

	for (size_t i = 0; i < n; i++)
		if (!bpf_map_lookup_elem(t->rows, &keys[i], &rows[found]) &&
		    !bpf_map_delete_elem(t->rows, &keys[i]))
			found++;
	if (!found)
		return;
	/* A program that found a row before writes down its number for the thread's next operation;
	 * with another generation nobody believes it, and when those that did have ended, the row can
	 * be another key's. */
	wait_for_programs();
	__atomic_add_fetch(generation, 1, __ATOMIC_SEQ_CST);
	wait_for_programs();
	memset(t->per_cpu, 0, (size_t)t->cpus * sizeof *t->per_cpu);
	for (size_t i = 0; i < found; i++) {
		bpf_map_update_elem(t->hists, &rows[i], t->per_cpu, BPF_ANY);
		bpf_map_update_elem(t->unused, NULL, &rows[i], BPF_ANY);
	}
}

int vfs_trace_root(struct vfs_trace *t, const struct vfs_root_key *key, struct vfs_root *ret)
{
	return bpf_map_lookup_elem(t->roots, key, ret);
}

int vfs_trace_cgroup(struct vfs_trace *t, uint64_t id, struct vfs_cgroup *ret)
{
	return bpf_map_lookup_elem(t->cgroups, &id, ret);
}

/* All keys of a map, at most max. */
static size_t read_keys(int map, size_t size, size_t max, void *ret)
{
	char *to = ret;
	size_t n = 0;

	while (n < max && !bpf_map_get_next_key(map, n ? to + (n - 1) * size : NULL, to + n * size))
		n++;
	return n;
}

void vfs_trace_tidy(struct vfs_trace *t)
{
	struct vfs_root_key *roots auto_free = NULL;
	uint64_t *cgroups auto_free = NULL;
	char *keys auto_free = NULL;
	size_t n_roots, n_cgroups, n_keys;
	struct vfs_health h;

	vfs_trace_health(t, &h);
	if (h.counters.names_kept - t->names_tidied < t->names_max / 4 &&
	    h.unnamed == t->unnamed_tidied)
		return;
	t->names_tidied = h.counters.names_kept;
	t->unnamed_tidied = h.unnamed;
	roots = xcalloc(t->names_max, sizeof *roots);
	cgroups = xcalloc(t->names_max, sizeof *cgroups);
	keys = xcalloc(t->keys_max, t->key_size);
	/* The names before the counts: a count that comes in between has its names by then. */
	n_roots = read_keys(t->roots, sizeof *roots, t->names_max, roots);
	n_cgroups = read_keys(t->cgroups, sizeof *cgroups, t->names_max, cgroups);
	n_keys = t->key_root || t->key_cgroup ? read_keys(t->rows, t->key_size, t->keys_max, keys) : 0;
	for (size_t i = 0; i < n_keys; i++) {
		struct vfs_key key = { 0 };

		memcpy(&key, keys + i * t->key_size, t->key_size);
		for (size_t j = 0; j < n_roots && t->key_root; j++)
			if (roots[j].root == key.root && roots[j].root_ino == key.root_ino &&
			    roots[j].dev == key.dev)
				roots[j].root = 0;
		for (size_t j = 0; j < n_cgroups && t->key_cgroup; j++)
			if (cgroups[j] == key.cgroup)
				cgroups[j] = 0;
	}
	for (size_t j = 0; j < n_roots; j++)
		if (roots[j].root)
			bpf_map_delete_elem(t->roots, &roots[j]);
	for (size_t j = 0; j < n_cgroups; j++)
		if (cgroups[j])
			bpf_map_delete_elem(t->cgroups, &cgroups[j]);
}

int vfs_trace_decide(struct vfs_trace *t, const struct vfs_verdict_key *key, uint32_t verdict)
{
	return bpf_map_update_elem(t->verdicts, key, &verdict, BPF_ANY);
}

void vfs_trace_forget_verdicts(struct vfs_trace *t)
{
	struct vfs_verdict_key key;

	while (!bpf_map_get_next_key(t->verdicts, NULL, &key))
		if (bpf_map_delete_elem(t->verdicts, &key))
			break;
}

void vfs_trace_health(struct vfs_trace *t, struct vfs_health *ret)
{
	struct vfs_counters *c auto_free = xcalloc((size_t)t->cpus, sizeof *c);
	uint32_t zero = 0;

	*ret = (struct vfs_health){ .programs = t->n_links };
	if (!bpf_map_lookup_elem(t->counters, &zero, c))
		for (int i = 0; i < t->cpus; i++) {
			ret->counters.lost_full += c[i].lost_full;
			ret->counters.lost_limited += c[i].lost_limited;
			ret->counters.full_counts += c[i].full_counts;
			ret->counters.full_states += c[i].full_states;
			ret->counters.full_requests += c[i].full_requests;
			ret->counters.full_mounts += c[i].full_mounts;
			ret->counters.full_cgroups += c[i].full_cgroups;
			ret->counters.names_kept += c[i].names_kept;
			ret->counters.unfinished += c[i].unfinished;
			ret->counters.nested += c[i].nested;
			ret->counters.reported += c[i].reported;
		}
	ret->uncounted = ret->counters.full_counts + ret->counters.full_states +
			 ret->counters.full_requests;
	ret->unnamed = ret->counters.full_mounts + ret->counters.full_cgroups;
	for (unsigned i = 0; i < t->n_links; i++) {
		struct bpf_prog_info info = { 0 };
		uint32_t size = sizeof info;

		if (bpf_obj_get_info_by_fd(t->programs[i], &info, &size))
			continue;
		ret->missed += info.recursion_misses;
		ret->runs += info.run_cnt;
		ret->run_ns += info.run_time_ns;
	}
	ret->missed += vfs_trace_missed_returns(t);
}
