#!/usr/bin/env bash
# The main job on disks that are files: run by `make demo`, as root. Shows each command it runs.
set -euo pipefail
cd "$(dirname "$0")/.."
box=${STORBOX:-$PWD/build/storbox}
[ "$(id -u)" = 0 ] || { echo "make demo: needs root, for loop devices and mounts" >&2; exit 4; }

work=$(mktemp -d "${TMPDIR:-/tmp}/demo.XXX")
export PATH=$work/bin:$PATH:/usr/sbin:/sbin
mkdir "$work/bin" "$work/node"
"$box" --install "$work/bin"
loops=()

down() {
	set +e
	local m
	awk -v w="$work/" 'index($5, w) == 1 { print $5 }' /proc/self/mountinfo | tac |
		while read -r m; do umount "$m"; done
	for m in "${loops[@]}"; do
		swapoff "$m"p4 2>/dev/null
		partx -d "$m" 2>/dev/null
		losetup -d "$m"
	done
	rm -rf "$work"
}
trap down EXIT

say() { printf '\n\033[1m# %s\033[0m\n' "$*"; }
show() {
	printf '$ %s\n' "$1"
	eval "$1"
}
new_disk() { # SIZE: a sparse file as a disk
	local n=${#loops[@]}
	truncate -s "$1" "$work/disk$n.img"
	loops+=("$(losetup --find --show "$work/disk$n.img")")
	partx -d "${loops[$n]}" 2>/dev/null || true # the kernel keeps those of a loop's earlier use
}

say "Two empty disks, made of sparse files"
new_disk 12G
new_disk 6G
a=${loops[0]} b=${loops[1]}
show "topo disks --table -o path,type,size_bytes,table,used_by | grep -E 'PATH|$a |$b '"

say "Which layouts do these two allow?"
show "topo disks | awk 'NR == 1 || \$1 == \"$a\" || \$1 == \"$b\"' | topo --disks - --table"

say "What would mos-sysvol do with the first one? A plan, and nothing happens"
show "mos-sysvol --dry-run --disk $a --wait 0 --target $work/node --table"

say "Do it"
show "mos-sysvol --disk $a --wait 0 --target $work/node --table"

say "Run it again: the storage is found, nothing changes"
show "mos-sysvol --disk $a --wait 0 --target $work/node --table"

say "Its subvolumes, a new one with a quota, and a file in it"
show "subvol create --fs $work/node/var/cache/system myapp"
show "subvol set-quota --fs $work/node/var/cache/system myapp 1G"
show "subvol list --fs $work/node/var/cache/system --table -o id,path,uuid"
show "echo 'it works' > $work/node/var/cache/system/hello && cat $work/node/var/cache/system/hello"

say "The same by hand on the second disk, as a pipeline"
show "topo layout BtrfsSingle --disk $b | mkpart - | mkvolfs - | tee $work/made.tsv"
show "mkpart --list $b --table"

say "All of it is taken down again"
