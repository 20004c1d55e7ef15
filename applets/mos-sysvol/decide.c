/* What to do about what was found: rules without I/O. */
#include "mos-sysvol.h"

#include "lib/core/size.h"
#include "lib/storage/safety.h"

#include <errno.h>
#include <inttypes.h>

static const struct field candidate_fields[] = {
	FIELD(struct candidate, disk, 0, "the disk"),
	FIELD(struct candidate, size_bytes, 0, "its size"),
	FIELD(struct candidate, type, 0, "its type", .names = disk_type_names),
	FIELD(struct candidate, serial, 0, "its serial number"),
	FIELD(struct candidate, taken, 0, "whether it is taken"),
	FIELD(struct candidate, reason, 0, "why it is taken or passed over"),
	FIELD_END,
};
const struct table candidate_table =
	TABLE(struct candidate, "disks", "every disk, and why it is taken or not", candidate_fields);

/* mosdisk= names a disk by serial, WWN or path. */
static bool is_named(const struct disk *d, const char *name)
{
	return streq(d->serial, name) || streq(d->wwn, name) || streq(d->path, name) ||
	       (starts_with(d->path, "/dev/") && streq(d->path + 5, name));
}

static bool is_wanted(const struct config *c, const struct disk *d)
{
	for (const char **name = c->disks; name && *name; name++)
		if (is_named(d, *name))
			return true;
	return !c->disks;
}

static const char *named_but_missing(const struct config *c, const struct survey *s)
{
	for (const char **name = c->disks; name && *name; name++) {
		bool there = false;

		for (size_t i = 0; i < s->n_disks; i++)
			there |= is_named(&s->disks[i], *name);
		if (!there)
			return *name;
	}
	return NULL;
}

bool set_is_wanted(const struct config *c, const struct mos_set *set)
{
	for (size_t i = 0; i < set->n_disks; i++)
		if (is_wanted(c, set->disks[i]->disk))
			return true;
	return false;
}

static const char *set_text(const struct mos_set *set, struct arena *a)
{
	char *s = arena_printf(a, "MOSDATA %s on", set->uuid);

	for (size_t i = 0; i < set->n_disks; i++) {
		const struct disk *d = set->disks[i]->disk;

		s = arena_printf(a, "%s%s %s%s%s%s", s, i ? "," : "", d->path,
				 d->serial ? " (serial " : "", d->serial ? d->serial : "",
				 d->serial ? ")" : "");
	}
	return s;
}

/* The committed set to start; NULL with no error: there is none. */
static const struct mos_set *choose_set(struct world *w, const struct config *c,
					const struct survey *s, struct err *e)
{
	const struct mos_set *found = NULL;

	for (size_t i = 0; i < s->n_sets; i++) {
		const struct mos_set *set = &s->sets[i];

		if (!set->committed || !set_is_wanted(c, set))
			continue;
		if (found) {
			err_refuse(e, "MOS storage",
				   "boot with mosdisk=SERIAL to choose, or take the other disk out",
				   "there are two different filesystems: %s, and %s",
				   set_text(found, w->mem), set_text(set, w->mem));
			return NULL;
		}
		found = set;
	}
	return found;
}

/* "/dev/sdb (serial X) was away while ..."; NULL: none is left out. */
static const char *left_out_text(const struct mos_set *set, struct arena *a)
{
	char *s = NULL;

	for (size_t i = 0; i < set->n_disks; i++) {
		const struct mos_disk *m = set->disks[i];

		if (m->left_out)
			s = arena_printf(a, "%s%s%s (%s) %s", s ? s : "", s ? "; " : "", m->disk->path,
					 peer_describe(m->disk, a), m->left_out);
	}
	return s;
}

/* Of halves that were each used alone the one that mosdisk= names, when degraded is asked for. */
static bool keep_one_half(const struct config *c, const struct mos_set *set)
{
	const struct mos_disk *kept = NULL;

	if (!c->disks || !c->degraded)
		return false;
	for (size_t i = 0; i < set->n_disks; i++) {
		if (!is_wanted(c, set->disks[i]->disk))
			continue;
		if (kept)
			return false;
		kept = set->disks[i];
	}
	for (size_t i = 0; kept && i < set->n_disks; i++)
		if (set->disks[i] != kept)
			set->disks[i]->left_out = "was used alone too, and is not the half to keep";
	return kept != NULL;
}

static int decide_start(struct world *w, const struct config *c, const struct mos_set *set,
			bool last, struct decision *d, struct err *e)
{
	const char *old;

	d->set = set;
	d->action = ACT_START;
	if (set->split && !keep_one_half(c, set)) {
		d->action = ACT_REFUSE;
		return err_refuse(e, set_text(set, w->mem),
				  "boot with mosdisk=SERIAL mosdegraded=1 to keep that half, then "
				  "run mos-sysvol --repair OTHERDISK, which loses what only the other "
				  "half has",
				  "each half was used without the other, and has what the other lacks");
	}
	if (!set->split && set->devices_present >= set->devices_total)
		return 0;
	d->action = last ? ACT_START : ACT_WAIT;
	if (!last)
		return 0;
	if (c->degraded) {
		d->degraded = true;
		return 0;
	}
	d->action = ACT_REFUSE;
	old = left_out_text(set, w->mem);
	if (old)
		return err_refuse(e, set_text(set, w->mem),
				  "boot with mosdegraded=1 to go on without it, and then run "
				  "mos-sysvol --repair with it to mirror anew",
				  "%s", old);
	return err_refuse(e, set_text(set, w->mem),
			  "connect the missing disk and boot again, or boot with mosdegraded=1 to go "
			  "on without it and then run mos-sysvol --repair NEWDISK",
			  "%" PRIu64 " of its %" PRIu64 " disks is missing%s%s",
			  set->devices_total - set->devices_present, set->devices_total,
			  set->missing ? ": " : "", set->missing ? set->missing : "");
}

/* Why a provisional disk is not to be begun afresh on: with its mirror's other half it would be. */
static const char *why_kept(struct world *w, const struct survey *s, const struct mos_disk *m)
{
	if (m->is_new_half)
		return "is a mirror's new half whose repair has not ended, and the other half is missing; "
		       "wipefs --all empties it";
	for (size_t i = 0; m->epoch && i < s->n_sets; i++) {
		const struct mos_set *set = &s->sets[i];

		for (size_t k = 0; k < set->n_disks; k++)
			if (set->disks[k] == m && set->n_disks < set->devices_total)
				return arena_printf(w->mem, "is half of a mirror, and the other half is "
						    "missing: %s; wipefs --all empties it", m->peer);
	}
	return NULL;
}

/* A provisional disk counts as empty, as long as nothing but its own arrays holds it. */
static const char *why_not(struct world *w, const struct config *c, const struct survey *s,
			   const struct disk *d)
{
	static const char *const networks[] = { "fc", "iscsi", "nbd", "rbd", NULL };
	const struct mos_disk *m = survey_mos_disk(s, d);
	uint64_t need = layout_total_bytes(c, d->logical_sector_bytes);
	const char *hint = NULL, *why;
	char size[SIZE_TEXT], needs[SIZE_TEXT];

	if (m && m->provisional) {
		if (d->read_only)
			return "is read-only";
		if (d->probe_error)
			return arena_printf(w->mem, "cannot be probed: %s", d->probe_error);
		if (d->content)
			return arena_printf(w->mem, "holds %s", d->content);
		why = why_kept(w, s, m);
		if (why)
			return why;
		for (const char **u = d->used_by; u && *u; u++)
			if (!held_by_array(*u))
				return arena_printf(w->mem, "left unfinished by an earlier run, and %s",
						    *u);
	} else {
		why = disk_refusal(d, w->mem, &hint);
		if (why)
			return why;
	}
	if (!is_wanted(c, d))
		return "not named by mosdisk";
	if (!c->disks && streq(d->transport, "loop"))
		return "a loop device is taken only when mosdisk names it";
	/* Its partitions are kpartx's: the kernel makes none. */
	if (starts_with(d->path, "/dev/mapper/"))
		return "a multipath disk cannot hold the storage";
	if (!c->disks && d->transport && strlist_has(networks, d->transport))
		return "a disk over a network is taken only when mosdisk names it";
	if (d->size_bytes < need)
		return arena_printf(w->mem, "too small: %s, the layout needs %s",
				    size_text(size, d->size_bytes), size_text(needs, need));
	return NULL;
}

static bool is_provisional(const struct survey *s, const struct disk *d)
{
	const struct mos_disk *m = survey_mos_disk(s, d);

	return m && m->provisional;
}

static uint64_t distance(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

/* Whether pair (a, b) is better than (x, y): begun before, same type, closest size, the larger;
 * then the first by name. */
static bool better(const struct survey *s, const struct disk *a, const struct disk *b,
		   const struct disk *x, const struct disk *y)
{
	int begun = is_provisional(s, a) + is_provisional(s, b);
	int other = is_provisional(s, x) + is_provisional(s, y);

	if (begun != other)
		return begun > other;
	if ((a->type == b->type) != (x->type == y->type))
		return a->type == b->type;
	if (distance(a->size_bytes, b->size_bytes) != distance(x->size_bytes, y->size_bytes))
		return distance(a->size_bytes, b->size_bytes) <
		       distance(x->size_bytes, y->size_bytes);
	return a->size_bytes > x->size_bytes;
}

/* Sectors of different size would make unlike tables: such disks are no pair. */
static bool can_pair(const struct disk *a, const struct disk *b)
{
	return a->logical_sector_bytes == b->logical_sector_bytes;
}

static void choose_disks(const struct survey *s, const struct disk **free, size_t n_free,
			 struct decision *d)
{
	d->n_make = 0;
	for (size_t i = 0; i < n_free; i++)
		for (size_t j = i + 1; j < n_free; j++)
			if (can_pair(free[i], free[j]) &&
			    (!d->n_make ||
			     better(s, free[i], free[j], d->make[0], d->make[1]))) {
				d->make[0] = free[i];
				d->make[1] = free[j];
				d->n_make = 2;
			}
	if (d->n_make || !n_free)
		return;
	d->make[0] = free[0];
	d->n_make = 1;
	for (size_t i = 1; i < n_free; i++)
		if (is_provisional(s, free[i]) && !is_provisional(s, d->make[0]))
			d->make[0] = free[i];
}

static void explain(struct world *w, const struct config *c, const struct survey *s,
		    struct decision *d)
{
	d->candidates = arena_alloc(w->mem, s->n_disks * sizeof *d->candidates);
	d->n_candidates = s->n_disks;
	for (size_t i = 0; i < s->n_disks; i++) {
		const struct disk *k = &s->disks[i];
		const char *why = why_not(w, c, s, k);
		bool taken = k == d->make[0] || (d->n_make == 2 && k == d->make[1]);

		if (taken)
			why = is_provisional(s, k) ? "left unfinished by an earlier run: starts afresh"
			      : d->n_make == 2	   ? "empty, half of the best pair"
						   : "empty, the only one";
		else if (!why)
			why = d->n_make == 2 ? "empty, but another pair fits better"
					     : "empty, but sector sizes differ";
		d->candidates[i] = (struct candidate){ k->path, k->size_bytes, k->type, k->serial,
						       taken, why };
	}
}

static int decide_make(struct world *w, const struct config *c, const struct survey *s, bool last,
		       struct decision *d, struct err *e)
{
	const struct disk **free = arena_alloc(w->mem, (s->n_disks + 1) * sizeof *free);
	const char *missing = named_but_missing(c, s);
	size_t n_free = 0;

	for (size_t i = 0; i < s->n_disks; i++)
		if (!why_not(w, c, s, &s->disks[i]))
			free[n_free++] = &s->disks[i];
	choose_disks(s, free, n_free, d);
	explain(w, c, s, d);
	/* A late disk may hold MOS storage: nothing is made before the time is up, unless the disks
	 * were named and are all there. */
	if (!last && (!c->disks || missing)) {
		d->action = ACT_WAIT;
		return 0;
	}
	d->action = ACT_REFUSE;
	if (missing)
		return err_make(e, ERR_NO_DEVICE, -ENODEV, missing,
				"mosdisk takes a serial, a WWN or a path; topo disks lists them",
				"no such disk");
	for (const char **name = c->disks; name && *name; name++)
		for (size_t i = 0; i < s->n_disks; i++) {
			const char *why = why_not(w, c, s, &s->disks[i]);

			if (is_named(&s->disks[i], *name) && why)
				return err_refuse(e, s->disks[i].path, "name an empty disk", "%s",
						  why);
		}
	/* There is storage then, though none that can be started: a new one would stand beside it. */
	for (size_t i = 0; i < s->n_mos; i++) {
		const char *why = s->mos[i].provisional ? why_kept(w, s, &s->mos[i]) : NULL;

		if (why && is_wanted(c, s->mos[i].disk))
			return err_refuse(e, s->mos[i].disk->path,
					  "connect the other half, or name other disks with mosdisk=",
					  "%s", why);
	}
	if (!n_free)
		return err_refuse(e, "MOS storage",
				  "add an empty disk, or empty one with wipefs --all",
				  "not found on any disk, and no disk is empty and may be taken (the "
				  "rows say why of each of the %zu)",
				  s->n_disks);
	d->action = ACT_MAKE;
	return 0;
}

int decide(struct world *w, const struct config *c, const struct survey *s, bool last,
	   struct decision *d, struct err *e)
{
	const struct mos_set *set;

	*d = (struct decision){ .action = ACT_REFUSE };
	e->code = 0;
	set = choose_set(w, c, s, e);
	if (e->code)
		return e->code;
	if (set) {
		explain(w, c, s, d);
		d->n_candidates = 0; /* found: nobody asks which disk could be taken */
		return decide_start(w, c, set, last, d, e);
	}
	return decide_make(w, c, s, last, d, e);
}
