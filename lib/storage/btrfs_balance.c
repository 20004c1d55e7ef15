/* Balance: see btrfs_balance.h. */
#include "lib/storage/btrfs_balance.h"

#include "lib/core/background.h"

#include <errno.h>

enum { IDLE, RUNNING, PAUSED, PAUSING, CANCELLING, FINISHED, CANCELLED };
static const char *const state_names[] = { "idle",	 "running",  "paused",	  "pausing",
					   "cancelling", "finished", "cancelled", NULL };

#define BA(member, flags, help, ...) FIELD(struct balance, member, flags, help, ##__VA_ARGS__)
static const struct field fields[] = {
	BA(path, KEY, "mount point"),
	BA(uuid, WIDE, "UUID of the filesystem"),
	BA(state, 0, "idle, running, paused, pausing, cancelling, finished or cancelled",
	   .names = state_names),
	BA(expected_chunks, 0, "chunks that it expects to rewrite"),
	BA(considered_chunks, 0, "chunks looked at"),
	BA(completed_chunks, 0, "chunks rewritten"),
	BA(left_percent, 0, "how much of the expected ones is left"),
	BA(exclusive_operation, 0, "what the filesystem is busy with"),
	FIELD_END,
};
const struct table balance_table = TABLE(struct balance, "balance", "the balance", fields);

int btrfs_busy(struct world *w, const struct btrfs_fs *fs, struct err *e)
{
	const char *what = btrfs_exclusive_operation(&w->root, fs->info.uuid, w->mem);

	return err_make(e, ERR_FAILED, -EINPROGRESS, fs->name, "wait for its end, or cancel it",
			"another exclusive operation runs: %s", what ? what : "it just ended");
}

struct job {
	struct world *w;
	const char *what;
	const struct btrfs_fs *fs;
	const struct btrfs_balance_filter *filter;
	struct btrfs_balance result;
	struct err e;
};

static int work(void *arg)
{
	struct job *j = arg;

	return btrfs_balance(j->fs->fd, j->fs->name, j->filter, &j->result, &j->e);
}

static void tick(void *arg)
{
	struct job *j = arg;
	struct btrfs_balance now;
	struct err ignored;

	if (*j->w->stop)
		btrfs_balance_cancel(j->fs->fd, j->fs->name, &ignored);
	if (btrfs_balance_progress(j->fs->fd, j->fs->name, &now, &ignored) == 1)
		j->w->report(j->w, j->what, now.completed, now.expected);
}

int balance_run(struct world *w, const struct btrfs_fs *fs, const struct btrfs_balance_filter *f,
		struct btrfs_balance *ret, struct err *e)
{
	struct job j = { .w = w, .fs = fs, .filter = f,
			 .what = arena_printf(w->mem, "balance %s", fs->name) };
	int r = background_run(work, tick, &j);

	*ret = j.result;
	if (r == -EINPROGRESS)
		return btrfs_busy(w, fs, e);
	if (r == -ECANCELED)
		return err_make(e, ERR_FAILED, *w->stop ? -EINTR : -ECANCELED, fs->name, NULL,
				"the balance was %s after %llu of about %llu chunks",
				j.result.pausing ? "paused" : "cancelled",
				(unsigned long long)j.result.completed,
				(unsigned long long)j.result.expected);
	if (r == -ENOSPC)
		return err_make(e, ERR_FAILED, r, fs->name,
				"balance with a low --usage first, or free some space",
				"no space to move %s to",
				j.result.expected ? "some of the chunks" : "the chunks");
	if (r && j.e.code)
		*e = j.e;
	else if (r)
		err_sys(e, r, fs->name, "start a thread for the balance");
	return r;
}

static int emit(struct world *w, const struct btrfs_fs *fs, const struct btrfs_balance *b,
		uint32_t state, struct sink *out)
{
	struct balance row = {
		.path = fs->name,
		.uuid = fs->info.uuid,
		.state = state,
		.expected_chunks = state == IDLE ? U64_NONE : b->expected,
		.considered_chunks = state == IDLE ? U64_NONE : b->considered,
		.completed_chunks = state == IDLE ? U64_NONE : b->completed,
		.left_percent = DOUBLE_NONE,
		.exclusive_operation =
			btrfs_exclusive_operation(&w->root, fs->info.uuid, w->mem),
	};

	if (state != IDLE && b->expected)
		row.left_percent = b->completed < b->expected
					   ? 100.0 * (1 - (double)b->completed / (double)b->expected)
					   : 0;
	return sink_row(out, &balance_table, &row);
}

struct start_params {
	const char *mount_point;
	uint64_t usage_percent, limit;
	bool data, metadata;
};
static const struct field start_params[] = {
	FIELD(struct start_params, mount_point, REQUIRED | OPERAND, "where the btrfs is mounted",
	      .complete = "mount"),
	FIELD(struct start_params, usage_percent, 0,
	      "only chunks of which less than N % is used (0: empty ones)", .option = "usage",
	      .arg = "N", .unit = UNIT_NONE),
	FIELD(struct start_params, limit, 0, "at most N chunks of each type", .arg = "N"),
	FIELD(struct start_params, data, 0, "only data chunks"),
	FIELD(struct start_params, metadata, 0, "only metadata and system chunks"),
	FIELD_END,
};

static int balance_start(struct world *w, const void *params, struct sink *out, struct err *e)
{
	const struct start_params *p = params;
	struct btrfs_fs fs auto_btrfs_fs = BTRFS_FS_CLOSED;
	struct btrfs_balance done;
	struct btrfs_balance_filter f = {
		.types = (p->data || !p->metadata ? BTRFS_DATA : 0) |
			 (p->metadata || !p->data ? BTRFS_METADATA : 0),
		.usage_percent = p->usage_percent,
		.limit = p->limit,
	};
	int r;

	if (p->usage_percent != U64_NONE && p->usage_percent > 100)
		return err_make(e, ERR_INVALID, -EINVAL, "--usage", NULL, "give 0 to 100 percent");
	r = btrfs_fs_open_mounted(w, p->mount_point, &fs, e);
	if (r)
		return r;
	if (f.usage_percent == U64_NONE && f.limit == U64_NONE)
		world_warn(w, "%s: a balance without --usage or --limit rewrites everything, which "
			      "takes long and is seldom needed", fs.name);
	r = balance_run(w, &fs, &f, &done, e);
	return r ? r : emit(w, &fs, &done, FINISHED, out);
}

const struct operation balance_start_op = {
	.name = "balance_start",
	.summary = "rewrite a btrfs's chunks, all or the mostly empty ones",
	.params = start_params,
	.params_size = sizeof(struct start_params),
	.tables = TABLES(&balance_table),
	.flags = OP_CHANGES | OP_LONG | OP_ONE_ROW,
	.run = balance_start,
};

static int balance_status(struct world *w, const void *params, struct sink *out, struct err *e)
{
	const struct btrfs_mount_params *p = params;
	struct btrfs_fs fs auto_btrfs_fs = BTRFS_FS_CLOSED;
	struct btrfs_balance b;
	int r = btrfs_fs_open_mounted(w, p->mount_point, &fs, e);

	if (r)
		return r;
	r = btrfs_balance_progress(fs.fd, fs.name, &b, e);
	if (r < 0)
		return r;
	return emit(w, &fs, &b,
		    r == 0	    ? IDLE
		    : b.cancelling ? CANCELLING
		    : b.pausing    ? PAUSING
		    : b.running    ? RUNNING
				   : PAUSED,
		    out);
}

const struct operation balance_status_op = {
	.name = "balance_status",
	.summary = "how far the balance of a btrfs is",
	.params = btrfs_mount_fields,
	.params_size = sizeof(struct btrfs_mount_params),
	.tables = TABLES(&balance_table),
	.flags = OP_ONE_ROW,
	.run = balance_status,
};

static int balance_cancel(struct world *w, const void *params, struct sink *out, struct err *e)
{
	const struct btrfs_mount_params *p = params;
	struct btrfs_fs fs auto_btrfs_fs = BTRFS_FS_CLOSED;
	int r = btrfs_fs_open_mounted(w, p->mount_point, &fs, e);

	(void)out;
	if (!r)
		r = btrfs_balance_cancel(fs.fd, fs.name, e);
	if (r == 0)
		return err_make(e, ERR_FAILED, -ENOTCONN, p->mount_point, NULL,
				"no balance runs or is paused");
	return r < 0 ? r : 0;
}

const struct operation balance_cancel_op = {
	.name = "balance_cancel",
	.summary = "end the running or paused balance of a btrfs",
	.params = btrfs_mount_fields,
	.params_size = sizeof(struct btrfs_mount_params),
	.flags = OP_CHANGES,
	.run = balance_cancel,
};
