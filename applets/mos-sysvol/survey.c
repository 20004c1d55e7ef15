/* What this machine has of MOS storage: readers, and the grouping of what they found. */
#include "mos-sysvol.h"

#include "lib/os/btrfs_replace.h"
#include "lib/os/gpt.h"
#include "lib/os/mount.h"
#include "lib/storage/inventory_parts.h"

#include <errno.h>
#include <fcntl.h>

/* "mosdata.new" is mosdata's provisional name. */
static bool part_name(const char *name, enum part *ret, bool *ret_provisional)
{
	for (enum part p = 0; name && p < PARTS; p++) {
		size_t n = strlen(layout[p].name);

		if (strncmp(name, layout[p].name, n))
			continue;
		if (!name[n] || streq(name + n, PROVISIONAL)) {
			*ret = p;
			*ret_provisional = name[n];
			return true;
		}
	}
	return false;
}

static void read_super(struct world *w, struct mos_disk *m)
{
	const struct partition *p = m->part[PART_DATA];
	auto_close int fd = -1;
	struct btrfs_super super;

	if (!p || !streq(p->fstype, "btrfs"))
		return;
	fd = root_open(&w->root, p->path, O_RDONLY | O_NONBLOCK);
	if (fd < 0 || btrfs_super_read(fd, &super))
		return;
	m->devid = super.devid;
	m->generation = super.generation;
	/* A replace that has not finished: the UUID is there, but it is no member yet. */
	m->filling = !super.devid;
}

static void read_record(struct world *w, struct mos_disk *m)
{
	struct peer_record record;

	if (!peer_read(w, m->part[PART_BIOS], &record) || (m->provisional && record.is_stale))
		return;
	m->peer = record.peer;
	m->epoch = record.epoch;
	m->alone = record.alone;
	m->is_new_half = m->provisional && !record.epoch;
}

/*
 * A disk is provisional only when each of its partitions is: one other partition, and it is not
 * ours to redo. A disk with MOSDATA's final name, or its label, is committed.
 */
static bool look_at_disk(struct world *w, const struct survey *s, const struct disk *d,
			 struct mos_disk *ret)
{
	size_t ours = 0, provisional = 0, all = 0;

	*ret = (struct mos_disk){ .disk = d };
	for (size_t i = 0; i < s->n_parts; i++) {
		const struct partition *p = &s->parts[i];
		bool is_new;
		enum part part;

		if (!streq(p->disk, d->path))
			continue;
		all++;
		if (part_name(p->name, &part, &is_new)) {
			ours++;
			provisional += is_new;
			ret->part[part] = p;
		} else if (streq(p->fstype, "btrfs") && streq(p->label, layout[PART_DATA].label)) {
			ret->part[PART_DATA] = p;
		}
	}
	ret->provisional = ours && provisional == all;
	read_super(w, ret);
	read_record(w, ret);
	if (!ret->provisional && provisional)
		return false; /* a mixture that no run of ours leaves */
	return ret->provisional || ret->part[PART_DATA];
}

static struct mos_set *find_set(struct survey *s, const char *uuid)
{
	for (size_t i = 0; i < s->n_sets; i++)
		if (streq(s->sets[i].uuid, uuid))
			return &s->sets[i];
	return NULL;
}

static void add_to_set(struct survey *s, struct mos_disk *m, const struct filesystem *fs,
		       size_t n_fs)
{
	const struct partition *data = m->part[PART_DATA];
	struct mos_set *set;

	if (!data || !streq(data->fstype, "btrfs") || !data->uuid)
		return;
	set = find_set(s, data->uuid);
	if (!set) {
		set = &s->sets[s->n_sets++];
		set->uuid = data->uuid;
		set->devices_total = 1;
		for (size_t i = 0; i < n_fs; i++)
			if (streq(fs[i].uuid, data->uuid) && fs[i].total_devices != U64_NONE)
				set->devices_total = fs[i].total_devices;
	}
	set->committed |= !m->provisional;
	if (set->n_disks < COUNT(set->disks))
		set->disks[set->n_disks++] = m;
}

int survey_swaps(struct world *w, struct survey *s)
{
	struct swap_info *swaps;
	struct err e = { 0 };
	size_t n;
	int r = swaps_read(&w->root, w->mem, &swaps, &n, &e);

	for (size_t i = 0; !r && i < n; i++)
		strlist_add(w->mem, &s->swaps, swaps[i].path);
	return r;
}

static struct mos_disk *known(struct survey *s, const struct disk *d)
{
	for (size_t i = 0; i < s->n_mos; i++)
		if (s->mos[i].disk == d)
			return &s->mos[i];
	return NULL;
}

/*
 * What a cut of power during a write of our table leaves where the kernel shows no partitions: a
 * torn primary (block/partitions/efi.c reads the backup only when told). So the names are read from
 * the table itself. (A new table without its protective MBR counts as empty: os/gpt.h.)
 */
static void look_at_table(struct world *w, struct survey *s, const struct disk *d)
{
	auto_close int fd = root_open(&w->root, d->path, O_RDONLY | O_NONBLOCK);
	struct gpt g;
	struct mos_disk *m = known(s, d);
	size_t provisional = 0, committed = 0;
	struct peer_record record = { 0 };
	bool is_half = false;
	struct err e = { 0 };
	enum part part;
	bool is_new;

	if (fd < 0 || gpt_read(fd, d->path, d->size_bytes, d->logical_sector_bytes, w->mem, &g, &e))
		return;
	for (size_t i = 0; i < g.n; i++)
		if (part_name(g.partitions[i].name, &part, &is_new)) {
			const struct gpt_partition *p = &g.partitions[i];

			provisional += is_new;
			committed += !is_new && part == PART_DATA;
			if (part == PART_BIOS && peer_read_at(w, d->path, p->start_bytes + p->size_bytes,
							      p->uuid, &record))
				is_half = !record.is_stale;
		}
	if (m) {
		m->damaged = g.state == GPT_PRIMARY_BAD || g.state == GPT_BACKUP_BAD;
	} else if (g.state != GPT_PRIMARY_BAD) {
		return;
	} else if (committed || (provisional == g.n && is_half)) {
		strlist_add(w->mem, &s->torn, d->path);
	} else if (g.n && provisional == g.n) {
		s->mos[s->n_mos++] = (struct mos_disk){ .disk = d, .provisional = true };
	}
}

bool survey_is_open(struct world *w, const struct mos_set *set, const char *device)
{
	return root_exists(&w->root, arena_printf(w->mem, "/sys/fs/btrfs/%s/devices/%s", set->uuid,
						  strrchr(device, '/') + 1));
}

/*
 * The half of a mirror with a record, and so complete, whose other half is not there: that one may be
 * committed, and was perhaps used. Where nothing else is committed it is taken for such, so that the
 * other half is waited for and named. (With both there nothing was ever used.)
 */
static void keep_lone_half(struct survey *s)
{
	for (size_t i = 0; i < s->n_sets; i++)
		if (s->sets[i].committed)
			return;
	for (size_t i = 0; i < s->n_sets; i++) {
		struct mos_set *set = &s->sets[i];

		set->committed = set->n_disks < set->devices_total && set->disks[0]->epoch &&
				 set->disks[0]->devid;
	}
}

/*
 * Which of a set's disks are members now. A half that was away while the other was used holds old
 * data, and btrfs would mix the two: it only compares generations block by block. So such a one is
 * left out. It is found by what the other half's record says, which is written before a degraded
 * mount, and by its generation: a cut of power leaves members one commit apart, never two, for each
 * commit flushes all members before it writes the superblocks.
 */
static void leave_out_old(struct world *w, struct survey *s, struct mos_set *set)
{
	uint64_t newest = 0, epoch = 0;
	size_t alone = 0, ours = 0;
	bool half_alone = false;
	bool mounted = survey_data_target(s, set) != NULL;

	for (size_t i = 0; i < set->n_disks; i++) {
		const struct mos_disk *m = set->disks[i];

		if ((m->provisional && set->n_disks > 1) || m->epoch < epoch)
			continue;
		/* Of one epoch the one that was used alone knows who is missing. */
		if (m->epoch > epoch || !half_alone) {
			half_alone = m->alone;
			set->missing = m->peer;
		}
		epoch = m->epoch;
	}
	for (size_t i = 0; i < set->n_disks; i++) {
		struct mos_disk *m = set->disks[i];

		if (m->epoch < epoch && (m->epoch || !m->provisional))
			m->left_out = "holds old data: the other half was mirrored anew since";
		else if (!m->provisional && m->alone)
			alone++;
		if (!m->left_out && m->generation > newest)
			newest = m->generation;
	}
	set->split = alone > 1 && !mounted;
	for (size_t i = 0; i < set->n_disks; i++) {
		struct mos_disk *m = set->disks[i];

		/* The kernel goes on with a replace where it was, whatever the target missed meanwhile. */
		if (m->filling && !mounted && m->generation + 1 < newest)
			m->left_out = "was away while it was being mirrored onto, and holds old data";
		if (m->filling || m->left_out)
			continue;
		m->joining = set->committed && m->provisional && !m->epoch;
		/* But for one that a repair mirrors onto, or has, and was kept by a cut from its end. */
		if (half_alone && !m->alone && !m->is_new_half && m->epoch <= epoch)
			m->left_out = "was away while the other half was used alone, and holds old data";
		else if (mounted && !survey_is_open(w, set, m->part[PART_DATA]->path))
			m->left_out = "is no member of the mounted filesystem any more";
		else if (!mounted && m->generation + 1 < newest)
			m->left_out = "holds old data: the other half is some commits ahead";
		ours += !m->left_out;
	}
	set->devices_present = ours;
	if (alone || ours >= set->devices_total)
		set->missing = alone ? set->missing : NULL;
}

int survey_read(struct world *w, struct survey *s, struct err *e)
{
	struct machine *m auto_machine = NULL;
	struct filesystem *fs;
	size_t n_fs;
	int r = machine_read(w, &m, e);

	*s = (struct survey){ 0 };
	if (!r)
		r = survey_swaps(w, s);
	if (r)
		return r;
	/* Of one reading: each device is probed once, and all tables speak of the same moment. */
	machine_probe_all(m, BLOCKDEV_ALL);
	inventory_disks_of(m, &s->disks, &s->n_disks);
	inventory_partitions_of(m, &s->parts, &s->n_parts);
	inventory_filesystems_of(m, &fs, &n_fs);
	inventory_mounts_of(m, &s->mounts, &s->n_mounts);
	s->mos = arena_alloc(w->mem, s->n_disks * sizeof *s->mos);
	s->sets = arena_alloc(w->mem, s->n_disks * sizeof *s->sets);
	for (size_t i = 0; i < s->n_disks; i++)
		if (look_at_disk(w, s, &s->disks[i], &s->mos[s->n_mos]))
			s->n_mos++;
	for (size_t i = 0; i < s->n_disks; i++)
		if (streq(s->disks[i].table, "gpt"))
			look_at_table(w, s, &s->disks[i]);
	for (size_t i = 0; i < s->n_mos; i++)
		add_to_set(s, &s->mos[i], fs, n_fs);
	keep_lone_half(s);
	for (size_t i = 0; i < s->n_sets; i++)
		leave_out_old(w, s, &s->sets[i]);
	return 0;
}

const struct mos_disk *survey_mos_disk(const struct survey *s, const struct disk *d)
{
	for (size_t i = 0; i < s->n_mos; i++)
		if (s->mos[i].disk == d)
			return &s->mos[i];
	return NULL;
}

const char *survey_data_target(const struct survey *s, const struct mos_set *set)
{
	for (size_t i = 0; i < s->n_mounts; i++)
		for (size_t d = 0; d < set->n_disks; d++)
			if (set->disks[d]->part[PART_DATA] &&
			    streq(s->mounts[i].fstype, "btrfs") &&
			    streq(s->mounts[i].source, set->disks[d]->part[PART_DATA]->path))
				return s->mounts[i].target;
	return NULL;
}
