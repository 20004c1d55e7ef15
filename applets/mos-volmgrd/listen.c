/* The socket: made here or by systemd, taken over from a daemon that is dead, and who may connect. */
#include "applets/mos-volmgrd/server.h"

#include "lib/core/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/file.h>
#include <sys/un.h>

void notify_systemd(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd auto_close = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	size_t n = path ? strlen(path) : 0;

	if (fd < 0 || n < 2 || n >= sizeof a.sun_path)
		return;
	memcpy(a.sun_path, path, n);
	if (*path == '@') /* an abstract one */
		a.sun_path[0] = '\0';
	sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&a,
	       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
}

/* sd_listen_fds(3): the first descriptor is 3, and the variables are for this process alone. */
static int listen_from_systemd(struct err *e)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	int type = 0;
	socklen_t n = sizeof type;

	if (!pid || !fds || atol(pid) != getpid() || atoi(fds) < 1)
		return -ENOENT;
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	if (getsockopt(3, SOL_SOCKET, SO_TYPE, &type, &n) || type != SOCK_STREAM)
		return err_make(e, ERR_FAILED, -EINVAL, "LISTEN_FDS", NULL,
				"descriptor 3 is no stream socket");
	fcntl(3, F_SETFD, FD_CLOEXEC);
	fcntl(3, F_SETFL, O_NONBLOCK);
	return 3;
}

static int make_parent(const char *path, struct err *e)
{
	char *dir auto_free = xstrdup(path);
	char *slash = strrchr(dir, '/');

	if (!slash || slash == dir)
		return 0;
	*slash = '\0';
	if (mkdir(dir, 0755) && errno != EEXIST)
		return err_sys(e, -errno, dir, "make the directory");
	return 0;
}

/* Held as long as the daemon lives: two that start at once do not both take the place over. */
static int take_place(struct server *s, const char *path, struct err *e)
{
	char *lock auto_free = xasprintf("%s.lock", path);

	s->lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->lock_fd < 0)
		return err_sys(e, -errno, lock, "open");
	if (!flock(s->lock_fd, LOCK_EX | LOCK_NB))
		return 0;
	if (errno == EWOULDBLOCK)
		return err_make(e, ERR_FAILED, -EADDRINUSE, path, "stop it first",
				"another mos-volmgrd has this socket");
	return err_sys(e, -errno, lock, "lock");
}

/* A socket nobody listens on is what a killed daemon left; anything else is not ours. */
static int remove_stale(const char *path, const struct sockaddr_un *a, struct err *e)
{
	int fd auto_close = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;

	if (lstat(path, &st))
		return errno == ENOENT ? 0 : err_sys(e, -errno, path, "stat");
	if (!S_ISSOCK(st.st_mode))
		return err_make(e, ERR_FAILED, -EEXIST, path, "remove it or name another path",
				"exists and is no socket");
	if (fd < 0)
		return err_sys(e, -errno, path, "open a socket");
	if (!connect(fd, (const struct sockaddr *)a, sizeof *a) || errno != ECONNREFUSED)
		return err_make(e, ERR_FAILED, -EADDRINUSE, path, "stop it first",
				"another program listens there");
	return unlink(path) ? err_sys(e, -errno, path, "remove") : 0;
}

static int find_group(struct server *s, struct err *e)
{
	const struct group *g;
	char *end;
	unsigned long number;

	if (!s->set->group)
		return 0;
	errno = 0;
	g = getgrnam(s->set->group);
	if (g) {
		s->group = g->gr_gid;
	} else {
		number = strtoul(s->set->group, &end, 10);
		if (!*s->set->group || *end || number >= UINT32_MAX)
			return err_make(e, ERR_INVALID, -ENOENT, s->set->group, NULL,
					"there is no such group");
		s->group = (gid_t)number;
	}
	s->has_group = true;
	return 0;
}

int listen_open(struct server *s, struct err *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	const char *path = s->set->socket;
	mode_t mask;
	struct stat st;
	int r = find_group(s, e);

	if (r)
		return r;
	r = listen_from_systemd(e);
	if (r >= 0) {
		s->listener = r;
		s->activated = true;
		return 0;
	}
	if (r != -ENOENT)
		return r;
	if (*path != '/')
		return err_make(e, ERR_INVALID, -EINVAL, path, NULL, "is not an absolute path");
	if (strlen(path) >= sizeof a.sun_path)
		return err_make(e, ERR_INVALID, -ENAMETOOLONG, path, NULL,
				"is too long for the path of a socket");
	memcpy(a.sun_path, path, strlen(path));
	if ((r = make_parent(path, e)) || (r = take_place(s, path, e)) ||
	    (r = remove_stale(path, &a, e)))
		return r;
	s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->listener < 0)
		return err_sys(e, -errno, path, "open a socket");
	mask = umask(0117);
	r = bind(s->listener, (struct sockaddr *)&a, sizeof a) ? -errno : 0;
	umask(mask);
	if (r)
		return err_sys(e, r, path, "bind");
	if (s->has_group && lchown(path, (uid_t)-1, s->group))
		return err_sys(e, -errno, path, "give to group %s", s->set->group);
	if (listen(s->listener, SOMAXCONN))
		return err_sys(e, -errno, path, "listen");
	if (!lstat(path, &st)) {
		s->socket_dev = st.st_dev;
		s->socket_ino = st.st_ino;
	}
	return 0;
}

void listen_close(struct server *s)
{
	struct stat st;

	if (s->listener < 0)
		return;
	close(take_fd(&s->listener));
	/* Not one that somebody else has put there meanwhile. */
	if (!s->activated && !lstat(s->set->socket, &st) && st.st_dev == s->socket_dev &&
	    st.st_ino == s->socket_ino)
		unlink(s->set->socket);
}

static bool in_group(const struct server *s, const struct client *c)
{
	gid_t list[65536 / sizeof(gid_t)];
	socklen_t n = sizeof list;

	if (!s->has_group)
		return false;
	if (c->who.gid == s->group)
		return true;
	/* SO_PEERGROUPS (Linux 4.13): the supplementary groups the peer had when it connected. */
	if (getsockopt(c->fd, SOL_SOCKET, 59, list, &n))
		return false;
	for (size_t i = 0; i < n / sizeof *list; i++)
		if (list[i] == s->group)
			return true;
	return false;
}

static void identify(const struct server *s, struct client *c)
{
	socklen_t n = sizeof c->who;

	c->right = RIGHT_NONE;
	if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &c->who, &n)) {
		c->who = (struct ucred){ 0, (uid_t)-1, (gid_t)-1 };
		return;
	}
	/* A daemon that is not root's own (a test) can do no more than whoever started it. */
	if (c->who.uid == 0 || c->who.uid == geteuid())
		c->right = RIGHT_ALL;
	else if (in_group(s, c))
		c->right = RIGHT_QUERY;
}

static void refuse_full(int fd)
{
	static const char text[] =
		"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32000,\"message\":"
		"\"Storage operation failed: too many clients\",\"data\":{\"kind\":\"failed\","
		"\"object\":null,\"errno\":\"EUSERS\",\"found\":\"too many clients\",\"hint\":"
		"\"try again later\"}}}\n";

	send(fd, text, sizeof text - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
}

void listen_accept(struct server *s)
{
	for (int i = 0; i < 64; i++) {
		int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		struct client *c;

		if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
			s->accept_after_ns = clock_monotonic_ns() + 100 * 1000 * 1000;
		if (fd < 0)
			return;
		if (s->clients.n >= CLIENTS_MAX) {
			refuse_full(fd);
			continue;
		}
		c = client_new(s, fd);
		identify(s, c);
	}
}
