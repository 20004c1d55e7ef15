/* Workers, seen from the daemon: starting, hearing, locking disks for them, and giving them up. */
#include "applets/mos-volmgrd/server.h"

#include "lib/core/clock.h"
#include "lib/core/sink.h"
#include "lib/storage/watch.h"

#include <errno.h>
#include <sys/wait.h>

static size_t free_slot(const struct server *s)
{
	bool used[WORKERS_MAX] = { false };

	for (size_t i = 0; i < s->workers.n; i++)
		used[s->workers.items[i]->slot] = true;
	for (size_t i = 0; i < WORKERS_MAX; i++)
		if (!used[i])
			return i;
	return WORKERS_MAX;
}

int worker_start(struct server *s, struct job *j)
{
	size_t slot = free_slot(s);
	struct worker *k;
	int fds[2];
	pid_t pid;

	if (slot == WORKERS_MAX)
		return -EAGAIN;
	s->shared->slots[slot] = (struct slot){ 0 };
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return -errno;
	pid = fork();
	if (pid < 0) {
		int r = -errno;

		close(fds[0]);
		close(fds[1]);
		return r;
	}
	if (!pid)
		child_run(s, j, &s->shared->slots[slot], fds[1]);
	close(fds[1]);
	k = xcalloc(1, sizeof *k);
	*k = (struct worker){ .pid = pid, .fd = fds[0], .slot = slot, .job = j,
			      .began_ns = clock_monotonic_ns() };
	*vec_add(&s->workers) = k;
	j->worker = k;
	return 0;
}

/* --- locks: a worker holds its disks until it ends --- */

static const struct worker *holder_of(const struct server *s, const struct worker *k,
				      size_t *index)
{
	for (size_t i = 0; i < s->workers.n; i++) {
		const struct worker *o = s->workers.items[i];

		for (size_t a = 0; o->holds && o != k && a < o->n_wanted; a++)
			for (size_t b = 0; b < k->n_wanted; b++)
				if (o->wanted[a] == k->wanted[b]) {
					*index = b;
					return o;
				}
	}
	return NULL;
}

static void grant(struct worker *k)
{
	k->waits = false;
	k->holds = true;
	frame_send(k->fd, FRAME_GRANTED, NULL, 0, NULL, 0);
}

static void deny(struct worker *k, const struct worker *holder, size_t index, uint64_t now_ns)
{
	const struct job *j = holder->job;
	char name[METHOD_NAME_MAX] = "a change that was given up";
	char *text auto_free = NULL;
	int number = (int)index;

	if (j)
		method_name(j->method, name);
	text = xasprintf("is being changed by %s of uid %u (pid %d), for %.0f s", name,
			 j ? j->who.uid : 0, j ? j->who.pid : holder->pid,
			 (double)(now_ns - holder->began_ns) / 1e9);
	k->waits = false;
	frame_send(k->fd, FRAME_HELD, &number, sizeof number, text, strlen(text));
}

/* In the order of asking; who waits too long is told who has it. */
void worker_locks(struct server *s, uint64_t now_ns)
{
	for (;;) {
		struct worker *first = NULL;
		size_t index = 0;

		for (size_t i = 0; i < s->workers.n; i++) {
			struct worker *k = s->workers.items[i];

			if (k->waits && !holder_of(s, k, &index) &&
			    (!first || k->wait_ns < first->wait_ns))
				first = k;
		}
		if (!first)
			break;
		grant(first);
	}
	for (size_t i = 0; i < s->workers.n; i++) {
		struct worker *k = s->workers.items[i];
		size_t index = 0;
		const struct worker *holder;

		if (!k->waits || now_ns - k->wait_ns < (uint64_t)(s->set->lock_wait_s * 1e9))
			continue;
		holder = holder_of(s, k, &index);
		if (holder)
			deny(k, holder, index, now_ns);
	}
}

static void ask_lock(struct server *s, struct worker *k, const char *data, size_t n)
{
	uint64_t now = clock_monotonic_ns();

	free(k->wanted);
	k->n_wanted = n / sizeof *k->wanted;
	k->wanted = xcalloc(k->n_wanted + 1, sizeof *k->wanted);
	memcpy(k->wanted, data, k->n_wanted * sizeof *k->wanted);
	k->waits = true;
	k->wait_ns = now;
	worker_locks(s, now);
}

/* --- what it says --- */

static void take_progress(const struct job *j, const char *data, size_t n)
{
	struct progress p;
	char *text = NULL, *what auto_free = NULL;
	size_t size;
	FILE *f;

	if (n < sizeof p)
		return;
	memcpy(&p, data, sizeof p);
	what = xcalloc(1, n - sizeof p + 1);
	memcpy(what, data + sizeof p, n - sizeof p);
	f = open_memstream(&text, &size);
	if (!f)
		return;
	fputs("{\"jsonrpc\":\"2.0\",\"method\":\"" PROGRESS_NOTIFICATION "\",\"params\":{\"what\":", f);
	json_escape(f, what);
	fprintf(f, ",\"done\":%llu,\"total\":%llu}}\n", (unsigned long long)p.done,
		(unsigned long long)(p.total == U64_NONE ? 0 : p.total));
	fclose(f);
	for (size_t i = 0; i < j->waiters.n; i++)
		client_send(j->waiters.items[i], text, size);
	free(text);
}

static void take_event(const struct job *j, const char *data, size_t n)
{
	static const char head[] =
		"{\"jsonrpc\":\"2.0\",\"method\":\"" WATCH_NOTIFICATION "\",\"params\":";

	for (size_t i = 0; i < j->watchers.n; i++) {
		struct client *c = j->watchers.items[i];

		if (c->gone)
			continue;
		if (c->n_out - c->sent + n > BACKLOG_MAX) {
			server_log(c->server, "uid %u pid %d: does not read its events, dropped",
				   c->who.uid, c->who.pid);
			client_drop(c);
			c->ended = true;
			continue;
		}
		client_send(c, head, sizeof head - 1);
		client_send(c, data, n);
		client_send(c, "}\n", 2);
	}
}

static void take_result(struct worker *k, const char *data, size_t n, bool last)
{
	struct job *j = k->job;
	char *text auto_free = NULL;
	int status;

	if (n < sizeof status)
		return;
	memcpy(&status, data, sizeof status);
	text = xcalloc(1, n - sizeof status + 1);
	memcpy(text, data + sizeof status, n - sizeof status);
	if (!last) {
		job_begun(j, text, status);
		return;
	}
	k->told = true;
	k->job = NULL;
	j->worker = NULL;
	job_end(j, NULL, 0, text, status);
}

static void take_error(struct worker *k, const char *data, size_t n)
{
	struct job *j = k->job;
	struct err e;

	if (n != sizeof e)
		return;
	memcpy(&e, data, sizeof e);
	k->told = true;
	k->job = NULL;
	j->worker = NULL;
	job_end(j, &e, err_jsonrpc_code(&e), NULL, 0);
}

static void take_frame(struct server *s, struct worker *k, const struct frame *f,
		       const char *data)
{
	if (!k->job) /* given up: whatever it says comes too late */
		return;
	switch ((enum frame_type)f->type) {
	case FRAME_RESULT:
		take_result(k, data, f->size, true);
		break;
	case FRAME_BEGUN:
		take_result(k, data, f->size, false);
		break;
	case FRAME_ERROR:
		take_error(k, data, f->size);
		break;
	case FRAME_WARNING: {
		char *text = xcalloc(1, f->size + 1);

		memcpy(text, data, f->size);
		server_log(s, "%s: warning: %s", k->job->method->op->name, text);
		*vec_add(&k->job->warnings) = text;
		break;
	}
	case FRAME_PROGRESS:
		take_progress(k->job, data, f->size);
		break;
	case FRAME_EVENT:
		take_event(k->job, data, f->size);
		break;
	case FRAME_LOCK:
		ask_lock(s, k, data, f->size);
		break;
	case FRAME_GRANTED:
	case FRAME_HELD:
		break;
	}
}

void worker_read(struct worker *k)
{
	struct server *s = k->job ? k->job->server : NULL;
	size_t at = 0;
	ssize_t n;

	if (k->cap_in - k->n_in < 1 << 16) {
		k->cap_in = k->cap_in ? 2 * k->cap_in : 1 << 17;
		k->in = xrealloc(k->in, k->cap_in, 1);
	}
	n = recv(k->fd, k->in + k->n_in, k->cap_in - k->n_in, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		k->eof = true;
		return;
	}
	k->n_in += (size_t)n;
	while (k->n_in - at >= sizeof(struct frame)) {
		struct frame f;

		memcpy(&f, k->in + at, sizeof f);
		if (f.size > FRAME_MAX) { /* it has gone mad */
			kill(k->pid, SIGKILL);
			k->eof = true;
			return;
		}
		if (k->n_in - at - sizeof f < f.size)
			break;
		if (s)
			take_frame(s, k, &f, k->in + at + sizeof f);
		at += sizeof f + f.size;
	}
	memmove(k->in, k->in + at, k->n_in - at);
	k->n_in -= at;
}

void worker_reap(struct server *s)
{
	for (size_t i = 0; i < s->workers.n; i++) {
		struct worker *k = s->workers.items[i];

		if (!k->reaped && waitpid(k->pid, &k->status, WNOHANG) == k->pid)
			k->reaped = true;
	}
}

static void died(struct worker *k)
{
	struct job *j = k->job;
	struct err e = { 0 };

	k->job = NULL;
	j->worker = NULL;
	if (WIFSIGNALED(k->status))
		err_make(&e, ERR_FAILED, -EIO, j->method->op->name, NULL,
			 "its process was ended by signal %d (%s)", WTERMSIG(k->status),
			 strsignal(WTERMSIG(k->status)));
	else
		err_make(&e, ERR_FAILED, -EIO, j->method->op->name, NULL,
			 "its process ended with status %d and no answer", WEXITSTATUS(k->status));
	server_log(j->server, "%s: %s", e.object, e.found);
	job_end(j, &e, RPC_INTERNAL_ERROR, NULL, 0);
}

/* What it stood at answers again, or there is nobody left to tell: the next one will try. */
static void forget_hung(struct server *s, pid_t pid)
{
	for (size_t i = 0; i < HUNG_MAX; i++) {
		struct hung *h = &s->shared->hung[i];

		if (h->pid != pid)
			continue;
		server_log(s, "device %s answers again", h->devno);
		atomic_store(&h->since_ns, 0);
		h->pid = 0;
	}
}

/* Those that have ended are done with; their locks go to the next. */
void worker_sweep(struct server *s)
{
	size_t kept = 0;

	worker_reap(s);
	for (size_t i = 0; i < s->workers.n; i++) {
		struct worker *k = s->workers.items[i];

		if (!k->reaped || !k->eof) {
			s->workers.items[kept++] = k;
			continue;
		}
		if (k->job)
			died(k);
		forget_hung(s, k->pid);
		close(k->fd);
		free(k->in);
		free(k->wanted);
		free(k);
	}
	s->workers.n = kept;
}

/* --- devices that do not answer --- */

/* Leaves it behind. One worker stays at each such device and tells when it answers again; others are
 * killed, which most reads obey. */
void worker_abandon(struct server *s, struct worker *k, bool stays)
{
	atomic_store(&s->shared->slots[k->slot].abandoned, true);
	k->job = NULL;
	if (!stays)
		kill(k->pid, SIGKILL);
}

static bool is_hung(const struct server *s, const char *devno)
{
	for (size_t i = 0; i < HUNG_MAX; i++)
		if (atomic_load(&s->shared->hung[i].since_ns) &&
		    streq(s->shared->hung[i].devno, devno))
			return true;
	return false;
}

static bool note_hung(struct server *s, const char *devno, uint64_t since_ns, pid_t pid)
{
	for (size_t i = 0; i < HUNG_MAX; i++) {
		struct hung *h = &s->shared->hung[i];

		if (atomic_load(&h->since_ns) || h->pid)
			continue;
		snprintf(h->devno, sizeof h->devno, "%s", devno);
		h->pid = pid;
		atomic_store(&h->since_ns, since_ns);
		server_log(s, "device %s does not answer, and is left alone", devno);
		return true;
	}
	return false;
}

/* Whether a worker stands at devices for too long; *stays: it is the first at one of them. */
static bool is_stuck(struct server *s, const struct worker *k, uint64_t now_ns, bool *stays)
{
	struct slot *slot = &s->shared->slots[k->slot];
	bool stuck = false;

	*stays = false;
	for (size_t i = 0; i < READINGS_MAX; i++) {
		const struct reading *r = &slot->readings[i];
		uint64_t since = atomic_load(&r->since_ns);
		char devno[DEVNO_TEXT];

		if (since <= READING_CLAIMED || now_ns < since ||
		    now_ns - since < (uint64_t)(s->set->device_wait_s * 1e9))
			continue;
		memcpy(devno, r->devno, sizeof devno);
		devno[sizeof devno - 1] = '\0';
		if (is_hung(s, devno))
			stuck = true;
		else if (note_hung(s, devno, since, k->pid))
			stuck = *stays = true;
		/* Else the table is full: the query's limit ends it. */
	}
	return stuck;
}

void worker_watchdog(struct server *s, uint64_t now_ns)
{
	for (size_t i = 0; i < s->workers.n; i++) {
		struct worker *k = s->workers.items[i];
		struct job *j = k->job;
		bool stays;

		if (!j || atomic_load(&s->shared->slots[k->slot].committed) ||
		    !is_stuck(s, k, now_ns, &stays))
			continue;
		worker_abandon(s, k, stays);
		job_requeue(j);
	}
}
