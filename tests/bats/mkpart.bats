# tier: loop
# mkpart on loop devices: what sfdisk and the kernel see afterwards.
load helpers
load loop

setup() {
	ROOT=$BATS_TEST_TMPDIR/root
	mkdir -p "$ROOT"
}
teardown() { loop_teardown; }

# column NAME: of the first row of $output
column() {
	awk -F'\t' -v name="$1" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) c = i }
		NR == 2 { print $c }' <<<"$output"
}

# what sfdisk says of the table, without what differs each time
dump() {
	sfdisk --dump "$1" | sed -n 's/^.* : //p' | sed 's/, uuid=[^,]*//; s/ //g'
}

@test "a new table, then partitions of each type: sfdisk agrees, nodes are there" {
	need_program sfdisk
	loop_new 256M
	box mkpart --new-table --disk "$LOOP"
	[ "$(column state)" = good ]
	[ "$(column free_bytes)" = $((254 << 20)) ]
	box mkpart --disk "$LOOP" --name bios --part-type bios_boot --size 1M
	[ "$(column path)" = "${LOOP}p1" ]
	[ "$(column start_bytes)" = $((1 << 20)) ]
	box mkpart --disk "$LOOP" --name efi --part-type esp --size 100M
	box mkpart --disk "$LOOP" --name swap --part-type swap --size 10M
	box mkpart --disk "$LOOP" --name raid --part-type raid --size 10M
	box mkpart --disk "$LOOP" --name own --part-type 933AC7E1-2EB4-4F13-B844-0E14E2AEF915 --size 3M
	[ "$(column part_type)" = 933ac7e1-2eb4-4f13-b844-0e14e2aef915 ]
	box mkpart --disk "$LOOP" --name rest
	[ "$(column size_bytes)" = $((130 << 20)) ]
	run sfdisk --verify "$LOOP"
	[[ $output == *"No errors detected"* ]]
	[ "$(dump "$LOOP")" = 'start=2048,size=2048,type=21686148-6449-6E6F-744E-656564454649,name="bios"
start=4096,size=204800,type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B,name="efi"
start=208896,size=20480,type=0657FD6D-A4AB-43C4-84E5-0933C84B4F4F,name="swap"
start=229376,size=20480,type=A19D880F-05FC-4D3B-A006-743F0F84911E,name="raid"
start=249856,size=6144,type=933AC7E1-2EB4-4F13-B844-0E14E2AEF915,name="own"
start=256000,size=266240,type=0FC63DAF-8483-4772-8E79-3D69D8477DE4,name="rest"' ]
	for i in 1 2 3 4 5 6; do [ -b "${LOOP}p$i" ]; done
	[ "$(blockdev --getsize64 "${LOOP}p6")" = $((130 << 20)) ]
}

@test "sectors of 4096 bytes" {
	loop_new 64M 4096
	[ "$(blockdev --getss "$LOOP")" = 4096 ] || skip_or_fail "this kernel's loops have no sectors of 4096"
	box mkpart --new-table --disk "$LOOP"
	box mkpart --disk "$LOOP" --name a --size 8M
	box mkpart --disk "$LOOP" --name b
	[ "$(column start_bytes)" = $((9 << 20)) ]
	[ "$(column size_bytes)" = $((54 << 20)) ]
	run sfdisk --verify "$LOOP"
	[[ $output == *"No errors detected"* ]]
	[ "$(blockdev --getsize64 "${LOOP}p2")" = $((54 << 20)) ]
}

@test "the largest gap is taken, at its start; the number is the lowest free one" {
	loop_new 64M
	printf '%s\n' 'label: gpt' 'start=1MiB, size=1MiB, name=a' 'start=10MiB, size=1MiB, name=b' \
		'start=40MiB, size=1MiB, name=c' | sfdisk -q "$LOOP" 2>/dev/null
	sfdisk -q --delete "$LOOP" 2 2>/dev/null
	partx --delete "$LOOP" 2>/dev/null || true
	loop_partitions "$LOOP"
	box mkpart --free "$LOOP"
	[ "$output" = "disk	start_bytes	size_bytes
$LOOP	$((2 << 20))	$((38 << 20))
$LOOP	$((41 << 20))	$((22 << 20))" ]
	box mkpart --disk "$LOOP" --name new --size 30M
	[ "$(column start_bytes)" = $((2 << 20)) ]
	[ "$(column number)" = 2 ]
	# 22 MiB behind c is now larger than the 8 MiB left before it
	box mkpart --disk "$LOOP" --name next --size 5M
	[ "$(column start_bytes)" = $((41 << 20)) ]
}

@test "a size is rounded up to whole sectors, never to more" {
	loop_new 64M
	box mkpart --new-table --disk "$LOOP"
	box mkpart --disk "$LOOP" --name a --size 1000001
	[ "$(column size_bytes)" = 1000448 ]
	box mkpart --disk "$LOOP" --name b --size 1M
	[ "$(column start_bytes)" = $((2 << 20)) ]
}

@test "stale signatures in the space of a new partition are gone, the neighbour's stay" {
	loop_new 600M
	box mkpart --new-table --disk "$LOOP"
	box mkpart --disk "$LOOP" --name keep --size 20M
	sign ext4 "${LOOP}p1"
	box mkpart --disk "$LOOP" --name old --size 400M
	sign xfs "${LOOP}p2"
	keep=$(sha256sum <"${LOOP}p1")
	box mkpart --delete --disk "$LOOP" old
	[ ! -e "${LOOP}p2" ]
	box mkpart --disk "$LOOP" --name new --size 400M
	run blkid -p "${LOOP}p2"
	[[ $output != *xfs* ]]
	blockdev --flushbufs "${LOOP}p1"
	[ "$(sha256sum <"${LOOP}p1")" = "$keep" ]
}

@test "the same command twice: one partition, and the second run changes no byte" {
	loop_new 64M
	box mkpart --new-table --disk "$LOOP"
	box mkpart --disk "$LOOP" --name data --size 8M
	refused 1 "has a partition named data already" mkpart --disk "$LOOP" --name data --size 8M
	refused 1 "has a gpt partition table" mkpart --new-table --disk "$LOOP"
}

@test "adding beside a mounted partition works, and leaves it mounted" {
	loop_new 64M
	box mkpart --new-table --disk "$LOOP"
	box mkpart --disk "$LOOP" --name data --size 20M
	sign ext4 "${LOOP}p1"
	mkdir "$BATS_TEST_TMPDIR/mnt"
	mount "${LOOP}p1" "$BATS_TEST_TMPDIR/mnt"
	echo precious >"$BATS_TEST_TMPDIR/mnt/file"
	box mkpart --disk "$LOOP" --name more
	[ -b "${LOOP}p2" ]
	[ "$(cat "$BATS_TEST_TMPDIR/mnt/file")" = precious ]
	box mkpart --list "$LOOP" -o name,fstype,label,mount_points -n
	[ "${lines[0]}" = "data	ext4	ROOT	$BATS_TEST_TMPDIR/mnt" ]
	[ "${lines[1]}" = "more	-	-	-" ]
}

@test "--rename: all names in one write; done already is done" {
	loop_new 64M
	box mkpart --new-table --disk "$LOOP"
	for n in a b c; do box mkpart --disk "$LOOP" --name "$n" --size 4M; done
	box mkpart --rename --disk "$LOOP" a=one c=three
	[ "$(dump "$LOOP" | grep -o 'name=.*' | tr '\n' ' ')" = 'name="one" name="b" name="three" ' ]
	unchanged box mkpart --rename --disk "$LOOP" a=one c=three
	refused 1 "has no partition named x" mkpart --rename --disk "$LOOP" x=y
	refused 1 "has a partition named b already" mkpart --rename --disk "$LOOP" one=b
	refused 2 "is not OLD=NEW" mkpart --rename --disk "$LOOP" one
}

@test "--delete: only what is named, never what is in use" {
	loop_new 64M
	box mkpart --new-table --disk "$LOOP"
	for n in a b c; do box mkpart --disk "$LOOP" --name "$n" --size 4M; done
	sign ext4 "${LOOP}p2"
	mkdir "$BATS_TEST_TMPDIR/mnt"
	mount -o ro "${LOOP}p2" "$BATS_TEST_TMPDIR/mnt" # ext4 writes by itself
	refused 1 "is mounted at $BATS_TEST_TMPDIR/mnt" mkpart --delete --disk "$LOOP" a b
	[ -b "${LOOP}p1" ]
	umount "$BATS_TEST_TMPDIR/mnt"
	box mkpart --delete --disk "$LOOP" a b
	[ "$(dump "$LOOP" | grep -c name=)" -eq 1 ]
	[ ! -e "${LOOP}p1" ]
	[ -b "${LOOP}p3" ]
}

@test "a damaged copy: listed from the good one with a warning, no change but --repair-table" {
	loop_new 64M
	box mkpart --new-table --disk "$LOOP"
	box mkpart --disk "$LOOP" --name data --size 8M
	good=$(disk_hash "$LOOP" "$IMAGE")
	for at in 512 $((64 * 1024 * 1024 - 512)); do
		printf 'XXXX' | dd of="$LOOP" bs=1 seek="$at" conv=notrunc status=none
		blockdev --flushbufs "$LOOP"
		box mkpart --list "$LOOP" -n -o name
		[ "$output" = data ]
		[[ $stderr == *"GPT is good"* ]]
		refused 1 "mkpart --repair-table" mkpart --disk "$LOOP" --name more
		refused 1 "mkpart --repair-table" mkpart --rename --disk "$LOOP" data=more
		unchanged box mkpart --repair-table --disk "$LOOP" --dry-run
		box mkpart --repair-table --disk "$LOOP"
		[ "$(disk_hash "$LOOP" "$IMAGE")" = "$good" ]
		unchanged box mkpart --repair-table --disk "$LOOP"
	done
}

layout() { # LOOP... : a small system on the first, data on the second
	printf 'disk\tname\tpart_type\tsize_bytes\tfstype\tlabel\tvolume\tprofile\n'
	printf '%s\tbios\tbios_boot\t1M\t-\t-\t-\t-\n' "$1"
	printf '%s\tefi\tesp\t40M\tvfat\tEFI\t-\t-\n' "$1"
	printf '%s\tswap\tswap\t8M\tswap\tSWAP\t-\t-\n' "$1"
	printf '%s\tdata\tlinux\t-\tbtrfs\tDATA\tpool\traid1\n' "$1"
	printf '%s\tdata\tlinux\t-\tbtrfs\tDATA\tpool\traid1\n' "$2"
}

@test "a layout on stdin: tables and partitions made, rows come out ready for mkvolfs -" {
	loop_new 256M
	a=$LOOP
	loop_new 256M
	layout "$a" "$LOOP" >"$BATS_TEST_TMPDIR/in"
	box mkpart - <"$BATS_TEST_TMPDIR/in"
	[ "${lines[4]}" = "${a}p4	$a	data	linux	$((205 << 20))	btrfs	DATA	pool	raid1" ]
	echo "$output" >"$BATS_TEST_TMPDIR/rows"
	box mkvolfs - <"$BATS_TEST_TMPDIR/rows"
	[ "${#lines[@]}" -eq 4 ]
	run blkid -p -o value -s TYPE "${a}p2" "${a}p3" "${a}p4" "${LOOP}p1"
	[ "${lines[*]}" = "vfat swap btrfs btrfs" ]
	[ "$(btrfs filesystem show "$LOOP"p1 | grep -c devid)" -eq 2 ]
	unchanged box 1 mkpart - <"$BATS_TEST_TMPDIR/in"
}

@test "--dry-run of a layout, replayed by hand, gives the same table; and changes nothing itself" {
	loop_new 256M
	a=$LOOP a_image=$IMAGE
	loop_new 256M
	layout "$a" "$LOOP" >"$BATS_TEST_TMPDIR/in"
	first=$(disk_hash "$a" "$a_image")
	unchanged box mkpart - --dry-run -n -o command <"$BATS_TEST_TMPDIR/in"
	[ "$(disk_hash "$a" "$a_image")" = "$first" ]
	[ "${#lines[@]}" -eq 7 ]
	plan=("${lines[@]}")
	mkdir "$BATS_TEST_TMPDIR/bin"
	"$STORBOX" --install "$BATS_TEST_TMPDIR/bin"
	for step in "${plan[@]}"; do
		PATH=$BATS_TEST_TMPDIR/bin:$PATH run bash -c "$step"
		[ "$status" -eq 0 ]
	done
	by_hand=$(dump "$a"; dump "$LOOP")
	for d in "$a" "$LOOP"; do box mkpart --new-table --disk "$d" --force; done
	# as empty as at first
	for d in "$a" "$LOOP"; do
		partx --delete "$d" 2>/dev/null || true
		wipefs -qa "$d"
	done
	box mkpart - <"$BATS_TEST_TMPDIR/in"
	[ "$(dump "$a"; dump "$LOOP")" = "$by_hand" ]
}

@test "--dry-run of each change prints one step, the command itself, and changes nothing" {
	loop_new 64M
	unchanged box mkpart --new-table --disk "$LOOP" --dry-run -n -o command
	[ "$output" = "mkpart --new-table --disk $LOOP" ]
	box mkpart --new-table --disk "$LOOP"
	unchanged box mkpart --disk "$LOOP" --name 'a b' --size 5M --dry-run -n -o command
	[ "$output" = "mkpart --disk $LOOP --name 'a b' --size 5242880" ]
	box mkpart --disk "$LOOP" --name x --size 5M
	unchanged box mkpart --rename --disk "$LOOP" x=y --dry-run -n -o command
	[ "$output" = "mkpart --rename --disk $LOOP -- x=y" ]
	unchanged box mkpart --delete --disk "$LOOP" x --dry-run -n -o command
	[ "$output" = "mkpart --delete --disk $LOOP -- x" ]
}

@test "--force makes a new table over what is there, and nothing of it is left" {
	loop_new 64M
	printf '%s\n' 'label: gpt' 'size=8MiB, name=old' | sfdisk -q "$LOOP" 2>/dev/null
	partx --update "$LOOP" || true
	sign ext4 "${LOOP}p1"
	box mkpart --new-table --disk "$LOOP" --force
	[ ! -e "${LOOP}p1" ]
	box mkpart --list "$LOOP" -n
	[ -z "$output" ]
	wipefs -qa "$LOOP"
	sign btrfs "$LOOP" || true
	sign zfs "$LOOP"
	box mkpart --new-table --disk "$LOOP" --force
	run blkid -p -o value -s PTTYPE "$LOOP"
	[ "$output" = gpt ]
	run wipefs -n -i "$LOOP"
	[[ $output != *zfs* ]]
}

@test "two at once on one disk: the lock makes them take turns" {
	loop_new 64M
	box mkpart --new-table --disk "$LOOP"
	for i in 1 2 3 4 5 6; do
		"$STORBOX" mkpart --disk "$LOOP" --name "p$i" --size 2M >"$BATS_TEST_TMPDIR/out$i" 2>&1 3>&- &
	done
	wait
	[ "$(dump "$LOOP" | grep -c name=)" -eq 6 ]
	run sfdisk --verify "$LOOP"
	[[ $output == *"No errors detected"* ]]
	for i in 1 2 3 4 5 6; do [ -b "${LOOP}p$i" ]; done
}

@test "a new table cut short is no table: the next run makes it, by itself and in a layout" {
	for again in '--new-table --disk' -; do
		loop_new 64M
		box mkpart --new-table --disk "$LOOP"
		dd if=/dev/zero of="$LOOP" bs=512 count=1 conv=notrunc status=none
		blockdev --flushbufs "$LOOP"
		[ -z "$(blkid -p -o value -s PTTYPE "$LOOP")" ]
		if [ "$again" = - ]; then
			printf 'disk\tname\n%s\tx\n' "$LOOP" >"$BATS_TEST_TMPDIR/in"
			box mkpart - <"$BATS_TEST_TMPDIR/in"
		else
			box mkpart --new-table --disk "$LOOP"
		fi
		[ "$(blkid -p -o value -s PTTYPE "$LOOP")" = gpt ]
	done
}
