#!/bin/sh
# record-machine.sh >NAME.machine
# Records what storbox reads of this machine's disks (sysfs, mounts, udev's database; never a disk's
# data) as text, for a bug report or a test. tests/unpack-machine.py unpacks it. Serial numbers
# and labels are in it: look it through before you send it.
#
# A line is PATH, a tab, and one of
#   TEXT        a file with that line; \n \t \\ inside as such
#   %HEX        a file with these bytes
#   -> TARGET   a symbolic link
# A PATH that ends with / is a folder. Lines that begin with # are comments.
set -u
export LC_ALL=C

is_text() { [ -z "$(tr -d '\11\12\40-\176' <"$1" | head -c1 | od -An -tx1)" ]; }

# file PATH: as it is now; nothing when it cannot be read.
file() {
	tmp=$(mktemp) || exit 1
	if cat "$1" >"$tmp" 2>/dev/null; then
		if is_text "$tmp"; then
			printf '%s\t%s\n' "$1" "$(sed -e 's/\\/\\\\/g' -e 's/	/\\t/g' "$tmp" |
				awk 'NR > 1 { printf "\\n" } { printf "%s", $0 }')"
		else
			printf '%s\t%%%s\n' "$1" "$(od -An -v -tx1 "$tmp" | tr -d ' \n')"
		fi
	fi
	rm -f "$tmp"
}

link() { [ -L "$1" ] && printf '%s\t-> %s\n' "$1" "$(readlink "$1")"; }

# selected PATH PATTERN: only the lines of a file that matter, for the lists of modules.
selected() {
	[ -r "$1" ] && grep -E "$2" "$1" | awk -v p="$1" \
		'{ all = all (NR > 1 ? "\\n" : "") $0 } END { if (NR) print p "\t" all }'
}

files() {
	dir=$1
	shift
	for name in "$@"; do
		[ -f "$dir/$name" ] && file "$dir/$name"
	done
}

# links_in DIR: the links there, by name and target.
links_in() {
	[ -d "$1" ] || return 0
	printf '%s/\t\n' "$1"
	for l in "$1"/*; do link "$l"; done
}

device() {
	sys=$(readlink -f "/sys/block/$1") || return 0
	link "/sys/block/$1"
	link "/sys/dev/block/$(cat "$sys/dev")"
	files "$sys" uevent dev size ro removable diskseq hidden serial wwid
	files "$sys/queue" logical_block_size physical_block_size rotational
	files "$sys/loop" backing_file
	files "$sys/dm" name uuid suspended
	files "$sys/md" array_state level raid_disks metadata_version
	links_in "$sys/slaves"
	links_in "$sys/holders"
	if [ -L "$sys/device" ]; then
		link "$sys/device"
		files "$(readlink -f "$sys/device")" vendor model serial wwid state type name \
			vpd_pg80 vpd_pg83 vpd_pg89
	fi
	for part in "$sys/$1"*; do
		[ -f "$part/partition" ] || continue
		link "/sys/dev/block/$(cat "$part/dev")"
		files "$part" uevent dev size start ro partition
		links_in "$part/holders"
	done
}

# What udev knows, or, where it never ran, what its own probing would find.
database() {
	if [ -d /run/udev/data ]; then
		for f in /run/udev/data/b*; do file "$f"; done
		return
	fi
	for l in /sys/dev/block/*; do
		[ "$(cat "$l/size")" = 0 ] && continue
		node=/dev/$(sed -n 's/^DEVNAME=//p' "$l/uevent")
		found=$(blkid -p -o udev "$node" 2>/dev/null)
		case $? in
		0 | 2) ;; # 2: nothing is there
		*) continue ;;
		esac
		printf '/run/udev/data/b%s\tI:0%s\n' "${l##*/}" \
			"$(printf '%s' "$found" | awk '{ printf "\\nE:%s", $0 }')"
	done
}

printf '# %s\n' "$(uname -srm)"
for d in /sys/block/*; do device "${d##*/}"; done
for fs in /sys/fs/btrfs/*-*; do
	[ -d "$fs" ] && links_in "$fs/devices"
done
for dev in /sys/fs/bcachefs/*/dev-*; do
	link "$dev/block"
done
for fs in ext4 xfs f2fs; do
	for d in "/sys/fs/$fs"/*; do
		[ -d "$d" ] && [ -e "/sys/class/block/${d##*/}" ] && printf '%s/\t\n' "$d"
	done
done
database
for f in /proc/self/mountinfo /proc/swaps /proc/filesystems /proc/sys/kernel/osrelease; do
	file "$f"
done
for list in builtin dep; do
	selected "/lib/modules/$(uname -r)/modules.$list" '/(btrfs|bcachefs)\.ko'
done
for p in /usr/sbin/mkfs.btrfs /sbin/mkfs.btrfs /usr/sbin/bcachefs /sbin/bcachefs; do
	[ -x "$p" ] && printf '%s\t(program)\n' "$p"
done
exit 0
