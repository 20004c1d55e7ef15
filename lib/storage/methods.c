/* The volume manager's methods: see methods.h. */
#include "lib/storage/methods.h"

#include "lib/core/sink.h"
#include "lib/storage/field_json.h"
#include "lib/storage/openrpc.h"

#include <errno.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

#define METHOD(command_, op_, flags_, status_) \
	{ .command = command_, .op = &op_, .flags = flags_, .status = status_ },
const struct method methods[] = { METHODS(METHOD){ .op = NULL } };
_Static_assert(COUNT(methods) <= METHODS_MAX, "METHODS_MAX is too small");

const char *method_name(const struct method *m, char buf[static METHOD_NAME_MAX])
{
	snprintf(buf, METHOD_NAME_MAX, "%s.%s", m->op == &discover_op ? "rpc" : "storage",
		 m->op->name);
	return buf;
}

const struct method *method_by_name(const char *name)
{
	char buf[METHOD_NAME_MAX];

	for (const struct method *m = methods; m->op; m++)
		if (streq(method_name(m, buf), name))
			return m;
	return NULL;
}

const struct method *method_by_op(const struct operation *op)
{
	for (const struct method *m = methods; m->op; m++)
		if (m->op == op)
			return m;
	return NULL;
}

static bool has_dotdot(const char *path)
{
	for (const char *p = path; *p;) {
		size_t n = strcspn(p, "/");

		if (n == 2 && p[0] == '.' && p[1] == '.')
			return true;
		p += n + (p[n] == '/');
	}
	return false;
}

static int check_directory(const char *path, struct err *e)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS };
	int fd auto_close = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);

	if (fd < 0 && errno == ELOOP)
		return err_make(e, ERR_INVALID, -ELOOP, path, "give the path without links",
				"leads through a symbolic link");
	return 0;
}

static int check_device(const char *path, struct err *e)
{
	char *real auto_free = realpath(path, NULL);
	struct stat st;

	if (!real || stat(real, &st))
		return 0;
	if (!S_ISBLK(st.st_mode) && !starts_with(path, "/dev/"))
		return 0;
	if (!starts_with(real, "/dev/") || !starts_with(path, "/dev/"))
		return err_make(e, ERR_INVALID, -EXDEV, path, "name the device below /dev",
				"leads to %s", real);
	return 0;
}

/* Names of a disk that are no paths, and LABEL= and UUID= for a filesystem. */
static bool is_no_path(const struct field *f, const char *value)
{
	if (streq(f->complete, "disk"))
		return !strchr(value, '/');
	return streq(f->name, "fs") &&
	       (starts_with(value, "LABEL=") || starts_with(value, "UUID="));
}

static int check_path(const struct field *f, const char *value, struct err *e)
{
	if (is_no_path(f, value))
		return 0;
	if (*value != '/')
		return err_make(e, ERR_INVALID, -EINVAL, *value ? value : f->name, NULL,
				*value ? "is not an absolute path" : "is empty");
	if (has_dotdot(value))
		return err_make(e, ERR_INVALID, -EINVAL, value, "give the path without it",
				"has a component ..");
	if (strlen(value) >= PATH_MAX)
		return err_make(e, ERR_INVALID, -ENAMETOOLONG, f->name, NULL, "is too long");
	if (streq(f->complete, "disk") || streq(f->complete, "device") ||
	    starts_with(value, "/dev/"))
		return check_device(value, e);
	return check_directory(value, e);
}

int method_check_paths(const struct method *m, const void *params, struct err *e)
{
	int r = 0;

	for (const struct field *f = m->op->params; f && f->name && !r; f++) {
		const void *at = (const char *)params + f->offset;

		if (!f->complete || streq(f->complete, "label") || field_is_none(f, params))
			continue;
		if (f->type == FIELD_STR)
			r = check_path(f, *(const char *const *)at, e);
		else if (f->type == FIELD_LIST)
			for (const char *const *s = *(const char *const *const *)at; *s && !r; s++)
				r = check_path(f, *s, e);
	}
	return r;
}

int method_rows(struct world *w, const struct operation *op, const void *params, char **ret,
		struct err *e)
{
	const struct table *const *tables = op_tables(op, params);
	struct writer_options o = {
		.format = FORMAT_JSON, .one_row = op->flags & OP_ONE_ROW && tables == op->tables,
	};
	struct sink *out auto_writer = NULL;
	char *text auto_free = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	int r, end;

	*ret = NULL;
	if (!f)
		return err_sys(e, -errno, op->name, "open a buffer");
	out = writer_new(f, tables, &o, e);
	r = out ? op->run(w, params, out, e) : e->code;
	end = r < 0 || !tables ? 0 : sink_end(out);
	if (fclose(f) && !end)
		end = -errno;
	if (end && r >= 0)
		return err_sys(e, end, op->name, "write the result");
	if (r < 0)
		return r;
	if (!tables) {
		*ret = xstrdup("null");
		return r;
	}
	/* The writer's newlines stand between values only: strings have theirs escaped. */
	for (char *p = text; *p; p++)
		if (*p == '\n')
			*p = ' ';
	while (size && text[size - 1] == ' ')
		text[--size] = '\0';
	*ret = take(text);
	return r;
}

int method_run(struct world *w, const struct method *m, const void *params, char **ret,
	       struct err *e)
{
	if (m->flags & METHOD_DOCUMENT) {
		*ret = openrpc_text();
		return 0;
	}
	return method_rows(w, m->op, params, ret, e);
}

const void *method_status_params(const struct method *m, const void *params, struct arena *a)
{
	void *out = arena_alloc(a, m->status->params_size);

	field_clear(m->status->params, out);
	field_defaults(m->status->params, out, a);
	for (const struct field *f = m->status->params; f && f->name; f++) {
		const struct field *from = field_find(m->op->params, f->name);

		if (from && from->type == FIELD_STR && f->type == FIELD_STR)
			*(const char **)(void *)((char *)out + f->offset) =
				*(const char *const *)((const char *)params + from->offset);
	}
	return out;
}

static int not_rows(struct err *e, const struct operation *op)
{
	return err_make(e, ERR_FAILED, -EBADMSG, op->name, NULL, "the answer has not the rows of it");
}

static int replay_table(const struct operation *op, const struct table *t, const struct json *rows,
			struct arena *a, struct sink *out, struct err *e)
{
	bool one = json_kind(rows) == JSON_OBJECT;
	size_t n = one ? 1 : json_length(rows);
	int r = 0;

	if (!one && rows && json_kind(rows) != JSON_ARRAY)
		return not_rows(e, op);
	for (size_t i = 0; i < n && !r; i++) {
		void *row = arena_alloc(a, t->row_size);

		r = row_from_json(t->fields, row, one ? rows : json_at(rows, i), a, e);
		if (!r)
			r = sink_row(out, t, row);
	}
	return r;
}

int method_replay(const struct operation *op, const void *params, const struct json *result,
		  struct arena *a, struct sink *out, struct err *e)
{
	const struct table *const *tables = op_tables(op, params);
	int r = 0;

	if (!tables || !tables[0])
		return 0;
	if (!tables[1])
		return replay_table(op, tables[0], result, a, out, e);
	if (json_kind(result) != JSON_OBJECT)
		return not_rows(e, op);
	for (; *tables && !r; tables++)
		r = replay_table(op, *tables, json_get(result, (*tables)->name), a, out, e);
	return r;
}
