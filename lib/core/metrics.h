/*
 * OpenMetrics text: typed families, escaped labels, `# EOF`; to a stream, or to a file by rename.
 * Only the types that Prometheus' older text format knows too: node_exporter's textfile collector
 * reads that one, takes `# UNIT` and `# EOF` for comments, and refuses a file with an `info`,
 * `stateset` or `unknown` in it.
 */
#ifndef CORE_METRICS_H
#define CORE_METRICS_H

#include "lib/core/err.h"
#include "lib/core/graph.h"

enum metric_type { METRIC_GAUGE, METRIC_COUNTER, METRIC_HISTOGRAM };

/* The name carries its unit and no `_total`: "bcachefs_read_bytes", unit "bytes" (may be NULL). */
struct metric_family {
	const char *name;
	enum metric_type type;
	const char *unit;
	const char *help;
};

struct metrics {
	FILE *out; /* the caller's */
	const struct metric_family *family;
};

/* Labels: name, value, name, value ..., NULL; a NULL value leaves that label out. */
#define LABELS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/*
 * metrics_family() opens a family: each once, all its samples behind it. A counter's sample gets
 * its `_total`. A value that is none (U64_NONE, NaN) writes nothing.
 */
void metrics_family(struct metrics *m, const struct metric_family *f);
void metrics_u64(struct metrics *m, const char *const *labels, uint64_t value);
void metrics_double(struct metrics *m, const char *const *labels, double value);
/* Bucket bounds and the sum are divided by divisor: 1e9 makes seconds of nanoseconds. Buckets
 * first..last only, for a series must keep its bounds from one scrape to the next. */
void metrics_histogram(struct metrics *m, const char *const *labels, const struct histogram *h,
		       unsigned first, unsigned last, double divisor);
/* Writes `# EOF` and flushes: 0 or -errno. */
int metrics_end(struct metrics *m);

/*
 * Calls fill and puts what it wrote at path: into a temporary file beside it, flushed to the disk,
 * readable by all, renamed over it, so that a reader sees the old or the new one whole. "-" is
 * standard output; a device, pipe or socket is written to as it is.
 */
int metrics_to_file(const char *path, void (*fill)(struct metrics *m, void *arg), void *arg,
		    struct err *e);

#endif
