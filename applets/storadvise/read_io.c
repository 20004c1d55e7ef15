/* Reads iostat, iotop and the rows of vfslat and bcachefs-iostat (see facts.h). */
#include "applets/storadvise/facts.h"

#include "lib/core/tsv.h"

#include <ctype.h>
#include <errno.h>

/* A device's numbers over several reports: the median of each is kept. */
static const struct {
	const char *text, *json;
	size_t offset;
} io_columns[] = {
	{ "r/s", "r/s", offsetof(struct fact_io, reads_per_s) },
	{ "w/s", "w/s", offsetof(struct fact_io, writes_per_s) },
	{ "rkB/s", "rkB/s", offsetof(struct fact_io, read_kb_per_s) },
	{ "wkB/s", "wkB/s", offsetof(struct fact_io, write_kb_per_s) },
	{ "kB_read/s", "kB_read/s", offsetof(struct fact_io, read_kb_per_s) },
	{ "kB_wrtn/s", "kB_wrtn/s", offsetof(struct fact_io, write_kb_per_s) },
	{ "r_await", "r_await", offsetof(struct fact_io, read_await_ms) },
	{ "w_await", "w_await", offsetof(struct fact_io, write_await_ms) },
	{ "f_await", "f_await", offsetof(struct fact_io, flush_await_ms) },
	{ "wareq-sz", "wareq-sz", offsetof(struct fact_io, write_kb) },
	{ "aqu-sz", "aqu-sz", offsetof(struct fact_io, queue) },
	{ "%util", "util", offsetof(struct fact_io, busy_percent) },
};

struct io_sample {
	const char *device, *source;
	unsigned report;
	double v[COUNT(io_columns)];
};

struct io_samples {
	VEC(struct io_sample) rows;
};

static int by_value(const void *a, const void *b)
{
	const double *p = a, *q = b;

	return *p < *q ? -1 : *p > *q;
}

/* The first report is since boot: it counts only when there is no other. */
static void medians(struct facts *f, struct io_samples *s, unsigned reports)
{
	for (size_t i = 0; i < s->rows.n; i++) {
		const struct io_sample *first = &s->rows.items[i];
		struct fact_io *row;
		bool seen = false;
		uint64_t n = 0;

		for (size_t j = 0; j < i && !seen; j++)
			seen = streq(s->rows.items[j].device, first->device);
		if (seen)
			continue;
		row = fact_add(f, io);
		row->device = first->device;
		for (size_t c = 0; c < COUNT(io_columns); c++) {
			double *v auto_free = xcalloc(s->rows.n, sizeof *v);
			size_t k = 0;

			for (size_t j = i; j < s->rows.n; j++) {
				const struct io_sample *r = &s->rows.items[j];

				if (!streq(r->device, first->device) || isnan(r->v[c]) ||
				    (reports > 1 && !r->report))
					continue;
				v[k++] = r->v[c];
				row->source = r->source;
			}
			if (!k)
				continue;
			qsort(v, k, sizeof *v, by_value);
			*(double *)((char *)row + io_columns[c].offset) = v[k / 2];
			n = k > n ? k : n;
		}
		row->samples = n;
	}
	vec_free(&s->rows);
}

static struct io_sample *io_row(struct io_samples *s, const char *device, unsigned report)
{
	struct io_sample *r = vec_add(&s->rows);

	r->device = device;
	r->report = report;
	for (size_t c = 0; c < COUNT(io_columns); c++)
		r->v[c] = DOUBLE_NONE;
	return r;
}

/* "r/s 0.5, w/s 12": those that the report had. */
static const char *numbers(struct arena *a, const struct io_sample *r)
{
	const char *text = "";

	for (size_t c = 0; c < COUNT(io_columns); c++)
		if (!isnan(r->v[c]))
			text = arena_printf(a, "%s%s%s %.15g", text, *text ? ", " : "",
					    io_columns[c].text, r->v[c]);
	return text;
}

static int iostat_json(struct facts *f, const char *name, const struct json *j, struct err *e)
{
	const struct json *statistics =
		json_get(json_at(json_path(j, "sysstat", "hosts", NULL), 0), "statistics");
	struct io_samples s = { 0 };

	if (!json_length(statistics))
		return read_error(e, name, 1, "not the output of `iostat -o JSON`");
	for (size_t i = 0; i < json_length(statistics); i++) {
		const struct json *disks = json_get(json_at(statistics, i), "disk");

		for (size_t k = 0; k < json_length(disks); k++) {
			const struct json *d = json_at(disks, k);
			const char *device = json_string(json_get(d, "disk_device"));
			struct io_sample *r;

			if (!device)
				continue;
			r = io_row(&s, arena_str(f->mem, device), (unsigned)i);
			for (size_t c = 0; c < COUNT(io_columns); c++)
				json_as_double(json_get(d, io_columns[c].json), &r->v[c]);
			r->source = arena_printf(f->mem, "%s: report %zu, %s: %s", name, i + 1, device,
						 numbers(f->mem, r));
		}
	}
	medians(f, &s, (unsigned)json_length(statistics));
	return 0;
}

int read_iostat(struct facts *f, const char *place, const char *name, char *text, struct err *e)
{
	struct io_samples s = { 0 };
	int columns[32];
	unsigned width = 0, reports = 0;
	char *line, *w[32];
	struct json *j auto_json = NULL;
	int error;

	(void)place;
	facts_set_given(f, FACT_io);
	error = read_json(text, name, &j, e);
	if (error || j)
		return error ? error : iostat_json(f, name, j, e);
	for (unsigned n = 1; (line = next_line(&text)); n++) {
		const char *source = source_line(f, name, n, line);
		unsigned k = split_words(line, w, COUNT(w));
		struct io_sample *r;

		if (!k) {
			width = 0;
			continue;
		}
		if (streq(w[0], "Device") || streq(w[0], "Device:")) {
			width = k;
			reports++;
			for (unsigned i = 0; i < k; i++) {
				columns[i] = -1;
				for (size_t c = 0; c < COUNT(io_columns); c++)
					if (streq(w[i], io_columns[c].text))
						columns[i] = (int)c;
			}
			continue;
		}
		if (!width || k != width)
			continue;
		r = io_row(&s, arena_str(f->mem, w[0]), reports - 1);
		r->source = source;
		for (unsigned i = 1; i < k; i++)
			if (columns[i] >= 0)
				r->v[columns[i]] = strtod(w[i], NULL);
	}
	medians(f, &s, reports);
	return reports ? 0 : read_error(e, name, 1, "not the output of `iostat`");
}

/* PID PRIO USER READ K/s WRITE K/s SWAPIN % IO % COMMAND, or ?unavailable? for the percentages. */
int read_iotop(struct facts *f, const char *place, const char *name, char *text, struct err *e)
{
	char *line, *w[64];
	bool seen = false;

	(void)place;
	facts_set_given(f, FACT_processes);
	for (unsigned n = 1; (line = next_line(&text)); n++) {
		const char *source = source_line(f, name, n, line);
		unsigned k, at = 7;
		struct fact_process *p;
		char *command;

		seen |= strstr(line, "DISK READ") != NULL;
		k = split_words(line, w, COUNT(w));
		if (k < 9 || !isdigit((unsigned char)*w[0]) || !strchr(w[1], '/'))
			continue;
		while (at + 1 < k && (streq(w[at], "%") || streq(w[at], "?unavailable?") ||
				      streq(w[at + 1], "%")))
			at++;
		command = arena_str(f->mem, w[at]);
		for (unsigned i = at + 1; i < k; i++)
			command = arena_printf(f->mem, "%s %s", command, w[i]);
		p = NULL;
		/* The same command in a later report: the highest numbers count. */
		for (size_t i = 0; i < f->processes.n && !p; i++)
			if (streq(f->processes.items[i].command, command))
				p = &f->processes.items[i];
		if (!p && strtod(w[3], NULL) == 0 && strtod(w[5], NULL) == 0)
			continue;
		if (!p) {
			p = fact_add(f, processes);
			p->command = command;
			p->user = arena_str(f->mem, w[2]);
			p->workload = fact_workload(command);
			p->read_kb_per_s = p->write_kb_per_s = 0;
		}
		double unit_r = *w[4] == 'M' ? 1024 : *w[4] == 'B' ? 1.0 / 1024 : 1;
		double unit_w = *w[6] == 'M' ? 1024 : *w[6] == 'B' ? 1.0 / 1024 : 1;

		p->read_kb_per_s = fmax(p->read_kb_per_s, strtod(w[3], NULL) * unit_r);
		p->write_kb_per_s = fmax(p->write_kb_per_s, strtod(w[5], NULL) * unit_w);
		if (k > 10 && streq(w[10], "%"))
			p->io_percent = strtod(w[9], NULL);
		p->source = source;
	}
	return seen ? 0 : read_error(e, name, 1, "not the output of `iotop -b`");
}

/* Rows of the siblings: whichever of these columns a table has. */
struct sibling_row {
	const char *path, *file, *mount, *device, *operation, *op, *event, *process, *comm, *pod;
	uint64_t count, latency_ns, p99_ns, max_ns, duration_ns;
};

static const struct field sibling_fields[] = {
	FIELD(struct sibling_row, path, 0, "path"), FIELD(struct sibling_row, file, 0, "path"),
	FIELD(struct sibling_row, mount, 0, "mount"), FIELD(struct sibling_row, device, 0, "device"),
	FIELD(struct sibling_row, operation, 0, "operation"), FIELD(struct sibling_row, op, 0, "operation"),
	FIELD(struct sibling_row, event, 0, "operation"), FIELD(struct sibling_row, process, 0, "process"),
	FIELD(struct sibling_row, comm, 0, "process"), FIELD(struct sibling_row, pod, 0, "pod"),
	FIELD(struct sibling_row, count, 0, "count"), FIELD(struct sibling_row, latency_ns, 0, "latency"),
	FIELD(struct sibling_row, p99_ns, 0, "latency"), FIELD(struct sibling_row, max_ns, 0, "latency"),
	FIELD(struct sibling_row, duration_ns, 0, "latency"), FIELD_END,
};

static int read_sibling(struct facts *f, const char *name, char *text, struct err *e)
{
	FILE *in auto_fclose = fmemopen(text, strlen(text) + !*text, "r");
	struct tsv *t auto_tsv = NULL;
	struct sibling_row row;
	int r;

	facts_set_given(f, FACT_slow);
	if (!in)
		return err_sys(e, -errno, name, "read");
	r = tsv_open(in, name, NULL, sibling_fields, &t, e);
	for (unsigned n = 2; !r; n++) {
		struct fact_slow *s;

		r = tsv_next(t, &row, f->mem, e);
		if (r <= 0)
			return r;
		r = 0;
		s = fact_add(f, slow);
		s->path = row.path ? row.path : row.file ? row.file : row.mount ? row.mount
								    : row.device;
		s->operation = row.operation ? row.operation : row.op ? row.op : row.event;
		s->process = row.process ? row.process : row.comm;
		s->count = row.count;
		s->latency_ns = row.latency_ns != U64_NONE ? row.latency_ns
				: row.p99_ns != U64_NONE  ? row.p99_ns
				: row.max_ns != U64_NONE  ? row.max_ns
							  : row.duration_ns;
		s->workload = s->process ? fact_workload(s->process) : NULL;
		if (!s->workload && s->path)
			s->workload = fact_workload(s->path);
		s->source = arena_printf(f->mem, "%s:%u: %s %s %s %.3f ms", name, n,
					 s->process ? s->process : "-",
					 s->operation ? s->operation : "-", s->path ? s->path : "-",
					 s->latency_ns == U64_NONE ? 0.0 : (double)s->latency_ns / 1e6);
	}
	return r;
}

int read_vfslat(struct facts *f, const char *place, const char *name, char *text, struct err *e)
{
	(void)place;
	return read_sibling(f, name, text, e);
}

int read_bcachefs(struct facts *f, const char *place, const char *name, char *text, struct err *e)
{
	(void)place;
	return read_sibling(f, name, text, e);
}
