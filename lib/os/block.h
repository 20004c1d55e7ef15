/*
 * Block devices as the kernel has them: opening a disk with checks, the lock that keeps others off
 * it, and telling the kernel about partitions.
 */
#ifndef OS_BLOCK_H
#define OS_BLOCK_H

#include "lib/core/op.h"

/* A block device by its node; disk fields name the whole disk it is, or is a partition of. */
struct block {
	const char *path;	   /* its node's canonical path: "/dev/sda1" */
	const char *name;	   /* the kernel's: "sda1" (in /sys/class/block) */
	const char *disk, *disk_name; /* "/dev/sda", "sda"; its own where it is a whole disk */
	dev_t devno, disk_devno;
	uint64_t number;	   /* of the partition; 0: a whole disk */
	uint64_t start_bytes, size_bytes;
	uint64_t logical_sector_bytes, physical_sector_bytes;
	uint64_t diskseq;	   /* U64_NONE before Linux 5.15 */
	bool read_only;
	const char **holders;	   /* kernel names of what is stacked on it: "dm-0", "md127" */
};

/*
 * Describes the device behind path (links are followed); strings in w->mem. What is no block device
 * is ERR_NO_DEVICE naming what it is instead. Machine only: no sysroot.
 */
int block_describe(struct world *w, const char *path, struct block *ret, struct err *e);

/* Opens the device (flags as open(2); O_CLOEXEC and O_NONBLOCK are added) and checks that it is
 * still the one described (device number, size, diskseq). An fd or -errno. */
int block_open(const struct block *b, int flags, struct err *e);

/*
 * Why it cannot be taken for exclusive use, or NULL: "is mounted at /mnt", "is swap in use", "is
 * held by dm-0", "is held open by another program". The last is found by opening it O_EXCL for an
 * instant, which on a whole disk is refused also when only one of its partitions is held.
 */
const char *block_busy(struct world *w, const struct block *b);

/*
 * The advisory lock on a whole disk (flock LOCK_EX on its node, systemd's convention: while it is
 * held, udevd neither probes the disk nor re-reads its table). It is held by a read-only descriptor
 * of its own, so it survives the close of the descriptor that wrote. Counted: taking it again in
 * the same call (a plan's executor and its steps) is free. Waits at most timeout_s (0: 30 s), then
 * fails with -EBUSY naming the holder. Take several in ascending device number.
 */
int block_lock(struct world *w, const char *disk, dev_t devno, double timeout_s, struct err *e);
void block_unlock(struct world *w, dev_t devno);
bool block_is_locked(const struct world *w, dev_t devno);

/* A lock that ends with its scope: `struct block_lock lock auto_unlock = { .w = w };` */
struct block_lock {
	struct world *w;
	dev_t devno;
	bool held;
};
int block_lock_scoped(struct block_lock *l, const char *disk, dev_t devno, struct err *e);
void block_lock_release(struct block_lock *l);
#define auto_unlock auto_release(block_lock_release)

/*
 * What the kernel knows of a disk's partitions (sysfs), by number; in w->mem. The table on the disk
 * may say something else.
 */
struct block_partition {
	uint64_t number, start_bytes, size_bytes;
	const char *name; /* "sda1" */
	dev_t devno;
};
int block_partitions(struct world *w, const struct block *disk, struct block_partition **ret,
		     size_t *ret_n, struct err *e);

/*
 * Tells the kernel about one partition (BLKPG: works while others of the disk are in use). Adding
 * one that it has already in that very place is done; deleting one that is in use is -EBUSY.
 */
int block_add_partition(struct world *w, const struct block *disk, uint64_t number,
			uint64_t start_bytes, uint64_t size_bytes, struct err *e);
int block_del_partition(struct world *w, const struct block *disk, uint64_t number, struct err *e);
int block_resize_partition(struct world *w, const struct block *disk, uint64_t number,
			   uint64_t start_bytes, uint64_t size_bytes, struct err *e);

/* The path of a partition's node, once it is there; devtmpfs makes it before the ioctl returns, so
 * this waits for nothing but a moment, and says what to do where no node can appear. */
int block_partition_node(struct world *w, const struct block *disk, uint64_t number,
			 const char **ret_path, struct err *e);

/*
 * Where udevd runs: waits (bounded) until it has handled an event of ours for each of these devices,
 * so that its links and database are there and no re-reading of the table takes the node away. To
 * be called without the lock, for udevd leaves locked disks alone; returns at once while this call
 * still holds the disk's lock (the outermost caller settles) or no udevd runs. Never fails.
 */
void block_settle(struct world *w, const char *const *paths);

#endif
