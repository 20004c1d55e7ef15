/* Params and rows from JSON, by their fields: what a caller sends, and what a daemon answers. */
#ifndef STORAGE_FIELD_JSON_H
#define STORAGE_FIELD_JSON_H

#include "lib/core/field.h"
#include "lib/os/json.h"

/*
 * Fills the params struct from an object, from an array in params_order(), or from nothing (NULL):
 * cleared, defaults, then what is given; null is as good as not given. A wrong type, a missing or
 * an unknown member is ERR_USAGE, a value out of range or an unknown word is ERR_INVALID.
 */
int params_from_json(const struct field *fields, void *params, const struct json *j,
		     struct arena *a, struct err *e);

/* The params by position: required ones first. NULL-terminated, in the arena. */
const struct field *const *params_order(const struct field *fields, struct arena *a);

/* A row as lib/core/sink.h writes it; members that fields lacks are skipped, missing ones are none.
 * A value of another type is -EBADMSG. */
int row_from_json(const struct field *fields, void *row, const struct json *object,
		  struct arena *a, struct err *e);

#endif
