/* zstd: see zstd.h. */
#include "lib/os/zstd.h"

#include <errno.h>
#include <zstd.h>

struct zstd {
	ZSTD_CCtx *compress;
	ZSTD_DCtx *decompress;
};

int zstd_new(struct zstd **ret, struct err *e)
{
	struct zstd *z auto_zstd = xcalloc(1, sizeof *z);

	z->compress = ZSTD_createCCtx();
	z->decompress = ZSTD_createDCtx();
	if (!z->compress || !z->decompress)
		return err_sys(e, -ENOMEM, "zstd", "start");
	*ret = take(z);
	return 0;
}

void zstd_free(struct zstd **z)
{
	if (!*z)
		return;
	ZSTD_freeCCtx((*z)->compress);
	ZSTD_freeDCtx((*z)->decompress);
	free(*z);
	*z = NULL;
}

size_t zstd_bound(size_t n)
{
	return ZSTD_compressBound(n);
}

int zstd_compress(struct zstd *z, int level, const void *in, size_t n, void *out, size_t out_size,
		  size_t *ret_n, struct err *e)
{
	size_t r = ZSTD_compressCCtx(z->compress, out, out_size, in, n, level);

	if (ZSTD_isError(r))
		return err_make(e, ERR_FAILED, -EINVAL, "zstd", NULL, "compress: %s",
				ZSTD_getErrorName(r));
	*ret_n = r;
	return 0;
}

int zstd_decompress(struct zstd *z, const void *in, size_t n, void *out, size_t out_size,
		    size_t *ret_n, struct err *e)
{
	size_t r = ZSTD_decompressDCtx(z->decompress, out, out_size, in, n);

	if (ZSTD_isError(r))
		return err_make(e, ERR_FAILED, -EBADMSG, "zstd", NULL, "decompress: %s",
				ZSTD_getErrorName(r));
	*ret_n = r;
	return 0;
}
