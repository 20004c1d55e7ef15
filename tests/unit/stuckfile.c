/*
 * A filesystem of one file whose reads can be made to hang: what a device that never answers looks
 * like, for a loop device on it. Speaks the kernel's FUSE protocol itself.
 *
 *   stuckfile DIR SIZE_BYTES FLAG     DIR/disk appears; while the file FLAG exists, reads and
 *                                     writes wait. Ends when DIR is unmounted.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROOT = FUSE_ROOT_ID, FILE_NODE = 2, BUFFER = 1 << 20, WAITING_MAX = 256 };

static int dev;
static char *content;
static size_t size;
static char *waiting[WAITING_MAX];
static size_t n_waiting;

static void reply(const struct fuse_in_header *in, int error, const void *body, size_t n)
{
	struct fuse_out_header h = { .len = (uint32_t)(sizeof h + n), .error = error,
				     .unique = in->unique };
	char *m = malloc(sizeof h + n);

	memcpy(m, &h, sizeof h);
	if (n)
		memcpy(m + sizeof h, body, n);
	if (write(dev, m, sizeof h + n) < 0 && errno != ENOENT)
		perror("reply");
	free(m);
}

static struct fuse_attr attr_of(uint64_t node)
{
	return (struct fuse_attr){ .ino = node, .nlink = 1, .blksize = 4096,
				   .size = node == ROOT ? 0 : size,
				   .mode = node == ROOT ? S_IFDIR | 0755 : S_IFREG | 0600 };
}

static void do_init(const struct fuse_in_header *in)
{
	struct fuse_init_out o = { .major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION,
				   .max_readahead = 0, .max_write = 65536, .max_background = 16,
				   .congestion_threshold = 12, .time_gran = 1 };

	reply(in, 0, &o, sizeof o);
}

static void do_lookup(const struct fuse_in_header *in, const char *name)
{
	struct fuse_entry_out o = { .nodeid = FILE_NODE, .attr_valid = 3600, .entry_valid = 3600,
				    .attr = attr_of(FILE_NODE) };

	if (strcmp(name, "disk"))
		reply(in, -ENOENT, NULL, 0);
	else
		reply(in, 0, &o, sizeof o);
}

static void do_read(const struct fuse_in_header *in, const struct fuse_read_in *r)
{
	size_t n = r->offset >= size ? 0 : r->size < size - r->offset ? r->size : size - r->offset;

	reply(in, 0, content + r->offset, n);
}

static void do_write(const struct fuse_in_header *in, const struct fuse_write_in *w)
{
	struct fuse_write_out o = { .size = w->size };

	if (w->offset + w->size <= size)
		memcpy(content + w->offset, w + 1, w->size);
	reply(in, w->offset + w->size <= size ? 0 : -ENOSPC, &o, sizeof o);
}

static void serve(const char *m)
{
	const struct fuse_in_header *in = (const void *)m;
	const void *body = m + sizeof *in;
	struct fuse_attr_out a = { .attr_valid = 3600, .attr = attr_of(in->nodeid) };
	struct fuse_open_out o = { .open_flags = FOPEN_DIRECT_IO };

	switch (in->opcode) {
	case FUSE_INIT:
		do_init(in);
		break;
	case FUSE_LOOKUP:
		do_lookup(in, body);
		break;
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		reply(in, 0, &a, sizeof a);
		break;
	case FUSE_OPEN:
		reply(in, 0, &o, sizeof o);
		break;
	case FUSE_READ:
		do_read(in, body);
		break;
	case FUSE_WRITE:
		do_write(in, body);
		break;
	case FUSE_RELEASE:
	case FUSE_FLUSH:
	case FUSE_FSYNC:
		reply(in, 0, NULL, 0);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break;
	default:
		reply(in, -ENOSYS, NULL, 0);
	}
}

int main(int argc, char **argv)
{
	static char buffer[BUFFER];
	char options[128];

	if (argc != 4)
		return 2;
	size = strtoull(argv[2], NULL, 10);
	content = calloc(1, size);
	dev = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (dev < 0 || !content) {
		perror("/dev/fuse");
		return 1;
	}
	snprintf(options, sizeof options, "fd=%d,rootmode=40755,user_id=0,group_id=0", dev);
	if (mount("stuckfile", argv[1], "fuse", MS_NOSUID | MS_NODEV, options)) {
		perror(argv[1]);
		return 1;
	}
	for (;;) {
		struct pollfd p = { .fd = dev, .events = POLLIN };
		bool stuck = !access(argv[3], F_OK);
		ssize_t n;

		for (size_t i = 0; !stuck && i < n_waiting; i++) {
			serve(waiting[i]);
			free(waiting[i]);
		}
		n_waiting = stuck ? n_waiting : 0;
		if (poll(&p, 1, 20) <= 0)
			continue;
		n = read(dev, buffer, sizeof buffer);
		if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT))
			continue;
		if (n < 0) /* ENODEV: unmounted */
			return errno != ENODEV;
		const struct fuse_in_header *in = (const void *)buffer;

		if ((in->opcode == FUSE_READ || in->opcode == FUSE_WRITE) && !access(argv[3], F_OK) &&
		    n_waiting < WAITING_MAX) {
			waiting[n_waiting] = malloc((size_t)n);
			memcpy(waiting[n_waiting++], buffer, (size_t)n);
			continue;
		}
		serve(buffer);
	}
}
