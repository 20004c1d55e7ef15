/* Having the daemon run a command: one request, its answer, and what comes in between. */
#include "applets/mos-volmgr/mos-volmgr.h"

#include "lib/core/sink.h"
#include "lib/storage/field_json.h"
#include "lib/storage/rpc.h"
#include "lib/storage/watch.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { ANSWER_MAX = 64 << 20 };

int connect_daemon(const char *path, struct err *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd auto_close = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return err_sys(e, -errno, path, "open a socket");
	if (strlen(path) >= sizeof a.sun_path)
		return err_make(e, ERR_INVALID, -ENAMETOOLONG, path, NULL,
				"is too long for the path of a socket");
	memcpy(a.sun_path, path, strlen(path));
	if (!connect(fd, (struct sockaddr *)&a, sizeof a))
		return take_fd(&fd);
	if (errno == ENOENT || errno == ECONNREFUSED)
		return -errno;
	if (errno == EACCES)
		return err_make(e, ERR_UNSUPPORTED, -EACCES, path,
				"ask as root or as a member of the daemon's group, or use --direct",
				"may not talk to the daemon");
	return err_sys(e, -errno, path, "connect to the daemon");
}

struct link {
	int fd;
	const char *name; /* of the socket */
	char *buffer;
	size_t n, cap, seen; /* seen: no newline before it */
};

static void release_link(struct link *l)
{
	free(l->buffer);
}

static int send_all(struct world *w, const struct link *l, const char *s, size_t n, struct err *e)
{
	while (n) {
		ssize_t k = send(l->fd, s, n, MSG_NOSIGNAL);

		if (k < 0 && errno == EINTR && !*w->stop)
			continue;
		if (k < 0)
			return err_sys(e, -errno, l->name, "send the request");
		s += k;
		n -= (size_t)k;
	}
	return 0;
}

static int interrupted(const struct link *l, struct err *e)
{
	return err_make(e, ERR_FAILED, -EINTR, l->name, NULL,
			"interrupted; what the daemon has begun goes on");
}

/* One message; *ret is to be freed. 0 at the end of the connection. */
static int receive(struct world *w, struct link *l, struct json **ret, struct err *e)
{
	for (;;) {
		struct pollfd p = { .fd = l->fd, .events = POLLIN };
		char *newline = l->n > l->seen ? memchr(l->buffer + l->seen, '\n', l->n - l->seen)
					       : NULL;
		ssize_t k;
		int r;

		if (newline) {
			size_t length = (size_t)(newline - l->buffer);

			r = json_parse(l->buffer, length, l->name, NULL, ret, e);
			l->n -= length + 1;
			l->seen = 0;
			memmove(l->buffer, newline + 1, l->n);
			return r ? r : 1;
		}
		l->seen = l->n;
		if (*w->stop)
			return interrupted(l, e);
		if (l->n > ANSWER_MAX)
			return err_make(e, ERR_FAILED, -EMSGSIZE, l->name, NULL,
					"the daemon's answer does not end");
		r = poll(&p, 1, 500);
		if (r < 0 && errno != EINTR)
			return err_sys(e, -errno, l->name, "wait for the daemon");
		if (r <= 0)
			continue;
		if (l->cap - l->n < 1 << 16) {
			l->cap = l->cap ? 2 * l->cap : 1 << 18;
			l->buffer = xrealloc(l->buffer, l->cap, 1);
		}
		k = recv(l->fd, l->buffer + l->n, l->cap - l->n, 0);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return err_sys(e, -errno, l->name, "read the daemon's answer");
		if (!k)
			return 0;
		l->n += (size_t)k;
	}
}

static char *request(const struct world *w, const struct method *m, const void *params, bool wait,
		     size_t *size)
{
	struct arena mem auto_arena = { 0 };
	char name[METHOD_NAME_MAX];
	char *text = NULL;
	FILE *out = open_memstream(&text, size);

	if (!out)
		return NULL;
	fprintf(out, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":",
		method_name(m, name));
	json_row(out, m->op->params, params, &mem);
	fprintf(out, ",\"x-client\":{\"human\":%s,\"progress\":%s,\"wait\":%s}}\n",
		w->human ? "true" : "false", w->progress ? "true" : "false",
		wait ? "true" : "false");
	fclose(out);
	return text;
}

static int take_notes(struct world *w, const struct json *notes)
{
	const struct json *warnings = json_get(notes, "warnings");
	uint64_t status = 0;

	for (size_t i = 0; i < json_length(warnings); i++)
		if (json_string(json_at(warnings, i)))
			w->warn(w, json_string(json_at(warnings, i)));
	json_as_u64(json_get(notes, "status"), &status);
	return status <= EXIT_UNSUPPORTED ? (int)status : 0;
}

static void take_progress(struct world *w, const struct json *p)
{
	const char *what = json_string(json_get(p, "what"));
	uint64_t done, total;

	if (what && !json_as_u64(json_get(p, "done"), &done) &&
	    !json_as_u64(json_get(p, "total"), &total))
		w->report(w, what, done, total);
}

static int take_answer(struct world *w, const struct method *m, const void *params,
		       const struct json *answer, struct sink *out, struct err *e)
{
	const struct json *result = json_get(answer, "result");
	int status = take_notes(w, json_get(answer, "x-notes")), r;

	if (json_has(answer, "error")) {
		rpc_error_read(json_get(answer, "error"), e);
		return e->code;
	}
	if (m->flags & METHOD_DOCUMENT) {
		json_write(stdout, result);
		putchar('\n');
		return 0;
	}
	if (m->op->flags & OP_STREAM)
		return 0;
	/* Work that was started: how it stands, in the rows of the same tables. */
	r = method_replay(m->op, params, result, w->mem, out, e);
	return r ? r : status;
}

/* Rows that come until either side ends. */
static int take_event(struct world *w, const struct method *m, const struct json *message,
		      struct sink *out, struct err *e)
{
	struct arena mem auto_arena = { 0 };
	const struct table *t = m->op->tables[0];
	void *row = arena_alloc(&mem, t->row_size);
	int r = row_from_json(t->fields, row, json_get(message, "params"), &mem, e);

	(void)w;
	if (!r)
		r = sink_row(out, t, row);
	return r ? r : sink_flush(out);
}

int call_daemon(struct world *w, int fd, const char *socket, const struct method *m,
		const void *params, bool wait, struct sink *out, struct err *e)
{
	struct link l auto_release(release_link) = { .fd = fd, .name = socket };
	bool answered = false;
	size_t size = 0;
	char *text auto_free = request(w, m, params, wait, &size);
	int r;

	if (!text)
		return err_sys(e, -errno, socket, "make a request");
	for (r = send_all(w, &l, text, size, e); !r;) {
		struct json *message auto_json = NULL;
		const char *method;

		r = receive(w, &l, &message, e);
		if (r == -EINTR && answered)
			return 0;
		if (r == 0)
			return err_make(e, ERR_FAILED, -ECONNRESET, socket, NULL,
					"the daemon closed the connection%s",
					answered ? "" : " without an answer");
		if (r < 0)
			return r;
		method = json_string(json_get(message, "method"));
		r = 0;
		if (streq(method, WATCH_NOTIFICATION)) {
			r = take_event(w, m, message, out, e);
		} else if (streq(method, PROGRESS_NOTIFICATION)) {
			take_progress(w, json_get(message, "params"));
		} else if (!method) {
			r = take_answer(w, m, params, message, out, e);
			answered = true;
			if (r || !(m->op->flags & OP_STREAM))
				return r;
		}
	}
	return r;
}
