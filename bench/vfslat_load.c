/* A load for bench/vfslat.sh: reads in a loop, the quickest batch's nanoseconds an operation. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* FILE SIZE BATCHES BATCH [RATE]: with a rate, so many operations a second instead. */
int main(int argc, char **argv)
{
	static char buf[1 << 20];
	uint64_t best = UINT64_MAX, sum = 0;
	size_t size = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
	int batches = argc > 3 ? atoi(argv[3]) : 20, batch = argc > 4 ? atoi(argv[4]) : 20000;
	int rate = argc > 5 ? atoi(argv[5]) : 0;
	int fd = open(argv[1], O_RDONLY);

	if (argc < 3 || fd < 0 || size > sizeof buf)
		return 2;
	for (int b = 0; b < batches; b++) {
		uint64_t start = now_ns(), took;

		for (int i = 0; i < batch; i++) {
			if (pread(fd, buf, size, 0) != (ssize_t)size)
				return 1;
			if (rate && i % 100 == 99)
				while (now_ns() - start < (uint64_t)(i + 1) * 1000000000u / (unsigned)rate)
					usleep(1000);
		}
		took = now_ns() - start;
		sum += took;
		if (took < best)
			best = took;
	}
	printf("%.1f\t%.1f\n", (double)best / batch, (double)sum / batches / batch);
	return 0;
}
