# tier: loop
# timeout: 1200
# mkvolfs on loop devices: every type that the machine has a program for, and what it refuses.
load helpers
load loop

teardown() { loop_teardown; }

# the value of a column in the only row
column() {
	awk -F'\t' -v name="$1" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) c = i }
		NR == 2 { print $c }' <<<"$output"
}

partition() { # SIZE: a disk of that and 4 MiB more, with one partition, in $PART
	loop_new "$(($(numfmt --from=iec "$1") + (4 << 20)))" "${2:-512}"
	"$STORBOX" mkpart --new-table --disk "$LOOP" >/dev/null
	"$STORBOX" mkpart --disk "$LOOP" --name test --part-type "${3:-linux}" --size "$1" >/dev/null
	PART=${LOOP}p1
}

@test "each type, with its longest label: libblkid sees both, and its checker is content" {
	partition 320M
	while read -r type label; do
		need_program "$(case $type in swap) echo mkswap ;; *) echo "mkfs.$type" ;; esac)"
		box mkvolfs --device "$PART" --fstype "$type" --label "$label"
		[ "$(column fstype)" = "$type" ]
		[ "$(column label)" = "$label" ]
		[ "$(column uuid)" = "$(blkid -p -o value -s UUID "$PART")" ]
		[ "$(blkid -p -o value -s TYPE "$PART")" = "$type" ]
		# libblkid itself stops at 254
		[ "$(blkid -p -o value -s LABEL "$PART")" = "${label:0:254}" ]
		case $type in
		ext4) e2fsck -fn "$PART" ;;
		vfat) fsck.vfat -n "$PART" ;;
		btrfs) btrfs check "$PART" ;;
		xfs) xfs_repair -n "$PART" ;;
		esac
		box 1 mkvolfs --device "$PART" --fstype ext4
		[[ $stderr == *"holds $type (label ${label:0:254}); add --force"* ]]
		wipefs -qa "$PART"
	done <<-END
		ext4 1234567890123456
		vfat ABCDEFGHIJK
		swap 123456789012345
		xfs 123456789012
		btrfs $(printf 'x%.0s' {1..255})
	END
}

@test "without a label there is none" {
	partition 20M
	box mkvolfs --device "$PART" --fstype ext4
	[ "$(column label)" = - ]
}

@test "vfat of 100 MiB is FAT32, which mkfs.vfat alone would not make" {
	partition 100M 512 esp
	box mkvolfs --device "$PART" --fstype vfat --label MOSEFI
	[ "$(blkid -p -o value -s VERSION "$PART")" = FAT32 ]
}

@test "vfat on sectors of 4096 bytes: 100 MiB are refused, 300 MiB are FAT32 with clusters enough" {
	partition 100M 4096 esp
	[ "$(blockdev --getss "$LOOP")" = 4096 ] || skip_or_fail "this kernel's loops have no sectors of 4096"
	refused 1 "is too small for vfat" mkvolfs --device "$PART" --fstype vfat
	partition 300M 4096 esp
	box mkvolfs --device "$PART" --fstype vfat --label MOSEFI
	[ "$(blkid -p -o value -s VERSION "$PART")" = FAT32 ]
	run fsck.vfat -n -v "$PART"
	clusters=$(sed -n 's/^ *\([0-9]*\) data clusters.*/\1/p' <<<"$output")
	[ "$clusters" -ge 65525 ]
}

@test "the smallest size that is allowed works, a sector less is refused" {
	while read -r type bytes; do
		loop_new "$bytes"
		box mkvolfs --device "$LOOP" --fstype "$type"
		loop_new "$((bytes - 512))"
		refused 1 "is too small for $type" mkvolfs --device "$LOOP" --fstype "$type"
	done <<-END
		ext4 $((2 << 20))
		swap $((10 * $(getconf PAGESIZE)))
		vfat $(((65525 + 32 + 2 * 512) * 512))
		btrfs 114294784
		xfs $((300 << 20))
	END
}

@test "a whole disk, when it is empty" {
	loop_new 64M
	box mkvolfs --device "$LOOP" --fstype vfat --label WHOLE
	[ "$(blkid -p -o value -s LABEL "$LOOP")" = WHOLE ]
	loop_new 64M
	box mkvolfs --device "$LOOP" --fstype swap
}

@test "btrfs on two devices: raid1 for data and metadata, mounts, and both are members" {
	partition 300M
	a=$PART
	partition 300M
	box mkvolfs --device "$a" --device "$PART" --fstype btrfs --label PAIR
	[ "$(column devices)" = "$a,$PART" ]
	[ "$(column total_devices)" = 2 ]
	mkdir "$BATS_TEST_TMPDIR/mnt"
	mount "$PART" "$BATS_TEST_TMPDIR/mnt"
	run btrfs filesystem df "$BATS_TEST_TMPDIR/mnt"
	umount "$BATS_TEST_TMPDIR/mnt"
	[[ $output == *"Data, RAID1"* ]]
	[[ $output == *"Metadata, RAID1"* ]]
}

@test "profiles: single keeps metadata twice, raid0 its metadata on both" {
	partition 300M
	a=$PART
	partition 300M
	box mkvolfs --device "$a" --fstype btrfs --profile single
	box mkvolfs --device "$a" --device "$PART" --fstype btrfs --profile raid0 --force
	mkdir "$BATS_TEST_TMPDIR/mnt"
	mount "$PART" "$BATS_TEST_TMPDIR/mnt"
	run btrfs filesystem df "$BATS_TEST_TMPDIR/mnt"
	umount "$BATS_TEST_TMPDIR/mnt"
	[[ $output == *"Data, RAID0"* ]]
	[[ $output == *"Metadata, RAID1"* ]]
}

@test "profiles and numbers of devices that do not go together" {
	partition 20M
	a=$PART
	partition 20M
	refused 2 "raid1 needs 2 devices" mkvolfs --device "$PART" --fstype btrfs --profile raid1
	refused 2 "raid1c3 needs 3 devices" mkvolfs --device "$a" --device "$PART" --fstype btrfs --profile raid1c3
	refused 2 "'raid7' is no profile of btrfs" mkvolfs --device "$PART" --fstype btrfs --profile raid7
	refused 2 "ext4 has no profiles" mkvolfs --device "$PART" --fstype ext4 --profile single
	refused 2 "ext4 is made on one device" mkvolfs --device "$a" --device "$PART" --fstype ext4
	refused 2 "is named twice" mkvolfs --device "$PART" --device "$PART" --fstype btrfs
	refused 2 "'dup' is no profile of bcachefs" mkvolfs --device "$PART" --fstype bcachefs --profile dup
}

@test "bcachefs: the program's command line; without it exit 4 before anything" {
	partition 200M
	a=$PART
	partition 200M
	if ! command -v bcachefs >/dev/null; then
		refused 4 "the program that makes bcachefs is missing from PATH" \
			mkvolfs --device "$PART" --fstype bcachefs
	fi
	mkdir "$BATS_TEST_TMPDIR/bin"
	printf '#!/bin/sh\nexit 1\n' >"$BATS_TEST_TMPDIR/bin/bcachefs"
	chmod +x "$BATS_TEST_TMPDIR/bin/bcachefs"
	PATH=$BATS_TEST_TMPDIR/bin:$PATH
	box mkvolfs --device "$a" --device "$PART" --fstype bcachefs --label FAST --profile cache --dry-run \
		-n -o why
	[ "$output" = "runs bcachefs format --quiet --fs_label=FAST --replicas=1 --foreground_target=ssd \
--promote_target=ssd --background_target=hdd --label=ssd.ssd1 $a --label=hdd.hdd1 $PART" ]
	box mkvolfs --device "$a" --device "$PART" --fstype bcachefs --dry-run -n -o why
	[ "$output" = "runs bcachefs format --quiet --replicas=2 $a $PART" ]
}

@test "labels too long, with control characters, of wrong characters: refused before anything" {
	partition 2M
	while read -r type max; do
		long=$(printf "x%.0s" $(seq $((max + 1))))
		refused 2 "one of $type at most $max" mkvolfs --device "$PART" --fstype "$type" --label "$long"
		refused 2 "control character" mkvolfs --device "$PART" --fstype "$type" --label $'a\nb'
		refused 2 "control character" mkvolfs --device "$PART" --fstype "$type" --label $'a\eb'
		refused 2 "not valid UTF-8" mkvolfs --device "$PART" --fstype "$type" --label $'a\xff'
		refused 2 "the label is empty" mkvolfs --device "$PART" --fstype "$type" --label ''
	done <<-END
		btrfs 255
		ext4 16
		vfat 11
		swap 15
		bcachefs 32
		xfs 12
	END
	for label in 'a*b' 'a:b' 'a/b' 'a.b' 'ä' ' a' 'a ' 'NO NAME'; do
		refused 2 "vfat" mkvolfs --device "$PART" --fstype vfat --label "$label"
	done
}

@test "the program is missing: exit 4, nothing touched" {
	partition 20M
	mkdir "$BATS_TEST_TMPDIR/empty"
	before=$(disk_hash "$LOOP" "$IMAGE")
	run --separate-stderr env PATH="$BATS_TEST_TMPDIR/empty" "$STORBOX" mkvolfs --device "$PART" \
		--fstype ext4
	[ "$status" -eq 4 ]
	[[ $stderr == *"mkfs.ext4: the program that makes ext4 is missing from PATH"* ]]
	[ "$(disk_hash "$LOOP" "$IMAGE")" = "$before" ]
}

wrap() { # NAME SCRIPT: a program of that name first in PATH, which itself sees the real ones
	: "${REAL_PATH:=$PATH}"
	mkdir -p "$BATS_TEST_TMPDIR/bin"
	printf '#!/bin/sh\nPATH=%s\n%s\n' "$REAL_PATH" "$2" >"$BATS_TEST_TMPDIR/bin/$1"
	chmod +x "$BATS_TEST_TMPDIR/bin/$1"
}

@test "the program fails: its own words, exit 1, the device as it was" {
	partition 20M
	wrap mkfs.ext4 'echo "out of luck" >&2; exit 3'
	PATH=$BATS_TEST_TMPDIR/bin:$PATH
	refused 1 "out of luck" mkvolfs --device "$PART" --fstype ext4
}

@test "the program fails half way: what it left is erased, the next try works" {
	partition 20M
	wrap mkfs.ext4 'mkfs.ext4 "$@"; exit 9'
	PATH=$BATS_TEST_TMPDIR/bin:$PATH
	box 1 mkvolfs --device "$PART" --fstype ext4 --label HALF
	[[ $stderr == *"exit status 9"* ]]
	[[ $stderr == *"half made was erased"* ]]
	run blkid -p "$PART"
	[[ $output != *ext4* ]]
	PATH=$REAL_PATH
	box mkvolfs --device "$PART" --fstype ext4 --label WHOLE
}

@test "the program lies: what it made is looked at" {
	partition 20M
	wrap mkfs.ext4 'exit 0'
	PATH=$BATS_TEST_TMPDIR/bin:$PATH
	refused 1 "is still empty after making ext4" mkvolfs --device "$PART" --fstype ext4
	wrap mkfs.ext4 'mkfs.ext4 -q -F -L OTHER "$5"'
	box 1 mkvolfs --device "$PART" --fstype ext4 --label MINE
	[[ $stderr == *"holds ext4 (label OTHER) after making ext4 (label MINE)"* ]]
}

@test "--force erases what is there, but never what is in use or a BIOS boot partition" {
	partition 20M
	sign ext4 "$PART"
	mkdir "$BATS_TEST_TMPDIR/mnt"
	mount -o ro "$PART" "$BATS_TEST_TMPDIR/mnt" # ext4 writes by itself
	refused 1 "is mounted at $BATS_TEST_TMPDIR/mnt" mkvolfs --device "$PART" --fstype swap --force
	umount "$BATS_TEST_TMPDIR/mnt"
	box mkvolfs --device "$PART" --fstype swap --force
	run blkid -p -o value -s TYPE "$PART"
	[ "$output" = swap ]
	partition 20M 512 bios_boot
	refused 1 "is a BIOS boot partition" mkvolfs --device "$PART" --fstype ext4 --force
}

@test "--dry-run: the step, the program's command line, no byte changed; replayed it does it" {
	partition 20M
	unchanged box mkvolfs --device "$PART" --fstype ext4 --label 'a b' --dry-run --jsonl
	[ "$(jq -r .why <<<"$output")" = "runs mkfs.ext4 -q -F -L 'a b' $PART" ]
	step=$(jq -r .command <<<"$output")
	[ "$step" = "mkvolfs --device $PART --fstype ext4 --label 'a b'" ]
	mkdir "$BATS_TEST_TMPDIR/links"
	"$STORBOX" --install "$BATS_TEST_TMPDIR/links"
	PATH=$BATS_TEST_TMPDIR/links:$PATH run bash -c "$step"
	[ "$status" -eq 0 ]
	[ "$(blkid -p -o value -s LABEL "$PART")" = 'a b' ]
}

@test "a table on stdin: volumes together, rows without a filesystem passed over, all checked first" {
	partition 300M
	a=$PART
	partition 300M
	printf 'path\tfstype\tlabel\tvolume\tprofile\n%s\tbtrfs\tP\tv\traid1\n%s\text4\tP\tv\traid1\n' "$a" "$PART" \
		>"$BATS_TEST_TMPDIR/in"
	unchanged box 2 mkvolfs - <"$BATS_TEST_TMPDIR/in"
	[[ $stderr == *"differs from another row of volume v"* ]]
	# the second cannot be made, so the first is not either
	printf 'path\tfstype\tlabel\n%s\text4\tFINE\n%s\text4\tTOO-LONG-FOR-EXT4-BY-FAR\n' "$PART" "$a" \
		>"$BATS_TEST_TMPDIR/in"
	unchanged box 2 mkvolfs - <"$BATS_TEST_TMPDIR/in"
	printf 'path\tfstype\tlabel\tvolume\tprofile\n%s\t-\t-\t-\t-\n%s\tswap\tS\t-\t-\n' "$a" "$PART" |
		"$STORBOX" mkvolfs - >"$BATS_TEST_TMPDIR/out"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/out")" -eq 2 ]
}
