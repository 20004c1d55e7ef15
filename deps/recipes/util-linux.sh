# source: util-linux
# license: LGPL-2.1-or-later AND BSD-3-Clause
# archives: libuuid.a libblkid.a libmount.a libfdisk.a libsmartcols.a
# Of the licences, only libuuid's is BSD's. Nothing here may depend on another library of ours.

# Size: no debug messages (they hang on environment variables; 60 KB), and of partition tables
# libfdisk knows GPT and DOS, the ones we make and list. libblkid still recognises them all.
sed -i 's/if ((p ## m) & l ## _debug_mask)/if (0 \&\& (p ## m))/' include/debug.h
sed -i '/^\tcxt->labels.*fdisk_new_\(bsd\|sgi\|sun\)_label/d' libfdisk/src/context.c

without=(selinux systemd udev cryptsetup python tinfo ncurses ncursesw readline cap-ng econf)
./configure --host="$host" --prefix="$out" --quiet --disable-dependency-tracking \
	--enable-static --disable-shared --disable-all-programs --disable-nls --disable-asciidoc \
	--enable-lib{uuid,blkid,mount,fdisk,smartcols} "${without[@]/#/--without-}"
# Debian patches configure.ac after configure was made from it; nothing that we build is concerned.
make -j"$jobs" ACLOCAL=: AUTOCONF=: AUTOMAKE=: AUTOHEADER=: lib{uuid,blkid,mount,fdisk,smartcols}.la
for lib in uuid blkid mount fdisk smartcols; do
	cp ".libs/lib$lib.a" "$out/lib/"
	mkdir -p "$out/include/lib$lib"
done
cp libblkid/src/blkid.h libmount/src/libmount.h libfdisk/src/libfdisk.h \
	libsmartcols/src/libsmartcols.h libuuid/src/uuid.h "$out/include/"
for lib in blkid uuid; do mkdir -p "$out/include/$lib"; mv "$out/include/$lib.h" "$out/include/$lib/"; done
for lib in mount fdisk smartcols; do mv "$out/include/lib$lib.h" "$out/include/lib$lib/"; done
rmdir "$out"/include/lib{uuid,blkid}
