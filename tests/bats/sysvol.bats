# mos-sysvol's rules, on recorded machines: which disks it takes, what it says, what it is told.
load helpers
load machine

plan() { # [STATUS] ARGS... : on $ROOT, as TSV
	local want=0
	[[ ${1-} =~ ^[0-9]+$ ]] && { want=$1; shift; }
	box "$want" mos-sysvol --dry-run --tsv --wait 0 --sysroot "$ROOT" "$@"
}

# disk PATH: its row's "taken reason"
disk() { awk -F'\t' -v d="$1" '$1 == d && ($5 == "true" || $5 == "false") { print $5 " " $6 }' <<<"$output"; }
steps() { awk -F'\t' '$1 ~ /^[0-9]+$/ { print $3 }' <<<"$output"; }

# empty DISK...: empties these of many_disks, by images that hold nothing.
empty() {
	local d
	for d in "$@"; do
		mkdir -p "$ROOT/dev"
		truncate -s "$(($(cat "$ROOT/sys/block/$d/size") * 512))" "$ROOT/dev/$d"
	done
}
grow() { echo "$2" >"$(realpath "$ROOT/sys/block/$1")/size"; }

@test "three empty disks of three types: the closest sizes" {
	machine empty-mix
	plan
	[ "$(disk /dev/nvme0n1)" = "true empty, half of the best pair" ]
	[ "$(disk /dev/sda)" = "true empty, half of the best pair" ]
	[ "$(disk /dev/sdb)" = "false empty, but another pair fits better" ]
	[ "$(steps | head -n 2 | cut -d ' ' -f 1-4)" = "mkpart --new-table --disk /dev/nvme0n1
mkpart --new-table --disk /dev/sda" ]
	[ "$(steps | grep -c -- --rename)" -eq 2 ]
	# The renames are the commit: nothing but bringing it up comes after them.
	[ "$(steps | sed '1,/--rename/d' | grep -v -- --rename | cut -d ' ' -f 1 | sort -u | tr '\n' ' ')" = \
		"btrfs mount swapon " ]
}

@test "same type comes before the closest size" {
	machine server-md-lvm
	plan
	[[ $(disk /dev/sda) == "false is the disk that the system runs from"* ]]
	[ "$(disk /dev/sdc)" = "true empty, half of the best pair" ]
	[ "$(disk /dev/sdd)" = "true empty, half of the best pair" ]
	[ "$(disk /dev/sde)" = "false empty, but another pair fits better" ]
}

@test "of equal ones the closest pair, and then the first by name" {
	many_disks 5
	empty sda sdb sdc sdd sde
	for d in sda sdb sdc sdd sde; do grow $d 20000000; done
	plan
	[[ $(disk /dev/sda) == true* ]]
	[[ $(disk /dev/sdb) == true* ]]
	[[ $(disk /dev/sdc) == false* ]]
	grow sda 30000000
	grow sdc 40000000
	grow sde 40000008
	empty sda sdc sde
	plan
	[[ $(disk /dev/sdb) == true* ]]
	[[ $(disk /dev/sdd) == true* ]]
	# Sizes as near as that of another pair: the larger.
	grow sdd 50000000
	grow sdb 60000000
	empty sdd sdb
	plan
	[[ $(disk /dev/sdc) == true* ]]
	[[ $(disk /dev/sde) == true* ]]
}

@test "never: the boot disk, disks in use, with content, unreadable, removable, over a network" {
	machine btrfs-raid1
	plan 1
	[[ $(disk /dev/sda) == "false is the disk that the system runs from"* ]]
	[[ $(disk /dev/sdb) == "false is in use: mounted at /data"* ]]
	[[ $(disk /dev/sdd) == "false holds a btrfs"* ]]
	[[ $(disk /dev/sdf) == "false cannot be probed"* ]]
	[[ $stderr == *"no disk is empty"* ]]
	ROOT=$BATS_TEST_TMPDIR/usb
	machine usb-stick-hdd
	plan 1
	[[ $(disk /dev/sdc) == "false is removable" ]]
	ROOT=$BATS_TEST_TMPDIR/fc
	machine multipath-fc
	plan 1
	[[ $(disk /dev/sdd) == "false is in use: held by dm-1"* ]]
	[[ $(disk /dev/mapper/mpathb) == "false a multipath disk cannot hold the storage" ]]
}

@test "too small: the size that is needed is named" {
	many_disks 1
	grow sda 2000000
	empty sda
	plan 1
	[[ $(disk /dev/sda) == "false too small: "*", the layout needs 7.1G" ]]
	plan 1 --size 100
	[[ $(disk /dev/sda) == *"the layout needs 103G"* ]]
}

@test "the kernel command line: sizes and disks; options override; the last one wins" {
	machine empty-mix
	fake proc/cmdline 'root=/dev/ram0 mossize=8 mosswap=3 mossize=16 quiet'
	plan
	[[ $(steps | head -n 1) == *"mosswap.new:swap:$((3 << 30)) mosdata.new:linux:$((16 << 30))" ]]
	plan --size 5
	[[ $(steps | head -n 1) == *"mosswap.new:swap:$((3 << 30)) mosdata.new:linux:$((5 << 30))" ]]
	fake proc/cmdline 'mosdisk=S3Z8NB0K000001'
	plan
	[ "$(disk /dev/sda)" = "true empty, the only one" ]
	[ "$(disk /dev/sdb)" = "false not named by mosdisk" ]
	fake proc/cmdline 'mosdisk=0x5000c500c0000001,/dev/nvme0n1'
	plan
	[ "$(disk /dev/sda)" = "false not named by mosdisk" ]
	[[ $(disk /dev/sdb) == true* ]]
	[[ $(disk /dev/nvme0n1) == true* ]]
	plan --disk sda
	[[ $(disk /dev/sda) == "true empty, the only one" ]]
}

@test "bad words are refused" {
	machine empty-mix
	for bad in mossize=x mossize= mossize=-1 mossize=0 mosswap=1.5 mossize=99999999999999999999 \
		mossize=18446744073709551615; do
		fake proc/cmdline "$bad"
		plan 2
		[[ $stderr == *"${bad%%=*}: "* ]]
		[ -z "$output" ]
	done
	fake proc/cmdline mosdisk=a,b,c
	plan 2
	[[ $stderr == *"two disks at most"* ]]
	fake proc/cmdline mosdisk=NOSUCH
	plan 1
	[[ $stderr == *"NOSUCH: no such disk"* ]]
	fake proc/cmdline quiet
	plan 2 --target mnt
	[[ $stderr == *"absolute"* ]]
	plan 2 --size -1
	plan 2 --wait x
}

@test "a recorded machine is only ever planned for" {
	machine empty-mix
	box 2 mos-sysvol --wait 0 --sysroot "$ROOT"
	box 2 mos-sysvol --repair sda --sysroot "$ROOT"
	box 3 mos-sysvol --status --sysroot "$ROOT"
	[[ $output == *"not found"* ]]
}

@test "each kind of signature on each disk of a machine of three: never taken, all unchanged" {
	local kind signed d other
	# shellcheck source=tests/bats/loop.bash
	source "$BATS_TEST_DIRNAME/loop.bash"
	need_program mkfs.btrfs mkfs.ext4 mkfs.xfs mkfs.vfat mkswap sfdisk mksquashfs
	many_disks 3
	for d in sda sdb sdc; do grow $d $((9 << 21)); done
	empty sda sdb sdc
	truncate -s 9G "$BATS_TEST_TMPDIR/empty"
	for kind in dos gpt ext4 xfs btrfs vfat swap luks lvm md bcachefs zfs squashfs conflict; do
		truncate -s 0 "$BATS_TEST_TMPDIR/signed"
		truncate -s 9G "$BATS_TEST_TMPDIR/signed"
		sign $kind "$BATS_TEST_TMPDIR/signed"
		signed=$(hash_of_data "$BATS_TEST_TMPDIR/signed")
		[ "$signed" != "$(hash_of_data "$BATS_TEST_TMPDIR/empty")" ]
		for d in sda sdb sdc; do
			mv "$BATS_TEST_TMPDIR/signed" "$ROOT/dev/$d"
			plan
			[[ $(disk /dev/$d) == false\ * ]]
			[[ $(disk /dev/$d) != *empty* ]]
			for other in sda sdb sdc; do
				[ $other = $d ] || [ "$(disk /dev/$other)" = "true empty, half of the best pair" ]
			done
			run grep -c "/dev/$d" <<<"$(steps)"
			[ "$output" = 0 ]
			[ "$(hash_of_data "$ROOT/dev/$d")" = "$signed" ]
			mv "$ROOT/dev/$d" "$BATS_TEST_TMPDIR/signed"
			truncate -s 9G "$ROOT/dev/$d"
		done
	done
	for d in sda sdb sdc; do
		[ "$(hash_of_data "$ROOT/dev/$d")" = "$(hash_of_data "$BATS_TEST_TMPDIR/empty")" ]
	done
}

# half DISK SUFFIX [RECORD] : of many_disks a half of a mirror, its partitions' names with this suffix
# and its record's lines from the epoch on. members makes what is in the data partitions.
half() {
	local sys n=0 start=2048 minor part name size uuid
	sys=$(realpath "$ROOT/sys/block/$1")
	minor=$(cut -d : -f 2 "$sys/dev")
	truncate -s 0 "$ROOT/dev/$1" "$ROOT/dev/${1}1"
	truncate -s 1M "$ROOT/dev/${1}1"
	grow "$1" $((3300 * 2048))
	empty "$1"
	for part in bios:1:$(bios_uuid $((minor / 16))) efi:100 boot:1024 swap:1024 data:1024; do
		IFS=: read -r name size uuid <<<"$part"
		echo "size=${size}M, name=mos$name$2${uuid:+, uuid=$uuid}" >&3
		part=$sys/$1$((++n))
		mkdir -p "$part/holders"
		printf 'MAJOR=8\nMINOR=%d\nDEVNAME=%s\nDEVTYPE=partition\nPARTN=%d\n' $((minor + n)) "$1$n" $n \
			>"$part/uevent"
		echo "8:$((minor + n))" >"$part/dev"
		echo $n >"$part/partition"
		echo $start >"$part/start"
		echo $((size * 2048)) >"$part/size"
		ln -sfn "../../${sys#*/sys/}/$1$n" "$ROOT/sys/dev/block/8:$((minor + n))"
		start=$((start + size * 2048))
	done 3>"$BATS_TEST_TMPDIR/table"
	{ echo 'label: gpt'; cat "$BATS_TEST_TMPDIR/table"; } | sfdisk -q "$ROOT/dev/$1"
	[ -z "${3-}" ] || printf 'storbox mos-sysvol mirror 1\nother half: serial OTHER\n%b\n' "$3" |
		dd of="$ROOT/dev/${1}1" bs=4096 seek=255 conv=notrunc status=none
}

bios_uuid() { echo "b0515000-0000-4000-8000-00000000000$1"; }

members() { # DISK DISK
	mkdir -p "$ROOT/dev"
	truncate -s 1G "$ROOT/dev/${1}5" "$ROOT/dev/${2}5"
	mkfs.btrfs -q -f -L MOSDATA -d raid1 -m raid1 "$ROOT/dev/${1}5" "$ROOT/dev/${2}5"
}

put_byte() { printf '%b' "\\x$3" | dd of="$1" bs=1 seek=$2 conv=notrunc status=none; } # FILE OFFSET HEX

# count PATTERN : steps of the plan that have it.
count() { steps | grep -c -- "$1" || true; }

@test "a half with provisional names, alone: waited for and named, kept when asked to, never redone" {
	need_program sfdisk mkfs.btrfs
	many_disks 2
	members sda sdb
	rm "$ROOT/dev/sdb5"
	empty sdb
	# By its record it is complete; the other half may be committed. An empty disk changes nothing.
	for record in "mirrored: 1\npartition: $(bios_uuid 0)" "mirrored: 2"; do
		half sda .new "$record"
		plan 1
		[[ $stderr == *"/dev/sda (serial ZC100000)"*"1 of its 2 disks is missing: serial OTHER"* ]]
		[[ $stderr == *"mosdegraded=1"* ]]
		[ "$(count .)" = 0 ]
		plan --degraded
		[ "$(count --new-table)" = 0 ]
		[ "$(steps | head -n 1 | cut -d ' ' -f 1-4)" = "mkpart --rename --disk /dev/sda" ]
		[[ $(steps | sed -n 2p) == *"--device /dev/sda1 --peer 'serial OTHER' --epoch"*"--alone" ]]
		[ "$(count degraded,subvol=)" = 4 ]
		plan 1 --disk sda
		[[ $stderr == *"serial OTHER"* ]]
	done
	plan --degraded
	by_option=$(steps)
	fake proc/cmdline mosdegraded=1
	plan
	[ "$(steps)" = "$by_option" ]
	fake proc/cmdline quiet
	# One onto which a repair was mirroring: that has no end without the other half.
	half sda .new "mirrored: 0"
	for args in "" --degraded "--disk sda"; do
		# shellcheck disable=SC2086
		plan 1 $args
		[[ $stderr == *"/dev/sda: is a mirror's new half"*"the other half is missing"* ]]
		[ "$(count .)" = 0 ]
	done
	plan --disk sdb --size 1 --swap 1
	[ "$(count --new-table)" = 1 ]
	[ "$(count /dev/sda)" = 0 ]
	truncate -s 0 "$ROOT/dev/sda5"
	truncate -s 1G "$ROOT/dev/sda5"
	plan 1
	[[ $stderr == *"/dev/sda: is a mirror's new half"* ]]
}

@test "provisional names begin afresh: both halves there, no record, or an earlier table's record" {
	need_program sfdisk mkfs.btrfs
	many_disks 2
	members sda sdb
	half sda .new "mirrored: 1\npartition: $(bios_uuid 0)"
	half sdb .new "mirrored: 1\npartition: $(bios_uuid 1)"
	plan --size 1 --swap 1
	[ "$(count '--new-table --replace-provisional')" = 2 ]
	# Cut after the first of them is wiped, the second must not look like a lone half.
	[ "$(steps | head -n 2)" = "mos-sysvol --record-peer --device /dev/sda1
mos-sysvol --record-peer --device /dev/sdb1" ]
	mv "$ROOT/dev/sda5" "$BATS_TEST_TMPDIR/member"
	half sda .new "mirrored: 1\npartition: $(bios_uuid 7)"
	half sdb .new
	plan --size 1 --swap 1
	[ "$(count '--new-table --replace-provisional')" = 2 ]
	[ "$(count record-peer)" = 2 ]
	mv "$BATS_TEST_TMPDIR/member" "$ROOT/dev/sda5"
	half sdb .new
	plan --size 1 --swap 1
	[ "$(count '--new-table --replace-provisional')" = 2 ]
	truncate -s 0 "$ROOT/dev/sda"
	grow sda 2000000
	empty sda
	rm "$ROOT"/dev/sda[15] "$ROOT"/sys/dev/block/8:[1-5]
	for record in "" "mirrored: 1\npartition: $(bios_uuid 7)" "mirrored: 0\npartition: $(bios_uuid 7)"; do
		half sdb .new "$record"
		plan --size 1 --swap 1
		[ "$(disk /dev/sdb)" = "true left unfinished by an earlier run: starts afresh" ]
	done
}

@test "found by its label where the partitions have other names" {
	need_program sfdisk mkfs.btrfs
	many_disks 2
	members sda sdb
	rm "$ROOT/dev/sdb5"
	empty sdb
	half sda -of-old
	plan 1
	[[ $stderr == *"MOSDATA"*"/dev/sda (serial ZC100000): 1 of its 2 disks is missing"* ]]
	plan --degraded
	[ "$(count --new-table)" = 0 ]
	[ "$(count 'degraded,subvol=.* /dev/sda5')" = 4 ]
}

@test "provisional names beside a committed half: finished, joining, or old and left out" {
	need_program sfdisk mkfs.btrfs
	many_disks 2
	members sda sdb
	# Cut between the two renames.
	half sda "" "mirrored: 1"
	half sdb .new "mirrored: 1"
	plan
	[ "$(count 'mkpart --rename --disk /dev/sdb')" = 1 ]
	[ "$(count record-peer)" = 0 ]
	[ "$(count 'btrfs device scan /dev/sda5 /dev/sdb5')" = 1 ]
	# The end of a repair, cut while the records were renewed.
	half sda "" "mirrored: 1\nused alone"
	half sdb .new "mirrored: 2"
	plan
	[ "$(count 'record-peer --device /dev/sda1 .* --epoch 2$')" = 1 ]
	[ "$(count 'mkpart --rename --disk /dev/sdb')" = 1 ]
	# A repair that has not ended.
	half sdb .new "mirrored: 0"
	plan
	[[ $stderr == *"/dev/sdb: the repair that mirrors onto it has not ended"* ]]
	[ "$(count --rename)" = 0 ]
	[ "$(count 'btrfs device scan /dev/sda5 /dev/sdb5')" = 1 ]
	# A replace that has not ended goes on, but not onto one that missed writes since.
	put_byte "$ROOT/dev/sdb5" $((0x100c9)) 0
	plan 1
	[[ $stderr == *"1 of its 2 disks is missing"* ]]
	plan --degraded
	[ "$(count 'btrfs device scan /dev/sda5 /dev/sdb5')" = 1 ]
	put_byte "$ROOT/dev/sdb5" $((0x10048)) 1
	plan 1
	[[ $stderr == *"/dev/sdb (serial ZC100001"*"being mirrored onto, and holds old data"* ]]
	plan --degraded
	[ "$(count 'btrfs device scan --forget /dev/sdb5')" = 1 ]
	[ "$(count 'btrfs device scan /dev')" = 0 ]
	members sda sdb
	# Cut before its commit, away while the other was used alone, or mirrored anew with a third.
	for pair in "1\nused alone:1" "1\nused alone:" "2\nused alone:2" "2:1"; do
		half sda "" "mirrored: ${pair%:*}"
		half sdb .new "${pair##*:}"
		[ -z "${pair##*:}" ] || half sdb .new "mirrored: ${pair##*:}"
		plan 1
		[[ $stderr == *"/dev/sdb (serial ZC100001"*"holds old data"* ]]
		plan --degraded
		[ "$(count 'mkpart')" = 0 ]
		[ "$(count 'btrfs device scan --forget /dev/sdb5')" = 1 ]
		[ "$(count 'btrfs device scan /dev')" = 0 ]
	done
}
