/* One disk whose table is looked at or changed: see partition_disk.h. */
#include "lib/storage/partition_disk.h"

#include "lib/os/blkid.h"
#include "lib/storage/safety.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

int target_open(struct target *t, const char *disk, enum target_mode mode, struct err *e)
{
	struct world *w = t->w;
	int r = inventory_disk(w, disk, &t->disk, e);

	if (!r)
		r = block_describe(w, t->disk.path, &t->block, e);
	if (r)
		return r;
	if (t->block.number)
		return err_make(e, ERR_NO_DEVICE, -EINVAL, disk, "name the disk",
				"is a partition of %s", t->block.disk);
	if (mode != TARGET_LOOK) {
		if (t->block.read_only)
			return err_refuse(e, t->disk.path, "name another disk", "is read-only");
		r = block_lock_scoped(&t->lock, t->disk.path, t->block.devno, e);
		if (r)
			return r;
	}
	t->fd = block_open(&t->block, mode == TARGET_CHANGE ? O_RDWR : O_RDONLY, e);
	if (t->fd < 0)
		return t->fd;
	r = block_partitions(w, &t->block, &t->known, &t->n_known, e);
	return r ? r : gpt_read(t->fd, t->disk.path, t->block.size_bytes,
				t->block.logical_sector_bytes, w->mem, &t->gpt, e);
}

void target_close(struct target *t)
{
	if (t->fd >= 0)
		close(take_fd(&t->fd));
	block_lock_release(&t->lock);
}

int target_check_table(const struct target *t, struct err *e)
{
	const struct disk *d = &t->disk;

	if (t->gpt.state == GPT_NONE && d->content)
		return err_refuse(e, d->path, "name a disk that has a GPT", "holds %s", d->content);
	if (t->gpt.state == GPT_NONE && d->table)
		return err_refuse(e, d->path, "name a disk that has a GPT",
				  "has a partition table of type %s, not a GPT", d->table);
	if (gpt_check_changeable(&t->gpt, e))
		return e->code;
	if (d->content)
		return err_refuse(e, d->path, "erase the stale signature with wipefs first",
				  "holds %s besides its GPT", d->content);
	if (d->probe_error)
		return err_refuse(e, d->path, "look at it with wipefs", "cannot be probed: %s",
				  d->probe_error);
	if (t->block.holders[0])
		return err_refuse(e, d->path, "name the device on top of it instead",
				  "is held as a whole by %s", t->block.holders[0]);
	return 0;
}

int target_check_empty(const struct target *t, bool force, struct err *e)
{
	const struct disk *d = &t->disk;
	const char *hint = NULL;
	const char *why = force ? disk_busy(d, t->w->mem, &hint)
				: disk_refusal(d, t->w->mem, &hint);

	if (!why && !force && t->gpt.state != GPT_NONE) {
		why = t->gpt.found ? t->gpt.found : "has a GPT";
		hint = "add --force to erase it, or name another disk";
	}
	if (!why) {
		why = block_busy(t->w, &t->block);
		hint = "release it first, or name another disk";
	}
	return why ? err_refuse(e, d->path, hint, "%s", why) : 0;
}

int target_second_look(const struct target *t, bool must_be_empty, struct err *e)
{
	return disk_still_same(t->w, &t->disk, t->fd, must_be_empty, e);
}

const char *target_path(const struct target *t, uint64_t number)
{
	size_t n = strlen(t->disk.path);
	bool digit = n && t->disk.path[n - 1] >= '0' && t->disk.path[n - 1] <= '9';

	return arena_printf(t->w->mem, "%s%s%" PRIu64, t->disk.path, digit ? "p" : "", number);
}

/* What the table says, with what probing finds in it and where it is mounted. */
int partition_row(struct world *w, const struct target *t, const struct gpt_partition *p,
		  struct partition *ret, struct err *e)
{
	struct mount_point *mounts;
	struct probe probe = { 0 };
	struct stat st;
	size_t n = 0;
	int r;

	field_clear(partition_table.fields, ret);
	ret->path = target_path(t, p->number);
	ret->disk = t->disk.path;
	ret->number = p->number;
	ret->start_bytes = p->start_bytes;
	ret->size_bytes = p->size_bytes;
	ret->name = *p->name ? p->name : NULL;
	ret->part_type = p->part_type;
	ret->part_uuid = p->uuid;
	if (root_stat(&w->root, ret->path, &st) || !S_ISBLK(st.st_mode))
		return 0; /* the kernel does not have it (yet) */
	ret->devno = arena_printf(w->mem, "%u:%u", major(st.st_rdev), minor(st.st_rdev));
	if (root_is_machine(&w->root) && !blkid_probe_path(ret->path, w->mem, &probe, e)) {
		ret->fstype = probe.ambiguous ? "ambiguous" : probe.type;
		ret->label = probe.label;
		ret->uuid = probe.uuid;
	}
	r = inventory_mounts(w, &mounts, &n, e);
	for (size_t i = 0; !r && i < n; i++)
		if (streq(mounts[i].devno, ret->devno) || streq(mounts[i].source, ret->path))
			strlist_add(w->mem, &ret->mount_points, mounts[i].target);
	return 0;
}

int target_tell_kernel(const struct target *t, const struct gpt_partition *p, struct err *e)
{
	const char *path;
	int r = block_add_partition(t->w, &t->block, p->number, p->start_bytes, p->size_bytes, e);

	return r ? r : block_partition_node(t->w, &t->block, p->number, &path, e);
}
