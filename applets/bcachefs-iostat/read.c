/* The reader: /sys/fs/bcachefs and /proc/diskstats into a snapshot. It decides nothing. */
#include "applets/bcachefs-iostat/model.h"

#include "lib/core/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/resource.h>

#define TOP "/sys/fs/bcachefs"

/*
 * What is read often, and kept open. Making these texts is most of what a report costs, and the
 * kernel does it: of an idle device only the bytes are read each time, the rest when they moved, and
 * every ten seconds; what hardly ever changes, each minute.
 */
enum file { IO_DONE, LATENCY_READ, LATENCY_WRITE, IO_ERRORS, STATE, USAGE, FILES };
enum { READ_MAX = 65536, UNKNOWN = 255 };
static const uint64_t often_ns = UINT64_C(10) * 1000 * 1000 * 1000;
static const uint64_t rarely_ns = UINT64_C(60) * 1000 * 1000 * 1000;

/* What of the reading before need not be read again. */
struct due {
	bool all;    /* nothing is known, or another set of devices */
	bool often, rarely;
};

/* A latency's file in the order of its worth; a kernel has the second and third, or all. */
static const char *const latency_names[2][3] = {
	{ "io_latency_stats_read_json", "io_latency_stats_read", "io_latency_read" },
	{ "io_latency_stats_write_json", "io_latency_stats_write", "io_latency_write" },
};

struct source {
	uint32_t number;
	uint64_t node;
	int fds[FILES];	       /* kept open on a running machine; -1 */
	unsigned char form[2]; /* into latency_names */
};

struct fs_source {
	char *name;
	int fd; /* kept open on a running machine; -1 */
	uint64_t links, node;
	VEC(struct source) sources;
};

struct reader {
	struct root root;
	bool keep; /* a recorded machine's files are plain ones, which may be exchanged for others */
	int top;
	uint64_t top_links;
	VEC(struct fs_source) filesystems;
	bool scanned, stale;
	uint64_t often_at_ns, rarely_at_ns;
	unsigned char form; /* of the last latency read: all members' is the same as a rule */
	VEC(struct { const char *name; struct block_stat stat; }) disks;
	char *disk_text; /* diskstats as it was read; the names are in it */
	size_t disk_text_size;
	char buf[READ_MAX + 1];
};

struct reader *reader_new(const struct root *root)
{
	struct reader *r = xcalloc(1, sizeof *r);
	struct rlimit limit;

	r->root = *root;
	r->keep = root_is_machine(root);
	r->top = -1;
	/* Six files a device are kept open: a read is then one call instead of three. */
	if (r->keep && !getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	return r;
}

static void forget(struct reader *r)
{
	for (size_t i = 0; i < r->filesystems.n; i++) {
		struct fs_source *fs = &r->filesystems.items[i];

		for (size_t k = 0; k < fs->sources.n; k++)
			for (int f = 0; f < FILES; f++)
				release_fd(&fs->sources.items[k].fds[f]);
		vec_free(&fs->sources);
		release_fd(&fs->fd);
		free(fs->name);
	}
	vec_free(&r->filesystems);
	release_fd(&r->top);
	r->top = -1;
	r->scanned = false;
}

void reader_free(struct reader **r)
{
	if (!*r)
		return;
	forget(*r);
	vec_free(&(*r)->disks);
	free((*r)->disk_text);
	free(*r);
	*r = NULL;
}

void snapshot_free(struct snapshot *s)
{
	arena_free(&s->mem);
	*s = (struct snapshot){ 0 };
}

static void snapshot_reset(struct snapshot *s)
{
	struct arena mem = s->mem;

	arena_reset(&mem);
	*s = (struct snapshot){ .mem = mem };
}

static bool member_number(const char *name, uint32_t *ret)
{
	char *end;
	unsigned long v;

	if (!starts_with(name, "dev-") || name[4] < '0' || name[4] > '9')
		return false;
	v = strtoul(name + 4, &end, 10);
	*ret = (uint32_t)v;
	return !*end && v < UINT32_MAX;
}

static int open_below(const struct reader *r, const char *fs, const struct source *s, int flags)
{
	char path[512];
	int n = s ? snprintf(path, sizeof path, TOP "/%s/dev-%" PRIu32, fs, s->number)
		  : snprintf(path, sizeof path, TOP "/%s", fs);

	return n < (int)sizeof path ? root_open(&r->root, path, flags | O_DIRECTORY)
				    : -ENAMETOOLONG;
}

/* The directories' numbers tell a filesystem that was mounted again from the one before. */
static uint64_t node_of(const struct reader *r, int fd, uint64_t *ret_links)
{
	struct stat st;

	if (!r->keep || fstat(fd, &st))
		return 0;
	if (ret_links)
		*ret_links = st.st_nlink;
	return st.st_ino;
}

static int scan_filesystem(struct reader *r, const char *name, struct arena *a)
{
	char *path = arena_printf(a, TOP "/%s", name);
	const char **names;
	struct fs_source *fs;
	int fd = open_below(r, name, NULL, O_PATH), err;

	if (fd < 0)
		return 0; /* gone, or a plain file */
	fs = vec_add(&r->filesystems);
	fs->name = xstrdup(name);
	fs->fd = fd;
	fs->node = node_of(r, fd, &fs->links);
	if (!r->keep) {
		close(fd);
		fs->fd = -1;
	}
	err = root_list(&r->root, path, a, &names);
	for (; !err && *names; names++) {
		struct source s = { .fds = { -1, -1, -1, -1, -1, -1 }, .form = { UNKNOWN, UNKNOWN } };
		int dir;

		if (!member_number(*names, &s.number))
			continue;
		if (r->keep) {
			dir = open_below(r, name, &s, O_PATH);
			if (dir < 0)
				continue;
			s.node = node_of(r, dir, NULL);
			close(dir);
		}
		*vec_add(&fs->sources) = s;
	}
	return 0;
}

static int scan(struct reader *r)
{
	struct arena a auto_arena = { 0 };
	const char **names;
	int err;

	forget(r);
	err = root_list(&r->root, TOP, &a, &names);
	if (err)
		return err;
	if (r->keep) {
		r->top = root_open(&r->root, TOP, O_PATH | O_DIRECTORY);
		if (r->top >= 0)
			node_of(r, r->top, &r->top_links);
	}
	for (; *names; names++)
		scan_filesystem(r, *names, &a);
	r->scanned = true;
	r->stale = false;
	return 0;
}

/*
 * Whether there may be other directories than when it was last looked. kernfs gives a directory
 * 2 + its subdirectories links (fs/kernfs/inode.c), and a file of a removed one fails with ENODEV,
 * so that even one removed and one added are seen.
 */
static bool is_changed(struct reader *r)
{
	uint64_t links = 0;

	if (!r->keep || !r->scanned || r->stale || r->top < 0)
		return true;
	if (!node_of(r, r->top, &links) || links != r->top_links)
		return true;
	for (size_t i = 0; i < r->filesystems.n; i++) {
		struct fs_source *fs = &r->filesystems.items[i];

		if (!node_of(r, fs->fd, &links) || links != fs->links)
			return true;
	}
	return false;
}

/* A whole small file into r->buf: its length, or -errno. Attributes come in one read. */
static ssize_t read_fd(struct reader *r, int fd)
{
	size_t n = 0;

	for (;;) {
		ssize_t got = pread(fd, r->buf + n, READ_MAX - n, (off_t)n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		n += (size_t)got;
		/* sysfs gives at most a page, a plain file all there is. */
		if (!got || n < 4096)
			break;
		if (n == READ_MAX)
			return -EFBIG;
	}
	r->buf[n] = '\0';
	return (ssize_t)n;
}

static ssize_t read_at(struct reader *r, int dir, const char *name)
{
	/* No link is followed, so nothing leads out of a recorded machine. */
	auto_close int fd = dir < 0 ? dir : openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return dir < 0 ? dir : -errno;
	return read_fd(r, fd);
}

/* One of the files read for each report; its descriptor stays open where that is of use. */
static ssize_t read_kept(struct reader *r, struct source *s, const char *fs, int *dir,
			 enum file file, const char *name)
{
	ssize_t n;
	int fd = s->fds[file];

	if (fd >= 0) {
		n = read_fd(r, fd);
		if (n >= 0)
			return n;
		release_fd(&s->fds[file]);
		s->fds[file] = -1;
		r->stale |= n == -ENODEV;
		return n;
	}
	if (*dir == -1)
		*dir = open_below(r, fs, s, O_PATH);
	if (*dir < 0)
		return *dir;
	fd = openat(*dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read_fd(r, fd);
	if (r->keep && n >= 0)
		s->fds[file] = fd;
	else
		close(fd);
	return n;
}

static void read_latency(struct reader *r, struct source *s, const char *fs, int *dir, int d,
			 struct latency *l)
{
	latency_clear(l);
	if (s->form[d] == UNKNOWN)
		s->form[d] = r->form;
	for (int tries = 0; tries < 3; tries++, s->form[d] = (s->form[d] + 1) % 3) {
		ssize_t n = read_kept(r, s, fs, dir, d == READ ? LATENCY_READ : LATENCY_WRITE,
				      latency_names[d][s->form[d]]);

		if (n == -ENOENT)
			continue;
		if (n > 0 && s->form[d] == 2) /* one number, of no known age */
			l->recent_ns = parse_number(r->buf, (size_t)n);
		else if (n > 0)
			parse_latency(r->buf, (size_t)n, l);
		r->form = s->form[d] == 2 ? 0 : s->form[d];
		return;
	}
	s->form[d] = UNKNOWN; /* none there: look again next time */
}

static void read_rare(struct reader *r, int dir, struct arena *a, struct member *m)
{
	char link[512];
	ssize_t n = dir < 0 ? -1 : readlinkat(dir, "block", link, sizeof link - 1);

	m->device = NULL;
	if (n > 0) {
		char *name;

		link[n] = '\0';
		name = strrchr(link, '/');
		name = arena_str(a, name ? name + 1 : link);
		/* sysfs writes ! for the / in a device's name. */
		for (char *c = name; *c; c++)
			*c = *c == '!' ? '/' : *c;
		m->device = name;
	}
	n = read_at(r, dir, "label");
	m->label = n > 0 ? parse_word(r->buf, (size_t)n, a) : NULL;
	n = read_at(r, dir, "has_data");
	m->has_data = n > 0 ? parse_list(r->buf, (size_t)n, a) : NULL;
	n = read_at(r, dir, "bucket_size");
	m->bucket_bytes = n > 0 ? parse_number(r->buf, (size_t)n) : U64_NONE;
}

static const char **list_copy(const char *const *list, struct arena *a)
{
	size_t n = strlist_len(list);
	const char **copy = list ? arena_alloc(a, (n + 1) * sizeof *copy) : NULL;

	for (size_t i = 0; i < n; i++)
		copy[i] = arena_str(a, list[i]);
	return copy;
}

static void copy_rare(const struct member *from, struct arena *a, struct member *m)
{
	m->device = arena_str(a, from->device);
	m->label = arena_str(a, from->label);
	m->has_data = list_copy(from->has_data, a);
	m->bucket_bytes = from->bucket_bytes;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* procfs gives some lines a read, so it takes several; the buffer is kept for the next report. */
static size_t read_disk_text(struct reader *r)
{
	auto_close int fd = root_open(&r->root, "/proc/diskstats", O_RDONLY);
	size_t n = 0;

	while (fd >= 0) {
		ssize_t got;

		if (r->disk_text_size - n < 4096) {
			r->disk_text_size = r->disk_text_size ? 2 * r->disk_text_size : 16384;
			r->disk_text = xrealloc(r->disk_text, r->disk_text_size, 1);
		}
		got = read(fd, r->disk_text + n, r->disk_text_size - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	return n;
}

static void read_disks(struct reader *r)
{
	size_t n = read_disk_text(r);
	char *end = r->disk_text + n, *newline;

	r->disks.n = 0;
	for (char *p = r->disk_text; n && (newline = memchr(p, '\n', (size_t)(end - p)));
	     p = newline + 1) {
		struct block_stat stat;
		const char *name;
		size_t length;

		if (!parse_diskstats_line(p, (size_t)(newline - p), &name, &length, &stat))
			continue;
		p[name - p + (ptrdiff_t)length] = '\0';
		*vec_add(&r->disks) = (__typeof__(*r->disks.items)){ name, stat };
		if (newline + 1 == end)
			break;
	}
	if (r->disks.n)
		qsort(r->disks.items, r->disks.n, sizeof *r->disks.items, by_name);
}

static struct block_stat find_disk(const struct reader *r, const char *name)
{
	const char *const *key = &name;
	const __typeof__(*r->disks.items) *d;

	if (!name || !r->disks.n)
		return (struct block_stat){ 0 };
	d = bsearch(key, r->disks.items, r->disks.n, sizeof *r->disks.items, by_name);
	return d ? d->stat : (struct block_stat){ 0 };
}

/* A member as it was, by its place and number. */
static const struct member *member_before(const struct filesystem *fs, size_t i, uint32_t number,
					  uint64_t node)
{
	const struct member *m;

	if (!fs || i >= fs->members.n)
		return NULL;
	m = &fs->members.items[i];
	return m->number == number && m->node == node ? m : NULL;
}

/* Whether I/O was begun since, or perhaps only ended: bytes are counted when it begins. */
static bool is_moved(const struct member *before, const struct member *m, int d, bool *ret_moved)
{
	*ret_moved = !before || before->io.n != m->io.n || m->io.total_bytes[d] == U64_NONE ||
		     before->io.total_bytes[d] != m->io.total_bytes[d];
	return *ret_moved || before->moved[d];
}

static void read_errors(struct reader *r, struct source *s, const char *fs, int *dir,
			struct arena *a, struct member *m)
{
	ssize_t n = read_kept(r, s, fs, dir, IO_ERRORS, "io_errors");

	parse_io_errors(r->buf, n > 0 ? (size_t)n : 0, &m->errors);
	n = read_kept(r, s, fs, dir, STATE, "state");
	m->state = n > 0 ? parse_choice(r->buf, (size_t)n, a) : NULL;
}

static void read_member(struct reader *r, struct fs_source *fs, struct source *s,
			const struct member *before, const struct due *due, struct arena *a,
			struct member *m)
{
	bool moved[2];
	int dir = -1;
	ssize_t n;

	*m = (struct member){ .number = s->number, .node = s->node };
	n = read_kept(r, s, fs->name, &dir, IO_DONE, "io_done");
	parse_io_done(r->buf, n > 0 ? (size_t)n : 0, &m->io);
	for (int d = READ; d <= WRITE; d++) {
		moved[d] = is_moved(before, m, d, &m->moved[d]);
		if (moved[d] || due->often)
			read_latency(r, s, fs->name, &dir, d, &m->latency[d]);
		else
			m->latency[d] = before->latency[d];
	}
	if (moved[READ] || moved[WRITE] || due->often) {
		read_errors(r, s, fs->name, &dir, a, m);
	} else {
		m->errors = before->errors;
		m->state = arena_str(a, before->state);
	}
	if (!before || due->often) {
		n = read_kept(r, s, fs->name, &dir, USAGE, "alloc_debug");
		parse_usage(r->buf, n > 0 ? (size_t)n : 0, &m->usage);
	} else {
		m->usage = before->usage;
	}
	if (before && !due->rarely)
		copy_rare(before, a, m);
	m->block = find_disk(r, m->device);
	if (!before || due->rarely || !m->block.found) {
		/* It may have come back under another name. */
		if (dir == -1)
			dir = open_below(r, fs->name, s, O_PATH);
		read_rare(r, dir, a, m);
		m->block = find_disk(r, m->device);
	}
	/* The link is gone, or points at a device that is. */
	m->online = r->disks.n ? m->block.found : m->device != NULL;
	if (dir >= 0)
		close(dir);
}

static void read_all(struct reader *r, const struct snapshot *before, const struct due *due,
		     struct snapshot *s)
{
	read_disks(r);
	s->filesystems.n = r->filesystems.n;
	s->filesystems.items = arena_alloc(&s->mem, s->filesystems.n * sizeof(struct filesystem));
	for (size_t i = 0; i < r->filesystems.n; i++) {
		struct fs_source *source = &r->filesystems.items[i];
		const struct filesystem *old = NULL;
		struct filesystem *fs = &s->filesystems.items[i];

		if (!due->all && i < before->filesystems.n &&
		    streq(before->filesystems.items[i].name, source->name))
			old = &before->filesystems.items[i];
		fs->name = arena_str(&s->mem, source->name);
		fs->node = source->node;
		fs->age_s = before ? NAN : filesystem_age_s(&r->root, source->name);
		if (old && !due->rarely) {
			fs->label = arena_str(&s->mem, old->label);
			fs->mounts = list_copy(old->mounts, &s->mem);
		}
		fs->members.n = source->sources.n;
		fs->members.items =
			arena_alloc(&s->mem, fs->members.n * sizeof *fs->members.items);
		for (size_t k = 0; k < source->sources.n; k++) {
			struct source *one = &source->sources.items[k];
			const struct member *was = member_before(old, k, one->number, one->node);

			read_member(r, source, one, was, due, &s->mem, &fs->members.items[k]);
		}
	}
	if (due->rarely)
		filesystems_describe(&r->root, s);
}

/* A recorded machine's time is its own: rates come from its uptime. */
static void read_clocks(struct reader *r, struct snapshot *s)
{
	char *text;
	double uptime;

	s->time = clock_wall_s();
	s->clock_ns = clock_monotonic_ns();
	s->suspended_ns = clock_boot_ns() - s->clock_ns;
	if (r->keep)
		return;
	s->suspended_ns = 0;
	text = root_attr(&r->root, &s->mem, "/proc/uptime");
	uptime = text ? strtod(text, NULL) : 0;
	if (uptime > 0 && uptime < 9e9)
		s->clock_ns = (uint64_t)llround(uptime * 1e9);
}

int reader_read(struct reader *r, const struct snapshot *before, struct snapshot *ret,
		struct err *e)
{
	struct snapshot *s = ret;
	bool changed = false;
	int err;

	snapshot_reset(s);

	for (int tries = 0; tries < 3; tries++) {
		struct due due = { .all = !before };

		if (is_changed(r)) {
			changed = true;
			err = scan(r);
			if (err == -ENOENT && !(before && before->taken))
				return err_make(e, ERR_UNSUPPORTED, err, TOP,
						"load the bcachefs module and mount one",
						"not there: this kernel has no bcachefs");
			if (err && err != -ENOENT)
				return err_sys(e, err, TOP, "list");
		}
		snapshot_reset(s);
		read_clocks(r, s);
		due.all |= changed;
		due.often = due.all || s->clock_ns - r->often_at_ns >= often_ns;
		due.rarely = due.all || s->clock_ns - r->rarely_at_ns >= rarely_ns;
		read_all(r, before, &due, s);
		r->often_at_ns = due.often ? s->clock_ns : r->often_at_ns;
		r->rarely_at_ns = due.rarely ? s->clock_ns : r->rarely_at_ns;
		/* Unmounted while it was read: what was read may be halves of two. */
		if (!r->stale)
			break;
	}
	s->taken = true;
	return 0;
}
