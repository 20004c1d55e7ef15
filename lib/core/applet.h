/* An applet: a command that binds operations to command lines. The only place its facts stand. */
#ifndef CORE_APPLET_H
#define CORE_APPLET_H

#include "lib/core/op.h"

/*
 * One way to call the applet.
 * word "" (or NULL): the default; "disks": a subcommand, the first operand; "--list": a switch that
 * chooses this operation wherever it stands; "-": a lone dash among the operands chooses it (and
 * stays no operand).
 */
struct mode {
	const char *word;
	const struct operation *op;
};

struct example {
	const char *command; /* as typed, pipes included: tests parse it */
	const char *what;
};

struct applet {
	const char *name;
	const char *summary;	       /* one line, no capital, no full stop */
	const char *text;	       /* DESCRIPTION: paragraphs separated by an empty line */
	const struct mode *modes;      /* ends with op == NULL */
	const struct example *examples; /* ends with command == NULL */
	const struct example *files;	/* path, what it is for */
	const struct example *environment;
	const char *see_also; /* "mkfs.btrfs(8), lsblk(8)" */
	int section;	      /* manual section: 8, or 1 */
	/* Options of its own that every mode takes, beside the mode's params; NULL: none. */
	const struct field *options;
	size_t options_size;
	/* Runs a mode in place of its operation, for an applet that has it done elsewhere. */
	int (*call)(struct world *w, const struct mode *m, const void *params, const void *options,
		    struct sink *out, struct err *e);
};

#define MODES(...) ((const struct mode[]){ __VA_ARGS__, { NULL, NULL } })
#define EXAMPLES(...) ((const struct example[]){ __VA_ARGS__, { NULL, NULL } })

/* The applet's mode for these words (argv[0] is the applet's name); NULL with ERR_USAGE. */
const struct mode *applet_mode(const struct applet *a, const char *const *argv, struct err *e);
/*
 * Runs a sibling's command line in this process, for a plan's step: argv[0] names the applet; only
 * its own options are taken. Returns what the operation returns, -ENOENT (ERR_UNSUPPORTED) when
 * this build lacks the applet.
 */
int applet_call(struct world *w, const char *const *argv, struct sink *out, struct err *e);
const struct applet *applet_find(const struct applet *const *applets, const char *name);

#endif
