/*
 * A typed place in a struct, described once. The same table parses options, validates JSON params,
 * prints and reads rows, and writes help, manual and completion.
 */
#ifndef CORE_FIELD_H
#define CORE_FIELD_H

#include "lib/core/err.h"
#include "lib/core/mem.h"
#include "lib/core/style.h"

#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The C type of the member decides. A list is a NULL-terminated array of strings. */
enum field_type { FIELD_BOOL, FIELD_INT, FIELD_U32, FIELD_U64, FIELD_I64, FIELD_DOUBLE, FIELD_STR,
		  FIELD_LIST };

/* "No value": `-` in TSV, null in JSON. A bool has none. An unset param holds it too. */
#define INT_NONE INT32_MIN
#define U32_NONE UINT32_MAX
#define U64_NONE UINT64_MAX
#define I64_NONE INT64_MIN
#define DOUBLE_NONE ((double)NAN)

/* How a person reads the number; UNIT_AUTO takes it from the name's ending (_bytes, _ns, _s,
 * _percent, _time, _bytes_per_s). Output for programs is always the raw number. */
enum unit { UNIT_AUTO, UNIT_NONE, UNIT_BYTES, UNIT_NS, UNIT_S, UNIT_PERCENT, UNIT_TIME,
	    UNIT_BYTES_PER_S, UNIT_OCTAL };

enum field_flag {
	REQUIRED = 1,	/* a param that must be given */
	OPERAND = 2,	/* a param given by position; a list takes the rest */
	WIDE = 4,	/* a column left out of the human table unless asked for */
	KEY = 8,	/* names the row's object: --top sorts and the daemon's errors use it */
	HIDDEN = 16,	/* a param that help does not show */
	RARE = 32,	/* a column that people see only when a row has something in it */
};

struct field {
	const char *name; /* the struct member's: TSV heading, JSON key; option `--name` */
	const char *help; /* no full stop, no capital */
	enum field_type type;
	uint16_t offset;
	uint16_t flags;
	/* Optional, given as trailing designated initialisers of FIELD(): */
	enum unit unit;
	char letter;		  /* short option */
	const char *option;	  /* option's name where it is not the member's (see opt.h) */
	const char *arg;	  /* placeholder in help: DISK; a bool has none */
	const char *def;	  /* default, as a user would write it */
	const char *heading;	  /* in the human table, where the name's own is too long */
	/* U32 member: an enum's names by value, NULL at the end. U64 member: words that stand for
	 * U64_NONE - 1, U64_NONE - 2, ... ("none" for a limit). */
	const char *const *names;
	const char *complete;	  /* completion: "disk" "device" "file" "dir" "mount" "label" */
};

#define FIELD_TYPE(T, member)                                                        \
	_Generic(((T *)0)->member, bool: FIELD_BOOL, int: FIELD_INT,                 \
		 uint32_t: FIELD_U32, uint64_t: FIELD_U64, int64_t: FIELD_I64,       \
		 double: FIELD_DOUBLE, const char *: FIELD_STR, char *: FIELD_STR,   \
		 const char **: FIELD_LIST, const char *const *: FIELD_LIST)

#define FIELD(T, member, field_flags, help_text, ...)                         \
	{ .name = #member, .help = help_text, .type = FIELD_TYPE(T, member), \
	  .offset = offsetof(T, member), .flags = field_flags, ##__VA_ARGS__ }
#define FIELD_END { .name = NULL }

/* Sets every member to "none", lists to empty, bools to false. Defaults are not applied. */
void field_clear(const struct field *fields, void *base);
/* Parses the defaults; they are constants, so a bad one aborts (a test runs them all). */
void field_defaults(const struct field *fields, void *base, struct arena *a);

const struct field *field_find(const struct field *fields, const char *name);
enum unit field_unit(const struct field *f);
bool field_is_none(const struct field *f, const void *base);
/* Its word, when the value is one of names; else NULL. */
const char *field_word(const struct field *f, const void *base);

/*
 * Parses text as a user or another applet writes it: sizes and durations with suffixes where the
 * unit is bytes or seconds, enum names, true/false. A list gets one more item. Strings are copied
 * into the arena. On failure the member is unchanged; object names the place for the error.
 */
int field_parse(const struct field *f, void *base, const char *text, struct arena *a,
		const char *object, struct err *e);

/* The value as TSV writes it, without escaping of the whole (lists: items joined by `,`, a comma
 * or backslash in an item escaped); NULL when there is none. In the arena, or constant. */
const char *field_text(const struct field *f, const void *base, struct arena *a);
/* The value as a person reads it ("1.5G", "12.3ms"); "-" when there is none. */
const char *field_human(const struct field *f, const void *base, struct arena *a);

/* A named table of rows. The functions are for the human table alone and may be NULL: a cell's text
 * where it is not the usual one (NULL: it is), and its colour, seen on a terminal that wants it. */
struct table {
	const char *name; /* "disks" */
	const char *help;
	const struct field *fields;
	size_t row_size;
	const char *(*human)(const struct field *f, const void *row, struct arena *a);
	enum style (*style)(const struct field *f, const void *row);
	bool goes_on; /* a stream's rows are one list and not reports: one heading for people */
};
#define TABLE(T, table_name, table_help, table_fields, ...)                                     \
	{ .name = table_name, .help = table_help, .fields = table_fields, .row_size = sizeof(T), \
	  ##__VA_ARGS__ }

/* Several, NULL-terminated: TABLES(&disk_table, &partition_table). */
#define TABLES(...) ((const struct table *const[]){ __VA_ARGS__, NULL })

#endif
