/* The OpenRPC document, from the table of methods: see openrpc.h. Fields are OpenRPC 1.3.2's. */
#include "lib/storage/openrpc.h"

#include "lib/core/sink.h"
#include "lib/storage/field_json.h"
#include "lib/storage/methods.h"
#include "lib/storage/rpc.h"
#include "lib/storage/watch.h"

static void words(FILE *out, const char *const *names)
{
	fputs("{\"type\":\"string\",\"enum\":[", out);
	for (size_t i = 0; names[i]; i++) {
		fputs(i ? "," : "", out);
		json_escape(out, names[i]);
	}
	fputs("]}", out);
}

static void text_member(FILE *out, const char *name, const char *value)
{
	fprintf(out, "\"%s\":", name);
	json_escape(out, value);
}

static const char *plain_schema(const struct field *f, bool param)
{
	switch (f->type) {
	case FIELD_BOOL:
		return "{\"type\":\"boolean\"}";
	case FIELD_INT:
	case FIELD_I64:
		return "{\"type\":\"integer\"}";
	case FIELD_U32:
	case FIELD_U64:
		return "{\"type\":\"integer\",\"minimum\":0}";
	case FIELD_DOUBLE:
		return "{\"type\":\"number\"}";
	case FIELD_STR:
		return "{\"type\":\"string\"}";
	case FIELD_LIST:
		return param ? "{\"anyOf\":[{\"type\":\"string\"},"
			       "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}]}"
			     : "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}";
	}
	return "true";
}

/* A value as params take it, or as rows have it: there any but a bool may be null. */
static void schema(FILE *out, const struct field *f, bool param)
{
	bool null = !param && f->type != FIELD_BOOL;
	bool number = f->names && f->type == FIELD_U64; /* a number or a word */

	if (null || number)
		fputs("{\"anyOf\":[", out);
	if (f->names)
		words(out, f->names);
	if (number)
		fputc(',', out);
	if (!f->names || number)
		fputs(plain_schema(f, param), out);
	if (null)
		fputs(",{\"type\":\"null\"}", out);
	if (null || number)
		fputs("]}", out);
}

static void params(FILE *out, const struct operation *op)
{
	struct arena mem auto_arena = { 0 };
	const struct field *const *order = params_order(op->params, &mem);

	fputs("\"paramStructure\":\"either\",\"params\":[", out);
	for (size_t i = 0; order[i]; i++) {
		const struct field *f = order[i];

		fprintf(out, "%s{\"name\":\"%s\",", i ? "," : "", f->name);
		text_member(out, "summary",
			    f->def ? arena_printf(&mem, "%s (default %s)", f->help, f->def)
				   : f->help);
		fprintf(out, ",\"required\":%s,\"schema\":",
			f->flags & REQUIRED ? "true" : "false");
		schema(out, f, true);
		fputc('}', out);
	}
	fputs("],", out);
}

static void row(FILE *out, const struct table *t)
{
	fputs("{\"type\":\"object\",", out);
	text_member(out, "description", t->help);
	fputs(",\"properties\":{", out);
	for (const struct field *f = t->fields; f->name; f++) {
		fprintf(out, "%s\"%s\":{\"allOf\":[", f == t->fields ? "" : ",", f->name);
		schema(out, f, false);
		fputs("],", out);
		text_member(out, "description", f->help);
		fputc('}', out);
	}
	fputs("},\"required\":[", out);
	for (const struct field *f = t->fields; f->name; f++)
		fprintf(out, "%s\"%s\"", f == t->fields ? "" : ",", f->name);
	fputs("],\"additionalProperties\":false}", out);
}

static void rows(FILE *out, const struct table *t)
{
	fputs("{\"type\":\"array\",\"items\":", out);
	row(out, t);
	fputc('}', out);
}

static void tables(FILE *out, const struct table *const *list, bool one)
{
	if (!list || !list[0]) {
		fputs("{\"type\":\"null\"}", out);
		return;
	}
	if (!list[1]) {
		(one ? row : rows)(out, list[0]);
		return;
	}
	fputs("{\"type\":\"object\",\"properties\":{", out);
	for (size_t i = 0; list[i]; i++) {
		fprintf(out, "%s\"%s\":", i ? "," : "", list[i]->name);
		rows(out, list[i]);
	}
	fputs("},\"required\":[", out);
	for (size_t i = 0; list[i]; i++)
		fprintf(out, "%s\"%s\"", i ? "," : "", list[i]->name);
	fputs("]}", out);
}

static void result(FILE *out, const struct method *m)
{
	const struct operation *op = m->op;
	const struct table *first = op->tables ? op->tables[0] : NULL;

	fprintf(out, "\"result\":{\"name\":\"%s\",\"schema\":",
		m->flags & METHOD_DOCUMENT ? "document"
		: op->flags & OP_STREAM	   ? "subscription"
		: first			   ? first->name
					   : "nothing");
	if (m->flags & METHOD_DOCUMENT) {
		fputs("{\"type\":\"object\"}", out);
	} else if (op->flags & OP_STREAM) {
		fputs("{\"type\":\"object\",\"properties\":{\"subscribed\":{\"const\":true}},"
		      "\"required\":[\"subscribed\"]}",
		      out);
	} else if (op->dry_run_tables) {
		fputs("{\"anyOf\":[", out);
		tables(out, op->tables, op->flags & OP_ONE_ROW);
		fputc(',', out);
		tables(out, op->dry_run_tables, false);
		fputs("]}", out);
	} else {
		tables(out, op->tables, op->flags & OP_ONE_ROW);
	}
	fputs("},", out);
	if (op->flags & OP_STREAM) {
		fputs("\"x-notification\":{\"method\":\"" WATCH_NOTIFICATION "\",\"params\":", out);
		row(out, first);
		fputs("},", out);
	}
}

static void errors(FILE *out)
{
	static const int codes[] = { RPC_INVALID_PARAMS, RPC_INTERNAL_ERROR, RPC_FAILED,
				     RPC_VALIDATION, RPC_NO_DEVICE };

	fputs("\"errors\":[", out);
	for (size_t i = 0; i < COUNT(codes); i++)
		fprintf(out, "%s{\"code\":%d,\"message\":\"%s\"}", i ? "," : "", codes[i],
			rpc_code_text(codes[i]));
	fputs("]}", out);
}

char *openrpc_text(void)
{
	char name[METHOD_NAME_MAX];
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return xstrdup("null");
	fputs("{\"openrpc\":\"1.3.2\",\"info\":{\"title\":\"mos-volmgrd\",\"version\":\"1.0.0\","
	      "\"description\":\"Volume manager: JSON-RPC 2.0 over a Unix socket, one JSON object a "
	      "line.\"},\"servers\":[{\"name\":\"mos-volmgrd\",\"url\":\"unix://" MOS_SOCKET "\"}],"
	      "\"methods\":[",
	      out);
	for (const struct method *m = methods; m->op; m++) {
		fprintf(out, "%s{\"name\":\"%s\",", m == methods ? "" : ",", method_name(m, name));
		text_member(out, "summary", m->op->summary);
		fputc(',', out);
		if (m->op->flags & OP_CHANGES)
			fputs("\"tags\":[{\"name\":\"changes\"}],", out);
		params(out, m->op);
		result(out, m);
		errors(out);
	}
	fputs("]}", out);
	fclose(out);
	return text;
}

struct no_params {
	char nothing;
};
static const struct field no_params[] = { FIELD_END };

static int run(struct world *w, const void *run_params, struct sink *out, struct err *e)
{
	(void)w, (void)run_params, (void)out, (void)e;
	return 0;
}

const struct operation discover_op = {
	.name = "discover",
	.summary = "the daemon's methods as an OpenRPC document",
	.params = no_params,
	.params_size = sizeof(struct no_params),
	.run = run,
};
