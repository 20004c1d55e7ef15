/*
 * The daemon's request path: bytes as a client sends them, through lines, JSON, requests, batches,
 * params and answers; and the client's: rows and errors of whatever an answer holds. What storage
 * is asked for is answered here, so nothing is touched.
 */
#include "applets/mos-volmgrd/client.c"

#include <fcntl.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

void server_log(const struct server *s, const char *fmt, ...)
{
	(void)s, (void)fmt;
}

void job_forget(struct client *c)
{
	(void)c;
}

static int drop_row(struct sink *s, const struct table *t, const void *row)
{
	struct arena mem auto_arena = { 0 };
	char *text auto_free = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	(void)s;
	json_row(f, t->fields, row, &mem);
	fclose(f);
	return 0;
}
static const struct sink_type drop_type = { .row = drop_row };
static struct sink drop = { &drop_type };

/* Answers as an operation might: the params as they were understood; and reads them back. */
void job_add(struct client *c, struct item *it, const struct method *m, void *params,
	     struct arena *mem)
{
	struct job j = { .method = m };
	char *text auto_free = NULL;
	struct json *back auto_json = NULL;
	struct err e = { 0 };
	size_t size;
	FILE *f = open_memstream(&text, &size);

	json_row(f, m->op->params, params, mem);
	fclose(f);
	if (json_parse(text, size, "params", NULL, &back, &e))
		abort();
	if (params_from_json(m->op->params, params, back, mem, &e))
		abort(); /* what was written of good params is good */
	it->job = &j;
	client_answer(c, &j, NULL, 0, text, "{\"status\":0,\"warnings\":[]}");
	arena_free(mem);
}

/* Every line of output is one JSON value, and holds no raw control character. */
static void check_output(const char *s, size_t n)
{
	while (n) {
		const char *end = memchr(s, '\n', n);
		struct json *j auto_json = NULL;
		struct err e = { 0 };

		if (!end)
			abort();
		if (json_parse(s, (size_t)(end - s), "answer", NULL, &j, &e))
			abort();
		n -= (size_t)(end - s) + 1;
		s = end + 1;
	}
}

static void as_answer(const uint8_t *data, size_t n)
{
	struct json *j auto_json = NULL;
	struct arena mem auto_arena = { 0 };
	struct err e = { 0 };

	if (json_parse((const char *)data, n, "answer", NULL, &j, &e))
		return;
	rpc_error_read(json_get(j, "error"), &e);
	for (const struct method *m = methods; m->op; m++) {
		void *params = arena_alloc(&mem, m->op->params_size);

		field_clear(m->op->params, params);
		method_replay(m->op, params, json_get(j, "result"), &mem, &drop, &e);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct settings set = { 0 };
	struct server s = { .set = &set };
	struct client *c;
	int fds[2];
	char *out auto_free = NULL;
	size_t n_out = 0;

	as_answer(data, n);
	if (n > 100000 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds))
		return 0;
	if (write(fds[0], data, n) != (ssize_t)n) {
		close(fds[0]);
		close(fds[1]);
		return 0;
	}
	shutdown(fds[0], SHUT_WR);
	c = client_new(&s, fds[1]);
	c->right = RIGHT_ALL;
	while (!client_is_finished(c)) {
		char piece[65536];
		ssize_t k;

		client_read(c);
		client_advance(c);
		while ((k = recv(fds[0], piece, sizeof piece, MSG_DONTWAIT)) > 0) {
			out = xrealloc(out, n_out + (size_t)k, 1);
			memcpy(out + n_out, piece, (size_t)k);
			n_out += (size_t)k;
		}
	}
	check_output(out, n_out);
	client_free(c);
	vec_free(&s.clients);
	close(fds[0]);
	return 0;
}
