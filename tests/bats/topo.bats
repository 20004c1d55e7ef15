# tier: plain
# The templates: which disks each takes, the bytes it gives, and every reason against it.
load helpers
load machine

# P SIZE [SECTOR]: one partition over a whole new GPT: 1 MiB in front, behind it 128 entries of 128
# bytes and a sector for the header, rounded down to 1 MiB.
P() { echo $(((($1 - 128 * 128 - ${2:-512}) >> 20 << 20) - (1 << 20))); }

topo() { box topo --sysroot "$ROOT" --tsv "$@"; }

# cell TEMPLATE COLUMN
cell() {
	awk -F'\t' -v key="$1" -v column="$2" '
		NR == 1 { for (i = 1; i <= NF; i++) if ($i == column) c = i; next }
		$1 == key { print c ? $c : "(no such column)" }' <<<"$output"
}

takes() { # TEMPLATE DISKS USABLE_BYTES
	echo "$1: $(cell "$1" feasible) $(cell "$1" disks) $(cell "$1" usable_bytes) $(cell "$1" reasons)"
	[ "$(cell "$1" feasible)" = true ] || return 1
	[ "$(cell "$1" disks)" = "$2" ] || return 1
	[ "$(cell "$1" usable_bytes)" = "$3" ] || return 1
	[ "$(cell "$1" reasons)" = - ]
}

because() { # TEMPLATE REASONS
	echo "$1: $(cell "$1" feasible) $(cell "$1" reasons)"
	[ "$(cell "$1" feasible)" = false ] || return 1
	[ "$(cell "$1" disks)" = - ] || return 1
	[ "$(cell "$1" usable_bytes)" = - ] || return 1
	[ "$(cell "$1" reasons)" = "$2" ]
}

# disks ROW... : a table as topo disks prints it; ROW is "path type size [column=value]...".
disks() {
	local row word columns="path type size_bytes logical_sector_bytes table content used_by partitions boot removable read_only probe_error"
	tr ' ' '\t' <<<"$columns"
	for row; do
		local -A cells=([table]=- [content]=- [used_by]=- [partitions]=0 [boot]=false
			[removable]=false [read_only]=false [probe_error]=- [logical_sector_bytes]=512)
		read -r path type size rest <<<"$row"
		cells[path]=$path cells[type]=$type cells[size_bytes]=$size
		while [ -n "${rest:-}" ]; do
			word=${rest%%;*}
			cells[${word%%=*}]=${word#*=}
			[ "$word" = "$rest" ] && rest= || rest=${rest#*;}
		done
		local line=
		for column in $columns; do line+=${line:+$'\t'}${cells[$column]}; done
		echo "$line"
	done >"$BATS_TEST_TMPDIR/rows"
	cat "$BATS_TEST_TMPDIR/rows"
}

# given ROW... -- ARGS : topo over that table, on a machine that has every filesystem.
given() {
	local rows=()
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		rows+=("$1")
		shift
	done
	shift || true
	disks "${rows[@]}" >"$BATS_TEST_TMPDIR/disks.tsv"
	mkdir -p "$ROOT/proc/sys/kernel" "$ROOT/usr/sbin"
	[ -e "$ROOT/proc/filesystems" ] || printf 'nodev\tsysfs\n\tbtrfs\n\tbcachefs\n' >"$ROOT/proc/filesystems"
	touch "$ROOT/usr/sbin/mkfs.btrfs" "$ROOT/usr/sbin/bcachefs"
	topo --disks "$BATS_TEST_TMPDIR/disks.tsv" "$@"
}

@test "three empty disks, NVMe, SSD, HDD: all six templates and their bytes" {
	machine empty-mix
	topo
	n=$(P $((1953525168 * 512)))
	h=$(P $((15628053168 * 512)))
	[ "$n" -eq $((953868 << 20)) ]
	takes BtrfsSingle /dev/sdb "$h"
	takes BcachefsSingle /dev/sdb "$h"
	# No two of a type: the closest in size.
	takes DualIndependent /dev/nvme0n1,/dev/sda $((2 * n))
	takes BtrfsRaid1 /dev/nvme0n1,/dev/sda "$n"
	# NVMe before SSD as the cache; what counts is the HDD.
	takes SsdHddBcachefs /dev/nvme0n1,/dev/sdb "$h"
	# 2n + h: half of it would need more than n + n on the others.
	takes Bcachefs2Copy /dev/nvme0n1,/dev/sda,/dev/sdb $((2 * n))
}

@test "a server: same type first, then the closest size; the system's disks are passed over" {
	machine server-md-lvm
	topo -o all
	c=$(P $((7814037168 * 512)))
	d=$(P $((11721045168 * 512)))
	e=$(P $((937703088 * 512)))
	takes BtrfsSingle /dev/sdd "$d"
	takes DualIndependent /dev/sdc,/dev/sdd $((c + d))
	takes BtrfsRaid1 /dev/sdc,/dev/sdd "$c"
	takes SsdHddBcachefs /dev/sde,/dev/sdd "$d"
	takes Bcachefs2Copy /dev/sdc,/dev/sdd,/dev/sde $((c + e))
	[[ $(cell BtrfsRaid1 passed_over) == "/dev/sda: is the disk that the system runs from: sda2 held by md0"* ]]
}

@test "two copies: half the sum, unless one disk is larger than all others" {
	given "/dev/sda hdd 4000000000" "/dev/sdb hdd 3000000000" "/dev/sdc hdd 2000000000"
	takes Bcachefs2Copy /dev/sda,/dev/sdb,/dev/sdc \
		$((($(P 4000000000) + $(P 3000000000) + $(P 2000000000)) / 2))
	given "/dev/sda hdd 9000000000" "/dev/sdb hdd 3000000000" "/dev/sdc hdd 2000000000"
	takes Bcachefs2Copy /dev/sda,/dev/sdb,/dev/sdc $(($(P 3000000000) + $(P 2000000000)))
}

@test "4096-byte sectors cost a larger backup table" {
	size=$(((1000 << 20) + 128 * 128 + 600))
	given "/dev/sda ssd $size"
	takes BtrfsSingle /dev/sda $((999 << 20))
	given "/dev/sda ssd $size logical_sector_bytes=4096"
	takes BtrfsSingle /dev/sda $((998 << 20))
}

@test "pairs: same type before size, closest size, then the larger, then the first" {
	given "/dev/sda ssd 1000000000" "/dev/sdb hdd 1000000000" "/dev/sdc ssd 5000000000"
	takes BtrfsRaid1 /dev/sda,/dev/sdc "$(P 1000000000)"
	given "/dev/sda hdd 1000000000" "/dev/sdb hdd 1000000000" "/dev/sdc hdd 5000000000" "/dev/sdd hdd 5000000000"
	takes BtrfsRaid1 /dev/sdc,/dev/sdd "$(P 5000000000)"
	given "/dev/sda hdd 5000000000" "/dev/sdb hdd 5000000000" "/dev/sdc hdd 5000000000"
	takes BtrfsRaid1 /dev/sda,/dev/sdb "$(P 5000000000)"
	given "/dev/sda hdd 5000000000" "/dev/sdb hdd 4000000000" "/dev/sdc hdd 3900000000"
	takes BtrfsRaid1 /dev/sdb,/dev/sdc "$(P 3900000000)"
}

@test "every reason why a disk does not count, in words" {
	while IFS='|' read -r cells words; do
		given "/dev/sda hdd 5000000000 $cells"
		because BtrfsSingle "needs 1 empty disk: there are 0,/dev/sda: $words"
	done <<-'END'
		table=gpt;partitions=3|has a gpt partition table with 3 partitions
		table=dos;partitions=1|has a dos partition table with 1 partition
		table=PMBR|has a protective MBR whose GPT is broken
		partitions=2|has 2 partitions
		content=ext4 (label ROOT)|holds an ext4 filesystem (label ROOT)
		content=btrfs|holds a btrfs filesystem
		content=swap (label S)|holds a swap area (label S)
		content=linux_raid_member (label srv:0)|is a member of a Linux RAID array (label srv:0)
		content=isw_raid_member|is a RAID member\\, isw_raid_member
		content=LVM2_member|is an LVM physical volume
		content=crypto_LUKS|holds a LUKS encrypted volume
		content=zfs_member (label tank)|is a member of a ZFS pool (label tank)
		content=vfat;table=dos|holds a vfat filesystem\\, and has a dos partition table
		content=damaged gpt;table=gpt|holds a damaged gpt signature
		content=conflicting signatures: ext4 at 1080|holds conflicting signatures: ext4 at 1080
		used_by=sda1 mounted at /mnt|is in use: sda1 mounted at /mnt
		used_by=held by dm-0 (LVM x)|is in use: held by dm-0 (LVM x)
		read_only=true|is read-only
		removable=true|is removable
		boot=true;used_by=sda1 mounted at /|is the disk that the system runs from: sda1 mounted at /
		boot=true|is the disk that the system runs from
		probe_error=open /dev/sda: Input/output error|cannot be probed: open /dev/sda: Input/output error
	END
}

@test "too few, too small, no pair, none at all" {
	given "/dev/sda ssd 5000000000"
	takes BtrfsSingle /dev/sda "$(P 5000000000)"
	because BtrfsRaid1 "needs 2 empty disks: there is 1"
	because SsdHddBcachefs "needs 2 empty disks: there is 1"
	given "/dev/sda ssd 5000000000" "/dev/sdb nvme 5000000000"
	because SsdHddBcachefs "needs an empty SSD and an empty HDD: there is no HDD"
	given "/dev/sda hdd 5000000000" "/dev/sdb hdd 5000000000"
	because SsdHddBcachefs "needs an empty SSD and an empty HDD: there is no SSD"
	given "/dev/sda virtual 5000000000" "/dev/sdb virtual 5000000000"
	because SsdHddBcachefs "needs an empty SSD and an empty HDD: there is no SSD and no HDD"
	given "/dev/sda ssd 104857600" "/dev/sdb ssd 1000000000"
	because BtrfsRaid1 "needs 2 empty disks: there is 1,/dev/sda: has 100M: too small for btrfs which needs 109M"
	takes BtrfsSingle /dev/sdb "$(P 1000000000)"
	given
	because BtrfsSingle "needs 1 empty disk: there are 0"
}

@test "the kernel or the program is wanting" {
	mkdir -p "$ROOT/proc/sys/kernel" "$ROOT/lib/modules/6.1.0-test"
	echo 6.1.0-test >"$ROOT/proc/sys/kernel/osrelease"
	printf '\tbtrfs\n' >"$ROOT/proc/filesystems"
	given "/dev/sda ssd 5000000000"
	because BcachefsSingle "this kernel 6.1.0-test has no bcachefs"
	takes BtrfsSingle /dev/sda "$(P 5000000000)"
	# A module that is not loaded yet counts; one with such an end of its name does not.
	echo 'kernel/fs/xbcachefs.ko:' >"$ROOT/lib/modules/6.1.0-test/modules.dep"
	given "/dev/sda ssd 5000000000"
	because BcachefsSingle "this kernel 6.1.0-test has no bcachefs"
	echo 'updates/dkms/bcachefs.ko.zst:' >"$ROOT/lib/modules/6.1.0-test/modules.dep"
	given "/dev/sda ssd 5000000000"
	takes BcachefsSingle /dev/sda "$(P 5000000000)"
	rm "$ROOT/usr/sbin/mkfs.btrfs" "$ROOT/usr/sbin/bcachefs"
	topo --disks "$BATS_TEST_TMPDIR/disks.tsv"
	because BcachefsSingle "program bcachefs is missing (package bcachefs-tools)"
	because BtrfsSingle "program mkfs.btrfs is missing (package btrfs-progs)"
	# Nothing recorded of the kernel and the programs: nothing speaks against it.
	rm -r "$ROOT/proc" "$ROOT/usr" "$ROOT/lib"
	topo --disks "$BATS_TEST_TMPDIR/disks.tsv"
	takes BcachefsSingle /dev/sda "$(P 5000000000)"
}

@test "--require: exit 3 when one is not feasible, the rows still printed" {
	given "/dev/sda ssd 5000000000"
	box 3 topo --sysroot "$ROOT" --disks "$BATS_TEST_TMPDIR/disks.tsv" --require BtrfsRaid1
	[ "${#lines[@]}" -eq 7 ]
	[ -z "$stderr" ]
	box 3 topo --sysroot "$ROOT" --disks "$BATS_TEST_TMPDIR/disks.tsv" --require BtrfsSingle --require BtrfsRaid1
	box topo --sysroot "$ROOT" --disks "$BATS_TEST_TMPDIR/disks.tsv" --require BtrfsSingle
	box 2 topo --sysroot "$ROOT" --disks "$BATS_TEST_TMPDIR/disks.tsv" --require Btrfs
	[[ ${stderr_lines[0]} == "topo: Btrfs: is no template; there are BtrfsSingle, "* ]]
}

@test "--type: the operator's word counts, and the disk table's reason stays" {
	given "/dev/sda hdd 5000000000" "/dev/sdb hdd 5000000000" -- --type sda=ssd
	takes SsdHddBcachefs /dev/sda,/dev/sdb "$(P 5000000000)"
	given "/dev/sda hdd 5000000000" "/dev/sdb hdd 6000000000" -- --type /dev/sda=ssd --type /dev/sdb=nvme
	takes BtrfsSingle /dev/sdb "$(P 6000000000)"
	for bad in sda sda= =ssd sda=disk; do
		box 2 topo --sysroot "$ROOT" --disks "$BATS_TEST_TMPDIR/disks.tsv" --type "$bad"
		[[ $stderr == "topo: --type: "* ]]
	done
	box 1 topo --sysroot "$ROOT" --disks "$BATS_TEST_TMPDIR/disks.tsv" --type sdz=ssd
	[[ $stderr == "topo: --type: there is no disk sdz;"* ]]
}

@test "--disk: only these" {
	machine server-md-lvm
	topo --disk sdc --disk /dev/sde
	takes BtrfsRaid1 /dev/sdc,/dev/sde "$(P $((937703088 * 512)))"
	topo --disk ZC1AAAA3
	takes BtrfsSingle /dev/sdc "$(P $((7814037168 * 512)))"
	topo --disk sda
	[[ $(cell BtrfsSingle reasons) == *"/dev/sda: is the disk that the system runs from"* ]]
	box 1 topo --sysroot "$ROOT" --disk /dev/sdz
}

@test "topo disks | topo --disks -: the same answer as from the machine" {
	for m in empty-mix server-md-lvm laptop-luks usb-stick-hdd multipath-fc btrfs-raid1; do
		rm -rf "$ROOT"
		machine "$m"
		topo -o all
		from_machine=$output
		box topo disks --sysroot "$ROOT" --tsv
		table=$output
		run --separate-stderr "$STORBOX" topo --sysroot "$ROOT" --tsv -o all --disks - <<<"$table"
		[ "$status" -eq 0 ]
		[ "$output" = "$from_machine" ]
	done
}

@test "a table that could not tell a disk is taken is refused" {
	printf 'path\ttype\tsize_bytes\n/dev/sda\tssd\t5000000000\n' >"$ROOT/short"
	box 2 topo --sysroot "$ROOT" --disks "$ROOT/short"
	[[ $stderr == *"has no column 'table', which decides whether a disk is free"* ]]
	: >"$ROOT/empty"
	box 2 topo --sysroot "$ROOT" --disks "$ROOT/empty"
	box 1 topo --sysroot "$ROOT" --disks "$ROOT/none"
	disks "/dev/sda ssd 5000000000" | sed 's/5000000000/lots/' >"$ROOT/junk"
	box 2 topo --sysroot "$ROOT" --disks "$ROOT/junk"
	[ -z "$output" ]
}

@test "layout: one row for each partition, one volume for each filesystem" {
	machine empty-mix
	row() { printf '%s\t' "$@" | sed 's/\t$//'; }
	columns=disk,name,part_type,size_bytes,fstype,label,volume,profile
	box topo layout BtrfsSingle --sysroot "$ROOT" -n --tsv -o "$columns"
	[ "$output" = "$(row /dev/sdb data linux - btrfs DATA data -)" ]
	box topo layout BtrfsRaid1 --sysroot "$ROOT" -n --tsv -o "$columns" --label POOL
	[ "${lines[0]}" = "$(row /dev/nvme0n1 data1 linux - btrfs POOL data raid1)" ]
	[ "${lines[1]}" = "$(row /dev/sda data2 linux - btrfs POOL data raid1)" ]
	[ "${#lines[@]}" -eq 2 ]
	box topo layout DualIndependent --sysroot "$ROOT" -n --tsv -o "$columns"
	[ "${lines[0]}" = "$(row /dev/nvme0n1 data1 linux - btrfs DATA1 data1 -)" ]
	[ "${lines[1]}" = "$(row /dev/sda data2 linux - btrfs DATA2 data2 -)" ]
	box topo layout SsdHddBcachefs --sysroot "$ROOT" -n --tsv -o "$columns"
	[ "${lines[0]}" = "$(row /dev/nvme0n1 data1 linux - bcachefs DATA data cache)" ]
	[ "${lines[1]}" = "$(row /dev/sdb data2 linux - bcachefs DATA data cache)" ]
	box topo layout Bcachefs2Copy --sysroot "$ROOT" -n --tsv -o "$columns"
	[ "${#lines[@]}" -eq 3 ]
	[ "${lines[2]}" = "$(row /dev/sdb data3 linux - bcachefs DATA data raid1)" ]
}

@test "layout: named disks are taken all or none, and only when they are free" {
	machine server-md-lvm
	box topo layout BtrfsRaid1 --sysroot "$ROOT" -n --tsv -o disk --disk sde --disk sdc
	[ "$output" = $'/dev/sdc\n/dev/sde' ]
	box 2 topo layout BtrfsRaid1 --sysroot "$ROOT" --disk sdc --disk sdd --disk sde
	[[ $stderr == *"BtrfsRaid1 takes 2 of the 3 disks that are named"* ]]
	box 1 topo layout BtrfsSingle --sysroot "$ROOT" --disk sda
	[[ $stderr == "topo: /dev/sda: is the disk that the system runs from"* ]]
	box 1 topo layout BtrfsRaid1 --sysroot "$ROOT" --disk sdc
	[[ $stderr == *"BtrfsRaid1: is not feasible: needs 2 empty disks: there is 1"* ]]
	box 2 topo layout Raid5 --sysroot "$ROOT"
	box 2 topo layout --sysroot "$ROOT"
	[ -z "$output" ]
}

@test "for people the list of disks stands once" {
	machine usb-stick-hdd
	box topo --sysroot "$ROOT" --table
	[ "$(grep -c 'system runs from' <<<"$output")" -eq 1 ]
	[ "$(grep -c 'disks: see BtrfsSingle' <<<"$output")" -eq 5 ]
}

@test "500 disks: all are taken or paired, in a moment" {
	many_disks 500
	topo
	[ "$(cell Bcachefs2Copy disks | tr ',' '\n' | wc -l)" -eq 500 ] || [ "$(cell Bcachefs2Copy feasible)" = false ]
	# Sizes grow by one sector: the first two of the closest pairs with the largest smaller half.
	takes BtrfsRaid1 /dev/sdse,/dev/sdsf "$(P $(((7814037168 + 498) * 512)))"
}
