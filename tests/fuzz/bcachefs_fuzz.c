/* Every parser of bcachefs' sysfs formats, on any bytes: no crash, and no number out of nothing. */
#include "applets/bcachefs-iostat/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a auto_arena = { 0 };
	/* A copy of just its size, so that a read beyond it is seen. */
	auto_free char *text = xmalloc(size);
	struct block_stat stat;
	struct io_errors errors;
	struct latency latency;
	struct io_done io;
	struct usage usage;
	const char *name;
	size_t length;

	memcpy(text, data, size);
	if (!parse_io_done(text, size, &io))
		for (int d = READ; d <= WRITE; d++)
			for (unsigned i = 0; i < io.n; i++)
				if (io.total_bytes[d] != U64_NONE &&
				    io.type[i].bytes[d] > io.total_bytes[d])
					abort();
	if (parse_latency(text, size, &latency) && latency.count != U64_NONE)
		abort();
	parse_io_errors(text, size, &errors);
	if (!parse_usage(text, size, &usage) && usage.empty > usage.capacity)
		abort();
	parse_number(text, size);
	parse_word(text, size, &a);
	parse_choice(text, size, &a);
	parse_list(text, size, &a);
	if (parse_diskstats_line(text, size, &name, &length, &stat) &&
	    (name < text || name + length > text + size))
		abort();
	return 0;
}
