/* vfslat -s, --histogram, --heatmap: the kernel's counts, grouped by what --by names. */
#include "applets/vfslat/vfslat.h"

#include "lib/core/clock.h"

#include <errno.h>
#include <inttypes.h>

const char *const vfslat_group_names[GROUPS + 1] = { "op",     "mount",	    "filesystem", "device", "pod",
						     "volume", "container", "command",	  NULL };

static const struct field summary_fields[] = {
	FIELD(struct summary_row, start_time, WIDE, "when the interval began"),
	FIELD(struct summary_row, interval_s, WIDE, "its length"),
	FIELD(struct summary_row, operation, KEY, "read, write, fsync or readdir"),
	FIELD(struct summary_row, mount, KEY, "where the host has it mounted"),
	FIELD(struct summary_row, fstype, 0, "filesystem type"),
	FIELD(struct summary_row, device, 0, "the filesystem's device"),
	FIELD(struct summary_row, namespace, 0, "the pod's namespace"),
	FIELD(struct summary_row, pod, 0, "the pod's name"),
	FIELD(struct summary_row, pod_uid, WIDE, "the pod's UID"),
	FIELD(struct summary_row, volume_type, 0, "what Kubernetes has there"),
	FIELD(struct summary_row, volume, 0, "the volume's name"),
	FIELD(struct summary_row, plugin, WIDE, "the volume's plugin or CSI driver"),
	FIELD(struct summary_row, container, 0, "the container's name"),
	FIELD(struct summary_row, container_id, WIDE, "the container's id"),
	FIELD(struct summary_row, command, 0, "the thread's name"),
	FIELD(struct summary_row, count, 0, "operations"),
	FIELD(struct summary_row, rate, 0, "operations a second"),
	FIELD(struct summary_row, bytes, WIDE, "read or written", .unit = UNIT_BYTES),
	FIELD(struct summary_row, bytes_per_s, 0, "read or written a second",
	      .unit = UNIT_BYTES_PER_S),
	FIELD(struct summary_row, errors, 0, "operations that failed"),
	FIELD(struct summary_row, slow, 0, "operations over --slow-ms"),
	FIELD(struct summary_row, avg_ns, 0, "mean latency"),
	FIELD(struct summary_row, p50_ns, 0, "half of them took no longer"),
	FIELD(struct summary_row, p90_ns, 0, "nine of ten"),
	FIELD(struct summary_row, p99_ns, 0, "99 of 100"),
	FIELD(struct summary_row, max_ns, 0, "the longest"),
	FIELD(struct summary_row, cpu_percent, 0, "of the time: on a CPU"),
	FIELD(struct summary_row, queued_percent, 0, "of the time: waiting for a CPU"),
	FIELD(struct summary_row, blocked_percent, 0, "of the time: waiting for something else"),
	FIELD_END,
};

static const char *rate_text(double rate, struct arena *a)
{
	return arena_printf(a, "%.*f", rate >= 99.95 ? 0 : rate >= 9.995 ? 1 : 2, rate);
}

static const char *summary_human(const struct field *f, const void *row, struct arena *a)
{
	if (streq(f->name, "rate"))
		return rate_text(((const struct summary_row *)row)->rate, a);
	return NULL;
}

const struct table summary_table = TABLE(struct summary_row, "summary", "operations by group",
					 summary_fields, .human = summary_human);

/*  Reading the counts.  */

/* One of the kernel's keys, and what it had when it was last read. */
struct key_state {
	struct vfs_key key;
	struct vfs_hist last;
	uint64_t grown_ns;
	bool used;
};

struct summary {
	unsigned groups;
	bool keeps_maximum; /* its readings are the intervals that a maximum is of */
	struct key_state *keys; /* open addressing */
	size_t n_keys, cap_keys;
	struct arena mem;
	VEC(struct summary_group) rows;
	/* While reading: */
	uint64_t now_ns;
	struct session *s;
};

int summary_groups(const char *const *by, unsigned *ret_groups, struct err *e)
{
	*ret_groups = 0;
	for (; by && *by; by++)
		for (const char *s = *by; *s;) {
			size_t n = strcspn(s, ","), i = 0;

			while (vfslat_group_names[i] && (strlen(vfslat_group_names[i]) != n ||
							 strncmp(vfslat_group_names[i], s, n)))
				i++;
			if (!vfslat_group_names[i])
				return err_usage(e, "--by",
						 "'%.*s' is none of op, mount, filesystem, device, pod, "
						 "volume, container, command",
						 (int)n, s);
			*ret_groups |= 1u << i;
			s += n + (s[n] == ',');
		}
	if (!*ret_groups)
		*ret_groups = 1 << GROUP_OP | 1 << GROUP_MOUNT;
	return 0;
}

struct summary *summary_new(unsigned groups, bool keeps_maximum)
{
	struct summary *m = xcalloc(1, sizeof *m);

	m->keeps_maximum = keeps_maximum;
	m->groups = groups;
	m->cap_keys = 256;
	m->keys = xcalloc(m->cap_keys, sizeof *m->keys);
	return m;
}

void summary_free(struct summary **p)
{
	struct summary *m = *p;

	if (!m)
		return;
	free(m->keys);
	vec_free(&m->rows);
	arena_free(&m->mem);
	free(m);
	*p = NULL;
}

static size_t hash_key(const struct vfs_key *k)
{
	const unsigned char *p = (const unsigned char *)k;
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < sizeof *k; i++)
		h = (h ^ p[i]) * 0x100000001b3u;
	return (size_t)(h ^ h >> 29);
}

static struct key_state *find_slot(struct key_state *keys, size_t cap, const struct vfs_key *k)
{
	size_t i = hash_key(k) & (cap - 1);

	while (keys[i].used && memcmp(&keys[i].key, k, sizeof *k))
		i = (i + 1) & (cap - 1);
	return &keys[i];
}

static void rebuild(struct summary *m, size_t cap)
{
	struct key_state *old = m->keys;
	size_t n = m->cap_keys;

	m->keys = xcalloc(cap, sizeof *m->keys);
	m->cap_keys = cap;
	m->n_keys = 0;
	for (size_t i = 0; i < n; i++)
		if (old[i].used) {
			*find_slot(m->keys, cap, &old[i].key) = old[i];
			m->n_keys++;
		}
	free(old);
}

static struct key_state *state_of(struct summary *m, const struct vfs_key *k)
{
	struct key_state *s;

	if (m->n_keys * 2 >= m->cap_keys)
		rebuild(m, m->cap_keys * 2);
	s = find_slot(m->keys, m->cap_keys, k);
	if (!s->used) {
		s->used = true;
		s->key = *k;
		m->n_keys++;
	}
	return s;
}

/* The kernel counts a bucket in 32 bits, which may come round between two readings. */
static void difference(const struct vfs_hist *now, const struct vfs_hist *last, struct counts *ret)
{
	ret->count = now->count - last->count;
	ret->errors = now->errors - last->errors;
	ret->slow = now->slow - last->slow;
	ret->bytes = now->bytes - last->bytes;
	ret->total_ns = now->total_ns - last->total_ns;
	ret->blocked_ns = now->blocked_ns - last->blocked_ns;
	ret->queued_ns = now->queued_ns - last->queued_ns;
	ret->split_ns = now->split_ns - last->split_ns;
	ret->max_ns = now->max_ns;
	for (size_t i = 0; i < HIST_SLOTS; i++)
		ret->slots[i] = (uint32_t)(now->slots[i] - last->slots[i]);
}

void counts_add(struct counts *to, const struct counts *c)
{
	to->count += c->count;
	to->errors += c->errors;
	to->slow += c->slow;
	to->bytes += c->bytes;
	to->total_ns += c->total_ns;
	to->blocked_ns += c->blocked_ns;
	to->queued_ns += c->queued_ns;
	to->split_ns += c->split_ns;
	if (c->max_ns > to->max_ns)
		to->max_ns = c->max_ns;
	for (size_t i = 0; i < HIST_SLOTS; i++)
		to->slots[i] += c->slots[i];
}

/* The group's columns of a key. False: it is left out (--without). */
static bool name_group(struct summary *m, const struct vfs_key *k, struct summary_row *row)
{
	const struct vfs_root_key root = { .root = k->root, .root_ino = k->root_ino, .dev = k->dev };
	struct session *s = m->s;
	struct place place = { 0 };
	struct who who;

	field_clear(summary_fields, row);
	names_who(s->names, s->trace, k->cgroup, &who);
	if (k->dev)
		names_place(s->names, s->trace, &root, 0, NULL, &who, &place, &m->mem);
	if (s->without >> place.volume.type & 1)
		return false;
	if (m->groups >> GROUP_OP & 1)
		row->operation = vfslat_op_names[k->op];
	if (m->groups >> GROUP_MOUNT & 1)
		row->mount = place.mount;
	if (m->groups >> GROUP_FSTYPE & 1)
		row->fstype = place.fstype;
	if (m->groups >> GROUP_DEVICE & 1)
		row->device = place.device;
	if (m->groups & (1 << GROUP_POD | 1 << GROUP_VOLUME)) {
		const struct k8s_pod *pod =
			k8s_node_pod(names_node(s->names), place.volume.pod_uid);

		row->pod_uid = who.container.pod_uid ? who.container.pod_uid
						     : place.volume.pod_uid;
		row->namespace = who.namespace ? who.namespace : pod ? pod->namespace : NULL;
		row->pod = who.pod ? who.pod : pod ? pod->name : NULL;
	}
	if (m->groups >> GROUP_VOLUME & 1 && place.volume.type != VOLUME_NONE) {
		row->volume_type = volume_type_names[place.volume.type];
		row->volume = place.volume.name;
		row->plugin = place.volume.plugin;
	}
	if (m->groups >> GROUP_CONTAINER & 1) {
		row->container = who.container_name;
		row->container_id = who.container.id;
	}
	if (m->groups >> GROUP_COMMAND & 1)
		row->command = arena_strn(&m->mem, k->comm, strnlen(k->comm, sizeof k->comm));
	return true;
}

static bool same_group(const struct summary_row *a, const struct summary_row *b)
{
	return streq(a->operation, b->operation) && streq(a->mount, b->mount) &&
	       streq(a->fstype, b->fstype) && streq(a->device, b->device) &&
	       streq(a->pod_uid, b->pod_uid) && streq(a->volume_type, b->volume_type) &&
	       streq(a->volume, b->volume) && streq(a->container, b->container) &&
	       streq(a->container_id, b->container_id) && streq(a->command, b->command);
}

static void on_hist(void *arg, const struct vfs_key *key, const struct vfs_hist *h)
{
	struct summary *m = arg;
	struct key_state *state = state_of(m, key);
	struct summary_group *g = NULL;
	struct summary_row row;
	struct counts c = { 0 };

	/* Another reader gave the key up, and it came back. */
	if (h->count < state->last.count)
		difference(h, &(struct vfs_hist){ 0 }, &c);
	else
		difference(h, &state->last, &c);
	if (h->count != state->last.count || !state->grown_ns)
		state->grown_ns = m->now_ns;
	state->last = *h;
	if (!c.count || !name_group(m, key, &row))
		return;
	for (size_t i = 0; i < m->rows.n && !g; i++)
		if (same_group(&m->rows.items[i].row, &row))
			g = &m->rows.items[i];
	if (!g) {
		g = vec_add(&m->rows);
		g->row = row;
	}
	counts_add(&g->counts, &c);
}

static int by_time(const void *x, const void *y)
{
	uint64_t a = ((const struct summary_group *)x)->counts.total_ns;
	uint64_t b = ((const struct summary_group *)y)->counts.total_ns;

	return a < b ? 1 : a > b ? -1 : 0;
}

/* Rows of mounts, cgroups and commands that are no more would fill the map. A key that has not grown
 * for long and is given up comes back by itself when it grows again; only its total begins anew. */
static void forget_old(struct summary *m)
{
	VEC(struct vfs_key) old = { 0 };

	for (size_t i = 0; i < m->cap_keys; i++)
		if (m->keys[i].used && m->now_ns - m->keys[i].grown_ns > m->s->forget_ns) {
			*vec_add(&old) = m->keys[i].key;
			m->keys[i].used = false;
		}
	if (old.n) {
		vfs_trace_forget(m->s->trace, old.items, old.n);
		rebuild(m, m->cap_keys);
	}
	vec_free(&old);
}

int summary_read(struct summary *m, struct session *s, struct summary_group **ret, size_t *ret_n,
		 struct err *e)
{
	int r;

	arena_free(&m->mem);
	m->rows.n = 0;
	m->s = s;
	m->now_ns = clock_monotonic_ns();
	r = vfs_trace_hists(s->trace, on_hist, m);
	if (r)
		return err_sys(e, r, "counts", "read");
	if (m->keeps_maximum)
		vfs_trace_next_epoch(s->trace);
	forget_old(m);
	if (m->rows.n)
		qsort(m->rows.items, m->rows.n, sizeof *m->rows.items, by_time);
	*ret = m->rows.items;
	*ret_n = m->rows.n;
	return 0;
}

/*  Numbers.  */

uint64_t slot_low_ns(unsigned slot)
{
	unsigned i = slot - 1;

	if (!slot)
		return 0;
	return (UINT64_C(1) << (HIST_FIRST + i / HIST_SUB)) / HIST_SUB * (HIST_SUB + i % HIST_SUB);
}

uint64_t slot_high_ns(unsigned slot)
{
	return slot_low_ns(slot + 1);
}

/* A bucket's middle, such that no value of it is more than 1/17 away: in between would be better on
 * average, and up to 1/8 off where all values are near one end. */
uint64_t counts_quantile_ns(const struct counts *c, double q)
{
	double rank = q * (double)c->count, below = 0;

	for (unsigned i = 0; i < HIST_SLOTS; i++) {
		below += (double)c->slots[i];
		if (c->slots[i] && below >= rank) {
			double low = (double)slot_low_ns(i), high = (double)slot_high_ns(i);
			double value = low > 0 ? 2 * low * high / (low + high) : high / 2;

			if (i + 1 == HIST_SLOTS || value > (double)c->max_ns)
				break;
			return (uint64_t)value;
		}
	}
	return c->max_ns;
}

static double percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : DOUBLE_NONE;
}

void summary_fill_row(struct summary_group *g, double interval_s)
{
	const struct counts *c = &g->counts;
	struct summary_row *row = &g->row;
	uint64_t off = c->blocked_ns + c->queued_ns;

	row->interval_s = interval_s;
	row->count = c->count;
	row->errors = c->errors;
	row->slow = c->slow;
	row->bytes = c->bytes;
	row->rate = (double)c->count / interval_s;
	row->bytes_per_s = (double)c->bytes / interval_s;
	row->avg_ns = c->total_ns / c->count;
	row->p50_ns = counts_quantile_ns(c, 0.5);
	row->p90_ns = counts_quantile_ns(c, 0.9);
	row->p99_ns = counts_quantile_ns(c, 0.99);
	row->max_ns = c->max_ns;
	row->cpu_percent = percent(c->split_ns > off ? c->split_ns - off : 0, c->split_ns);
	row->queued_percent = percent(c->queued_ns, c->split_ns);
	row->blocked_percent = percent(c->blocked_ns, c->split_ns);
}

/*  Intervals.  */

/* Columns that --by does not name are empty: a person need not see them. */
void summary_show_columns(struct sink *out, const struct table *t, unsigned groups, unsigned width)
{
	static const struct droppable drops[] = { { "errors", 8 }, { "avg_ns", 8 }, { "p90_ns", 8 },
						  { "bytes_per_s", 8 }, { "slow", 6 },
						  { "queued_percent", 8 }, { "rate", 8 },
						  { "p50_ns", 8 }, { "cpu_percent", 8 }, { NULL, 0 } };
	static const char *const columns[GROUPS] = {
		[GROUP_OP] = "operation",   [GROUP_MOUNT] = "mount",
		[GROUP_FSTYPE] = "fstype",  [GROUP_DEVICE] = "device",
		[GROUP_POD] = "namespace,pod", [GROUP_VOLUME] = "volume_type,volume",
		[GROUP_CONTAINER] = "container", [GROUP_COMMAND] = "command",
	};

	for (unsigned i = 0; i < GROUPS; i++) {
		bool on = groups >> i & 1;

		if (i == GROUP_POD && groups >> GROUP_VOLUME & 1)
			on = true;
		sink_show(out, t, columns[i], on);
	}
	if (t == &summary_table)
		session_fit(out, t, width, 105 + 12 * (unsigned)__builtin_popcount(groups), drops);
}

const char *summary_group_text(unsigned groups, struct arena *a)
{
	const char *text = "";

	for (unsigned i = 0; i < GROUPS; i++)
		if (groups >> i & 1)
			text = arena_printf(a, "%s%s%s", text, *text ? "," : "", vfslat_group_names[i]);
	return text;
}

typedef int report_fn(struct session *s, struct summary_group *groups, size_t n, double start_time,
		      double interval_s);

/* Each interval's report, and one of the rest at the end; without an interval one of it all. */
static int run_intervals(struct world *w, const struct vfslat_params *p, struct sink *out,
			 const struct table *t, unsigned groups, report_fn *report, struct err *e)
{
	struct session s auto_session = { .w = w, .p = p, .out = out };
	struct summary *m auto_summary = summary_new(groups, true);
	uint64_t began, step = U64_NONE, until = U64_NONE;
	int r = session_open(&s, groups, true, e);

	if (r)
		return r;
	if (p->interval_s <= 0)
		return err_usage(e, "INTERVAL", "must be more than 0");
	if (!isnan(p->interval_s))
		step = (uint64_t)(p->interval_s * 1e9);
	began = s.started_ns;
	if (!isnan(p->duration_s))
		until = began + (uint64_t)(p->duration_s * 1e9);
	summary_show_columns(out, t, groups, session_width(w));
	for (bool over = false; !over;) {
		uint64_t end = step == U64_NONE ? until : began + step < until ? began + step : until;
		struct summary_group *rows;
		size_t n;

		r = session_run(&s, end, e);
		if (r < 0)
			return r;
		end = clock_monotonic_ns();
		over = r > 0 || end >= until;
		/* Ctrl-C just after a report, or a sliver that rounding left. */
		if (over && step != U64_NONE && end - began < 10000000)
			break;
		names_refresh(s.names, false, end);
		if ((r = summary_read(m, &s, &rows, &n, e)))
			return r;
		for (size_t i = 0; i < n; i++)
			summary_fill_row(&rows[i], (double)(end - began) / 1e9);
		r = report(&s, rows, n, s.wall_minus_monotonic_s + (double)began / 1e9,
			   (double)(end - began) / 1e9);
		if (!r)
			r = sink_flush(out);
		if (r)
			return err_sys(e, r, "standard output", "write");
		began = end;
	}
	return session_end(&s, e);
}

static int report_summary(struct session *s, struct summary_group *groups, size_t n,
			  double start_time, double interval_s)
{
	int r = 0;

	(void)interval_s;
	for (size_t i = 0; i < n && !r; i++) {
		groups[i].row.start_time = start_time;
		r = sink_row(s->out, &summary_table, &groups[i].row);
	}
	return r;
}

static int run_summary(struct world *w, const void *params, struct sink *out, struct err *e)
{
	const struct vfslat_params *p = params;
	unsigned groups;
	int r = summary_groups(p->by, &groups, e);

	return r ? r : run_intervals(w, p, out, &summary_table, groups, report_summary, e);
}

/*  Histograms: a row for each power of two.  */

struct histogram_row {
	double start_time;
	const char *operation, *mount, *fstype, *device, *namespace, *pod, *pod_uid, *volume_type,
		*volume, *container, *command;
	uint64_t low_ns, high_ns, count;
	const char *bar;
};

static const struct field histogram_fields[] = {
	FIELD(struct histogram_row, start_time, WIDE, "when the interval began"),
	FIELD(struct histogram_row, operation, 0, "read, write, fsync or readdir"),
	FIELD(struct histogram_row, mount, 0, "where the host has it mounted"),
	FIELD(struct histogram_row, fstype, 0, "filesystem type"),
	FIELD(struct histogram_row, device, 0, "the filesystem's device"),
	FIELD(struct histogram_row, namespace, 0, "the pod's namespace"),
	FIELD(struct histogram_row, pod, 0, "the pod's name"),
	FIELD(struct histogram_row, pod_uid, WIDE, "the pod's UID"),
	FIELD(struct histogram_row, volume_type, 0, "what Kubernetes has there"),
	FIELD(struct histogram_row, volume, 0, "the volume's name"),
	FIELD(struct histogram_row, container, 0, "the container's name"),
	FIELD(struct histogram_row, command, 0, "the thread's name"),
	FIELD(struct histogram_row, low_ns, 0, "latency from"),
	FIELD(struct histogram_row, high_ns, 0, "to, exclusive"),
	FIELD(struct histogram_row, count, 0, "operations"),
	FIELD(struct histogram_row, bar, 0, "their share of the fullest row, for people"),
	FIELD_END,
};
static const struct table histogram_table =
	TABLE(struct histogram_row, "histogram", "operations by latency", histogram_fields);

/* Power-of-two buckets of the fine ones: bucket i is [2^i, 2^(i+1)); the first holds all below. */
enum { OCTAVES = HIST_LAST - HIST_FIRST + 2 };

static void octaves_of(const struct counts *c, uint64_t ret[OCTAVES])
{
	memset(ret, 0, OCTAVES * sizeof *ret);
	for (unsigned i = 0; i < HIST_SLOTS; i++)
		ret[i ? 1 + (i - 1) / HIST_SUB : 0] += c->slots[i];
}

/* Characters of the bar, and of what is usually beside it. */
enum { BAR_MOST = 40, BAR_LEAST = 8, BAR_BESIDE = 40 };

static int report_histogram(struct session *s, struct summary_group *groups, size_t n,
			    double start_time, double interval_s)
{
	bool utf8 = graph_utf8();
	unsigned width = session_width(s->w), bar = BAR_MOST;
	int r = 0;

	(void)interval_s;
	if (width && width < BAR_BESIDE + BAR_MOST)
		bar = width > BAR_BESIDE + BAR_LEAST ? width - BAR_BESIDE : BAR_LEAST;
	for (size_t g = 0; g < n; g++) {
		struct arena mem auto_arena = { 0 };
		const struct summary_row *from = &groups[g].row;
		uint64_t octaves[OCTAVES], most = 0;
		unsigned first = OCTAVES, last = 0;

		octaves_of(&groups[g].counts, octaves);
		for (unsigned i = 0; i < OCTAVES; i++) {
			if (!octaves[i])
				continue;
			first = first < i ? first : i;
			last = i;
			most = most > octaves[i] ? most : octaves[i];
		}
		for (unsigned i = first; i <= last && !r; i++) {
			const struct histogram_row row = {
				.start_time = start_time, .operation = from->operation,
				.mount = from->mount, .fstype = from->fstype,
				.device = from->device, .namespace = from->namespace,
				.pod = from->pod, .pod_uid = from->pod_uid,
				.volume_type = from->volume_type, .volume = from->volume,
				.container = from->container, .command = from->command,
				.low_ns = i ? UINT64_C(1) << (HIST_FIRST + i - 1) : 0,
				.high_ns = i + 1 < OCTAVES ? UINT64_C(1) << (HIST_FIRST + i)
							   : U64_NONE,
				.count = octaves[i],
				.bar = s->w->human ? graph_bar(&mem,
							       (double)octaves[i] / (double)most,
							       bar, utf8)
						   : NULL,
			};

			r = sink_row(s->out, &histogram_table, &row);
		}
	}
	return r;
}

static int run_histogram(struct world *w, const void *params, struct sink *out, struct err *e)
{
	const struct vfslat_params *p = params;
	unsigned groups;
	int r = summary_groups(p->by, &groups, e);

	if (!r)
		sink_show(out, &histogram_table, "bar", w->human);
	return r ? r : run_intervals(w, p, out, &histogram_table, groups, report_histogram, e);
}

/*  The heat map: an interval a row, latency across.  */

struct heat_row {
	double start_time;
	const char *operation, *mount, *fstype, *device, *namespace, *pod, *pod_uid, *volume_type,
		*volume, *container, *command;
	const char *heat;
	const char **counts;
};

static const struct field heat_fields[] = {
	FIELD(struct heat_row, start_time, 0, "when the interval began"),
	FIELD(struct heat_row, operation, 0, "read, write, fsync or readdir"),
	FIELD(struct heat_row, mount, 0, "where the host has it mounted"),
	FIELD(struct heat_row, fstype, 0, "filesystem type"),
	FIELD(struct heat_row, device, 0, "the filesystem's device"),
	FIELD(struct heat_row, namespace, 0, "the pod's namespace"),
	FIELD(struct heat_row, pod, 0, "the pod's name"),
	FIELD(struct heat_row, pod_uid, WIDE, "the pod's UID"),
	FIELD(struct heat_row, volume_type, 0, "what Kubernetes has there"),
	FIELD(struct heat_row, volume, 0, "the volume's name"),
	FIELD(struct heat_row, container, 0, "the container's name"),
	FIELD(struct heat_row, command, 0, "the thread's name"),
	FIELD(struct heat_row, heat, 0,
	      "a column for each power of two from 128 ns to 137 s, darker with more operations; "
	      "for people", .heading = "HEAT|1us       |1ms       |1s"),
	FIELD(struct heat_row, counts, WIDE,
	      "operations by power of two: below 128 ns, below 256 ns, ... below 137 s, and above"),
	FIELD_END,
};
static const struct table heat_table =
	TABLE(struct heat_row, "heatmap", "operations by latency over time", heat_fields,
	      .goes_on = true);

/* Each octave a column, with a mark where a microsecond, a millisecond and a second begin; the heading
 * has the same marks. */
static const char *heat_of(const uint64_t octaves[OCTAVES], bool utf8, struct arena *a)
{
	static const char *const fine[] = { "·", "░", "▒", "▓", "█" };
	static const char *const plain[] = { ".", "-", "+", "*", "#" };
	const char *const *shades = utf8 ? fine : plain;
	char *text = arena_alloc(a, OCTAVES * 3 + 8), *to = text;

	for (unsigned i = 0; i < OCTAVES; i++) {
		uint64_t n = octaves[i];
		/* Thousandfold differences must show: a shade for each factor of ten. */
		unsigned shade = n >= 10000 ? 4 : n >= 1000 ? 3 : n >= 100 ? 2 : n >= 10 ? 1 : 0;
		unsigned log = HIST_FIRST + i - 1; /* where it begins */

		if (log == 10 || log == 20 || log == 30)
			to = stpcpy(to, "|");
		to = stpcpy(to, n ? shades[shade] : " ");
	}
	return text;
}

static int by_name(const void *x, const void *y)
{
	const struct summary_row *a = &((const struct summary_group *)x)->row;
	const struct summary_row *b = &((const struct summary_group *)y)->row;
	const char *const names[][2] = {
		{ a->operation, b->operation }, { a->mount, b->mount }, { a->fstype, b->fstype },
		{ a->device, b->device }, { a->pod_uid, b->pod_uid }, { a->volume, b->volume },
		{ a->container, b->container }, { a->command, b->command },
	};
	int r = 0;

	for (size_t i = 0; i < COUNT(names) && !r; i++)
		r = strcmp(names[i][0] ? names[i][0] : "", names[i][1] ? names[i][1] : "");
	return r;
}

static int report_heat(struct session *s, struct summary_group *groups, size_t n, double start_time,
		       double interval_s)
{
	bool utf8 = graph_utf8();
	int r = 0;

	(void)interval_s;
	/* Intervals are compared by eye: each has its rows in the same order. */
	if (n)
		qsort(groups, n, sizeof *groups, by_name);
	for (size_t g = 0; g < n && !r; g++) {
		struct arena mem auto_arena = { 0 };
		const struct summary_row *from = &groups[g].row;
		uint64_t octaves[OCTAVES];
		struct heat_row row = {
			.start_time = start_time, .operation = from->operation,
			.mount = from->mount, .fstype = from->fstype, .device = from->device,
			.namespace = from->namespace, .pod = from->pod, .pod_uid = from->pod_uid,
			.volume_type = from->volume_type, .volume = from->volume,
			.container = from->container, .command = from->command,
		};

		octaves_of(&groups[g].counts, octaves);
		if (s->w->human)
			row.heat = heat_of(octaves, utf8, &mem);
		for (unsigned i = 0; i < OCTAVES; i++)
			strlist_add(&mem, &row.counts, arena_printf(&mem, "%" PRIu64, octaves[i]));
		r = sink_row(s->out, &heat_table, &row);
	}
	return r;
}

static int run_heat(struct world *w, const void *params, struct sink *out, struct err *e)
{
	struct vfslat_params p = *(const struct vfslat_params *)params;
	const char *by_op[] = { "op", NULL };
	unsigned groups;
	int r = summary_groups(p.by ? p.by : by_op, &groups, e);

	if (isnan(p.interval_s))
		p.interval_s = 1;
	session_fit(out, &heat_table, session_width(w), 75, (const struct droppable[]){
		{ "start_time", 21 }, { NULL, 0 } });
	return r ? r : run_intervals(w, &p, out, &heat_table, groups, report_heat, e);
}

const struct operation vfslat_summary_op = {
	.name = "vfslat_summary",
	.summary = "counts, errors and latency by group",
	.params = vfslat_summary_params,
	.params_size = sizeof(struct vfslat_params),
	.tables = TABLES(&summary_table),
	.flags = OP_STREAM | OP_LOCAL,
	.run = run_summary,
};

const struct operation vfslat_histogram_op = {
	.name = "vfslat_histogram",
	.summary = "histograms of latency by group",
	.params = vfslat_summary_params,
	.params_size = sizeof(struct vfslat_params),
	.tables = TABLES(&histogram_table),
	.flags = OP_STREAM | OP_LOCAL,
	.run = run_histogram,
};

const struct operation vfslat_heatmap_op = {
	.name = "vfslat_heatmap",
	.summary = "latency over time, an interval a row (default 1 s)",
	.params = vfslat_summary_params,
	.params_size = sizeof(struct vfslat_params),
	.tables = TABLES(&heat_table),
	.flags = OP_STREAM | OP_LOCAL,
	.run = run_heat,
};
