/*
 * An operation: everything storbox can do to or say about storage, described once. A command line
 * (opt.h), the daemon's JSON-RPC methods and the steps of a plan are bindings of the same struct.
 */
#ifndef CORE_OP_H
#define CORE_OP_H

#include "lib/core/err.h"
#include "lib/core/field.h"
#include "lib/core/root.h"
#include "lib/core/sink.h"

#include <signal.h>
#include <stdio.h>
#include <sys/types.h>

struct applet;

/* What an operation sees of the world; tests and the daemon give it another one. */
struct world {
	struct root root;     /* where sysfs, procfs and devices are read */
	struct arena *mem;    /* lives until the call ends: rows and their strings go here */
	FILE *in;	      /* stdin, for `-` */
	bool progress;	      /* report long work */
	bool color;	      /* the output is a terminal that wants colour */
	bool human;	      /* rows are shown to a person (the human table on a terminal) */
	const volatile sig_atomic_t *stop; /* set by SIGINT or SIGTERM: end in order; never NULL */
	/* Shown on stderr ("mkpart: warning: ...") or logged by the daemon; never NULL. */
	void (*warn)(const struct world *w, const char *line);
	/* Long work's progress: done of total (total 0: unknown), a few times a second at most;
	 * never NULL. what: "scrub /dev/sda". */
	void (*report)(const struct world *w, const char *what, uint64_t done, uint64_t total);
	/* NULL-terminated; lets a plan find the sibling whose command line a step is. */
	const struct applet *const *applets;
	struct held_lock *locks; /* disks this call holds locked, see lib/os/block.h */
	/* Around opening and reading a device, which may never answer: touch gives NULL, or why this
	 * one ("8:0") must be left alone, in a. Called from several threads. Both may be NULL. */
	const char *(*touch)(const struct world *w, const char *devno, struct arena *a);
	void (*touched)(const struct world *w, const char *devno);
	void *host; /* of whoever made this world, for its functions */
};

void world_warn(const struct world *w, const char *fmt, ...) PRINTF(2, 3);

enum op_flag {
	OP_CHANGES = 1,	  /* changes a disk or a mount: the daemon serialises it, only root may */
	OP_ONE_ROW = 2,	  /* gives exactly one row: JSON is an object */
	OP_STREAM = 4,	  /* rows go on until stopped, sink_flush() ends each report */
	OP_LONG = 8,	  /* may take minutes: SIGINT sets world.stop */
	OP_LOCAL = 16,	  /* not for the daemon */
	OP_PLANS_RECORDED = 32, /* its dry run reads nothing but world.root: works on a recorded one */
};

struct operation {
	const char *name;    /* "create_partition": the daemon's storage.create_partition */
	const char *summary; /* one line, no capital, no full stop */
	const struct field *params;
	size_t params_size;
	const struct table *const *tables; /* rows it gives, NULL-terminated; NULL: none */
	unsigned flags;
	/*
	 * params: the struct that the fields describe, filled and checked for REQUIRED. Returns 0,
	 * a positive enum exit_status (EXIT_FOUND), or -errno with e filled in. Never prints.
	 */
	int (*run)(struct world *w, const void *params, struct sink *out, struct err *e);
	/* What it gives instead when its param dry_run is true: the plan's table. */
	const struct table *const *dry_run_tables;
};

/* The tables that a call with these params gives. */
const struct table *const *op_tables(const struct operation *op, const void *params);

#endif
