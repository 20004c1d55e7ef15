/* bcachefs-iostat: iostat for bcachefs, on every kernel that has it. */
#include "applets/bcachefs-iostat/model.h"

#include "lib/core/applet.h"
#include "lib/core/clock.h"
#include "lib/core/size.h"

#include <errno.h>
#include <poll.h>

struct params {
	const char **words;
	bool types, latency, histogram, skip_first, hide_idle, time, human, kilobytes, megabytes;
	bool totals, since_mount, top;
	const char *metrics, *sort;
};

#define PARAM(member, flags, help, ...) FIELD(struct params, member, flags, help, ##__VA_ARGS__)

static const struct field params[] = {
	PARAM(types, 0, "extended: a row for each data type, and the block layer's latency",
	      .letter = 'x', .option = "extended"),
	PARAM(latency, 0, "quantiles of the latency, as the kernel estimates them", .letter = 'l',
	      .option = "latency"),
	PARAM(histogram, 0, "instead of reports, at the end a histogram of the latencies of the run: "
	      "the I/Os of each interval at their mean", .letter = 'w'),
	PARAM(skip_first, 0, "leave out the first report, the one since mount", .letter = 'y'),
	PARAM(hide_idle, 0, "leave out devices without I/O in the interval", .letter = 'z'),
	PARAM(time, 0, "show when each report was made", .letter = 't'),
	PARAM(human, 0, "sizes in the unit that suits each, which is the default of tables",
	      .letter = 'H', .option = "human"),
	PARAM(kilobytes, 0, "sizes in KiB in tables", .letter = 'k'),
	PARAM(megabytes, 0, "sizes in MiB in tables", .letter = 'm'),
	PARAM(totals, 0, "one row a filesystem, no devices", .letter = 'g'),
	PARAM(since_mount, 0, "one report, since mount"),
	PARAM(top, 0, "full screen: devices sorted, with a graph of the last minute; ? helps"),
	PARAM(sort, 0, "first sort column of --top", .arg = "COL", .def = "write_bytes_per_s"),
	PARAM(metrics, 0, "write the counters to FILE as OpenMetrics text, atomically; - is "
	      "standard output. Once, or with an interval at each", .arg = "FILE",
	      .complete = "file"),
	PARAM(words, OPERAND, "filesystems by mount point, UUID, device or label (all); at the end "
	      "interval (2 seconds) and count of reports (endless)",
	      .arg = "FS... [INTERVAL [COUNT]]", .complete = "mount"),
	FIELD_END,
};

static int parse_count(const char *s, uint64_t *ret)
{
	char *end;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	errno = 0;
	*ret = strtoull(s, &end, 10);
	return *end || errno || *ret == U64_NONE ? -EINVAL : 0;
}

/* Takes [interval [count]] off the end of the words; what looks like a number is one: a label that
 * does is named LABEL=5. */
static int parse_pace(const char **words, struct watch *w, bool *ret_given, struct err *e)
{
	size_t n = strlist_len(words);
	uint64_t count;
	double s;

	w->interval_s = 2;
	w->count = U64_NONE;
	*ret_given = false;
	if (n >= 2 && !duration_parse(words[n - 2], &s) && !parse_count(words[n - 1], &count)) {
		if (!count)
			return err_usage(e, words[n - 1], "the count of reports is at least 1");
		w->count = count;
		n -= 2;
	} else if (n && !duration_parse(words[n - 1], &s)) {
		n -= 1;
	} else {
		return 0;
	}
	/* A timespec of the kernel holds more, but nobody waits for a year. */
	if (s < 0.001 || s > 366.0 * 86400)
		return err_usage(e, words[n], "the interval is between 1ms and a year");
	words[n] = NULL;
	w->interval_s = s;
	*ret_given = true;
	return 0;
}

void wait_until(uint64_t deadline_ns, const volatile sig_atomic_t *stop)
{
	sigset_t held, before;

	sigemptyset(&held);
	sigaddset(&held, SIGINT);
	sigaddset(&held, SIGTERM);
	sigaddset(&held, SIGHUP);
	/* Blocked but in the sleep itself, so that none falls between the look and the sleep. */
	sigprocmask(SIG_BLOCK, &held, &before);
	for (;;) {
		uint64_t now = clock_monotonic_ns();
		uint64_t wait = deadline_ns > now ? deadline_ns - now : 0;
		struct timespec ts = { (time_t)(wait / 1000000000), (long)(wait % 1000000000) };

		if (*stop || !wait)
			break;
		ppoll(NULL, 0, &ts, &before);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
}

int check_words(const struct watch *w, const struct snapshot *s, struct err *e)
{
	const char *there = NULL;

	if (!s->filesystems.n)
		return err_make(e, ERR_UNSUPPORTED, -ENOENT, "bcachefs", "mount one",
				"no filesystem is mounted or assembled");
	for (const char *const *word = w->report.words; word && *word; word++) {
		bool known = false;

		for (size_t i = 0; !known && i < s->filesystems.n; i++)
			known = filesystem_named(&w->world->root, &s->filesystems.items[i], *word);
		if (known)
			continue;
		for (size_t i = 0; i < s->filesystems.n; i++) {
			const struct filesystem *fs = &s->filesystems.items[i];
			const char *name = fs->mounts ? fs->mounts[0] : fs->name;

			there = there ? arena_printf(w->world->mem, "%s, %s", there, name) : name;
		}
		return err_make(e, ERR_NO_DEVICE, -ENODEV, *word, NULL,
				"no bcachefs filesystem of that mount point, UUID, device or "
				"label; there are %s", there);
	}
	return 0;
}

struct output {
	struct sink *sink;
	struct tallies *tallies;
};

static int emit(void *arg, const struct row *row, const struct figures *f)
{
	struct output *o = arg;

	if (!o->tallies)
		return sink_row(o->sink, &io_table, row);
	tallies_add(o->tallies, row, f);
	return 0;
}

/* One report after the other, in the memory of the one before the last: it stays flat. */
static int run_reports(const struct watch *w, const struct params *p, struct output *o,
		       struct err *e)
{
	struct snapshot before auto_snapshot = { 0 }, now auto_snapshot = { 0 };
	const uint64_t step_ns = (uint64_t)(w->interval_s * 1e9);
	uint64_t deadline_ns = clock_monotonic_ns(), done = 0;
	struct arena mem auto_arena = { 0 };
	bool first = true;
	int r;

	for (;;) {
		struct snapshot oldest = before;
		bool wanted = !first || (!p->skip_first && !o->tallies);

		r = reader_read(w->reader, first ? NULL : &before, &now, e);
		if (!r && first)
			r = check_words(w, &now, e);
		if (r)
			return r;
		if (wanted && p->metrics) {
			r = write_metrics(p->metrics, &w->world->root, &now, w->report.words, e);
			if (r)
				return r;
		} else if (wanted) {
			r = report_rows(&w->world->root, first ? NULL : &before, &now, &w->report,
					&mem, emit, o);
			if (!r && !o->tallies)
				r = sink_flush(o->sink);
			if (r)
				return err_sys(e, r, "standard output", "write");
		}
		done += wanted;
		first = false;
		if (p->since_mount || done >= w->count || *w->world->stop)
			return 0;
		before = now;
		now = oldest;
		arena_reset(&mem);
		/* Ticks that were missed (a suspended machine, a stopped process) are left out. */
		deadline_ns += step_ns;
		if (deadline_ns < clock_monotonic_ns())
			deadline_ns = clock_monotonic_ns() + step_ns;
		wait_until(deadline_ns, w->world->stop);
		if (*w->world->stop)
			return 0;
	}
}

static int check_params(const struct params *p, bool paced, struct err *e)
{
	if (p->human + p->kilobytes + p->megabytes > 1)
		return err_usage(e, NULL, "-H, -k and -m exclude each other");
	if (p->top + p->histogram + (p->metrics != NULL) > 1)
		return err_usage(e, NULL, "--top, --histogram and --metrics exclude each other");
	if (p->since_mount && (p->skip_first || paced))
		return err_usage(e, "--since-mount", "is one report: no interval and no -y");
	if (p->since_mount && (p->top || p->histogram))
		return err_usage(e, "--since-mount", "not with --top or --histogram");
	return 0;
}

static int run(struct world *world, const void *base, struct sink *out, struct err *e)
{
	struct params p = *(const struct params *)base;
	struct reader *reader auto_reader = NULL;
	struct tallies *tallies auto_tallies = NULL;
	struct watch w = { .world = world };
	bool paced;
	int r = parse_pace(p.words, &w, &paced, e);

	if (r || (r = check_params(&p, paced, e)))
		return r;
	w.report = (struct report_options){
		.types = p.types, .quantiles = p.latency, .totals_only = p.totals,
		.hide_idle = p.hide_idle, .words = p.words,
		.scale = p.kilobytes ? SCALE_K : p.megabytes ? SCALE_M : SCALE_AUTO,
	};
	w.reader = reader = reader_new(&world->root);
	if (p.top || p.metrics || p.histogram)
		sink_show(out, &io_table, NULL, false);
	if (!p.histogram)
		sink_show(out, &latency_table, NULL, false);
	if (p.time)
		sink_show(out, &io_table, "time", true);
	if (p.types)
		sink_show(out, &io_table, "type,read_await_ns,write_await_ns", true);
	if (p.latency)
		sink_show(out, &io_table, "read_p50_ns,read_p75_ns,read_p94_ns,write_p50_ns,"
			  "write_p75_ns,write_p94_ns", true);
	if (p.totals)
		sink_show(out, &io_table, "device,label,state", false);
	if (p.top)
		return run_top(&w, p.sort, e);
	/* A file for a collector is written once, unless it is to be kept up to date. */
	if (p.metrics && !paced)
		p.since_mount = true;
	if (p.histogram)
		tallies = tallies_new();
	r = run_reports(&w, &p, &(struct output){ out, tallies }, e);
	if (!r && tallies) {
		r = tallies_write(tallies, out, world->mem);
		if (r)
			return err_sys(e, r, "standard output", "write");
	}
	return r;
}

static const struct operation iostat = {
	.name = "bcachefs_iostat",
	.summary = "statistics of bcachefs filesystems and their devices",
	.params = params,
	.params_size = sizeof(struct params),
	.tables = TABLES(&io_table, &latency_table),
	.flags = OP_STREAM | OP_LOCAL,
	.run = run,
};

const struct applet bcachefs_iostat_applet = {
	.name = "bcachefs-iostat",
	.summary = "iostat for bcachefs",
	.text = "What bcachefs filesystems and their member devices read and write: bytes by "
		"bcachefs' own counters, operations, queue and utilisation by the block layer's, "
		"latency as bcachefs measures it.\n\n"
		"The first report covers the time since mount, the others an interval each. The "
		"kernel does not tell when it mounted: on screen the first report shows sums in "
		"place of rates where the age is not known.\n\n"
		"A latency is exact over its interval where the kernel has sums in nanoseconds (the "
		"out-of-tree module); elsewhere it is the kernel's moving mean, marked ~.\n\n"
		"On a terminal rates from 1 MB/s are yellow, from 10 MB/s green, and a device whose "
		"errors rose in the interval stands out.",
	.modes = MODES({ "", &iostat }),
	.examples = EXAMPLES({ "bcachefs-iostat", "All filesystems, every two seconds." },
			     { "bcachefs-iostat /srv 1 10", "One, every second, ten reports." },
			     { "bcachefs-iostat -y -z -x 5", "Data types of devices in use." },
			     { "bcachefs-iostat -w 0.1 600", "A minute's latencies." },
			     { "bcachefs-iostat --jsonl 10 | logger -t bcachefs-iostat",
			       "One JSON object a row into the log." },
			     { "bcachefs-iostat --metrics "
			       "/var/lib/prometheus/node-exporter/bcachefs.prom",
			       "For a textfile collector, from cron." }),
	.files = EXAMPLES({ "/sys/fs/bcachefs", "bcachefs' counters" },
			  { "/proc/diskstats", "the block layer's" }),
	.environment = EXAMPLES({ "NO_COLOR", "no colour, if it is set and not empty" },
				{ "LC_ALL, LC_CTYPE, LANG", "graphs use block characters where these "
							    "name UTF-8" }),
	.see_also = "iostat(1), bcachefs(8)",
	.section = 8,
};
