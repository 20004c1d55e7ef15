/*
 * The Nix language's pure core: parse and evaluate lazily, with bounds. What cannot be known here (a
 * module's config, pkgs, a thrown error) is a *soft unknown*: a value that spoils only what needs it.
 */
#ifndef STORADVISE_NIX_H
#define STORADVISE_NIX_H

#include "lib/core/err.h"
#include "lib/core/mem.h"
#include "lib/core/root.h"
#include "lib/os/json.h"

#include <setjmp.h>
#include <stdint.h>

enum nix_type { NIX_NULL, NIX_BOOL, NIX_INT, NIX_FLOAT, NIX_STRING, NIX_PATH, NIX_LIST, NIX_ATTRS,
		NIX_LAMBDA, NIX_PRIMITIVE, NIX_PARTIAL, NIX_UNKNOWN,
		/* not evaluated yet; nix_force() leaves none of these */
		NIX_THUNK, NIX_APPLY, NIX_BUSY };

/* Why a value is unknown. What a LIMIT stops is never soft. */
enum nix_fault { FAULT_MISSING, /* not given to us: an argument, pkgs, the environment */
		 FAULT_TYPE, FAULT_THROW, FAULT_ASSERT, FAULT_ABORT, FAULT_SYNTAX, FAULT_FILE,
		 FAULT_RECURSION, FAULT_LIMIT };

struct nix_expr;
struct nix_env;
struct nix_value;
struct nix;

/* An interned name: equal names are the same pointer. */
struct nix_symbol {
	const struct nix_symbol *next;
	uint32_t hash, n;
	char name[];
};

struct nix_attr {
	const struct nix_symbol *name;
	struct nix_value *value;
	uint32_t pos;
};

struct nix_attrs {
	uint32_t n;
	bool open; /* what is not here may be there all the same: a missing name is unknown */
	struct nix_attr items[]; /* sorted by the symbol's address */
};

struct nix_primitive {
	const char *name;
	unsigned arity;
	void (*call)(struct nix *x, struct nix_value **args, struct nix_value *out);
};

struct nix_value {
	uint8_t type, fault; /* fault: of an unknown */
	uint32_t pos;	     /* where it was written; 0: nowhere */
	union {
		bool boolean;
		int64_t integer;
		double real;
		struct {
			const char *text; /* NUL-terminated; Nix strings hold no NUL */
			uint32_t length;
		};
		struct {
			struct nix_value **items;
			uint32_t n;
		};
		const struct nix_attrs *attrs;
		struct {
			struct nix_env *env;
			const struct nix_expr *expr;
		};
		struct {
			const struct nix_primitive *primitive;
			struct nix_value **args; /* of a PARTIAL */
		};
		struct {
			struct nix_value *function, *argument; /* of an APPLY */
		};
		const char *reason; /* of an UNKNOWN */
	};
};

struct nix_file {
	const char *name, *text;
	size_t n;
	uint32_t base; /* its first position; positions are unique over all files */
	struct nix_value *value; /* what it evaluates to, once imported */
};

struct nix_limits {
	uint64_t steps;
	size_t memory_bytes, file_bytes, list_items;
};

/* One evaluator; everything it makes lives in its arena until nix_done(). */
struct nix {
	struct arena mem;
	const struct root *root; /* where files are read */
	bool soft;		 /* errors become unknowns where a value is forced */
	struct nix_limits limits;
	char *block;
	size_t block_left, memory_bytes;
	uint64_t steps;
	uintptr_t stack_base, stack_bytes; /* the C stack it may use, below base */
	jmp_buf *jump;
	struct {
		enum nix_fault kind;
		uint32_t pos;
		const char *text;
	} fault;
	const struct nix_symbol **symbols; /* hash table */
	uint32_t symbols_n, symbols_cap;
	struct nix_file *files;
	size_t files_n, files_cap;
	uint32_t next_base;
	struct nix_env *base_env;
	struct nix_value *builtins, *lib, *lib_true, *lib_false, *lib_null;
};

void nix_init(struct nix *x, const struct root *root, bool soft);
void nix_done(struct nix *x);
#define auto_nix auto_release(nix_done)

/*
 * The entry points: each returns 0, or -errno with an error that names file, line and column and
 * shows the line. In soft mode only syntax errors, unreadable files and limits are errors.
 */
int nix_eval_text(struct nix *x, const char *name, const char *text, size_t n,
		  struct nix_value **ret, struct err *e);
int nix_eval_file(struct nix *x, const char *path, struct nix_value **ret, struct err *e);
/* Calls it as the module system or a flake would: lib is ours, other arguments are unknown. */
int nix_auto_call(struct nix *x, struct nix_value *v, struct nix_value **ret, struct err *e);
/* Everything below v, as `nix-instantiate --eval --strict --json` prints it. */
int nix_to_json(struct nix *x, struct nix_value *v, FILE *out, struct err *e);
/* Runs fn, which may call the raising functions below, and turns a raised fault into an error. */
int nix_protect(struct nix *x, void (*fn)(struct nix *x, void *arg), void *arg, struct err *e);

/* For readers of values; none of them raises: a value that fails is UNKNOWN (in soft mode). */
enum nix_type nix_look(struct nix *x, struct nix_value *v);
struct nix_value *nix_get(struct nix *x, struct nix_value *attrs, const char *name);
/* Text of a string, or NULL. */
const char *nix_text(struct nix *x, struct nix_value *v);
/* "layout.nix:12:7"; "" for position 0. In the arena. */
const char *nix_place(struct nix *x, uint32_t pos);
const struct nix_file *nix_position(struct nix *x, uint32_t pos, unsigned *line, unsigned *column);
/* The text of the line of that position, without its newline. */
const char *nix_line(struct nix *x, uint32_t pos);

/* Making values. */
struct nix_value *nix_new(struct nix *x, enum nix_type type);
struct nix_value *nix_string(struct nix *x, const char *s);
struct nix_value *nix_integer(struct nix *x, int64_t i);
struct nix_value *nix_unknown(struct nix *x, const char *reason);
/* Any struct as an attribute set: see facts.c. */
struct nix_builder {
	struct nix *x;
	struct nix_attr *items;
	uint32_t n, cap;
};
void nix_add(struct nix_builder *b, const char *name, struct nix_value *v);
struct nix_value *nix_attrs(struct nix_builder *b);
struct nix_value *nix_list(struct nix *x, struct nix_value **items, size_t n);
struct nix_value *nix_from_json(struct nix *x, const struct json *j, uint32_t pos);

/* Inside the evaluator (nix_*.c): these raise, which leaves by longjmp to nix_protect(). */
void nix_raise(struct nix *x, enum nix_fault kind, uint32_t pos, const char *fmt, ...)
	__attribute__((noreturn, format(printf, 4, 5)));
void nix_raise_unknown(struct nix *x, const struct nix_value *v) __attribute__((noreturn));
void *nix_alloc(struct nix *x, size_t n);
char *nix_strn(struct nix *x, const char *s, size_t n);
void nix_check_stack(struct nix *x);
void nix_count(struct nix *x, uint64_t steps);
/* A larger array with the old items in it, when n of cap are in use. */
void *nix_grow(struct nix *x, void *items, size_t n, size_t *cap, size_t item_bytes);
const struct nix_symbol *nix_symbol(struct nix *x, const char *s, size_t n);
const struct nix_expr *nix_parse(struct nix *x, const struct nix_file *file);
struct nix_file *nix_load(struct nix *x, const char *name, const char *text, size_t n);
struct nix_value *nix_import(struct nix *x, const char *path, uint32_t pos);
/* The outermost frame of names. */
struct nix_env *nix_base_env(struct nix *x, struct nix_value *names);
void nix_force(struct nix *x, struct nix_value *v);
/* Forces, and raises when it is of another type (an unknown raises as what it is). */
void nix_want(struct nix *x, struct nix_value *v, enum nix_type type, uint32_t pos);
void nix_call(struct nix *x, struct nix_value *function, struct nix_value *argument,
	      struct nix_value *out);
/* The call as a value that is evaluated when it is needed. */
struct nix_value *nix_lazy_call(struct nix *x, struct nix_value *function,
				struct nix_value *argument);
bool nix_equal(struct nix *x, struct nix_value *a, struct nix_value *b);
bool nix_less(struct nix *x, struct nix_value *a, struct nix_value *b, uint32_t pos);
const struct nix_attr *nix_find(const struct nix_attrs *a, const struct nix_symbol *name);
struct nix_attrs *nix_attrs_alloc(struct nix *x, size_t n);
void nix_attrs_sort(struct nix_attrs *a); /* by the symbols' addresses */
/* Attributes in the order of their names. */
const struct nix_attr **nix_by_name(struct nix *x, const struct nix_attrs *a);
/* A string, path, integer (with all = true also numbers, booleans, null, lists) as text. */
const char *nix_coerce(struct nix *x, struct nix_value *v, bool all, uint32_t pos,
		       size_t *ret_n);
const char *nix_type_name(const struct nix_value *v);
void nix_json_value(struct nix *x, struct nix_value *v, FILE *out);
/* "/a/./b/../c" -> "/a/c". */
char *nix_canonical(struct nix *x, const char *path);
/* Registers primitives into the builder of builtins. */
void nix_primitives_core(struct nix_builder *b);
void nix_primitives_text(struct nix_builder *b);
void nix_primitives_lists(struct nix_builder *b);
extern const char nix_lib_text[];
extern const uint32_t nix_lib_text_size;

/* Expressions; made by the parser, walked by the evaluator. */
enum nix_op { X_CONST, X_INTERPOLATE, X_VAR, X_SELECT, X_HAS, X_ATTRS, X_LIST, X_LAMBDA, X_LET,
	      X_WITH, X_IF, X_ASSERT, X_CALL, X_NOT, X_NEGATE, X_AND, X_OR, X_IMPLIES, X_EQUAL,
	      X_UNEQUAL, X_LESS, X_LESS_EQUAL, X_GREATER, X_GREATER_EQUAL, X_ADD, X_SUB, X_MUL,
	      X_DIV, X_UPDATE, X_CONCAT, X_OLD_LET, X_SEARCH_PATH };

struct nix_name { /* one step of an attribute path */
	const struct nix_symbol *symbol; /* or, where NULL: */
	struct nix_expr *expr;
	uint32_t pos;
};

struct nix_binding {
	struct nix_name name;
	struct nix_expr *value;
	bool inherited; /* the value is seen from outside */
};

struct nix_attrs_expr {
	struct nix_binding *items; /* constant names, sorted when first evaluated */
	size_t n, cap;
	struct nix_binding *dynamic;
	size_t dynamic_n, dynamic_cap;
	uint32_t *index; /* hash table of items while parsing; n + 1 */
	size_t index_cap;
	bool recursive, sorted;
};

struct nix_formal {
	const struct nix_symbol *name;
	struct nix_expr *def;
	uint32_t pos;
};

struct nix_expr {
	uint8_t op;
	uint32_t pos;
	union {
		struct nix_value *value;	       /* CONST */
		const struct nix_symbol *symbol;       /* VAR */
		struct {			       /* operators, CALL, IF, ASSERT, WITH, LET */
			struct nix_expr *a, *b, *c;
		};
		struct {			       /* LIST, INTERPOLATE */
			struct nix_expr **items;
			size_t n;
			bool path; /* the interpolation gives a path */
		};
		struct {			       /* SELECT, HAS */
			struct nix_expr *of, *otherwise;
			struct nix_name *path_items;
			size_t path_n;
		};
		struct nix_attrs_expr *attrs;	       /* ATTRS, OLD_LET */
		struct {			       /* LAMBDA */
			const struct nix_symbol *argument; /* or NULL */
			struct nix_formal *formals;    /* NULL: no pattern */
			size_t formals_n;
			bool ellipsis;
			struct nix_expr *body;
		};
	};
};

#endif
