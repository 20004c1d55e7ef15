/*
 * Waiting for udevd: block_settle() of block.h.
 *
 * When a disk that was open for writing is closed, udevd may read its table again, which takes the
 * partitions' nodes away for an instant (systemd src/udev/udevd.c, synthesize_change). Events are
 * handled in order, so one of our own, marked by a UUID (kernel Documentation/ABI/testing/
 * sysfs-uevent), tells that this is over for the device.
 */
#include "lib/os/block.h"

#include "lib/core/clock.h"

#include <errno.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>

enum { UDEV_GROUP = 2, TIMEOUT_S = 10, BUSY_S = 3 };

struct waiting {
	const char *path, *name;
	char uuid[37];
	bool done;
};

static void make_uuid(char uuid[static 37])
{
	uint8_t b[16] = { 0 };

	if (getrandom(b, sizeof b, GRND_NONBLOCK) < 0) {
		uint64_t now = clock_monotonic_ns();

		memcpy(b, &now, sizeof now);
	}
	snprintf(uuid, 37, "%02x%02x%02x%02x-%02x%02x-4%x%02x-8%x%02x-%02x%02x%02x%02x%02x%02x", b[0],
		 b[1], b[2], b[3], b[4], b[5], b[6] & 15, b[7], b[8] & 15, b[9], b[10], b[11], b[12],
		 b[13], b[14], b[15]);
}

static bool trigger(struct world *w, struct waiting *d)
{
	const char *path = arena_printf(w->mem, "/sys/class/block/%s/uevent", d->name);
	auto_close int fd = root_open(&w->root, path, O_WRONLY);
	char text[64];
	int n;

	make_uuid(d->uuid);
	n = snprintf(text, sizeof text, "change %s", d->uuid);
	return fd >= 0 && write(fd, text, (size_t)n) == n;
}

static int listen_to_udevd(void)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = UDEV_GROUP };
	auto_close int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
				   NETLINK_KOBJECT_UEVENT);

	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof addr))
		return -1;
	return take_fd(&fd);
}

static size_t receive(int fd, struct waiting *devices, size_t n)
{
	static const char magic[] = "libudev";
	char buf[16384];
	ssize_t got;
	size_t done = 0;

	while ((got = recv(fd, buf, sizeof buf, 0)) > 0) {
		if ((size_t)got < sizeof magic || memcmp(buf, magic, sizeof magic))
			continue;
		for (size_t i = 0; i < n; i++)
			if (!devices[i].done &&
			    memmem(buf, (size_t)got, devices[i].uuid, sizeof devices[i].uuid - 1)) {
				devices[i].done = true;
				done++;
			}
	}
	return done;
}

/* Sends an event for each device and waits until udevd has handled them all, or the time is up. */
static void round_trip(struct world *w, int fd, struct waiting *devices, size_t n, uint64_t until)
{
	size_t left = 0;

	for (size_t i = 0; i < n; i++) {
		devices[i].done = !devices[i].name || !trigger(w, &devices[i]);
		left += !devices[i].done;
	}
	while (left && !*w->stop && clock_monotonic_ns() < until) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		poll(&p, 1, 100);
		left -= receive(fd, devices, n);
	}
}

static void nap(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
}

void block_settle(struct world *w, const char *const *paths)
{
	struct waiting *devices;
	size_t n = strlist_len(paths);
	uint64_t start = clock_monotonic_ns(), until = start + TIMEOUT_S * UINT64_C(1000000000);
	auto_close int fd = -1;
	struct block b;
	struct err e;

	if (!n || access("/run/udev/control", F_OK) || (fd = listen_to_udevd()) < 0)
		return;
	devices = arena_alloc(w->mem, n * sizeof *devices);
	for (size_t i = 0; i < n; i++) {
		const char *slash = strrchr(paths[i], '/');

		/* Its node may be away for this very instant. */
		devices[i] = (struct waiting){ .path = paths[i], .name = slash ? slash + 1 : NULL };
		if (block_describe(w, paths[i], &b, &e))
			continue;
		if (block_is_locked(w, b.disk_devno))
			return; /* udevd leaves it alone until the outermost caller is done */
		devices[i].name = b.name;
	}
	/* By the end of the first it has seen the close; what that set off is over after the second. */
	round_trip(w, fd, devices, n, until);
	while (!access("/run/udev/queue", F_OK) && !*w->stop &&
	       clock_monotonic_ns() < start + BUSY_S * UINT64_C(1000000000))
		nap();
	for (size_t i = 0; i < n; i++)
		while (access(devices[i].path, F_OK) && clock_monotonic_ns() < until && !*w->stop)
			nap();
	round_trip(w, fd, devices, n, until);
	for (size_t i = 0; i < n; i++)
		if (!devices[i].done)
			world_warn(w, "%s: udevd did not handle its event within %d s; links in "
				   "/dev/disk may be missing", devices[i].path, TIMEOUT_S);
}
