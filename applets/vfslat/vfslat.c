/* vfslat: where a file operation's time goes, per volume and per pod. */
#include "applets/vfslat/vfslat.h"

#include <errno.h>

#define P struct vfslat_params

/* What every mode that traces takes. */
#define TRACE_FIELDS                                                                              \
	FIELD(P, op, 0, "read, write, fsync, readdir; all of them", .arg = "OP,..."),             \
	FIELD(P, slow_ms, 0, "longer is slow, in milliseconds", .def = "10", .arg = "MS"),        \
	FIELD(P, path, 0, "only files below a directory", .arg = "DIR", .complete = "dir"),       \
	FIELD(P, mount, 0, "only files of a mount", .arg = "DIR", .complete = "mount"),           \
	FIELD(P, pid, 0, "only these processes", .letter = 'p', .arg = "PID,..."),                \
	FIELD(P, comm, 0, "only threads of this name", .arg = "NAME"),                            \
	FIELD(P, cgroup, 0, "only a cgroup and those below it", .arg = "PATH"),                   \
	FIELD(P, min_size_bytes, 0, "only reads and writes that ask for so much", .arg = "SIZE"), \
	FIELD(P, kind, 0, "of files: file, dir, block, char, pipe, socket; file,dir",             \
	      .arg = "KIND,..."),                                                                 \
	FIELD(P, without, 0, "leave out volumes of a type: pvc, configmap, secret, hostpath, "    \
			     "emptydir, projected, downwardapi, rootfs, log ...",                 \
	      .arg = "TYPE,..."),                                                                 \
	FIELD(P, backend, 0, "auto, fentry, kprobe, syscalls; =list: what works here",            \
	      .def = "auto", .arg = "NAME"),                                                      \
	FIELD(P, no_split, 0, "do not tell CPU, waiting to run and blocked apart"),               \
	FIELD(P, kubelet, 0, "the kubelet's folder", .def = "/var/lib/kubelet", .arg = "DIR",     \
	      .complete = "dir"),                                                                 \
	FIELD(P, max_keys, 0, "rows of counts the kernel keeps", .def = "1024", .arg = "N"),      \
	FIELD(P, metrics, 0, "keep OpenMetrics text in a file", .arg = "FILE", .complete = "file"), \
	FIELD(P, listen, 0, "serve /metrics over HTTP", .arg = "ADDR:PORT"),                      \
	FIELD(P, otlp, 0, "append OTLP metrics as JSON lines to a file", .arg = "FILE",           \
	      .complete = "file"),                                                                \
	FIELD(P, metrics_interval_s, 0, "how often the files are written", .def = "10",           \
	      .arg = "TIME"),                                                                     \
	FIELD(P, legacy_names, 0, "storage_io_latency_ms instead of _seconds"),                   \
	FIELD(P, self_time, 0, "have the kernel measure the programs' own time (it costs some)"), \
	FIELD(P, max_events, HIDDEN, "rows a second and CPU", .def = "10000", .arg = "N"),        \
	FIELD(P, max_names, HIDDEN, "mounts and cgroups named", .def = "4096", .arg = "N"),       \
	FIELD(P, forget_s, HIDDEN, "give up what has not grown so long", .def = "600",            \
	      .arg = "TIME"),                                                                     \
	FIELD(P, buffer_bytes, HIDDEN, "the ring buffer", .def = "4M", .arg = "SIZE")

static const struct field slow_params[] = {
	TRACE_FIELDS,
	FIELD(P, all, 0, "also what is not slow: of Kubernetes volumes all, of other paths a sample",
	      .letter = 'a'),
	FIELD(P, sample, 0, "share of the other paths that --all shows", .def = "0.1", .arg = "SHARE"),
	FIELD(P, duration_s, OPERAND, "how long; until Ctrl-C", .arg = "DURATION"),
	FIELD_END,
};

const struct field vfslat_summary_params[] = {
	TRACE_FIELDS,
	FIELD(P, by, 0, "op, mount, filesystem, device, pod, volume, container, command; op,mount",
	      .arg = "GROUP,..."),
	FIELD(P, interval_s, OPERAND, "a report so often; one at the end", .arg = "INTERVAL"),
	FIELD(P, duration_s, OPERAND, "how long; until Ctrl-C", .arg = "DURATION"),
	FIELD_END,
};

static int run_slow(struct world *w, const void *params, struct sink *out, struct err *e)
{
	const struct vfslat_params *p = params;
	struct session s auto_session = { .w = w, .p = p, .out = out, .on_event = session_event_row };
	uint64_t until = U64_NONE;
	int r = session_open(&s, 1 << GROUP_OP, false, e);

	if (r)
		return r;
	if (!isnan(p->duration_s))
		until = s.started_ns + (uint64_t)(p->duration_s * 1e9);
	r = session_run(&s, until, e);
	if (r < 0)
		return r;
	return session_end(&s, e);
}

static const struct operation slow_op = {
	.name = "vfslat_operations",
	.summary = "one row for each slow operation",
	.params = slow_params,
	.params_size = sizeof(P),
	.tables = TABLES(&slow_table),
	.flags = OP_STREAM | OP_LOCAL,
	.run = run_slow,
};

/*  --backend=list  */

struct backend_row {
	const char *backend, *state;
	bool works;
	const char *measures;
	const char **attached;
	const char *unseen, *reason;
};

static const struct field backend_fields[] = {
	FIELD(struct backend_row, backend, 0, "name, best first"),
	FIELD(struct backend_row, state, 0, "where a thread's operation is kept meanwhile"),
	FIELD(struct backend_row, works, 0, "it was loaded and attached"),
	FIELD(struct backend_row, measures, 0, "what the latency is of"),
	FIELD(struct backend_row, attached, 0, "what it was attached to"),
	FIELD(struct backend_row, unseen, 0, "what it cannot see"),
	FIELD(struct backend_row, reason, 0, "why it does not work"),
	FIELD_END,
};
static const struct table backend_table =
	TABLE(struct backend_row, "backends", "ways to attach", backend_fields);

static const struct field no_params[] = { FIELD_END };

static int run_backends(struct world *w, const void *params, struct sink *out, struct err *e)
{
	struct vfs_programs programs auto_vfs_programs = vfslat_programs();
	struct vfs_trace_options o = {
		.programs = programs, .keys_max = 16, .names_max = 16, .buffer_bytes = 64 << 10,
		.config = { .ops = 0x1e, .split = 1, .slow_ns = UINT64_MAX },
	};
	struct vfs_backend list[VFS_BACKENDS];
	bool any = false;
	int r = vfs_trace_open(&o, true, list, w->mem, NULL, e);

	(void)params;
	for (size_t i = 0; !r && i < COUNT(list); i++) {
		const struct vfs_backend *b = &list[i];
		const struct backend_row row = {
			.backend = b->name, .state = b->state, .works = b->works,
			.measures = b->measures, .attached = b->functions, .unseen = b->unseen,
			.reason = b->reason,
		};

		any |= b->works;
		r = sink_row(out, &backend_table, &row);
	}
	if (r)
		return r;
	return any ? 0 : EXIT_UNSUPPORTED;
}

static const struct operation backends_op = {
	.name = "vfslat_backends",
	.summary = "which ways to attach work on this kernel, and why not the others",
	.params = no_params,
	.params_size = sizeof(int),
	.tables = TABLES(&backend_table),
	.flags = OP_LOCAL,
	.run = run_backends,
};

const struct applet vfslat_applet = {
	.name = "vfslat",
	.summary = "VFS latency by eBPF: slow operations, histograms, Kubernetes volumes",
	.text = "Times read, write, fsync and directory reading where the kernel's virtual file system "
		"handles them, by eBPF. Without a mode it shows each operation that took longer than "
		"--slow-ms, with the time's split into CPU, waiting to run and blocked, and with the "
		"file's path, the container, pod and volume.\n\n"
		"All operations are counted in the kernel, at a cost that lets it be left running; -s, "
		"--histogram, --heatmap and --top show the counts, --metrics, --listen and --otlp give "
		"them to other programs.\n\n"
		"Filters and lists take several values with commas between, or the option several times.",
	.modes = MODES({ "", &slow_op }, { "-s", &vfslat_summary_op },
		       { "--summary", &vfslat_summary_op }, { "--histogram", &vfslat_histogram_op },
		       { "--heatmap", &vfslat_heatmap_op },
		       { "--top", &vfslat_top_op }, { "--volumes", &vfslat_volumes_op },
		       { "--backend=list", &backends_op }),
	.examples = EXAMPLES(
		{ "vfslat 60", "slow operations of a minute" },
		{ "vfslat --op fsync --slow-ms 1 --path /var/lib/etcd", "etcd's slow fsyncs" },
		{ "vfslat -s 5", "every five seconds: latency by operation and mount" },
		{ "vfslat -s 60 60 --by pod,volume --jsonl", "a minute by pod and volume" },
		{ "vfslat --histogram 10 10 --by op", "text histograms of ten seconds" },
		{ "vfslat --top --by command", "a live view, busiest command first" },
		{ "vfslat --metrics /var/lib/node_exporter/vfslat.prom", "for Prometheus" }),
	.files = EXAMPLES(
		{ "/sys/kernel/btf/vmlinux", "the kernel's types, by which the programs fit any kernel" },
		{ "/var/lib/kubelet", "pods' volumes; --kubelet names another" },
		{ "/var/log/pods", "pods' names" }),
	.see_also = "bpf(2), proc(5), bpftrace(8)",
	.section = 8,
};
