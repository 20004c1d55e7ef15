/* The operations over the templates: reads disks and means, then applies topology.c's rules. */
#include "lib/storage/topology.h"

#include "lib/core/run.h"
#include "lib/core/tsv.h"
#include "lib/storage/safety.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/utsname.h>

/* Whether a file has this text. Missing files have nothing. */
static bool file_has(struct world *w, const char *path, const char *text)
{
	char *all;

	return !root_read(&w->root, path, 64 << 20, w->mem, &all, NULL) && strstr(all, text);
}

/* NULL, or why not: built in or loaded (/proc/filesystems), or a module that could be. */
static const char *no_filesystem(struct world *w, const char *fs)
{
	static const char *const lists[] = { "modules.builtin", "modules.dep" };
	const char *release = root_attr(&w->root, w->mem, "/proc/sys/kernel/osrelease");
	const char *module = arena_printf(w->mem, "/%s.ko", fs);
	struct utsname u;

	if (!release && root_is_machine(&w->root) && !uname(&u))
		release = arena_str(w->mem, u.release);
	if (file_has(w, "/proc/filesystems", arena_printf(w->mem, "\t%s\n", fs)))
		return NULL;
	for (size_t i = 0; release && i < COUNT(lists); i++)
		if (file_has(w, arena_printf(w->mem, "/lib/modules/%s/%s", release, lists[i]),
			     module))
			return NULL;
	if (!root_exists(&w->root, "/proc/filesystems"))
		return root_is_machine(&w->root)
			       ? "this kernel's filesystems are not known: /proc is not mounted"
			       : NULL; /* not recorded: nothing speaks against it */
	return arena_printf(w->mem, "this kernel%s%s has no %s", release ? " " : "",
			    release ? release : "", fs);
}

/* NULL, or why not. A recording without its folders of programs says nothing about them. */
static const char *no_program(struct world *w, const char *program, const char *package)
{
	static const char *const dirs[] = { "/usr/sbin", "/usr/bin", "/sbin", "/bin",
					    "/usr/local/sbin", "/run/current-system/sw/bin" };
	bool recorded = false;

	if (root_is_machine(&w->root)) {
		if (run_find(program, w->mem))
			return NULL;
	} else {
		for (size_t i = 0; i < COUNT(dirs); i++) {
			recorded |= root_exists(&w->root, dirs[i]);
			if (root_exists(&w->root, arena_printf(w->mem, "%s/%s", dirs[i], program)))
				return NULL;
		}
		if (!recorded)
			return NULL;
	}
	return arena_printf(w->mem, "program %s is missing (package %s)", program, package);
}

int topology_read_means(struct world *w, struct topology_means *ret, struct err *e)
{
	(void)e;
	ret->no_btrfs = no_filesystem(w, "btrfs");
	if (!ret->no_btrfs)
		ret->no_btrfs = no_program(w, "mkfs.btrfs", "btrfs-progs");
	ret->no_bcachefs = no_filesystem(w, "bcachefs");
	if (!ret->no_bcachefs)
		ret->no_bcachefs = no_program(w, "bcachefs", "bcachefs-tools");
	return 0;
}

/* A table of disks as topo disks prints it. What a column would have told must not be taken for
 * nothing: all that decide are there. */
static int read_table(struct world *w, const char *file, struct disk **ret, size_t *ret_n,
		      struct err *e)
{
	static const char *const needed[] = { "path",	  "type",      "size_bytes",  "table",
					      "content",  "used_by",   "partitions",  "boot",
					      "removable", "read_only", "probe_error", NULL };
	const char *name = streq(file, "-") ? "standard input" : file;
	FILE *f auto_fclose = NULL;
	struct tsv *t auto_tsv = NULL;
	VEC(struct disk) rows = { 0 };
	struct disk d;
	int r;

	if (!streq(file, "-") && !(f = fopen(file, "re")))
		return err_sys(e, -errno, file, "open");
	r = tsv_open(f ? f : w->in, name, "disks", disk_table.fields, &t, e);
	for (const char *const *c = needed; *c && !r; c++)
		if (!tsv_has(t, *c))
			r = err_make(e, ERR_INVALID, -EINVAL, name,
				     "give the whole table of topo disks",
				     "has no column '%s', which decides whether a disk is free", *c);
	while (!r && (r = tsv_next(t, &d, w->mem, e)) > 0) {
		r = 0;
		if (!d.path || d.type == U32_NONE || d.size_bytes == U64_NONE)
			r = err_make(e, ERR_INVALID, -EINVAL, name, NULL,
				     "row %zu has no path, type or size", rows.n + 1);
		else
			*vec_add(&rows) = d;
	}
	*ret = arena_alloc(w->mem, (rows.n + 1) * sizeof **ret);
	if (rows.n)
		memcpy(*ret, rows.items, rows.n * sizeof **ret);
	*ret_n = rows.n;
	vec_free(&rows);
	return r;
}

static struct disk *find(struct disk *disks, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (streq(disks[i].path, name) || streq(disks[i].serial, name) ||
		    streq(disks[i].wwn, name) ||
		    (starts_with(disks[i].path, "/dev/") && streq(disks[i].path + 5, name)))
			return &disks[i];
	return NULL;
}

static int no_such_disk(const char *object, const char *name, struct err *e)
{
	return err_make(e, ERR_NO_DEVICE, -ENODEV, object, "topo disks lists the disks",
			"there is no disk %s", name);
}

/* "sda=ssd": the operator knows better than a USB bridge or a hypervisor. */
static int override_types(struct world *w, const char **types, struct disk *disks, size_t n,
			  struct err *e)
{
	for (; types && *types; types++) {
		const char *equals = strrchr(*types, '='), *name;
		struct disk *d;
		uint32_t type = 0;

		if (!equals || equals == *types)
			return err_usage(e, "--type", "'%s' is not DISK=TYPE", *types);
		while (disk_type_names[type] && !streq(disk_type_names[type], equals + 1))
			type++;
		if (!disk_type_names[type])
			return err_usage(e, "--type", "'%s' is no type; give nvme, ssd, hdd or virtual",
					 equals + 1);
		name = arena_strn(w->mem, *types, (size_t)(equals - *types));
		d = find(disks, n, name);
		if (!d)
			return no_such_disk("--type", name, e);
		d->type_reason = arena_printf(w->mem, "--type, not %s (%s)",
					      disk_type_names[d->type],
					      d->type_reason ? d->type_reason : "no reason given");
		d->type = type;
	}
	return 0;
}

/* Only the named disks, each of which must be one that may be taken when `insist`. */
static int restrict_disks(struct world *w, const char **names, bool insist, struct disk *disks,
			  size_t *n, struct err *e)
{
	const char *why, *hint;
	size_t kept = 0;

	if (!names)
		return 0;
	for (const char **s = names; *s; s++) {
		struct disk *d = find(disks, *n, *s), one;

		if (!d)
			return no_such_disk("--disk", *s, e);
		why = disk_refusal(d, w->mem, &hint);
		if (why && insist)
			return err_refuse(e, d->path, hint, "%s", why);
		if ((size_t)(d - disks) < kept) /* named twice */
			continue;
		one = *d;
		*d = disks[kept];
		disks[kept++] = one;
	}
	*n = kept;
	return 0;
}

static int by_path(const void *a, const void *b)
{
	return strverscmp(((const struct disk *)a)->path, ((const struct disk *)b)->path);
}

int topology_read_disks(struct world *w, const struct feasible_topologies *p, bool insist,
			struct disk **ret, size_t *ret_n, struct err *e)
{
	int r = p->disks ? read_table(w, p->disks, ret, ret_n, e)
			 : inventory_disks(w, ret, ret_n, e);

	if (!r)
		r = override_types(w, p->type, *ret, *ret_n, e);
	if (!r)
		r = restrict_disks(w, p->disk, insist, *ret, ret_n, e);
	if (!r && *ret_n)
		qsort(*ret, *ret_n, sizeof **ret, by_path);
	return r;
}

int topology_by_name(const char *name, enum topology_template *ret, struct err *e)
{
	for (int i = 0; topology_names[i]; i++)
		if (streq(topology_names[i], name)) {
			*ret = (enum topology_template)i;
			return 0;
		}
	return err_usage(e, name,
			 "is no template; there are BtrfsSingle, BcachefsSingle, DualIndependent, "
			 "SsdHddBcachefs, Bcachefs2Copy and BtrfsRaid1");
}

/* A person need not read the same list of disks in every row. */
static void shorten(struct world *w, struct topology *rows)
{
	const struct topology *first = NULL;

	for (int i = 0; i < TOPOLOGY_COUNT; i++) {
		struct topology *t = &rows[i];
		const char **all = t->reasons;
		size_t n = strlist_len((const char *const *)all);

		if (n <= t->causes)
			continue;
		if (!first) {
			first = t;
			continue;
		}
		t->reasons = NULL;
		for (size_t j = 0; j < t->causes; j++)
			strlist_add(w->mem, &t->reasons, all[j]);
		strlist_add(w->mem, &t->reasons,
			    arena_printf(w->mem, "disks: see %s", first->name));
	}
}

static int run_feasible(struct world *w, const void *params, struct sink *out, struct err *e)
{
	const struct feasible_topologies *p = params;
	struct topology rows[TOPOLOGY_COUNT];
	struct topology_means means;
	enum topology_template which;
	bool unmet = false;
	struct disk *disks;
	size_t n;
	int r = 0;

	for (const char **s = p->require; s && *s && !r; s++)
		r = topology_by_name(*s, &which, e);
	if (!r)
		r = topology_read_disks(w, p, false, &disks, &n, e);
	if (!r)
		r = topology_read_means(w, &means, e);
	if (r)
		return r;
	topology_evaluate(disks, n, &means, w->mem, rows);
	for (const char **s = p->require; s && *s; s++)
		unmet |= !topology_by_name(*s, &which, e) && !rows[which].feasible;
	if (w->human)
		shorten(w, rows);
	for (int i = 0; i < TOPOLOGY_COUNT && !r; i++)
		r = sink_row(out, &topology_table, &rows[i]);
	return r ? r : unmet ? EXIT_FOUND : 0;
}

#define FEASIBLE(member, flags, help, ...) \
	FIELD(struct feasible_topologies, member, flags, help, ##__VA_ARGS__)
#define REQUIRE                                                                              \
	FEASIBLE(require, 0, "exit with 3 when this template is not feasible; may be repeated", \
		 .arg = "TEMPLATE")
#define DISK                                                                                 \
	FEASIBLE(disk, 0, "look at this disk only; may be repeated", .arg = "DISK",           \
		 .complete = "disk")
#define TYPE                                                                                 \
	FEASIBLE(type, 0,                                                                     \
		 "override a wrongly detected type: nvme, ssd, hdd, virtual; may be repeated", \
		 .arg = "DISK=TYPE")
static const struct field feasible_params[] = { REQUIRE, DISK, TYPE, FIELD_END };
static const struct field topo_params[] = {
	REQUIRE, DISK, TYPE,
	FEASIBLE(disks, 0, "read a table of disks, as topo disks prints it, instead of the machine",
		 .arg = "FILE", .complete = "file"),
	FIELD_END,
};

#define FEASIBLE_OPERATION                                                             \
	.name = "feasible_topologies",                                                 \
	.summary = "say which templates the disks allow, and why not the others",      \
	.params_size = sizeof(struct feasible_topologies),                             \
	.tables = TABLES(&topology_table), .run = run_feasible

const struct operation feasible_topologies_op = { FEASIBLE_OPERATION, .params = feasible_params };
/* Reads a file of the caller's choice: nothing for a daemon. */
const struct operation topo_op = { FEASIBLE_OPERATION, .params = topo_params, .flags = OP_LOCAL };
