/* MD arrays as sysfs shows them (Documentation/admin-guide/md.rst of the kernel). */
#ifndef OS_MD_H
#define OS_MD_H

#include "lib/core/root.h"

struct md_array {
	const char *name, *path; /* "md127", "/dev/md127" */
	const char *level;	 /* "raid1" */
	const char *state;	 /* array_state: "clean", "active", "inactive", "readonly" ... */
	const char *metadata;	 /* "0.90", "1.2" */
	uint64_t raid_disks, degraded; /* members it should have, and how many of them are missing */
	const char *sync_action; /* "idle", "resync", "recover", "check", "repair"; NULL: none */
	uint64_t sync_done_sectors, sync_total_sectors; /* UINT64_MAX while nothing runs */
	const char **members;	 /* kernel names: "vda2" */
};

/* All arrays, by name; in the arena. No md in the kernel: none. */
int md_arrays(const struct root *r, struct arena *a, struct md_array **ret, size_t *ret_n);

#endif
