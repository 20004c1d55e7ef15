/* Graphs, metrics and the full screen as a program, for term.bats. */
#include "lib/core/clock.h"
#include "lib/core/field.h"
#include "lib/core/metrics.h"
#include "lib/core/term.h"

#include <errno.h>
#include <inttypes.h>

static int fail(const struct err *e)
{
	struct arena mem auto_arena = { 0 };

	fprintf(stderr, "%s\n", err_line(e, &mem));
	return (int)err_exit_status(e);
}

static int bar(char **argv)
{
	struct arena mem auto_arena = { 0 };

	printf("%s\n", graph_bar(&mem, strtod(argv[0], NULL), (unsigned)atoi(argv[1]),
				 streq(argv[2], "utf8")));
	return 0;
}

static int spark(char **argv)
{
	struct arena mem auto_arena = { 0 };
	double values[64], max = strtod(argv[0], NULL);
	size_t n = 0;

	for (char **p = argv + 2; *p && n < COUNT(values); p++)
		values[n++] = strtod(*p, NULL);
	printf("[%s]\n", graph_sparkline(&mem, values, n, max, streq(argv[1], "utf8")));
	return 0;
}

static int utf8(char **argv)
{
	(void)argv;
	return graph_utf8() ? 0 : 1;
}

/* hist Q VALUE...: the buckets in use, and the quantile. */
static int hist(char **argv)
{
	struct histogram h = { 0 };
	unsigned first = 0, last = 0;

	for (char **p = argv + 1; *p; p++)
		histogram_add(&h, strtoull(*p, NULL, 10), 1);
	if (histogram_range(&h, &first, &last))
		for (unsigned i = first; i <= last; i++)
			printf("%" PRIu64 "-%" PRIu64 ":%" PRIu64 " ", histogram_low(i),
			       histogram_high(i), h.count[i]);
	printf("q=%.6g\n", histogram_quantile(&h, strtod(argv[0], NULL)));
	return 0;
}

static void fill(struct metrics *m, void *arg)
{
	static const struct metric_family reads = { "test_read_bytes", METRIC_COUNTER, "bytes",
						    "Bytes \"read\",\nback\\slash" };
	static const struct metric_family used = { "test_used_ratio", METRIC_GAUGE, "ratio",
						   "Used" };
	static const struct metric_family wait = { "test_wait_seconds", METRIC_HISTOGRAM,
						   "seconds", "Waits" };
	struct histogram h = { 0 };

	metrics_family(m, &reads);
	metrics_u64(m, LABELS("device", arg, "type", NULL), UINT64_MAX - 1);
	metrics_u64(m, LABELS("device", "none"), U64_NONE);
	metrics_family(m, &used);
	metrics_double(m, NULL, 0.1);
	metrics_double(m, LABELS("device", "a"), INFINITY);
	metrics_double(m, LABELS("device", "b"), NAN);
	metrics_family(m, &wait);
	histogram_add(&h, 3, 2);
	histogram_add(&h, 5, 1);
	histogram_add(&h, 1000, 1);
	metrics_histogram(m, LABELS("op", "read"), &h, 1, 3, 1e9);
}

/* metrics PATH LABEL */
static int metrics(char **argv)
{
	struct err e = { 0 };

	return metrics_to_file(argv[0], fill, argv[1], &e) ? fail(&e) : 0;
}

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	stop = sig;
}

static int __attribute__((noinline)) deep(const volatile char *p)
{
	volatile char frame[65536];

	frame[0] = *p;
	return *p ? deep(frame) + frame[0] : 0;
}

/* screen: shows each key's number; C crashes, S overflows the stack, A aborts, E exits, q ends. */
static int screen(char **argv)
{
	auto_term struct term *t = NULL;
	struct err e = { 0 };
	int key = 0, r = 0;

	if (argv[0] && streq(argv[0], "orderly"))
		signal(SIGTERM, on_signal);
	if (term_open(&t, &e))
		return fail(&e);
	while (key != 'q') {
		unsigned columns, rows;
		FILE *out = term_frame(t);
		volatile uintptr_t nowhere = 8; /* the compiler must not see through it */

		term_size(t, &columns, &rows);
		fprintf(out, "size %ux%u key %d.\n", columns, rows, key);
		for (unsigned i = 0; i < rows + 5; i++)
			fprintf(out, "%0*u\n", (int)columns + 10, i);
		if (term_show(t))
			return 1;
		r = term_key(t, clock_monotonic_ns() + UINT64_C(20000000000), &stop, &key);
		if (r)
			break;
		if (key == 'C')
			*(volatile int *)nowhere = 1;
		if (key == 'S')
			deep("x");
		if (key == 'A')
			abort();
		if (key == 'E')
			exit(7);
	}
	term_close(&t);
	printf("ended %s\n", r ? errno_name(r) : "well");
	return 0;
}

/* keys: decodes stdin's bytes. */
static int keys(char **argv)
{
	char bytes[256];
	size_t n = fread(bytes, 1, sizeof bytes, stdin), at = 0;

	(void)argv;
	while (at < n) {
		int key;
		size_t used = term_decode(bytes + at, n - at, &key);

		if (!used)
			break;
		printf("%x/%zu ", (unsigned)key, used);
		at += used;
	}
	printf("left %zu\n", n - at);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(char **argv);
	} commands[] = { { "bar", bar },	 { "spark", spark },   { "utf8", utf8 },
			 { "hist", hist },	 { "keys", keys },     { "metrics", metrics },
			 { "screen", screen } };

	for (size_t i = 0; argc > 1 && i < COUNT(commands); i++)
		if (streq(commands[i].name, argv[1]))
			return commands[i].run(argv + 2);
	return 2;
}
