/* storadvise eval: a Nix file as JSON, or where in it an error is. */
#include "applets/storadvise/storadvise.h"

#include "applets/storadvise/nix.h"

#include <errno.h>

struct eval_params {
	const char **files;
	bool soft;
};

static const struct field eval_params[] = {
	FIELD(struct eval_params, files, OPERAND | REQUIRED, "Nix files", .arg = "FILE",
	      .complete = "file"),
	FIELD(struct eval_params, soft, 0,
	      "call a function as the module system would; what is unknown spoils only what needs it"),
	FIELD_END,
};

struct eval_row {
	const char *file, *json, *error;
};

static const struct field eval_fields[] = {
	FIELD(struct eval_row, file, KEY, "the file"),
	FIELD(struct eval_row, json, 0, "its value, wholly evaluated, as JSON"),
	FIELD(struct eval_row, error, 0, "why there is none"),
	FIELD_END,
};

static const struct table eval_table =
	TABLE(struct eval_row, "values", "what the files evaluate to", eval_fields);

static int eval_one(struct world *w, const char *file, bool soft, struct eval_row *row)
{
	struct nix *x auto_free = xcalloc(1, sizeof *x);
	struct nix_value *v;
	struct err e = { 0 };
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);
	int r;

	if (!out)
		return -ENOMEM;
	nix_init(x, &w->root, soft);
	r = nix_eval_file(x, file, &v, &e);
	if (!r && soft && nix_look(x, v) == NIX_LAMBDA)
		r = nix_auto_call(x, v, &v, &e);
	if (!r)
		r = nix_to_json(x, v, out, &e);
	fclose(out);
	*row = (struct eval_row){ .file = file };
	if (r)
		row->error = err_line(&e, w->mem);
	else
		row->json = arena_strn(w->mem, text, n);
	free(text);
	nix_done(x);
	return r;
}

static int run_eval(struct world *w, const void *params, struct sink *out, struct err *e)
{
	const struct eval_params *p = params;
	int status = EXIT_DONE, r;

	for (const char **f = p->files; *f; f++) {
		struct eval_row row;

		if (eval_one(w, *f, p->soft, &row))
			status = EXIT_FAILED;
		r = sink_row(out, &eval_table, &row);
		if (r)
			return err_sys(e, r, "output", "write");
	}
	return status;
}

const struct operation storadvise_eval_op = {
	.name = "eval_nix",
	.summary = "evaluate Nix files and show their values as JSON",
	.params = eval_params,
	.params_size = sizeof(struct eval_params),
	.tables = TABLES(&eval_table),
	.flags = OP_LOCAL,
	.run = run_eval,
};
