/* External programs: see run.h. */
#include "lib/core/run.h"

#include "lib/core/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

extern char **environ;

enum { OUTPUT_MAX = 1 << 20 };

struct capture {
	int fd;
	char *data;
	size_t n, cap;
};

const char *run_find(const char *program, struct arena *a)
{
	const char *path = getenv("PATH");
	struct stat st;

	if (strchr(program, '/'))
		return access(program, X_OK) ? NULL : arena_str(a, program);
	if (!path || !*path)
		path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	for (;;) {
		size_t n = strcspn(path, ":");
		char *full = arena_printf(a, "%.*s/%s", (int)n, path, program);

		if (n && !access(full, X_OK) && !stat(full, &st) && S_ISREG(st.st_mode))
			return full;
		if (!path[n])
			return NULL;
		path += n + 1;
	}
}

static bool is_plain(const char *s)
{
	if (!*s)
		return false;
	for (; *s; s++)
		if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
		      (*s >= '0' && *s <= '9') || strchr("/._-+=,:@%", *s)))
			return false;
	return true;
}

const char *run_quote(const char *const *argv, struct arena *a)
{
	char *line = arena_str(a, "");

	for (const char *const *p = argv; *p; p++) {
		const char *sep = p == argv ? "" : " ";
		char *word, *to;

		if (is_plain(*p)) {
			line = arena_printf(a, "%s%s%s", line, sep, *p);
			continue;
		}
		word = to = arena_alloc(a, 4 * strlen(*p) + 3);
		*to++ = '\'';
		for (const char *c = *p; *c; c++) {
			if (*c == '\'') {
				memcpy(to, "'\\''", 4);
				to += 4;
			} else {
				*to++ = *c;
			}
		}
		*to++ = '\'';
		line = arena_printf(a, "%s%s%s", line, sep, word);
	}
	return line;
}

/* Keeps the last OUTPUT_MAX bytes: what a program says last explains its failure. */
static bool take_output(struct capture *c, const struct run_options *o)
{
	char buf[16384];
	ssize_t n = read(c->fd, buf, sizeof buf);

	if (n < 0)
		return errno == EINTR || errno == EAGAIN;
	if (!n)
		return false;
	if (o->on_output)
		o->on_output(o->arg, buf, (size_t)n);
	if (c->n + (size_t)n > OUTPUT_MAX) {
		size_t drop = c->n + (size_t)n - OUTPUT_MAX;

		memmove(c->data, c->data + drop, c->n - drop);
		c->n -= drop;
	}
	if (c->n + (size_t)n + 1 > c->cap) {
		c->cap = (c->n + (size_t)n + 1) * 2;
		c->data = xrealloc(c->data, c->cap, 1);
	}
	memcpy(c->data + c->n, buf, (size_t)n);
	c->n += (size_t)n;
	c->data[c->n] = '\0';
	return true;
}

static int spawn(const char *path, const char *const *argv, const char *const *env, const int fds[3],
		 pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, defaults;
	int r;

	posix_spawn_file_actions_init(&actions);
	for (int i = 0; i < 3; i++)
		posix_spawn_file_actions_adddup2(&actions, fds[i], i);
	posix_spawnattr_init(&attr);
	sigemptyset(&none);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	sigaddset(&defaults, SIGINT);
	sigaddset(&defaults, SIGTERM);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &defaults);
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
						POSIX_SPAWN_SETPGROUP);
	r = posix_spawn(ret_pid, path, &actions, &attr, (char **)(uintptr_t)argv,
			(char **)(uintptr_t)env);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	return -r;
}

/* Our environment with LC_ALL=C, so that messages and numbers are the ones we know. */
static const char *const *default_env(struct arena *a)
{
	const char **env = NULL;

	for (char **p = environ; p && *p; p++)
		if (!starts_with(*p, "LC_ALL=") && !starts_with(*p, "LANGUAGE="))
			strlist_add(a, &env, *p);
	strlist_add(a, &env, "LC_ALL=C");
	return env;
}

/* stdin from memory: an unlinked file cannot block as a pipe can. */
static int open_input(const struct run_options *o)
{
	auto_close int fd = -1;
	size_t n;

	if (!o->input)
		return open("/dev/null", O_RDONLY | O_CLOEXEC);
	n = o->input_length ? o->input_length : strlen(o->input);
	fd = memfd_create("stdin", MFD_CLOEXEC);
	if (fd < 0)
		return -1;
	for (size_t done = 0; done < n;) {
		ssize_t w = write(fd, o->input + done, n - done);

		if (w < 0)
			return -1;
		done += (size_t)w;
	}
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -1;
	return take_fd(&fd);
}

static const char *last_lines(const char *text, struct arena *a)
{
	size_t n = strlen(text);
	const char *from;

	while (n && (text[n - 1] == '\n' || text[n - 1] == ' '))
		n--;
	from = text + (n > 400 ? n - 400 : 0);
	if (from > text) {
		const char *nl = memchr(from, '\n', n - (size_t)(from - text));

		from = nl ? nl + 1 : from;
	}
	return arena_strn(a, from, n - (size_t)(from - text));
}

/* Gathers output until both pipes close or time is up; true when the program had to be ended. */
static bool gather(struct capture cap[2], pid_t pid, const struct run_options *o)
{
	uint64_t limit_ns = (uint64_t)((o->timeout_s > 0 ? o->timeout_s : 600) * 1e9);
	uint64_t start = clock_monotonic_ns(), ended_at = 0;
	bool open[2] = { true, true };

	while (open[0] || open[1]) {
		struct pollfd p[2] = { { open[0] ? cap[0].fd : -1, POLLIN, 0 },
				       { open[1] ? cap[1].fd : -1, POLLIN, 0 } };
		uint64_t now = clock_monotonic_ns();

		if (!ended_at && (now - start >= limit_ns || (o->stop && *o->stop))) {
			kill(-pid, SIGTERM);
			ended_at = now;
		} else if (ended_at && now - ended_at > 3000000000u) {
			kill(-pid, SIGKILL);
			break;
		}
		if (poll(p, 2, 100) < 0 && errno != EINTR)
			break;
		for (int i = 0; i < 2; i++)
			if (p[i].revents)
				open[i] = take_output(&cap[i], o);
	}
	return ended_at != 0;
}

int run_program(const char *const *argv, const struct run_options *options, struct arena *a,
		struct run_result *result, struct err *e)
{
	static const struct run_options none = { 0 };
	const struct run_options *o = options ? options : &none;
	const char *path = run_find(argv[0], a), *said;
	struct capture cap[2] = { { .fd = -1 }, { .fd = -1 } };
	auto_close int in = -1, out_r = -1, out_w = -1, err_r = -1, err_w = -1;
	struct run_result res = { 0 };
	int pipe_fds[2], wstatus, r;
	bool ended;
	pid_t pid;

	if (!path)
		return err_make(e, ERR_UNSUPPORTED, -ENOENT, argv[0],
				"install it, or put it into the initramfs",
				"program is missing from PATH");
	in = open_input(o);
	if (in < 0)
		return err_sys(e, -errno, argv[0], "open its input");
	if (pipe2(pipe_fds, O_CLOEXEC))
		return err_sys(e, -errno, argv[0], "make a pipe");
	out_r = pipe_fds[0], out_w = pipe_fds[1];
	if (pipe2(pipe_fds, O_CLOEXEC))
		return err_sys(e, -errno, argv[0], "make a pipe");
	err_r = pipe_fds[0], err_w = pipe_fds[1];
	r = spawn(path, argv, o->env ? o->env : default_env(a), (int[]){ in, out_w, err_w }, &pid);
	if (r)
		return err_sys(e, r, argv[0], "start");
	close(take_fd(&out_w));
	close(take_fd(&err_w));
	cap[0].fd = out_r;
	cap[1].fd = err_r;
	ended = gather(cap, pid, o);
	while (waitpid(pid, &wstatus, 0) < 0 && errno == EINTR)
		;
	res.status = WIFSIGNALED(wstatus) ? 128 + WTERMSIG(wstatus) : WEXITSTATUS(wstatus);
	res.out = arena_str(a, cap[0].data ? cap[0].data : "");
	res.err = arena_str(a, cap[1].data ? cap[1].data : "");
	free(cap[0].data);
	free(cap[1].data);
	if (result)
		*result = res;
	if (ended)
		return err_make(e, ERR_FAILED, o->stop && *o->stop ? -EINTR : -ETIMEDOUT, argv[0], NULL,
				o->stop && *o->stop ? "stopped" : "took too long and was ended");
	if (!res.status)
		return 0;
	said = last_lines(*res.err ? res.err : res.out, a);
	return err_make(e, ERR_FAILED, -EIO, argv[0], NULL, "%s %d%s%s",
			res.status > 128 ? "was killed by signal" : "failed with exit status",
			res.status > 128 ? res.status - 128 : res.status, *said ? ": " : "", said);
}
