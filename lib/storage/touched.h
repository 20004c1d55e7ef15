/* Which whole disks a change would touch, so that two changes to one disk do not run at once. */
#ifndef STORAGE_TOUCHED_H
#define STORAGE_TOUCHED_H

#include "lib/core/op.h"

struct touched_disk {
	dev_t devno;
	const char *path;
};

/*
 * The disks below what the params name: a disk, a device with all it is stacked on, a path's
 * filesystem with all its members, and the filesystem labelled MOSDATA where an operation takes one
 * and none is named. In ascending device number, each once, in w->mem. What is not there is left
 * out: the operation says so. Reads every device's superblock (world.touch).
 */
int touched_disks(struct world *w, const struct operation *op, const void *params,
		  struct touched_disk **ret, size_t *ret_n, struct err *e);

#endif
