/* Facts to a tar of TSV tables, and back: recorded on one machine, read on another (see facts.h). */
#include "applets/storadvise/facts.h"

#include "lib/core/sink.h"
#include "lib/core/tsv.h"

#include <errno.h>
#include <inttypes.h>
#include <time.h>

enum { BLOCK = 512 };

/* POSIX ustar. */
struct tar_header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100],
		magic[6], version[2], owner[32], group[32], major[8], minor[8], prefix[155], pad[12];
};
_Static_assert(sizeof(struct tar_header) == BLOCK, "a tar header is one block");

static int tar_file(FILE *out, const char *name, const char *data, size_t n)
{
	static const char zero[BLOCK];
	struct tar_header h = { .mode = "0000644", .uid = "0000000", .gid = "0000000", .type = '0',
				.magic = "ustar", .version = { '0', '0' } };
	unsigned sum = 0;

	snprintf(h.name, sizeof h.name, "storadvise/%s.tsv", name);
	snprintf(h.size, sizeof h.size, "%011zo", n);
	snprintf(h.mtime, sizeof h.mtime, "%011llo", (unsigned long long)time(NULL));
	memset(h.checksum, ' ', sizeof h.checksum);
	for (size_t i = 0; i < sizeof h; i++)
		sum += ((unsigned char *)&h)[i];
	snprintf(h.checksum, sizeof h.checksum, "%06o", sum);
	h.checksum[7] = ' ';
	fwrite(&h, sizeof h, 1, out);
	fwrite(data, 1, n, out);
	fwrite(zero, 1, (BLOCK - n % BLOCK) % BLOCK, out);
	return ferror(out) ? -EIO : 0;
}

int snapshot_write(struct facts *f, FILE *out, struct err *e)
{
	static const char end[2 * BLOCK];
	int r = 0;

	for (unsigned t = 0; !r && t < FACT_COUNT; t++) {
		const struct table *tables[] = { fact_tables[t], NULL };
		const struct writer_options o = { .format = FORMAT_TSV, .columns = "all" };
		struct sink *s auto_writer = NULL;
		char *text = NULL;
		size_t size = 0, n;
		FILE *mem;
		bool given;
		const char *rows = facts_rows(f, t, &n, &given);

		if (!given)
			continue;
		mem = open_memstream(&text, &size);
		if (!mem)
			return err_sys(e, -errno, "snapshot", "start");
		s = writer_new(mem, tables, &o, e);
		r = s ? 0 : e->code;
		for (size_t i = 0; !r && i < n; i++)
			r = sink_row(s, fact_tables[t], rows + i * fact_tables[t]->row_size);
		if (!r)
			r = sink_end(s);
		fclose(mem);
		if (!r)
			r = tar_file(out, fact_tables[t]->name, text, size);
		free(text);
	}
	fwrite(end, 1, sizeof end, out);
	if (!r && fflush(out))
		r = -errno;
	return r ? err_sys(e, r, "snapshot", "write") : 0;
}

static int read_table(struct facts *f, enum fact_table t, const char *name, char *text, size_t n,
		      struct err *e)
{
	FILE *in auto_fclose = n ? fmemopen(text, n, "r") : NULL;
	struct tsv *v auto_tsv = NULL;
	int r;

	facts_set_given(f, t);
	if (!n)
		return 0;
	if (!in)
		return err_sys(e, -errno, name, "read");
	r = tsv_open(in, name, NULL, fact_tables[t]->fields, &v, e);
	if (r)
		return r;
	for (;;) {
		void *row auto_free = xcalloc(1, fact_tables[t]->row_size);

		r = tsv_next(v, row, f->mem, e);
		if (r <= 0)
			return r;
		memcpy(fact_new(f, t), row, fact_tables[t]->row_size);
	}
}

int snapshot_read(struct facts *f, const char *path, struct err *e)
{
	const struct root machine = ROOT_MACHINE;
	char *tar;
	size_t n, at = 0;
	int r = root_read(&machine, path, 64 << 20, f->mem, &tar, &n);

	if (r)
		return err_sys(e, r, path, "read");
	while (!r && at + BLOCK <= n && tar[at]) {
		const struct tar_header *h = (const struct tar_header *)(tar + at);
		uint64_t size = strtoull(arena_strn(f->mem, h->size, sizeof h->size), NULL, 8);
		char *name = arena_strn(f->mem, h->name, sizeof h->name);

		at += BLOCK;
		if (memcmp(h->magic, "ustar", 5) || size > n - at)
			return err_make(e, ERR_FAILED, -EBADMSG, path, NULL,
					"not a snapshot of storadvise, or cut short");
		for (unsigned t = 0; t < FACT_COUNT; t++)
			if (streq(name, arena_printf(f->mem, "storadvise/%s.tsv",
						     fact_tables[t]->name)))
				r = read_table(f, t, name, tar + at, size, e);
		at += (size + BLOCK - 1) / BLOCK * BLOCK;
	}
	return r;
}
