/* Kernel modules: loading what the running kernel lacks, also where there is no modprobe. */
#ifndef OS_MODULE_H
#define OS_MODULE_H

#include "lib/core/op.h"

/*
 * Makes sure that a filesystem type is there: nothing happens when /proc/filesystems has it; else
 * modprobe loads the module where there is one in PATH, else finit_module(2) does, what it needs
 * first, by modules.dep, modules.softdep and modules.alias of /lib/modules/RELEASE. 0, or -errno:
 * -ENOENT when there is no such module or it does not bring that filesystem.
 * fstype may be NULL: then /sys/module tells whether the module is there.
 */
int module_load(struct world *w, const char *module, const char *fstype);

#endif
