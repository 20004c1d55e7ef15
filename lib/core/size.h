/* Sizes and durations as people write them. */
#ifndef CORE_SIZE_H
#define CORE_SIZE_H

#include <stddef.h>
#include <stdint.h>

#define KiB (UINT64_C(1) << 10)
#define MiB (UINT64_C(1) << 20)
#define GiB (UINT64_C(1) << 30)
#define TiB (UINT64_C(1) << 40)

/*
 * "10G", "512M", "1.5T", "4096", "10GiB", "10GB" -> bytes. K M G T P E and KiB ... are powers of
 * 1024; KB ... are powers of 1000, as in util-linux. Exact: what is not a whole number of bytes,
 * does not fit in 64 bits, has a sign or trailing junk, is refused: -EINVAL, or -ERANGE when it
 * does not fit.
 */
int size_parse(const char *s, uint64_t *ret_bytes);

/* "1.5G": at most one decimal, rounded to nearest; exact multiples have none. */
enum { SIZE_TEXT = 24 };
const char *size_text(char buf[static SIZE_TEXT], uint64_t bytes);

/* "2", "0.5", "500ms", "1m", "2h" -> seconds; a bare number is seconds. -EINVAL for junk,
 * negative, infinite. */
int duration_parse(const char *s, double *ret_s);

#endif
