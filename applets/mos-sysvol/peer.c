/*
 * Each half of a mirror says which disk the other half is, so that a boot with one missing can name
 * it; how often they were mirrored anew, and whether it was used alone since, so that a half that
 * comes back is not taken for current. Lines of text in the last 4 KiB of the BIOS boot partition,
 * which GRUB fills from its start. The partition's own UUID tells one that an earlier table left.
 */
#include "mos-sysvol.h"

#include "lib/os/block.h"
#include "lib/os/gpt.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

enum { RECORD_BYTES = 4096 };
static const char magic[] = "storbox mos-sysvol mirror 1\nother half: ";
static const char epoch_line[] = "\nmirrored: ", alone_line[] = "\nused alone\n";
static const char table_line[] = "\npartition: ";

struct record_peer {
	const char *device, *peer;
	uint64_t epoch;
	bool alone;
};

static const struct field record_fields[] = {
	FIELD(struct record_peer, device, REQUIRED, "BIOS boot partition of one half",
	      .complete = "device"),
	FIELD(struct record_peer, peer, 0, "the other half's disk, in words; without it the record is "
					  "erased"),
	FIELD(struct record_peer, epoch, 0, "how often the two were mirrored", .def = "1"),
	FIELD(struct record_peer, alone, 0, "this half is used without the other from now on"),
	FIELD_END,
};

const char *peer_describe(const struct disk *d, struct arena *a)
{
	return arena_printf(a, "%s%s%s", d->serial ? "serial " : "", d->serial ? d->serial : "no serial",
			    d->model ? arena_printf(a, ", %s", d->model) : "");
}

static int read_record(int fd, uint64_t end_bytes, char buf[static RECORD_BYTES + 1])
{
	ssize_t n = pread(fd, buf, RECORD_BYTES, (off_t)(end_bytes - RECORD_BYTES));

	if (n != RECORD_BYTES)
		return n < 0 ? -errno : -EIO;
	buf[RECORD_BYTES] = '\0';
	return 0;
}

bool peer_read_at(struct world *w, const char *device, uint64_t end_bytes, const char *uuid,
		  struct peer_record *ret)
{
	auto_close int fd = root_open(&w->root, device, O_RDONLY | O_NONBLOCK);
	char buf[RECORD_BYTES + 1], *line;

	*ret = (struct peer_record){ 0 };
	if (fd < 0 || end_bytes < RECORD_BYTES || read_record(fd, end_bytes, buf) ||
	    !starts_with(buf, magic))
		return false;
	line = buf + strlen(magic);
	ret->peer = arena_strn(w->mem, line, strcspn(line, "\n"));
	line += strcspn(line, "\n");
	if (starts_with(line, epoch_line)) {
		line += strlen(epoch_line);
		ret->epoch = strtoull(line, NULL, 10);
		line += strcspn(line, "\n");
	}
	ret->alone = starts_with(line, alone_line);
	line = strstr(line, table_line);
	if (line && uuid) {
		line += strlen(table_line);
		ret->is_stale = strcmp(arena_strn(w->mem, line, strcspn(line, "\n")), uuid);
	}
	return true;
}

bool peer_read(struct world *w, const struct partition *bios, struct peer_record *ret)
{
	*ret = (struct peer_record){ 0 };
	return bios && peer_read_at(w, bios->path, bios->size_bytes, bios->part_uuid, ret);
}

const char *peer_epoch(struct arena *a, uint64_t epoch)
{
	return arena_printf(a, "%" PRIu64, epoch);
}

/* Its UUID in the table; *ret is NULL where this is no mosbios partition. */
static int bios_uuid(struct world *w, const struct block *b, const char **ret, struct err *e)
{
	const struct gpt_partition *p;
	auto_close int fd = -1;
	struct block disk;
	struct gpt g;
	int r;

	*ret = NULL;
	if (!b->number)
		return 0;
	r = block_describe(w, b->disk, &disk, e);
	fd = r ? r : block_open(&disk, O_RDONLY, e);
	r = fd < 0 ? fd : gpt_read(fd, disk.path, disk.size_bytes, disk.logical_sector_bytes, w->mem,
				   &g, e);
	p = r ? NULL : gpt_number(&g, b->number);
	if (p && starts_with(p->name, layout[PART_BIOS].name) && b->size_bytes >= 2 * RECORD_BYTES)
		*ret = p->uuid;
	return r;
}

static int record_peer(struct world *w, const void *given, struct sink *out, struct err *e)
{
	const struct record_peer *p = given;
	char *text = arena_alloc(w->mem, RECORD_BYTES);
	auto_close int fd = -1;
	const char *uuid;
	struct block b;
	int r = block_describe(w, p->device, &b, e);

	(void)out;
	if (r)
		return r;
	r = bios_uuid(w, &b, &uuid, e);
	if (r)
		return r;
	/* What an empty disk's sectors hold is nobody's, but only in a partition of ours. */
	if (!uuid)
		return err_refuse(e, p->device, "name a mosbios partition", "is none");
	if (p->peer && strchr(p->peer, '\n'))
		return err_make(e, ERR_INVALID, -EINVAL, "--peer", NULL, "has more than one line");
	/* The alone line ends with the newline that the partition's begins with. */
	if (p->peer &&
	    snprintf(text, RECORD_BYTES, "%s%s%s%" PRIu64 "%s%s%s\n", magic, p->peer, epoch_line,
		     p->epoch, p->alone ? alone_line : "\n", table_line + 1, uuid) >= RECORD_BYTES)
		return err_make(e, ERR_INVALID, -EINVAL, "--peer", NULL, "is too long");
	fd = block_open(&b, O_RDWR, e);
	if (fd < 0)
		return fd;
	if (pwrite(fd, text, RECORD_BYTES, (off_t)(b.size_bytes - RECORD_BYTES)) != RECORD_BYTES ||
	    fsync(fd))
		return err_sys(e, -errno, p->device, "write");
	return 0;
}

const struct operation record_peer_op = {
	.name = "record_peer",
	.summary = "write into one half of a mirror which disk the other half is, or erase that",
	.params = record_fields,
	.params_size = sizeof(struct record_peer),
	.flags = OP_CHANGES | OP_LOCAL,
	.run = record_peer,
};
