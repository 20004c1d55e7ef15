/*
 * Looks at real files: how a sample of them compresses on this CPU, how fast their device reads, and
 * how databases and machine images lie on it (FIEMAP, flags). Bounded in bytes and time, idle priority.
 */
#include "applets/storadvise/facts.h"

#include "lib/core/clock.h"
#include "lib/core/size.h"
#include "lib/os/zstd.h"

#include <errno.h>
#include <fts.h>
#include <inttypes.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

enum { PIECE = ZSTD_PIECE_BYTES };

struct sample {
	unsigned char *data; /* pieces, each in its place of PIECE bytes */
	uint32_t *lengths;   /* of them */
	size_t n, cap;
	uint64_t bytes;
	uint64_t step, next, at; /* one piece each step bytes of all files in a row */
	uint64_t read_ns;
	uint64_t best_bytes_per_s;    /* of one large file: least disturbed by others */
};

static bool is_image(const char *name, const char **workload)
{
	static const struct {
		const char *ending, *workload;
	} known[] = { { ".qcow2", "vm" }, { ".vdi", "vm" }, { ".vmdk", "vm" }, { ".raw", "vm" },
		      { ".img", "vm" }, { ".sqlite", "database" }, { ".sqlite3", "database" },
		      { ".db", "database" }, { ".ibd", "database" }, { ".mdb", "database" },
		      { ".journal", "log" } };

	for (size_t i = 0; i < COUNT(known); i++)
		if (ends_with(name, known[i].ending)) {
			*workload = known[i].workload;
			return true;
		}
	return false;
}

static void look_at(struct facts *f, const char *path, uint64_t size, const char *workload,
		    const char *filesystem)
{
	enum { BATCH = 512 };
	struct fiemap *map auto_free = xcalloc(1, sizeof *map + BATCH * sizeof map->fm_extents[0]);
	int fd auto_close = root_open(&f->w->root, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
	struct fact_file *row;
	uint64_t at = 0, n = 0, after = 0;
	bool compressed = false, shared = false, last = false;
	unsigned flags = 0;

	if (fd < 0)
		return;
	while (!last) {
		map->fm_start = at;
		map->fm_length = UINT64_MAX - at;
		map->fm_extent_count = BATCH;
		map->fm_mapped_extents = 0;
		if (ioctl(fd, FS_IOC_FIEMAP, map) || !map->fm_mapped_extents)
			break;
		for (unsigned i = 0; i < map->fm_mapped_extents; i++) {
			const struct fiemap_extent *x = &map->fm_extents[i];

			/* Extents that touch on the disk are one for whoever reads. */
			n += !n || x->fe_physical != after;
			after = x->fe_physical + x->fe_length;
			compressed |= (x->fe_flags & FIEMAP_EXTENT_ENCODED) != 0;
			shared |= (x->fe_flags & FIEMAP_EXTENT_SHARED) != 0;
			last |= (x->fe_flags & FIEMAP_EXTENT_LAST) != 0;
			at = x->fe_logical + x->fe_length;
		}
	}
	if (ioctl(fd, FS_IOC_GETFLAGS, &flags))
		flags = 0;
	row = fact_add(f, files);
	row->path = arena_str(f->mem, path);
	row->workload = workload;
	row->filesystem = filesystem;
	row->size_bytes = size;
	row->extents = n;
	row->compressed = compressed;
	row->shared = shared;
	row->nocow = flags & FS_NOCOW_FL;
	row->source = arena_printf(f->mem, "%s: FIEMAP %" PRIu64 " extents, %" PRIu64 " bytes%s%s", path,
				   n, size, row->nocow ? ", +C" : "", shared ? ", shared" : "");
}

/* Takes the pieces that fall into this file: each byte of all files is as likely to be in the sample.
 * The page cache is told to let go first, so that the device's speed shows. */
static void take_sample(struct facts *f, const char *path, uint64_t size, struct sample *s)
{
	int fd auto_close = -1;
	uint64_t bytes = 0, ns = 0;
	unsigned taken = 0;

	for (; s->next < s->at + size && s->n < s->cap; s->next += s->step) {
		off_t at = (off_t)((s->next - s->at) / PIECE * PIECE);
		uint64_t start;
		ssize_t n;

		if (fd < 0) {
			fd = root_open(&f->w->root, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
			if (fd < 0)
				break;
			posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		}
		start = clock_monotonic_ns();
		n = pread(fd, s->data + s->n * PIECE, PIECE, at);
		if (n <= 0)
			break;
		ns += clock_monotonic_ns() - start;
		bytes += (uint64_t)n;
		s->lengths[s->n++] = (uint32_t)n;
		taken++;
	}
	s->at += size;
	if (s->next < s->at)
		s->next = s->at;
	s->bytes += bytes;
	s->read_ns += ns;
	if (taken >= 4 && ns && bytes * 1000000000u / ns > s->best_bytes_per_s)
		s->best_bytes_per_s = bytes * 1000000000u / ns;
}

/* A compressor of lzo's class: greedy, byte-oriented, one small hash table, no entropy coding. */
static size_t lz_compress(const unsigned char *in, size_t n, unsigned char *out)
{
	static const unsigned HASH_BITS = 13;
	uint32_t table[1 << 13] = { 0 };
	size_t at = 0, literal = 0, o = 0;

	while (at + 4 <= n) {
		uint32_t word, h, candidate;
		size_t k;

		memcpy(&word, in + at, 4);
		h = word * 2654435761u >> (32 - HASH_BITS);
		candidate = table[h];
		table[h] = (uint32_t)at + 1;
		if (!candidate || at - (candidate - 1) > 49151 ||
		    memcmp(in + candidate - 1, in + at, 4)) {
			/* Skips faster where nothing matches, as LZO1X-1 does. */
			at += 1 + ((at - literal) >> 5);
			continue;
		}
		for (k = 4; at + k < n && in[candidate - 1 + k] == in[at + k];)
			k++;
		for (size_t left = at - literal; left; left -= left > 255 ? 255 : left)
			out[o++] = (unsigned char)(left > 255 ? 255 : left);
		memcpy(out + o, in + literal, at - literal);
		o += at - literal;
		out[o++] = (unsigned char)(at - candidate + 1);
		out[o++] = (unsigned char)((at - candidate + 1) >> 8);
		for (size_t left = k; left; left -= left > 255 ? 255 : left)
			out[o++] = (unsigned char)(left > 255 ? 255 : left);
		at += k;
		literal = at;
	}
	memcpy(out + o, in + literal, n - literal);
	return o + n - literal;
}

struct bench {
	struct facts *f;
	const char *path;
	const struct sample *s;
	struct zstd *z;
	unsigned char *out, *back;
	size_t out_size;
	uint64_t device_bytes_per_s, end_ns;
};

/* level 0: lzo's class. */
static int bench_level(struct bench *b, int level, struct err *e)
{
	uint64_t total = 0, pieces = 0, write_ns = 0, read_ns = 0, start;
	double disk = 0; /* shares of the pieces' own sizes: each piece stands for as many bytes */
	struct fact_compression *row;
	int r = 0;

	for (size_t i = 0; !r && i < b->s->n; i++) {
		const unsigned char *data = b->s->data + i * PIECE;
		size_t n = b->s->lengths[i], k = 0, back, whole = (n + 4095) / 4096, part;

		if (clock_monotonic_ns() > b->end_ns || *b->f->w->stop)
			break;
		/* The CPU's time: what others take of it does not count. */
		start = clock_read_ns(CLOCK_THREAD_CPUTIME_ID);
		if (level)
			r = zstd_compress(b->z, level, data, n, b->out, b->out_size, &k, e);
		else
			k = lz_compress(data, n, b->out);
		write_ns += clock_read_ns(CLOCK_THREAD_CPUTIME_ID) - start;
		total += n;
		/* btrfs keeps a piece compressed only when that saves a sector. */
		part = (k + 4095) / 4096;
		disk += part < whole ? (double)part / (double)whole : 1;
		pieces++;
		if (!r && level) {
			start = clock_read_ns(CLOCK_THREAD_CPUTIME_ID);
			r = zstd_decompress(b->z, b->out, k, b->back, PIECE, &back, e);
			read_ns += clock_read_ns(CLOCK_THREAD_CPUTIME_ID) - start;
		}
	}
	if (r || !total || !write_ns)
		return r;
	row = fact_add(b->f, compression);
	row->path = arena_str(b->f->mem, b->path);
	row->algorithm = level ? "zstd" : "lz";
	row->level = (uint64_t)level;
	row->sample_bytes = total;
	row->ratio = (double)pieces / disk;
	row->write_bytes_per_s = (double)total * 1e9 / (double)write_ns;
	if (read_ns)
		row->read_bytes_per_s = (double)total * 1e9 / (double)read_ns;
	row->device_bytes_per_s = b->device_bytes_per_s;
	row->source = arena_printf(b->f->mem, "measured here: %s %s:%d, ratio %.2f, %.0f MB/s on one CPU, "
				   "device reads %.0f MB/s, sample %.1f MB", b->path, row->algorithm, level,
				   row->ratio, row->write_bytes_per_s / 1e6,
				   (double)b->device_bytes_per_s / 1e6, (double)total / 1e6);
	return 0;
}

static int bench(struct bench *b, double max_s, struct err *e)
{
	static const int levels[] = { 0, 1, 3, 6, 9 };
	struct zstd *z auto_zstd = NULL;
	unsigned char *out auto_free = NULL, *back auto_free = xmalloc(PIECE);
	double level_s = max_s / (double)(int)COUNT(levels);
	int r = zstd_new(&z, e);

	b->z = z;
	/* The LZ of ours grows data by a byte in 255 at worst, and what stands between matches. */
	b->out_size = zstd_bound(PIECE) + PIECE;
	b->out = out = xmalloc(b->out_size);
	b->back = back;
	for (size_t i = 0; !r && i < COUNT(levels); i++) {
		b->end_ns = clock_monotonic_ns() + (uint64_t)(level_s * 1e9);
		r = bench_level(b, levels[i], e);
	}
	return r;
}

/* The filesystem of the mount that is nearest above the path. */
static const char *filesystem_of(struct facts *f, const char *path)
{
	const struct fact_mount *best = NULL;

	for (size_t i = 0; i < f->mounts.n; i++) {
		const struct fact_mount *m = &f->mounts.items[i];
		size_t n = strlen(m->target);

		if (!strncmp(m->target, path, n) &&
		    (path[n] == '/' || !path[n] || streq(m->target, "/")) &&
		    (!best || n >= strlen(best->target)))
			best = m;
	}
	return best ? best->filesystem : NULL;
}

int measure_path(struct facts *f, const char *path, uint64_t max_bytes, double max_s,
		 struct err *e)
{
	struct sample s = { .cap = (size_t)((max_bytes > 256 * MiB ? 256 * MiB : max_bytes) / PIECE + 1) };
	unsigned char *data auto_free = NULL;
	uint32_t *lengths auto_free = NULL;
	char *real = root_realpath(&f->w->root, path, f->mem);
	char *const roots[] = { real, NULL };
	uint64_t end = clock_monotonic_ns() + (uint64_t)(max_s * 0.25e9), total = 0;
	struct bench b = { .f = f, .s = &s };
	const char *fs;
	FTS *walk;
	int r;

	if (!real)
		return err_sys(e, -errno, path, "measure");
	if (!root_is_machine(&f->w->root))
		return err_usage(e, "--measure", "files of a recorded machine cannot be measured");
	/* ioprio_set(IOPRIO_WHO_PROCESS, self, idle class): give way to everybody. */
	syscall(SYS_ioprio_set, 1, 0, 3 << 13);
	s.data = data = xmalloc(s.cap * PIECE);
	s.lengths = lengths = xcalloc(s.cap, sizeof *lengths);
	facts_set_given(f, FACT_files);
	facts_set_given(f, FACT_compression);
	fs = filesystem_of(f, real);
	/* Once for the sizes, which say how far the pieces are apart, and once to read them. */
	for (int pass = 0; pass < 2; pass++) {
		walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
		if (!walk)
			return err_sys(e, -errno, path, "list");
		for (FTSENT *n; clock_monotonic_ns() < end && !*f->w->stop && (n = fts_read(walk));) {
			uint64_t size = n->fts_info == FTS_F ? (uint64_t)n->fts_statp->st_size : 0;
			const char *workload = NULL;

			if (!size)
				continue;
			if (pass) {
				take_sample(f, n->fts_path, size, &s);
				continue;
			}
			total += size;
			if (is_image(n->fts_name, &workload) || size >= 64 * MiB)
				look_at(f, n->fts_path, size, workload ? workload : "large file", fs);
		}
		fts_close(walk);
		if (!total)
			return err_make(e, ERR_FAILED, -ENODATA, path, NULL,
					"there is no file to measure");
		s.step = total / s.cap > PIECE ? total / s.cap : PIECE;
		end = clock_monotonic_ns() + (uint64_t)(max_s * 0.25e9);
	}
	b.path = real;
	b.device_bytes_per_s = s.best_bytes_per_s ? s.best_bytes_per_s
			       : s.read_ns ? s.bytes * 1000000000u / s.read_ns : U64_NONE;
	r = bench(&b, max_s * 0.5, e);
	return r;
}
