/*
 * Command lines from field tables. A param's option is its member's name with `_` as `-` and
 * without a unit ending: size_bytes is --size, interval_s is --interval. Sizes and times take
 * suffixes. Options and operands may mix; `--` ends options; -abc, -oVALUE, --name=VALUE work.
 */
#ifndef CORE_OPT_H
#define CORE_OPT_H

#include "lib/core/applet.h"
#include "lib/core/sink.h"

/* What every applet takes besides its own params; an applet's own option of that name wins. */
struct common_options {
	bool tsv, table, json, jsonl, no_headings, bytes, progress, help, version;
	const char *output, *sysroot, *color;
	/* The applet's own options and where they go, set by the caller; may be NULL. */
	const struct field *own_fields;
	void *own;
};
extern const struct field common_fields[];

/* "size" for size_bytes, or the field's own option name; in buf. */
enum { OPTION_NAME_MAX = 64 };
const char *option_name(const struct field *f, char buf[static OPTION_NAME_MAX]);

/*
 * Parses argv (argv[0] is skipped, the mode's word too) into params, which is cleared and gets its
 * defaults first, and common (may be NULL: then common options are refused). Unless --help or
 * --version is there, REQUIRED params must be given. Strings are in the arena.
 */
int opt_parse(const struct mode *m, const char *const *argv, void *params,
	      struct common_options *common, struct arena *a, struct err *e);

/* The command line that gives these params: the inverse of opt_parse(), in the arena. */
const char *const *opt_unparse(const char *applet, const struct mode *m, const void *params,
			       struct arena *a);

/* Help, manual page (mdoc) and completion of an applet, from its tables. */
void help_text(const struct applet *a, FILE *out);
/* extra: text of mdoc sections to put after the generated ones, or NULL. */
void help_man(const struct applet *a, const char *extra, FILE *out);
void help_completion(const struct applet *const *applets, const char *shell, FILE *out);

#endif
