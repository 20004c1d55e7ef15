/* topo: the disks of a machine, and which storage layouts they allow. */
#include "lib/core/applet.h"
#include "lib/storage/inventory.h"
#include "lib/storage/topology.h"

static const char text[] =
	"Says for each of six templates whether the disks of this machine allow it, which disks it "
	"would take, how many bytes could be used, and what stands in the way of the others. "
	"Nothing is changed.\n\n"
	"A disk counts when it is empty and free: no partition table, no signature of a filesystem, "
	"RAID, LVM or encryption, nothing ambiguous or unreadable, not in use, not read-only, not "
	"removable (USB and SD cards are) and not what the system runs from. Of several disks a "
	"single one is the largest, and a pair is of the same type first, then the closest in size, "
	"then the larger.\n\n"
	"The type of a disk comes from its transport, then from what it says of rotation. A virtual "
	"disk, or one behind a USB bridge, may need --type.";

const struct applet topo_applet = {
	.name = "topo",
	.summary = "which storage layouts these disks allow, and why not the others",
	.text = text,
	.modes = MODES({ "", &topo_op }, { "disks", &list_disks_op },
		       { "partitions", &list_partitions_op },
		       { "filesystems", &list_filesystems_op }, { "mounts", &list_mounts_op },
		       { "free-space", &list_free_space_op }, { "inventory", &inventory_op },
		       { "layout", &topology_layout_op }),
	.examples = EXAMPLES(
		{ "topo", "What these disks allow." },
		{ "topo --require BtrfsRaid1", "In a script: exit with 3 when there is no pair." },
		{ "topo disks -o path,type,type_reason,size_bytes,content",
		  "What is on which disk." },
		{ "topo --type sdb=ssd -o name,disks,reasons",
		  "Correct a disk that is taken for an HDD." },
		{ "topo layout BtrfsSingle --disk /dev/sdb | mkpart - | mkvolfs -",
		  "Make a template real on that disk." },
		{ "topo --sysroot DIR", "The same on a recorded machine." }),
	.files = EXAMPLES({ "/sys/dev/block", "the disks and what holds them" },
			  { "/run/udev/data", "what udevd knows of them, where there is one" },
			  { "/proc/self/mountinfo", "what is mounted" }),
	.see_also = "lsblk(8), mkpart(8), mkvolfs(8), wipefs(8)",
	.section = 8,
};
