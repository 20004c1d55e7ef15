/* Jobs: what was asked for, once, for all who asked the same before it began. */
#include "applets/mos-volmgrd/server.h"

#include "lib/core/clock.h"
#include "lib/core/sink.h"

#include <errno.h>

static bool is_change(const struct job *j)
{
	return j->method->op->flags & OP_CHANGES;
}

static bool is_watch(const struct job *j)
{
	return j->method->op->flags & OP_STREAM;
}

static bool is_background(const struct job *j)
{
	return j->method->flags & METHOD_BACKGROUND;
}

static void job_free(struct job *j)
{
	for (size_t i = 0; i < j->warnings.n; i++)
		free(j->warnings.items[i]);
	vec_free(&j->warnings);
	vec_free(&j->waiters);
	vec_free(&j->watchers);
	arena_free(&j->mem);
	free(j);
}

static void job_remove(struct job *j)
{
	struct server *s = j->server;

	for (size_t i = 0; i < s->jobs.n; i++)
		if (s->jobs.items[i] == j) {
			memmove(&s->jobs.items[i], &s->jobs.items[i + 1],
				(s->jobs.n - i - 1) * sizeof *s->jobs.items);
			s->jobs.n--;
			break;
		}
	for (size_t i = 0; i < j->watchers.n; i++)
		j->watchers.items[i]->watching = NULL;
	job_free(j);
}

/* Equal for requests of which one answer will do. */
static const char *key_of(const struct method *m, const void *params, const struct job *j,
			  struct arena *a)
{
	struct arena mem auto_arena = { 0 };
	char *text auto_free = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	fprintf(f, "%s %d%d%d ", m->op->name, j->human, j->progress, j->wait);
	json_row(f, m->op->params, params, &mem);
	fclose(f);
	return arena_str(a, text);
}

static bool flag(const struct json *client, const char *name)
{
	bool v = false;

	json_as_bool(json_get(client, name), &v);
	return v;
}

/* Only one that has not begun: what it finds is then no older than the request. A watch has no end,
 * and may be joined at any time. */
static struct job *find_equal(struct server *s, const struct job *like)
{
	for (size_t i = 0; i < s->jobs.n; i++) {
		struct job *j = s->jobs.items[i];

		if (!is_change(j) && j->method == like->method && streq(j->key, like->key) &&
		    j->who.uid == like->who.uid && (!j->worker || is_watch(j)))
			return j;
	}
	return NULL;
}

static size_t count_watches(const struct server *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->jobs.n; i++)
		n += is_watch(s->jobs.items[i]);
	return n;
}

static void refuse(struct client *c, struct item *it, struct job *j, const char *object,
		   const char *found)
{
	struct err e = { 0 };

	err_make(&e, ERR_FAILED, -EBUSY, object, "try again later", "%s", found);
	it->job = j;
	client_answer(c, j, &e, RPC_FAILED, NULL, NULL);
	job_free(j);
}

void job_add(struct client *c, struct item *it, const struct method *m, void *params,
	     struct arena *mem)
{
	struct server *s = c->server;
	struct job *j = xcalloc(1, sizeof *j), *equal;

	j->server = s;
	j->method = m;
	j->mem = *mem;
	j->params = params;
	j->who = c->who;
	j->began_ns = clock_monotonic_ns();
	j->human = flag(it->request.client, "human");
	j->progress = flag(it->request.client, "progress");
	j->wait = flag(it->request.client, "wait");
	j->key = key_of(m, params, j, &j->mem);
	if (is_watch(j) && c->watching) {
		refuse(c, it, j, "storage.watch", "this connection watches already");
		return;
	}
	equal = is_change(j) ? NULL : find_equal(s, j);
	if (equal) {
		job_free(j);
		j = equal;
	} else if (is_watch(j) && count_watches(s) >= WATCHES_MAX) {
		refuse(c, it, j, "storage.watch", "too many watches with different params");
		return;
	} else {
		*vec_add(&s->jobs) = j;
	}
	it->job = j;
	if (is_watch(j) && !it->request.notification) {
		*vec_add(&j->watchers) = c;
		c->watching = j;
	}
	if (is_watch(j) && j->begun)
		client_answer(c, j, NULL, 0, "{\"subscribed\":true}", NULL);
	else
		*vec_add(&j->waiters) = c;
}

static void drop_from(struct client **items, size_t *n, const struct client *c)
{
	size_t kept = 0;

	for (size_t i = 0; i < *n; i++)
		if (items[i] != c)
			items[kept++] = items[i];
	*n = kept;
}

/* The client is no more. Its change goes on; a query that nobody waits for is not begun. */
void job_forget(struct client *c)
{
	struct server *s = c->server;

	for (size_t i = s->jobs.n; i-- > 0;) {
		struct job *j = s->jobs.items[i];

		drop_from(j->waiters.items, &j->waiters.n, c);
		drop_from(j->watchers.items, &j->watchers.n, c);
		if (is_watch(j) && !j->watchers.n && j->worker) {
			kill(j->worker->pid, SIGTERM);
			j->key = NULL; /* nobody joins it any more */
		} else if (!is_change(j) && !j->waiters.n && !j->watchers.n && !j->worker)
			job_remove(j);
	}
}

static char *notes_of(const struct job *j, int status)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	fprintf(f, "{\"status\":%d,\"warnings\":[", status);
	for (size_t i = 0; i < j->warnings.n; i++) {
		fputs(i ? "," : "", f);
		json_escape(f, j->warnings.items[i]);
	}
	fputs("]}", f);
	fclose(f);
	return text;
}

/* Answering may make a client go on to its next request, and so to new jobs: the list is taken off
 * first. */
static void answer_all(struct job *j, const struct err *e, int code, const char *result,
		       int status)
{
	char *notes auto_free = notes_of(j, status);
	struct client **list = j->waiters.items;
	size_t n = j->waiters.n;

	j->waiters.items = NULL;
	j->waiters.n = j->waiters.cap = 0;
	for (size_t i = 0; i < n; i++)
		client_answer(list[i], j, e, code, result, notes);
	free(list);
}

void job_begun(struct job *j, const char *result, int status)
{
	j->begun = true;
	answer_all(j, NULL, 0, result, status);
}

void job_end(struct job *j, const struct err *e, int code, const char *result, int status)
{
	struct arena mem auto_arena = { 0 };

	if (e && j->begun)
		server_log(j->server, "%s, in the background: %s", j->method->op->name,
			   err_line(e, &mem));
	else if (j->begun)
		server_log(j->server, "%s, in the background: done after %.1f s",
			   j->method->op->name,
			   (double)(clock_monotonic_ns() - j->began_ns) / 1e9);
	/* Watchers see that nothing more comes. */
	for (size_t i = 0; i < j->watchers.n; i++)
		j->watchers.items[i]->ended = true;
	answer_all(j, e, code, result, status);
	job_remove(j);
}

void job_requeue(struct job *j)
{
	struct err e = { 0 };

	j->worker = NULL;
	if (++j->reruns <= RERUNS_MAX)
		return;
	err_make(&e, ERR_FAILED, -ETIMEDOUT, j->method->op->name, NULL,
		 "more than %d devices do not answer", RERUNS_MAX);
	job_end(j, &e, RPC_FAILED, NULL, 0);
}

void jobs_start(struct server *s)
{
	size_t queries = 0, changes = 0, background = 0;

	for (size_t i = 0; i < s->jobs.n; i++) {
		const struct job *j = s->jobs.items[i];

		if (!j->worker || is_watch(j))
			continue;
		queries += !is_change(j);
		changes += is_change(j) && !is_background(j);
		background += is_background(j);
	}
	for (size_t i = 0; i < s->jobs.n; i++) {
		struct job *j = s->jobs.items[i];
		size_t *kind = is_background(j) ? &background : is_change(j) ? &changes : &queries;
		size_t most = is_background(j) ? BACKGROUND_MAX
			      : is_change(j)   ? CHANGES_MAX
					       : s->query_workers;

		if (j->worker || (!is_watch(j) && *kind >= most))
			continue;
		if (worker_start(s, j))
			return; /* out of slots or memory: when another has ended */
		*kind += !is_watch(j);
	}
}

void jobs_stop(struct server *s)
{
	struct err e = { 0 };

	err_make(&e, ERR_FAILED, -ESHUTDOWN, "mos-volmgrd", NULL, "is stopping");
	for (size_t i = s->jobs.n; i-- > 0;) {
		struct job *j = s->jobs.items[i];

		if (!j->worker)
			job_end(j, &e, RPC_FAILED, NULL, 0);
		else if (j->method->op->flags & (OP_LONG | OP_STREAM))
			kill(j->worker->pid, SIGTERM);
	}
}

/* A query that takes too long is given up for its clients' sake. */
void jobs_tick(struct server *s, uint64_t now_ns)
{
	uint64_t limit_ns = (uint64_t)(s->set->query_limit_s * 1e9);

	for (size_t i = s->jobs.n; i-- > 0;) {
		struct job *j = s->jobs.items[i];
		struct worker *k = j->worker;
		struct err e = { 0 };

		if (!k || is_change(j) || is_watch(j) || now_ns - k->began_ns < limit_ns)
			continue;
		err_make(&e, ERR_FAILED, -ETIMEDOUT, j->method->op->name, NULL,
			 "has not come to an end in %.0f s: a device or filesystem does not answer",
			 s->set->query_limit_s);
		worker_abandon(s, k, false);
		job_end(j, &e, RPC_FAILED, NULL, 0);
	}
}
