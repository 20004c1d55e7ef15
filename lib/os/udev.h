/* What udev knows: its database of devices, by libudev on the machine, and waiting for its events. */
#ifndef OS_UDEV_H
#define OS_UDEV_H

#include "lib/core/err.h"
#include "lib/core/root.h"

struct udev_db; /* an open database */

/* Whether a udevd is there to make and describe devices. */
bool udev_running(const struct root *r);

/* Opens the database below that root; NULL where there is none (no udevd ever ran). */
struct udev_db *udev_db_open(const struct root *r);
void udev_db_close(struct udev_db **db);
#define auto_udev_db auto_release(udev_db_close)

/* The properties of one block device ("8:0"), to be asked with udev_get(). */
struct udev_props {
	const char **pairs; /* "ID_SERIAL_SHORT=S3Z..." NULL: none */
};
/* 0, or -ENOENT where the database knows nothing of the device. db may be NULL (-ENOENT). */
int udev_db_read(struct udev_db *db, const char *devno, struct arena *a, struct udev_props *ret);
/* A property's value, NULL when it is missing or empty. */
const char *udev_get(const struct udev_props *p, const char *name);
/* The same with the database's \x20 decoded (ID_FS_LABEL_ENC), in the arena. */
const char *udev_get_encoded(const struct udev_props *p, const char *name, struct arena *a);

struct udev_event {
	const char *action; /* "add", "change", "remove" */
	const char *sysname, *devnode, *devtype, *devno;
};

struct udev_watch;
/*
 * Block device events: udevd's own where it runs (sent when it has done its work on the device),
 * else the kernel's. Opened before what causes the event. The fd polls readable.
 */
int udev_watch_open(struct udev_watch **ret, struct err *e);
int udev_watch_fd(const struct udev_watch *w);
/* 1: an event, strings in the arena; 0: none within timeout_ms (-1: no limit); -errno. */
int udev_watch_next(struct udev_watch *w, int timeout_ms, struct arena *a, struct udev_event *ret);
void udev_watch_close(struct udev_watch **w);
#define auto_udev_watch auto_release(udev_watch_close)

#endif
