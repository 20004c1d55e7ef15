/* The plan that makes the storage on one empty disk or a pair. */
#include "mos-sysvol.h"

#include <errno.h>
#include <inttypes.h>

static const char *size_arg(struct world *w, const struct config *c, enum part p,
			    uint64_t sector_bytes)
{
	return arena_printf(w->mem, "%" PRIu64, layout_size_bytes(c, p, sector_bytes));
}

/* The whole table in one step, and so in one write: NAME:TYPE:SIZE for each partition. */
static void plan_table_of(struct world *w, const struct config *c, const struct survey *s,
			  const struct disk *d, struct plan *p)
{
	const struct mos_disk *m = survey_mos_disk(s, d);
	const char *spec[PARTS];

	for (enum part i = 0; i < PARTS; i++)
		spec[i] = arena_printf(w->mem, "%s%s:%s:%s", layout[i].name, PROVISIONAL,
				       layout[i].part_type,
				       size_arg(w, c, i, d->logical_sector_bytes));
	if (m && m->provisional)
		plan_add(w, p, d->path, "begin afresh on a disk that an earlier run left unfinished",
			 "mkpart", "--new-table", "--replace-provisional", "--disk", d->path, spec[0],
			 spec[1], spec[2], spec[3], spec[4], NULL);
	else
		plan_add(w, p, d->path, "table with provisional names, in one write", "mkpart",
			 "--new-table", "--disk", d->path, spec[0], spec[1], spec[2], spec[3],
			 spec[4], NULL);
}

/* While one disk is begun afresh on, the other must not look like the only half of a mirror. */
static void plan_forget_peer(struct world *w, const struct survey *s, const struct disk *d,
			     struct plan *p)
{
	const struct mos_disk *m = survey_mos_disk(s, d);

	if (m && m->peer)
		plan_add(w, p, m->part[PART_BIOS]->path, "that it is no half of a mirror any more",
			 "mos-sysvol", "--record-peer", "--device", m->part[PART_BIOS]->path, NULL);
}

/* The commit: all names of a disk in one write of its table. */
static void plan_commit(struct world *w, const char *disk, struct plan *p)
{
	const char *name[PARTS];

	for (enum part i = 0; i < PARTS; i++)
		name[i] = arena_printf(w->mem, "%s%s=%s", layout[i].name, PROVISIONAL,
				       layout[i].name);
	plan_add(w, p, disk, "commit: everything in it is durable", "mkpart", "--rename", "--disk",
		 disk, name[0], name[1], name[2], name[3], name[4], NULL);
}

/* force: an array shows again what stood in one at this place before, behind the superblocks that a
 * new table erased; nobody else can have made it in partitions that this plan made. */
static void plan_mkfs(struct world *w, struct plan *p, enum part part, const char *device,
		      bool force)
{
	plan_add(w, p, device, arena_printf(w->mem, "%s filesystem", layout[part].label), "mkvolfs",
		 "--device", device, "--fstype", layout[part].fstype, "--label",
		 layout[part].label, force ? "--force" : NULL, NULL);
	plan_needs(w, p, layout[part].program);
}

/* metadata 0.90 stands at the end, so that firmware sees a plain FAT; a write-intent bitmap keeps
 * the resync after a cut of power short. */
static const char *plan_array(struct world *w, struct plan *p, enum part part, const char *a,
			      const char *b)
{
	const char *array = free_array(w, part);
	const char *metadata = part == PART_EFI ? "--metadata=0.90" : "--metadata=1.2";

	plan_add(w, p, array, "mirror", "mdadm", "--create", array, "--level=1", "--raid-devices=2",
		 metadata, "--bitmap=internal", "--homehost=any", "--run", "--quiet", a, b,
		 part == PART_EFI ? NULL : "--name=mosboot", NULL);
	return array;
}

/* Arrays that udev or an initramfs assembled from an unfinished run's partitions hold them busy. */
void plan_stop_arrays(struct world *w, const struct survey *s, const struct disk *d,
		      struct plan *p, const char ***stopped)
{
	for (size_t i = 0; i < s->n_parts; i++) {
		const char *array = streq(s->parts[i].disk, d->path) ? array_of(w, &s->parts[i])
								     : NULL;

		if (!array || strlist_has((const char *const *)*stopped, array))
			continue;
		strlist_add(w->mem, stopped, array);
		plan_add(w, p, array, "an unfinished run's array", "mdadm", "--stop", array, NULL);
	}
}

int plan_make(struct world *w, const struct config *c, const struct survey *s,
	      const struct decision *d, struct plan *p, struct storage *ret, struct err *e)
{
	const char *part[2][PARTS] = { 0 }, **stopped = NULL;
	bool pair = d->n_make == 2;

	(void)e;
	*ret = (struct storage){ 0 };
	for (size_t i = 0; i < d->n_make; i++) {
		plan_stop_arrays(w, s, d->make[i], p, &stopped);
		for (enum part n = 0; n < PARTS; n++)
			part[i][n] = partition_path(w->mem, d->make[i]->path, n + 1);
	}
	for (size_t i = 0; i < d->n_make; i++)
		plan_forget_peer(w, s, d->make[i], p);
	for (size_t i = 0; i < d->n_make; i++)
		plan_table_of(w, c, s, d->make[i], p);
	ret->efi = pair ? plan_array(w, p, PART_EFI, part[0][PART_EFI], part[1][PART_EFI])
			: part[0][PART_EFI];
	ret->boot = pair ? plan_array(w, p, PART_BOOT, part[0][PART_BOOT], part[1][PART_BOOT])
			 : part[0][PART_BOOT];
	plan_mkfs(w, p, PART_EFI, ret->efi, pair);
	plan_mkfs(w, p, PART_BOOT, ret->boot, pair);
	for (size_t i = 0; i < d->n_make; i++) {
		plan_mkfs(w, p, PART_SWAP, part[i][PART_SWAP], false);
		strlist_add(w->mem, &ret->swaps, part[i][PART_SWAP]);
		strlist_add(w->mem, &ret->members, part[i][PART_DATA]);
	}
	ret->data = part[0][PART_DATA];
	if (pair)
		plan_add(w, p, ret->data, "MOSDATA, mirrored", "mkvolfs", "--device",
			 part[0][PART_DATA], "--device", part[1][PART_DATA], "--fstype", "btrfs",
			 "--label", layout[PART_DATA].label, "--profile", "raid1", NULL);
	if (pair)
		plan_needs(w, p, layout[PART_DATA].program);
	else
		plan_mkfs(w, p, PART_DATA, ret->data, false);
	/* One commit for all: that of the last. */
	for (const char *const *name = core_subvolumes; *name; name++)
		plan_add(w, p, ret->data, "subvolume", "subvol", "create", "--fs", ret->data, *name,
			 name[1] ? "--no-commit" : NULL, NULL);
	for (size_t i = 0; pair && i < 2; i++)
		plan_add(w, p, part[i][PART_BIOS], "so that a boot without it can name the other half",
			 "mos-sysvol", "--record-peer", "--device", part[i][PART_BIOS], "--peer",
			 peer_describe(d->make[1 - i], w->mem), NULL);
	for (size_t i = 0; i < d->n_make; i++)
		plan_commit(w, d->make[i]->path, p);
	plan_mount(w, c, s, ret, p);
	return 0;
}
