# source: btrfs-progs
# license: LGPL-2.1-or-later
# archives: libbtrfsutil.a
# Its configure wants ext2fs, lzo and more, none of which the library uses.
for source in libbtrfsutil/*.c; do
	"$CC" $CFLAGS -D_GNU_SOURCE -I. -Ilibbtrfsutil -c "$source" \
		-o "libbtrfsutil/$(basename "$source" .c).o"
done
"$AR" rcs "$out/lib/libbtrfsutil.a" libbtrfsutil/*.o
cp libbtrfsutil/btrfsutil.h "$out/include/"
