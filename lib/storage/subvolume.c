/* Subvolumes by name: making, showing and listing them. Deletion is in subvolume_delete.c, quotas
 * in subvolume_quota.c. See subvolume.h. */
#include "lib/storage/subvolume_parts.h"

#include <errno.h>
#include <limits.h>

const char *const core_subvolumes[] = { "system", "etc", "modules", "vm-meta", NULL };

#define SV(member, flags, help, ...) FIELD(struct subvolume, member, flags, help, ##__VA_ARGS__)
#define SUBVOLUME_FIELDS                                                                       \
	SV(id, 0, "subvolume ID"),                                                             \
	SV(gen, 0, "generation of its last change"),                                           \
	SV(cgen, WIDE, "generation of its making"),                                            \
	SV(parent, WIDE, "ID of the subvolume that holds it"),                                 \
	SV(top_level, 0, "the same, by the name that btrfs subvolume list has for it"),        \
	SV(path, KEY, "path below the filesystem's top level"),                                \
	SV(read_only, 0, "it is a read-only one"),                                             \
	SV(uuid, WIDE, "its UUID"),                                                            \
	SV(parent_uuid, WIDE, "UUID of the subvolume it is a snapshot of"),                    \
	SV(received_uuid, WIDE, "UUID of the subvolume it was received from"),                 \
	SV(created_time, 0, "when it was made"),                                               \
	SV(changed_time, WIDE, "when an inode in it was last changed"),                        \
	SV(referenced_bytes, 0, "data and metadata it refers to, with quotas on"),             \
	SV(exclusive_bytes, WIDE, "of that, what no other subvolume shares"),                  \
	SV(max_bytes, 0, "its quota: what it may refer to"),                                   \
	SV(mount_points, 0, "where it is mounted")

static const struct field list_fields[] = { SUBVOLUME_FIELDS, FIELD_END };
static const struct field detail_fields[] = {
	SUBVOLUME_FIELDS,
	SV(snapshots, 0, "paths of its snapshots"),
	SV(quota, 0, "kind of quotas the filesystem has: off, simple or full"),
	SV(quota_inconsistent, 0, "its quotas are miscounted and do not hold"),
	FIELD_END,
};
const struct table subvolume_table = TABLE(struct subvolume, "subvolumes",
					   "subvolumes below the top level, by ID", list_fields);
const struct table subvolume_detail_table =
	TABLE(struct subvolume, "subvolume", "one subvolume", detail_fields);

static bool has_control(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			return true;
	return false;
}

int subvolume_check_name(const char *name, bool new, struct err *e)
{
	const char *what = NULL;

	if (!*name)
		what = "is empty";
	else if (*name == '/')
		what = "is absolute";
	else if (strlen(name) >= PATH_MAX)
		what = "is too long";
	for (const char *p = name; !what; p++) {
		size_t n = strcspn(p, "/");

		if (!n)
			what = "has an empty component";
		else if ((n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
			what = "has a component . or ..";
		else if (n > NAME_MAX)
			what = "has a component longer than 255 bytes";
		else if (new && has_control(p, n))
			what = "has a control character";
		p += n;
		if (!*p)
			break;
	}
	if (!what)
		return 0;
	return err_make(e, ERR_INVALID, -EINVAL, *name ? name : "subvolume name",
			"give a path below the filesystem's top level, such as system or a/b", "%s",
			what);
}

int subvol_open_parent(const struct btrfs_fs *fs, const char *name, const char **leaf,
		       struct arena *a, struct err *e)
{
	const char *slash = strrchr(name, '/');
	const char *dir = slash ? arena_strn(a, name, (size_t)(slash - name)) : ".";
	int fd = btrfs_open_below(fs->fd, dir, O_RDONLY | O_DIRECTORY);

	*leaf = slash ? slash + 1 : name;
	if (fd == -ENOENT)
		return err_make(e, ERR_INVALID, fd, name, "make it first",
				"its parent directory %s does not exist", dir);
	if (fd == -ELOOP || fd == -EXDEV)
		return err_make(e, ERR_INVALID, fd, name, NULL,
				"its parent %s leads through a link or another mount", dir);
	return fd < 0 ? err_sys(e, fd, name, "open its parent directory") : fd;
}

int subvol_open(const struct btrfs_fs *fs, const char *name, uint64_t *ret_id, struct err *e)
{
	int fd auto_close = btrfs_open_below(fs->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	int r;

	if (fd == -ENOENT)
		return err_make(e, ERR_INVALID, fd, name, NULL, "there is no such subvolume");
	if (fd == -ENOTDIR)
		return err_make(e, ERR_INVALID, fd, name, NULL, "is not a subvolume");
	if (fd == -ELOOP || fd == -EXDEV)
		return err_make(e, ERR_INVALID, fd, name, NULL,
				"leads through a link or another mount");
	if (fd < 0)
		return err_sys(e, fd, name, "open");
	r = btrfs_subvol_id(fd, name, ret_id, e);
	if (r == 0)
		return err_make(e, ERR_INVALID, -EINVAL, name, NULL,
				"is a directory, not a subvolume");
	return r < 0 ? r : take_fd(&fd);
}

static const char *uuid_or_null(const uint8_t uuid[16], struct arena *a)
{
	static const uint8_t none[16];
	char buf[BTRFS_UUID_TEXT];

	return memcmp(uuid, none, 16) ? arena_str(a, btrfs_uuid_text(buf, uuid)) : NULL;
}

/* The mount points that show this subvolume itself. */
static const char **mounted_at(const char *path, const struct btrfs_mount *mounts, size_t n,
			       struct arena *a)
{
	const char **list = NULL;

	for (size_t i = 0; i < n; i++)
		if (mounts[i].root[0] == '/' && streq(mounts[i].root + 1, path))
			strlist_add(a, &list, mounts[i].target);
	return list;
}

static void fill(struct world *w, const struct btrfs_fs *fs, const struct btrfs_subvol *s,
		 const struct btrfs_mount *mounts, size_t n_mounts, struct subvolume *ret)
{
	struct btrfs_qgroup q;

	btrfs_qgroup_get(&w->root, fs->info.uuid, s->id, &q);
	*ret = (struct subvolume){
		.id = s->id,
		.gen = s->generation,
		.cgen = s->created_generation,
		.parent = s->parent_id,
		.top_level = s->parent_id,
		.path = s->path,
		.read_only = s->read_only,
		.uuid = uuid_or_null(s->uuid, w->mem),
		.parent_uuid = uuid_or_null(s->parent_uuid, w->mem),
		.received_uuid = uuid_or_null(s->received_uuid, w->mem),
		.created_time = s->created_s > 0 ? s->created_s : DOUBLE_NONE,
		.changed_time = s->changed_s > 0 ? s->changed_s : DOUBLE_NONE,
		.referenced_bytes = q.referenced_bytes,
		.exclusive_bytes = q.exclusive_bytes,
		.max_bytes = q.max_bytes,
		.mount_points = mounted_at(s->path, mounts, n_mounts, w->mem),
	};
}

int subvol_emit(struct world *w, const struct btrfs_fs *fs, uint64_t id, const struct table *t,
		struct sink *out, struct err *e)
{
	struct btrfs_mount *mounts;
	struct btrfs_subvol s;
	struct btrfs_quota q;
	struct subvolume row;
	size_t n;
	int r = btrfs_subvol_get(fs->fd, id, fs->name, w->mem, &s, e);

	if (!r)
		r = btrfs_fs_mounts(w, fs, &mounts, &n, e);
	if (!r)
		r = btrfs_quota_get(&w->root, fs->info.uuid, fs->fd, fs->name, &q, e);
	if (r)
		return r;
	fill(w, fs, &s, mounts, n, &row);
	row.quota = btrfs_quota_mode_names[q.mode];
	row.quota_inconsistent = q.inconsistent && !q.rescanning;
	if (t == &subvolume_detail_table && row.uuid) {
		struct btrfs_subvol *all;

		r = btrfs_subvol_list(fs->fd, fs->name, w->mem, &all, &n, e);
		if (r)
			return r;
		for (size_t i = 0; i < n; i++)
			if (!memcmp(all[i].parent_uuid, s.uuid, sizeof s.uuid))
				strlist_add(w->mem, &row.snapshots, all[i].path);
	}
	return sink_row(out, t, &row);
}

struct fs_params {
	const char *fs;
};

static const struct field list_params[] = { FS_PARAM(struct fs_params), FIELD_END };

static int list_subvolumes(struct world *w, const void *params, struct sink *out, struct err *e)
{
	const struct fs_params *p = params;
	struct btrfs_fs fs auto_btrfs_fs = BTRFS_FS_CLOSED;
	struct btrfs_mount *mounts;
	struct btrfs_subvol *all;
	size_t n, n_mounts;
	int r = btrfs_fs_open_top(w, p->fs, false, &fs, e);

	if (!r)
		r = btrfs_subvol_list(fs.fd, fs.name, w->mem, &all, &n, e);
	if (!r)
		r = btrfs_fs_mounts(w, &fs, &mounts, &n_mounts, e);
	for (size_t i = 0; !r && i < n; i++) {
		struct subvolume row;

		fill(w, &fs, &all[i], mounts, n_mounts, &row);
		r = sink_row(out, &subvolume_table, &row);
	}
	return r;
}

const struct operation list_subvolumes_op = {
	.name = "list_subvolumes",
	.summary = "list a btrfs's subvolumes",
	.params = list_params,
	.params_size = sizeof(struct fs_params),
	.tables = TABLES(&subvolume_table),
	.run = list_subvolumes,
};

struct name_params {
	const char *name, *fs;
};

static const struct field show_params[] = {
	FIELD(struct name_params, name, REQUIRED | OPERAND, "path below the top level"),
	FS_PARAM(struct name_params),
	FIELD_END,
};

static int show_subvolume(struct world *w, const void *params, struct sink *out, struct err *e)
{
	const struct name_params *p = params;
	struct btrfs_fs fs auto_btrfs_fs = BTRFS_FS_CLOSED;
	int fd auto_close = -1;
	uint64_t id;
	int r = subvolume_check_name(p->name, false, e);

	if (!r)
		r = btrfs_fs_open_top(w, p->fs, false, &fs, e);
	if (r)
		return r;
	fd = subvol_open(&fs, p->name, &id, e);
	return fd < 0 ? fd : subvol_emit(w, &fs, id, &subvolume_detail_table, out, e);
}

const struct operation show_subvolume_op = {
	.name = "show_subvolume",
	.summary = "show one subvolume and its snapshots",
	.params = show_params,
	.params_size = sizeof(struct name_params),
	.tables = TABLES(&subvolume_detail_table),
	.flags = OP_ONE_ROW,
	.run = show_subvolume,
};

/* The kernel's reasons in words that say what to do. */
static int explain_make(struct err *e, int r, const char *name)
{
	if (r == -EEXIST)
		return err_make(e, ERR_FAILED, r, name, "choose another name", "exists already");
	if (r == -ENOSPC)
		return err_make(e, ERR_FAILED, r, name,
				"delete something, add space, or balance with a usage filter",
				"the filesystem has no space left for it");
	if (r == -EROFS)
		return err_make(e, ERR_FAILED, r, name, NULL,
				"the filesystem, or the subvolume that would hold it, is read-only");
	return r;
}

/* The new subvolume is committed, so that it is there after a power cut too; then shown. */
static int finish_make(struct world *w, const struct btrfs_fs *fs, const char *name, bool commit,
		       struct sink *out, struct err *e)
{
	int fd auto_close = -1;
	uint64_t id;
	int r = commit ? btrfs_commit(fs->fd, fs->name, e) : 0;

	if (r)
		return r;
	fd = subvol_open(fs, name, &id, e);
	return fd < 0 ? fd : subvol_emit(w, fs, id, &subvolume_table, out, e);
}

struct create_params {
	const char *name, *fs;
	bool no_commit;
};

static const struct field create_params[] = {
	FIELD(struct create_params, name, REQUIRED | OPERAND, "path below the top level"),
	FS_PARAM(struct create_params),
	FIELD(struct create_params, no_commit, 0,
	      "leave it to the next commit of the filesystem to make it durable"),
	FIELD_END,
};

static int create_subvolume(struct world *w, const void *params, struct sink *out, struct err *e)
{
	const struct create_params *p = params;
	struct btrfs_fs fs auto_btrfs_fs = BTRFS_FS_CLOSED;
	int parent auto_close = -1;
	const char *leaf;
	int r = subvolume_check_name(p->name, true, e);

	if (!r)
		r = btrfs_fs_open_top(w, p->fs, true, &fs, e);
	if (r)
		return r;
	parent = subvol_open_parent(&fs, p->name, &leaf, w->mem, e);
	if (parent < 0)
		return parent;
	r = btrfs_subvol_create(parent, leaf, p->name, e);
	return r ? explain_make(e, r, p->name) : finish_make(w, &fs, p->name, !p->no_commit, out, e);
}

const struct operation create_subvolume_op = {
	.name = "create_subvolume",
	.summary = "make a subvolume",
	.params = create_params,
	.params_size = sizeof(struct create_params),
	.tables = TABLES(&subvolume_table),
	.flags = OP_CHANGES | OP_ONE_ROW,
	.run = create_subvolume,
};

struct snapshot_params {
	const char *source, *snapshot, *fs;
	bool writable;
};

static const struct field snapshot_params[] = {
	FIELD(struct snapshot_params, source, REQUIRED | OPERAND, "subvolume to take it of"),
	FIELD(struct snapshot_params, snapshot, REQUIRED | OPERAND, "its path below the top level"),
	FIELD(struct snapshot_params, writable, 0, "make it writable; usually it is read-only",
	      .letter = 'w'),
	FS_PARAM(struct snapshot_params),
	FIELD_END,
};

static int snapshot_subvolume(struct world *w, const void *params, struct sink *out,
			      struct err *e)
{
	const struct snapshot_params *p = params;
	struct btrfs_fs fs auto_btrfs_fs = BTRFS_FS_CLOSED;
	int source auto_close = -1, parent auto_close = -1;
	const char *leaf;
	uint64_t id;
	int r = subvolume_check_name(p->source, false, e);

	if (!r)
		r = subvolume_check_name(p->snapshot, true, e);
	if (!r)
		r = btrfs_fs_open_top(w, p->fs, true, &fs, e);
	if (r)
		return r;
	source = subvol_open(&fs, p->source, &id, e);
	if (source < 0)
		return source;
	parent = subvol_open_parent(&fs, p->snapshot, &leaf, w->mem, e);
	if (parent < 0)
		return parent;
	r = btrfs_subvol_snapshot(source, parent, leaf, !p->writable, p->snapshot, e);
	return r ? explain_make(e, r, p->snapshot) : finish_make(w, &fs, p->snapshot, true, out, e);
}

const struct operation snapshot_subvolume_op = {
	.name = "snapshot_subvolume",
	.summary = "take a snapshot of a subvolume, read-only unless asked otherwise",
	.params = snapshot_params,
	.params_size = sizeof(struct snapshot_params),
	.tables = TABLES(&subvolume_table),
	.flags = OP_CHANGES | OP_ONE_ROW,
	.run = snapshot_subvolume,
};
