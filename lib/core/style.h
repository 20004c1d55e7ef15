/* Colours: what they are called, and the escape codes that terminals know for them. */
#ifndef CORE_STYLE_H
#define CORE_STYLE_H

enum style { STYLE_PLAIN, STYLE_BOLD, STYLE_DIM, STYLE_REVERSE, STYLE_GREEN, STYLE_YELLOW,
	     STYLE_RED, STYLE_ALERT };

/* What switches a style on, and off again. */
static inline const char *style_begin(enum style s)
{
	static const char *const on[] = { "",	      "\033[1m",  "\033[2m",  "\033[7m",
					  "\033[32m", "\033[33m", "\033[31m", "\033[1;37;41m" };

	return on[s];
}
static inline const char *style_end(enum style s)
{
	return s == STYLE_PLAIN ? "" : "\033[0m";
}

#endif
