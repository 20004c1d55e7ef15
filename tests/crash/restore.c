/* Makes a disk hold what an image holds, as after a fresh boot: no cache, its table read again. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static void copy_data(int from, int to, const char *image, const char *disk)
{
	static char buf[1 << 20];
	off_t at = 0, end;

	while ((at = lseek(from, at, SEEK_DATA)) >= 0) {
		end = lseek(from, at, SEEK_HOLE);
		while (at < end) {
			size_t want = end - at < (off_t)sizeof buf ? (size_t)(end - at) : sizeof buf;
			ssize_t n = pread(from, buf, want, at);

			if (n <= 0)
				err(1, "%s", image);
			if (pwrite(to, buf, (size_t)n, at) != n)
				err(1, "%s", disk);
			at += n;
		}
	}
	if (errno != ENXIO)
		err(1, "%s: look for data", image);
}

int main(int argc, char **argv)
{
	int from, to, tries;
	uint64_t bytes;

	if (argc != 3)
		errx(2, "usage: restore IMAGE DISK");
	from = open(argv[1], O_RDONLY);
	to = open(argv[2], O_RDWR | O_EXCL);
	if (from < 0 || to < 0)
		err(1, "%s", from < 0 ? argv[1] : argv[2]);
	if (ioctl(to, BLKGETSIZE64, &bytes))
		err(1, "%s", argv[2]);
	if (lseek(from, 0, SEEK_END) != (off_t)bytes)
		errx(1, "%s and %s are not of one size", argv[1], argv[2]);
	/* BLKZEROOUT would have the machine's host allocate all of it. */
	if (fallocate(to, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)bytes))
		err(1, "%s: zero", argv[2]);
	copy_data(from, to, argv[1], argv[2]);
	if (fsync(to) || ioctl(to, BLKFLSBUF))
		err(1, "%s: write out", argv[2]);
	/* Refused while a partition is open, and udevd or md may let go of one late. */
	for (tries = 0; ioctl(to, BLKRRPART); tries++) {
		if (errno != EBUSY || tries == 100)
			err(1, "%s: read its table again", argv[2]);
		nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
	}
	return 0;
}
