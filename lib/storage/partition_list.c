/* Listing partitions from the tables on the disks, also from a half damaged one. */
#include "lib/storage/partition_disk.h"

#include <errno.h>
#include <sys/stat.h>

struct list_table {
	const char *disk;
};

static const struct field list_params[] = {
	FIELD(struct list_table, disk, OPERAND, "only this disk; all without it", .arg = "DISK",
	      .complete = "disk"),
	FIELD_END,
};

/* Reads the table of a disk, or of its image below another root. */
static int read_table(struct world *w, const struct disk *d, struct target *t, struct err *e)
{
	struct stat st;
	int r;

	t->disk = *d;
	t->fd = root_open(&w->root, d->path, O_RDONLY | O_NONBLOCK);
	if (t->fd < 0)
		return err_sys(e, t->fd, d->path, "open");
	if (!root_is_machine(&w->root) && (fstat(t->fd, &st) || !S_ISREG(st.st_mode)))
		return err_sys(e, -ENODEV, d->path, "read its table");
	r = gpt_read(t->fd, d->path, d->size_bytes, d->logical_sector_bytes, w->mem, &t->gpt, e);
	return r;
}

static int list_others(struct world *w, const struct disk *d, struct sink *out, struct err *e)
{
	struct partition *all;
	size_t n;
	int r = inventory_partitions(w, &all, &n, e);

	for (size_t i = 0; !r && i < n; i++)
		if (streq(all[i].disk, d->path))
			r = sink_row(out, &partition_table, &all[i]);
	return r;
}

static int list_disk(struct world *w, const struct disk *d, struct sink *out, struct err *e)
{
	struct target t auto_target = TARGET(w);
	struct partition row;
	int r = read_table(w, d, &t, e);

	if (r && root_is_machine(&w->root))
		return r;
	if (r || t.gpt.state == GPT_NONE)
		return list_others(w, d, out, e);
	if (t.gpt.found)
		world_warn(w, "%s %s", d->path, t.gpt.found);
	for (size_t i = 0; i < t.gpt.n && !r; i++) {
		r = partition_row(w, &t, &t.gpt.partitions[i], &row, e);
		if (!r)
			r = sink_row(out, &partition_table, &row);
	}
	return r;
}

static int list_run(struct world *w, const void *params, struct sink *out, struct err *e)
{
	const struct list_table *p = params;
	struct disk one, *disks = &one;
	size_t n = 1;
	int r = p->disk ? inventory_disk(w, p->disk, &one, e) : inventory_disks(w, &disks, &n, e);

	for (size_t i = 0; !r && i < n; i++) {
		r = list_disk(w, &disks[i], out, e);
		if (r && !p->disk) { /* one bad disk does not hide the others */
			world_warn(w, "%s", err_line(e, w->mem));
			r = 0;
		}
	}
	return r;
}

const struct operation list_table_op = {
	.name = "list_table",
	.summary = "list partitions as the tables on the disks have them",
	.params = list_params,
	.params_size = sizeof(struct list_table),
	.tables = TABLES(&partition_table),
	.flags = OP_LOCAL,
	.run = list_run,
};
