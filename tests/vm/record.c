/* An NBD server that logs the writes and flushes of several disks in one order, for replay. */
#include <endian.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "writelog.h"

/*
 * qemu's own blklogwrites keeps a log a disk, and nothing tells how two such logs lie in time: a
 * mirror cut at one instant cannot be made of them. Here one thread does one request after another
 * for all disks, so that the log's order is the order in which things were done.
 *
 * The protocol is github.com/NetworkBlockDevice/nbd doc/proto.md: fixed newstyle, simple replies.
 */
enum {
	SECTOR_BYTES = 512,
	REQUEST_BYTES = 28,
	PAYLOAD_BYTES_MAX = 32 << 20,

	NBD_FLAG_FIXED_NEWSTYLE = 1,
	NBD_FLAG_NO_ZEROES = 2,
	NBD_OPT_EXPORT_NAME = 1,
	NBD_OPT_ABORT = 2,
	NBD_OPT_GO = 7,
	NBD_REP_ACK = 1,
	NBD_REP_INFO = 3,
	NBD_INFO_EXPORT = 0,
	/* has flags, flush, FUA, trim, write zeroes */
	EXPORT_FLAGS = 1 | 4 | 8 | 32 | 64,

	NBD_CMD_READ = 0,
	NBD_CMD_WRITE = 1,
	NBD_CMD_DISC = 2,
	NBD_CMD_FLUSH = 3,
	NBD_CMD_TRIM = 4,
	NBD_CMD_WRITE_ZEROES = 6,
	NBD_CMD_FLAG_FUA = 1,
};
#define NBD_MAGIC	  0x4e42444d41474943ULL
#define NBD_IHAVEOPT	  0x49484156454f5054ULL
#define NBD_OPTION_REPLY  0x3e889045565a9ULL
#define NBD_REQUEST_MAGIC 0x25609513U
#define NBD_REPLY_MAGIC	  0x67446698U
#define NBD_REP_ERR_UNSUP 0x80000001U
#define NBD_REP_ERR_UNKNOWN 0x80000006U

struct disk {
	const char *path;
	int fd;
	uint64_t size_bytes;
};

/* What has arrived and is not done yet. `seen` bytes of it have been looked at for flushes. */
struct client {
	int fd, disk;
	bool ended;
	char *buf;
	size_t used, room, seen;
	/* For each flush that waits in buf, in order: what had been acknowledged when it came. */
	uint64_t *flush_after;
	size_t nr_flushes, flushes_room;
};

static struct disk disks[WRITELOG_DISKS_MAX];
static int nr_disks;
static struct client clients[WRITELOG_DISKS_MAX];
static int nr_clients;
static int log_fd;
static off_t log_end;
static struct writelog_super *super;
static uint64_t acknowledged;

static uint16_t get16(const char *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return be16toh(v);
}

static uint32_t get32(const char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

static uint64_t get64(const char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return be64toh(v);
}

static void put16(char *p, uint16_t v)
{
	v = htobe16(v);
	memcpy(p, &v, sizeof(v));
}

static void put32(char *p, uint32_t v)
{
	v = htobe32(v);
	memcpy(p, &v, sizeof(v));
}

static void put64(char *p, uint64_t v)
{
	v = htobe64(v);
	memcpy(p, &v, sizeof(v));
}

/* The sockets are non-blocking for reading ahead; a write, or a read in the handshake, waits. */
static bool wait_for(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, -1) > 0 || errno == EINTR;
}

static bool send_all(int fd, const void *data, size_t bytes)
{
	const char *p = data;

	while (bytes) {
		ssize_t n = send(fd, p, bytes, MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			wait_for(fd, POLLOUT);
			continue;
		}
		if (n <= 0)
			return false;
		p += n;
		bytes -= n;
	}
	return true;
}

static bool receive(int fd, void *data, size_t bytes)
{
	char *p = data;

	while (bytes) {
		ssize_t n = recv(fd, p, bytes, 0);

		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			wait_for(fd, POLLIN);
			continue;
		}
		if (n <= 0)
			return false;
		p += n;
		bytes -= n;
	}
	return true;
}

static bool option_reply(int fd, uint32_t option, uint32_t type, const void *data, uint32_t bytes)
{
	char head[20];

	put64(head, NBD_OPTION_REPLY);
	put32(head + 8, option);
	put32(head + 12, type);
	put32(head + 16, bytes);
	return send_all(fd, head, sizeof(head)) && send_all(fd, data, bytes);
}

/* The export's name is the disk's number. */
static int disk_named(const char *name, size_t length)
{
	char text[8] = "", *end;
	long n;

	if (!length || length >= sizeof(text))
		return -1;
	memcpy(text, name, length);
	n = strtol(text, &end, 10);
	return *end || n < 0 || n >= nr_disks ? -1 : (int)n;
}

/* Returns the disk that the client wants, or -1 when it went away. */
static int handshake(int fd)
{
	char hello[18], head[16], data[4096], reply[12];
	int disk;

	put64(hello, NBD_MAGIC);
	put64(hello + 8, NBD_IHAVEOPT);
	put16(hello + 16, NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
	if (!send_all(fd, hello, sizeof(hello)) || !receive(fd, head, 4))
		return -1;
	for (;;) {
		uint32_t option, bytes, name_bytes;

		if (!receive(fd, head, sizeof(head)) || get64(head) != NBD_IHAVEOPT)
			return -1;
		option = get32(head + 8);
		bytes = get32(head + 12);
		if (bytes > sizeof(data) || !receive(fd, data, bytes))
			return -1;
		if (option == NBD_OPT_GO && bytes >= 6) {
			name_bytes = get32(data);
			disk = name_bytes <= bytes - 6 ? disk_named(data + 4, name_bytes) : -1;
			if (disk < 0) {
				if (!option_reply(fd, option, NBD_REP_ERR_UNKNOWN, "", 0))
					return -1;
				continue;
			}
			put16(reply, NBD_INFO_EXPORT);
			put64(reply + 2, disks[disk].size_bytes);
			put16(reply + 10, EXPORT_FLAGS);
			if (!option_reply(fd, option, NBD_REP_INFO, reply, 12) ||
			    !option_reply(fd, option, NBD_REP_ACK, "", 0))
				return -1;
			return disk;
		}
		if (option == NBD_OPT_EXPORT_NAME) {
			disk = disk_named(data, bytes);
			put64(reply, disk < 0 ? 0 : disks[disk].size_bytes);
			put16(reply + 8, EXPORT_FLAGS);
			return disk >= 0 && send_all(fd, reply, 10) ? disk : -1;
		}
		if (option == NBD_OPT_ABORT) {
			option_reply(fd, option, NBD_REP_ACK, "", 0);
			return -1;
		}
		if (!option_reply(fd, option, NBD_REP_ERR_UNSUP, "", 0))
			return -1;
	}
}

static void log_entry(int disk, struct writelog_entry entry, const void *data)
{
	char head[SECTOR_BYTES] = "";
	size_t data_bytes = data ? entry.nr_sectors * SECTOR_BYTES : 0;
	struct iovec iov[2] = {
		{ head, sizeof(head) },
		{ (void *)data, data_bytes },
	};
	ssize_t want = sizeof(head) + data_bytes;

	entry.flags |= (uint64_t)disk << WRITELOG_DISK_SHIFT;
	memcpy(head, &entry, sizeof(entry));
	if (pwritev(log_fd, iov, 2, log_end) != want)
		err(1, "the log");
	log_end += want;
	/* Mapped: the count is right whenever we or the machine are killed. */
	super->nr_entries++;
}

static size_t payload_bytes(const char *request)
{
	return get16(request + 6) == NBD_CMD_WRITE ? get32(request + 24) : 0;
}

/*
 * Takes in what has arrived. A flush is stamped now, not when its turn comes: a write that is
 * acknowledged in between is one that the guest did not wait for.
 */
static void read_ahead(struct client *client)
{
	/* Always room for one whole request; more than two of the largest wait in the socket. */
	while (!client->ended && client->used < 2U * PAYLOAD_BYTES_MAX) {
		ssize_t n;

		if (client->room - client->used < 1 << 16) {
			client->room = client->room ? client->room * 2 : 1 << 20;
			client->buf = realloc(client->buf, client->room);
			if (!client->buf)
				errx(1, "out of memory");
		}
		n = recv(client->fd, client->buf + client->used, client->room - client->used, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0)
			client->ended = true;
		else
			client->used += n;
	}
	while (client->seen + REQUEST_BYTES <= client->used) {
		const char *request = client->buf + client->seen;

		if (get16(request + 6) == NBD_CMD_FLUSH) {
			if (client->nr_flushes == client->flushes_room) {
				client->flushes_room = client->flushes_room * 2 + 16;
				client->flush_after = realloc(client->flush_after,
							      client->flushes_room * sizeof(uint64_t));
				if (!client->flush_after)
					errx(1, "out of memory");
			}
			client->flush_after[client->nr_flushes++] = acknowledged;
		}
		client->seen += REQUEST_BYTES + payload_bytes(request);
	}
}

static int do_zero(const struct disk *disk, uint64_t offset, uint64_t bytes)
{
	return fallocate(disk->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, bytes) ?
		       -errno : 0;
}

static bool in_range(const struct disk *disk, uint64_t offset, uint64_t bytes)
{
	return offset <= disk->size_bytes && bytes <= disk->size_bytes - offset &&
	       !(offset % SECTOR_BYTES) && !(bytes % SECTOR_BYTES);
}

/* Does the request at the buffer's start, which is whole. */
static void serve(struct client *client)
{
	const struct disk *disk = &disks[client->disk];
	const char *request = client->buf;
	unsigned int flags = get16(request + 4), type = get16(request + 6);
	uint64_t offset = get64(request + 16), bytes = get32(request + 24);
	size_t request_bytes = REQUEST_BYTES + payload_bytes(request);
	struct writelog_entry entry = {
		.sector = offset / SECTOR_BYTES,
		.nr_sectors = bytes / SECTOR_BYTES,
		.flags = flags & NBD_CMD_FLAG_FUA ? WRITELOG_FUA : 0,
	};
	char reply[16], *data = NULL;
	int status = 0;

	if (get32(request) != NBD_REQUEST_MAGIC)
		errx(1, "disk %d: no NBD request", client->disk);
	put32(reply, NBD_REPLY_MAGIC);
	memcpy(reply + 8, request + 8, 8);

	switch (type) {
	case NBD_CMD_READ:
		data = bytes <= PAYLOAD_BYTES_MAX ? malloc(bytes + 1) : NULL;
		if (!data || offset > disk->size_bytes || bytes > disk->size_bytes - offset)
			status = -EINVAL;
		else if (pread(disk->fd, data, bytes, offset) != (ssize_t)bytes)
			status = -EIO;
		break;
	case NBD_CMD_WRITE:
		if (!in_range(disk, offset, bytes))
			status = -EINVAL;
		else if (pwrite(disk->fd, request + REQUEST_BYTES, bytes, offset) != (ssize_t)bytes)
			status = -EIO;
		else
			log_entry(client->disk, entry, request + REQUEST_BYTES);
		break;
	case NBD_CMD_TRIM:
	case NBD_CMD_WRITE_ZEROES:
		entry.flags |= type == NBD_CMD_TRIM ? WRITELOG_DISCARD : WRITELOG_ZEROES;
		status = in_range(disk, offset, bytes) ? do_zero(disk, offset, bytes) : -EINVAL;
		if (!status)
			log_entry(client->disk, entry, NULL);
		break;
	case NBD_CMD_FLUSH:
		entry = (struct writelog_entry){ .sector = client->flush_after[0],
						 .flags = WRITELOG_FLUSH };
		client->nr_flushes--;
		memmove(client->flush_after, client->flush_after + 1,
			client->nr_flushes * sizeof(uint64_t));
		log_entry(client->disk, entry, NULL);
		break;
	case NBD_CMD_DISC:
		client->ended = true;
		client->used = 0;
		return;
	default:
		status = -EINVAL;
	}

	read_ahead(client);
	put32(reply + 4, -status);
	if (!send_all(client->fd, reply, sizeof(reply)) ||
	    (data && !status && !send_all(client->fd, data, bytes)))
		client->ended = true;
	acknowledged = super->nr_entries;
	free(data);

	client->used -= request_bytes;
	client->seen -= request_bytes;
	memmove(client->buf, client->buf + request_bytes, client->used);
}

static bool has_request(const struct client *client)
{
	return client->used >= REQUEST_BYTES &&
	       client->used >= REQUEST_BYTES + payload_bytes(client->buf);
}

static void open_disk(const char *path)
{
	struct disk *disk = &disks[nr_disks];
	struct stat st;

	if (nr_disks == WRITELOG_DISKS_MAX)
		errx(2, "at most %d disks", WRITELOG_DISKS_MAX);
	disk->path = path;
	disk->fd = open(path, O_RDWR | O_CLOEXEC);
	if (disk->fd < 0 || fstat(disk->fd, &st))
		err(1, "%s", path);
	if (!S_ISREG(st.st_mode) || st.st_size % SECTOR_BYTES)
		errx(1, "%s: not an image of whole sectors", path);
	disk->size_bytes = st.st_size;
	nr_disks++;
}

static void open_log(const char *path)
{
	struct writelog_ours *ours;

	log_fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (log_fd < 0 || ftruncate(log_fd, SECTOR_BYTES))
		err(1, "%s", path);
	super = mmap(NULL, SECTOR_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, log_fd, 0);
	if (super == MAP_FAILED)
		err(1, "%s", path);
	*super = (struct writelog_super){
		.magic = WRITELOG_MAGIC,
		.version = 1,
		.sector_bytes = SECTOR_BYTES,
	};
	ours = (struct writelog_ours *)((char *)super + WRITELOG_OURS_OFFSET);
	ours->magic = WRITELOG_OURS_MAGIC;
	ours->nr_disks = nr_disks;
	for (int i = 0; i < nr_disks; i++)
		ours->disk[i].size_bytes = disks[i].size_bytes;
	log_end = SECTOR_BYTES;
}

int main(int argc, char **argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener;

	if (argc < 4) {
		fprintf(stderr, "usage: record LOG SOCKET IMAGE...\n");
		return 2;
	}
	for (int i = 3; i < argc; i++)
		open_disk(argv[i]);
	open_log(argv[1]);

	if (strlen(argv[2]) >= sizeof(address.sun_path))
		errx(2, "%s: too long for a socket's path", argv[2]);
	memcpy(address.sun_path, argv[2], strlen(argv[2]) + 1);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) ||
	    listen(listener, nr_disks))
		err(1, "%s", argv[2]);

	/* One connection a disk: when all of them have ended, so has the machine. */
	for (int open_clients = nr_disks; open_clients;) {
		struct pollfd polled[WRITELOG_DISKS_MAX + 1];
		bool waiting = false;

		for (int i = 0; i < nr_clients; i++)
			waiting = waiting || has_request(&clients[i]);
		for (int i = 0; i < nr_clients; i++)
			polled[i] = (struct pollfd){
				.fd = clients[i].ended ? -1 : clients[i].fd,
				.events = POLLIN,
			};
		polled[nr_clients] = (struct pollfd){
			.fd = nr_clients < nr_disks ? listener : -1,
			.events = POLLIN,
		};
		if (poll(polled, nr_clients + 1, waiting ? 0 : -1) < 0 && errno != EINTR)
			err(1, "poll");
		for (int i = 0; i < nr_clients; i++)
			if (polled[i].revents)
				read_ahead(&clients[i]);
		/* By turns, so that the disks go on side by side as they would in a machine. */
		for (int i = 0; i < nr_clients; i++) {
			struct client *client = &clients[i];

			if (has_request(client))
				serve(client);
			if (client->ended && client->fd >= 0 && !has_request(client)) {
				close(client->fd);
				client->fd = -1;
				open_clients--;
			}
		}
		if (polled[nr_clients].revents) {
			struct client client = { .fd = accept4(listener, NULL, NULL,
							       SOCK_NONBLOCK | SOCK_CLOEXEC) };

			client.disk = client.fd >= 0 ? handshake(client.fd) : -1;
			if (client.disk >= 0)
				clients[nr_clients++] = client;
			else if (client.fd >= 0)
				close(client.fd);
		}
	}
	return 0;
}
