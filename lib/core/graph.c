/* Graphs as text: see graph.h. */
#include "lib/core/graph.h"

#include <ctype.h>
#include <math.h>

bool graph_utf8(void)
{
	static const char *const names[] = { "LC_ALL", "LC_CTYPE", "LANG" };

	for (size_t i = 0; i < COUNT(names); i++) {
		const char *v = getenv(names[i]);
		char low[128];
		size_t n = 0;

		if (!v || !*v)
			continue;
		for (; v[n] && n + 1 < sizeof low; n++)
			low[n] = (char)tolower((unsigned char)v[n]);
		low[n] = '\0';
		return strstr(low, "utf-8") || strstr(low, "utf8");
	}
	return false;
}

const char *graph_bar(struct arena *a, double share, unsigned width, bool utf8)
{
	static const char *const eighths[] = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉" };
	char *out = arena_alloc(a, (size_t)width * 3 + 1), *p = out;
	unsigned parts = utf8 ? 8 : 1, units;

	if (!(share > 0))
		return out;
	share = share > 1 ? 1 : share;
	units = (unsigned)lround(share * width * parts);
	if (!units)
		units = 1;
	if (units > width * parts)
		units = width * parts;
	for (; units >= parts; units -= parts)
		p = mempcpy(p, utf8 ? "█" : "#", utf8 ? 3 : 1);
	if (units)
		memcpy(p, eighths[units], 3);
	return out;
}

const char *graph_sparkline(struct arena *a, const double *values, size_t n, double max, bool utf8)
{
	static const char *const levels[] = { "_", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
	static const char *const plain[] = { "_", ".", ":", "-", "=", "+", "*", "%", "#" };
	char *out = arena_alloc(a, n * 3 + 1), *p = out;

	if (!(max > 0)) {
		max = 0;
		for (size_t i = 0; i < n; i++)
			if (isfinite(values[i]) && values[i] > max)
				max = values[i];
	}
	for (size_t i = 0; i < n; i++) {
		const char *c = " ";
		double v = values[i];

		if (!isnan(v)) {
			double share = v > 0 ? (v < max ? v / max : 1) : 0;
			int level = share > 0 ? (int)ceil(share * 8) : 0;

			c = (utf8 ? levels : plain)[level > 8 ? 8 : level];
		}
		p = mempcpy(p, c, strlen(c));
	}
	return out;
}

unsigned histogram_bucket(uint64_t value)
{
	return value ? 63u - (unsigned)__builtin_clzll(value) : 0;
}

void histogram_add(struct histogram *h, uint64_t value, uint64_t times)
{
	h->count[histogram_bucket(value)] += times;
	h->sum += (double)value * (double)times;
}

uint64_t histogram_total(const struct histogram *h)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		n += h->count[i];
	return n;
}

bool histogram_range(const struct histogram *h, unsigned *first, unsigned *last)
{
	bool any = false;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		if (h->count[i]) {
			if (!any)
				*first = i;
			*last = i;
			any = true;
		}
	return any;
}

double histogram_quantile(const struct histogram *h, double q)
{
	double rank = q * (double)histogram_total(h), seen = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		double n = (double)h->count[i];

		if (n > 0 && seen + n >= rank) {
			double low = i ? (double)histogram_low(i) : 0, into = (rank - seen) / n;

			/* Latencies spread evenly over a bucket's logarithm rather than over it. */
			return i ? low * exp2(into) : into * 2;
		}
		seen += n;
	}
	return NAN;
}
