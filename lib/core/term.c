/* The terminal as a full screen: see term.h. */
#include "lib/core/term.h"

#include "lib/core/clock.h"
#include "lib/core/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>

/* Other screen, no cursor, no wrapping of long lines; and back. Terminals without one of these
 * ignore it (ECMA-48 private modes; xterm's ctlseqs). */
static const char enter[] = "\033[?1049h\033[?25l\033[?7l";
static const char leave[] = "\033[0m\033[?7h\033[?25h\033[?1049l";

struct term {
	int in, out;
	bool in_is_ours; /* opened by us */
	char *frame;
	size_t frame_size;
	FILE *stream;
	char keys[64];
	size_t n_keys;
};

/*
 * A signal handler has no other way to know what to restore; hence these, the only variables of
 * the library that are not local.
 */
static struct {
	volatile sig_atomic_t active;
	volatile sig_atomic_t resized;
	pid_t owner;
	int in, out;
	struct termios before, raw;
} screen;

static void put(int fd, const char *s, size_t n)
{
	while (n) {
		ssize_t done = write(fd, s, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return;
		s += done;
		n -= (size_t)done;
	}
}

/* Only calls that signal-safety(7) allows. */
static void restore(void)
{
	/* In a child that has not called exec yet the screen is the parent's. */
	if (!screen.active || getpid() != screen.owner)
		return;
	screen.active = 0;
	put(screen.out, leave, sizeof leave - 1);
	tcsetattr(screen.in, TCSANOW, &screen.before);
}

static void take_over(void)
{
	tcsetattr(screen.in, TCSANOW, &screen.raw);
	put(screen.out, enter, sizeof enter - 1);
	screen.active = 1;
}

static void on_fatal(int sig)
{
	restore();
	signal(sig, SIG_DFL);
	raise(sig);
}

static void on_stop(int sig)
{
	int saved = errno;
	sigset_t set;

	(void)sig;
	restore();
	signal(SIGTSTP, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGTSTP);
	raise(SIGTSTP);
	sigprocmask(SIG_UNBLOCK, &set, NULL); /* here the process stops, and here it goes on */
	signal(SIGTSTP, on_stop);
	take_over();
	screen.resized = 1;
	errno = saved;
}

static void on_resize(int sig)
{
	(void)sig;
	screen.resized = 1;
}

static const int fatal[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGTRAP, SIGQUIT,
			     SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGXCPU, SIGALRM, SIGUSR1, SIGUSR2 };

static void catch_signals(void)
{
	static char stack[16384]; /* for a crash by a full stack */
	stack_t alternate = { .ss_sp = stack, .ss_size = sizeof stack };
	struct sigaction sa = { .sa_flags = SA_ONSTACK }, before;

	sigaltstack(&alternate, NULL);
	sigemptyset(&sa.sa_mask);
	for (size_t i = 0; i < COUNT(fatal); i++) {
		sa.sa_handler = on_fatal;
		/* A handler that sets `stop`, and what is ignored, stay. */
		if (!sigaction(fatal[i], NULL, &before) && before.sa_handler == SIG_DFL)
			sigaction(fatal[i], &sa, NULL);
	}
	sa.sa_handler = on_stop;
	if (!sigaction(SIGTSTP, NULL, &before) && before.sa_handler == SIG_DFL)
		sigaction(SIGTSTP, &sa, NULL);
	sa.sa_handler = on_resize;
	sigaction(SIGWINCH, &sa, NULL);
}

static void release_signals(void)
{
	struct sigaction now;

	for (size_t i = 0; i < COUNT(fatal); i++)
		if (!sigaction(fatal[i], NULL, &now) && now.sa_handler == on_fatal)
			signal(fatal[i], SIG_DFL);
	if (!sigaction(SIGTSTP, NULL, &now) && now.sa_handler == on_stop)
		signal(SIGTSTP, SIG_DFL);
	signal(SIGWINCH, SIG_DFL);
}

int term_open(struct term **ret, struct err *e)
{
	static bool at_exit;
	struct term *t = xcalloc(1, sizeof *t);
	int r;

	t->out = 1;
	if (!isatty(1)) {
		free(t);
		return err_usage(e, "standard output", "is no terminal");
	}
	if (isatty(0)) {
		t->in = 0;
	} else {
		t->in = open("/dev/tty", O_RDWR | O_CLOEXEC);
		t->in_is_ours = true;
	}
	if (t->in < 0 || tcgetattr(t->in, &screen.before)) {
		r = -errno;
		if (t->in >= 0 && t->in_is_ours)
			close(t->in);
		free(t);
		return err_sys(e, r, "terminal", "read keys");
	}
	t->stream = open_memstream(&t->frame, &t->frame_size);
	screen.raw = screen.before;
	screen.raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	screen.raw.c_iflag |= ICRNL;
	screen.raw.c_cc[VMIN] = 1;
	screen.raw.c_cc[VTIME] = 0;
	screen.owner = getpid();
	screen.in = t->in;
	screen.out = t->out;
	screen.resized = 0;
	if (!at_exit)
		at_exit = !atexit(restore);
	catch_signals();
	take_over();
	*ret = t;
	return 0;
}

void term_close(struct term **p)
{
	struct term *t = *p;

	if (!t)
		return;
	restore();
	release_signals();
	if (t->in_is_ours)
		close(t->in);
	fclose(t->stream);
	free(t->frame);
	free(t);
	*p = NULL;
}

void term_size(const struct term *t, unsigned *ret_columns, unsigned *ret_rows)
{
	struct winsize ws = { 0 };

	ioctl(t->out, TIOCGWINSZ, &ws);
	*ret_columns = ws.ws_col ? ws.ws_col : 80;
	*ret_rows = ws.ws_row ? ws.ws_row : 24;
}

/* ESC [ parameters letter, and ESC O letter: cursor keys of xterm, the Linux console, screen. */
static size_t decode_escape(const char *s, size_t n, int *ret_key)
{
	static const struct {
		const char *ending;
		int key;
	} known[] = { { "A", KEY_UP },	   { "B", KEY_DOWN },	  { "C", KEY_RIGHT },
		      { "D", KEY_LEFT },   { "H", KEY_HOME },	  { "F", KEY_END },
		      { "1~", KEY_HOME },  { "7~", KEY_HOME },	  { "4~", KEY_END },
		      { "8~", KEY_END },   { "5~", KEY_PAGE_UP }, { "6~", KEY_PAGE_DOWN } };
	size_t i = 2;

	*ret_key = KEY_ESCAPE;
	if (n < 2 || (s[1] != '[' && s[1] != 'O'))
		return 1;
	/* Parameter and intermediate bytes are 0x20..0x3f, the final one 0x40..0x7e (ECMA-48). */
	while (i < n && s[i] >= 0x20 && s[i] <= 0x3f)
		i++;
	if (i == n)
		return n < 32 ? 0 : n;
	*ret_key = KEY_NONE;
	for (size_t k = 0; k < COUNT(known); k++)
		if (strlen(known[k].ending) == i - 1 && !memcmp(known[k].ending, s + 2, i - 1))
			*ret_key = known[k].key;
	return i + 1;
}

size_t term_decode(const char *bytes, size_t n, int *ret_key)
{
	unsigned char c = (unsigned char)bytes[0];
	size_t want = c < 0x80 ? 1 : c > 0xf4 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 1, have;
	char text[5] = "";

	*ret_key = KEY_NONE;
	if (!n)
		return 0;
	if (c == 0x1b)
		return decode_escape(bytes, n, ret_key);
	if (c == '\b')
		c = KEY_BACKSPACE;
	if (c < 0x80) {
		*ret_key = c;
		return 1;
	}
	if (n < want)
		return 0;
	memcpy(text, bytes, want);
	have = utf8_length(text);
	if (have != want || want == 1)
		return 1;
	*ret_key = c & (0x7f >> want);
	for (size_t i = 1; i < want; i++)
		*ret_key = *ret_key << 6 | (bytes[i] & 0x3f);
	return want;
}

static bool next_key(struct term *t, bool all_there, int *ret_key)
{
	size_t used;

	if (!t->n_keys)
		return false;
	used = term_decode(t->keys, t->n_keys, ret_key);
	if (!used) {
		if (!all_there)
			return false;
		*ret_key = t->keys[0] == 0x1b ? KEY_ESCAPE : KEY_NONE;
		used = t->n_keys;
	}
	t->n_keys -= used;
	memmove(t->keys, t->keys + used, t->n_keys);
	return true;
}

/* Waits with the signals open only while it sleeps, so that none is missed between look and wait. */
static int wait_input(struct term *t, uint64_t wait_ns, const volatile sig_atomic_t *stop)
{
	struct timespec ts = { (time_t)(wait_ns / 1000000000), (long)(wait_ns % 1000000000) };
	struct pollfd p = { .fd = t->in, .events = POLLIN };
	sigset_t held, before;
	int r = 0;

	sigemptyset(&held);
	sigaddset(&held, SIGINT);
	sigaddset(&held, SIGTERM);
	sigaddset(&held, SIGHUP);
	sigaddset(&held, SIGWINCH);
	sigaddset(&held, SIGTSTP);
	sigprocmask(SIG_BLOCK, &held, &before);
	if (!*stop && !screen.resized)
		r = ppoll(&p, 1, &ts, &before) < 0 ? -errno : p.revents;
	sigprocmask(SIG_SETMASK, &before, NULL);
	return r == -EINTR ? 0 : r;
}

int term_key(struct term *t, uint64_t deadline_ns, const volatile sig_atomic_t *stop, int *ret_key)
{
	/* An escape sequence comes in one piece, or nearly; a lone ESC is the key. */
	const uint64_t escape_ns = 50 * 1000 * 1000;

	*ret_key = KEY_NONE;
	for (;;) {
		bool partly = t->n_keys > 0;
		uint64_t now = clock_monotonic_ns(), wait;
		ssize_t got;
		int r;

		if (*stop)
			return -EINTR;
		if (screen.resized) {
			screen.resized = 0;
			*ret_key = KEY_RESIZE;
			return 0;
		}
		if (next_key(t, t->n_keys == sizeof t->keys, ret_key))
			return 0;
		wait = deadline_ns > now ? deadline_ns - now : 0;
		if (partly && wait > escape_ns)
			wait = escape_ns;
		r = wait_input(t, wait, stop);
		if (r < 0)
			return r;
		if (*stop || screen.resized)
			continue;
		if (r & POLLIN) {
			got = read(t->in, t->keys + t->n_keys, sizeof t->keys - t->n_keys);
			if (!got || (got < 0 && errno != EINTR && errno != EAGAIN))
				return -EIO;
			if (got > 0)
				t->n_keys += (size_t)got;
			continue;
		}
		if (r)
			return -EIO;
		if (partly && next_key(t, true, ret_key))
			return 0;
		if (clock_monotonic_ns() >= deadline_ns)
			return 0;
	}
}

FILE *term_frame(struct term *t)
{
	rewind(t->stream);
	return t->stream;
}

int term_show(struct term *t)
{
	unsigned columns, rows, line = 0;
	auto_free char *text = NULL;
	size_t n = 0;
	FILE *out;

	if (fflush(t->stream) || ferror(t->stream))
		return -EIO;
	term_size(t, &columns, &rows);
	out = open_memstream(&text, &n);
	if (!out)
		return -errno;
	/* Synchronised update (mode 2026): the terminal shows the frame when it is whole. */
	fputs("\033[?2026h\033[H", out);
	for (const char *p = t->frame, *end = t->frame + t->frame_size; p < end && line < rows;) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));

		if (line++)
			fputs("\r\n", out);
		fwrite(p, 1, (size_t)((newline ? newline : end) - p), out);
		fputs("\033[0m\033[K", out);
		p = newline ? newline + 1 : end;
	}
	if (line < rows)
		fputs(line ? "\r\n\033[J" : "\033[J", out);
	fputs("\033[?2026l", out);
	if (fclose(out))
		return -EIO;
	if (screen.active)
		put(t->out, text, n);
	return 0;
}
