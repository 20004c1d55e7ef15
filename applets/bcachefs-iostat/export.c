/* The counters as OpenMetrics text. Rates are the business of who scrapes. */
#include "applets/bcachefs-iostat/model.h"

#include "lib/core/metrics.h"

#include <inttypes.h>

struct scrape {
	const struct root *root;
	const struct snapshot *now;
	const char *const *words;
	struct arena *a;
};

/* Calls one for each member of the filesystems chosen, with its labels. */
static void each(struct metrics *m, const struct scrape *s,
		 void (*one)(struct metrics *m, const struct scrape *s, const struct member *dev,
			     const char *const *labels))
{
	for (size_t i = 0; i < s->now->filesystems.n; i++) {
		const struct filesystem *fs = &s->now->filesystems.items[i];

		if (!filesystem_selected(s->root, fs, s->words))
			continue;
		for (size_t k = 0; k < fs->members.n; k++) {
			const struct member *dev = &fs->members.items[k];
			const char *number = arena_printf(s->a, "%" PRIu32, dev->number);

			one(m, s, dev,
			    LABELS("filesystem", fs->name, "member", number, "device",
				   dev->device ? dev->device : "", "label", dev->label));
		}
	}
}

/* The member's labels and one or two more. */
static const char *const *with(const struct scrape *s, const char *const *labels,
			       const char *name, const char *value, const char *name2,
			       const char *value2)
{
	const char **all = arena_alloc(s->a, 14 * sizeof *all);
	size_t n = 0;

	for (; labels[0]; labels += 2) {
		if (!labels[1])
			continue;
		all[n++] = labels[0];
		all[n++] = labels[1];
	}
	all[n++] = name;
	all[n++] = value;
	if (name2) {
		all[n++] = name2;
		all[n++] = value2;
	}
	return all;
}

static const char *const directions[] = { "read", "write" };

static void io_bytes(struct metrics *m, const struct scrape *s, const struct member *dev,
		     const char *const *labels)
{
	for (int d = READ; d <= WRITE; d++)
		for (unsigned i = 0; i < dev->io.n; i++)
			metrics_u64(m, with(s, labels, "direction", directions[d], "type",
					    dev->io.type[i].name),
				    dev->io.type[i].bytes[d]);
}

static void latency_count(struct metrics *m, const struct scrape *s, const struct member *dev,
			  const char *const *labels)
{
	for (int d = READ; d <= WRITE; d++)
		metrics_u64(m, with(s, labels, "direction", directions[d], NULL, NULL),
			    dev->latency[d].count);
}

static double seconds(uint64_t ns)
{
	return ns == U64_NONE ? DOUBLE_NONE : (double)ns / 1e9;
}

static void latency_total(struct metrics *m, const struct scrape *s, const struct member *dev,
			  const char *const *labels)
{
	for (int d = READ; d <= WRITE; d++)
		metrics_double(m, with(s, labels, "direction", directions[d], NULL, NULL),
			       seconds(dev->latency[d].total_ns));
}

static void latency_recent(struct metrics *m, const struct scrape *s, const struct member *dev,
			   const char *const *labels)
{
	for (int d = READ; d <= WRITE; d++)
		metrics_double(m, with(s, labels, "direction", directions[d], NULL, NULL),
			       seconds(dev->latency[d].recent_ns));
}

static void latency_quantile(struct metrics *m, const struct scrape *s, const struct member *dev,
			     const char *const *labels)
{
	for (int d = READ; d <= WRITE; d++)
		for (unsigned i = 0; i < QUANTILES; i++)
			metrics_double(m,
				       with(s, labels, "direction", directions[d], "quantile",
					    arena_printf(s->a, "%g", (i + 1) / 16.0)),
				       seconds(dev->latency[d].quantile_ns[i]));
}

static void errors(struct metrics *m, const struct scrape *s, const struct member *dev,
		   const char *const *labels)
{
	metrics_u64(m, with(s, labels, "kind", "read", NULL, NULL), dev->errors.read);
	metrics_u64(m, with(s, labels, "kind", "write", NULL, NULL), dev->errors.write);
	metrics_u64(m, with(s, labels, "kind", "checksum", NULL, NULL), dev->errors.checksum);
	metrics_u64(m, with(s, labels, "kind", "flush", NULL, NULL), dev->errors.flush);
}

static uint64_t bytes(const struct member *dev, uint64_t buckets)
{
	uint64_t v;

	if (buckets == U64_NONE || dev->bucket_bytes == U64_NONE ||
	    __builtin_mul_overflow(buckets, dev->bucket_bytes, &v))
		return U64_NONE;
	return v;
}

static void size(struct metrics *m, const struct scrape *s, const struct member *dev,
		 const char *const *labels)
{
	(void)s;
	metrics_u64(m, labels, bytes(dev, dev->usage.capacity));
}

static void used(struct metrics *m, const struct scrape *s, const struct member *dev,
		 const char *const *labels)
{
	(void)s;
	if (dev->usage.empty != U64_NONE)
		metrics_u64(m, labels, bytes(dev, dev->usage.capacity - dev->usage.empty));
}

static void online(struct metrics *m, const struct scrape *s, const struct member *dev,
		   const char *const *labels)
{
	(void)s;
	metrics_u64(m, labels, dev->online);
}

static void state(struct metrics *m, const struct scrape *s, const struct member *dev,
		  const char *const *labels)
{
	if (dev->state)
		metrics_u64(m, with(s, labels, "state", dev->state, NULL, NULL), 1);
}

static void mounted(struct metrics *m, const struct scrape *s)
{
	for (size_t i = 0; i < s->now->filesystems.n; i++) {
		const struct filesystem *fs = &s->now->filesystems.items[i];

		if (filesystem_selected(s->root, fs, s->words))
			metrics_u64(m,
				    LABELS("filesystem", fs->name, "mountpoint",
					   fs->mounts ? fs->mounts[0] : ""),
				    fs->mounts != NULL);
	}
}

static void fill(struct metrics *m, void *arg)
{
	static const struct metric_family mounts = { "bcachefs_mounted", METRIC_GAUGE, NULL,
						     "Whether the filesystem is mounted." };
	static const struct {
		struct metric_family family;
		void (*one)(struct metrics *m, const struct scrape *s, const struct member *dev,
			    const char *const *labels);
	} families[] = {
		{ { "bcachefs_device_io_bytes", METRIC_COUNTER, "bytes",
		    "Bytes read and written by bcachefs since mount." }, io_bytes },
		{ { "bcachefs_device_latency_operations", METRIC_COUNTER, NULL,
		    "Operations whose latency bcachefs measured since mount." }, latency_count },
		{ { "bcachefs_device_latency_seconds", METRIC_COUNTER, "seconds",
		    "Sum of their latencies, where the kernel has it exactly." }, latency_total },
		{ { "bcachefs_device_latency_recent_seconds", METRIC_GAUGE, "seconds",
		    "The kernel's moving mean of the latency." }, latency_recent },
		{ { "bcachefs_device_latency_quantile_seconds", METRIC_GAUGE, "seconds",
		    "The kernel's estimate of the latency's quantiles." }, latency_quantile },
		{ { "bcachefs_device_errors", METRIC_COUNTER, NULL,
		    "Errors since the filesystem was made." }, errors },
		{ { "bcachefs_device_size_bytes", METRIC_GAUGE, "bytes",
		    "Size of the member device." }, size },
		{ { "bcachefs_device_used_bytes", METRIC_GAUGE, "bytes",
		    "Bytes of it in buckets that hold anything." }, used },
		{ { "bcachefs_device_online", METRIC_GAUGE, NULL,
		    "Whether the member's block device is there." }, online },
		{ { "bcachefs_device_state", METRIC_GAUGE, NULL,
		    "The member's state, as a label." }, state },
	};
	const struct scrape *s = arg;

	metrics_family(m, &mounts);
	mounted(m, s);
	for (size_t i = 0; i < COUNT(families); i++) {
		metrics_family(m, &families[i].family);
		each(m, s, families[i].one);
	}
}

int write_metrics(const char *path, const struct root *root, const struct snapshot *now,
		  const char *const *words, struct err *e)
{
	struct arena a auto_arena = { 0 };
	struct scrape s = { root, now, words, &a };

	return metrics_to_file(path, fill, &s, e);
}
