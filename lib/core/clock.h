/* Clocks: monotonic time for intervals, boot time across suspend, wall time for people. */
#ifndef CORE_CLOCK_H
#define CORE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_read_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
/* Never steps; stands still while the machine is suspended. */
static inline uint64_t clock_monotonic_ns(void)
{
	return clock_read_ns(CLOCK_MONOTONIC);
}
/* As monotonic, and goes on during suspend. */
static inline uint64_t clock_boot_ns(void)
{
	return clock_read_ns(CLOCK_BOOTTIME);
}
/* Seconds since the epoch; may step. */
static inline double clock_wall_s(void)
{
	return (double)clock_read_ns(CLOCK_REALTIME) / 1e9;
}

#endif
