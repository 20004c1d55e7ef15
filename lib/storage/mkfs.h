/* Making filesystems: what each type allows, the program that makes it, and proof that it did. */
#ifndef STORAGE_MKFS_H
#define STORAGE_MKFS_H

#include "lib/storage/inventory.h"

enum fs_type { FS_BTRFS, FS_EXT4, FS_VFAT, FS_SWAP, FS_BCACHEFS, FS_XFS };
extern const char *const fs_type_names[];

struct create_filesystem {
	const char **device; /* several for btrfs and bcachefs */
	uint32_t fstype;     /* enum fs_type */
	const char *label;   /* NULL: none */
	const char *profile; /* NULL: one device: the type's default; several: raid1. bcachefs has
				"cache": the first device caches for the others */
	bool force;	     /* erase what is found on the devices; never what is in use */
	bool dry_run;
};

/* Gives one row of filesystem_table. */
extern const struct operation create_filesystem_op;
/* mkvolfs -: one row for each volume of the table that mkpart - prints. */
extern const struct operation create_filesystems_op;

/* The type of that name, or -EINVAL with ERR_INVALID. */
int fs_type_parse(const char *name, const char *object, enum fs_type *ret, struct err *e);
/* A label's length and characters; NULL is none and fine. */
int mkfs_check_label(enum fs_type t, const char *label, const char *object, struct err *e);
/* What can be said without a device: label, profile, number of devices, the program is there. */
int mkfs_check(struct world *w, const struct create_filesystem *p, struct err *e);
/* The command line of the external program; in w->mem. */
const char *const *mkfs_argv(struct world *w, const struct create_filesystem *p, bool whole_disk);
/* The smallest device for this type, given its logical sectors. */
uint64_t mkfs_minimum_bytes(enum fs_type t, uint64_t sector_bytes);

#endif
