# tier: vm
# timeout: 1200
# subvol on other kernels, and on a machine where no other filesystem bears the label MOSDATA.
load ../vm/helpers

setup_file() {
	vm_need 5.10 6.1 6.12 newest
	make_unit btrfs_ops
}

# What one machine checks, as TAP; $QUOTA is the kind of quotas this kernel is to get.
script() {
	echo "QUOTA=$1"
	vm_tap
	cat <<-'VM'
		unmounted() { ! grep -q btrfs /proc/mounts && [ "$(ls /sys/fs/btrfs | grep -c -)" = 0 ]; }

		mkfs.btrfs -q -f -L MOSDATA -d raid1 -m raid1 /dev/vda /dev/vdb
		# mkfs tells the kernel of the devices: start from nothing known.
		modprobe -r btrfs && modprobe btrfs
		ok "mount(8) fails on the unscanned pair, so the test means something" \
			says 255 "" mount -t btrfs /dev/vda /mnt
		ok "create on MOSDATA, not mounted, of two unscanned devices" says 0 system subvol create system
		ok "nothing stays mounted" unmounted
		for name in etc modules vm-meta data data/in; do
			ok "create $name" says 0 "$name" subvol create "$name"
		done
		ok "an existing one is refused" says 1 "exists already" subvol create data
		ok "snapshot" says 0 snap subvol snapshot data snap
		ok "core subvolumes stay" says 2 "never deleted" subvol delete system
		ok "nested is refused" says 1 "holds 1 other" subvol delete data
		mount -t btrfs -o subvol=system,ro /dev/vdb /mnt
		ok "on a filesystem that is mounted read-only: listed" says 0 vm-meta subvol list
		ok "and not changed" says 1 "mounted read-only" subvol create more
		ok "its mount is as it was" grep -q "/mnt btrfs ro," /proc/mounts
		mount -o remount,rw /mnt
		ok "writable again" says 0 more subvol create more
		mkdir /more && mount -t btrfs -o subvol=more /dev/vda /more
		ok "a mounted one is not deleted" says 1 "is mounted at /more" subvol delete more
		umount /more
		ok "quota" says 0 "$QUOTA" subvol set-quota data 20M
		dd if=/dev/urandom of=/dev/shm/r bs=1M count=30 2>/dev/null
		mkdir -p /top && mount -t btrfs -o subvolid=5 /dev/vda /top
		for i in 1 2 3 4 5 6 7 8; do cp /dev/shm/r /top/data/f$i 2>/dev/null && sync; done
		ok "the limit holds" [ "$(du -sm /top/data | cut -f1)" -lt 30 ]
		ok "recursive deletion, with its quota group" \
			says 0 "true	removed" subvol delete -r data --wait
		ok "fs_usage" says 0 RAID1 btrfs_ops fs_usage /top
		ok "scrub" says 0 finished btrfs_ops scrub_start /top
		ok "scrub status" says 0 finished btrfs_ops scrub_status /top
		ok "balance" says 0 finished btrfs_ops balance_start /top --usage 50
		ok "device stats" says 0 /dev/vdb btrfs_ops device_stats /top --check
		ok "resize" says 0 /dev/vdb btrfs_ops resize_max /top
		cp /dev/shm/r /top/etc/r
		ok "defrag" says 0 /top/etc btrfs_ops defrag /top/etc --compress zstd
		umount /top /mnt
		ok "nothing is mounted at the end" unmounted
		mkfs.btrfs -q -f -L MOSDATA /dev/vdc
		ok "a second MOSDATA is refused" says 1 "two btrfs filesystems have this label" subvol create x
		ok "unless named" says 0 x subvol create x --fs /dev/vdc
		echo "1..$n"
	VM
}

on_kernel() { # KERNEL QUOTA
	script "$2" >"$BATS_TEST_TMPDIR/script"
	vm_run --kernel "$1" --mem 1024 --module btrfs --program mkfs.btrfs \
		--file "$UNIT/btrfs_ops:/bin/btrfs_ops" \
		--disk "$(vm_disk 512M)" --disk "$(vm_disk 512M)" --disk "$(vm_disk 512M)" \
		<"$BATS_TEST_TMPDIR/script"
	tap_from_vm
}

@test "Linux 6.12: everything, with simple quotas" { on_kernel 6.12 simple; }
@test "Linux 6.1: everything, with full quotas" { on_kernel 6.1 full; }
@test "Linux 5.10: everything, with full quotas" { on_kernel 5.10 full; }
@test "the newest Linux: everything, with simple quotas" { on_kernel newest simple; }

@test "a power cut the moment subvol returns: what it said was done is done" {
	disk=$(vm_disk 512M)
	vm_run 137 --module btrfs --program mkfs.btrfs --disk "$disk" <<-'VM'
		mkfs.btrfs -q -f -L MOSDATA /dev/vda
		mount -t btrfs -o commit=300 /dev/vda /mnt
		subvol create keep && subvol create gone && sync
		subvol delete gone
		subvol create late
		subvol snapshot keep snap
		vm_cut
	VM
	vm_run --module btrfs --disk "$disk" <<-'VM'
		subvol list -n -o path | sort
	VM
	[ "$output" = $'keep\nlate\nsnap' ]
}
