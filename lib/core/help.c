/* Help, manual page and completion, all from an applet's tables. */
#include "lib/core/opt.h"

static void wrap(FILE *out, const char *text, unsigned indent, unsigned width)
{
	unsigned col = indent;

	while (*text) {
		size_t n = strcspn(text, " \n");

		if (col > indent && col + 1 + n > width) {
			fprintf(out, "\n%*s", (int)indent, "");
			col = indent;
		}
		if (col > indent) {
			fputc(' ', out);
			col++;
		}
		fwrite(text, 1, n, out);
		col += (unsigned)n;
		text += n;
		if (starts_with(text, "\n\n")) {
			fprintf(out, "\n\n%*s", (int)indent, "");
			col = indent;
		}
		while (*text == ' ' || *text == '\n')
			text++;
	}
	fputc('\n', out);
}

static const char *placeholder(const struct field *f, struct arena *a)
{
	char name[OPTION_NAME_MAX], *up;

	if (f->arg)
		return f->arg;
	switch (field_unit(f)) {
	case UNIT_BYTES:
		return "SIZE";
	case UNIT_S:
	case UNIT_NS:
		return "TIME";
	default:
		break;
	}
	up = arena_str(a, option_name(f, name));
	for (char *c = up; *c; c++)
		if (*c >= 'a' && *c <= 'z')
			*c = (char)(*c - 'a' + 'A');
	return up;
}

/* The help with the default and the possible values behind it. */
static const char *help_of(const struct field *f, struct arena *a)
{
	const char *s = f->help;

	if (f->names && !(f->flags & HIDDEN)) {
		char *all = arena_str(a, f->names[0]);

		for (size_t i = 1; f->names[i]; i++)
			all = arena_printf(a, "%s, %s", all, f->names[i]);
		s = arena_printf(a, "%s: %s", s, all);
	}
	if (f->def)
		s = arena_printf(a, "%s (default %s)", s, f->def);
	if (f->flags & REQUIRED && !(f->flags & OPERAND))
		s = arena_printf(a, "%s (required)", s);
	return s;
}

static void option_lines(const struct field *fields, FILE *out, struct arena *a)
{
	for (const struct field *f = fields; f && f->name; f++) {
		char name[OPTION_NAME_MAX];
		char *left;

		if (f->flags & (OPERAND | HIDDEN))
			continue;
		left = f->letter ? arena_printf(a, "  -%c, --%s", f->letter, option_name(f, name))
				 : arena_printf(a, "      --%s", option_name(f, name));
		if (f->type != FIELD_BOOL)
			left = arena_printf(a, "%s %s", left, placeholder(f, a));
		if (strlen(left) > 27)
			fprintf(out, "%s\n%28s", left, "");
		else
			fprintf(out, "%-27s ", left);
		wrap(out, help_of(f, a), 28, 80);
	}
}

static bool has_options(const struct field *fields)
{
	for (const struct field *f = fields; f && f->name; f++)
		if (!(f->flags & (OPERAND | HIDDEN)))
			return true;
	return false;
}

static const char *synopsis(const struct applet *a, const struct mode *m, struct arena *mem)
{
	char *s = arena_str(mem, a->name);

	if (m->word && *m->word)
		s = arena_printf(mem, "%s %s", s, m->word);
	for (const struct field *f = m->op->params; f && f->name; f++) {
		char name[OPTION_NAME_MAX];

		if (f->flags & REQUIRED && !(f->flags & (OPERAND | HIDDEN)))
			s = arena_printf(mem, "%s --%s %s", s, option_name(f, name),
					 placeholder(f, mem));
	}
	s = arena_printf(mem, "%s [options]", s);
	for (const struct field *f = m->op->params; f && f->name; f++) {
		const char *what = f->flags & OPERAND ? placeholder(f, mem) : NULL;

		if (!what)
			continue;
		if (f->type == FIELD_LIST && !strstr(what, "..."))
			what = arena_printf(mem, "%s...", what);
		s = arena_printf(mem, f->flags & REQUIRED ? "%s %s" : "%s [%s]", s, what);
	}
	return s;
}

static void table_lines(const struct operation *op, FILE *out, struct arena *a)
{
	for (const struct table *const *t = op->tables; t && *t; t++) {
		fprintf(out, "\nColumns of %s (%s):\n", (*t)->name, (*t)->help);
		for (const struct field *f = (*t)->fields; f->name; f++) {
			fprintf(out, "  %-25s ", f->name);
			if (strlen(f->name) > 25)
				fprintf(out, "\n%28s", "");
			wrap(out, help_of(f, a), 28, 80);
		}
	}
}

/* A mode whose tables an earlier mode has printed does not print them again. */
static bool tables_seen(const struct applet *a, const struct mode *m)
{
	for (const struct mode *o = a->modes; o < m; o++)
		if (o->op->tables && m->op->tables && o->op->tables[0] == m->op->tables[0])
			return true;
	return false;
}

/* The earlier mode that has these very options; NULL: they are to be printed. */
static const struct mode *options_seen(const struct applet *a, const struct mode *m)
{
	for (const struct mode *o = a->modes; o < m; o++)
		if (o->op->params == m->op->params)
			return o;
	return NULL;
}

void help_text(const struct applet *a, FILE *out)
{
	struct arena mem auto_arena = { 0 };
	bool several = a->modes[0].op && a->modes[1].op;

	for (const struct mode *m = a->modes; m->op; m++)
		fprintf(out, "%s %s\n", m == a->modes ? "usage:" : "      ", synopsis(a, m, &mem));
	fprintf(out, "\n%s: ", a->name);
	wrap(out, a->summary, 0, 80);
	if (a->text) {
		fputc('\n', out);
		wrap(out, a->text, 0, 80);
	}
	for (const struct mode *m = a->modes; m->op; m++) {
		const struct mode *seen = options_seen(a, m);
		bool own = has_options(m->op->params);

		if (several) {
			fprintf(out, "\n%s%s%s\n    ", a->name, m->word && *m->word ? " " : "",
				m->word ? m->word : "");
			wrap(out, m->op->summary, 4, 80);
		} else if (own) {
			fputs("\nOptions:\n", out);
		}
		for (const struct field *f = m->op->params; f && f->name; f++)
			if (f->flags & OPERAND && !(f->flags & HIDDEN)) {
				fprintf(out, "  %-25s ", placeholder(f, &mem));
				wrap(out, help_of(f, &mem), 28, 80);
			}
		if (seen && own)
			fprintf(out, "      options: those of %s%s%s\n", a->name,
				seen->word && *seen->word ? " " : "", seen->word ? seen->word : "");
		else
			option_lines(m->op->params, out, &mem);
	}
	if (a->options)
		fprintf(out, "\nOptions of all of %s:\n", a->name);
	option_lines(a->options, out, &mem);
	fputs("\nCommon options:\n", out);
	option_lines(common_fields, out, &mem);
	for (const struct mode *m = a->modes; m->op; m++)
		if (!tables_seen(a, m))
			table_lines(m->op, out, &mem);
	if (a->examples) {
		fputs("\nExamples:\n", out);
		for (const struct example *x = a->examples; x->command; x++)
			fprintf(out, "  %s\n      %s\n", x->command, x->what);
	}
	fputs("\nExit status: 0 done, 1 failed, 2 usage, 3 found something to report, 4 not "
	      "supported here.\n",
	      out);
}

/* One character of mdoc text; at a line's start a dot or quote would begin a macro. */
static void man_char(FILE *out, char c, bool start)
{
	if (start && (c == '.' || c == '\''))
		fputs("\\&", out);
	if (c == '\\')
		fputs("\\e", out);
	else if (c == '-')
		fputs("\\-", out);
	else
		fputc(c, out);
}

static void man_escape(FILE *out, const char *s)
{
	for (const char *p = s; *p; p++)
		man_char(out, *p, p == s);
}

/* Running text: a new line after each sentence's end, as mdoc wants it, and paragraphs as .Pp. */
static void man_text(FILE *out, const char *s)
{
	bool start = true;
	char before = ' ';

	for (; *s; before = *s++) {
		if (starts_with(s, "\n\n")) {
			fputs("\n.Pp\n", out);
			while (s[1] == '\n')
				s++;
			start = true;
		} else if (*s == '\n' || (*s == ' ' && before == '.')) {
			fputc('\n', out);
			start = true;
		} else {
			man_char(out, *s, start);
			start = false;
		}
	}
	fputc('\n', out);
}

static void man_options(const struct field *fields, FILE *out, struct arena *a)
{
	fputs(".Bl -tag -width Ds\n", out);
	for (const struct field *f = fields; f && f->name; f++) {
		char name[OPTION_NAME_MAX];

		if (f->flags & HIDDEN)
			continue;
		if (f->flags & OPERAND) {
			fprintf(out, ".It Ar %s\n", placeholder(f, a));
		} else {
			fputs(".It ", out);
			if (f->letter)
				fprintf(out, "Fl %c , ", f->letter);
			fprintf(out, "Fl Fl %s", option_name(f, name));
			if (f->type != FIELD_BOOL)
				fprintf(out, " Ar %s", placeholder(f, a));
			fputc('\n', out);
		}
		man_text(out, arena_printf(a, "%s.", help_of(f, a)));
	}
	fputs(".El\n", out);
}

static void man_columns(const struct applet *a, FILE *out, struct arena *mem)
{
	fputs(".Sh COLUMNS\n", out);
	for (const struct mode *m = a->modes; m->op; m++) {
		if (tables_seen(a, m))
			continue;
		for (const struct table *const *t = m->op->tables; t && *t; t++) {
			fprintf(out, ".Ss %s\n", (*t)->name);
			man_text(out, arena_printf(mem, "%s:", (*t)->help));
			fputs(".Bl -tag -width Ds\n", out);
			for (const struct field *f = (*t)->fields; f->name; f++) {
				fprintf(out, ".It Va %s\n", f->name);
				man_text(out, arena_printf(mem, "%s.", help_of(f, mem)));
			}
			fputs(".El\n", out);
		}
	}
}

static void man_list(FILE *out, const char *section, const struct example *list, bool commands)
{
	if (!list)
		return;
	fprintf(out, ".Sh %s\n", section);
	if (commands) {
		for (const struct example *x = list; x->command; x++) {
			fputs(x == list ? "" : ".Pp\n", out);
			man_text(out, x->what);
			fputs(".Dl ", out);
			man_escape(out, x->command);
			fputc('\n', out);
		}
		return;
	}
	fputs(".Bl -tag -width Ds\n", out);
	for (const struct example *x = list; x->command; x++) {
		fprintf(out, ".It %s ", streq(section, "FILES") ? "Pa" : "Ev");
		man_escape(out, x->command);
		fputc('\n', out);
		man_text(out, x->what);
	}
	fputs(".El\n", out);
}

/* By section, then by name: the order of mdoc(7). */
static int by_section(const void *x, const void *y)
{
	const char *a = *(const char *const *)x, *b = *(const char *const *)y;
	int sections = strcmp(a + strcspn(a, "("), b + strcspn(b, "("));

	return sections ? sections : strcmp(a, b);
}

static void man_see_also(const struct applet *a, FILE *out, struct arena *mem)
{
	const char **pages = NULL, *list = a->see_also ? a->see_also : "";
	size_t n;

	strlist_add(mem, &pages, "storbox(1)");
	while (*list) {
		n = strcspn(list, ", ");
		if (n)
			strlist_add(mem, &pages, arena_strn(mem, list, n));
		list += n + strspn(list + n, ", ");
	}
	n = strlist_len((const char *const *)pages);
	qsort(pages, n, sizeof *pages, by_section);
	fputs(".Sh SEE ALSO\n", out);
	for (size_t i = 0; i < n; i++) {
		size_t name = strcspn(pages[i], "(");

		fprintf(out, ".Xr %.*s %.*s%s\n", (int)name, pages[i],
			(int)strcspn(pages[i] + name + 1, ")"), pages[i] + name + 1,
			i + 1 < n ? " ," : "");
	}
}

void help_man(const struct applet *a, const char *extra, FILE *out)
{
	struct arena mem auto_arena = { 0 };
	bool several = a->modes[0].op && a->modes[1].op;
	bool columns = false;

	char *title = arena_str(&mem, a->name);

	for (char *c = title; *c; c++)
		*c = (char)(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
	fprintf(out, ".Dd $Mdocdate$\n.Dt %s %d\n.Os\n.Sh NAME\n.Nm %s\n.Nd %s\n.Sh SYNOPSIS\n",
		title, a->section ? a->section : 8, a->name, a->summary);
	for (const struct mode *m = a->modes; m->op; m++) {
		fprintf(out, ".Nm\n");
		if (m->word && *m->word)
			fprintf(out, "%s %s\n", starts_with(m->word, "--") ? ".Fl Fl" : ".Cm",
				starts_with(m->word, "--") ? m->word + 2 : m->word);
		for (const struct field *f = m->op->params; f && f->name; f++) {
			char name[OPTION_NAME_MAX];

			if (f->flags & REQUIRED && !(f->flags & (OPERAND | HIDDEN)))
				fprintf(out, ".Fl Fl %s Ar %s\n", option_name(f, name),
					placeholder(f, &mem));
		}
		fputs(".Op Ar options\n", out);
		for (const struct field *f = m->op->params; f && f->name; f++)
			if (f->flags & OPERAND)
				fprintf(out, "%s Ar %s%s\n", f->flags & REQUIRED ? "." : ".Op",
					placeholder(f, &mem),
					f->type == FIELD_LIST && !strstr(placeholder(f, &mem), "...")
						? " ..."
						: "");
		columns |= m->op->tables != NULL;
	}
	fputs(".Sh DESCRIPTION\n", out);
	man_text(out, a->text ? a->text : arena_printf(&mem, "%s.", a->summary));
	fputs(".Sh OPTIONS\n", out);
	for (const struct mode *m = a->modes; m->op; m++) {
		if (several) {
			fprintf(out, ".Ss %s", a->name);
			if (m->word && *m->word) {
				fputc(' ', out);
				man_escape(out, m->word);
			}
			fputc('\n', out);
			man_text(out, arena_printf(&mem, "%s.", m->op->summary));
		}
		if (m->op->params && m->op->params[0].name)
			man_options(m->op->params, out, &mem);
	}
	if (a->options) {
		fprintf(out, ".Ss Options of all of %s\n", a->name);
		man_options(a->options, out, &mem);
	}
	fputs(".Ss Common options\n", out);
	man_options(common_fields, out, &mem);
	if (columns)
		man_columns(a, out, &mem);
	if (extra)
		fputs(extra, out);
	man_list(out, "ENVIRONMENT", a->environment, false);
	man_list(out, "FILES", a->files, false);
	fputs(".Sh EXIT STATUS\n"
	      "0 done; 1 failed; 2 usage; 3 ran, and found something to report;\n"
	      "4 not supported here (kernel, privilege, missing program).\n",
	      out);
	man_list(out, "EXAMPLES", a->examples, true);
	man_see_also(a, out, &mem);
}
