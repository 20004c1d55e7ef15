/* The scrub record: see btrfs_scrub_file.h. The format is that of btrfs-progs' cmds/scrub.c: a
 * line of the version, then one line a device, FSID:DEVID|name:number|... */
#include "lib/storage/btrfs_scrub_file.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>

#define DIRECTORY "/var/lib/btrfs"
static const char version_line[] = "scrub status:1";
enum { FILE_MAX = 1 << 20 };

#define NUMBERS(X)                                                                              \
	X(data_extents_scrubbed) X(tree_extents_scrubbed) X(data_bytes_scrubbed)               \
	X(tree_bytes_scrubbed) X(read_errors) X(csum_errors) X(verify_errors) X(no_csum)       \
	X(csum_discards) X(super_errors) X(malloc_errors) X(uncorrectable_errors)              \
	X(corrected_errors) X(last_physical)

static const struct {
	const char *name;
	size_t offset;
} numbers[] = {
#define X(counter) { #counter, offsetof(struct scrub_record, counters.counter) },
	NUMBERS(X)
#undef X
	{ "t_start", offsetof(struct scrub_record, started_s) },
	{ "t_resumed", offsetof(struct scrub_record, resumed_s) },
	{ "duration", offsetof(struct scrub_record, duration_s) },
};

static void parse_number(struct scrub_record *r, const char *name, size_t n, uint64_t value)
{
	for (size_t i = 0; i < COUNT(numbers); i++)
		if (strlen(numbers[i].name) == n && !strncmp(numbers[i].name, name, n))
			memcpy((char *)r + numbers[i].offset, &value, sizeof value);
	if (n == strlen("canceled") && starts_with(name, "canceled"))
		r->canceled = value;
	if (n == strlen("finished") && starts_with(name, "finished"))
		r->finished = value;
}

/* One line; false when it is none of this filesystem. */
static bool parse_line(const char *line, const char *uuid, struct scrub_record *r)
{
	size_t n = strlen(uuid);
	char *end;

	*r = (struct scrub_record){ 0 };
	if (strncmp(line, uuid, n) || line[n] != ':')
		return false;
	r->devid = strtoull(line + n + 1, &end, 10);
	while (*end == '|') {
		const char *name = end + 1;
		size_t length = strcspn(name, ":|\n");
		uint64_t value;

		if (name[length] != ':')
			return false;
		value = strtoull(name + length + 1, &end, 10);
		parse_number(r, name, length, value);
	}
	return *end == '\n' || !*end;
}

/* What the running program says; NULL where none listens or it does not answer at once. */
static char *ask_running(const char *uuid, struct arena *a)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int fd auto_close = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char *text;
	size_t n = 0;

	snprintf(name.sun_path, sizeof name.sun_path, DIRECTORY "/scrub.progress.%s", uuid);
	if (fd < 0 || connect(fd, (struct sockaddr *)&name, sizeof name))
		return NULL;
	text = arena_alloc(a, FILE_MAX);
	while (n < FILE_MAX - 1) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t got;

		if (poll(&p, 1, 1000) <= 0)
			return NULL;
		got = read(fd, text + n, FILE_MAX - 1 - n);
		if (got < 0)
			return NULL;
		if (!got)
			break;
		n += (size_t)got;
	}
	return n ? text : NULL;
}

int scrub_file_read(const struct root *root, const char *uuid, struct arena *a,
		    struct scrub_record **ret, size_t *ret_n, struct err *e)
{
	const char *path = arena_printf(a, DIRECTORY "/scrub.status.%s", uuid);
	char *text = root_is_machine(root) ? ask_running(uuid, a) : NULL;
	size_t lines = 0;
	int r = 0;

	*ret = NULL;
	*ret_n = 0;
	if (!text)
		r = root_read(root, path, FILE_MAX, a, &text, NULL);
	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r)
		return err_sys(e, r, path, "read");
	if (!starts_with(text, version_line))
		return err_make(e, ERR_FAILED, -EBADMSG, path, NULL,
				"has another format than '%s'", version_line);
	for (const char *p = text; *p; p++)
		lines += *p == '\n';
	*ret = arena_alloc(a, (lines + 1) * sizeof **ret);
	for (const char *p = strchr(text, '\n'); p && p[1]; p = strchr(p + 1, '\n'))
		if (parse_line(p + 1, uuid, &(*ret)[*ret_n]))
			(*ret_n)++;
	return 0;
}

static void print_record(FILE *f, const char *uuid, const struct scrub_record *r)
{
	fprintf(f, "%s:%" PRIu64, uuid, r->devid);
	for (size_t i = 0; i < COUNT(numbers); i++) {
		uint64_t value;

		memcpy(&value, (const char *)r + numbers[i].offset, sizeof value);
		fprintf(f, "|%s:%" PRIu64, numbers[i].name, value);
	}
	fprintf(f, "|canceled:%d|finished:%d\n", r->canceled, r->finished);
}

int scrub_file_write(const char *uuid, const struct scrub_record *records, size_t n, bool durable,
		     struct err *e)
{
	struct arena mem auto_arena = { 0 };
	const char *path = arena_printf(&mem, DIRECTORY "/scrub.status.%s", uuid);
	const char *tmp = arena_printf(&mem, "%s_tmp", path);
	FILE *f auto_fclose = NULL;
	int fd auto_close = -1;

	/* A node whose root is in memory may lack them; where they cannot be made, open says why. */
	mkdir("/var", 0755);
	mkdir("/var/lib", 0755);
	mkdir(DIRECTORY, 0755);
	fd = open(tmp, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	/* The lock is btrfs-progs': it never waits for it either. */
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) || ftruncate(fd, 0) || !(f = fdopen(fd, "w")))
		return err_sys(e, -errno, tmp, "write");
	take_fd(&fd);
	fprintf(f, "%s\n", version_line);
	for (size_t i = 0; i < n; i++)
		print_record(f, uuid, &records[i]);
	if (fflush(f) || ferror(f) || (durable && fsync(fileno(f))) || rename(tmp, path))
		return err_sys(e, errno ? -errno : -EIO, tmp, "write");
	return 0;
}
