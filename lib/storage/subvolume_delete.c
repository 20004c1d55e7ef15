/* Deleting subvolumes, so that they stay deleted: see subvolume.h. */
#include "lib/storage/subvolume_parts.h"

#include <errno.h>
#include <time.h>

struct delete_params {
	const char *name, *fs;
	bool recursive, wait;
};

static const struct field params[] = {
	FIELD(struct delete_params, name, REQUIRED | OPERAND, "path below the top level"),
	FIELD(struct delete_params, recursive, 0, "delete the subvolumes inside it too",
	      .letter = 'r'),
	FIELD(struct delete_params, wait, 0, "wait until its space is free again"),
	FS_PARAM(struct delete_params),
	FIELD_END,
};

struct deleted {
	uint64_t id;
	const char *path;
	bool durable;
	const char *qgroup;
};

static const struct field row_fields[] = {
	FIELD(struct deleted, id, 0, "subvolume ID it had"),
	FIELD(struct deleted, path, KEY, "path it had below the top level"),
	FIELD(struct deleted, durable, 0, "the deletion is on the disk and survives a power cut"),
	FIELD(struct deleted, qgroup, 0,
	      "its quota group: removed, or kept while its space is being freed"),
	FIELD_END,
};
static const struct table deleted_table =
	TABLE(struct deleted, "deleted", "what was deleted, innermost first", row_fields);

static bool is_inside(const char *path, const char *outer)
{
	return starts_with(path, outer) && path[strlen(outer)] == '/';
}

static int refuse_core(const char *name, struct err *e)
{
	if (!strlist_has(core_subvolumes, name))
		return 0;
	return err_make(e, ERR_INVALID, -EPERM, name, NULL,
			"is a core subvolume and is never deleted");
}

/* Deleting a mounted subvolume pulls the files from under whoever works there. */
static int refuse_mounted(struct world *w, const struct btrfs_fs *fs, const char *path,
			  struct err *e)
{
	struct btrfs_mount *m;
	size_t n;
	int r = btrfs_fs_mounts(w, fs, &m, &n, e);

	for (size_t i = 0; !r && i < n; i++) {
		const char *root = m[i].root[0] == '/' ? m[i].root + 1 : m[i].root;

		if (streq(root, path) || is_inside(root, path))
			r = err_make(e, ERR_FAILED, -EBUSY, path, "unmount it first",
				     "is mounted at %s", m[i].target);
	}
	return r;
}

static int refuse_default(const struct btrfs_fs *fs, const struct btrfs_subvol *s, struct err *e)
{
	uint64_t id;
	int r = btrfs_subvol_default(fs->fd, fs->name, &id, e);

	if (r || id != s->id)
		return r;
	return err_make(e, ERR_FAILED, -EBUSY, s->path,
			"choose another one with btrfs subvolume set-default",
			"is what a mount without subvol= gets");
}

/* A subvolume inside another has the longer path. */
static int innermost_first(const void *a, const void *b)
{
	size_t x = strlen(((const struct btrfs_subvol *)a)->path);
	size_t y = strlen(((const struct btrfs_subvol *)b)->path);

	return (x < y) - (x > y);
}

/* The doomed: the subvolume and, innermost first, those inside it. In the arena. */
static int choose(struct world *w, const struct btrfs_fs *fs, const struct delete_params *p,
		  struct btrfs_subvol **ret, size_t *ret_n, struct err *e)
{
	int fd auto_close = -1;
	struct btrfs_subvol *all, self = { 0 };
	size_t n, count = 0;
	uint64_t id;
	int r;

	fd = subvol_open(fs, p->name, &id, e);
	if (fd < 0)
		return fd;
	r = btrfs_subvol_list(fs->fd, fs->name, w->mem, &all, &n, e);
	if (r)
		return r;
	*ret = arena_alloc(w->mem, (n + 1) * sizeof **ret);
	for (size_t i = 0; i < n; i++) {
		if (all[i].id == id)
			self = all[i];
		else if (is_inside(all[i].path, p->name))
			(*ret)[count++] = all[i];
	}
	if (!self.path)
		return err_make(e, ERR_FAILED, -ENOENT, p->name, NULL, "went away meanwhile");
	if (count && !p->recursive)
		return err_make(e, ERR_FAILED, -ENOTEMPTY, p->name,
				"delete them first, or give --recursive",
				"holds %zu other subvolume%s, such as %s", count,
				count == 1 ? "" : "s", (*ret)[0].path);
	(*ret)[count++] = self;
	qsort(*ret, count, sizeof **ret, innermost_first);
	*ret_n = count;
	for (size_t i = 0; i < count && !r; i++) {
		r = refuse_mounted(w, fs, (*ret)[i].path, e);
		if (!r)
			r = refuse_default(fs, &(*ret)[i], e);
	}
	return r;
}

static int delete_one(struct world *w, const struct btrfs_fs *fs, const char *path, struct err *e)
{
	const char *leaf;
	int parent auto_close = subvol_open_parent(fs, path, &leaf, w->mem, e);
	int r;

	if (parent < 0)
		return parent;
	r = btrfs_subvol_delete(parent, leaf, path, e);
	if (r == -EROFS)
		return err_make(e, ERR_FAILED, r, path, NULL,
				"the filesystem, or the subvolume that holds it, is read-only");
	if (r == -EDQUOT)
		return err_make(e, ERR_FAILED, r, path, "raise its limit first, with set-quota",
				"the subvolume that holds it is at its limit");
	if (r == -EPERM && !geteuid())
		return err_make(e, ERR_FAILED, r, path, NULL,
				"the kernel keeps it: it is the target of a send, or holds swap in use");
	return r;
}

/*
 * Removing a subvolume from one that is at its limit takes metadata of that one, which fails with
 * -EDQUOT (seen on Linux 6.1). Where the outer ones are to be deleted too, their limits may go.
 */
static int lift_limits(const struct btrfs_fs *fs, const struct btrfs_subvol *s, size_t n)
{
	struct err ignored = { 0 };
	int r = 0;

	for (size_t i = 0; i < n; i++) {
		int one = btrfs_qgroup_limit(fs->fd, s[i].path, s[i].id, U64_NONE, &ignored);

		r = one && one != -ENOENT ? one : r;
	}
	return r;
}

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }, NULL);
}

/*
 * The quota group of a deleted subvolume goes only when it is empty: after its space is free and
 * that is committed. Before, it is -EBUSY (btrfs-progs issue 782). Linux 6.11 removes it then by
 * itself. So a few seconds are worth waiting, not more.
 */
static void remove_qgroup(struct world *w, const struct btrfs_fs *fs, struct deleted *d,
			  int *budget_ms)
{
	struct err ignored = { 0 };
	int r;

	while ((r = btrfs_qgroup_remove(fs->fd, fs->name, d->id, &ignored)) == -EBUSY &&
	       *budget_ms > 0 && !*w->stop) {
		if (btrfs_subvol_is_dropping(fs->fd, d->id, fs->name, &ignored) == 0)
			btrfs_commit(fs->fd, fs->name, &ignored);
		pause_ms(50);
		*budget_ms -= 50;
	}
	d->qgroup = !r || r == -ENOENT ? "removed" : r == -ENOTCONN ? NULL : "kept";
}

static int wait_freed(struct world *w, const struct btrfs_fs *fs, const struct deleted *d,
		      size_t n, struct err *e)
{
	size_t done = 0;

	for (; done < n; done++) {
		int r;

		while ((r = btrfs_subvol_is_dropping(fs->fd, d[done].id, fs->name, e)) == 1) {
			if (*w->stop)
				return err_make(e, ERR_FAILED, -EINTR, d[done].path, NULL,
						"deleted; stopped waiting for its space");
			w->report(w, "free the space of deleted subvolumes", done, n);
			pause_ms(100);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static int delete_subvolume(struct world *w, const void *run_params, struct sink *out,
			    struct err *e)
{
	const struct delete_params *p = run_params;
	struct btrfs_fs fs auto_btrfs_fs = BTRFS_FS_CLOSED;
	struct err late = { 0 };
	struct btrfs_subvol *doomed;
	struct btrfs_quota quota;
	struct deleted *rows;
	size_t n = 0, done = 0;
	int budget_ms = 3000, r, committed;

	r = subvolume_check_name(p->name, false, e);
	if (!r)
		r = refuse_core(p->name, e);
	if (!r)
		r = btrfs_fs_open_top(w, p->fs, true, &fs, e);
	if (!r)
		r = choose(w, &fs, p, &doomed, &n, e);
	if (!r)
		r = btrfs_quota_get(&w->root, fs.info.uuid, fs.fd, fs.name, &quota, e);
	if (r)
		return r;
	rows = arena_alloc(w->mem, n * sizeof *rows);
	for (; done < n && !r; done += !r) {
		r = delete_one(w, &fs, doomed[done].path, e);
		if (r == -EDQUOT && done + 1 < n && !lift_limits(&fs, &doomed[done + 1], n - done - 1))
			r = delete_one(w, &fs, doomed[done].path, e);
		rows[done] = (struct deleted){ .id = doomed[done].id, .path = doomed[done].path };
	}
	/* What was deleted before a failure is committed and told as well. */
	committed = done ? btrfs_commit(fs.fd, fs.name, &late) : 0;
	if (!committed && !r && p->wait)
		r = wait_freed(w, &fs, rows, done, e);
	for (size_t i = 0; i < done; i++) {
		int sunk;

		rows[i].durable = !committed;
		if (!committed && quota.mode != BTRFS_QUOTA_OFF)
			remove_qgroup(w, &fs, &rows[i], &budget_ms);
		sunk = sink_row(out, &deleted_table, &rows[i]);
		r = r ? r : sunk;
	}
	if (committed && !r)
		r = err_make(e, ERR_FAILED, committed, p->name, NULL,
			     "deleted, but not yet on the disk: it may be back after a crash (%s)",
			     late.found);
	return r;
}

const struct operation delete_subvolume_op = {
	.name = "delete_subvolume",
	.summary = "delete a subvolume; core ones (system, etc, modules, vm-meta) never",
	.params = params,
	.params_size = sizeof(struct delete_params),
	.tables = TABLES(&deleted_table),
	.flags = OP_CHANGES | OP_LONG,
	.run = delete_subvolume,
};
