/* Long work that goes on when its command has returned, where there is no daemon to do it. */
#include "applets/mos-volmgr/mos-volmgr.h"

#include <errno.h>
#include <sys/wait.h>

/* What the child says once: begun (code 0), or how it ended before it had begun. */
struct report {
	int result;
	struct err e;
};

struct child {
	struct world w;
	int fd; /* -1: said already */
	unsigned reports;
};

static void say(struct child *c, const struct report *r)
{
	int null;

	if (c->fd < 0)
		return;
	if (write(c->fd, r, sizeof *r) < 0)
		_exit(EXIT_FAILED); /* the parent is gone before anything began */
	close(take_fd(&c->fd));
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
}

/* The first report may come while the kernel is only about to begin. */
static void on_report(const struct world *w, const char *what, uint64_t done, uint64_t total)
{
	struct child *c = w->host;
	static const struct report begun;

	(void)what, (void)total;
	if (done || c->reports++)
		say(c, &begun);
}

static void __attribute__((noreturn))
run_child(const struct world *w, const struct method *m, const void *params, int fd)
{
	struct child c = { .w = *w, .fd = fd };
	struct report end = { 0 };

	setsid();
	signal(SIGHUP, SIG_IGN);
	c.w.report = on_report;
	c.w.host = &c;
	c.w.color = c.w.human = false;
	end.result = m->op->run(&c.w, params, &sink_null, &end.e);
	say(&c, &end);
	_exit(end.result < 0 ? EXIT_FAILED : end.result);
}

int start_detached(struct world *w, const struct method *m, const void *params, struct sink *out,
		   struct err *e)
{
	struct report report;
	int fds[2];
	ssize_t n;
	pid_t pid;
	int r;

	if (pipe2(fds, O_CLOEXEC))
		return err_sys(e, -errno, m->op->name, "open a pipe");
	pid = fork();
	if (pid < 0) {
		r = err_sys(e, -errno, m->op->name, "start a process");
		close(fds[0]);
		close(fds[1]);
		return r;
	}
	if (!pid) {
		close(fds[0]);
		run_child(w, m, params, fds[1]);
	}
	close(fds[1]);
	do
		n = read(fds[0], &report, sizeof report);
	while (n < 0 && errno == EINTR && !*w->stop);
	close(fds[0]);
	if (n != sizeof report)
		return err_make(e, ERR_FAILED, n < 0 ? -EINTR : -EIO, m->op->name, NULL,
				n < 0 ? "interrupted" : "its process ended without a word");
	if (report.result < 0) {
		*e = report.e;
		return report.result;
	}
	r = m->status->run(w, method_status_params(m, params, w->mem), out, e);
	return r ? r : report.result;
}
