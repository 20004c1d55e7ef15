/*
 * All block devices of a machine with what uses them, read once: the ground that inventory.h's
 * tables stand on. Nothing is probed until machine_probe() asks for one device.
 */
#ifndef STORAGE_MACHINE_H
#define STORAGE_MACHINE_H

#include "lib/core/op.h"
#include "lib/os/blkid.h"
#include "lib/os/mount.h"
#include "lib/os/udev.h"

enum blockdev_kind {
	BLOCKDEV_DISK,	    /* a disk, or a multipath map that stands for one */
	BLOCKDEV_PARTITION, /* of any of the others */
	BLOCKDEV_MAPPED,    /* device mapper: LVM, LUKS, ... */
	BLOCKDEV_ARRAY,	    /* md, bcache and other devices made of devices */
	BLOCKDEV_OPTICAL,
};

struct blockdev {
	enum blockdev_kind kind;
	const char *name;  /* kernel's: "sda1", "dm-0", "cciss!c0d0" */
	const char *sys;   /* "/sys/devices/.../block/sda/sda1": without links, names the bus */
	const char *uevent;
	const char *path;  /* "/dev/sda1", "/dev/mapper/root" */
	const char *node;  /* "/dev/dm-0" */
	const char *devno; /* "8:1" */
	const char *mapping; /* device mapper: "LVM vg-root", "multipath mpatha" */
	const char *dm_name, *dm_uuid;
	const char *backing_file; /* loop */
	uint64_t size_bytes, start_bytes, sector_bytes, physical_sector_bytes, number, diskseq;
	bool read_only, removable, rotational;
	const char *part_name, *part_uuid; /* as the kernel read them from the table */
	struct blockdev *disk; /* a partition's whole device, else itself */
	VEC(struct blockdev *) partitions, holders, slaves;
	const char **mount_points; /* "[SWAP]" too */
	const char **uses;	   /* "mounted at /", "held by dm-0 (LVM vg-root)" */
	bool boot;
	/* After machine_probe(): */
	bool prepared, probed;
	int fd; /* between the two: open, or -errno */
	uint64_t fd_offset_bytes;
	struct probe probe;
	const char *probe_error;
	bool has_udev;
	struct udev_props udev;
};

struct machine {
	struct world *w;
	struct arena *mem;
	VEC(struct blockdev *) devices; /* version order of the path; partitions behind their disk */
	struct blockdev **by_name;
	size_t n_names;
	struct mount_info *mounts;
	size_t n_mounts;
	struct swap_info *swaps;
	size_t n_swaps;
	struct udev_db *udev;
	bool live; /* device nodes below the root are this machine's */
	bool images; /* a recording that has files for devices */
};

/* Reads sysfs, mounts, swaps. A device that vanishes meanwhile is left out. */
int machine_read(struct world *w, struct machine **ret, struct err *e);
void machine_free(struct machine **m);
#define auto_machine auto_release(machine_free)

/* machine_read()'s second half, in machine_use.c: who uses which device, and what boots. */
int machine_read_uses(struct machine *m, struct err *e);

/* What is on the device, once: by opening it, from a recorded image, or from udev's database. */
void machine_probe(struct machine *m, struct blockdev *b);
/*
 * Probes all devices of these kinds (a bit for each), several at a time: a probe is dozens of small
 * reads at both ends of a device, each of which waits for it.
 */
void machine_probe_all(struct machine *m, unsigned kinds);
#define BLOCKDEV_BIT(kind) (1u << (kind))
#define BLOCKDEV_ALL (~0u)
/* udev's properties of the device, read once. */
const struct udev_props *machine_udev(struct machine *m, struct blockdev *b);
/* The table's entry for a partition whose disk is probed; NULL when it has none. */
const struct probe_partition *machine_table_entry(const struct blockdev *partition);
/* Opens the device for reading: its node, or the recorded image, whose part begins at
 * *offset_bytes. -errno, -ENODATA when nothing is recorded. */
int machine_open(struct machine *m, const struct blockdev *b, uint64_t *offset_bytes);

struct blockdev *machine_by_devno(struct machine *m, const char *devno);
struct blockdev *machine_by_name(struct machine *m, const char *kernel_name);
/* By node, path, link or whatever leads to its device number; NULL. */
struct blockdev *machine_by_path(struct machine *m, const char *path);

/* Identity, for disks: */
struct disk_identity {
	const char *model, *serial, *wwn, *transport;
	bool hotplug;
	const char *vendor;
};
void machine_identify(struct machine *m, struct blockdev *b, struct disk_identity *ret);

#endif
