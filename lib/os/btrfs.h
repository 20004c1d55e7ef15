/*
 * btrfs filesystems as the kernel shows them: scanning devices, reaching the top level, devices,
 * space, error counters, committing. Subvolumes are in btrfs_subvol.h, quotas in btrfs_quota.h,
 * scrub, balance and defragmentation in btrfs_work.h.
 *
 * Every function that takes an fd wants it open on any file or directory of the filesystem, not
 * O_PATH; object is what errors name. All return 0 or -errno with e filled in.
 */
#ifndef OS_BTRFS_H
#define OS_BTRFS_H

#include "lib/core/err.h"
#include "lib/core/mem.h"
#include "lib/core/root.h"

#include <stdint.h>

enum { BTRFS_UUID_TEXT = 37 };
/* Lower case with dashes; returns buf. */
const char *btrfs_uuid_text(char buf[static BTRFS_UUID_TEXT], const uint8_t uuid[static 16]);

/*
 * Tells the kernel that this block device belongs to a btrfs, which it must know of every member
 * before a filesystem of several can be mounted (an unscanned one gives ENOENT). Loads nothing:
 * ERR_UNSUPPORTED when this kernel has no btrfs.
 */
int btrfs_scan(const char *device, struct err *e);
/* The opposite: the kernel will not take this device for a member of an unmounted filesystem. Not
 * known to it, or not supported (before 5.4): 0. -EBUSY: it is mounted. */
int btrfs_forget(const char *device, struct err *e);
/* Whether every member of the filesystem on this device is known; scans this one first. */
int btrfs_ready(const char *device, bool *ret, struct err *e);

/*
 * The top level (subvolume 5) of the filesystem on this device, whose members are scanned: a
 * directory fd. It is reached by a detached mount (fsmount(2)), which no path, no mount namespace
 * and no other process ever sees, and which the kernel takes down with the last fd, also when the
 * process is killed. Where the filesystem is mounted elsewhere, its read-only state stays as it is;
 * where it is not, it is mounted read-only unless writable. Never degraded. root is where sysfs is
 * read. Returns the fd, or -errno.
 */
int btrfs_open_top(const struct root *root, const char *device, bool writable, struct err *e);

/*
 * Opens what path names below the directory dir, or -errno without an error text: no link is
 * followed, no mount crossed, and `..` does not lead out (-ELOOP, -EXDEV).
 */
int btrfs_open_below(int dir, const char *path, int flags);

struct btrfs_info {
	uint8_t fsid[16];
	char uuid[BTRFS_UUID_TEXT]; /* of fsid */
	uint64_t devices;	    /* members, missing ones too */
	uint64_t max_devid;
	uint32_t nodesize_bytes, sectorsize_bytes;
};
/* -ENOTTY ("is not on a btrfs filesystem") when fd is on another filesystem. */
int btrfs_get_info(int fd, const char *object, struct btrfs_info *ret, struct err *e);
/* The label; "" when it has none. */
int btrfs_get_label(int fd, const char *object, struct arena *a, const char **ret, struct err *e);

struct btrfs_device {
	uint64_t devid;
	const char *path; /* NULL: missing */
	uint8_t uuid[16]; /* the member's own (UUID_SUB) */
	uint64_t size_bytes, allocated_bytes; /* what btrfs uses of it; of that, in chunks */
	uint64_t device_bytes; /* the block device's size; U64_NONE when it cannot be opened */
};
/* Members in order of devid, missing ones too; in the arena. */
int btrfs_get_devices(int fd, const char *object, struct arena *a, struct btrfs_device **ret,
		      size_t *ret_n, struct err *e);

/* Type and profile bits of a chunk or space, as the disk has them. */
enum btrfs_space_bit {
	BTRFS_DATA = 1, BTRFS_SYSTEM = 2, BTRFS_METADATA = 4, BTRFS_RAID0 = 8, BTRFS_RAID1 = 16,
	BTRFS_DUP = 32, BTRFS_RAID10 = 64, BTRFS_RAID5 = 128, BTRFS_RAID6 = 256,
	BTRFS_RAID1C3 = 512, BTRFS_RAID1C4 = 1024,
};
#define BTRFS_GLOBAL_RESERVE (UINT64_C(1) << 49)
const char *btrfs_type_name(uint64_t flags);	/* "Data", "Metadata", "Data+Metadata" ... */
const char *btrfs_profile_name(uint64_t flags); /* "single", "DUP", "RAID1" ... */

struct btrfs_space {
	uint64_t flags;
	uint64_t total_bytes, used_bytes; /* logical: before the profile's copies */
};
/* As `btrfs filesystem df` has them, in its order. */
int btrfs_get_spaces(int fd, const char *object, struct arena *a, struct btrfs_space **ret,
		     size_t *ret_n, struct err *e);

/* What chunks of one kind take of one device. */
struct btrfs_chunks {
	uint64_t devid, flags;
	uint64_t stripes;    /* devices a chunk of this kind spans; matters for striped profiles */
	uint64_t size_bytes; /* on the device */
};
/* By tree search, which needs root (-EPERM, ERR_UNSUPPORTED). By devid, then flags. */
int btrfs_get_chunks(int fd, const char *object, struct arena *a, struct btrfs_chunks **ret,
		     size_t *ret_n, struct err *e);

struct btrfs_errors { /* in the kernel's order */
	uint64_t write, read, flush, corruption, generation;
};
/* A device's error counters since they were last reset; reset sets them to 0 afterwards. -ENODEV:
 * no such devid, or missing. */
int btrfs_get_errors(int fd, const char *object, uint64_t devid, bool reset,
		     struct btrfs_errors *ret, struct err *e);

/* Grows (or shrinks) what btrfs uses of one device; size_bytes U64_NONE: to the device's end. */
int btrfs_resize(int fd, const char *object, uint64_t devid, uint64_t size_bytes, struct err *e);

/* Commits what was done so far: after it, it survives a power cut. */
int btrfs_commit(int fd, const char *object, struct err *e);

/* The exclusive operation that runs ("balance", "resize", ...), NULL for none or unknown. */
const char *btrfs_exclusive_operation(const struct root *root, const char *uuid, struct arena *a);

struct btrfs_commits { /* U64_NONE where this kernel does not tell (before 6.0) */
	uint64_t commits, last_ms, max_ms, total_ms;
};
void btrfs_get_commits(const struct root *root, const char *uuid, struct btrfs_commits *ret);

#endif
