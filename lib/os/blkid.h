/* What is on a block device: low-level probing by libblkid, never its cache. */
#ifndef OS_BLKID_H
#define OS_BLKID_H

#include "lib/core/err.h"
#include "lib/core/mem.h"

#include <stdint.h>

/* An entry of the partition table, as the table has it. */
struct probe_partition {
	unsigned number;
	uint64_t start_bytes, size_bytes; /* from the start of what was probed */
	const char *name;		  /* GPT name; NULL: none */
	const char *type;		  /* GUID in small letters, or "0x83" */
	const char *uuid;
};

struct probe {
	bool found;	      /* any signature; false: nothing is there */
	bool ambiguous;	      /* conflicting signatures: counts as found */
	bool damaged;	      /* a signature whose checksum is wrong: counts as found */
	const char *usage;    /* "filesystem", "raid", "crypto", "other"; NULL for a bare table */
	const char *type;     /* "ext4", "btrfs", "linux_raid_member", "LVM2_member", "crypto_LUKS" */
	const char *version;
	const char *label;
	const char *uuid;     /* of the filesystem or array */
	const char *uuid_sub; /* of this member of it */
	const char *table;    /* partition table: "gpt", "dos"; NULL: none. "PMBR": a protective
				 MBR whose GPT is gone */
	const char *table_uuid;
	const char **all;     /* every signature: "ext4 at 1080", "gpt at 512", for messages */
	uint64_t total_devices; /* btrfs, bcachefs: how many belong to it; UINT64_MAX unknown */
	struct probe_partition *partitions;
	size_t n_partitions;
};

/*
 * Probes size_bytes of fd at offset_bytes (size 0: to the end). fd is readable; the position is not
 * kept. Strings are in the arena. Returns 0 also when nothing is found or it is ambiguous; -errno
 * when the device cannot be read, which callers must count as "not empty".
 */
int blkid_probe_fd(int fd, uint64_t offset_bytes, uint64_t size_bytes, struct arena *a,
		   struct probe *ret, struct err *e);
/* The same for an image file of a disk with these logical sectors (0: what the device says, 512 for
 * a file): the place of a GPT depends on them. */
int blkid_probe_image(int fd, uint64_t offset_bytes, uint64_t size_bytes, uint64_t sector_bytes,
		      struct arena *a, struct probe *ret, struct err *e);
/* The same strings and partitions in another arena. */
void probe_copy(struct probe *p, struct arena *to);
/* Before threads probe different descriptors at the same time, each with an arena of its own. */
void blkid_allow_threads(void);
/* Opens path read-only (O_NONBLOCK) and probes it. */
int blkid_probe_path(const char *path, struct arena *a, struct probe *ret, struct err *e);
/*
 * Erases every signature in that range (checksum broken ones too), so that no stale superblock
 * reappears in a new partition; probes until nothing is left. fd is writable. No fsync is promised.
 */
int blkid_wipe_fd(int fd, uint64_t offset_bytes, uint64_t size_bytes, struct err *e);

#endif
