/* Scrub: see btrfs_scrub.h. */
#include "lib/storage/btrfs_scrub.h"

#include "lib/core/clock.h"
#include "lib/os/btrfs_work.h"
#include "lib/storage/btrfs_scrub_file.h"

#include <errno.h>
#include <pthread.h>

static const char *const state_names[] = { "never", "running", "finished", "aborted",
					   "interrupted", NULL };

#define SC(member, flags, help, ...) FIELD(struct scrub, member, flags, help, ##__VA_ARGS__)
#define SCRUB_FIELDS                                                                           \
	SC(started_time, 0, "when the last scrub began"),                                      \
	SC(resumed_time, WIDE, "when it was resumed"),                                         \
	SC(duration_s, 0, "how long it took, or runs"),                                        \
	SC(total_bytes, 0, "what there is to read"),                                           \
	SC(scrubbed_bytes, 0, "what it has read"),                                             \
	SC(done_percent, 0, "how much of it that is"),                                         \
	SC(rate_bytes_per_s, 0, "its speed"),                                                  \
	SC(limit_bytes_per_s, WIDE, "the limit set on its speed"),                             \
	SC(left_s, 0, "time it will still take at that speed"),                                \
	SC(errors, 0, "errors found: read, csum, verify and super together"),                  \
	SC(read_errors, WIDE, "blocks that could not be read"),                                \
	SC(csum_errors, WIDE, "blocks with a wrong checksum"),                                 \
	SC(verify_errors, WIDE, "metadata blocks with wrong contents"),                        \
	SC(super_errors, WIDE, "bad superblocks"),                                             \
	SC(malloc_errors, WIDE, "blocks left out for lack of memory"),                         \
	SC(corrected_errors, 0, "repaired (with --read-only: reparable) from another copy"),   \
	SC(uncorrectable_errors, 0, "errors with no good copy to repair from"),                \
	SC(unverified_errors, WIDE, "read errors that did not happen again (while it runs)"),  \
	SC(no_csum, WIDE, "data blocks that have no checksum"),                                \
	SC(csum_discards, WIDE, "checksums of no data")

static const struct field fs_fields[] = {
	SC(state, 0, "never, running, finished, aborted or interrupted", .names = state_names),
	SC(path, KEY, "mount point"),
	SC(uuid, WIDE, "UUID of the filesystem"),
	SCRUB_FIELDS,
	FIELD_END,
};
static const struct field device_fields[] = {
	SC(devid, 0, "device's number in the filesystem"),
	SC(path, KEY, "device node"),
	SC(state, 0, "never, running, finished, aborted or interrupted", .names = state_names),
	SCRUB_FIELDS,
	FIELD_END,
};
const struct table scrub_table = TABLE(struct scrub, "scrub", "the filesystem's scrub", fs_fields);
const struct table scrub_device_table =
	TABLE(struct scrub, "devices", "the scrub of each device", device_fields);

static uint64_t scrubbed(const struct btrfs_scrub *c)
{
	return c->data_bytes_scrubbed + c->tree_bytes_scrubbed;
}

static uint64_t found(const struct btrfs_scrub *c)
{
	return c->read_errors + c->csum_errors + c->verify_errors + c->super_errors;
}

/* What all devices together have to read: each copy of what is used. */
static uint64_t bytes_to_scrub(const struct btrfs_space *s, size_t n)
{
	uint64_t total = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t f = s[i].flags;

		total += s[i].used_bytes * (f & BTRFS_RAID1C4 ? 4
					    : f & BTRFS_RAID1C3 ? 3
					    : f & (BTRFS_DUP | BTRFS_RAID1 | BTRFS_RAID10) ? 2
											   : 1);
	}
	return total;
}

static void add(struct btrfs_scrub *sum, const struct btrfs_scrub *c)
{
#define ADD(member) sum->member += c->member
	ADD(data_bytes_scrubbed), ADD(tree_bytes_scrubbed), ADD(read_errors), ADD(csum_errors);
	ADD(verify_errors), ADD(no_csum), ADD(csum_discards), ADD(super_errors);
	ADD(malloc_errors), ADD(uncorrectable_errors), ADD(corrected_errors);
	ADD(unverified_errors);
#undef ADD
}

/* Fills in what follows from the counters and times. */
static void derive(struct scrub *s, const struct btrfs_scrub *c, uint64_t total_bytes)
{
	double seconds = s->duration_s >= 1 ? s->duration_s : 1;
	bool over = s->state == SCRUB_FINISHED;

	s->scrubbed_bytes = scrubbed(c);
	/* Nearly empty chunks need not be read whole: of a finished scrub its own sum is right. */
	s->total_bytes = over ? s->scrubbed_bytes : total_bytes;
	s->done_percent = over ? 100
			  : s->total_bytes
				  ? 100.0 * (double)s->scrubbed_bytes / (double)s->total_bytes
				  : 0;
	if (s->done_percent > 100)
		s->done_percent = 100;
	s->rate_bytes_per_s = (uint64_t)((double)s->scrubbed_bytes / seconds);
	s->left_s = DOUBLE_NONE;
	if (s->state == SCRUB_RUNNING && s->rate_bytes_per_s)
		s->left_s = s->total_bytes > s->scrubbed_bytes
				    ? (double)(s->total_bytes - s->scrubbed_bytes) /
					      (double)s->rate_bytes_per_s
				    : 0;
	s->errors = found(c);
	s->read_errors = c->read_errors;
	s->csum_errors = c->csum_errors;
	s->verify_errors = c->verify_errors;
	s->super_errors = c->super_errors;
	s->malloc_errors = c->malloc_errors;
	s->corrected_errors = c->corrected_errors;
	s->uncorrectable_errors = c->uncorrectable_errors;
	s->unverified_errors = s->state == SCRUB_RUNNING ? c->unverified_errors : U64_NONE;
	s->no_csum = c->no_csum;
	s->csum_discards = c->csum_discards;
}

static void clear(struct scrub *s, const struct table *t)
{
	*s = (struct scrub){ 0 };
	field_clear(t->fields, s);
}

static double or_none(uint64_t seconds)
{
	return seconds ? (double)seconds : DOUBLE_NONE;
}

static void device_row(struct world *w, const struct btrfs_fs *fs, const struct btrfs_device *d,
		       const struct scrub_record *r, bool running, const struct btrfs_scrub *live,
		       struct scrub *s)
{
	uint64_t limit = btrfs_scrub_limit_bytes_per_s(&w->root, fs->info.uuid, d->devid);
	/* A record of this run is one not yet finished; an older one tells nothing of it, and
	 * btrfs-progs writes its first one only after five seconds. */
	bool known = r && r->started_s && (!running || !r->finished);

	clear(s, &scrub_device_table);
	s->devid = d->devid;
	s->path = d->path;
	s->limit_bytes_per_s = limit ? limit : U64_NONE;
	s->state = running	    ? SCRUB_RUNNING
		   : !r || !r->started_s ? SCRUB_NEVER
		   : r->canceled    ? SCRUB_ABORTED
		   : r->finished    ? SCRUB_FINISHED
				    : SCRUB_INTERRUPTED;
	if (s->state == SCRUB_NEVER)
		return;
	if (known) {
		s->started_time = or_none(r->started_s);
		s->resumed_time = or_none(r->resumed_s);
		s->duration_s = (double)r->duration_s;
	}
	if (running && known) {
		uint64_t since = r->resumed_s ? r->resumed_s : r->started_s;
		double now = clock_wall_s();

		s->duration_s = now > (double)since ? now - (double)since : 0;
	}
	derive(s, running ? live : &r->counters, d->allocated_bytes);
	if (!isfinite(s->duration_s))
		s->rate_bytes_per_s = U64_NONE, s->left_s = DOUBLE_NONE;
}

int scrub_show(struct world *w, const struct btrfs_fs *fs, struct sink *out, struct err *e)
{
	struct btrfs_scrub sum = { 0 };
	struct scrub_record *records;
	struct btrfs_device *devices;
	struct btrfs_space *spaces;
	struct scrub total, *rows;
	size_t n, n_records, n_spaces;
	int r = btrfs_get_devices(fs->fd, fs->name, w->mem, &devices, &n, e);

	if (!r)
		r = btrfs_get_spaces(fs->fd, fs->name, w->mem, &spaces, &n_spaces, e);
	if (!r)
		r = scrub_file_read(&w->root, fs->info.uuid, w->mem, &records, &n_records, e);
	if (r)
		return r;
	clear(&total, &scrub_table);
	total.path = fs->name;
	total.uuid = fs->info.uuid;
	total.state = SCRUB_NEVER;
	rows = arena_alloc(w->mem, (n + 1) * sizeof *rows);
	for (size_t i = 0; i < n; i++) {
		const struct scrub_record *record = NULL;
		struct btrfs_scrub live = { 0 };

		for (size_t k = 0; k < n_records; k++)
			if (records[k].devid == devices[i].devid)
				record = &records[k];
		r = btrfs_scrub_progress(fs->fd, fs->name, devices[i].devid, &live, e);
		if (r < 0)
			return r;
		device_row(w, fs, &devices[i], record, r == 1, &live, &rows[i]);
		if (rows[i].state == SCRUB_NEVER)
			continue;
		add(&sum, r == 1 ? &live : &record->counters);
		/* The whole is what its least lucky device is; running wins over all. */
		if (rows[i].state == SCRUB_RUNNING || total.state == SCRUB_NEVER ||
		    (total.state != SCRUB_RUNNING && rows[i].state > total.state))
			total.state = rows[i].state;
		if (isfinite(rows[i].started_time) &&
		    !(total.started_time <= rows[i].started_time))
			total.started_time = rows[i].started_time;
		if (isfinite(rows[i].resumed_time) &&
		    !(total.resumed_time <= rows[i].resumed_time))
			total.resumed_time = rows[i].resumed_time;
		if (isfinite(rows[i].duration_s) && !(total.duration_s >= rows[i].duration_s))
			total.duration_s = rows[i].duration_s;
	}
	if (total.state != SCRUB_NEVER)
		derive(&total, &sum, bytes_to_scrub(spaces, n_spaces));
	if (total.state != SCRUB_NEVER && !isfinite(total.duration_s))
		total.rate_bytes_per_s = U64_NONE, total.left_s = DOUBLE_NONE;
	r = sink_row(out, &scrub_table, &total);
	for (size_t i = 0; i < n && !r; i++)
		r = sink_row(out, &scrub_device_table, &rows[i]);
	return r;
}

/*
 * One device's thread. The counters of a running one come from the progress call of the main
 * thread; `done` and what stands after it belong to the lock.
 */
struct job {
	const struct btrfs_fs *fs;
	struct shared *shared;
	uint64_t devid;
	bool read_only, started, done;
	pthread_t thread;
	struct btrfs_scrub result;
	uint64_t ended_s;
	int r;
	struct err e;
};
struct shared {
	pthread_mutex_t lock;
	pthread_cond_t one_done;
};

static void *scrub_device(void *arg)
{
	struct job *j = arg;
	struct btrfs_scrub result;
	struct err e = { 0 };
	int r = btrfs_scrub(j->fs->fd, j->fs->name, j->devid, j->read_only, &result, &e);

	pthread_mutex_lock(&j->shared->lock);
	j->result = result;
	j->e = e;
	j->r = r;
	j->ended_s = (uint64_t)clock_wall_s();
	j->done = true;
	pthread_cond_signal(&j->shared->one_done);
	pthread_mutex_unlock(&j->shared->lock);
	return NULL;
}

static bool all_done(struct shared *s, const struct job *jobs, size_t n)
{
	bool done = true;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < n; i++)
		done &= jobs[i].done || !jobs[i].started;
	pthread_mutex_unlock(&s->lock);
	return done;
}

/* Until a device is done or a quarter of a second has passed. */
static void wait_a_little(struct shared *s)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += 250 * 1000 * 1000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&s->lock);
	pthread_cond_timedwait(&s->one_done, &s->lock, &until);
	pthread_mutex_unlock(&s->lock);
}

static void take_records(struct shared *s, const struct job *jobs, size_t n,
			 struct scrub_record *records)
{
	uint64_t now = (uint64_t)clock_wall_s();

	for (size_t i = 0; i < n; i++) {
		struct scrub_record *r = &records[i];
		struct btrfs_scrub live;
		struct err ignored;

		pthread_mutex_lock(&s->lock);
		if (jobs[i].done) {
			r->counters = jobs[i].result;
			r->canceled = jobs[i].r != 0;
			r->finished = true;
			r->duration_s = jobs[i].ended_s - r->started_s;
		}
		pthread_mutex_unlock(&s->lock);
		if (r->finished)
			continue;
		r->duration_s = now - r->started_s;
		if (btrfs_scrub_progress(jobs[i].fs->fd, jobs[i].fs->name, r->devid, &live,
					 &ignored) == 1)
			r->counters = live;
	}
}

static int refuse_second(struct world *w, const struct btrfs_fs *fs,
			 const struct btrfs_device *devices, size_t n, struct err *e)
{
	(void)w;
	for (size_t i = 0; i < n; i++) {
		struct btrfs_scrub live;
		int r = btrfs_scrub_progress(fs->fd, fs->name, devices[i].devid, &live, e);

		if (r == 1)
			return err_make(e, ERR_FAILED, -EINPROGRESS, fs->name,
					"wait for it, or cancel it", "a scrub runs already");
		if (r < 0)
			return r;
	}
	return 0;
}

/* Reports and records until every device is done; cancels when asked to stop. */
static void follow(struct world *w, const struct btrfs_fs *fs, struct shared *s,
		   const struct job *jobs, size_t n, struct scrub_record *records, uint64_t total)
{
	const char *what = arena_printf(w->mem, "scrub %s", fs->name);
	bool warned = false;
	unsigned ticks = 0;

	while (!all_done(s, jobs, n)) {
		struct err e = { 0 };
		uint64_t done = 0;

		if (*w->stop) /* again each time: a device's thread may only be about to start */
			btrfs_scrub_cancel(fs->fd, fs->name, &e);
		take_records(s, jobs, n, records);
		for (size_t i = 0; i < n; i++)
			done += scrubbed(&records[i].counters);
		w->report(w, what, done < total ? done : total, total);
		if (ticks++ % 4 == 0 && scrub_file_write(fs->info.uuid, records, n, false, &e) &&
		    !warned) {
			world_warn(w, "%s: the scrub's state is not recorded: %s", fs->name, e.found);
			warned = true;
		}
		wait_a_little(s);
	}
}

static int outcome(struct world *w, const struct btrfs_fs *fs, const struct job *jobs, size_t n,
		   struct err *e)
{
	uint64_t errors = 0;

	for (size_t i = 0; i < n; i++) {
		errors += found(&jobs[i].result);
		if (!jobs[i].r)
			continue;
		if (jobs[i].r == -ECANCELED)
			return err_make(e, ERR_FAILED, *w->stop ? -EINTR : -ECANCELED, fs->name, NULL,
					"the scrub was cancelled");
		*e = jobs[i].e;
		return jobs[i].r;
	}
	return errors ? EXIT_FOUND : 0;
}

int scrub_run(struct world *w, const struct btrfs_fs *fs, bool read_only, struct err *e)
{
	struct shared shared = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER };
	struct scrub_record *records;
	struct btrfs_device *devices;
	struct btrfs_space *spaces;
	struct err late = { 0 };
	struct job *jobs;
	size_t n, n_spaces, used = 0;
	int r = btrfs_get_devices(fs->fd, fs->name, w->mem, &devices, &n, e);

	if (!r)
		r = btrfs_get_spaces(fs->fd, fs->name, w->mem, &spaces, &n_spaces, e);
	if (!r)
		r = refuse_second(w, fs, devices, n, e);
	if (r)
		return r;
	jobs = arena_alloc(w->mem, (n + 1) * sizeof *jobs);
	records = arena_alloc(w->mem, (n + 1) * sizeof *records);
	for (size_t i = 0; i < n; i++) {
		struct job *j = &jobs[used];

		if (!devices[i].path || !devices[i].devid) {
			world_warn(w, "%s: device %llu is missing and not scrubbed", fs->name,
				   (unsigned long long)devices[i].devid);
			continue;
		}
		*j = (struct job){ .fs = fs, .shared = &shared, .devid = devices[i].devid,
				   .read_only = read_only };
		records[used++] = (struct scrub_record){ .devid = j->devid,
							 .started_s = (uint64_t)clock_wall_s() };
		j->r = -pthread_create(&j->thread, NULL, scrub_device, j);
		j->started = !j->r;
		if (j->r)
			err_sys(&j->e, j->r, devices[i].path, "start a thread for its scrub");
	}
	follow(w, fs, &shared, jobs, used, records, bytes_to_scrub(spaces, n_spaces));
	for (size_t i = 0; i < used; i++)
		if (jobs[i].started)
			pthread_join(jobs[i].thread, NULL);
	take_records(&shared, jobs, used, records);
	if (scrub_file_write(fs->info.uuid, records, used, true, &late))
		world_warn(w, "%s: the scrub's result is not recorded: %s", fs->name, late.found);
	return outcome(w, fs, jobs, used, e);
}

struct start_params {
	const char *mount_point;
	bool read_only;
};
static const struct field start_params[] = {
	FIELD(struct start_params, mount_point, REQUIRED | OPERAND, "where the btrfs is mounted",
	      .complete = "mount"),
	FIELD(struct start_params, read_only, 0, "find errors, repair none", .letter = 'r'),
	FIELD_END,
};

static int scrub_start(struct world *w, const void *params, struct sink *out, struct err *e)
{
	const struct start_params *p = params;
	struct btrfs_fs fs auto_btrfs_fs = BTRFS_FS_CLOSED;
	struct err shown = { 0 };
	int r = btrfs_fs_open_mounted(w, p->mount_point, &fs, e), sunk;

	if (r)
		return r;
	r = scrub_run(w, &fs, p->read_only, e);
	if (r == -EINPROGRESS)
		return r;
	sunk = scrub_show(w, &fs, out, &shown);
	return r ? r : sunk;
}

const struct operation scrub_start_op = {
	.name = "scrub_start",
	.summary = "read a btrfs whole, check it, and repair what has another copy",
	.params = start_params,
	.params_size = sizeof(struct start_params),
	.tables = TABLES(&scrub_table, &scrub_device_table),
	.flags = OP_CHANGES | OP_LONG,
	.run = scrub_start,
};

static int scrub_status(struct world *w, const void *params, struct sink *out, struct err *e)
{
	const struct btrfs_mount_params *p = params;
	struct btrfs_fs fs auto_btrfs_fs = BTRFS_FS_CLOSED;
	int r = btrfs_fs_open_mounted(w, p->mount_point, &fs, e);

	return r ? r : scrub_show(w, &fs, out, e);
}

const struct operation scrub_status_op = {
	.name = "scrub_status",
	.summary = "how the running or the last scrub of a btrfs stands",
	.params = btrfs_mount_fields,
	.params_size = sizeof(struct btrfs_mount_params),
	.tables = TABLES(&scrub_table, &scrub_device_table),
	.run = scrub_status,
};

static int scrub_cancel(struct world *w, const void *params, struct sink *out, struct err *e)
{
	const struct btrfs_mount_params *p = params;
	struct btrfs_fs fs auto_btrfs_fs = BTRFS_FS_CLOSED;
	int r = btrfs_fs_open_mounted(w, p->mount_point, &fs, e);

	(void)out;
	if (!r)
		r = btrfs_scrub_cancel(fs.fd, fs.name, e);
	if (r == 0)
		return err_make(e, ERR_FAILED, -ENOTCONN, p->mount_point, NULL, "no scrub runs");
	return r < 0 ? r : 0;
}

const struct operation scrub_cancel_op = {
	.name = "scrub_cancel",
	.summary = "end the running scrub of a btrfs",
	.params = btrfs_mount_fields,
	.params_size = sizeof(struct btrfs_mount_params),
	.flags = OP_CHANGES,
	.run = scrub_cancel,
};
