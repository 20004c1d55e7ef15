/* A new table on an empty disk, with its first partitions in the same write. */
#include "lib/core/size.h"
#include "lib/os/blkid.h"
#include "lib/storage/partition_disk.h"
#include "lib/storage/plan.h"
#include "lib/storage/safety.h"

#include <errno.h>

static const struct field create_table_params[] = {
	FIELD(struct create_table, disk, REQUIRED, "disk: path, serial or WWN", .arg = "DISK",
	      .complete = "disk"),
	FIELD(struct create_table, partitions, OPERAND,
	      "partitions made in the same write: a power cut leaves all of them or none",
	      .arg = "NAME:TYPE:SIZE"),
	FIELD(struct create_table, force, 0, "erase what is on it; never a disk in use"),
	FIELD(struct create_table, replace_provisional, 0,
	      "replace a table whose partitions all have names ending in .new"),
	FIELD(struct create_table, dry_run, 0, "print the plan and change nothing"),
	FIELD_END,
};

static int forget_partitions(struct target *t, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < t->n_known && !r; i++)
		r = block_del_partition(t->w, &t->block, t->known[i].number, e);
	t->n_known = 0;
	return r;
}

/* Old signatures, and with force the first and last MiB, where backups of tables and labels lie. */
static int wipe_disk(struct target *t, bool force, struct err *e)
{
	uint64_t size = t->block.size_bytes, end = size > 2 * MiB ? MiB : size / 2;
	auto_free char *zeros = xcalloc(1, MiB);
	int r = blkid_wipe_fd(t->fd, 0, size, e);

	if (r)
		snprintf(e->object, sizeof e->object, "%s", t->disk.path);
	if (!r && force && (pwrite(t->fd, zeros, end, 0) != (ssize_t)end ||
			    pwrite(t->fd, zeros, end, (off_t)(size - end)) != (ssize_t)end))
		r = err_sys(e, errno ? -errno : -EIO, t->disk.path, "erase its ends");
	if (!r && fsync(t->fd))
		r = err_sys(e, -errno, t->disk.path, "make the wiping durable");
	return r;
}

/* Names ending in .new are given until a table is complete: whoever finds only such may start
 * afresh. One other partition, and the disk is not to be touched. */
static int check_provisional(const struct target *t, struct err *e)
{
	const char *hint = NULL, *why;

	if (!t->gpt.n)
		return target_check_empty(t, false, e);
	for (size_t i = 0; i < t->gpt.n; i++)
		if (!gpt_name_is_provisional(t->gpt.partitions[i].name))
			return err_refuse(e, t->disk.path, "name an empty disk",
					  "has a partition named '%s', which is not provisional",
					  t->gpt.partitions[i].name);
	/* Such as a filesystem on the whole disk that left the backup table alone. */
	if (t->disk.content)
		return err_refuse(e, t->disk.path, "name an empty disk", "holds %s",
				  t->disk.content);
	if (t->disk.probe_error)
		return err_refuse(e, t->disk.path, "name an empty disk", "cannot be probed: %s",
				  t->disk.probe_error);
	why = disk_busy(&t->disk, t->w->mem, &hint);
	if (!why) {
		why = block_busy(t->w, &t->block);
		hint = "release it first, or name another disk";
	}
	return why ? err_refuse(e, t->disk.path, hint, "%s", why) : 0;
}

/* "mosdata:linux:4G": the size may be missing, for the rest. */
static int parse_partition(struct arena *a, const char *text, struct create_partition *p,
			   struct err *e)
{
	char *name = arena_str(a, text), *type = strchr(name, ':'), *size;

	if (!type || type == name)
		return err_usage(e, text, "is not of the form NAME:TYPE:SIZE");
	*type++ = '\0';
	size = strchr(type, ':');
	if (size)
		*size++ = '\0';
	*p = (struct create_partition){ .name = name, .part_type = type, .size_bytes = U64_NONE };
	if (size && size_parse(size, &p->size_bytes))
		return err_usage(e, text, "'%s' is no size such as 512M or 10G", size);
	return 0;
}

/* In memory: what is wrong is found before the first write. */
static int add_partitions(struct target *t, const struct create_table *p, struct err *e)
{
	int r = gpt_create(&t->gpt, e);

	for (const char **text = p->partitions; text && *text && !r; text++) {
		struct create_partition want;
		struct gpt_partition place;

		r = parse_partition(t->w->mem, *text, &want, e);
		if (!r)
			r = partition_place(t, &want, &place, e);
		if (!r)
			r = gpt_add(&t->gpt, place.number, place.start_bytes, place.size_bytes,
				    place.name, place.part_type, e);
	}
	return r;
}

static int print_plan(struct world *w, const struct create_table *p, const char *disk,
		      struct sink *out)
{
	struct create_table real = *p;

	real.disk = disk;
	real.dry_run = false;
	return target_print_step(w, out, disk,
				 p->force ? "erases the disk and makes a GPT" : "makes a GPT",
				 opt_unparse("mkpart", &(struct mode){ "--new-table", &create_table_op },
					     &real, w->mem));
}

static int write_table(struct target *t, const struct create_table *p, bool is_replaced,
		       struct err *e)
{
	bool empty = !p->force && !p->replace_provisional;
	int r = target_second_look(t, empty, e);

	if (!r)
		r = forget_partitions(t, e);
	/* A provisional table is written over in gpt_commit()'s order: were it wiped, a cut could leave
	 * its protective MBR and neither of its copies, which is nobody's and not empty. */
	if (!r && !is_replaced)
		r = wipe_disk(t, p->force, e);
	for (size_t i = 0; i < t->gpt.n && !r; i++)
		r = target_wipe(t, &t->gpt.partitions[i], e);
	if (!r)
		r = gpt_commit(&t->gpt, t->fd, t->w->mem, e);
	for (size_t i = 0; i < t->gpt.n && !r; i++)
		r = target_tell_kernel(t, &t->gpt.partitions[i], e);
	return r;
}

static int create_table_run(struct world *w, const void *params, struct sink *out, struct err *e)
{
	const struct create_table *p = params;
	struct target t auto_target = TARGET(w);
	const char **paths = NULL;
	bool is_replaced;
	int r = target_open(&t, p->disk, p->dry_run ? TARGET_LOOK : TARGET_CHANGE, e);

	is_replaced = !r && p->replace_provisional && t.gpt.n;
	if (!r)
		r = p->replace_provisional ? check_provisional(&t, e)
					   : target_check_empty(&t, p->force, e);
	if (!r) {
		size_t known = t.n_known;

		t.n_known = 0; /* they go */
		r = add_partitions(&t, p, e);
		t.n_known = known;
	}
	if (r)
		return r;
	if (p->dry_run)
		return print_plan(w, p, t.disk.path, out);
	r = write_table(&t, p, is_replaced, e);
	if (r)
		return r;
	target_close(&t);
	strlist_add(w->mem, &paths, t.disk.path);
	for (size_t i = 0; i < t.gpt.n; i++)
		strlist_add(w->mem, &paths, target_path(&t, t.gpt.partitions[i].number));
	block_settle(w, (const char *const *)paths);
	return target_table_row(&t.gpt, out);
}

const struct operation create_table_op = {
	.name = "create_table",
	.summary = "make a GUID partition table on an empty disk",
	.params = create_table_params,
	.params_size = sizeof(struct create_table),
	.tables = TABLES(&gpt_table),
	.dry_run_tables = TABLES(&plan_table),
	.flags = OP_CHANGES | OP_ONE_ROW,
	.run = create_table_run,
};
