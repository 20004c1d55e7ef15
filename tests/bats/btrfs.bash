# Real btrfs on loop devices: `load btrfs` after `load helpers`. Needs root.
# A file that loads this calls btrfs_teardown from its teardown().
load loop

need_btrfs() {
	need_root
	need_program mkfs.btrfs btrfs losetup setpriv
	grep -qw btrfs /proc/filesystems || modprobe btrfs 2>/dev/null ||
		skip_or_fail "this kernel has no btrfs"
}

# make_btrfs [option of mkfs.btrfs]... DEVICE... : sets $UUID. The label is one of this test's own
# unless an option gives one, for other people's filesystems may be on this machine.
make_btrfs() {
	UUID=$(cat /proc/sys/kernel/random/uuid)
	LABEL=T-${UUID%%-*}
	mkfs.btrfs -q -f -U "$UUID" -L "$LABEL" "$@" >/dev/null
}

# mounted DEVICE [OPTIONS]: mounts it on $MNT, a new directory.
mounted() {
	MNT=$(mktemp -d "$BATS_TEST_TMPDIR/mnt.XXXXXX")
	mount -o "${2:-defaults}" "$1" "$MNT"
}

unmounted() { # MNT : also when something just closed on it
	local i
	for i in 1 2 3 4 5; do
		umount "$1" && return
		sleep 0.2
	done
	return 1
}

# one_btrfs [SIZE]: a filesystem on one device, not mounted: $LOOP, $IMAGE, $UUID, $LABEL.
one_btrfs() {
	loop_new "${1:-512M}"
	make_btrfs "$LOOP"
}

# two_btrfs [SIZE]: raid1 over $LOOP1 and $LOOP2 ($IMAGE1, $IMAGE2), not mounted.
two_btrfs() {
	loop_new "${1:-512M}"
	LOOP1=$LOOP IMAGE1=$IMAGE
	loop_new "${1:-512M}"
	LOOP2=$LOOP IMAGE2=$IMAGE
	make_btrfs -d raid1 -m raid1 "$LOOP1" "$LOOP2"
	btrfs device scan "$LOOP1" "$LOOP2" >/dev/null
}

# nothing_mounted: no mount of this test's filesystem is left, seen or unseen.
nothing_mounted() {
	run ! grep -q -e "${BATS_TEST_TMPDIR}" -e "$LOOP " /proc/self/mountinfo
	run ! test -e "/sys/fs/btrfs/$UUID"
}

btrfs_teardown() {
	local mnt loop
	for mnt in "$BATS_TEST_TMPDIR"/mnt.*; do
		btrfs scrub cancel "$mnt" >/dev/null 2>&1 || true
		btrfs balance cancel "$mnt" >/dev/null 2>&1 || true
		[ ! -d "$mnt" ] || while umount "$mnt" 2>/dev/null; do :; done
	done
	[ -e "$BATS_TEST_TMPDIR/loops" ] || return 0
	while read -r loop; do
		btrfs device scan --forget "$loop" >/dev/null 2>&1 || true
		loop_no_partitions "$loop"
		losetup --detach "$loop" 2>/dev/null || true
	done <"$BATS_TEST_TMPDIR/loops"
	rm -f "/var/lib/btrfs/scrub.status.${UUID:-none}" "/var/lib/btrfs/scrub.status.${UUID:-none}_tmp"
}

# cell COLUMN [ROW]: of the TSV in $output (row 1 is the first after the heading).
cell() {
	awk -F '\t' -v want="$1" -v row="${2:-1}" '
		NR == 1 { for (i = 1; i <= NF; i++) if ($i == want) column = i }
		NR == row + 1 { print $column }' <<<"$output"
}
