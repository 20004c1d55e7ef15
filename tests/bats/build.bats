# timeout: 900
# gates: none
# The Makefile itself, on a copy of the tree that may be built and spoilt.
load helpers

setup_file() {
	# The copy is built as its own Makefile says, whatever this run was built with.
	unset LINK CC SAN COV MAKEFLAGS MAKELEVEL
	export COPY=$BATS_FILE_TMPDIR/first
	copy_tree "$COPY"
	make -s -C "$COPY"
}

copy_tree() { # DIR
	mkdir -p "$1"
	tar -C "$BATS_TEST_DIRNAME/../.." --exclude=./build --exclude=./.git -cf - . | tar -C "$1" -xf -
	echo 1.2.3 >"$1/VERSION"
}

build() {
	run make -C "$COPY" "$@"
	echo "$output"
}

@test "nothing to do the second time" {
	build
	[ "$status" -eq 0 ]
	[[ $output != *"CC  "* ]]
	[[ $output != *LINK* ]]
}

@test "the version comes from VERSION where there is no git" {
	run "$COPY/build/storbox" --version
	[ "$output" = "storbox 1.2.3" ]
}

@test "static, stripped, and not for one machine: two folders give the same bytes" {
	run file "$COPY/build/storbox"
	[[ $output == *"statically linked"*stripped* ]]
	[[ $output != *"not stripped"* ]]
	other="$BATS_TEST_TMPDIR/a folder elsewhere"
	other=${other// /-}
	copy_tree "$other"
	make -s -C "$other"
	cmp "$COPY/build/storbox" "$other/build/storbox"
	# And so are what is made of them, from the first source to the archive.
	for tree in "$COPY" "$other"; do
		make -s -C "$tree" deb tarball
	done
	(cd "$COPY/build/dist" && sha256sum *) >"$BATS_TEST_TMPDIR/sums"
	cat "$BATS_TEST_TMPDIR/sums"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/sums")" -eq 4 ]
	(cd "$other/build/dist" && sha256sum -c "$BATS_TEST_TMPDIR/sums")
	run grep -aF "$BATS_FILE_TMPDIR" "$COPY/build/storbox"
	[ "$status" -eq 1 ]
}

@test "changed flags compile again, the same flags do not" {
	build CPPFLAGS=-DNOTHING=1
	[[ $output == *"CC   main.c"* ]]
	build CPPFLAGS=-DNOTHING=1
	[[ $output != *"CC  "* ]]
	build
	[[ $output == *"CC   main.c"* ]]
}

@test "a changed header compiles again what includes it, and no more" {
	touch "$COPY/lib/core/size.h"
	build
	[[ $output == *"CC   lib/core/size.c"* ]]
	[[ $output != *"CC   lib/core/utf8.c"* ]]
}

@test "APPLETS chooses; the binary has no more, and the list comes back" {
	build APPLETS=topo
	[ "$status" -eq 0 ]
	run "$COPY/build/storbox" --list
	[ "${#lines[@]}" -eq 1 ]
	[[ ${lines[0]} == topo$'\t'* ]]
	build
	run "$COPY/build/storbox" --list
	[ "${#lines[@]}" -eq "$("$STORBOX" --list | wc -l)" ]
}

@test "RELINK puts another build of a library in the place of ours" {
	local ours other=$BATS_TEST_TMPDIR/libbtrfsutil.a map=$BATS_TEST_TMPDIR/map
	ours=$("$COPY/deps/build.sh" --prefix)/lib/libbtrfsutil.a
	cp "$ours" "$other"
	build APPLETS=subvol RELINK="$other" LDFLAGS="-Wl,-Map=$map"
	[ "$status" -eq 0 ]
	grep -qF "$other(" "$map"
	run grep -F "$ours" "$map"
	[ "$status" -eq 1 ]
	run "$COPY/build/storbox" subvol --version
	[ "$output" = "subvol (storbox) 1.2.3" ]
}

@test "APPLETS refuses a name that does not exist" {
	build APPLETS="topo nonesuch"
	[ "$status" -eq 2 ]
	[[ $output == *"no such applet: nonesuch"* ]]
}

@test "a library that no applet uses is not linked" {
	build APPLETS=topo
	size=$(stat -c %s "$COPY/build/storbox")
	cat >"$COPY/applets/zz.c" <<-'END'
	/* zz: does nothing. */
	#include "lib/core/applet.h"
	static int run(struct world *w, const void *p, struct sink *out, struct err *e)
	{
		(void)w, (void)p, (void)out, (void)e;
		return 0;
	}
	static const struct field params[] = { FIELD_END };
	static const struct operation op = { "zz", "nothing", params, 0, NULL, 0, run };
	const struct applet zz_applet = { .name = "zz", .summary = "nothing", .modes = MODES({ "", &op }) };
	END
	build APPLETS=zz
	[ "$status" -eq 0 ]
	zz=$(stat -c %s "$COPY/build/storbox")
	rm "$COPY/applets/zz.c"
	echo "topo $size bytes, zz $zz bytes"
	[ "$zz" -lt "$size" ]
	run grep -aE 'btrfs|libbpf|gpt' "$COPY/build/storbox"
	[ "$status" -eq 1 ]
}

@test "install below DESTDIR and PREFIX: links, pages, completions; uninstall leaves nothing" {
	dest=$BATS_TEST_TMPDIR/dest
	build install DESTDIR="$dest" PREFIX=/opt/x
	[ "$status" -eq 0 ]
	for applet in $("$STORBOX" --list | cut -f1); do
		[ "$(readlink "$dest/opt/x/bin/$applet")" = storbox ]
		"$dest/opt/x/bin/$applet" --help >/dev/null
		ls "$dest/opt/x/share/man/"man?/"$applet".?
	done
	[ -s "$dest/opt/x/share/bash-completion/completions/storbox" ]
	[ -s "$dest/opt/x/share/zsh/site-functions/_storbox" ]
	[ -s "$dest/opt/x/share/fish/vendor_completions.d/storbox.fish" ]
	run find "$dest" -path "$dest/opt" -prune -o -type f -print
	[ -z "$output" ]
	build uninstall DESTDIR="$dest" PREFIX=/opt/x
	run find "$dest" -not -type d
	[ -z "$output" ]
}

@test "no warning with clang, and none with the shared libraries by either compiler" {
	for mode in "CC=clang" "LINK=shared" "LINK=shared CC=clang"; do
		# shellcheck disable=SC2086 # two words
		build $mode
		[ "$status" -eq 0 ]
		[[ $output != *warning* ]]
		"$COPY/build/storbox" --version
	done
}

@test "make deps runs no apt when nothing is missing" {
	need_root
	mkdir "$BATS_TEST_TMPDIR/bin"
	printf '#!/bin/sh\necho "apt-get ran: $*"\nexit 9\n' >"$BATS_TEST_TMPDIR/bin/apt-get"
	chmod +x "$BATS_TEST_TMPDIR/bin/apt-get"
	PATH=$BATS_TEST_TMPDIR/bin:$PATH build deps
	[ "$status" -eq 0 ]
	[[ $output != *"apt-get ran"* ]]
	# It would have: the list names a package that is not there.
	echo no-such-package >>"$COPY/deps/packages.txt"
	PATH=$BATS_TEST_TMPDIR/bin:$PATH build deps
	[ "$status" -ne 0 ]
	[[ $output == *"apt-get ran"* ]]
}
