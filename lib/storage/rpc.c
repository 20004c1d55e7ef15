/* JSON-RPC 2.0 messages: see rpc.h. */
#include "lib/storage/rpc.h"

#include "lib/core/sink.h"

#include <errno.h>

const char *rpc_code_text(int code)
{
	switch (code) {
	case RPC_PARSE_ERROR:
		return "Parse error";
	case RPC_INVALID_REQUEST:
		return "Invalid Request";
	case RPC_METHOD_NOT_FOUND:
		return "Method not found";
	case RPC_INVALID_PARAMS:
		return "Invalid params";
	case RPC_INTERNAL_ERROR:
		return "Internal error";
	case RPC_FAILED:
		return "Storage operation failed";
	case RPC_VALIDATION:
		return "Validation error";
	case RPC_NO_DEVICE:
		return "Device not found";
	}
	return "Error";
}

int rpc_parse(const char *line, size_t n, const char *name, struct json **ret, struct err *e)
{
	static const struct json_limits limits = {
		.max_bytes = RPC_LINE_MAX, .max_depth = RPC_DEPTH_MAX, .refuse_duplicate_keys = true,
		.syntax_only_line = true,
	};

	return json_parse(line, n, name, &limits, ret, e);
}

static int invalid(struct err *e, const char *what)
{
	return err_make(e, ERR_USAGE, -EBADMSG, "request", NULL, "%s", what);
}

int rpc_request_read(const struct json *j, struct rpc_request *ret, struct err *e)
{
	const struct json *id = json_get(j, "id");

	*ret = (struct rpc_request){ .notification = !json_has(j, "id") };
	if (json_kind(j) != JSON_OBJECT)
		return invalid(e, "is not an object");
	if (id && json_kind(id) != JSON_STRING && json_kind(id) != JSON_INTEGER &&
	    json_kind(id) != JSON_DOUBLE)
		return invalid(e, "its id is neither a string nor a number nor null");
	ret->id = id;
	if (!streq(json_string(json_get(j, "jsonrpc")), "2.0"))
		return invalid(e, "has no \"jsonrpc\":\"2.0\"");
	ret->method = json_string(json_get(j, "method"));
	if (!ret->method)
		return invalid(e, "has no method, which is a string");
	ret->params = json_get(j, "params");
	if (json_has(j, "params") && json_kind(ret->params) != JSON_ARRAY &&
	    json_kind(ret->params) != JSON_OBJECT)
		return invalid(e, "its params are neither an object nor an array");
	ret->client = json_get(j, "x-client");
	return 0;
}

static void begin(FILE *out, const struct json *id)
{
	fputs("{\"jsonrpc\":\"2.0\",\"id\":", out);
	json_write(out, id);
}

static void end(FILE *out, const char *notes)
{
	if (notes)
		fprintf(out, ",\"x-notes\":%s", notes);
	fputc('}', out);
}

void rpc_write_result(FILE *out, const struct json *id, const char *result, const char *notes)
{
	begin(out, id);
	fprintf(out, ",\"result\":%s", result);
	end(out, notes);
}

static const char *const kind_names[] = {
	[ERR_FAILED] = "failed",       [ERR_USAGE] = "usage",		 [ERR_INVALID] = "invalid",
	[ERR_NO_DEVICE] = "no_device", [ERR_UNSUPPORTED] = "unsupported",
};

static void member(FILE *out, const char *name, const char *value)
{
	fprintf(out, ",\"%s\":", name);
	if (value && *value)
		json_escape(out, value);
	else
		fputs("null", out);
}

void rpc_write_error(FILE *out, const struct json *id, int code, const struct err *e,
		     const char *notes)
{
	struct arena mem auto_arena = { 0 };

	begin(out, id);
	fprintf(out, ",\"error\":{\"code\":%d,\"message\":", code);
	json_escape(out, arena_printf(&mem, "%s: %s", rpc_code_text(code), err_line(e, &mem)));
	fprintf(out, ",\"data\":{\"kind\":\"%s\"", kind_names[e->kind]);
	member(out, "object", e->object);
	member(out, "errno", e->code ? errno_name(e->code) : NULL);
	member(out, "found", e->found);
	member(out, "hint", e->hint);
	fprintf(out, "}}");
	end(out, notes);
}

static void copy(char *to, size_t size, const struct json *data, const char *name)
{
	const char *s = json_string(json_get(data, name));

	snprintf(to, size, "%s", s ? s : "");
}

void rpc_error_read(const struct json *error, struct err *ret)
{
	const struct json *data = json_get(error, "data");
	const char *kind = json_string(json_get(data, "kind"));
	const char *name = json_string(json_get(data, "errno"));

	*ret = (struct err){ .code = -EIO, .kind = ERR_FAILED };
	for (size_t i = 0; kind && i < COUNT(kind_names); i++)
		if (streq(kind_names[i], kind))
			ret->kind = (enum err_kind)i;
	for (int code = 1; name && code < 134; code++)
		if (streq(errno_name(code), name))
			ret->code = -code;
	copy(ret->object, sizeof ret->object, data, "object");
	copy(ret->found, sizeof ret->found, data, "found");
	copy(ret->hint, sizeof ret->hint, data, "hint");
	if (!*ret->found)
		copy(ret->found, sizeof ret->found, error, "message");
}
