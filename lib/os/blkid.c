/* libblkid's wrapper, with the signatures that Debian 12's libblkid does not know: see blkid.h. */
#include "lib/os/blkid.h"

#include "lib/os/gpt.h"

#include <blkid/blkid.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

static void release_probe(blkid_probe *pr)
{
	blkid_free_probe(*pr);
}
#define auto_probe auto_release(release_probe)

enum { SUPERBLOCK_FLAGS = BLKID_SUBLKS_LABEL | BLKID_SUBLKS_UUID | BLKID_SUBLKS_TYPE |
			  BLKID_SUBLKS_USAGE | BLKID_SUBLKS_VERSION | BLKID_SUBLKS_MAGIC };

static uint64_t le(const unsigned char *p, size_t n)
{
	uint64_t v = 0;

	while (n)
		v = v << 8 | p[--n];
	return v;
}

/* How much of the range can be read at p; 0 on error with errno, short at the end. */
static ssize_t read_at(int fd, void *buf, size_t n, uint64_t at)
{
	size_t done = 0;

	while (done < n) {
		ssize_t got = pread(fd, (char *)buf + done, n - done, (off_t)(at + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			break;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

static const char *uuid_text(struct arena *a, const unsigned char *u)
{
	static const unsigned char none[16];

	if (!memcmp(u, none, 16))
		return NULL;
	return arena_printf(a,
			    "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
			    u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11],
			    u[12], u[13], u[14], u[15]);
}

/*
 * bcachefs, which libblkid knows since 2.39 only. Its superblock is at 4096, the layout with the
 * places of all copies in the sector before it (fs/bcachefs/bcachefs_format.h: struct bch_sb,
 * struct bch_sb_layout; packed, little-endian).
 */
enum {
	BCH_LAYOUT_AT = 3584, BCH_SB_AT = 4096,
	BCH_SB_MAGIC = 24, BCH_SB_USER_UUID = 56, BCH_SB_LABEL = 72, BCH_SB_VERSION = 16,
	BCH_SB_DEV_IDX = 122, BCH_SB_NR_DEVICES = 123, BCH_SB_U64S = 124, BCH_SB_FIELDS = 752,
	BCH_FIELD_MEMBERS_V1 = 1, BCH_FIELD_MEMBERS_V2 = 11, BCH_MEMBER_V1_BYTES = 56,
	BCH_LAYOUT_NR = 18, BCH_LAYOUT_OFFSETS = 24, BCH_LAYOUT_MAX = 61,
	BCH_SB_MAX_BYTES = 64 * 1024,
};
static const unsigned char bch_magic[16] = { 0xc6, 0x85, 0x73, 0xf6, 0x66, 0xce, 0x90, 0xa9,
					     0xd9, 0x6a, 0x60, 0xcf, 0x80, 0x3d, 0xf7, 0xef };

/* This member's own UUID, from the superblock's field of members. */
static const char *bcachefs_member_uuid(const unsigned char *sb, size_t n, struct arena *a)
{
	size_t index = sb[BCH_SB_DEV_IDX], at = BCH_SB_FIELDS;
	const char *v1 = NULL;

	while (at + 8 <= n) {
		size_t bytes = (size_t)le(sb + at, 4) * 8, step, first;
		unsigned type = (unsigned)le(sb + at + 4, 4);

		if (bytes < 8 || bytes > n - at)
			break;
		step = type == BCH_FIELD_MEMBERS_V2 && bytes >= 16 ? (size_t)le(sb + at + 8, 2)
								   : BCH_MEMBER_V1_BYTES;
		first = type == BCH_FIELD_MEMBERS_V2 ? 16 : 8;
		if ((type == BCH_FIELD_MEMBERS_V1 || type == BCH_FIELD_MEMBERS_V2) &&
		    first + index * step + 16 <= bytes) {
			const char *uuid = uuid_text(a, sb + at + first + index * step);

			if (type == BCH_FIELD_MEMBERS_V2)
				return uuid;
			v1 = uuid;
		}
		at += bytes;
	}
	return v1;
}

static void add_signature(struct probe *p, struct arena *a, const char *type, const char *at)
{
	const char *text = at ? arena_printf(a, "%s at %s", type, at) : arena_str(a, type);

	if (!strlist_has((const char *const *)p->all, text))
		strlist_add(a, &p->all, text);
}

/* Fills in a bcachefs superblock where there is one; one more signature makes it ambiguous. */
static int find_bcachefs(int fd, uint64_t offset, uint64_t size, struct arena *a, struct probe *p)
{
	unsigned char head[BCH_SB_AT + BCH_SB_FIELDS];
	bool sb_there, layout_there;
	const unsigned char *sb = head + BCH_SB_AT;
	auto_free unsigned char *whole = NULL;
	ssize_t n;
	size_t bytes;

	if (size < sizeof head)
		return 0;
	n = read_at(fd, head, sizeof head, offset);
	if (n < 0)
		return (int)n;
	sb_there = n == (ssize_t)sizeof head && !memcmp(sb + BCH_SB_MAGIC, bch_magic, 16);
	layout_there = n > BCH_LAYOUT_AT + 16 && !memcmp(head + BCH_LAYOUT_AT, bch_magic, 16);
	if (!sb_there && !layout_there)
		return 0;
	add_signature(p, a, "bcachefs", sb_there ? "4120" : "3584");
	if (p->type && !streq(p->type, "bcachefs"))
		p->ambiguous = true;
	p->found = true;
	if (p->type || p->ambiguous)
		return 0;
	p->usage = "filesystem";
	p->type = "bcachefs";
	p->damaged = !sb_there;
	if (!sb_there)
		return 0;
	p->uuid = uuid_text(a, sb + BCH_SB_USER_UUID);
	if (sb[BCH_SB_LABEL])
		p->label = arena_strn(a, (const char *)sb + BCH_SB_LABEL,
				      strnlen((const char *)sb + BCH_SB_LABEL, 32));
	p->version = arena_printf(a, "%" PRIu64, le(sb + BCH_SB_VERSION, 2));
	p->total_devices = sb[BCH_SB_NR_DEVICES];
	bytes = BCH_SB_FIELDS + (size_t)le(sb + BCH_SB_U64S, 4) * 8;
	if (bytes > BCH_SB_MAX_BYTES)
		bytes = BCH_SB_MAX_BYTES;
	whole = xmalloc(bytes);
	n = read_at(fd, whole, bytes, offset + BCH_SB_AT);
	if (n > BCH_SB_FIELDS)
		p->uuid_sub = bcachefs_member_uuid(whole, (size_t)n, a);
	return 0;
}

/* btrfs keeps its number of devices in the superblock at 64 KiB (struct btrfs_super_block). */
static void count_btrfs_devices(int fd, uint64_t offset, struct probe *p)
{
	enum { BTRFS_NUM_DEVICES_AT = 0x10000 + 0x88 };
	unsigned char raw[8];

	if (read_at(fd, raw, sizeof raw, offset + BTRFS_NUM_DEVICES_AT) == sizeof raw)
		p->total_devices = le(raw, sizeof raw);
}

static const char *value(blkid_probe pr, const char *name, struct arena *a)
{
	const char *text;
	size_t n;

	if (blkid_probe_lookup_value(pr, name, &text, &n) || !n)
		return NULL;
	/* The length counts the terminating zero where there is one. */
	return arena_strn(a, text, strnlen(text, n));
}

static void collect_signatures(blkid_probe pr, struct probe *p, struct arena *a)
{
	const char *type = value(pr, "TYPE", a), *table = value(pr, "PTTYPE", a);

	if (type)
		add_signature(p, a, type, value(pr, "SBMAGIC_OFFSET", a));
	if (table)
		add_signature(p, a, table, value(pr, "PTMAGIC_OFFSET", a));
}

static void read_partitions(blkid_probe pr, uint64_t offset, struct probe *p, struct arena *a)
{
	blkid_partlist list = blkid_probe_get_partitions(pr);
	int n = list ? blkid_partlist_numof_partitions(list) : 0;

	if (n <= 0)
		return;
	p->partitions = arena_alloc(a, (size_t)n * sizeof *p->partitions);
	for (int i = 0; i < n; i++) {
		blkid_partition part = blkid_partlist_get_partition(list, i);
		struct probe_partition *to = &p->partitions[p->n_partitions++];
		const char *type = blkid_partition_get_type_string(part);
		char *small;

		to->number = (unsigned)blkid_partition_get_partno(part);
		/* libblkid counts 512-byte units from the start of the device. */
		to->start_bytes = (uint64_t)blkid_partition_get_start(part) * 512 - offset;
		to->size_bytes = (uint64_t)blkid_partition_get_size(part) * 512;
		to->name = arena_str(a, blkid_partition_get_name(part));
		if (to->name && !*to->name)
			to->name = NULL;
		to->uuid = arena_str(a, blkid_partition_get_uuid(part));
		small = type && *type ? arena_str(a, type)
				      : arena_printf(a, "0x%02x",
						     (unsigned)blkid_partition_get_type(part));
		for (char *c = small; *c; c++)
			if (*c >= 'A' && *c <= 'Z')
				*c = (char)(*c - 'A' + 'a');
		to->type = small;
	}
}

static blkid_probe open_probe(int fd, uint64_t offset, uint64_t size, uint64_t sector)
{
	blkid_probe pr = blkid_new_probe();

	errno = 0;
	if (!pr || blkid_probe_set_device(pr, fd, (blkid_loff_t)offset, (blkid_loff_t)size) ||
	    (sector && blkid_probe_set_sectorsize(pr, (unsigned)sector))) {
		if (!errno)
			errno = EIO;
		blkid_free_probe(pr);
		return NULL;
	}
	blkid_probe_enable_superblocks(pr, 1);
	blkid_probe_set_superblocks_flags(pr, SUPERBLOCK_FLAGS);
	blkid_probe_enable_partitions(pr, 1);
	blkid_probe_set_partitions_flags(pr, BLKID_PARTS_MAGIC);
	return pr;
}

enum { PROBE_FOUND, PROBE_NOTHING, PROBE_AMBIGUOUS };

/* One of these, or -errno; libblkid's own -2 for ambiguous would be -ENOENT. */
static int safe_probe(blkid_probe pr)
{
	errno = 0;
	switch (blkid_do_safeprobe(pr)) {
	case 0:
		return PROBE_FOUND;
	case 1:
		return PROBE_NOTHING;
	case -2:
		return PROBE_AMBIGUOUS;
	default:
		return errno ? -errno : -EIO;
	}
}

/* Fills in what there is; returns as safe_probe(), but never PROBE_AMBIGUOUS. */
static int probe_values(blkid_probe pr, struct probe *p, struct arena *a)
{
	int r = safe_probe(pr);

	if (r == PROBE_AMBIGUOUS) {
		p->found = p->ambiguous = true;
		blkid_reset_probe(pr);
		while (!blkid_do_probe(pr)) {
			collect_signatures(pr, p, a);
			p->table = p->table ? p->table : value(pr, "PTTYPE", a);
		}
		return PROBE_FOUND;
	}
	if (r != PROBE_FOUND)
		return r;
	p->found = true;
	p->usage = value(pr, "USAGE", a);
	p->type = value(pr, "TYPE", a);
	p->version = value(pr, "VERSION", a);
	p->label = value(pr, "LABEL", a);
	p->uuid = value(pr, "UUID", a);
	p->uuid_sub = value(pr, "UUID_SUB", a);
	p->table = value(pr, "PTTYPE", a);
	p->table_uuid = value(pr, "PTUUID", a);
	p->damaged = blkid_probe_has_value(pr, "SBBADCSUM");
	collect_signatures(pr, p, a);
	return PROBE_FOUND;
}

/* What a cut of power leaves of a new table, whose MBR is written last (os/gpt.h): nothing yet. */
static bool is_unfinished_table(const struct probe *p)
{
	if (!p->damaged || p->ambiguous || p->type || !streq(p->table, "gpt"))
		return false;
	for (size_t i = 0; i < p->n_partitions; i++)
		if (!gpt_name_is_provisional(p->partitions[i].name))
			return false;
	return true;
}

int blkid_probe_image(int fd, uint64_t offset_bytes, uint64_t size_bytes, uint64_t sector_bytes,
		      struct arena *a, struct probe *ret, struct err *e)
{
	blkid_probe pr auto_probe = open_probe(fd, offset_bytes, size_bytes, sector_bytes);
	struct probe p = { .total_devices = UINT64_MAX };
	int r;

	if (!pr)
		return err_sys(e, -errno, NULL, "probe");
	r = probe_values(pr, &p, a);
	if (r == PROBE_NOTHING) {
		/* Nothing sound: is there something damaged, or a GPT without its protective MBR? */
		blkid_reset_probe(pr);
		blkid_probe_set_superblocks_flags(pr, SUPERBLOCK_FLAGS | BLKID_SUBLKS_BADCSUM);
		blkid_probe_set_partitions_flags(pr, BLKID_PARTS_MAGIC | BLKID_PARTS_FORCE_GPT);
		r = probe_values(pr, &p, a);
		p.damaged = p.found;
	}
	if (r < 0)
		return err_sys(e, r, NULL, "probe for signatures");
	r = find_bcachefs(fd, offset_bytes, (uint64_t)blkid_probe_get_size(pr), a, &p);
	if (r < 0)
		return err_sys(e, r, NULL, "probe for bcachefs");
	if (p.table)
		read_partitions(pr, offset_bytes, &p, a);
	if (is_unfinished_table(&p))
		p = (struct probe){ .total_devices = UINT64_MAX };
	if (streq(p.type, "btrfs"))
		count_btrfs_devices(fd, offset_bytes, &p);
	*ret = p;
	return 0;
}

int blkid_probe_fd(int fd, uint64_t offset_bytes, uint64_t size_bytes, struct arena *a,
		   struct probe *ret, struct err *e)
{
	return blkid_probe_image(fd, offset_bytes, size_bytes, 0, a, ret, e);
}

void probe_copy(struct probe *p, struct arena *to)
{
	const char **strings[] = { &p->usage, &p->type,	 &p->version,  &p->label,
				   &p->uuid,  &p->uuid_sub, &p->table, &p->table_uuid };
	const struct probe_partition *from = p->partitions;
	const char **all = p->all;

	for (size_t i = 0; i < COUNT(strings); i++)
		*strings[i] = arena_str(to, *strings[i]);
	p->all = NULL;
	for (; all && *all; all++)
		strlist_add(to, &p->all, arena_str(to, *all));
	if (!p->n_partitions)
		return;
	p->partitions = arena_alloc(to, p->n_partitions * sizeof *p->partitions);
	for (size_t i = 0; i < p->n_partitions; i++) {
		p->partitions[i] = from[i];
		p->partitions[i].name = arena_str(to, from[i].name);
		p->partitions[i].type = arena_str(to, from[i].type);
		p->partitions[i].uuid = arena_str(to, from[i].uuid);
	}
}

/* All that the library shares between probes is its debugging mask, set by the first. */
void blkid_allow_threads(void)
{
	blkid_init_debug(0);
}

int blkid_probe_path(const char *path, struct arena *a, struct probe *ret, struct err *e)
{
	auto_close int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	int r;

	if (fd < 0)
		return err_sys(e, -errno, path, "open");
	if (fstat(fd, &st))
		return err_sys(e, -errno, path, "stat");
	if (!S_ISBLK(st.st_mode) && !S_ISREG(st.st_mode))
		return err_make(e, ERR_NO_DEVICE, -ENOTBLK, path, NULL, "is no block device");
	r = blkid_probe_fd(fd, 0, 0, a, ret, e);
	if (r)
		snprintf(e->object, sizeof e->object, "%s", path);
	return r;
}

static int write_zeros(int fd, uint64_t at, size_t n)
{
	static const unsigned char zeros[4096];

	while (n) {
		ssize_t put = pwrite(fd, zeros, n < sizeof zeros ? n : sizeof zeros, (off_t)at);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return put ? -errno : -EIO;
		at += (uint64_t)put;
		n -= (size_t)put;
	}
	return 0;
}

/* All copies of a bcachefs superblock, and last the layout that says where they are. */
static int wipe_bcachefs(int fd, uint64_t offset, uint64_t size)
{
	unsigned char layout[512];
	ssize_t n = read_at(fd, layout, sizeof layout, offset + BCH_LAYOUT_AT);
	int r = 0;

	if (n < 0)
		return (int)n;
	if (n == sizeof layout && !memcmp(layout, bch_magic, 16))
		for (unsigned i = 0; i < layout[BCH_LAYOUT_NR] && i < BCH_LAYOUT_MAX && !r; i++) {
			uint64_t sector = le(layout + BCH_LAYOUT_OFFSETS + 8 * i, 8);

			if (sector >= BCH_LAYOUT_AT / 512 && sector < size / 512 - 8)
				r = write_zeros(fd, offset + sector * 512, 4096);
		}
	return r ? r : write_zeros(fd, offset + BCH_LAYOUT_AT, 512 + 4096);
}

int blkid_wipe_fd(int fd, uint64_t offset_bytes, uint64_t size_bytes, struct err *e)
{
	struct arena mem auto_arena = { 0 };
	blkid_probe pr auto_probe = open_probe(fd, offset_bytes, size_bytes, 0);
	struct probe left = { 0 };
	bool wiped = false;
	uint64_t size;
	int r;

	if (!pr)
		return err_sys(e, -errno, NULL, "probe before wiping");
	size = (uint64_t)blkid_probe_get_size(pr);
	blkid_probe_set_superblocks_flags(pr, SUPERBLOCK_FLAGS | BLKID_SUBLKS_BADCSUM);
	blkid_probe_set_partitions_flags(pr, BLKID_PARTS_MAGIC | BLKID_PARTS_FORCE_GPT);
	/* A ZFS member has 4 labels of up to 128 uberblocks; nothing has more signatures. */
	for (int i = 0; i < 2000; i++) {
		errno = 0;
		r = blkid_do_probe(pr);
		if (r == 1)
			break;
		if (r || blkid_do_wipe(pr, 0))
			return err_sys(e, errno ? -errno : -EIO, NULL, "wipe signatures");
		wiped = true;
	}
	/* What that found nothing on can only hold what it does not know. */
	if (wiped)
		r = blkid_probe_fd(fd, offset_bytes, size_bytes, &mem, &left, e);
	else if ((r = find_bcachefs(fd, offset_bytes, size, &mem, &left)))
		err_sys(e, r, NULL, "probe for bcachefs");
	if (!r && strlist_len((const char *const *)left.all) == 1 &&
	    starts_with(left.all[0], "bcachefs")) {
		r = wipe_bcachefs(fd, offset_bytes, size);
		if (r)
			return err_sys(e, r, NULL, "wipe a bcachefs superblock");
		r = blkid_probe_fd(fd, offset_bytes, size_bytes, &mem, &left, e);
	}
	if (r)
		return r;
	if (left.found)
		return err_make(e, ERR_FAILED, -EIO, NULL, NULL, "still holds %s after wiping",
				left.all ? left.all[0] : "a signature");
	return 0;
}
