# tier: vm
# The VM harness itself: that what a machine says and does comes back whole.
load ../vm/helpers

setup_file() { vm_need 6.12 5.10 6.1 6.17 newest; }

@test "the script's output, errors and status are the command's" {
	vm_run 7 <<-'VM'
		echo "to stdout"
		echo "to stderr" >&2
		printf 'a\ttab, no carriage return\n'
		[ ! -t 1 ] || echo "stdout is a terminal"
		exit 7
	VM
	[ "$output" = $'to stdout\na\ttab, no carriage return' ]
	[ "$stderr" = 'to stderr' ]
}

@test "a megabyte of output arrives whole, and a daemon left behind does not hold it up" {
	vm_run <<-'VM'
		sleep 1000 &
		seq 150000
	VM
	[ "$output" = "$(seq 150000)" ]
}

@test "modules load in order with what they need; an optional one may be missing" {
	vm_run --module btrfs --module ext4 --module vfat --module nls_cp437 --module nls_ascii \
		--module raid1 --module bcachefs --module dm-delay --module dm-log-writes \
		--module null_blk --module nvme --module sd_mod --module no_such_module? \
		--with-module scsi_debug <<-'VM'
		set -e
		for fs in btrfs ext4 vfat bcachefs; do grep -qw "$fs" /proc/filesystems; done
		for m in raid1 dm_delay dm_log_writes null_blk nvme; do test -d "/sys/module/$m"; done
		test ! -d /sys/module/scsi_debug
		modprobe scsi_debug dev_size_mb=8 sector_size=4096
		until [ -b /dev/sda ]; do usleep 10000; done
		cat /sys/block/sda/device/model /sys/block/sda/queue/logical_block_size
	VM
	[[ $output == scsi_debug*4096 ]]
}

@test "every kernel boots, with BTF, kprobes and tracefs for the tracers" {
	local kernel
	for kernel in 5.10 6.1 6.17 newest; do
		vm_run --kernel "$kernel" --disk "$(vm_disk 1M)" <<-'VM'
			set -e
			test -s /sys/kernel/btf/vmlinux
			test -b /dev/vda
			echo 'p:probe vfs_read' >/sys/kernel/tracing/kprobe_events
			uname -r
		VM
		[[ $kernel == newest || $output == "$kernel".* ]]
	done
}

@test "an init of the test's own takes the place of ours" {
	printf '#!/bin/sh\nmount -t proc proc /proc\necho "own init $$"\nexit 9\n' >"$BATS_TEST_TMPDIR/init"
	vm_run 9 --init "$BATS_TEST_TMPDIR/init" --pid1 <<<''
	[[ $output == *'own init 1'* ]]
}

@test "a run that is stopped leaves no machine behind" {
	local pid qemu
	TMPDIR=$BATS_TEST_TMPDIR "$VM_DIR/run" - <<<'sleep 1000' 3>&- &
	pid=$!
	until qemu=$(pgrep -P "$pid" qemu); do sleep 0.1; done
	kill -KILL "$pid"
	sleep 0.5
	# Gone, or a zombie that this machine's init has not got to yet.
	run grep -E '^State:[[:space:]]+[^ZX]' "/proc/$qemu/status"
	[ "$status" -ne 0 ]
}

@test "a module that the kernel lacks is refused by name" {
	vm_run 1 --module no_such_module <<<'true'
	[[ $stderr == *'no module no_such_module'* ]]
}

@test "disks of every bus and sector size, with their serials, what they hold, and read-only" {
	echo "hello from the host" >"$BATS_TEST_TMPDIR/ro"
	truncate -s 1M "$BATS_TEST_TMPDIR/ro"
	vm_run --disk "$(vm_disk 64M),serial=V5" --disk "$(vm_disk 64M),sector=4096,serial=V4" \
		--disk "$(vm_disk 64M),bus=scsi,serial=S5,rotational,wwn=5000c500a1b2c3d4" \
		--disk "$(vm_disk 64M),bus=scsi,sector=4096,serial=S4" \
		--disk "$(vm_disk 64M),bus=nvme,serial=N5" \
		--disk "$(vm_disk 64M),bus=nvme,sector=4096,serial=N4" \
		--disk "$(vm_disk 64M),bus=ide,serial=I5" \
		--disk "$BATS_TEST_TMPDIR/ro,ro" <<-'VM'
		for d in vda vdb sda sdb sdc nvme0n1 nvme1n1; do
			q=/sys/block/$d/queue
			echo "$d $(cat $q/logical_block_size) $(cat $q/rotational) $(cat /sys/block/$d/serial /sys/block/$d/device/serial 2>/dev/null)"
		done | sort
		cat /sys/block/sd*/device/wwid | grep -o naa.5000c500a1b2c3d4
		echo "vdc ro $(cat /sys/block/vdc/ro) $(dd if=/dev/vdc bs=512 count=1 2>/dev/null | head -n 1)"
	VM
	[[ $output == *'vda 512 '*V5* ]]
	[[ $output == *'vdb 4096 '*V4* ]]
	# NVMe controllers are probed side by side: their numbers are not those of the options.
	[[ $output =~ nvme.n1\ 512\ 0\ N5 ]]
	[[ $output =~ nvme.n1\ 4096\ 0\ N4 ]]
	[[ $output == *'naa.5000c500a1b2c3d4'* ]]
	[[ $output == *'vdc ro 1 hello from the host'* ]]
	[ "$(grep -c -E '^sd. 512 ' <<<"$output")" -eq 2 ]
	[ "$(grep -c -E '^sd. 4096 ' <<<"$output")" -eq 1 ]
	[ "$(grep -c -E '^sd. [0-9]* 1' <<<"$output")" -eq 1 ]
}

@test "what a machine wrote is on its disk, unless the disk was a snapshot" {
	local kept thrown
	kept=$(vm_disk 1M kept)
	thrown=$(vm_disk 1M thrown)
	vm_run --disk "$kept" --disk "$thrown,snapshot" <<-'VM'
		echo marked >/dev/vda
		echo marked >/dev/vdb
		head -n 1 /dev/vdb
	VM
	[ "$output" = marked ]
	[ "$(head -n 1 "$kept")" = marked ]
	run cmp -n 1000000 "$thrown" /dev/zero
	[ "$status" -eq 0 ]
}

@test "programs come with their libraries, files by their place, storbox with its applets" {
	echo "a file" >"$BATS_TEST_TMPDIR/f"
	vm_run --disk "$(vm_disk 256M)" --module btrfs --program mkfs.btrfs --program /sbin/mkfs.ext4 \
		--file "$BATS_TEST_TMPDIR/f:/etc/somewhere/f" <<-'VM'
		set -e
		mkfs.btrfs -q /dev/vda >&2
		mount /dev/vda /mnt
		mkfs.ext4 -V 2>/dev/null
		cat /etc/somewhere/f
		storbox --list | while read -r name rest; do command -v "$name" >/dev/null; done
	VM
	[ "$output" = "a file" ]
}

@test "udevd answers when asked for" {
	vm_run --udev --disk "$(vm_disk 1M),serial=ABC" <<-'VM'
		ls /dev/disk/by-id
	VM
	[ "$output" = virtio-ABC ]
}

@test "files come out of the machine" {
	vm_run --out "$BATS_TEST_TMPDIR/out" <<-'VM'
		mkdir /tmp/d
		echo one >/tmp/d/one
		vm_out /tmp/d
		head -c 5000000 /dev/urandom >/root/big
		vm_out /root/big
		sha256sum </root/big
	VM
	[ "$(cat "$BATS_TEST_TMPDIR/out/tmp/d/one")" = one ]
	[ "$(sha256sum <"$BATS_TEST_TMPDIR/out/root/big")" = "$output" ]
}

@test "a script that does not end is killed, and the console's end shown" {
	# A busy machine has perhaps not come as far as the script in 8 s.
	for limit in 8 32 128; do
		vm_run 124 --timeout $limit <<-'VM'
			echo "on the console" >/dev/kmsg
			echo "<1>stuck here" >/dev/kmsg
			sleep 1000
		VM
		[[ $stderr == *"not done after $limit s"* ]]
		[[ $stderr != *'stuck here'* ]] || break
	done
	[[ $stderr == *'stuck here'* ]]
}

@test "a kernel panic is told, with the console's end" {
	vm_run 125 <<-'VM'
		echo before
		sleep 1
		echo c >/proc/sysrq-trigger
	VM
	[ "$output" = before ]
	[[ $stderr == *'Kernel panic'*'sysrq triggered crash'* ]]
}

@test "power is cut by the script, and at a marker" {
	local disk
	disk=$(vm_disk 64M)
	vm_run 137 --disk "$disk" <<-'VM'
		echo durable | dd of=/dev/vda conv=fsync 2>/dev/null
		exec 5>/dev/vda # the last close would write it out
		echo cached >&5
		vm_cut
		echo never
	VM
	[ -z "$output" ]
	[ "$(head -n 1 "$disk")" = durable ]
	vm_run 137 --kill-after-marker 'step two' <<-'VM'
		echo "step one"
		echo "step two"
		sleep 1000
	VM
	[[ $output == *'step one'* ]]
	vm_run 137 --kill-after-marker said <<-'VM'
		vm_mark said
		sleep 1000
	VM
}

@test "the script can be PID 1, and what it execs too" {
	vm_run 3 --pid1 <<-'VM'
		echo "PID $$"
		exec sh -c 'echo "still $$"; exit 3'
	VM
	[[ $output == *'PID 1'* ]]
	[[ $output == *'still 1'* ]]
}

@test "TAP from a machine is asserted on: a lost test and a failed one are noticed" {
	output=$'1..2\nok 1 a\nok 2 b' run tap_from_vm
	[ "$status" -eq 0 ]
	output=$'1..2\nok 1 a' run tap_from_vm
	[ "$status" -ne 0 ]
	output=$'1..2\nok 1 a\nnot ok 2 b' run tap_from_vm
	[ "$status" -ne 0 ]
	output=$'ok 1 a' run tap_from_vm
	[ "$status" -ne 0 ]
}
