/* Reads the running machine, or a recorded one below --sysroot: sysfs, procfs, btrfs' ioctls. */
#include "applets/storadvise/facts.h"

#include "lib/core/clock.h"
#include "lib/os/btrfs_subvol.h"

#include <errno.h>
#include <inttypes.h>

/* A file's text, or NULL. */
static char *text_of(struct facts *f, const char *path)
{
	char *t;

	return root_read(&f->w->root, path, 8 << 20, f->mem, &t, NULL) ? NULL : t;
}

static uint64_t meminfo(const char *text, const char *key)
{
	const char *p = text ? strstr(text, key) : NULL;

	return p ? strtoull(p + strlen(key), NULL, 10) << 10 : U64_NONE;
}

static double pressure(struct facts *f, const char *what, const char *kind)
{
	char *t = text_of(f, arena_printf(f->mem, "/proc/pressure/%s", what));
	const char *p = t ? strstr(t, kind) : NULL;

	p = p ? strstr(p, "avg60=") : NULL;
	return p ? strtod(p + 6, NULL) : DOUBLE_NONE;
}

static void read_host(struct facts *f)
{
	struct fact_host *h = fact_host(f);
	char *mem = text_of(f, "/proc/meminfo"), *cpu = text_of(f, "/proc/cpuinfo");

	if (h->ram_bytes == U64_NONE) {
		h->ram_bytes = meminfo(mem, "MemTotal:");
		h->ram_reason = "/proc/meminfo MemTotal";
	}
	h->available_bytes = meminfo(mem, "MemAvailable:");
	h->dirty_bytes = meminfo(mem, "Dirty:");
	h->writeback_bytes = meminfo(mem, "Writeback:");
	if (cpu) {
		const char *model = strstr(cpu, "model name");
		uint64_t n = 0;

		for (const char *p = cpu; (p = strstr(p, "processor\t")); p++)
			n++;
		h->cpus = n ? n : h->cpus;
		model = model ? strchr(model, ':') : NULL;
		if (model)
			h->cpu_model = arena_strn(f->mem, model + 2, strcspn(model + 2, "\n"));
	}
	h->kernel = root_attr(&f->w->root, f->mem, "/proc/sys/kernel/osrelease");
	h->io_some_percent = pressure(f, "io", "some");
	h->io_full_percent = pressure(f, "io", "full");
	h->memory_some_percent = pressure(f, "memory", "some");
	h->source = arena_printf(f->mem, "/proc/meminfo: MemTotal %" PRIu64 " KiB",
				 h->ram_bytes >> 10);
}

static void link_children(struct facts *f, const char *disk)
{
	const char **names = NULL;
	const char *dir = arena_printf(f->mem, "/sys/block/%s", disk);

	if (root_list(&f->w->root, dir, f->mem, &names))
		return;
	for (; names && *names; names++)
		if (root_exists(&f->w->root,
				arena_printf(f->mem, "%s/%s/partition", dir, *names)))
			fact_link(f, *names, disk);
}

/* A device of the device mapper or md lies on what its slaves lie on. */
static void link_stacked(struct facts *f, const char *name)
{
	const char **slaves = NULL, *below = NULL, *shown;

	if (root_list(&f->w->root, arena_printf(f->mem, "/sys/block/%s/slaves", name), f->mem,
		      &slaves) || !slaves || !*slaves)
		return;
	for (size_t i = 0; i < f->links.n && !below; i++)
		if (streq(f->links.items[i].child, *slaves))
			below = f->links.items[i].disk;
	below = below ? below : fact_disk_of(f, *slaves);
	if (!below)
		below = *slaves;
	fact_link(f, name, below);
	shown = root_attr(&f->w->root, f->mem, "/sys/block/%s/dm/name", name);
	if (shown)
		fact_link(f, shown, below);
}

static void read_disks(struct facts *f)
{
	const struct root *r = &f->w->root;
	const char **names = NULL;

	facts_set_given(f, FACT_disks);
	if (root_list(r, "/sys/block", f->mem, &names))
		return;
	for (const char **n = names; n && *n; n++) {
		uint64_t sectors = root_attr_u64(r, 0, "/sys/block/%s/size", *n);
		uint64_t rotates = root_attr_u64(r, U64_NONE, "/sys/block/%s/queue/rotational", *n);
		struct fact_disk *d;
		char *scheduler, *on, *link;

		if (!sectors || starts_with(*n, "zram") || starts_with(*n, "ram") ||
		    starts_with(*n, "sr") || starts_with(*n, "dm-") || starts_with(*n, "md"))
			continue;
		d = fact_disk(f, *n);
		d->size_bytes = sectors * 512;
		d->model = root_attr(r, f->mem, "/sys/block/%s/device/model", *n);
		d->read_ahead_kb = root_attr_u64(r, U64_NONE, "/sys/block/%s/queue/read_ahead_kb", *n);
		d->requests = root_attr_u64(r, U64_NONE, "/sys/block/%s/queue/nr_requests", *n);
		scheduler = root_attr(r, f->mem, "/sys/block/%s/queue/scheduler", *n);
		on = scheduler ? strchr(scheduler, '[') : NULL;
		d->scheduler = on ? arena_strn(f->mem, on + 1, strcspn(on + 1, "]")) : scheduler;
		link = root_realpath(r, arena_printf(f->mem, "/sys/block/%s", *n), f->mem);
		d->usb = link && strstr(link, "/usb");
		d->confidence = "high";
		if (starts_with(*n, "nvme")) {
			d->media = "nvme";
			d->media_reason = "an NVMe device";
		} else if (starts_with(*n, "vd") || starts_with(*n, "xvd") ||
			   starts_with(*n, "loop") ||
			   (d->model && (strstr(d->model, "QEMU") || strstr(d->model, "VBOX")))) {
			d->media = "virtual";
			d->media_reason = "a virtual disk: what it says of rotation is not the medium's";
		} else {
			d->media = rotates == 1 ? "hdd" : rotates == 0 ? "ssd" : "unknown";
			d->media_reason = rotates == 1	 ? "queue/rotational is 1"
					  : rotates == 0 ? "queue/rotational is 0"
							 : "queue/rotational cannot be read";
		}
		d->source = arena_printf(f->mem, "/sys/block/%s/queue: rotational %" PRId64
					 ", scheduler %s, model %s", *n, (int64_t)rotates,
					 d->scheduler ? d->scheduler : "-", d->model ? d->model : "-");
		link_children(f, *n);
	}
	for (const char **n = names; n && *n; n++)
		link_stacked(f, *n);
}

static void read_sysctls(struct facts *f)
{
	static const char *const names[] = { "dirty_ratio", "dirty_background_ratio",
					     "dirty_expire_centisecs", "swappiness",
					     "vfs_cache_pressure" };

	facts_set_given(f, FACT_sysctls);
	for (size_t i = 0; i < COUNT(names); i++) {
		uint64_t v = root_attr_u64(&f->w->root, U64_NONE, "/proc/sys/vm/%s", names[i]);
		struct fact_sysctl *s;

		if (v == U64_NONE)
			continue;
		s = fact_add(f, sysctls);
		s->name = arena_printf(f->mem, "vm.%s", names[i]);
		s->value = (double)v;
		s->source = arena_printf(f->mem, "/proc/sys/vm/%s: %" PRIu64, names[i], v);
	}
}

/* /dev/NAME, or the name that mounts show for a device of the device mapper. */
static const char *device_path(struct facts *f, const char *name)
{
	const char *shown = root_attr(&f->w->root, f->mem, "/sys/block/%s/dm/name", name);

	return shown ? arena_printf(f->mem, "/dev/mapper/%s", shown)
		     : arena_printf(f->mem, "/dev/%s", name);
}

static void read_spaces(struct facts *f, struct fact_filesystem *fs, const char *dir)
{
	static const struct {
		const char *name, *kind;
	} kinds[] = { { "data", "Data" }, { "metadata", "Metadata" }, { "system", "System" },
		      { "mixed", "Data+Metadata" } };
	static const char *const profiles[] = { "single", "dup",     "raid0",	"raid1", "raid1c3",
						"raid1c4", "raid10", "raid5", "raid6" };
	static const char *const shown[] = { "single",	"DUP",	  "RAID0", "RAID1", "RAID1C3",
					     "RAID1C4", "RAID10", "RAID5", "RAID6" };
	const struct root *r = &f->w->root;
	uint64_t allocated = 0, used = 0;
	bool several = false, any = false;

	for (size_t k = 0; k < COUNT(kinds); k++) {
		uint64_t disk = root_attr_u64(r, 0, "%s/allocation/%s/disk_total", dir, kinds[k].name);
		unsigned n = 0;

		allocated += disk;
		used += root_attr_u64(r, 0, "%s/allocation/%s/disk_used", dir, kinds[k].name);
		any |= disk > 0;
		for (size_t p = 0; p < COUNT(profiles); p++) {
			const char *at = arena_printf(f->mem, "%s/allocation/%s/%s", dir,
						      kinds[k].name, profiles[p]);
			uint64_t total = root_attr_u64(r, U64_NONE, "%s/total_bytes", at);
			struct fact_space *s;

			if (total == U64_NONE || !total)
				continue;
			n++;
			s = fact_add(f, spaces);
			s->filesystem = fs->id;
			s->kind = kinds[k].kind;
			s->profile = shown[p];
			s->size_bytes = total;
			s->used_bytes = root_attr_u64(r, U64_NONE, "%s/used_bytes", at);
			s->source = arena_printf(f->mem, "%s: total %" PRIu64 ", used %" PRIu64, at,
						 total, s->used_bytes);
		}
		several |= n > 1;
	}
	if (any) {
		fs->allocated_bytes = allocated;
		fs->used_bytes = used;
		fs->multiple_profiles = several;
	}
	fs->reserve_bytes = root_attr_u64(r, U64_NONE, "%s/allocation/global_rsv_size", dir);
	if (fs->reserve_bytes != U64_NONE) {
		uint64_t left = root_attr_u64(r, U64_NONE, "%s/allocation/global_rsv_reserved", dir);

		fs->reserve_used_bytes = left <= fs->reserve_bytes ? fs->reserve_bytes - left : 0;
	}
	fs->data_reclaim = root_attr_u64(r, U64_NONE, "%s/allocation/data/bg_reclaim_threshold", dir);
	fs->metadata_reclaim =
		root_attr_u64(r, U64_NONE, "%s/allocation/metadata/bg_reclaim_threshold", dir);
}

static void read_errors(struct facts *f, struct fact_filesystem *fs, const char *dir,
			struct fact_member *m, uint64_t devid)
{
	char *t = text_of(f, arena_printf(f->mem, "%s/devinfo/%" PRIu64 "/error_stats", dir, devid));
	char *line, *w[2];
	uint64_t *const to[] = { &m->write_errors, &m->read_errors, &m->flush_errors,
				 &m->corruption_errors, &m->generation_errors };
	static const char *const names[] = { "write_errs", "read_errs", "flush_errs",
					     "corruption_errs", "generation_errs" };

	m->filesystem = fs->id;
	m->source = arena_printf(f->mem, "%s/devinfo/%" PRIu64 "/error_stats: no errors", dir, devid);
	while (t && (line = next_line(&t))) {
		if (split_words(line, w, 2) != 2)
			continue;
		for (size_t i = 0; i < COUNT(names); i++)
			if (streq(names[i], w[0])) {
				*to[i] = strtoull(w[1], NULL, 10);
				if (*to[i])
					m->source = arena_printf(
						f->mem, "%s/devinfo/%" PRIu64 "/error_stats: %s %s",
						dir, devid, w[0], w[1]);
			}
	}
	if (root_attr_u64(&f->w->root, 0, "%s/devinfo/%" PRIu64 "/missing", dir, devid) == 1)
		m->missing = true;
}

static void read_members(struct facts *f, struct fact_filesystem *fs, const char *dir, int fd)
{
	const char **ids = NULL;
	struct btrfs_device *devices = NULL;
	struct err ignored = { 0 };
	uint64_t missing = 0;
	size_t n = 0;

	if (fd >= 0 && !btrfs_get_devices(fd, fs->id, f->mem, &devices, &n, &ignored)) {
		for (size_t i = 0; i < n; i++) {
			const char *path = devices[i].path ? devices[i].path : "<missing disk>";
			struct fact_member *m = fact_member(f, fs->id, path);

			m->size_bytes = devices[i].size_bytes;
			m->unallocated_bytes = devices[i].size_bytes - devices[i].allocated_bytes;
			m->missing = !devices[i].path;
			missing += m->missing ? devices[i].size_bytes : 0;
			read_errors(f, fs, dir, m, devices[i].devid);
		}
		fs->missing_bytes = missing;
		return;
	}
	if (root_list(&f->w->root, arena_printf(f->mem, "%s/devinfo", dir), f->mem, &ids))
		return;
	for (const char **id = ids; id && *id; id++) {
		/* Which path has which id sysfs does not tell; with one device there is no doubt. */
		const char *path = strlist_len((const char *const *)ids) == 1 && fs->devices
					   ? fs->devices[0]
					   : arena_printf(f->mem, "%s devid %s", fs->id, *id);

		read_errors(f, fs, dir, fact_member(f, fs->id, path), strtoull(*id, NULL, 10));
	}
}

static void count_subvolumes(struct facts *f, struct fact_filesystem *fs, int fd)
{
	struct btrfs_subvol *v = NULL;
	struct err ignored = { 0 };
	static const uint8_t none[16];
	size_t n = 0;

	if (fd < 0 || btrfs_subvol_list(fd, fs->id, f->mem, &v, &n, &ignored))
		return;
	fs->subvolumes = n;
	fs->snapshots = 0;
	for (size_t i = 0; i < n; i++)
		fs->snapshots += memcmp(v[i].parent_uuid, none, sizeof none) != 0;
}

static void read_commits(struct facts *f, struct fact_filesystem *fs, const char *dir)
{
	char *t = text_of(f, arena_printf(f->mem, "%s/commit_stats", dir)), *line, *w[2];

	while (t && (line = next_line(&t))) {
		uint64_t v;

		if (split_words(line, w, 2) != 2)
			continue;
		v = strtoull(w[1], NULL, 10);
		if (streq(w[0], "commits"))
			fs->commits = v;
		else if (streq(w[0], "max_commit_ms"))
			fs->commit_max_ms = v;
		else if (streq(w[0], "total_commit_ms"))
			fs->commit_total_ms = v;
		else if (streq(w[0], "last_commit_ms"))
			fs->commit_last_ms = v;
	}
}

/* Any mount of the filesystem, open; -1 elsewhere than on the machine itself. */
static int open_mount(struct facts *f, const struct fact_filesystem *fs)
{
	if (!root_is_machine(&f->w->root))
		return -1;
	for (size_t i = 0; i < f->mounts.n; i++)
		if (streq(f->mounts.items[i].filesystem, fs->id)) {
			int fd = root_open(&f->w->root, f->mounts.items[i].target, O_RDONLY);

			if (fd >= 0)
				return fd;
		}
	return -1;
}

static void read_filesystem(struct facts *f, const char *uuid)
{
	const struct root *r = &f->w->root;
	const char *dir = arena_printf(f->mem, "/sys/fs/btrfs/%s", uuid), **names = NULL, *mode;
	struct fact_filesystem *fs;
	uint64_t size = 0;
	int fd auto_close = -1;

	if (root_list(r, arena_printf(f->mem, "%s/devices", dir), f->mem, &names) || !names || !*names)
		return;
	for (size_t i = 0; i < f->mounts.n; i++) /* /dev/root and links: by what they lead to */
		if (streq(f->mounts.items[i].fstype, "btrfs")) {
			char *real = root_realpath(r, f->mounts.items[i].device, f->mem);

			if (real && streq(strrchr(real, '/') + 1, *names) &&
			    !starts_with(*names, "dm-"))
				f->mounts.items[i].device = real;
		}
	fs = fact_filesystem(f, device_path(f, *names));
	fs->uuid = arena_str(f->mem, uuid);
	for (const char **n = names; *n; n++) {
		const char *path = device_path(f, *n);
		uint64_t sectors = root_attr_u64(r, 0, "/sys/class/block/%s/size", *n);

		size += sectors * 512;
		if (!strlist_has((const char *const *)fs->devices, path))
			strlist_add(f->mem, &fs->devices, path);
	}
	for (size_t i = 0; i < f->mounts.n; i++)
		if (strlist_has((const char *const *)fs->devices, f->mounts.items[i].device))
			f->mounts.items[i].filesystem = fs->id;
	if (size)
		fs->size_bytes = size;
	fs->label = root_attr(r, f->mem, "%s/label", dir);
	fs->read_ahead_kb = root_attr_u64(r, U64_NONE, "%s/bdi/read_ahead_kb", dir);
	fs->exclusive_operation = root_attr(r, f->mem, "%s/exclusive_operation", dir);
	names = NULL;
	if (!root_list(r, arena_printf(f->mem, "%s/features", dir), f->mem, &names))
		fs->features = names;
	read_spaces(f, fs, dir);
	if (fs->allocated_bytes != U64_NONE && fs->size_bytes != U64_NONE)
		fs->unallocated_bytes = fs->size_bytes > fs->allocated_bytes
						? fs->size_bytes - fs->allocated_bytes : 0;
	read_commits(f, fs, dir);
	mode = root_attr(r, f->mem, "%s/qgroups/mode", dir);
	fs->quota = mode ? mode : root_exists(r, arena_printf(f->mem, "%s/qgroups", dir)) ? "qgroup"
											   : "off";
	fs->quota_inconsistent = root_attr_u64(r, 0, "%s/qgroups/inconsistent", dir) == 1;
	fd = open_mount(f, fs);
	read_members(f, fs, dir, fd);
	count_subvolumes(f, fs, fd);
	fs->source = arena_printf(f->mem, "%s/allocation: %" PRIu64 " of %" PRIu64
				  " bytes unallocated", dir, fs->unallocated_bytes, fs->size_bytes);
}

struct disk_count {
	char name[32];
	uint64_t reads, read_sectors, read_ms, writes, write_sectors, write_ms, busy_ms, queue_ms,
		flushes, flush_ms;
};

static size_t diskstats(struct facts *f, struct disk_count **ret)
{
	char *t = text_of(f, "/proc/diskstats"), *line, *w[20];
	VEC(struct disk_count) v = { 0 };

	while (t && (line = next_line(&t))) {
		unsigned n = split_words(line, w, COUNT(w));
		struct disk_count *c;

		if (n < 14)
			continue;
		c = vec_add(&v);
		snprintf(c->name, sizeof c->name, "%s", w[2]);
		c->reads = strtoull(w[3], NULL, 10);
		c->read_sectors = strtoull(w[5], NULL, 10);
		c->read_ms = strtoull(w[6], NULL, 10);
		c->writes = strtoull(w[7], NULL, 10);
		c->write_sectors = strtoull(w[9], NULL, 10);
		c->write_ms = strtoull(w[10], NULL, 10);
		c->busy_ms = strtoull(w[12], NULL, 10);
		c->queue_ms = strtoull(w[13], NULL, 10);
		c->flushes = n >= 20 ? strtoull(w[18], NULL, 10) : 0;
		c->flush_ms = n >= 20 ? strtoull(w[19], NULL, 10) : 0;
	}
	*ret = v.items;
	return v.n;
}

static double each(uint64_t ms, uint64_t n)
{
	return n ? (double)ms / (double)n : 0;
}

static void read_io(struct facts *f, double interval_s)
{
	struct disk_count *a auto_free = NULL, *b auto_free = NULL;
	uint64_t from = clock_monotonic_ns();
	size_t n = diskstats(f, &a), m;
	double s, left = interval_s;

	/* A recorded machine has no second moment. */
	if (!root_is_machine(&f->w->root) || !n || interval_s <= 0)
		return;
	while (left > 0 && !*f->w->stop) {
		double step = left < 0.1 ? left : 0.1;
		struct timespec t = { 0, (long)(step * 1e9) };

		nanosleep(&t, NULL);
		left -= step;
	}
	m = diskstats(f, &b);
	s = (double)(clock_monotonic_ns() - from) / 1e9;
	facts_set_given(f, FACT_io);
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < m; j++) {
			const struct disk_count *p = &a[i], *q = &b[j];
			struct fact_io *r;

			if (strcmp(p->name, q->name) ||
			    !root_exists(&f->w->root, arena_printf(f->mem, "/sys/block/%s", p->name)) ||
			    !root_attr_u64(&f->w->root, 0, "/sys/block/%s/size", p->name))
				continue;
			r = fact_add(f, io);
			r->device = arena_str(f->mem, p->name);
			r->reads_per_s = (double)(q->reads - p->reads) / s;
			r->writes_per_s = (double)(q->writes - p->writes) / s;
			r->read_kb_per_s = (double)(q->read_sectors - p->read_sectors) / 2 / s;
			r->write_kb_per_s = (double)(q->write_sectors - p->write_sectors) / 2 / s;
			r->read_await_ms = each(q->read_ms - p->read_ms, q->reads - p->reads);
			r->write_await_ms = each(q->write_ms - p->write_ms, q->writes - p->writes);
			r->flush_await_ms = each(q->flush_ms - p->flush_ms, q->flushes - p->flushes);
			r->queue = (double)(q->queue_ms - p->queue_ms) / 1e3 / s;
			r->busy_percent = fmin(100, (double)(q->busy_ms - p->busy_ms) / 10 / s);
			r->samples = 1;
			r->source = arena_printf(f->mem, "/proc/diskstats over %.1f s: %s %.0f r/s %.0f "
						 "w/s, %.1f%% busy", s, p->name, r->reads_per_s,
						 r->writes_per_s, r->busy_percent);
		}
}

int read_live(struct facts *f, double interval_s, struct err *e)
{
	const char **names = NULL;
	char *mounts = text_of(f, "/proc/self/mountinfo");
	int r;

	if (!mounts)
		mounts = text_of(f, "/proc/mounts");
	if (!mounts)
		return err_make(e, ERR_UNSUPPORTED, -ENOENT, "/proc/self/mountinfo", NULL,
				"cannot be read: is procfs mounted?");
	read_host(f);
	read_disks(f);
	read_sysctls(f);
	facts_set_given(f, FACT_filesystems);
	facts_set_given(f, FACT_spaces);
	facts_set_given(f, FACT_members);
	/* The filesystems of the mounts are made after sysfs told which devices belong together. */
	r = read_mounts(f, NULL, "/proc/self/mountinfo", mounts, e);
	if (r)
		return r;
	f->filesystems.n = 0;
	for (size_t i = 0; i < f->mounts.n; i++)
		f->mounts.items[i].filesystem = NULL;
	if (!root_list(&f->w->root, "/sys/fs/btrfs", f->mem, &names))
		for (const char **n = names; n && *n; n++)
			if (strchr(*n, '-'))
				read_filesystem(f, *n);
	read_io(f, interval_s);
	return 0;
}
