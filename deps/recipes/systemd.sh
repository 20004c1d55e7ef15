# source: systemd
# license: LGPL-2.1-or-later
# archives: libudev.a
# systemd 252 does not know musl: a few objects do not compile, none of which libudev needs, as
# the link below proves.
mkdir -p compat/sys
cp "$here/compat/printf.h" compat/
cp /usr/include/sys/capability.h compat/sys/ # libcap's, asked for and not used
words() { # LIST OF WORDS as meson writes it
	printf "'%s', " "$@"
}
cat >musl.ini <<END
[binaries]
c = ['$CC', '-idirafter', '$out/kernel']
ar = '$AR'
strip = 'strip'
pkgconfig = 'pkg-config'
[properties]
needs_exe_wrapper = false
[built-in options]
c_args = [$(words -include "$here/compat/udev.h" -I"$PWD/compat" $size_flags \
	-Wno-error=format -Wno-error=incompatible-pointer-types -w)]
[host_machine]
system = 'linux'
cpu_family = '$(uname -m)'
cpu = '$(uname -m)'
endian = 'little'
END
meson setup obj --cross-file musl.ini -Dskip-deps=true -Dmode=release -Dstatic-libudev=true \
	-Dtests=false -Dman=false -Dgshadow=false -Dbpf-framework=false \
	-Dbuildtype=minsize -Db_ndebug=true
ninja -C obj version.h
ninja -C obj -k0 libudev.a || true
(
	cd obj
	find . -path '*.p/*.o' >objects
	"$AR" rcs all.a @objects
)

# Only the API stays visible: parse_size and others would clash with util-linux's.
grep -oE '\budev_[a-z0-9_]+' src/libudev/libudev.sym | sort -u >symbols
sed 's/^/-u /' symbols >wanted
ld -r --gc-sections -o udev.o @wanted obj/all.a
objcopy --keep-global-symbols=symbols --strip-debug udev.o
"$AR" rcs "$out/lib/libudev.a" udev.o
cp src/libudev/libudev.h "$out/include/"

echo 'int main(void) { return 0; }' >main.c
"$CC" -static -no-pie -o main main.c -Wl,--whole-archive "$out/lib/libudev.a" \
	-Wl,--no-whole-archive
