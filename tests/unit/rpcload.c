/*
 * Many clients of a JSON-RPC socket at once, each sending its next request when the answer to the
 * last one is there. Checks that every answer has the id of its request. For the tests of load and
 * for bench/volmgr.sh.
 *
 *   rpcload SOCKET CLIENTS SECONDS METHOD[:PARAMS]...
 *
 * Prints one line of TSV: clients, requests, errors, crossed, lost, rps, p50_ms, p99_ms, max_ms.
 */
#include "lib/core/clock.h"
#include "lib/core/mem.h"
#include "lib/os/json.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

struct peer {
	int fd;
	uint64_t id, sent_ns;
	char *in;
	size_t n, cap;
	bool waits;
};

static uint64_t errors, crossed;
static VEC(double) times;

static int dial(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a)) {
		perror(path);
		exit(1);
	}
	return fd;
}

static void ask(struct peer *p, const char *call, uint64_t id)
{
	size_t name = strcspn(call, ":");
	const char *params = call[name] ? call + name + 1 : "{}";
	char line[1024];
	int n = snprintf(line, sizeof line,
			 "{\"jsonrpc\":\"2.0\",\"id\":%" PRIu64 ",\"method\":\"%.*s\",\"params\":%s}\n",
			 id, (int)name, call, params);

	p->id = id;
	p->sent_ns = clock_monotonic_ns();
	p->waits = true;
	if (write(p->fd, line, (size_t)n) != n) {
		perror("write");
		exit(1);
	}
}

static void check(struct peer *p, const char *line, size_t n)
{
	struct json *j auto_json = NULL;
	struct err e = { 0 };
	uint64_t id;

	*vec_add(&times) = (double)(clock_monotonic_ns() - p->sent_ns) / 1e6;
	p->waits = false;
	if (json_parse(line, n, "answer", NULL, &j, &e)) {
		fprintf(stderr, "%s\n", e.found);
		errors++;
	} else if (json_as_u64(json_get(j, "id"), &id) || id != p->id) {
		crossed++;
	} else if (!json_has(j, "result")) {
		fprintf(stderr, "%.*s\n", (int)(n < 300 ? n : 300), line);
		errors++;
	}
}

/* Whether an answer is whole now. */
static bool take_input(struct peer *p)
{
	char *end;
	ssize_t k;

	if (p->cap - p->n < 1 << 16) {
		p->cap += 1 << 17;
		p->in = xrealloc(p->in, p->cap, 1);
	}
	k = read(p->fd, p->in + p->n, p->cap - p->n);
	if (k <= 0) {
		fprintf(stderr, "the daemon closed a connection\n");
		exit(1);
	}
	p->n += (size_t)k;
	end = memchr(p->in + p->n - (size_t)k, '\n', (size_t)k);
	if (!end)
		return false;
	check(p, p->in, (size_t)(end - p->in));
	if (end + 1 != p->in + p->n)
		crossed++; /* more than was asked for */
	p->n = 0;
	return true;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double quantile(double q)
{
	return times.n ? times.items[(size_t)(q * (double)(times.n - 1))] : 0;
}

int main(int argc, char **argv)
{
	size_t n, calls, lost = 0;
	struct pollfd *polls;
	struct peer *peers;
	uint64_t id = 0, end, began, until;
	double seconds;

	if (argc < 5) {
		fprintf(stderr, "usage: rpcload SOCKET CLIENTS SECONDS METHOD[:PARAMS]...\n");
		return 2;
	}
	n = (size_t)atol(argv[2]);
	calls = (size_t)argc - 4;
	peers = xcalloc(n, sizeof *peers);
	polls = xcalloc(n, sizeof *polls);
	began = clock_monotonic_ns();
	end = began + (uint64_t)(atof(argv[3]) * 1e9);
	until = end + 30000000000u; /* what is under way may still come */
	for (size_t i = 0; i < n; i++) {
		peers[i].fd = dial(argv[1]);
		polls[i] = (struct pollfd){ .fd = peers[i].fd, .events = POLLIN };
		ask(&peers[i], argv[4 + id % calls], id);
		id++;
	}
	for (;;) {
		uint64_t now = clock_monotonic_ns();

		lost = 0;
		for (size_t i = 0; i < n; i++)
			lost += peers[i].waits;
		if ((now > end && !lost) || now > until)
			break;
		if (poll(polls, n, 1000) < 0)
			break;
		for (size_t i = 0; i < n; i++)
			if (polls[i].revents && take_input(&peers[i]) && clock_monotonic_ns() < end) {
				ask(&peers[i], argv[4 + id % calls], id);
				id++;
			}
	}
	seconds = (double)(clock_monotonic_ns() - began) / 1e9;
	if (times.n)
		qsort(times.items, times.n, sizeof *times.items, ascending);
	printf("%zu\t%zu\t%" PRIu64 "\t%" PRIu64 "\t%zu\t%.1f\t%.2f\t%.2f\t%.2f\n", n, times.n, errors,
	       crossed, lost, (double)times.n / seconds, quantile(.5), quantile(.99), quantile(1));
	for (size_t i = 0; i < n; i++) {
		close(peers[i].fd);
		free(peers[i].in);
	}
	free(peers);
	free(polls);
	return errors || crossed || lost;
}
