/* Between the files of the Nix parser: the lexer, literals, and expressions (see nix.h). */
#ifndef STORADVISE_NIX_PARSE_H
#define STORADVISE_NIX_PARSE_H

#include "applets/storadvise/nix.h"

enum token { T_END = 256, T_ID, T_INT, T_FLOAT, T_STRING, T_INDENTED, T_PATH, T_HOME, T_SEARCH,
	     T_URI, T_IF, T_THEN, T_ELSE, T_ASSERT, T_WITH, T_LET, T_IN, T_REC, T_INHERIT, T_OR,
	     T_ELLIPSIS, T_EQ, T_NE, T_LE, T_GE, T_AND, T_LOGICAL_OR, T_IMPLIES, T_UPDATE,
	     T_CONCAT, T_DOLLAR };

struct parser {
	struct nix *x;
	const struct nix_file *file;
	const char *p, *end;	   /* just behind the token */
	const char *start;	   /* of the token */
	int token;
};

/* nix_lex.c. All raise a fault where the source is wrong. */
uint32_t lex_pos(const struct parser *s, const char *p);
uint32_t lex_here(const struct parser *s); /* of the token */
char lex_at(const struct parser *s, const char *p); /* 0 behind the end */
bool lex_is_path(char c);
void lex_next(struct parser *s);
void lex_expect(struct parser *s, int token, const char *what); /* and goes on behind it */
void lex_syntax(struct parser *s, const char *want) __attribute__((noreturn));

/* nix_literal.c: the nodes, and strings and paths, whose token is at hand. */
struct nix_expr *nix_node(struct parser *s, enum nix_op op, uint32_t pos);
struct nix_expr *nix_node2(struct parser *s, enum nix_op op, uint32_t pos, struct nix_expr *a,
			   struct nix_expr *b);
struct nix_expr *nix_constant(struct parser *s, enum nix_type type, uint32_t pos);
struct nix_expr *nix_text_node(struct parser *s, const char *t, size_t n, uint32_t pos);
struct nix_expr *parse_string(struct parser *s);
struct nix_expr *parse_indented(struct parser *s);
struct nix_expr *parse_path(struct parser *s);

/* nix_parse.c */
struct nix_expr *nix_parse_expr(struct parser *s);

#endif
