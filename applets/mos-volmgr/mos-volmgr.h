/* mos-volmgr's parts: where a command runs, the daemon's side of it, and work left behind. */
#ifndef MOS_VOLMGR_H
#define MOS_VOLMGR_H

#include "lib/core/applet.h"
#include "lib/storage/methods.h"

struct options {
	const char *socket;
	bool direct, wait;
};

/* A connected socket; -ENOENT or -ECONNREFUSED (without an error) when nobody listens. */
int connect_daemon(const char *path, struct err *e);
/* Has the daemon run it: the same rows, warnings, progress and status as here. */
int call_daemon(struct world *w, int fd, const char *socket, const struct method *m,
		const void *params, bool wait, struct sink *out, struct err *e);

/* Starts it in a process of its own, which outlives this one, and shows how it stands. */
int start_detached(struct world *w, const struct method *m, const void *params, struct sink *out,
		   struct err *e);

#endif
