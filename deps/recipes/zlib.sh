# source: zlib
# license: Zlib
# archives: libz.a
# libbpf reads /proc/config.gz by gzopen, which would bring the writing half along.
CFLAGS="$CFLAGS -DNO_GZCOMPRESS"
./configure --static --prefix="$out"
make -j"$jobs" libz.a
cp libz.a "$out/lib/"
cp zlib.h zconf.h "$out/include/"
