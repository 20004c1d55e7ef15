/* mos-sysvol --status: what is there of the node's storage, and its health. */
#include "mos-sysvol.h"

#include "lib/os/btrfs.h"
#include "lib/os/md.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

struct health {
	const char *object, *what;
	bool ok;
	const char *state, *detail;
};

static const struct field health_fields[] = {
	FIELD(struct health, object, 0, "disk, array, mount point or filesystem"),
	FIELD(struct health, what, 0, "what was looked at"),
	FIELD(struct health, ok, 0, "whether it is as it should be"),
	FIELD(struct health, state, 0, "its state in a word or two"),
	FIELD(struct health, detail, 0, "more, and what to do"),
	FIELD_END,
};
static const struct table health_table =
	TABLE(struct health, "health", "state of the node's storage", health_fields);

struct report {
	struct sink *out;
	bool all_ok;
	int error;
};

static void say(struct report *r, const char *object, const char *what, bool ok, const char *state,
		const char *detail)
{
	struct health h = { object, what, ok, state, detail };

	r->all_ok &= ok;
	if (!r->error)
		r->error = sink_row(r->out, &health_table, &h);
}

static void members(struct world *w, const struct mos_set *set, struct report *r)
{
	bool whole = set->devices_present >= set->devices_total;

	say(r, arena_printf(w->mem, "MOSDATA %s", set->uuid), "members", whole,
	    whole ? "complete" : "degraded",
	    whole ? arena_printf(w->mem, "%" PRIu64 " of %" PRIu64, (uint64_t)set->devices_present,
				 set->devices_total)
		  : arena_printf(w->mem,
				 "%" PRIu64 " of %" PRIu64 "; missing: %s; bring in a new disk with "
				 "mos-sysvol --repair DISK",
				 (uint64_t)set->devices_present, set->devices_total,
				 set->missing ? set->missing : "unknown"));
}

static void tables(struct world *w, const struct mos_set *set, struct report *r)
{
	for (size_t i = 0; i < set->n_disks; i++) {
		const struct mos_disk *m = set->disks[i];

		if (m->left_out)
			say(r, m->disk->path, "member", false, "left out",
			    arena_printf(w->mem, "%s: %s; mos-sysvol --repair %s mirrors it anew, or "
					 "take it out", peer_describe(m->disk, w->mem), m->left_out,
					 m->disk->path));
		else if (m->part[PART_DATA])
			say(r, m->part[PART_DATA]->path, "member", !m->filling,
			    m->filling	 ? "being filled"
			    : m->joining ? "joining"
			    : m->alone	 ? "used alone"
					 : "current",
			    arena_printf(w->mem, "generation %" PRIu64, m->generation));
		say(r, m->disk->path, "partition table", !m->damaged && !m->provisional,
		    m->damaged	     ? "one copy damaged"
		    : m->provisional ? "not committed"
				     : "good",
		    m->joining || m->filling
			    ? arena_printf(w->mem, "run mos-sysvol --repair %s to its end", m->disk->path)
		    : m->damaged || m->provisional ? "run mos-sysvol"
						   : peer_describe(m->disk, w->mem));
	}
}

/* Counters since they were last reset; any of them above zero wants a look. */
static void device_errors(struct world *w, const char *target, struct report *r)
{
	auto_close int fd = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct btrfs_device *devices;
	struct err e = { 0 };
	size_t n;

	if (fd < 0 || btrfs_get_devices(fd, target, w->mem, &devices, &n, &e)) {
		say(r, target, "device errors", false, "unknown",
		    fd < 0 ? strerror(errno) : err_line(&e, w->mem));
		return;
	}
	for (size_t i = 0; i < n; i++) {
		struct btrfs_errors c = { 0 };
		uint64_t sum;

		if (!devices[i].path)
			continue; /* the members' row says it */
		if (btrfs_get_errors(fd, target, devices[i].devid, false, &c, &e)) {
			say(r, devices[i].path, "device errors", false, "unknown",
			    err_line(&e, w->mem));
			continue;
		}
		sum = c.write + c.read + c.flush + c.corruption + c.generation;
		say(r, devices[i].path, "device errors", !sum, sum ? "errors" : "none",
		    arena_printf(w->mem,
				 "write %" PRIu64 ", read %" PRIu64 ", flush %" PRIu64
				 ", corruption %" PRIu64 ", generation %" PRIu64,
				 c.write, c.read, c.flush, c.corruption, c.generation));
	}
}

static bool is_member(const struct md_array *m, const struct mos_set *set, enum part part)
{
	for (size_t i = 0; i < set->n_disks; i++) {
		const struct partition *p = set->disks[i]->part[part];

		if (p && strlist_has((const char *const *)m->members, strrchr(p->path, '/') + 1))
			return true;
	}
	return false;
}

static void arrays(struct world *w, const struct mos_set *set, struct report *r)
{
	struct md_array *all;
	size_t n;

	md_arrays(&w->root, w->mem, &all, &n);
	for (enum part part = PART_EFI; part <= PART_BOOT; part++) {
		const struct partition *p = set->disks[0]->part[part];
		const struct md_array *m = NULL;

		if (!p || !streq(p->fstype, "linux_raid_member"))
			continue;
		for (size_t i = 0; i < n; i++)
			if (is_member(&all[i], set, part))
				m = &all[i];
		if (!m) {
			say(r, p->path, layout[part].name, false, "not assembled", "run mos-sysvol");
			continue;
		}
		if (m->degraded)
			say(r, m->path, layout[part].name, false,
			    streq(m->sync_action, "recover") ? "rebuilding" : "degraded",
			    arena_printf(w->mem, "%" PRIu64 " of %" PRIu64 " members missing",
					 m->degraded, m->raid_disks));
		else
			say(r, m->path, layout[part].name, true, m->state,
			    m->sync_total_sectors != UINT64_MAX && m->sync_total_sectors
				    ? arena_printf(w->mem, "%s %" PRIu64 " %%", m->sync_action,
						   100 * m->sync_done_sectors / m->sync_total_sectors)
				    : "idle");
	}
}

static void mounts(struct world *w, const struct config *c, const struct survey *s,
		   const struct mos_set *set, struct report *r)
{
	const char **targets = NULL;

	for (const char *const *name = core_subvolumes; *name; name++)
		strlist_add(w->mem, &targets, arena_printf(w->mem, "%s/var/cache/%s", c->target, *name));
	strlist_add(w->mem, &targets, arena_printf(w->mem, "%s/boot", c->target));
	strlist_add(w->mem, &targets, arena_printf(w->mem, "%s/boot/efi", c->target));
	for (; *targets; targets++) {
		const struct mount_point *m = NULL;

		for (size_t i = 0; i < s->n_mounts; i++)
			if (streq(s->mounts[i].target, *targets))
				m = &s->mounts[i];
		say(r, *targets, "mount", m != NULL, m ? "mounted" : "not mounted",
		    m ? arena_printf(w->mem, "%s, %s", m->source, m->options) : "run mos-sysvol");
	}
	for (size_t i = 0; i < set->n_disks; i++) {
		const struct partition *p = set->disks[i]->part[PART_SWAP];
		bool used = p && strlist_has((const char *const *)s->swaps, p->path);

		if (p && !set->disks[i]->left_out)
			say(r, p->path, "swap", used, used ? "in use" : "not in use",
			    used ? NULL : "run mos-sysvol");
	}
}

int status_report(struct world *w, const struct config *c, struct sink *out, struct err *e)
{
	struct report report = { .out = out, .all_ok = true };
	const struct mos_set *set = NULL;
	const char *target;
	struct survey s;
	int r = survey_read(w, &s, e);

	for (size_t i = 0; !r && i < s.n_sets; i++) {
		if (!s.sets[i].committed || !set_is_wanted(c, &s.sets[i]))
			continue;
		if (set)
			say(&report, arena_printf(w->mem, "MOSDATA %s", s.sets[i].uuid), "filesystem",
			    false, "second one", "boot with mosdisk=SERIAL, or take its disk out");
		else
			set = &s.sets[i];
	}
	if (r)
		return r;
	if (!set) {
		say(&report, "MOSDATA", "filesystem", false, "not found", "run mos-sysvol to make it");
	} else {
		members(w, set, &report);
		tables(w, set, &report);
		arrays(w, set, &report);
		target = survey_data_target(&s, set);
		if (target && root_is_machine(&w->root))
			device_errors(w, target, &report);
		mounts(w, c, &s, set, &report);
	}
	return report.error ? report.error : report.all_ok ? 0 : EXIT_FOUND;
}

const struct table *const status_tables[] = { &health_table, NULL };
