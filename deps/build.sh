#!/bin/bash
# Builds the static libraries of storbox with musl, from Debian 12's source packages, once.
#
#   deps/build.sh --prefix   print the folder they are in, or will be
#   deps/build.sh            build them there, unless they are
#
# The folder is named by the hash of everything in deps/ that decides the outcome and of the
# compiler (link-time optimisation's bytecode is tied to it), so changing a recipe builds anew and
# several checkouts share one build. In it: include/, lib/*.a, kernel/ (the kernel's headers, for
# -idirafter), licenses/, log/, and manifest.tsv (what was built, from which version, its licence).
#
# A recipe, deps/recipes/NAME.sh, is a bash fragment run in the unpacked source: it puts headers
# and archives below $out. Its first lines are the fields of the manifest:
#   # source: Debian source package
#   # license: SPDX expression of the code that we link
#   # archives: what it installs in lib/
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
suites="bookworm bookworm-updates bookworm-security"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/storbox
hash=$(cd "$here" && { cat build.sh recipes/* compat/*; gcc -dumpfullversion -dumpmachine; } |
	sha256sum | cut -c1-16)
prefix=$cache/$hash

# Two lanes for two cores, each in dependency order; more cores help inside a library.
lanes=("zlib elfutils libbpf util-linux btrfs-progs" "systemd json-c libzstd")

if [ "${1-}" = --prefix ]; then
	echo "$prefix"
	exit
fi
[ ! -e "$prefix/manifest.tsv" ] || exit 0

mkdir -p "$cache"
exec 9>"$cache/lock-$hash"
flock -n 9 || { echo "  DEPS another make builds them, waiting"; flock 9; }
[ ! -e "$prefix/manifest.tsv" ] || exit 0

for tool in musl-gcc meson ninja gperf cmake dpkg-source; do
	command -v $tool >/dev/null || { echo "deps: $tool is missing: run 'make deps'" >&2; exit 1; }
done
# An outer make's variables and job server are not for the libraries' own builds.
unset MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL CXX CPPFLAGS LIBS
umask 022
work=$(mktemp -d "$cache/work-XXXXXX")
pids=()
# Whatever ends this, no compiler stays behind: each lane is a process group.
set -m
trap 'for pid in "${pids[@]}"; do kill -- "-$pid" || :; done 2>/dev/null; wait; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP
export LC_ALL=C SOURCE_DATE_EPOCH=0 PATH=/usr/sbin:/usr/bin:/sbin:/bin

out=$work/out
mkdir -p "$out"/{include,lib,kernel,licenses,log} "$work/src"

# Kernel headers that musl lacks. Never /usr/include itself: glibc's would come with them.
for dir in linux asm asm-generic mtd; do
	for include in /usr/include "/usr/include/$(gcc -print-multiarch)"; do
		[ ! -d "$include/$dir" ] || { ln -s "$include/$dir" "$out/kernel/$dir"; break; }
	done
done

field() { # FIELD RECIPE
	sed -n "s/^# $1: //p" "$here/recipes/$2.sh"
}

failed() { # WHAT LOG
	printf 'deps: %s failed; the end of its log (all of it: %s):\n' "$1" "$cache/log/${2##*/}" >&2
	mkdir -p "$cache/log" && cp "$out"/log/* "$cache/log/"
	tail -n 25 "$2" | cut -c1-400 >&2
	exit 1
}

# What the recipes see. Fat objects: gcc links their bytecode, clang and ld -r their machine code.
size="-Os -g0 -ffunction-sections -fdata-sections -fno-pie -fno-asynchronous-unwind-tables"
export size_flags="$size -ffile-prefix-map=$work=. -idirafter $out/kernel"
export lto_flags="-flto=1 -ffat-lto-objects"
export out here
CFLAGS="$size_flags $lto_flags -I$out/include"
export CFLAGS LDFLAGS="-no-pie -L$out/lib" CC=musl-gcc AR=gcc-ar RANLIB=gcc-ranlib NM=gcc-nm
host=$(uname -m)-linux-musl
jobs=$(nproc)
export host jobs

build() { # RECIPE
	local name=$1 log=$out/log/$1.log dsc started=$SECONDS version package
	package=$(field source "$name")
	dsc=$(echo "$work/src/${package}"_*.dsc)
	version=$(sed -n 's/^Version: //p' "$dsc" | head -n 1)
	( # in the background, since "if ! ( ... )" would switch errexit off inside
		set -ex
		dpkg-source --no-copy -x "$dsc" "$work/$name"
		cd "$work/$name"
		cp debian/copyright "$out/licenses/$name"
		# shellcheck disable=SC1090
		. "$here/recipes/$name.sh"
	) >"$log" 2>&1 9>&- </dev/null &
	wait $! || failed "building $name $version" "$log"
	for archive in $(field archives "$name"); do
		[ -s "$out/lib/$archive" ] || failed "building $name: no $archive" "$log"
	done
	printf '%s\t%s\t%s\t%s\t%s\n' "$name" "$package" "$version" "$(field license "$name")" \
		"$(field archives "$name")" >"$work/$name.tsv"
	echo "  DEPS $name $version, $((SECONDS - started)) s"
}

echo "  DEPS building the static libraries into $prefix"
names=()
for lane in "${lanes[@]}"; do for name in $lane; do names+=("$name"); done; done
(
	cd "$work/src"
	# shellcheck disable=SC2046 # the source packages' names, one word each
	"$here/apt.sh" "$work/apt" "deb-src $suites" --download-only source \
		$(for name in "${names[@]}"; do field source "$name"; done)
) >"$out/log/apt.log" 2>&1 9>&- </dev/null || failed "fetching the sources" "$out/log/apt.log"

for lane in "${lanes[@]}"; do
	( set +m; trap - EXIT; for name in $lane; do build "$name"; done ) &
	pids+=($!)
done
for pid in "${pids[@]}"; do
	wait "$pid" || exit 1
done

{
	printf 'name\tpackage\tversion\tlicense\tarchives\n'
	dpkg-query -W -f 'musl\tmusl\t${Version}\tMIT\tlibc.a\n' musl-dev
	for name in "${names[@]}"; do cat "$work/$name.tsv"; done
} >"$out/manifest.tsv"
cp /usr/share/doc/musl-dev/copyright "$out/licenses/musl" 2>/dev/null || true

# All or nothing: the folder gets its name when it is complete.
rm -rf "$prefix"
mv -T "$out" "$prefix"
