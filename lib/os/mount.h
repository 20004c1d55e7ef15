/* Mounts and swap, by libmount: the tables below a root, and mounting on the running machine. */
#ifndef OS_MOUNT_H
#define OS_MOUNT_H

#include "lib/core/err.h"
#include "lib/core/root.h"

/* A line of mountinfo; strings in the arena. */
struct mount_info {
	const char *target, *source, *fstype;
	const char *options; /* of the mount and of the superblock, without repeats */
	const char *fs_options; /* of the superblock alone: what all its mounts share */
	const char *root;    /* the part of the filesystem that is mounted */
	const char *devno;   /* "8:1"; btrfs has an anonymous one */
	uint64_t id;
};

struct swap_info {
	const char *path; /* "/dev/sda2" or a file */
	uint64_t size_bytes, used_bytes;
	int priority;
};

/* In the order of the kernel: a later mount on the same target hides an earlier one. */
int mounts_read(const struct root *r, struct arena *a, struct mount_info **ret, size_t *ret_n,
		struct err *e);
/* As another process sees them: its number ("1": the host's, from inside a container). */
int mounts_read_of(const struct root *r, const char *process, struct arena *a,
		   struct mount_info **ret, size_t *ret_n, struct err *e);
/* Swap in use. A kernel without swap has none: 0 rows. */
int swaps_read(const struct root *r, struct arena *a, struct swap_info **ret, size_t *ret_n,
	       struct err *e);

/*
 * Mounts a device (a path) on an existing directory of the running machine, without mount helpers.
 * fstype is required; options as mount -o takes them, may be NULL. Returns 0 or -errno; nothing is
 * mounted then.
 */
int mount_fs(const char *source, const char *target, const char *fstype, const char *options,
	     struct err *e);
/* Unmounts what is mounted last on target; never lazily, never by force. */
int mount_unmount(const char *target, struct err *e);

/* priority -1: the kernel chooses. -EBUSY when it is in use already. */
int swap_on(const char *path, int priority, struct err *e);
int swap_off(const char *path, struct err *e);

#endif
