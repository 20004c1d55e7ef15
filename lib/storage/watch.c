/*
 * Events by comparing: the kernel's messages (uevents, mountinfo's POLLPRI) only say that it is time
 * to look again, so that one that is lost or merged costs nothing. See watch.h.
 */
#include "lib/storage/watch.h"

#include "lib/core/clock.h"
#include "lib/os/btrfs_work.h"
#include "lib/storage/btrfs_scrub.h"
#include "lib/storage/btrfs_upkeep.h"
#include "lib/storage/machine.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>

static const char *const event_names[] = {
	"disk_added",	     "disk_removed",	  "disk_changed", "partition_added",
	"partition_removed", "partition_changed", "mounted",	  "unmounted",
	"remounted",	     "scrub",		  "balance",	  "device_errors",
	NULL
};

#define EV(member, flags, help, ...) FIELD(struct event, member, flags, help, ##__VA_ARGS__)
static const struct field event_fields[] = {
	EV(seen_time, 0, "when it was seen"),
	EV(event, 0, "what happened", .names = event_names),
	EV(object, KEY, "device or mount point"),
	EV(text, 0, "more of it"),
	EV(done_percent, 0, "scrub, balance: how far it is"),
	EV(count, 0, "device_errors: the counter as it is now"),
	EV(rise, 0, "device_errors: by how much it rose"),
	FIELD_END,
};
const struct table event_table = TABLE(struct event, "events", "what happened", event_fields);

struct params {
	double interval_s;
};
static const struct field params[] = {
	FIELD(struct params, interval_s, 0, "how often to look at scrubs, balances and error counters",
	      .letter = 'i', .def = "2"),
	FIELD_END,
};

/* One btrfs as it was at the last look. */
struct fs_state {
	char uuid[BTRFS_UUID_TEXT];
	const char *target; /* one of its mount points */
	uint32_t scrub_state;
	double scrub_started_time;
	double scrub_percent;
	int balance; /* 1: there is one */
	double balance_percent;
	struct device_errors *errors;
	size_t n_errors;
};

/* What was there at the last look: all of it in an arena of its own, which the next look replaces. */
struct state {
	struct arena mem;
	struct machine *machine;
	VEC(struct fs_state) filesystems;
};

static void state_release(struct state **s)
{
	if (!*s)
		return;
	machine_free(&(*s)->machine);
	vec_free(&(*s)->filesystems);
	arena_free(&(*s)->mem);
	free(*s);
	*s = NULL;
}

struct watch {
	struct world *w;
	struct sink *out;
	int failed; /* the sink's error */
};

static struct event event_of(enum event_kind kind, const char *object)
{
	return (struct event){ .seen_time = clock_wall_s(), .event = kind, .object = object,
			       .done_percent = DOUBLE_NONE, .count = U64_NONE, .rise = U64_NONE };
}

static void give(struct watch *k, const struct event *ev)
{
	if (!k->failed)
		k->failed = sink_row(k->out, &event_table, ev);
}

/* --- devices --- */

static bool is_shown(const struct blockdev *b)
{
	return b->kind != BLOCKDEV_OPTICAL;
}

static const struct blockdev *find_device(const struct machine *m, const struct blockdev *like)
{
	for (size_t i = 0; m && i < m->devices.n; i++) {
		const struct blockdev *b = m->devices.items[i];

		if (streq(b->name, like->name) && streq(b->devno, like->devno) &&
		    b->diskseq == like->diskseq && b->kind == like->kind &&
		    b->start_bytes == like->start_bytes)
			return b;
	}
	return NULL;
}

static void device_event(struct watch *k, enum event_kind kind, const struct blockdev *b,
			 const char *text)
{
	struct event ev;

	if (b->kind == BLOCKDEV_PARTITION)
		kind = (enum event_kind)(kind + EVENT_PARTITION_ADDED - EVENT_DISK_ADDED);
	ev = event_of(kind, b->path);
	ev.text = text;
	give(k, &ev);
}

static void compare_devices(struct watch *k, const struct machine *was, const struct machine *is)
{
	struct arena mem auto_arena = { 0 };

	for (size_t i = was->devices.n; i-- > 0;)
		if (is_shown(was->devices.items[i]) && !find_device(is, was->devices.items[i]))
			device_event(k, EVENT_DISK_REMOVED, was->devices.items[i], NULL);
	for (size_t i = 0; i < is->devices.n; i++) {
		const struct blockdev *b = is->devices.items[i], *before = find_device(was, b);

		if (!is_shown(b))
			continue;
		if (!before)
			device_event(k, EVENT_DISK_ADDED, b,
				     arena_printf(&mem, "%" PRIu64 " bytes", b->size_bytes));
		else if (before->size_bytes != b->size_bytes)
			device_event(k, EVENT_DISK_CHANGED, b,
				     arena_printf(&mem, "size was %" PRIu64 " bytes, is %" PRIu64,
						  before->size_bytes, b->size_bytes));
		else if (before->read_only != b->read_only)
			device_event(k, EVENT_DISK_CHANGED, b,
				     b->read_only ? "is read-only now" : "is writable now");
	}
}

/* --- mounts --- */

static const struct mount_info *find_mount(const struct machine *s, const struct mount_info *like)
{
	for (size_t i = 0; i < s->n_mounts; i++) {
		const struct mount_info *m = &s->mounts[i];

		if (m->id == like->id && streq(m->target, like->target) &&
		    streq(m->source, like->source) && streq(m->root, like->root))
			return m;
	}
	return NULL;
}

static void mount_event(struct watch *k, enum event_kind kind, const struct mount_info *m,
			struct arena *mem)
{
	struct event ev = event_of(kind, m->target);

	ev.text = arena_printf(mem, "%s %s %s", m->source, m->fstype, m->options);
	give(k, &ev);
}

static void compare_mounts(struct watch *k, const struct machine *old, const struct machine *new)
{
	struct arena mem auto_arena = { 0 };

	for (size_t i = old->n_mounts; i-- > 0;)
		if (!find_mount(new, &old->mounts[i]))
			mount_event(k, EVENT_UNMOUNTED, &old->mounts[i], &mem);
	for (size_t i = 0; i < new->n_mounts; i++) {
		const struct mount_info *m = &new->mounts[i], *before = find_mount(old, m);

		if (!before)
			mount_event(k, EVENT_MOUNTED, m, &mem);
		else if (!streq(before->options, m->options))
			mount_event(k, EVENT_REMOUNTED, m, &mem);
	}
}

/* --- btrfs --- */

struct scrub_capture {
	struct sink sink;
	struct scrub total;
};

static int capture_row(struct sink *s, const struct table *t, const void *row)
{
	if (t == &scrub_table)
		((struct scrub_capture *)s)->total = *(const struct scrub *)row;
	return 0;
}
static const struct sink_type capture_type = { .row = capture_row };

static const struct fs_state *find_fs(const struct state *s, const char *uuid)
{
	for (size_t i = 0; i < s->filesystems.n; i++)
		if (streq(s->filesystems.items[i].uuid, uuid))
			return &s->filesystems.items[i];
	return NULL;
}

static void look_at_fs(struct world *w, const char *target, struct state *s)
{
	struct scrub_capture scrub = { .sink.type = &capture_type };
	struct btrfs_fs fs auto_btrfs_fs = BTRFS_FS_CLOSED;
	struct btrfs_balance balance = { 0 };
	struct fs_state *f;
	struct err ignored;

	if (btrfs_fs_open_mounted(w, target, &fs, &ignored) || find_fs(s, fs.info.uuid))
		return;
	f = vec_add(&s->filesystems);
	memcpy(f->uuid, fs.info.uuid, sizeof f->uuid);
	f->target = target;
	scrub.total.state = SCRUB_NEVER;
	if (!scrub_show(w, &fs, &scrub.sink, &ignored)) {
		f->scrub_state = scrub.total.state;
		f->scrub_percent = scrub.total.done_percent;
		f->scrub_started_time = scrub.total.started_time;
	}
	f->balance = btrfs_balance_progress(fs.fd, fs.name, &balance, &ignored) == 1;
	f->balance_percent = f->balance && balance.expected
				     ? 100.0 * (double)balance.completed / (double)balance.expected
				     : 0;
	if (device_errors_read(w, &fs, false, &f->errors, &f->n_errors, &ignored))
		f->n_errors = 0;
}

static void compare_errors(struct watch *k, const struct fs_state *was, const struct fs_state *is)
{
	static const struct {
		const char *name;
		size_t offset;
	} counters[] = {
		{ "write_io_errs", offsetof(struct device_errors, write_io_errs) },
		{ "read_io_errs", offsetof(struct device_errors, read_io_errs) },
		{ "flush_io_errs", offsetof(struct device_errors, flush_io_errs) },
		{ "corruption_errs", offsetof(struct device_errors, corruption_errs) },
		{ "generation_errs", offsetof(struct device_errors, generation_errs) },
	};

	for (size_t i = 0; i < is->n_errors; i++)
		for (size_t j = 0; j < was->n_errors; j++)
			for (size_t c = 0; c < COUNT(counters); c++) {
				const struct device_errors *a = &was->errors[j], *b = &is->errors[i];
				uint64_t before, now;
				struct event ev;

				if (a->devid != b->devid)
					continue;
				memcpy(&before, (const char *)a + counters[c].offset, sizeof before);
				memcpy(&now, (const char *)b + counters[c].offset, sizeof now);
				if (before == U64_NONE || now == U64_NONE || now <= before)
					continue;
				ev = event_of(EVENT_DEVICE_ERRORS, b->device);
				ev.text = counters[c].name;
				ev.count = now;
				ev.rise = now - before;
				give(k, &ev);
			}
}

static void compare_fs(struct watch *k, const struct fs_state *was, const struct fs_state *is)
{
	static const char *const scrub_names[] = { "never", "running", "finished", "aborted",
						   "interrupted" };
	struct event ev = event_of(EVENT_SCRUB, is->target);
	/* One may have begun and ended between two looks. */
	bool changed = was && (was->scrub_state != is->scrub_state ||
			       (isfinite(is->scrub_started_time) &&
				was->scrub_started_time != is->scrub_started_time));

	if (is->scrub_state == SCRUB_RUNNING
		    ? !was || changed || was->scrub_percent != is->scrub_percent
		    : changed) {
		ev.text = scrub_names[is->scrub_state];
		ev.done_percent = is->scrub_percent;
		give(k, &ev);
	}
	ev = event_of(EVENT_BALANCE, is->target);
	if (is->balance ? !was || !was->balance || was->balance_percent != is->balance_percent
			: was && was->balance) {
		ev.text = is->balance ? "running" : "ended";
		ev.done_percent = is->balance ? is->balance_percent : DOUBLE_NONE;
		give(k, &ev);
	}
	if (was)
		compare_errors(k, was, is);
}

static void compare_filesystems(struct watch *k, const struct state *old, const struct state *new)
{
	for (size_t i = 0; i < new->filesystems.n; i++) {
		const struct fs_state *f = &new->filesystems.items[i];

		compare_fs(k, find_fs(old, f->uuid), f);
	}
}

/* Looks at everything, into *s; the devices' contents are not read. */
static int look(struct world *w, struct state *s, struct err *e)
{
	struct world here = *w;
	int r;

	here.mem = &s->mem;
	r = machine_read(&here, &s->machine, e);
	for (size_t i = 0; !r && i < s->machine->n_mounts; i++)
		if (streq(s->machine->mounts[i].fstype, "btrfs"))
			look_at_fs(&here, s->machine->mounts[i].target, s);
	return r;
}

static void drain(struct udev_watch *u)
{
	struct arena mem auto_arena = { 0 };
	struct udev_event ev;

	while (udev_watch_next(u, 0, &mem, &ev) > 0)
		;
}

/* Waits for a message or the interval's end; a burst of messages is one. */
static int wait_for_change(struct world *w, struct udev_watch *u, int mountinfo, int timeout_ms)
{
	struct pollfd p[] = { { .fd = udev_watch_fd(u), .events = POLLIN },
			      { .fd = mountinfo, .events = POLLPRI } };
	int n = poll(p, COUNT(p), timeout_ms);

	if (n < 0 && errno != EINTR)
		return -errno;
	if (n > 0 && p[0].revents && !*w->stop) {
		poll(NULL, 0, 50); /* what belongs to one change comes together */
		drain(u);
	}
	return 0;
}

static int run(struct world *w, const void *run_params, struct sink *out, struct err *e)
{
	const struct params *p = run_params;
	struct state *old auto_release(state_release) = xcalloc(1, sizeof *old);
	struct udev_watch *u auto_udev_watch = NULL;
	struct state none = { 0 };
	struct watch k = { .w = w, .out = out };
	int mountinfo auto_close = -1;
	int r;

	if (!(p->interval_s >= 0.1) || p->interval_s > 3600)
		return err_make(e, ERR_INVALID, -EINVAL, "interval_s", NULL,
				"give 0.1 to 3600 seconds");
	r = udev_watch_open(&u, e);
	if (r)
		return r;
	mountinfo = root_open(&w->root, "/proc/self/mountinfo", O_RDONLY);
	if (mountinfo < 0)
		return err_sys(e, mountinfo, "/proc/self/mountinfo", "open");
	r = look(w, old, e);
	if (!r)
		compare_filesystems(&k, &none, old);
	while (!r && !*w->stop) {
		struct state *new auto_release(state_release) = NULL;

		if (!k.failed)
			k.failed = sink_flush(out);
		if (k.failed)
			return err_sys(e, k.failed, "events", "write");
		r = wait_for_change(w, u, mountinfo, (int)(p->interval_s * 1000));
		if (r)
			return err_sys(e, r, "events", "wait");
		new = xcalloc(1, sizeof *new);
		r = look(w, new, e);
		if (r)
			return r;
		compare_devices(&k, old->machine, new->machine);
		compare_mounts(&k, old->machine, new->machine);
		compare_filesystems(&k, old, new);
		state_release(&old);
		old = take(new);
	}
	return r;
}

const struct operation watch_op = {
	.name = "watch",
	.summary = "tell what happens to disks, mounts, scrubs, balances and error counters",
	.params = params,
	.params_size = sizeof(struct params),
	.tables = TABLES(&event_table),
	.flags = OP_STREAM,
	.run = run,
};
