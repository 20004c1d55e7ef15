/* MD arrays: see md.h. */
#include "lib/os/md.h"

#include <stdlib.h>

static void read_sync(const struct root *r, struct arena *a, struct md_array *m)
{
	/* "1024 / 2094080", or "none". */
	const char *text = root_attr(r, a, "/sys/block/%s/md/sync_completed", m->name);
	char *end;

	m->sync_done_sectors = m->sync_total_sectors = UINT64_MAX;
	if (!text || *text < '0' || *text > '9')
		return;
	m->sync_done_sectors = strtoull(text, &end, 10);
	if (starts_with(end, " / "))
		m->sync_total_sectors = strtoull(end + 3, NULL, 10);
}

static int read_array(const struct root *r, struct arena *a, const char *name, struct md_array *m)
{
	const char *path = arena_printf(a, "/sys/block/%s/slaves", name);

	*m = (struct md_array){
		.name = name,
		.path = arena_printf(a, "/dev/%s", name),
		.level = root_attr(r, a, "/sys/block/%s/md/level", name),
		.state = root_attr(r, a, "/sys/block/%s/md/array_state", name),
		.metadata = root_attr(r, a, "/sys/block/%s/md/metadata_version", name),
		.raid_disks = root_attr_u64(r, 0, "/sys/block/%s/md/raid_disks", name),
		.degraded = root_attr_u64(r, 0, "/sys/block/%s/md/degraded", name),
		.sync_action = root_attr(r, a, "/sys/block/%s/md/sync_action", name),
	};
	read_sync(r, a, m);
	root_list(r, path, a, &m->members);
	return m->state && !streq(m->state, "clear") ? 0 : -1;
}

int md_arrays(const struct root *r, struct arena *a, struct md_array **ret, size_t *ret_n)
{
	VEC(struct md_array) found = { 0 };
	const char **names;
	int err = root_list(r, "/sys/block", a, &names);

	*ret = NULL;
	*ret_n = 0;
	if (err)
		return err;
	for (; *names; names++) {
		struct md_array m;

		if (starts_with(*names, "md") &&
		    root_exists(r, arena_printf(a, "/sys/block/%s/md", *names)) &&
		    !read_array(r, a, *names, &m))
			*vec_add(&found) = m;
	}
	*ret = arena_alloc(a, (found.n + 1) * sizeof **ret);
	if (found.n)
		memcpy(*ret, found.items, found.n * sizeof **ret);
	*ret_n = found.n;
	vec_free(&found);
	return 0;
}
