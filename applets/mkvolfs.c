/* mkvolfs: puts a filesystem or swap area on an empty partition, and proves it. */
#include "lib/core/applet.h"
#include "lib/storage/mkfs.h"

extern const struct applet mkvolfs_applet;
const struct applet mkvolfs_applet = {
	.name = "mkvolfs",
	.summary = "put a filesystem on a partition",
	.text = "Makes a filesystem or swap area by the program of its type, on a device "
		"that is empty and not in use: anything that probing finds there is "
		"refused, also what the program itself would silently overwrite. The "
		"label's length and characters, the device's size and the program are "
		"checked before anything is written. Afterwards the device is probed: type "
		"and label must be what was asked for, and everything is durable.\n\n"
		"The whole disk is locked (flock) meanwhile, so that udevd does not read "
		"half of it. If the program fails, what it left half made is erased and its "
		"message shown.\n\n"
		"With - a table is read from standard input, as mkpart - prints it: columns "
		"path, fstype, label, volume, profile. Rows of the same volume become one "
		"filesystem on several devices; rows without fstype are passed over. All of "
		"it is checked before the first is made.\n\n"
		"Labels: btrfs 255 bytes, bcachefs 32, ext4 16, swap 15, xfs 12, vfat 11 of "
		"ASCII without punctuation. vfat is FAT32, which needs 33 MiB on disks with "
		"sectors of 512 bytes and 257 MiB on those of 4096.",
	.modes = MODES({ NULL, &create_filesystem_op }, { "-", &create_filesystems_op }),
	.examples = EXAMPLES(
		{ "mkvolfs --device /dev/sda6 --fstype btrfs --label MYDATA", "a btrfs" },
		{ "mkvolfs --device /dev/sda6 --device /dev/sdb6 --fstype btrfs --profile raid1",
		  "a mirrored one" },
		{ "mkvolfs --device /dev/sda2 --fstype vfat --label EFI --dry-run", "what would be run" },
		{ "topo layout BtrfsSingle | mkpart - | mkvolfs -", "a whole disk provisioned" }),
	.see_also = "bcachefs(8), mkfs.btrfs(8), mkfs.ext4(8), mkfs.vfat(8), mkfs.xfs(8), mkpart(8), "
		    "mkswap(8), topo(8)",
	.section = 8,
};
