/* The fixed layout of a node's system disk. */
#include "mos-sysvol.h"

#include "lib/core/size.h"

const struct layout_part layout[PARTS] = {
	[PART_BIOS] = { "mosbios", "bios_boot", NULL, NULL, NULL },
	[PART_EFI] = { "mosefi", "esp", "vfat", "MOSEFI", "mkfs.vfat" },
	[PART_BOOT] = { "mosboot", "linux", "ext4", "MOSBOOT", "mkfs.ext4" },
	[PART_SWAP] = { "mosswap", "swap", "swap", "MOSSWAP", "mkswap" },
	[PART_DATA] = { "mosdata", "linux", "btrfs", "MOSDATA", "mkfs.btrfs" },
};

/* FAT32 needs at least 65525 clusters, and a cluster is a sector at least: 256 MiB of 4096-byte
 * sectors, so the EFI partition is larger there. */
uint64_t layout_size_bytes(const struct config *c, enum part part, uint64_t sector_bytes)
{
	switch (part) {
	case PART_BIOS:
		return MiB;
	case PART_EFI:
		return sector_bytes >= 4096 ? 300 * MiB : 100 * MiB;
	case PART_BOOT:
		return GiB;
	case PART_SWAP:
		return c->swap_bytes;
	case PART_DATA:
		return c->data_bytes;
	case PARTS:
		break;
	}
	return 0;
}

/* With a MiB before the first partition and one at the end for the tables. */
uint64_t layout_total_bytes(const struct config *c, uint64_t sector_bytes)
{
	uint64_t total = 2 * MiB;

	for (enum part p = 0; p < PARTS; p++)
		total += layout_size_bytes(c, p, sector_bytes);
	return total;
}

const char *partition_path(struct arena *a, const char *disk, unsigned number)
{
	size_t n = strlen(disk);
	bool digit = n && disk[n - 1] >= '0' && disk[n - 1] <= '9';

	return arena_printf(a, "%s%s%u", disk, digit ? "p" : "", number);
}
