/* The box: picks an applet by argv[0] or argv[1], parses, runs, reports. The only file that exits. */
#include "lib/core/applet.h"
#include "lib/core/opt.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define APPLET(id) extern const struct applet id##_applet;
#include "applets.def"
#undef APPLET

static const struct applet *const applets[] = {
#define APPLET(id) &id##_applet,
#include "applets.def"
#undef APPLET
	NULL,
};

static volatile sig_atomic_t stop;
static const char *name_for_messages = "storbox";

static void on_signal(int sig)
{
	/* The second one means it. */
	if (stop) {
		signal(sig, SIG_DFL);
		raise(sig);
	}
	stop = sig;
}

static void warn(const struct world *w, const char *line)
{
	(void)w;
	fprintf(stderr, "%s: warning: %s\n", name_for_messages, line);
}

static bool progress_shown;

/* One line, rewritten in place on a terminal; a line each elsewhere. */
static void report(const struct world *w, const char *what, uint64_t done, uint64_t total)
{
	bool tty = isatty(2);
	char part[48] = "";

	if (!w->progress)
		return;
	if (total && total != U64_NONE)
		snprintf(part, sizeof part, " %5.1f%%", 100.0 * (double)done / (double)total);
	fprintf(stderr, "%s%s: %s%s%s", tty ? "\r\033[K" : "", name_for_messages, what, part,
		tty ? "" : "\n");
	progress_shown = tty;
}

static void end_progress(void)
{
	if (progress_shown)
		fputs("\r\033[K", stderr);
	progress_shown = false;
}

static unsigned terminal_width(void)
{
	const char *columns = getenv("COLUMNS");
	struct winsize ws;

	if (columns && atoi(columns) > 0)
		return (unsigned)atoi(columns);
	if (!ioctl(1, TIOCGWINSZ, &ws) && ws.ws_col)
		return ws.ws_col;
	return 80;
}

static int choose_format(const struct common_options *c, enum format *ret, struct err *e)
{
	int n = c->json + c->jsonl + c->tsv + c->table;

	if (n > 1)
		return err_usage(e, NULL, "--json, --jsonl, --tsv and --table exclude each other");
	*ret = c->json	  ? FORMAT_JSON
	       : c->jsonl ? FORMAT_JSONL
	       : c->tsv	  ? FORMAT_TSV
	       : c->table ? FORMAT_TABLE
	       : isatty(1) ? FORMAT_TABLE
			   : FORMAT_TSV;
	return 0;
}

static int choose_color(const struct common_options *c, bool *ret, struct err *e)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	*ret = isatty(1) && !(no && *no) && !streq(term, "dumb");
	if (!c->color || streq(c->color, "auto"))
		return 0;
	if (!streq(c->color, "always") && !streq(c->color, "never"))
		return err_usage(e, "--color", "'%s' is not understood; give auto, always or never",
				 c->color);
	*ret = streq(c->color, "always");
	return 0;
}

static int run_mode(const struct applet *a, const struct mode *m, const void *params,
		    const struct common_options *c, struct arena *mem, struct err *e)
{
	const struct operation *op = m->op;
	const struct table *const *tables = op_tables(op, params);
	struct world w = {
		.mem = mem, .in = stdin, .stop = &stop, .warn = warn, .report = report,
		.applets = applets, .progress = c->progress || isatty(2),
	};
	struct writer_options o = {
		.no_headings = c->no_headings, .raw = c->bytes, .columns = c->output,
		.one_row = op->flags & OP_ONE_ROW && tables == op->tables,
		.stream = op->flags & OP_STREAM,
		.width = isatty(1) ? terminal_width() : 0,
	};
	struct sink *out auto_writer = NULL;
	int r = choose_format(c, &o.format, e), end;

	if (r || (r = choose_color(c, &w.color, e)) || (r = root_init(&w.root, c->sysroot, e)))
		return r;
	w.human = o.format == FORMAT_TABLE;
	o.color = w.color;
	if (op->flags & OP_CHANGES && !root_is_machine(&w.root) &&
	    !(op->flags & OP_PLANS_RECORDED && tables == op->dry_run_tables))
		return err_usage(e, "--sysroot", "a recorded machine cannot be changed");
	out = writer_new(stdout, tables, &o, e);
	if (!out)
		return e->code;
	if (op->flags & (OP_STREAM | OP_LONG | OP_CHANGES)) {
		struct sigaction sa = { .sa_handler = on_signal };

		sigaction(SIGINT, &sa, NULL);
		sigaction(SIGTERM, &sa, NULL);
		sigaction(SIGHUP, &sa, NULL);
	}
	r = a->call ? a->call(&w, m, params, c->own, out, e) : op->run(&w, params, out, e);
	end_progress();
	root_done(&w.root);
	/* A failed call writes no half of a JSON document; rows that a table still holds come out. */
	if (r < 0 && o.format == FORMAT_TABLE)
		sink_flush(out);
	end = r < 0 || !tables ? 0 : sink_end(out);
	if (end && r >= 0)
		r = err_sys(e, end, "standard output", "write");
	return r;
}

/* The reader had enough: silence, and the status that SIGPIPE gives, for a caller that ignores that signal
 * (systemd does). */
enum { PIPE_CLOSED = 128 + SIGPIPE };

static int run_applet(const struct applet *a, const char *const *argv)
{
	struct arena mem auto_arena = { 0 };
	struct common_options common = { .own_fields = a->options };
	struct err e = { 0 };
	const struct mode *m = applet_mode(a, argv, &e);
	void *params;
	int r;

	name_for_messages = a->name;
	if (m) {
		params = arena_alloc(&mem, m->op->params_size);
		common.own = arena_alloc(&mem, a->options_size);
		r = opt_parse(m, argv, params, &common, &mem, &e);
		if (!r && common.help)
			help_text(a, stdout);
		else if (!r && common.version)
			printf("%s (storbox) %s\n", a->name, VERSION);
		else if (!r)
			r = run_mode(a, m, params, &common, &mem, &e);
	} else {
		r = e.code;
	}
	if ((fflush(stdout) || ferror(stdout)) && r >= 0)
		r = err_sys(&e, errno ? -errno : -EIO, "standard output", "write");
	if (r == -EPIPE && streq(e.object, "standard output"))
		return PIPE_CLOSED;
	if (r < 0) {
		fprintf(stderr, "%s: %s\n", a->name, err_line(&e, &mem));
		if (e.kind == ERR_USAGE)
			fprintf(stderr, "Try '%s --help'.\n", a->name);
		return (int)err_exit_status(&e);
	}
	return r;
}

/* A full disk is a failure for the box's own output too. */
static int finish(int status)
{
	if (fflush(stdout) || ferror(stdout)) {
		if (errno == EPIPE)
			return PIPE_CLOSED;
		fprintf(stderr, "storbox: standard output: write: %s\n", strerror(errno));
		return EXIT_FAILED;
	}
	return status;
}

static void usage(FILE *out)
{
	fputs("usage: storbox APPLET [arguments]\n"
	      "       storbox --list               applets, with what they do\n"
	      "       storbox --install DIR        make their symbolic links in DIR\n"
	      "       storbox --man APPLET [FILE]  manual page (mdoc), with FILE's sections\n"
	      "       storbox --completion bash|zsh|fish\n"
	      "       storbox --version | --help\n\n"
	      "One binary of small storage tools; called by an applet's name it is that applet.\n\n",
	      out);
	for (const struct applet *const *a = applets; *a; a++)
		fprintf(out, "  %-17s %s\n", (*a)->name, (*a)->summary);
}

static int fail(const char *object, const char *what)
{
	fprintf(stderr, "storbox: %s: %s\n", object, what);
	return EXIT_FAILED;
}

/* Links that are right already stay; what is no link of ours is never replaced. */
static int install(const char *dir)
{
	struct arena mem auto_arena = { 0 };
	struct root root = ROOT_MACHINE;
	const char *self = root_readlink(&root, "/proc/self/exe", &mem);

	if (!self)
		return fail("/proc/self/exe", strerror(errno));
	for (const struct applet *const *a = applets; *a; a++) {
		const char *path = arena_printf(&mem, "%s/%s", dir, (*a)->name);
		const char *there = root_readlink(&root, path, &mem);

		if (streq(there, self))
			continue;
		if (there && ends_with(there, "storbox") && unlink(path))
			return fail(path, strerror(errno));
		if (symlink(self, path))
			return fail(path, errno == EEXIST ? "exists and is no link to storbox; "
							    "remove it first"
							  : strerror(errno));
	}
	return EXIT_DONE;
}

static int man(const char *const *argv)
{
	const struct applet *a = argv[0] ? applet_find(applets, argv[0]) : NULL;
	struct arena mem auto_arena = { 0 };
	struct root root = ROOT_MACHINE;
	char *extra = NULL;
	int r;

	if (!a)
		return fail(argv[0] ? argv[0] : "--man", "no such applet; see storbox --list"),
		       EXIT_USAGE;
	if (argv[1] && (r = root_read(&root, argv[1], 1 << 20, &mem, &extra, NULL)))
		return fail(argv[1], strerror(-r));
	help_man(a, extra, stdout);
	return EXIT_DONE;
}

static int box(const char *const *argv)
{
	if (!argv[1]) {
		usage(stderr);
		return EXIT_USAGE;
	}
	if (streq(argv[1], "--list")) {
		for (const struct applet *const *p = applets; *p; p++)
			printf("%s\t%s\n", (*p)->name, (*p)->summary);
		return EXIT_DONE;
	}
	if (streq(argv[1], "--help") || streq(argv[1], "-h"))
		return usage(stdout), EXIT_DONE;
	if (streq(argv[1], "--version") || streq(argv[1], "-V"))
		return printf("storbox %s\n", VERSION), EXIT_DONE;
	if (streq(argv[1], "--install"))
		return argv[2] ? install(argv[2]) : (fail("--install", "needs a directory"), EXIT_USAGE);
	if (streq(argv[1], "--man"))
		return man(argv + 2);
	if (streq(argv[1], "--completion")) {
		if (!streq(argv[2], "bash") && !streq(argv[2], "zsh") && !streq(argv[2], "fish"))
			return fail("--completion", "give bash, zsh or fish"), EXIT_USAGE;
		return help_completion(applets, argv[2], stdout), EXIT_DONE;
	}
	if (argv[1][0] == '-') {
		fail(argv[1], "unknown option");
		usage(stderr);
		return EXIT_USAGE;
	}
	fail(argv[1], "no such applet; see storbox --list");
	return EXIT_NO_APPLET;
}

int main(int argc, char **argv)
{
	static char out_buffer[65536];
	const char *const *words = (const char *const *)argv;
	const struct applet *a;
	const char *name;

	if (argc < 1)
		return EXIT_USAGE;
	/* musl's buffer has 1 KiB: an inventory or a thousand rows would be hundreds of writes. */
	if (!isatty(1))
		setvbuf(stdout, out_buffer, _IOFBF, sizeof out_buffer);
	name = strrchr(argv[0], '/');
	name = name ? name + 1 : argv[0];
	a = applet_find(applets, name);
	if (a)
		return run_applet(a, words);
	if (argc > 1 && (a = applet_find(applets, argv[1])))
		return run_applet(a, words + 1);
	/* A symbolic link of a name this build lacks, called as that command. */
	if (!starts_with(name, "storbox") && (argc < 2 || argv[1][0] != '-')) {
		fail(name, "no such applet; see storbox --list");
		return EXIT_NO_APPLET;
	}
	return finish(box(words));
}
