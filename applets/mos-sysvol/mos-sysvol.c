/* mos-sysvol: find, or partition, format and mount, a node's system storage at boot. */
#include "mos-sysvol.h"

#include "lib/core/applet.h"
#include "lib/core/clock.h"
#include "lib/core/run.h"
#include "lib/core/size.h"
#include "lib/os/block.h"
#include "lib/os/module.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

struct params {
	uint64_t size_gib, swap_gib;
	const char **disks;
	bool degraded, dry_run;
	double wait_s;
	const char *target;
};

static const struct field param_fields[] = {
	FIELD(struct params, size_gib, 0, "size of mosdata in GiB; mossize= of the kernel command "
					  "line, else 4", .option = "size", .arg = "GIB"),
	FIELD(struct params, swap_gib, 0, "size of mosswap in GiB; mosswap=, else 2",
	      .option = "swap", .arg = "GIB"),
	FIELD(struct params, disks, 0, "take or look at this disk only, by serial, WWN or path; may "
				       "be given twice; mosdisk=A,B", .option = "disk",
	      .arg = "DISK", .complete = "disk"),
	FIELD(struct params, degraded, 0, "go on with a mirror half missing; mosdegraded=1"),
	FIELD(struct params, wait_s, 0, "how long to wait for late disks", .def = "10"),
	FIELD(struct params, target, 0, "mount below this directory instead of /", .arg = "DIR",
	      .complete = "dir"),
	FIELD(struct params, dry_run, 0, "print the plan and change nothing"),
	FIELD_END,
};

static const struct field status_fields[] = {
	FIELD(struct params, disks, 0, "look at the storage on this disk, by serial, WWN or path",
	      .option = "disk", .arg = "DISK", .complete = "disk"),
	FIELD(struct params, target, 0, "mount points are below this directory instead of /",
	      .arg = "DIR", .complete = "dir"),
	FIELD_END,
};

struct storage_row {
	const char *target, *source, *fstype, *state;
};

static const struct field storage_fields[] = {
	FIELD(struct storage_row, target, 0, "mount point, or [SWAP]"),
	FIELD(struct storage_row, source, 0, "partition or array"),
	FIELD(struct storage_row, fstype, 0, "filesystem type"),
	FIELD(struct storage_row, state, 0, "brought up, already there, not there"),
	FIELD_END,
};
static const struct table storage_table =
	TABLE(struct storage_row, "storage", "the node's system storage", storage_fields);

/* The value of key= on the kernel command line; the last one wins, as for the kernel. */
static const char *cmdline_value(struct arena *a, const char *cmdline, const char *key)
{
	const char *found = NULL;
	size_t n = strlen(key);

	while (cmdline && *cmdline) {
		size_t word = strcspn(cmdline, " \t\n");

		if (!strncmp(cmdline, key, n) && cmdline[n] == '=')
			found = arena_strn(a, cmdline + n + 1, word - n - 1);
		cmdline += word;
		while (*cmdline == ' ' || *cmdline == '\t' || *cmdline == '\n')
			cmdline++;
	}
	return found;
}

static int gib_value(const char *cmdline, const char *key, uint64_t given, uint64_t fallback,
		     struct arena *a, uint64_t *ret_bytes, struct err *e)
{
	const char *text = cmdline_value(a, cmdline, key);
	uint64_t gib = given != U64_NONE ? given : fallback;
	char *end;

	if (given == U64_NONE && text) {
		errno = 0;
		gib = strtoull(text, &end, 10);
		if (errno || end == text || *end || *text == '-')
			return err_make(e, ERR_INVALID, -EINVAL, key,
					"give a whole number of GiB, as in mossize=8",
					"'%s' on the kernel command line is no size", text);
	}
	if (!gib || gib > UINT64_MAX / GiB / 4)
		return err_make(e, ERR_INVALID, -EINVAL, key, "give 1 GiB or more",
				"%llu GiB is no size for it", (unsigned long long)gib);
	*ret_bytes = gib * GiB;
	return 0;
}

static int read_config(struct world *w, const struct params *p, struct config *c, struct err *e)
{
	char *cmdline = root_attr(&w->root, w->mem, "/proc/cmdline");
	const char *disks = cmdline_value(w->mem, cmdline, "mosdisk");
	int r;

	*c = (struct config){
		.disks = p->disks,
		.degraded = p->degraded || streq(cmdline_value(w->mem, cmdline, "mosdegraded"), "1"),
		.wait_s = p->wait_s,
		.target = p->target && !streq(p->target, "/") ? p->target : "",
	};
	while (!p->disks && disks && *disks) {
		size_t n = strcspn(disks, ",");

		if (n)
			strlist_add(w->mem, &c->disks, arena_strn(w->mem, disks, n));
		disks += n + (disks[n] == ',');
	}
	if (strlist_len((const char *const *)c->disks) > 2)
		return err_make(e, ERR_INVALID, -EINVAL, "mosdisk", NULL, "takes two disks at most");
	if (*c->target && c->target[0] != '/')
		return err_usage(e, "--target", "'%s' is no absolute path", c->target);
	r = gib_value(cmdline, "mossize", p->size_gib, 4, w->mem, &c->data_bytes, e);
	return r ? r : gib_value(cmdline, "mosswap", p->swap_gib, 2, w->mem, &c->swap_bytes, e);
}

/* One run at a time; the lock goes with the process. */
static int lock_run(int *ret_fd, struct err *e)
{
	static const char path[] = "/run/mos-sysvol.lock";
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return err_sys(e, -errno, path, "open");
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		int r = -errno;

		close(fd);
		return r == -EWOULDBLOCK
			       ? err_make(e, ERR_FAILED, -EBUSY, path, "wait for it to end",
					  "another mos-sysvol is at work")
			       : err_sys(e, r, path, "lock");
	}
	*ret_fd = fd;
	return 0;
}

static uint64_t devices_now(struct world *w)
{
	struct arena mem auto_arena = { 0 };
	const char *text = root_attr(&w->root, &mem, "/proc/partitions");
	uint64_t hash = 14695981039346656037u;

	for (; text && *text; text++)
		hash = (hash ^ (unsigned char)*text) * 1099511628211u;
	return hash;
}

/* Writes torn tables whole again, so that the kernel shows their partitions. */
static int repair_torn(struct world *w, const struct survey *s, struct plan *p, struct err *e)
{
	for (const char **disk = s->torn; disk && *disk; disk++)
		plan_add(w, p, *disk, "a cut of power tore the first copy of our table", "mkpart",
			 "--repair-table", "--disk", *disk, NULL);
	return plan_run(w, p, e);
}

/* Looks, decides, and while something may still come looks again when the devices changed. */
static int look(struct world *w, const struct config *c, bool dry_run, struct survey *s,
		struct decision *d, struct err *e)
{
	struct plan repairs = { 0 };
	uint64_t end_ns = clock_monotonic_ns() + (uint64_t)(c->wait_s * 1e9);
	uint64_t seen, now;
	int r;

	for (;;) {
		bool last = clock_monotonic_ns() >= end_ns;

		seen = devices_now(w);
		r = survey_read(w, s, e);
		if (!r && s->torn && !dry_run) {
			r = repair_torn(w, s, &repairs, e);
			plan_free(&repairs);
			if (!r)
				r = survey_read(w, s, e);
		} else if (!r && s->torn) {
			world_warn(w, "%s: a cut of power tore its table; a run writes it whole and "
				      "looks again", s->torn[0]);
		}
		if (!r)
			r = decide(w, c, s, last, d, e);
		if (r || d->action != ACT_WAIT)
			return r;
		do {
			if (*w->stop)
				return err_make(e, ERR_FAILED, -EINTR, "mos-sysvol", NULL, "stopped");
			now = clock_monotonic_ns();
			w->report(w, "waiting for late disks",
				  (uint64_t)(c->wait_s * 1e9) - (end_ns > now ? end_ns - now : 0),
				  (uint64_t)(c->wait_s * 1e9));
			nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
		} while (clock_monotonic_ns() < end_ns && devices_now(w) == seen);
	}
}

static int check_programs(struct world *w, const struct plan *p, struct err *e)
{
	const char **missing = plan_missing_programs(w, p);

	if (!missing)
		return 0;
	return err_make(e, ERR_UNSUPPORTED, -ENOENT, field_text(&(struct field){
			.name = "", .type = FIELD_LIST }, &missing, w->mem),
			"install it, or put it into the initramfs; nothing was changed",
			"needed program is missing from PATH");
}

static bool runs_mdadm(const struct plan *p)
{
	for (size_t i = 0; i < p->steps.n; i++)
		if (streq(p->steps.items[i].argv[0], "mdadm"))
			return true;
	return false;
}

/* mdadm expects md to be there; the kernel itself would call modprobe, which may be missing. */
static void load_md(struct world *w, const struct plan *p)
{
	if (runs_mdadm(p))
		module_load(w, "raid1", NULL);
}

struct locks {
	struct block_lock lock[8];
	size_t n;
};

static void release_locks(struct locks *l)
{
	while (l->n)
		block_lock_release(&l->lock[--l->n]);
}

static int by_devno(const void *x, const void *y)
{
	const struct block *a = x, *b = y;

	return a->devno < b->devno ? -1 : a->devno > b->devno;
}

/*
 * The disks of the set, or to be made, are locked for the whole plan: udevd then leaves them and what
 * is on them alone, and neither assembles an array nor scans a filesystem at the same time.
 */
static int lock_disks(struct world *w, const struct decision *d, struct locks *locks,
		      struct err *e)
{
	struct block b[COUNT(locks->lock)];
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; i < d->n_make && !r; i++)
		r = block_describe(w, d->make[i]->path, &b[n++], e);
	for (size_t i = 0; d->set && i < d->set->n_disks && !r; i++)
		r = block_describe(w, d->set->disks[i]->disk->path, &b[n++], e);
	if (r)
		return r;
	qsort(b, n, sizeof *b, by_devno);
	for (size_t i = 0; i < n && !r; i++) {
		locks->lock[i].w = w;
		r = block_lock_scoped(&locks->lock[i], b[i].path, b[i].devno, e);
		locks->n += !r;
	}
	return r;
}

static bool has_mount(const struct survey *s, const char *target)
{
	for (size_t i = 0; i < s->n_mounts; i++)
		if (streq(s->mounts[i].target, target))
			return true;
	return false;
}

static const char *state_of(bool before, bool after)
{
	return before ? "already there" : after ? "brought up" : "not there";
}

/* What the machine has now, beside what it had before. */
static int show_storage(struct world *w, struct sink *out, const struct config *c,
			const struct survey *before, const struct storage *st, struct err *e)
{
	struct survey now = { 0 };
	struct storage_row rows[8];
	size_t n = 0;
	int r = inventory_mounts(w, &now.mounts, &now.n_mounts, e);

	if (!r)
		r = survey_swaps(w, &now);
	for (const char *const *name = core_subvolumes; *name; name++)
		rows[n++] = (struct storage_row){
			arena_printf(w->mem, "%s/var/cache/%s", c->target, *name), st->data, "btrfs"
		};
	rows[n++] = (struct storage_row){ arena_printf(w->mem, "%s/boot", c->target), st->boot, "ext4" };
	rows[n++] = (struct storage_row){ arena_printf(w->mem, "%s/boot/efi", c->target), st->efi,
					  "vfat" };
	for (size_t i = 0; i < n && !r; i++) {
		rows[i].state = state_of(has_mount(before, rows[i].target),
					 has_mount(&now, rows[i].target));
		r = sink_row(out, &storage_table, &rows[i]);
	}
	for (const char **swap = st->swaps; swap && *swap && !r; swap++) {
		struct storage_row row = { "[SWAP]", *swap, "swap", NULL };

		row.state = state_of(strlist_has((const char *const *)before->swaps, *swap),
				     strlist_has((const char *const *)now.swaps, *swap));
		r = sink_row(out, &storage_table, &row);
	}
	return r;
}

static int plan_for(struct world *w, const struct config *c, const struct survey *s,
		    const struct decision *d, struct plan *p, struct storage *st, struct err *e)
{
	return d->action == ACT_MAKE ? plan_make(w, c, s, d, p, st, e)
				     : plan_start(w, c, s, d, p, st, e);
}

/* Whoever stops a run is left no array that holds the disks; a mounted one does not let itself be
 * stopped, and is in use by right. */
static void stop_arrays(struct world *w, const struct plan *p)
{
	for (size_t i = 0; i < p->steps.n; i++) {
		const char *const *argv = p->steps.items[i].argv;
		struct err ignored = { 0 };

		if (!streq(argv[0], "mdadm") ||
		    (!streq(argv[1], "--create") && !streq(argv[1], "--assemble")) ||
		    !root_exists(&w->root, arena_printf(w->mem, "/sys/block%s", strrchr(argv[2], '/'))))
			continue;
		run_program((const char *const[]){ "mdadm", "--stop", "--quiet", argv[2], NULL },
			    &(struct run_options){ .timeout_s = 60 }, w->mem, NULL, &ignored);
	}
}

static int run(struct world *w, const void *given, struct sink *out, struct err *e)
{
	const struct params *p = given;
	auto_close int lock = -1;
	struct locks locks auto_release(release_locks) = { 0 };
	struct plan plan = { 0 };
	struct config c;
	struct survey s;
	struct decision d = { 0 };
	struct storage st;
	int r = read_config(w, p, &c, e);

	if (r || (!p->dry_run && (r = lock_run(&lock, e))))
		return r;
	if (!p->dry_run)
		module_load(w, "btrfs", "btrfs");
	r = look(w, &c, p->dry_run, &s, &d, e);
	for (size_t i = 0; i < d.n_candidates; i++)
		if (sink_row(out, &candidate_table, &d.candidates[i]))
			break;
	if (r)
		return r;
	if (d.degraded)
		world_warn(w, "MOSDATA %s runs DEGRADED, one disk is missing: run mos-sysvol --repair "
			      "NEWDISK", d.set->uuid);
	for (size_t i = 0; d.set && i < d.set->n_disks; i++)
		if (d.set->disks[i]->joining && !d.set->disks[i]->left_out)
			world_warn(w, "%s: the repair that mirrors onto it has not ended: run mos-sysvol "
				      "--repair %s", d.set->disks[i]->disk->path,
				   d.set->disks[i]->disk->path);
	r = plan_for(w, &c, &s, &d, &plan, &st, e);
	/* Until the disks were locked udevd may have been at work on them: look again. */
	if (!r && !p->dry_run && (d.n_make || runs_mdadm(&plan))) {
		r = lock_disks(w, &d, &locks, e);
		if (!r)
			r = survey_read(w, &s, e);
		if (!r)
			r = decide(w, &c, &s, true, &d, e);
		plan_free(&plan);
		plan = (struct plan){ 0 };
		if (!r)
			r = plan_for(w, &c, &s, &d, &plan, &st, e);
	}
	if (!r && p->dry_run)
		r = plan_print(&plan, out);
	else if (!r && !(r = check_programs(w, &plan, e))) {
		load_md(w, &plan);
		r = plan_run(w, &plan, e);
		if (r && *w->stop)
			stop_arrays(w, &plan);
		if (!r)
			r = show_storage(w, out, &c, &s, &st, e);
	}
	plan_free(&plan);
	return r;
}

static int status(struct world *w, const void *given, struct sink *out, struct err *e)
{
	struct params p = *(const struct params *)given;
	struct config c;
	int r;

	p.size_gib = p.swap_gib = U64_NONE;
	r = read_config(w, &p, &c, e);
	return r ? r : status_report(w, &c, out, e);
}

static const struct operation status_op = {
	.name = "sysvol_status",
	.summary = "show what is there and its health; exit 3 when something is wrong",
	.params = status_fields,
	.params_size = sizeof(struct params),
	.tables = status_tables,
	.flags = OP_LOCAL,
	.run = status,
};

struct repair_params {
	const char *disk;
	bool dry_run;
};

static const struct field repair_fields[] = {
	FIELD(struct repair_params, disk, REQUIRED | OPERAND,
	      "the new disk, empty, by path, serial or WWN", .complete = "disk"),
	FIELD(struct repair_params, dry_run, 0, "print the plan and change nothing"),
	FIELD_END,
};

static int repair(struct world *w, const void *given, struct sink *out, struct err *e)
{
	const struct repair_params *p = given;
	auto_close int lock = -1;
	struct plan plan = { 0 };
	struct survey s;
	int r = p->dry_run ? 0 : lock_run(&lock, e);

	if (!r)
		r = survey_read(w, &s, e);
	if (!r)
		r = plan_repair(w, &s, p->disk, &plan, e);
	if (!r && p->dry_run)
		r = plan_print(&plan, out);
	else if (!r && !(r = check_programs(w, &plan, e)) && !(r = plan_run(w, &plan, e)))
		r = status_report(w, &(struct config){ .target = "" }, out, e);
	plan_free(&plan);
	return r == EXIT_FOUND ? 0 : r;
}

static const struct operation repair_op = {
	.name = "sysvol_repair",
	.summary = "bring a new empty disk into a mirror that lacks a half; may be run again",
	.params = repair_fields,
	.params_size = sizeof(struct repair_params),
	.tables = status_tables,
	.dry_run_tables = TABLES(&plan_table),
	.flags = OP_CHANGES | OP_LONG | OP_LOCAL,
	.run = repair,
};

static const struct operation sysvol_op = {
	.name = "sysvol",
	.summary = "find the node's system storage, or make it on empty disks, and mount it",
	.params = param_fields,
	.params_size = sizeof(struct params),
	.tables = TABLES(&candidate_table, &storage_table),
	.dry_run_tables = TABLES(&candidate_table, &plan_table),
	.flags = OP_CHANGES | OP_LOCAL | OP_PLANS_RECORDED,
	.run = run,
};

const struct applet mos_sysvol_applet = {
	.name = "mos-sysvol",
	.summary = "find, or partition, format and mount, a node's system storage",
	.text = "Runs once at boot. Looks on every disk for the storage that an earlier boot made, and "
		"mounts it. Where there is none it takes the empty disks: one for the single layout, "
		"the best pair of two or more for a mirrored one. A disk with anything on it is never "
		"taken, nor are the boot disk and removable disks.",
	.modes = MODES({ "", &sysvol_op }, { "--status", &status_op },
		       { "--repair", &repair_op },
		       { "--record-peer", &record_peer_op }),
	.examples = EXAMPLES({ "mos-sysvol --dry-run", "what would it do on this machine" },
			     { "mos-sysvol --disk S4EVNX0R --size 16 --wait 0",
			       "make the storage on the disk with this serial, 16 GiB of data" }),
	.files = EXAMPLES({ "/var/cache/{system,etc,modules,vm-meta}",
			    "where the subvolumes of MOSDATA are mounted" },
			  { "/proc/cmdline", "mossize=, mosswap=, mosdisk=, mosdegraded=" },
			  { "/run/mos-sysvol.lock", "held while it is at work" }),
	.see_also = "mkpart(8), mkvolfs(8), subvol(8), topo(8), mdadm(8), btrfs(8)",
};
