/* Small graphs as text: bars, sparklines and power-of-two histograms, in UTF-8 or plain ASCII. */
#ifndef CORE_GRAPH_H
#define CORE_GRAPH_H

#include "lib/core/mem.h"

#include <stdint.h>
#include <stdio.h>

/* Whether the locale's variables (LC_ALL, LC_CTYPE, LANG: the first that is set) name UTF-8. */
bool graph_utf8(void);

/* share 0..1 of width columns, as text of at most width columns without trailing blanks; what is
 * more than nothing is at least a sliver. A share that is no number is empty. */
const char *graph_bar(struct arena *a, double share, unsigned width, bool utf8);

/* One column a value, 0..max (max 0: the largest of them). No value (NaN) is a blank, zero a line
 * at the bottom, and what is more than zero is never shown as zero. */
const char *graph_sparkline(struct arena *a, const double *values, size_t n, double max, bool utf8);

/* Bucket i counts values in [2^i, 2^(i+1)); 0 counts in bucket 0. */
enum { HISTOGRAM_BUCKETS = 64 };
struct histogram {
	uint64_t count[HISTOGRAM_BUCKETS];
	double sum; /* of the values themselves */
};

unsigned histogram_bucket(uint64_t value);
void histogram_add(struct histogram *h, uint64_t value, uint64_t times);
uint64_t histogram_total(const struct histogram *h);
static inline uint64_t histogram_low(unsigned bucket)
{
	return bucket ? UINT64_C(1) << (bucket & 63) : 0;
}
/* The first value beyond the bucket; UINT64_MAX for the last. */
static inline uint64_t histogram_high(unsigned bucket)
{
	return bucket + 1 < HISTOGRAM_BUCKETS ? UINT64_C(2) << (bucket & 63) : UINT64_MAX;
}
/* The first and last bucket in use; false when there is none. */
bool histogram_range(const struct histogram *h, unsigned *first, unsigned *last);
/*
 * A value in the bucket where the q'th (0..1) of the values lies, interpolated by the logarithm:
 * off by at most a factor of 2. NaN when the histogram is empty.
 */
double histogram_quantile(const struct histogram *h, double q);

#endif
