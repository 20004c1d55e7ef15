/* What is on a device, and what the device is: probing, udev's database, SCSI and NVMe identity. */
#include "lib/storage/machine.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/sysmacros.h>

const struct udev_props *machine_udev(struct machine *m, struct blockdev *b)
{
	if (!b->has_udev) {
		b->has_udev = true;
		udev_db_read(m->udev, b->devno, m->mem, &b->udev);
	}
	return &b->udev;
}

const struct probe_partition *machine_table_entry(const struct blockdev *p)
{
	const struct probe *t = &p->disk->probe;

	if (p->kind != BLOCKDEV_PARTITION || !p->disk->probed)
		return NULL;
	for (size_t i = 0; i < t->n_partitions; i++)
		if (t->partitions[i].number == p->number &&
		    t->partitions[i].start_bytes == p->start_bytes)
			return &t->partitions[i];
	return NULL;
}

/* An open node must be the device that sysfs spoke of: names are used again. */
static int open_node(struct machine *m, const struct blockdev *b)
{
	auto_close int fd = root_open(&m->w->root, b->node, O_RDONLY | O_NONBLOCK);
	struct stat st;
	char devno[32];

	if (fd < 0)
		return fd;
	if (fstat(fd, &st))
		return -errno;
	snprintf(devno, sizeof devno, "%u:%u", major(st.st_rdev), minor(st.st_rdev));
	if (!S_ISBLK(st.st_mode) || !streq(devno, b->devno))
		return -ESTALE;
	return take_fd(&fd);
}

static int open_image(struct machine *m, const char *path)
{
	auto_close int fd = root_open(&m->w->root, path, O_RDONLY | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st))
		return -errno;
	return S_ISREG(st.st_mode) ? take_fd(&fd) : -ENODATA;
}

int machine_open(struct machine *m, const struct blockdev *b, uint64_t *offset_bytes)
{
	int fd;

	*offset_bytes = 0;
	if (m->live)
		return open_node(m, b);
	if (!m->images)
		return -ENODATA;
	fd = open_image(m, b->node);
	if (fd < 0 && b->kind == BLOCKDEV_PARTITION) {
		fd = open_image(m, b->disk->node);
		*offset_bytes = b->start_bytes;
	}
	return fd == -ENOENT ? -ENODATA : fd;
}

/* Reading these would block, perhaps for ever, or tell nothing. */
static const char *not_to_be_read(struct machine *m, const struct blockdev *b)
{
	const struct root *r = &m->w->root;
	const char *state;

	if (b->dm_name && root_attr_u64(r, 0, "%s/dm/suspended", b->sys) == 1)
		return "is suspended";
	if (m->live && b->kind == BLOCKDEV_DISK && starts_with(b->name, "sd")) {
		state = root_attr(r, m->mem, "%s/device/state", b->sys);
		if (state && !streq(state, "running"))
			return arena_printf(m->mem, "device is %s", state);
	}
	if (b->dm_uuid && starts_with(b->dm_uuid, "mpath-")) {
		bool path = false;

		for (size_t i = 0; i < b->slaves.n; i++) {
			state = root_attr(r, m->mem, "%s/device/state", b->slaves.items[i]->sys);
			path |= !state || streq(state, "running") || streq(state, "live");
		}
		if (!path)
			return "no path to it is alive";
	}
	return NULL;
}

static bool is_multipath_path(const struct blockdev *b)
{
	for (size_t i = 0; i < b->holders.n; i++)
		if (b->holders.items[i]->dm_uuid &&
		    starts_with(b->holders.items[i]->dm_uuid, "mpath-"))
			return true;
	return false;
}

/* udev keeps labels and names both made safe (spaces as _) and encoded (\x20). */
static const char *decoded(const struct udev_props *u, const char *encoded, const char *plain,
			   struct arena *a)
{
	const char *s = udev_get_encoded(u, encoded, a);

	return s ? s : udev_get(u, plain);
}

/* What udevd's own probing found (libblkid too), for a machine whose disks are not here. */
static void probe_from_udev(struct machine *m, struct blockdev *b, const struct udev_props *u)
{
	struct probe *p = &b->probe;
	const char *conflict = udev_get(u, "ID_FS_AMBIVALENT");

	*p = (struct probe){
		.usage = udev_get(u, "ID_FS_USAGE"),
		.type = udev_get(u, "ID_FS_TYPE"),
		.version = udev_get(u, "ID_FS_VERSION"),
		.label = decoded(u, "ID_FS_LABEL_ENC", "ID_FS_LABEL", m->mem),
		.uuid = decoded(u, "ID_FS_UUID_ENC", "ID_FS_UUID", m->mem),
		.uuid_sub = decoded(u, "ID_FS_UUID_SUB_ENC", "ID_FS_UUID_SUB", m->mem),
		.table = udev_get(u, "ID_PART_TABLE_TYPE"),
		.table_uuid = udev_get(u, "ID_PART_TABLE_UUID"),
		.ambiguous = conflict != NULL,
		.total_devices = UINT64_MAX,
	};
	if (conflict)
		strlist_add(m->mem, &p->all, conflict);
	p->found = p->type || p->table || conflict;
	/* A partition's entry is in its own record. */
	if (b->partitions.n)
		p->partitions = arena_alloc(m->mem, b->partitions.n * sizeof *p->partitions);
	for (size_t i = 0; i < b->partitions.n; i++) {
		struct blockdev *part = b->partitions.items[i];
		const struct udev_props *pu = machine_udev(m, part);

		if (!udev_get(pu, "ID_PART_ENTRY_NUMBER"))
			continue;
		p->partitions[p->n_partitions++] = (struct probe_partition){
			.number = (unsigned)part->number,
			.start_bytes = part->start_bytes,
			.size_bytes = part->size_bytes,
			.name = udev_get_encoded(pu, "ID_PART_ENTRY_NAME", m->mem),
			.type = udev_get(pu, "ID_PART_ENTRY_TYPE"),
			.uuid = udev_get(pu, "ID_PART_ENTRY_UUID"),
		};
	}
}

/* False, with the reason, when the device must be left alone; see world.touch. */
static bool touch(const struct machine *m, struct blockdev *b, struct arena *mem)
{
	if (m->live && m->w->touch)
		b->probe_error = m->w->touch(m->w, b->devno, mem);
	return !b->probe_error;
}

static void touched(const struct machine *m, const struct blockdev *b)
{
	if (m->live && m->w->touched)
		m->w->touched(m->w, b->devno);
}

/* Opens what is to be read; probe_error when it must not be. */
static void prepare(struct machine *m, struct blockdev *b)
{
	if (b->prepared)
		return;
	b->prepared = true;
	b->fd = -ENODATA;
	b->probe.total_devices = UINT64_MAX;
	if (is_multipath_path(b))
		return;
	b->probe_error = not_to_be_read(m, b);
	if (b->probe_error || !touch(m, b, m->mem))
		return;
	b->fd = machine_open(m, b, &b->fd_offset_bytes);
	touched(m, b);
}

/* Touches nothing but the device itself and the arena: may run in a thread. */
static void probe_fd(const struct machine *m, struct blockdev *b, struct arena *mem)
{
	uint64_t size = b->kind == BLOCKDEV_PARTITION ? b->size_bytes : 0;
	struct err why = { 0 };
	struct stat st;

	if (!touch(m, b, mem))
		return;
	if (!fstat(b->fd, &st) && S_ISREG(st.st_mode) &&
	    (uint64_t)st.st_size < b->fd_offset_bytes + size)
		b->probe_error = "the recorded image is too short";
	else if (blkid_probe_image(b->fd, b->fd_offset_bytes, b->fd_offset_bytes ? size : 0,
				   m->live ? 0 : b->sector_bytes, mem, &b->probe, &why))
		b->probe_error = err_line(&why, mem);
	touched(m, b);
}

static void probe_unopened(struct machine *m, struct blockdev *b)
{
	const struct udev_props *u;

	if (m->live) {
		b->probe_error =
			b->fd == -ENOENT ? arena_printf(m->mem, "there is no %s", b->node)
			: b->fd == -ESTALE
				? arena_printf(m->mem, "%s is another device", b->node)
				: arena_printf(m->mem, "open %s: %s", b->node, strerror(-b->fd));
		return;
	}
	u = machine_udev(m, b);
	if (u->pairs)
		probe_from_udev(m, b, u);
	else
		b->probe_error = "not recorded";
}

/* Without a descriptor: what can be said all the same. */
static void conclude(struct machine *m, struct blockdev *b)
{
	b->probed = true;
	if (is_multipath_path(b)) {
		b->probe.found = true;
		b->probe.usage = "raid";
		b->probe.type = "mpath_member";
	} else if (b->fd < 0 && !b->probe_error) {
		probe_unopened(m, b);
	}
	if (b->fd >= 0)
		close(b->fd);
	b->fd = -1;
}

void machine_probe(struct machine *m, struct blockdev *b)
{
	if (b->probed)
		return;
	prepare(m, b);
	if (b->fd >= 0)
		probe_fd(m, b, m->mem);
	conclude(m, b);
}

/* Several devices and the threads that take them in turn. */
struct batch {
	const struct machine *machine;
	struct blockdev *items[64];
	struct arena mem[64]; /* of each: an arena is no thread's but one */
	size_t n;
	atomic_size_t next;
};

static void *probe_some(void *arg)
{
	struct batch *t = arg;
	size_t i;

	while ((i = atomic_fetch_add(&t->next, 1)) < t->n)
		probe_fd(t->machine, t->items[i], &t->mem[i]);
	return NULL;
}

static void probe_batch(struct machine *m, struct batch *t)
{
	enum { THREADS = 16 };
	pthread_t threads[THREADS];
	size_t running = 0;

	t->machine = m;
	atomic_init(&t->next, 0);
	blkid_allow_threads();
	/* This thread is one of them: when no other can be made, it does all. */
	while (running < THREADS && running + 1 < t->n &&
	       !pthread_create(&threads[running], NULL, probe_some, t))
		running++;
	probe_some(t);
	while (running)
		pthread_join(threads[--running], NULL);
	for (size_t i = 0; i < t->n; i++) {
		struct blockdev *b = t->items[i];

		probe_copy(&b->probe, m->mem);
		b->probe_error = arena_str(m->mem, b->probe_error);
		arena_free(&t->mem[i]);
		conclude(m, b);
	}
	t->n = 0;
}

void machine_probe_all(struct machine *m, unsigned kinds)
{
	struct batch *t = arena_alloc(m->mem, sizeof *t);

	for (size_t i = 0; i < m->devices.n; i++) {
		struct blockdev *b = m->devices.items[i];

		if (b->probed || !(kinds & BLOCKDEV_BIT(b->kind)))
			continue;
		prepare(m, b);
		if (b->fd < 0) {
			conclude(m, b);
			continue;
		}
		t->items[t->n++] = b;
		if (t->n == COUNT(t->items))
			probe_batch(m, t);
	}
	if (t->n)
		probe_batch(m, t);
}

/* Identity. */

static const char *trimmed(struct arena *a, const char *s, size_t n)
{
	char *out;

	while (n && (isspace((unsigned char)*s) || !*s))
		s++, n--;
	n = strnlen(s, n);
	while (n && isspace((unsigned char)s[n - 1]))
		n--;
	if (!n)
		return NULL;
	out = arena_strn(a, s, n);
	for (char *c = out; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '_';
	return out;
}

static const char *attr(struct machine *m, const struct root *at, const char *name)
{
	char *s = root_attr(at, m->mem, "%s", name);

	return s ? trimmed(m->mem, s, strlen(s)) : NULL;
}

static const unsigned char *page(struct machine *m, const struct root *at, const char *name,
				 size_t *ret_n)
{
	char *raw;

	if (root_read(at, name, 1 << 16, m->mem, &raw, ret_n))
		return NULL;
	return (const unsigned char *)raw;
}

/* Unit Serial Number (SPC-4 7.8.17): the length is in bytes 2 and 3, the text from byte 4. */
static const char *scsi_serial(struct machine *m, const struct root *at)
{
	size_t n, len;
	const unsigned char *p = page(m, at, "vpd_pg80", &n);

	if (!p || n < 4)
		return NULL;
	len = (size_t)p[2] << 8 | p[3];
	return trimmed(m->mem, (const char *)p + 4, len < n - 4 ? len : n - 4);
}

/* ATA Information (SAT-4 12.4.2): IDENTIFY DEVICE from byte 60; its words 27 to 46 are the model,
 * two characters a word, the first in the high byte. The inquiry has only 16 of the 40. */
static const char *ata_model(struct machine *m, const struct root *at)
{
	enum { IDENTIFY_AT = 60, MODEL_WORD = 27, MODEL_WORDS = 20 };
	char text[2 * MODEL_WORDS];
	size_t n;
	const unsigned char *p = page(m, at, "vpd_pg89", &n);

	if (!p || n < IDENTIFY_AT + 2 * (MODEL_WORD + MODEL_WORDS))
		return NULL;
	p += IDENTIFY_AT + 2 * MODEL_WORD;
	for (size_t i = 0; i < sizeof text; i += 2) {
		text[i] = (char)p[i + 1];
		text[i + 1] = (char)p[i];
	}
	return trimmed(m->mem, text, sizeof text);
}

/* As lsblk and udev write it: 0x and the hex digits of an NAA name; others as they are. */
static const char *wwn_of(const char *wwid, struct arena *a)
{
	if (!wwid || starts_with(wwid, "t10."))
		return NULL;
	return starts_with(wwid, "naa.") ? arena_printf(a, "0x%s", wwid + 4) : wwid;
}

static const char *scsi_transport(const char *sys)
{
	static const struct {
		const char *part, *transport;
	} by_path[] = {
		{ "/usb", "usb" },	       { "/virtio", "virtio" },	  { "/end_device-", "sas" },
		{ "/rport-", "fc" },	       { "/session", "iscsi" },	  { "/ata", "sata" },
		{ "/vmbus", "vmbus" },	       { "/VMBUS", "vmbus" },	  { "/fw", "ieee1394" },
		{ "/pseudo_", "scsi_debug" },
	};

	for (size_t i = 0; i < COUNT(by_path); i++)
		if (strstr(sys, by_path[i].part))
			return by_path[i].transport;
	return "scsi";
}

static const char *transport_of(const struct blockdev *b)
{
	static const struct {
		const char *prefix, *transport;
	} by_name[] = {
		{ "nvme", "nvme" }, { "vd", "virtio" }, { "xvd", "xen" },    { "loop", "loop" },
		{ "mmcblk", "mmc" }, { "nbd", "nbd" },	{ "rbd", "rbd" },    { "zd", "zvol" },
		{ "pmem", "nvdimm" }, { "dasd", "dasd" }, { "ublkb", "ublk" },
	};

	for (size_t i = 0; i < COUNT(by_name); i++)
		if (starts_with(b->name, by_name[i].prefix))
			return by_name[i].transport;
	if (starts_with(b->name, "sd") || starts_with(b->name, "sr"))
		return scsi_transport(b->sys);
	return NULL;
}

static void identify_scsi(struct machine *m, const struct root *at, struct disk_identity *id)
{
	id->vendor = attr(m, at, "vendor");
	id->model = attr(m, at, "model");
	if (streq(id->vendor, "ATA")) {
		const char *full = ata_model(m, at);

		id->vendor = NULL;
		id->model = full ? full : id->model;
	}
	id->serial = scsi_serial(m, at);
	id->wwn = wwn_of(attr(m, at, "wwid"), m->mem);
}

/* What sysfs lacks (older kernels, buses without pages) is often in udev's database. */
static void identify_by_udev(struct machine *m, struct blockdev *b, struct disk_identity *id)
{
	static const char *const serials[] = { "ID_SCSI_SERIAL", "ID_SERIAL_SHORT", "ID_SERIAL" };
	static const char *const wwns[] = { "ID_WWN_WITH_EXTENSION", "ID_WWN" };
	const struct udev_props *u = machine_udev(m, b);
	const char *model = decoded(u, "ID_MODEL_ENC", "ID_MODEL", m->mem);

	for (size_t i = 0; i < COUNT(serials) && !id->serial; i++)
		id->serial = udev_get(u, serials[i]);
	for (size_t i = 0; i < COUNT(wwns) && !id->wwn; i++)
		id->wwn = udev_get(u, wwns[i]);
	model = model ? trimmed(m->mem, model, strlen(model)) : NULL;
	/* Also where the inquiry's 16 characters cut the name short. */
	if (model && (!id->model || (strlen(id->model) == 16 && starts_with(model, id->model))))
		id->model = model;
}

void machine_identify(struct machine *m, struct blockdev *b, struct disk_identity *id)
{
	const struct root *r = &m->w->root;
	struct root at = { .path = "" };

	*id = (struct disk_identity){ .transport = transport_of(b) };
	if (b->dm_uuid && b->slaves.n) { /* multipath: what its paths are */
		machine_identify(m, b->slaves.items[0], id);
		return;
	}
	/* The disk's device: a controller, a SCSI device. */
	at.fd = root_open(r, arena_printf(m->mem, "%s/device", b->sys), O_PATH | O_DIRECTORY);
	if (streq(id->transport, "loop")) {
		id->model = b->backing_file;
	} else if (at.fd >= 0 && (starts_with(b->name, "sd") || starts_with(b->name, "sr"))) {
		identify_scsi(m, &at, id); /* whatever carries it: virtio-scsi is "virtio" too */
	} else if (at.fd < 0 || streq(id->transport, "virtio")) {
		id->serial = attr(m, r, arena_printf(m->mem, "%s/serial", b->sys));
	} else if (streq(id->transport, "nvme")) {
		id->model = attr(m, &at, "model");
		id->serial = attr(m, &at, "serial");
		id->wwn = wwn_of(attr(m, r, arena_printf(m->mem, "%s/wwid", b->sys)), m->mem);
	} else if (streq(id->transport, "mmc")) {
		id->model = attr(m, &at, "name");
		id->serial = attr(m, &at, "serial");
		id->hotplug = streq(attr(m, &at, "type"), "SD");
	}
	if (at.fd >= 0)
		close(at.fd);
	if (m->udev && (!id->model || !id->serial || !id->wwn || strlen(id->model) == 16))
		identify_by_udev(m, b, id);
	/* The whole device can be pulled out, though its medium cannot. */
	id->hotplug |= streq(id->transport, "usb") || streq(id->transport, "ieee1394");
}
