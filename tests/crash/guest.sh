#!/bin/sh
# In the virtual machine: for each point of /crash/points puts the disks as a cut of power there
# left them, runs mos-sysvol, and says how that ended. stdout: at, lose, before, status, seconds.
# /crash/setup sets DISKS (the disks, in the log's order, without the last, which marks), RETURNED
# and MARKED (entries of the log by which the recorded run had returned, and its file was durable).
. /crash/setup
target=/mnt
failed=0 points=0

# A cut is in the past: nothing of the last point is left in the kernel.
forget() {
	cd /
	for dir in $target/boot/efi $target/boot $target/var/cache/*; do
		umount "$dir" 2>/dev/null
	done
	while read -r swap _; do
		[ "${swap#/dev/}" = "$swap" ] || swapoff "$swap"
	done </proc/swaps
	! grep -q '^md' /proc/mdstat || mdadm --stop --scan >/dev/null 2>&1
	btrfs device scan --forget >/dev/null 2>&1
}

bring() { # AT LOSE
	images='' loss=''
	for disk in $DISKS marks; do
		images="$images /img/${disk##*/}"
	done
	[ "$2" = - ] || loss="--lose $2 --tear"
	# shellcheck disable=SC2086
	/crash/replay /crash/log --at "$1" $loss $BASES $images || return
	for disk in $DISKS; do
		/crash/restore "/img/${disk##*/}" "$disk" || return
	done
}

bad() {
	failed=$((failed + 1))
	echo "at $at lose $lose: $1" >&2
	sed 's/^/  | /' /tmp/plan /tmp/out /tmp/err /tmp/status >&2 2>/dev/null
}

check() {
	[ "$status" = 0 ] || { bad "mos-sysvol ended with $status"; return; }
	mos-sysvol --status --target $target >/tmp/status 2>&1 ||
		{ bad "not healthy after it"; return; }
	[ "$at" -le "$RETURNED" ] || case $before in
	made | redone) bad "made anew what had been complete"; return ;;
	esac
	[ "$at" -le "$MARKED" ] || [ "$(cat $target/var/cache/system/marker 2>/dev/null)" = hello ] ||
		{ bad "a durable file is gone"; return; }
	# Not after each: a look costs more than all else here.
	[ $((points % 4)) = 0 ] || return
	mos-sysvol --dry-run --tsv -n --wait 0 --target $target 2>&1 | grep -v -e '^#' -e '^$' >/tmp/plan
	[ ! -s /tmp/plan ] || bad "a second run would change something"
}

mkdir -p /img $target
mount -t tmpfs -o size=90% img /img
BASES=''
if [ -n "$FIRST" ]; then
	images=''
	for disk in $DISKS; do
		images="$images /img/${disk##*/}.base"
		BASES="$BASES --base /img/${disk##*/}.base"
	done
	# shellcheck disable=SC2086
	/crash/replay /crash/log.first --at "$FIRST" $images /img/marks.base || exit
fi
modprobe raid1
# A resync is no part of what is tried, and slow here.
echo 1 >/proc/sys/dev/raid/speed_limit_min
echo 1 >/proc/sys/dev/raid/speed_limit_max
while read -r at lose; do
	forget
	points=$((points + 1))
	rm -f /tmp/plan /tmp/out /tmp/err /tmp/status
	from=$(cut -d ' ' -f 1 /proc/uptime)
	if ! bring "$at" "$lose"; then
		bad "the disks could not be restored"
		continue
	fi
	# shellcheck disable=SC2086
	mos-sysvol --progress --wait 0 --target $target $OPTIONS >/tmp/out 2>/tmp/err
	status=$?
	# By the steps that it took.
	case $(cat /tmp/err) in
	*--replace-provisional*) before=redone ;;
	*--new-table*) before=made ;;
	*--rename* | *--repair-table*) before=finished ;;
	*) before=complete ;;
	esac
	check
	to=$(cut -d ' ' -f 1 /proc/uptime)
	printf '%s\t%s\t%s\t%s\t%s\n' "$at" "$lose" "$before" "$status" \
		"$(awk "BEGIN { print $to - $from }")"
done </crash/points
forget
[ "$failed" = 0 ]
