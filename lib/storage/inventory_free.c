/* Free space of GPT disks, from their tables. */
#include "lib/os/gpt.h"
#include "lib/storage/inventory_parts.h"

#include <errno.h>

static const struct field free_space_fields[] = {
	FIELD(struct free_space, disk, KEY, "disk"),
	FIELD(struct free_space, start_bytes, 0, "where it starts, a multiple of 1 MiB"),
	FIELD(struct free_space, size_bytes, 0, "its size, a multiple of 1 MiB"),
	FIELD_END,
};
const struct table free_space_table =
	TABLE(struct free_space, "free_space", "unallocated space of GPT disks", free_space_fields);

typedef VEC(struct free_space) extents;

static int add_disk(struct machine *m, struct blockdev *b, extents *to, struct err *e)
{
	uint64_t offset;
	auto_close int fd = machine_open(m, b, &offset);
	struct gpt g;
	int r;

	if (fd == -ENODATA)
		return err_make(e, ERR_FAILED, fd, b->path, NULL, "its contents are not recorded");
	if (fd < 0)
		return err_sys(e, fd, b->path, "open");
	r = gpt_read(fd, b->path, b->size_bytes, b->sector_bytes, m->mem, &g, e);
	if (r)
		return r;
	if (g.state == GPT_NONE)
		return err_make(e, ERR_FAILED, -ENODATA, b->path, "name a disk that has a GPT", "%s",
				g.found);
	if (g.found)
		world_warn(m->w, "%s %s", b->path, g.found);
	for (size_t i = 0; i < g.n_free; i++)
		*vec_add(to) = (struct free_space){ b->path, g.free[i].start_bytes,
						    g.free[i].size_bytes };
	return 0;
}

static void hand_over(struct machine *m, extents *all, struct free_space **ret, size_t *ret_n)
{
	*ret = arena_alloc(m->mem, (all->n + 1) * sizeof **ret);
	if (all->n)
		memcpy(*ret, all->items, all->n * sizeof **ret);
	*ret_n = all->n;
	vec_free(all);
}

void inventory_free_space_of(struct machine *m, struct free_space **ret, size_t *ret_n)
{
	extents all = { 0 };

	for (size_t i = 0; i < m->devices.n; i++) {
		struct blockdev *b = m->devices.items[i];
		struct err e = { 0 };

		if (b->kind != BLOCKDEV_DISK)
			continue;
		machine_probe(m, b);
		/* One bad disk does not hide the others. */
		if (streq(b->probe.table, "gpt") && add_disk(m, b, &all, &e))
			world_warn(m->w, "%s", err_line(&e, m->mem));
	}
	hand_over(m, &all, ret, ret_n);
}

int inventory_free_space(struct world *w, const char *disk, struct free_space **ret, size_t *ret_n,
			 struct err *e)
{
	struct machine *m auto_machine = NULL;
	extents all = { 0 };
	struct blockdev *b;
	int r = machine_read(w, &m, e);

	if (r)
		return r;
	if (!disk) {
		inventory_free_space_of(m, ret, ret_n);
		return 0;
	}
	r = inventory_find(m, disk, &b, e);
	if (!r)
		r = add_disk(m, b, &all, e);
	hand_over(m, &all, ret, ret_n);
	return r;
}

struct list_free_space {
	const char *disk;
};

static const struct field list_free_space_params[] = {
	FIELD(struct list_free_space, disk, OPERAND, "only this disk; all without it", .arg = "DISK",
	      .complete = "disk"),
	FIELD_END,
};

static int list_free_space_run(struct world *w, const void *params, struct sink *out,
			       struct err *e)
{
	const struct list_free_space *p = params;
	struct free_space *rows;
	size_t n = 0;
	int r = inventory_free_space(w, p->disk, &rows, &n, e);

	for (size_t i = 0; !r && i < n; i++)
		r = sink_row(out, &free_space_table, &rows[i]);
	return r;
}

const struct operation list_free_space_op = {
	.name = "list_free_space",
	.summary = "list the unallocated space of GPT disks",
	.params = list_free_space_params,
	.params_size = sizeof(struct list_free_space),
	.tables = TABLES(&free_space_table),
	.run = list_free_space_run,
};
