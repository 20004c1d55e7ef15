/* Sizes and durations: see size.h. */
#include "lib/core/size.h"

#include "lib/core/mem.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>

static int unit_parse(const char *s, uint64_t *ret_unit)
{
	static const char letters[] = "KMGTPE";
	const char *at;
	uint64_t base = 1024, unit = 1;

	if (!*s || streq(s, "B")) {
		*ret_unit = 1;
		return 0;
	}
	at = strchr(letters, toupper((unsigned char)*s));
	if (!at)
		return -EINVAL;
	if (streq(s + 1, "B"))
		base = 1000;
	else if (s[1] && !streq(s + 1, "iB"))
		return -EINVAL;
	for (const char *p = letters; p <= at; p++)
		unit *= base;
	*ret_unit = unit;
	return 0;
}

int size_parse(const char *s, uint64_t *ret_bytes)
{
	unsigned __int128 whole = 0, part = 0, scale = 1, bytes;
	uint64_t unit;
	int r;

	if (!isdigit((unsigned char)*s))
		return -EINVAL;
	for (; isdigit((unsigned char)*s); s++) {
		whole = whole * 10 + (unsigned)(*s - '0');
		if (whole > UINT64_MAX)
			return -ERANGE;
	}
	if (*s == '.') {
		if (!isdigit((unsigned char)*++s))
			return -EINVAL;
		for (; isdigit((unsigned char)*s); s++) {
			if (scale > UINT64_MAX / 10) { /* only zeros may follow 19 digits */
				if (*s != '0')
					return -EINVAL;
				continue;
			}
			part = part * 10 + (unsigned)(*s - '0');
			scale *= 10;
		}
	}
	r = unit_parse(s, &unit);
	if (r)
		return r;
	if (part * unit % scale)
		return -EINVAL;
	bytes = whole * unit + part * unit / scale;
	if (bytes >= UINT64_MAX) /* the largest value means "none" in a field */
		return -ERANGE;
	*ret_bytes = (uint64_t)bytes;
	return 0;
}

const char *size_text(char buf[static SIZE_TEXT], uint64_t bytes)
{
	static const char letters[] = "BKMGTPE";
	uint64_t whole = bytes, rest = 0;
	int unit = 0;

	while (whole >= 1024 && unit < 6) {
		rest = whole % 1024 ? whole % 1024 : (rest ? 1 : 0);
		whole /= 1024;
		unit++;
	}
	if (!rest || !unit) {
		snprintf(buf, SIZE_TEXT, "%" PRIu64 "%c", whole, letters[unit]);
		return buf;
	}
	double v = (double)bytes / (double)(UINT64_C(1) << (10 * unit));

	v = round(v * 10) / 10;
	if (v >= 1024 && unit < 6) {
		v /= 1024;
		unit++;
	}
	if (v >= 100 || v == floor(v))
		snprintf(buf, SIZE_TEXT, "%.0f%c", v, letters[unit]);
	else
		snprintf(buf, SIZE_TEXT, "%.1f%c", v, letters[unit]);
	return buf;
}

int duration_parse(const char *s, double *ret_s)
{
	static const struct {
		const char *name;
		double s;
	} units[] = { { "", 1 },   { "s", 1 },	 { "ms", 1e-3 }, { "us", 1e-6 },
		      { "m", 60 }, { "min", 60 }, { "h", 3600 },  { "d", 86400 } };
	char *end;
	double v;

	if (!isdigit((unsigned char)*s) && *s != '.')
		return -EINVAL;
	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
		return -EINVAL;
	v = strtod(s, &end);
	if (end == s || !isfinite(v))
		return -EINVAL;
	for (size_t i = 0; i < COUNT(units); i++)
		if (streq(end, units[i].name)) {
			*ret_s = v * units[i].s;
			return 0;
		}
	return -EINVAL;
}
