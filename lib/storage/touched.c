/* Disks below devices and paths: see touched.h. */
#include "lib/storage/touched.h"

#include "lib/storage/btrfs_fs.h"
#include "lib/storage/machine.h"

#include <errno.h>
#include <sys/sysmacros.h>

struct gather {
	struct machine *m;
	VEC(struct touched_disk) disks;
};

static void add_disk(struct gather *g, const struct blockdev *b)
{
	unsigned maj, min;
	dev_t devno;

	if (sscanf(b->devno, "%u:%u", &maj, &min) != 2)
		return;
	devno = makedev(maj, min);
	for (size_t i = 0; i < g->disks.n; i++)
		if (g->disks.items[i].devno == devno)
			return;
	*vec_add(&g->disks) = (struct touched_disk){ devno, b->path };
}

/* Stacks are not deep; a broken sysfs must not make this endless. */
static void add_below(struct gather *g, const struct blockdev *b, unsigned depth)
{
	if (!b || depth > 16)
		return;
	if (b->kind == BLOCKDEV_PARTITION) {
		add_below(g, b->disk, depth + 1);
		return;
	}
	if (!b->slaves.n)
		add_disk(g, b);
	for (size_t i = 0; i < b->slaves.n; i++)
		add_below(g, b->slaves.items[i], depth + 1);
}

/* A device, and all other members of the btrfs that is on it. */
static void add_members(struct gather *g, struct blockdev *b)
{
	add_below(g, b, 0);
	machine_probe(g->m, b);
	if (!streq(b->probe.type, "btrfs") || !b->probe.uuid)
		return;
	for (size_t i = 0; i < g->m->devices.n; i++) {
		struct blockdev *o = g->m->devices.items[i];

		machine_probe(g->m, o);
		if (streq(o->probe.type, "btrfs") && streq(o->probe.uuid, b->probe.uuid))
			add_below(g, o, 0);
	}
}

static void add_labelled(struct gather *g, const char *label, const char *uuid)
{
	for (size_t i = 0; i < g->m->devices.n; i++) {
		struct blockdev *b = g->m->devices.items[i];

		machine_probe(g->m, b);
		if (streq(b->probe.type, "btrfs") && ((label && streq(b->probe.label, label)) ||
						      (uuid && streq(b->probe.uuid, uuid))))
			add_below(g, b, 0);
	}
}

/* The last mount whose target the path is below. */
static void add_mounted(struct gather *g, const char *path)
{
	const struct mount_info *best = NULL;
	size_t length = 0;

	for (size_t i = 0; i < g->m->n_mounts; i++) {
		const struct mount_info *f = &g->m->mounts[i];
		size_t n = strlen(f->target);

		n -= n == 1; /* "/" */
		if (n >= length && !strncmp(path, f->target, n) && (!path[n] || path[n] == '/')) {
			best = f;
			length = n;
		}
	}
	if (best) {
		struct blockdev *b = machine_by_path(g->m, best->source);

		if (b)
			add_members(g, b);
	}
}

static void add_named(struct gather *g, const struct field *f, const char *value)
{
	struct blockdev *b = machine_by_path(g->m, value);

	if (b)
		add_members(g, b);
	else if (starts_with(value, "LABEL="))
		add_labelled(g, value + 6, NULL);
	else if (starts_with(value, "UUID="))
		add_labelled(g, NULL, value + 5);
	else if (*value == '/' && !streq(f->complete, "disk") && !streq(f->complete, "device"))
		add_mounted(g, value);
	else if (*value != '/' && streq(f->complete, "disk"))
		add_below(g, machine_by_name(g->m, value), 0);
}

static void add_field(struct gather *g, const struct field *f, const void *params)
{
	const void *at = (const char *)params + f->offset;

	if (!f->complete || streq(f->complete, "label"))
		return;
	if (f->type == FIELD_STR && streq(f->name, "fs") && field_is_none(f, params))
		add_labelled(g, MOS_DATA_LABEL, NULL);
	else if (field_is_none(f, params))
		return;
	else if (f->type == FIELD_STR)
		add_named(g, f, *(const char *const *)at);
	else if (f->type == FIELD_LIST)
		for (const char *const *s = *(const char *const *const *)at; *s; s++)
			add_named(g, f, *s);
}

static int by_devno(const void *pa, const void *pb)
{
	const struct touched_disk *a = pa, *b = pb;

	return a->devno < b->devno ? -1 : a->devno > b->devno;
}

int touched_disks(struct world *w, const struct operation *op, const void *params,
		  struct touched_disk **ret, size_t *ret_n, struct err *e)
{
	struct machine *m auto_machine = NULL;
	struct gather g = { 0 };
	int r = machine_read(w, &m, e);

	if (r)
		return r;
	g.m = m;
	/* All of them now, while this can still be done anew without harm: see world.touch. */
	machine_probe_all(m, BLOCKDEV_ALL);
	for (const struct field *f = op->params; f && f->name; f++)
		add_field(&g, f, params);
	*ret_n = g.disks.n;
	*ret = arena_alloc(w->mem, (g.disks.n + 1) * sizeof **ret);
	if (g.disks.n)
		memcpy(*ret, g.disks.items, g.disks.n * sizeof **ret);
	qsort(*ret, *ret_n, sizeof **ret, by_devno);
	vec_free(&g.disks);
	return 0;
}
