/*
 * A plan: what changes a disk, as a table of steps before anything happens. Each step is a command
 * line of a sibling applet or of a named external program; --dry-run prints the very steps that the
 * executor walks.
 */
#ifndef STORAGE_PLAN_H
#define STORAGE_PLAN_H

#include "lib/core/op.h"

struct step {
	uint64_t number;
	const char *object;  /* the disk, device or directory it changes */
	const char *command; /* the command line, quoted for a shell */
	const char **programs; /* external programs it runs: itself, or mkvolfs's mkfs.ext4 */
	const char *why;
	const char *const *argv; /* the same command's words (not a column) */
	bool may_fail;		 /* (not a column) */
};
extern const struct table plan_table;

struct plan {
	VEC(struct step) steps;
};

/* Appends a step; the words (ending with NULL) are copied into w->mem. */
void plan_add(struct world *w, struct plan *p, const char *object, const char *why,
	      const char *word, ...) __attribute__((sentinel));
/* The step added last runs this external program too. */
void plan_needs(struct world *w, struct plan *p, const char *program);
/* When the step added last fails, that is a warning and the plan goes on. */
void plan_may_fail(struct plan *p);
/* External programs of the steps that are missing from PATH; NULL when none is. */
const char **plan_missing_programs(struct world *w, const struct plan *p);
int plan_print(const struct plan *p, struct sink *out);
/*
 * Runs the steps in order: a sibling applet's in this process by its own option parser, another
 * program by an argument vector. Stops at the first failure, naming the step, and between steps
 * when w->stop is set (-EINTR). Steps that may fail are gone on from with a warning; what failed
 * other than for want of support (ERR_UNSUPPORTED) is returned at the end.
 */
int plan_run(struct world *w, const struct plan *p, struct err *e);
void plan_free(struct plan *p);

#endif
