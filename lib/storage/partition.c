/* Changing a disk's partition table: see partition.h. */
#include "lib/storage/partition.h"

#include "lib/os/blkid.h"
#include "lib/os/block.h"
#include "lib/storage/partition_disk.h"
#include "lib/storage/plan.h"
#include "lib/storage/safety.h"

#include <errno.h>
#include <inttypes.h>

static const struct field gpt_fields[] = {
	FIELD(struct gpt_summary, disk, KEY, "disk"),
	FIELD(struct gpt_summary, state, 0, "good, or what is wrong with the table"),
	FIELD(struct gpt_summary, uuid, WIDE, "GUID of the disk"),
	FIELD(struct gpt_summary, sector_bytes, WIDE, "logical sector"),
	FIELD(struct gpt_summary, partitions, 0, "how many partitions it has"),
	FIELD(struct gpt_summary, free_bytes, 0, "unallocated, in gaps of 1 MiB or more"),
	FIELD(struct gpt_summary, largest_free_bytes, 0, "the largest gap"),
	FIELD_END,
};
const struct table gpt_table =
	TABLE(struct gpt_summary, "tables", "partition tables", gpt_fields);

#define DRY_RUN(T) FIELD(T, dry_run, 0, "print the plan and change nothing")
#define DISK(T, flags) \
	FIELD(T, disk, flags, "disk: path, serial or WWN", .arg = "DISK", .complete = "disk")

int target_print_step(struct world *w, struct sink *out, const char *disk, const char *why,
		      const char *const *argv)
{
	struct step s = { .number = 1, .object = disk, .why = why, .argv = argv,
			  .command = run_quote(argv, w->mem) };

	return sink_row(out, &plan_table, &s);
}

int target_table_row(const struct gpt *g, struct sink *out)
{
	const struct gpt_extent *largest = gpt_largest_free(g);
	struct gpt_summary row = {
		.disk = g->disk, .state = g->found ? g->found : "good", .uuid = g->uuid,
		.sector_bytes = g->sector_bytes, .partitions = g->n,
		.largest_free_bytes = largest ? largest->size_bytes : 0,
	};

	for (size_t i = 0; i < g->n_free; i++)
		row.free_bytes += g->free[i].size_bytes;
	return sink_row(out, &gpt_table, &row);
}

/* --- create_partition --- */

static const struct field create_partition_params[] = {
	DISK(struct create_partition, REQUIRED),
	FIELD(struct create_partition, name, REQUIRED, "GPT partition name, new on this disk",
	      .arg = "NAME"),
	FIELD(struct create_partition, part_type, 0, "linux, esp, swap, bios_boot, raid or a GUID",
	      .arg = "TYPE", .def = "linux"),
	FIELD(struct create_partition, size_bytes, 0, "its size; all of the largest gap without it",
	      .arg = "SIZE"),
	DRY_RUN(struct create_partition),
	FIELD_END,
};

/* Lowest number that neither the table nor the kernel has. */
static uint64_t free_number(const struct target *t)
{
	for (uint64_t number = 1;; number++) {
		bool known = gpt_number(&t->gpt, number) != NULL;

		for (size_t i = 0; i < t->n_known; i++)
			known |= t->known[i].number == number;
		if (!known)
			return number;
	}
}

int partition_place(const struct target *t, const struct create_partition *p,
		    struct gpt_partition *ret, struct err *e)
{
	const struct gpt *g = &t->gpt;
	const struct gpt_extent *gap = gpt_largest_free(g);
	const struct gpt_partition *same;
	uint64_t size = p->size_bytes;
	char text[SIZE_TEXT];
	int r = gpt_check_name(p->name, "--name", e);

	if (r)
		return r;
	if (!gpt_type_uuid(p->part_type, g->mem))
		return err_make(e, ERR_INVALID, -EINVAL, "--part-type",
				"give linux, esp, swap, bios_boot, raid or a GUID",
				"'%s' is no partition type", p->part_type);
	if (!size)
		return err_make(e, ERR_INVALID, -EINVAL, "--size",
				"give a size, or leave it out for all that is free", "is 0");
	same = gpt_find(g, p->name);
	if (same)
		return err_refuse(e, g->disk, "choose another name",
				  "has a partition named %s already (number %" PRIu64 ")", p->name,
				  same->number);
	if (!gap)
		return err_refuse(e, g->disk, "see mkpart --free, or use another disk",
				  "has no unallocated space of 1 MiB or more");
	if (size == U64_NONE)
		size = gap->size_bytes;
	else if (size <= gap->size_bytes)
		size = (size + g->sector_bytes - 1) / g->sector_bytes * g->sector_bytes;
	if (size > gap->size_bytes)
		return err_make(e, ERR_FAILED, -ENOSPC, g->disk,
				"give a smaller --size; see mkpart --free",
				"has no gap of %" PRIu64 " bytes for %s; the largest has %" PRIu64
				" bytes (%s)",
				size, p->name, gap->size_bytes, size_text(text, gap->size_bytes));
	for (size_t i = 0; i < t->n_known; i++)
		if (t->known[i].start_bytes < gap->start_bytes + size &&
		    gap->start_bytes < t->known[i].start_bytes + t->known[i].size_bytes)
			return err_refuse(e, g->disk, "have its table read again with blockdev --rereadpt, "
					  "or reboot",
					  "has %s in the kernel where its table has free space",
					  t->known[i].name);
	*ret = (struct gpt_partition){ .number = free_number(t), .start_bytes = gap->start_bytes,
				       .size_bytes = size, .name = p->name,
				       .part_type = p->part_type };
	return 0;
}

int target_wipe(const struct target *t, const struct gpt_partition *p, struct err *e)
{
	int r = blkid_wipe_fd(t->fd, p->start_bytes, p->size_bytes, e);

	if (r)
		snprintf(e->object, sizeof e->object, "%s", t->disk.path);
	return r;
}

static int create_partition_run(struct world *w, const void *params, struct sink *out,
				struct err *e)
{
	const struct create_partition *p = params;
	struct target t auto_target = TARGET(w);
	struct gpt_partition place;
	struct partition row;
	int r = target_open(&t, p->disk, p->dry_run ? TARGET_LOOK : TARGET_CHANGE, e);

	if (!r)
		r = target_check_table(&t, e);
	if (!r)
		r = partition_place(&t, p, &place, e);
	if (r)
		return r;
	if (p->dry_run) {
		struct create_partition real = *p;

		real.disk = t.disk.path;
		real.dry_run = false;
		return target_print_step(w, out, t.disk.path, "adds a partition",
				  opt_unparse("mkpart", &(struct mode){ NULL, &create_partition_op },
					      &real, w->mem));
	}
	r = target_second_look(&t, false, e);
	if (!r)
		r = target_wipe(&t, &place, e);
	if (!r)
		r = gpt_add(&t.gpt, place.number, place.start_bytes, place.size_bytes, place.name,
			    place.part_type, e);
	if (!r)
		r = gpt_commit(&t.gpt, t.fd, w->mem, e);
	if (!r)
		r = target_tell_kernel(&t, &place, e);
	if (r)
		return r;
	target_close(&t);
	block_settle(w, (const char *const[]){ target_path(&t, place.number), NULL });
	r = partition_row(w, &t, gpt_number(&t.gpt, place.number), &row, e);
	return r ? r : sink_row(out, &partition_table, &row);
}

const struct operation create_partition_op = {
	.name = "create_partition",
	.summary = "add a GPT partition in unallocated space",
	.params = create_partition_params,
	.params_size = sizeof(struct create_partition),
	.tables = TABLES(&partition_table),
	.dry_run_tables = TABLES(&plan_table),
	.flags = OP_CHANGES | OP_ONE_ROW,
	.run = create_partition_run,
};

/* --- rename_partitions --- */

static const struct field rename_params[] = {
	DISK(struct rename_partitions, REQUIRED),
	FIELD(struct rename_partitions, names, REQUIRED | OPERAND, "names, all changed at once",
	      .arg = "OLD=NEW"),
	DRY_RUN(struct rename_partitions),
	FIELD_END,
};

static size_t count_named(const struct gpt *g, const char *name)
{
	size_t n = 0;

	for (size_t i = 0; i < g->n; i++)
		n += streq(g->partitions[i].name, name);
	return n;
}

/* Leaves out what is done already: the old name gone and the new one there. */
static int parse_renames(const struct gpt *g, const char *const *words, struct gpt_rename **ret,
			 size_t *ret_n, struct err *e)
{
	struct gpt_rename *names = arena_alloc(g->mem, (strlist_len(words) + 1) * sizeof *names);
	size_t n = 0;

	for (; *words; words++) {
		const char *eq = strchr(*words, '=');
		struct gpt_rename ren;
		size_t old, new;

		if (!eq || eq == *words)
			return err_make(e, ERR_INVALID, -EINVAL, *words, NULL, "is not OLD=NEW");
		ren.from = arena_strn(g->mem, *words, (size_t)(eq - *words));
		ren.to = arena_str(g->mem, eq + 1);
		if (gpt_check_name(ren.to, *words, e))
			return e->code;
		old = count_named(g, ren.from);
		new = count_named(g, ren.to);
		if (old > 1)
			return err_refuse(e, g->disk, "rename one of them with sfdisk --part-label",
					  "has %zu partitions named %s", old, ren.from);
		if ((!old && new == 1) || streq(ren.from, ren.to))
			continue;
		if (!old)
			return err_make(e, ERR_NO_DEVICE, -ENOENT, g->disk, "see mkpart --list",
					"has no partition named %s", ren.from);
		if (new)
			return err_refuse(e, g->disk, "choose another name",
					  "has a partition named %s already", ren.to);
		for (size_t i = 0; i < n; i++)
			if (streq(names[i].to, ren.to) || streq(names[i].from, ren.from))
				return err_make(e, ERR_INVALID, -EINVAL, *words, NULL,
						"names a partition a second time");
		names[n++] = ren;
	}
	*ret = names;
	*ret_n = n;
	return 0;
}

static const char *const *names_argv(struct world *w, const char *mode, const char *disk,
				     const char *const *names)
{
	const char **argv = NULL;

	strlist_add(w->mem, &argv, "mkpart");
	strlist_add(w->mem, &argv, mode);
	strlist_add(w->mem, &argv, "--disk");
	strlist_add(w->mem, &argv, disk);
	strlist_add(w->mem, &argv, "--");
	for (; *names; names++)
		strlist_add(w->mem, &argv, *names);
	return (const char *const *)argv;
}

static int list_rows(struct world *w, struct target *t, struct sink *out, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < t->gpt.n && !r; i++) {
		struct partition row;

		r = partition_row(w, t, &t->gpt.partitions[i], &row, e);
		if (!r)
			r = sink_row(out, &partition_table, &row);
	}
	return r;
}

static int rename_run(struct world *w, const void *params, struct sink *out, struct err *e)
{
	const struct rename_partitions *p = params;
	struct target t auto_target = TARGET(w);
	struct gpt_rename *names = NULL;
	const char **paths = NULL;
	size_t n = 0;
	int r = target_open(&t, p->disk, p->dry_run ? TARGET_LOOK : TARGET_CHANGE, e);

	if (!r)
		r = target_check_table(&t, e);
	if (!r)
		r = parse_renames(&t.gpt, (const char *const *)p->names, &names, &n, e);
	if (r)
		return r;
	if (p->dry_run)
		return n ? target_print_step(w, out, t.disk.path, "renames partitions in one write",
				      names_argv(w, "--rename", t.disk.path,
						 (const char *const *)p->names))
			 : 0;
	if (n) {
		r = target_second_look(&t, false, e);
		if (!r)
			r = gpt_rename(&t.gpt, names, n, e);
		if (!r)
			r = gpt_commit(&t.gpt, t.fd, w->mem, e);
		if (r)
			return r;
	}
	target_close(&t);
	/* The kernel keeps no names; udevd's links follow an event. */
	for (size_t i = 0; i < n; i++)
		strlist_add(w->mem, &paths,
			    target_path(&t, gpt_find(&t.gpt, names[i].to)->number));
	if (n)
		block_settle(w, (const char *const *)paths);
	return list_rows(w, &t, out, e);
}

const struct operation rename_partitions_op = {
	.name = "rename_partitions",
	.summary = "rename GPT partitions, all in one write of the table",
	.params = rename_params,
	.params_size = sizeof(struct rename_partitions),
	.tables = TABLES(&partition_table),
	.dry_run_tables = TABLES(&plan_table),
	.flags = OP_CHANGES,
	.run = rename_run,
};

/* --- delete_partitions --- */

static const struct field delete_params[] = {
	DISK(struct delete_partitions, REQUIRED),
	FIELD(struct delete_partitions, names, REQUIRED | OPERAND, "names of the partitions",
	      .arg = "NAME"),
	DRY_RUN(struct delete_partitions),
	FIELD_END,
};

static const struct block_partition *known_partition(const struct target *t, uint64_t number)
{
	for (size_t i = 0; i < t->n_known; i++)
		if (t->known[i].number == number)
			return &t->known[i];
	return NULL;
}

static int check_deletable(struct world *w, const struct target *t, const char *name,
			   struct err *e)
{
	const struct gpt_partition *p = gpt_find(&t->gpt, name);
	const char *busy, *path;
	struct block b;

	if (!p)
		return err_make(e, ERR_NO_DEVICE, -ENOENT, t->gpt.disk, "see mkpart --list",
				"has no partition named %s", name);
	if (count_named(&t->gpt, name) > 1)
		return err_refuse(e, t->gpt.disk, "delete one of them with sfdisk --delete",
				  "has %zu partitions named %s", count_named(&t->gpt, name), name);
	if (!known_partition(t, p->number))
		return 0;
	path = target_path(t, p->number);
	if (block_describe(w, path, &b, e))
		return e->code;
	busy = block_busy(w, &b);
	return busy ? err_refuse(e, path, "release it first", "%s", busy) : 0;
}

static int delete_run(struct world *w, const void *params, struct sink *out, struct err *e)
{
	const struct delete_partitions *p = params;
	struct target t auto_target = TARGET(w);
	int r = target_open(&t, p->disk, p->dry_run ? TARGET_LOOK : TARGET_CHANGE, e);

	if (!r)
		r = target_check_table(&t, e);
	for (const char *const *n = (const char *const *)p->names; !r && *n; n++)
		r = check_deletable(w, &t, *n, e);
	if (r)
		return r;
	if (p->dry_run)
		return target_print_step(w, out, t.disk.path, "deletes partitions",
				  names_argv(w, "--delete", t.disk.path,
					     (const char *const *)p->names));
	r = target_second_look(&t, false, e);
	/* The kernel first: it refuses one that is open, before anything is written. */
	for (const char *const *n = (const char *const *)p->names; !r && *n; n++) {
		const struct gpt_partition *part = gpt_find(&t.gpt, *n);

		if (!part) /* named twice */
			continue;
		r = block_del_partition(w, &t.block, part->number, e);
		if (!r)
			r = gpt_delete(&t.gpt, part->number, e);
	}
	if (!r)
		r = gpt_commit(&t.gpt, t.fd, w->mem, e);
	if (r)
		return r;
	target_close(&t);
	block_settle(w, (const char *const[]){ t.disk.path, NULL });
	return target_table_row(&t.gpt, out);
}

const struct operation delete_partitions_op = {
	.name = "delete_partitions",
	.summary = "delete GPT partitions that are not in use",
	.params = delete_params,
	.params_size = sizeof(struct delete_partitions),
	.tables = TABLES(&gpt_table),
	.dry_run_tables = TABLES(&plan_table),
	.flags = OP_CHANGES | OP_ONE_ROW,
	.run = delete_run,
};

/* --- repair_table --- */

static const struct field repair_params[] = {
	DISK(struct repair_table, REQUIRED),
	DRY_RUN(struct repair_table),
	FIELD_END,
};

static int repair_run(struct world *w, const void *params, struct sink *out, struct err *e)
{
	const struct repair_table *p = params;
	struct target t auto_target = TARGET(w);
	int r = target_open(&t, p->disk, p->dry_run ? TARGET_LOOK : TARGET_CHANGE, e);
	bool good;

	if (r)
		return r;
	if (t.gpt.state == GPT_NONE)
		return gpt_check_changeable(&t.gpt, e);
	good = t.gpt.state == GPT_GOOD;
	r = gpt_repair(&t.gpt, e);
	if (r || good)
		return r || p->dry_run ? r : target_table_row(&t.gpt, out);
	if (p->dry_run)
		return target_print_step(w, out, t.disk.path,
					 "writes the bad copy of its GPT from the good one",
				  (const char *const[]){ "mkpart", "--repair-table", "--disk",
							 t.disk.path, NULL });
	r = target_second_look(&t, false, e);
	if (!r)
		r = gpt_commit(&t.gpt, t.fd, w->mem, e);
	/* With the primary damaged the kernel has shown no partitions. */
	for (size_t i = 0; i < t.gpt.n && !r; i++)
		if (!known_partition(&t, t.gpt.partitions[i].number))
			r = target_tell_kernel(&t, &t.gpt.partitions[i], e);
	if (r)
		return r;
	target_close(&t);
	block_settle(w, (const char *const[]){ t.disk.path, NULL });
	return target_table_row(&t.gpt, out);
}

const struct operation repair_table_op = {
	.name = "repair_table",
	.summary = "make a damaged copy of a GPT anew from the good one",
	.params = repair_params,
	.params_size = sizeof(struct repair_table),
	.tables = TABLES(&gpt_table),
	.dry_run_tables = TABLES(&plan_table),
	.flags = OP_CHANGES | OP_ONE_ROW,
	.run = repair_run,
};
