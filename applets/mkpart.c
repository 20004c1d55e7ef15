/* mkpart: adds GPT partitions, lists them and the free space, renames, deletes, repairs. */
#include "lib/core/applet.h"
#include "lib/storage/partition.h"

extern const struct applet mkpart_applet;
const struct applet mkpart_applet = {
	.name = "mkpart",
	.summary = "add GPT partitions; list partitions and free space",
	.text = "Adds a partition in the unallocated space of a GPT disk: aligned to 1 MiB, "
		"at the start of the largest gap, all of it unless a size is given. The "
		"kernel is told, the device node is waited for, and the new partition's row "
		"is printed. A name that the disk has already is refused, so that the same "
		"command run twice adds one partition.\n\n"
		"With - a table of partitions is read from standard input, as topo layout "
		"prints it: columns disk, name, part_type, size_bytes (- for the rest), "
		"fstype, label, volume, profile. All of it is checked before the first "
		"write. An empty disk gets a new table by itself. The rows come out again "
		"with the partitions' paths, ready for mkvolfs -.\n\n"
		"A disk is locked (flock) while it is changed, and looked at a second time "
		"just before the first write. The backup copy of the table is made durable "
		"before the primary one is touched, and the protective MBR of a new table "
		"comes last: a power cut between any two sectors leaves the old table or "
		"the new one. Stale signatures in the space of a new partition are erased "
		"first. A table of which one copy is damaged is listed from the good one "
		"and not changed until --repair-table has made the other anew.",
	.modes = MODES({ NULL, &create_partition_op }, { "--list", &list_table_op },
		       { "--free", &list_free_space_op }, { "--new-table", &create_table_op },
		       { "--rename", &rename_partitions_op }, { "--delete", &delete_partitions_op },
		       { "--repair-table", &repair_table_op }, { "-", &create_layout_op }),
	.examples = EXAMPLES(
		{ "mkpart --disk /dev/sda --name mydata", "a partition of all the largest gap" },
		{ "mkpart --disk /dev/sda --name extra --size 100G --dry-run", "what would be done" },
		{ "mkpart --new-table --disk /dev/sdb", "a GPT on an empty disk" },
		{ "topo layout BtrfsSingle | mkpart - | mkvolfs -", "a whole disk provisioned" },
		{ "mkpart --free", "where there is room" }),
	.files = EXAMPLES({ "/run/udev/control", "where udevd listens: its events are waited for" }),
	.see_also = "mkvolfs(8), sfdisk(8), topo(8), wipefs(8)",
	.section = 8,
};
