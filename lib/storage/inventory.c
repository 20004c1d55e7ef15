/* Disks, partitions, filesystems and mounts as rows: see inventory.h. */
#include "lib/storage/inventory.h"

#include "lib/os/gpt.h"
#include "lib/storage/inventory_parts.h"

#include <errno.h>

const char *const disk_type_names[] = { "nvme", "ssd", "hdd", "virtual", NULL };

#define DISK(member, flags, help, ...) FIELD(struct disk, member, flags, help, ##__VA_ARGS__)
static const struct field disk_fields[] = {
	DISK(path, KEY, "device node"),
	DISK(type, 0, "kind of medium", .names = disk_type_names),
	DISK(size_bytes, 0, "size"),
	DISK(model, RARE, "model; of a loop device the file behind it"),
	DISK(serial, RARE, "serial number"),
	DISK(transport, 0, "bus: nvme, sata, sas, usb, virtio, loop and others"),
	DISK(table, 0, "partition table: gpt, dos and others"),
	DISK(partitions, 0, "number of partitions that the kernel or the table has"),
	DISK(content, RARE, "what is on the whole disk, besides a partition table"),
	DISK(boot, RARE, "holds /, /boot, /usr or the EFI partition of the running system"),
	DISK(removable, RARE, "the medium or the whole device can be taken out"),
	DISK(read_only, RARE, "cannot be written"),
	DISK(probe_error, RARE, "why it is not known what is on it"),
	DISK(used_by, 0, "mounts, swap and devices that use it or a partition of it"),
	DISK(type_reason, WIDE, "what the type was concluded from"),
	DISK(logical_sector_bytes, WIDE, "smallest unit that it addresses"),
	DISK(physical_sector_bytes, WIDE, "smallest unit that it writes in one go"),
	DISK(wwn, WIDE, "world wide name"),
	DISK(diskseq, WIDE, "the kernel's count of disks, never used twice until it is rebooted"),
	DISK(devno, WIDE, "device number, major:minor"),
	FIELD_END,
};
const struct table disk_table = TABLE(struct disk, "disks", "whole disks", disk_fields);

#define PART(member, flags, help, ...) FIELD(struct partition, member, flags, help, ##__VA_ARGS__)
static const struct field partition_fields[] = {
	PART(path, KEY, "device node"),
	PART(disk, 0, "disk it is on"),
	PART(number, 0, "place in the partition table"),
	PART(start_bytes, 0, "where it begins on the disk"),
	PART(size_bytes, 0, "size"),
	PART(name, 0, "name in the GPT"),
	PART(part_type, 0, "linux, esp, swap, bios_boot, raid, else the GUID or MBR number"),
	PART(part_uuid, WIDE, "its own UUID in the partition table"),
	PART(fstype, 0, "what is in it"),
	PART(label, 0, "label of the filesystem"),
	PART(uuid, 0, "UUID of the filesystem"),
	PART(mount_points, 0, "where it is mounted; [SWAP] for swap in use"),
	PART(devno, WIDE, "device number, major:minor"),
	FIELD_END,
};
const struct table partition_table =
	TABLE(struct partition, "partitions", "partitions", partition_fields);

#define FS(member, flags, help, ...) FIELD(struct filesystem, member, flags, help, ##__VA_ARGS__)
static const struct field filesystem_fields[] = {
	FS(fstype, 0, "type"),
	FS(label, 0, "label"),
	FS(uuid, KEY, "UUID"),
	FS(devices, 0, "its devices that are here"),
	FS(total_devices, 0, "how many devices belong to it"),
	FS(size_bytes, 0, "size of the devices that are here"),
	FS(mount_points, 0, "where it is mounted; [SWAP] for swap in use"),
	FIELD_END,
};
const struct table filesystem_table =
	TABLE(struct filesystem, "filesystems", "filesystems and swap areas", filesystem_fields);

#define MOUNT(member, flags, help, ...) FIELD(struct mount_point, member, flags, help, ##__VA_ARGS__)
static const struct field mount_fields[] = {
	MOUNT(target, KEY, "where"),
	MOUNT(source, 0, "what"),
	MOUNT(fstype, 0, "type"),
	MOUNT(options, 0, "options of the mount and of the filesystem"),
	MOUNT(root, 0, "the part of the filesystem that is mounted: / or a subvolume"),
	MOUNT(devno, WIDE, "device number, major:minor"),
	MOUNT(id, WIDE, "the kernel's number of the mount"),
	FIELD_END,
};
const struct table mount_table =
	TABLE(struct mount_point, "mounts", "mounted filesystems", mount_fields);

/* Rules: no I/O. */

static const char *content_text(const struct probe *p, struct arena *a)
{
	char *all = NULL;

	if (p->ambiguous) {
		for (const char **s = p->all; s && *s; s++)
			all = all ? arena_printf(a, "%s, %s", all, *s) : arena_str(a, *s);
		return arena_printf(a, "conflicting signatures%s%s", all ? ": " : "",
				    all ? all : "");
	}
	if (!p->type)
		return p->damaged && p->table ? arena_printf(a, "damaged %s", p->table) : NULL;
	return arena_printf(a, "%s%s%s%s%s", p->damaged ? "damaged " : "", p->type,
			    p->label ? " (label " : "", p->label ? p->label : "",
			    p->label ? ")" : "");
}

/* By transport first: a virtual disk says nothing true of rotation. */
static void decide_type(const struct disk_identity *id, bool rotational, struct disk *d,
			struct arena *a)
{
	static const char *const virtual_buses[] = { "virtio", "xen",  "loop", "nbd",	"rbd",
						     "zvol",   "ublk", "vmbus", "iscsi", "scsi_debug",
						     NULL };
	static const char *const virtual_vendors[] = { "QEMU", "VMware", "VMware,", "VBOX", "Msft",
						       "LIO-ORG", NULL };
	static const char *const flash_buses[] = { "mmc", "nvdimm", NULL };

	if (streq(id->transport, "nvme")) {
		d->type = DISK_NVME;
		d->type_reason = "nvme transport";
	} else if (id->transport && strlist_has(virtual_buses, id->transport)) {
		d->type = DISK_VIRTUAL;
		d->type_reason = arena_printf(a, "%s transport", id->transport);
	} else if ((id->vendor && strlist_has(virtual_vendors, id->vendor)) ||
		   (id->model && (starts_with(id->model, "QEMU ") ||
				  starts_with(id->model, "VBOX ")))) {
		d->type = DISK_VIRTUAL;
		d->type_reason = arena_printf(a, "made by %s", id->vendor ? id->vendor : id->model);
	} else if (id->transport && strlist_has(flash_buses, id->transport)) {
		d->type = DISK_SSD;
		d->type_reason = arena_printf(a, "%s transport", id->transport);
	} else {
		d->type = rotational ? DISK_HDD : DISK_SSD;
		d->type_reason = rotational ? "rotational=1" : "rotational=0";
	}
}

static const char *part_type_text(const char *type)
{
	const char *name = type ? gpt_type_name(type) : NULL;

	return name ? name : type;
}

/* Several devices of one UUID are one filesystem only for these; elsewhere they are copies. */
static bool spans_devices(const char *fstype)
{
	static const char *const types[] = { "btrfs", "bcachefs", "zfs_member", NULL };

	return strlist_has(types, fstype);
}

/* Readers. */

static void add_uses(struct machine *m, const struct blockdev *b, bool name_it, struct disk *d)
{
	for (const char **u = b->uses; u && *u; u++)
		strlist_add(m->mem, &d->used_by,
			    name_it ? arena_printf(m->mem, "%s %s", b->name, *u) : *u);
}

static void fill_disk(struct machine *m, struct blockdev *b, struct disk *d)
{
	struct disk_identity id;

	machine_identify(m, b, &id);
	machine_probe(m, b);
	*d = (struct disk){
		.path = b->path,
		.size_bytes = b->size_bytes,
		.logical_sector_bytes = b->sector_bytes,
		.physical_sector_bytes = b->physical_sector_bytes,
		.model = id.model,
		.serial = id.serial,
		.wwn = id.wwn,
		.diskseq = b->diskseq,
		.transport = id.transport,
		.removable = b->removable || id.hotplug,
		.read_only = b->read_only,
		.boot = b->boot,
		.table = b->probe.table,
		.content = content_text(&b->probe, m->mem),
		.probe_error = b->probe_error,
		.partitions = b->partitions.n > b->probe.n_partitions ? b->partitions.n
								       : b->probe.n_partitions,
		.devno = b->devno,
	};
	decide_type(&id, b->rotational, d, m->mem);
	add_uses(m, b, false, d);
	for (size_t i = 0; i < b->partitions.n; i++)
		add_uses(m, b->partitions.items[i], true, d);
}

static void fill_partition(struct machine *m, struct blockdev *b, struct partition *p)
{
	const struct probe_partition *entry;

	machine_probe(m, b->disk);
	machine_probe(m, b);
	entry = machine_table_entry(b);
	*p = (struct partition){
		.path = b->path,
		.disk = b->disk->path,
		.number = b->number,
		.start_bytes = b->start_bytes,
		.size_bytes = b->size_bytes,
		.name = entry ? entry->name : b->part_name,
		.part_type = entry ? part_type_text(entry->type) : NULL,
		.part_uuid = entry ? entry->uuid : b->part_uuid,
		.fstype = b->probe.ambiguous ? "ambiguous" : b->probe.type,
		.label = b->probe.label,
		.uuid = b->probe.uuid,
		.mount_points = b->mount_points,
		.devno = b->devno,
	};
}

static bool is_filesystem(const struct blockdev *b)
{
	const struct probe *p = &b->probe;

	return p->type && !p->ambiguous && !streq(p->usage, "raid") && !streq(p->usage, "crypto");
}

static void add_filesystem(struct machine *m, const struct blockdev *b, struct filesystem *rows,
			   size_t *n)
{
	const struct probe *p = &b->probe;
	struct filesystem *f = NULL;

	for (size_t i = 0; i < *n && !f && p->uuid && spans_devices(p->type); i++)
		if (streq(rows[i].fstype, p->type) && streq(rows[i].uuid, p->uuid))
			f = &rows[i];
	if (!f) {
		f = &rows[(*n)++];
		*f = (struct filesystem){
			.fstype = p->type, .label = p->label, .uuid = p->uuid,
			.total_devices = spans_devices(p->type) ? p->total_devices : 1,
		};
	}
	f->size_bytes += b->size_bytes;
	strlist_add(m->mem, &f->devices, b->path);
	for (const char **t = b->mount_points; t && *t; t++)
		if (!strlist_has((const char *const *)f->mount_points, *t))
			strlist_add(m->mem, &f->mount_points, *t);
}

void inventory_disks_of(struct machine *m, struct disk **ret, size_t *ret_n)
{
	size_t n = 0;

	*ret = arena_alloc(m->mem, (m->devices.n + 1) * sizeof **ret);
	machine_probe_all(m, BLOCKDEV_BIT(BLOCKDEV_DISK));
	for (size_t i = 0; i < m->devices.n; i++)
		if (m->devices.items[i]->kind == BLOCKDEV_DISK)
			fill_disk(m, m->devices.items[i], &(*ret)[n++]);
	*ret_n = n;
}

void inventory_partitions_of(struct machine *m, struct partition **ret, size_t *ret_n)
{
	size_t n = 0;

	*ret = arena_alloc(m->mem, (m->devices.n + 1) * sizeof **ret);
	machine_probe_all(m, BLOCKDEV_ALL); /* the disks for their tables' names */
	for (size_t i = 0; i < m->devices.n; i++)
		if (m->devices.items[i]->kind == BLOCKDEV_PARTITION)
			fill_partition(m, m->devices.items[i], &(*ret)[n++]);
	*ret_n = n;
}

void inventory_filesystems_of(struct machine *m, struct filesystem **ret, size_t *ret_n)
{
	size_t n = 0;

	*ret = arena_alloc(m->mem, (m->devices.n + 1) * sizeof **ret);
	machine_probe_all(m, BLOCKDEV_ALL);
	for (size_t i = 0; i < m->devices.n; i++) {
		if (is_filesystem(m->devices.items[i]))
			add_filesystem(m, m->devices.items[i], *ret, &n);
	}
	*ret_n = n;
}

void inventory_mounts_of(struct machine *m, struct mount_point **ret, size_t *ret_n)
{
	*ret = arena_alloc(m->mem, (m->n_mounts + 1) * sizeof **ret);
	*ret_n = m->n_mounts;
	for (size_t i = 0; i < m->n_mounts; i++) {
		const struct mount_info *f = &m->mounts[i];

		(*ret)[i] = (struct mount_point){
			.target = f->target, .source = f->source, .fstype = f->fstype,
			.options = f->options, .root = f->root, .devno = f->devno, .id = f->id,
		};
	}
}

int inventory_disks(struct world *w, struct disk **ret, size_t *ret_n, struct err *e)
{
	struct machine *m auto_machine = NULL;
	int r = machine_read(w, &m, e);

	if (!r)
		inventory_disks_of(m, ret, ret_n);
	return r;
}

int inventory_partitions(struct world *w, struct partition **ret, size_t *ret_n, struct err *e)
{
	struct machine *m auto_machine = NULL;
	int r = machine_read(w, &m, e);

	if (!r)
		inventory_partitions_of(m, ret, ret_n);
	return r;
}

int inventory_filesystems(struct world *w, struct filesystem **ret, size_t *ret_n, struct err *e)
{
	struct machine *m auto_machine = NULL;
	int r = machine_read(w, &m, e);

	if (!r)
		inventory_filesystems_of(m, ret, ret_n);
	return r;
}

int inventory_mounts(struct world *w, struct mount_point **ret, size_t *ret_n, struct err *e)
{
	struct mount_info *rows;
	struct machine m = { .w = w, .mem = w->mem };
	int r = mounts_read(&w->root, w->mem, &rows, &m.n_mounts, e);

	m.mounts = rows;
	if (!r)
		inventory_mounts_of(&m, ret, ret_n);
	return r;
}

/* One disk. */

static int not_a_disk(struct world *w, const char *name, const struct blockdev *b, struct err *e)
{
	const char *what;
	struct stat st;
	int r;

	if (b && b->kind == BLOCKDEV_PARTITION)
		return err_make(e, ERR_NO_DEVICE, -ENOTBLK, name, "name the whole disk",
				"is a partition of %s", b->disk->path);
	if (b && b->kind == BLOCKDEV_MAPPED)
		return err_make(e, ERR_NO_DEVICE, -ENOTBLK, name, "topo disks lists the disks",
				"is a device mapper volume (%s), not a disk",
				b->mapping ? b->mapping : b->name);
	if (b)
		return err_make(e, ERR_NO_DEVICE, -ENOTBLK, name, "topo disks lists the disks",
				b->kind == BLOCKDEV_ARRAY ? "is an array (%s), not a disk"
							  : "is an optical drive (%s), not a disk",
				b->name);
	r = *name == '/' ? root_stat(&w->root, name, &st) : -ENODEV;
	if (r)
		return err_make(e, ERR_NO_DEVICE, r, name, "topo disks lists the disks",
				*name == '/' ? "%s"
					     : "no disk has this name, serial number or WWN",
				strerror(-r));
	what = S_ISDIR(st.st_mode)   ? "a directory"
	       : S_ISREG(st.st_mode) ? "a file"
	       : S_ISCHR(st.st_mode) ? "a character device"
	       : S_ISBLK(st.st_mode) ? "a block device that has no size, or is no disk"
				     : "a pipe or socket";
	return err_make(e, ERR_NO_DEVICE, -ENOTBLK, name,
			S_ISREG(st.st_mode) ? "attach it with losetup" : "topo disks lists the disks",
			"is %s%s", what, S_ISBLK(st.st_mode) ? "" : ", not a disk");
}

/* -ENOTUNIQ when two disks answer to it (a serial number of a cloned virtual disk). */
static int find_by_identity(struct machine *m, const char *name, struct blockdev **ret,
			    struct err *e)
{
	for (size_t i = 0; i < m->devices.n; i++) {
		struct blockdev *b = m->devices.items[i];
		struct disk_identity id;

		if (b->kind != BLOCKDEV_DISK)
			continue;
		machine_identify(m, b, &id);
		if (!streq(id.serial, name) && !streq(id.wwn, name) &&
		    !(id.wwn && starts_with(id.wwn, "0x") && streq(id.wwn + 2, name)))
			continue;
		/* Several paths to one disk have its serial; the map above them is the disk. */
		if (b->holders.n && b->holders.items[0]->kind == BLOCKDEV_DISK)
			continue;
		if (*ret)
			return err_make(e, ERR_INVALID, -ENOTUNIQ, name, "name the disk by its path",
					"both %s and %s have it", (*ret)->path, b->path);
		*ret = b;
	}
	return 0;
}

int inventory_find(struct machine *m, const char *name, struct blockdev **ret, struct err *e)
{
	struct blockdev *b;
	int r;

	if (!name || !*name)
		return err_usage(e, "disk", "is empty; name a disk, such as /dev/sda");
	b = machine_by_path(m, name);
	if (!b && *name != '/')
		b = machine_by_name(m, name);
	if (!b && *name != '/' && (r = find_by_identity(m, name, &b, e)))
		return r;
	if (!b || b->kind != BLOCKDEV_DISK)
		return not_a_disk(m->w, name, b, e);
	*ret = b;
	return 0;
}

int inventory_disk(struct world *w, const char *name, struct disk *ret, struct err *e)
{
	struct machine *m auto_machine = NULL;
	struct blockdev *b;
	int r = machine_read(w, &m, e);

	if (!r)
		r = inventory_find(m, name, &b, e);
	if (!r)
		fill_disk(m, b, ret);
	return r;
}
