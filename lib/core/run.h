/* External programs: by argument vector, never a shell; output captured, with a time limit. */
#ifndef CORE_RUN_H
#define CORE_RUN_H

#include "lib/core/err.h"

#include <signal.h>
#include <stdint.h>

struct run_options {
	double timeout_s;    /* 0: 600 s; the child's process group is killed after it */
	const char *input;   /* for its stdin; NULL: /dev/null */
	size_t input_length; /* 0: strlen(input) */
	const volatile sig_atomic_t *stop; /* world.stop: once set, the program gets SIGTERM */
	const char *const *env; /* NULL: ours, with LC_ALL=C */
	/* Called with each piece of output as it comes (progress), may be NULL. */
	void (*on_output)(void *arg, const char *piece, size_t n);
	void *arg;
};

struct run_result {
	int status;	 /* exit status; 128 + N when a signal N ended it */
	const char *out; /* its stdout and stderr, NUL-terminated, at most 1 MiB each, in the arena */
	const char *err;
};

/*
 * Runs argv[0], looked up in PATH (or in /usr/sbin:/usr/bin:/sbin:/bin where PATH is not set).
 * Returns 0 when it exited with 0; else -errno with an error that names the program, its status
 * and the last lines of its stderr (or stdout, where that is empty); -ENOENT (ERR_UNSUPPORTED) when
 * there is no such program. result may be NULL.
 */
int run_program(const char *const *argv, const struct run_options *o, struct arena *a,
		struct run_result *result, struct err *e);

/* The program's path, or NULL when it is not there: asked for before the first write. */
const char *run_find(const char *program, struct arena *a);

/* argv as a line that a shell would read back into the same words. */
const char *run_quote(const char *const *argv, struct arena *a);

#endif
