/* Plans: see plan.h. */
#include "lib/storage/plan.h"

#include "lib/core/applet.h"
#include "lib/core/run.h"
#include "lib/storage/btrfs_fs.h"
#include "lib/storage/builtin.h"

#include <errno.h>
#include <inttypes.h>

static const struct field step_fields[] = {
	FIELD(struct step, number, 0, "position in the plan"),
	FIELD(struct step, object, 0, "what the step changes"),
	FIELD(struct step, command, 0, "command line that does it"),
	FIELD(struct step, programs, 0, "external programs that it runs"),
	FIELD(struct step, why, 0, "what it is for"),
	FIELD_END,
};
const struct table plan_table = TABLE(struct step, "plan", "steps, in order", step_fields);

void plan_add(struct world *w, struct plan *p, const char *object, const char *why,
	      const char *word, ...)
{
	const char **argv = NULL;
	const char *const *args;
	struct step *s;
	va_list ap;

	va_start(ap, word);
	for (; word; word = va_arg(ap, const char *))
		strlist_add(w->mem, &argv, arena_str(w->mem, word));
	va_end(ap);
	s = vec_add(&p->steps);
	s->number = p->steps.n;
	s->object = arena_str(w->mem, object);
	s->command = run_quote((const char *const *)argv, w->mem);
	s->why = arena_str(w->mem, why);
	s->argv = (const char *const *)argv;
	if (!applet_find(w->applets, argv[0]) && !builtin_find(s->argv, &args))
		strlist_add(w->mem, &s->programs, argv[0]);
}

void plan_may_fail(struct plan *p)
{
	p->steps.items[p->steps.n - 1].may_fail = true;
}

void plan_needs(struct world *w, struct plan *p, const char *program)
{
	strlist_add(w->mem, &p->steps.items[p->steps.n - 1].programs, arena_str(w->mem, program));
}

const char **plan_missing_programs(struct world *w, const struct plan *p)
{
	const char **missing = NULL;

	for (size_t i = 0; i < p->steps.n; i++) {
		const char **program = p->steps.items[i].programs;

		for (; program && *program; program++)
			if (!run_find(*program, w->mem) &&
			    !strlist_has((const char *const *)missing, *program))
				strlist_add(w->mem, &missing, *program);
	}
	return missing;
}

int plan_print(const struct plan *p, struct sink *out)
{
	int r = 0;

	for (size_t i = 0; i < p->steps.n && !r; i++)
		r = sink_row(out, &plan_table, &p->steps.items[i]);
	return r;
}

static int run_step(struct world *w, const struct step *s, struct err *e)
{
	const char *const *args;
	builtin_fn *builtin = builtin_find(s->argv, &args);
	int r;

	if (builtin)
		return builtin(w, args, e);
	if (!applet_find(w->applets, s->argv[0]))
		return run_program(s->argv, &(struct run_options){ .stop = w->stop, .timeout_s = 86400 },
				   w->mem, NULL, e);
	r = applet_call(w, s->argv, &sink_null, e);
	if (r > 0) /* a step has nothing to report but success */
		r = err_make(e, ERR_FAILED, -EIO, s->argv[0], NULL, "ended with status %d", r);
	return r;
}

/*
 * A step such as subvol create --fs DEVICE mounts a btrfs that is not mounted for as long as it takes.
 * Held until the plan ends, its trees are read once and written out once, and not for each step.
 */
static void hold_btrfs(struct world *w, const struct step *s, struct btrfs_fs *held)
{
	struct err ignored;

	if (!streq(s->argv[0], "subvol") || !streq(s->argv[1], "create") ||
	    !streq(s->argv[2], "--fs") || (held->fd >= 0 && streq(held->name, s->argv[3])))
		return;
	btrfs_fs_close(held);
	/* What keeps it from being opened, the step itself will say. */
	btrfs_fs_open_top(w, s->argv[3], true, held, &ignored);
}

static int word_failure(const struct plan *p, const struct step *s, struct err *e)
{
	struct err why = *e;

	return err_make(e, why.kind == ERR_USAGE ? ERR_FAILED : why.kind, why.code, why.object,
			*why.hint ? why.hint : NULL, "%.500s (step %" PRIu64 " of %zu: %.200s)",
			why.found, s->number, p->steps.n, s->command);
}

int plan_run(struct world *w, const struct plan *p, struct err *e)
{
	struct btrfs_fs held auto_btrfs_fs = BTRFS_FS_CLOSED;
	struct err late = { 0 };

	for (size_t i = 0; i < p->steps.n; i++) {
		const struct step *s = &p->steps.items[i];
		int r;

		if (*w->stop)
			return err_make(e, ERR_FAILED, -EINTR, s->object, "run it again to go on",
					"stopped before step %zu of %zu (%s)", i + 1, p->steps.n,
					s->command);
		w->report(w, s->command, i, p->steps.n);
		hold_btrfs(w, s, &held);
		r = run_step(w, s, e);
		if (!r)
			continue;
		word_failure(p, s, e);
		if (!s->may_fail)
			return r;
		world_warn(w, "%s", err_line(e, w->mem));
		if (e->kind != ERR_UNSUPPORTED && !late.code)
			late = *e;
	}
	if (late.code)
		*e = late;
	return late.code;
}

void plan_free(struct plan *p)
{
	vec_free(&p->steps);
}
