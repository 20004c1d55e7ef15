# tier: loop
# timeout: 1200
# What must never be written to: each refusal is one line, and the whole image is byte for byte what
# it was.
load helpers
load loop

setup() {
	ROOT=$BATS_TEST_TMPDIR/root
	mkdir -p "$ROOT"
}
teardown() { loop_teardown; }

# everything that could take a whole disk, refused
refused_all() { # WORDS
	local words=$1
	refused 1 "$words" mkpart --new-table --disk "$LOOP"
	refused 1 "$words" mkpart --new-table --disk "$LOOP" --dry-run
	refused 1 "$words" mkvolfs --device "$LOOP" --fstype ext4
	printf 'disk\tname\n%s\tx\n' "$LOOP" >"$BATS_TEST_TMPDIR/layout"
	refused 1 "" mkpart - <"$BATS_TEST_TMPDIR/layout"
}

# holder of a kind: on the disk, and in a partition of it
signature_is_respected() { # KIND WORDS [SIZE]
	loop_new "${3:-48M}"
	sign "$1" "$LOOP"
	refused_all "$2"
	refused 1 "$LOOP" mkpart --disk "$LOOP" --name x
}

@test "no block device: a file, a directory, a character device, nothing at all" {
	loop_new 16M
	for args in "mkpart --disk @ --name x" "mkpart --new-table --disk @" "mkvolfs --fstype ext4 --device @"; do
		echo text >"$BATS_TEST_TMPDIR/file"
		refused 1 "$BATS_TEST_TMPDIR/file" ${args//@/$BATS_TEST_TMPDIR/file}
		[ "$(cat "$BATS_TEST_TMPDIR/file")" = text ]
		refused 1 "$BATS_TEST_TMPDIR" ${args//@/$BATS_TEST_TMPDIR}
		refused 1 /dev/null ${args//@//dev/null}
		refused 1 /dev/nonesuch ${args//@//dev/nonesuch}
	done
}

@test "a partition where a disk is wanted" {
	loop_new 48M
	"$STORBOX" mkpart --new-table --disk "$LOOP" >/dev/null
	"$STORBOX" mkpart --disk "$LOOP" --name x --size 4M >/dev/null
	refused 1 "${LOOP}p1" mkpart --disk "${LOOP}p1" --name y
	refused 1 "${LOOP}p1" mkpart --new-table --disk "${LOOP}p1"
}

@test "MBR" { signature_is_respected dos "dos partition table"; }
@test "GPT" {
	loop_new 48M
	sign gpt "$LOOP"
	refused 1 "gpt partition table" mkpart --new-table --disk "$LOOP"
	refused 1 "gpt partition table" mkvolfs --device "$LOOP" --fstype ext4
}
@test "ext4" { signature_is_respected ext4 "ext4"; }
@test "xfs" { signature_is_respected xfs "xfs" 320M; }
@test "btrfs" { signature_is_respected btrfs "btrfs" 120M; }
@test "vfat" { signature_is_respected vfat "vfat"; }
@test "swap" { signature_is_respected swap "swap"; }
@test "LUKS" { signature_is_respected luks "LUKS"; }
@test "LVM" { signature_is_respected lvm "LVM"; }
@test "md" { signature_is_respected md "RAID"; }
@test "bcachefs" { signature_is_respected bcachefs "bcachefs"; }
@test "ZFS" { signature_is_respected zfs "ZFS" 80M; }
@test "squashfs" { signature_is_respected squashfs "squashfs"; }

@test "two signatures that contradict each other" {
	loop_new 120M
	sign conflict "$LOOP"
	refused_all "conflicting"
	refused 1 "conflicting" mkpart --disk "$LOOP" --name x
}

@test "each signature in a partition: mkvolfs refuses, the partition stays" {
	loop_new 140M
	"$STORBOX" mkpart --new-table --disk "$LOOP" >/dev/null
	"$STORBOX" mkpart --disk "$LOOP" --name x >/dev/null
	for kind in dos ext4 btrfs vfat swap luks lvm md bcachefs zfs squashfs; do
		wipefs -qa "${LOOP}p1"
		dd if=/dev/zero of="${LOOP}p1" bs=1M count=1 conv=notrunc status=none
		sign "$kind" "${LOOP}p1"
		refused 1 "${LOOP}p1: holds " mkvolfs --device "${LOOP}p1" --fstype vfat
	done
}

@test "a damaged superblock still counts" {
	loop_new 48M
	sign ext4 "$LOOP"
	printf 'X' | dd of="$LOOP" bs=1 seek=$((1024 + 120)) conv=notrunc status=none
	blockdev --flushbufs "$LOOP"
	[ -z "$(blkid -p -o value -s TYPE "$LOOP")" ] || skip "libblkid does not check this one's checksum"
	refused_all "ext4"
}

@test "mounted: the disk, and a partition" {
	loop_new 48M
	sign ext4 "$LOOP"
	mkdir "$BATS_TEST_TMPDIR/mnt"
	mount -o ro "$LOOP" "$BATS_TEST_TMPDIR/mnt"
	refused_all "$BATS_TEST_TMPDIR/mnt"
	refused 1 "in use" mkpart --new-table --disk "$LOOP" --force
	umount "$BATS_TEST_TMPDIR/mnt"
	loop_new 48M
	"$STORBOX" mkpart --new-table --disk "$LOOP" >/dev/null
	"$STORBOX" mkpart --disk "$LOOP" --name x --size 20M >/dev/null
	sign ext4 "${LOOP}p1"
	mount -o ro "${LOOP}p1" "$BATS_TEST_TMPDIR/mnt"
	refused 1 "is mounted at $BATS_TEST_TMPDIR/mnt" mkvolfs --device "${LOOP}p1" --fstype ext4
	refused 1 "is mounted at $BATS_TEST_TMPDIR/mnt" mkvolfs --device "${LOOP}p1" --fstype ext4 --force
	refused 1 "in use" mkpart --new-table --disk "$LOOP" --force
	refused 1 "in use" mkvolfs --device "$LOOP" --fstype ext4 --force
	umount "$BATS_TEST_TMPDIR/mnt"
}

@test "swap in use" {
	loop_new 48M
	"$STORBOX" mkpart --new-table --disk "$LOOP" >/dev/null
	"$STORBOX" mkpart --disk "$LOOP" --name x --part-type swap --size 20M >/dev/null
	"$STORBOX" mkvolfs --device "${LOOP}p1" --fstype swap >/dev/null
	swapon "${LOOP}p1" || skip_or_fail "this kernel takes no swap on a loop device"
	refused 1 "is in use as swap" mkvolfs --device "${LOOP}p1" --fstype ext4
	refused 1 "is in use as swap" mkvolfs --device "${LOOP}p1" --fstype ext4 --force
	refused 1 "is in use as swap" mkpart --delete --disk "$LOOP" x
	refused 1 "swap" mkpart --new-table --disk "$LOOP" --force
	swapoff "${LOOP}p1"
}

@test "a member of a mounted btrfs that mountinfo does not name" {
	loop_new 130M
	a=$LOOP
	loop_new 130M
	mkfs.btrfs -q -f -d raid1 -m raid1 "$a" "$LOOP" >/dev/null
	mkdir "$BATS_TEST_TMPDIR/mnt"
	mount -o ro "$a" "$BATS_TEST_TMPDIR/mnt"
	for disk in "$a" "$LOOP"; do
		run --separate-stderr "$STORBOX" mkvolfs --device "$disk" --fstype ext4 --force
		[ "$status" -eq 1 ]
		[[ $stderr == *"in use"* ]]
	done
	umount "$BATS_TEST_TMPDIR/mnt"
	run btrfs check "$a"
	[ "$status" -eq 0 ]
}

@test "held by another program: the disk and a partition" {
	loop_new 48M
	hold_exclusively "$LOOP"
	refused 1 "another program" mkpart --new-table --disk "$LOOP"
	refused 1 "another program" mkvolfs --device "$LOOP" --fstype ext4
	kill "$HOLDER"
	wait "$HOLDER" || true
	"$STORBOX" mkpart --new-table --disk "$LOOP" >/dev/null
	"$STORBOX" mkpart --disk "$LOOP" --name x --size 20M >/dev/null
	rm "$BATS_TEST_TMPDIR/held"
	hold_exclusively "${LOOP}p1"
	refused 1 "another program" mkvolfs --device "${LOOP}p1" --fstype ext4
	refused 1 "another program" mkpart --delete --disk "$LOOP" x
	kill "$HOLDER"
}

@test "locked by another program for too long: it is named" {
	loop_new 48M
	flock "$LOOP" sleep 100 3>&- &
	locker=$!
	sleep 0.3
	run --separate-stderr "$STORBOX" mkpart --new-table --disk "$LOOP"
	[ "$status" -eq 1 ]
	[[ $stderr == *"is locked by "*"(process "* ]]
	kill "$locker"
}

# second_look CHANGE...: starts mkpart, which waits for the lock; meanwhile CHANGE happens.
second_look() {
	exec {lock}<"$LOOP"
	flock "$lock"
	"$STORBOX" mkpart --new-table --disk "$LOOP" >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" \
		3>&- {lock}<&- &
	job=$!
	# it waits for the lock once it has the disk's node open; its first look is over then
	for _ in {1..100}; do
		[ -e "/proc/$job" ] || break
		! ls -l "/proc/$job/fd" 2>/dev/null | grep -q "$LOOP\$" || break
		sleep 0.02
	done
	sleep 0.2
	"$@"
	before=$(disk_hash "$LOOP" "$IMAGE")
	exec {lock}<&-
	status=0
	wait "$job" || status=$?
	cat "$BATS_TEST_TMPDIR/err"
	[ "$status" -eq 1 ]
	[ "$(disk_hash "$LOOP" "$IMAGE")" = "$before" ]
}

grow() {
	truncate -s 64M "$IMAGE"
	losetup --set-capacity "$LOOP"
}

@test "another disk between the decision and the first write: another size" {
	loop_new 48M
	second_look grow
	grep -qE "is another disk than before|is not the device any more" "$BATS_TEST_TMPDIR/err"
}

@test "no longer empty between the decision and the first write" {
	loop_new 48M
	second_look sign ext4 "$LOOP"
	grep -q ext4 "$BATS_TEST_TMPDIR/err"
}

@test "size 0, larger than the gap, no gap, bad sizes" {
	loop_new 48M
	"$STORBOX" mkpart --new-table --disk "$LOOP" >/dev/null
	refused 2 "is 0" mkpart --disk "$LOOP" --name x --size 0
	refused 1 "the largest has $((46 << 20)) bytes (46M)" mkpart --disk "$LOOP" --name x --size 46.5M
	refused 1 "has no gap of" mkpart --disk "$LOOP" --name x --size 8E
	refused 2 "--size" mkpart --disk "$LOOP" --name x --size 1X
	refused 2 "--size" mkpart --disk "$LOOP" --name x --size -5
	refused 2 "--size" mkpart --disk "$LOOP" --name x --size 99999999999999999999
	"$STORBOX" mkpart --disk "$LOOP" --name all >/dev/null
	refused 1 "has no unallocated space" mkpart --disk "$LOOP" --name x
}

@test "partition names: too long, control characters, not UTF-8, empty; a type that is none" {
	loop_new 48M
	"$STORBOX" mkpart --new-table --disk "$LOOP" >/dev/null
	refused 2 "has 37 characters" mkpart --disk "$LOOP" --name 1234567890123456789012345678901234567
	refused 2 "control character" mkpart --disk "$LOOP" --name $'a\tb'
	refused 2 "not valid UTF-8" mkpart --disk "$LOOP" --name $'\xc3'
	refused 2 "is empty" mkpart --disk "$LOOP" --name ''
	refused 2 "'floppy' is no partition type" mkpart --disk "$LOOP" --name x --part-type floppy
	refused 2 "is no partition type" mkpart --disk "$LOOP" --name x --part-type 00000000-0000-0000-0000-000000000000
	refused 2 "outside of the Basic Multilingual Plane" mkpart --disk "$LOOP" --name '😀'
	box mkpart --disk "$LOOP" --name 'ÄÖÜ ß 日本語' --size 1M
	[[ $output == *"ÄÖÜ ß 日本語"* ]]
	box mkpart --disk "$LOOP" --name 日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語 --size 1M
}

@test "tables that are not sound: overlapping partitions, both copies broken, hybrid, no MBR" {
	loop_new 48M
	printf '%s\n' 'label: gpt' 'size=1MiB, name=a' 'size=1MiB, name=b' | sfdisk -q "$LOOP" 2>/dev/null
	partx --delete "$LOOP" 2>/dev/null || true
	cp "$IMAGE" "$BATS_TEST_TMPDIR/good"
	python3 "$BATS_TEST_DIRNAME/signature.py" gpt-overlap "$LOOP"
	refused 1 "overlap" mkpart --disk "$LOOP" --name x
	refused 1 "" mkpart --repair-table --disk "$LOOP"
	dd if="$BATS_TEST_TMPDIR/good" of="$LOOP" bs=1M status=none
	printf '\x83' | dd of="$LOOP" bs=1 seek=466 conv=notrunc status=none
	refused 1 "hybrid" mkpart --disk "$LOOP" --name x
	refused 1 "hybrid" mkpart --repair-table --disk "$LOOP"
	dd if="$BATS_TEST_TMPDIR/good" of="$LOOP" bs=1M status=none
	printf 'XX' | dd of="$LOOP" bs=1 seek=510 conv=notrunc status=none
	refused 1 "no protective MBR" mkpart --disk "$LOOP" --name x
	refused 1 "$LOOP" mkpart --new-table --disk "$LOOP"
	box mkpart --repair-table --disk "$LOOP"
	box mkpart --list "$LOOP" -n -o name
	[ "${lines[*]}" = "a b" ]
	dd if="$BATS_TEST_TMPDIR/good" of="$LOOP" bs=1M status=none
	printf 'XX' | dd of="$LOOP" bs=1 seek=512 conv=notrunc status=none
	printf 'XX' | dd of="$LOOP" bs=1 seek=$((48 * 1024 * 1024 - 512)) conv=notrunc status=none
	refused 1 "$LOOP" mkpart --disk "$LOOP" --name x
	refused 1 "$LOOP" mkpart --new-table --disk "$LOOP"
	refused 1 "protective MBR" mkpart --repair-table --disk "$LOOP"
}

@test "read-only" {
	loop_new 48M
	blockdev --setro "$LOOP"
	refused 1 "is read-only" mkpart --new-table --disk "$LOOP"
	refused 1 "is read-only" mkvolfs --device "$LOOP" --fstype ext4
	refused 1 "is read-only" mkvolfs --device "$LOOP" --fstype ext4 --force
	refused 1 "is read-only" mkpart --new-table --disk "$LOOP" --force
}

@test "too small a disk" {
	loop_new 2M
	refused 1 "too small" mkpart --new-table --disk "$LOOP"
}

@test "no privilege: exit 4, and what to do" {
	need_program setpriv
	loop_new 48M
	# nobody may run the binary wherever the build is
	cp "$STORBOX" /tmp/storbox.$$
	chmod 755 /tmp/storbox.$$
	before=$(disk_hash "$LOOP" "$IMAGE")
	for args in "mkpart --new-table --disk $LOOP" "mkvolfs --device $LOOP --fstype ext4" \
		"mkpart --disk $LOOP --name x"; do
		run --separate-stderr setpriv --reuid=65534 --regid=65534 --clear-groups /tmp/storbox.$$ $args
		echo "$stderr"
		[ "$status" -eq 4 ]
		[[ $stderr == *"run it as root"* ]]
	done
	rm /tmp/storbox.$$
	[ "$(disk_hash "$LOOP" "$IMAGE")" = "$before" ]
}

@test "a layout with one bad row: nothing of it is made" {
	loop_new 48M
	layout() { printf 'disk\tname\tpart_type\tsize_bytes\tfstype\tlabel\n%s\ta\tlinux\t4M\t-\t-\n' "$LOOP"; }
	while IFS= read -r row; do
		{ layout; printf "$row\n" "$LOOP"; } >"$BATS_TEST_TMPDIR/in"
		run --separate-stderr "$STORBOX" mkpart - <"$BATS_TEST_TMPDIR/in"
		echo "$row: $stderr"
		[ "$status" -ne 0 ]
		[ -z "$output" ]
		[ -z "$(blkid -p -o value -s PTTYPE "$LOOP")" ]
	done <<-'END'
		%s\tb\tlinux\t99M\t-\t-
		%s\ta\tlinux\t1M\t-\t-
		%s\tb\tfloppy\t1M\t-\t-
		%s\tb\tlinux\t1M\tntfs\t-
		%s\tb\tlinux\t1M\text4\tTOO-LONG-A-LABEL-FOR-IT
		%s\tb\tlinux\t0\t-\t-
		%s\t-\tlinux\t1M\t-\t-
		/dev/nonesuch\tb\tlinux\t1M\t-\t-
		%s\tb\tlinux\t1M
	END
}
