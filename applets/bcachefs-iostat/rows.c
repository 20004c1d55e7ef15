/* From figures to rows, and how people see them. */
#include "applets/bcachefs-iostat/model.h"

#include "lib/core/size.h"

#include <inttypes.h>

static const char *const scopes[] = { "filesystem", "device", "type", NULL };
static const char *const kinds[] = { "exact", "approximate", NULL };

#define COL(member, flags, help, ...) FIELD(struct row, member, flags, help, ##__VA_ARGS__)

static const struct field fields[] = {
	COL(time, WIDE, "when it was read, in seconds since the epoch (-t)", .unit = UNIT_TIME),
	COL(interval_s, WIDE, "what the row covers; none since mount where its age is not known"),
	COL(since_mount, WIDE, "the row covers the time since mount, not an interval"),
	COL(scope, WIDE, "what the row is about", .names = scopes),
	COL(filesystem, KEY, "mount point; where it has none its label or UUID",
	    .heading = "FS"),
	COL(uuid, WIDE, "its name below /sys/fs/bcachefs: a UUID, or a device's name"),
	COL(member, WIDE, "number of the device in its filesystem: N of dev-N"),
	COL(device, KEY, "member's block device; none in a filesystem's row"),
	COL(label, 0, "member's label"),
	COL(state, 0, "member's state: rw, ro, failed, spare"),
	COL(type, WIDE, "data type (-x): sb, journal, btree, user, cached, ..."),
	COL(read_bytes_per_s, 0, "bytes read by bcachefs each second; on screen the sum since mount "
	    "where its age is not known"),
	COL(write_bytes_per_s, 0, "bytes written by bcachefs each second, replicas counted"),
	COL(read_bytes, WIDE, "bytes read by bcachefs in the time the row covers"),
	COL(write_bytes, WIDE, "bytes written by bcachefs in the time the row covers"),
	COL(reads_per_s, 0, "reads that the block layer completed each second", .heading = "R/S"),
	COL(writes_per_s, 0, "writes that the block layer completed each second",
	    .heading = "W/S"),
	COL(read_size_bytes, 0, "mean size of the block layer's reads", .heading = "RSIZE"),
	COL(write_size_bytes, 0, "mean size of the block layer's writes", .heading = "WSIZE"),
	COL(read_latency_ns, 0, "mean latency of reads as bcachefs measures it; ~ on screen where "
	    "approximate", .heading = "RLAT"),
	COL(write_latency_ns, 0, "mean latency of writes", .heading = "WLAT"),
	COL(read_latency_kind, WIDE, "whether read_latency_ns is exact over the interval, or the "
	    "kernel's moving mean", .names = kinds),
	COL(write_latency_kind, WIDE, "the same of write_latency_ns", .names = kinds),
	COL(read_latency_count, WIDE, "reads that bcachefs measured in the time the row covers"),
	COL(write_latency_count, WIDE, "writes that bcachefs measured"),
	COL(read_p50_ns, WIDE, "median of reads of late, as the kernel estimates it (-l)",
	    .heading = "RP50"),
	COL(read_p75_ns, WIDE, "75 % of reads are faster (-l)", .heading = "RP75"),
	COL(read_p94_ns, WIDE, "15/16 of reads are faster (-l)", .heading = "RP94"),
	COL(write_p50_ns, WIDE, "median of writes of late (-l)", .heading = "WP50"),
	COL(write_p75_ns, WIDE, "75 % of writes are faster (-l)", .heading = "WP75"),
	COL(write_p94_ns, WIDE, "15/16 of writes are faster (-l)", .heading = "WP94"),
	COL(read_quantiles_ns, WIDE, "all the kernel has: 1/16 to 15/16"),
	COL(write_quantiles_ns, WIDE, "the same of writes"),
	COL(read_await_ns, WIDE, "mean time of the block layer's reads, waiting included (-x)",
	    .heading = "RAWAIT"),
	COL(write_await_ns, WIDE, "mean time of the block layer's writes (-x)",
	    .heading = "WAWAIT"),
	COL(queue_depth, 0, "mean number of requests in the block layer and the device",
	    .heading = "QUEUE"),
	COL(util_percent, 0, "time in which the device had work; of a filesystem: its busiest "
	    "device"),
	COL(block_reads, WIDE, "reads that the block layer completed"),
	COL(block_writes, WIDE, "writes that the block layer completed"),
	COL(block_read_bytes, WIDE, "bytes that the block layer read"),
	COL(block_write_bytes, WIDE, "bytes that the block layer wrote"),
	COL(errors, 0, "read, write and checksum errors since the filesystem was made"),
	COL(new_errors, WIDE, "of them in this interval"),
	COL(read_errors, WIDE, "read errors since the filesystem was made"),
	COL(write_errors, WIDE, "write errors"),
	COL(checksum_errors, WIDE, "checksum errors"),
	COL(flush_errors, WIDE, "the device lost writes that it had said to be flushed (later "
	    "kernels)"),
	COL(size_bytes, WIDE, "member's size"),
	COL(used_bytes, WIDE, "of it in buckets that hold anything, cached data too"),
	COL(used_percent, 0, "share that is used"),
	COL(has_data, WIDE, "data types that the device holds"),
	COL(note, 0, "what happened: offline, added, counters restarted, new errors, ..."),
	FIELD_END,
};

static bool is(const struct field *f, size_t offset)
{
	return f->offset == offset;
}
#define IS(f, member) is(f, offsetof(struct row, member))

/* 1234k, 1.2M, or the usual. */
static const char *bytes_text(const struct row *row, double v, const char *ending, struct arena *a)
{
	char size[SIZE_TEXT];

	if (!isfinite(v) || v < 0)
		return "-";
	if (row->scale == SCALE_K)
		return arena_printf(a, "%.0fK%s", v / 1024, ending);
	if (row->scale == SCALE_M)
		return arena_printf(a, "%.2fM%s", v / (1024 * 1024), ending);
	return arena_printf(a, "%s%s", size_text(size, (uint64_t)llround(v)), ending);
}

static const char *rate_text(const struct row *row, double rate, uint64_t amount, struct arena *a)
{
	if (!isfinite(rate) && row->since_mount && amount != U64_NONE)
		return bytes_text(row, (double)amount, "", a);
	return bytes_text(row, rate, "/s", a);
}

static const char *human(const struct field *f, const void *base, struct arena *a)
{
	const struct row *row = base;

	if (IS(f, device) && row->scope == SCOPE_FILESYSTEM)
		return "total";
	if (IS(f, device) && !row->device)
		return arena_printf(a, "dev-%" PRIu32, row->member);
	if (IS(f, read_bytes_per_s))
		return rate_text(row, row->read_bytes_per_s, row->read_bytes, a);
	if (IS(f, write_bytes_per_s))
		return rate_text(row, row->write_bytes_per_s, row->write_bytes, a);
	if (IS(f, read_size_bytes))
		return bytes_text(row, row->read_size_bytes, "", a);
	if (IS(f, write_size_bytes))
		return bytes_text(row, row->write_size_bytes, "", a);
	if ((IS(f, read_latency_ns) && row->read_latency_kind == LATENCY_APPROXIMATE) ||
	    (IS(f, write_latency_ns) && row->write_latency_kind == LATENCY_APPROXIMATE))
		return arena_printf(a, "~%s", field_human(f, base, a));
	if (IS(f, errors) && row->new_errors != U64_NONE && row->new_errors > 0)
		return arena_printf(a, "%" PRIu64 " (+%" PRIu64 ")", row->errors, row->new_errors);
	return NULL;
}

static enum style rate_style(double rate)
{
	return rate >= 10e6 ? STYLE_GREEN : rate >= 1e6 ? STYLE_YELLOW : STYLE_PLAIN;
}

static enum style style(const struct field *f, const void *base)
{
	const struct row *row = base;
	bool alert = row->new_errors != U64_NONE && row->new_errors > 0;

	if (IS(f, read_bytes_per_s))
		return rate_style(row->read_bytes_per_s);
	if (IS(f, write_bytes_per_s))
		return rate_style(row->write_bytes_per_s);
	if (alert && (IS(f, device) || IS(f, errors) || IS(f, note)))
		return STYLE_ALERT;
	if (IS(f, errors) && row->errors != U64_NONE && row->errors > 0)
		return STYLE_RED;
	if (IS(f, state) && row->state && !streq(row->state, "rw"))
		return STYLE_RED;
	if (IS(f, note) && row->note)
		return STYLE_YELLOW;
	if (row->scope == SCOPE_FILESYSTEM && (IS(f, filesystem) || IS(f, device)))
		return STYLE_BOLD;
	return STYLE_PLAIN;
}

const struct table io_table =
	TABLE(struct row, "io", "one row a filesystem, device and, with -x, data type", fields,
	      .human = human, .style = style);

/* Digits beyond these are noise, and dear to print. */
static double thousandths(double v)
{
	return round(v * 1000) / 1000;
}

static double per_second(uint64_t amount, double span_s)
{
	return amount == U64_NONE || !(span_s > 0) ? DOUBLE_NONE
						   : thousandths((double)amount / span_s);
}

/* The mean of so many, in whole bytes or nanoseconds; none of none. */
static double mean(double sum, uint64_t n)
{
	return n == U64_NONE || !n ? DOUBLE_NONE : round(sum / (double)n);
}

static const char **quantile_list(const uint64_t *q, struct arena *a)
{
	const char **list = NULL;

	for (size_t i = 0; q[0] != U64_NONE && i < QUANTILES; i++)
		strlist_add(a, &list, arena_u64(a, q[i]));
	return list;
}

static double mean_latency(const struct figures *f, int d)
{
	/* Not counted, only told by io_latency_read. */
	if (f->latency_count[d] == U64_NONE)
		return f->latency_sum_ns[d];
	return mean(f->latency_sum_ns[d], f->latency_count[d]);
}

static void fill_io(const struct figures *f, struct row *row, struct arena *a)
{
	row->reads_per_s = per_second(f->ios[READ], f->span_s);
	row->writes_per_s = per_second(f->ios[WRITE], f->span_s);
	row->block_reads = f->ios[READ];
	row->block_writes = f->ios[WRITE];
	row->block_read_bytes = f->block_bytes[READ];
	row->block_write_bytes = f->block_bytes[WRITE];
	if (f->block_bytes[READ] != U64_NONE)
		row->read_size_bytes = mean((double)f->block_bytes[READ], f->ios[READ]);
	if (f->block_bytes[WRITE] != U64_NONE)
		row->write_size_bytes = mean((double)f->block_bytes[WRITE], f->ios[WRITE]);
	row->read_await_ns = mean(f->ticks_ms[READ] * 1e6, f->ios[READ]);
	row->write_await_ns = mean(f->ticks_ms[WRITE] * 1e6, f->ios[WRITE]);
	row->queue_depth =
		f->span_s > 0 ? thousandths(f->queue_ms / 1e3 / f->span_s) : DOUBLE_NONE;
	row->util_percent = thousandths(f->busy_share * 100);
	row->read_latency_ns = mean_latency(f, READ);
	row->write_latency_ns = mean_latency(f, WRITE);
	if (isfinite(row->read_latency_ns))
		row->read_latency_kind = f->approximate[READ] ? LATENCY_APPROXIMATE : LATENCY_EXACT;
	if (isfinite(row->write_latency_ns))
		row->write_latency_kind = f->approximate[WRITE] ? LATENCY_APPROXIMATE
								: LATENCY_EXACT;
	row->read_latency_count = f->latency_count[READ];
	row->write_latency_count = f->latency_count[WRITE];
	row->read_p50_ns = f->quantile_ns[READ][7];
	row->read_p75_ns = f->quantile_ns[READ][11];
	row->read_p94_ns = f->quantile_ns[READ][14];
	row->write_p50_ns = f->quantile_ns[WRITE][7];
	row->write_p75_ns = f->quantile_ns[WRITE][11];
	row->write_p94_ns = f->quantile_ns[WRITE][14];
	row->read_quantiles_ns = quantile_list(f->quantile_ns[READ], a);
	row->write_quantiles_ns = quantile_list(f->quantile_ns[WRITE], a);
}

static void fill_bytes(const uint64_t bytes[2], double span_s, struct row *row)
{
	row->read_bytes = bytes[READ];
	row->write_bytes = bytes[WRITE];
	row->read_bytes_per_s = per_second(bytes[READ], span_s);
	row->write_bytes_per_s = per_second(bytes[WRITE], span_s);
}

static void fill_errors(const struct figures *f, struct row *row)
{
	row->read_errors = f->errors.read;
	row->write_errors = f->errors.write;
	row->checksum_errors = f->errors.checksum;
	row->flush_errors = f->errors.flush;
	row->new_errors = f->since_mount ? U64_NONE : f->new_errors;
	if (f->errors.read != U64_NONE && f->errors.write != U64_NONE &&
	    f->errors.checksum != U64_NONE)
		row->errors = f->errors.read + f->errors.write + f->errors.checksum;
	row->size_bytes = f->size_bytes;
	row->used_bytes = f->used_bytes;
	if (f->used_bytes != U64_NONE && f->size_bytes != U64_NONE && f->size_bytes)
		row->used_percent =
			thousandths(100.0 * (double)f->used_bytes / (double)f->size_bytes);
}

static void add_note(struct row *row, struct arena *a, const char *text)
{
	row->note = row->note ? arena_printf(a, "%s; %s", row->note, text) : text;
}

struct job {
	const struct root *root;
	const struct snapshot *before, *now;
	const struct report_options *o;
	struct arena *a;
	int (*emit)(void *arg, const struct row *row, const struct figures *f);
	void *arg;
};

static void row_begin(const struct job *j, const struct filesystem *fs, enum scope scope,
		      const struct figures *f, struct row *row)
{
	field_clear(fields, row);
	row->time = thousandths(j->now->time);
	row->interval_s = thousandths(f->span_s);
	row->since_mount = f->since_mount;
	row->scope = scope;
	row->filesystem = fs->mounts ? fs->mounts[0] : fs->label ? fs->label : fs->name;
	row->uuid = fs->name;
	row->scale = j->o->scale;
}

/* Types that never moved a byte are left out. */
static int emit_types(const struct job *j, const struct row *owner, const struct io_done *total,
		      const struct figures *f)
{
	int r = 0;

	for (unsigned i = 0; !r && i < f->done.n; i++) {
		const uint64_t *bytes = f->done.type[i].bytes;
		const uint64_t *ever = i < total->n ? total->type[i].bytes : bytes;
		struct row row;

		if (!ever[READ] && !ever[WRITE])
			continue;
		if (j->o->hide_idle && !bytes[READ] && !bytes[WRITE])
			continue;
		field_clear(fields, &row);
		row.time = owner->time;
		row.interval_s = owner->interval_s;
		row.since_mount = owner->since_mount;
		row.scope = SCOPE_TYPE;
		row.filesystem = owner->filesystem;
		row.uuid = owner->uuid;
		row.member = owner->member;
		row.device = owner->device;
		row.label = owner->label;
		row.state = owner->state;
		row.type = arena_str(j->a, f->done.type[i].name);
		row.scale = owner->scale;
		fill_bytes(bytes, f->span_s, &row);
		r = j->emit(j->arg, &row, f);
	}
	return r;
}

static bool is_idle(const struct row *row)
{
	const uint64_t seen[] = { row->read_bytes, row->write_bytes, row->block_reads,
				  row->block_writes };

	for (size_t i = 0; i < COUNT(seen); i++)
		if (seen[i] && seen[i] != U64_NONE)
			return false;
	return !row->note;
}

static int emit_member(const struct job *j, const struct filesystem *fs, const struct member *m,
		       const struct figures *f)
{
	struct row row;
	int r;

	row_begin(j, fs, SCOPE_DEVICE, f, &row);
	row.member = m->number;
	row.device = m->device;
	row.label = m->label;
	row.state = m->state;
	row.has_data = m->has_data;
	fill_bytes(f->done.total_bytes, f->span_s, &row);
	fill_io(f, &row, j->a);
	fill_errors(f, &row);
	if (!m->online)
		add_note(&row, j->a, "offline");
	if (f->is_new)
		add_note(&row, j->a, "added");
	if (f->restarted)
		add_note(&row, j->a, "counters restarted");
	if (f->new_errors)
		add_note(&row, j->a, arena_printf(j->a, "%" PRIu64 " new errors", f->new_errors));
	if (j->o->hide_idle && is_idle(&row))
		return 0;
	r = j->emit(j->arg, &row, f);
	return r || !j->o->types ? r : emit_types(j, &row, &m->io, f);
}

static const struct filesystem *find_filesystem(const struct snapshot *s, const char *name)
{
	for (size_t i = 0; s && i < s->filesystems.n; i++)
		if (streq(s->filesystems.items[i].name, name))
			return &s->filesystems.items[i];
	return NULL;
}

static const struct member *find_member(const struct filesystem *fs, size_t hint, uint32_t number)
{
	if (!fs)
		return NULL;
	if (hint < fs->members.n && fs->members.items[hint].number == number)
		return &fs->members.items[hint];
	for (size_t i = 0; i < fs->members.n; i++)
		if (fs->members.items[i].number == number)
			return &fs->members.items[i];
	return NULL;
}

static int emit_filesystem(const struct job *j, const struct filesystem *fs, double span_s)
{
	const struct filesystem *was = find_filesystem(j->before, fs->name);
	bool since_mount = !j->before;
	struct figures *each = arena_alloc(j->a, fs->members.n * sizeof *each);
	struct io_done ever = { 0 };
	struct figures sum;
	struct row row;
	int r;

	if (since_mount)
		span_s = fs->age_s;
	figures_zero(&sum, span_s, since_mount);
	for (size_t i = 0; i < fs->members.n; i++) {
		const struct member *m = &fs->members.items[i];

		member_figures(find_member(was, i, m->number), m, span_s, !since_mount, &each[i]);
		figures_add(&sum, &each[i], m->online);
	}
	row_begin(j, fs, SCOPE_FILESYSTEM, &sum, &row);
	fill_bytes(sum.done.total_bytes, span_s, &row);
	fill_io(&sum, &row, j->a);
	fill_errors(&sum, &row);
	if (j->before && !was)
		add_note(&row, j->a, "mounted");
	else if (sum.restarted)
		add_note(&row, j->a, "counters restarted");
	for (size_t i = 0; was && i < was->members.n; i++) {
		const struct member *m = &was->members.items[i];

		if (!find_member(fs, i, m->number))
			add_note(&row, j->a,
				 arena_printf(j->a, "removed dev-%" PRIu32 " (%s)", m->number,
					      m->device ? m->device : "offline"));
	}
	if (j->before && j->now->suspended_ns > j->before->suspended_ns + UINT64_C(1000000000))
		add_note(&row, j->a,
			 arena_printf(j->a, "suspended for %" PRIu64 "s",
				      (j->now->suspended_ns - j->before->suspended_ns) / 1000000000));
	r = j->emit(j->arg, &row, &sum);
	if (!r && j->o->totals_only && j->o->types) {
		for (size_t i = 0; i < fs->members.n; i++)
			io_done_add(&ever, &fs->members.items[i].io);
		r = emit_types(j, &row, &ever, &sum);
	}
	for (size_t i = 0; !r && !j->o->totals_only && i < fs->members.n; i++)
		r = emit_member(j, fs, &fs->members.items[i], &each[i]);
	return r;
}

/* The filesystem that was there: said once. */
static int emit_gone(const struct job *j, const struct filesystem *fs, double span_s)
{
	struct figures none = { .span_s = span_s };
	struct row row;

	row_begin(j, fs, SCOPE_FILESYSTEM, &none, &row);
	row.note = "unmounted";
	return j->emit(j->arg, &row, &none);
}

int report_rows(const struct root *root, const struct snapshot *before, const struct snapshot *now,
		const struct report_options *o, struct arena *a,
		int (*emit)(void *arg, const struct row *row, const struct figures *f), void *arg)
{
	struct job j = { root, before && before->taken ? before : NULL, now, o, a, emit, arg };
	double span_s = DOUBLE_NONE;
	int r = 0;

	if (j.before && now->clock_ns > j.before->clock_ns)
		span_s = (double)(now->clock_ns - j.before->clock_ns) / 1e9;
	for (size_t i = 0; !r && i < now->filesystems.n; i++)
		if (filesystem_selected(root, &now->filesystems.items[i], o->words))
			r = emit_filesystem(&j, &now->filesystems.items[i], span_s);
	for (size_t i = 0; !r && j.before && i < j.before->filesystems.n; i++) {
		const struct filesystem *fs = &j.before->filesystems.items[i];

		if (!find_filesystem(now, fs->name) && filesystem_selected(root, fs, o->words))
			r = emit_gone(&j, fs, span_s);
	}
	return r;
}
