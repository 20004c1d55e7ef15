/*
 * GUID partition tables. The format is libfdisk's, computed on a copy of the disk's two table
 * regions in memory; the order of the writes is ours, so that a power cut between any two sectors
 * leaves the old table or the new one.
 */
#ifndef OS_GPT_H
#define OS_GPT_H

#include "lib/core/err.h"

#include <stdint.h>

enum { GPT_NAME_MAX = 36 }; /* UTF-16 units */
#define GPT_GRAIN_BYTES (UINT64_C(1) << 20)

struct gpt_partition {
	uint64_t number; /* from 1 */
	uint64_t start_bytes, size_bytes;
	const char *name;	/* UTF-8; "" when it has none */
	const char *part_type;	/* "linux" "esp" "swap" "bios_boot" "raid", else the GUID */
	const char *type_uuid;	/* the type's GUID, lower case */
	const char *uuid;
};

struct gpt_extent {
	uint64_t start_bytes, size_bytes; /* both multiples of GPT_GRAIN_BYTES */
};

enum gpt_state {
	GPT_NONE,	 /* no table, or another kind: see found */
	GPT_GOOD,	 /* both copies valid and alike */
	GPT_PRIMARY_BAD, /* read from the backup */
	GPT_BACKUP_BAD,	 /* read from the primary */
	GPT_DIFFERENT,	 /* both valid, not alike: a change was cut short; the primary counts */
	GPT_HYBRID,	 /* good, but the MBR has partitions besides the protective one */
	GPT_NO_MBR,	 /* copies with partitions, but no protective MBR: nobody else sees them */
	GPT_INVALID,	 /* checksums hold, but partitions overlap or lie outside */
	GPT_BROKEN,	 /* a protective MBR, but no copy is valid */
};

struct gpt {
	const char *disk;	     /* for messages */
	uint64_t size_bytes, sector_bytes;
	enum gpt_state state;
	const char *found;	     /* what is there, in words: "a dos partition table"; NULL: good */
	const char *uuid;	     /* the disk's */
	uint64_t first_usable_bytes; /* of the usable range */
	uint64_t end_usable_bytes;   /* exclusive */
	bool grown;		     /* the disk ends behind the backup: the next change moves it */
	struct gpt_partition *partitions; /* by number */
	size_t n;
	struct gpt_extent *free;     /* by position; gaps of less than a grain are left out */
	size_t n_free;
	struct gpt_image *image;     /* private: the bytes wanted, see gpt_format.h */
	struct arena *mem;
};

/*
 * Reads both copies through fd (a disk or an image), strings in the arena. Returns 0 also for
 * GPT_NONE and GPT_BROKEN; -errno when the disk cannot be read. Both copies are checked: header and
 * entries' checksums, places, ranges, overlaps.
 */
int gpt_read(int fd, const char *disk, uint64_t size_bytes, uint64_t sector_bytes, struct arena *a,
	     struct gpt *ret, struct err *e);

/* 0 when it may be changed; else a refusal that says which copy is good and what to do. GPT_GOOD
 * and GPT_DIFFERENT may: the next change makes both copies alike. */
int gpt_check_changeable(const struct gpt *g, struct err *e);

/*
 * Names ending in .new are given until what is in the partitions is complete. A table that has only
 * such, and no protective MBR yet, is what a cut of power leaves while it is made in one write:
 * GPT_NONE, as if it had not begun.
 */
static inline bool gpt_name_is_provisional(const char *name)
{
	return name && ends_with(name, ".new");
}

const struct gpt_partition *gpt_find(const struct gpt *g, const char *name);
const struct gpt_partition *gpt_number(const struct gpt *g, uint64_t number);
/* The largest gap (the first of equals), or NULL. */
const struct gpt_extent *gpt_largest_free(const struct gpt *g);

/* "linux" "esp" "swap" "bios_boot" "raid" or a GUID -> the GUID, lower case, constant or in the
 * arena; NULL for anything else. The other way: the short name, or NULL. */
const char *gpt_type_uuid(const char *part_type, struct arena *a);
const char *gpt_type_name(const char *type_uuid);
/* 0, or ERR_INVALID: a name's length and characters. */
int gpt_check_name(const char *name, const char *object, struct err *e);

/*
 * Changes, in memory; gpt_commit() writes them. Each refreshes partitions and free. After a failure
 * the table in memory is as it was.
 * gpt_create: an empty table, whatever is there.
 * gpt_add: at start_bytes of the given size (multiples of the sector), as that number.
 * gpt_rename: all or none.
 * gpt_repair: the bad copy (or protective MBR) is to be written anew from the good one.
 */
int gpt_create(struct gpt *g, struct err *e);
int gpt_add(struct gpt *g, uint64_t number, uint64_t start_bytes, uint64_t size_bytes,
	    const char *name, const char *part_type, struct err *e);
int gpt_delete(struct gpt *g, uint64_t number, struct err *e);
struct gpt_rename {
	const char *from, *to;
};
int gpt_rename(struct gpt *g, const struct gpt_rename *names, size_t n, struct err *e);
int gpt_repair(struct gpt *g, struct err *e);

/*
 * The writes that make the change, in groups: a group is durable (fsync) before the next begins;
 * within one the order does not matter. 1: backup entries and header; 2: primary entries and
 * header; 3: protective MBR. Only sectors that change; none: nothing to do.
 */
struct gpt_write {
	unsigned group;
	uint64_t offset_bytes, size_bytes;
	const void *data;
	const char *what; /* "backup header" */
};
int gpt_writes(const struct gpt *g, int fd, struct arena *a, struct gpt_write **ret, size_t *ret_n,
	       struct err *e);
/* Writes them through fd, each group made durable, reads back and compares. */
int gpt_commit(struct gpt *g, int fd, struct arena *a, struct err *e);

#endif
