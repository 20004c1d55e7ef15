/*
 * mos-sysvol's own words. The protocol, in one place (docs/man/mos-sysvol.mdoc says it to users):
 *
 * 1. The disks are locked for all that follows, so that udevd assembles and scans nothing of it.
 *    Each gets its whole table in one write, with every partition under a *provisional* name:
 *    `mosdata.new`. (lib/os/gpt writes backup, flush, primary, flush, protective MBR, flush; before
 *    the last sector the disk still counts as empty.) A table that is there from an unfinished run
 *    is written over in that order, never wiped first.
 * 2. Signatures in the partitions are erased; arrays, filesystems, swap and subvolumes are made, and
 *    each is durable when its step ends. What a new array shows of an old one is erased too.
 * 3. Each half of a mirror records which disk the other is.
 * 4. The *commit* is one more write of the table (backup, flush, primary, flush): the names lose
 *    their `.new`. With two disks there are two, the second after the first is durable.
 *
 * So a run that finds, after a cut of power:
 *   only provisional names, on all    nothing was ever used: erases the records, then starts afresh
 *                                     on the same disks. (Also where the backup has final names and
 *                                     the primary not yet.)
 *   final names on one disk, on the other provisional names around members of the same
 *   filesystem                        everything is durable: renames the rest;
 *   a damaged primary table, a good backup (or the reverse) with our names, final or around a
 *   record of the other half          the cut tore the table's write: writes the copies alike;
 *   final names                       complete: assembles and mounts;
 *   provisional names and a record of the other half, which is not there
 *                                     complete, and the other half may be committed and have been
 *                                     used: waits for it, refuses, goes on degraded when asked to.
 * A disk with anything else on it is not ours and is left alone.
 *
 * A half that is mounted degraded first records that it is used *alone*. A half without that record
 * beside one with it, or of an earlier *epoch*, or with a generation more than one behind, holds old
 * data and is left out: not scanned, not assembled, not written to, until --repair names it. Two of
 * one epoch that were each used alone are a split: refused until mosdisk= chooses. --repair mirrors
 * onto provisional names and a record of epoch 0; when all is mirrored it renews both records with
 * the next epoch and without `alone`, the new half's first, then commits. So a provisional member
 * whose record is of a later epoch than the other half's, or of the same and that one not alone, is
 * complete: a boot finishes the commit. One of the same epoch beside a half that was used alone since
 * holds old data as any other. One of epoch 0 is *joining*: it is brought up with the other half, whose
 * new writes it gets, and keeps its names until --repair has run to its end. Without the other half it
 * is left as it is: it is nobody's to start afresh on. A record carries the UUID of the partition that
 * it stands in: one of an earlier table does not count in a provisional one.
 */
#ifndef MOS_SYSVOL_H
#define MOS_SYSVOL_H

#include "lib/storage/inventory.h"
#include "lib/storage/plan.h"
#include "lib/storage/subvolume.h"

/* The fixed layout, in the order of the partitions' numbers. */
enum part { PART_BIOS, PART_EFI, PART_BOOT, PART_SWAP, PART_DATA, PARTS };

struct layout_part {
	const char *name, *part_type, *fstype, *label;
	const char *program; /* that makes the filesystem */
};
extern const struct layout_part layout[PARTS];

#define PROVISIONAL ".new"

struct config {
	uint64_t data_bytes, swap_bytes;
	const char **disks; /* mosdisk=: serial, WWN or path; NULL: choose */
	bool degraded;
	double wait_s;
	const char *target; /* prefix of the mount points, "" for / */
};

/* Sizes of the five partitions on a disk with this sector size, and all of it with the table. */
uint64_t layout_size_bytes(const struct config *c, enum part part, uint64_t sector_bytes);
uint64_t layout_total_bytes(const struct config *c, uint64_t sector_bytes);

/* A disk that carries MOS partitions. */
struct mos_disk {
	const struct disk *disk;
	const struct partition *part[PARTS]; /* NULL: missing */
	bool provisional;		     /* all its partitions have provisional names */
	bool damaged;			     /* one copy of its table is not valid */
	bool filling;			     /* its data partition is the target of a replace */
	uint64_t devid, generation;	     /* of its data partition's btrfs superblock; 0: none */
	uint64_t epoch;			     /* how often it was mirrored: peer.c; 0: no record */
	bool alone;			     /* it was used without the other half since */
	const char *peer;		     /* the other half, by its record; NULL: no record */
	bool joining; /* its filesystem is a member already, but the repair has not ended */
	bool is_new_half; /* a repair began to mirror onto it */
	const char *left_out;		     /* why it is not taken for a member, though it says so */
};

/* One MOS data filesystem, by its UUID. */
struct mos_set {
	const char *uuid;
	uint64_t devices_total; /* members it should have */
	size_t devices_present; /* whole and current: without those filling and left out */
	struct mos_disk *disks[8]; /* that carry its members, committed or not */
	size_t n_disks;
	bool committed; /* one disk at least has final names, or may have: survey.c, keep_lone_half() */
	bool split;	/* two halves were each used alone: neither has what the other has */
	const char *missing; /* the missing disk, as its other half describes it; NULL: unknown */
};

struct survey {
	struct disk *disks;
	size_t n_disks;
	struct partition *parts;
	size_t n_parts;
	struct mount_point *mounts;
	size_t n_mounts;
	struct mos_disk *mos;
	size_t n_mos;
	struct mos_set *sets;
	size_t n_sets;
	const char **swaps; /* devices in use as swap */
	const char **torn;  /* disks that hold storage of ours and whose primary table is damaged */
};

enum action {
	ACT_START,  /* the storage is there */
	ACT_MAKE,   /* it is not: make it on chosen disks */
	ACT_WAIT,   /* not yet: a member or a disk is missing, and may still come */
	ACT_REFUSE, /* e says why */
};

/* Why a disk was taken or passed over: a row. */
struct candidate {
	const char *disk;
	uint64_t size_bytes;
	uint32_t type;
	const char *serial;
	bool taken;
	const char *reason;
};
extern const struct table candidate_table;

struct decision {
	enum action action;
	const struct mos_set *set;	/* ACT_START */
	bool degraded;			/* ACT_START with a member missing, as asked for */
	const struct disk *make[2];	/* ACT_MAKE: one or two disks */
	size_t n_make;
	struct candidate *candidates;	/* of every disk */
	size_t n_candidates;
};

/* survey.c: reads the machine, finds MOS disks and sets. */
int survey_read(struct world *w, struct survey *ret, struct err *e);
int survey_swaps(struct world *w, struct survey *s); /* swap in use */
bool set_is_wanted(const struct config *c, const struct mos_set *set); /* decide.c: by mosdisk= */
const struct mos_disk *survey_mos_disk(const struct survey *s, const struct disk *d);

/* decide.c: pure. last: time is up, nothing will come any more. */
int decide(struct world *w, const struct config *c, const struct survey *s, bool last,
	   struct decision *ret, struct err *e);

/* make.c and start.c: plans. Devices of a set that is to be started, found or about to be made. */
struct storage {
	const char *data;	/* a member of MOSDATA */
	const char *boot, *efi; /* partition or array; NULL: missing */
	const char **swaps;
	const char **members; /* of MOSDATA, to be scanned */
	const char **left_out; /* that say they are members, to be forgotten */
	bool degraded;
};
int plan_make(struct world *w, const struct config *c, const struct survey *s,
	      const struct decision *d, struct plan *p, struct storage *ret, struct err *e);
int plan_start(struct world *w, const struct config *c, const struct survey *s,
	       const struct decision *d, struct plan *p, struct storage *ret, struct err *e);
void plan_mount(struct world *w, const struct config *c, const struct survey *s,
		const struct storage *st, struct plan *p);

/* peer.c: what a half of a mirror says of the other. peer_read: false: nothing is recorded.
 * peer_read_at: for a partition that the kernel does not show, of the disk, to end_bytes of it. */
struct peer_record {
	const char *peer; /* the other half's disk, in words */
	uint64_t epoch;	  /* how often the two were mirrored: each --repair counts */
	bool alone;	  /* used without the other since then */
	bool is_stale;	  /* of an earlier table: it says nothing of what is made in this one */
};
const char *peer_describe(const struct disk *d, struct arena *a);
bool peer_read(struct world *w, const struct partition *bios, struct peer_record *ret);
bool peer_read_at(struct world *w, const char *device, uint64_t end_bytes, const char *uuid,
		  struct peer_record *ret);
const char *peer_epoch(struct arena *a, uint64_t epoch); /* --epoch's value */
extern const struct operation record_peer_op;

/* start.c: the array that holds a partition ("/dev/md127"), or NULL; where MOSDATA is mounted. */
const char *array_of(struct world *w, const struct partition *part);
/* start.c: "/dev/md127", not in use yet. */
const char *free_array(struct world *w, enum part part);
const char *survey_data_target(const struct survey *s, const struct mos_set *set);
/* Whether the mounted filesystem has this device open as one of its own (survey.c). */
bool survey_is_open(struct world *w, const struct mos_set *set, const char *device);
/* make.c: stops what udev or an initramfs made of this disk's partitions. */
void plan_stop_arrays(struct world *w, const struct survey *s, const struct disk *d,
		      struct plan *p, const char ***stopped);
/* repair.c */
int plan_repair(struct world *w, const struct survey *s, const char *disk, struct plan *p,
		struct err *e);

/* status.c: rows of status_tables; EXIT_FOUND when something is not as it should be. */
int status_report(struct world *w, const struct config *c, struct sink *out, struct err *e);
extern const struct table *const status_tables[];

/* "md127" in "sda2 held by md127" (disk.used_by), or NULL. */
const char *held_by_array(const char *use);

const char *partition_path(struct arena *a, const char *disk, unsigned number);

#endif
