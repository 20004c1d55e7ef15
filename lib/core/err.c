/* Errors: see err.h. */
#include "lib/core/err.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int fill(struct err *e, enum err_kind kind, int code, const char *object, const char *hint)
{
	/* The object may be part of an earlier error in the same struct. */
	char keep[sizeof e->object];

	snprintf(keep, sizeof keep, "%s", object ? object : "");
	memcpy(e->object, keep, strlen(keep) + 1);
	snprintf(e->hint, sizeof e->hint, "%s", hint ? hint : "");
	e->kind = kind;
	e->code = code;
	return code;
}

int err_sys(struct err *e, int code, const char *object, const char *doing_fmt, ...)
{
	char doing[sizeof e->found - 128];
	va_list ap;

	va_start(ap, doing_fmt);
	vsnprintf(doing, sizeof doing, doing_fmt, ap);
	va_end(ap);
	snprintf(e->found, sizeof e->found, "%s%s%.120s", doing, *doing ? ": " : "",
		 strerror(abs(code)));
	return fill(e, ERR_FAILED, code, object, NULL);
}

int err_make(struct err *e, enum err_kind kind, int code, const char *object, const char *hint,
	     const char *found_fmt, ...)
{
	char found[sizeof e->found];
	va_list ap;

	va_start(ap, found_fmt);
	vsnprintf(found, sizeof found, found_fmt, ap);
	va_end(ap);
	memcpy(e->found, found, strlen(found) + 1);
	return fill(e, kind, code, object, hint);
}

int err_usage(struct err *e, const char *object, const char *fmt, ...)
{
	char found[sizeof e->found];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(found, sizeof found, fmt, ap);
	va_end(ap);
	memcpy(e->found, found, strlen(found) + 1);
	return fill(e, ERR_USAGE, -EINVAL, object, NULL);
}

/* Control bytes of a device's name or a program's stderr must not reach a terminal raw. */
static void clean(char *s)
{
	char *to = s;

	for (char *p = s; *p; p++) {
		unsigned char c = (unsigned char)*p;

		if (c == '\n' && (p[1] == '\0' || p[1] == '\n'))
			continue;
		*to++ = c == '\n' ? '|' : c < 0x20 || c == 0x7f ? '?' : *p;
	}
	*to = '\0';
}

char *err_line(const struct err *e, struct arena *a)
{
	char *line = arena_printf(a, "%s%s%s%s%s", e->object, *e->object ? ": " : "", e->found,
				  *e->hint ? "; " : "", e->hint);

	clean(line);
	return line;
}

enum exit_status err_exit_status(const struct err *e)
{
	switch (e->kind) {
	case ERR_FAILED:
	case ERR_NO_DEVICE:
		return EXIT_FAILED;
	case ERR_USAGE:
	case ERR_INVALID:
		return EXIT_USAGE;
	case ERR_UNSUPPORTED:
		return EXIT_UNSUPPORTED;
	}
	return EXIT_FAILED;
}

int err_jsonrpc_code(const struct err *e)
{
	switch (e->kind) {
	case ERR_FAILED:
	case ERR_UNSUPPORTED:
		return -32000;
	case ERR_USAGE:
		return -32602;
	case ERR_INVALID:
		return -32001;
	case ERR_NO_DEVICE:
		return -32002;
	}
	return -32603;
}

#define E(x) { x, #x }
static const struct {
	int code;
	const char *name;
} errno_names[] = {
	E(EPERM),     E(ENOENT),   E(ESRCH),	E(EINTR),     E(EIO),	       E(ENXIO),
	E(E2BIG),     E(ENOEXEC),  E(EBADF),	E(ECHILD),    E(EAGAIN),       E(ENOMEM),
	E(EACCES),    E(EFAULT),   E(ENOTBLK),	E(EBUSY),     E(EEXIST),       E(EXDEV),
	E(ENODEV),    E(ENOTDIR),  E(EISDIR),	E(EINVAL),    E(ENFILE),       E(EMFILE),
	E(ENOTTY),    E(ETXTBSY),  E(EFBIG),	E(ENOSPC),    E(ESPIPE),       E(EROFS),
	E(EMLINK),    E(EPIPE),	   E(EDOM),	E(ERANGE),    E(EDEADLK),      E(ENAMETOOLONG),
	E(ENOLCK),    E(ENOSYS),   E(ENOTEMPTY), E(ELOOP),    E(ENODATA),      E(ETIME),
	E(EREMOTE),   E(EPROTO),   E(EBADMSG),	E(EOVERFLOW), E(EUCLEAN),      E(EUSERS),
	E(ENOTSOCK),  E(EMSGSIZE), E(EOPNOTSUPP), E(EADDRINUSE), E(ENETDOWN),  E(ENETUNREACH),
	E(ECONNRESET), E(ENOBUFS), E(ENOTCONN), E(ETIMEDOUT), E(ECONNREFUSED), E(EHOSTUNREACH),
	E(EALREADY),  E(EINPROGRESS), E(ESTALE), E(EDQUOT),   E(ENOMEDIUM),    E(EMEDIUMTYPE),
	E(ECANCELED), E(ENOKEY),   E(EREMOTEIO), E(ECONNABORTED), E(EISCONN),  E(EADDRNOTAVAIL),
};

const char *errno_name(int code)
{
	static const char unknown[] = "EUNKNOWN";

	for (size_t i = 0; i < COUNT(errno_names); i++)
		if (errno_names[i].code == abs(code))
			return errno_names[i].name;
	return unknown;
}
