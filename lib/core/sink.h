/*
 * Where rows go: the human table, TSV, JSON, JSON lines, or a caller's own functions. One struct
 * sink takes the rows of one or several named tables; nobody else prints.
 */
#ifndef CORE_SINK_H
#define CORE_SINK_H

#include "lib/core/field.h"

#include <stdio.h>

struct sink;

struct sink_type {
	int (*row)(struct sink *s, const struct table *t, const void *row);
	int (*flush)(struct sink *s); /* end of a report of a stream; may be NULL */
	int (*end)(struct sink *s);   /* may be NULL */
	/* Columns that an option of the call asks for or makes useless; may be NULL. */
	void (*show)(struct sink *s, const struct table *t, const char *columns, bool on);
};

struct sink {
	const struct sink_type *type;
};

/* Each returns 0 or -errno (a full disk, a closed pipe). Strings of the row are not kept. */
static inline int sink_row(struct sink *s, const struct table *t, const void *row)
{
	return s->type->row(s, t, row);
}
static inline int sink_flush(struct sink *s)
{
	return s->type->flush ? s->type->flush(s) : 0;
}
static inline int sink_end(struct sink *s)
{
	return s->type->end ? s->type->end(s) : 0;
}

/* Before the first row: shows WIDE columns ("a,b") in the human table, or hides others, unless the
 * user chose columns himself. Columns NULL and off: the whole table is no part of this output. */
static inline void sink_show(struct sink *s, const struct table *t, const char *columns, bool on)
{
	if (s->type->show)
		s->type->show(s, t, columns, on);
}

/* Rows that nobody wants. */
extern struct sink sink_null;

enum format { FORMAT_AUTO, FORMAT_TABLE, FORMAT_TSV, FORMAT_JSON, FORMAT_JSONL };

struct writer_options {
	enum format format;	/* AUTO: a table on a terminal, else TSV */
	bool no_headings;
	bool raw;		/* raw numbers in the human table */
	bool one_row;		/* JSON: an object, not an array of one */
	bool stream;		/* rows go on until stopped: JSON is one object a line */
	const char *columns;	/* "path,size_bytes", "all"; NULL: the usual ones */
	unsigned width;		/* of the human table in characters; 0: unbounded */
	bool color;
};

/*
 * A writer for these tables (NULL-terminated array; their order is the order of output). Refuses an
 * unknown column with ERR_USAGE. Rows of a table that is not listed are a programming error.
 * Tables are written in the order of the rows; several tables of one report should not interleave.
 * writer_end() writes what JSON needs at its end and empty tables' headings, and flushes.
 */
struct sink *writer_new(FILE *out, const struct table *const *tables,
			const struct writer_options *o, struct err *e);
void writer_free(struct sink **s);
#define auto_writer auto_release(writer_free)

/* Text as a TSV cell: \t \n \\ and other control or invalid UTF-8 bytes as \xNN; a value that is
 * itself `-` as `\-`. */
void tsv_escape(FILE *out, const char *s);
/* A JSON string with its quotes; an invalid UTF-8 byte becomes the four characters \xNN. */
void json_escape(FILE *out, const char *s);
/* One row as a JSON object, without a newline. */
void json_row(FILE *out, const struct field *fields, const void *row, struct arena *a);

#endif
