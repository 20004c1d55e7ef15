/* A template as partitions and filesystems, in the rows that mkpart reads. */
#include "lib/storage/topology.h"

#include "lib/storage/partition.h"

#include <errno.h>

static const char *with_number(struct arena *a, const char *s, size_t i, size_t n)
{
	return n == 1 ? s : arena_printf(a, "%s%zu", s, i + 1);
}

static int print_layout(struct world *w, enum topology_template which, const struct topology *t,
			const char *label, struct sink *out)
{
	size_t n = strlist_len(t->disks);
	int r = 0;

	for (size_t i = 0; i < n && !r; i++) {
		bool apart = which == DUAL_INDEPENDENT;
		struct layout_row row = {
			.disk = t->disks[i],
			.name = with_number(w->mem, "data", i, n),
			.part_type = "linux",
			.size_bytes = U64_NONE,
			.label = apart ? with_number(w->mem, label, i, n) : label,
			.volume = apart ? with_number(w->mem, "data", i, n) : "data",
		};

		switch (which) {
		case BTRFS_RAID1:
			row.profile = "raid1";
			/* fall through */
		case BTRFS_SINGLE:
		case DUAL_INDEPENDENT:
			row.fstype = "btrfs";
			break;
		case BCACHEFS_2COPY:
			row.profile = "raid1";
			row.fstype = "bcachefs";
			break;
		case SSD_HDD_BCACHEFS: /* the first device is the cache: the SSD comes first */
			row.profile = "cache";
			/* fall through */
		case BCACHEFS_SINGLE:
		case TOPOLOGY_COUNT:
			row.fstype = "bcachefs";
			break;
		}
		r = sink_row(out, &layout_table, &row);
	}
	return r;
}

static int run_layout(struct world *w, const void *params, struct sink *out, struct err *e)
{
	const struct topology_layout *p = params;
	struct topology rows[TOPOLOGY_COUNT];
	struct topology_means means;
	enum topology_template which;
	struct disk *disks;
	size_t n;
	char *why = NULL;
	struct feasible_topologies from = { .disks = p->disks, .disk = p->disk, .type = p->type };
	int r = topology_by_name(p->template, &which, e);

	if (!r)
		r = topology_read_disks(w, &from, true, &disks, &n, e);
	if (!r)
		r = topology_read_means(w, &means, e);
	if (r)
		return r;
	topology_evaluate(disks, n, &means, w->mem, rows);
	if (!rows[which].feasible) {
		for (const char **s = rows[which].reasons; *s; s++)
			why = why ? arena_printf(w->mem, "%s; %s", why, *s) : arena_str(w->mem, *s);
		return err_make(e, ERR_FAILED, -ENODEV, p->template, NULL, "is not feasible: %.600s",
				why);
	}
	/* Whoever names disks means all of them. */
	if (p->disk && strlist_len(rows[which].disks) != n)
		return err_make(e, ERR_INVALID, -EINVAL, "--disk", "name as many as it takes",
				"%s takes %zu of the %zu disks that are named", p->template,
				strlist_len(rows[which].disks), n);
	return print_layout(w, which, &rows[which], p->label, out);
}

#define LAYOUT(member, flags, help, ...) \
	FIELD(struct topology_layout, member, flags, help, ##__VA_ARGS__)
static const struct field layout_params[] = {
	LAYOUT(template, REQUIRED | OPERAND, "template, as topo lists them", .arg = "TEMPLATE"),
	LAYOUT(disk, 0, "take this disk; may be repeated", .arg = "DISK", .complete = "disk"),
	LAYOUT(type, 0, "override a wrongly detected type: nvme, ssd, hdd, virtual; may be repeated",
	       .arg = "DISK=TYPE"),
	LAYOUT(disks, 0, "read a table of disks, as topo disks prints it, instead of the machine",
	       .arg = "FILE", .complete = "file"),
	LAYOUT(label, 0, "label of the filesystem; two independent ones get a number behind it",
	       .def = "DATA"),
	FIELD_END,
};
const struct operation topology_layout_op = {
	.name = "topology_layout",
	.summary = "print the partitions and filesystems of a template, for mkpart - to make",
	.params = layout_params,
	.params_size = sizeof(struct topology_layout),
	.tables = TABLES(&layout_table),
	.run = run_layout,
	.flags = OP_LOCAL,
};
