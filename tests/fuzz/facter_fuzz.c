/* Fuzzes the readers of captured files: any text gives rows or an error. */
#include "applets/storadvise/facts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static fact_reader *const readers[] = { read_facter, read_df, read_usage, read_btrfs_df,
						read_stats, read_qgroups, read_iostat, read_iotop,
						read_mounts, read_sysctl, read_lsblk, read_vfslat };
	struct arena mem auto_arena = { 0 };
	struct world w = { .root = ROOT_MACHINE, .mem = &mem };
	struct facts f = { .mem = &mem, .w = &w };
	struct err e = { 0 };
	char *text;

	if (!size || memchr(data + 1, 0, size - 1))
		return 0;
	text = arena_strn(&mem, (const char *)data + 1, size - 1);
	readers[*data % COUNT(readers)](&f, NULL, "fuzz", text, &e);
	facts_join(&f);
	facts_free(&f);
	return 0;
}
