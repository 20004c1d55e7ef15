/* lib/os/gpt as a program, for gpt.bats: what is left of a table when power fails at any sector. */
#include "lib/core/size.h"
#include "lib/os/blkid.h"
#include "lib/os/gpt.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { SAMPLES = 400 };

static uint64_t sector_bytes = 512;

static void die(const char *what, const struct err *e)
{
	fprintf(stderr, "%s: %s %s\n", what, e ? e->object : "", e ? e->found : strerror(errno));
	exit(1);
}

static struct gpt read_table(int fd, struct arena *a)
{
	struct stat st;
	struct err e;
	struct gpt g;

	if (fstat(fd, &st) || gpt_read(fd, "disk", (uint64_t)st.st_size, sector_bytes, a, &g, &e))
		die("read", &e);
	return g;
}

static const char *dump(const struct gpt *g, struct arena *a)
{
	char *s = arena_str(a, g->state == GPT_NONE ? "no table" : g->uuid ? g->uuid : "broken");

	for (size_t i = 0; i < g->n; i++)
		s = arena_printf(a, "%s\n%" PRIu64 " %" PRIu64 " %" PRIu64 " %s %s %s", s,
				 g->partitions[i].number, g->partitions[i].start_bytes,
				 g->partitions[i].size_bytes, g->partitions[i].part_type,
				 g->partitions[i].uuid, g->partitions[i].name);
	return s;
}

/* libblkid has a reader of its own: what the rest of the system will see. */
static const char *dump_blkid(int fd, struct arena *a)
{
	struct probe p;
	struct err e;
	char *s;

	if (blkid_probe_image(fd, 0, 0, sector_bytes, a, &p, &e))
		die("probe", &e);
	s = arena_printf(a, "%s", streq(p.table, "gpt") && !p.damaged ? "gpt" : "none");
	for (size_t i = 0; i < p.n_partitions && !p.damaged; i++)
		s = arena_printf(a, "%s\n%u %" PRIu64 " %" PRIu64 " %s", s, p.partitions[i].number,
				 p.partitions[i].start_bytes, p.partitions[i].size_bytes,
				 p.partitions[i].name ? p.partitions[i].name : "");
	return s;
}

static int change(struct gpt *g, char **words, struct arena *a, struct err *e)
{
	const struct gpt_extent *gap = gpt_largest_free(g);

	if (streq(words[0], "create")) { /* create [NAME]...: with partitions of 1 MiB */
		int r = gpt_create(g, e);

		for (uint64_t i = 1; !r && words[i]; i++)
			r = gpt_add(g, i, i * MiB, MiB, words[i], "linux", e);
		return r;
	}
	if (streq(words[0], "repair"))
		return gpt_repair(g, e);
	if (streq(words[0], "add")) {
		uint64_t size, number = 1;

		if (!gap || size_parse(words[2], &size))
			die("add: no room", NULL);
		while (gpt_number(g, number))
			number++;
		return gpt_add(g, number, gap->start_bytes, size, words[1], "linux", e);
	}
	if (streq(words[0], "delete"))
		return gpt_delete(g, gpt_find(g, words[1]) ? gpt_find(g, words[1])->number : 0, e);
	if (streq(words[0], "rename")) {
		struct gpt_rename names[16];
		size_t n = 0;

		for (char **w = words + 1; *w && n < COUNT(names); w++, n++) {
			char *eq = strchr(*w, '=');

			names[n].from = arena_strn(a, *w, (size_t)(eq - *w));
			names[n].to = eq + 1;
		}
		return gpt_rename(g, names, n, e);
	}
	die("which change?", NULL);
	return -EINVAL;
}

/* One sector of one write. */
struct piece {
	unsigned group;
	uint64_t offset;
	const uint8_t *data;
};

struct crash {
	int disk;	       /* memory file with the state in question */
	const uint8_t *before; /* all of the disk */
	size_t size;
	struct piece *pieces;
	size_t n;
	const char *old, *new, *blkid_old, *blkid_new;
	char **words;
	unsigned long states, were_old, were_new, repaired;
};

static void write_at(int fd, const void *data, size_t n, uint64_t offset)
{
	if (pwrite(fd, data, n, (off_t)offset) != (ssize_t)n)
		die("write", NULL);
}

/* The next run: repairs what a cut left, does what is not done, and must end with the new table. */
static void finish(struct crash *c, bool is_old)
{
	struct arena a auto_arena = { 0 };
	struct gpt g = read_table(c->disk, &a);
	bool bad = g.state == GPT_PRIMARY_BAD || g.state == GPT_BACKUP_BAD;
	struct err e;

	if (bad && gpt_repair(&g, &e))
		die("repair after the cut", &e);
	c->repaired += bad;
	if (bad && gpt_commit(&g, c->disk, &a, &e))
		die("repair after the cut", &e);
	if (is_old && !streq(c->words[0], "repair") && change(&g, c->words, &a, &e))
		die("change after the cut", &e);
	if (is_old && gpt_commit(&g, c->disk, &a, &e))
		die("commit after the cut", &e);
	g = read_table(c->disk, &a);
	if (g.state != GPT_GOOD && g.state != GPT_DIFFERENT)
		die("the table is not good after the next run", NULL);
}

static void check_state(struct crash *c, const bool *present)
{
	struct arena a auto_arena = { 0 };
	const char *now, *blkid;
	struct gpt g;
	bool is_old;

	for (size_t i = 0; i < c->n; i++)
		write_at(c->disk, present[i] ? c->pieces[i].data : c->before + c->pieces[i].offset,
			 sector_bytes, c->pieces[i].offset);
	g = read_table(c->disk, &a);
	now = dump(&g, &a);
	blkid = dump_blkid(c->disk, &a);
	c->states++;
	is_old = streq(now, c->old);
	if (is_old)
		c->were_old++;
	else if (streq(now, c->new))
		c->were_new++;
	if ((!is_old && !streq(now, c->new)) || g.state == GPT_BROKEN || g.state == GPT_INVALID ||
	    (!streq(blkid, c->blkid_old) && !streq(blkid, c->blkid_new))) {
		fprintf(stderr, "neither old nor new (state %d: %s):\n%s\nlibblkid: %s\nsectors:", g.state,
			g.found ? g.found : "good", now, blkid);
		for (size_t i = 0; i < c->n; i++)
			fprintf(stderr, " %" PRIu64 "%s", c->pieces[i].offset / sector_bytes,
				present[i] ? "+" : "-");
		fprintf(stderr, "\n");
		exit(1);
	}
	finish(c, is_old);
	/* What the next run wrote must not leak into the next state; tables lie at the ends. */
	write_at(c->disk, c->before, MiB, 0);
	write_at(c->disk, c->before + c->size - MiB, MiB, c->size - MiB);
}

static uint32_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 33);
}

static void check_group(struct crash *c, unsigned group)
{
	bool *present = xcalloc(c->n + 1, sizeof *present);
	size_t from = 0, n = 0;
	uint64_t seed = 42 + group;

	for (size_t i = 0; i < c->n; i++) {
		present[i] = c->pieces[i].group < group;
		from += present[i];
		n += c->pieces[i].group == group;
	}
	if (n && n <= 8) {
		for (unsigned bits = 0; bits < 1u << n; bits++) {
			for (size_t i = 0; i < n; i++)
				present[from + i] = bits >> i & 1;
			check_state(c, present);
		}
	} else if (n) {
		for (size_t last = 0; last <= n; last++) { /* in order, then all but one, one alone */
			for (int kind = 0; kind < 3; kind++) {
				for (size_t i = 0; i < n; i++)
					present[from + i] = kind == 0 ? i < last : (kind == 1) == (i != last);
				check_state(c, present);
			}
		}
		for (int s = 0; s < SAMPLES; s++) {
			for (size_t i = 0; i < n; i++)
				present[from + i] = next_random(&seed) & 1;
			check_state(c, present);
		}
	}
	free(present);
}

static void split(struct crash *c, const struct gpt_write *writes, size_t n, struct arena *a)
{
	size_t most = 0;

	for (size_t i = 0; i < n; i++)
		most += writes[i].size_bytes / sector_bytes;
	c->pieces = arena_alloc(a, (most + 1) * sizeof *c->pieces);
	for (size_t i = 0; i < n; i++) {
		if (i && writes[i].group < writes[i - 1].group)
			die("groups are out of order", NULL);
		for (uint64_t at = 0; at < writes[i].size_bytes; at += sector_bytes)
			c->pieces[c->n++] = (struct piece){
				writes[i].group, writes[i].offset_bytes + at,
				(const uint8_t *)writes[i].data + at,
			};
	}
}

/* crash IMAGE CHANGE...: the image is left as it was. */
static int crash(const char *path, char **words)
{
	struct arena a auto_arena = { 0 };
	auto_close int image = open(path, O_RDONLY | O_CLOEXEC);
	struct crash c = { .disk = memfd_create("disk", MFD_CLOEXEC), .words = words };
	struct gpt_write *writes;
	struct gpt was, is;
	struct stat st;
	struct err e;
	size_t n;
	int after = memfd_create("after", MFD_CLOEXEC);

	if (image < 0 || fstat(image, &st))
		die(path, NULL);
	c.size = (size_t)st.st_size;
	c.before = mmap(NULL, c.size, PROT_READ, MAP_PRIVATE, image, 0);
	if (c.before == MAP_FAILED)
		die(path, NULL);
	write_at(c.disk, c.before, c.size, 0);
	write_at(after, c.before, c.size, 0);
	was = is = read_table(c.disk, &a);
	if (change(&is, words, &a, &e) || gpt_writes(&is, c.disk, &a, &writes, &n, &e))
		die("change", &e);
	if (gpt_commit(&is, after, &a, &e))
		die("commit", &e);
	is = read_table(after, &a);
	c.old = dump(&was, &a);
	c.new = dump(&is, &a);
	c.blkid_old = dump_blkid(c.disk, &a);
	c.blkid_new = dump_blkid(after, &a);
	split(&c, writes, n, &a);
	for (unsigned group = 1; group <= 3; group++)
		check_group(&c, group);
	printf("states %lu old %lu new %lu repaired %lu sectors %zu\n", c.states, c.were_old, c.were_new,
	       c.repaired, c.n);
	return c.states && (c.were_new || streq(c.old, c.new)) ? 0 : 1;
}

/* apply IMAGE CHANGE...: makes the change in the image. */
static int apply(const char *path, char **words)
{
	struct arena a auto_arena = { 0 };
	auto_close int fd = open(path, O_RDWR | O_CLOEXEC);
	struct gpt g;
	struct err e;

	if (fd < 0)
		die(path, NULL);
	g = read_table(fd, &a);
	if (change(&g, words, &a, &e) || gpt_commit(&g, fd, &a, &e))
		die("apply", &e);
	return 0;
}

static int show(const char *path)
{
	static const char *const states[] = { "none",	"good",	   "primary_bad", "backup_bad",
					      "different", "hybrid", "no_mbr", "invalid", "broken" };
	struct arena a auto_arena = { 0 };
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct gpt g;

	if (fd < 0)
		die(path, NULL);
	g = read_table(fd, &a);
	printf("%s%s\n", states[g.state], g.grown ? " grown" : "");
	for (size_t i = 0; i < g.n; i++)
		printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %s\n", g.partitions[i].number,
		       g.partitions[i].start_bytes, g.partitions[i].size_bytes, g.partitions[i].name);
	for (size_t i = 0; i < g.n_free; i++)
		printf("free %" PRIu64 " %" PRIu64 "\n", g.free[i].start_bytes, g.free[i].size_bytes);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 3 && streq(argv[1], "-s")) {
		sector_bytes = strtoull(argv[2], NULL, 10);
		argv += 2;
		argc -= 2;
	}
	if (argc > 3 && streq(argv[1], "crash"))
		return crash(argv[2], argv + 3);
	if (argc > 3 && streq(argv[1], "apply"))
		return apply(argv[2], argv + 3);
	if (argc == 3 && streq(argv[1], "show"))
		return show(argv[2]);
	fprintf(stderr, "usage: gpt [-s SECTOR] crash|apply IMAGE CHANGE... | show IMAGE\n");
	return 2;
}
