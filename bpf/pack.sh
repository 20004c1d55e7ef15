#!/bin/sh
# Puts a BPF object into its skeleton packed: pack.sh SKELETON OBJECT, writes to stdout. What bpftool
# wrote as the body of NAME__elf_bytes() becomes a call of unpack(), at a fifth of the size.
set -eu
skeleton=$1 object=$2
start=$(grep -n '__elf_bytes(size_t \*sz)$' "$skeleton" | cut -d: -f1)
echo '#include "lib/os/unpack.h"'
head -n "$((start - 1))" "$skeleton"
name=$(sed -n "${start}s/.*[ *]\([a-z0-9_]*\)__elf_bytes.*/\1/p" "$skeleton")_packed
echo "static const unsigned char ${name}[] = {"
gzip -9 -n <"$object" | od -An -v -tu1 | sed 's/  *\([0-9][0-9]*\)/\1,/g'
echo '};'
sed -n "${start}p" "$skeleton"
printf '{\n\t*sz = %s;\n\treturn unpack(%s, sizeof %s, *sz);\n}\n' \
	"$(wc -c <"$object")" "$name" "$name"
sed "1,${start}d" "$skeleton" | sed '1,/^}/d'
