/* Reading TSV: see tsv.h. */
#include "lib/core/tsv.h"

#include <errno.h>

struct tsv {
	FILE *in;
	const char *name;
	const struct field *fields;
	const struct field **cols; /* by position; NULL: a column nobody wants */
	size_t n_cols;
	char *line;
	size_t line_cap;
	unsigned long line_no;
};

/* Reads a line without its newline: 1, 0 at the end, or -errno. */
static int next_line(struct tsv *t, struct err *e)
{
	ssize_t n = getline(&t->line, &t->line_cap, t->in);

	if (n < 0) {
		if (ferror(t->in))
			return err_sys(e, -EIO, t->name, "read");
		return 0;
	}
	t->line_no++;
	if (memchr(t->line, '\0', (size_t)n))
		return err_make(e, ERR_INVALID, -EINVAL, t->name, "give a TSV table",
				"line %lu holds a NUL byte", t->line_no);
	if (n && t->line[n - 1] == '\n')
		t->line[--n] = '\0';
	if (n && t->line[n - 1] == '\r')
		t->line[--n] = '\0';
	return 1;
}

/* Cuts the next cell off *p; the cell is not unescaped yet. */
static char *cut(char **p)
{
	char *cell = *p, *tab = strchr(cell, '\t');

	if (tab)
		*tab = '\0';
	*p = tab ? tab + 1 : NULL;
	return cell;
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place; false when an escape is not one that tsv_escape() writes. */
static bool unescape(char *s)
{
	char *to = s;
	int high, low;

	for (; *s; s++) {
		if (*s != '\\') {
			*to++ = *s;
			continue;
		}
		switch (*++s) {
		case 't':
			*to++ = '\t';
			break;
		case 'n':
			*to++ = '\n';
			break;
		case '\\':
		case '-':
			*to++ = *s;
			break;
		case 'x':
			high = hex(s[1]);
			low = high < 0 ? -1 : hex(s[2]);
			if (low < 0 || !(high | low))
				return false;
			*to++ = (char)(high << 4 | low);
			s += 2;
			break;
		default:
			return false;
		}
	}
	*to = '\0';
	return true;
}

static int parse_list(const struct field *f, void *row, char *text, struct arena *a,
		      const char *object, struct err *e)
{
	const char ***list = (const char ***)(void *)((char *)row + f->offset);
	char *item = text, *to = text;

	(void)object, (void)e;
	if (!*text) {
		*list = arena_alloc(a, sizeof **list);
		return 0;
	}
	for (char *p = text;; p++) {
		bool end = !*p, comma = *p == ',';

		if (*p == '\\' && p[1]) {
			*to++ = *++p;
			continue;
		}
		if (end || comma) {
			strlist_add(a, list, arena_strn(a, item, (size_t)(to - item)));
			item = to = p + 1;
			if (end)
				return 0;
			continue;
		}
		*to++ = *p;
	}
}

static int read_heading(struct tsv *t, const char *table, struct err *e)
{
	bool wanted = true;
	int r;
	char *p;

	for (;;) {
		r = next_line(t, e);
		if (r < 0)
			return r;
		if (!r)
			return err_make(e, ERR_INVALID, -ENODATA, t->name,
					"pipe in a table with its heading row",
					t->line_no ? "has no table '%s'" : "is empty, no table '%s'",
					table ? table : "");
		if (!*t->line)
			continue;
		if (t->line[0] == '#' && t->line[1] == ' ') {
			wanted = !table || streq(t->line + 2, table);
			continue;
		}
		if (wanted)
			break;
	}
	p = t->line;
	while (p) {
		t->cols = xrealloc(t->cols, t->n_cols + 1, sizeof *t->cols);
		t->cols[t->n_cols++] = field_find(t->fields, cut(&p));
	}
	for (const struct field *f = t->fields; f->name; f++)
		if (f->flags & REQUIRED && !tsv_has(t, f->name))
			return err_make(e, ERR_INVALID, -EINVAL, t->name,
					"give a table with a heading row that names it",
					"has no column '%s'", f->name);
	return 0;
}

int tsv_open(FILE *in, const char *name, const char *table, const struct field *fields,
	     struct tsv **ret, struct err *e)
{
	struct tsv *t = xcalloc(1, sizeof *t);
	int r;

	t->in = in;
	t->name = name;
	t->fields = fields;
	r = read_heading(t, table, e);
	if (r)
		tsv_free(&t);
	else
		*ret = t;
	return r;
}

int tsv_next(struct tsv *t, void *row, struct arena *a, struct err *e)
{
	size_t col = 0;
	char *p;
	int r = next_line(t, e);

	if (r <= 0)
		return r;
	if (!*t->line) /* an empty line ends a table */
		return 0;
	field_clear(t->fields, row);
	for (p = t->line; p; col++) {
		char *cell = cut(&p), object[300];
		const struct field *f = col < t->n_cols ? t->cols[col] : NULL;

		snprintf(object, sizeof object, "%s line %lu%s%s", t->name, t->line_no,
			 f ? " " : "", f ? f->name : "");
		if (col >= t->n_cols)
			return err_make(e, ERR_INVALID, -EINVAL, object, NULL,
					"has more cells than the heading's %zu", t->n_cols);
		if (!f || streq(cell, "-"))
			continue;
		if (!unescape(cell))
			return err_make(e, ERR_INVALID, -EINVAL, object, NULL,
					"has a backslash that is no TSV escape");
		r = f->type == FIELD_LIST ? parse_list(f, row, cell, a, object, e)
					  : field_parse(f, row, cell, a, object, e);
		if (r)
			return r;
	}
	if (col < t->n_cols)
		return err_make(e, ERR_INVALID, -EINVAL, t->name, NULL,
				"line %lu has %zu cells, the heading %zu", t->line_no, col,
				t->n_cols);
	for (const struct field *f = t->fields; f->name; f++)
		if (f->flags & REQUIRED && field_is_none(f, row))
			return err_make(e, ERR_INVALID, -EINVAL, t->name, NULL,
					"line %lu has no value for '%s'", t->line_no, f->name);
	return 1;
}

bool tsv_has(const struct tsv *t, const char *column)
{
	for (size_t i = 0; i < t->n_cols; i++)
		if (t->cols[i] && streq(t->cols[i]->name, column))
			return true;
	return false;
}

void tsv_free(struct tsv **t)
{
	if (!*t)
		return;
	free((*t)->cols);
	free((*t)->line);
	free(*t);
	*t = NULL;
}
