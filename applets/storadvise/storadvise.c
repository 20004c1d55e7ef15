/* storadvise: reads a machine's facts and its btrfs layout, says what is slow, why, what to change. */
#include "applets/storadvise/storadvise.h"

#include "applets/storadvise/advise.h"

#include <dirent.h>
#include <errno.h>

struct params {
	const char **facter, **disko, **df, **btrfs_usage, **btrfs_df, **device_stats, **qgroups,
		**iostat, **iotop, **mounts, **sysctl, **lsblk, **vfslat, **bcachefs_iostat;
	const char **observe, **observe_file, **measure;
	bool live;
	double interval_s, measure_time_s;
	uint64_t measure_size_bytes;
	const char *snapshot, *compare, *rules_file;
	const char **skip, **only;
	uint32_t min_severity, max_applicability;
};

#define INPUT(member, help_text) \
	FIELD(struct params, member, 0, help_text, .arg = "FILE", .complete = "file")

static const struct field params_fields[] = {
	INPUT(facter, "nixos-facter's report"),
	INPUT(disko, "a disk layout: disko.nix, the output of nix eval --json (.json), or a folder"),
	INPUT(df, "output of df (-T, -h, -P, -B1)"),
	INPUT(btrfs_usage, "output of btrfs filesystem usage; MOUNT=FILE says of which filesystem"),
	INPUT(btrfs_df, "output of btrfs filesystem df, text or JSON; or MOUNT=FILE"),
	INPUT(device_stats, "output of btrfs device stats, text or JSON; or MOUNT=FILE"),
	INPUT(qgroups, "output of btrfs qgroup show, text or JSON; or MOUNT=FILE"),
	INPUT(iostat, "output of iostat, -x or not, text or JSON"),
	INPUT(iotop, "output of iotop -b"),
	INPUT(mounts, "/proc/mounts, /proc/self/mountinfo, mount's output, or findmnt -J"),
	INPUT(sysctl, "output of sysctl -a"),
	INPUT(lsblk, "output of lsblk -J -b -O"),
	INPUT(vfslat, "rows of vfslat"),
	INPUT(bcachefs_iostat, "rows of bcachefs-iostat"),
	FIELD(struct params, observe, 0, "what is slow, in words: \"slow builds in /srv/src\"",
	      .arg = "TEXT"),
	INPUT(observe_file, "a file of such lines"),
	FIELD(struct params, live, 0, "read this machine (the default when no input is given)"),
	FIELD(struct params, interval_s, 0, "how long its disks are watched", .def = "1"),
	FIELD(struct params, snapshot, 0, "facts that storadvise collect recorded", .arg = "FILE",
	      .complete = "file"),
	FIELD(struct params, measure, 0, "read a sample of these files and compress it",
	      .arg = "PATH", .complete = "file"),
	FIELD(struct params, measure_size_bytes, 0, "how much of each PATH is read", .def = "64M"),
	FIELD(struct params, measure_time_s, 0, "how long each PATH may take", .def = "20"),
	FIELD(struct params, max_applicability, 0, "leave out what disrupts more than that",
	      .def = "mkfs", .names = applicability_names, .arg = "CLASS"),
	FIELD(struct params, min_severity, 0, "leave out what weighs less", .def = "info",
	      .names = severity_names, .arg = "SEVERITY"),
	FIELD(struct params, skip, 0, "leave out this rule", .arg = "ID"),
	FIELD(struct params, only, 0, "this rule only", .arg = "ID"),
	FIELD(struct params, compare, 0, "an older report (--json): what went, stayed, came",
	      .arg = "FILE", .complete = "file"),
	FIELD(struct params, rules_file, 0, "more rules, written as rules.nix is", .option = "rules",
	      .arg = "FILE", .complete = "file"),
	FIELD_END,
};

static const struct root machine = { .path = "", .fd = -1 };

/* "MOUNT=FILE", where MOUNT is a path and what is there as a whole is no file. */
static const char *split_place(struct facts *f, const char *word, const char **ret_file)
{
	const char *equals = *word == '/' ? strchr(word, '=') : NULL;

	*ret_file = word;
	if (!equals || root_exists(&machine, word))
		return NULL;
	*ret_file = equals + 1;
	return arena_strn(f->mem, word, (size_t)(equals - word));
}

static int read_files(struct facts *f, const char **words, fact_reader *reader, struct err *e)
{
	for (const char **w = words; w && *w; w++) {
		const char *file, *place = split_place(f, *w, &file);
		char *text;
		int r = streq(file, "-") ? root_read(&machine, "/dev/stdin", 64 << 20, f->mem, &text, NULL)
					 : root_read(&machine, file, 64 << 20, f->mem, &text, NULL);

		if (r)
			return err_sys(e, r, file, "read");
		r = reader(f, place, file, text, e);
		if (r)
			return r;
	}
	return 0;
}

static int read_layouts(struct facts *f, const char **words, struct err *e)
{
	for (const char **w = words; w && *w; w++) {
		const char **names = NULL;
		struct stat st;
		int r;

		if (root_stat(&machine, *w, &st))
			return err_sys(e, -errno, *w, "read");
		if (!S_ISDIR(st.st_mode)) {
			r = read_layout(f, *w, e);
			if (r)
				return r;
			continue;
		}
		r = root_list(&machine, *w, f->mem, &names);
		if (r)
			return err_sys(e, r, *w, "list");
		for (const char **n = names; n && *n; n++)
			if (ends_with(*n, ".nix")) {
				r = read_layout(f, arena_printf(f->mem, "%s/%s", *w, *n), e);
				if (r)
					return r;
			}
	}
	return 0;
}

static int read_observations(struct facts *f, const struct params *p, struct err *e)
{
	for (const char **o = p->observe; o && *o; o++)
		add_observation(f, *o, "--observe");
	for (const char **n = p->observe_file; n && *n; n++) {
		char *text, *line;
		int r = root_read(&machine, *n, 1 << 20, f->mem, &text, NULL);

		if (r)
			return err_sys(e, r, *n, "read");
		facts_set_given(f, FACT_observations);
		for (unsigned k = 1; (line = next_line(&text)); k++)
			if (*line && *line != '#')
				add_observation(f, line, arena_printf(f->mem, "%s:%u", *n, k));
	}
	return 0;
}

static bool any_input(const struct params *p)
{
	return p->facter || p->disko || p->df || p->btrfs_usage || p->btrfs_df || p->device_stats ||
	       p->qgroups || p->iostat || p->iotop || p->mounts || p->sysctl || p->lsblk ||
	       p->vfslat || p->bcachefs_iostat || p->snapshot;
}

static int read_inputs(struct facts *f, const struct params *p, struct err *e)
{
	const struct {
		const char **files;
		fact_reader *reader;
	} captured[] = {
		{ p->facter, read_facter }, { p->lsblk, read_lsblk },
		{ p->btrfs_usage, read_usage }, { p->btrfs_df, read_btrfs_df },
		{ p->device_stats, read_stats }, { p->mounts, read_mounts }, { p->df, read_df },
		{ p->qgroups, read_qgroups }, { p->iostat, read_iostat }, { p->iotop, read_iotop },
		{ p->sysctl, read_sysctl }, { p->vfslat, read_vfslat },
		{ p->bcachefs_iostat, read_bcachefs },
	};
	int r = p->snapshot ? snapshot_read(f, p->snapshot, e) : 0;

	for (size_t i = 0; !r && i < COUNT(captured); i++)
		r = read_files(f, captured[i].files, captured[i].reader, e);
	if (!r)
		r = read_layouts(f, p->disko, e);
	if (!r)
		r = read_observations(f, p, e);
	if (!r && (p->live || !any_input(p)))
		r = read_live(f, p->interval_s, e);
	if (!r)
		facts_join(f);
	for (const char **m = p->measure; !r && m && *m; m++)
		r = measure_path(f, *m, p->measure_size_bytes, p->measure_time_s, e);
	return r;
}

struct outcome {
	struct facts facts;
	struct report report, gone;
};

static void outcome_free(struct outcome *o)
{
	facts_free(&o->facts);
	report_free(&o->report);
	report_free(&o->gone);
}

static int find(struct world *w, const struct params *p, struct outcome *o, struct err *e)
{
	const struct selection s = {
		.skip = p->skip, .only = p->only, .min_severity = p->min_severity,
		.max_applicability = p->max_applicability, .rules_file = p->rules_file,
	};
	int r;

	o->facts = (struct facts){ .mem = w->mem, .w = w };
	r = read_inputs(&o->facts, p, e);
	if (!r)
		r = advise(&o->facts, &s, &o->report, e);
	if (!r && p->compare)
		r = compare_reports(w, p->compare, &o->report, &o->gone, e);
	return r;
}

static int rows(struct sink *out, const struct table *t, const void *items, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		int r = sink_row(out, t, (const char *)items + i * t->row_size);

		if (r)
			return err_sys(e, r, "output", "write");
	}
	return 0;
}

static int run_advise(struct world *w, const void *params, struct sink *out, struct err *e)
{
	struct outcome o auto_release(outcome_free) = { 0 };
	int r = find(w, params, &o, e);

	if (!r)
		r = rows(out, &finding_table, o.report.findings.items, o.report.findings.n, e);
	if (!r)
		r = rows(out, &gone_table, o.gone.findings.items, o.gone.findings.n, e);
	if (!r)
		r = rows(out, &unevaluated_table, o.report.unevaluated.items,
			 o.report.unevaluated.n, e);
	if (!r)
		r = rows(out, &fact_disk_table, o.facts.disks.items, o.facts.disks.n, e);
	return r ? r : o.report.findings.n ? EXIT_FOUND : EXIT_DONE;
}

static int run_report(struct world *w, const void *params, struct sink *out, struct err *e)
{
	struct outcome o auto_release(outcome_free) = { 0 };
	int r = find(w, params, &o, e);

	(void)out;
	if (!r)
		print_report(&o.facts, &o.report, &o.gone, stdout);
	return r ? r : o.report.findings.n ? EXIT_FOUND : EXIT_DONE;
}

static int run_collect(struct world *w, const void *params, struct sink *out, struct err *e)
{
	struct facts f auto_release(facts_free) = { .mem = w->mem, .w = w };
	int r = read_inputs(&f, params, e);

	(void)out;
	if (!r && isatty(1))
		r = err_usage(e, "standard output", "is a terminal; write to a file: > snapshot.tar");
	return r ? r : snapshot_write(&f, stdout, e);
}

/* The rules themselves, without a machine. */
static int all_rules(struct world *w, const char *file, struct report *ret, struct err *e)
{
	struct facts f auto_release(facts_free) = { .mem = w->mem, .w = w };
	const struct selection s = { .max_applicability = U32_NONE, .rules_file = file };

	return advise(&f, &s, ret, e);
}

static int run_rules(struct world *w, const void *params, struct sink *out, struct err *e)
{
	const struct params *p = params;
	struct report r auto_release(report_free) = { 0 };
	int k = all_rules(w, p->rules_file, &r, e);

	return k ? k : rows(out, &rule_table, r.rules.items, r.rules.n, e);
}

struct explain_params {
	const char *id;
};

static const struct field explain_fields[] = {
	FIELD(struct explain_params, id, OPERAND | REQUIRED, "a rule's id", .arg = "ID"),
	FIELD_END,
};

static const struct field rules_fields[] = {
	FIELD(struct params, rules_file, 0, "more rules, written as rules.nix is", .option = "rules",
	      .arg = "FILE", .complete = "file"),
	FIELD_END,
};

static void paragraph(const char *heading, const char *text)
{
	if (text)
		printf("\n%s\n    %s\n", heading, text);
}

static int run_explain(struct world *w, const void *params, struct sink *out, struct err *e)
{
	const struct explain_params *p = params;
	struct report r auto_release(report_free) = { 0 };
	int k = all_rules(w, NULL, &r, e);

	(void)out;
	if (k)
		return k;
	for (size_t i = 0; i < r.rules.n; i++) {
		const struct rule_row *d = &r.rules.items[i];

		if (strcasecmp(d->id, p->id))
			continue;
		printf("%s: %s\n    %s, %s\n", d->id, d->title, severity_names[d->severity],
		       applicability_names[d->applicability]);
		paragraph("What it looks for", d->what);
		paragraph("Why", d->why);
		paragraph("How to check", d->check);
		paragraph("When not", d->when_not);
		printf("\nReads\n");
		for (const char **s = d->inputs; s && *s; s++)
			printf("    %s\n", *s);
		printf("\nSources\n");
		for (const char **s = d->sources; s && *s; s++)
			printf("    %s\n", *s);
		return EXIT_DONE;
	}
	return err_usage(e, p->id, "no such rule; see storadvise rules");
}

static const struct operation advise_op = {
	.name = "advise", .summary = "find what is slow or at risk, and say what to change",
	.params = params_fields, .params_size = sizeof(struct params),
	.tables = TABLES(&finding_table, &gone_table, &unevaluated_table, &fact_disk_table),
	.flags = OP_LONG, .run = run_advise,
};
static const struct operation report_op = {
	.name = "advise_report", .summary = "the same as a report to read (Markdown)",
	.params = params_fields, .params_size = sizeof(struct params),
	.flags = OP_LOCAL | OP_LONG, .run = run_report,
};
static const struct operation collect_op = {
	.name = "advise_collect", .summary = "record the facts as a tar, for --snapshot elsewhere",
	.params = params_fields, .params_size = sizeof(struct params),
	.flags = OP_LOCAL | OP_LONG, .run = run_collect,
};
static const struct operation rules_op = {
	.name = "list_advice_rules", .summary = "list all rules",
	.params = rules_fields, .params_size = sizeof(struct params),
	.tables = TABLES(&rule_table), .run = run_rules,
};
static const struct operation explain_op = {
	.name = "explain_advice_rule", .summary = "explain one rule",
	.params = explain_fields, .params_size = sizeof(struct explain_params),
	.flags = OP_LOCAL, .run = run_explain,
};

const struct applet storadvise_applet = {
	.name = "storadvise",
	.summary = "advise on btrfs storage, with the evidence for each finding",
	.text = "Reads what is known of a machine, from captured files, a disk layout or the machine "
		"itself, and reports what is slow, at risk or set to no effect. Each finding has a "
		"stable id, its evidence for and against with the line it is from, the expected effect "
		"as a range with its source, what it costs, the command, its undo and the change to "
		"the layout.\n\n"
		"Rules that lack an input are listed apart from what is fine. Nothing is changed.\n\n"
		"The exit status is 0 when nothing was found, 3 when something was, 1 when an input "
		"cannot be read, 2 for a wrong call.",
	.modes = MODES({ "", &advise_op }, { "--report", &report_op }, { "rules", &rules_op },
		       { "explain", &explain_op }, { "collect", &collect_op },
		       { "eval", &storadvise_eval_op }),
	.examples = EXAMPLES(
		{ "storadvise", "advise on this machine" },
		{ "storadvise --facter facter.json --disko disko.nix --report",
		  "a report on a machine that is not here" },
		{ "storadvise --live --observe 'slow builds in /srv/src' --measure /srv/src",
		  "set a complaint against the numbers, and compute the compression level" },
		{ "storadvise explain BTRFS-COMPRESS-FIRST-MOUNT", "the page on one rule" }),
	.see_also = "btrfs(5), btrfs-balance(8), topo(8), vfslat(8)",
	.section = 8,
};
