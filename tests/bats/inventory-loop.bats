# tier: loop
# Real devices: each kind of content is named, keeps the disk from being taken, and is not touched.
load helpers
load loop

teardown() { loop_teardown; }

# cell COLUMN : of this test's disk in the table of disks.
cell() { "$STORBOX" topo disks --tsv -n -o "path,$1" | awk -F'\t' -v d="$LOOP" '$1 == d { print $2 }'; }

# why : what topo says against this test's disk; empty when nothing.
why() {
	"$STORBOX" topo --disk "$LOOP" -J -o name,reasons |
		jq -r '.[0].reasons[]?' | sed -n "s|^$LOOP: ||p"
}

@test "an empty disk is empty, and nothing speaks against it" {
	loop_new 300M
	[ "$(cell content)" = - ]
	[ "$(cell table)" = - ]
	[ "$(cell probe_error)" = - ]
	[ "$(cell type)" = virtual ]
	[ "$(cell model)" = "$IMAGE" ]
	[ "$(cell size_bytes)" = $((300 << 20)) ]
	[ -z "$(why)" ]
}

@test "every kind of content: what it is, that it refuses the disk, that looking changes nothing" {
	need_program sfdisk mkfs.ext4 mkfs.xfs mkfs.btrfs mkfs.vfat mkswap mksquashfs python3 jq
	while IFS='|' read -r kind column content words; do
		loop_new 400M
		sign "$kind" "$LOOP"
		before=$(disk_hash "$LOOP" "$IMAGE")
		echo "$kind: $(cell "$column"): $(why)"
		[ "$(cell "$column")" = "$content" ]
		[ "$(why)" = "$words" ]
		[ "$(disk_hash "$LOOP" "$IMAGE")" = "$before" ]
	done <<-'END'
		dos|table|dos|has a dos partition table with 1 partition
		gpt|table|gpt|has a gpt partition table with 1 partition
		ext4|content|ext4 (label ROOT)|holds an ext4 filesystem (label ROOT)
		xfs|content|xfs|holds an xfs filesystem
		btrfs|content|btrfs|holds a btrfs filesystem
		vfat|content|vfat|holds a vfat filesystem
		swap|content|swap|holds a swap area
		squashfs|content|squashfs|holds a squashfs filesystem
		luks|content|crypto_LUKS|holds a LUKS encrypted volume
		lvm|content|LVM2_member|is an LVM physical volume
		md|content|linux_raid_member (label host:0)|is a member of a Linux RAID array (label host:0)
		bcachefs|content|bcachefs|holds a bcachefs filesystem
		zfs|content|zfs_member|is a member of a ZFS pool
	END
}

@test "two signatures that contradict each other: both are named" {
	need_program mkfs.ext4 mkfs.xfs
	loop_new 400M
	mkfs.xfs -q "$LOOP"
	head -c 512 "$LOOP" >"$BATS_TEST_TMPDIR/xfs"
	mkfs.ext4 -q -F "$LOOP"
	dd if="$BATS_TEST_TMPDIR/xfs" of="$LOOP" conv=notrunc status=none
	[ "$(cell content)" = "conflicting signatures: xfs at 0, ext4 at 1080" ]
	[[ "$(why)" == "holds conflicting signatures: "* ]]
}

@test "half a GPT is a GPT: without protective MBR, without primary, without either copy" {
	loop_new 400M
	sign gpt "$LOOP"
	cp "$IMAGE" "$BATS_TEST_TMPDIR/whole"
	dd if=/dev/zero of="$LOOP" bs=512 count=1 conv=notrunc status=none
	[ "$(cell content)" = "damaged gpt" ]
	[ "$(why)" = "holds a damaged gpt signature" ]
	dd if="$BATS_TEST_TMPDIR/whole" of="$LOOP" bs=512 count=1 conv=notrunc status=none
	dd if=/dev/zero of="$LOOP" bs=512 seek=1 count=33 conv=notrunc status=none
	[ "$(cell table)" = gpt ]
	dd if=/dev/zero of="$LOOP" bs=512 seek=$(((400 << 11) - 33)) count=33 conv=notrunc status=none
	[ "$(cell table)" = PMBR ]
	[ "$(why)" = "has a protective MBR whose GPT is broken" ]
}

@test "a bcachefs whose superblock is gone is known by its layout" {
	loop_new 400M
	sign bcachefs "$LOOP"
	dd if=/dev/zero of="$LOOP" bs=512 seek=8 count=8 conv=notrunc status=none
	[ "$(cell content)" = "damaged bcachefs" ]
}

@test "a damaged superblock (wrong checksum) still counts" {
	need_program mkfs.btrfs
	loop_new 400M
	mkfs.btrfs -q "$LOOP"
	# The label's place: inside the checksummed part of the superblock at 64 KiB.
	printf 'X' | dd of="$LOOP" bs=1 seek=$((65536 + 0x12b)) conv=notrunc status=none
	[[ "$(cell content)" == *btrfs* ]]
	[[ "$(why)" == *btrfs* ]]
}

@test "a mounted filesystem: where; in another mount namespace too" {
	need_program mkfs.ext4 unshare
	loop_new 400M
	mkfs.ext4 -q -F -L HERE "$LOOP"
	mkdir "$BATS_TEST_TMPDIR/mnt"
	mount "$LOOP" "$BATS_TEST_TMPDIR/mnt"
	[ "$(cell used_by)" = "mounted at $BATS_TEST_TMPDIR/mnt" ]
	[ "$(why)" = "is in use: mounted at $BATS_TEST_TMPDIR/mnt" ]
	umount "$BATS_TEST_TMPDIR/mnt"
	[ "$(cell used_by)" = - ]
	mkfifo "$BATS_TEST_TMPDIR/ready" "$BATS_TEST_TMPDIR/end"
	unshare -m --propagation private sh -c 'mount "$1" "$2" && echo yes >"$3" && read -r x <"$4"' \
		sh "$LOOP" "$BATS_TEST_TMPDIR/mnt" "$BATS_TEST_TMPDIR/ready" "$BATS_TEST_TMPDIR/end" 3>&- &
	timeout 10 cat "$BATS_TEST_TMPDIR/ready"
	used=$(cell used_by)
	echo end >"$BATS_TEST_TMPDIR/end"
	wait
	[ "$used" = "mounted (ext4) in another mount namespace" ]
}

@test "both devices of a mounted btrfs pair are in use" {
	need_program mkfs.btrfs
	loop_new 400M
	first=$LOOP
	loop_new 400M
	second=$LOOP
	mkfs.btrfs -q -L PAIR -m raid1 -d raid1 "$first" "$second"
	mkdir "$BATS_TEST_TMPDIR/mnt"
	mount -o "device=$second" "$first" "$BATS_TEST_TMPDIR/mnt"
	LOOP=$first
	[ "$(cell used_by)" = "mounted at $BATS_TEST_TMPDIR/mnt" ]
	LOOP=$second
	[ "$(cell used_by)" = "mounted at $BATS_TEST_TMPDIR/mnt" ]
	box topo filesystems -J
	[ "$(jq -c ".[] | select(.label == \"PAIR\") | [.devices, .total_devices, .size_bytes]" <<<"$output")" = \
		"[[\"$first\",\"$second\"],2,$((800 << 20))]" ]
	umount "$BATS_TEST_TMPDIR/mnt"
}

@test "swap in use, a partition's use, a read-only disk, a loop over a partition" {
	need_program sfdisk mkswap partx
	loop_new 400M
	printf '%s\n' 'label: gpt' 'start=2048, size=204800, name="the swap"' 'start=206848, size=204800' |
		sfdisk -q --no-reread --no-tell-kernel "$LOOP"
	loop_partitions "$LOOP"
	mkswap -L S "${LOOP}p1" >/dev/null
	swapon "${LOOP}p1"
	name=${LOOP#/dev/}
	[ "$(cell used_by)" = "${name}p1 swap" ]
	box topo partitions --tsv -n -o path,name,fstype,label,mount_points,start_bytes,size_bytes
	grep -qxF "${LOOP}p1	the swap	swap	S	[SWAP]	1048576	104857600" <<<"$output"
	swapoff "${LOOP}p1"
	over=$(losetup --find --show "${LOOP}p2")
	used=$(cell used_by)
	losetup --detach "$over"
	[ "$used" = "${name}p2 held by ${over#/dev/}" ]
	box topo free-space "$LOOP" --tsv -n -o start_bytes,size_bytes
	[ "$output" = "$((201 << 20))	$(((399 - 201) << 20))" ]
	blockdev --setro "$LOOP"
	[ "$(cell read_only)" = true ]
	[ "$(why)" = "is read-only" ]
	blockdev --setrw "$LOOP"
}

@test "4096-byte sectors: the GPT is found where it is" {
	need_program sfdisk
	loop_new 400M 4096
	echo ',,' | sfdisk -q --no-reread --no-tell-kernel -X gpt "$LOOP"
	[ "$(cell logical_sector_bytes)" = 4096 ]
	[ "$(cell table)" = gpt ]
}

@test "the bytes that a template promises are those that it gives" {
	loop_new 400M
	box topo layout BtrfsSingle --disk "$LOOP" --tsv
	layout=$output
	want=$("$STORBOX" topo --disk "$LOOP" --tsv -n -o name,usable_bytes | awk '$1 == "BtrfsSingle" { print $2 }')
	run --separate-stderr "$STORBOX" mkpart - <<<"$layout"
	echo "$output$stderr"
	[ "$status" -eq 0 ]
	[ "$("$STORBOX" topo partitions --tsv -n -o path,size_bytes | awk -v p="${LOOP}p1" '$1 == p { print $2 }')" = "$want" ]
}
