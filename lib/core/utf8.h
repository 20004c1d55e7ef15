/* UTF-8: what is valid, and how wide it is on a terminal. */
#ifndef CORE_UTF8_H
#define CORE_UTF8_H

#include <stddef.h>
#include <stdio.h>

/* Bytes of the valid UTF-8 character at s, 0 when it is none (overlong, surrogate, cut short). */
size_t utf8_length(const char *s);
/* Terminal columns, for text as utf8_print() shows it. */
size_t utf8_width(const char *s);
/* Prints text for a terminal: control characters and invalid bytes appear as `?`, so that a disk's
 * label cannot send escape codes. utf8_print_cut() prints at most width columns, ending in `~`
 * where something was cut. */
void utf8_print(FILE *out, const char *s);
void utf8_print_cut(FILE *out, const char *s, size_t width);

#endif
