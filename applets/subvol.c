/* subvol: btrfs subvolumes, snapshots and quotas, on a filesystem that need not be mounted. */
#include "lib/core/applet.h"
#include "lib/storage/subvolume.h"

const struct applet subvol_applet = {
	.name = "subvol",
	.summary = "btrfs subvolumes, snapshots and quotas",
	.text = "Names are paths below the top level of the filesystem, whichever of its subvolumes "
		"are mounted, and also where none is. The filesystem is the one labelled MOSDATA "
		"unless --fs names another. Its top level is mounted where nobody sees it, for as "
		"long as the command runs; a filesystem that lacks a device is refused, never "
		"mounted degraded.\n\n"
		"A new subvolume, a snapshot, a limit and a deletion are on the disk when the "
		"command returns. The space of a deleted subvolume becomes free afterwards, in the "
		"background; --wait waits for it. The core subvolumes system, etc, modules and "
		"vm-meta, one that is mounted, and the default one are never deleted.\n\n"
		"A limit turns quotas on where they are off: simple ones (Linux 6.7), which count "
		"what is written from then on, else full ones, which count everything and cost time "
		"with every snapshot. Quotas that the kernel calls inconsistent do not hold: a "
		"warning says so.",
	.modes = MODES({ "list", &list_subvolumes_op }, { "show", &show_subvolume_op },
		       { "create", &create_subvolume_op }, { "snapshot", &snapshot_subvolume_op },
		       { "delete", &delete_subvolume_op }, { "set-quota", &set_quota_op }),
	.examples = EXAMPLES({ "subvol create data", "a subvolume on the filesystem labelled MOSDATA" },
			     { "subvol snapshot data data-monday", "a read-only snapshot of it" },
			     { "subvol set-quota data 10G --fs /mnt", "at most 10 GiB" },
			     { "subvol list --json -o id,path,read_only --fs /dev/sda5",
			       "on a filesystem that is not mounted" },
			     { "subvol delete --recursive data", "with the subvolumes inside it" }),
	.see_also = "btrfs-quota(8), btrfs-subvolume(8)",
	.section = 8,
};
