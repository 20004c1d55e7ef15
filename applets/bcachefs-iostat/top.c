/* The full screen: devices sorted by a column, with a graph of each one's last minute. */
#include "applets/bcachefs-iostat/model.h"

#include "lib/core/clock.h"
#include "lib/core/graph.h"
#include "lib/core/term.h"
#include "lib/core/utf8.h"

#include <errno.h>

enum { HISTORY = 60 };

/* A device's throughput of late, oldest first. */
struct track {
	char *uuid;
	uint32_t member;
	uint64_t seen; /* the report that last had it */
	double rate[HISTORY];
};

/* A column of the screen; the narrower the screen, the fewer: the highest keep goes first. */
struct column {
	const char *name;
	unsigned width, keep;
	char key;
};
static const struct column columns[] = {
	{ "device", 9, 0, 'n' },	    { "label", 12, 5, 'b' },
	{ "state", 6, 6, 0 },		    { "read_bytes_per_s", 9, 0, 'r' },
	{ "write_bytes_per_s", 9, 0, 'w' }, { "reads_per_s", 7, 2, 0 },
	{ "writes_per_s", 7, 2, 0 },	    { "read_latency_ns", 8, 3, 'l' },
	{ "write_latency_ns", 8, 3, 0 },    { "queue_depth", 6, 7, 'd' },
	{ "util_percent", 7, 1, 'u' },	    { "used_percent", 6, 4, 's' },
	{ "errors", 9, 4, 'e' },
};

struct view {
	const struct watch *w;
	struct arena mem; /* of the rows on screen */
	VEC(struct row) devices;
	VEC(struct row) totals;
	VEC(struct track) tracks;
	uint64_t reports;
	size_t sort, first; /* column sorted by; first device on screen */
	bool up, paused, help, utf8;
};

static const struct field *field_of(const struct column *c)
{
	return field_find(io_table.fields, c->name);
}

static struct track *track_of(struct view *v, const struct row *row)
{
	struct track *t;

	for (size_t i = 0; i < v->tracks.n; i++) {
		t = &v->tracks.items[i];
		if (t->member == row->member && streq(t->uuid, row->uuid))
			return t;
	}
	t = vec_add(&v->tracks);
	t->uuid = xstrdup(row->uuid);
	t->member = row->member;
	for (size_t i = 0; i < HISTORY; i++)
		t->rate[i] = DOUBLE_NONE;
	return t;
}

static int collect(void *arg, const struct row *row, const struct figures *f)
{
	struct view *v = arg;
	struct track *t;

	(void)f;
	if (row->scope == SCOPE_FILESYSTEM)
		*vec_add(&v->totals) = *row;
	if (row->scope != SCOPE_DEVICE)
		return 0;
	*vec_add(&v->devices) = *row;
	t = track_of(v, row);
	memmove(t->rate, t->rate + 1, (HISTORY - 1) * sizeof *t->rate);
	t->rate[HISTORY - 1] = row->read_bytes_per_s + row->write_bytes_per_s;
	t->seen = v->reports;
	return 0;
}

/* Tracks of devices that are gone for longer than their graph goes are dropped. */
static void drop_tracks(struct view *v)
{
	for (size_t i = 0; i < v->tracks.n;) {
		if (v->tracks.items[i].seen + HISTORY >= v->reports) {
			i++;
			continue;
		}
		free(v->tracks.items[i].uuid);
		v->tracks.items[i] = v->tracks.items[--v->tracks.n];
	}
}

static double number_of(const struct field *f, const struct row *row)
{
	const void *at = (const char *)row + f->offset;

	/* In the first report the sums stand in the rates' place. */
	if (field_is_none(f, row) && row->since_mount && streq(f->name, "read_bytes_per_s"))
		f = field_find(io_table.fields, "read_bytes"), at = &row->read_bytes;
	if (field_is_none(f, row) && row->since_mount && streq(f->name, "write_bytes_per_s"))
		f = field_find(io_table.fields, "write_bytes"), at = &row->write_bytes;
	if (field_is_none(f, row))
		return -1;
	switch (f->type) {
	case FIELD_DOUBLE:
		return *(const double *)at;
	case FIELD_U64:
		return (double)*(const uint64_t *)at;
	default:
		return 0;
	}
}

/* qsort_r differs between C libraries; the order is small and nearly sorted from report to report. */
static int compare(const struct view *v, const struct row *a, const struct row *b)
{
	const struct field *f = field_of(&columns[v->sort]);
	int r;

	if (f->type == FIELD_STR) {
		const char *s = *(const char *const *)(const void *)((const char *)a + f->offset);
		const char *t = *(const char *const *)(const void *)((const char *)b + f->offset);

		r = strverscmp(s ? s : "", t ? t : "");
	} else {
		double x = number_of(f, a), y = number_of(f, b);

		r = x > y ? -1 : x < y;
	}
	if (v->up)
		r = -r;
	if (!r)
		r = strcmp(a->uuid, b->uuid);
	return r ? r : a->member < b->member ? -1 : a->member > b->member;
}

static void sort_devices(struct view *v)
{
	struct row *rows = v->devices.items;

	for (size_t i = 1; i < v->devices.n; i++) {
		struct row row = rows[i];
		size_t low = 0, high = i;

		while (low < high) {
			size_t mid = (low + high) / 2;

			if (compare(v, &rows[mid], &row) <= 0)
				low = mid + 1;
			else
				high = mid;
		}
		memmove(&rows[low + 1], &rows[low], (i - low) * sizeof *rows);
		rows[low] = row;
	}
}

static const char *cell_text(const struct field *f, const struct row *row, struct arena *a)
{
	const char *text = io_table.human(f, row, a);

	return text ? text : field_human(f, row, a);
}

/* Padded to its width, cut where it is longer; text to the left, numbers to the right. */
static void put_cell(FILE *out, const char *text, unsigned width, bool left, enum style style,
		     bool color)
{
	size_t have = utf8_width(text), pad = have < width ? width - have : 0;

	fprintf(out, "%*s%s", left ? 0 : (int)pad, "", color ? style_begin(style) : "");
	utf8_print_cut(out, text, width);
	fprintf(out, "%s%*s", color ? style_end(style) : "", left ? (int)pad : 0, "");
}

/* Which columns have room, and how much is left for the graph. */
static unsigned fit(unsigned width, bool shown[static COUNT(columns)])
{
	unsigned used = 0, keep = 0;

	for (;;) {
		used = 0;
		for (size_t i = 0; i < COUNT(columns); i++) {
			shown[i] = columns[i].keep + keep <= 7;
			used += shown[i] ? columns[i].width + 1 : 0;
		}
		/* The last minute is worth more than the least of the columns. */
		if (used + 8 <= width || keep == 7)
			return used < width ? width - used : 0;
		keep++;
	}
}

static void put_headings(const struct view *v, FILE *out, const bool *shown, unsigned graph)
{
	struct arena a auto_arena = { 0 };

	for (size_t i = 0; i < COUNT(columns); i++) {
		static const char *const short_names[] = { "DEVICE", "LABEL", "STATE", "READ",
							   "WRITE",  "R/S",   "W/S",   "RLAT",
							   "WLAT",   "QUEUE", "UTIL",  "USED",
							   "ERRORS" };
		bool sorted = i == v->sort, left = field_of(&columns[i])->type == FIELD_STR;
		const char *name = short_names[i];

		if (!shown[i])
			continue;
		if (sorted && strlen(name) < columns[i].width)
			name = arena_printf(&a, "%s%s", name,
					    v->utf8 ? (v->up ? "▲" : "▼") : (v->up ? "^" : "v"));
		put_cell(out, name, columns[i].width, left, sorted ? STYLE_REVERSE : STYLE_BOLD,
			 v->w->world->color);
		fputc(' ', out);
	}
	fprintf(out, "%.*s\n", (int)graph, "LAST MINUTE");
}

/* The largest of each group of samples, so that no peak is lost where the graph is narrow. */
static const char *graph_of(struct view *v, const struct row *row, unsigned width, struct arena *a)
{
	size_t samples = (size_t)ceil(60 / v->w->interval_s), n;
	double values[HISTORY];
	const struct track *t = track_of(v, row);

	samples = samples < 1 ? 1 : samples > HISTORY ? HISTORY : samples;
	n = samples < width ? samples : width;
	for (size_t i = 0; i < n; i++) {
		size_t from = HISTORY - samples + i * samples / n;
		size_t to = HISTORY - samples + (i + 1) * samples / n;

		values[i] = DOUBLE_NONE;
		for (size_t k = from; k < to; k++)
			if (!(t->rate[k] <= values[i]) && !isnan(t->rate[k]))
				values[i] = t->rate[k];
	}
	return graph_sparkline(a, values, n, 0, v->utf8);
}

static void put_device(struct view *v, FILE *out, const struct row *row, const bool *shown,
		       unsigned graph, bool with_graph)
{
	struct arena a auto_arena = { 0 };

	for (size_t i = 0; i < COUNT(columns); i++) {
		const struct field *f = field_of(&columns[i]);

		if (!shown[i])
			continue;
		put_cell(out, cell_text(f, row, &a), columns[i].width, f->type == FIELD_STR,
			 io_table.style(f, row), v->w->world->color);
		fputc(' ', out);
	}
	if (with_graph && graph)
		fputs(graph_of(v, row, graph, &a), out);
	else if (!with_graph)
		utf8_print_cut(out, row->note ? row->note : row->filesystem, graph);
	fputc('\n', out);
}

static void put_help(FILE *out)
{
	fputs("\n"
	      "  left, right   sort by the column beside     n b r w l d u s e   by device, label,\n"
	      "  R             turn the order round           read, write, latency, queue depth,\n"
	      "  up, down      scroll                         utilisation, space used, errors\n"
	      "  space, p      stop and go on                 ?  this help     q, Esc  quit\n\n"
	      "  ~ is an approximate latency: the kernel's moving mean. Rates from 1 MB/s are\n"
	      "  yellow, from 10 MB/s green; a device with new errors is red.\n",
	      out);
}

static int show(struct view *v, struct term *t)
{
	FILE *out = term_frame(t);
	bool shown[COUNT(columns)];
	unsigned width, rows, used = 0, graph;
	char clock[16] = "";
	time_t now = time(NULL);
	struct tm tm;

	term_size(t, &width, &rows);
	graph = fit(width, shown);
	if (localtime_r(&now, &tm))
		strftime(clock, sizeof clock, "%T", &tm);
	fprintf(out, "bcachefs-iostat  %s  every %gs  %zu device%s in %zu filesystem%s%s  ? help\n",
		clock, v->w->interval_s, v->devices.n, v->devices.n == 1 ? "" : "s", v->totals.n,
		v->totals.n == 1 ? "" : "s", v->paused ? "  PAUSED" : "");
	if (v->help) {
		put_help(out);
		return term_show(t);
	}
	put_headings(v, out, shown, graph);
	used = 2;
	for (size_t i = 0; i < v->totals.n && used + 1 < rows; i++, used++)
		put_device(v, out, &v->totals.items[i], shown, graph, false);
	if (v->first && v->first >= v->devices.n)
		v->first = v->devices.n ? v->devices.n - 1 : 0;
	for (size_t i = v->first; i < v->devices.n && used < rows; i++, used++)
		put_device(v, out, &v->devices.items[i], shown, graph, true);
	if (!v->devices.n && used < rows)
		fputs("no bcachefs filesystem is mounted\n", out);
	return term_show(t);
}

/* Returns false when it is time to go. */
static bool on_key(struct view *v, int key)
{
	switch (key) {
	case 'q':
	case KEY_ESCAPE:
		if (!v->help)
			return false;
		v->help = false;
		break;
	case '?':
	case 'h':
		v->help = !v->help;
		break;
	case 'p':
	case ' ':
		v->paused = !v->paused;
		break;
	case 'R':
		v->up = !v->up;
		break;
	case KEY_LEFT:
		v->sort = (v->sort + COUNT(columns) - 1) % COUNT(columns);
		break;
	case KEY_RIGHT:
		v->sort = (v->sort + 1) % COUNT(columns);
		break;
	case KEY_UP:
		v->first -= v->first > 0;
		break;
	case KEY_DOWN:
		v->first += v->first + 1 < v->devices.n;
		break;
	case KEY_HOME:
		v->first = 0;
		break;
	default:
		for (size_t i = 0; key > 0 && i < COUNT(columns); i++)
			if (columns[i].key == key)
				v->sort = i;
	}
	sort_devices(v);
	return true;
}

/* Keys until the next reading is due: 1 to go on, 0 to end, or -errno. */
static int keys_until(struct view *v, struct term *t, uint64_t deadline_ns)
{
	for (;;) {
		int key, r = term_key(t, deadline_ns, v->w->world->stop, &key);

		if (r == -EINTR)
			return 0;
		if (r)
			return r;
		if (key == KEY_NONE && clock_monotonic_ns() >= deadline_ns)
			return 1;
		if (!on_key(v, key))
			return 0;
		if (show(v, t))
			return -EIO;
	}
}

static int watch(struct view *v, struct term *t, struct err *e)
{
	const uint64_t step_ns = (uint64_t)(v->w->interval_s * 1e9);
	struct snapshot before auto_snapshot = { 0 }, now auto_snapshot = { 0 };
	uint64_t deadline_ns = clock_monotonic_ns();
	int r;

	for (;;) {
		struct snapshot oldest = before;

		r = reader_read(v->w->reader, before.taken ? &before : NULL, &now, e);
		if (r)
			return r;
		v->devices.n = v->totals.n = 0;
		arena_free(&v->mem);
		v->reports++;
		report_rows(&v->w->world->root, &before, &now, &v->w->report, &v->mem, collect, v);
		drop_tracks(v);
		sort_devices(v);
		if (show(v, t))
			return err_sys(e, -EIO, "terminal", "write");
		if (v->reports > v->w->count)
			return 0;
		/* The rows' strings are of these two readings. */
		do {
			deadline_ns += step_ns;
			if (deadline_ns < clock_monotonic_ns())
				deadline_ns = clock_monotonic_ns() + step_ns;
			r = keys_until(v, t, deadline_ns);
			if (r < 0)
				return err_sys(e, r, "terminal", "read keys");
			if (!r)
				return 0;
		} while (v->paused);
		before = now;
		now = oldest;
	}
}

int run_top(const struct watch *w, const char *sort, struct err *e)
{
	struct view v = { .w = w, .utf8 = graph_utf8(), .sort = COUNT(columns) };
	struct term *t auto_term = NULL;
	struct snapshot first auto_snapshot = { 0 };
	int r;

	for (size_t i = 0; i < COUNT(columns); i++)
		if (streq(columns[i].name, sort))
			v.sort = i;
	if (v.sort == COUNT(columns)) {
		const char *known = columns[0].name;

		for (size_t i = 1; i < COUNT(columns); i++)
			known = arena_printf(w->world->mem, "%s, %s", known, columns[i].name);
		return err_usage(e, "--sort", "'%s' is no column of the screen; there are %s", sort,
				 known);
	}
	/* What is wrong is said before the screen is another. */
	r = reader_read(w->reader, NULL, &first, e);
	if (!r)
		r = check_words(w, &first, e);
	if (!r)
		r = term_open(&t, e);
	if (!r)
		r = watch(&v, t, e);
	term_close(&t);
	for (size_t i = 0; i < v.tracks.n; i++)
		free(v.tracks.items[i].uuid);
	vec_free(&v.tracks);
	vec_free(&v.devices);
	vec_free(&v.totals);
	arena_free(&v.mem);
	return r;
}
