/* A worker's side: one job, run to its end, with what the daemon must know told as frames. */
#include "applets/mos-volmgrd/server.h"

#include "lib/core/clock.h"
#include "lib/core/sink.h"
#include "lib/storage/touched.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

struct child {
	struct world w;
	const struct job *job;
	struct shared *shared;
	struct slot *slot;
	int fd;
	unsigned reports;
	bool begun;
};

static struct child *child_of(const struct world *w)
{
	return w->host;
}

int frame_send(int fd, enum frame_type type, const void *a, size_t n_a, const void *b, size_t n_b)
{
	struct frame f = { .type = type, .size = (uint32_t)(n_a + n_b) };
	struct iovec parts[] = { { &f, sizeof f }, { (void *)(uintptr_t)a, n_a },
				 { (void *)(uintptr_t)b, n_b } };
	size_t i = 0;

	while (i < COUNT(parts)) {
		struct msghdr m = { .msg_iov = parts + i, .msg_iovlen = COUNT(parts) - i };
		ssize_t n;

		if (!parts[i].iov_len) {
			i++;
			continue;
		}
		n = sendmsg(fd, &m, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		for (size_t left = (size_t)n; left;) {
			size_t k = left < parts[i].iov_len ? left : parts[i].iov_len;

			parts[i].iov_base = (char *)parts[i].iov_base + k;
			parts[i].iov_len -= k;
			left -= k;
			i += !parts[i].iov_len;
		}
	}
	return 0;
}

static void tell(struct child *c, enum frame_type type, const void *a, size_t n_a, const void *b,
		 size_t n_b)
{
	/* A job goes on when nobody listens any more: a change is not left half done. */
	frame_send(c->fd, type, a, n_a, b, n_b);
}

static void tell_result(struct child *c, enum frame_type type, int status, const char *text)
{
	tell(c, type, &status, sizeof status, text, strlen(text));
}

static void on_warn(const struct world *w, const char *line)
{
	tell(child_of(w), FRAME_WARNING, line, strlen(line), NULL, 0);
}

static void on_report(const struct world *w, const char *what, uint64_t done, uint64_t total)
{
	struct child *c = child_of(w);
	const struct job *j = c->job;
	struct progress p = { done, total };
	char *text auto_free = NULL;
	struct err ignored = { 0 };

	if (j->progress)
		tell(c, FRAME_PROGRESS, &p, sizeof p, what, strlen(what));
	/* The first report may come while the kernel is only about to begin. */
	if (c->begun || j->wait || !(j->method->flags & METHOD_BACKGROUND) ||
	    !(done || c->reports++))
		return;
	c->begun = true;
	if (method_rows(&c->w, j->method->status, method_status_params(j->method, j->params, w->mem),
			&text, &ignored) >= 0)
		tell_result(c, FRAME_BEGUN, 0, text);
}

static const char *on_touch(const struct world *w, const char *devno, struct arena *a)
{
	struct child *c = child_of(w);
	uint64_t now = clock_monotonic_ns();

	for (size_t i = 0; i < HUNG_MAX; i++) {
		const struct hung *h = &c->shared->hung[i];
		uint64_t since = atomic_load(&h->since_ns);

		if (since && streq(h->devno, devno))
			return arena_printf(a, "does not answer: a read of it has taken %.0f s",
					    (double)(now - since) / 1e9);
	}
	for (size_t i = 0; i < READINGS_MAX; i++) {
		struct reading *r = &c->slot->readings[i];
		uint64_t nobody = 0;

		if (!atomic_compare_exchange_strong(&r->since_ns, &nobody, READING_CLAIMED))
			continue;
		snprintf(r->devno, sizeof r->devno, "%s", devno);
		atomic_store(&r->since_ns, now);
		break;
	}
	return NULL;
}

/* The worker was given up, and has no more to do but to tell which of its devices answer after all. */
static void leave(struct child *c, const char *devno)
{
	bool others = false;

	for (size_t i = 0; i < HUNG_MAX; i++) {
		struct hung *h = &c->shared->hung[i];

		if (h->pid == getpid() && streq(h->devno, devno))
			atomic_store(&h->since_ns, 0);
	}
	for (size_t i = 0; i < READINGS_MAX; i++)
		others |= atomic_load(&c->slot->readings[i].since_ns) != 0;
	if (others)
		for (;;)
			pause(); /* the last one ends them all */
	_exit(0);
}

static void on_touched(const struct world *w, const char *devno)
{
	struct child *c = child_of(w);

	for (size_t i = 0; i < READINGS_MAX; i++) {
		struct reading *r = &c->slot->readings[i];

		if (atomic_load(&r->since_ns) > READING_CLAIMED && streq(r->devno, devno)) {
			atomic_store(&r->since_ns, 0);
			break;
		}
	}
	if (atomic_load(&c->slot->abandoned))
		leave(c, devno);
}

struct event_sink {
	struct sink sink;
	struct child *child;
};

static int event_row(struct sink *s, const struct table *t, const void *row)
{
	struct child *c = ((struct event_sink *)s)->child;
	struct arena mem auto_arena = { 0 };
	char *text auto_free = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return -errno;
	json_row(f, t->fields, row, &mem);
	fclose(f);
	return frame_send(c->fd, FRAME_EVENT, text, size, NULL, 0);
}

/* The first look has been taken: what happens from now on is told. */
static int event_flush(struct sink *s)
{
	struct child *c = ((struct event_sink *)s)->child;

	if (!c->begun)
		tell_result(c, FRAME_BEGUN, 0, "{\"subscribed\":true}");
	c->begun = true;
	return 0;
}

static const struct sink_type event_type = { .row = event_row, .flush = event_flush };

static int read_all(int fd, void *to, size_t n)
{
	for (char *p = to; n;) {
		ssize_t k = read(fd, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return k ? -errno : -EPIPE;
		p += k;
		n -= (size_t)k;
	}
	return 0;
}

/* Asks the daemon for the disks; it answers at once, later, or with who has one of them. */
static int lock_disks(struct child *c, const struct touched_disk *disks, size_t n, struct err *e)
{
	dev_t *devnos = arena_alloc(c->w.mem, (n + 1) * sizeof *devnos);
	struct frame f;
	char *text;
	int index;

	if (!n)
		return 0;
	for (size_t i = 0; i < n; i++)
		devnos[i] = disks[i].devno;
	tell(c, FRAME_LOCK, devnos, n * sizeof *devnos, NULL, 0);
	if (read_all(c->fd, &f, sizeof f) || f.size > 4096)
		return err_make(e, ERR_FAILED, -ECANCELED, disks[0].path, NULL,
				"the daemon ended before the change began");
	text = arena_alloc(c->w.mem, f.size + 1);
	if (read_all(c->fd, text, f.size))
		return err_make(e, ERR_FAILED, -ECANCELED, disks[0].path, NULL,
				"the daemon ended before the change began");
	if (f.type == FRAME_GRANTED)
		return 0;
	memcpy(&index, text, sizeof index);
	return err_make(e, ERR_FAILED, -EBUSY, disks[(size_t)index < n ? index : 0].path,
			"try again when that has ended", "%s", text + sizeof index);
}

static int prepare(struct child *c, struct err *e)
{
	const struct method *m = c->job->method;
	struct touched_disk *disks;
	size_t n;
	int r = method_check_paths(m, c->job->params, e);

	if (r || !(m->op->flags & OP_CHANGES))
		return r;
	if (!(m->flags & METHOD_SHARED)) {
		r = touched_disks(&c->w, m->op, c->job->params, &disks, &n, e);
		if (!r)
			r = lock_disks(c, disks, n, e);
	}
	atomic_store(&c->slot->committed, true);
	return r;
}

static void settle_descriptors(int fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0) {
		dup2(null, 0);
		dup2(null, 1);
	}
	dup3(fd, 3, O_CLOEXEC);
	if (syscall(SYS_close_range, 4u, ~0u, 0u))
		for (int i = 4; i < 4096; i++)
			close(i);
}

void child_run(struct server *s, struct job *j, struct slot *slot, int fd)
{
	struct arena mem = { 0 };
	struct child c = { .w = *s->w, .job = j, .shared = s->shared, .slot = slot };
	struct event_sink events = { { &event_type }, &c };
	char *text = NULL;
	struct err e = { 0 };
	sigset_t none;
	int r;

	/* A group of its own: a terminal's ^C is for the daemon, which tells what must end. */
	setpgid(0, 0);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (fd == 3)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	settle_descriptors(fd);
	c.fd = 3;
	c.w.mem = &mem;
	c.w.human = j->human;
	c.w.color = false;
	c.w.progress = false;
	c.w.warn = on_warn;
	c.w.report = on_report;
	c.w.touch = on_touch;
	c.w.touched = on_touched;
	c.w.host = &c;
	r = prepare(&c, &e);
	if (!r && j->method->op->flags & OP_STREAM) {
		r = j->method->op->run(&c.w, j->params, &events.sink, &e);
		text = xstrdup("null");
	} else if (!r) {
		r = method_run(&c.w, j->method, j->params, &text, &e);
	}
	if (r < 0)
		tell(&c, FRAME_ERROR, &e, sizeof e, NULL, 0);
	else
		tell_result(&c, FRAME_RESULT, r, text);
	_exit(0);
}
