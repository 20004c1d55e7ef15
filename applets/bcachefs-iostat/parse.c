/* bcachefs' sysfs formats, from 6.7 to the out-of-tree module: told by their content. */
#include "applets/bcachefs-iostat/model.h"

#include <ctype.h>
#include <errno.h>

void latency_clear(struct latency *l)
{
	*l = (struct latency){ U64_NONE, U64_NONE, U64_NONE, U64_NONE, { 0 } };
	for (size_t i = 0; i < QUANTILES; i++)
		l->quantile_ns[i] = U64_NONE;
}

void io_done_clear(struct io_done *io)
{
	io->n = 0;
	io->total_bytes[READ] = io->total_bytes[WRITE] = U64_NONE;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Digits at *p, not beyond end: the number, or none when there is none or it is too large. */
static uint64_t digits(const char **p, const char *end)
{
	const char *s = *p;
	uint64_t v = 0;
	bool fits = s < end && isdigit((unsigned char)*s);

	for (; s < end && isdigit((unsigned char)*s); s++)
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
			fits = false;
	*p = s;
	return fits ? v : U64_NONE;
}

static void skip_blanks(const char **p, const char *end)
{
	while (*p < end && is_blank(**p))
		(*p)++;
}

/* The next whole line without its newline and its blanks at both ends; false when there is none. */
static bool next_line(const char **p, const char *end, const char **line, const char **line_end)
{
	const char *newline = *p < end ? memchr(*p, '\n', (size_t)(end - *p)) : NULL;

	if (!newline)
		return false;
	*line = *p;
	*line_end = newline;
	*p = newline + 1;
	skip_blanks(line, *line_end);
	while (*line_end > *line && is_blank((*line_end)[-1]))
		(*line_end)--;
	return true;
}

static bool line_is(const char *line, const char *end, const char *text)
{
	return (size_t)(end - line) == strlen(text) && !memcmp(line, text, strlen(text));
}

static bool skip_word(const char **p, const char *end, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(end - *p) < n || memcmp(*p, word, n))
		return false;
	*p += n;
	skip_blanks(p, end);
	return true;
}

/* The place of a data type; a new one at the end, with both directions none. -1: no room, no name. */
static int type_index(struct io_done *io, const char *name, size_t n)
{
	for (unsigned i = 0; i < io->n; i++)
		if (strlen(io->type[i].name) == n && !memcmp(io->type[i].name, name, n))
			return (int)i;
	if (!n || n >= TYPE_NAME_MAX || io->n == DATA_TYPES_MAX)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)name[i]) && name[i] != '_')
			return -1;
	memcpy(io->type[io->n].name, name, n);
	io->type[io->n].name[n] = '\0';
	io->type[io->n].bytes[READ] = io->type[io->n].bytes[WRITE] = U64_NONE;
	return (int)io->n++;
}

/* Both directions name the same types, so one that lacks any of them was cut short. */
static int sum_io_done(struct io_done *io)
{
	bool any = false;

	for (int d = READ; d <= WRITE; d++) {
		uint64_t sum = 0;

		for (unsigned i = 0; i < io->n; i++) {
			uint64_t v = io->type[i].bytes[d];

			any |= v != U64_NONE;
			if (sum == U64_NONE || v == U64_NONE ||
			    __builtin_add_overflow(sum, v, &sum))
				sum = U64_NONE;
		}
		io->total_bytes[d] = io->n ? sum : U64_NONE;
	}
	if (any)
		return 0;
	io_done_clear(io);
	return -EINVAL;
}

static int parse_io_done_text(const char *p, const char *end, struct io_done *io)
{
	const char *line, *line_end;
	int d = -1;
	bool damaged = false, write_seen = false;

	while (next_line(&p, end, &line, &line_end)) {
		const char *colon = memchr(line, ':', (size_t)(line_end - line)), *value;
		int i;

		if (line_is(line, line_end, "read:")) {
			d = READ;
			continue;
		}
		if (line_is(line, line_end, "write:")) {
			d = WRITE;
			write_seen = true;
			continue;
		}
		if (line == line_end)
			continue;
		if (!colon || d < 0) {
			damaged = true;
			continue;
		}
		/* "%-12s:%12llu": a number of 12 digits has no blank before it. */
		value = colon + 1;
		while (colon > line && is_blank(colon[-1]))
			colon--;
		i = type_index(io, line, (size_t)(colon - line));
		skip_blanks(&value, line_end);
		if (i < 0) {
			damaged = true;
			continue;
		}
		io->type[i].bytes[d] = digits(&value, line_end);
		if (value != line_end)
			io->type[i].bytes[d] = U64_NONE;
	}
	/* Without the second half nobody knows whether the first is whole. */
	damaged |= !write_seen;
	sum_io_done(io);
	if (damaged)
		io->total_bytes[READ] = io->total_bytes[WRITE] = U64_NONE;
	return io->n ? 0 : -EINVAL;
}

/*
 * JSON as the kernel writes it, read piece by piece: a document cut short (the kernel's own buffer
 * for it has 1,024 bytes) still gives what came before the cut. Calls number() with each number,
 * the names of its object and of itself ("duration_ns", "total"; "" at the top), and its place in
 * an array or -1. Returns whether the document is whole.
 */
struct json_scan {
	void (*number)(struct json_scan *s, const char *object, const char *key, int index,
		       uint64_t value);
	void (*closed)(struct json_scan *s, const char *object);
	void *arg;
};

enum { JSON_DEPTH = 8, JSON_NAME = 32 };

static bool scan_string(const char **p, const char *end, char name[static JSON_NAME])
{
	size_t n = 0;

	for ((*p)++; *p < end && **p != '"'; (*p)++) {
		if (**p == '\\' || (unsigned char)**p < ' ')
			return false; /* the kernel writes none of them */
		if (n + 1 < JSON_NAME)
			name[n++] = **p;
	}
	name[n] = '\0';
	if (*p == end)
		return false;
	(*p)++;
	return true;
}

static bool json_scan(struct json_scan *s, const char *p, const char *end)
{
	char names[JSON_DEPTH][JSON_NAME] = { "" };
	char kinds[JSON_DEPTH] = "";
	char key[JSON_NAME] = "";
	int depth = 0, index = -1;

	for (;;) {
		while (p < end && isspace((unsigned char)*p))
			p++;
		if (p == end)
			return false;
		if (*p == '{' || *p == '[') {
			if (depth + 1 == JSON_DEPTH)
				return false;
			kinds[++depth] = *p;
			memcpy(names[depth], key, sizeof key);
			index = *p == '[' ? 0 : -1;
			key[0] = '\0';
			p++;
		} else if (*p == '}' || *p == ']') {
			if (!depth || kinds[depth] != (*p == '}' ? '{' : '['))
				return false;
			if (s->closed)
				s->closed(s, names[depth]);
			depth--;
			index = -1;
			p++;
			if (!depth)
				return true;
		} else if (!depth) {
			return false;
		} else if (*p == ',') {
			if (index >= 0)
				index++;
			p++;
		} else if (*p == '"') {
			if (!scan_string(&p, end, key))
				return false;
			while (p < end && isspace((unsigned char)*p))
				p++;
			if (p < end && *p == ':')
				p++;
		} else {
			bool negative = *p == '-';
			const char *from = p;
			uint64_t v;

			p += negative;
			v = digits(&p, end);
			if (p == from)
				return false;
			/* A number is whole when something ends it. */
			if (p == end || !strchr(",}] \t\r\n", *p))
				return false;
			if (!negative && v != U64_NONE)
				s->number(s, names[depth], index >= 0 ? "" : key, index, v);
		}
	}
}

static void io_done_number(struct json_scan *s, const char *object, const char *key, int index,
			   uint64_t value)
{
	int d = streq(object, "read") ? READ : streq(object, "write") ? WRITE : -1;
	int i = d < 0 || index >= 0 ? -1 : type_index(s->arg, key, strlen(key));

	if (i >= 0)
		((struct io_done *)s->arg)->type[i].bytes[d] = value;
}

static int parse_io_done_json(const char *p, const char *end, struct io_done *io)
{
	struct json_scan s = { .number = io_done_number, .arg = io };
	bool whole = json_scan(&s, p, end);
	int r = sum_io_done(io);

	if (!whole)
		io->total_bytes[READ] = io->total_bytes[WRITE] = U64_NONE;
	return r;
}

int parse_io_done(const char *text, size_t n, struct io_done *ret)
{
	const char *p = text, *end = text + n;

	io_done_clear(ret);
	skip_blanks(&p, end);
	if (p < end && *p == '{')
		return parse_io_done_json(p, end, ret);
	return parse_io_done_text(p, end, ret);
}

/* Nanoseconds in the units of bcachefs' time_stats. A "y" there is seven years, by a slip. */
static uint64_t unit_ns(const char *s, size_t n)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = { { "ns", 1 },
		      { "us", 1000 },
		      { "ms", 1000000 },
		      { "s", 1000000000 },
		      { "m", UINT64_C(60000000000) },
		      { "h", UINT64_C(3600000000000) },
		      { "d", UINT64_C(86400000000000) },
		      { "w", UINT64_C(604800000000000) },
		      { "y", UINT64_C(220903200000000000) } };

	for (size_t i = 0; i < COUNT(units); i++)
		if (strlen(units[i].name) == n && !memcmp(units[i].name, s, n))
			return units[i].ns;
	return 0; /* "eon": no event yet */
}

/* "732 us": the time, or none. */
static uint64_t time_text(const char **p, const char *end)
{
	uint64_t v, unit;
	const char *from;

	skip_blanks(p, end);
	v = digits(p, end);
	skip_blanks(p, end);
	from = *p;
	while (*p < end && islower((unsigned char)**p))
		(*p)++;
	unit = unit_ns(from, (size_t)(*p - from));
	if (v == U64_NONE || !unit || __builtin_mul_overflow(v, unit, &v))
		return U64_NONE;
	return v;
}

/* "quantiles (us):\t188 492 ... ": all fifteen or none. */
static void quantiles_text(const char *p, const char *end, struct latency *l)
{
	const char *close = memchr(p, ')', (size_t)(end - p));
	uint64_t values[QUANTILES], unit;
	size_t n = 0;

	if (!close || *p != '(')
		return;
	unit = unit_ns(p + 1, (size_t)(close - p - 1));
	p = close + 1;
	if (!unit || p == end || *p++ != ':')
		return;
	for (skip_blanks(&p, end); p < end; skip_blanks(&p, end)) {
		if (n == QUANTILES)
			return;
		values[n] = digits(&p, end);
		if (values[n] == U64_NONE || __builtin_mul_overflow(values[n], unit, &values[n]) ||
		    (p < end && !is_blank(*p)))
			return;
		n++;
	}
	if (n == QUANTILES)
		memcpy(l->quantile_ns, values, sizeof values);
}

static int parse_latency_text(const char *p, const char *end, struct latency *l)
{
	const char *line, *line_end;
	bool in_duration = false;

	while (next_line(&p, end, &line, &line_end)) {
		if (skip_word(&line, line_end, "count:")) {
			l->count = digits(&line, line_end);
			if (line != line_end)
				l->count = U64_NONE;
		} else if (memmem(line, (size_t)(line_end - line), "duration of events", 18)) {
			in_duration = true; /* 6.10 and 6.11 have "recent" stuck before it */
		} else if (skip_word(&line, line_end, "time between events")) {
			in_duration = false;
		} else if (in_duration && skip_word(&line, line_end, "mean:")) {
			l->mean_ns = time_text(&line, line_end);
			l->recent_ns = time_text(&line, line_end);
		} else if (skip_word(&line, line_end, "quantiles")) {
			quantiles_text(line, line_end, l);
		}
	}
	return l->count == U64_NONE && l->recent_ns == U64_NONE ? -EINVAL : 0;
}

static void latency_number(struct json_scan *s, const char *object, const char *key, int index,
			   uint64_t value)
{
	struct latency *l = s->arg;

	if (streq(object, "") && streq(key, "count"))
		l->count = value;
	else if (streq(object, "duration_ns") && streq(key, "total"))
		l->total_ns = value;
	else if (streq(object, "duration_ns") && streq(key, "mean"))
		l->mean_ns = value;
	else if (streq(object, "duration_ewma_ns") && streq(key, "mean"))
		l->recent_ns = value;
	else if (streq(object, "quantiles_ns") && index >= 0 && index < QUANTILES)
		l->quantile_ns[index] = value;
}

static int parse_latency_json(const char *p, const char *end, struct latency *l)
{
	struct json_scan s = { .number = latency_number, .arg = l };

	json_scan(&s, p, end);
	if (l->quantile_ns[QUANTILES - 1] == U64_NONE)
		for (size_t i = 0; i < QUANTILES; i++)
			l->quantile_ns[i] = U64_NONE;
	return l->count == U64_NONE && l->recent_ns == U64_NONE ? -EINVAL : 0;
}

int parse_latency(const char *text, size_t n, struct latency *ret)
{
	const char *p = text, *end = text + n;
	int r;

	latency_clear(ret);
	skip_blanks(&p, end);
	r = p < end && *p == '{' ? parse_latency_json(p, end, ret)
				 : parse_latency_text(p, end, ret);
	if (r)
		latency_clear(ret);
	return r;
}

int parse_io_errors(const char *text, size_t n, struct io_errors *ret)
{
	const char *p = text, *end = text + n, *line, *line_end;
	int section = 0;

	*ret = (struct io_errors){ U64_NONE, U64_NONE, U64_NONE, U64_NONE };
	while (next_line(&p, end, &line, &line_end)) {
		static const struct {
			const char *name;
			size_t offset;
		} names[] = { { "read:", offsetof(struct io_errors, read) },
			      { "write:", offsetof(struct io_errors, write) },
			      { "checksum:", offsetof(struct io_errors, checksum) } };

		/* First since the filesystem was made, then since they were reset. */
		if (skip_word(&line, line_end, "IO errors since"))
			section++;
		if (skip_word(&line, line_end, "Flush errors")) {
			const char *colon = memchr(line, ':', (size_t)(line_end - line));

			line = colon ? colon + 1 : line_end;
			skip_blanks(&line, line_end);
			ret->flush = digits(&line, line_end);
		}
		for (size_t i = 0; section == 1 && i < COUNT(names); i++)
			if (skip_word(&line, line_end, names[i].name)) {
				uint64_t v = digits(&line, line_end);

				*(uint64_t *)(void *)((char *)ret + names[i].offset) =
					line == line_end ? v : U64_NONE;
			}
	}
	return ret->read == U64_NONE && ret->write == U64_NONE && ret->checksum == U64_NONE
		       ? -EINVAL
		       : 0;
}

/* Buckets that hold nothing: free, or waiting to become it. */
int parse_usage(const char *text, size_t n, struct usage *ret)
{
	static const char *const empty[] = { "free", "need_gc_gens", "need_discard" };
	const char *p = text, *end = text + n, *line, *line_end;
	uint64_t sum = 0;
	bool free_seen = false;

	*ret = (struct usage){ U64_NONE, U64_NONE };
	/* The table ends with the capacity; after it more tables follow, of other things. */
	while (ret->capacity == U64_NONE && next_line(&p, end, &line, &line_end)) {
		const char *name = line;
		size_t length;
		uint64_t v;

		while (line < line_end && !is_blank(*line))
			line++;
		length = (size_t)(line - name);
		skip_blanks(&line, line_end);
		v = digits(&line, line_end);
		if (length == 8 && !memcmp(name, "capacity", 8)) {
			ret->capacity = v;
			break;
		}
		for (size_t i = 0; i < COUNT(empty); i++)
			if (strlen(empty[i]) == length && !memcmp(empty[i], name, length)) {
				free_seen |= i == 0;
				if (v == U64_NONE || sum == U64_NONE ||
				    __builtin_add_overflow(sum, v, &sum))
					sum = U64_NONE;
			}
	}
	if (free_seen && sum != U64_NONE && ret->capacity != U64_NONE && sum <= ret->capacity)
		ret->empty = sum;
	return ret->empty == U64_NONE ? -EINVAL : 0;
}

uint64_t parse_number(const char *text, size_t n)
{
	static const char letters[] = "KMGTPE";
	const char *p = text, *end = text + n, *line;
	uint64_t whole, unit = 1;
	double part = 0, scale = 0.1, v;

	if (!next_line(&p, end, &line, &end))
		return U64_NONE;
	p = line;
	whole = digits(&p, end);
	if (whole == U64_NONE)
		return U64_NONE;
	if (p < end && *p == '.') {
		for (p++; p < end && isdigit((unsigned char)*p); p++) {
			part += (*p - '0') * scale;
			scale /= 10;
		}
	}
	skip_blanks(&p, end);
	if (p < end) {
		const char *at = strchr(letters, toupper((unsigned char)*p));

		if (*p == '\0' || !at)
			return U64_NONE;
		for (const char *l = letters; l <= at; l++)
			unit *= 1024;
		p++;
		if (end - p >= 2 && p[0] == 'i' && p[1] == 'B')
			p += 2;
	}
	if (p != end)
		return U64_NONE;
	v = ((double)whole + part) * (double)unit;
	if (part > 0)
		return v < 9e18 ? (uint64_t)(v + 0.5) : U64_NONE;
	return __builtin_mul_overflow(whole, unit, &whole) ? U64_NONE : whole;
}

const char *parse_word(const char *text, size_t n, struct arena *a)
{
	const char *p = text, *end = text + n, *line;

	if (!next_line(&p, end, &line, &end) || line == end || line_is(line, end, "none") ||
	    memchr(line, '\0', (size_t)(end - line)))
		return NULL;
	return arena_strn(a, line, (size_t)(end - line));
}

const char *parse_choice(const char *text, size_t n, struct arena *a)
{
	const char *word = parse_word(text, n, a), *open = word ? strchr(word, '[') : NULL;
	const char *close = open ? strchr(open, ']') : NULL;

	if (open && close && close > open + 1)
		return arena_strn(a, open + 1, (size_t)(close - open - 1));
	return word && !strpbrk(word, "[] ") ? word : NULL;
}

const char **parse_list(const char *text, size_t n, struct arena *a)
{
	const char *p = text, *end = text + n, *line, **list;

	/* An empty line is an empty list; several lines are something else. */
	if (!next_line(&p, end, &line, &end) || p != text + n || memchr(line, '\0', (size_t)(end - line)))
		return NULL;
	list = arena_alloc(a, sizeof *list);
	if (line != end)
		list = NULL;
	while (line < end) {
		const char *comma = memchr(line, ',', (size_t)(end - line));
		const char *stop = comma ? comma : end;

		if (stop > line)
			strlist_add(a, &list, arena_strn(a, line, (size_t)(stop - line)));
		line = stop + (comma != NULL);
	}
	return list;
}

bool parse_diskstats_line(const char *line, size_t n, const char **ret_name, size_t *ret_length,
			  struct block_stat *ret)
{
	/* Documentation/admin-guide/iostats.rst: 1 reads, 2 merged, 3 sectors, 4 ms, 5..8 the
	 * same of writes, 9 in flight, 10 ms busy, 11 weighted ms; later kernels append. */
	const char *p = line, *end = line + n;
	uint64_t v[11];

	for (int i = 0; i < 2; i++) {
		skip_blanks(&p, end);
		if (digits(&p, end) == U64_NONE)
			return false;
	}
	skip_blanks(&p, end);
	*ret_name = p;
	while (p < end && !is_blank(*p))
		p++;
	*ret_length = (size_t)(p - *ret_name);
	for (size_t i = 0; i < COUNT(v); i++) {
		skip_blanks(&p, end);
		v[i] = digits(&p, end);
		if (v[i] == U64_NONE)
			return false;
	}
	if (p < end && !is_blank(*p))
		return false;
	*ret = (struct block_stat){ true,	  { v[0], v[4] }, { v[2], v[6] },
				    { v[3], v[7] }, v[9],	  v[10] };
	return *ret_length > 0;
}
