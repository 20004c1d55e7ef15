/* libudev's wrapper, and the reader of its database's files below another root: see udev.h. */
#include "lib/os/udev.h"

#include "lib/core/clock.h"

#include <errno.h>
#include <libudev.h>
#include <poll.h>
#include <sys/sysmacros.h>

struct udev_db {
	const struct root *root;
	struct udev *udev; /* NULL: the files are read here */
};

bool udev_running(const struct root *r)
{
	return root_exists(r, "/run/udev/control");
}

struct udev_db *udev_db_open(const struct root *r)
{
	struct udev_db *db;

	if (!root_exists(r, "/run/udev/data"))
		return NULL;
	db = xcalloc(1, sizeof *db);
	db->root = r;
	db->udev = root_is_machine(r) ? udev_new() : NULL;
	return db;
}

void udev_db_close(struct udev_db **db)
{
	if (!*db)
		return;
	udev_unref((*db)->udev);
	free(*db);
	*db = NULL;
}

/* A record of the database: lines "E:NAME=VALUE" are properties (systemd: man 8 udev-database is
 * missing; src/libsystemd/sd-device/sd-device.c, device_read_db_internal()). */
static int read_file(const struct udev_db *db, const char *devno, struct arena *a,
		     struct udev_props *ret)
{
	char *text, *path = arena_printf(a, "/run/udev/data/b%s", devno);
	int r = root_read(db->root, path, 1 << 20, a, &text, NULL);

	if (r)
		return r;
	while (*text) {
		size_t n = strcspn(text, "\n");

		if (starts_with(text, "E:"))
			strlist_add(a, &ret->pairs, arena_strn(a, text + 2, n - 2));
		text += n + (text[n] == '\n');
	}
	return 0;
}

int udev_db_read(struct udev_db *db, const char *devno, struct arena *a, struct udev_props *ret)
{
	struct udev_device *dev;
	struct udev_list_entry *entry;
	unsigned maj, min;

	*ret = (struct udev_props){ NULL };
	if (!db || !devno)
		return -ENOENT;
	if (!db->udev)
		return read_file(db, devno, a, ret);
	if (sscanf(devno, "%u:%u", &maj, &min) != 2)
		return -EINVAL;
	dev = udev_device_new_from_devnum(db->udev, 'b', makedev(maj, min));
	if (!dev)
		return -ENOENT;
	if (!udev_device_get_is_initialized(dev)) {
		udev_device_unref(dev);
		return -ENOENT;
	}
	udev_list_entry_foreach(entry, udev_device_get_properties_list_entry(dev))
		strlist_add(a, &ret->pairs,
			    arena_printf(a, "%s=%s", udev_list_entry_get_name(entry),
					 udev_list_entry_get_value(entry)));
	udev_device_unref(dev);
	return 0;
}

const char *udev_get(const struct udev_props *p, const char *name)
{
	size_t n = strlen(name);

	for (const char **s = p->pairs; s && *s; s++)
		if (!strncmp(*s, name, n) && (*s)[n] == '=')
			return (*s)[n + 1] ? *s + n + 1 : NULL;
	return NULL;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

const char *udev_get_encoded(const struct udev_props *p, const char *name, struct arena *a)
{
	const char *s = udev_get(p, name);
	char *out, *to;

	if (!s)
		return NULL;
	to = out = arena_alloc(a, strlen(s) + 1);
	while (*s) {
		int high = s[0] == '\\' && s[1] == 'x' ? hex_digit(s[2]) : -1;
		int low = high >= 0 ? hex_digit(s[3]) : -1;

		if (low >= 0 && (high || low)) {
			*to++ = (char)(high << 4 | low);
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = '\0';
	return out;
}

struct udev_watch {
	struct udev *udev;
	struct udev_monitor *monitor;
};

int udev_watch_open(struct udev_watch **ret, struct err *e)
{
	struct root machine = ROOT_MACHINE;
	const char *from = udev_running(&machine) ? "udev" : "kernel";
	struct udev_watch *w auto_udev_watch = xcalloc(1, sizeof *w);
	int r = 0;

	w->udev = udev_new();
	w->monitor = w->udev ? udev_monitor_new_from_netlink(w->udev, from) : NULL;
	if (!w->monitor)
		return err_sys(e, errno ? -errno : -EIO, NULL, "open the %s device event socket",
			       from);
	/* Best effort: a burst of events must not overflow the socket; needs CAP_NET_ADMIN. */
	udev_monitor_set_receive_buffer_size(w->monitor, 8 << 20);
	r = udev_monitor_filter_add_match_subsystem_devtype(w->monitor, "block", NULL);
	if (r >= 0)
		r = udev_monitor_enable_receiving(w->monitor);
	if (r < 0)
		return err_sys(e, r, NULL, "listen to %s device events", from);
	*ret = take(w);
	return 0;
}

int udev_watch_fd(const struct udev_watch *w)
{
	return udev_monitor_get_fd(w->monitor);
}

int udev_watch_next(struct udev_watch *w, int timeout_ms, struct arena *a, struct udev_event *ret)
{
	uint64_t until = clock_monotonic_ns() + (uint64_t)(timeout_ms < 0 ? 0 : timeout_ms) * 1000000;

	for (;;) {
		struct pollfd p = { .fd = udev_watch_fd(w), .events = POLLIN };
		uint64_t now = clock_monotonic_ns();
		int wait = timeout_ms < 0 ? -1 : now >= until ? 0 : (int)((until - now) / 1000000 + 1);
		struct udev_device *dev;
		dev_t devno;
		int n = poll(&p, 1, wait);

		if (n < 0)
			return -errno;
		if (!n)
			return 0;
		dev = udev_monitor_receive_device(w->monitor);
		if (!dev) /* filtered out, or lost: the next one */
			continue;
		devno = udev_device_get_devnum(dev);
		*ret = (struct udev_event){
			.action = arena_str(a, udev_device_get_action(dev)),
			.sysname = arena_str(a, udev_device_get_sysname(dev)),
			.devnode = arena_str(a, udev_device_get_devnode(dev)),
			.devtype = arena_str(a, udev_device_get_devtype(dev)),
			.devno = arena_printf(a, "%u:%u", major(devno), minor(devno)),
		};
		udev_device_unref(dev);
		return 1;
	}
}

void udev_watch_close(struct udev_watch **w)
{
	if (!*w)
		return;
	udev_monitor_unref((*w)->monitor);
	udev_unref((*w)->udev);
	free(*w);
	*w = NULL;
}
