/* The log of a disk's writes, as dm-log-writes and qemu's blklogwrites make it, and as ours adds. */
#ifndef WRITELOG_H
#define WRITELOG_H

#include <stdint.h>

/*
 * One block of `sector_bytes` for the superblock, then for each entry one block for its head and,
 * but for a discard, `nr_sectors` blocks of data (Linux drivers/md/dm-log-writes.c, qemu
 * block/blklogwrites.c). `inline_bytes` counts what is behind the head in its own block, a mark's
 * name. All little-endian; sectors are of `sector_bytes`.
 */
#define WRITELOG_MAGIC 0x6a736677736872ULL

struct writelog_super {
	uint64_t magic, version, nr_entries;
	uint32_t sector_bytes, pad;
};

struct writelog_entry {
	uint64_t sector, nr_sectors, flags, inline_bytes;
};

enum {
	WRITELOG_FLUSH = 1,
	WRITELOG_FUA = 2,
	WRITELOG_DISCARD = 4,
	WRITELOG_MARK = 8,
	WRITELOG_METADATA = 16,
	WRITELOG_ZEROES = 32, /* ours: zeroes written, no data follows */
};

/*
 * A log of ours (tests/vm/record) holds the writes of several disks in the one order in which they
 * were done. It says so by this in the superblock's block; an entry's disk is in the top byte of
 * its flags. A flush has in `sector` how many entries had been acknowledged when it was asked for:
 * those are what it makes durable, for the guest cannot have meant others.
 */
#define WRITELOG_OURS_OFFSET 64
#define WRITELOG_OURS_MAGIC  0x676f6c786f626d76ULL
#define WRITELOG_DISKS_MAX   24
#define WRITELOG_DISK_SHIFT  56

struct writelog_ours {
	uint64_t magic;
	uint32_t nr_disks, pad;
	struct {
		uint64_t size_bytes;
	} disk[WRITELOG_DISKS_MAX];
};

_Static_assert(WRITELOG_OURS_OFFSET + sizeof(struct writelog_ours) <= 512, "fits the block");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the structs are read as they are");

#endif
