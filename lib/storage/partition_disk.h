/* One disk whose table is looked at or changed: opened, locked, checked. For partition*.c only. */
#ifndef STORAGE_PARTITION_DISK_H
#define STORAGE_PARTITION_DISK_H

#include "lib/core/opt.h"
#include "lib/core/run.h"
#include "lib/core/size.h"
#include "lib/os/block.h"
#include "lib/storage/partition.h"

enum target_mode {
	TARGET_LOOK,
	TARGET_LOCK, /* hold it, for steps that write through descriptors of their own */
	TARGET_CHANGE,
};

struct target {
	struct world *w;
	struct disk disk;   /* as decided on */
	struct block block;
	struct gpt gpt;
	struct block_partition *known; /* the kernel's */
	size_t n_known;
	int fd;
	struct block_lock lock;
};
#define TARGET(world) { .w = world, .fd = -1, .lock = { .w = world } }
#define auto_target auto_release(target_close)

/* Finds the disk, locks it (but to look), opens it (for a change to write), reads its table. */
int target_open(struct target *t, const char *disk, enum target_mode mode, struct err *e);
/* Closes it, then gives up the lock: udevd re-reads the table of an unlocked disk on close. */
void target_close(struct target *t);

/* A partition may be added or changed: the table is sound, and nothing else claims the disk. */
int target_check_table(const struct target *t, struct err *e);
/* A new table may be made: empty, or with force not in use. */
int target_check_empty(const struct target *t, bool force, struct err *e);
/* Just before the first write. */
int target_second_look(const struct target *t, bool must_be_empty, struct err *e);

/* Where a new partition goes, and its number; size_bytes none: the whole of the largest gap. */
int partition_place(const struct target *t, const struct create_partition *p,
		    struct gpt_partition *ret, struct err *e);
/* The path of a partition's node, whether it is there or not. */
const char *target_path(const struct target *t, uint64_t number);
int partition_row(struct world *w, const struct target *t, const struct gpt_partition *p,
		  struct partition *ret, struct err *e);

/* Erases what an earlier owner of this space left: it would come to life in the new partition. */
int target_wipe(const struct target *t, const struct gpt_partition *p, struct err *e);
/* The kernel gets the partition, and its node is there when this returns. */
int target_tell_kernel(const struct target *t, const struct gpt_partition *p, struct err *e);
/* Rows: the summary of a table; a dry run's only step. */
int target_table_row(const struct gpt *g, struct sink *out);
int target_print_step(struct world *w, struct sink *out, const char *disk, const char *why,
		      const char *const *argv);

#endif
