# tier: plain
# timeout: 400
# gates: none
# What is shipped: the Debian package, the archives, the SBOM, completions, the manual's first page.
# The build itself is not repeated here (build.bats does): the recipes are run on what it gave.
load helpers

TOP=$BATS_TEST_DIRNAME/../..

setup_file() {
	export TREE=$BATS_FILE_TMPDIR/tree SOURCE_DATE_EPOCH=1700000000 VERSION=1.2.3
	: "${STORBOX:=$(cd "$TOP" && pwd)/build/storbox}"
	export STORBOX
	# `make install` for /usr, without a build of its own.
	mkdir -p "$TREE/usr/bin" "$TREE/usr/lib/systemd/system" "$TREE/usr/share/man/man8" \
		"$TREE/usr/share/man/man1" "$TREE/usr/share/bash-completion/completions"
	cp "$STORBOX" "$TREE/usr/bin/storbox"
	"$STORBOX" --list | cut -f 1 | while read -r name; do
		ln -s storbox "$TREE/usr/bin/$name"
		"$STORBOX" --man "$name" >"$TREE/usr/share/man/man8/$name.8"
	done
	cp "$TOP/docs/man/storbox.1" "$TREE/usr/share/man/man1/"
	"$STORBOX" --completion bash >"$TREE/usr/share/bash-completion/completions/storbox"
	cp "$TOP"/contrib/systemd/mos-sysvol.service "$TREE/usr/lib/systemd/system/"
}

# Here and not in setup_file, where bats 1.8 takes a skip for a failure.
setup() {
	! ldd "$STORBOX" >/dev/null 2>&1 || skip "the packages are of the static binary"
	need_program jq
}

# From a folder elsewhere, at another time, under another umask.
recipe() { # NAME OUT
	(umask 077 && cd "$TOP" && "contrib/package/$1" "$2" "${3:-$TREE}")
}

@test "make deb: installs, and lintian finds no error" {
	need_program dpkg-deb lintian
	local out=$BATS_TEST_TMPDIR/out
	recipe deb "$out"
	deb=$(echo "$out"/*.deb)
	run lintian --allow-root --fail-on error "$deb"
	echo "$output" | sed 's/^/# /' >&3
	[ "$status" -eq 0 ]
	[ "$(dpkg-deb -f "$deb" Version)" = 1.2.3 ]
	[[ $(dpkg-deb -f "$deb" Built-Using) == *"util-linux (= "* ]]
	dpkg-deb -x "$deb" "$BATS_TEST_TMPDIR/root"
	root=$BATS_TEST_TMPDIR/root
	for name in $("$STORBOX" --list | cut -f 1); do
		run "$root/usr/bin/$name" --version
		[ "$status" -eq 0 ]
		[ -s "$root/usr/share/man/man8/$name.8.gz" ]
	done
	# Nothing happens at boot by the mere installation: no maintainer scripts, the hook is off.
	[ ! -e "$root/etc/systemd" ]
	dpkg-deb -e "$deb" "$BATS_TEST_TMPDIR/control"
	[ ! -e "$BATS_TEST_TMPDIR/control/postinst" ]
	grep -qx STORBOX=n "$root/etc/initramfs-tools/conf.d/storbox"
	[ -x "$root/usr/share/initramfs-tools/hooks/storbox" ]
	[ -x "$root/usr/lib/dracut/modules.d/90storbox/module-setup.sh" ]
	grep -q 'ExecStart=' "$root/lib/systemd/system/mos-sysvol.service"
	# Belongs to root, whoever built it.
	run bash -c "dpkg-deb -c '$deb' | awk '\$2 != \"root/root\"'"
	[ -z "$output" ]
}

@test "make deb, make tarball: the same input gives the same bytes, from another folder and another time" {
	need_program dpkg-deb
	recipe deb "$BATS_TEST_TMPDIR/a"
	recipe tarball "$BATS_TEST_TMPDIR/a"
	cp -r "$TREE" "$BATS_TEST_TMPDIR/tree"
	find "$BATS_TEST_TMPDIR/tree" -exec touch -h -d 2001-01-01 {} +
	recipe deb "$BATS_TEST_TMPDIR/b" "$BATS_TEST_TMPDIR/tree"
	recipe tarball "$BATS_TEST_TMPDIR/b" "$BATS_TEST_TMPDIR/tree"
	[ "$(ls "$BATS_TEST_TMPDIR/a" | wc -l)" -eq 4 ]
	for file in "$BATS_TEST_TMPDIR"/a/*; do
		cmp "$file" "$BATS_TEST_TMPDIR/b/${file##*/}"
	done
}

@test "make tarball: checksums hold, the source knows its version, no path of this machine" {
	local out=$BATS_TEST_TMPDIR/out
	recipe tarball "$out"
	(cd "$out" && sha256sum --quiet -c SHA256SUMS)
	tar -C "$BATS_TEST_TMPDIR" -xf "$out/storbox-1.2.3.tar.xz"
	[ "$(cat "$BATS_TEST_TMPDIR/storbox-1.2.3/VERSION")" = 1.2.3 ]
	[ -x "$BATS_TEST_TMPDIR/storbox-1.2.3/tests/run.sh" ]
	[ ! -e "$BATS_TEST_TMPDIR/storbox-1.2.3/build" ]
	tar -C "$BATS_TEST_TMPDIR" -xf "$out"/storbox-1.2.3-linux-*.tar.xz
	run "$BATS_TEST_TMPDIR"/storbox-1.2.3-linux-*/usr/bin/topo --version
	[ "$status" -eq 0 ]
	run grep -rlF "$BATS_FILE_TMPDIR" "$BATS_TEST_TMPDIR"/storbox-1.2.3-linux-*
	[ "$status" -eq 1 ]
}

@test "make sbom: SPDX 2.3 with every library of the manifest, its version, licence and purl" {
	cd "$TOP"
	contrib/package/sbom >"$BATS_TEST_TMPDIR/sbom"
	run jq -r '.spdxVersion' "$BATS_TEST_TMPDIR/sbom"
	[ "$output" = SPDX-2.3 ]
	diff <(tail -n +2 "$(deps/build.sh --prefix)/manifest.tsv" | cut -f 1,3,4) \
		<(jq -r '.packages[1:][] | [.name, .versionInfo, .licenseDeclared] | @tsv' "$BATS_TEST_TMPDIR/sbom")
	# Every relationship is to something that is there.
	run jq -r '([.packages[].SPDXID] + [.SPDXID]) as $ids | .relationships[]
		| select([.spdxElementId, .relatedSpdxElement] - $ids != [])' "$BATS_TEST_TMPDIR/sbom"
	[ -z "$output" ]
	[ "$(jq -r '.packages[0].checksums[0].checksumValue' "$BATS_TEST_TMPDIR/sbom")" = "$(sha256sum <"$STORBOX" | cut -d ' ' -f 1)" ]
	[ "$(jq -r '.packages[] | select(.name == "zlib").externalRefs[0].referenceLocator' "$BATS_TEST_TMPDIR/sbom" | grep -c '^pkg:deb/debian/zlib@')" -eq 1 ]
}

@test "completion in bash: options, subcommands, values" {
	"$STORBOX" --completion bash >"$BATS_TEST_TMPDIR/completion"
	complete_in_bash() { # WORD...
		bash -c '. "$1"; shift
			COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
			"_storbox_${1//-/_}" && printf "%s\n" "${COMPREPLY[@]}"' - "$BATS_TEST_TMPDIR/completion" "$@"
	}
	for name in $("$STORBOX" --list | cut -f 1); do
		run complete_in_bash "$name" --sysr
		[ "$output" = --sysroot ]
		# Every option of --help is offered.
		complete_in_bash "$name" -- >"$BATS_TEST_TMPDIR/offered"
		"$STORBOX" "$name" --help | sed '/^Columns\|^Examples/q' |
			grep -oE '^ +(-[a-zA-Z], |  +)--[a-z][a-z0-9-]*' | grep -oE -- '--[a-z0-9-]+' | sort -u >"$BATS_TEST_TMPDIR/options"
		[ -s "$BATS_TEST_TMPDIR/options" ]
		run comm -23 "$BATS_TEST_TMPDIR/options" <(sort -u "$BATS_TEST_TMPDIR/offered")
		[ -z "$output" ]
	done
	run complete_in_bash subvol set-q
	[ "$output" = set-quota ]
	run complete_in_bash mkvolfs --fstype btr
	[ "$output" = btrfs ]
}

@test "completion in zsh and fish: the shells themselves read it" {
	need_program zsh fish
	"$STORBOX" --completion zsh >"$BATS_TEST_TMPDIR/_storbox"
	zsh -n "$BATS_TEST_TMPDIR/_storbox"
	"$STORBOX" --completion fish >"$BATS_TEST_TMPDIR/storbox.fish"
	fish -n "$BATS_TEST_TMPDIR/storbox.fish"
	HOME=$BATS_TEST_TMPDIR run fish -c "source '$BATS_TEST_TMPDIR/storbox.fish'; complete -C 'topo --sysr'"
	[[ $output == --sysroot* ]]
}

@test "storbox(1): mandoc finds nothing, and every command is in it, and in README" {
	need_program mandoc
	run mandoc -T lint -W warning "$TOP/docs/man/storbox.1"
	[ -z "$output" ]
	for name in $("$STORBOX" --list | cut -f 1); do
		grep -qx "\.It Xr $name 8" "$TOP/docs/man/storbox.1"
		grep -q "\`$name\`" "$TOP/README.md"
	done
	for option in $("$STORBOX" --help | grep -oE -- '--[a-z]+' | sort -u); do
		grep -q "Fl Fl .*${option#--}" "$TOP/docs/man/storbox.1"
	done
}
