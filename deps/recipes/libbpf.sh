# source: libbpf
# license: LGPL-2.1-only OR BSD-2-Clause
# archives: libbpf.a
make -j"$jobs" -C src BUILD_STATIC_ONLY=1 NO_PKG_CONFIG=1 \
	CFLAGS="$CFLAGS" AR="$AR" OBJDIR="$PWD/obj" "$PWD/obj/libbpf.a"
cp obj/libbpf.a "$out/lib/"
make -C src BUILD_STATIC_ONLY=1 NO_PKG_CONFIG=1 PREFIX="$out" install_headers
