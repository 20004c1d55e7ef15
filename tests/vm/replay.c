/* Makes the images that disks would hold had the power failed after the first N of a log's writes. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "writelog.h"

/*
 * Entries are numbered from 0; "at N" is: entries 0..N-1 were done, N was not. Of these a write is
 * durable when a flush of its disk came after it was acknowledged, or by FUA; the others of its
 * disk sit in the disk's cache, and --lose SEED drops some of them. The very last entry was still
 * under way, so that even FUA does not save it then.
 *
 * An image is brought forward, not made anew: IMAGE.replay keeps how far its durable part is, and
 * what the volatile part overwrote, which is undone first. It names the image's time of change: an
 * image that somebody else wrote to is made anew (boot it with `snapshot`).
 */
struct entry {
	struct writelog_entry head;
	uint64_t data_offset;
	int disk;
};

struct log {
	const char *path;
	const unsigned char *bytes;
	size_t size_bytes;
	uint32_t sector_bytes;
	struct entry *entries;
	uint64_t nr_entries;
	int nr_disks;
	bool ours;
	uint64_t disk_size_bytes[WRITELOG_DISKS_MAX];
};

struct options {
	uint64_t at, seed, tear_bytes;
	bool has_at, lose, tear;
	const char *bases[WRITELOG_DISKS_MAX];
	int nr_bases;
};

#define STATE_MAGIC 0x3179616c70657273ULL

struct state {
	uint64_t magic, log_bytes, log_mtime_ns, image_mtime_ns;
	uint64_t durable; /* entries of this disk below it are applied for good */
	uint64_t nr_undos;
};

struct undo {
	uint64_t offset, bytes, is_hole;
};

struct image {
	char *path, *state_path;
	int fd, disk;
	struct state state;
	FILE *undo_log; /* the state being written */
};

/* splitmix64: small, good, and the same on every machine. */
static uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static uint64_t mtime_ns(const struct stat *st)
{
	return st->st_mtim.tv_sec * 1000000000ULL + st->st_mtim.tv_nsec;
}

static bool is_flush(const struct entry *entry)
{
	return entry->head.flags & WRITELOG_FLUSH;
}

/* A flush that came with data covers what was before the data, not the data. */
static uint64_t flushed_below(const struct log *log, uint64_t index)
{
	return log->ours ? log->entries[index].head.sector : index;
}

static bool has_data(const struct entry *entry)
{
	return !(entry->head.flags & (WRITELOG_DISCARD | WRITELOG_ZEROES | WRITELOG_MARK));
}

static void read_log(struct log *log, const char *path)
{
	const struct writelog_ours *ours;
	struct writelog_super super;
	uint64_t offset, room = 0;
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	log->path = path;
	if (fd < 0 || fstat(fd, &st))
		err(1, "%s", path);
	if (st.st_size < 512)
		errx(1, "%s: no log of writes: too short", path);
	log->size_bytes = st.st_size;
	log->bytes = mmap(NULL, log->size_bytes, PROT_READ, MAP_SHARED, fd, 0);
	if (log->bytes == MAP_FAILED)
		err(1, "%s", path);
	close(fd);

	memcpy(&super, log->bytes, sizeof(super));
	if (super.magic != WRITELOG_MAGIC || super.version != 1)
		errx(1, "%s: no log of writes: magic %#" PRIx64 ", version %" PRIu64, path,
		     super.magic, super.version);
	if (super.sector_bytes < 512 || super.sector_bytes > 65536 ||
	    super.sector_bytes & (super.sector_bytes - 1))
		errx(1, "%s: sectors of %u bytes", path, super.sector_bytes);
	log->sector_bytes = super.sector_bytes;

	ours = (const struct writelog_ours *)(log->bytes + WRITELOG_OURS_OFFSET);
	log->ours = ours->magic == WRITELOG_OURS_MAGIC;
	log->nr_disks = log->ours ? (int)ours->nr_disks : 1;
	if (log->nr_disks < 1 || log->nr_disks > WRITELOG_DISKS_MAX)
		errx(1, "%s: %d disks", path, log->nr_disks);
	for (int i = 0; log->ours && i < log->nr_disks; i++)
		log->disk_size_bytes[i] = ours->disk[i].size_bytes;

	offset = log->sector_bytes;
	for (uint64_t i = 0; i < super.nr_entries; i++) {
		struct entry *entry;

		if (i == room) {
			room = room * 2 + 1024;
			log->entries = reallocarray(log->entries, room, sizeof(*log->entries));
			if (!log->entries)
				errx(1, "out of memory");
		}
		entry = &log->entries[i];
		if (offset > log->size_bytes ||
		    log->size_bytes - offset < sizeof(struct writelog_entry))
			errx(1, "%s: ends in entry %" PRIu64 " of %" PRIu64, path, i,
			     super.nr_entries);
		memcpy(&entry->head, log->bytes + offset, sizeof(entry->head));
		entry->disk = log->ours ? (int)(entry->head.flags >> WRITELOG_DISK_SHIFT) : 0;
		entry->head.flags &= (1ULL << WRITELOG_DISK_SHIFT) - 1;
		entry->data_offset = offset + log->sector_bytes;
		if (entry->disk >= log->nr_disks)
			errx(1, "%s: entry %" PRIu64 " is of disk %d", path, i, entry->disk);
		if (log->ours && is_flush(entry) && entry->head.sector > i)
			errx(1, "%s: flush %" PRIu64 " covers what comes later", path, i);
		offset = entry->data_offset;
		if (has_data(entry)) {
			if (offset > log->size_bytes ||
			    entry->head.nr_sectors > (log->size_bytes - offset) / log->sector_bytes)
				errx(1, "%s: ends in entry %" PRIu64 "'s data", path, i);
			offset += entry->head.nr_sectors * log->sector_bytes;
		}
		log->nr_entries = i + 1;
	}
}

static const char *operation_name(const struct entry *entry)
{
	if (entry->head.flags & WRITELOG_MARK)
		return "mark";
	if (entry->head.flags & WRITELOG_DISCARD)
		return "discard";
	if (entry->head.flags & WRITELOG_ZEROES)
		return "zeroes";
	return entry->head.nr_sectors ? "write" : "flush";
}

static void list(const struct log *log)
{
	printf("entry\tdisk\toperation\toffset_bytes\tsize_bytes\tflush\tfua\tdurable_below\n");
	for (uint64_t i = 0; i < log->nr_entries; i++) {
		const struct entry *entry = &log->entries[i];
		bool has_place = entry->head.nr_sectors;

		printf("%" PRIu64 "\t%d\t%s\t%" PRIu64 "\t%" PRIu64 "\t%d\t%d\t", i, entry->disk,
		       operation_name(entry), has_place ? entry->head.sector * log->sector_bytes : 0,
		       entry->head.nr_sectors * log->sector_bytes, is_flush(entry),
		       !!(entry->head.flags & WRITELOG_FUA));
		if (is_flush(entry))
			printf("%" PRIu64 "\n", flushed_below(log, i));
		else
			printf("-\n");
	}
}

/*
 * Points worth a boot: after each flush; before it, with some of what it would have saved lost;
 * and random ones. The columns are the options of the same name.
 */
static void list_points(const struct log *log, uint64_t nr_random, uint64_t seed)
{
	uint64_t random = seed;

	printf("at\tlose\n0\t-\n");
	for (uint64_t i = 0; i < log->nr_entries; i++) {
		if (!is_flush(&log->entries[i]))
			continue;
		printf("%" PRIu64 "\t%" PRIu64 "\n", i, random_next(&random) >> 32);
		printf("%" PRIu64 "\t-\n", i + 1);
	}
	for (uint64_t i = 0; log->nr_entries && i < nr_random; i++) {
		uint64_t at = random_next(&random) % log->nr_entries + 1;

		if (i % 2)
			printf("%" PRIu64 "\t-\n", at);
		else
			printf("%" PRIu64 "\t%" PRIu64 "\n", at, random_next(&random) >> 32);
	}
}

static void write_at(struct image *image, const void *data, uint64_t bytes, uint64_t offset)
{
	const char *p = data;

	while (bytes) {
		ssize_t n = pwrite(image->fd, p, bytes, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			err(1, "%s", image->path);
		p += n;
		offset += n;
		bytes -= n;
	}
}

static void zero_at(struct image *image, uint64_t bytes, uint64_t offset)
{
	if (bytes && fallocate(image->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, bytes))
		err(1, "%s: punch a hole", image->path);
}

static void put_state(struct image *image, const void *data, size_t bytes)
{
	if (fwrite(data, 1, bytes, image->undo_log) != bytes)
		err(1, "%s", image->state_path);
}

/* Keeps what [offset, offset + bytes) holds, a hole as a hole: mkfs discards whole disks. */
static void keep_for_undo(struct image *image, uint64_t offset, uint64_t bytes)
{
	uint64_t end = offset + bytes;
	static char buf[1 << 20];

	while (offset < end) {
		off_t data = lseek(image->fd, offset, SEEK_DATA), hole;
		struct undo undo = { .offset = offset };
		uint64_t stop;

		if (data < 0 && errno != ENXIO)
			err(1, "%s", image->path);
		undo.is_hole = data < 0 || (uint64_t)data > offset;
		if (undo.is_hole) {
			stop = data < 0 || (uint64_t)data > end ? end : (uint64_t)data;
		} else {
			hole = lseek(image->fd, offset, SEEK_HOLE);
			if (hole < 0)
				err(1, "%s", image->path);
			stop = (uint64_t)hole < end ? (uint64_t)hole : end;
			if (stop - offset > sizeof(buf))
				stop = offset + sizeof(buf);
		}
		undo.bytes = stop - offset;
		put_state(image, &undo, sizeof(undo));
		if (!undo.is_hole) {
			if (pread(image->fd, buf, undo.bytes, offset) != (ssize_t)undo.bytes)
				err(1, "%s", image->path);
			put_state(image, buf, undo.bytes);
		}
		image->state.nr_undos++;
		offset = stop;
	}
}

/* One entry, or those of its blocks that `kept` has set (NULL: all of them). */
static void apply(const struct log *log, struct image *image, const struct entry *entry, bool undo,
		  const bool *kept, uint64_t block_bytes)
{
	uint64_t offset = entry->head.sector * log->sector_bytes;
	uint64_t bytes = entry->head.nr_sectors * log->sector_bytes;
	uint64_t step = kept ? block_bytes : bytes;

	if (entry->head.flags & WRITELOG_MARK || !bytes)
		return;
	if (offset > log->disk_size_bytes[image->disk] ||
	    bytes > log->disk_size_bytes[image->disk] - offset)
		errx(1, "%s: the log writes beyond its end, at byte %" PRIu64, image->path, offset);
	if (undo)
		keep_for_undo(image, offset, bytes);
	for (uint64_t done = 0; done < bytes; done += step) {
		uint64_t part = bytes - done < step ? bytes - done : step;

		if (kept && !kept[done / step])
			continue;
		if (has_data(entry))
			write_at(image, log->bytes + entry->data_offset + done, part, offset + done);
		else
			zero_at(image, part, offset + done);
	}
}

/* What a cut does to a write that is not durable: lost, torn, or done. */
static void apply_volatile(const struct log *log, struct image *image, const struct entry *entry,
			   uint64_t *random, unsigned int loss, const struct options *options)
{
	uint64_t bytes = entry->head.nr_sectors * log->sector_bytes;
	uint64_t nr_blocks = (bytes + options->tear_bytes - 1) / options->tear_bytes;
	unsigned int draw = random_next(random) % 256;
	uint64_t seed = random_next(random);
	bool torn = options->tear && nr_blocks > 1 && seed % 4 == 0;
	bool *kept;

	if (!torn) {
		if (draw >= loss)
			apply(log, image, entry, true, NULL, 0);
		return;
	}
	kept = calloc(nr_blocks, sizeof(*kept));
	if (!kept)
		errx(1, "out of memory");
	/* In order up to some block, as most disks do, or any of them. */
	if (seed & 4) {
		for (uint64_t i = 0, n = random_next(&seed) % nr_blocks; i < n; i++)
			kept[i] = true;
	} else {
		for (uint64_t i = 0; i < nr_blocks; i++)
			kept[i] = random_next(&seed) & 1;
	}
	apply(log, image, entry, true, kept, options->tear_bytes);
	free(kept);
}

static void create_image(const struct log *log, struct image *image, const char *base)
{
	uint64_t size_bytes = log->disk_size_bytes[image->disk];
	off_t from = 0, end;
	int fd;

	if (ftruncate(image->fd, 0) || ftruncate(image->fd, size_bytes))
		err(1, "%s", image->path);
	image->state.durable = 0;
	if (!base)
		return;
	fd = open(base, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		err(1, "%s", base);
	if (!ioctl(image->fd, FICLONE, fd)) {
		close(fd);
		return;
	}
	while ((from = lseek(fd, from, SEEK_DATA)) >= 0) {
		off_t to = from;

		end = lseek(fd, from, SEEK_HOLE);
		while (to < end) {
			ssize_t n = copy_file_range(fd, &from, image->fd, &to, end - from, 0);

			if (n <= 0)
				err(1, "copy %s to %s", base, image->path);
		}
	}
	close(fd);
}

/* Undoes the volatile writes of the last time. False when the image is not what we left. */
static bool roll_back(const struct log *log, struct image *image, const struct stat *log_stat)
{
	struct undo undo;
	struct stat st;
	char *bytes, *p;
	char **records;
	bool good = false;
	FILE *f = fopen(image->state_path, "re");

	if (!f)
		return false;
	if (fstat(image->fd, &st) || fread(&image->state, sizeof(image->state), 1, f) != 1 ||
	    image->state.magic != STATE_MAGIC || image->state.image_mtime_ns != mtime_ns(&st) ||
	    image->state.log_bytes != log->size_bytes ||
	    image->state.log_mtime_ns != mtime_ns(log_stat)) {
		fclose(f);
		return false;
	}
	if (fstat(fileno(f), &st))
		err(1, "%s", image->state_path);
	bytes = malloc(st.st_size);
	records = calloc(image->state.nr_undos + 1, sizeof(*records));
	if (!bytes || !records)
		errx(1, "out of memory");
	if (fread(bytes, 1, st.st_size - sizeof(image->state), f) ==
	    st.st_size - sizeof(image->state)) {
		p = bytes;
		for (uint64_t i = 0; i < image->state.nr_undos; i++) {
			records[i] = p;
			memcpy(&undo, p, sizeof(undo));
			p += sizeof(undo) + (undo.is_hole ? 0 : undo.bytes);
		}
		/* Newest first: two writes to one place undo to what was before both. */
		for (uint64_t i = image->state.nr_undos; i-- > 0;) {
			memcpy(&undo, records[i], sizeof(undo));
			if (undo.is_hole)
				zero_at(image, undo.bytes, undo.offset);
			else
				write_at(image, records[i] + sizeof(undo), undo.bytes, undo.offset);
		}
		good = true;
	}
	free(records);
	free(bytes);
	fclose(f);
	return good;
}

static void make_image(struct log *log, char *path, int disk, const struct options *options)
{
	struct image image = { .path = path, .disk = disk };
	const char *base = disk < options->nr_bases ? options->bases[disk] : NULL;
	uint64_t durable = 0, random = options->seed ^ options->at << 32 ^ (uint64_t)disk << 56;
	static const unsigned int losses[] = { 128, 32, 224, 256 };
	unsigned int loss = losses[random_next(&random) % 4];
	struct stat log_stat, st;

	if (asprintf(&image.state_path, "%s.replay", path) < 0)
		errx(1, "out of memory");
	if (stat(log->path, &log_stat))
		err(1, "%s", log->path);
	if (base) {
		if (stat(base, &st))
			err(1, "%s", base);
		if (!log->ours)
			log->disk_size_bytes[disk] = st.st_size;
		if ((uint64_t)st.st_size != log->disk_size_bytes[disk])
			errx(1, "%s: %ju bytes, the log is of a disk of %" PRIu64, base,
			     (uintmax_t)st.st_size, log->disk_size_bytes[disk]);
	} else if (!log->ours) {
		errx(2, "%s does not tell the disk's size: --base is needed", log->path);
	}
	image.fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (image.fd < 0)
		err(1, "%s", path);

	for (uint64_t i = 0; i < options->at; i++)
		if (log->entries[i].disk == disk && is_flush(&log->entries[i]) &&
		    flushed_below(log, i) > durable)
			durable = flushed_below(log, i);
	if (!roll_back(log, &image, &log_stat) || image.state.durable > durable)
		create_image(log, &image, base);
	/* Should we be killed from here on, the image must not be taken for what it was. */
	unlink(image.state_path);

	for (uint64_t i = image.state.durable; i < durable; i++)
		if (log->entries[i].disk == disk)
			apply(log, &image, &log->entries[i], false, NULL, 0);

	image.undo_log = fopen(image.state_path, "wxe");
	if (!image.undo_log)
		err(1, "%s", image.state_path);
	image.state = (struct state){ .durable = durable };
	put_state(&image, &image.state, sizeof(image.state));
	for (uint64_t i = durable; i < options->at; i++) {
		const struct entry *entry = &log->entries[i];
		bool last = i == options->at - 1;

		if (entry->disk != disk)
			continue;
		if (!options->lose || (entry->head.flags & WRITELOG_FUA && !last))
			apply(log, &image, entry, true, NULL, 0);
		else
			apply_volatile(log, &image, entry, &random, loss, options);
	}

	if (fstat(image.fd, &st))
		err(1, "%s", path);
	image.state.magic = STATE_MAGIC;
	image.state.log_bytes = log->size_bytes;
	image.state.log_mtime_ns = mtime_ns(&log_stat);
	image.state.image_mtime_ns = mtime_ns(&st);
	rewind(image.undo_log);
	put_state(&image, &image.state, sizeof(image.state));
	if (fclose(image.undo_log))
		err(1, "%s", image.state_path);
	close(image.fd);
	free(image.state_path);
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t n;

	errno = 0;
	n = strtoull(text, &end, 0);
	if (errno || end == text || *end || *text == '-')
		errx(2, "%s: not a number", text);
	return n;
}

static const char usage[] =
	"usage: replay --list LOG                    entries as TSV\n"
	"       replay --points LOG [--random K] [--lose SEED]\n"
	"                                            points worth a boot as TSV: at, lose\n"
	"       replay LOG --at N [--lose SEED [--tear] [--sector BYTES]] [--base FILE]... IMAGE...\n"
	"                                            the disks as after the first N entries\n"
	"  one IMAGE, and if need be one --base, for each disk of the log, in order. Without --base\n"
	"  a disk was empty. --lose SEED drops a random part of what was not durable yet; --tear\n"
	"  also writes some of it in part, by sectors.\n";

int main(int argc, char **argv)
{
	enum { LIST = 256, POINTS, RANDOM, AT, LOSE, TEAR, SECTOR, BASE };
	static const struct option known[] = {
		{ "list", no_argument, NULL, LIST },
		{ "points", no_argument, NULL, POINTS },
		{ "random", required_argument, NULL, RANDOM },
		{ "at", required_argument, NULL, AT },
		{ "lose", required_argument, NULL, LOSE },
		{ "tear", no_argument, NULL, TEAR },
		{ "sector", required_argument, NULL, SECTOR },
		{ "base", required_argument, NULL, BASE },
		{},
	};
	struct options options = { .tear_bytes = 512 };
	uint64_t nr_random = 0;
	struct log log = {};
	int mode = AT, c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (c) {
		case LIST:
		case POINTS:
			mode = c;
			break;
		case RANDOM:
			nr_random = number(optarg);
			break;
		case AT:
			options.at = number(optarg);
			options.has_at = true;
			break;
		case LOSE:
			options.seed = number(optarg);
			options.lose = true;
			break;
		case TEAR:
			options.tear = true;
			break;
		case SECTOR:
			options.tear_bytes = number(optarg);
			if (options.tear_bytes < 512 || options.tear_bytes % 512)
				errx(2, "--sector %s", optarg);
			break;
		case BASE:
			if (options.nr_bases == WRITELOG_DISKS_MAX)
				errx(2, "too many bases");
			options.bases[options.nr_bases++] = optarg;
			break;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (optind == argc) {
		fputs(usage, stderr);
		return 2;
	}
	read_log(&log, argv[optind++]);
	if (mode == LIST) {
		list(&log);
	} else if (mode == POINTS) {
		list_points(&log, nr_random, options.seed);
	} else {
		if (!options.has_at || options.at > log.nr_entries)
			errx(2, "--at 0..%" PRIu64 " is needed", log.nr_entries);
		if (argc - optind != log.nr_disks)
			errx(2, "%s is of %d disks: as many images are needed", log.path,
			     log.nr_disks);
		for (int i = 0; i < log.nr_disks; i++)
			make_image(&log, argv[optind + i], i, &options);
	}
	return fflush(stdout) || ferror(stdout);
}
