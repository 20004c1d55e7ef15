# source: elfutils
# license: LGPL-3.0-or-later OR GPL-2.0-or-later
# archives: libelf.a
# libelf alone, so what musl lacks for the programs (argp, fts, obstack) need not be there.
./configure --host="$host" --prefix="$out" --quiet --disable-dependency-tracking \
	--disable-debuginfod --disable-libdebuginfod --disable-nls \
	--without-bzlib --without-lzma --without-zstd \
	ac_cv_search_argp_parse='none required' ac_cv_search_fts_close='none required' \
	ac_cv_search__obstack_free='none required'

make -j"$jobs" -C libelf libelf.a
cp libelf/libelf.a "$out/lib/"
cp libelf/libelf.h libelf/gelf.h libelf/nlist.h "$out/include/"
