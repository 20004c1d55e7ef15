/* Latency histograms gathered over a run. */
#include "applets/bcachefs-iostat/model.h"

#include "lib/core/graph.h"

/*
 * The kernel gives no single latencies, only their sum or mean: the I/Os of each interval count at
 * the mean of that interval. The shorter the interval, the truer the tails.
 */
struct tally {
	char *filesystem, *uuid, *device;
	uint32_t member;
	bool approximate[2];
	struct histogram histogram[2];
};

struct tallies {
	VEC(struct tally) each;
};

struct latency_row {
	const char *filesystem, *uuid;
	uint32_t member;
	const char *device;
	uint32_t direction, kind;
	uint64_t low_ns, high_ns, count;
	double share_percent;
	const char *graph;
};

static const char *const directions[] = { "read", "write", NULL };
static const char *const kinds[] = { "exact", "approximate", NULL };

#define COL(member, flags, help, ...) FIELD(struct latency_row, member, flags, help, ##__VA_ARGS__)
static const struct field fields[] = {
	COL(filesystem, KEY, "mount point; where it has none its label or UUID", .heading = "FS"),
	COL(uuid, WIDE, "its name below /sys/fs/bcachefs"),
	COL(member, WIDE, "number of the device in its filesystem"),
	COL(device, KEY, "member's block device"),
	COL(direction, 0, "read or write", .names = directions, .heading = "I/O"),
	COL(kind, WIDE, "whether the intervals' latencies are exact, or the kernel's moving mean",
	    .names = kinds),
	COL(low_ns, 0, "the bucket's lower bound, within it", .heading = "FROM"),
	COL(high_ns, 0, "its upper bound, beyond it", .heading = "BELOW"),
	COL(count, 0, "I/Os of the intervals whose mean latency is in the bucket"),
	COL(share_percent, 0, "share of the device's I/Os of that direction"),
	COL(graph, 0, "the same, drawn"),
	FIELD_END,
};
const struct table latency_table = TABLE(struct latency_row, "latency",
					 "-w: one row a bucket, device and direction", fields);

struct tallies *tallies_new(void)
{
	return xcalloc(1, sizeof(struct tallies));
}

void tallies_free(struct tallies **t)
{
	if (!*t)
		return;
	for (size_t i = 0; i < (*t)->each.n; i++) {
		free((*t)->each.items[i].filesystem);
		free((*t)->each.items[i].uuid);
		free((*t)->each.items[i].device);
	}
	vec_free(&(*t)->each);
	free(*t);
	*t = NULL;
}

static struct tally *find(struct tallies *t, const struct row *row)
{
	struct tally *one;

	for (size_t i = 0; i < t->each.n; i++) {
		one = &t->each.items[i];
		if (one->member == row->member && streq(one->uuid, row->uuid))
			return one;
	}
	one = vec_add(&t->each);
	one->filesystem = xstrdup(row->filesystem);
	one->uuid = xstrdup(row->uuid);
	one->device = row->device ? xstrdup(row->device) : NULL;
	one->member = row->member;
	return one;
}

void tallies_add(struct tallies *t, const struct row *row, const struct figures *f)
{
	const double latency_ns[] = { row->read_latency_ns, row->write_latency_ns };
	struct tally *one;

	if (row->scope != SCOPE_DEVICE)
		return;
	one = find(t, row);
	for (int d = READ; d <= WRITE; d++) {
		if (!isfinite(latency_ns[d]) || f->latency_count[d] == U64_NONE)
			continue;
		histogram_add(&one->histogram[d], (uint64_t)llround(latency_ns[d]),
			      f->latency_count[d]);
		one->approximate[d] |= f->approximate[d];
	}
}

int tallies_write(const struct tallies *t, struct sink *out, struct arena *a)
{
	bool utf8 = graph_utf8();
	int r = 0;

	for (size_t i = 0; i < t->each.n; i++)
		for (int d = READ; d <= WRITE; d++) {
			const struct tally *one = &t->each.items[i];
			const struct histogram *h = &one->histogram[d];
			double total = (double)histogram_total(h);
			unsigned first, last;

			if (!histogram_range(h, &first, &last))
				continue;
			for (unsigned b = first; !r && b <= last; b++) {
				double share = (double)h->count[b] / total;
				struct latency_row row = {
					.filesystem = one->filesystem, .uuid = one->uuid,
					.member = one->member, .device = one->device,
					.direction = (uint32_t)d, .kind = one->approximate[d],
					.low_ns = histogram_low(b), .high_ns = histogram_high(b),
					.count = h->count[b], .share_percent = 100 * share,
					.graph = graph_bar(a, share, 30, utf8),
				};

				r = sink_row(out, &latency_table, &row);
			}
		}
	return r ? r : sink_flush(out);
}
