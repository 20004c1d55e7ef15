/* btrfs subvolumes: create, snapshot, delete, list. The only wrapper of libbtrfsutil. */
#ifndef OS_BTRFS_SUBVOL_H
#define OS_BTRFS_SUBVOL_H

#include "lib/os/btrfs.h"

enum { BTRFS_TOP_LEVEL = 5 };

struct btrfs_subvol {
	uint64_t id, parent_id; /* parent_id 0: the top level, or deleted */
	uint64_t dir_id;
	const char *path; /* below the top level; "" for the top level itself */
	uint64_t generation, created_generation;
	uint8_t uuid[16], parent_uuid[16], received_uuid[16]; /* all zero: none */
	bool read_only;
	double created_s, changed_s; /* since the epoch; 0: unknown */
};

/* Whether fd is the root directory of a subvolume, and which one: 1, 0, or -errno. */
int btrfs_subvol_id(int fd, const char *object, uint64_t *ret_id, struct err *e);

/*
 * parent_fd is the directory to work in, name a single component. None of them commits: see
 * btrfs_commit(). -EEXIST, -EROFS, -ENOSPC, -EDQUOT ... as the kernel gives them.
 */
int btrfs_subvol_create(int parent_fd, const char *name, const char *object, struct err *e);
int btrfs_subvol_snapshot(int source_fd, int parent_fd, const char *name, bool read_only,
			  const char *object, struct err *e);
/* Only that one: -ENOTEMPTY when it holds other subvolumes. */
int btrfs_subvol_delete(int parent_fd, const char *name, const char *object, struct err *e);

/* Of the subvolume that fd is in (id 0), or of another one of its filesystem. */
int btrfs_subvol_get(int fd, uint64_t id, const char *object, struct arena *a,
		     struct btrfs_subvol *ret, struct err *e);
/* Every subvolume below the top level, in order of ID, without the top level itself. */
int btrfs_subvol_list(int fd, const char *object, struct arena *a, struct btrfs_subvol **ret,
		      size_t *ret_n, struct err *e);
/* Whether the space of this deleted subvolume is still being freed: 1, 0, or -errno. */
int btrfs_subvol_is_dropping(int fd, uint64_t id, const char *object, struct err *e);
/* The subvolume that is mounted when none is named. */
int btrfs_subvol_default(int fd, const char *object, uint64_t *ret_id, struct err *e);

#endif
