/* The plan that brings found storage into use: finish a commit, assemble, scan, mount, swap. */
#include "mos-sysvol.h"

#include "lib/os/md.h"
#include "lib/storage/safety.h"

#include <errno.h>

static bool is_mounted(const struct survey *s, const char *target)
{
	for (size_t i = 0; i < s->n_mounts; i++)
		if (streq(s->mounts[i].target, target))
			return true;
	return false;
}

const char *held_by_array(const char *use)
{
	static const char words[] = " held by md";
	const char *at = strstr(use, words);

	return at ? at + strlen(words) - 2 : NULL;
}

/* By the arrays' members and not by the disks' users: an array that does not run has no size, and
 * so is none of the machine's devices. */
static const struct md_array *find_array(struct world *w, const struct partition *part)
{
	struct md_array *all;
	size_t n;

	if (md_arrays(&w->root, w->mem, &all, &n))
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (strlist_has((const char *const *)all[i].members, strrchr(part->path, '/') + 1))
			return &all[i];
	return NULL;
}

const char *array_of(struct world *w, const struct partition *part)
{
	const struct md_array *m = find_array(w, part);

	return m ? m->path : NULL;
}

/*
 * A node for a new array: EFI's and boot's have numbers of different parity, so that they never ask
 * for the same. By number and not by a name below /dev/md, for udev makes and takes away those links
 * in its own time.
 */
const char *free_array(struct world *w, enum part part)
{
	unsigned n = 127 - (part == PART_EFI);

	while (n > 1 && root_exists(&w->root, arena_printf(w->mem, "/sys/block/md%u", n)))
		n -= 2;
	return arena_printf(w->mem, "/dev/md%u", n);
}

/* A member of the set's arrays: not left out, and where a repair is under way come that far. */
static bool is_array_half(const struct mos_disk *m, enum part part)
{
	return m->part[part] && !m->left_out &&
	       (!m->filling || streq(m->part[part]->fstype, "linux_raid_member"));
}

/*
 * The device to mount for EFI or boot: the partition, or the array of both disks' partitions,
 * assembled first where it is not. One member missing: mdadm starts it only when told (--run).
 */
static const char *plan_assemble(struct world *w, const struct mos_set *set,
				 enum part part, bool degraded, struct plan *p)
{
	const char **members = NULL, **stopped = NULL, *array, *found = NULL;
	const char *fstype = NULL;

	for (size_t i = 0; i < set->n_disks; i++) {
		const struct mos_disk *m = set->disks[i];
		const struct md_array *md = m->part[part] ? find_array(w, m->part[part]) : NULL;

		/* udev's mdadm --incremental waits for the other half, or runs one that is left out. */
		if (md && is_array_half(m, part) && !streq(md->state, "inactive"))
			found = md->path;
		else if (md && !strlist_has((const char *const *)stopped, md->path))
			strlist_add(w->mem, &stopped, md->path);
	}
	for (; stopped && *stopped; stopped++)
		if (!streq(*stopped, found))
			plan_add(w, p, *stopped, "an array without a current half", "mdadm", "--stop",
				 *stopped, NULL);
	if (found)
		return found;
	for (size_t i = 0; i < set->n_disks; i++)
		if (is_array_half(set->disks[i], part)) {
			fstype = set->disks[i]->part[part]->fstype;
			strlist_add(w->mem, &members, set->disks[i]->part[part]->path);
		}
	if (!members)
		return NULL;
	if (!streq(fstype, "linux_raid_member"))
		return members[0];
	array = free_array(w, part);
	/* --run: also where a half is missing, or its rebuilding was cut and it is a spare still. */
	plan_add(w, p, array, degraded || !members[1] ? "mirror, one half missing" : "mirror", "mdadm",
		 "--assemble", array, "--run", "--quiet", members[0], members[1], NULL);
	return array;
}

/* Written down before the first write that the other half will not have. */
static void plan_record_alone(struct world *w, const struct mos_set *set, struct plan *p)
{
	for (size_t i = 0; i < set->n_disks; i++) {
		const struct mos_disk *m = set->disks[i];

		if (m->left_out || m->filling || m->joining || m->alone || !m->part[PART_BIOS])
			continue;
		plan_add(w, p, m->part[PART_BIOS]->path, "that the other half will lack what comes now",
			 "mos-sysvol", "--record-peer", "--device", m->part[PART_BIOS]->path, "--peer",
			 set->missing ? set->missing : "unknown", "--epoch",
			 peer_epoch(w->mem, m->epoch), "--alone", NULL);
	}
}

/* A repair that a cut kept from its commit had everything mirrored: the other half's record is the
 * next to be renewed. */
static void plan_finish_record(struct world *w, const struct mos_set *set,
			       const struct mos_disk *new_half, struct plan *p)
{
	for (size_t i = 0; i < set->n_disks; i++) {
		const struct mos_disk *m = set->disks[i];

		if (m->provisional || m->left_out || m->epoch >= new_half->epoch)
			continue;
		plan_add(w, p, m->part[PART_BIOS]->path, "which disk the other half is", "mos-sysvol",
			 "--record-peer", "--device", m->part[PART_BIOS]->path, "--peer",
			 peer_describe(new_half->disk, w->mem), "--epoch",
			 peer_epoch(w->mem, new_half->epoch), NULL);
	}
}

static void plan_finish(struct world *w, const struct mos_set *set, struct plan *p)
{
	for (size_t i = 0; i < set->n_disks; i++) {
		const struct mos_disk *m = set->disks[i];
		const char *argv[PARTS] = { NULL };
		size_t n = 0;

		if (m->left_out)
			continue;
		if (m->damaged)
			plan_add(w, p, m->disk->path, "a cut of power tore one copy of the table",
				 "mkpart", "--repair-table", "--disk", m->disk->path, NULL);
		if (!m->provisional || m->filling || m->joining)
			continue;
		plan_finish_record(w, set, m, p);
		for (enum part k = 0; k < PARTS; k++)
			if (m->part[k])
				argv[n++] = arena_printf(w->mem, "%s=%s", m->part[k]->name,
							 layout[k].name);
		if (n)
			plan_add(w, p, m->disk->path, "finish the commit of an earlier run", "mkpart",
				 "--rename", "--disk", m->disk->path, argv[0], argv[1], argv[2],
				 argv[3], argv[4], NULL);
	}
}

int plan_start(struct world *w, const struct config *c, const struct survey *s,
	       const struct decision *d, struct plan *p, struct storage *ret, struct err *e)
{
	const struct mos_set *set = d->set;

	(void)e;
	*ret = (struct storage){ .degraded = d->degraded };
	plan_finish(w, set, p);
	if (d->degraded)
		plan_record_alone(w, set, p);
	for (size_t i = 0; i < set->n_disks; i++) {
		const struct mos_disk *m = set->disks[i];

		if (m->left_out) {
			strlist_add(w->mem, &ret->left_out, m->part[PART_DATA]->path);
			continue;
		}
		strlist_add(w->mem, &ret->members, m->part[PART_DATA]->path);
		if (m->filling)
			continue;
		ret->data = ret->data ? ret->data : m->part[PART_DATA]->path;
		if (m->part[PART_SWAP])
			strlist_add(w->mem, &ret->swaps, m->part[PART_SWAP]->path);
	}
	ret->efi = plan_assemble(w, set, PART_EFI, d->degraded, p);
	ret->boot = plan_assemble(w, set, PART_BOOT, d->degraded, p);
	plan_mount(w, c, s, ret, p);
	return 0;
}

static void plan_mount_one(struct world *w, const struct survey *s, struct plan *p,
			   const char *source, const char *target, const char *fstype,
			   const char *options)
{
	if (!source || is_mounted(s, target))
		return;
	if (options)
		plan_add(w, p, target, "mount", "mount", "-t", fstype, "-o", options, source, target,
			 NULL);
	else
		plan_add(w, p, target, "mount", "mount", "-t", fstype, source, target, NULL);
	/* A node without /boot still runs. */
	if (!streq(fstype, "btrfs"))
		plan_may_fail(p);
}

void plan_mount(struct world *w, const struct config *c, const struct survey *s,
		const struct storage *st, struct plan *p)
{
	size_t members = strlist_len((const char *const *)st->members);
	bool all = true;

	for (const char *const *name = core_subvolumes; *name; name++)
		all &= is_mounted(s, arena_printf(w->mem, "%s/var/cache/%s", c->target, *name));
	/* udev may have told the kernel of it. */
	for (const char **old = st->left_out; !all && old && *old; old++)
		plan_add(w, p, *old, "a half with old data is no member", "btrfs", "device", "scan",
			 "--forget", *old, NULL);
	/* A member that the kernel has not seen fails the mount, or would be taken for missing. */
	if (!all && members > 1)
		plan_add(w, p, st->data, "make the members known to the kernel", "btrfs", "device",
			 "scan", st->members[0], st->members[1], NULL);
	for (const char *const *name = core_subvolumes; *name; name++)
		plan_mount_one(w, s, p, st->data,
			       arena_printf(w->mem, "%s/var/cache/%s", c->target, *name), "btrfs",
			       arena_printf(w->mem, "%ssubvol=%s", st->degraded ? "degraded," : "",
					    *name));
	plan_mount_one(w, s, p, st->boot, arena_printf(w->mem, "%s/boot", c->target), "ext4", NULL);
	plan_mount_one(w, s, p, st->efi, arena_printf(w->mem, "%s/boot/efi", c->target), "vfat",
		       NULL);
	for (const char **swap = st->swaps; swap && *swap; swap++)
		if (!strlist_has((const char *const *)s->swaps, *swap)) {
			plan_add(w, p, *swap, "swap", "swapon", *swap, NULL);
			plan_may_fail(p);
		}
}
