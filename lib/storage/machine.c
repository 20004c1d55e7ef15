/* Block devices from sysfs: see machine.h. */
#include "lib/storage/machine.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

/* Memory, floppies (reading one without a disk takes seconds) and raw flash are no storage here. */
static bool is_skipped(const char *name)
{
	static const char *const prefixes[] = { "ram", "zram", "mtdblock", "ubiblock" };

	for (size_t i = 0; i < COUNT(prefixes); i++)
		if (starts_with(name, prefixes[i]))
			return true;
	return starts_with(name, "fd") && isdigit((unsigned char)name[2]);
}

static const char *uevent_value(const char *uevent, const char *key, struct arena *a)
{
	size_t n = strlen(key);

	for (const char *s = uevent; s && *s;) {
		size_t len = strcspn(s, "\n");

		if (len > n && !strncmp(s, key, n) && s[n] == '=')
			return len > n + 1 ? arena_strn(a, s + n + 1, len - n - 1) : NULL;
		s += len + (s[len] == '\n');
	}
	return NULL;
}

static uint64_t number_or(const char *s, uint64_t fallback)
{
	char *end;
	unsigned long long v;

	if (!s || !isdigit((unsigned char)*s))
		return fallback;
	errno = 0;
	v = strtoull(s, &end, 10);
	return errno || *end ? fallback : v;
}

/* What every block device has; false when it is gone or has no size. at: its folder. */
static bool read_common(struct machine *m, const struct root *at, struct blockdev *b)
{
	uint64_t sectors = root_attr_u64(at, 0, "size");
	const char *node;

	if (!sectors || sectors > UINT64_MAX / 512)
		return false;
	b->size_bytes = sectors * 512;
	b->uevent = root_attr(at, m->mem, "uevent");
	node = uevent_value(b->uevent, "DEVNAME", m->mem);
	if (!node) {
		char *name = arena_str(m->mem, b->name);

		for (char *c = name; *c; c++)
			*c = *c == '!' ? '/' : *c;
		node = name;
	}
	b->node = b->path = arena_printf(m->mem, "/dev/%s", node);
	b->read_only = root_attr_u64(at, 0, "ro") == 1;
	return true;
}

static const char *mapping_text(const char *name, const char *uuid, struct arena *a)
{
	static const struct {
		const char *prefix, *what;
	} kinds[] = { { "LVM-", "LVM" },       { "CRYPT-", "crypt" },	{ "mpath-", "multipath" },
		      { "DMRAID-", "dmraid" }, { "stratis-", "stratis" } };

	for (size_t i = 0; uuid && i < COUNT(kinds); i++)
		if (starts_with(uuid, kinds[i].prefix))
			return arena_printf(a, "%s %s", kinds[i].what, name ? name : "?");
	return name;
}

static void read_kind(struct machine *m, const struct root *at, struct blockdev *b)
{
	b->kind = BLOCKDEV_DISK;
	if (starts_with(b->name, "dm-")) {
		b->dm_name = root_attr(at, m->mem, "dm/name");
		b->dm_uuid = root_attr(at, m->mem, "dm/uuid");
		b->mapping = mapping_text(b->dm_name, b->dm_uuid, m->mem);
		if (b->dm_name)
			b->path = arena_printf(m->mem, "/dev/mapper/%s", b->dm_name);
		/* A multipath map is the disk; its paths are held by it. A partition of one is
		 * a mapping whose UUID is partN-mpath-... */
		if (!b->dm_uuid || !starts_with(b->dm_uuid, "mpath-"))
			b->kind = BLOCKDEV_MAPPED;
	} else if ((starts_with(b->name, "md") && (isdigit((unsigned char)b->name[2]) ||
						   b->name[2] == '_')) ||
		   starts_with(b->name, "bcache") || starts_with(b->name, "drbd")) {
		b->kind = BLOCKDEV_ARRAY;
	} else if (starts_with(b->name, "sr") && isdigit((unsigned char)b->name[2])) {
		b->kind = BLOCKDEV_OPTICAL;
	} else if (starts_with(b->name, "loop")) {
		b->backing_file = root_attr(at, m->mem, "loop/backing_file");
	}
}

static void drop_device(struct blockdev *b)
{
	vec_free(&b->partitions);
	vec_free(&b->holders);
	vec_free(&b->slaves);
}

static void read_whole(struct machine *m, const struct root *at, struct blockdev *b)
{
	read_kind(m, at, b);
	b->diskseq = number_or(uevent_value(b->uevent, "DISKSEQ", m->mem), U64_NONE);
	if (b->diskseq == U64_NONE)
		b->diskseq = root_attr_u64(at, U64_NONE, "diskseq");
	b->removable = root_attr_u64(at, 0, "removable") == 1;
	b->sector_bytes = root_attr_u64(at, 512, "queue/logical_block_size");
	b->physical_sector_bytes =
		root_attr_u64(at, b->sector_bytes, "queue/physical_block_size");
	b->rotational = root_attr_u64(at, 0, "queue/rotational") == 1;
}

/* False when it is no partition with a number and a place. */
static bool read_partition(struct machine *m, const struct root *at, struct blockdev *b)
{
	b->kind = BLOCKDEV_PARTITION;
	b->part_name = uevent_value(b->uevent, "PARTNAME", m->mem);
	b->part_uuid = uevent_value(b->uevent, "PARTUUID", m->mem);
	b->number = number_or(uevent_value(b->uevent, "PARTN", m->mem), U64_NONE);
	if (b->number == U64_NONE)
		b->number = root_attr_u64(at, U64_NONE, "partition");
	b->start_bytes = root_attr_u64(at, 0, "start") * 512;
	return b->number != U64_NONE;
}

/*
 * /sys/dev/block has a link for each block device, named by its number, to its folder: of a whole
 * disk .../block/sda, of a partition .../block/sda/sda1. The hidden paths of a multipath NVMe
 * namespace have none.
 */
static void read_device(struct machine *m, const char *devno, const char *link)
{
	struct blockdev *b = arena_alloc(m->mem, sizeof *b);
	struct root at = { .path = "" };
	const char *slash = strrchr(link, '/');

	if (!slash || is_skipped(slash + 1))
		return;
	while (starts_with(link, "../"))
		link += 3;
	b->name = slash + 1;
	b->sys = arena_printf(m->mem, "/sys/%s", link);
	b->devno = devno;
	b->disk = b;
	b->number = b->diskseq = U64_NONE;
	at.fd = root_open(&m->w->root, b->sys, O_PATH | O_DIRECTORY);
	if (at.fd < 0)
		return;
	if (read_common(m, &at, b)) {
		const char *type = uevent_value(b->uevent, "DEVTYPE", m->mem);
		bool partition = type ? streq(type, "partition") : root_exists(&at, "partition");

		if (!partition)
			read_whole(m, &at, b);
		if (!partition || read_partition(m, &at, b))
			*vec_add(&m->devices) = b;
	}
	close(at.fd);
}

static int read_devices(struct machine *m)
{
	static const char dir[] = "/sys/dev/block";
	auto_close int fd = root_open(&m->w->root, dir, O_RDONLY | O_DIRECTORY);
	const char **names;
	char link[4096];
	int r;

	if (fd < 0)
		return fd;
	r = root_list(&m->w->root, dir, m->mem, &names);
	for (; !r && *names; names++) {
		ssize_t n = readlinkat(fd, *names, link, sizeof link);

		if (n > 0 && n < (ssize_t)sizeof link)
			read_device(m, *names, arena_strn(m->mem, link, (size_t)n));
	}
	return r;
}

static int by_name(const void *a, const void *b)
{
	const struct blockdev *x = *(struct blockdev *const *)a, *y = *(struct blockdev *const *)b;

	return strcmp(x->name, y->name);
}

static void index_names(struct machine *m)
{
	m->n_names = m->devices.n;
	m->by_name = arena_alloc(m->mem, (m->n_names + 1) * sizeof *m->by_name);
	if (m->n_names)
		memcpy(m->by_name, m->devices.items, m->n_names * sizeof *m->by_name);
	if (m->n_names)
		qsort(m->by_name, m->n_names, sizeof *m->by_name, by_name);
}

/* A partition's disk is the folder above it; one whose disk is gone or skipped goes too. */
static void find_disks(struct machine *m)
{
	size_t kept = 0;

	for (size_t i = 0; i < m->devices.n; i++) {
		struct blockdev *b = m->devices.items[i];
		const char *end = strrchr(b->sys, '/'), *start = end;

		if (b->kind == BLOCKDEV_PARTITION) {
			while (start > b->sys && start[-1] != '/')
				start--;
			b->disk = machine_by_name(
				m, arena_strn(m->mem, start, (size_t)(end - start)));
			if (!b->disk || b->disk->kind == BLOCKDEV_PARTITION)
				b->disk = NULL;
		}
	}
	for (size_t i = 0; i < m->devices.n; i++) {
		struct blockdev *b = m->devices.items[i];

		if (!b->disk)
			continue;
		if (b->kind == BLOCKDEV_PARTITION) {
			b->sector_bytes = b->disk->sector_bytes;
			b->read_only |= b->disk->read_only;
			*vec_add(&b->disk->partitions) = b;
		}
		m->devices.items[kept++] = b;
	}
	m->devices.n = kept;
}

/* What a device made of devices stands on; the holders of those are the inverse. */
static void read_slaves(struct machine *m, struct blockdev *b)
{
	const char **names;

	if (b->kind != BLOCKDEV_ARRAY && b->kind != BLOCKDEV_MAPPED && !b->dm_name)
		return;
	if (root_list(&m->w->root, arena_printf(m->mem, "%s/slaves", b->sys), m->mem, &names))
		return;
	for (; *names; names++) {
		struct blockdev *s = machine_by_name(m, *names);

		if (!s)
			continue;
		*vec_add(&b->slaves) = s;
		*vec_add(&s->holders) = b;
	}
}

static int by_path(const void *a, const void *b)
{
	const struct blockdev *x = *(struct blockdev *const *)a, *y = *(struct blockdev *const *)b;
	int order = strverscmp(x->disk->path, y->disk->path);

	if (order)
		return order;
	if (x->disk != y->disk) /* two nodes of one name cannot be, but must not mix */
		return strcmp(x->disk->devno, y->disk->devno);
	if (x == x->disk || y == y->disk)
		return (y == y->disk) - (x == x->disk);
	return strverscmp(x->path, y->path);
}

/* Below another root, nodes are devices of this machine only where its /sys is sysfs itself; a
 * recording unpacked by root may hold nodes that lead to the wrong disks. */
static bool is_live(const struct root *r)
{
	enum { SYSFS_MAGIC_NUMBER = 0x62656572 };
	auto_close int fd = -1;
	struct statfs s;

	if (root_is_machine(r))
		return true;
	fd = root_open(r, "/sys", O_RDONLY | O_DIRECTORY);
	return fd >= 0 && !fstatfs(fd, &s) && s.f_type == SYSFS_MAGIC_NUMBER;
}

int machine_read(struct world *w, struct machine **ret, struct err *e)
{
	struct machine *m auto_machine = xcalloc(1, sizeof *m);
	int r;

	m->w = w;
	m->mem = w->mem;
	m->live = is_live(&w->root);
	m->images = !m->live && root_exists(&w->root, "/dev");
	m->udev = udev_db_open(&w->root);
	r = read_devices(m);
	if (r)
		return err_make(e, ERR_UNSUPPORTED, r, "/sys/dev/block",
				root_is_machine(&w->root) ? "mount sysfs on /sys" : NULL,
				"read the block devices: %s", strerror(-r));
	index_names(m);
	find_disks(m);
	if (m->devices.n)
		qsort(m->devices.items, m->devices.n, sizeof *m->devices.items, by_path);
	for (size_t i = 0; i < m->devices.n; i++)
		if (m->devices.items[i]->partitions.n)
			qsort(m->devices.items[i]->partitions.items,
			      m->devices.items[i]->partitions.n,
			      sizeof *m->devices.items, by_path);
	for (size_t i = 0; i < m->devices.n; i++)
		read_slaves(m, m->devices.items[i]);
	r = mounts_read(&w->root, m->mem, &m->mounts, &m->n_mounts, e);
	if (!r)
		r = swaps_read(&w->root, m->mem, &m->swaps, &m->n_swaps, e);
	if (!r)
		r = machine_read_uses(m, e);
	if (!r)
		*ret = take(m);
	return r;
}

void machine_free(struct machine **m)
{
	if (!*m)
		return;
	for (size_t i = 0; i < (*m)->devices.n; i++)
		drop_device((*m)->devices.items[i]);
	vec_free(&(*m)->devices);
	udev_db_close(&(*m)->udev);
	free(*m);
	*m = NULL;
}

struct blockdev *machine_by_devno(struct machine *m, const char *devno)
{
	for (size_t i = 0; i < m->devices.n; i++)
		if (streq(m->devices.items[i]->devno, devno))
			return m->devices.items[i];
	return NULL;
}

struct blockdev *machine_by_name(struct machine *m, const char *name)
{
	struct blockdev key = { .name = name }, *p = &key, **found;

	found = m->n_names ? bsearch(&p, m->by_name, m->n_names, sizeof *m->by_name, by_name) : NULL;
	/* Without a disk it was left out. */
	return found && (*found)->disk ? *found : NULL;
}

struct blockdev *machine_by_path(struct machine *m, const char *path)
{
	const char *real;
	struct stat st;
	char devno[32];

	if (!path || *path != '/')
		return NULL;
	for (size_t i = 0; i < m->devices.n; i++)
		if (streq(m->devices.items[i]->node, path) || streq(m->devices.items[i]->path, path))
			return m->devices.items[i];
	if (m->live && !root_stat(&m->w->root, path, &st) && S_ISBLK(st.st_mode)) {
		snprintf(devno, sizeof devno, "%u:%u", major(st.st_rdev), minor(st.st_rdev));
		return machine_by_devno(m, devno);
	}
	/* A recording has links, but files for devices or nothing at all behind them. */
	real = root_realpath(&m->w->root, path, m->mem);
	if (!real) {
		real = root_readlink(&m->w->root, path, m->mem);
		real = real ? arena_printf(m->mem, "/dev/%s", strrchr(real, '/') ?
					   strrchr(real, '/') + 1 : real) : NULL;
	}
	for (size_t i = 0; real && i < m->devices.n; i++)
		if (streq(m->devices.items[i]->node, real))
			return m->devices.items[i];
	return NULL;
}
