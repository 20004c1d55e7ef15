/* A client: its lines, read one at a time, each answered whole before the next is begun. */
#include "applets/mos-volmgrd/server.h"

#include "lib/core/clock.h"
#include "lib/storage/field_json.h"

#include <errno.h>

struct client *client_new(struct server *s, int fd)
{
	struct client *c = xcalloc(1, sizeof *c);

	c->server = s;
	c->fd = fd;
	*vec_add(&s->clients) = c;
	return c;
}

static void line_free(struct line *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < l->n; i++)
		free(l->items[i].answer);
	free(l->items);
	json_free(&l->json);
	free(l);
}

void client_free(struct client *c)
{
	job_forget(c);
	line_free(c->line);
	free(c->in);
	free(c->out);
	if (c->fd >= 0)
		close(c->fd);
	free(c);
}

/* Nothing it still wants is of use; what it asked for in whole lines is done all the same. */
void client_drop(struct client *c)
{
	c->gone = true;
	c->n_out = c->sent = 0;
}

bool client_is_finished(const struct client *c)
{
	if (c->line)
		return false;
	if (c->gone)
		return c->ended && c->n_in == c->seen;
	return c->ended && c->sent == c->n_out && !c->watching && c->n_in == c->seen;
}

void client_send(struct client *c, const char *text, size_t n)
{
	if (c->gone || !n)
		return;
	if (c->cap_out - c->n_out < n) {
		if (c->sent)
			memmove(c->out, c->out + c->sent, c->n_out - c->sent);
		c->n_out -= c->sent;
		c->sent = 0;
		if (c->cap_out - c->n_out < n) {
			c->cap_out = c->n_out + n + 4096;
			c->out = xrealloc(c->out, c->cap_out, 1);
		}
	}
	if (c->sent == c->n_out)
		c->moved_ns = clock_monotonic_ns();
	memcpy(c->out + c->n_out, text, n);
	c->n_out += n;
}

void client_write(struct client *c)
{
	while (c->sent < c->n_out && !c->gone) {
		ssize_t n = send(c->fd, c->out + c->sent, c->n_out - c->sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			client_drop(c);
			return;
		}
		c->sent += (size_t)n;
		c->moved_ns = clock_monotonic_ns();
	}
	c->sent = c->n_out = 0;
	/* A large answer's memory is not kept for the small ones that follow. */
	if (c->cap_out > 1 << 16) {
		free(c->out);
		c->out = NULL;
		c->cap_out = 0;
	}
}

void client_read(struct client *c)
{
	enum { PIECE = 64 << 10 };
	ssize_t n;

	if (c->n_in >= RPC_LINE_MAX + PIECE) /* enough to go on with */
		return;
	if (c->cap_in - c->n_in < PIECE) {
		c->cap_in = c->n_in + PIECE;
		c->in = xrealloc(c->in, c->cap_in, 1);
	}
	n = recv(c->fd, c->in + c->n_in, c->cap_in - c->n_in, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		c->ended = true;
		if (n < 0)
			client_drop(c);
		return;
	}
	c->n_in += (size_t)n;
}

static void send_file(struct client *c, FILE *f, char **text, size_t *size)
{
	fclose(f);
	client_send(c, *text, *size);
	free(*text);
}

static void send_error(struct client *c, int code, const struct err *e)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return;
	rpc_write_error(f, NULL, code, e, NULL);
	fputc('\n', f);
	send_file(c, f, &text, &size);
	server_log(c->server, "uid %u pid %d: %s", c->who.uid, c->who.pid, rpc_code_text(code));
}

/* --- answers --- */

static void item_answer(struct client *c, struct item *it, const struct err *e, int code,
			const char *result, const char *notes)
{
	const char *name = it->request.method ? it->request.method : "request";
	size_t size;
	FILE *f;

	it->done = true;
	it->job = NULL;
	if (e) {
		struct arena mem auto_arena = { 0 };

		server_log(c->server, "uid %u pid %d %.60s: %s", c->who.uid, c->who.pid, name,
			   err_line(e, &mem));
	} else {
		server_log(c->server, "uid %u pid %d %.60s: done in %.1f ms", c->who.uid, c->who.pid,
			   name, (double)(clock_monotonic_ns() - it->began_ns) / 1e6);
	}
	if (it->request.notification && !it->invalid)
		return;
	f = open_memstream(&it->answer, &size);
	if (!f)
		return;
	if (!json_has(it->request.client, "human"))
		notes = NULL;
	if (e)
		rpc_write_error(f, it->request.id, code, e, notes);
	else
		rpc_write_result(f, it->request.id, result, notes);
	fclose(f);
}

static struct item *current(const struct client *c, const struct job *j)
{
	struct line *l = c->line;

	return l && l->next < l->n && l->items[l->next].job == j ? &l->items[l->next] : NULL;
}

void client_answer(struct client *c, const struct job *j, const struct err *e, int code,
		   const char *result, const char *notes)
{
	struct item *it = current(c, j);

	if (it)
		item_answer(c, it, e, code, result, notes);
}

/* --- requests --- */

static int check_rights(const struct client *c, const struct method *m, struct err *e)
{
	char name[METHOD_NAME_MAX];
	char *who auto_free = xasprintf("uid %u", c->who.uid);

	if (c->right == RIGHT_ALL)
		return 0;
	if (c->right == RIGHT_QUERY && !(m->op->flags & OP_CHANGES))
		return 0;
	return err_make(e, ERR_FAILED, -EACCES, method_name(m, name),
			c->right == RIGHT_QUERY ? "call it as root" : NULL, "%s may not call %s", who,
			c->right == RIGHT_QUERY ? "what changes storage" : "anything");
}

static void item_start(struct client *c, struct item *it)
{
	const struct method *m;
	struct arena mem = { 0 };
	struct err e = { 0 };
	void *params;
	int code = RPC_METHOD_NOT_FOUND;

	it->started = true;
	it->began_ns = clock_monotonic_ns();
	if (it->invalid) {
		item_answer(c, it, &it->why, RPC_INVALID_REQUEST, NULL, NULL);
		return;
	}
	m = method_by_name(it->request.method);
	if (!m || m->op->flags & OP_LOCAL) {
		err_make(&e, ERR_USAGE, -ENOSYS, "method", "rpc.discover lists the methods",
			 "there is no '%.100s'", it->request.method);
		item_answer(c, it, &e, code, NULL, NULL);
		return;
	}
	if (check_rights(c, m, &e)) {
		item_answer(c, it, &e, RPC_FAILED, NULL, NULL);
		return;
	}
	params = arena_alloc(&mem, m->op->params_size);
	if (params_from_json(m->op->params, params, it->request.params, &mem, &e)) {
		item_answer(c, it, &e, err_jsonrpc_code(&e), NULL, NULL);
		arena_free(&mem);
		return;
	}
	/* Nobody is there to read what it would say; a change was asked for all the same. */
	if (c->gone && !(m->op->flags & OP_CHANGES)) {
		it->done = true;
		arena_free(&mem);
		return;
	}
	job_add(c, it, m, params, &mem);
}

static struct line *line_new(struct json *json)
{
	struct line *l = xcalloc(1, sizeof *l);

	l->json = json;
	l->batch = json_kind(json) == JSON_ARRAY;
	l->n = l->batch ? json_length(json) : 1;
	l->items = xcalloc(l->n, sizeof *l->items);
	for (size_t i = 0; i < l->n; i++) {
		struct item *it = &l->items[i];
		const struct json *one = l->batch ? json_at(json, i) : json;

		it->invalid = rpc_request_read(one, &it->request, &it->why) != 0;
	}
	return l;
}

static void line_finish(struct client *c)
{
	struct line *l = c->line;
	bool any = false;

	for (size_t i = 0; i < l->n; i++) {
		const char *answer = l->items[i].answer;

		if (!answer)
			continue;
		client_send(c, !l->batch ? "" : any ? "," : "[", l->batch);
		client_send(c, answer, strlen(answer));
		any = true;
	}
	/* A batch of notifications has no answer at all. */
	if (any)
		client_send(c, l->batch ? "]\n" : "\n", l->batch ? 2 : 1);
	line_free(l);
	c->line = NULL;
}

static void line_start(struct client *c, const char *text, size_t n)
{
	struct json *json = NULL;
	struct err e = { 0 };
	size_t blank = 0;

	while (blank < n && strchr(" \t\r", text[blank]) && text[blank])
		blank++;
	if (blank == n) /* an empty line asks nothing */
		return;
	if (rpc_parse(text, n, "request", &json, &e)) {
		send_error(c, RPC_PARSE_ERROR, &e);
		return;
	}
	if (json_kind(json) == JSON_ARRAY &&
	    (!json_length(json) || json_length(json) > RPC_BATCH_MAX)) {
		err_make(&e, ERR_USAGE, -EBADMSG, "batch", NULL,
			 json_length(json) ? "has more than %d requests" : "is empty",
			 RPC_BATCH_MAX);
		send_error(c, RPC_INVALID_REQUEST, &e);
		json_free(&json);
		return;
	}
	c->line = line_new(json);
}

/* The next whole line; a too long one is answered once and skipped to its end. */
static bool next_line(struct client *c)
{
	char *end = c->n_in > c->seen ? memchr(c->in + c->seen, '\n', c->n_in - c->seen) : NULL;
	size_t n = end ? (size_t)(end - c->in) : c->n_in;
	struct err e = { 0 };

	if (!c->skipping && n > RPC_LINE_MAX) {
		err_make(&e, ERR_USAGE, -EMSGSIZE, "request", NULL, "is a line of more than %d bytes",
			 RPC_LINE_MAX);
		send_error(c, RPC_PARSE_ERROR, &e);
		c->skipping = true;
	}
	if (!end) {
		if (c->skipping)
			c->n_in = 0;
		c->seen = c->n_in;
		return false;
	}
	if (!c->skipping)
		line_start(c, c->in, n);
	c->skipping = false;
	c->n_in -= n + 1;
	c->seen = 0;
	memmove(c->in, end + 1, c->n_in);
	return true;
}

void client_advance(struct client *c)
{
	for (;;) {
		struct line *l = c->line;

		if (!l) {
			/* One that does not read its answers gets no more of them. */
			if (c->n_out - c->sent > ANSWERS_AHEAD || c->server->stopping ||
			    !next_line(c))
				break;
			continue;
		}
		if (l->next == l->n) {
			line_finish(c);
			continue;
		}
		if (!l->items[l->next].started)
			item_start(c, &l->items[l->next]);
		if (!l->items[l->next].done)
			break;
		l->next++;
	}
	client_write(c);
	if (!c->n_in && c->cap_in > 1 << 16) {
		free(c->in);
		c->in = NULL;
		c->cap_in = 0;
	}
}
