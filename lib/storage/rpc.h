/*
 * JSON-RPC 2.0 messages: reading requests and answers, and writing them, one line each. Who sends
 * them is no matter here.
 */
#ifndef STORAGE_RPC_H
#define STORAGE_RPC_H

#include "lib/os/json.h"

#include <stdio.h>

enum rpc_code {
	RPC_PARSE_ERROR = -32700,
	RPC_INVALID_REQUEST = -32600,
	RPC_METHOD_NOT_FOUND = -32601,
	RPC_INVALID_PARAMS = -32602,
	RPC_INTERNAL_ERROR = -32603,
	/* The server's own: err_jsonrpc_code() */
	RPC_FAILED = -32000,
	RPC_VALIDATION = -32001,
	RPC_NO_DEVICE = -32002,
};
/* The words that the specification has for its codes, and the issue for its own. */
const char *rpc_code_text(int code);

/* What the daemon sends on the way to an answer, to a client that asked for it in x-client. */
#define PROGRESS_NOTIFICATION "storage.progress"

enum { RPC_LINE_MAX = 1 << 20, RPC_DEPTH_MAX = 64, RPC_BATCH_MAX = 100 };

/* Parses a line, without its newline, within these limits: duplicate keys and too deep are errors. */
int rpc_parse(const char *line, size_t n, const char *name, struct json **ret, struct err *e);

struct rpc_request {
	const struct json *id; /* NULL: null */
	bool notification;     /* has no id: nothing is answered */
	const char *method;
	const struct json *params; /* NULL: none */
	/*
	 * Of storbox's own client: human (how rows will be shown), progress (notifications of it),
	 * wait (answer when it has ended). It is told in x-notes of the answer what the operation
	 * warned of and its exit status. An extension beside the specification's members that
	 * others neither send nor see.
	 */
	const struct json *client;
};

/* 0; or -EBADMSG with the reason: an invalid request, to be answered with ret->id. */
int rpc_request_read(const struct json *j, struct rpc_request *ret, struct err *e);

/* Messages, each with its newline unless it is a part of a batch. result and notes are JSON text of
 * one line; notes may be NULL. */
void rpc_write_result(FILE *out, const struct json *id, const char *result, const char *notes);
/* code as the error's code; message and data from e. */
void rpc_write_error(FILE *out, const struct json *id, int code, const struct err *e,
		     const char *notes);
/* What an error object's text was, back in an err; code 0 when the object is none of ours. */
void rpc_error_read(const struct json *error, struct err *ret);

#endif
