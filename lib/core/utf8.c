/* UTF-8: see utf8.h. Widths follow the blocks that East Asian Width calls wide, and combining
 * marks; a table of ranges is enough for names of disks, labels and paths. */
#include "lib/core/utf8.h"

#include "lib/core/mem.h"

#include <stdint.h>

static uint32_t decode(const char *s, size_t *ret_n)
{
	const unsigned char *p = (const unsigned char *)s;
	uint32_t c = *p;
	size_t n = c < 0x80 ? 1 : (c & 0xe0) == 0xc0 ? 2 : (c & 0xf0) == 0xe0 ? 3
						     : (c & 0xf8) == 0xf0     ? 4
									      : 0;
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };

	*ret_n = 0;
	if (!c || !n)
		return 0;
	if (n > 1)
		c &= 0x7fu >> n;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0;
	*ret_n = n;
	return c;
}

size_t utf8_length(const char *s)
{
	size_t n;

	decode(s, &n);
	return n;
}

static size_t char_width(uint32_t c)
{
	static const struct {
		uint32_t from, to;
		size_t width;
	} ranges[] = {
		{ 0x300, 0x36f, 0 },	 { 0x200b, 0x200f, 0 },	  { 0x20d0, 0x20ff, 0 },
		{ 0xfe00, 0xfe0f, 0 },	 { 0x1100, 0x115f, 2 },	  { 0x2e80, 0x303e, 2 },
		{ 0x3041, 0xa4cf, 2 },	 { 0xac00, 0xd7a3, 2 },	  { 0xf900, 0xfaff, 2 },
		{ 0xfe30, 0xfe6f, 2 },	 { 0xff00, 0xff60, 2 },	  { 0xffe0, 0xffe6, 2 },
		{ 0x1f300, 0x1f64f, 2 }, { 0x1f900, 0x1f9ff, 2 }, { 0x20000, 0x3fffd, 2 },
	};

	for (size_t i = 0; i < COUNT(ranges); i++)
		if (c >= ranges[i].from && c <= ranges[i].to)
			return ranges[i].width;
	return 1;
}

size_t utf8_width(const char *s)
{
	size_t width = 0, n;

	while (*s) {
		uint32_t c = decode(s, &n);

		width += n ? char_width(c) : 1;
		s += n ? n : 1;
	}
	return width;
}

static void print_to(FILE *out, const char *s, size_t width)
{
	size_t n, used = 0;

	while (*s) {
		uint32_t c = decode(s, &n);
		size_t w = n ? char_width(c) : 1;

		if (used + w > width)
			return;
		used += w;
		/* C0, DEL and C1 controls act on a terminal. */
		if (!n || c < 0x20 || (c >= 0x7f && c < 0xa0))
			fputc('?', out);
		else
			fwrite(s, 1, n, out);
		s += n ? n : 1;
	}
}

void utf8_print(FILE *out, const char *s)
{
	print_to(out, s, SIZE_MAX);
}

void utf8_print_cut(FILE *out, const char *s, size_t width)
{
	if (utf8_width(s) <= width) {
		print_to(out, s, width);
	} else if (width) {
		print_to(out, s, width - 1);
		fputc('~', out);
	}
}
