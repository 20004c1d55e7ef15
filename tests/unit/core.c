/* lib/core as a program, for core.bats: each subcommand shows what one function does. */
#include "lib/core/field.h"
#include "lib/core/root.h"
#include "lib/core/run.h"
#include "lib/core/sink.h"
#include "lib/core/size.h"
#include "lib/core/tsv.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/resource.h>

enum color { RED, GREEN };
static const char *const colors[] = { "red", "green", NULL };

struct row {
	const char *name;
	uint64_t size_bytes;
	int64_t delta;
	double interval_s;
	bool on;
	uint32_t color;
	const char **tags;
};

static const struct field fields[] = {
	FIELD(struct row, name, REQUIRED, "name"),
	FIELD(struct row, size_bytes, 0, "size"),
	FIELD(struct row, delta, 0, "delta"),
	FIELD(struct row, interval_s, 0, "interval"),
	FIELD(struct row, on, 0, "on"),
	FIELD(struct row, color, 0, "color", .names = colors),
	FIELD(struct row, tags, 0, "tags"),
	FIELD_END,
};
static const struct table things = TABLE(struct row, "things", "things", fields);
static const struct table others = TABLE(struct row, "others", "others", fields);

static int fail(const struct err *e)
{
	struct arena mem auto_arena = { 0 };

	fprintf(stderr, "%s\n", err_line(e, &mem));
	return (int)err_exit_status(e);
}

static int size(char **argv)
{
	char buf[SIZE_TEXT];
	uint64_t bytes;
	int r = size_parse(argv[0], &bytes);

	if (r)
		return printf("%s\n", errno_name(r)), 1;
	printf("%" PRIu64 " %s\n", bytes, size_text(buf, bytes));
	return 0;
}

static int duration(char **argv)
{
	double s;
	int r = duration_parse(argv[0], &s);

	if (r)
		return printf("%s\n", errno_name(r)), 1;
	printf("%g\n", s);
	return 0;
}

static enum format format_of(const char *name)
{
	return streq(name, "json")    ? FORMAT_JSON
	       : streq(name, "jsonl") ? FORMAT_JSONL
	       : streq(name, "table") ? FORMAT_TABLE
				      : FORMAT_TSV;
}

/* copy FORMAT [WIDTH [COLUMNS]]: TSV on stdin to another format. */
static int copy(char **argv)
{
	struct arena mem auto_arena = { 0 };
	struct writer_options o = { .format = format_of(argv[0]) };
	struct sink *out auto_writer = NULL;
	struct tsv *in auto_tsv = NULL;
	struct err e = { 0 };
	struct row row;
	int r;

	if (argv[1])
		o.width = (unsigned)atoi(argv[1]);
	if (argv[1])
		o.columns = argv[2];
	out = writer_new(stdout, TABLES(&things), &o, &e);
	if (!out || tsv_open(stdin, "standard input", "things", fields, &in, &e))
		return fail(&e);
	while ((r = tsv_next(in, &row, &mem, &e)) > 0) {
		if ((r = sink_row(out, &things, &row)))
			break;
		arena_free(&mem);
	}
	if (!r)
		r = sink_end(out);
	return r < 0 ? fail(&e) : 0;
}

/* rows N FORMAT: N rows, then the largest resident size in KiB on stderr. */
static int rows(char **argv)
{
	struct writer_options o = { .format = format_of(argv[1]) };
	struct sink *out auto_writer = NULL;
	struct err e = { 0 };
	struct row row = { "a name", 1 << 20, -3, 0.25, true, GREEN,
			   (const char *[]){ "x", "y", NULL } };
	struct rusage u;
	long n = atol(argv[0]);

	out = writer_new(stdout, TABLES(&things), &o, &e);
	for (long i = 0; out && i < n; i++)
		if (sink_row(out, &things, &row))
			return 1;
	if (!out || sink_end(out))
		return 1;
	getrusage(RUSAGE_SELF, &u);
	fprintf(stderr, "%ld\n", u.ru_maxrss);
	return 0;
}

/* tables FORMAT: two tables, the first empty. */
static int tables(char **argv)
{
	struct writer_options o = { .format = format_of(argv[0]) };
	struct sink *out auto_writer = NULL;
	struct err e = { 0 };
	struct row row;

	field_clear(fields, &row);
	row.name = "only";
	out = writer_new(stdout, TABLES(&things, &others), &o, &e);
	return !out || sink_row(out, &others, &row) || sink_end(out);
}

/* run TIMEOUT PROGRAM...: its status and output. */
static int run(char **argv)
{
	struct arena mem auto_arena = { 0 };
	struct run_options o = { .timeout_s = atof(argv[0]), .input = getenv("INPUT") };
	struct run_result res = { 0 };
	struct err e = { 0 };
	int r = run_program((const char *const *)argv + 1, &o, &mem, &res, &e);

	printf("%s %d out=%s err=%s\n", r ? errno_name(r) : "ok", res.status,
	       res.out ? res.out : "", res.err ? res.err : "");
	return r ? fail(&e) : 0;
}

static int quote(char **argv)
{
	struct arena mem auto_arena = { 0 };

	printf("%s\n", run_quote((const char *const *)argv, &mem));
	return 0;
}

/* root DIR PATH: reads PATH below DIR. */
static int root(char **argv)
{
	struct arena mem auto_arena = { 0 };
	struct root top;
	struct err e = { 0 };
	char *text;

	if (root_init(&top, argv[0], &e))
		return fail(&e);
	text = root_attr(&top, &mem, "%s", argv[1]);
	printf("%s\n%s\n", text ? text : errno_name(errno),
	       root_realpath(&top, argv[1], &mem) ? root_realpath(&top, argv[1], &mem) : "-");
	root_done(&top);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(char **argv);
		int args;
	} commands[] = { { "size", size, 1 },	{ "duration", duration, 1 }, { "copy", copy, 1 },
			 { "rows", rows, 2 },	{ "tables", tables, 1 },     { "run", run, 2 },
			 { "quote", quote, 1 }, { "root", root, 2 } };

	for (size_t i = 0; argc > 1 && i < COUNT(commands); i++)
		if (streq(commands[i].name, argv[1]) && argc - 2 >= commands[i].args)
			return commands[i].run(argv + 2);
	return 2;
}
