# tier: plain
# Recorded machines: every table's cells against what the recording says and arithmetic by hand.
load helpers
load machine

# table MODE [ARGS] : the table of the unpacked machine into $output, as TSV.
table() { box topo "$1" --sysroot "$ROOT" --tsv "${@:2}"; }

# want KEY COLUMN=VALUE... : in the table in $output, the row whose first cell is KEY.
want() {
	local key=$1 pair got
	shift
	for pair in "$@"; do
		got=$(awk -F'\t' -v key="$key" -v column="${pair%%=*}" '
			NR == 1 { for (i = 1; i <= NF; i++) if ($i == column) c = i; next }
			$1 == key { print c ? $c : "(no such column)"; found = 1 }
			END { if (!found) print "(no such row)" }' <<<"$output")
		echo "$key $pair: $got"
		[ "$got" = "${pair#*=}" ] || return 1
	done
}

keys() { awk -F'\t' 'NR > 1 { printf "%s%s", s, $1; s = " " }' <<<"$output"; }

@test "laptop: NVMe disk with LUKS, what boots found through the mapping and the btrfs on it" {
	machine laptop-luks
	table disks
	[ "$(keys)" = /dev/nvme0n1 ]
	want /dev/nvme0n1 type=nvme type_reason='nvme transport' size_bytes=$((1000215216 * 512)) \
		model='Samsung SSD 980 PRO 500GB' serial=S5GYNX0R600000A wwn=eui.0025385b71b0c4d2 \
		transport=nvme table=gpt partitions=3 content=- boot=true removable=false \
		read_only=false logical_sector_bytes=512 diskseq=1 devno=259:0 probe_error=-
	want /dev/nvme0n1 used_by='nvme0n1p1 mounted at /boot/efi,nvme0n1p2 mounted at /boot,nvme0n1p3 held by dm-0 (crypt luks-root)'
}

@test "laptop: partitions' places, GPT names, types, labels with a space" {
	machine laptop-luks
	table partitions
	[ "$(keys)" = "/dev/nvme0n1p1 /dev/nvme0n1p2 /dev/nvme0n1p3" ]
	want /dev/nvme0n1p1 disk=/dev/nvme0n1 number=1 start_bytes=$((2048 * 512)) \
		size_bytes=$((1 << 30)) name='EFI System Partition' part_type=esp \
		part_uuid=0f0e0d0c-0000-4000-8000-000000000001 fstype=vfat uuid=7A1B-2C3D \
		mount_points=/boot/efi devno=259:1
	want /dev/nvme0n1p2 start_bytes=$((2099200 * 512)) name=- part_type=linux fstype=ext4 \
		label='boot disk' mount_points=/boot
	want /dev/nvme0n1p3 start_bytes=$((4196352 * 512)) size_bytes=$((996018176 * 512)) \
		name=cryptroot fstype=crypto_LUKS label=- mount_points=-
}

@test "laptop: one filesystem with two mounts; zram is no disk; an encrypted volume no filesystem" {
	machine laptop-luks
	table filesystems -o uuid,fstype,label,devices,total_devices,size_bytes,mount_points
	[ "$(keys)" = "99999999-8888-4777-8666-555555555555 7A1B-2C3D 11111111-2222-4333-8444-555555555555" ]
	want 99999999-8888-4777-8666-555555555555 fstype=btrfs label=fedora \
		devices=/dev/mapper/luks-root size_bytes=$((995985408 * 512)) mount_points=/,/home
	want 7A1B-2C3D fstype=vfat total_devices=1
}

@test "laptop: mounts with their options and the subvolume" {
	machine laptop-luks
	table mounts
	[ "$(keys)" = "/ /proc /home /boot /boot/efi" ]
	want /home source=/dev/mapper/luks-root fstype=btrfs root=/home devno=0:33
	want /boot/efi options=rw,relatime,fmask=0077 devno=259:1
}

@test "server: members of md and LVM are in use, what boots is found through both" {
	machine server-md-lvm
	table disks
	[ "$(keys)" = "/dev/sda /dev/sdb /dev/sdc /dev/sdd /dev/sde" ]
	want /dev/sda boot=true type=hdd type_reason=rotational=1 size_bytes=$((7814037168 * 512)) \
		used_by='sda2 held by md0,sda3 held by md1' table=gpt partitions=3 transport=sata
	want /dev/sdb boot=true used_by='sdb2 held by md0,sdb3 held by md1'
	want /dev/sdc boot=false used_by=- table=- content=- probe_error=- \
		physical_sector_bytes=4096 logical_sector_bytes=512
	want /dev/sde type=ssd type_reason=rotational=0 size_bytes=480103981056
}

@test "server: serial from the SCSI page or udev, full model from the ATA page or udev, WWN" {
	machine server-md-lvm
	table disks
	want /dev/sdc model=ST4000NM0035-1V4107 serial=ZC1AAAA3 wwn=0x5000c500aaaaaaa3
	want /dev/sdd model='WDC WD60EFRX-68L0BN1' serial=WD-WX11D00000AB
	want /dev/sde model='INTEL SSDSC2KB480G8' serial=PHYF000000000480
	# The same without udev's database: the page is enough for sdc, nothing has sde's serial.
	rm -r "$ROOT/run/udev"
	table disks
	want /dev/sdc model=ST4000NM0035-1V4107 serial=ZC1AAAA3 wwn=0x5000c500aaaaaaa3
	want /dev/sdd model='WDC WD60EFRX-68L' serial=WD-WX11D00000AB
	want /dev/sde model='INTEL SSDSC2KB48' serial=- probe_error='not recorded'
}

@test "server: filesystems are on the arrays and volumes, never on their members" {
	machine server-md-lvm
	table filesystems -o uuid,fstype,devices,mount_points,size_bytes
	[ "$(keys)" = "cccc0000-0000-4000-8000-000000000000 cccc0000-0000-4000-8000-000000000001 b0b0b0b0-0000-4000-8000-000000000000" ]
	want b0b0b0b0-0000-4000-8000-000000000000 devices=/dev/md0 mount_points=/boot \
		size_bytes=$((1046528 * 512))
	want cccc0000-0000-4000-8000-000000000001 fstype=swap devices=/dev/mapper/vg0-swap \
		mount_points='[SWAP]'
	table partitions
	want /dev/sda2 part_type=raid fstype=linux_raid_member label=srv:0 mount_points=-
	want /dev/sda1 part_type=bios_boot fstype=- size_bytes=$((1 << 20))
}

@test "old PC: MBR, USB is removable, an empty reader and the DVD drive are no disks" {
	machine usb-stick-hdd
	table disks
	[ "$(keys)" = "/dev/sda /dev/sdb /dev/sdc" ]
	want /dev/sda table=dos boot=true used_by='sda1 mounted at /,sda2 swap' removable=false
	want /dev/sdb removable=true transport=usb model='Ultra Fit' serial=4C530001 \
		used_by='sdb1 mounted at /media/my stick' boot=false
	want /dev/sdc removable=true transport=usb content=- size_bytes=$((3907029168 * 512))
	table partitions
	want /dev/sda1 part_type=0x83 name=- number=1 mount_points=/
	want /dev/sda2 part_type=0x82 fstype=swap mount_points='[SWAP]'
	want /dev/sdb1 label='MY STICK' start_bytes=$((32 * 512)) mount_points='/media/my stick'
	table filesystems -o fstype,label,devices
	want udf label=FILM devices=/dev/sr0
}

@test "SAN: the map is the disk, its paths are held, a partition type by number" {
	machine multipath-fc
	table disks
	[ "$(keys)" = "/dev/mapper/mpatha /dev/mapper/mpathb /dev/sda /dev/sdb /dev/sdc /dev/sdd /dev/sde" ]
	want /dev/mapper/mpatha content=LVM2_member used_by='held by dm-2 (LVM san-data)' \
		serial=624A9370 wwn=0x624a93700000000000000000 transport=fc type=ssd
	want /dev/mapper/mpathb content=- used_by=- probe_error=- size_bytes=$((1 << 40))
	want /dev/sdb content=mpath_member used_by='held by dm-0 (multipath mpatha)'
	want /dev/sde content=mpath_member used_by='held by dm-1 (multipath mpathb)'
	want /dev/sda transport=sas serial=W0K00001 table=dos
}

@test "SAN: a map without a live path is not read, a suspended one neither" {
	machine multipath-fc
	scsi=$(dirname "$(cd "$ROOT/sys/block/sdd" && pwd -P)")
	echo offline >"$scsi/../state"
	table disks
	want /dev/mapper/mpathb probe_error='no path to it is alive'
	echo running >"$scsi/../state"
	echo 1 >"$ROOT/sys/block/dm-1/dm/suspended"
	table disks
	want /dev/mapper/mpathb probe_error='is suspended'
}

@test "btrfs: the second device of a mounted pair is in use, though no mount names it" {
	machine btrfs-raid1
	table disks
	want /dev/sdb used_by='mounted at /data' content='btrfs (label data)' boot=false
	want /dev/sdc used_by='mounted at /data' content='btrfs (label data)'
	want /dev/sdd used_by=- content='btrfs (label old)'
	want /dev/sdf content=- probe_error='not recorded'
	table filesystems -o uuid,label,devices,size_bytes,mount_points
	want 11110000-0000-4000-8000-00000000aaaa devices=/dev/sdb,/dev/sdc mount_points=/data \
		size_bytes=$((2 * 7814037168 * 512))
	want 22220000-0000-4000-8000-00000000bbbb devices=/dev/sdd,/dev/sde mount_points=-
}

@test "btrfs: a source that leads nowhere puts every mounted btrfs in use" {
	machine btrfs-raid1
	sed -i 's| /dev/sdb | /dev/gone |' "$ROOT/proc/self/mountinfo"
	table disks
	want /dev/sdb used_by='mounted at /data'
	want /dev/sdc used_by='mounted at /data'
	want /dev/sdd used_by=-
}

@test "btrfs: mounted elsewhere only (another mount namespace) is still in use" {
	machine btrfs-raid1
	sed -i '/ \/data /d' "$ROOT/proc/self/mountinfo"
	table disks
	want /dev/sdc used_by='mounted (btrfs) in another mount namespace'
	want /dev/sdd used_by=-
}

@test "virtual machine without udev: images of its disks are probed, 4096-byte sectors too" {
	need_program sfdisk mkfs.ext4 mkfs.xfs
	machine vm-virtio
	mkdir "$ROOT/dev"
	truncate -s $((41943040 * 512)) "$ROOT/dev/vda"
	printf '%s\n' 'label: gpt' 'start=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649, name=bios' \
		'start=4096, size=41936896, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name="the root"' |
		sfdisk -q "$ROOT/dev/vda"
	mkfs.ext4 -q -L ROOT -E offset=$((4096 * 512)) "$ROOT/dev/vda" 1G
	truncate -s 100G "$ROOT/dev/vdb" "$ROOT/dev/vdc"
	truncate -s 50G "$ROOT/dev/vdd"
	mkfs.xfs -q -L DATA "$ROOT/dev/vdd"
	table disks
	want /dev/vda table=gpt content=- boot=true type=virtual type_reason='virtio transport' \
		serial=root-disk used_by='vda2 mounted at /'
	want /dev/vdb table=- content=- probe_error=- serial=data-1
	want /dev/vdc logical_sector_bytes=4096 size_bytes=$((100 << 30))
	want /dev/vdd content='xfs (label DATA)' used_by=-
	want /dev/vde used_by='mounted (xfs) in another mount namespace' probe_error='not recorded'
	table partitions
	want /dev/vda1 name=bios part_type=bios_boot fstype=-
	want /dev/vda2 name='the root' part_type=linux fstype=ext4 label=ROOT mount_points=/
	table free-space
	# The table ends 33 sectors before the end; partition 2 ends at sector 41940992 = 20479 MiB.
	[ "$(keys)" = "" ]
}

@test "free space: gaps between, before and after, on 512 and 4096-byte sectors" {
	need_program sfdisk python3
	machine vm-virtio
	mkdir "$ROOT/dev"
	truncate -s 100G "$ROOT/dev/vdb"
	printf '%s\n' 'label: gpt' "start=$((10 * 2048)), size=$((5 * 2048))" \
		"start=$((20 * 2048)), size=$((1000 * 2048))" | sfdisk -q "$ROOT/dev/vdb"
	table free-space /dev/vdb -o start_bytes,size_bytes
	# 1..10 MiB, 15..20 MiB, 1020 MiB to the last whole MiB before the backup: 102400 - 1.
	[ "${lines[1]}" = "$((1 << 20))	$((9 << 20))" ]
	[ "${lines[2]}" = "$((15 << 20))	$((5 << 20))" ]
	[ "${lines[3]}" = "$((1020 << 20))	$(((102399 - 1020) << 20))" ]
	[ "${#lines[@]}" -eq 4 ]
	box 1 topo free-space --sysroot "$ROOT" /dev/vdc
	[[ $stderr == *"/dev/vdc: its contents are not recorded" ]]
}

@test "a swap file and a disk behind a link are not mistaken; names lead to the disk" {
	machine server-md-lvm
	mkdir -p "$ROOT/dev/disk/by-id"
	ln -s ../../sdc "$ROOT/dev/disk/by-id/wwn-0x5000c500aaaaaaa3"
	for name in /dev/sdc sdc ZC1AAAA3 0x5000c500aaaaaaa3 5000c500aaaaaaa3 \
		/dev/disk/by-id/wwn-0x5000c500aaaaaaa3; do
		box 1 topo free-space --sysroot "$ROOT" "$name"
		[[ $stderr == *"/dev/sdc: its contents are not recorded" ]]
	done
}

@test "what is no disk is refused by what it is" {
	machine server-md-lvm
	touch "$ROOT/file"
	while IFS='|' read -r name words; do
		box 1 topo free-space --sysroot "$ROOT" "$name"
		[[ $stderr == "topo: $name: $words"* ]]
	done <<-END
		/dev/sda2|is a partition of /dev/sda; name the whole disk
		/dev/md0|is an array (md0), not a disk
		/dev/mapper/vg0-root|is a device mapper volume (LVM vg0-root), not a disk
		/dev/nosuch|No such file or directory
		nosuch|no disk has this name, serial number or WWN
		/file|is a file, not a disk; attach it with losetup
		/proc|is a directory, not a disk
	END
}

@test "one serial number on two disks: neither is taken" {
	machine vm-virtio
	echo data-1 >"$ROOT/sys/block/vdc/serial"
	box 2 topo free-space --sysroot "$ROOT" data-1
	[[ $stderr == *"data-1: both /dev/vdb and /dev/vdc have it; name the disk by its path" ]]
}

@test "a device without size, or that vanishes meanwhile, is left out" {
	machine empty-mix
	echo 0 >"$ROOT/sys/block/sda/size"
	rm -r "$(cd "$ROOT/sys/block/sdb" && pwd -P)"
	table disks
	[ "$(keys)" = /dev/nvme0n1 ]
}

@test "a recording's links never lead out of it" {
	machine empty-mix
	rm -r "$ROOT/run/udev"
	here=$(readlink -f /sys/dev/block/* | grep -v loop | head -n 1)
	[ -e "$here/size" ]
	disk=$(cd "$ROOT/sys/block/sda" && pwd -P)
	rm -r "$disk"
	ln -s "$here" "$disk"
	ln -sfn "../../../../../../../../../..$here" "$ROOT/sys/dev/block/8:16"
	table disks
	[ "$(keys)" = /dev/nvme0n1 ]
}

@test "mountinfo that cannot be parsed is a failure, not a machine without mounts" {
	machine laptop-luks
	echo 'not a mount' >>"$ROOT/proc/self/mountinfo"
	box 1 topo disks --sysroot "$ROOT"
	[[ $stderr == *"/proc/self/mountinfo: read mounts: "* ]]
	[ -z "$output" ]
}

@test "no sysfs: exit 4 and a word on it" {
	box 4 topo disks --sysroot "$ROOT"
	[[ $stderr == *"/sys/dev/block: "* ]]
}

@test "every table: TSV and JSON say the same" {
	machine server-md-lvm
	for mode in disks partitions filesystems mounts; do
		table "$mode" -o all
		tsv=$output
		box topo "$mode" --sysroot "$ROOT" -J -o all
		[ "$(jq -r 'length' <<<"$output")" -eq $(($(wc -l <<<"$tsv") - 1)) ]
		from_json=$(jq -r '.[] | [.[] | if type == "array" then join(",") elif . == null then "-" else tostring end] | @tsv' <<<"$output")
		[ "$from_json" = "$(tail -n +2 <<<"$tsv")" ]
	done
}

@test "the whole inventory at once has the tables that each alone has" {
	machine server-md-lvm
	box topo inventory --sysroot "$ROOT" -J
	whole=$output
	for mode in disks partitions filesystems mounts; do
		box topo "$mode" --sysroot "$ROOT" -J
		[ "$(jq -cS . <<<"$output")" = "$(jq -cS ".$mode" <<<"$whole")" ]
	done
}

@test "the same sizes, types and mounts as lsblk reads from the recording" {
	need_program lsblk
	for m in laptop-luks server-md-lvm usb-stick-hdd btrfs-raid1 empty-mix; do
		rm -rf "$ROOT"
		machine "$m"
		lsblk --sysroot "$ROOT" -J -b -d -o PATH,SIZE,ROTA,RO,LOG-SEC,PHY-SEC |
			jq -r '.blockdevices[] | select(.path | test("^/dev/(sd|nvme)")) | select(.size > 0)
				| [.path, .size, ."log-sec", ."phy-sec", .ro] | @tsv' | sort >"$BATS_TEST_TMPDIR/peer"
		box topo disks --sysroot "$ROOT" -n --tsv -o path,size_bytes,logical_sector_bytes,physical_sector_bytes,read_only
		sort <<<"$output" | diff "$BATS_TEST_TMPDIR/peer" -
	done
}

@test "500 disks: every one, in order, with its own size and serial" {
	many_disks 500
	table disks
	[ "$(wc -l <<<"$output")" -eq 501 ]
	want /dev/sda size_bytes=$((7814037168 * 512)) serial=ZC100000 diskseq=1
	want /dev/sdaa size_bytes=$(((7814037168 + 26) * 512)) serial=ZC100026 diskseq=27
	want /dev/sdsf size_bytes=$(((7814037168 + 499) * 512)) serial=ZC100499 \
		wwn=0x5000c500000001f3 model=ST4000NM0035-1V4107
	# No file is read twice, and nothing for every pair of disks: a count, not a time.
	if command -v strace >/dev/null; then
		ASAN_OPTIONS=detect_leaks=0 strace -f -qq -e trace=openat,openat2,open -o "$BATS_TEST_TMPDIR/trace" \
			"$STORBOX" topo disks --sysroot "$ROOT" >/dev/null
		[ "$(wc -l <"$BATS_TEST_TMPDIR/trace")" -lt $((500 * 30)) ]
		[ "$(grep -c mountinfo "$BATS_TEST_TMPDIR/trace")" -eq 1 ]
	fi
}

@test "recorder: this machine, recorded and unpacked, has the disks that it has" {
	"$BATS_TEST_DIRNAME/../record-machine.sh" >"$BATS_TEST_TMPDIR/this.machine"
	unpack "$BATS_TEST_TMPDIR/this.machine" "$ROOT"
	columns=path,type,size_bytes,logical_sector_bytes,serial,transport,partitions,boot,removable,read_only,devno
	# Other tests attach and detach loop devices meanwhile.
	box topo disks --tsv -o "$columns"
	here=$(grep -v /dev/loop <<<"$output")
	box topo disks --sysroot "$ROOT" --tsv -o "$columns"
	[ "$(grep -v /dev/loop <<<"$output")" = "$here" ]
}
