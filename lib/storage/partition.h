/* Changing a disk's partition table: the operations behind mkpart, safe to cut and to repeat. */
#ifndef STORAGE_PARTITION_H
#define STORAGE_PARTITION_H

#include "lib/os/gpt.h"
#include "lib/storage/inventory.h"

struct create_partition {
	const char *disk, *name, *part_type;
	uint64_t size_bytes; /* U64_NONE: all of the largest gap */
	bool dry_run;
};
struct create_table {
	const char *disk;
	bool force, dry_run;
	bool replace_provisional; /* the disk may have a table all of whose names end in .new */
	const char **partitions;  /* "NAME:TYPE:SIZE", all in the one write that makes the table */
};
struct rename_partitions {
	const char *disk;
	const char **names; /* "OLD=NEW", all in one write of the table */
	bool dry_run;
};
struct delete_partitions {
	const char *disk;
	const char **names;
	bool dry_run;
};
struct repair_table {
	const char *disk;
	bool dry_run;
};

/* Rows: partition_table's, or gpt_table's of one row for the table as a whole. Each locks the disk,
 * looks a second time, writes durably, tells the kernel and waits for nodes. */
extern const struct operation create_partition_op, create_table_op, rename_partitions_op,
	delete_partitions_op, repair_table_op, list_table_op;

struct gpt_summary {
	const char *disk;
	const char *state; /* "good", or what is wrong */
	const char *uuid;
	uint64_t sector_bytes, partitions, free_bytes, largest_free_bytes;
};
extern const struct table gpt_table;

/* A row of `mkpart -`: what `topo layout` prints; the four from fstype on are passed on for
 * `mkvolfs -`. */
struct layout_row {
	const char *path; /* of the partition, in the output */
	const char *disk, *name, *part_type;
	uint64_t size_bytes; /* U64_NONE: the rest */
	const char *fstype, *label, *volume, *profile;
};
extern const struct table layout_table;
extern const struct operation create_layout_op;
/*
 * The library's way in, for mos-sysvol: validates all rows (in memory, with the very code that makes
 * them) before the first write, makes tables on empty disks, adds the partitions, fills in path and
 * size_bytes. Strings in w->mem.
 */
int create_layout(struct world *w, struct layout_row *rows, size_t n, struct err *e);

#endif
