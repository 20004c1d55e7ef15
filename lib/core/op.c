/* Operations: calling one, and what it may say on the way. */
#include "lib/core/applet.h"
#include "lib/core/opt.h"

#include <errno.h>

void world_warn(const struct world *w, const char *fmt, ...)
{
	struct arena mem auto_arena = { 0 };
	va_list ap;

	va_start(ap, fmt);
	w->warn(w, arena_vprintf(&mem, fmt, ap));
	va_end(ap);
}

int applet_call(struct world *w, const char *const *argv, struct sink *out, struct err *e)
{
	const struct applet *a = applet_find(w->applets, argv[0]);
	const struct mode *m;
	void *params;
	int r;

	if (!a)
		return err_make(e, ERR_UNSUPPORTED, -ENOENT, argv[0], "build storbox with it",
				"applet is not in this binary");
	m = applet_mode(a, argv, e);
	if (!m)
		return e->code;
	params = arena_alloc(w->mem, m->op->params_size);
	r = opt_parse(m, argv, params, NULL, w->mem, e);
	return r ? r : m->op->run(w, params, out, e);
}

const struct table *const *op_tables(const struct operation *op, const void *params)
{
	const struct field *f = op->dry_run_tables ? field_find(op->params, "dry_run") : NULL;

	return f && *(const bool *)((const char *)params + f->offset) ? op->dry_run_tables
								      : op->tables;
}
