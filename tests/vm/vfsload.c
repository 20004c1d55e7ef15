/* A known load for vfslat's tests in a machine: does so many of each operation, and says how many. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static unsigned reads, writes, fsyncs, readdirs, errors;
static char buf[64 << 20] __attribute__((aligned(4096)));

static void check(long got, long want)
{
	if (got == want)
		return;
	fprintf(stderr, "vfsload: a call gave %ld instead of %ld\n", got, want);
	exit(1);
}

/* Every call that there is for each operation, in DIR. */
static int all_calls(const char *dir)
{
	struct iovec v[2] = { { buf, 500 }, { buf + 500, 500 } };
	int fd, at, sync, i;
	long n;

	check(chdir(dir), 0);
	fd = open("file of load", O_RDWR | O_CREAT | O_TRUNC, 0644);
	sync = open("synced", O_WRONLY | O_CREAT | O_TRUNC | O_SYNC, 0644);
	at = open(".", O_RDONLY | O_DIRECTORY);
	if (fd < 0 || sync < 0 || at < 0)
		return 1;
	for (i = 0; i < 100; i++, writes++)
		check(write(fd, buf, 1000), 1000);
	for (i = 0; i < 50; i++, writes++)
		check(pwrite(fd, buf, 1000, i * 1000), 1000);
	for (i = 0; i < 10; i++, writes += 2) {
		check(writev(fd, v, 2), 1000);
		check(pwritev(fd, v, 2, 3000), 1000);
	}
	for (i = 0; i < 5; i++, writes++)
		check(write(sync, buf, 10), 10);
	for (i = 0; i < 7; i++, fsyncs += 2) {
		check(fsync(fd), 0);
		check(fdatasync(fd), 0);
	}
	check(lseek(fd, 0, SEEK_SET), 0);
	for (i = 0; i < 100; i++, reads++)
		check(read(fd, buf, 1000), 1000);
	for (i = 0; i < 20; i++, reads++)
		check(pread(fd, buf, 4096, 4096), 4096);
	for (i = 0; i < 10; i++, reads += 2) {
		check(readv(fd, v, 2), 1000);
		check(preadv(fd, v, 2, 7000), 1000);
	}
	for (i = 0; i < 6; i++, reads++, errors++)
		check(read(at, buf, 100), -1);
	do {
		n = syscall(SYS_getdents64, at, buf, 4096);
		readdirs++;
	} while (n > 0);
	check(n, 0);
	printf("read %u\nwrite %u\nfsync %u\nreaddir %u\nerrors %u\n", reads, writes, fsyncs, readdirs,
	       errors);
	return 0;
}

static uint64_t read_clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t now_ns(void)
{
	return read_clock_ns(CLOCK_MONOTONIC);
}

/* How long this thread was ready to run and did not: Documentation/scheduler/sched-stats.rst. */
static uint64_t queued_so_far_ns(void)
{
	FILE *f = fopen("/proc/thread-self/schedstat", "r");
	uint64_t queued_ns = 0;

	if (f) {
		check(fscanf(f, "%*u%" SCNu64, &queued_ns), 1);
		fclose(f);
	}
	return queued_ns;
}

static int by_size(const void *x, const void *y)
{
	uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;

	return a < b ? -1 : a > b;
}

/*
 * vfsload DIR: each call that there is.
 * vfsload FILE SIZE COUNT [direct|timed]: reads, of a disk itself or along the file; then what they
 * took as seen from here: the mean, the median, and the share of CPU, waiting to run, and blocked.
 */
int main(int argc, char **argv)
{
	bool direct = argc > 4 && !strcmp(argv[4], "direct"), timed = argc > 4;
	uint64_t *took, sum = 0, cpu, queued, began, whole;
	size_t size;
	int fd, count;

	if (argc < 3)
		return argc < 2 ? 2 : all_calls(argv[1]);
	size = strtoul(argv[2], NULL, 10);
	count = argc > 3 ? atoi(argv[3]) : 1;
	fd = open(argv[1], O_RDONLY | (direct ? O_DIRECT : 0));
	if (fd < 0 || size > sizeof buf || count < 1)
		return 1;
	took = calloc((size_t)count, sizeof *took);
	queued = queued_so_far_ns();
	cpu = read_clock_ns(CLOCK_THREAD_CPUTIME_ID);
	began = now_ns();
	for (int i = 0; i < count; i++) {
		uint64_t start = now_ns();

		check(pread(fd, buf, size, timed ? i * (off_t)size : 0), (long)size);
		took[i] = now_ns() - start;
		sum += took[i];
	}
	whole = now_ns() - began;
	cpu = read_clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
	queued = queued_so_far_ns() - queued;
	/* Some of it may have been while the figure was read. */
	if (queued > whole - cpu)
		queued = whole - cpu;
	if (!timed)
		return 0;
	qsort(took, (size_t)count, sizeof *took, by_size);
	printf("%" PRIu64 "\t%" PRIu64 "\t%.1f\t%.1f\t%.1f\n", sum / (unsigned)count, took[count / 2],
	       100.0 * (double)cpu / (double)whole, 100.0 * (double)queued / (double)whole,
	       100.0 * ((double)whole - (double)cpu - (double)queued) / (double)whole);
	free(took);
	return 0;
}
