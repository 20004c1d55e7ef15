/* Included before everything where COV=1: a process that leaves by _exit(), as the daemon's workers do, has
 * counted its lines, too. */
#include <unistd.h>

void __gcov_dump(void);
#define _exit(status) (__gcov_dump(), _exit(status))
