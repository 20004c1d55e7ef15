/* vfslat --top: the summary as a full screen that goes on. */
#include "applets/vfslat/vfslat.h"

#include "lib/core/clock.h"
#include "lib/core/term.h"

#include <errno.h>
#include <inttypes.h>

static const unsigned groupings[] = {
	1 << GROUP_OP | 1 << GROUP_MOUNT,
	1 << GROUP_COMMAND,
	1 << GROUP_OP | 1 << GROUP_COMMAND,
	1 << GROUP_DEVICE | 1 << GROUP_FSTYPE,
	1 << GROUP_POD,
	1 << GROUP_POD | 1 << GROUP_VOLUME,
	1 << GROUP_CONTAINER,
};

enum { COUNT_CHARACTERS = 7 };

enum sort { SORT_TIME, SORT_COUNT, SORT_P99, SORT_MAX, SORTS };
static const char *const sort_names[SORTS] = { "most time", "most operations", "highest p99",
					       "highest maximum" };

struct top {
	struct session *s;
	struct term *term;
	struct summary *summary;
	unsigned groups;
	enum sort sort;
	bool paused;
	double interval_s;
	VEC(struct summary_group) rows; /* of the last reading */
	struct arena mem;		/* their strings */
};

static uint64_t sort_key(const struct summary_group *g, enum sort sort)
{
	switch (sort) {
	case SORT_COUNT:
		return g->row.count;
	case SORT_P99:
		return g->row.p99_ns;
	case SORT_MAX:
		return g->row.max_ns;
	default:
		return g->counts.total_ns;
	}
}

/* Few rows, once a second: no need for more than insertion. */
static void sort_rows(struct top *t)
{
	for (size_t i = 1; i < t->rows.n; i++) {
		struct summary_group g = t->rows.items[i];
		size_t j = i;

		for (; j && sort_key(&t->rows.items[j - 1], t->sort) < sort_key(&g, t->sort); j--)
			t->rows.items[j] = t->rows.items[j - 1];
		t->rows.items[j] = g;
	}
}

static int read_rows(struct top *t, double interval_s, struct err *e)
{
	struct summary_group *groups;
	size_t n;
	int r = summary_read(t->summary, t->s, &groups, &n, e);

	if (r)
		return r;
	t->interval_s = interval_s;
	t->rows.n = 0;
	for (size_t i = 0; i < n; i++) {
		summary_fill_row(&groups[i], interval_s);
		*vec_add(&t->rows) = groups[i];
	}
	return 0;
}

static int draw(struct top *t, struct err *e)
{
	struct arena mem auto_arena = { 0 };
	FILE *frame = term_frame(t->term);
	struct writer_options o = { .format = FORMAT_TABLE, .color = t->s->w->color };
	struct sink *out auto_writer = NULL;
	const struct vfs_backend *b = vfs_trace_backend(t->s->trace);
	uint64_t count = 0, bytes = 0, slow = 0;
	unsigned columns, lines;
	struct vfs_health h;
	int r = 0;

	term_size(t->term, &columns, &lines);
	o.width = columns;
	vfs_trace_health(t->s->trace, &h);
	for (size_t i = 0; i < t->rows.n; i++) {
		count += t->rows.items[i].row.count;
		bytes += t->rows.items[i].row.bytes;
		slow += t->rows.items[i].row.slow;
	}
	sort_rows(t);
	fprintf(frame, "vfslat %s: %.0f operations/s, %.1f MiB/s, %" PRIu64 " slow, %" PRIu64
		       " not counted%s\n",
		b->name, (double)count / t->interval_s, (double)bytes / t->interval_s / 1048576.0,
		slow, h.uncounted + h.missed, t->paused ? "  (paused)" : "");
	fprintf(frame, "%s first, by %s   q quit  s sort  g group  space pause\n\n",
		sort_names[t->sort], summary_group_text(t->groups, &mem));
	out = writer_new(frame, TABLES(&summary_table), &o, e);
	if (!out)
		return e->code;
	/* The interval's operations are the rate once more. */
	sink_show(out, &summary_table, "count", false);
	summary_show_columns(out, &summary_table, t->groups, columns + COUNT_CHARACTERS);
	for (size_t i = 0; i < t->rows.n && i + 4 < lines && !r; i++)
		r = sink_row(out, &summary_table, &t->rows.items[i].row);
	if (!r)
		r = sink_end(out);
	if (!r)
		r = term_show(t->term);
	return r ? err_sys(e, r, "terminal", "write") : 0;
}

/* Other groups are counted anew: the kernel's keys have all that any of them needs. */
static void regroup(struct top *t)
{
	size_t i = 0;

	while (i < COUNT(groupings) && groupings[i] != t->groups)
		i++;
	t->groups = groupings[i + 1 < COUNT(groupings) ? i + 1 : 0];
	summary_free(&t->summary);
	t->summary = summary_new(t->groups, true);
}

/* 1: end. */
static int handle_key(struct top *t, int key, bool *ret_redraw)
{
	*ret_redraw = true;
	switch (key) {
	case 'q':
	case KEY_ESCAPE:
		return 1;
	case 's':
		t->sort = (t->sort + 1) % SORTS;
		break;
	case ' ':
		t->paused = !t->paused;
		break;
	case KEY_RESIZE:
		break;
	default:
		*ret_redraw = false;
	}
	return 0;
}

static void top_done(struct top *t)
{
	term_close(&t->term);
	summary_free(&t->summary);
	vec_free(&t->rows);
	arena_free(&t->mem);
}

static int run_top(struct world *w, const void *params, struct sink *out, struct err *e)
{
	const struct vfslat_params *p = params;
	struct session s auto_session = { .w = w, .p = p, .out = out };
	struct top t auto_release(top_done) = { .s = &s };
	double interval_s = isnan(p->interval_s) ? 1 : p->interval_s;
	uint64_t began, until = U64_NONE, step, next;
	unsigned all = 0;
	int r = summary_groups(p->by, &t.groups, e);

	if (r)
		return r;
	if (!(interval_s >= 0.1))
		return err_usage(e, "INTERVAL", "must be at least 0.1 s");
	for (size_t i = 0; i < COUNT(groupings); i++)
		all |= groupings[i];
	if ((r = session_open(&s, all | t.groups, true, e)) || (r = term_open(&t.term, e)))
		return r;
	t.summary = summary_new(t.groups, true);
	step = (uint64_t)(interval_s * 1e9);
	began = clock_monotonic_ns();
	next = began + step;
	if (!isnan(p->duration_s))
		until = began + (uint64_t)(p->duration_s * 1e9);
	t.interval_s = interval_s;
	if ((r = draw(&t, e)))
		return r;
	for (;;) {
		uint64_t now = clock_monotonic_ns(), look = now + 100000000;
		bool redraw = false;
		int key = KEY_NONE;

		if (now >= until)
			break;
		r = term_key(t.term, look < next ? look : next, w->stop, &key);
		if (r == -EINTR)
			break;
		if (r)
			return err_sys(e, r, "terminal", "read");
		if (key != KEY_NONE && handle_key(&t, key, &redraw))
			break;
		if ((r = session_step(&s, 0, e)))
			return r;
		now = clock_monotonic_ns();
		if (key == 'g') {
			regroup(&t);
			/* All that was there before is not of this interval. */
			if ((r = read_rows(&t, interval_s, e)))
				return r;
			t.rows.n = 0;
			began = now;
			next = now + step;
			redraw = true;
		} else if (now >= next) {
			if (!t.paused) {
				if ((r = read_rows(&t, (double)(now - began) / 1e9, e)))
					return r;
				began = now;
				redraw = true;
			}
			while (next <= now)
				next += step;
		}
		if (redraw && (r = draw(&t, e)))
			return r;
	}
	return session_end(&s, e);
}

const struct operation vfslat_top_op = {
	.name = "vfslat_top",
	.summary = "the summary as a full screen that goes on",
	.params = vfslat_summary_params,
	.params_size = sizeof(struct vfslat_params),
	.flags = OP_STREAM | OP_LOCAL,
	.run = run_top,
};
