# source: libzstd
# license: BSD-3-Clause OR GPL-2.0-only
# archives: libzstd.a
# The compressor has each match finder again for each kind of dictionary, 80 KB of them. We use no
# dictionaries, so the table that chooses gets one function that stops the program instead.
chooser=lib/compress/zstd_compress.c
{
	grep -oE 'ZSTD_compressBlock_\w+_(dictMatchState|dedicatedDictSearch)\w*' "$chooser" |
		sort -u | sed 's/.*/#define & storbox_no_dictionaries/'
	cat "$chooser"
	cat <<-'END'
	size_t storbox_no_dictionaries(ZSTD_matchState_t *ms, seqStore_t *seqs,
			U32 rep[ZSTD_REP_NUM], void const *src, size_t size)
	{
		(void)ms; (void)seqs; (void)rep; (void)src; (void)size;
		__builtin_trap();
	}
	END
} >"$chooser.new"
mv "$chooser.new" "$chooser"

# No assembler is run, and gcc's link-time optimiser warns about its option.
sed -i 's/-Wa,--noexecstack//' lib/libzstd.mk
# CFLAGS come by the environment, for its makefile adds to them.
make -j"$jobs" -C lib libzstd.a ZSTD_LIB_MINIFY=1 ZSTD_LEGACY_SUPPORT=0 ZSTD_LIB_DICTBUILDER=0 \
	ZSTD_LIB_DEPRECATED=0 ZSTD_NO_ASM=1 CPPFLAGS=-DDYNAMIC_BMI2=0
cp lib/libzstd.a "$out/lib/"
cp lib/zstd.h lib/zstd_errors.h "$out/include/"
