/*
 * JSON in: strict RFC 8259 text to a tree (json-c), with limits and errors that name line and column.
 * JSON out is lib/core/sink.h; json_write() only gives back what was read (a request's id).
 */
#ifndef OS_JSON_H
#define OS_JSON_H

#include "lib/core/err.h"
#include "lib/core/mem.h"

#include <stdint.h>
#include <stdio.h>

/* A value; NULL is JSON's null as well as "not there": json_has() tells them apart. */
struct json;

enum json_kind { JSON_NULL, JSON_BOOL, JSON_INTEGER, JSON_DOUBLE, JSON_STRING, JSON_ARRAY,
		 JSON_OBJECT };

struct json_limits {
	size_t max_bytes;	     /* of the text; 0: 64 MiB */
	unsigned max_depth;	     /* of arrays and objects in each other; 0: 64 */
	bool refuse_duplicate_keys;  /* else the last one wins */
	bool syntax_only_line;	     /* the error names the column only: the text is one line */
};

/*
 * Parses exactly one value of n bytes (no NUL needed at the end), white space around it. name is the
 * error's object ("facter.json"); the error says line and column, counted from 1, columns in bytes.
 * limits may be NULL. Beyond the grammar these are refused: invalid UTF-8, a NUL character in a
 * string, an integer that does not fit in 64 bits (-ERANGE), too deep (-E2BIG), too long (-EFBIG).
 * Free with json_free(); members belong to the whole.
 */
int json_parse(const char *text, size_t n, const char *name, const struct json_limits *limits,
	       struct json **ret, struct err *e);
void json_free(struct json **j);
#define auto_json auto_release(json_free)

enum json_kind json_kind(const struct json *j);
const char *json_kind_name(enum json_kind t); /* "an object", "a string" ... for messages */

/* Objects: NULL when it is no object, or the key is not there, or its value is null. */
const struct json *json_get(const struct json *object, const char *key);
bool json_has(const struct json *object, const char *key);
/* A path of keys: json_path(j, "hardware", "disk", NULL). */
const struct json *json_path(const struct json *j, ...) __attribute__((sentinel));

/* Arrays' elements and objects' members; 0 for anything else. */
size_t json_length(const struct json *j);
const struct json *json_at(const struct json *array, size_t i);

/* Members in the text's order: for (struct json_member m = { 0 }; json_next(object, &m);) */
struct json_member {
	const char *key;
	const struct json *value;
	const void *position; /* private */
};
bool json_next(const struct json *object, struct json_member *m);

/* Text of a string, valid as long as the tree; NULL when it is none. length may be NULL. */
const char *json_string(const struct json *j);
const char *json_string_length(const struct json *j, size_t *ret_length);
/* Each is 0, or -EINVAL for another type, or -ERANGE for a value that does not fit exactly.
 * An integer written with a fraction or exponent (1e3) is a double. */
int json_as_u64(const struct json *j, uint64_t *ret);
int json_as_i64(const struct json *j, int64_t *ret);
int json_as_double(const struct json *j, double *ret); /* of an integer too */
int json_as_bool(const struct json *j, bool *ret);

/* The value as compact JSON; numbers as they were written. */
void json_write(FILE *out, const struct json *j);

#endif
