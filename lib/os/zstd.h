/* zstd as btrfs uses it: pieces of at most 128 KiB, each compressed by itself. */
#ifndef OS_ZSTD_H
#define OS_ZSTD_H

#include "lib/core/err.h"

struct zstd;

/* btrfs' ZSTD_BTRFS_MAX_INPUT (fs/btrfs/zstd.c): what one compressed extent holds. */
enum { ZSTD_PIECE_BYTES = 128 << 10 };

int zstd_new(struct zstd **ret, struct err *e);
void zstd_free(struct zstd **z);
#define auto_zstd auto_release(zstd_free)

/* Bytes that out must have for n bytes of input, whatever they are. */
size_t zstd_bound(size_t n);
/* level: 1 to 15 as in a mount option, or negative. -EINVAL when the library refuses. */
int zstd_compress(struct zstd *z, int level, const void *in, size_t n, void *out, size_t out_size,
		  size_t *ret_n, struct err *e);
int zstd_decompress(struct zstd *z, const void *in, size_t n, void *out, size_t out_size,
		    size_t *ret_n, struct err *e);

#endif
