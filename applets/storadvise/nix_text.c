/* Nix's built-in functions on strings (see nix.h). */
#include "applets/storadvise/nix.h"

#include <ctype.h>
#include <errno.h>
#include <regex.h>

static void give(struct nix_value *out, const char *s, size_t n)
{
	out->type = NIX_STRING;
	out->text = s;
	out->length = (uint32_t)n;
}

static struct nix_value *text(struct nix *x, const char *s, size_t n)
{
	struct nix_value *v = nix_new(x, NIX_STRING);

	give(v, nix_strn(x, s, n), n);
	return v;
}

static struct nix_value *want(struct nix *x, struct nix_value *v)
{
	nix_want(x, v, NIX_STRING, 0);
	return v;
}

/* storboxSplit SEPARATOR TEXT: without regular expressions, for the rules. */
static void prim_split_plain(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	struct nix_value **items = NULL;
	size_t n = 0, cap = 0;
	const char *sep = want(x, a[0])->text, *s = want(x, a[1])->text, *end;

	if (!*sep)
		nix_raise(x, FAULT_TYPE, a[0]->pos, "an empty separator");
	do {
		end = strstr(s, sep);
		items = nix_grow(x, items, n, &cap, sizeof *items);
		items[n++] = text(x, s, end ? (size_t)(end - s) : strlen(s));
		s = end ? end + a[0]->length : s;
	} while (end);
	*out = *nix_list(x, items, n);
}

static void prim_to_string(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	size_t n;
	const char *s = nix_coerce(x, a[0], true, 0, &n);

	give(out, s, n);
}

static void prim_string_length(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	size_t n;

	nix_coerce(x, a[0], false, 0, &n);
	out->type = NIX_INT;
	out->integer = (int64_t)n;
}

static void prim_substring(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	int64_t start, length;
	const char *s;
	size_t n;

	nix_want(x, a[0], NIX_INT, 0);
	nix_want(x, a[1], NIX_INT, 0);
	s = nix_coerce(x, a[2], false, 0, &n);
	start = a[0]->integer;
	length = a[1]->integer;
	if (start < 0)
		nix_raise(x, FAULT_TYPE, a[0]->pos, "negative start position in 'substring'");
	if ((uint64_t)start >= n)
		return give(out, "", 0);
	if (length < 0 || (uint64_t)length > n - (size_t)start)
		length = (int64_t)(n - (size_t)start);
	give(out, nix_strn(x, s + start, (size_t)length), (size_t)length);
}

static void prim_concat_sep(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	char *r = NULL;
	size_t n = 0, cap = 0;

	want(x, a[0]);
	nix_want(x, a[1], NIX_LIST, 0);
	for (uint32_t i = 0; i < a[1]->n; i++) {
		size_t k, gap = i ? a[0]->length : 0;
		const char *s = nix_coerce(x, a[1]->items[i], false, 0, &k);

		while (!r || cap - n < k + gap + 1)
			r = nix_grow(x, r, r ? cap : 0, &cap, 1);
		memcpy(r + n, a[0]->text, gap);
		memcpy(r + n + gap, s, k);
		n += gap + k;
	}
	if (r)
		r[n] = '\0';
	give(out, r ? r : "", n);
}

static void prim_replace(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	char *r = NULL;
	size_t n = 0, cap = 0;

	nix_want(x, a[0], NIX_LIST, 0);
	nix_want(x, a[1], NIX_LIST, 0);
	if (a[0]->n != a[1]->n)
		nix_raise(x, FAULT_TYPE, a[0]->pos, "'replaceStrings' needs lists of one length");
	for (uint32_t i = 0; i < a[0]->n; i++) {
		want(x, a[0]->items[i]);
		want(x, a[1]->items[i]);
	}
	want(x, a[2]);
	for (size_t p = 0; p <= a[2]->length;) {
		const char *with = a[2]->text + p;
		size_t k = p < a[2]->length, step = 1;

		nix_count(x, 1 + a[0]->n);
		for (uint32_t i = 0; i < a[0]->n; i++) {
			const struct nix_value *from = a[0]->items[i];

			if (from->length > a[2]->length - p ||
			    memcmp(a[2]->text + p, from->text, from->length))
				continue;
			with = a[1]->items[i]->text;
			k = a[1]->items[i]->length;
			step = from->length;
			break;
		}
		while (!r || cap - n < k + 2)
			r = nix_grow(x, r, r ? cap : 0, &cap, 1);
		memcpy(r + n, with, k);
		n += k;
		/* An empty pattern stands before every character, which stays. */
		if (!step) {
			if (p < a[2]->length)
				r[n++] = a[2]->text[p];
			step = 1;
		}
		p += step;
	}
	r[n] = '\0';
	give(out, r, n);
}

static void prim_base_name(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	size_t n;
	const char *s, *slash;

	nix_force(x, a[0]);
	s = nix_coerce(x, a[0], a[0]->type == NIX_PATH, 0, &n);
	if (n && s[n - 1] == '/')
		n--;
	slash = memrchr(s, '/', n);
	if (slash) {
		n -= (size_t)(slash + 1 - s);
		s = slash + 1;
	}
	give(out, nix_strn(x, s, n), n);
}

static void prim_dir_of(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	size_t n;
	const char *s, *slash;

	nix_force(x, a[0]);
	s = nix_coerce(x, a[0], a[0]->type == NIX_PATH, 0, &n);
	slash = memrchr(s, '/', n);
	if (!slash)
		s = ".", n = 1;
	else
		n = slash == s ? 1 : (size_t)(slash - s);
	give(out, nix_strn(x, s, n), n);
	if (a[0]->type == NIX_PATH)
		out->type = NIX_PATH;
}

/* Versions: digits and other characters are components of their own. */
static const char *component(const char **p, size_t *n)
{
	const char *s = *p;
	bool digits;

	while (*s == '.' || *s == '-')
		s++;
	*n = 0;
	digits = isdigit((unsigned char)*s);
	while (s[*n] && s[*n] != '.' && s[*n] != '-' &&
	       !isdigit((unsigned char)s[*n]) == !digits)
		++*n;
	*p = s + *n;
	return s;
}

static bool component_less(const char *a, size_t n, const char *b, size_t m)
{
	bool da = n && isdigit((unsigned char)*a), db = m && isdigit((unsigned char)*b);

	if (da && db)
		return strtoull(a, NULL, 10) < strtoull(b, NULL, 10);
	if (!n && db)
		return true;
	if (n == 3 && !memcmp(a, "pre", 3) && !(m == 3 && !memcmp(b, "pre", 3)))
		return true;
	if (m == 3 && !memcmp(b, "pre", 3))
		return false;
	if (db)
		return true;
	if (da)
		return false;
	return memcmp(a, b, n < m ? n : m) < 0 ||
	       (!memcmp(a, b, n < m ? n : m) && n < m);
}

static void prim_compare_versions(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	const char *p = want(x, a[0])->text, *q = want(x, a[1])->text;

	out->type = NIX_INT;
	out->integer = 0;
	while (*p || *q) {
		size_t n, m;
		const char *c = component(&p, &n), *d = component(&q, &m);

		if (component_less(c, n, d, m))
			out->integer = -1;
		else if (component_less(d, m, c, n))
			out->integer = 1;
		if (out->integer)
			return;
	}
}

static void prim_split_version(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	struct nix_value **items = NULL;
	size_t n = 0, cap = 0, k;
	const char *p = want(x, a[0])->text;

	for (;;) {
		const char *c = component(&p, &k);

		if (!k)
			break;
		items = nix_grow(x, items, n, &cap, sizeof *items);
		items[n++] = text(x, c, k);
	}
	*out = *nix_list(x, items, n);
}

static void prim_parse_drv_name(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	const char *s = want(x, a[0])->text;
	size_t n = 0;
	struct nix_builder b = { .x = x };

	while (s[n] && !(s[n] == '-' && s[n + 1] && !isalpha((unsigned char)s[n + 1])))
		n++;
	nix_add(&b, "name", text(x, s, n));
	nix_add(&b, "version", nix_string(x, s[n] ? s + n + 1 : ""));
	*out = *nix_attrs(&b);
}

/* Regular expressions: POSIX extended, as in Nix. */

static void compile(struct nix *x, struct nix_value *v, bool whole, regex_t *re)
{
	const char *s = want(x, v)->text;
	unsigned repeats = 0;
	char *pattern;

	/* What regcomp() and regexec() may take is bounded by length and repetitions; a reference
	 * back takes exponential time. */
	for (const char *p = s; *p; p++)
		repeats += *p == '{' ? 1 : *p == '\\' && isdigit((unsigned char)p[1]) ? 9 : 0;
	pattern = whole ? arena_printf(&x->mem, "^(%s)$", s) : arena_strn(&x->mem, s, v->length);
	if (v->length > 1000 || repeats > 4 || regcomp(re, pattern, REG_EXTENDED))
		nix_raise(x, FAULT_TYPE, v->pos, "invalid regular expression '%.100s'", v->text);
}

static struct nix_value *groups(struct nix *x, const char *s, const regmatch_t *m, size_t n)
{
	struct nix_value **items = nix_alloc(x, (n + 1) * sizeof *items);

	for (size_t i = 0; i < n; i++)
		items[i] = m[i].rm_so < 0 ? x->lib_null
					  : text(x, s + m[i].rm_so,
						 (size_t)(m[i].rm_eo - m[i].rm_so));
	return nix_list(x, items, n);
}

enum { GROUPS_MAX = 32 };

static void prim_match(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	regmatch_t m[GROUPS_MAX + 2];
	regex_t re;
	size_t n;
	int r;

	want(x, a[1]);
	compile(x, a[0], true, &re);
	n = re.re_nsub - 1;
	r = n > GROUPS_MAX ? REG_NOMATCH : regexec(&re, a[1]->text, COUNT(m), m, 0);
	regfree(&re);
	nix_count(x, a[1]->length);
	if (r)
		out->type = NIX_NULL;
	else
		*out = *groups(x, a[1]->text, m + 2, n);
}

static void prim_split(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	struct nix_value **items = NULL;
	size_t n = 0, cap = 0;
	regmatch_t m[GROUPS_MAX + 1];
	const char *s = want(x, a[1])->text, *rest = s;
	regex_t re;
	size_t subs;

	compile(x, a[0], false, &re);
	subs = re.re_nsub > GROUPS_MAX ? GROUPS_MAX : re.re_nsub;
	/* Bounded by the text's length: each round takes at least one character. */
	for (const char *p = s; !regexec(&re, p, COUNT(m), m, p > s ? REG_NOTBOL : 0);) {
		bool empty = m[0].rm_eo == m[0].rm_so;

		items = nix_grow(x, items, n, &cap, sizeof *items);
		items[n++] = text(x, rest, (size_t)(p + m[0].rm_so - rest));
		items = nix_grow(x, items, n, &cap, sizeof *items);
		items[n++] = groups(x, p, m + 1, subs);
		rest = p + m[0].rm_eo;
		p = rest;
		if (empty && !*p++)
			break;
	}
	regfree(&re);
	items = nix_grow(x, items, n, &cap, sizeof *items);
	items[n++] = nix_string(x, rest);
	*out = *nix_list(x, items, n);
}

/* JSON. */

static void prim_to_json(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	jmp_buf *outer = x->jump, mine;
	volatile bool ok = false;
	char *got = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&got, &n);

	if (!f)
		nix_raise(x, FAULT_LIMIT, 0, "out of memory");
	if (!setjmp(mine)) {
		x->jump = &mine;
		nix_json_value(x, a[0], f);
		ok = true;
	}
	x->jump = outer;
	fclose(f);
	if (ok)
		give(out, arena_strn(&x->mem, got, n), n);
	x->memory_bytes += n;
	free(got);
	if (!ok)
		longjmp(*outer, 1);
}

static void prim_from_json(struct nix *x, struct nix_value **a, struct nix_value *out)
{
	struct json_limits limits = { .max_bytes = x->limits.file_bytes };
	struct json *j = NULL;
	struct err e = { 0 };

	want(x, a[0]);
	if (json_parse(a[0]->text, a[0]->length, "fromJSON", &limits, &j, &e))
		nix_raise(x, FAULT_TYPE, a[0]->pos, "%s", e.found);
	*out = *nix_from_json(x, j, a[0]->pos);
	json_free(&j);
}

void nix_primitives_text(struct nix_builder *b)
{
	static const struct nix_primitive all[] = {
		{ "storboxSplit", 2, prim_split_plain }, { "toString", 1, prim_to_string },
		{ "stringLength", 1, prim_string_length },
		{ "substring", 3, prim_substring }, { "concatStringsSep", 2, prim_concat_sep },
		{ "replaceStrings", 3, prim_replace }, { "baseNameOf", 1, prim_base_name },
		{ "dirOf", 1, prim_dir_of }, { "compareVersions", 2, prim_compare_versions },
		{ "splitVersion", 1, prim_split_version },
		{ "parseDrvName", 1, prim_parse_drv_name },
		{ "match", 2, prim_match }, { "split", 2, prim_split },
		{ "toJSON", 1, prim_to_json }, { "fromJSON", 1, prim_from_json },
		{ "unsafeDiscardStringContext", 1, prim_to_string },
	};

	for (size_t i = 0; i < COUNT(all); i++) {
		struct nix_value *v = nix_new(b->x, NIX_PRIMITIVE);

		v->primitive = &all[i];
		nix_add(b, all[i].name, v);
	}
}
