# Loop devices for tests that write to disks: `load loop` after `load helpers`. Needs root.
# A file that loads this calls loop_teardown from its teardown().

# attach IMAGE [SECTOR_BYTES]: its loop device, remembered for the teardown. Sets $LOOP.
attach() {
	LOOP=$(losetup --find --show --sector-size "${2:-512}" "$1")
	echo "$LOOP" >>"$BATS_TEST_TMPDIR/loops"
	loop_no_partitions "$LOOP"
}

# loop_new SIZE [SECTOR_BYTES]: a new sparse image, its loop device. Sets $LOOP and $IMAGE.
loop_new() {
	need_root
	IMAGE=$(mktemp "$BATS_TEST_TMPDIR/disk.XXXXXX")
	truncate -s "$1" "$IMAGE"
	attach "$IMAGE" "${2:-512}"
}

# loop_no_partitions LOOP: the kernel forgets them. It keeps them when the loop is detached, so the next
# image would have them; one that a process about to end still holds is tried again.
loop_no_partitions() {
	local tries=100
	while compgen -G "/sys/block/${1##*/}/${1##*/}p*" >/dev/null && [ $((tries--)) -gt 0 ]; do
		partx --delete "$1" 2>/dev/null || sleep 0.05
	done
}

# loop_partitions LOOP: tells the kernel what the table has; not every kernel scans loops itself.
loop_partitions() {
	partx --add "$1" 2>/dev/null || partx --update "$1"
}

# Only what this test attached.
loop_teardown() {
	local loop part
	[ -e "$BATS_TEST_TMPDIR/loops" ] || return 0
	while read -r loop; do
		for part in "$loop" "$loop"p*; do
			[ -b "$part" ] || continue
			swapoff "$part" 2>/dev/null || true
			while umount "$part" 2>/dev/null; do :; done
		done
		loop_no_partitions "$loop"
		blockdev --setrw "$loop" 2>/dev/null || true # else the next image inherits it
		losetup --detach "$loop" 2>/dev/null || true
	done <"$BATS_TEST_TMPDIR/loops"
}

# Everything that is on the disk, as one line.
disk_hash() { # LOOP IMAGE
	blockdev --flushbufs "$1"
	sync -f "$2"
	hash_of_data "$2"
}

# unchanged COMMAND...: runs it, then the whole image is what it was, byte for byte.
unchanged() {
	local before after
	before=$(disk_hash "$LOOP" "$IMAGE")
	"$@"
	after=$(disk_hash "$LOOP" "$IMAGE")
	[ "$before" = "$after" ]
}

# refused STATUS WORDS ARGS...: storbox refuses in one line that has the words, and says nothing on
# stdout; the disk of $LOOP is what it was.
refused() {
	local status=$1 words=$2
	shift 2
	unchanged box "$status" "$@"
	[ -z "$output" ]
	[[ ${stderr_lines[0]} == *"$words"* ]]
	[ "${#stderr_lines[@]}" -le 2 ]
	[ "${#stderr_lines[@]}" -eq 1 ] || [[ ${stderr_lines[1]} == "Try '"* ]]
}

# sign KIND DEVICE: what another owner would leave. By its own program where that needs no kernel.
sign() {
	case $1 in
	dos | gpt)
		echo ',,' | sfdisk -q --no-reread --no-tell-kernel -X "$1" "$2" 2>/dev/null
		[[ $2 == *p[0-9] ]] || partx --delete "$2" 2>/dev/null || true
		;;
	conflict) # a btrfs, and the superblock of an ext4
		mkfs.btrfs -q -f "$2" >/dev/null
		truncate -s 120M "$BATS_TEST_TMPDIR/ext4"
		mkfs.ext4 -q "$BATS_TEST_TMPDIR/ext4"
		dd if="$BATS_TEST_TMPDIR/ext4" of="$2" bs=1k skip=1 seek=1 count=1 conv=notrunc status=none
		;;
	ext4) mkfs.ext4 -q -F -L ROOT "$2" ;;
	xfs) mkfs.xfs -q -f "$2" ;;
	btrfs) mkfs.btrfs -q -f "$2" >/dev/null ;;
	vfat) mkfs.vfat -I "$2" >/dev/null ;;
	swap) mkswap "$2" >/dev/null 2>&1 ;;
	squashfs) mksquashfs "$BATS_TEST_DIRNAME/loop.bash" "$BATS_TEST_TMPDIR/sq" -quiet -noappend \
		>/dev/null && dd if="$BATS_TEST_TMPDIR/sq" of="$2" conv=notrunc status=none ;;
	*) python3 "$BATS_TEST_DIRNAME/signature.py" "$1" "$2" ;;
	esac
}

# In the background: holds DEVICE open exclusively until `kill $HOLDER`.
hold_exclusively() { # DEVICE
	python3 -c 'import os, sys, time
os.open(sys.argv[1], os.O_RDWR | os.O_EXCL)
print("held", flush=True)
time.sleep(60)' "$1" >"$BATS_TEST_TMPDIR/held" 3>&- &
	HOLDER=$!
	until [ -s "$BATS_TEST_TMPDIR/held" ]; do sleep 0.02; done
}
