/* `mkpart -`: a whole layout, checked in memory before the first write, then made step by step. */
#include "lib/core/tsv.h"
#include "lib/storage/mkfs.h"
#include "lib/storage/partition_disk.h"
#include "lib/storage/plan.h"

#include <errno.h>
#include <inttypes.h>

static const struct field layout_fields[] = {
	FIELD(struct layout_row, path, 0, "device node of the partition", .complete = "device"),
	FIELD(struct layout_row, disk, REQUIRED, "disk it is on"),
	FIELD(struct layout_row, name, REQUIRED | KEY, "GPT partition name"),
	FIELD(struct layout_row, part_type, 0, "linux, esp, swap, bios_boot, raid or a GUID"),
	FIELD(struct layout_row, size_bytes, 0, "size; none for the rest of the largest gap"),
	FIELD(struct layout_row, fstype, 0, "filesystem it is meant for"),
	FIELD(struct layout_row, label, 0, "label of that filesystem"),
	FIELD(struct layout_row, volume, 0, "rows of the same volume become one filesystem"),
	FIELD(struct layout_row, profile, 0, "profile of that filesystem"),
	FIELD_END,
};
const struct table layout_table =
	TABLE(struct layout_row, "layout", "partitions and what they are meant for", layout_fields);

struct create_layout_params {
	bool dry_run;
};

/* The disks of a layout in ascending device number, the order of locking. */
struct layout {
	struct world *w;
	struct target *targets;
	size_t n;
	struct plan plan;
};

static void layout_release(struct layout *l)
{
	for (size_t i = 0; i < l->n; i++)
		target_close(&l->targets[i]);
	plan_free(&l->plan);
}
#define auto_layout auto_release(layout_release)

static int check_rows(struct layout_row *rows, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		enum fs_type type;
		int r;

		if (!rows[i].part_type)
			rows[i].part_type = "linux";
		r = gpt_check_name(rows[i].name, rows[i].name, e);
		if (!r && rows[i].fstype)
			r = fs_type_parse(rows[i].fstype, rows[i].name, &type, e);
		if (!r && rows[i].fstype)
			r = mkfs_check_label(type, rows[i].label, rows[i].name, e);
		if (r)
			return r;
	}
	return 0;
}

static int by_devno(const void *x, const void *y)
{
	const struct target *a = x, *b = y;

	return a->block.devno < b->block.devno ? -1 : a->block.devno > b->block.devno;
}

static struct target *layout_target(const struct layout *l, const char *path)
{
	for (size_t i = 0; i < l->n; i++)
		if (streq(l->targets[i].disk.path, path))
			return &l->targets[i];
	return NULL;
}

/* Opens each disk once and gives the rows its real path; the first look is without the lock. */
static int open_disks(struct layout *l, struct layout_row *rows, size_t n, bool look, struct err *e)
{
	struct world *w = l->w;
	struct target *found = arena_alloc(w->mem, (n + 1) * sizeof *found);
	size_t n_found = 0;
	int r;

	for (size_t i = 0; i < n; i++) {
		struct disk d;
		bool have = false;

		r = inventory_disk(w, rows[i].disk, &d, e);
		if (r)
			return r;
		rows[i].disk = d.path;
		for (size_t k = 0; k < n_found; k++)
			have |= streq(found[k].disk.path, d.path);
		if (have)
			continue;
		found[n_found] = (struct target)TARGET(w);
		found[n_found].disk = d;
		r = block_describe(w, d.path, &found[n_found++].block, e);
		if (r)
			return r;
	}
	qsort(found, n_found, sizeof *found, by_devno);
	l->targets = found;
	for (size_t i = 0; i < n_found; i++) {
		l->n = i + 1;
		r = target_open(&found[i], found[i].disk.path, look ? TARGET_LOOK : TARGET_LOCK, e);
		if (r)
			return r;
	}
	return 0;
}

static int plan_table_of(struct layout *l, struct target *t, struct err *e)
{
	int r;

	if (t->gpt.state != GPT_NONE)
		return target_check_table(t, e);
	r = target_check_empty(t, false, e);
	if (r)
		return r;
	plan_add(l->w, &l->plan, t->disk.path, "makes a GPT", "mkpart", "--new-table", "--disk",
		 t->disk.path, NULL);
	return gpt_create(&t->gpt, e);
}

static int plan_partition(struct layout *l, struct layout_row *row, struct err *e)
{
	struct target *t = layout_target(l, row->disk);
	const struct create_partition p = { .disk = row->disk, .name = row->name,
					    .part_type = row->part_type,
					    .size_bytes = row->size_bytes };
	struct gpt_partition place;
	int r = partition_place(t, &p, &place, e);

	if (!r)
		r = gpt_add(&t->gpt, place.number, place.start_bytes, place.size_bytes, place.name,
			    place.part_type, e);
	if (r)
		return r;
	if (p.size_bytes == U64_NONE)
		plan_add(l->w, &l->plan, row->disk, "adds a partition of all that is free", "mkpart",
			 "--disk", row->disk, "--name", row->name, "--part-type", row->part_type, NULL);
	else
		plan_add(l->w, &l->plan, row->disk, "adds a partition", "mkpart", "--disk", row->disk,
			 "--name", row->name, "--part-type", row->part_type, "--size",
			 arena_printf(l->w->mem, "%" PRIu64, place.size_bytes), NULL);
	row->size_bytes = place.size_bytes;
	row->path = target_path(t, place.number);
	return 0;
}

static int plan_layout(struct layout *l, struct layout_row *rows, size_t n, bool look,
		       struct err *e)
{
	int r = check_rows(rows, n, e);

	if (!r)
		r = open_disks(l, rows, n, look, e);
	for (size_t i = 0; i < l->n && !r; i++)
		r = plan_table_of(l, &l->targets[i], e);
	for (size_t i = 0; i < n && !r; i++)
		r = plan_partition(l, &rows[i], e);
	return r;
}

/* That the disk has what was computed before the first write. */
static int check_result(struct layout *l, struct err *e)
{
	for (size_t i = 0; i < l->n; i++) {
		struct target *t = &l->targets[i];
		struct gpt is;
		int r = gpt_read(t->fd, t->disk.path, t->block.size_bytes,
				 t->block.logical_sector_bytes, l->w->mem, &is, e);

		if (r)
			return r;
		for (size_t k = 0; k < t->gpt.n; k++) {
			const struct gpt_partition *want = &t->gpt.partitions[k];
			const struct gpt_partition *have = gpt_number(&is, want->number);

			if (!have || have->start_bytes != want->start_bytes ||
			    have->size_bytes != want->size_bytes || !streq(have->name, want->name))
				return err_make(e, ERR_FAILED, -EIO, t->disk.path, "see mkpart --list",
						"has another partition %" PRIu64 " than planned",
						want->number);
		}
	}
	return 0;
}

static int run_layout(struct layout *l, const struct layout_row *rows, size_t n, struct err *e)
{
	const char **paths = NULL;
	int r = plan_run(l->w, &l->plan, e);

	if (!r)
		r = check_result(l, e);
	if (r)
		return r;
	for (size_t i = 0; i < n; i++)
		strlist_add(l->w->mem, &paths, rows[i].path);
	for (size_t i = 0; i < l->n; i++)
		target_close(&l->targets[i]);
	if (n)
		block_settle(l->w, (const char *const *)paths);
	return 0;
}

int create_layout(struct world *w, struct layout_row *rows, size_t n, struct err *e)
{
	struct layout l auto_layout = { .w = w };
	int r = plan_layout(&l, rows, n, false, e);

	return r ? r : run_layout(&l, rows, n, e);
}

static int create_layout_run(struct world *w, const void *params, struct sink *out, struct err *e)
{
	const struct create_layout_params *p = params;
	struct layout l auto_layout = { .w = w };
	VEC(struct layout_row) rows = { 0 };
	struct layout_row row;
	struct tsv *in auto_tsv = NULL;
	int r = tsv_open(w->in, "standard input", layout_table.name, layout_fields, &in, e);

	while (!r) {
		int got = tsv_next(in, &row, w->mem, e);

		if (got <= 0) {
			r = got;
			break;
		}
		*vec_add(&rows) = row;
	}
	if (!r)
		r = plan_layout(&l, rows.items, rows.n, p->dry_run, e);
	if (!r && p->dry_run) {
		r = plan_print(&l.plan, out);
	} else if (!r) {
		r = run_layout(&l, rows.items, rows.n, e);
		for (size_t i = 0; i < rows.n && !r; i++)
			r = sink_row(out, &layout_table, &rows.items[i]);
	}
	vec_free(&rows);
	return r;
}

static const struct field create_layout_fields[] = {
	FIELD(struct create_layout_params, dry_run, 0, "print the plan and change nothing"),
	FIELD_END,
};

const struct operation create_layout_op = {
	.name = "create_layout",
	.summary = "make the partitions of a table on standard input",
	.params = create_layout_fields,
	.params_size = sizeof(struct create_layout_params),
	.tables = TABLES(&layout_table),
	.dry_run_tables = TABLES(&plan_table),
	.flags = OP_CHANGES | OP_LOCAL,
	.run = create_layout_run,
};
