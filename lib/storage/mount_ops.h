/* Mounting and unmounting on the running machine: the operations. */
#ifndef STORAGE_MOUNT_OPS_H
#define STORAGE_MOUNT_OPS_H

#include "lib/core/op.h"

/* mount gives the row of mount_table; what is mounted there already, from the same source and
 * subvolume, is done. Neither follows a link on its way to the target. */
extern const struct operation mount_op, unmount_op;

#endif
