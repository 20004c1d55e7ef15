/* Making filesystems: see mkfs.h. */
#include "lib/storage/mkfs.h"

#include "lib/core/opt.h"
#include "lib/core/run.h"
#include "lib/core/tsv.h"
#include "lib/os/blkid.h"
#include "lib/os/block.h"
#include "lib/os/gpt.h"
#include "lib/storage/plan.h"
#include "lib/storage/safety.h"

#include <errno.h>
#include <inttypes.h>

enum { MKFS_TIMEOUT_S = 4 * 3600 }; /* discarding a slow disk of many terabytes */

/* A device that is to hold a filesystem. */
struct place {
	struct block block;
	struct disk disk;  /* where it is a whole disk of the inventory */
	bool whole;
	struct block_lock lock;
};

struct places {
	struct place *items;
	size_t n;
};

static void places_release(struct places *p)
{
	for (size_t i = 0; i < p->n; i++)
		block_lock_release(&p->items[i].lock);
}
#define auto_places auto_release(places_release)

static int by_disk(const void *x, const void *y)
{
	const struct place *a = *(const struct place *const *)x, *b = *(const struct place *const *)y;

	return a->block.disk_devno < b->block.disk_devno ? -1
							  : a->block.disk_devno > b->block.disk_devno;
}

static int describe(struct world *w, const struct create_filesystem *p, struct places *to,
		    struct err *e)
{
	size_t n = strlist_len((const char *const *)p->device);

	to->items = arena_alloc(w->mem, (n + 1) * sizeof *to->items);
	for (size_t i = 0; i < n; i++) {
		struct place *at = &to->items[i];
		int r = block_describe(w, p->device[i], &at->block, e);

		if (r)
			return r;
		at->lock.w = w;
		for (size_t k = 0; k < i; k++)
			if (to->items[k].block.devno == at->block.devno)
				return err_make(e, ERR_INVALID, -EINVAL, p->device[i], "name it once",
						"is named twice");
		/* Arrays and mapped devices are no disks of the inventory, and like partitions here. */
		at->whole = !at->block.number && !inventory_disk(w, at->block.path, &at->disk, e);
		to->n++;
	}
	return 0;
}

static int lock_all(struct world *w, struct places *p, struct err *e)
{
	struct place **order = arena_alloc(w->mem, (p->n + 1) * sizeof *order);
	int r = 0;

	for (size_t i = 0; i < p->n; i++)
		order[i] = &p->items[i];
	qsort(order, p->n, sizeof *order, by_disk);
	for (size_t i = 0; i < p->n && !r; i++)
		r = block_lock_scoped(&order[i]->lock, order[i]->block.disk,
				      order[i]->block.disk_devno, e);
	return r;
}

static const char *found_words(const struct probe *probe, struct arena *a)
{
	const char *all = NULL;

	if (!probe->ambiguous && probe->type)
		return arena_printf(a, "holds %s%s%s%s%s", probe->damaged ? "a damaged " : "",
				    probe->type, probe->label ? " (label " : "",
				    probe->label ? probe->label : "", probe->label ? ")" : "");
	if (!probe->ambiguous && probe->table)
		return arena_printf(a, "holds a partition table of type %s", probe->table);
	for (const char **s = probe->all; s && *s; s++)
		all = all ? arena_printf(a, "%s, %s", all, *s) : *s;
	return arena_printf(a, "holds conflicting signatures: %s", all ? all : "unknown ones");
}

/* A boot loader's code has no signature of its own, but its partition has a type. */
static bool is_bios_boot(struct world *w, const struct block *b)
{
	auto_close int fd = -1;
	const struct gpt_partition *p;
	struct block disk;
	struct gpt g;
	struct err e;

	if (!b->number || block_describe(w, b->disk, &disk, &e))
		return false;
	fd = block_open(&disk, O_RDONLY, &e);
	if (fd < 0 || gpt_read(fd, disk.path, disk.size_bytes, disk.logical_sector_bytes, w->mem, &g,
			       &e))
		return false;
	p = gpt_number(&g, b->number);
	return p && streq(p->part_type, "bios_boot");
}

/* Why nothing may be made here, or 0. */
static int check_place(struct world *w, const struct place *at, const struct create_filesystem *p,
		       struct err *e)
{
	const struct block *b = &at->block;
	uint64_t least = mkfs_minimum_bytes((enum fs_type)p->fstype, b->logical_sector_bytes);
	const char *why = NULL, *hint = NULL;
	struct probe probe;

	if (b->read_only)
		return err_refuse(e, b->path, "name another device", "is read-only");
	if (at->whole)
		why = p->force ? disk_busy(&at->disk, w->mem, &hint)
			       : disk_refusal(&at->disk, w->mem, &hint);
	if (!why) {
		why = block_busy(w, b);
		hint = "take it out of use first, or name another device";
	}
	if (why)
		return err_refuse(e, b->path, hint, "%s", why);
	if (b->size_bytes < least)
		return err_refuse(e, b->path, "use a larger device",
				  "is too small for %s: %" PRIu64 " bytes, %" PRIu64
				  " are needed with sectors of %" PRIu64,
				  fs_type_names[p->fstype], b->size_bytes, least, b->logical_sector_bytes);
	if (is_bios_boot(w, b))
		return err_refuse(e, b->path, "name another partition",
				  "is a BIOS boot partition: it holds a boot loader and no filesystem");
	if (p->force)
		return 0;
	if (blkid_probe_path(b->path, w->mem, &probe, e))
		return err_refuse(e, b->path, "what cannot be read counts as not empty",
				  "cannot be probed: %s", arena_str(w->mem, e->found));
	if (probe.found)
		return err_refuse(e, b->path, "add --force to erase it, or name another device", "%s",
				  found_words(&probe, w->mem));
	return 0;
}

/* The second look, and with force the erasing; the descriptor is closed before mkfs runs. */
static int prepare(struct world *w, const struct place *at, const struct create_filesystem *p,
		   struct err *e)
{
	auto_close int fd = block_open(&at->block, O_RDWR, e);
	int r;

	if (fd < 0)
		return fd;
	if (at->whole) {
		r = disk_still_same(w, &at->disk, fd, !p->force, e);
		if (r)
			return r;
	}
	if (!p->force)
		return 0;
	r = blkid_wipe_fd(fd, 0, at->block.size_bytes, e);
	if (!r && fsync(fd))
		r = err_sys(e, -errno, at->block.path, "make the erasing durable");
	if (r)
		snprintf(e->object, sizeof e->object, "%s", at->block.path);
	return r;
}

/* After a failure: what was half made goes, so that the next try finds the device empty. */
static int clean_up(struct world *w, const struct places *places, const char *program,
		    const struct err *failure, struct err *e)
{
	const char *said = arena_str(w->mem, failure->found), *hint = "the device is empty as before";
	int code = failure->code;
	enum err_kind kind = failure->kind;

	for (size_t i = 0; i < places->n; i++) {
		const struct block *b = &places->items[i].block;
		auto_close int fd = block_open(b, O_RDWR, e);
		struct probe probe;

		if (fd < 0 || blkid_probe_fd(fd, 0, b->size_bytes, w->mem, &probe, e)) {
			hint = "the device cannot be read any more";
			break;
		}
		if (!probe.found)
			continue;
		hint = "what it left half made was erased";
		if (blkid_wipe_fd(fd, 0, b->size_bytes, e) || fsync(fd)) {
			hint = "it left something half made: erase it with wipefs -a";
			break;
		}
	}
	return err_make(e, kind, code, program, hint, "%s", said);
}

/* libblkid 2.38 gives a btrfs label's first 254 bytes, mkfs.btrfs takes 255. */
static bool same_label(const char *have, const char *want)
{
	enum { BLKID_LABEL_MAX = 254 };

	return streq(have, want) || (have && want && strlen(have) == BLKID_LABEL_MAX &&
				     !strncmp(have, want, BLKID_LABEL_MAX));
}

static int verify(struct world *w, const struct places *places, const struct create_filesystem *p,
		  struct filesystem *row, struct err *e)
{
	const char *want = fs_type_names[p->fstype];

	field_clear(filesystem_table.fields, row);
	row->size_bytes = 0;
	for (size_t i = 0; i < places->n; i++) {
		const struct block *b = &places->items[i].block;
		auto_close int fd = block_open(b, O_RDWR, e);
		struct probe probe;
		int r;

		if (fd < 0)
			return fd;
		if (fsync(fd))
			return err_sys(e, -errno, b->path, "make its %s durable", want);
		r = blkid_probe_fd(fd, 0, b->size_bytes, w->mem, &probe, e);
		if (r)
			return err_sys(e, r, b->path, "probe its new %s", want);
		if (probe.ambiguous || !streq(probe.type, want) || !same_label(probe.label, p->label) ||
		    (row->uuid && !streq(probe.uuid, row->uuid)))
			return err_make(e, ERR_FAILED, -EIO, b->path, "see what it holds with wipefs",
					"%s after making %s (label %s)",
					probe.found ? found_words(&probe, w->mem) : "is still empty", want,
					p->label ? p->label : "none");
		row->fstype = want;
		row->label = p->label;
		row->uuid = probe.uuid;
		row->size_bytes += b->size_bytes;
		strlist_add(w->mem, &row->devices, b->path);
	}
	row->total_devices = places->n;
	return 0;
}

static int make(struct world *w, struct places *places, const struct create_filesystem *p,
		struct filesystem *row, struct err *e)
{
	const struct run_options o = { .timeout_s = MKFS_TIMEOUT_S };
	const char *const *argv = mkfs_argv(w, p, !places->items[0].block.number);
	struct err failure = { 0 };
	int r = 0;

	for (size_t i = 0; i < places->n && !r; i++)
		r = prepare(w, &places->items[i], p, e);
	if (r)
		return r;
	if (*w->stop)
		return err_make(e, ERR_FAILED, -EINTR, places->items[0].block.path, NULL,
				"stopped before it was written");
	w->report(w, run_quote(argv, w->mem), 0, 0);
	r = run_program(argv, &o, w->mem, NULL, &failure);
	if (r)
		return clean_up(w, places, argv[0], &failure, e);
	return verify(w, places, p, row, e);
}

static void settle(struct world *w, const struct places *places)
{
	const char **paths = NULL;

	for (size_t i = 0; i < places->n; i++)
		strlist_add(w->mem, &paths, places->items[i].block.path);
	block_settle(w, (const char *const *)paths);
}

/* Checks without writing; with look the locks are not taken either. */
static int check_all(struct world *w, const struct create_filesystem *p, struct places *places,
		     bool look, struct err *e)
{
	int r = mkfs_check(w, p, e);

	if (!r)
		r = describe(w, p, places, e);
	if (!r && !look)
		r = lock_all(w, places, e);
	for (size_t i = 0; i < places->n && !r; i++)
		r = check_place(w, &places->items[i], p, e);
	return r;
}

static int create_filesystem(struct world *w, const struct create_filesystem *p,
			     struct filesystem *row, struct err *e)
{
	struct places places auto_places = { 0 };
	int r = check_all(w, p, &places, false, e);

	if (!r)
		r = make(w, &places, p, row, e);
	if (r)
		return r;
	places_release(&places);
	settle(w, &places);
	return 0;
}

static const struct field create_filesystem_params[] = {
	FIELD(struct create_filesystem, device, REQUIRED,
	      "device to make it on; again for more (btrfs, bcachefs)", .arg = "DEVICE",
	      .complete = "device"),
	FIELD(struct create_filesystem, fstype, REQUIRED, "what to make", .arg = "TYPE",
	      .names = fs_type_names),
	FIELD(struct create_filesystem, label, 0, "its label", .arg = "LABEL", .letter = 'L'),
	FIELD(struct create_filesystem, profile, 0,
	      "single, dup, raid0, raid1, raid1c3, raid1c4, raid10, or cache (bcachefs: the first device "
	      "caches); several devices: raid1 by default",
	      .arg = "PROFILE"),
	FIELD(struct create_filesystem, force, 0,
	      "erase what is on the devices; never what is in use"),
	FIELD(struct create_filesystem, dry_run, 0, "print the plan and change nothing"),
	FIELD_END,
};

static struct step plan_step(struct world *w, const struct create_filesystem *p, bool whole)
{
	struct create_filesystem real = *p;
	const char *const *argv;

	real.dry_run = false;
	argv = opt_unparse("mkvolfs", &(struct mode){ NULL, &create_filesystem_op }, &real, w->mem);
	return (struct step){
		.number = 1, .object = p->device[0], .argv = argv,
		.command = run_quote(argv, w->mem),
		.why = arena_printf(w->mem, "%s%s", p->force ? "erases what is there, then runs " : "runs ",
				    run_quote(mkfs_argv(w, p, whole), w->mem)),
	};
}

static int create_filesystem_run(struct world *w, const void *params, struct sink *out,
				 struct err *e)
{
	const struct create_filesystem *p = params;
	struct places places auto_places = { 0 };
	struct filesystem row;
	struct step step;
	int r;

	if (p->dry_run) {
		r = check_all(w, p, &places, true, e);
		if (r)
			return r;
		step = plan_step(w, p, !places.items[0].block.number);
		return sink_row(out, &plan_table, &step);
	}
	r = create_filesystem(w, p, &row, e);
	return r ? r : sink_row(out, &filesystem_table, &row);
}

const struct operation create_filesystem_op = {
	.name = "create_filesystem",
	.summary = "make a filesystem or swap area on an empty device",
	.params = create_filesystem_params,
	.params_size = sizeof(struct create_filesystem),
	.tables = TABLES(&filesystem_table),
	.dry_run_tables = TABLES(&plan_table),
	.flags = OP_CHANGES | OP_ONE_ROW | OP_LONG,
	.run = create_filesystem_run,
};

/* --- mkvolfs -: the rows of mkpart - --- */

struct volume_row {
	const char *path, *fstype, *label, *volume, *profile;
};

static const struct field volume_fields[] = {
	FIELD(struct volume_row, path, REQUIRED, "device"),
	FIELD(struct volume_row, fstype, 0, "filesystem; none: nothing is made"),
	FIELD(struct volume_row, label, 0, "label"),
	FIELD(struct volume_row, volume, 0, "rows of the same volume become one filesystem"),
	FIELD(struct volume_row, profile, 0, "profile"),
	FIELD_END,
};
static const struct table volume_table =
	TABLE(struct volume_row, "layout", "partitions and what to make on them", volume_fields);

struct create_filesystems {
	bool dry_run;
};

struct volume {
	const char *name;
	struct create_filesystem params;
};
typedef VEC(struct volume) volumes;

static int add_row(struct world *w, volumes *v, const struct volume_row *row, struct err *e)
{
	struct volume *to = NULL;
	enum fs_type type;
	int r;

	if (!row->fstype)
		return 0;
	r = fs_type_parse(row->fstype, row->path, &type, e);
	if (r)
		return r;
	for (size_t i = 0; row->volume && i < v->n; i++)
		if (streq(v->items[i].name, row->volume))
			to = &v->items[i];
	if (!to) {
		to = vec_add(v);
		to->name = row->volume;
		to->params = (struct create_filesystem){ .fstype = type, .label = row->label,
							 .profile = row->profile };
	} else if (to->params.fstype != type || !streq(to->params.label, row->label) ||
		   !streq(to->params.profile, row->profile)) {
		return err_make(e, ERR_INVALID, -EINVAL, row->path, "make its rows alike",
				"differs from another row of volume %s in fstype, label or profile",
				row->volume);
	}
	strlist_add(w->mem, &to->params.device, row->path);
	return 0;
}

static int read_volumes(struct world *w, volumes *v, struct err *e)
{
	struct tsv *in auto_tsv = NULL;
	struct volume_row row;
	int r = tsv_open(w->in, "standard input", volume_table.name, volume_fields, &in, e);

	if (r)
		return r;
	while ((r = tsv_next(in, &row, w->mem, e)) > 0) {
		r = add_row(w, v, &row, e);
		if (r)
			return r;
	}
	return r;
}

static int create_filesystems_run(struct world *w, const void *params, struct sink *out,
				  struct err *e)
{
	const struct create_filesystems *p = params;
	volumes v = { 0 };
	int r = read_volumes(w, &v, e);

	/* Everything is checked before the first is made. */
	for (size_t i = 0; i < v.n && !r; i++) {
		struct places places auto_places = { 0 };
		struct step step;

		r = check_all(w, &v.items[i].params, &places, true, e);
		if (r || !p->dry_run)
			continue;
		step = plan_step(w, &v.items[i].params, !places.items[0].block.number);
		step.number = i + 1;
		r = sink_row(out, &plan_table, &step);
	}
	for (size_t i = 0; i < v.n && !r && !p->dry_run; i++) {
		struct filesystem row;

		r = create_filesystem(w, &v.items[i].params, &row, e);
		if (!r)
			r = sink_row(out, &filesystem_table, &row);
	}
	vec_free(&v);
	return r;
}

static const struct field create_filesystems_params[] = {
	FIELD(struct create_filesystems, dry_run, 0, "print the plan and change nothing"),
	FIELD_END,
};

const struct operation create_filesystems_op = {
	.name = "create_filesystems",
	.summary = "make the filesystems of a table on standard input",
	.params = create_filesystems_params,
	.params_size = sizeof(struct create_filesystems),
	.tables = TABLES(&filesystem_table),
	.dry_run_tables = TABLES(&plan_table),
	.flags = OP_CHANGES | OP_LONG | OP_LOCAL,
	.run = create_filesystems_run,
};
