/* The tables of inventory.h from a machine that was read already: for who wants several of them. */
#ifndef STORAGE_INVENTORY_PARTS_H
#define STORAGE_INVENTORY_PARTS_H

#include "lib/storage/inventory.h"
#include "lib/storage/machine.h"

void inventory_disks_of(struct machine *m, struct disk **ret, size_t *ret_n);
void inventory_partitions_of(struct machine *m, struct partition **ret, size_t *ret_n);
void inventory_filesystems_of(struct machine *m, struct filesystem **ret, size_t *ret_n);
void inventory_mounts_of(struct machine *m, struct mount_point **ret, size_t *ret_n);
/* The gaps of every GPT disk among these; what cannot be read is a warning. */
void inventory_free_space_of(struct machine *m, struct free_space **ret, size_t *ret_n);
/* The disk that inventory_disk() would find. */
int inventory_find(struct machine *m, const char *name, struct blockdev **ret, struct err *e);

#endif
