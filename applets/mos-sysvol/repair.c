/*
 * mos-sysvol --repair DISK: brings a new disk into a mirror whose other half is gone. Each step is
 * left out when it is done already, so a run that was cut short is finished by the next. The new
 * disk keeps provisional names until it holds everything; until then a boot does not count it.
 */
#include "mos-sysvol.h"

#include "lib/core/size.h"
#include "lib/os/btrfs.h"
#include "lib/storage/safety.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

struct repair {
	struct world *w;
	const struct survey *s;
	const struct mos_set *set;
	const struct mos_disk *half; /* the one that is there */
	const struct disk *disk;     /* the new one */
	const struct mos_disk *begun; /* what an earlier run made of it; NULL: nothing to go on with */
	const char *table;	      /* mkpart's option to make its table anew; NULL: it is empty */
	const char *mounted;	     /* where MOSDATA is */
	struct plan *plan;
};

static int find_set(struct repair *r, struct err *e)
{
	for (size_t i = 0; i < r->s->n_sets; i++) {
		const struct mos_set *set = &r->s->sets[i];

		if (!set->committed)
			continue;
		if (r->set)
			return err_refuse(e, "MOS storage", "take the foreign disk out first",
					  "there are two different filesystems: %s and %s",
					  r->set->uuid, set->uuid);
		r->set = set;
	}
	if (!r->set)
		return err_refuse(e, "MOS storage", "run mos-sysvol to make it", "not found");
	for (size_t i = 0; i < r->set->n_disks && !r->half; i++)
		if (!r->set->disks[i]->provisional && !r->set->disks[i]->left_out &&
		    r->set->disks[i]->disk != r->disk)
			r->half = r->set->disks[i];
	r->mounted = survey_data_target(r->s, r->set);
	if (!r->half || r->set->devices_total < 2)
		return err_refuse(e, r->set->uuid, NULL, "is no mirror that lacks a half");
	if (!r->mounted)
		return err_refuse(e, r->set->uuid, "run mos-sysvol --degraded first",
				  "its filesystem is not mounted");
	return 0;
}

static uint64_t needed_bytes(const struct mos_disk *half)
{
	uint64_t total = 2 * MiB;

	for (enum part p = 0; p < PARTS; p++)
		if (half->part[p])
			total += half->part[p]->size_bytes;
	return total;
}

/* Both disks have the same partition, by size, and it is a member or about to become one. */
static bool is_begun(struct repair *r, const struct mos_disk *m)
{
	bool joined = false;

	for (enum part p = 0; p < PARTS; p++) {
		const char *array;

		if (!m->part[p] || m->part[p]->size_bytes != r->half->part[p]->size_bytes)
			return false;
		array = array_of(r->w, m->part[p]);
		joined |= array && streq(array, array_of(r->w, r->half->part[p]));
	}
	return joined || streq(m->part[PART_DATA]->uuid, r->set->uuid);
}

static int check_disk(struct repair *r, struct err *e)
{
	const struct disk *d = r->disk;
	const struct mos_disk *m = survey_mos_disk(r->s, d);
	const char *hint = NULL, *why = NULL;
	char has[SIZE_TEXT], needs[SIZE_TEXT];
	bool same = m && m->part[PART_DATA] && streq(m->part[PART_DATA]->uuid, r->set->uuid);
	bool ours = same && (!m->provisional || m->left_out);

	for (enum part p = 0; p < PARTS; p++)
		if (!r->half->part[p])
			return err_refuse(e, r->half->disk->path, NULL, "has no partition %s",
					  layout[p].name);
	if (m && !ours && (!m->provisional || (m->peer && m->devid && !same)))
		return err_refuse(e, d->path, "name an empty disk",
				  "holds the MOS storage of another node");
	if (ours && !m->left_out) {
		r->begun = m; /* a member: an array may still lack it */
		return 0;
	}
	/* A half with old data is mirrored anew: its own copy is behind the other half's, or the
	 * operator chose that one; he names this disk. */
	if (ours)
		r->table = "--force";
	else if (m && is_begun(r, m))
		r->begun = m;
	else if (m)
		r->table = "--replace-provisional";
	else
		why = disk_refusal(d, r->w->mem, &hint);
	if (why)
		return err_refuse(e, d->path, hint, "%s", why);
	if (r->begun)
		return 0;
	if (d->logical_sector_bytes != r->half->disk->logical_sector_bytes)
		return err_refuse(e, d->path, "name a disk with the same sectors",
				  "has sectors of %" PRIu64 " bytes, %s of %" PRIu64,
				  d->logical_sector_bytes, r->half->disk->path,
				  r->half->disk->logical_sector_bytes);
	if (d->size_bytes < needed_bytes(r->half))
		return err_refuse(e, d->path, "name a larger disk", "is too small: %s of %s",
				  size_text(has, d->size_bytes),
				  size_text(needs, needed_bytes(r->half)));
	return 0;
}

static const char *new_part(const struct repair *r, enum part p)
{
	return partition_path(r->w->mem, r->disk->path, p + 1);
}

/* Sizes are those of the half that is there: options may have changed since. */
static void plan_new_table(struct repair *r)
{
	const char *spec[PARTS + 1], **stopped = NULL;
	size_t n = 0;

	if (r->begun)
		return;
	if (r->table) {
		plan_stop_arrays(r->w, r->s, r->disk, r->plan, &stopped);
		spec[n++] = r->table;
	}
	for (enum part p = 0; p < PARTS; p++)
		spec[n++] = arena_printf(r->w->mem, "%s%s:%s:%" PRIu64, layout[p].name, PROVISIONAL,
					 layout[p].part_type, r->half->part[p]->size_bytes);
	if (n == PARTS)
		spec[n] = NULL;
	plan_add(r->w, r->plan, r->disk->path, "a table as on the other half", "mkpart",
		 "--new-table", "--disk", r->disk->path, spec[0], spec[1], spec[2], spec[3], spec[4],
		 spec[5], NULL);
	/* An old record may be there, and must not say that the mirroring has ended. */
	plan_add(r->w, r->plan, new_part(r, PART_BIOS), "that it is being mirrored onto", "mos-sysvol",
		 "--record-peer", "--device", new_part(r, PART_BIOS), "--peer",
		 peer_describe(r->half->disk, r->w->mem), "--epoch", "0", NULL);
}

static int plan_arrays(struct repair *r, const char ***added, struct err *e)
{
	for (enum part p = PART_EFI; p <= PART_BOOT; p++) {
		const struct partition *theirs = r->half->part[p];
		const struct partition *ours = r->begun ? r->begun->part[p] : NULL;
		const char *array = array_of(r->w, theirs);

		if (!streq(theirs->fstype, "linux_raid_member"))
			return err_refuse(e, theirs->path, NULL, "is no member of an array");
		if (!array)
			return err_refuse(e, theirs->path, "run mos-sysvol --degraded first",
					  "its array is not assembled");
		strlist_add(r->w->mem, added, array);
		if (!ours || !streq(array_of(r->w, ours), array))
			plan_add(r->w, r->plan, array, "the new half of the mirror", "mdadm",
				 "--manage", array, "--add", new_part(r, p), "--quiet", NULL);
	}
	return 0;
}

static int missing_devid(struct repair *r, const char **ret, struct err *e)
{
	auto_close int fd = open(r->mounted, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct btrfs_device *devices;
	size_t n;
	int err;

	*ret = NULL;
	if (fd < 0)
		return err_sys(e, -errno, r->mounted, "open");
	err = btrfs_get_devices(fd, r->mounted, r->w->mem, &devices, &n, e);
	for (size_t i = 0; !err && i < n; i++)
		if (devices[i].devid && (!devices[i].path ||
					 !survey_is_open(r->w, r->set, devices[i].path)))
			*ret = arena_printf(r->w->mem, "%" PRIu64, devices[i].devid);
	return err;
}

static int plan_data(struct repair *r, struct err *e)
{
	const struct partition *data = r->begun ? r->begun->part[PART_DATA] : NULL;
	bool member = data && streq(data->uuid, r->set->uuid) && !r->begun->filling;
	const char *devid;
	int err;

	if (!member) {
		err = missing_devid(r, &devid, e);
		if (err)
			return err;
		/* A replace that was under way may have ended since the disk was read. */
		if (!devid && !(data && r->begun->filling && survey_is_open(r->w, r->set, data->path)))
			return err_refuse(e, r->mounted, "see mos-sysvol --status",
					  "no member of the filesystem is missing");
		if (devid)
			plan_add(r->w, r->plan, r->mounted, "copies MOSDATA to the new half", "btrfs",
				 "replace", "start", "-B", "-f", devid, new_part(r, PART_DATA),
				 r->mounted, NULL);
	}
	plan_add(r->w, r->plan, r->mounted, "mirrors what was written while a half was missing",
		 "btrfs", "balance", "start", "-dconvert=raid1,soft", "-mconvert=raid1,soft",
		 r->mounted, NULL);
	return 0;
}

static void plan_end(struct repair *r, const char *const *arrays)
{
	const char *bios = r->half->part[PART_BIOS]->path, *epoch;
	const char *name[PARTS];
	bool is_member = r->begun && !r->begun->provisional;

	/* One more than any half that is left out can have, for the one that is there has the most. */
	epoch = peer_epoch(r->w->mem, r->half->epoch + !is_member);
	for (; *arrays; arrays++)
		plan_add(r->w, r->plan, *arrays, "until its halves are alike", "mdadm", "--wait",
			 *arrays, NULL);
	plan_add(r->w, r->plan, new_part(r, PART_BIOS), "which disk the other half is", "mos-sysvol",
		 "--record-peer", "--device", new_part(r, PART_BIOS), "--peer",
		 peer_describe(r->half->disk, r->w->mem), "--epoch", epoch, NULL);
	plan_add(r->w, r->plan, bios, "which disk the other half is", "mos-sysvol", "--record-peer",
		 "--device", bios, "--peer", peer_describe(r->disk, r->w->mem), "--epoch", epoch, NULL);
	if (!r->begun || r->begun->provisional) {
		for (enum part p = 0; p < PARTS; p++)
			name[p] = arena_printf(r->w->mem, "%s%s=%s", layout[p].name, PROVISIONAL,
					       layout[p].name);
		plan_add(r->w, r->plan, r->disk->path, "commit: the new half is complete", "mkpart",
			 "--rename", "--disk", r->disk->path, name[0], name[1], name[2], name[3],
			 name[4], NULL);
	}
	if (!strlist_has((const char *const *)r->s->swaps, new_part(r, PART_SWAP))) {
		plan_add(r->w, r->plan, new_part(r, PART_SWAP), "swap", "swapon",
			 new_part(r, PART_SWAP), NULL);
		plan_may_fail(r->plan);
	}
}

int plan_repair(struct world *w, const struct survey *s, const char *disk, struct plan *p,
		struct err *e)
{
	struct repair r = { .w = w, .s = s, .plan = p };
	const char **arrays = NULL;
	struct disk found;
	int err = inventory_disk(w, disk, &found, e);

	for (size_t i = 0; !err && i < s->n_disks; i++)
		if (streq(s->disks[i].path, found.path))
			r.disk = &s->disks[i];
	if (!err && !r.disk)
		return err_make(e, ERR_NO_DEVICE, -ENODEV, disk, NULL, "no such disk");
	if (err || (err = find_set(&r, e)) || (err = check_disk(&r, e)))
		return err;
	plan_new_table(&r);
	if (!r.begun || !r.begun->part[PART_SWAP] || !r.begun->part[PART_SWAP]->fstype) {
		plan_add(w, p, new_part(&r, PART_SWAP), "MOSSWAP filesystem", "mkvolfs", "--device",
			 new_part(&r, PART_SWAP), "--fstype", "swap", "--label",
			 layout[PART_SWAP].label, NULL);
		plan_needs(w, p, layout[PART_SWAP].program);
	}
	err = plan_arrays(&r, &arrays, e);
	if (!err)
		err = plan_data(&r, e);
	if (!err)
		plan_end(&r, (const char *const *)arrays);
	return err;
}
