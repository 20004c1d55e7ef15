/* The bytes of a GPT: see gpt_format.h. Layout: UEFI specification 2.10, chapter 5. */
#include "lib/os/gpt_format.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <sys/mman.h>

enum {
	HEADER_MIN = 92,
	ARRAY_MAX = 1 << 20,
	MBR_ENTRIES = 446,
	MBR_PROTECTIVE = 0xee,
};

struct __attribute__((packed, may_alias)) header {
	char signature[8];
	uint32_t revision, header_bytes, crc, reserved;
	uint64_t lba, alternate_lba, first_lba, last_lba;
	uint8_t guid[16];
	uint64_t entries_lba;
	uint32_t entries, entry_bytes, entries_crc;
};

struct __attribute__((packed)) entry {
	uint8_t type[16], uuid[16];
	uint64_t first_lba, last_lba, flags;
	uint16_t name[GPT_NAME_MAX];
};

static uint32_t crc32_of(const void *data, size_t n)
{
	static const uint32_t nibble[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
		0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
		0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};
	uint32_t crc = ~UINT32_C(0);

	for (const uint8_t *p = data; n; n--, p++) {
		crc = (crc >> 4) ^ nibble[(crc ^ *p) & 15];
		crc = (crc >> 4) ^ nibble[(crc ^ (*p >> 4)) & 15];
	}
	return ~crc;
}

int gpt_read_at(int fd, uint64_t offset, void *to, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t r = pread(fd, (char *)to + done, n - done, (off_t)(offset + done));

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r ? -errno : -EIO;
		done += (size_t)r;
	}
	return 0;
}

int gpt_write_at(int fd, uint64_t offset, const void *from, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t r = pwrite(fd, (const char *)from + done, n - done, (off_t)(offset + done));

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r ? -errno : -EIO;
		done += (size_t)r;
	}
	return 0;
}

uint64_t gpt_array_sectors(const struct gpt_copy *c, uint64_t sector_bytes)
{
	return ((uint64_t)c->entries * c->entry_bytes + sector_bytes - 1) / sector_bytes;
}

static const char *check_header(const struct header *h, uint64_t lba, uint64_t sector_bytes,
				uint64_t sectors, struct arena *a)
{
	uint32_t size = le32toh(h->header_bytes);
	struct header *copy;

	if (memcmp(h->signature, "EFI PART", 8))
		return "has no GPT header";
	if (size < HEADER_MIN || size > sector_bytes)
		return "has a GPT header of an impossible length";
	copy = arena_alloc(a, size);
	memcpy(copy, h, size);
	copy->crc = 0;
	if (crc32_of(copy, size) != le32toh(h->crc))
		return "fails its header's checksum";
	if (le64toh(h->lba) != lba)
		return "is not where its header says";
	if (le64toh(h->first_lba) > le64toh(h->last_lba) || le64toh(h->last_lba) >= sectors)
		return "has a usable range outside of the disk";
	return NULL;
}

static const char *check_array_place(const struct gpt_copy *c, uint64_t sector_bytes,
				     uint64_t sectors)
{
	uint64_t n = gpt_array_sectors(c, sector_bytes);

	if (c->entry_bytes < sizeof(struct entry) || c->entry_bytes % 8 || !c->entries ||
	    (uint64_t)c->entries * c->entry_bytes > ARRAY_MAX)
		return "has entries of an unknown size";
	if (c->entries_lba < 2 || c->entries_lba >= sectors || n > sectors - c->entries_lba ||
	    (c->entries_lba <= c->last_lba && c->entries_lba + n > c->first_lba) ||
	    (c->lba >= c->entries_lba && c->lba < c->entries_lba + n))
		return "has its entries in an impossible place";
	return NULL;
}

/* Returns -errno only when the disk cannot be read; what is wrong with the copy is in c->why. */
static int read_copy(int fd, const struct gpt *g, uint64_t lba, struct arena *a, struct gpt_copy *c,
		     struct err *e)
{
	uint64_t sectors = g->size_bytes / g->sector_bytes;
	const struct header *h = (const void *)c->header;
	int r;

	memset(c, 0, sizeof *c);
	c->lba = lba;
	if (lba >= sectors) {
		c->why = "lies behind the end of the disk";
		return 0;
	}
	r = gpt_read_at(fd, lba * g->sector_bytes, c->header, g->sector_bytes);
	if (r)
		return err_sys(e, r, g->disk, "read sector %" PRIu64, lba);
	c->why = check_header(h, lba, g->sector_bytes, sectors, a);
	if (c->why)
		return 0;
	c->alternate_lba = le64toh(h->alternate_lba);
	c->first_lba = le64toh(h->first_lba);
	c->last_lba = le64toh(h->last_lba);
	c->entries_lba = le64toh(h->entries_lba);
	c->entries = le32toh(h->entries);
	c->entry_bytes = le32toh(h->entry_bytes);
	c->entries_crc = le32toh(h->entries_crc);
	memcpy(c->guid, h->guid, sizeof c->guid);
	c->why = check_array_place(c, g->sector_bytes, sectors);
	if (c->why)
		return 0;
	c->array_bytes = gpt_array_sectors(c, g->sector_bytes) * g->sector_bytes;
	c->array = arena_alloc(a, c->array_bytes);
	r = gpt_read_at(fd, c->entries_lba * g->sector_bytes, c->array, c->array_bytes);
	if (r)
		return err_sys(e, r, g->disk, "read GPT entries at sector %" PRIu64, c->entries_lba);
	if (crc32_of(c->array, (size_t)c->entries * c->entry_bytes) != c->entries_crc)
		c->why = "fails its entries' checksum";
	c->valid = !c->why;
	return 0;
}

int gpt_image_read(int fd, const struct gpt *g, struct arena *a, struct gpt_image *ret,
		   struct err *e)
{
	uint64_t sectors = g->size_bytes / g->sector_bytes;
	int r;

	if (sectors < 8) {
		ret->primary.why = ret->backup.why = "has no room on so small a disk";
		return 0;
	}
	r = gpt_read_at(fd, 0, ret->mbr, g->sector_bytes);
	if (r)
		return err_sys(e, r, g->disk, "read sector 0");
	r = read_copy(fd, g, 1, a, &ret->primary, e);
	if (r)
		return r;
	/* A valid primary names its backup; a disk that has grown has it before the end. */
	return read_copy(fd, g, ret->primary.valid ? ret->primary.alternate_lba : sectors - 1, a,
			 &ret->backup, e);
}

static bool alike(const struct gpt_copy *p, const struct gpt_copy *b)
{
	return !memcmp(p->guid, b->guid, sizeof p->guid) && p->first_lba == b->first_lba &&
	       p->last_lba == b->last_lba && p->entries == b->entries &&
	       p->entry_bytes == b->entry_bytes && p->entries_crc == b->entries_crc;
}

/* 0: no MBR; else a protective entry is there; 2: with others besides. */
static int mbr_kind(const uint8_t *mbr)
{
	int protective = 0, others = 0;

	if (mbr[510] != 0x55 || mbr[511] != 0xaa)
		return 0;
	for (int i = 0; i < 4; i++) {
		uint8_t type = mbr[MBR_ENTRIES + 16 * i + 4];

		protective += type == MBR_PROTECTIVE;
		others += type && type != MBR_PROTECTIVE;
	}
	return protective ? 1 + !!others : 0;
}

void gpt_mbr_make(uint8_t *sector, uint64_t sectors)
{
	uint32_t first = htole32(1);
	uint32_t n = htole32(sectors - 1 > UINT32_MAX ? UINT32_MAX : (uint32_t)(sectors - 1));
	uint8_t *entry = sector + MBR_ENTRIES;

	memset(entry, 0, 64);
	entry[2] = 2; /* CHS 0,0,2: LBA 1 */
	entry[4] = MBR_PROTECTIVE;
	entry[5] = entry[6] = entry[7] = 0xff;
	memcpy(entry + 8, &first, 4);
	memcpy(entry + 12, &n, 4);
	sector[510] = 0x55;
	sector[511] = 0xaa;
}

/* A GUID's first three parts are little-endian on disk. */
static const char *guid_text(const uint8_t *g, struct arena *a)
{
	return arena_printf(a,
			    "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
			    g[3], g[2], g[1], g[0], g[5], g[4], g[7], g[6], g[8], g[9], g[10], g[11],
			    g[12], g[13], g[14], g[15]);
}

/* UTF-16LE to UTF-8; half a surrogate pair becomes U+FFFD. */
static const char *name_text(const struct entry *en, struct arena *a)
{
	char *s = arena_alloc(a, GPT_NAME_MAX * 3 + 1), *to = s;

	for (int i = 0; i < GPT_NAME_MAX; i++) {
		uint32_t c = le16toh(en->name[i]), low;

		if (!c)
			break;
		if (c >= 0xd800 && c < 0xe000) {
			low = i + 1 < GPT_NAME_MAX ? le16toh(en->name[i + 1]) : 0;
			if (c < 0xdc00 && low >= 0xdc00 && low < 0xe000) {
				c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
				i++;
			} else {
				c = 0xfffd;
			}
		}
		if (c < 0x80) {
			*to++ = (char)c;
		} else if (c < 0x800) {
			*to++ = (char)(0xc0 | c >> 6);
			*to++ = (char)(0x80 | (c & 63));
		} else if (c < 0x10000) {
			*to++ = (char)(0xe0 | c >> 12);
			*to++ = (char)(0x80 | (c >> 6 & 63));
			*to++ = (char)(0x80 | (c & 63));
		} else {
			*to++ = (char)(0xf0 | c >> 18);
			*to++ = (char)(0x80 | (c >> 12 & 63));
			*to++ = (char)(0x80 | (c >> 6 & 63));
			*to++ = (char)(0x80 | (c & 63));
		}
	}
	return s;
}

static int by_start(const void *x, const void *y)
{
	const struct gpt_partition *a = x, *b = y;

	return a->start_bytes < b->start_bytes ? -1 : a->start_bytes > b->start_bytes;
}

static void add_free(struct gpt *g, uint64_t from, uint64_t end)
{
	uint64_t start = (from + GPT_GRAIN_BYTES - 1) / GPT_GRAIN_BYTES * GPT_GRAIN_BYTES;

	end = end / GPT_GRAIN_BYTES * GPT_GRAIN_BYTES;
	if (end > start)
		g->free[g->n_free++] = (struct gpt_extent){ start, end - start };
}

/* Gaps between the partitions; false where partitions overlap or leave the usable range. */
static bool find_free(struct gpt *g)
{
	struct gpt_partition *sorted = arena_alloc(g->mem, (g->n + 1) * sizeof *sorted);
	uint64_t at = g->first_usable_bytes;
	bool good = true;

	if (g->n)
		memcpy(sorted, g->partitions, g->n * sizeof *sorted);
	qsort(sorted, g->n, sizeof *sorted, by_start);
	g->free = arena_alloc(g->mem, (g->n + 1) * sizeof *g->free);
	g->n_free = 0;
	for (size_t i = 0; i < g->n; i++) {
		uint64_t end = sorted[i].start_bytes + sorted[i].size_bytes;

		if (!sorted[i].size_bytes || sorted[i].start_bytes < at ||
		    end > g->end_usable_bytes)
			good = false;
		else
			add_free(g, at, sorted[i].start_bytes);
		at = end > at ? end : at;
	}
	if (at < g->end_usable_bytes)
		add_free(g, at, g->end_usable_bytes);
	if (!good)
		g->n_free = 0;
	return good;
}

static void list_partitions(struct gpt *g, const struct gpt_copy *c)
{
	static const uint8_t unused[16];
	uint64_t sectors = g->size_bytes / g->sector_bytes;

	g->partitions = arena_alloc(g->mem, (c->entries + 1) * sizeof *g->partitions);
	for (uint32_t i = 0; i < c->entries; i++) {
		struct gpt_partition *p = &g->partitions[g->n];
		struct entry en;
		uint64_t first, last;
		const char *type;
		bool possible;

		memcpy(&en, c->array + (size_t)i * c->entry_bytes, sizeof en);
		if (!memcmp(en.type, unused, sizeof unused))
			continue;
		first = le64toh(en.first_lba);
		last = le64toh(en.last_lba);
		possible = first && first <= last && last < sectors;
		type = guid_text(en.type, g->mem);
		*p = (struct gpt_partition){
			.number = i + 1,
			/* An impossible one has size 0, which find_free() takes as bad. */
			.start_bytes = possible ? first * g->sector_bytes : 0,
			.size_bytes = possible ? (last - first + 1) * g->sector_bytes : 0,
			.name = name_text(&en, g->mem),
			.part_type = gpt_type_name(type) ? gpt_type_name(type) : type,
			.type_uuid = type,
			.uuid = guid_text(en.uuid, g->mem),
		};
		g->n++;
	}
}

static enum gpt_state state_of(struct gpt *g, bool partitions_good)
{
	const struct gpt_image *im = g->image;
	const struct gpt_copy *p = &im->primary, *b = &im->backup;
	int mbr = mbr_kind(im->mbr);

	if (!p->valid && !b->valid) {
		if (!mbr)
			return GPT_NONE;
		g->found = arena_printf(g->mem, "has a protective MBR, but the primary GPT %s and the "
					"backup GPT %s", p->why, b->why);
		return GPT_BROKEN;
	}
	if (!mbr) {
		size_t given = 0;

		for (size_t i = 0; i < g->n; i++)
			given += !gpt_name_is_provisional(g->partitions[i].name);
		/* What a cut of power leaves of a new table, whose MBR is written last: nothing. */
		if (!given)
			return GPT_NONE;
		g->found = arena_printf(g->mem, "has GPT headers with %zu partitions, but no protective "
					"MBR", g->n);
		return GPT_NO_MBR;
	}
	if (!partitions_good) {
		g->found = "has a GPT whose partitions overlap or lie outside of its usable range";
		return GPT_INVALID;
	}
	if (mbr == 2) {
		g->found = "has a hybrid MBR: partitions in the MBR besides those of the GPT";
		return GPT_HYBRID;
	}
	if (!p->valid || !b->valid) {
		g->found = arena_printf(g->mem, "has a damaged %s GPT, which %s; the %s GPT is good",
					p->valid ? "backup" : "primary", p->valid ? b->why : p->why,
					p->valid ? "primary" : "backup");
		return p->valid ? GPT_BACKUP_BAD : GPT_PRIMARY_BAD;
	}
	if (!alike(p, b)) {
		g->found = "has a backup GPT unlike the primary one, as a change that was cut short "
			   "leaves it; the primary counts";
		return GPT_DIFFERENT;
	}
	return GPT_GOOD;
}

void gpt_interpret(struct gpt *g)
{
	const struct gpt_image *im = g->image;
	const struct gpt_copy *c = im->primary.valid  ? &im->primary
				   : im->backup.valid ? &im->backup
						      : NULL;
	bool good = true;

	g->partitions = NULL;
	g->free = NULL;
	g->n = g->n_free = 0;
	g->found = g->uuid = NULL;
	g->grown = false;
	g->first_usable_bytes = g->end_usable_bytes = 0;
	if (c) {
		g->uuid = guid_text(c->guid, g->mem);
		g->first_usable_bytes = c->first_lba * g->sector_bytes;
		g->end_usable_bytes = (c->last_lba + 1) * g->sector_bytes;
		g->grown = im->primary.valid &&
			   im->primary.alternate_lba < g->size_bytes / g->sector_bytes - 1;
		list_partitions(g, c);
		good = find_free(g);
	}
	g->state = state_of(g, good);
	if (g->state == GPT_NONE) {
		g->n = g->n_free = 0;
		g->uuid = NULL;
		g->found = "has no GUID partition table";
	}
}

static int store_copy(int fd, const struct gpt_copy *c, uint64_t sector_bytes)
{
	int r;

	if (!c->valid)
		return 0;
	r = gpt_write_at(fd, c->lba * sector_bytes, c->header, sector_bytes);
	return r ? r : gpt_write_at(fd, c->entries_lba * sector_bytes, c->array, c->array_bytes);
}

int gpt_image_store(const struct gpt *g, struct err *e)
{
	const struct gpt_image *im = g->image;
	auto_close int fd = memfd_create("gpt", MFD_CLOEXEC);
	int r = 0;

	if (fd < 0 || ftruncate(fd, (off_t)g->size_bytes))
		return err_sys(e, -errno, g->disk, "make a copy of its table in memory");
	if (im->primary.valid || im->backup.valid)
		r = gpt_write_at(fd, 0, im->mbr, g->sector_bytes);
	if (!r)
		r = store_copy(fd, &im->primary, g->sector_bytes);
	if (!r)
		r = store_copy(fd, &im->backup, g->sector_bytes);
	return r ? err_sys(e, r, g->disk, "fill a copy of its table in memory") : take_fd(&fd);
}

void gpt_copy_derive(const struct gpt_copy *from, uint64_t lba, uint64_t entries_lba,
		     struct arena *a, struct gpt_copy *ret)
{
	struct header *h = (void *)ret->header;

	*ret = *from;
	ret->valid = true;
	ret->why = NULL;
	ret->lba = lba;
	ret->alternate_lba = from->lba;
	ret->entries_lba = entries_lba;
	ret->array = arena_alloc(a, ret->array_bytes);
	memcpy(ret->array, from->array, ret->array_bytes);
	h->lba = htole64(lba);
	h->alternate_lba = htole64(from->lba);
	h->entries_lba = htole64(entries_lba);
	h->crc = 0;
	h->crc = htole32(crc32_of(h, le32toh(h->header_bytes)));
}
