/* The templates' rules: see topology.h. No I/O here. */
#include "lib/storage/topology.h"

#include "lib/core/size.h"
#include "lib/os/gpt.h"
#include "lib/storage/mkfs.h"
#include "lib/storage/safety.h"

#include <inttypes.h>

const char *const topology_names[] = { "BtrfsSingle",	  "BcachefsSingle", "DualIndependent",
				       "SsdHddBcachefs", "Bcachefs2Copy",  "BtrfsRaid1", NULL };

static const struct {
	const char *description;
	bool bcachefs;
	unsigned min_disks;
} templates[TOPOLOGY_COUNT] = {
	[BTRFS_SINGLE] = { "btrfs on one disk", false, 1 },
	[BCACHEFS_SINGLE] = { "bcachefs on one disk", true, 1 },
	[DUAL_INDEPENDENT] = { "two disks, an independent btrfs on each", false, 2 },
	[SSD_HDD_BCACHEFS] = { "bcachefs with an SSD as the cache of an HDD", true, 2 },
	[BCACHEFS_2COPY] = { "bcachefs over all empty disks, two copies of everything", true, 2 },
	[BTRFS_RAID1] = { "btrfs mirrored over two disks", false, 2 },
};

#define TOPOLOGY(member, flags, help, ...) \
	FIELD(struct topology, member, flags, help, ##__VA_ARGS__)
static const struct field topology_fields[] = {
	TOPOLOGY(name, KEY, "template"),
	TOPOLOGY(feasible, 0, "whether these disks allow it"),
	TOPOLOGY(disks, 0, "disks that it would take"),
	TOPOLOGY(usable_bytes, 0, "room for files and their metadata, each counted once"),
	TOPOLOGY(reasons, 0, "why it is not feasible"),
	TOPOLOGY(min_disks, WIDE, "how many disks it needs at least"),
	TOPOLOGY(passed_over, WIDE, "disks that are not empty and free, and why"),
	TOPOLOGY(description, WIDE, "what it is"),
	FIELD_END,
};
const struct table topology_table =
	TABLE(struct topology, "topologies", "storage templates", topology_fields);

uint64_t topology_partition_bytes(const struct disk *d)
{
	/* The backup: 128 entries of 128 bytes, and one sector for the header. */
	uint64_t sector = d->logical_sector_bytes == U64_NONE ? 512 : d->logical_sector_bytes;
	uint64_t tail = 128 * 128 + sector, end;

	if (d->size_bytes == U64_NONE || d->size_bytes < tail + 2 * GPT_GRAIN_BYTES)
		return 0;
	end = (d->size_bytes - tail) / GPT_GRAIN_BYTES * GPT_GRAIN_BYTES;
	return end - GPT_GRAIN_BYTES;
}

/* An empty disk as a candidate of one template. */
struct candidates {
	const struct disk **items;
	size_t n;
};

static bool is_flash(const struct disk *d)
{
	return d->type == DISK_NVME || d->type == DISK_SSD;
}

static uint64_t difference(uint64_t x, uint64_t y)
{
	return x > y ? x - y : y - x;
}

static bool best_pair(const struct candidates *c, size_t *ret_a, size_t *ret_b)
{
	bool found = false, best_same = false;
	uint64_t best_gap = 0, best_small = 0;

	for (size_t i = 0; i < c->n; i++)
		for (size_t j = i + 1; j < c->n; j++) {
			const struct disk *x = c->items[i], *y = c->items[j];
			bool same = x->type == y->type;
			uint64_t gap = difference(x->size_bytes, y->size_bytes);
			uint64_t small = x->size_bytes < y->size_bytes ? x->size_bytes : y->size_bytes;

			if (found && (best_same > same ||
				      (best_same == same &&
				       (best_gap < gap || (best_gap == gap && best_small >= small)))))
				continue;
			found = true;
			best_same = same;
			best_gap = gap;
			best_small = small;
			*ret_a = i;
			*ret_b = j;
		}
	return found;
}

bool topology_best_pair(const struct disk *disks, size_t n, size_t *ret_a, size_t *ret_b)
{
	struct arena mem auto_arena = { 0 };
	struct candidates c = { .items = arena_alloc(&mem, (n + 1) * sizeof *c.items) };
	size_t a, b;

	for (size_t i = 0; i < n; i++)
		if (!disk_refusal(&disks[i], &mem, NULL))
			c.items[c.n++] = &disks[i];
	if (!best_pair(&c, &a, &b))
		return false;
	*ret_a = (size_t)(c.items[a] - disks);
	*ret_b = (size_t)(c.items[b] - disks);
	return true;
}

static const struct disk *largest(const struct candidates *c)
{
	const struct disk *best = NULL;

	for (size_t i = 0; i < c->n; i++)
		if (!best || c->items[i]->size_bytes > best->size_bytes)
			best = c->items[i];
	return best;
}

/* NVMe before other SSDs for the cache, then the larger; the largest HDD behind it. */
static const struct disk *best_of(const struct candidates *c, bool flash)
{
	const struct disk *best = NULL;

	for (size_t i = 0; i < c->n; i++) {
		const struct disk *d = c->items[i];

		if (flash ? !is_flash(d) : d->type != DISK_HDD)
			continue;
		if (!best || (flash && d->type == DISK_NVME && best->type != DISK_NVME) ||
		    ((!flash || d->type == best->type) && d->size_bytes > best->size_bytes))
			best = d;
	}
	return best;
}

static void take_disk(struct topology *t, struct arena *a, const struct disk *d)
{
	strlist_add(a, &t->disks, d->path);
}

static uint64_t smaller(uint64_t x, uint64_t y)
{
	return x < y ? x : y;
}

/*
 * Usable bytes, P being a disk's partition (topology_partition_bytes):
 *   single        P
 *   independent   P1 + P2
 *   raid1         the smaller of P1, P2: each chunk is on both
 *   SSD and HDD   P of the HDD: what is on the SSD is a copy, or on its way to the HDD
 *   two copies    the smaller of (sum of P) / 2 and (sum of P) - (largest P): the two copies of a
 *                 piece must be on different disks, so the largest cannot hold more than the others
 * What the filesystem itself needs (superblocks, btrfs's second copy of metadata) comes off that.
 */
static void choose(enum topology_template which, const struct candidates *c, struct arena *a,
		   struct topology *t)
{
	uint64_t sum = 0, most = 0;
	const struct disk *flash, *spinning;
	size_t x, y;

	switch (which) {
	case BTRFS_SINGLE:
	case BCACHEFS_SINGLE:
		take_disk(t, a, largest(c));
		t->usable_bytes = topology_partition_bytes(largest(c));
		break;
	case DUAL_INDEPENDENT:
	case BTRFS_RAID1:
		best_pair(c, &x, &y);
		take_disk(t, a, c->items[x]);
		take_disk(t, a, c->items[y]);
		sum = topology_partition_bytes(c->items[x]);
		most = topology_partition_bytes(c->items[y]);
		t->usable_bytes = which == BTRFS_RAID1 ? smaller(sum, most) : sum + most;
		break;
	case SSD_HDD_BCACHEFS:
		flash = best_of(c, true);
		spinning = best_of(c, false);
		take_disk(t, a, flash);
		take_disk(t, a, spinning);
		t->usable_bytes = topology_partition_bytes(spinning);
		break;
	case BCACHEFS_2COPY:
		for (size_t i = 0; i < c->n; i++) {
			uint64_t p = topology_partition_bytes(c->items[i]);

			take_disk(t, a, c->items[i]);
			sum += p;
			most = p > most ? p : most;
		}
		t->usable_bytes = smaller(sum / 2, sum - most);
		break;
	case TOPOLOGY_COUNT:
		break;
	}
}

static const char *missing_kind(const struct candidates *c, struct arena *a)
{
	const bool flash = best_of(c, true) != NULL, spinning = best_of(c, false) != NULL;

	if (flash && spinning)
		return NULL;
	return arena_printf(a, "needs an empty SSD and an empty HDD: there is no %s",
			    flash	? "HDD"
			    : spinning ? "SSD"
				       : "SSD and no HDD");
}

static void evaluate(enum topology_template which, const struct candidates *empty,
		     const struct topology_means *means, const char **passed_over, struct arena *a,
		     struct topology *t)
{
	bool bcachefs = templates[which].bcachefs;
	const char *why = bcachefs ? means->no_bcachefs : means->no_btrfs;
	struct candidates c = { .items = arena_alloc(a, (empty->n + 1) * sizeof *c.items) };
	const char **too_small = NULL;

	*t = (struct topology){
		.name = topology_names[which],
		.usable_bytes = U64_NONE,
		.min_disks = templates[which].min_disks,
		.passed_over = passed_over,
		.description = templates[which].description,
	};
	for (size_t i = 0; i < empty->n; i++) {
		const struct disk *d = empty->items[i];
		uint64_t least = mkfs_minimum_bytes(bcachefs ? FS_BCACHEFS : FS_BTRFS,
						    d->logical_sector_bytes);
		char size[SIZE_TEXT], need[SIZE_TEXT];

		if (topology_partition_bytes(d) >= least)
			c.items[c.n++] = d;
		else
			strlist_add(a, &too_small,
				    arena_printf(a, "%s: has %s: too small for %s which needs %s", d->path,
						 size_text(size, d->size_bytes),
						 bcachefs ? "bcachefs" : "btrfs",
						 size_text(need, least)));
	}
	if (why)
		strlist_add(a, &t->reasons, why);
	if (c.n < t->min_disks)
		strlist_add(a, &t->reasons,
			    arena_printf(a, "needs %" PRIu64 " empty disk%s: there %s %zu",
					 t->min_disks, t->min_disks == 1 ? "" : "s",
					 c.n == 1 ? "is" : "are", c.n));
	else if (which == SSD_HDD_BCACHEFS && (why = missing_kind(&c, a)))
		strlist_add(a, &t->reasons, why);
	t->feasible = !t->reasons;
	t->causes = strlist_len((const char *const *)t->reasons);
	if (t->feasible) {
		choose(which, &c, a, t);
		return;
	}
	/* Where the disks are what is wanting, each says why it does not count. */
	if (c.n >= t->min_disks && which != SSD_HDD_BCACHEFS)
		return;
	for (const char **s = too_small; s && *s; s++)
		strlist_add(a, &t->reasons, *s);
	for (const char **s = passed_over; s && *s; s++)
		strlist_add(a, &t->reasons, *s);
}

void topology_evaluate(const struct disk *disks, size_t n, const struct topology_means *means,
		       struct arena *a, struct topology ret[TOPOLOGY_COUNT])
{
	struct candidates empty = { .items = arena_alloc(a, (n + 1) * sizeof *empty.items) };
	const char **passed_over = NULL;

	for (size_t i = 0; i < n; i++) {
		const char *why = disk_refusal(&disks[i], a, NULL);

		if (why)
			strlist_add(a, &passed_over, arena_printf(a, "%s: %s", disks[i].path, why));
		else
			empty.items[empty.n++] = &disks[i];
	}
	for (int i = 0; i < TOPOLOGY_COUNT; i++)
		evaluate((enum topology_template)i, &empty, means, passed_over, a, &ret[i]);
}
