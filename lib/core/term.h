/*
 * The terminal as a full screen: keys, its size, frames without flicker. It is put back as it was
 * on return, on a signal that ends or stops the process, and on a crash.
 */
#ifndef CORE_TERM_H
#define CORE_TERM_H

#include "lib/core/err.h"
#include "lib/core/style.h"

#include <signal.h>
#include <stdint.h>
#include <stdio.h>

struct term;

/* A key: its Unicode code point, or one of these. */
enum term_key {
	KEY_NONE = 0, /* the time is over, or a sequence that means nothing to us */
	KEY_TAB = '\t',
	KEY_ENTER = '\n',
	KEY_ESCAPE = 0x1b,
	KEY_BACKSPACE = 0x7f,
	KEY_SPECIAL = 0x110000, /* beyond Unicode */
	KEY_UP,
	KEY_DOWN,
	KEY_LEFT,
	KEY_RIGHT,
	KEY_HOME,
	KEY_END,
	KEY_PAGE_UP,
	KEY_PAGE_DOWN,
	KEY_RESIZE, /* the terminal has another size, or was in use by others: draw again */
};

/*
 * Takes over the terminal on stdout; keys come from stdin, or from /dev/tty where stdin is none.
 * One at a time. ERR_USAGE when stdout is no terminal. Ctrl-C and Ctrl-Z stay signals: whoever
 * sets `stop` in a handler ends in order; unhandled signals restore the terminal first.
 */
int term_open(struct term **ret, struct err *e);
void term_close(struct term **t);
#define auto_term auto_release(term_close)

/* Columns and rows now; 80 x 24 where the terminal does not say. */
void term_size(const struct term *t, unsigned *ret_columns, unsigned *ret_rows);

/*
 * Waits at most until deadline_ns (CLOCK_MONOTONIC) for a key. Returns 0 with *ret_key set;
 * -EINTR when *stop is set, -EIO when the terminal is gone.
 */
int term_key(struct term *t, uint64_t deadline_ns, const volatile sig_atomic_t *stop, int *ret_key);

/*
 * A frame is written to the stream and shown whole by term_show(): lines too long are cut by the
 * terminal, those below its last row are left out, the rest of the screen is cleared.
 */
FILE *term_frame(struct term *t);
int term_show(struct term *t);

/* Takes one key off the front of n bytes: the bytes used; 0 when more are needed to tell. */
size_t term_decode(const char *bytes, size_t n, int *ret_key);

#endif
