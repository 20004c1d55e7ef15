# gates: none
# Each rule of tests/lint.sh: a tree that breaks it is refused, with the file and the line.
load helpers

# A small tree that is clean; each test spoils one file of it.
setup() {
	TREE=$BATS_TEST_TMPDIR/tree
	mkdir -p "$TREE"/lib/core "$TREE"/lib/os "$TREE"/lib/storage "$TREE"/applets/big
	write lib/core/a.c '#include "lib/core/a.h"' 'int a(FILE *out) { return fprintf(out, "printf("); }'
	write lib/os/blkid.c '#include <blkid/blkid.h>' '#include "lib/core/a.h"'
	write lib/storage/b.c '#include "lib/os/blkid.h"' '/* exit( and system( in a comment */'
	write applets/topo.c '#include "lib/storage/b.h"' 'int run(void) { return puts("topo"); }'
	write applets/big/big.c '#include "applets/big/part.h"'
	write main.c '#include "lib/core/a.h"' 'int main(void) { exit(0); }'
}

write() { # FILE LINE...
	local file=$1
	shift
	printf '%s\n' "$@" >"$TREE/$file"
}

lint() {
	run "$BATS_TEST_DIRNAME/../lint.sh" "$TREE"
	echo "$output"
}

refused() { # WHAT FILE LINE...
	local what=$1
	shift
	write "$@"
	lint
	[ "$status" -eq 1 ]
	[[ $output == "$1:"*"$what"* ]]
	[ "${#lines[@]}" -eq 1 ]
}

@test "a clean tree passes in silence" {
	lint
	[ "$status" -eq 0 ]
	[ -z "$output" ]
}

@test "this tree passes" {
	run "$BATS_TEST_DIRNAME/../lint.sh"
	echo "$output"
	[ "$status" -eq 0 ]
}

@test "an include against the arrows" {
	refused "against the arrows" lib/core/a.c '#include "lib/os/blkid.h"'
	refused "against the arrows" lib/core/a.c '#  include "lib/storage/b.h"'
	write lib/core/a.c ''
	refused "against the arrows" lib/os/blkid.c '#include "lib/storage/b.h"'
	refused "against the arrows" lib/os/blkid.c '#include "applets/topo.h"' || [ "${#lines[@]}" -eq 2 ]
}

@test "an applet does not include another" {
	refused "another applet" applets/topo.c '#include "applets/big/part.h"'
}

@test "a library's header outside its wrapper" {
	for header in blkid/blkid.h libmount/libmount.h libfdisk/libfdisk.h libudev.h btrfsutil.h \
		linux/btrfs.h linux/btrfs_tree.h bpf/libbpf.h json-c/json.h zstd.h; do
		refused "belongs to lib/os/" lib/storage/b.c "#include <$header>"
	done
	write lib/storage/b.c ''
	refused "belongs to lib/os/mount.c" lib/os/blkid.c '#include <libmount/libmount.h>'
	write lib/os/blkid.c ''
	refused "belongs to lib/os/zstd.c" applets/big/big.c '#include <zstd.h>'
}

@test "a wrapper in parts may include its library" {
	write lib/os/btrfs_quota.c '#include <linux/btrfs.h>'
	lint
	[ "$status" -eq 0 ]
}

@test "banned functions" {
	for call in 'strcpy(a, b)' 'strcat(a, b)' 'sprintf(a, b)' 'vsprintf(a, b, c)' 'strtok(a, b)' \
		'system(a)' 'popen(a, b)' 'gets(a)' 'alloca(3)' 'a = strcpy (a, b)'; do
		refused "banned" applets/topo.c "int x = $call;"
	done
}

@test "names that only end like a banned function pass" {
	write applets/topo.c 'int x = xstrcpy(a) + filesystem(a) + a->system(b) + o.gets(c);'
	lint
	[ "$status" -eq 0 ]
}

@test "lib/ neither prints nor exits" {
	for call in 'printf("x")' 'puts("x")' 'putchar(1)' 'perror("x")' 'exit(1)' '_exit(1)' 'err(1, "x")'; do
		refused "neither prints nor exits" lib/storage/b.c "int x(void) { $call; }"
	done
	refused "only to a FILE" lib/storage/b.c 'int x(void) { fprintf(stderr, "x"); }'
	refused "only to a FILE" lib/storage/b.c 'int x(void) { fputs("x", stdout); }'
}

@test "comments hide nothing that follows them" {
	refused "banned" applets/topo.c '/* a */ int x = system(a); /* b */'
	refused "banned" applets/topo.c '/* over' 'lines */ int x = system(a);'
	refused "banned" applets/topo.c 'char *s = "/*"; int x = system(a);'
}

@test "a path of one machine" {
	refused "one machine" README.md "see /ho""me/somebody/storbox"
	rm "$TREE/README.md"
	refused "one machine" applets/topo.c "char *s = \"/wo""rk/main\";"
}

@test "white space, width, the last newline" {
	refused "trailing whitespace" README.md 'text '
	rm "$TREE/README.md"
	refused "indented by spaces" applets/topo.c '    int x;'
	refused "longer than 100" applets/topo.c "int $(printf 'x%.0s' {1..110});"
	write applets/topo.c ''
	printf 'int x;' >"$TREE/applets/topo.c"
	lint
	[ "$status" -eq 1 ]
	[[ $output == *"no newline at the end"* ]]
}

@test "a script that shellcheck warns about" {
	need_program shellcheck
	refused "warning" tool.sh '#!/bin/sh' 'never_used=1'
}
