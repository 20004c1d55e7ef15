/* The operations that list the inventory, the same for a command line and the daemon. */
#include "lib/storage/inventory_parts.h"
#include "lib/storage/subvolume.h"

#include <errno.h>

struct no_params {
	char nothing;
};
static const struct field no_params[] = { FIELD_END };

#define LIST(name, T, table, reader)                                                         \
	static int name(struct world *w, const void *params, struct sink *out, struct err *e) \
	{                                                                                     \
		T *rows;                                                                      \
		size_t n;                                                                     \
		int r = reader(w, &rows, &n, e);                                              \
                                                                                              \
		(void)params;                                                                 \
		for (size_t i = 0; i < n && !r; i++)                                          \
			r = sink_row(out, &table, &rows[i]);                                  \
		return r;                                                                     \
	}
LIST(list_disks, struct disk, disk_table, inventory_disks)
LIST(list_partitions, struct partition, partition_table, inventory_partitions)
LIST(list_filesystems, struct filesystem, filesystem_table, inventory_filesystems)
LIST(list_mounts, struct mount_point, mount_table, inventory_mounts)

const struct operation list_disks_op = {
	.name = "list_disks",
	.summary = "list the disks, what is on them and what uses them",
	.params = no_params,
	.params_size = sizeof(struct no_params),
	.tables = TABLES(&disk_table),
	.run = list_disks,
};
const struct operation list_partitions_op = {
	.name = "list_partitions",
	.summary = "list the partitions and what is in them",
	.params = no_params,
	.params_size = sizeof(struct no_params),
	.tables = TABLES(&partition_table),
	.run = list_partitions,
};
const struct operation list_filesystems_op = {
	.name = "list_filesystems",
	.summary = "list the filesystems and swap areas, mounted or not",
	.params = no_params,
	.params_size = sizeof(struct no_params),
	.tables = TABLES(&filesystem_table),
	.run = list_filesystems,
};
const struct operation list_mounts_op = {
	.name = "list_mounts",
	.summary = "list what is mounted",
	.params = no_params,
	.params_size = sizeof(struct no_params),
	.tables = TABLES(&mount_table),
	.run = list_mounts,
};

static bool has_mosdata(const struct filesystem *f, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (streq(f[i].label, "MOSDATA") && streq(f[i].fstype, "btrfs"))
			return true;
	return false;
}

/* Without MOSDATA there is nothing to list; where it cannot be reached, the rest still counts. */
static void list_mosdata(struct world *w, struct sink *out)
{
	void *params = arena_alloc(w->mem, list_subvolumes_op.params_size);
	struct err e = { 0 };

	field_clear(list_subvolumes_op.params, params);
	field_defaults(list_subvolumes_op.params, params, w->mem);
	if (list_subvolumes_op.run(w, params, out, &e) < 0)
		world_warn(w, "subvolumes: %s", err_line(&e, w->mem));
}

static int list_all(struct world *w, const void *params, struct sink *out, struct err *e)
{
	struct machine *m auto_machine = NULL;
	struct filesystem *filesystems;
	struct partition *partitions;
	struct free_space *gaps;
	struct mount_point *mounts;
	struct disk *disks;
	size_t n, n_filesystems;
	int r = machine_read(w, &m, e);

	(void)params;
	if (r)
		return r;
	inventory_disks_of(m, &disks, &n);
	for (size_t i = 0; i < n && !r; i++)
		r = sink_row(out, &disk_table, &disks[i]);
	inventory_partitions_of(m, &partitions, &n);
	for (size_t i = 0; i < n && !r; i++)
		r = sink_row(out, &partition_table, &partitions[i]);
	inventory_filesystems_of(m, &filesystems, &n_filesystems);
	for (size_t i = 0; i < n_filesystems && !r; i++)
		r = sink_row(out, &filesystem_table, &filesystems[i]);
	inventory_mounts_of(m, &mounts, &n);
	for (size_t i = 0; i < n && !r; i++)
		r = sink_row(out, &mount_table, &mounts[i]);
	inventory_free_space_of(m, &gaps, &n);
	for (size_t i = 0; i < n && !r; i++)
		r = sink_row(out, &free_space_table, &gaps[i]);
	if (!r && root_is_machine(&w->root) && has_mosdata(filesystems, n_filesystems))
		list_mosdata(w, out);
	return r;
}

const struct operation inventory_op = {
	.name = "inventory",
	.summary = "list disks, partitions, filesystems, mounts, free space and subvolumes at once",
	.params = no_params,
	.params_size = sizeof(struct no_params),
	.tables = TABLES(&disk_table, &partition_table, &filesystem_table, &mount_table,
			 &free_space_table, &subvolume_table),
	.run = list_all,
};
