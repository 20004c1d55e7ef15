/* Unpacking what the build packed: see unpack.h. */
#include "lib/os/unpack.h"

#include "lib/core/mem.h"

#include <stdint.h>
#include <zlib.h>

void *unpack(const unsigned char *packed, size_t packed_size, size_t size)
{
	enum { GZIP = 16 }; /* added to the window's bits: a gzip header is there */
	void *out = xmalloc(size);
	z_stream z = {
		.next_in = (z_const Bytef *)(uintptr_t)packed,
		.avail_in = (uInt)packed_size,
		.next_out = out,
		.avail_out = (uInt)size,
	};

	if (inflateInit2(&z, MAX_WBITS + GZIP) != Z_OK || inflate(&z, Z_FINISH) != Z_STREAM_END ||
	    z.total_out != size)
		abort();
	inflateEnd(&z);
	return out;
}
