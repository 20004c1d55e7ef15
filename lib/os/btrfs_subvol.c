/* btrfs subvolumes: see btrfs_subvol.h. */
#include "lib/os/btrfs_subvol.h"

#include <btrfsutil.h>
#include <errno.h>
#include <linux/magic.h>
#include <sys/vfs.h>

enum { ROOT_FLAG_READ_ONLY = 1, SUBVOL_ROOT_INODE = 256 };

/* libbtrfsutil leaves errno as the system call had it; its own words say what was being done. */
static int fail(struct err *e, enum btrfs_util_error why, const char *object, const char *doing)
{
	int code = errno ? -errno : -EIO;

	switch (why) {
	case BTRFS_UTIL_ERROR_NOT_BTRFS:
		return err_make(e, ERR_INVALID, -ENOTTY, object, NULL,
				"is not on a btrfs filesystem");
	case BTRFS_UTIL_ERROR_NOT_SUBVOLUME:
		return err_make(e, ERR_INVALID, -EINVAL, object, NULL, "is not a subvolume");
	case BTRFS_UTIL_ERROR_SUBVOLUME_NOT_FOUND:
		return err_make(e, ERR_INVALID, -ENOENT, object, NULL, "there is no such subvolume");
	default:
		break;
	}
	if (code == -EPERM || code == -EACCES)
		return err_make(e, ERR_UNSUPPORTED, code, object, "run it as root", "%s: %s", doing,
				strerror(-code));
	return err_sys(e, code, object, "%s", doing);
}

int btrfs_subvol_id(int fd, const char *object, uint64_t *ret_id, struct err *e)
{
	struct statfs fs;
	struct stat st;
	enum btrfs_util_error why;

	if (fstatfs(fd, &fs) || fstat(fd, &st))
		return err_sys(e, -errno, object, "stat");
	if ((unsigned long)fs.f_type != BTRFS_SUPER_MAGIC)
		return fail(e, BTRFS_UTIL_ERROR_NOT_BTRFS, object, "");
	errno = 0;
	why = btrfs_util_subvolume_id_fd(fd, ret_id);
	if (why)
		return fail(e, why, object, "read its subvolume's ID");
	return st.st_ino == SUBVOL_ROOT_INODE && S_ISDIR(st.st_mode);
}

int btrfs_subvol_create(int parent_fd, const char *name, const char *object, struct err *e)
{
	enum btrfs_util_error why;

	errno = 0;
	why = btrfs_util_create_subvolume_fd(parent_fd, name, 0, NULL, NULL);
	return why ? fail(e, why, object, "create the subvolume") : 0;
}

int btrfs_subvol_snapshot(int source_fd, int parent_fd, const char *name, bool read_only,
			  const char *object, struct err *e)
{
	enum btrfs_util_error why;

	errno = 0;
	why = btrfs_util_create_snapshot_fd2(source_fd, parent_fd, name,
					     read_only ? BTRFS_UTIL_CREATE_SNAPSHOT_READ_ONLY : 0,
					     NULL, NULL);
	return why ? fail(e, why, object, "create the snapshot") : 0;
}

int btrfs_subvol_delete(int parent_fd, const char *name, const char *object, struct err *e)
{
	enum btrfs_util_error why;

	errno = 0;
	why = btrfs_util_delete_subvolume_fd(parent_fd, name, 0);
	return why ? fail(e, why, object, "delete the subvolume") : 0;
}

static double seconds(struct timespec t)
{
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void convert(const struct btrfs_util_subvolume_info *i, const char *path,
		    struct btrfs_subvol *ret)
{
	*ret = (struct btrfs_subvol){
		.id = i->id,
		.parent_id = i->parent_id,
		.dir_id = i->dir_id,
		.path = path,
		.generation = i->generation,
		.created_generation = i->otransid,
		.read_only = i->flags & ROOT_FLAG_READ_ONLY,
		.created_s = seconds(i->otime),
		.changed_s = seconds(i->ctime),
	};
	memcpy(ret->uuid, i->uuid, sizeof ret->uuid);
	memcpy(ret->parent_uuid, i->parent_uuid, sizeof ret->parent_uuid);
	memcpy(ret->received_uuid, i->received_uuid, sizeof ret->received_uuid);
}

int btrfs_subvol_get(int fd, uint64_t id, const char *object, struct arena *a,
		     struct btrfs_subvol *ret, struct err *e)
{
	struct btrfs_util_subvolume_info info;
	enum btrfs_util_error why;
	char *path auto_free = NULL;

	errno = 0;
	why = btrfs_util_subvolume_info_fd(fd, id, &info);
	if (!why)
		why = btrfs_util_subvolume_path_fd(fd, info.id, &path);
	if (why)
		return fail(e, why, object, "read the subvolume");
	convert(&info, arena_str(a, path), ret);
	return 0;
}

static int by_id(const void *a, const void *b)
{
	const struct btrfs_subvol *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

int btrfs_subvol_list(int fd, const char *object, struct arena *a, struct btrfs_subvol **ret,
		      size_t *ret_n, struct err *e)
{
	struct btrfs_util_subvolume_iterator *iter;
	VEC(struct btrfs_subvol) v = { 0 };
	enum btrfs_util_error why;
	int r = 0;

	errno = 0;
	why = btrfs_util_create_subvolume_iterator_fd(fd, BTRFS_TOP_LEVEL, 0, &iter);
	if (why)
		return fail(e, why, object, "list the subvolumes");
	for (;;) {
		struct btrfs_util_subvolume_info info;
		char *path auto_free = NULL;
		uint64_t id;

		why = btrfs_util_subvolume_iterator_next(iter, &path, &id);
		if (why == BTRFS_UTIL_ERROR_STOP_ITERATION)
			break;
		if (!why)
			why = btrfs_util_subvolume_info_fd(fd, id, &info);
		if (why == BTRFS_UTIL_ERROR_SUBVOLUME_NOT_FOUND)
			continue; /* deleted meanwhile */
		if (why) {
			r = fail(e, why, object, "list the subvolumes");
			break;
		}
		convert(&info, arena_str(a, path), vec_add(&v));
	}
	btrfs_util_destroy_subvolume_iterator(iter);
	if (!r) {
		*ret = arena_alloc(a, (v.n + 1) * sizeof **ret);
		*ret_n = v.n;
		if (v.n) {
			memcpy(*ret, v.items, v.n * sizeof **ret);
			qsort(*ret, v.n, sizeof **ret, by_id);
		}
	}
	vec_free(&v);
	return r;
}

int btrfs_subvol_is_dropping(int fd, uint64_t id, const char *object, struct err *e)
{
	uint64_t *ids auto_free = NULL;
	enum btrfs_util_error why;
	size_t n;

	errno = 0;
	why = btrfs_util_deleted_subvolumes_fd(fd, &ids, &n);
	if (why)
		return fail(e, why, object, "list the deleted subvolumes");
	for (size_t i = 0; i < n; i++)
		if (ids[i] == id)
			return 1;
	return 0;
}

int btrfs_subvol_default(int fd, const char *object, uint64_t *ret_id, struct err *e)
{
	enum btrfs_util_error why;

	errno = 0;
	why = btrfs_util_get_default_subvolume_fd(fd, ret_id);
	return why ? fail(e, why, object, "read the default subvolume") : 0;
}
