/* GUID partition tables: see gpt.h. The only file that includes libfdisk. */
#include "lib/os/gpt.h"

#include "lib/core/utf8.h"
#include "lib/os/gpt_format.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libfdisk/libfdisk.h>

static const struct {
	const char *name, *uuid;
} types[] = {
	{ "linux", "0fc63daf-8483-4772-8e79-3d69d8477de4" },
	{ "esp", "c12a7328-f81f-11d2-ba4b-00a0c93ec93b" },
	{ "swap", "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f" },
	{ "bios_boot", "21686148-6449-6e6f-744e-656564454649" },
	{ "raid", "a19d880f-05fc-4d3b-a006-743f0f84911e" },
};

const char *gpt_type_name(const char *type_uuid)
{
	for (size_t i = 0; i < COUNT(types); i++)
		if (type_uuid && !strcasecmp(types[i].uuid, type_uuid))
			return types[i].name;
	return NULL;
}

static bool is_guid(const char *s)
{
	size_t i;

	for (i = 0; s[i]; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (i >= 36 || (dash ? s[i] != '-' : !strchr("0123456789abcdefABCDEF", s[i])))
			return false;
	}
	return i == 36 && strspn(s, "0-") != 36; /* zero marks an unused entry */
}

const char *gpt_type_uuid(const char *part_type, struct arena *a)
{
	char *uuid;

	for (size_t i = 0; i < COUNT(types); i++)
		if (streq(types[i].name, part_type))
			return types[i].uuid;
	if (!is_guid(part_type))
		return NULL;
	uuid = arena_str(a, part_type);
	for (char *p = uuid; *p; p++)
		if (*p >= 'A' && *p <= 'F')
			*p = (char)(*p - 'A' + 'a');
	return uuid;
}

int gpt_check_name(const char *name, const char *object, struct err *e)
{
	size_t units = 0;

	if (!*name)
		return err_make(e, ERR_INVALID, -EINVAL, object, "give a name of 1 to 36 characters",
				"is empty");
	for (const char *p = name; *p;) {
		size_t n = utf8_length(p);

		if (!n)
			return err_make(e, ERR_INVALID, -EINVAL, object, "give valid UTF-8",
					"is not valid UTF-8");
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return err_make(e, ERR_INVALID, -EINVAL, object, "leave it out",
					"holds a control character");
		if (n == 4) /* libfdisk 2.38 stores none of these */
			return err_make(e, ERR_INVALID, -EINVAL, object, "choose another name",
					"holds a character outside of the Basic Multilingual Plane");
		units++;
		p += n;
	}
	if (units > GPT_NAME_MAX)
		return err_make(e, ERR_INVALID, -EINVAL, object, "shorten it",
				"has %zu characters, a GPT name at most %d", units, GPT_NAME_MAX);
	return 0;
}

int gpt_read(int fd, const char *disk, uint64_t size_bytes, uint64_t sector_bytes, struct arena *a,
	     struct gpt *ret, struct err *e)
{
	struct gpt g = { .disk = arena_str(a, disk), .size_bytes = size_bytes,
			 .sector_bytes = sector_bytes, .mem = a };
	int r;

	if (sector_bytes < 512 || sector_bytes > 4096 || sector_bytes & (sector_bytes - 1))
		return err_make(e, ERR_FAILED, -EINVAL, disk,
				"use a disk with sectors of 512 to 4096 bytes",
				"has sectors of %" PRIu64 " bytes", sector_bytes);
	g.image = arena_alloc(a, sizeof *g.image);
	r = gpt_image_read(fd, &g, a, g.image, e);
	if (r)
		return r;
	gpt_interpret(&g);
	*ret = g;
	return 0;
}

int gpt_check_changeable(const struct gpt *g, struct err *e)
{
	const char *hint = NULL;

	switch (g->state) {
	case GPT_GOOD:
	case GPT_DIFFERENT:
		return 0;
	case GPT_NONE:
		hint = "make one with mkpart --new-table on an empty disk";
		break;
	case GPT_PRIMARY_BAD:
	case GPT_BACKUP_BAD:
	case GPT_NO_MBR:
		hint = "see mkpart --list, then mkpart --repair-table restores it from the good copy";
		break;
	case GPT_HYBRID:
		hint = "make the MBR protective with gdisk first, or use gdisk";
		break;
	case GPT_INVALID:
	case GPT_BROKEN:
		hint = "look at it with gdisk; nothing was changed";
		break;
	}
	return err_refuse(e, g->disk, hint, "%s", g->found);
}

const struct gpt_partition *gpt_find(const struct gpt *g, const char *name)
{
	for (size_t i = 0; i < g->n; i++)
		if (streq(g->partitions[i].name, name))
			return &g->partitions[i];
	return NULL;
}

const struct gpt_partition *gpt_number(const struct gpt *g, uint64_t number)
{
	for (size_t i = 0; i < g->n; i++)
		if (g->partitions[i].number == number)
			return &g->partitions[i];
	return NULL;
}

const struct gpt_extent *gpt_largest_free(const struct gpt *g)
{
	const struct gpt_extent *best = NULL;

	for (size_t i = 0; i < g->n_free; i++)
		if (!best || g->free[i].size_bytes > best->size_bytes)
			best = &g->free[i];
	return best;
}

/* What libfdisk said, for the error. */
static int keep_message(struct fdisk_context *cxt, struct fdisk_ask *ask, void *arg)
{
	char *said = arg;

	(void)cxt;
	if (fdisk_is_ask(ask, WARN) || fdisk_is_ask(ask, WARNX))
		snprintf(said, 256, "%s", fdisk_ask_print_get_mesg(ask));
	return 0;
}

typedef int change_fn(struct fdisk_context *cxt, const void *arg);

static int run_libfdisk(const struct gpt *g, int fd, change_fn *change, const void *arg,
			struct err *e)
{
	struct fdisk_context *cxt = fdisk_new_context();
	char said[256] = "";
	int r;

	if (!cxt)
		return err_sys(e, -ENOMEM, g->disk, "start libfdisk");
	fdisk_disable_dialogs(cxt, 1);
	fdisk_set_ask(cxt, keep_message, said);
	/* The memory file has no sectors of its own. */
	r = fdisk_save_user_sector_size(cxt, (unsigned int)g->sector_bytes,
					(unsigned int)g->sector_bytes);
	if (!r)
		r = fdisk_save_user_grain(cxt, GPT_GRAIN_BYTES);
	if (!r)
		r = fdisk_assign_device_by_fd(cxt, fd, g->disk, 0);
	if (!r)
		r = change(cxt, arg);
	if (!r)
		r = fdisk_write_disklabel(cxt);
	fdisk_deassign_device(cxt, 1);
	fdisk_unref_context(cxt);
	if (r)
		return err_sys(e, r < 0 ? r : -EIO, g->disk, "compute its new GPT%s%s",
			       *said ? ": " : "", said);
	return 0;
}

/* That libfdisk changed these entries (by number, ending with 0) and no other. */
static bool others_unchanged(const struct gpt *was, const struct gpt *is, const uint64_t *numbers)
{
	const struct gpt_copy *a = &was->image->primary, *b = &is->image->primary;

	if (a->entries != b->entries || a->entry_bytes != b->entry_bytes ||
	    memcmp(a->guid, b->guid, sizeof a->guid) || a->first_lba != b->first_lba ||
	    (!was->grown && a->last_lba != b->last_lba))
		return false;
	for (uint32_t i = 0; i < a->entries; i++) {
		const uint64_t *n = numbers;

		while (*n && *n != i + 1)
			n++;
		if (!*n && memcmp(a->array + (size_t)i * a->entry_bytes,
				  b->array + (size_t)i * a->entry_bytes, a->entry_bytes))
			return false;
	}
	return true;
}

/* Lets libfdisk make the change on a copy; then the result must be what was asked, no more. */
static int edit(struct gpt *g, change_fn *change, const void *arg, const uint64_t *numbers,
		struct err *e)
{
	struct gpt was = *g, is;
	struct gpt_image image = *g->image;
	auto_close int fd = -1;
	int r;

	was.image = &image;
	if (numbers) {
		r = gpt_check_changeable(g, e);
		if (r)
			return r;
		if (g->state == GPT_DIFFERENT && (r = gpt_repair(&was, e)))
			return r;
	} else {
		memset(&image, 0, sizeof image);
	}
	fd = gpt_image_store(&was, e);
	if (fd < 0)
		return fd;
	r = run_libfdisk(g, fd, change, arg, e);
	if (!r)
		r = gpt_read(fd, g->disk, g->size_bytes, g->sector_bytes, g->mem, &is, e);
	if (r)
		return r;
	if (is.state != GPT_GOOD || is.grown || (numbers && !others_unchanged(&was, &is, numbers)))
		return err_make(e, ERR_FAILED, -EIO, g->disk, "nothing was written",
				"libfdisk computed another table than asked for (%s)",
				is.found ? is.found : "other entries differ");
	*g = is;
	return 0;
}

static int do_create(struct fdisk_context *cxt, const void *arg)
{
	(void)arg;
	return fdisk_create_disklabel(cxt, "gpt");
}

int gpt_create(struct gpt *g, struct err *e)
{
	if (g->size_bytes < 4 * GPT_GRAIN_BYTES)
		return err_refuse(e, g->disk, "use a disk of 4 MiB or more",
				  "is too small for a partition table (%" PRIu64 " bytes)",
				  g->size_bytes);
	return edit(g, do_create, NULL, NULL, e);
}

struct addition {
	uint64_t number, start, sectors;
	const char *name, *type_uuid;
};

static int do_add(struct fdisk_context *cxt, const void *arg)
{
	const struct addition *add = arg;
	struct fdisk_partition *pa = fdisk_new_partition();
	struct fdisk_parttype *type = fdisk_new_unknown_parttype(0, add->type_uuid);
	size_t partno;
	int r = pa && type ? 0 : -ENOMEM;

	if (!r)
		r = fdisk_partition_set_partno(pa, (size_t)add->number - 1);
	if (!r)
		r = fdisk_partition_set_start(pa, add->start);
	if (!r)
		r = fdisk_partition_set_size(pa, add->sectors);
	if (!r)
		r = fdisk_partition_size_explicit(pa, 1);
	if (!r)
		r = fdisk_partition_set_name(pa, add->name);
	if (!r)
		r = fdisk_partition_set_type(pa, type);
	if (!r)
		r = fdisk_add_partition(cxt, pa, &partno);
	fdisk_unref_parttype(type);
	fdisk_unref_partition(pa);
	return r;
}

int gpt_add(struct gpt *g, uint64_t number, uint64_t start_bytes, uint64_t size_bytes,
	    const char *name, const char *part_type, struct err *e)
{
	struct gpt next = *g;
	struct addition add = { .number = number, .start = start_bytes / g->sector_bytes,
				.sectors = size_bytes / g->sector_bytes, .name = name,
				.type_uuid = gpt_type_uuid(part_type, g->mem) };
	const struct gpt_partition *p;
	int r = gpt_check_name(name, "--name", e);

	if (r)
		return r;
	if (!add.type_uuid)
		return err_make(e, ERR_INVALID, -EINVAL, part_type,
				"give linux, esp, swap, bios_boot, raid or a GUID",
				"is no partition type");
	if (!number || gpt_number(g, number) || !size_bytes || start_bytes % g->sector_bytes ||
	    size_bytes % g->sector_bytes)
		return err_make(e, ERR_INVALID, -EINVAL, g->disk, NULL,
				"cannot have partition %" PRIu64 " of %" PRIu64 " bytes at %" PRIu64,
				number, size_bytes, start_bytes);
	r = edit(&next, do_add, &add, (uint64_t[]){ number, 0 }, e);
	if (r)
		return r;
	p = gpt_number(&next, number);
	if (!p || p->start_bytes != start_bytes || p->size_bytes != size_bytes ||
	    !streq(p->name, name) || !streq(p->type_uuid, add.type_uuid))
		return err_make(e, ERR_FAILED, -EIO, g->disk, "nothing was written",
				"libfdisk computed another partition %" PRIu64 " than asked for", number);
	*g = next;
	return 0;
}

static int do_delete(struct fdisk_context *cxt, const void *arg)
{
	return fdisk_delete_partition(cxt, (size_t)*(const uint64_t *)arg - 1);
}

int gpt_delete(struct gpt *g, uint64_t number, struct err *e)
{
	if (!gpt_number(g, number))
		return err_make(e, ERR_NO_DEVICE, -ENOENT, g->disk, NULL,
				"has no partition %" PRIu64, number);
	return edit(g, do_delete, &number, (uint64_t[]){ number, 0 }, e);
}

struct renaming {
	const struct gpt_rename *names;
	const uint64_t *numbers;
	size_t n;
};

static int do_rename(struct fdisk_context *cxt, const void *arg)
{
	const struct renaming *ren = arg;
	int r = 0;

	for (size_t i = 0; i < ren->n && !r; i++) {
		struct fdisk_partition *pa = fdisk_new_partition();

		r = pa ? fdisk_partition_set_name(pa, ren->names[i].to) : -ENOMEM;
		if (!r)
			r = fdisk_set_partition(cxt, (size_t)ren->numbers[i] - 1, pa);
		fdisk_unref_partition(pa);
	}
	return r;
}

int gpt_rename(struct gpt *g, const struct gpt_rename *names, size_t n, struct err *e)
{
	uint64_t *numbers = arena_alloc(g->mem, (n + 1) * sizeof *numbers);
	struct renaming ren = { names, numbers, n };
	struct gpt next = *g;
	int r;

	for (size_t i = 0; i < n; i++) {
		const struct gpt_partition *p = gpt_find(g, names[i].from);

		if (!p)
			return err_make(e, ERR_NO_DEVICE, -ENOENT, g->disk, "see mkpart --list",
					"has no partition named %s", names[i].from);
		r = gpt_check_name(names[i].to, names[i].to, e);
		if (r)
			return r;
		numbers[i] = p->number;
	}
	r = edit(&next, do_rename, &ren, numbers, e);
	if (r)
		return r;
	for (size_t i = 0; i < n; i++)
		if (!streq(gpt_number(&next, numbers[i])->name, names[i].to))
			return err_make(e, ERR_FAILED, -EIO, g->disk, "nothing was written",
					"libfdisk computed another name than %s", names[i].to);
	*g = next;
	return 0;
}

int gpt_repair(struct gpt *g, struct err *e)
{
	struct gpt_image *old = g->image, *im = arena_alloc(g->mem, sizeof *im);
	uint64_t sectors = g->size_bytes / g->sector_bytes, n;

	if (g->state == GPT_GOOD)
		return 0;
	if (g->state != GPT_PRIMARY_BAD && g->state != GPT_BACKUP_BAD &&
	    g->state != GPT_DIFFERENT && g->state != GPT_NO_MBR)
		return gpt_check_changeable(g, e);
	*im = *old;
	if (im->primary.valid) {
		n = gpt_array_sectors(&im->primary, g->sector_bytes);
		if (im->primary.alternate_lba >= sectors ||
		    im->primary.alternate_lba - n <= im->primary.last_lba)
			return err_refuse(e, g->disk, "look at it with gdisk; nothing was changed",
					  "has no room for the backup GPT where the primary one says");
		gpt_copy_derive(&old->primary, old->primary.alternate_lba,
				old->primary.alternate_lba - n, g->mem, &im->backup);
	} else {
		n = gpt_array_sectors(&im->backup, g->sector_bytes);
		if (im->backup.first_lba < 2 + n)
			return err_refuse(e, g->disk, "look at it with gdisk; nothing was changed",
					  "has no room for the primary GPT before its usable range");
		gpt_copy_derive(&old->backup, 1, 2, g->mem, &im->primary);
	}
	if (g->state == GPT_NO_MBR) {
		memset(im->mbr + 440, 0, sizeof im->mbr - 440);
		gpt_mbr_make(im->mbr, sectors);
	}
	g->image = im;
	gpt_interpret(g);
	if (g->state == GPT_GOOD)
		return 0;
	g->image = old;
	gpt_interpret(g);
	return err_refuse(e, g->disk, "look at it with gdisk; nothing was changed",
			  "%s, and cannot be repaired", g->found);
}

struct range {
	unsigned group;
	uint64_t offset;
	const uint8_t *data;
	size_t bytes;
	const char *what;
};

/* The runs of sectors that differ from what is on the disk. */
static int add_writes(const struct gpt *g, int fd, const struct range *range, struct arena *a,
		      struct gpt_write *writes, size_t *n, struct err *e)
{
	size_t ss = g->sector_bytes, from = 0;
	uint8_t *there = arena_alloc(a, range->bytes);
	bool open = false;
	int r = gpt_read_at(fd, range->offset, there, range->bytes);

	if (r)
		return err_sys(e, r, g->disk, "read where its %s goes", range->what);
	for (size_t at = 0; at <= range->bytes; at += ss) {
		bool differs = at < range->bytes && memcmp(there + at, range->data + at, ss);

		if (differs && !open)
			from = at;
		if (!differs && open)
			writes[(*n)++] = (struct gpt_write){
				range->group, range->offset + from, at - from, range->data + from,
				range->what,
			};
		open = differs;
	}
	return 0;
}

int gpt_writes(const struct gpt *g, int fd, struct arena *a, struct gpt_write **ret, size_t *ret_n,
	       struct err *e)
{
	const struct gpt_image *im = g->image;
	const struct gpt_copy *p = &im->primary, *b = &im->backup;
	size_t ss = g->sector_bytes;
	const struct range ranges[] = {
		{ 1, b->entries_lba * ss, b->array, b->array_bytes, "backup GPT entries" },
		{ 1, b->lba * ss, b->header, ss, "backup GPT header" },
		{ 2, p->entries_lba * ss, p->array, p->array_bytes, "primary GPT entries" },
		{ 2, p->lba * ss, p->header, ss, "primary GPT header" },
		{ 3, 0, im->mbr, ss, "protective MBR" },
	};
	size_t most = 0;
	int r = 0;

	*ret_n = 0;
	if (g->state != GPT_GOOD)
		return gpt_check_changeable(g, e);
	for (size_t i = 0; i < COUNT(ranges); i++)
		most += ranges[i].bytes / ss;
	*ret = arena_alloc(a, most * sizeof **ret);
	for (size_t i = 0; i < COUNT(ranges) && !r; i++)
		r = add_writes(g, fd, &ranges[i], a, *ret, ret_n, e);
	return r;
}

static int flush(const struct gpt *g, int fd, unsigned group, struct err *e)
{
	static const char *const left[] = {
		"nothing of the table was written yet",
		"the old table is still the valid one; mkpart --repair-table makes its backup anew",
		"the new table is valid by its backup; mkpart --repair-table makes the primary anew",
		"run mkpart --list to see what the disk holds",
	};

	if (!fsync(fd))
		return 0;
	return err_make(e, ERR_FAILED, -errno, g->disk, left[group], "make its GPT durable: %s",
			strerror(errno));
}

int gpt_commit(struct gpt *g, int fd, struct arena *a, struct err *e)
{
	struct gpt_write *writes;
	uint8_t *there;
	size_t n;
	int r = gpt_writes(g, fd, a, &writes, &n, e);

	/* What was done before, wiping for one, comes before the table on the disk too. */
	if (!r && n)
		r = flush(g, fd, 0, e);
	for (size_t i = 0; i < n && !r; i++) {
		const struct gpt_write *w = &writes[i];

		r = gpt_write_at(fd, w->offset_bytes, w->data, w->size_bytes);
		if (r)
			return err_make(e, ERR_FAILED, r, g->disk, "run mkpart --list to see what it holds",
					"write its %s: %s", w->what, strerror(-r));
		if (i + 1 == n || writes[i + 1].group != w->group)
			r = flush(g, fd, w->group, e);
	}
	for (size_t i = 0; i < n && !r; i++) {
		const struct gpt_write *w = &writes[i];

		/* Clean pages are dropped, so that the disk is asked and not the cache. */
		posix_fadvise(fd, (off_t)w->offset_bytes, (off_t)w->size_bytes, POSIX_FADV_DONTNEED);
		there = arena_alloc(a, w->size_bytes);
		r = gpt_read_at(fd, w->offset_bytes, there, w->size_bytes);
		if (r)
			return err_sys(e, r, g->disk, "read its %s back", w->what);
		if (memcmp(there, w->data, w->size_bytes))
			return err_make(e, ERR_FAILED, -EIO, g->disk, "do not trust this disk",
					"gives back another %s than was written", w->what);
	}
	return r;
}
