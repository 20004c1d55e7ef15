/* Writers: the human table, TSV, JSON, JSON lines. See sink.h. */
#include "lib/core/sink.h"

#include "lib/core/utf8.h"

#include <ctype.h>
#include <errno.h>

static int null_row(struct sink *s, const struct table *t, const void *row)
{
	(void)s, (void)t, (void)row;
	return 0;
}

static const struct sink_type null_type = { .row = null_row };
struct sink sink_null = { &null_type };

/* After so many rows of a human table the widths are settled and the rest streams. */
enum { TABLE_ROWS_MAX = 1000 };

struct column {
	const struct field *field;
	size_t width;
	bool right; /* numbers */
	bool hidden;
};

struct cell {
	const char *text;
	enum style style;
};

struct shape {
	const struct table *table;
	struct column *cols;
	size_t n_cols;
	bool started;
};

struct writer {
	struct sink sink;
	FILE *out;
	struct writer_options o;
	struct shape *shapes;
	size_t n_shapes;
	struct shape *now;     /* the table being written */
	unsigned long rows;    /* of it */
	unsigned shown;	       /* titles of tables written */
	struct arena mem;      /* what lives as long as the writer */
	struct arena row_mem;  /* cells of buffered rows */
	VEC(struct cell *) buffered;
};

void tsv_escape(FILE *out, const char *s)
{
	if (streq(s, "-")) {
		fputs("\\-", out);
		return;
	}
	while (*s) {
		size_t n = utf8_length(s);
		unsigned char c = (unsigned char)*s;

		if (c == '\t')
			fputs("\\t", out);
		else if (c == '\n')
			fputs("\\n", out);
		else if (c == '\\')
			fputs("\\\\", out);
		else if (!n || c < 0x20 || c == 0x7f)
			fprintf(out, "\\x%02x", c);
		else
			fwrite(s, 1, n, out);
		s += n ? n : 1;
	}
}

void json_escape(FILE *out, const char *s)
{
	fputc('"', out);
	while (*s) {
		size_t n = utf8_length(s);
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c == '\n')
			fputs("\\n", out);
		else if (c == '\t')
			fputs("\\t", out);
		else if (!n)
			fprintf(out, "\\\\x%02x", c);
		else if (c < 0x20 || c == 0x7f)
			fprintf(out, "\\u%04x", c);
		else
			fwrite(s, 1, n, out);
		s += n ? n : 1;
	}
	fputc('"', out);
}

static void json_cell(FILE *out, const struct field *f, const void *row, struct arena *a)
{
	const void *at = (const char *)row + f->offset;
	const char *text = field_text(f, row, a);
	const char *const *item;

	if (!text) {
		fputs("null", out);
		return;
	}
	switch (f->type) {
	case FIELD_LIST:
		fputc('[', out);
		for (item = *(const char *const *const *)at; *item; item++) {
			json_escape(out, *item);
			if (item[1])
				fputc(',', out);
		}
		fputc(']', out);
		break;
	case FIELD_STR:
		json_escape(out, text);
		break;
	default:
		if (field_word(f, row))
			json_escape(out, text);
		else
			fputs(text, out);
	}
}

void json_row(FILE *out, const struct field *fields, const void *row, struct arena *a)
{
	fputc('{', out);
	for (const struct field *f = fields; f->name; f++) {
		fprintf(out, "\"%s\":", f->name);
		json_cell(out, f, row, a);
		if (f[1].name)
			fputc(',', out);
	}
	fputc('}', out);
}

static void json_columns(struct writer *w, const struct shape *s, const void *row)
{
	fputc('{', w->out);
	if (w->o.format == FORMAT_JSONL && w->n_shapes > 1)
		fprintf(w->out, "\"table\":\"%s\"%s", s->table->name,
			s->n_cols ? "," : "");
	for (size_t i = 0; i < s->n_cols; i++) {
		fprintf(w->out, "%s\"%s\":", i ? "," : "", s->cols[i].field->name);
		json_cell(w->out, s->cols[i].field, row, &w->row_mem);
	}
	fputc('}', w->out);
}

/* "SIZE" for size_bytes where a person sees 1.5G, the whole name where the number is raw. */
static const char *heading(const struct writer *w, const struct field *f, struct arena *a)
{
	static const char *const endings[] = { "_bytes_per_s", "_per_s", "_bytes", "_ns", "_s",
					       "_percent", "_time" };
	char *h = arena_str(a, f->name);

	if (f->heading && !w->o.raw)
		return f->heading;
	if (!w->o.raw && field_unit(f) != UNIT_NONE)
		for (size_t i = 0; i < COUNT(endings); i++)
			if (ends_with(h, endings[i])) {
				h[strlen(h) - strlen(endings[i])] = '\0';
				break;
			}
	for (char *p = h; *p; p++)
		*p = (char)(*p == '_' ? '-' : toupper((unsigned char)*p));
	return h;
}

static bool is_number(const struct field *f)
{
	return f->type != FIELD_BOOL && f->type != FIELD_STR && f->type != FIELD_LIST && !f->names;
}

/* How far a column may be cut: below 12 characters nothing is gained; the last one goes on below itself. */
static size_t narrowest(const struct shape *s, size_t i, size_t last)
{
	size_t least = i == last ? 24 : 12;

	return s->cols[i].right || s->cols[i].width < least ? s->cols[i].width : least;
}

/*
 * Shrinks the widest text columns until the line fits. What names the row is cut last, for it is what
 * the next command is given, and not at all where the line would not fit even so.
 */
static void fit(struct writer *w, struct shape *s)
{
	size_t total = 0, least = 0, last = 0;

	for (size_t i = 0; i < s->n_cols; i++)
		if (!s->cols[i].hidden) {
			total += s->cols[i].width + (total ? 2 : 0);
			last = i;
		}
	for (size_t i = 0; i < s->n_cols; i++)
		if (!s->cols[i].hidden)
			least += narrowest(s, i, last) + (least ? 2 : 0);
	for (unsigned keys = 0; w->o.width && total > w->o.width;) {
		struct column *widest = NULL;

		for (size_t i = 0; i < s->n_cols; i++)
			if (!s->cols[i].right && !s->cols[i].hidden &&
			    (keys || !(s->cols[i].field->flags & KEY)) &&
			    s->cols[i].width > narrowest(s, i, last) &&
			    (!widest || i == last || s->cols[i].width > widest->width))
				widest = &s->cols[i];
		if (!widest && (keys++ || least > w->o.width))
			break;
		if (!widest)
			continue;
		widest->width--;
		total--;
	}
}

/* How much of the text fits into width columns, to the end of a word if one ends there. */
static size_t words_that_fit(const char *text, size_t width)
{
	size_t n = 0, word = 0, used = 0;

	while (text[n]) {
		size_t len = utf8_length(text + n);
		char one[8] = "";

		len = len ? len : 1;
		memcpy(one, text + n, len);
		used += utf8_width(one);
		if (used > width)
			return word ? word : n ? n : len;
		n += len;
		if (text[n] == ' ')
			word = n;
	}
	return n;
}

/* The last cell, on as many lines as it needs. */
static void human_wrap(struct writer *w, const char *text, size_t indent, size_t width)
{
	for (;;) {
		size_t n = words_that_fit(text, width);
		struct arena mem auto_arena = { 0 };

		utf8_print(w->out, arena_strn(&mem, text, n));
		text += n;
		while (*text == ' ')
			text++;
		if (!*text)
			return;
		fprintf(w->out, "\n%*s", (int)indent, "");
	}
}

static void human_cells(struct writer *w, const struct shape *s, const struct cell *cells)
{
	size_t at = 0, last = s->n_cols;

	while (last && s->cols[last - 1].hidden)
		last--;
	for (size_t i = 0; i < last; i++) {
		const struct column *c = &s->cols[i];
		const char *text = cells[i].text;
		enum style style = w->o.color ? cells[i].style : STYLE_PLAIN;
		size_t have = utf8_width(text);
		size_t pad = have < c->width ? c->width - have : 0;
		bool cut = have > c->width && w->o.width && !c->right;

		if (c->hidden)
			continue;
		if (at) {
			fputs("  ", w->out);
			at += 2;
		}
		if (c->right)
			fprintf(w->out, "%*s", (int)pad, "");
		fputs(style_begin(style), w->out);
		if (cut && i + 1 == last)
			human_wrap(w, text, at, c->width);
		else if (cut)
			utf8_print_cut(w->out, text, c->width);
		else
			utf8_print(w->out, text);
		fputs(style_end(style), w->out);
		if (!c->right && i + 1 < last)
			fprintf(w->out, "%*s", (int)pad, "");
		at += c->width;
	}
	fputc('\n', w->out);
}

/* Columns that say nothing about any of these rows are not shown to people. */
static void hide_rare(struct writer *w, struct shape *s)
{
	for (size_t i = 0; i < s->n_cols; i++) {
		struct column *c = &s->cols[i];
		bool said = false;

		for (size_t r = 0; r < w->buffered.n && !said; r++)
			said = !streq(w->buffered.items[r][i].text, "-") &&
			       !streq(w->buffered.items[r][i].text, "no");
		c->hidden = c->field->flags & RARE && !w->o.columns && !w->o.stream && !said;
	}
}

/* As wide as the widest cell so far. True: they are other than they were, but for the last column,
 * whose end is the line's. */
static bool widen(struct writer *w, struct shape *s, const struct cell *heads)
{
	size_t *before = arena_alloc(&w->row_mem, s->n_cols * sizeof *before);
	bool changed = false;

	for (size_t i = 0; i < s->n_cols; i++) {
		struct column *c = &s->cols[i];

		before[i] = c->width;
		if (!s->started)
			c->width = w->o.no_headings ? 1 : strlen(heads[i].text);
		for (size_t r = 0; r < w->buffered.n; r++) {
			size_t have = utf8_width(w->buffered.items[r][i].text);

			if (have > c->width)
				c->width = have;
		}
	}
	if (!s->started)
		hide_rare(w, s);
	fit(w, s);
	for (size_t i = 0; i + 1 < s->n_cols; i++)
		changed |= s->cols[i].width != before[i];
	return changed;
}

static void human_flush(struct writer *w)
{
	struct shape *s = w->now;

	if (!s || (s->started && !w->buffered.n))
		return;
	if (!s->started || w->o.stream) {
		struct cell *heads = arena_alloc(&w->row_mem, s->n_cols * sizeof *heads);
		bool wider;

		for (size_t i = 0; i < s->n_cols; i++)
			heads[i].text = heading(w, s->cols[i].field, &w->row_mem);
		wider = widen(w, s, heads);
		if (w->n_shapes > 1 && !w->o.no_headings)
			fprintf(w->out, "%s%s\n", w->shown++ ? "\n" : "", s->table->name);
		if (!w->o.no_headings && (!s->started || !s->table->goes_on || wider))
			human_cells(w, s, heads);
		s->started = true;
	}
	for (size_t r = 0; r < w->buffered.n; r++)
		human_cells(w, s, w->buffered.items[r]);
	w->buffered.n = 0;
	arena_free(&w->row_mem);
}

static void human_row(struct writer *w, struct shape *s, const void *row)
{
	struct cell *cells = arena_alloc(&w->row_mem, s->n_cols * sizeof *cells);

	for (size_t i = 0; i < s->n_cols; i++) {
		const struct table *t = s->table;
		const struct field *f = s->cols[i].field;
		const char *text = NULL;

		if (w->o.raw)
			text = field_text(f, row, &w->row_mem);
		else if (t->human)
			text = t->human(f, row, &w->row_mem);
		if (!text && !w->o.raw)
			text = field_human(f, row, &w->row_mem);
		cells[i].text = arena_str(&w->row_mem, text && *text ? text : "-");
		cells[i].style = t->style ? t->style(f, row) : STYLE_PLAIN;
	}
	*vec_add(&w->buffered) = cells;
	if (w->buffered.n >= TABLE_ROWS_MAX)
		human_flush(w);
}

static void tsv_heading(struct writer *w, const struct shape *s)
{
	for (size_t i = 0; i < s->n_cols; i++)
		fprintf(w->out, "%s%s", i ? "\t" : "", s->cols[i].field->name);
	fputc('\n', w->out);
}

static void tsv_row(struct writer *w, const struct shape *s, const void *row)
{
	for (size_t i = 0; i < s->n_cols; i++) {
		const struct field *f = s->cols[i].field;
		const char *text = field_text(f, row, &w->row_mem);

		if (i)
			fputc('\t', w->out);
		if (!text)
			fputc('-', w->out);
		else if (is_number(f)) /* a negative number is no string of one dash */
			fputs(text, w->out);
		else
			tsv_escape(w->out, text);
	}
	fputc('\n', w->out);
}

static void close_table(struct writer *w)
{
	if (!w->now)
		return;
	if (w->o.format == FORMAT_TABLE)
		human_flush(w);
	if (w->o.format == FORMAT_JSON && !w->o.one_row)
		fputs(w->rows ? "\n]" : "]", w->out);
	w->now = NULL;
}

static void open_table(struct writer *w, struct shape *s)
{
	bool first = s == w->shapes;
	bool several = w->n_shapes > 1;

	w->now = s;
	w->rows = 0;
	switch (w->o.format) {
	case FORMAT_TSV:
		if (!s->n_cols)
			break;
		if (several)
			fprintf(w->out, "%s# %s\n", w->shown++ ? "\n" : "", s->table->name);
		if (!w->o.no_headings)
			tsv_heading(w, s);
		break;
	case FORMAT_JSON:
		if (several)
			fprintf(w->out, "%s\"%s\":", first ? "{" : ",\n", s->table->name);
		if (!w->o.one_row)
			fputc('[', w->out);
		break;
	case FORMAT_TABLE: /* its title comes with its first rows */
	case FORMAT_JSONL:
	case FORMAT_AUTO:
		break;
	}
}

/* Tables come in their order; those without rows are opened and closed on the way. */
static void advance(struct writer *w, struct shape *to)
{
	struct shape *s = w->now ? w->now + 1 : w->shapes;

	if (w->now == to)
		return;
	if (to < s)
		abort(); /* rows of an earlier table: the operation is wrong */
	close_table(w);
	for (; s < to; s++)
		if (w->o.format != FORMAT_TABLE) { /* people are not shown empty ones */
			open_table(w, s);
			close_table(w);
		}
	open_table(w, to);
}

static int writer_error(struct writer *w)
{
	return ferror(w->out) ? (errno ? -errno : -EIO) : 0;
}

static int writer_row(struct sink *sink, const struct table *t, const void *row)
{
	struct writer *w = (struct writer *)sink;
	struct shape *s = w->shapes;

	while (s < w->shapes + w->n_shapes && s->table != t)
		s++;
	if (s == w->shapes + w->n_shapes)
		abort();
	if (!s->n_cols) /* the user wants columns of other tables */
		return 0;
	errno = 0;
	if (w->o.format == FORMAT_JSONL) {
		json_columns(w, s, row);
		fputc('\n', w->out);
	} else {
		if (w->o.stream && w->now && w->now != s && s < w->now) {
			close_table(w); /* a new report begins */
			w->now = NULL;
		}
		advance(w, s);
		if (w->o.format == FORMAT_TABLE) {
			human_row(w, s, row);
		} else if (w->o.format == FORMAT_TSV) {
			tsv_row(w, s, row);
		} else {
			if (!w->o.one_row)
				fputs(w->rows ? ",\n" : "\n", w->out);
			json_columns(w, s, row);
		}
		w->rows++;
	}
	if (w->o.format != FORMAT_TABLE)
		arena_reset(&w->row_mem);
	return writer_error(w);
}

static int writer_flush(struct sink *sink)
{
	struct writer *w = (struct writer *)sink;

	errno = 0;
	if (w->o.format == FORMAT_TABLE) {
		human_flush(w);
		if (w->o.stream && !(w->now && w->now->table->goes_on))
			fputc('\n', w->out);
	}
	fflush(w->out);
	return writer_error(w);
}

static int writer_end(struct sink *sink)
{
	struct writer *w = (struct writer *)sink;

	errno = 0;
	if (w->o.format != FORMAT_JSONL && !(w->o.stream && w->now)) {
		/* One table shows its heading even when it is empty. */
		if (w->n_shapes == 1 || (w->n_shapes && w->o.format != FORMAT_TABLE))
			advance(w, &w->shapes[w->n_shapes - 1]);
		close_table(w);
	}
	if (w->o.format == FORMAT_JSON) {
		if (w->o.one_row && !w->rows)
			fputs("null", w->out);
		fputs(w->n_shapes > 1 ? "}\n" : "\n", w->out);
	}
	if (w->o.format == FORMAT_TABLE && w->now)
		human_flush(w);
	fflush(w->out);
	return writer_error(w);
}

static const struct field *column_find(const struct field *fields, const char *name, size_t n)
{
	for (const struct field *f = fields; f->name; f++)
		if (!strncmp(f->name, name, n) && (!f->name[n] || streq(f->name + n, "_bytes")))
			return f;
	return NULL;
}

static void add_column(struct shape *s, const struct field *f)
{
	s->cols = xrealloc(s->cols, s->n_cols + 1, sizeof *s->cols);
	s->cols[s->n_cols++] = (struct column){ .field = f, .right = is_number(f) };
}

static bool has_column(const struct shape *s, const struct field *f)
{
	for (size_t i = 0; i < s->n_cols; i++)
		if (s->cols[i].field == f)
			return true;
	return false;
}

static bool is_listed(const char *names, const struct field *f)
{
	size_t n = strlen(f->name);

	for (const char *p = names; *p; p += strcspn(p, ","), p += *p == ',')
		if (!strncmp(p, f->name, n) && (!p[n] || p[n] == ','))
			return true;
	return false;
}

static void writer_show(struct sink *sink, const struct table *t, const char *names, bool on)
{
	struct writer *w = (struct writer *)sink;

	for (size_t i = 0; !names && i < w->n_shapes; i++)
		if (w->shapes[i].table == t) {
			free(w->shapes[i].cols);
			memmove(&w->shapes[i], &w->shapes[i + 1],
				(--w->n_shapes - i) * sizeof *w->shapes);
			return;
		}
	if (!names || w->o.columns || w->o.format != FORMAT_TABLE)
		return;
	for (struct shape *s = w->shapes; s < w->shapes + w->n_shapes; s++) {
		struct shape before = *s;

		if (s->table != t)
			continue;
		s->cols = NULL;
		s->n_cols = 0;
		for (const struct field *f = t->fields; f->name; f++)
			if (is_listed(names, f) ? on : has_column(&before, f))
				add_column(s, f);
		free(before.cols);
	}
}

static const struct sink_type writer_type = {
	.row = writer_row,
	.flush = writer_flush,
	.end = writer_end,
	.show = writer_show,
};

/* With several tables a column may be in some of them only, but in one at least. */
static int choose_columns(struct writer *w, struct err *e)
{
	bool all = streq(w->o.columns, "all") || (!w->o.columns && w->o.format != FORMAT_TABLE);

	if (all || !w->o.columns) {
		for (size_t i = 0; i < w->n_shapes; i++)
			for (const struct field *f = w->shapes[i].table->fields; f->name; f++)
				if (all || !(f->flags & WIDE))
					add_column(&w->shapes[i], f);
		return 0;
	}
	for (const char *p = w->o.columns;;) {
		size_t n = strcspn(p, ",");
		bool found = false;

		for (size_t i = 0; i < w->n_shapes; i++) {
			const struct field *f = column_find(w->shapes[i].table->fields, p, n);

			if (f)
				add_column(&w->shapes[i], f);
			found |= f != NULL;
		}
		if (!found || !n)
			return err_usage(e, "--output",
					 "no column '%.*s'; --help lists the columns", (int)n, p);
		if (!p[n])
			return 0;
		p += n + 1;
	}
}

struct sink *writer_new(FILE *out, const struct table *const *tables,
			const struct writer_options *o, struct err *e)
{
	struct writer *w = xcalloc(1, sizeof *w);
	struct sink *s = &w->sink;

	w->sink.type = &writer_type;
	w->out = out;
	w->o = *o;
	if (w->o.format == FORMAT_AUTO)
		w->o.format = isatty(fileno(out)) ? FORMAT_TABLE : FORMAT_TSV;
	if (w->o.format == FORMAT_JSON && w->o.stream)
		w->o.format = FORMAT_JSONL;
	while (tables && tables[w->n_shapes])
		w->n_shapes++;
	w->shapes = xcalloc(w->n_shapes, sizeof *w->shapes);
	for (size_t i = 0; i < w->n_shapes; i++)
		w->shapes[i].table = tables[i];
	if (choose_columns(w, e)) {
		writer_free(&s);
		return NULL;
	}
	return s;
}

void writer_free(struct sink **sink)
{
	struct writer *w = (struct writer *)*sink;

	if (!w)
		return;
	for (size_t i = 0; i < w->n_shapes; i++)
		free(w->shapes[i].cols);
	free(w->shapes);
	vec_free(&w->buffered);
	arena_free(&w->mem);
	arena_free(&w->row_mem);
	free(w);
	*sink = NULL;
}
