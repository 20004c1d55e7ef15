# tier: loop
# mos-sysvol on one loop device: made, found again, replayed by hand, killed at each program's start
# and end, stopped, refused.
load helpers
load loop

setup() {
	need_root
	need_program mkfs.btrfs mkfs.ext4 mkfs.vfat mkswap sfdisk
	T=$BATS_TEST_TMPDIR/mnt
	mkdir -p "$T"
	loop_new 3300M
	# A device that was let go of while in use keeps the partitions of then.
	partx --delete "$LOOP" 2>/dev/null || true
	PART="$LOOP"p
}
teardown() {
	thaw
	unmount_all
	loop_teardown
}

unmount_all() {
	local dir
	for dir in "$T"/boot/efi "$T"/boot "$T"/var/cache/{system,etc,modules,vm-meta}; do
		! mountpoint -q "$dir" || umount "$dir"
	done
	[ ! -b "${PART}4" ] || swapoff "${PART}4" 2>/dev/null || true
}

# Status 0 also where this kernel has no vfat: a node without /boot/efi still runs.
sysvol() { box mos-sysvol --disk "$LOOP" --size 1 --swap 1 --wait 0 --target "$T" "$@"; }

# Partition names, types and sizes, and what is in them, without what differs each time.
contents() { # LOOP
	sfdisk --dump "$1" | sed -n 's/^.* : //p' | sed 's/, uuid=[^,]*//; s/ //g'
	blockdev --flushbufs "$1"
	for n in 1 2 3 4 5; do
		echo "$n $(blkid -p -o value -s TYPE -s LABEL "${1}p$n" | tr '\n' ' ')"
	done
}

complete() {
	local dir
	[[ $(sfdisk --dump "$LOOP" | grep -o 'name=.*' | tr '\n' ' ') == \
		'name="mosbios" name="mosefi" name="mosboot" name="mosswap" name="mosdata" ' ]]
	for dir in system etc modules vm-meta; do
		mountpoint "$T/var/cache/$dir"
		[ "$(stat -c %i "$T/var/cache/$dir")" = 256 ]
		touch "$T/var/cache/$dir/works"
	done
	mountpoint "$T/boot"
	grep -q "^${PART}4 " /proc/swaps
}

# All that an image holds; its holes are zeroes.
image_hash() {
	sync
	blockdev --flushbufs "$LOOP"
	hash_of_data "$IMAGE"
}

# That of an image of this size with nothing in it.
empty_hash() {
	truncate -s "$(stat -c %s "$IMAGE")" "$BATS_TEST_TMPDIR/empty"
	hash_of_data "$BATS_TEST_TMPDIR/empty"
}

# ext4 and btrfs go on writing by themselves for seconds after the first mount, longer on a busy machine.
# Frozen, they keep to what is on the disk; who writes through them waits. (Not so an access time: the
# kernel leaves it as it is.)
freeze() {
	fsfreeze --freeze "$T/boot"
	fsfreeze --freeze "$T/var/cache/system"
}
thaw() {
	local dir
	for dir in "$T/boot" "$T/var/cache/system"; do
		! mountpoint -q "$dir" || fsfreeze --unfreeze "$dir" 2>/dev/null || true
	done
}

@test "made on one empty disk, then a second run changes nothing, byte for byte" {
	sysvol
	complete
	[[ $output == *"empty, the only one"* ]]
	[[ $output == *"$T/var/cache/system"*"brought up"* ]]
	freeze
	before=$(image_hash)
	# If it wrote through a filesystem, let it: it could not be killed, and the hash tells.
	(sleep 60 && thaw) >/dev/null 2>&1 3>&- &
	thawing=$!
	sysvol
	kill "$thawing"
	[[ $output == *"already there"* ]]
	[[ $output != *"brought up"* ]]
	[ "$(image_hash)" = "$before" ]
	thaw
	sysvol --dry-run
	[[ $output != *mkpart* ]]
	[[ $output != *mkvolfs* ]]
}

@test "found again after a detach, whatever sizes are asked for then" {
	sysvol
	echo kept >"$T/var/cache/etc/file"
	unmount_all
	partx --delete "$LOOP"
	losetup --detach "$LOOP"
	LOOP=$(losetup --find --show "$IMAGE")
	echo "$LOOP" >>"$BATS_TEST_TMPDIR/loops"
	PART="$LOOP"p
	loop_partitions "$LOOP"
	box mos-sysvol --disk "$LOOP" --size 2 --wait 0 --target "$T"
	complete
	[ "$(cat "$T/var/cache/etc/file")" = kept ]
}

@test "the plan that --dry-run prints, run by hand, makes the same" {
	sysvol --dry-run --jsonl
	[ "$(image_hash)" = "$(empty_hash)" ]
	mkdir "$BATS_TEST_TMPDIR/bin"
	for name in mkpart mkvolfs subvol mos-sysvol; do
		ln -s "$STORBOX" "$BATS_TEST_TMPDIR/bin/$name"
	done
	python3 - >"$BATS_TEST_TMPDIR/plan" 3<<<"$output" <<-'PY'
		import json
		for line in open("/dev/fd/3"):
		    row = json.loads(line)
		    row = row.get("plan", row)
		    if "command" in row:
		        print(row["command"])
	PY
	cat "$BATS_TEST_TMPDIR/plan"
	[ "$(grep -c . "$BATS_TEST_TMPDIR/plan")" -gt 10 ]
	mkdir -p "$T"/boot/efi "$T"/var/cache/{system,etc,modules,vm-meta}
	# mount -t vfat may fail here, as it may for the executor.
	while read -r line; do
		PATH=$BATS_TEST_TMPDIR/bin:$PATH sh -c "$line" || [[ $line == mount*/boot* ]]
		[[ $line != mount*ext4* ]] || mkdir -p "$T/boot/efi"
	done <"$BATS_TEST_TMPDIR/plan"
	complete
	by_hand=$(contents "$LOOP")
	unmount_all
	loop_new 3300M
	PART="$LOOP"p
	sysvol
	complete
	[ "$(contents "$LOOP")" = "$by_hand" ]
}

# wrapper PROGRAM before|after SIGNAL: in PATH a program of that name that signals storbox once.
wrapper() {
	local real
	real=$(type -P "$1")
	mkdir -p "$BATS_TEST_TMPDIR/wrap"
	{
		echo '#!/bin/sh'
		echo "if [ ! -e $BATS_TEST_TMPDIR/done ]; then : >$BATS_TEST_TMPDIR/done"
		[ "$2" = before ] || echo "$real \"\$@\""
		echo "kill -$3 \$PPID"
		[ "$2$3" != beforeINT ] || echo "sleep 0.2; exec $real \"\$@\""
		echo "exit; fi; exec $real \"\$@\""
	} >"$BATS_TEST_TMPDIR/wrap/$1"
	chmod +x "$BATS_TEST_TMPDIR/wrap/$1"
}

@test "killed at the start and the end of each program: the next run starts afresh and completes" {
	for program in mkfs.vfat mkfs.ext4 mkswap mkfs.btrfs; do
		for when in before after; do
			rm -rf "$BATS_TEST_TMPDIR/wrap" "$BATS_TEST_TMPDIR/done"
			wrapper $program $when KILL
			PATH=$BATS_TEST_TMPDIR/wrap:$PATH box 137 mos-sysvol --disk "$LOOP" --size 1 \
				--swap 1 --wait 0 --target "$T"
			[ -e "$BATS_TEST_TMPDIR/done" ]
			run mountpoint -q "$T/var/cache/system"
			[ "$status" -ne 0 ]
			[[ $(sfdisk --dump "$LOOP") == *mosdata.new* ]]
			sysvol
			[[ $output == *"left unfinished by an earlier run: starts afresh"* ]]
			complete
			unmount_all
			# The next round begins with an empty disk.
			partx --delete "$LOOP"
			blkdiscard -f "$LOOP"
		done
	done
}

@test "stopped by SIGINT in a program: nothing is mounted, and a run again completes" {
	for program in mkfs.ext4 mkfs.btrfs; do
		rm -rf "$BATS_TEST_TMPDIR/wrap" "$BATS_TEST_TMPDIR/done"
		wrapper $program before INT
		PATH=$BATS_TEST_TMPDIR/wrap:$PATH run --separate-stderr "$STORBOX" mos-sysvol \
			--disk "$LOOP" --size 1 --swap 1 --wait 0 --target "$T"
		echo "$status $stderr"
		[ "$status" -ne 0 ]
		[[ $stderr == *stopped* ]]
		run grep "$T" /proc/self/mountinfo
		[ "$status" -ne 0 ]
		run grep "^${PART}4 " /proc/swaps
		[ "$status" -ne 0 ]
		sysvol
		complete
		unmount_all
		partx --delete "$LOOP"
		blkdiscard -f "$LOOP"
	done
}

@test "a missing program is found before the first write" {
	before=$(image_hash)
	for missing in mkfs.btrfs mkfs.ext4 mkfs.vfat mkswap; do
		mkdir "$BATS_TEST_TMPDIR/path-$missing"
		for program in mkfs.btrfs mkfs.ext4 mkfs.vfat mkswap; do
			[ $program = $missing ] || ln -s "$(type -P $program)" "$BATS_TEST_TMPDIR/path-$missing/"
		done
		run --separate-stderr env PATH="$BATS_TEST_TMPDIR/path-$missing" "$STORBOX" mos-sysvol \
			--disk "$LOOP" --size 1 --swap 1 --wait 0 --target "$T"
		[ "$status" -eq 4 ]
		[[ $stderr == *"$missing"*"missing from PATH"*"nothing was changed"* ]]
		[ "$(image_hash)" = "$before" ]
	done
}

@test "two disks and no mdadm: found before the first write" {
	local first=$LOOP
	before=$(image_hash)
	mkdir "$BATS_TEST_TMPDIR/bin"
	for program in mkfs.btrfs mkfs.ext4 mkfs.vfat mkswap; do
		ln -s "$(type -P $program)" "$BATS_TEST_TMPDIR/bin/"
	done
	PATH=$BATS_TEST_TMPDIR/bin run ! command -v mdadm
	loop_new 3300M
	run --separate-stderr env PATH="$BATS_TEST_TMPDIR/bin" "$STORBOX" mos-sysvol --disk "$first" \
		--disk "$LOOP" --size 1 --swap 1 --wait 0 --target "$T"
	[ "$status" -eq 4 ]
	[[ $stderr == *"mdadm"*"missing from PATH"*"nothing was changed"* ]]
	[ "$(image_hash)" = "$(empty_hash)" ]
	LOOP=$first IMAGE=$(losetup --noheadings --output BACK-FILE "$first")
	[ "$(image_hash)" = "$before" ]
}

@test "a program that fails: the error has its words, and a run again completes" {
	mkdir "$BATS_TEST_TMPDIR/wrap"
	printf '#!/bin/sh\necho "no luck today" >&2\nexit 3\n' >"$BATS_TEST_TMPDIR/wrap/mkswap"
	chmod +x "$BATS_TEST_TMPDIR/wrap/mkswap"
	PATH=$BATS_TEST_TMPDIR/wrap:$PATH box 1 mos-sysvol --disk "$LOOP" --size 1 --swap 1 --wait 0 \
		--target "$T"
	[[ $stderr == *"no luck today"* ]]
	sysvol
	complete
}

@test "each kind of signature on each of three disks, named with an empty one: refused, all unchanged" {
	local kind at other n dir=$BATS_TEST_TMPDIR
	local -a disk image
	disk[0]=$LOOP image[0]=$IMAGE
	for n in 1 2; do
		loop_new 3300M
		disk[n]=$LOOP image[n]=$IMAGE
	done
	for kind in dos gpt ext4 xfs btrfs vfat swap luks lvm md bcachefs zfs squashfs conflict; do
		truncate -s 0 "$dir/signed"
		truncate -s 3300M "$dir/signed"
		sign $kind "$dir/signed"
		before=$(hash_of_data "$dir/signed")
		for at in 0 1 2; do
			losetup --detach "${disk[at]}"
			losetup "${disk[at]}" "$dir/signed"
			# Beside the next one in one order and the other.
			other=${disk[(at + 1) % 3]}
			set -- "${disk[at]}" "$other"
			[ $at != 1 ] || set -- "$other" "${disk[at]}"
			box 1 mos-sysvol --disk "$1" --disk "$2" --size 1 --swap 1 --wait 0 --target "$T"
			[[ $stderr == *"${disk[at]}: "* ]]
			blockdev --flushbufs "${disk[at]}"
			losetup --detach "${disk[at]}"
			losetup "${disk[at]}" "${image[at]}"
		done
		[ "$(hash_of_data "$dir/signed")" = "$before" ]
	done
	for n in 0 1 2; do
		LOOP=${disk[n]} IMAGE=${image[n]}
		[ "$(image_hash)" = "$(empty_hash)" ]
	done
}

# halved : on $LOOP the tables and the data partition of a mirror's half, with provisional names.
halved() {
	partx --delete "$LOOP" 2>/dev/null || true
	printf '%s\n' 'label: gpt' 'size=1M, name=mosbios.new' 'size=100M, name=mosefi.new' \
		'size=1G, name=mosboot.new' 'size=1G, name=mosswap.new' 'size=1G, name=mosdata.new' |
		sfdisk -q --no-reread "$LOOP"
	loop_partitions "$LOOP"
	truncate -s 0 "$BATS_TEST_TMPDIR"/half{1,2}
	truncate -s 1G "$BATS_TEST_TMPDIR"/half{1,2}
	mkfs.btrfs -q -L MOSDATA -d raid1 -m raid1 "$BATS_TEST_TMPDIR"/half{1,2}
	dd if="$BATS_TEST_TMPDIR/half1" of="${PART}5" bs=64k conv=sparse,notrunc,fsync status=none
}

@test "half of a mirror with provisional names, alone: refused, unchanged; of an earlier table: redone" {
	for epoch in 1 0; do
		halved
		box mos-sysvol --record-peer --device "${PART}1" --peer "serial GONE" --epoch $epoch
		before=$(image_hash)
		box 1 mos-sysvol --disk "$LOOP" --size 1 --swap 1 --wait 0 --target "$T"
		[[ $stderr == *"$LOOP"*"missing"* ]]
		[ $epoch = 0 ] || [[ $stderr == *"serial GONE"* ]]
		[ "$(image_hash)" = "$before" ]
	done
	box mos-sysvol --record-peer --device "${PART}1"
	sysvol --dry-run
	[[ $output == *"left unfinished by an earlier run: starts afresh"* ]]
	halved
	sysvol
	[[ $output == *"left unfinished by an earlier run: starts afresh"* ]]
	complete
}

@test "half of a mirror with provisional names and a damaged table: mended from the backup, then refused" {
	halved
	box mos-sysvol --record-peer --device "${PART}1" --peer "serial GONE" --epoch 1
	before=$(image_hash)
	loop_no_partitions "$LOOP"
	head -c 512 /dev/zero | dd of="$LOOP" bs=512 seek=1 conv=notrunc,fsync status=none
	damaged=$(image_hash)
	[ "$damaged" != "$before" ]
	run --separate-stderr "$STORBOX" mos-sysvol --disk "$LOOP" --size 1 --swap 1 --wait 0 --target "$T" --dry-run
	[[ $stderr == *"$LOOP"*"writes it whole"* ]]
	[ "$(image_hash)" = "$damaged" ]
	box 1 mos-sysvol --disk "$LOOP" --size 1 --swap 1 --wait 0 --target "$T"
	[[ $stderr == *"$LOOP"*"missing"*"serial GONE"* ]]
	[ "$(image_hash)" = "$before" ]
}

@test "a provisional name beside any other partition is not ours to redo" {
	printf 'label: gpt\nsize=10M, name=mosdata.new\nsize=10M, name=mine\n' | sfdisk -q "$LOOP"
	loop_partitions "$LOOP"
	before=$(image_hash)
	box 1 mos-sysvol --disk "$LOOP" --size 1 --swap 1 --wait 0 --target "$T"
	[[ $stderr == *"gpt partition table"* ]]
	[ "$(image_hash)" = "$before" ]
}

@test "a filesystem made on the whole of an unfinished disk is respected" {
	printf 'label: gpt\nsize=10M, name=mosdata.new\n' | sfdisk -q "$LOOP"
	partx --delete "$LOOP" || true
	# As mkfs.ext4 does it, which leaves the backup table at the end alone.
	mkfs.ext4 -q -F "$LOOP"
	before=$(image_hash)
	box 1 mos-sysvol --disk "$LOOP" --size 1 --swap 1 --wait 0 --target "$T"
	[[ $stderr == *ext4* ]]
	[ "$(image_hash)" = "$before" ]
	box 1 mkpart --new-table --replace-provisional --disk "$LOOP" x.new:linux:10M
	[ "$(image_hash)" = "$before" ]
}

@test "a disk that is attached late is waited for, no longer than it takes" {
	local late pid tries
	partx --delete "$LOOP" 2>/dev/null || true
	losetup --detach "$LOOP"
	# Another test may take the device that is free now: then the next one.
	for tries in 1 2 3; do
		late=$(losetup --find)
		"$STORBOX" mos-sysvol --disk "$late" --size 1 --swap 1 --wait 300 --target "$T" \
			>"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
		pid=$!
		sleep 1
		losetup "$late" "$IMAGE" && break
		kill -INT $pid
		wait $pid || true
	done
	LOOP=$late PART=${late}p
	echo "$LOOP" >>"$BATS_TEST_TMPDIR/loops"
	SECONDS=0
	wait $pid
	cat "$BATS_TEST_TMPDIR/out"
	[ "$SECONDS" -lt 200 ]
	complete
}

@test "a cut that tore the first superblock of MOSDATA: mended from another copy" {
	need_program btrfs
	sysvol
	echo kept >"$T/var/cache/etc/file"
	unmount_all
	# Of its 4096 bytes two sectors, behind the fields by which it is known.
	dd if=/dev/zero of="${PART}5" bs=512 seek=$((65536 / 512 + 4)) count=2 conv=notrunc,fsync status=none
	box mos-sysvol --disk "$LOOP" --wait 0 --target "$T"
	[[ $stderr == *"super-recover"* ]]
	complete
	[ "$(cat "$T/var/cache/etc/file")" = kept ]
}

# boot_torn OFFSET : on disk, as a cut leaves it, MOSBOOT with its journal to be replayed and two bytes that
# are of another write than the checksum beside them.
boot_torn() {
	local start
	echo kept >"$T/boot/file"
	sync -f "$T/boot"
	start=$(($(cat "/sys/class/block/${PART#/dev/}3/start") / 2048))
	dd if="$IMAGE" of="$BATS_TEST_TMPDIR/cut" bs=1M skip=$start count=1024 conv=sparse status=none
	unmount_all
	printf '\125\252' | dd of="$BATS_TEST_TMPDIR/cut" bs=1 seek="$1" conv=notrunc status=none
	blkdiscard -f "${PART}3"
	dd if="$BATS_TEST_TMPDIR/cut" of="${PART}3" bs=64k conv=sparse,notrunc,fsync status=none
}

@test "a cut that tore the group descriptors of MOSBOOT: mended by e2fsck from the journal" {
	need_program e2fsck
	sysvol
	boot_torn $((4096 + 12)) # a counter of the first one
	mkdir "$BATS_TEST_TMPDIR/wrap"
	ln -s "$(type -P false)" "$BATS_TEST_TMPDIR/wrap/e2fsck"
	PATH=$BATS_TEST_TMPDIR/wrap:$PATH box 1 mos-sysvol --disk "$LOOP" --wait 0 --target "$T"
	[[ $stderr == *"$T/boot: "*"the filesystem is damaged"* ]]
	sysvol
	[[ $stderr == *"e2fsck -p replays its journal"* ]]
	complete
	[ "$(cat "$T/boot/file")" = kept ]
}

@test "a cut that tore the superblock of MOSBOOT: mended by e2fsck from its copy, and the journal" {
	need_program e2fsck
	sysvol
	boot_torn $((1024 + 0x30)) # s_wtime
	run mount -t ext4 "${PART}3" "$T/boot"
	[ "$status" -ne 0 ]
	sysvol
	[[ $stderr == *"its superblock is torn"* ]]
	complete
	[ "$(cat "$T/boot/file")" = kept ]
}

@test "only one run at a time" {
	exec 8>/run/mos-sysvol.lock
	flock 8
	box 1 mos-sysvol --disk "$LOOP" --size 1 --swap 1 --wait 0 --target "$T"
	[[ $stderr == *"another mos-sysvol is at work"* ]]
	exec 8>&-
}

@test "--status: nothing there, all well, and what is missing" {
	box 3 mos-sysvol --status --target "$T"
	sysvol
	box 3 mos-sysvol --status --target "$T" --tsv || [ "$status" -eq 0 ]
	[[ $output == *"$LOOP"*"partition table	true	good"* ]]
	[[ $output == *"$T/var/cache/system	mount	true	mounted"* ]]
	umount "$T/var/cache/modules"
	box 3 mos-sysvol --status --target "$T" --tsv
	[[ $output == *"$T/var/cache/modules	mount	false	not mounted"* ]]
	sysvol
	mountpoint "$T/var/cache/modules"
}
