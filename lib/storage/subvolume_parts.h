/* What the files of the subvolume operations share; not for others. */
#ifndef STORAGE_SUBVOLUME_PARTS_H
#define STORAGE_SUBVOLUME_PARTS_H

#include "lib/os/btrfs_quota.h"
#include "lib/os/btrfs_subvol.h"
#include "lib/storage/btrfs_fs.h"
#include "lib/storage/subvolume.h"

#define FS_PARAM(T)                                                                            \
	FIELD(T, fs, 0,                                                                        \
	      "mount point, block device, LABEL=... or UUID=... of the filesystem (default: "  \
	      "LABEL=MOSDATA)",                                                                \
	      .arg = "PATH", .complete = "mount")

/* The directory that is to hold `name`, and its last component. */
int subvol_open_parent(const struct btrfs_fs *fs, const char *name, const char **leaf,
		       struct arena *a, struct err *e);
/* The subvolume of that name, which a plain directory is not; -ENOENT where there is none. */
int subvol_open(const struct btrfs_fs *fs, const char *name, uint64_t *ret_id, struct err *e);
/* One row of it, into one of the two tables. */
int subvol_emit(struct world *w, const struct btrfs_fs *fs, uint64_t id, const struct table *t,
		struct sink *out, struct err *e);

#endif
