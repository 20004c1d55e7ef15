/* Fields from JSON: see field_json.h. */
#include "lib/storage/field_json.h"

#include <errno.h>

#define AT(base, f, type) ((type *)(void *)((char *)(base) + (f)->offset))

static const char *wanted(const struct field *f)
{
	switch (f->type) {
	case FIELD_BOOL:
		return "true or false";
	case FIELD_INT:
	case FIELD_I64:
		return "a whole number";
	case FIELD_U32:
		return f->names ? "a string" : "a whole number, 0 or more";
	case FIELD_U64:
		return f->names ? "a whole number, or a word" : "a whole number, 0 or more";
	case FIELD_DOUBLE:
		return "a number";
	case FIELD_STR:
		return "a string";
	case FIELD_LIST:
		return "a string, or an array of strings";
	}
	return "something else";
}

static int wrong_type(const struct field *f, const struct json *v, const char *object,
		      struct err *e)
{
	return err_usage(e, object, "is %s; give %s", json_kind_name(json_kind(v)), wanted(f));
}

static int out_of_range(const struct field *f, const char *object, struct err *e)
{
	return err_make(e, ERR_INVALID, -ERANGE, object, NULL, "is out of range; give %s",
			wanted(f));
}

static int word_from_json(const struct field *f, void *base, const char *word, const char *object,
			  struct err *e)
{
	struct arena mem auto_arena = { 0 };
	char *all = NULL;

	for (uint32_t i = 0; f->names[i]; i++) {
		if (streq(f->names[i], word)) {
			if (f->type == FIELD_U64)
				*AT(base, f, uint64_t) = U64_NONE - 1 - i;
			else
				*AT(base, f, uint32_t) = i;
			return 0;
		}
		all = all ? arena_printf(&mem, "%s, %s", all, f->names[i])
			  : arena_str(&mem, f->names[i]);
	}
	return err_make(e, ERR_INVALID, -EINVAL, object, NULL, "'%.100s' is not known; give %s%s",
			word, f->type == FIELD_U64 ? "a whole number, or " : "one of ", all);
}

static int list_from_json(const struct field *f, void *base, const struct json *v,
			  struct arena *a, const char *object, struct err *e)
{
	const char **list = NULL;

	if (json_kind(v) == JSON_STRING) {
		strlist_add(a, &list, arena_str(a, json_string(v)));
	} else if (json_kind(v) != JSON_ARRAY) {
		return wrong_type(f, v, object, e);
	}
	for (size_t i = 0; i < json_length(v); i++) {
		const struct json *item = json_at(v, i);

		if (json_kind(item) != JSON_STRING)
			return wrong_type(f, item, object, e);
		strlist_add(a, &list, arena_str(a, json_string(item)));
	}
	*AT(base, f, const char **) = list;
	return 0;
}

static int number_from_json(const struct field *f, void *base, const struct json *v,
			    const char *object, struct err *e)
{
	uint64_t u = 0;
	int64_t i = 0;
	int r;

	if (json_kind(v) != JSON_INTEGER)
		return wrong_type(f, v, object, e);
	if (f->type == FIELD_U32 || f->type == FIELD_U64) {
		r = json_as_u64(v, &u);
		/* The value for none, and those for words, cannot be given as numbers. */
		if (r || u > (f->type == FIELD_U32 ? UINT32_MAX - 1 : (uint64_t)INT64_MAX))
			return out_of_range(f, object, e);
		if (f->type == FIELD_U32)
			*AT(base, f, uint32_t) = (uint32_t)u;
		else
			*AT(base, f, uint64_t) = u;
		return 0;
	}
	r = json_as_i64(v, &i);
	if (r || i == INT64_MIN || (f->type == FIELD_INT && (i <= INT32_MIN || i > INT32_MAX)))
		return out_of_range(f, object, e);
	if (f->type == FIELD_INT)
		*AT(base, f, int) = (int)i;
	else
		*AT(base, f, int64_t) = i;
	return 0;
}

static int value_from_json(const struct field *f, void *base, const struct json *v,
			   struct arena *a, const char *object, struct err *e)
{
	const char *s = json_string(v);
	double d;

	switch (f->type) {
	case FIELD_BOOL:
		return json_as_bool(v, AT(base, f, bool)) ? wrong_type(f, v, object, e) : 0;
	case FIELD_DOUBLE:
		if (json_as_double(v, &d))
			return wrong_type(f, v, object, e);
		if (!isfinite(d))
			return out_of_range(f, object, e);
		*AT(base, f, double) = d;
		return 0;
	case FIELD_STR:
		if (!s)
			return wrong_type(f, v, object, e);
		*AT(base, f, const char *) = arena_str(a, s);
		return 0;
	case FIELD_LIST:
		return list_from_json(f, base, v, a, object, e);
	case FIELD_U32:
	case FIELD_U64:
		if (f->names && s)
			return word_from_json(f, base, s, object, e);
		if (f->names && f->type == FIELD_U32)
			return wrong_type(f, v, object, e);
		return number_from_json(f, base, v, object, e);
	case FIELD_INT:
	case FIELD_I64:
		return number_from_json(f, base, v, object, e);
	}
	return -EINVAL;
}

const struct field *const *params_order(const struct field *fields, struct arena *a)
{
	const struct field **order;
	size_t n = 0;

	while (fields && fields[n].name)
		n++;
	order = arena_alloc(a, (n + 1) * sizeof *order);
	n = 0;
	for (int required = 1; required >= 0; required--)
		for (const struct field *f = fields; f && f->name; f++)
			if (!(f->flags & REQUIRED) == !required && !(f->flags & HIDDEN))
				order[n++] = f;
	return order;
}

int params_from_json(const struct field *fields, void *params, const struct json *j,
		     struct arena *a, struct err *e)
{
	const struct field *const *order = params_order(fields, a);
	int r = 0;

	field_clear(fields, params);
	field_defaults(fields, params, a);
	if (json_kind(j) == JSON_ARRAY) {
		for (size_t i = 0; i < json_length(j) && !r; i++) {
			if (!order[i])
				return err_usage(e, "params", "are more than the %zu that there are",
						 i);
			if (json_at(j, i))
				r = value_from_json(order[i], params, json_at(j, i), a,
						    order[i]->name, e);
		}
	} else {
		for (struct json_member m = { 0 }; !r && json_next(j, &m);) {
			const struct field *f = field_find(fields, m.key);

			if (!f || f->flags & HIDDEN)
				return err_usage(e, m.key, "no such param");
			if (m.value)
				r = value_from_json(f, params, m.value, a, f->name, e);
		}
	}
	for (; !r && *order; order++)
		if ((*order)->flags & REQUIRED && field_is_none(*order, params))
			r = err_usage(e, (*order)->name, "is missing: %s", (*order)->help);
	return r;
}

int row_from_json(const struct field *fields, void *row, const struct json *object,
		  struct arena *a, struct err *e)
{
	field_clear(fields, row);
	if (json_kind(object) != JSON_OBJECT)
		return err_make(e, ERR_FAILED, -EBADMSG, "row", NULL, "is %s, not an object",
				json_kind_name(json_kind(object)));
	for (const struct field *f = fields; f->name; f++) {
		const struct json *v = json_get(object, f->name);
		uint64_t u;

		/* Rows may hold numbers beyond what a param may; the writer wrote them. */
		if (v && f->type == FIELD_U64 && !json_as_u64(v, &u))
			*AT(row, f, uint64_t) = u;
		else if (v && value_from_json(f, row, v, a, f->name, e))
			return e->code = -EBADMSG;
	}
	return 0;
}
