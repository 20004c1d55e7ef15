# tier: vm
# timeout: 1500
# mos-sysvol on machines of its own: as the first program of an initramfs, on each kind of disk,
# with and without udevd; booted again, with a half gone, a half back, repaired, and power cut.
load ../vm/helpers
load loop

setup_file() {
	vm_need 6.12
	# One folder for all tests: what one has made, the next boots again.
	export DISKS=$BATS_FILE_TMPDIR
}

OPTIONS=()
for module in btrfs ext4 vfat nls_cp437 nls_ascii raid1; do OPTIONS+=(--with-module $module); done
for program in mkfs.btrfs mkfs.ext4 mkfs.vfat mkswap mdadm; do OPTIONS+=(--program $program); done

disk() { # NAME [SIZE]
	[ -e "$DISKS/$1" ] || truncate -s "${2:-3500M}" "$DISKS/$1"
	echo "$DISKS/$1,serial=$1"
}

# signed KIND : the disk of that name, with what another owner would leave. untouched KIND: it still is.
signed() {
	disk "$1"
	sign "$1" "$DISKS/$1"
	hash_of_data "$DISKS/$1" >"$DISKS/$1.was"
}
untouched() { [ "$(hash_of_data "$DISKS/$1")" = "$(cat "$DISKS/$1.was")" ]; }

# first_program ARGS... -- MACHINE...: storbox is PID 1, with nothing but the programs it runs.
first_program() {
	local args=()
	while [ "$1" != -- ]; do args+=("$1"); shift; done
	shift
	vm_run --pid1 "${OPTIONS[@]}" "$@" <<-VM
		mkdir /only
		for p in mkfs.btrfs mkfs.ext4 mkfs.vfat mkswap mdadm; do ln -s "\$(which \$p)" /only/; done
		ln -s /usr/bin/storbox /only/
		# The kernel must not find a modprobe either.
		echo /nowhere >/proc/sys/kernel/modprobe
		exec env -i PATH=/only /only/storbox mos-sysvol ${args[*]}
	VM
}

# What scripts in the machine begin with: TAP, and words about mos-sysvol.
tools() {
	vm_tap
	cat <<-'VM'
		all_mounted() {
			for dir in system etc modules vm-meta; do
				grep -q " /var/cache/$dir btrfs " /proc/mounts || return
			done
			grep -q ' /boot ext4 ' /proc/mounts && grep -q ' /boot/efi vfat ' /proc/mounts
		}
		# As before a boot, but for udevd.
		down() {
			for dir in /boot/efi /boot /var/cache/*; do umount $dir 2>/dev/null; done
			while read -r swap _; do case $swap in /dev/*) swapoff $swap ;; esac; done </proc/swaps
			mdadm --stop --scan 2>/dev/null
			! grep -q -E ' /boot|/var/cache' /proc/mounts
		}
		by_serial() { # SERIAL: its kernel name
			for d in /sys/block/*; do
				s=$(cat $d/serial $d/device/serial 2>/dev/null | tr -d ' ')
				[ -n "$s" ] || s=$(tail -c +5 $d/device/vpd_pg80 2>/dev/null | tr -d ' \0')
				[ "$s" != "$1" ] || echo ${d##*/}
			done
		}
		# no_writes DISK... -- COMMAND...: not one request to write or discard went to these disks.
		writes() { for d in "$@"; do awk '{ print $5, $7, $12, $14 }' /sys/block/$d/stat; done; }
		unplug() { echo 1 >/sys/block/$(by_serial $1)/device/../remove; } # SERIAL of a virtio disk
		# busy WORDS : until MOSDATA's exclusive operation has these; a minute at most.
		busy() {
			for i in $(seq 3000); do
				grep -q "$1" /sys/fs/btrfs/*/exclusive_operation && return
				usleep 20000
			done
			return 1
		}
		slow_resync() {
			modprobe raid1
			echo 1 >/proc/sys/dev/raid/speed_limit_min
			echo 1 >/proc/sys/dev/raid/speed_limit_max
		}
	VM
}

@test "first program of an initramfs, one virtio disk, sizes from the kernel command line" {
	first_program --wait 0 -- --disk "$(disk one)" --append "mossize=1 mosswap=1"
	[[ $output == *"empty, the only one"* ]]
	[[ $output == *"/boot/efi"*"brought up"* ]]
	[[ $output == *"[SWAP]"*"brought up"* ]]
}

@test "first program of an initramfs, two NVMe disks with sectors of 4096 bytes" {
	first_program --wait 0 --size 1 --swap 1 -- --disk "$(disk n1),bus=nvme,sector=4096" \
		--disk "$(disk n2),bus=nvme,sector=4096" --disk "$(disk small 100M),bus=nvme" \
		--disk "$(signed luks),bus=nvme"
	[[ $output == *"half of the best pair"* ]]
	[[ $output == *"holds a LUKS encrypted volume"* ]]
	untouched luks
	[[ $output == *"too small"* ]]
	[[ $output == *"/dev/md126"*"brought up"* ]]
}

@test "two SCSI disks with sectors of 4096 bytes: killed, stopped by Ctrl-C, then run to its end" {
	{ tools; cat <<-'VM'
		modprobe raid1
		real=$(which mdadm)
		mkdir /run/wrap
		for at in before:0.90 after:0.90 before:mosboot after:mosboot; do
			cat >/run/wrap/mdadm <<-END
				#!/bin/sh
				case "\$*" in *${at#*:}*) ;; *) exec $real "\$@" ;; esac
				[ ${at%:*} = before ] || $real "\$@"
				kill -KILL \$PPID
			END
			chmod +x /run/wrap/mdadm
			PATH=/run/wrap:$PATH mos-sysvol --wait 0 --size 1 --swap 1 >/run/out 2>&1
			ok "killed at mdadm: $at" [ $? = 137 ]
		done
		ok "an array is left" grep -q '^md' /proc/mdstat
		mos-sysvol --progress --wait 0 --size 1 --swap 1 >/run/out 2>&1 &
		pid=$!
		for i in $(seq 6000); do grep -q 'mkfs.ext4 -q' /run/out && break; usleep 10000; done
		kill -INT $pid
		wait $pid
		stopped=$?
		ok "it fails" [ $stopped = 1 ]
		ok "and says why" grep -q stopped /run/out
		ok "no array is left" says 1 "" grep '^md' /proc/mdstat
		ok "nothing is mounted" says 1 "" grep -E ' /boot|/var/cache' /proc/mounts
		ok "no swap is in use" says 1 "" grep '^/dev' /proc/swaps
		ok "a run again begins afresh" says 0 "starts afresh|brought up" \
			mos-sysvol --wait 0 --size 1 --swap 1
		ok "all is mounted" all_mounted
		ok "it is healthy" says 0 complete mos-sysvol --status
		echo 1..$n
	VM
	} >"$BATS_TEST_TMPDIR/script"
	vm_run "${OPTIONS[@]}" --disk "$(signed md),bus=scsi" --disk "$(disk k1),bus=scsi,sector=4096" \
		--disk "$(signed ext4),bus=scsi" --disk "$(disk k2),bus=scsi,sector=4096" \
		<"$BATS_TEST_TMPDIR/script"
	tap_from_vm
	untouched md
	untouched ext4
}

@test "booted again: found; another node's disk beside it: refused, and mosdisk= chooses" {
	{ tools; cat <<-'VM'
		slow_resync
		ok "two different filesystems: both are named" says 1 \
			"two different filesystems|serial one|serial n1|mosdisk=" mos-sysvol --wait 0
		one=$(by_serial one) n1=$(by_serial n1) n2=$(by_serial n2)
		before=$(writes $n1 $n2)
		ok "one is chosen" says 0 "/dev/${one}5|brought up" mos-sysvol --wait 0 --disk one
		ok "all is mounted" all_mounted
		ok "the other has not been written to" [ "$(writes $n1 $n2)" = "$before" ]
		ok "taken down" down
		ok "the other is chosen" says 0 "/dev/md12|brought up" mos-sysvol --wait 0 --disk n1
		ok "all is mounted" all_mounted
		ok "it is healthy" says 0 "complete" mos-sysvol --status --disk n1
		ok "a second run changes nothing" says 0 "already there" mos-sysvol --wait 0 --disk n1
		echo 1..$n
	VM
	} >"$BATS_TEST_TMPDIR/script"
	vm_run "${OPTIONS[@]}" --disk "$(disk one)" --disk "$(disk n1),bus=nvme,sector=4096" \
		--disk "$(disk n2),bus=nvme,sector=4096" <"$BATS_TEST_TMPDIR/script"
	tap_from_vm
}

@test "with udevd, five SCSI disks: the best pair; late, gone, alone, back, split, repaired" {
	{ tools; cat <<-'VM'
		gone() { down; echo 1 >/sys/block/$1/device/delete; }
		back() { echo '- - -' >/sys/class/scsi_host/host${1-0}/scan; udevadm settle; sleep 1; }
		host() { for h in /sys/class/scsi_host/host*; do [ "$(cat $h/proc_name)" != virtio_scsi ] || echo ${h##*host}; done; }
		h=$(host)
		modprobe raid1
		ok "the closest sizes are taken" says 0 "brought up" mos-sysvol --wait 0 --size 1 --swap 1
		ok "all is mounted" all_mounted
		a=$(by_serial a) b=$(by_serial b)
		ok "on the two that are alike" grep -q "^/dev/$a\|^/dev/$b" /proc/mounts
		ok "it is healthy" says 0 complete mos-sysvol --status
		echo 1 >/var/cache/system/file
		gone $b
		ok "a half gone: refused, named, with the two ways on" says 1 \
			"1 of its 2 disks is missing|serial b|mosdegraded=1|--repair" mos-sysvol --wait 0
		(sleep 1; back $h) &
		ok "a disk that comes late is waited for, no longer than it takes" says 0 "brought up" \
			timeout 100 mos-sysvol --wait 300
		wait
		ok "all is mounted" all_mounted
		b=$(by_serial b)
		gone $b
		ok "degraded when asked for" says 0 "DEGRADED" mos-sysvol --wait 0 --degraded
		ok "all is mounted" all_mounted
		ok "status says so" says 3 "degraded|serial b|used alone" mos-sysvol --status
		ok "a second run changes nothing" says 0 "already there" mos-sysvol --wait 0 --degraded
		echo 2 >/var/cache/system/file; sync
		down; back $h
		b=$(by_serial b)
		before=$(writes $b)
		ok "a half that was away does not join by itself" says 1 \
			"serial b|was away while the other half was used alone|--repair" mos-sysvol --wait 0
		ok "and is left out" says 0 DEGRADED mos-sysvol --wait 0 --degraded
		ok "the newer half counts" [ "$(cat /var/cache/system/file)" = 2 ]
		ok "all is mounted" all_mounted
		ok "status names it" says 3 "left out|serial b" mos-sysvol --status
		ok "nothing was written to it" [ "$(writes $b)" = "$before" ]
		ok "repaired with it" says 0 "complete" mos-sysvol --repair b
		ok "healthy" says 0 "complete" mos-sysvol --status
		ok "repaired again: nothing is left to do" says 0 "complete" mos-sysvol --repair b
		a=$(by_serial a)
		gone $b
		ok "one half is used alone" says 0 DEGRADED mos-sysvol --wait 0 --degraded
		echo a >/var/cache/etc/file; sync
		gone $a; back $h; down
		a=$(by_serial a); echo 1 >/sys/block/$a/device/delete
		ok "then the other" says 0 DEGRADED mos-sysvol --wait 0 --degraded
		echo b >/var/cache/etc/file; sync
		down; back $h
		ok "each was used alone: refused" says 1 "each half was used without the other|mosdisk=" \
			mos-sysvol --wait 0 --degraded
		ok "one is chosen" says 0 DEGRADED mos-sysvol --wait 0 --degraded --disk a
		ok "it is that one" [ "$(cat /var/cache/etc/file)" = a ]
		ok "with a new disk, not the old half" says 0 "complete" mos-sysvol --repair c
		ok "the old half is named" says 3 "left out|serial b" mos-sysvol --status
		down
		b=$(by_serial b); before=$(writes $b)
		ok "found again with the new half" says 0 "brought up" mos-sysvol --wait 0
		ok "all is mounted" all_mounted
		ok "it is the chosen one's data" [ "$(cat /var/cache/etc/file)" = a ]
		ok "nothing was written to the old half" [ "$(writes $b)" = "$before" ]
		ok "a second run changes nothing" says 0 "already there" mos-sysvol --wait 0
		echo 1..$n
	VM
	} >"$BATS_TEST_TMPDIR/script"
	vm_run "${OPTIONS[@]}" --udev --timeout 400 --disk "$(disk a),bus=scsi" --disk "$(disk c 3700M),bus=scsi" \
		--disk "$(disk b),bus=scsi" --disk "$(disk d 4000M),bus=scsi" \
		--disk "$(disk e 5000M),bus=scsi" <"$BATS_TEST_TMPDIR/script"
	tap_from_vm
}

@test "power cut in the middle of a repair, and the repair run again" {
	{ tools; cat <<-'VM'
		modprobe raid1
		ok "made" says 0 "brought up" mos-sysvol --wait 0 --size 1 --swap 1 --disk r1 --disk r2
		dd if=/dev/urandom of=/var/cache/vm-meta/file bs=1M count=150 2>/dev/null
		md5sum /var/cache/vm-meta/file >/var/cache/vm-meta/sum; sync
		down
		unplug r2
		(sleep 1; echo 1 >/sys/bus/pci/rescan) &
		ok "a disk that is plugged in late is waited for, no longer than it takes" says 0 \
			"brought up" timeout 100 mos-sysvol --wait 300
		wait
		ok "all is mounted" all_mounted
		ok "healthy" says 0 complete mos-sysvol --status
		down
		unplug r2
		ok "degraded" says 0 DEGRADED mos-sysvol --wait 0 --degraded
		# An operator's balance keeps a replace out, and the repair must not go on without it.
		for i in $(seq 20); do
			btrfs balance start --background --full-balance /var/cache/system >/dev/null
			busy balance && btrfs balance pause /var/cache/system && break
		done
		ok "a balance is paused" busy "balance paused"
		ok "while it is, a repair says so" says 1 "another exclusive operation" mos-sysvol --repair r3
		ok "nothing was mirrored, and it is known" says 3 "degraded" mos-sysvol --status
		btrfs balance cancel /var/cache/system
		# Slow enough to be caught at it on any machine: a replace keeps the scrub's limit.
		for limit in /sys/fs/btrfs/*/devinfo/*/scrub_speed_max; do echo 31457280 >$limit; done
		mos-sysvol --repair r3 >/run/repair 2>&1 &
		pid=$!
		ok "a replace runs" busy replace
		kill -INT $pid
		wait $pid
		ok "stopped by Ctrl-C" [ $? = 1 ]
		ok "still degraded" says 3 "degraded" mos-sysvol --status
		mos-sysvol --repair r3 >/run/repair 2>&1 &
		ok "a replace runs" busy replace
		echo 1..$n
		sleep 0.3
		vm_cut
	VM
	} >"$BATS_TEST_TMPDIR/script"
	vm_run 137 "${OPTIONS[@]}" --timeout 400 --program btrfs --disk "$(disk r1)" --disk "$(disk r2)" \
		--disk "$(disk r3)" <"$BATS_TEST_TMPDIR/script"
	tap_from_vm
	# The half that was mirrored onto is lost too: another takes its place.
	{ tools; cat <<-'VM'
		modprobe raid1
		ok "degraded" says 0 DEGRADED mos-sysvol --wait 0 --degraded
		ok "repaired with another disk" says 0 complete mos-sysvol --repair other
		ok "the data is there" md5sum -c /var/cache/vm-meta/sum
		echo 1..$n
	VM
	} >"$BATS_TEST_TMPDIR/script"
	vm_run "${OPTIONS[@]}" --disk "$(disk r1),snapshot" --disk "$(disk other),snapshot" \
		<"$BATS_TEST_TMPDIR/script"
	tap_from_vm
	{ tools; cat <<-'VM'
		modprobe raid1
		ok "a half is still missing" says 1 "1 of its 2 disks is missing" mos-sysvol --wait 0
		ok "degraded" says 0 DEGRADED mos-sysvol --wait 0 --degraded
		ok "repaired" says 0 complete mos-sysvol --repair r3
		ok "healthy" says 0 complete mos-sysvol --status
		ok "the data is there" md5sum -c /var/cache/vm-meta/sum
		down
		ok "found" says 0 "brought up" mos-sysvol --wait 0
		ok "all is mounted" all_mounted
		echo 1..$n
	VM
	} >"$BATS_TEST_TMPDIR/script"
	vm_run "${OPTIONS[@]}" --disk "$(disk r1)" --disk "$(disk r3)" <"$BATS_TEST_TMPDIR/script"
	tap_from_vm
}

# What a machine does after a repair was cut, whatever the cut left.
after_cut() { # DISK : the new half's
	cat <<-VM
		modprobe raid1
		mos-sysvol --wait 0 >/dev/null 2>&1 ||
			ok "degraded" says 0 DEGRADED mos-sysvol --wait 0 --degraded
		ok "repaired, or it was already" says 0 complete mos-sysvol --repair $1
		ok "healthy" says 0 complete mos-sysvol --status
		ok "the data is there" md5sum -c /var/cache/vm-meta/sum
		ok "a second run changes nothing" says 0 "already there" mos-sysvol --wait 0
		ok "all is mounted" all_mounted
	VM
}

@test "a repair without room says what to do, and goes on; power cut in a repair's last steps" {
	{ tools; cat <<-'VM'
		modprobe raid1
		ok "degraded" says 0 DEGRADED mos-sysvol --wait 0 --degraded
		dd if=/dev/zero of=/var/cache/vm-meta/full bs=1M count=650 2>/dev/null; sync
		ok "no room to mirror: what to do is said" says 1 "unallocated|delete files|--repair" \
			mos-sysvol --repair r4
		ok "it runs on one half as before" says 3 "degraded" mos-sysvol --status
		ok "the data is there" md5sum -c /var/cache/vm-meta/sum
		rm /var/cache/vm-meta/full; sync
		echo 1..$n
		mos-sysvol --progress --repair r4 2>&1
	VM
	} >"$BATS_TEST_TMPDIR/script"
	vm_run 137 "${OPTIONS[@]}" --kill-after-marker "btrfs balance start" --disk "$(disk r1)" \
		--disk "$(disk r4)" <"$BATS_TEST_TMPDIR/script"
	tap_from_vm
	# Cut while it mirrored what the first half got alone: a member already, but not complete.
	{ tools; cat <<-'VM'
		modprobe raid1
		ok "brought up, and it is said that the repair has not ended" says 0 \
			"brought up|has not ended: run mos-sysvol --repair /dev/vdb" mos-sysvol --wait 0
		ok "status says so" says 3 "joining|not committed|--repair /dev/vdb" mos-sysvol --status
	VM
	after_cut r4; cat <<-'VM'
		down
		echo 1 >/sys/block/vdb/device/../remove
		ok "degraded" says 0 DEGRADED mos-sysvol --wait 0 --degraded
		echo 1..$n
		mos-sysvol --progress --repair r5 2>&1
	VM
	} >"$BATS_TEST_TMPDIR/script"
	vm_run 137 "${OPTIONS[@]}" --kill-after-marker "record-peer --device /dev/vda1" --disk "$(disk r1)" \
		--disk "$(disk r4)" --disk "$(disk r5)" <"$BATS_TEST_TMPDIR/script"
	tap_from_vm
	# Cut while the records were renewed: the new half alone is complete, and never begun afresh on.
	{ tools; cat <<-'VM'
		modprobe raid1
		before=$(writes vda)
		ok "alone: refused, and the other half named" says 1 \
			"1 of its 2 disks is missing|serial r1|mosdegraded=1" mos-sysvol --wait 0
		ok "nothing was written" [ "$(writes vda)" = "$before" ]
		ok "kept when asked for" says 0 DEGRADED mos-sysvol --wait 0 --degraded
		ok "all is mounted" all_mounted
		ok "the data is there" md5sum -c /var/cache/vm-meta/sum
		echo 1..$n
	VM
	} >"$BATS_TEST_TMPDIR/script"
	vm_run "${OPTIONS[@]}" --disk "$(disk r5),snapshot" <"$BATS_TEST_TMPDIR/script"
	tap_from_vm
	# With the other half the boot ends it by itself.
	{ tools; echo 'ok "found" says 0 "brought up" mos-sysvol --wait 0'; after_cut r5; echo 'echo 1..$n'; } >"$BATS_TEST_TMPDIR/script"
	vm_run "${OPTIONS[@]}" --disk "$(disk r1)" --disk "$(disk r5)" <"$BATS_TEST_TMPDIR/script"
	tap_from_vm
}
