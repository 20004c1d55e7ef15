/* An error that travels: library code fills it in; only main.c or the daemon shows it. */
#ifndef CORE_ERR_H
#define CORE_ERR_H

#include "lib/core/mem.h"

/* What kind of failure it is decides the exit status and the JSON-RPC code. */
enum err_kind {
	ERR_FAILED,	 /* exit 1, -32000: an operation failed, or was refused for safety */
	ERR_USAGE,	 /* exit 2, -32602: the call itself is wrong */
	ERR_INVALID,	 /* exit 2, -32001: well formed, but the value cannot be accepted */
	ERR_NO_DEVICE,	 /* exit 1, -32002: the named device is not there */
	ERR_UNSUPPORTED, /* exit 4, -32000: this kernel, privilege or machine lacks it */
};

enum exit_status {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_FOUND = 3, /* ran, and found something to report */
	EXIT_UNSUPPORTED = 4,
	EXIT_NO_APPLET = 127,
};

struct err {
	int code; /* -errno, 0 while there is no error */
	enum err_kind kind;
	char object[256]; /* "/dev/sda", "--size"; may be empty */
	char found[768];  /* "holds an ext4 filesystem (label ROOT)" */
	char hint[256];	  /* "wipe it with wipefs first, or name another disk"; may be empty */
};

/*
 * err_sys: a system call or library failed with code (-errno): "object: doing: strerror".
 * err_make: any other error; hint says what to do and may be NULL. The code is -errno too, for
 * callers that tell failures apart; the kind decides how it is reported.
 * err_usage: the caller's words are wrong (-EINVAL, ERR_USAGE).
 * Each returns its code, so that callers write `return err_sys(e, -errno, path, "open");`.
 * The first error wins over none; a later call overwrites, which lets a caller say it better.
 */
int err_sys(struct err *e, int code, const char *object, const char *doing_fmt, ...) PRINTF(4, 5);
int err_make(struct err *e, enum err_kind kind, int code, const char *object, const char *hint,
	     const char *found_fmt, ...) PRINTF(6, 7);
int err_usage(struct err *e, const char *object, const char *fmt, ...) PRINTF(3, 4);
/* ERR_FAILED with -EBUSY/-EEXIST/...: what is refused for safety names the object, what was found,
 * and what to do. */
#define err_refuse(e, object, hint, ...) \
	err_make(e, ERR_FAILED, -EPERM, object, hint, __VA_ARGS__)

/* The one line: "OBJECT: FOUND; HINT". Newlines in found (from a program's stderr) become " | ". */
char *err_line(const struct err *e, struct arena *a);
enum exit_status err_exit_status(const struct err *e);
int err_jsonrpc_code(const struct err *e);
/* "EBUSY" for -EBUSY or EBUSY; "EUNKNOWN" for one that is not in the table. */
const char *errno_name(int code);

#endif
