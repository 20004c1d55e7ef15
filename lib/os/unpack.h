/* Data that the build packed with gzip to keep the binary small: BPF objects. By zlib. */
#ifndef OS_UNPACK_H
#define OS_UNPACK_H

#include <stddef.h>

/* The size bytes that packed holds, in memory that the caller frees (or keeps while the process
 * lives). What the build packed unpacks: anything else ends the process. */
void *unpack(const unsigned char *packed, size_t packed_size, size_t size);

#endif
