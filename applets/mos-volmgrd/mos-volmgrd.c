/* mos-volmgrd: the volume manager's daemon. JSON-RPC 2.0 over a Unix socket, one object a line. */
#include "applets/mos-volmgrd/server.h"

#include "lib/core/clock.h"
#include "lib/storage/openrpc.h"

#include <errno.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>

static const struct field settings[] = {
	FIELD(struct settings, socket, 0, "where to listen", .letter = 's', .arg = "PATH",
	      .def = MOS_SOCKET, .complete = "file"),
	FIELD(struct settings, group, 0, "members of this group may query", .letter = 'g',
	      .arg = "GROUP"),
	FIELD(struct settings, verbose, 0, "log a line for each request", .letter = 'v'),
	FIELD(struct settings, device_wait_s, 0,
	      "how long a device may take to answer before it is left alone", .def = "2"),
	FIELD(struct settings, lock_wait_s, 0, "how long a change waits for another to the same disk",
	      .def = "30"),
	FIELD(struct settings, query_limit_s, 0, "how long a query may take", .def = "60"),
	FIELD(struct settings, client_wait_s, 0,
	      "how long a client may leave its answers unread before it is dropped", .def = "60"),
	FIELD_END,
};

void server_log(const struct server *s, const char *fmt, ...)
{
	char line[1200];
	va_list ap;

	if (!s->set->verbose)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	/* What a client sent must not forge lines or reach a terminal raw. */
	for (char *p = line; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	fprintf(stderr, "mos-volmgrd: %s\n", line);
}

static int check_settings(const struct settings *set, struct err *e)
{
	const double waits[] = { set->device_wait_s, set->lock_wait_s, set->query_limit_s,
				 set->client_wait_s };

	for (size_t i = 0; i < COUNT(waits); i++)
		if (!(waits[i] >= 0.1) || waits[i] > 86400)
			return err_make(e, ERR_INVALID, -EINVAL, settings[i + 3].name, NULL,
					"give 0.1 s to a day");
	return 0;
}

static void on_child(int sig)
{
	(void)sig; /* it only has to end ppoll() */
}

/* Signals come while waiting, and at no other time: none is lost between a look and the wait. */
static void block_signals(sigset_t *while_waiting)
{
	struct sigaction sa = { .sa_handler = on_child };
	sigset_t set;

	sigaction(SIGCHLD, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, while_waiting);
	sigdelset(while_waiting, SIGCHLD);
	sigdelset(while_waiting, SIGTERM);
	sigdelset(while_waiting, SIGINT);
	sigdelset(while_waiting, SIGHUP);
}

typedef VEC(struct pollfd) pollfds;

static void add_poll(pollfds *p, int fd, short events)
{
	*vec_add(p) = (struct pollfd){ .fd = fd, .events = events };
}

/* The listener, then the clients, then the workers, in their order; -1 is skipped by poll. */
static void gather(struct server *s, pollfds *p, uint64_t now_ns)
{
	p->n = 0;
	add_poll(p, now_ns >= s->accept_after_ns ? s->listener : -1, POLLIN);
	for (size_t i = 0; i < s->clients.n; i++) {
		const struct client *c = s->clients.items[i];
		bool read = !c->ended && !s->stopping &&
			    ((!c->line && c->n_out - c->sent <= ANSWERS_AHEAD) || c->gone);
		bool write = !c->gone && c->sent < c->n_out;
		/* One that is gone has nothing to report until its line is done. */
		bool mute = c->gone && (c->line || c->ended);

		add_poll(p, mute ? -1 : c->fd,
			 (short)((read ? POLLIN : 0) | (write ? POLLOUT : 0)));
	}
	for (size_t i = 0; i < s->workers.n; i++)
		add_poll(p, s->workers.items[i]->eof ? -1 : s->workers.items[i]->fd, POLLIN);
}

static void serve_clients(struct server *s, const pollfds *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct client *c = s->clients.items[i];
		short got = p->items[1 + i].revents;

		if (got & (POLLERR | POLLHUP | POLLNVAL))
			client_drop(c);
		if ((got & POLLIN && p->items[1 + i].events & POLLIN) ||
		    (c->gone && !c->ended && !c->line))
			client_read(c);
		if (got & POLLOUT)
			client_write(c);
	}
}

static void advance_clients(struct server *s, uint64_t now_ns)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->clients.n; i++) {
		struct client *c = s->clients.items[i];

		client_advance(c);
		if (c->sent < c->n_out && !c->gone &&
		    now_ns > c->moved_ns + (uint64_t)(s->set->client_wait_s * 1e9)) {
			server_log(s, "uid %u pid %d: does not read its answers, dropped", c->who.uid,
				   c->who.pid);
			client_drop(c);
			c->ended = true;
		}
	}
	for (size_t i = 0; i < s->clients.n; i++) {
		struct client *c = s->clients.items[i];
		bool last = s->stopping && !c->line && c->sent == c->n_out;

		if (last || client_is_finished(c))
			client_free(c);
		else
			s->clients.items[kept++] = c;
	}
	s->clients.n = kept;
}

static bool is_idle(const struct server *s, uint64_t now_ns)
{
	for (size_t i = 0; i < s->workers.n; i++) {
		const struct worker *k = s->workers.items[i];
		unsigned flags = k->job ? k->job->method->op->flags : 0;
		bool settled = atomic_load(&s->shared->slots[k->slot].committed) && !k->waits;

		if (!(flags & OP_STREAM) && !(flags & OP_LONG && settled))
			return false;
	}
	for (size_t i = 0; i < s->clients.n; i++)
		if (s->clients.items[i]->sent < s->clients.items[i]->n_out)
			return false;
	return !s->stopping && now_ns >= s->accept_after_ns;
}

/* One round, at the latest every quarter of a second while there is work. */
static void turn(struct server *s, pollfds *p, const sigset_t *while_waiting)
{
	static const struct timespec quarter = { 0, 250 * 1000 * 1000 };
	uint64_t now = clock_monotonic_ns();
	size_t n_clients = s->clients.n, n_workers = s->workers.n;

	gather(s, p, now);
	if (ppoll(p->items, p->n, is_idle(s, now) ? NULL : &quarter, while_waiting) < 0)
		for (size_t i = 0; i < p->n; i++)
			p->items[i].revents = 0;
	for (size_t i = 0; i < n_workers; i++)
		if (p->items[1 + n_clients + i].revents)
			worker_read(s->workers.items[i]);
	serve_clients(s, p, n_clients);
	if (p->items[0].revents & POLLIN)
		listen_accept(s);
	now = clock_monotonic_ns();
	worker_sweep(s);
	worker_watchdog(s, now);
	jobs_tick(s, now);
	worker_locks(s, now);
	advance_clients(s, now);
	jobs_start(s);
}

/* Whether something is still to be ended: a change, or a worker that holds one. */
static bool has_work(const struct server *s)
{
	for (size_t i = 0; i < s->workers.n; i++)
		if (s->workers.items[i]->job)
			return true;
	return s->jobs.n > 0;
}

static void stop(struct server *s, pollfds *p, const sigset_t *while_waiting)
{
	uint64_t until;

	notify_systemd("STOPPING=1");
	server_log(s, "stopping");
	s->stopping = true;
	listen_close(s);
	jobs_stop(s);
	while (has_work(s))
		turn(s, p, while_waiting);
	until = clock_monotonic_ns() + 2000000000u;
	while (s->clients.n && clock_monotonic_ns() < until)
		turn(s, p, while_waiting);
}

static void release(struct server *s)
{
	listen_close(s);
	while (s->clients.n)
		client_free(s->clients.items[--s->clients.n]);
	for (size_t i = 0; i < s->workers.n; i++) { /* given up ones, at a device */
		kill(s->workers.items[i]->pid, SIGKILL);
		free(s->workers.items[i]->in);
		free(s->workers.items[i]->wanted);
		free(s->workers.items[i]);
	}
	vec_free(&s->clients);
	vec_free(&s->jobs);
	vec_free(&s->workers);
	if (s->lock_fd >= 0) {
		if (!s->activated) {
			char *lock auto_free = xasprintf("%s.lock", s->set->socket);

			unlink(lock);
		}
		close(s->lock_fd);
	}
	munmap(s->shared, sizeof *s->shared);
}

static int serve(struct world *w, const void *params, struct sink *out, struct err *e)
{
	struct server s = { .w = w, .set = params, .listener = -1, .lock_fd = -1 };
	struct rlimit files = { 4096, 4096 };
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	sigset_t while_waiting;
	pollfds p = { 0 };
	int r = check_settings(params, e);

	(void)out;
	if (r)
		return r;
	s.shared = mmap(NULL, sizeof *s.shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
			0);
	if (s.shared == MAP_FAILED)
		return err_sys(e, -errno, "mos-volmgrd", "map memory");
	setrlimit(RLIMIT_NOFILE, &files);
	s.query_workers = processors < 2 ? 4 : processors > 8 ? 16 : 2 * (unsigned)processors;
	r = listen_open(&s, e);
	if (!r) {
		block_signals(&while_waiting);
		notify_systemd("READY=1");
		server_log(&s, "listening on %s", s.activated ? "systemd's socket" : s.set->socket);
		while (!*w->stop)
			turn(&s, &p, &while_waiting);
		stop(&s, &p, &while_waiting);
	}
	release(&s);
	vec_free(&p);
	return r;
}

static const struct operation serve_op = {
	.name = "serve",
	.summary = "serve the volume manager's methods on a Unix socket",
	.params = settings,
	.params_size = sizeof(struct settings),
	.flags = OP_LOCAL | OP_LONG,
	.run = serve,
};

const struct applet mos_volmgrd_applet = {
	.name = "mos-volmgrd",
	.summary = "the volume manager's daemon: JSON-RPC 2.0 over a Unix socket",
	.text = "Serves storage.* methods and rpc.discover to clients of a Unix socket, one JSON object "
		"or batch a line; mos-volmgr(8) is its command line. Requests of one connection are "
		"served in their order, those of different ones side by side.\n\n"
		"Each request that touches storage runs in a process of its own. A device that does "
		"not answer is left alone until it does, and named in the rows that lack what is on "
		"it. Two changes to one disk do not run at once: the second waits, and is told who is "
		"in its way when that takes too long. What a client has asked for is done also when it "
		"disconnects; scrubs and balances go on by themselves.\n\n"
		"Root may call everything, members of --group what only looks, others nothing. On "
		"SIGTERM changes are finished, scrubs and balances cancelled, and the socket removed.",
	.modes = MODES({ NULL, &serve_op }),
	.examples = EXAMPLES({ "mos-volmgrd", "listen on " MOS_SOCKET },
			     { "mos-volmgrd --group storage --verbose",
			       "let members of storage look, and log requests" }),
	.files = EXAMPLES({ MOS_SOCKET, "the socket, mode 0660 of root and --group" },
			  { MOS_SOCKET ".lock", "held while the daemon runs" }),
	.environment = EXAMPLES({ "LISTEN_FDS", "a listening socket from systemd's socket unit" },
				{ "NOTIFY_SOCKET", "where readiness is told" }),
	.see_also = "mos-volmgr(8), socat(1), systemd.socket(5)",
	.section = 8,
};
