/* Command lines: see opt.h. */
#include "lib/core/opt.h"

#include <errno.h>

#define COMMON(member, flags, help, ...) FIELD(struct common_options, member, flags, help, ##__VA_ARGS__)

const struct field common_fields[] = {
	COMMON(json, 0, "write JSON", .letter = 'J'),
	COMMON(jsonl, 0, "write one JSON object a line"),
	COMMON(tsv, 0, "write TSV with raw numbers, also on a terminal"),
	COMMON(table, 0, "write an aligned table, also into a pipe"),
	COMMON(output, 0, "columns to write, or 'all'; tables that have none of them are left out",
	       .letter = 'o', .arg = "COL,..."),
	COMMON(no_headings, 0, "leave out the heading row", .letter = 'n'),
	COMMON(bytes, 0, "raw numbers in the table: bytes, nanoseconds", .letter = 'b'),
	COMMON(color, 0, "colour: auto, always or never", .arg = "WHEN"),
	COMMON(progress, 0, "show progress of long work, also without a terminal"),
	COMMON(sysroot, 0, "read /sys, /proc, /dev and /run below DIR", .arg = "DIR",
	       .complete = "dir"),
	COMMON(help, 0, "show this help and exit", .letter = 'h'),
	COMMON(version, 0, "show the version and exit", .letter = 'V'),
	FIELD_END,
};

const struct applet *applet_find(const struct applet *const *applets, const char *name)
{
	for (; applets && *applets; applets++)
		if (streq((*applets)->name, name))
			return *applets;
	return NULL;
}

static bool has_word(const struct mode *m)
{
	return m->word && *m->word;
}

static bool is_switch_mode(const struct mode *m)
{
	return has_word(m) && m->word[0] == '-';
}

const char *option_name(const struct field *f, char buf[static OPTION_NAME_MAX])
{
	static const char *const endings[] = { "_bytes", "_s" };

	snprintf(buf, OPTION_NAME_MAX, "%s", f->option ? f->option : f->name);
	if (!f->option)
		for (size_t i = 0; i < COUNT(endings); i++)
			if (ends_with(buf, endings[i]) && f->type != FIELD_STR) {
				buf[strlen(buf) - strlen(endings[i])] = '\0';
				break;
			}
	for (char *p = buf; *p; p++)
		if (*p == '_')
			*p = '-';
	return buf;
}

static const struct field *find_long(const struct field *fields, const char *s, size_t n)
{
	char name[OPTION_NAME_MAX];

	for (const struct field *f = fields; f && f->name; f++)
		if (!(f->flags & OPERAND) && strlen(option_name(f, name)) == n &&
		    !strncmp(name, s, n))
			return f;
	return NULL;
}

static const struct field *find_letter(const struct field *fields, char letter)
{
	for (const struct field *f = fields; f && f->name; f++)
		if (!(f->flags & OPERAND) && f->letter == letter)
			return f;
	return NULL;
}

/* Whether this word is an option whose value is the next word. */
static bool takes_next(const struct field *fields, const char *word)
{
	const struct field *f;

	if (word[1] == '-')
		f = strchr(word, '=') ? NULL : find_long(fields, word + 2, strlen(word + 2));
	else
		f = word[1] && !word[2] ? find_letter(fields, word[1]) : NULL;
	return f && f->type != FIELD_BOOL;
}

const struct mode *applet_mode(const struct applet *a, const char *const *argv, struct err *e)
{
	struct arena mem auto_arena = { 0 };
	const struct mode *fallback = NULL, *m;
	const char *first = NULL;
	char *known = NULL;
	bool asks = false; /* for help or version: any mode will do */

	for (m = a->modes; m->op; m++)
		if (!has_word(m))
			fallback = m;
	for (const char *const *p = argv + 1; *p && !streq(*p, "--"); p++) {
		for (m = a->modes; m->op; m++)
			if (is_switch_mode(m) && streq(*p, m->word))
				return m;
		asks |= streq(*p, "--help") || streq(*p, "-h") || streq(*p, "--version") ||
			streq(*p, "-V");
		if ((*p)[0] != '-' || !(*p)[1])
			first = first ? first : *p;
		else if (p[1] && (takes_next(common_fields, *p) || takes_next(a->options, *p) ||
				  (fallback && takes_next(fallback->op->params, *p))))
			p++;
	}
	for (m = a->modes; m->op; m++)
		if (first && has_word(m) && streq(m->word, first))
			return m;
	if (fallback)
		return fallback;
	if (asks)
		return a->modes;
	for (m = a->modes; m->op; m++)
		known = known ? arena_printf(&mem, "%s, %s", known, m->word)
			      : arena_str(&mem, m->word);
	if (first)
		err_usage(e, first, "no such subcommand of %s; there are %s", a->name, known);
	else
		err_usage(e, NULL, "name a subcommand: %s", known);
	return NULL;
}

struct parse {
	const struct mode *mode;
	void *params;
	struct common_options *common;
	const char *const *next; /* words not yet looked at */
	bool *given;		 /* by index of mode->op->params */
	struct arena *mem;
	struct err *e;
};

static bool is_of(const struct field *fields, const struct field *f)
{
	for (; fields && fields->name; fields++)
		if (fields == f)
			return true;
	return false;
}

static int store(struct parse *p, const struct field *f, const char *name, const char *value)
{
	const struct field *params = p->mode->op->params;
	bool own = is_of(params, f);
	void *base = own			   ? p->params
		     : is_of(common_fields, f) ? (void *)p->common
					       : p->common->own;

	if (f->type == FIELD_BOOL && !value)
		value = "true";
	if (own) {
		bool *given = &p->given[f - params];

		/* A default is no first item of a list. */
		if (f->type == FIELD_LIST && !*given)
			*(const char ***)(void *)((char *)base + f->offset) = NULL;
		if (*given && f->type != FIELD_LIST && f->type != FIELD_BOOL)
			return err_usage(p->e, name, "is given twice");
		*given = true;
	}
	return field_parse(f, base, value, p->mem, name, p->e);
}

static const struct field *find_option(struct parse *p, const char *s, size_t n, bool is_long)
{
	const struct field *own = p->mode->op->params;
	const struct field *f = is_long ? find_long(own, s, n) : find_letter(own, *s);

	if (!f && p->common)
		f = is_long ? find_long(p->common->own_fields, s, n)
			    : find_letter(p->common->own_fields, *s);
	if (!f && p->common)
		f = is_long ? find_long(common_fields, s, n) : find_letter(common_fields, *s);
	return f;
}

static int parse_long(struct parse *p, const char *word)
{
	size_t n = strcspn(word + 2, "=");
	const char *value = word[2 + n] ? word + 2 + n + 1 : NULL;
	const char *name = arena_strn(p->mem, word, n + 2);
	const struct field *f = find_option(p, word + 2, n, true);

	if (!f)
		return err_usage(p->e, name, "unknown option");
	if (f->type == FIELD_BOOL && value)
		return err_usage(p->e, name, "takes no value");
	if (f->type != FIELD_BOOL && !value) {
		value = *p->next;
		if (!value)
			return err_usage(p->e, name, "needs a value");
		p->next++;
	}
	return store(p, f, name, value);
}

static int parse_letters(struct parse *p, const char *word)
{
	for (const char *s = word + 1; *s; s++) {
		const char *name = arena_printf(p->mem, "-%c", *s);
		const struct field *f = find_option(p, s, 1, false);
		const char *value = NULL;
		int r;

		if (!f)
			return err_usage(p->e, name, "unknown option");
		if (f->type != FIELD_BOOL) {
			value = s[1] ? s + 1 : *p->next;
			if (!value)
				return err_usage(p->e, name, "needs a value");
			if (!s[1])
				p->next++;
		}
		r = store(p, f, name, value);
		if (r || value)
			return r;
	}
	return 0;
}

static const char *operand_text(const struct field *f, char buf[static OPTION_NAME_MAX])
{
	if (f->arg)
		return f->arg;
	option_name(f, buf);
	for (char *c = buf; *c; c++)
		if (*c >= 'a' && *c <= 'z')
			*c = (char)(*c - 'a' + 'A');
	return buf;
}

static int parse_operand(struct parse *p, const char *word)
{
	const struct field *params = p->mode->op->params;
	char name[OPTION_NAME_MAX];

	for (const struct field *f = params; f && f->name; f++)
		if (f->flags & OPERAND && (f->type == FIELD_LIST || !p->given[f - params]))
			return store(p, f, operand_text(f, name), word);
	return err_usage(p->e, word, "unexpected operand");
}

static int check_required(struct parse *p)
{
	const struct field *params = p->mode->op->params;
	char name[OPTION_NAME_MAX];

	for (const struct field *f = params; f && f->name; f++) {
		if (!(f->flags & REQUIRED) || !field_is_none(f, p->params))
			continue;
		if (f->flags & OPERAND)
			return err_usage(p->e, NULL, "%s is missing: %s", operand_text(f, name),
					 f->help);
		return err_usage(p->e, NULL, "--%s is missing: %s", option_name(f, name), f->help);
	}
	return 0;
}

int opt_parse(const struct mode *m, const char *const *argv, void *params,
	      struct common_options *common, struct arena *a, struct err *e)
{
	struct parse p = { .mode = m, .params = params, .common = common, .next = argv + 1,
			   .mem = a, .e = e };
	bool word_seen = !has_word(m), ended = false;
	size_t n = 0;
	int r = 0;

	while (m->op->params && m->op->params[n].name)
		n++;
	p.given = arena_alloc(a, n + 1);
	field_clear(m->op->params, params);
	field_defaults(m->op->params, params, a);
	if (common) {
		field_clear(common_fields, common);
		field_clear(common->own_fields, common->own);
		field_defaults(common->own_fields, common->own, a);
	}
	while (!r && *p.next) {
		const char *word = *p.next++;

		if (!ended && !word_seen && streq(word, m->word))
			word_seen = true;
		else if (!ended && streq(word, "--"))
			ended = true;
		else if (ended || word[0] != '-' || !word[1])
			r = parse_operand(&p, word);
		else if (word[1] == '-')
			r = parse_long(&p, word);
		else
			r = parse_letters(&p, word);
	}
	if (!r && !(common && (common->help || common->version)))
		r = check_required(&p);
	return r;
}

const char *const *opt_unparse(const char *applet, const struct mode *m, const void *params,
			       struct arena *a)
{
	const char **argv = NULL;
	bool operands = false;

	strlist_add(a, &argv, arena_str(a, applet));
	if (has_word(m))
		strlist_add(a, &argv, m->word);
	for (const struct field *f = m->op->params; f && f->name; f++) {
		char name[OPTION_NAME_MAX];
		const void *at = (const char *)params + f->offset;
		const char *text = field_text(f, params, a);

		if (f->flags & OPERAND) {
			operands = true;
			continue;
		}
		option_name(f, name);
		if (!text || (f->type == FIELD_BOOL && streq(text, "false")) ||
		    (f->def && streq(f->def, text)))
			continue;
		if (f->type == FIELD_LIST) {
			for (const char *const *i = *(const char *const *const *)at; *i; i++) {
				strlist_add(a, &argv, arena_printf(a, "--%s", name));
				strlist_add(a, &argv, arena_str(a, *i));
			}
			continue;
		}
		strlist_add(a, &argv, arena_printf(a, "--%s", name));
		if (f->type != FIELD_BOOL)
			strlist_add(a, &argv, arena_str(a, text));
	}
	for (const struct field *f = m->op->params; operands && f->name; f++) {
		const void *at = (const char *)params + f->offset;
		const char *text = field_text(f, params, a);

		if (!(f->flags & OPERAND) || !text)
			continue;
		if (f->type != FIELD_LIST) {
			if (text[0] == '-' && !strlist_has((const char *const *)argv, "--"))
				strlist_add(a, &argv, "--");
			strlist_add(a, &argv, arena_str(a, text));
			continue;
		}
		for (const char *const *i = *(const char *const *const *)at; *i; i++) {
			if (**i == '-' && !strlist_has((const char *const *)argv, "--"))
				strlist_add(a, &argv, "--");
			strlist_add(a, &argv, arena_str(a, *i));
		}
	}
	return argv;
}
