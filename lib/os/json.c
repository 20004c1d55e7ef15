/*
 * JSON: see json.h. json-c builds the tree, but reads more than RFC 8259 allows, clamps large
 * numbers and merges duplicate keys silently; so a scanner of our own checks the text first.
 */
#include "lib/os/json.h"

#include "lib/core/utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>

enum { MAX_BYTES = 64 << 20, MAX_DEPTH = 64 };

static const struct json_object *obj(const struct json *j)
{
	return (const struct json_object *)j;
}

/* json-c's getters take pointers that are not const, and change nothing. */
static struct json_object *mut(const struct json *j)
{
	return (struct json_object *)(uintptr_t)j;
}

struct span {
	const char *s;
	size_t n;
};

struct open_container {
	bool object;
	size_t first_key; /* in scan.keys */
};

struct scan {
	const char *start, *p, *end;
	const char *name;
	const struct json_limits *limits;
	unsigned max_depth;
	VEC(struct open_container) open;
	VEC(struct span) keys;
	struct err *e;
};

static int fail_at(struct scan *s, const char *at, int code, const char *what)
{
	const char *line_start = s->start;
	uint64_t line = 1;

	for (const char *q = s->start; q < at; q++)
		if (*q == '\n') {
			line++;
			line_start = q + 1;
		}
	if (s->limits->syntax_only_line)
		return err_make(s->e, ERR_FAILED, code, s->name, NULL, "column %td: %s",
				at - s->start + 1, what);
	return err_make(s->e, ERR_FAILED, code, s->name, NULL, "line %" PRIu64 ", column %td: %s",
			line, at - line_start + 1, what);
}

static int fail(struct scan *s, const char *what)
{
	return fail_at(s, s->p, -EBADMSG, s->p < s->end ? what : "the text ends too early");
}

static void skip_space(struct scan *s)
{
	while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
		s->p++;
}

static int hex4(const char *p)
{
	int v = 0;

	for (int i = 0; i < 4; i++) {
		int c = (unsigned char)p[i];
		int d = c >= '0' && c <= '9'   ? c - '0'
			: c >= 'a' && c <= 'f' ? c - 'a' + 10
			: c >= 'A' && c <= 'F' ? c - 'A' + 10
					       : -1;

		if (d < 0)
			return -1;
		v = v << 4 | d;
	}
	return v;
}

static int scan_escape(struct scan *s)
{
	int c;

	if (s->end - s->p < 2)
		return s->p = s->end, fail(s, "");
	if (s->p[1] != 'u') {
		if (!s->p[1] || !strchr("\"\\/bfnrt", s->p[1]))
			return fail(s, "no such escape in a string");
		s->p += 2;
		return 0;
	}
	c = s->end - s->p < 6 ? -1 : hex4(s->p + 2);
	if (c < 0)
		return fail(s, "\\u needs four hexadecimal digits");
	if (!c)
		return fail(s, "a string cannot hold a NUL character here");
	s->p += 6;
	return 0;
}

/* s->p is at the opening quote; the span is what stands between the quotes. */
static int scan_string(struct scan *s, struct span *ret)
{
	const char *first = s->p + 1;
	int r;

	for (s->p++; s->p < s->end && *s->p != '"';) {
		unsigned char c = (unsigned char)*s->p;

		if (c == '\\') {
			r = scan_escape(s);
			if (r)
				return r;
		} else if (c < 0x20) {
			return fail(s, "a control character in a string must be escaped");
		} else if (c < 0x80) {
			s->p++;
		} else {
			char piece[5] = { 0 };
			size_t n = (size_t)(s->end - s->p);

			memcpy(piece, s->p, n < 4 ? n : 4);
			n = utf8_length(piece);
			if (!n)
				return fail(s, "invalid UTF-8");
			s->p += n;
		}
	}
	if (s->p == s->end)
		return fail(s, "");
	ret->s = first;
	ret->n = (size_t)(s->p - first);
	s->p++;
	return 0;
}

static bool digit(const struct scan *s)
{
	return s->p < s->end && *s->p >= '0' && *s->p <= '9';
}

static int scan_number(struct scan *s)
{
	const char *first = s->p, *digits;
	bool negative = *s->p == '-', whole = true;
	uint64_t v = 0;
	bool over = false;

	s->p += negative;
	digits = s->p;
	if (!digit(s))
		return fail(s, "a digit is missing");
	for (; digit(s); s->p++)
		over |= __builtin_mul_overflow(v, 10u, &v) ||
			__builtin_add_overflow(v, (uint64_t)(*s->p - '0'), &v);
	if (*digits == '0' && s->p - digits > 1)
		return fail_at(s, digits, -EBADMSG, "a number cannot start with 0");
	if (s->p < s->end && *s->p == '.') {
		whole = false;
		s->p++;
		if (!digit(s))
			return fail(s, "a digit is missing");
		while (digit(s))
			s->p++;
	}
	if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
		whole = false;
		s->p++;
		if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
			s->p++;
		if (!digit(s))
			return fail(s, "a digit is missing");
		while (digit(s))
			s->p++;
	}
	if (whole && (over || (negative && v > (uint64_t)INT64_MAX + 1)))
		return fail_at(s, first, -ERANGE, "the integer does not fit in 64 bits");
	return 0;
}

static int scan_word(struct scan *s, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n))
		return fail(s, "not a JSON value");
	s->p += n;
	return 0;
}

/* A key without its escapes, so that "a" and "\u0061" are the same one. */
static struct span unescape(struct span k, struct arena *a)
{
	struct json_tokener *t;
	struct json_object *o;
	struct span r = k;

	if (!memchr(k.s, '\\', k.n))
		return k;
	t = json_tokener_new();
	if (!t)
		return k;
	o = json_tokener_parse_ex(t, k.s - 1, (int)k.n + 2);
	if (json_object_is_type(o, json_type_string)) {
		r.n = (size_t)json_object_get_string_len(o);
		r.s = arena_strn(a, json_object_get_string(o), r.n);
	}
	json_object_put(o);
	json_tokener_free(t);
	return r;
}

struct key {
	struct span text;
	const char *at;
};

static int compare_keys(const void *pa, const void *pb)
{
	const struct key *a = pa, *b = pb;
	size_t n = a->text.n < b->text.n ? a->text.n : b->text.n;
	int r = memcmp(a->text.s, b->text.s, n);

	if (!r)
		r = a->text.n < b->text.n ? -1 : a->text.n > b->text.n;
	return r ? r : a->at < b->at ? -1 : a->at > b->at;
}

static int check_keys(struct scan *s, size_t first)
{
	struct arena mem auto_arena = { 0 };
	size_t n = s->keys.n - first;
	struct key *keys auto_free = NULL;

	s->keys.n = first;
	if (n < 2)
		return 0;
	keys = xcalloc(n, sizeof *keys);
	for (size_t i = 0; i < n; i++) {
		keys[i].at = s->keys.items[first + i].s;
		keys[i].text = unescape(s->keys.items[first + i], &mem);
	}
	qsort(keys, n, sizeof *keys, compare_keys);
	for (size_t i = 1; i < n; i++)
		if (keys[i].text.n == keys[i - 1].text.n &&
		    !memcmp(keys[i].text.s, keys[i - 1].text.s, keys[i].text.n))
			return fail_at(s, keys[i].at - 1, -EEXIST, "the key is there twice");
	return 0;
}

static int scan_key(struct scan *s)
{
	struct span k;
	int r;

	skip_space(s);
	if (s->p == s->end || *s->p != '"')
		return fail(s, "a key in quotes is missing");
	r = scan_string(s, &k);
	if (r)
		return r;
	if (s->limits->refuse_duplicate_keys)
		*vec_add(&s->keys) = k;
	skip_space(s);
	if (s->p == s->end || *s->p != ':')
		return fail(s, "':' is missing");
	s->p++;
	return 0;
}

/* One value without its members: pushes a container that is not empty. */
static int scan_value(struct scan *s, bool *opened)
{
	struct span ignored;
	char c;

	*opened = false;
	skip_space(s);
	if (s->p == s->end)
		return fail(s, "");
	c = *s->p;
	if (c == '"')
		return scan_string(s, &ignored);
	if (c == 't')
		return scan_word(s, "true");
	if (c == 'f')
		return scan_word(s, "false");
	if (c == 'n')
		return scan_word(s, "null");
	if (c == '-' || (c >= '0' && c <= '9'))
		return scan_number(s);
	if (c != '{' && c != '[')
		return fail(s, "not a JSON value");
	if (s->open.n >= s->max_depth)
		return fail_at(s, s->p, -E2BIG, "arrays and objects are nested too deeply");
	s->p++;
	skip_space(s);
	if (s->p < s->end && *s->p == (c == '{' ? '}' : ']')) {
		s->p++;
		return 0;
	}
	*vec_add(&s->open) = (struct open_container){ c == '{', s->keys.n };
	*opened = true;
	return c == '{' ? scan_key(s) : 0;
}

/* After a value: closes what ends here; stops before the next value, or with nothing open. */
static int scan_after(struct scan *s)
{
	int r;

	while (s->open.n) {
		struct open_container *o = &s->open.items[s->open.n - 1];

		skip_space(s);
		if (s->p == s->end)
			return fail(s, "");
		if (*s->p == ',') {
			s->p++;
			return o->object ? scan_key(s) : 0;
		}
		if (*s->p != (o->object ? '}' : ']'))
			return fail(s, o->object ? "',' or '}' is missing" : "',' or ']' is missing");
		s->p++;
		r = o->object ? check_keys(s, o->first_key) : 0;
		if (r)
			return r;
		s->open.n--;
	}
	return 0;
}

static int scan_text(struct scan *s)
{
	bool opened;
	int r;

	do {
		r = scan_value(s, &opened);
		if (!r && !opened)
			r = scan_after(s);
	} while (!r && s->open.n);
	if (r)
		return r;
	skip_space(s);
	return s->p == s->end ? 0 : fail(s, "more text after the value");
}

int json_parse(const char *text, size_t n, const char *name, const struct json_limits *limits,
	       struct json **ret, struct err *e)
{
	static const struct json_limits none;
	struct scan s = { .start = text, .p = text, .end = text + n, .name = name, .e = e };
	struct json_tokener *t;
	struct json_object *o;
	enum json_tokener_error why;
	size_t max_bytes;
	int r;

	s.limits = limits ? limits : &none;
	s.max_depth = s.limits->max_depth ? s.limits->max_depth : MAX_DEPTH;
	max_bytes = s.limits->max_bytes ? s.limits->max_bytes : MAX_BYTES;
	if (n > max_bytes)
		return err_make(e, ERR_FAILED, -EFBIG, name, NULL,
				"%zu bytes of JSON, more than the %zu that are read", n, max_bytes);
	r = scan_text(&s);
	vec_free(&s.open);
	vec_free(&s.keys);
	if (r)
		return r;
	/* json-c counts the innermost scalar as a level of its own. */
	t = json_tokener_new_ex((int)s.max_depth + 1);
	if (!t)
		return err_sys(e, -ENOMEM, name, "read JSON");
	o = json_tokener_parse_ex(t, text, (int)n);
	/* A bare number at the end of the text could go on, until the end is said. */
	if (json_tokener_get_error(t) == json_tokener_continue)
		o = json_tokener_parse_ex(t, "", 1);
	why = json_tokener_get_error(t);
	json_tokener_free(t);
	if (why != json_tokener_success)
		return err_make(e, ERR_FAILED, -EBADMSG, name, NULL, "JSON: %s",
				json_tokener_error_desc(why));
	*ret = (struct json *)o;
	return 0;
}

void json_free(struct json **j)
{
	json_object_put((struct json_object *)*j);
	*j = NULL;
}

enum json_kind json_kind(const struct json *j)
{
	switch (json_object_get_type(obj(j))) {
	case json_type_null:
		break;
	case json_type_boolean:
		return JSON_BOOL;
	case json_type_int:
		return JSON_INTEGER;
	case json_type_double:
		return JSON_DOUBLE;
	case json_type_string:
		return JSON_STRING;
	case json_type_array:
		return JSON_ARRAY;
	case json_type_object:
		return JSON_OBJECT;
	}
	return JSON_NULL;
}

const char *json_kind_name(enum json_kind t)
{
	static const char *const names[] = { "null",	 "true or false", "an integer", "a number",
					     "a string", "an array",	  "an object" };

	return names[t];
}

const struct json *json_get(const struct json *object, const char *key)
{
	struct json_object *o = NULL;

	if (json_kind(object) != JSON_OBJECT)
		return NULL;
	json_object_object_get_ex(obj(object), key, &o);
	return (const struct json *)o;
}

bool json_has(const struct json *object, const char *key)
{
	return json_kind(object) == JSON_OBJECT && json_object_object_get_ex(obj(object), key, NULL);
}

const struct json *json_path(const struct json *j, ...)
{
	const char *key;
	va_list ap;

	va_start(ap, j);
	while (j && (key = va_arg(ap, const char *)))
		j = json_get(j, key);
	va_end(ap);
	return j;
}

size_t json_length(const struct json *j)
{
	if (json_kind(j) == JSON_ARRAY)
		return json_object_array_length(obj(j));
	if (json_kind(j) == JSON_OBJECT)
		return (size_t)json_object_object_length(obj(j));
	return 0;
}

const struct json *json_at(const struct json *array, size_t i)
{
	if (json_kind(array) != JSON_ARRAY || i >= json_object_array_length(obj(array)))
		return NULL;
	return (const struct json *)json_object_array_get_idx(obj(array), i);
}

bool json_next(const struct json *object, struct json_member *m)
{
	const struct lh_entry *entry;

	if (json_kind(object) != JSON_OBJECT)
		return false;
	entry = m->position ? lh_entry_next(m->position)
			    : lh_table_head(json_object_get_object(obj(object)));
	if (!entry)
		return false;
	m->position = entry;
	m->key = lh_entry_k(entry);
	m->value = lh_entry_v(entry);
	return true;
}

const char *json_string_length(const struct json *j, size_t *ret_length)
{
	if (json_kind(j) != JSON_STRING)
		return NULL;
	if (ret_length)
		*ret_length = (size_t)json_object_get_string_len(obj(j));
	return json_object_get_string(mut(j));
}

const char *json_string(const struct json *j)
{
	return json_string_length(j, NULL);
}

int json_as_u64(const struct json *j, uint64_t *ret)
{
	if (json_kind(j) != JSON_INTEGER)
		return -EINVAL;
	/* Below zero json-c's unsigned getter gives 0. */
	if (json_object_get_int64(obj(j)) < 0)
		return -ERANGE;
	*ret = json_object_get_uint64(obj(j));
	return 0;
}

int json_as_i64(const struct json *j, int64_t *ret)
{
	int64_t v;

	if (json_kind(j) != JSON_INTEGER)
		return -EINVAL;
	v = json_object_get_int64(obj(j));
	/* Above INT64_MAX json-c clamps. */
	if (v == INT64_MAX && json_object_get_uint64(obj(j)) != (uint64_t)INT64_MAX)
		return -ERANGE;
	*ret = v;
	return 0;
}

int json_as_double(const struct json *j, double *ret)
{
	if (json_kind(j) != JSON_INTEGER && json_kind(j) != JSON_DOUBLE)
		return -EINVAL;
	*ret = json_object_get_double(obj(j));
	return 0;
}

int json_as_bool(const struct json *j, bool *ret)
{
	if (json_kind(j) != JSON_BOOL)
		return -EINVAL;
	*ret = json_object_get_boolean(obj(j));
	return 0;
}

void json_write(FILE *out, const struct json *j)
{
	size_t n;
	const char *s = json_object_to_json_string_length(
		mut(j), JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &n);

	if (s)
		fwrite(s, 1, n, out);
}
