/*
 * What storage a machine has: disks, partitions, filesystems, mounts, free space. Read from sysfs,
 * procfs, udev's database where there is one, and by probing; wholly below world.root on a recorded
 * machine. Readers only report; storage/safety.h decides what may be touched.
 */
#ifndef STORAGE_INVENTORY_H
#define STORAGE_INVENTORY_H

#include "lib/core/op.h"

enum disk_type { DISK_NVME, DISK_SSD, DISK_HDD, DISK_VIRTUAL };
extern const char *const disk_type_names[]; /* "nvme", "ssd", "hdd", "virtual" */

struct disk {
	const char *path;	 /* "/dev/sda" */
	uint32_t type;		 /* enum disk_type */
	const char *type_reason; /* "nvme transport", "rotational=1", "--type" ... */
	uint64_t size_bytes;
	uint64_t logical_sector_bytes, physical_sector_bytes;
	const char *model, *serial, *wwn;
	uint64_t diskseq;	 /* U64_NONE before Linux 5.15 */
	const char *transport;	 /* "nvme" "sata" "sas" "usb" "virtio" "loop" ... */
	bool removable, read_only;
	bool boot;		 /* holds /, /boot, /usr or the running system's EFI partition */
	const char *table;	 /* "gpt", "dos"; NULL: none */
	const char *content;	 /* what probing found on the whole disk, "ext4 (label ROOT)"; NULL */
	const char *probe_error; /* why it could not be probed: counts as not empty */
	const char **used_by;	 /* "sda1 mounted at /", "sda2 swap", "held by dm-0", "md127" */
	uint64_t partitions;	 /* how many */
	const char *devno;	 /* "8:0" */
};

struct partition {
	const char *path, *disk; /* "/dev/sda1", "/dev/sda" */
	uint64_t number;
	uint64_t start_bytes, size_bytes;
	const char *name;      /* GPT partition name */
	const char *part_type; /* "linux", "esp", "swap", "bios_boot", else the GUID or 0x.. */
	const char *part_uuid;
	const char *fstype, *label, *uuid; /* what is in it */
	const char **mount_points;	   /* and "[SWAP]" */
	const char *devno;
};

struct filesystem {
	const char *fstype, *label, *uuid;
	const char **devices; /* present members, by path */
	uint64_t total_devices; /* btrfs, md: how many belong to it; U64_NONE unknown */
	uint64_t size_bytes;	/* sum of the members; */
	const char **mount_points;
};

struct mount_point {
	const char *target, *source, *fstype;
	const char *options; /* of mount and superblock, as mountinfo has them, joined by a comma */
	const char *root;    /* the part of the filesystem that is mounted; "/" or a subvolume */
	const char *devno;
	uint64_t id;
};

struct free_space {
	const char *disk;
	uint64_t start_bytes, size_bytes; /* aligned to 1 MiB */
};

extern const struct table disk_table, partition_table, filesystem_table, mount_table,
	free_space_table;

/* Arrays in w->mem, in version order of the path (sda2 before sda10). A disk that vanishes while
 * it is read is left out. Zero-size disks, ram and unbound loop devices are left out. */
int inventory_disks(struct world *w, struct disk **ret, size_t *ret_n, struct err *e);
int inventory_partitions(struct world *w, struct partition **ret, size_t *ret_n, struct err *e);
int inventory_filesystems(struct world *w, struct filesystem **ret, size_t *ret_n, struct err *e);
int inventory_mounts(struct world *w, struct mount_point **ret, size_t *ret_n, struct err *e);
/* disk NULL: of every GPT disk. Largest first within a disk is the caller's wish: they come by
 * position. */
int inventory_free_space(struct world *w, const char *disk, struct free_space **ret, size_t *ret_n,
			 struct err *e);

/* One disk by path, kernel name, serial, WWN or /dev/disk/by-*. ERR_NO_DEVICE when it is none, with
 * what the path is instead. */
int inventory_disk(struct world *w, const char *name, struct disk *ret, struct err *e);

/* The operations over them: list_disks, list_partitions, list_filesystems, list_mounts,
 * list_free_space, inventory (all tables). */
extern const struct operation list_disks_op, list_partitions_op, list_filesystems_op,
	list_mounts_op, list_free_space_op, inventory_op;

#endif
