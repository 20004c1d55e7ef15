/* glibc's printf.h for musl: only structured logging to the journal uses it, which libudev's
 * callers never reach; if they do, it stops rather than misreads its arguments. */
#ifndef STORBOX_COMPAT_PRINTF_H
#define STORBOX_COMPAT_PRINTF_H
#include <stddef.h>

enum { PA_INT, PA_CHAR, PA_WCHAR, PA_STRING, PA_WSTRING, PA_POINTER, PA_FLOAT, PA_DOUBLE, PA_LAST };
#define PA_FLAG_MASK 0xff00
#define PA_FLAG_LONG_LONG (1 << 8)
#define PA_FLAG_LONG_DOUBLE PA_FLAG_LONG_LONG
#define PA_FLAG_LONG (1 << 9)
#define PA_FLAG_SHORT (1 << 10)
#define PA_FLAG_PTR (1 << 11)

static inline size_t parse_printf_format(const char *format, size_t n, int *types)
{
	(void)format;
	(void)n;
	(void)types;
	__builtin_trap();
}
#endif
