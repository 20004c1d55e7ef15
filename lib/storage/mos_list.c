/* The volume manager's own filesystems and mounts: see mos_list.h. */
#include "lib/storage/mos_list.h"

#include "lib/storage/inventory.h"

struct params {
	bool all;
};

static const struct field filesystem_params[] = {
	FIELD(struct params, all, 0, "all filesystems, not only those with a MOS label"),
	FIELD_END,
};
static const struct field mount_params[] = {
	FIELD(struct params, all, 0, "all mounts, not only those of filesystems with a MOS label"),
	FIELD_END,
};

static bool is_mos(const struct filesystem *f)
{
	return f->label && starts_with(f->label, "MOS");
}

static int list_filesystems(struct world *w, const void *given, struct sink *out, struct err *e)
{
	const struct params *p = given;
	struct filesystem *f;
	size_t n;
	int r = inventory_filesystems(w, &f, &n, e);

	for (size_t i = 0; i < n && !r; i++)
		if (p->all || is_mos(&f[i]))
			r = sink_row(out, &filesystem_table, &f[i]);
	return r;
}

static bool is_mos_mount(const struct mount_point *m, const struct filesystem *f, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (is_mos(&f[i]) &&
		    strlist_has((const char *const *)f[i].mount_points, m->target) &&
		    streq(f[i].fstype, m->fstype))
			return true;
	return false;
}

static int list_mounts(struct world *w, const void *given, struct sink *out, struct err *e)
{
	const struct params *p = given;
	struct filesystem *f;
	struct mount_point *m;
	size_t n_fs, n;
	int r = inventory_filesystems(w, &f, &n_fs, e);

	if (!r)
		r = inventory_mounts(w, &m, &n, e);
	for (size_t i = 0; !r && i < n; i++)
		if (p->all || is_mos_mount(&m[i], f, n_fs))
			r = sink_row(out, &mount_table, &m[i]);
	return r;
}

const struct operation list_mos_filesystems_op = {
	.name = "list_filesystems",
	.summary = "list the filesystems and swap areas with a MOS label, mounted or not",
	.params = filesystem_params,
	.params_size = sizeof(struct params),
	.tables = TABLES(&filesystem_table),
	.run = list_filesystems,
};

const struct operation list_mos_mounts_op = {
	.name = "list_mounts",
	.summary = "list where filesystems with a MOS label are mounted",
	.params = mount_params,
	.params_size = sizeof(struct params),
	.tables = TABLES(&mount_table),
	.run = list_mounts,
};
