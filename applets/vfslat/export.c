/* vfslat --metrics, --listen, --otlp: the counts for other programs. Labels are bounded: no path. */
#include "applets/vfslat/vfslat.h"

#include "lib/core/clock.h"
#include "lib/core/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum { SERIES_MAX = 4096 };

static const unsigned exported = 1 << GROUP_OP | 1 << GROUP_FSTYPE | 1 << GROUP_DEVICE |
				 1 << GROUP_POD | 1 << GROUP_VOLUME | 1 << GROUP_CONTAINER;

/* Since vfslat began: a counter must not go back, and the kernel's keys come and go. */
struct series {
	struct arena mem;
	struct summary_row row;
	struct counts counts;
	uint64_t grown_ns;
};

struct exporter {
	struct session *s;
	struct summary *summary;
	VEC(struct series) series;
	uint64_t operations, beyond; /* all; those of series beyond SERIES_MAX */
	uint64_t next_ns, interval_ns, started_unix_ns;
	int listener, otlp;
};

static bool same_series(const struct summary_row *a, const struct summary_row *b)
{
	return streq(a->operation, b->operation) && streq(a->fstype, b->fstype) &&
	       streq(a->device, b->device) && streq(a->pod_uid, b->pod_uid) &&
	       streq(a->volume_type, b->volume_type) && streq(a->volume, b->volume) &&
	       streq(a->container_id, b->container_id);
}

static void copy_row(struct series *to, const struct summary_row *from)
{
	to->row = (struct summary_row){
		.operation = from->operation, /* constant */
		.fstype = arena_str(&to->mem, from->fstype),
		.device = arena_str(&to->mem, from->device),
		.namespace = arena_str(&to->mem, from->namespace),
		.pod = arena_str(&to->mem, from->pod),
		.pod_uid = arena_str(&to->mem, from->pod_uid),
		.volume_type = from->volume_type,
		.volume = arena_str(&to->mem, from->volume),
		.plugin = arena_str(&to->mem, from->plugin),
		.container = arena_str(&to->mem, from->container),
		.container_id = arena_str(&to->mem, from->container_id),
	};
}

/* A series that has not grown for long and whose pod is gone. */
static bool is_over(const struct series *x, const struct k8s_node *node, uint64_t old_ns, uint64_t now)
{
	return x->row.pod_uid && now - x->grown_ns > old_ns && !k8s_node_pod(node, x->row.pod_uid);
}

static int collect(struct exporter *x, struct err *e)
{
	const struct k8s_node *node = names_node(x->s->names);
	uint64_t now = clock_monotonic_ns();
	struct summary_group *groups;
	size_t n, kept = 0;
	int r = summary_read(x->summary, x->s, &groups, &n, e);

	if (r)
		return r;
	for (size_t i = 0; i < n; i++) {
		struct summary_row *row = &groups[i].row;
		struct series *to = NULL;

		/* A hostPath's name is a path. */
		if (streq(row->volume_type, volume_type_names[VOLUME_HOSTPATH]))
			row->volume = NULL;
		x->operations += groups[i].counts.count;
		for (size_t j = 0; j < x->series.n && !to; j++)
			if (same_series(&x->series.items[j].row, row))
				to = &x->series.items[j];
		if (!to && x->series.n >= SERIES_MAX) {
			x->beyond += groups[i].counts.count;
			continue;
		}
		if (!to) {
			to = vec_add(&x->series);
			copy_row(to, row);
		}
		if (!to->row.pod && row->pod) {
			to->row.pod = arena_str(&to->mem, row->pod);
			to->row.namespace = arena_str(&to->mem, row->namespace);
		}
		counts_add(&to->counts, &groups[i].counts);
		to->grown_ns = now;
	}
	for (size_t i = 0; i < x->series.n; i++) {
		if (is_over(&x->series.items[i], node, x->s->forget_ns, now))
			arena_free(&x->series.items[i].mem);
		else
			x->series.items[kept++] = x->series.items[i];
	}
	x->series.n = kept;
	return 0;
}

static void histogram_of(const struct counts *c, double unit_ns, struct histogram *ret)
{
	*ret = (struct histogram){ .sum = (double)c->total_ns / unit_ns * 1e9 };
	for (unsigned i = 0; i < HIST_SLOTS; i++)
		ret->count[i ? HIST_FIRST + (i - 1) / HIST_SUB : HIST_FIRST - 1] += c->slots[i];
}

static double own_cpu_s(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/*  OpenMetrics.  */

/* The labels of a series, in LABELS() form. */
#define SERIES_LABELS(row)                                                                         \
	LABELS("operation", (row)->operation, "device", (row)->device, "fstype", (row)->fstype,   \
	       "namespace", (row)->namespace, "pod", (row)->pod, "pod_uid", (row)->pod_uid,        \
	       "container", (row)->container, "container_id", (row)->container_id, "volume_type",  \
	       (row)->volume_type, "volume", (row)->volume)

#define FAMILY(name_, type_, unit_, help_) \
	(&(const struct metric_family){ .name = name_, .type = type_, .unit = unit_, .help = help_ })

/* One counter of every series. only_k8s: those of Kubernetes' volumes. */
static void write_counter(struct metrics *m, const struct exporter *x, const struct metric_family *f,
			  size_t offset, bool only_k8s, double divisor)
{
	metrics_family(m, f);
	for (size_t i = 0; i < x->series.n; i++) {
		const struct series *s = &x->series.items[i];
		const uint64_t *value = (const uint64_t *)((const char *)&s->counts + offset);

		if (only_k8s && !s->row.volume_type)
			continue;
		if (divisor == 1)
			metrics_u64(m, SERIES_LABELS(&s->row), *value);
		else
			metrics_double(m, SERIES_LABELS(&s->row), (double)*value / divisor);
	}
}

static void write_health(struct metrics *m, const struct exporter *x)
{
	const struct vfs_backend *b = vfs_trace_backend(x->s->trace);
	struct vfs_health h;

	vfs_trace_health(x->s->trace, &h);
	metrics_family(m, FAMILY("storage_io_events_lost", METRIC_COUNTER, NULL,
				 "slow or sampled operations that were not reported"));
	metrics_u64(m, LABELS("reason", "buffer_full"), h.counters.lost_full);
	metrics_u64(m, LABELS("reason", "rate_limit"), h.counters.lost_limited);
	metrics_family(m, FAMILY("storage_io_operations_uncounted", METRIC_COUNTER, NULL,
				 "operations that are in no count"));
	metrics_u64(m, LABELS("reason", "map_full"), h.uncounted);
	metrics_u64(m, LABELS("reason", "missed"), h.missed);
	metrics_u64(m, LABELS("reason", "end_not_seen"), h.counters.unfinished);
	metrics_u64(m, LABELS("reason", "too_many_series"), x->beyond);
	metrics_family(m, FAMILY("storage_io_map_full", METRIC_COUNTER, NULL,
				 "times that a map had no room: for an operation, or for a name"));
	metrics_u64(m, LABELS("map", "counts"), h.counters.full_counts);
	metrics_u64(m, LABELS("map", "threads"), h.counters.full_states);
	metrics_u64(m, LABELS("map", "requests"), h.counters.full_requests);
	metrics_u64(m, LABELS("map", "mounts"), h.counters.full_mounts);
	metrics_u64(m, LABELS("map", "cgroups"), h.counters.full_cgroups);
	metrics_family(m, FAMILY("storage_io_backend", METRIC_GAUGE, NULL,
				 "1 for the way that vfslat is attached"));
	metrics_u64(m, LABELS("backend", b->name, "state", b->state), 1);
	metrics_family(m, FAMILY("storage_io_attached_programs", METRIC_GAUGE, NULL,
				 "BPF programs attached"));
	metrics_u64(m, NULL, h.programs);
	metrics_family(m, FAMILY("storage_io_self_cpu_seconds", METRIC_COUNTER, "seconds",
				 "CPU time of vfslat's own process"));
	metrics_double(m, NULL, own_cpu_s());
	if (!h.runs)
		return;
	metrics_family(m, FAMILY("storage_io_program_run_seconds", METRIC_COUNTER, "seconds",
				 "time spent in the BPF programs"));
	metrics_double(m, NULL, (double)h.run_ns / 1e9);
	metrics_family(m, FAMILY("storage_io_program_runs", METRIC_COUNTER, NULL,
				 "runs of the BPF programs"));
	metrics_u64(m, NULL, h.runs);
}

static void write_metrics(struct metrics *m, void *arg)
{
	const struct exporter *x = arg;
	bool legacy = x->s->p->legacy_names;

	metrics_family(m, FAMILY("storage_io_events_processed", METRIC_COUNTER, NULL,
				 "operations seen"));
	metrics_u64(m, NULL, x->operations);
	write_counter(m, x,
		      FAMILY("storage_io_slow_operations", METRIC_COUNTER, NULL,
			     "operations over the threshold"),
		      offsetof(struct counts, slow), false, 1);
	write_counter(m, x,
		      FAMILY("storage_io_vfs_operations", METRIC_COUNTER, NULL, "operations"),
		      offsetof(struct counts, count), false, 1);
	write_counter(m, x,
		      FAMILY("storage_io_k8s_volume_operations", METRIC_COUNTER, NULL,
			     "operations on what Kubernetes has on the node"),
		      offsetof(struct counts, count), true, 1);
	write_counter(m, x,
		      FAMILY("storage_io_errors", METRIC_COUNTER, NULL, "operations that failed"),
		      offsetof(struct counts, errors), false, 1);
	write_counter(m, x,
		      FAMILY("storage_io_transferred_bytes", METRIC_COUNTER, "bytes",
			     "read or written"),
		      offsetof(struct counts, bytes), false, 1);
	write_counter(m, x,
		      FAMILY("storage_io_blocked_seconds", METRIC_COUNTER, "seconds",
			     "of operations' time: waiting for a device, a lock or another event"),
		      offsetof(struct counts, blocked_ns), false, 1e9);
	write_counter(m, x,
		      FAMILY("storage_io_queued_seconds", METRIC_COUNTER, "seconds",
			     "of operations' time: waiting for a CPU"),
		      offsetof(struct counts, queued_ns), false, 1e9);
	metrics_family(m, legacy ? FAMILY("storage_io_latency_ms", METRIC_HISTOGRAM, NULL,
					  "latency in milliseconds")
				 : FAMILY("storage_io_latency_seconds", METRIC_HISTOGRAM, "seconds",
					  "latency"));
	for (size_t i = 0; i < x->series.n; i++) {
		const struct series *s = &x->series.items[i];
		struct histogram h;

		histogram_of(&s->counts, 1e9, &h);
		metrics_histogram(m, SERIES_LABELS(&s->row), &h, 9, HIST_LAST - 1,
				  legacy ? 1e6 : 1e9);
	}
	write_health(m, x);
}

/*  HTTP: one small request at a time.  */

static int listen_on(const char *text, struct arena *a, struct err *e)
{
	struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV,
				  .ai_socktype = SOCK_STREAM };
	const char *colon = strrchr(text, ':');
	struct addrinfo *found = NULL;
	char *host;
	int fd, on = 1, r;

	if (!colon || !colon[1])
		return err_usage(e, "--listen", "'%s' is not ADDR:PORT", text);
	host = arena_strn(a, text, (size_t)(colon - text));
	if (*host == '[' && ends_with(host, "]")) {
		host[strlen(host) - 1] = '\0';
		host++;
	}
	r = getaddrinfo(*host ? host : NULL, colon + 1, &hints, &found);
	if (r)
		return err_usage(e, "--listen", "'%s': %s", text, gai_strerror(r));
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	r = fd < 0 ? -errno : 0;
	if (!r)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (!r && (bind(fd, found->ai_addr, found->ai_addrlen) || listen(fd, 16)))
		r = -errno;
	freeaddrinfo(found);
	if (!r)
		return fd;
	if (fd >= 0)
		close(fd);
	return err_sys(e, r, text, "listen");
}

static void answer(struct exporter *x, int fd)
{
	struct timeval soon = { .tv_usec = 250000 };
	char request[2048], *body auto_free = NULL, head[256];
	size_t have = 0, length = 0;
	bool known;
	FILE *f;
	int n;

	/* Who is slow to ask or to read must not keep the others waiting. */
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof soon);
	do {
		ssize_t got = recv(fd, request + have, sizeof request - 1 - have, 0);

		if (got <= 0)
			return;
		have += (size_t)got;
		request[have] = '\0';
	} while (!strstr(request, "\r\n\r\n") && !strstr(request, "\n\n") &&
		 have < sizeof request - 1);
	known = starts_with(request, "GET /metrics ") || starts_with(request, "GET /metrics?");
	f = open_memstream(&body, &length);
	if (!f)
		return;
	if (known) {
		struct metrics m = { .out = f };

		write_metrics(&m, x);
		metrics_end(&m);
	} else {
		fputs("vfslat: see /metrics\n", f);
	}
	fclose(f);
	n = snprintf(head, sizeof head,
		     "HTTP/1.1 %s\r\nContent-Type: %s; charset=utf-8\r\nContent-Length: %zu\r\n"
		     "Connection: close\r\n\r\n",
		     known ? "200 OK" : "404 Not Found",
		     known ? "application/openmetrics-text; version=1.0.0" : "text/plain", length);
	if (send(fd, head, (size_t)n, MSG_NOSIGNAL | MSG_MORE) != n)
		return;
	for (size_t at = 0; at < length;) {
		ssize_t sent = send(fd, body + at, length - at, MSG_NOSIGNAL);

		if (sent <= 0)
			return;
		at += (size_t)sent;
	}
}

/*  OTLP: an ExportMetricsServiceRequest a line, in the protocol's JSON form (64-bit numbers are
 *  strings there).  */

static void write_attribute(FILE *f, const char *key, const char *value, bool *first)
{
	if (!value)
		return;
	fprintf(f, "%s{\"key\":\"%s\",\"value\":{\"stringValue\":", *first ? "" : ",", key);
	json_escape(f, value);
	fputs("}}", f);
	*first = false;
}

static void write_point(FILE *f, const struct exporter *x, const struct summary_row *row,
			uint64_t now_unix_ns)
{
	bool first = true;

	fprintf(f, "{\"startTimeUnixNano\":\"%" PRIu64 "\",\"timeUnixNano\":\"%" PRIu64
		   "\",\"attributes\":[",
		x->started_unix_ns, now_unix_ns);
	write_attribute(f, "storage.io.operation", row->operation, &first);
	if (streq(row->operation, "read") || streq(row->operation, "write"))
		write_attribute(f, "disk.io.direction", row->operation, &first);
	write_attribute(f, "system.device", row->device, &first);
	write_attribute(f, "system.filesystem.type", row->fstype, &first);
	write_attribute(f, "k8s.namespace.name", row->namespace, &first);
	write_attribute(f, "k8s.pod.name", row->pod, &first);
	write_attribute(f, "k8s.pod.uid", row->pod_uid, &first);
	write_attribute(f, "k8s.container.name", row->container, &first);
	write_attribute(f, "container.id", row->container_id, &first);
	write_attribute(f, "k8s.volume.type", row->volume_type, &first);
	write_attribute(f, "k8s.volume.name", row->volume, &first);
	fputs("],", f);
}

static void write_sum(FILE *f, const struct exporter *x, const char *name, const char *unit,
		      size_t offset, bool only_k8s, uint64_t now_unix_ns)
{
	const char *comma = "";

	fprintf(f, "{\"name\":\"%s\",\"unit\":\"%s\",\"sum\":{\"aggregationTemporality\":2,"
		   "\"isMonotonic\":true,\"dataPoints\":[",
		name, unit);
	for (size_t i = 0; i < x->series.n; i++) {
		const struct series *s = &x->series.items[i];

		if (only_k8s && !s->row.volume_type)
			continue;
		fputs(comma, f);
		write_point(f, x, &s->row, now_unix_ns);
		fprintf(f, "\"asInt\":\"%" PRIu64 "\"}",
			*(const uint64_t *)((const char *)&s->counts + offset));
		comma = ",";
	}
	fputs("]}},", f);
}

static void write_latency(FILE *f, const struct exporter *x, uint64_t now_unix_ns)
{
	bool legacy = x->s->p->legacy_names;
	double divisor = legacy ? 1e6 : 1e9;

	fprintf(f, "{\"name\":\"storage_io_latency_%s\",\"unit\":\"%s\",\"histogram\":{"
		   "\"aggregationTemporality\":2,\"dataPoints\":[",
		legacy ? "ms" : "seconds", legacy ? "ms" : "s");
	for (size_t i = 0; i < x->series.n; i++) {
		const struct series *s = &x->series.items[i];
		struct histogram h;

		histogram_of(&s->counts, 1e9, &h);
		fputs(i ? "," : "", f);
		write_point(f, x, &s->row, now_unix_ns);
		fprintf(f, "\"count\":\"%" PRIu64 "\",\"sum\":%.9g,\"explicitBounds\":[",
			s->counts.count, (double)s->counts.total_ns / divisor);
		for (unsigned b = HIST_FIRST - 1; b < HIST_LAST; b++)
			fprintf(f, "%s%.12g", b < HIST_FIRST ? "" : ",",
				(double)(histogram_high(b) - 1) / divisor);
		fputs("],\"bucketCounts\":[", f);
		for (unsigned b = HIST_FIRST - 1; b <= HIST_LAST; b++)
			fprintf(f, "%s\"%" PRIu64 "\"", b < HIST_FIRST ? "" : ",", h.count[b]);
		fputs("]}", f);
	}
	fputs("]}}", f);
}

static int append_otlp(struct exporter *x, struct err *e)
{
	uint64_t now = clock_read_ns(CLOCK_REALTIME);
	char *line auto_free = NULL, host[128] = "";
	size_t length = 0;
	FILE *f = open_memstream(&line, &length);

	if (!f)
		return err_sys(e, -errno, x->s->p->otlp, "write");
	gethostname(host, sizeof host - 1);
	fputs("{\"resourceMetrics\":[{\"resource\":{\"attributes\":[{\"key\":\"host.name\",\"value\":"
	      "{\"stringValue\":",
	      f);
	json_escape(f, host);
	fputs("}}]},\"scopeMetrics\":[{\"scope\":{\"name\":\"vfslat\"},\"metrics\":[", f);
	write_sum(f, x, "storage_io_vfs_operations_total", "{operation}",
		  offsetof(struct counts, count), false, now);
	write_sum(f, x, "storage_io_slow_operations_total", "{operation}",
		  offsetof(struct counts, slow), false, now);
	write_sum(f, x, "storage_io_k8s_volume_operations_total", "{operation}",
		  offsetof(struct counts, count), true, now);
	write_sum(f, x, "storage_io_transferred_bytes_total", "By", offsetof(struct counts, bytes),
		  false, now);
	write_latency(f, x, now);
	fputs("]}]}]}\n", f);
	fclose(f);
	for (size_t at = 0; at < length;) {
		ssize_t n = write(x->otlp, line + at, length - at);

		if (n < 0 && errno != EINTR)
			return err_sys(e, -errno, x->s->p->otlp, "write");
		at += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/*  When.  */

int exporter_open(struct session *s, struct exporter **ret, struct err *e)
{
	struct exporter *x = xcalloc(1, sizeof *x);
	const struct vfslat_params *p = s->p;
	int r = 0;

	*ret = x;
	x->s = s;
	x->listener = x->otlp = -1;
	x->summary = summary_new(exported, false);
	if (!(p->metrics_interval_s >= 0.1 && p->metrics_interval_s <= 86400))
		return err_usage(e, "--metrics-interval", "must be from 0.1 s to a day");
	x->interval_ns = (uint64_t)(p->metrics_interval_s * 1e9);
	x->next_ns = s->started_ns; /* a first file at once: it tells that vfslat runs */
	x->started_unix_ns = clock_read_ns(CLOCK_REALTIME);
	if (p->listen) {
		r = listen_on(p->listen, s->w->mem, e);
		if (r < 0)
			return r;
		x->listener = r;
	}
	if (p->otlp) {
		x->otlp = open(p->otlp, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
		if (x->otlp < 0)
			return err_sys(e, -errno, p->otlp, "open");
	}
	return 0;
}

void exporter_close(struct exporter **p)
{
	struct exporter *x = *p;

	if (!x)
		return;
	if (x->listener >= 0)
		close(x->listener);
	if (x->otlp >= 0)
		close(x->otlp);
	for (size_t i = 0; i < x->series.n; i++)
		arena_free(&x->series.items[i].mem);
	vec_free(&x->series);
	summary_free(&x->summary);
	free(x);
	*p = NULL;
}

int exporter_fd(const struct exporter *x)
{
	return x->listener;
}

int exporter_run(struct exporter *x, struct session *s, bool asked, bool last, struct err *e)
{
	uint64_t now = clock_monotonic_ns();
	bool due = (s->p->metrics || s->p->otlp) && (last || now >= x->next_ns);
	int r;

	if (!due && !asked)
		return 0;
	r = collect(x, e);
	if (r)
		return r;
	if (asked) {
		int fd = accept4(x->listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0) {
			answer(x, fd);
			close(fd);
		}
	}
	if (!due)
		return 0;
	while (x->next_ns <= now)
		x->next_ns += x->interval_ns;
	if (s->p->metrics && (r = metrics_to_file(s->p->metrics, write_metrics, x, e)))
		return r;
	return s->p->otlp ? append_otlp(x, e) : 0;
}
