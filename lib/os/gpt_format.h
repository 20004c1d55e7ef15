/* The bytes of a GPT: reading and checking both copies, deriving one from the other. For gpt.c. */
#ifndef OS_GPT_FORMAT_H
#define OS_GPT_FORMAT_H

#include "lib/os/gpt.h"

/* One copy: a header and its entries. */
struct gpt_copy {
	bool valid;
	const char *why; /* it is not */
	uint64_t lba, alternate_lba, first_lba, last_lba, entries_lba;
	uint32_t entries, entry_bytes, entries_crc;
	uint8_t header[4096]; /* its sector */
	uint8_t guid[16];
	uint8_t *array; /* whole sectors */
	size_t array_bytes;
};

struct gpt_image {
	struct gpt_copy primary, backup;
	uint8_t mbr[4096];
};

/* Reads LBA 0 and both copies through fd into *ret. */
int gpt_image_read(int fd, const struct gpt *g, struct arena *a, struct gpt_image *ret,
		   struct err *e);
/* Fills the rest of g (state, partitions, free) from its image. */
void gpt_interpret(struct gpt *g);
/* A new memory file of the disk's size that holds the image's sectors and zeros elsewhere: what
 * libfdisk works on. An fd or -errno. */
int gpt_image_store(const struct gpt *g, struct err *e);

/* The other copy, at this place: same content, own addresses and checksum. */
void gpt_copy_derive(const struct gpt_copy *from, uint64_t lba, uint64_t entries_lba,
		     struct arena *a, struct gpt_copy *ret);
void gpt_mbr_make(uint8_t *sector, uint64_t sectors);
/* Whole ranges through an fd: 0 or -errno. */
int gpt_read_at(int fd, uint64_t offset_bytes, void *to, size_t n);
int gpt_write_at(int fd, uint64_t offset_bytes, const void *from, size_t n);
uint64_t gpt_array_sectors(const struct gpt_copy *c, uint64_t sector_bytes);

#endif
