/*
 * Which storage layouts a set of disks allows: the six templates as pure rules over a table of
 * disks, and the partitions that each would make.
 */
#ifndef STORAGE_TOPOLOGY_H
#define STORAGE_TOPOLOGY_H

#include "lib/storage/inventory.h"

enum topology_template {
	BTRFS_SINGLE,	  /* one disk, btrfs */
	BCACHEFS_SINGLE,  /* one disk, bcachefs */
	DUAL_INDEPENDENT, /* two disks, a btrfs on each */
	SSD_HDD_BCACHEFS, /* bcachefs: an SSD caches an HDD */
	BCACHEFS_2COPY,	  /* bcachefs on all disks, two copies of everything */
	BTRFS_RAID1,	  /* btrfs mirrored over two disks */
	TOPOLOGY_COUNT,
};
/* "BtrfsSingle", ...; NULL at the end. */
extern const char *const topology_names[];

/* What the machine, apart from its disks, can do: NULL, or why not ("this kernel has no bcachefs").
 */
struct topology_means {
	const char *no_btrfs, *no_bcachefs;
};

struct topology {
	const char *name;
	bool feasible;
	const char **disks;	 /* it would take these */
	uint64_t usable_bytes;	 /* for files and their metadata, each counted once */
	const char **reasons;	 /* why it is not feasible: causes, then each disk's own */
	size_t causes;		 /* how many of them are causes (not a column) */
	uint64_t min_disks;
	const char **passed_over; /* every disk that is not empty and free, and why */
	const char *description;
};
extern const struct table topology_table;

/* All templates, in order, in the arena. */
void topology_evaluate(const struct disk *disks, size_t n, const struct topology_means *means,
		       struct arena *a, struct topology ret[TOPOLOGY_COUNT]);

/*
 * The two of these disks that make the best mirror: of the same type if there are two such, then
 * the closest in size, then the larger ones, then the first ones. Disks with a refusal are not
 * looked at. False when there are not two. *a < *b.
 */
bool topology_best_pair(const struct disk *disks, size_t n, size_t *a, size_t *b);

/* What one partition over a whole new GPT of this disk has: 1 MiB before it, and behind it what the
 * backup table needs, rounded down to 1 MiB. 0 when nothing is left. */
uint64_t topology_partition_bytes(const struct disk *d);

/* What the kernel and the programs allow (reads files below the root). */
int topology_read_means(struct world *w, struct topology_means *ret, struct err *e);

struct feasible_topologies {
	const char *disks;    /* a file with a table of disks, "-" for standard input; NULL: ours */
	const char **disk;    /* only these */
	const char **type;    /* "DISK=TYPE" */
	const char **require; /* templates that must be feasible */
};
/* Rows of topology_table; EXIT_FOUND when a required one is infeasible. topo_op is the same with
 * `disks`, for a command line only. */
extern const struct operation feasible_topologies_op, topo_op;

/* The disks that p speaks of, with its overrides, in version order. insist: a named disk that may
 * not be taken is an error. */
int topology_read_disks(struct world *w, const struct feasible_topologies *p, bool insist,
			struct disk **ret, size_t *ret_n, struct err *e);
/* ERR_USAGE, naming all, for any other name. */
int topology_by_name(const char *name, enum topology_template *ret, struct err *e);

struct topology_layout {
	const char *template;
	const char *disks;
	const char **disk, **type;
	const char *label;
};
/* Rows for `mkpart -`: storage/partition.h's layout_table. */
extern const struct operation topology_layout_op;

#endif
