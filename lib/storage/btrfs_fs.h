/* Which btrfs a caller means, by path, device, label or UUID, and an open descriptor of it. */
#ifndef STORAGE_BTRFS_FS_H
#define STORAGE_BTRFS_FS_H

#include "lib/core/op.h"
#include "lib/os/btrfs.h"

#define MOS_DATA_LABEL "MOSDATA"

struct btrfs_fs {
	int fd;		  /* a directory on it */
	const char *name; /* what errors name */
	struct btrfs_info info;
};
void btrfs_fs_close(struct btrfs_fs *fs);
#define auto_btrfs_fs auto_release(btrfs_fs_close)
#define BTRFS_FS_CLOSED ((struct btrfs_fs){ .fd = -1 })

/*
 * The top level of the filesystem that `fs` names: a directory of a mounted one, a block device,
 * LABEL=..., UUID=..., or the one labelled MOSDATA where fs is NULL. It need not be mounted: its
 * members are scanned first; nothing is mounted where anybody sees it (os/btrfs.h), and never
 * degraded. Two filesystems of one label are a refusal that names both UUIDs. writable: -EROFS
 * when it is mounted read-only.
 */
int btrfs_fs_open_top(struct world *w, const char *fs, bool writable, struct btrfs_fs *ret,
		      struct err *e);

/* The filesystem mounted on mount_point, which must be a mount point itself, lest a directory of
 * another filesystem be taken for one that is not mounted. */
int btrfs_fs_open_mounted(struct world *w, const char *mount_point, struct btrfs_fs *ret,
			  struct err *e);

/* Where it is mounted: mount points whose source is one of its devices. */
struct btrfs_mount {
	const char *target, *root; /* root: the directory of the top level that is mounted, "/a" */
};
int btrfs_fs_mounts(struct world *w, const struct btrfs_fs *fs, struct btrfs_mount **ret,
		    size_t *ret_n, struct err *e);

/* The params of an operation on a mounted filesystem that has no others. */
struct btrfs_mount_params {
	const char *mount_point;
};
extern const struct field btrfs_mount_fields[];

#endif
