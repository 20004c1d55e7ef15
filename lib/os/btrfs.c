/* btrfs filesystems: see btrfs.h. */
#include "lib/os/btrfs.h"

#include "lib/core/size.h"

#include <endian.h>
#include <errno.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include <linux/fs.h> /* BLKGETSIZE64 */

static const char control[] = "/dev/btrfs-control";

const char *btrfs_uuid_text(char buf[static BTRFS_UUID_TEXT], const uint8_t u[static 16])
{
	char *p = buf;

	for (int i = 0; i < 16; i++) {
		snprintf(p, 4, "%02x%s", u[i], i == 3 || i == 5 || i == 7 || i == 9 ? "-" : "");
		p += strlen(p);
	}
	return buf;
}

/* The word for a failed ioctl: missing privilege is another kind of failure than a bad disk. */
static int fail(struct err *e, const char *object, const char *doing)
{
	if (errno == EPERM || errno == EACCES)
		return err_make(e, ERR_UNSUPPORTED, -errno, object, "run it as root", "%s: %s",
				doing, strerror(errno));
	if (errno == ENOTTY)
		return err_make(e, ERR_INVALID, -ENOTTY, object, NULL,
				"is not on a btrfs filesystem");
	return err_sys(e, -errno, object, "%s", doing);
}

static int control_ioctl(const char *device, unsigned long request, const char *doing,
			 struct err *e)
{
	struct btrfs_ioctl_vol_args args = { 0 };
	int fd auto_close = -1;
	int r;

	if (strlen(device) >= sizeof args.name)
		return err_sys(e, -ENAMETOOLONG, device, "%s", doing);
	memcpy(args.name, device, strlen(device) + 1);
	fd = open(control, O_RDWR | O_CLOEXEC);
	if (fd < 0 && (errno == ENOENT || errno == ENODEV || errno == ENXIO))
		return err_make(e, ERR_UNSUPPORTED, -errno, device, "load the btrfs module",
				"%s: %s: %s", doing, control, strerror(errno));
	if (fd < 0)
		return fail(e, control, "open");
	r = ioctl(fd, request, &args);
	return r < 0 ? fail(e, device, doing) : r;
}

int btrfs_scan(const char *device, struct err *e)
{
	int r = control_ioctl(device, BTRFS_IOC_SCAN_DEV, "tell btrfs of the device", e);

	return r < 0 ? r : 0;
}

int btrfs_forget(const char *device, struct err *e)
{
	struct err why = { 0 };
	int r = control_ioctl(device, BTRFS_IOC_FORGET_DEV, "have btrfs forget the device", &why);

	if (r >= 0 || r == -ENOENT || r == -ENOTTY)
		return 0;
	*e = why;
	return r;
}

int btrfs_ready(const char *device, bool *ret, struct err *e)
{
	int r = control_ioctl(device, BTRFS_IOC_DEVICES_READY, "ask btrfs for the other devices", e);

	if (r < 0)
		return r;
	*ret = r == 0;
	return 0;
}

int btrfs_get_info(int fd, const char *object, struct btrfs_info *ret, struct err *e)
{
	struct btrfs_ioctl_fs_info_args args = { 0 };

	if (ioctl(fd, BTRFS_IOC_FS_INFO, &args))
		return fail(e, object, "read the filesystem's facts");
	*ret = (struct btrfs_info){
		.devices = args.num_devices,
		.max_devid = args.max_id,
		.nodesize_bytes = args.nodesize,
		.sectorsize_bytes = args.sectorsize,
	};
	memcpy(ret->fsid, args.fsid, sizeof ret->fsid);
	btrfs_uuid_text(ret->uuid, ret->fsid);
	return 0;
}

int btrfs_get_label(int fd, const char *object, struct arena *a, const char **ret, struct err *e)
{
	char label[BTRFS_LABEL_SIZE + 1] = { 0 };

	if (ioctl(fd, BTRFS_IOC_GET_FSLABEL, label))
		return fail(e, object, "read the label");
	*ret = arena_str(a, label);
	return 0;
}

/* U64_NONE when it is not there or cannot be read. */
static uint64_t block_device_bytes(const char *path)
{
	int fd auto_close = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	uint64_t bytes;

	if (fd < 0 || fstat(fd, &st) || !S_ISBLK(st.st_mode) || ioctl(fd, BLKGETSIZE64, &bytes))
		return UINT64_MAX;
	return bytes;
}

int btrfs_get_devices(int fd, const char *object, struct arena *a, struct btrfs_device **ret,
		      size_t *ret_n, struct err *e)
{
	struct btrfs_info info;
	struct btrfs_device *list;
	size_t n = 0, cap;
	int r = btrfs_get_info(fd, object, &info, e);

	if (r)
		return r;
	/* devid 0 is the target of a running replacement, which num_devices does not count. */
	cap = info.devices + 1;
	list = arena_alloc(a, cap * sizeof *list);
	for (uint64_t id = 0; id <= info.max_devid && n < cap; id++) {
		struct btrfs_ioctl_dev_info_args args = { .devid = id };
		struct btrfs_device *d = &list[n];

		if (ioctl(fd, BTRFS_IOC_DEV_INFO, &args)) {
			if (errno == ENODEV)
				continue;
			return fail(e, object, "read the devices' facts");
		}
		*d = (struct btrfs_device){
			.devid = args.devid,
			.size_bytes = args.total_bytes,
			.allocated_bytes = args.bytes_used,
			.device_bytes = UINT64_MAX,
		};
		memcpy(d->uuid, args.uuid, sizeof d->uuid);
		/* An old kernel names a missing member "missing"; a newer one leaves it empty. */
		if (args.path[0] == '/') {
			d->path = arena_strn(a, (char *)args.path,
					     strnlen((char *)args.path, sizeof args.path));
			d->device_bytes = block_device_bytes(d->path);
		}
		n++;
	}
	*ret = list;
	*ret_n = n;
	return 0;
}

const char *btrfs_type_name(uint64_t flags)
{
	if (flags & BTRFS_GLOBAL_RESERVE)
		return "GlobalReserve";
	switch (flags & (BTRFS_DATA | BTRFS_SYSTEM | BTRFS_METADATA)) {
	case BTRFS_DATA:
		return "Data";
	case BTRFS_SYSTEM:
		return "System";
	case BTRFS_METADATA:
		return "Metadata";
	case BTRFS_DATA | BTRFS_METADATA:
		return "Data+Metadata";
	default:
		return "unknown";
	}
}

const char *btrfs_profile_name(uint64_t flags)
{
	static const struct {
		uint64_t bit;
		const char *name;
	} names[] = {
		{ BTRFS_RAID0, "RAID0" },     { BTRFS_RAID1, "RAID1" },	  { BTRFS_DUP, "DUP" },
		{ BTRFS_RAID10, "RAID10" },   { BTRFS_RAID5, "RAID5" },	  { BTRFS_RAID6, "RAID6" },
		{ BTRFS_RAID1C3, "RAID1C3" }, { BTRFS_RAID1C4, "RAID1C4" },
	};

	for (size_t i = 0; i < COUNT(names); i++)
		if (flags & names[i].bit)
			return names[i].name;
	return "single";
}

int btrfs_get_spaces(int fd, const char *object, struct arena *a, struct btrfs_space **ret,
		     size_t *ret_n, struct err *e)
{
	struct btrfs_ioctl_space_args ask = { 0 }, *args;
	struct btrfs_space *list;
	size_t n;

	if (ioctl(fd, BTRFS_IOC_SPACE_INFO, &ask))
		return fail(e, object, "read how space is used");
	/* A balance to another profile may add a kind between the two calls. */
	n = ask.total_spaces + 4;
	args = arena_alloc(a, sizeof *args + n * sizeof args->spaces[0]);
	args->space_slots = n;
	if (ioctl(fd, BTRFS_IOC_SPACE_INFO, args))
		return fail(e, object, "read how space is used");
	n = args->total_spaces < n ? args->total_spaces : n;
	list = arena_alloc(a, (n + 1) * sizeof *list);
	for (size_t i = 0; i < n; i++)
		list[i] = (struct btrfs_space){ args->spaces[i].flags, args->spaces[i].total_bytes,
						args->spaces[i].used_bytes };
	*ret = list;
	*ret_n = n;
	return 0;
}

typedef VEC(struct btrfs_chunks) chunk_vec;

/* The bytes that one chunk takes on each of its devices. */
static uint64_t stripe_bytes(const struct btrfs_chunk *c)
{
	uint64_t length = le64toh(c->length), type = le64toh(c->type);
	unsigned stripes = le16toh(c->num_stripes), sub = le16toh(c->sub_stripes), data = 1;

	if (type & BTRFS_RAID0)
		data = stripes;
	else if (type & BTRFS_RAID10)
		data = sub ? stripes / sub : stripes;
	else if (type & BTRFS_RAID5)
		data = stripes - 1;
	else if (type & BTRFS_RAID6)
		data = stripes - 2;
	return data > 0 && data <= stripes ? length / data : length;
}

static void add_chunk(chunk_vec *v, const char *item, uint32_t length)
{
	struct btrfs_chunk c;
	unsigned stripes;

	if (length < sizeof c)
		return;
	memcpy(&c, item, sizeof c);
	stripes = le16toh(c.num_stripes);
	for (unsigned i = 0; i < stripes; i++) {
		size_t at = offsetof(struct btrfs_chunk, stripe) + i * sizeof(struct btrfs_stripe);
		struct btrfs_stripe s;
		struct btrfs_chunks *p = v->items;

		if (at + sizeof s > length)
			return;
		memcpy(&s, item + at, sizeof s);
		while (p < v->items + v->n &&
		       (p->devid != le64toh(s.devid) || p->flags != le64toh(c.type) ||
			p->stripes != stripes))
			p++;
		if (p == v->items + v->n) {
			p = vec_add(v);
			p->devid = le64toh(s.devid);
			p->flags = le64toh(c.type);
			p->stripes = stripes;
		}
		p->size_bytes += stripe_bytes(&c);
	}
}

static int by_devid_and_flags(const void *a, const void *b)
{
	const struct btrfs_chunks *x = a, *y = b;

	if (x->devid != y->devid)
		return x->devid < y->devid ? -1 : 1;
	if (x->flags != y->flags)
		return x->flags < y->flags ? -1 : 1;
	return (x->stripes > y->stripes) - (x->stripes < y->stripes);
}

int btrfs_get_chunks(int fd, const char *object, struct arena *a, struct btrfs_chunks **ret,
		     size_t *ret_n, struct err *e)
{
	struct btrfs_ioctl_search_args args = { .key = {
		.tree_id = BTRFS_CHUNK_TREE_OBJECTID,
		.min_objectid = BTRFS_FIRST_CHUNK_TREE_OBJECTID,
		.max_objectid = BTRFS_FIRST_CHUNK_TREE_OBJECTID,
		.min_type = BTRFS_CHUNK_ITEM_KEY,
		.max_type = BTRFS_CHUNK_ITEM_KEY,
		.max_offset = UINT64_MAX,
		.max_transid = UINT64_MAX,
	} };
	chunk_vec v = { 0 };
	int r = 0;

	for (;;) {
		const char *at = args.buf;

		args.key.nr_items = 4096;
		if (ioctl(fd, BTRFS_IOC_TREE_SEARCH, &args)) {
			r = fail(e, object, "read the chunk tree");
			break;
		}
		if (!args.key.nr_items)
			break;
		for (uint32_t i = 0; i < args.key.nr_items; i++) {
			struct btrfs_ioctl_search_header h;

			memcpy(&h, at, sizeof h);
			add_chunk(&v, at + sizeof h, h.len);
			at += sizeof h + h.len;
			args.key.min_offset = h.offset + 1;
		}
		if (!args.key.min_offset)
			break;
	}
	if (!r) {
		if (v.n)
			qsort(v.items, v.n, sizeof *v.items, by_devid_and_flags);
		*ret = arena_alloc(a, (v.n + 1) * sizeof **ret);
		if (v.n)
			memcpy(*ret, v.items, v.n * sizeof **ret);
		*ret_n = v.n;
	}
	vec_free(&v);
	return r;
}

int btrfs_get_errors(int fd, const char *object, uint64_t devid, bool reset,
		     struct btrfs_errors *ret, struct err *e)
{
	struct btrfs_ioctl_get_dev_stats args = {
		.devid = devid,
		.nr_items = BTRFS_DEV_STAT_VALUES_MAX,
		.flags = reset ? BTRFS_DEV_STATS_RESET : 0,
	};

	if (ioctl(fd, BTRFS_IOC_GET_DEV_STATS, &args))
		return fail(e, object, "read the error counters");
	*ret = (struct btrfs_errors){
		.write = args.values[BTRFS_DEV_STAT_WRITE_ERRS],
		.read = args.values[BTRFS_DEV_STAT_READ_ERRS],
		.flush = args.values[BTRFS_DEV_STAT_FLUSH_ERRS],
		.corruption = args.values[BTRFS_DEV_STAT_CORRUPTION_ERRS],
		.generation = args.values[BTRFS_DEV_STAT_GENERATION_ERRS],
	};
	return 0;
}

int btrfs_resize(int fd, const char *object, uint64_t devid, uint64_t size_bytes, struct err *e)
{
	struct btrfs_ioctl_vol_args args = { 0 };
	int r;

	if (size_bytes == UINT64_MAX)
		snprintf(args.name, sizeof args.name, "%llu:max", (unsigned long long)devid);
	else
		snprintf(args.name, sizeof args.name, "%llu:%llu", (unsigned long long)devid,
			 (unsigned long long)size_bytes);
	r = ioctl(fd, BTRFS_IOC_RESIZE, &args);
	if (r > 0) /* before 5.11 a code of btrfs's own, for "another operation runs" */
		errno = EINPROGRESS;
	return r ? fail(e, object, "resize") : 0;
}

int btrfs_commit(int fd, const char *object, struct err *e)
{
	/* Not START_SYNC: it commits metadata only, while new files' data may still be in memory. */
	return ioctl(fd, BTRFS_IOC_SYNC) ? fail(e, object, "commit") : 0;
}

const char *btrfs_exclusive_operation(const struct root *root, const char *uuid, struct arena *a)
{
	const char *s = root_attr(root, a, "/sys/fs/btrfs/%s/exclusive_operation", uuid);

	return s && *s && !streq(s, "none") ? s : NULL;
}

void btrfs_get_commits(const struct root *root, const char *uuid, struct btrfs_commits *ret)
{
	struct arena mem auto_arena = { 0 };
	const char *s = root_attr(root, &mem, "/sys/fs/btrfs/%s/commit_stats", uuid);
	const struct {
		const char *name;
		uint64_t *to;
	} lines[] = {
		{ "commits ", &ret->commits },
		{ "last_commit_ms ", &ret->last_ms },
		{ "max_commit_ms ", &ret->max_ms },
		{ "total_commit_ms ", &ret->total_ms },
	};

	for (size_t i = 0; i < COUNT(lines); i++) {
		*lines[i].to = UINT64_MAX;
		for (const char *p = s; p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
			if (starts_with(p, lines[i].name))
				*lines[i].to = strtoull(p + strlen(lines[i].name), NULL, 10);
	}
}
