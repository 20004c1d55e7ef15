/* Fields: see field.h. */
#include "lib/core/field.h"

#include "lib/core/size.h"

#include <errno.h>
#include <inttypes.h>
#include <time.h>

#define AT(base, f, type) ((type *)(void *)((char *)(base) + (f)->offset))
#define AT_CONST(base, f, type) ((type const *)(const void *)((const char *)(base) + (f)->offset))

void field_clear(const struct field *fields, void *base)
{
	for (const struct field *f = fields; f && f->name; f++)
		switch (f->type) {
		case FIELD_BOOL:
			*AT(base, f, bool) = false;
			break;
		case FIELD_INT:
			*AT(base, f, int) = INT_NONE;
			break;
		case FIELD_U32:
			*AT(base, f, uint32_t) = U32_NONE;
			break;
		case FIELD_U64:
			*AT(base, f, uint64_t) = U64_NONE;
			break;
		case FIELD_I64:
			*AT(base, f, int64_t) = I64_NONE;
			break;
		case FIELD_DOUBLE:
			*AT(base, f, double) = DOUBLE_NONE;
			break;
		case FIELD_STR:
			*AT(base, f, const char *) = NULL;
			break;
		case FIELD_LIST:
			*AT(base, f, const char **) = NULL;
			break;
		}
}

void field_defaults(const struct field *fields, void *base, struct arena *a)
{
	for (const struct field *f = fields; f && f->name; f++) {
		struct err e = { 0 };

		if (f->def && field_parse(f, base, f->def, a, f->name, &e))
			abort();
	}
}

const struct field *field_find(const struct field *fields, const char *name)
{
	for (const struct field *f = fields; f && f->name; f++)
		if (!strcmp(f->name, name))
			return f;
	return NULL;
}

enum unit field_unit(const struct field *f)
{
	static const struct {
		const char *ending;
		enum unit unit;
	} endings[] = { { "_bytes_per_s", UNIT_BYTES_PER_S }, { "_bytes", UNIT_BYTES },
			{ "_ns", UNIT_NS },		      { "_per_s", UNIT_NONE },
			{ "_s", UNIT_S },		      { "_percent", UNIT_PERCENT },
			{ "_time", UNIT_TIME } };

	if (f->unit != UNIT_AUTO || f->type == FIELD_STR || f->type == FIELD_LIST ||
	    f->type == FIELD_BOOL)
		return f->unit;
	for (size_t i = 0; i < COUNT(endings); i++)
		if (ends_with(f->name, endings[i].ending))
			return endings[i].unit;
	return UNIT_NONE;
}

bool field_is_none(const struct field *f, const void *base)
{
	switch (f->type) {
	case FIELD_BOOL:
		return false;
	case FIELD_INT:
		return *AT_CONST(base, f, int) == INT_NONE;
	case FIELD_U32:
		return *AT_CONST(base, f, uint32_t) == U32_NONE;
	case FIELD_U64:
		return *AT_CONST(base, f, uint64_t) == U64_NONE;
	case FIELD_I64:
		return *AT_CONST(base, f, int64_t) == I64_NONE;
	case FIELD_DOUBLE:
		return !isfinite(*AT_CONST(base, f, double));
	case FIELD_STR:
		return !*AT_CONST(base, f, char *);
	case FIELD_LIST:
		return !*AT_CONST(base, f, char *const *);
	}
	return true;
}

const char *field_word(const struct field *f, const void *base)
{
	uint64_t v;

	if (!f->names || field_is_none(f, base))
		return NULL;
	v = f->type == FIELD_U64 ? U64_NONE - 1 - *AT_CONST(base, f, uint64_t)
				 : *AT_CONST(base, f, uint32_t);
	for (uint64_t i = 0; f->names[i]; i++)
		if (i == v)
			return f->names[i];
	return NULL;
}

static int parse_u64(const char *s, uint64_t max, uint64_t *ret)
{
	unsigned __int128 v = 0;

	if (!*s)
		return -EINVAL;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return -EINVAL;
		v = v * 10 + (unsigned)(*s - '0');
		if (v > max)
			return -ERANGE;
	}
	*ret = (uint64_t)v;
	return 0;
}

static int parse_i64(const char *s, int64_t min, int64_t max, int64_t *ret)
{
	bool negative = *s == '-';
	uint64_t v;
	int r = parse_u64(s + negative, negative ? (uint64_t) - (min + 1) + 1 : (uint64_t)max, &v);

	if (!r)
		*ret = negative ? (int64_t)(0 - v) : (int64_t)v;
	return r;
}

static int parse_double(const char *s, double *ret)
{
	char *end;
	double v = strtod(s, &end);

	if (end == s || *end || !isfinite(v))
		return -EINVAL;
	*ret = v;
	return 0;
}

static int parse_name(const struct field *f, const char *text, uint64_t *ret)
{
	for (uint32_t i = 0; f->names[i]; i++)
		if (!strcmp(f->names[i], text)) {
			*ret = i;
			return 0;
		}
	return -EINVAL;
}

static const char *names_text(const struct field *f, struct arena *a)
{
	char *all = arena_str(a, f->names[0]);

	for (uint32_t i = 1; f->names[i]; i++)
		all = arena_printf(a, "%s, %s", all, f->names[i]);
	return all;
}

static int parse_u64_unit(const struct field *f, const char *text, uint64_t *ret)
{
	double s;
	int r;

	if (f->names && !parse_name(f, text, ret)) {
		*ret = U64_NONE - 1 - *ret;
		return 0;
	}
	switch (field_unit(f)) {
	case UNIT_BYTES:
	case UNIT_BYTES_PER_S:
		return size_parse(text, ret);
	case UNIT_S:
	case UNIT_NS:
		r = parse_u64(text, UINT64_MAX - 1, ret);
		if (!r)
			return 0;
		r = duration_parse(text, &s);
		if (r)
			return r;
		s *= field_unit(f) == UNIT_NS ? 1e9 : 1;
		if (s >= 9e18 || s != floor(s))
			return -ERANGE;
		*ret = (uint64_t)s;
		return 0;
	default:
		return parse_u64(text, UINT64_MAX - 1, ret);
	}
}

static const char *expected(const struct field *f, struct arena *a)
{
	if (f->names && f->type == FIELD_U64) {
		struct field number = *f;

		number.names = NULL;
		return arena_printf(a, "%s, or %s", expected(&number, a), names_text(f, a));
	}
	if (f->names)
		return arena_printf(a, "one of %s", names_text(f, a));
	switch (f->type) {
	case FIELD_BOOL:
		return "true or false";
	case FIELD_STR:
	case FIELD_LIST:
		return "text";
	default:
		break;
	}
	switch (field_unit(f)) {
	case UNIT_BYTES:
	case UNIT_BYTES_PER_S:
		return "a size such as 512M, 10G or 1.5T, a whole number of bytes";
	case UNIT_S:
	case UNIT_NS:
		return "a time such as 2, 0.5 or 500ms";
	default:
		return f->type == FIELD_INT || f->type == FIELD_I64 ? "a whole number"
		       : f->type == FIELD_DOUBLE		    ? "a number"
								    : "a whole number, 0 or more";
	}
}

int field_parse(const struct field *f, void *base, const char *text, struct arena *a,
		const char *object, struct err *e)
{
	uint64_t u;
	int64_t i;
	double d;
	int r = -EINVAL;

	switch (f->type) {
	case FIELD_BOOL:
		if (streq(text, "true") || streq(text, "yes") || streq(text, "1"))
			r = 0, *AT(base, f, bool) = true;
		else if (streq(text, "false") || streq(text, "no") || streq(text, "0"))
			r = 0, *AT(base, f, bool) = false;
		break;
	case FIELD_INT:
		r = parse_i64(text, INT32_MIN + 1, INT32_MAX, &i);
		if (!r)
			*AT(base, f, int) = (int)i;
		break;
	case FIELD_U32:
		r = f->names ? parse_name(f, text, &u) : parse_u64(text, UINT32_MAX - 1, &u);
		if (!r)
			*AT(base, f, uint32_t) = (uint32_t)u;
		break;
	case FIELD_U64:
		r = parse_u64_unit(f, text, &u);
		if (!r)
			*AT(base, f, uint64_t) = u;
		break;
	case FIELD_I64:
		r = parse_i64(text, INT64_MIN + 1, INT64_MAX, &i);
		if (!r)
			*AT(base, f, int64_t) = i;
		break;
	case FIELD_DOUBLE:
		r = field_unit(f) == UNIT_S ? duration_parse(text, &d) : parse_double(text, &d);
		if (!r)
			*AT(base, f, double) = d;
		break;
	case FIELD_STR:
		r = 0;
		*AT(base, f, const char *) = arena_str(a, text);
		break;
	case FIELD_LIST:
		r = 0;
		strlist_add(a, AT(base, f, const char **), arena_str(a, text));
		break;
	}
	if (r)
		return err_usage(e, object, "'%.100s' is %s; give %s", text,
				 r == -ERANGE ? "out of range" : "not understood", expected(f, a));
	return 0;
}

static const char *list_text(const char *const *list, struct arena *a)
{
	size_t n = 0;
	char *out, *p;

	for (const char *const *s = list; *s; s++)
		n += 2 * strlen(*s) + 1;
	p = out = arena_alloc(a, n + 1);
	for (const char *const *s = list; *s; s++) {
		if (s != list)
			*p++ = ',';
		for (const char *c = *s; *c; c++) {
			if (*c == ',' || *c == '\\')
				*p++ = '\\';
			*p++ = *c;
		}
	}
	*p = '\0';
	return out;
}

/* The shortest text that reads back as the same double: one of at most 15 digits is what 15 digits
 * give, for %g drops zeros at the end. */
static const char *double_text(double v, struct arena *a)
{
	char buf[40];

	/* Whole and decimal thousandths are most of all; k / 1000 is the double nearest to them. */
	if (fabs(v) < 1e12) {
		uint64_t k = (uint64_t)llround(fabs(v) * 1000);

		if (k % 1000 && (double)k / 1000 == fabs(v)) {
			snprintf(buf, sizeof buf, "%s%" PRIu64 ".%03u", v < 0 ? "-" : "", k / 1000,
				 (unsigned)(k % 1000));
			for (char *end = buf + strlen(buf); end[-1] == '0'; end--)
				end[-1] = '\0';
			return arena_str(a, buf);
		}
	}
	if (fabs(v) < 1e15 && v == floor(v))
		return v < 0 ? arena_printf(a, "%" PRId64, (int64_t)v) : arena_u64(a, (uint64_t)v);
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(buf, sizeof buf, "%.*g", digits, v);
		if (strtod(buf, NULL) == v)
			break;
	}
	return arena_str(a, buf);
}

const char *field_text(const struct field *f, const void *base, struct arena *a)
{
	const char *word = field_word(f, base);

	if (word || field_is_none(f, base))
		return word;
	switch (f->type) {
	case FIELD_BOOL:
		return *AT_CONST(base, f, bool) ? "true" : "false";
	case FIELD_INT:
		return arena_printf(a, "%d", *AT_CONST(base, f, int));
	case FIELD_U32:
		return arena_u64(a, *AT_CONST(base, f, uint32_t));
	case FIELD_U64:
		return arena_u64(a, *AT_CONST(base, f, uint64_t));
	case FIELD_I64:
		return arena_printf(a, "%" PRId64, *AT_CONST(base, f, int64_t));
	case FIELD_DOUBLE:
		return double_text(*AT_CONST(base, f, double), a);
	case FIELD_STR:
		return *AT_CONST(base, f, char *);
	case FIELD_LIST:
		return list_text(*AT_CONST(base, f, const char *const *), a);
	}
	return NULL;
}

static const char *ns_human(double ns, struct arena *a)
{
	static const struct {
		double div;
		const char *unit;
	} units[] = { { 1, "ns" }, { 1e3, "us" }, { 1e6, "ms" }, { 1e9, "s" } };
	size_t i = 0;

	while (i + 1 < COUNT(units) && ns / units[i].div >= 999.5)
		i++;
	double v = ns / units[i].div;

	return arena_printf(a, "%.*f%s", i && v < 99.95 ? (v < 9.995 ? 2 : 1) : 0, v,
			    units[i].unit);
}

static const char *s_human(double s, struct arena *a)
{
	if (s < 60)
		return arena_printf(a, s < 10 && s != floor(s) ? "%.1fs" : "%.0fs", s);
	if (s < 3600)
		return arena_printf(a, "%.0fm%02.0fs", floor(s / 60), floor(fmod(s, 60)));
	if (s < 86400)
		return arena_printf(a, "%.0fh%02.0fm", floor(s / 3600), floor(fmod(s, 3600) / 60));
	return arena_printf(a, "%.0fd%02.0fh", floor(s / 86400), floor(fmod(s, 86400) / 3600));
}

static const char *time_human(double t, struct arena *a)
{
	time_t when = (time_t)t;
	char buf[40];
	struct tm tm;

	if (!localtime_r(&when, &tm) || !strftime(buf, sizeof buf, "%F %T", &tm))
		return arena_printf(a, "%.0f", t);
	return arena_str(a, buf);
}

static double as_double(const struct field *f, const void *base)
{
	switch (f->type) {
	case FIELD_INT:
		return *AT_CONST(base, f, int);
	case FIELD_U32:
		return *AT_CONST(base, f, uint32_t);
	case FIELD_U64:
		return (double)*AT_CONST(base, f, uint64_t);
	case FIELD_I64:
		return (double)*AT_CONST(base, f, int64_t);
	case FIELD_DOUBLE:
		return *AT_CONST(base, f, double);
	default:
		return 0;
	}
}

const char *field_human(const struct field *f, const void *base, struct arena *a)
{
	enum unit unit = field_unit(f);
	char size[SIZE_TEXT];
	double v;

	if (field_is_none(f, base))
		return "-";
	if (field_word(f, base))
		return field_word(f, base);
	if (f->type == FIELD_BOOL)
		return *AT_CONST(base, f, bool) ? "yes" : "no";
	if (f->type == FIELD_LIST) {
		const char *const *list = *AT_CONST(base, f, const char *const *);
		const char *all = *list ? *list : "-";

		for (; *list && list[1]; list++)
			all = arena_printf(a, "%s, %s", all, list[1]);
		return all;
	}
	v = as_double(f, base);
	switch (unit) {
	case UNIT_BYTES:
	case UNIT_BYTES_PER_S:
		if (v < 0)
			return field_text(f, base, a);
		size_text(size, f->type == FIELD_U64 ? *AT_CONST(base, f, uint64_t)
						     : (uint64_t)llround(v));
		return arena_printf(a, "%s%s", size, unit == UNIT_BYTES_PER_S ? "/s" : "");
	case UNIT_NS:
		return ns_human(v, a);
	case UNIT_S:
		return s_human(v, a);
	case UNIT_PERCENT:
		return arena_printf(a, "%.1f%%", v);
	case UNIT_TIME:
		return time_human(v, a);
	case UNIT_OCTAL:
		return arena_printf(a, "%#o", (unsigned)v);
	case UNIT_AUTO:
	case UNIT_NONE:
		break;
	}
	if (f->type == FIELD_DOUBLE)
		return arena_printf(a, fabs(v) >= 100 ? "%.0f" : fabs(v) >= 10 ? "%.1f" : "%.2f", v);
	return field_text(f, base, a);
}
