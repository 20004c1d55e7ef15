/* The volume manager's own filesystems and mounts: those whose label begins with MOS. */
#ifndef STORAGE_MOS_LIST_H
#define STORAGE_MOS_LIST_H

#include "lib/core/op.h"

/* Named as the methods are: list_filesystems, list_mounts; their param all lists the others too. */
extern const struct operation list_mos_filesystems_op, list_mos_mounts_op;

#endif
