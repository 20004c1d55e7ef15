/* The btrfs operations as a program, for btrfs.bats: the operation's name, then its options. */
#include "lib/core/opt.h"
#include "lib/storage/btrfs_balance.h"
#include "lib/storage/btrfs_scrub.h"
#include "lib/storage/btrfs_upkeep.h"
#include "lib/storage/btrfs_usage.h"
#include "lib/storage/subvolume.h"

static const struct operation *const operations[] = {
	&usage_op,	  &fs_usage_op,	     &fs_df_op,	       &device_stats_op,
	&reset_device_stats_op, &resize_max_op, &defrag_op,    &scrub_start_op,
	&scrub_status_op, &scrub_cancel_op,  &balance_start_op, &balance_status_op,
	&balance_cancel_op, &list_subvolumes_op, &set_quota_op,
};

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	stop = sig;
}

static void warn(const struct world *w, const char *line)
{
	(void)w;
	fprintf(stderr, "warning: %s\n", line);
}

static void report(const struct world *w, const char *what, uint64_t done, uint64_t total)
{
	(void)w;
	fprintf(stderr, "progress: %s: %llu of %llu\n", what, (unsigned long long)done,
		(unsigned long long)total);
}

static int run(const struct operation *op, const char *const *argv, struct arena *mem,
	       struct err *e)
{
	struct mode mode = { "", op };
	struct common_options common;
	struct world w = { .root = ROOT_MACHINE, .mem = mem, .in = stdin, .stop = &stop,
			   .warn = warn, .report = report };
	struct writer_options o = { .one_row = op->flags & OP_ONE_ROW };
	void *params = arena_alloc(mem, op->params_size);
	struct sink *out auto_writer = NULL;
	int r = opt_parse(&mode, argv, params, &common, mem, e);

	if (r)
		return r;
	o.format = common.json ? FORMAT_JSON : FORMAT_TSV;
	o.columns = common.output;
	o.no_headings = common.no_headings;
	out = writer_new(stdout, op->tables, &o, e);
	if (!out)
		return e->code;
	r = op->run(&w, params, out, e);
	if (r >= 0 && op->tables && sink_end(out))
		return -1;
	return r;
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct arena mem auto_arena = { 0 };
	struct err e = { 0 };
	int r;

	sigaction(SIGTERM, &sa, NULL);
	for (size_t i = 0; argc > 1 && i < COUNT(operations); i++) {
		if (!streq(operations[i]->name, argv[1]))
			continue;
		r = run(operations[i], (const char *const *)argv + 1, &mem, &e);
		if (r < 0)
			fprintf(stderr, "%s: %s\n", argv[1], err_line(&e, &mem));
		return r < 0 ? (int)err_exit_status(&e) : r;
	}
	fprintf(stderr, "btrfs_ops: name an operation\n");
	return 2;
}
