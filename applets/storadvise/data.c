/* The applet's data files, in the binary: the part of nixpkgs' lib as it is, and the rules packed. */
#include "applets/storadvise/storadvise.h"

#include "lib/os/unpack.h"

#include <endian.h>

/* Built from the top of the tree; the Makefile rebuilds this when a .nix file changes. */
#define EMBED(symbol, path)                                    \
	__asm__(".pushsection .rodata\n"                       \
		".globl " symbol ", " symbol "_size\n"         \
		symbol ":\n.incbin \"" path "\"\n1:\n.byte 0\n" \
		".balign 4\n"                                  \
		symbol "_size:\n.long 1b - " symbol "\n"      \
		".popsection\n")

EMBED("nix_lib_text", "applets/storadvise/lib.nix");
EMBED("rules_packed", BUILD "/applets/storadvise/rules.nix.gz");

extern const unsigned char rules_packed[];
extern const uint32_t rules_packed_size;

char *rules_text(size_t *ret_n)
{
	uint32_t n;

	/* gzip's last four bytes are the size that it unpacks to, little-endian (RFC 1952, 2.3.1). */
	memcpy(&n, rules_packed + rules_packed_size - sizeof n, sizeof n);
	*ret_n = le32toh(n);
	return unpack(rules_packed, rules_packed_size, *ret_n);
}
