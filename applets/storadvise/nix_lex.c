/* Nix source to tokens. Paths and URLs win over names when longer, as flex's longest match does. */
#include "applets/storadvise/nix_parse.h"

#include <ctype.h>

uint32_t lex_pos(const struct parser *s, const char *p)
{
	return s->file->base + (uint32_t)(p - s->file->text);
}

uint32_t lex_here(const struct parser *s)
{
	return lex_pos(s, s->start);
}

void lex_syntax(struct parser *s, const char *want)
{
	if (s->token == T_END)
		nix_raise(s->x, FAULT_SYNTAX, lex_here(s), "expected %s, found the end of the file",
			  want);
	nix_raise(s->x, FAULT_SYNTAX, lex_here(s), "expected %s, found '%.*s'", want,
		  (int)(s->p - s->start > 40 ? 40 : s->p - s->start), s->start);
}

char lex_at(const struct parser *s, const char *p)
{
	return p < s->end ? *p : '\0';
}

static bool is_id_start(char c)
{
	return isalpha((unsigned char)c) || c == '_';
}

static bool is_id(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '\'' || c == '-';
}

bool lex_is_path(char c)
{
	return isalnum((unsigned char)c) || (c && strchr("._-+", c));
}

static bool is_uri(char c)
{
	return isalnum((unsigned char)c) || (c && strchr("%/?:@&=+$,-_.!~*'", c));
}

static void skip_space(struct parser *s)
{
	for (;;) {
		char c = lex_at(s, s->p);

		if (s->p >= s->end)
			return;
		if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
			s->p++;
		} else if (c == '#') {
			while (s->p < s->end && *s->p != '\n' && *s->p != '\r')
				s->p++;
		} else if (c == '/' && lex_at(s, s->p + 1) == '*') {
			const char *close = memmem(s->p + 2, (size_t)(s->end - s->p - 2), "*/", 2);

			if (!close)
				nix_raise(s->x, FAULT_SYNTAX, lex_pos(s, s->p),
					  "the comment does not end");
			s->p = close + 2;
		} else {
			return;
		}
	}
}

/* The end of a path that starts at p, or p when it is none. A path that goes on with ${ may stop at
 * a slash. */
static const char *path_end(const struct parser *s, const char *p)
{
	const char *q = p;
	bool slash = false;

	if (*q == '~') {
		q++;
		if (lex_at(s, q) != '/')
			return p;
	}
	while (lex_is_path(lex_at(s, q)))
		q++;
	while (lex_at(s, q) == '/' && lex_is_path(lex_at(s, q + 1))) {
		slash = true;
		for (q++; lex_is_path(lex_at(s, q));)
			q++;
	}
	if (lex_at(s, q) == '/' && lex_at(s, q + 1) == '$' && lex_at(s, q + 2) == '{')
		return q + 1;
	if (slash && lex_at(s, q) == '/')
		q++;
	return slash ? q : p;
}

static const char *uri_end(const struct parser *s, const char *p)
{
	const char *q = p;

	if (!isalpha((unsigned char)*q))
		return p;
	while (isalnum((unsigned char)lex_at(s, q)) || (lex_at(s, q) && strchr("+-.", lex_at(s, q))))
		q++;
	if (lex_at(s, q) != ':' || !is_uri(lex_at(s, q + 1)))
		return p;
	for (q++; is_uri(lex_at(s, q));)
		q++;
	return q;
}

/* (([1-9][0-9]*\.[0-9]*)|(0?\.[0-9]+))([Ee][+-]?[0-9]+)? */
static const char *float_end(const struct parser *s, const char *p)
{
	const char *q = p, *exponent;

	if (*q >= '1' && *q <= '9') {
		while (isdigit((unsigned char)lex_at(s, q)))
			q++;
		if (lex_at(s, q) != '.')
			return p;
		for (q++; isdigit((unsigned char)lex_at(s, q));)
			q++;
	} else {
		if (*q == '0')
			q++;
		if (lex_at(s, q) != '.' || !isdigit((unsigned char)lex_at(s, q + 1)))
			return p;
		for (q++; isdigit((unsigned char)lex_at(s, q));)
			q++;
	}
	exponent = q;
	if (lex_at(s, q) == 'e' || lex_at(s, q) == 'E') {
		q++;
		if (lex_at(s, q) == '+' || lex_at(s, q) == '-')
			q++;
		if (!isdigit((unsigned char)lex_at(s, q)))
			return exponent;
		while (isdigit((unsigned char)lex_at(s, q)))
			q++;
	}
	return q;
}

static const char *search_path_end(const struct parser *s, const char *p)
{
	const char *q = p + 1;

	if (!lex_is_path(lex_at(s, q)))
		return p;
	while (lex_is_path(lex_at(s, q)) || (lex_at(s, q) == '/' && lex_is_path(lex_at(s, q + 1))))
		q++;
	return lex_at(s, q) == '>' ? q + 1 : p;
}

static const struct {
	const char *word;
	int token;
} keywords[] = {
	{ "if", T_IF },	    { "then", T_THEN },	  { "else", T_ELSE }, { "assert", T_ASSERT },
	{ "with", T_WITH }, { "let", T_LET },	  { "in", T_IN },     { "rec", T_REC },
	{ "inherit", T_INHERIT }, { "or", T_OR },
}, operators[] = {
	{ "...", T_ELLIPSIS }, { "==", T_EQ },	{ "!=", T_NE },	       { "<=", T_LE },
	{ ">=", T_GE },	       { "&&", T_AND }, { "||", T_LOGICAL_OR }, { "->", T_IMPLIES },
	{ "//", T_UPDATE },    { "++", T_CONCAT }, { "${", T_DOLLAR }, { "''", T_INDENTED },
};

static void set(struct parser *s, int token, const char *end)
{
	s->token = token;
	s->p = end;
}

void lex_next(struct parser *s)
{
	const char *p, *path, *uri, *number, *word;

	skip_space(s);
	p = s->start = s->p;
	if (p >= s->end) {
		s->token = T_END;
		return;
	}
	path = path_end(s, p);
	uri = uri_end(s, p);
	for (word = p; is_id_start(*p) && is_id(lex_at(s, word));)
		word++;
	number = float_end(s, p);
	if (uri > p && uri > path && uri > word)
		return set(s, T_URI, uri);
	if (path > p && path > word && path > number)
		return set(s, *p == '~' ? T_HOME : T_PATH, path);
	if (word > p) {
		for (size_t i = 0; i < COUNT(keywords); i++)
			if (*keywords[i].word == *p &&
			    strlen(keywords[i].word) == (size_t)(word - p) &&
			    !memcmp(keywords[i].word, p, (size_t)(word - p)))
				return set(s, keywords[i].token, word);
		return set(s, T_ID, word);
	}
	if (number > p)
		return set(s, T_FLOAT, number);
	if (isdigit((unsigned char)*p)) {
		while (isdigit((unsigned char)lex_at(s, p)))
			p++;
		return set(s, T_INT, p);
	}
	if (*p == '<' && search_path_end(s, p) > p)
		return set(s, T_SEARCH, search_path_end(s, p));
	for (size_t i = 0; i < COUNT(operators); i++) {
		size_t n = *operators[i].word == *p ? strlen(operators[i].word) : 0;

		if (n && (size_t)(s->end - p) >= n && !memcmp(p, operators[i].word, n))
			return set(s, operators[i].token, p + n);
	}
	if (*p == '"')
		return set(s, T_STRING, p + 1);
	if (!*p || !strchr("(){}[]:;,.@?=<>+-*/!", *p))
		nix_raise(s->x, FAULT_SYNTAX, lex_here(s), "a character that Nix does not know: '%c'",
			  isprint((unsigned char)*p) ? *p : '?');
	set(s, (unsigned char)*p, p + 1);
}

void lex_expect(struct parser *s, int token, const char *what)
{
	if (s->token != token)
		lex_syntax(s, what);
	lex_next(s);
}
