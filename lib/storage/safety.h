/* What may be written to: the safety rules as pure functions over what the readers found. */
#ifndef STORAGE_SAFETY_H
#define STORAGE_SAFETY_H

#include "lib/storage/inventory.h"

/*
 * Why this whole disk must not be taken, or NULL when it is empty and free: a table, filesystem,
 * RAID, LVM or LUKS signature, an ambiguous probe, a probe error, a holder, a mount, swap in use,
 * read-only, removable, the boot disk, no size. Text like "holds an ext4 filesystem (label ROOT)";
 * *hint (may be NULL) says what to do. In the arena or constant.
 */
const char *disk_refusal(const struct disk *d, struct arena *a, const char **hint);
/* Only what no --force overrides: in use, read-only. */
const char *disk_busy(const struct disk *d, struct arena *a, const char **hint);

/*
 * The second look just before the first write: that the device at d->path is still the disk that
 * was decided on (serial, WWN, diskseq, size, device number) and, when it was empty, still is.
 * fd is open on it, without O_EXCL, and the disk is locked (os/block.h). With must_be_empty the disk
 * is also claimed for an instant, which finds holders that leave no trace in sysfs.
 */
int disk_still_same(struct world *w, const struct disk *d, int fd, bool must_be_empty,
		    struct err *e);

#endif
