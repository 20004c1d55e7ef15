/* Limiting what a subvolume may hold: see subvolume.h. */
#include "lib/storage/subvolume_parts.h"

#include <errno.h>

/* The word "none" of max_bytes, see core/field.h. */
#define NO_LIMIT (U64_NONE - 1)
static const char *const limit_words[] = { "none", NULL };

struct quota_params {
	const char *name, *fs;
	uint64_t max_bytes;
};

static const struct field params[] = {
	FIELD(struct quota_params, name, REQUIRED | OPERAND, "path below the top level"),
	FIELD(struct quota_params, max_bytes, REQUIRED | OPERAND,
	      "what the subvolume may refer to, or none", .arg = "BYTES", .names = limit_words),
	FS_PARAM(struct quota_params),
	FIELD_END,
};

/* Quotas that are off are turned on for a limit, and left off for none. */
static int set_limit(struct world *w, const struct btrfs_fs *fs, const char *name, uint64_t id,
		     uint64_t max_bytes, struct err *e)
{
	enum btrfs_quota_mode mode;
	struct btrfs_quota q;
	int r = btrfs_quota_get(&w->root, fs->info.uuid, fs->fd, fs->name, &q, e);

	if (r || (q.mode == BTRFS_QUOTA_OFF && max_bytes == U64_NONE))
		return r;
	if (q.mode == BTRFS_QUOTA_OFF) {
		r = btrfs_quota_enable(fs->fd, fs->name, &mode, e);
		if (r)
			return r;
		if (mode == BTRFS_QUOTA_SIMPLE)
			world_warn(w, "%s: simple quotas are on from now; what was written before does "
				      "not count against limits", fs->name);
		else
			world_warn(w, "%s: full quotas are on from now; limits hold when the first count "
				      "has ended", fs->name);
	}
	r = btrfs_qgroup_limit(fs->fd, name, id, max_bytes, e);
	if (r == -ENOENT && max_bytes == U64_NONE)
		return 0;
	if (r == -ENOENT) {
		r = btrfs_qgroup_create(fs->fd, name, id, e);
		if (!r)
			r = btrfs_qgroup_limit(fs->fd, name, id, max_bytes, e);
	}
	return r;
}

static void tell_state(struct world *w, const struct btrfs_fs *fs, const char *name, uint64_t id)
{
	struct err ignored = { 0 };
	struct btrfs_quota q;
	struct btrfs_qgroup g;

	if (btrfs_quota_get(&w->root, fs->info.uuid, fs->fd, fs->name, &q, &ignored))
		return;
	if (q.inconsistent && !q.rescanning)
		world_warn(w, "%s: quotas are inconsistent, so limits do not hold; count again with "
			      "btrfs quota rescan", fs->name);
	if (btrfs_qgroup_get(&w->root, fs->info.uuid, id, &g) && g.max_bytes != U64_NONE &&
	    g.referenced_bytes != U64_NONE && g.referenced_bytes > g.max_bytes)
		world_warn(w, "%s: holds more than the limit already; nothing can be written to it",
			   name);
}

static int set_quota(struct world *w, const void *run_params, struct sink *out, struct err *e)
{
	const struct quota_params *p = run_params;
	struct btrfs_fs fs auto_btrfs_fs = BTRFS_FS_CLOSED;
	uint64_t id, max_bytes = p->max_bytes == NO_LIMIT ? U64_NONE : p->max_bytes;
	int fd auto_close = -1;
	int r = subvolume_check_name(p->name, false, e);

	if (!r && !p->max_bytes)
		r = err_make(e, ERR_INVALID, -EINVAL, p->name, "give none to take the limit away",
			     "a limit of 0 bytes is no limit that could be kept");
	if (!r)
		r = btrfs_fs_open_top(w, p->fs, true, &fs, e);
	if (r)
		return r;
	fd = subvol_open(&fs, p->name, &id, e);
	if (fd < 0)
		return fd;
	r = set_limit(w, &fs, p->name, id, max_bytes, e);
	if (!r)
		r = btrfs_commit(fs.fd, fs.name, e);
	if (r)
		return r;
	tell_state(w, &fs, p->name, id);
	return subvol_emit(w, &fs, id, &subvolume_quota_table, out, e);
}

#define SV(member, flags, help) FIELD(struct subvolume, member, flags, help)
static const struct field row_fields[] = {
	SV(id, 0, "subvolume ID"),
	SV(path, KEY, "path below the filesystem's top level"),
	SV(max_bytes, 0, "its quota: what it may refer to"),
	SV(referenced_bytes, 0, "what it refers to now"),
	SV(exclusive_bytes, WIDE, "of that, what no other subvolume shares"),
	SV(quota, 0, "kind of quotas the filesystem has: off, simple or full"),
	SV(quota_inconsistent, 0, "its quotas are miscounted and do not hold"),
	FIELD_END,
};
const struct table subvolume_quota_table =
	TABLE(struct subvolume, "quota", "the subvolume's quota as it is now", row_fields);

const struct operation set_quota_op = {
	.name = "set_quota",
	.summary = "limit what a subvolume may hold, or take the limit away",
	.params = params,
	.params_size = sizeof(struct quota_params),
	.tables = TABLES(&subvolume_quota_table),
	.flags = OP_CHANGES | OP_ONE_ROW,
	.run = set_quota,
};
