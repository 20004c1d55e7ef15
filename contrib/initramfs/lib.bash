# How to put programs with their libraries, and kernel modules with those they need, into a tree that
# becomes an initramfs. For bash scripts that define die, $kernel (the folder that holds lib/modules)
# and $version (the kernel's).
# shellcheck shell=bash disable=SC2154

# Where a path lives on a system whose /bin, /sbin and /lib are links into /usr, as ours is.
merged() {
	case $1 in
	/bin/* | /sbin/* | /lib/* | /lib64/*) echo "/usr$1" ;;
	*) echo "$1" ;;
	esac
}

# add_file TREE SRC DST: with the folders it needs, in one spelling.
add_file() {
	local dst
	dst=$1$(merged "$3")
	[ -e "$2" ] || die "$2 does not exist"
	mkdir -p "${dst%/*}"
	if [ -d "$2" ]; then
		mkdir -p "$dst"
		cp -a "$2/." "$dst/"
	else
		cp -fL --preserve=mode,timestamps "$2" "$dst"
	fi
}

# add_program TREE PATH: and the libraries and the loader that ldd names.
add_program() {
	local path library
	path=$(type -P "$2") || die "no program $2 (is its package installed?)"
	[[ $path == /* ]] || path=$PWD/$path
	add_file "$1" "$path" "${3:-$path}"
	[ ! -L "$path" ] || add_file "$1" "$path" "$(readlink -f "$path")"
	ldd "$path" 2>/dev/null | grep -o '/[^ ]*' | while read -r library; do
		[ -e "$1$(merged "$library")" ] || add_file "$1" "$library" "$library"
	done || true # a static or an interpreted program has none
}

# The files of a module and of those it needs, in load order. A built-in one has none.
module_files() {
	local lines
	if ! lines=$(modprobe -C /dev/null -d "$kernel" -S "$version" --show-depends "${1%\?}" 2>&1); then
		[[ $1 == *\? ]] && return
		die "Linux $version has no module ${1%\?}: $lines"
	fi
	sed -n 's/^insmod \([^ ]*\).*/\1/p' <<<"$lines"
}

# add_module TREE FILE: prints the path that it has there. The kernel wants it uncompressed.
add_module() {
	local path=/usr/lib/modules/$version/${2#"$kernel/lib/modules/$version/"}
	mkdir -p "$1${path%/*}"
	case $path in
	*.xz) path=${path%.xz}; [ -e "$1$path" ] || xz -dc "$2" >"$1$path" ;;
	*.zst) path=${path%.zst}; [ -e "$1$path" ] || zstd -qdc "$2" >"$1$path" ;;
	*) cp -f "$2" "$1$path" ;;
	esac
	echo "$path"
}

# pack TREE ARCHIVE
pack() {
	(cd "$1" && find . -mindepth 1 | LC_ALL=C sort | cpio --quiet --reproducible -o -H newc -R 0:0 >"$2")
}
