/* What systemd 252 expects of glibc's headers and musl's do not give. Forced into every file. */
#ifndef STORBOX_COMPAT_UDEV_H
#define STORBOX_COMPAT_UDEV_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <stdlib.h>
#include <netinet/if_ether.h>
#include <net/if_arp.h>

typedef int (*comparison_fn_t)(const void *, const void *);
#ifndef GLOB_BRACE
#define GLOB_BRACE 0
#endif
#ifndef NI_IDN
#define NI_IDN 0
#endif
#endif
