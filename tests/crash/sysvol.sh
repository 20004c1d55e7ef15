#!/bin/bash
# Cuts mos-sysvol's power: records every write of a run, then starts it again on what the disks held
# at many points of it, with some of what was not durable lost or torn.
#
#   tests/crash/sysvol.sh [--disks 1|2] [--redo] [--points N] [--random K] [--seed S] [--keep DIR]
#
# --points N    so many points, spread evenly over those at hand; 0: all of them
# --random K    that many besides the ones around each flush (200)
# --redo        the recorded run is one that begins afresh on what an earlier cut left
# stdout: one row for each point, then "# tried ..." with how they ended. Exit status 0 only if each
# came up complete, and a disk with other data beside them is as it was.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
vm=$root/tests/vm
STORBOX=${STORBOX:-$root/build/storbox}
disks=2 points=0 random=200 seed=1 redo='' keep='' batch=250
while [ $# -gt 0 ]; do
	case $1 in
	--redo) redo=1; shift; continue ;;
	--disks) disks=$2 ;;
	--points) points=$2 ;;
	--random) random=$2 ;;
	--seed) seed=$2 ;;
	--keep) keep=$2 ;;
	--batch) batch=$2 ;;
	*) echo "tests/crash/sysvol.sh: unknown option $1" >&2; exit 2 ;;
	esac
	shift 2
done
work=${keep:-$(mktemp -d "${TMPDIR:-/tmp}/storbox-crash.XXXXXX")}
mkdir -p "$work"
[ -n "$keep" ] || trap 'rm -rf "$work"' EXIT

options=(--storbox "$STORBOX" --timeout 1500)
for module in btrfs ext4 vfat nls_cp437 nls_ascii raid1; do
	options+=(--with-module "$module")
done
for program in mkfs.btrfs mkfs.ext4 mkfs.vfat mkswap mdadm btrfs e2fsck; do
	options+=(--program "$program")
done
names=(a b)
names=("${names[@]:0:disks}")
size=3300M

# record LOG [BASE...]: runs mos-sysvol on these disks, or on empty ones.
record() {
	local log=$1 name base args=()
	shift
	for name in "${names[@]}"; do
		base=${1-}
		[ $# -eq 0 ] || shift
		rm -f "$work/$name.img"
		if [ -n "$base" ]; then
			cp --sparse=always "$base" "$work/$name.img"
		else
			truncate -s $size "$work/$name.img"
		fi
		args+=(--disk "$work/$name.img,serial=$name,log=$log")
	done
	rm -f "$work/marks.img"
	truncate -s 1M "$work/marks.img"
	args+=(--disk "$work/marks.img,serial=marks,log=$log" --disk "$work/other.img,serial=other")
	"$vm/run" "${options[@]}" "${args[@]}" - <<-'VM'
		set -e
		modprobe raid1
		echo 1 >/proc/sys/dev/raid/speed_limit_min
		echo 1 >/proc/sys/dev/raid/speed_limit_max
		mark() { dd if=/vm/script of="$(grep -lx marks /sys/block/vd*/serial |
			sed 's,.*/\(vd.\)/.*,/dev/\1,')" bs=4096 count=1 seek=$1 conv=fsync 2>/dev/null; }
		mos-sysvol --wait 0 --size 1 --swap 1
		mark 1
		echo hello >/var/cache/system/marker
		sync
		mark 2
		echo later >/boot/later
		sync
	VM
}

# table_writes LOG: the entries that write to the first or last 34 sectors of a disk, as numbers.
table_writes() {
	"$vm/replay" --list "$1" | awk -F '\t' -v end=$(($(stat -c %s "$work/a.img") - 34 * 512)) \
		-v marks="$disks" '$3 == "write" && $2 != marks && ($4 < 34 * 512 || $4 >= end) { print $1 }'
}

truncate -s $size "$work/other.img"
mkfs.ext4 -q -F -L OTHER "$work/other.img"
cp --sparse=always "$work/other.img" "$work/other.was"
bases=()
record "$work/log" >"$work/recorded" 2>"$work/recorded.err" ||
	{ cat "$work/recorded" "$work/recorded.err" >&2; exit 1; }
if [ -n "$redo" ]; then
	# As much as there can be without a commit: before the writes of tables that come after the
	# longest time without any.
	at=$(table_writes "$work/log" | awk '{ if ($1 - last > most) { most = $1 - last; at = $1 }
		last = $1 } END { print at }')
	for name in "${names[@]}"; do
		bases+=("$work/$name.base")
	done
	"$vm/replay" "$work/log" --at "$at" "${bases[@]}" "$work/marks.base"
	mv "$work/log" "$work/log.first"
	record "$work/log" "${bases[@]}" >"$work/recorded" 2>"$work/recorded.err" ||
		{ cat "$work/recorded" "$work/recorded.err" >&2; exit 1; }
fi
cmp "$work/other.was" "$work/other.img" || { echo "the other disk changed" >&2; exit 1; }

# The first entry by which each mark was written.
mark_at() {
	"$vm/replay" --list "$work/log" |
		awk -F '\t' -v disk="$disks" -v at=$(($1 * 4096)) \
			'$2 == disk && $3 == "write" && $4 <= at && at < $4 + $5 { print $1; exit }'
}
list=''
for name in "${names[@]}"; do
	list="$list /dev/vd$name"
done
{
	echo "DISKS='$list'"
	echo "RETURNED=$(mark_at 1)"
	echo "MARKED=$(mark_at 2)"
	echo "OPTIONS='--size 1 --swap 1'"
	echo "FIRST=${at-}"
} >"$work/setup"
# spread N: so many of the lines, evenly; 0: all.
spread() {
	awk -v want="$1" '{ line[NR] = $0 }
		END { if (!want || want > NR) want = NR
			for (i = 0; i < want; i++) print line[1 + int(i * (NR - 1) / (want > 1 ? want - 1 : 1))] }'
}

# A point is an entry of the log, and what of the writes before it is lost: both count.
by_entry() {
	sort -u -k 1,1n -k 2,2
}

# Half of them around writes of a partition table, with and without loss, where the protocol decides.
table_writes "$work/log" | awk -v seed="$seed" '
	{ for (i = $1; i <= $1 + 2; i++) { print i "\t-"; print i "\t" seed + i } }' |
	by_entry | spread $(((points + 1) / 2)) >"$work/points.table"
left=$((points - $(wc -l <"$work/points.table")))
"$vm/replay" --points "$work/log" --random "$random" --lose "$seed" | tail -n +2 | by_entry |
	grep -v -x -F -f "$work/points.table" >"$work/points.rest"
[ "$points" -eq 0 ] || [ "$left" -gt 0 ] || : >"$work/points.rest"
spread "$((points ? left : 0))" <"$work/points.rest" >"$work/points.other"
by_entry <<<"$(cat "$work"/points.{table,other})" >"$work/points"
rm "$work"/points.*

mkdir -p "$root/build/vm"
for program in "$vm/replay.c" "$here/restore.c"; do
	cc -std=gnu17 -D_GNU_SOURCE -O2 -static -Wall -Wextra -o "$work/$(basename "$program" .c)" "$program"
done
split -l "$batch" -d "$work/points" "$work/points."
status=0
: >"$work/results"
for part in "$work"/points.*; do
	args=()
	for name in "${names[@]}"; do
		rm -f "$work/$name.img"
		truncate -s $size "$work/$name.img"
		args+=(--disk "$work/$name.img,serial=$name")
	done
	[ -z "$redo" ] || args+=(--file "$work/log.first:/crash/log.first")
	"$vm/run" "${options[@]}" --mem 2560 "${args[@]}" --disk "$work/other.img,serial=other" \
		--file "$work/replay:/crash/replay" --file "$work/restore:/crash/restore" \
		--file "$work/log:/crash/log" --file "$work/setup:/crash/setup" \
		--file "$part:/crash/points" "$here/guest.sh" | tee -a "$work/results" || status=1
	cmp "$work/other.was" "$work/other.img" || { echo "the other disk changed" >&2; status=1; }
done
tried=$(wc -l <"$work/results")
[ "$tried" -eq "$(wc -l <"$work/points")" ] || { echo "only $tried points were tried" >&2; status=1; }
awk -F '\t' -v disks="$disks" -v seed="$seed" -v redo="${redo:+, of a run that began afresh}" '
	$4 == 0 { good++ } { n[$3]++ }
	END {
		printf "# seed %s: tried %d points of %d disks%s: %d came up complete (", seed, NR, disks, redo, good
		for (what in n) printf "%s%s %d", comma++ ? ", " : "", what, n[what]
		print ")"
	}' "$work/results"
exit $status
