/* Reading another applet's TSV: columns are found by the heading's names. */
#ifndef CORE_TSV_H
#define CORE_TSV_H

#include "lib/core/field.h"

#include <stdio.h>

struct tsv;

/*
 * Opens a table for reading. name is for errors ("standard input"). Where the input holds several
 * tables (a line "# NAME" before each), table names the one wanted. Columns that fields lacks are
 * skipped; a REQUIRED field's column must be there. The stream stays the caller's.
 */
int tsv_open(FILE *in, const char *name, const char *table, const struct field *fields,
	     struct tsv **ret, struct err *e);
/* Next row into *row (cleared first), strings in the arena: 1, or 0 at the end, or -errno with the
 * line's number in the error. */
int tsv_next(struct tsv *t, void *row, struct arena *a, struct err *e);
bool tsv_has(const struct tsv *t, const char *column);
void tsv_free(struct tsv **t);
#define auto_tsv auto_release(tsv_free)

#endif
