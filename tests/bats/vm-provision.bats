# tier: vm
# mkpart and mkvolfs in a machine of their own: what the host lacks (vfat, bcachefs, md, udevd, disks
# that go away), on each bus and both sector sizes.
load ../vm/helpers

setup_file() { vm_need 6.12; }

PROGRAMS=(--program mkfs.btrfs --program mkfs.ext4 --program mkfs.vfat --program mkswap --program mkfs.xfs)
MODULES=(--module btrfs --module ext4 --module vfat --module nls_cp437 --module nls_ascii --module xfs)

@test "the five types made, mounted, written, found again; on virtio, SCSI and NVMe, 512 and 4096" {
	vm_run --disk "$(vm_disk 3G),bus=virtio,serial=V" --disk "$(vm_disk 3G),bus=scsi,serial=S,sector=4096" \
		--disk "$(vm_disk 3G),bus=nvme,serial=N" "${PROGRAMS[@]}" "${MODULES[@]}" --timeout 300 <<-'VM'
		t=0
		ok() { t=$((t + 1)); if "$@" >&2; then echo "ok $t - $*"; else echo "not ok $t - $*"; fi; }
		mkdir -p /mnt
		try() { # DEVICE TYPE
			ok mkvolfs --device "$1" --fstype "$2" --label "L$2"
			if [ "$2" = swap ]; then
				ok swapon "$1"; ok swapoff "$1"
			else
				ok mount -t "$2" "$1" /mnt
				ok cp /bin/busybox /mnt/file
				ok umount /mnt
				ok mount -t "$2" "$1" /mnt
				ok cmp /bin/busybox /mnt/file
				ok umount /mnt
			fi
			ok sh -c "! mkvolfs --device $1 --fstype ext4 2>/dev/null"
		}
		for serial in V S N; do
			disk=$(topo disks -n -o path,serial | while read -r p s; do [ "$s" != $serial ] || echo "$p"; done)
			ok mkpart --new-table --disk "$disk"
			for type in vfat ext4 swap btrfs xfs; do
				ok mkpart --disk "$disk" --name $type --size 400M
				part=$(mkpart --list "$disk" -n -o path,name | while read -r p n; do [ "$n" != $type ] || echo "$p"; done)
				ok test -b "$part"
				try "$part" $type
			done
		done
		echo "1..$t"
	VM
	tap_from_vm
}

@test "by serial number, and a name that is none" {
	vm_run --disk "$(vm_disk 64M),bus=virtio,serial=ABC123" <<-'VM'
		mkpart --new-table --disk ABC123 >&2 || exit
		mkpart --disk ABC123 --name x -n -o path || exit
		! mkpart --disk ABC124 --name x >&2
	VM
	[ "$output" = /dev/vda1 ]
}

@test "with udevd: the links are there when mkpart returns, and a loop of changes never loses a node" {
	vm_run --udev --disk "$(vm_disk 2G),bus=virtio,serial=A" "${PROGRAMS[@]}" --module ext4 --timeout 300 <<-'VM'
		set -e
		mkpart --new-table --disk /dev/vda >&2
		for i in 1 2 3 4 5 6 7 8; do
			mkpart --disk /dev/vda --name "part$i" --size 20M >&2
			test -b "/dev/vda$i"
			test -L "/dev/disk/by-partlabel/part$i"
			mkvolfs --device "/dev/vda$i" --fstype ext4 --label "fs$i" >&2
			test -b "/dev/vda$i"
			test -L "/dev/disk/by-label/fs$i"
		done
		mkpart --rename --disk /dev/vda part1=uno part8=otto >&2
		test -L /dev/disk/by-partlabel/uno
		test -L /dev/disk/by-partlabel/otto
		mkpart --delete --disk /dev/vda part2 >&2
		test ! -e /dev/vda2
		for i in 1 3 4 5 6 7 8; do test -b "/dev/vda$i"; done
		echo done
	VM
	[ "$output" = "done" ]
	[[ $stderr != *warning* ]]
}

@test "a disk that goes away between the first look and the write" {
	vm_run --disk "$(vm_disk 64M),bus=scsi,serial=A" --program flock <<-'VM'
		# the lock makes mkpart wait at just that point
		flock /dev/sda sleep 4 &
		sleep 1
		mkpart --new-table --disk /dev/sda >/tmp/out 2>/tmp/err &
		job=$!
		sleep 1
		echo 1 >/sys/block/sda/device/delete
		wait $job
		echo "status $?"
		cat /tmp/err >&2
	VM
	[ "$output" = "status 1" ]
	[[ $stderr == *"/dev/sda"* ]]
}

@test "a member of a running md array is never taken; the array itself may get a filesystem" {
	vm_run --disk "$(vm_disk 64M)" --disk "$(vm_disk 64M)" --module raid1 --module ext4 \
		--program mdadm --program mkfs.ext4 <<-'VM'
		mdadm --create /dev/md0 --level=1 --raid-devices=2 --metadata=1.2 --bitmap=none --run --homehost=any \
			/dev/vda /dev/vdb >&2 || exit
		! mkvolfs --device /dev/vda --fstype ext4 >&2 || exit
		! mkvolfs --device /dev/vda --fstype ext4 --force >&2 || exit
		! mkpart --new-table --disk /dev/vdb --force >&2 || exit
		mkvolfs --device /dev/md0 --fstype ext4 --label ARRAY -n -o label || exit
		mdadm --stop /dev/md0 >&2 || exit
		# stopped, it is still a member
		! mkvolfs --device /dev/vda --fstype ext4 >&2
	VM
	[ "$output" = ARRAY ]
	[[ $stderr == *"in use"* ]]
	[[ $stderr == *"RAID"* ]]
}

@test "power cut at each flush of mkpart's writes: the kernel shows the old table or the new one" {
	log=$BATS_TEST_TMPDIR/log
	disk=$BATS_TEST_TMPDIR/disk
	truncate -s 64M "$disk" "$disk.empty"
	vm_run --disk "$disk,bus=virtio,log=$log" <<-'VM'
		set -e
		mkpart --new-table --disk /dev/vda >&2
		mkpart --disk /dev/vda --name one --size 4M >&2
		mkpart --disk /dev/vda --name two --size 4M >&2
		mkpart --rename --disk /dev/vda one=uno two=due >&2
	VM
	"$VM_DIR/replay" --points "$log" --random 60 --lose 2 | sort -n >"$BATS_TEST_TMPDIR/points"
	tried=0
	while IFS=$'\t' read -r at lose; do
		[ "$at" != at ] || continue
		lost=()
		[ "$lose" = - ] || lost=(--lose "$lose" --tear)
		"$VM_DIR/replay" "$log" --base "$disk.empty" --at "$at" "${lost[@]}" "$BATS_TEST_TMPDIR/image"
		names=$(sfdisk --dump "$BATS_TEST_TMPDIR/image" 2>/dev/null | sed -n 's/.*name="\(.*\)"/\1/p' | tr '\n' ' ')
		tried=$((tried + 1))
		case $names in
		'' | 'one ' | 'one two ' | 'uno due ') ;;
		*) echo "at $at lose $lose: '$names'"; return 1 ;;
		esac
	done <"$BATS_TEST_TMPDIR/points"
	echo "$tried points"
	[ "$tried" -ge 60 ]
}
