# tier: vm
# bcachefs-iostat on a real bcachefs: Linux 6.12 with the three members of tests/fixtures/bcachefs.
load ../vm/helpers
load bcachefs

setup_file() {
	vm_need 6.12
	command -v fio iostat strace >/dev/null || {
		[ "${CI:-}" != true ] || { echo 'CI lacks fio, iostat or strace' >&2; return 1; }
		skip 'needs fio, iostat and strace; make deps installs them'
	}
	local n
	for n in 0 1 2; do
		xz -dc "$BATS_TEST_DIRNAME/../fixtures/bcachefs/member$n.img.xz" |
			cp --sparse=always /dev/stdin "$BATS_FILE_TMPDIR/member$n.img"
	done
}

# in_vm [OPTION]... <<SCRIPT : with the three members as vda, vdb, vdc; `mount_it` mounts them.
in_vm() {
	local n disks=()
	for n in 0 1 2; do disks+=(--disk "$BATS_FILE_TMPDIR/member$n.img,snapshot"); done
	vm_run --timeout 240 --module bcachefs "${disks[@]}" "$@" < <(
		echo 'mount_it() { mount -t bcachefs /dev/vda:/dev/vdb:/dev/vdc /mnt; }'
		cat
	)
}

# near A B PERCENT [ABSOLUTE] : whether they agree.
near() {
	printf '%s and %s, within %s %% or %s\n' "$1" "$2" "$3" "${4:-0}"
	awk -v a="$1" -v b="$2" -v p="$3" -v d="${4:-0}" 'BEGIN {
		diff = a > b ? a - b : b - a
		exit !(a ~ /^[0-9.]+$/ && b ~ /^[0-9.]+$/ && (diff <= b * p / 100 || diff <= d))
	}'
}

of_theirs() { # COLUMN : of $device, as if it were of $theirs_s seconds, not $ours_s
	awk -v v="$(cell "device=$device scope=device" "$1")" -v ours="$ours_s" -v theirs="$theirs_s" \
		'BEGIN { print v * ours / theirs }'
}

@test "a known load: user bytes, replicas, the block layer's totals, and iostat's figures" {
	in_vm --program fio --program iostat --out "$BATS_TEST_TMPDIR/out" <<-'VM'
		mount_it || exit 1
		# What moves data to the background target in its own time reads it too.
		for target in /sys/fs/bcachefs/*/options/background_target; do
			echo none >"$target" && cat "$target" >&2 || exit 1
		done
		sync
		sleep 2
		bcachefs-iostat -y -x --tsv 40 1 >/tmp/ours &
		iostat -y -x -d vda vdb vdc 40 1 >/tmp/theirs &
		sleep 3
		# 16 MiB buffered, 8 MiB direct, 8 MiB by fio; what lz4 cannot shrink.
		dd if=/dev/urandom of=/mnt/a bs=1M count=16 conv=fsync 2>&1 | tail -n 1 >&2
		dd if=/dev/urandom of=/mnt/b bs=1M count=8 oflag=direct conv=fsync 2>&1 | tail -n 1 >&2
		fio --name=w --filename=/mnt/c --rw=randwrite --bs=64k --size=8M --direct=1 --ioengine=psync \
			--refill_buffers --buffer_compress_percentage=0 --end_fsync=1 >&2
		sync
		echo 3 >/proc/sys/vm/drop_caches
		# 16 MiB direct, 8 MiB buffered.
		dd if=/mnt/a of=/dev/null bs=1M iflag=direct 2>&1 | tail -n 1 >&2
		dd if=/mnt/b of=/dev/null bs=1M 2>&1 | tail -n 1 >&2
		sync
		[ ! -s /tmp/ours ] || { echo "the load took longer than the interval"; exit 1; }
		wait
		vm_out /tmp/ours /tmp/theirs
	VM
	output=$(cat "$BATS_TEST_TMPDIR"/out/tmp/ours)
	theirs=$(cat "$BATS_TEST_TMPDIR"/out/tmp/theirs)
	printf '%s\n' "$output" "$theirs"
	# Each byte twice (data_replicas=2), on the two of the foreground target; read from one of them.
	written=0
	read=0
	for device in vda vdb; do
		near "$(cell "device=$device type=user" write_bytes)" $((32 << 20)) 1
		written=$((written + $(cell "device=$device type=user" write_bytes)))
		read=$((read + $(cell "device=$device type=user" read_bytes)))
	done
	near $written $((64 << 20)) 1
	near $read $((24 << 20)) 1
	for device in vda vdb vdc; do
		# bcachefs' totals are the block layer's, but for what is in flight of its own traffic.
		own=$(($(cell "device=$device type=sb" write_bytes) + 65536))
		journal=$(cell "device=$device type=journal" write_bytes)
		near "$(cell "device=$device scope=device" block_write_bytes)" \
			"$(cell "device=$device scope=device" write_bytes)" 0 $((own + ${journal:-0}))
		near "$(cell "device=$device scope=device" block_read_bytes)" \
			"$(cell "device=$device scope=device" read_bytes)" 0 65536
	done
	# iostat's columns: r/s 2, r_await 6, w/s 8, wkB/s 9, w_await 12, aqu-sz 22, %util 23. On a slow machine
	# the two do not begin at one moment: the rates are compared as if ours had lasted as long as its.
	for device in vda vdb; do
		read -ra f < <(grep "^$device " <<<"$theirs")
		ours_s=$(cell "device=$device scope=device" interval_s)
		theirs_s=$(awk -v n="$(cell "device=$device scope=device" block_write_bytes)" -v rate="${f[8]}" \
			'BEGIN { print n / (rate * 1024) }')
		near "$ours_s" 40 20
		near "$theirs_s" 40 20
		near "$(of_theirs reads_per_s)" "${f[1]}" 1 0.1
		near "$(of_theirs writes_per_s)" "${f[7]}" 1 0.1
		near "$(($(cell "device=$device scope=device" read_await_ns) / 1000))" \
			"$(awk -v v="${f[5]}" 'BEGIN { print v * 1000 }')" 2 20
		near "$(($(cell "device=$device scope=device" write_await_ns) / 1000))" \
			"$(awk -v v="${f[11]}" 'BEGIN { print v * 1000 }')" 2 20
		near "$(of_theirs queue_depth)" "${f[21]}" 3 0.02
		near "$(of_theirs util_percent)" "${f[22]}" 3 0.3
	done
	near "$(cell "scope=filesystem" write_bytes)" \
		"$(awk -F '\t' '$4 == "device" { n += $15 } END { print n }' <<<"$output")" 0
	[ "$(cell "scope=filesystem" filesystem)" = /mnt ]
	[ "$(cell "device=vda scope=device" write_latency_kind)" = approximate ]
}

@test "unmounted, mounted again, so quickly that no report is between, and a device pulled out" {
	in_vm --out "$BATS_TEST_TMPDIR/out" <<-'VM'
		mount_it || exit 1
		bcachefs-iostat --tsv -o time,scope,member,device,read_bytes,write_bytes,note 1 >/tmp/ours &
		pid=$!
		sleep 2.5
		umount /mnt
		sleep 2
		mount_it
		sleep 2.2
		kill -STOP $pid
		umount /mnt
		mount_it
		kill -CONT $pid
		sleep 2.5
		echo 1 >/sys/block/vdc/device/../remove
		sleep 2.5
		kill -INT $pid
		wait $pid || exit 1
		vm_out /tmp/ours
	VM
	output=$(cat "$BATS_TEST_TMPDIR"/out/tmp/ours)
	echo "$output"
	[ "$(grep -c -P '\tfilesystem\t.*\tunmounted$' <<<"$output")" -eq 1 ]
	[ "$(grep -c -P '\tfilesystem\t.*\tmounted$' <<<"$output")" -eq 1 ]
	[ "$(grep -c -P '\tfilesystem\t.*\tcounters restarted$' <<<"$output")" -eq 1 ]
	[ "$(grep -c -P '\tdevice\t2\t.*\toffline$' <<<"$output")" -ge 1 ]
	# The last report still has the others, and no number is negative.
	[ "$(tail -n 3 <<<"$output" | grep -c -P '\tdevice\t[01]\tvd[ab]\t')" -eq 2 ]
	run ! grep -P '\t-[0-9]' <<<"$output"
}

@test "by the superblock's label, and the full screen's refusal without a terminal" {
	in_vm <<-'VM'
		mount_it || exit 1
		bcachefs-iostat --since-mount --tsv -g -n tank | cut -f 5
		bcachefs-iostat --since-mount --tsv -g -n /dev/vdb | cut -f 5
		bcachefs-iostat --since-mount --tsv -g -n tanks
		echo "status $?"
		bcachefs-iostat --top
		echo "status $?"
		umount /mnt
		bcachefs-iostat
		echo "status $?"
	VM
	[ "$output" = $'/mnt\n/mnt\nstatus 1\nstatus 2\nstatus 4' ]
}

@test "a report costs no more system calls and no more time than iostat's of the same devices" {
	in_vm --program strace --program iostat <<-'VM'
		mount_it || exit 1
		sleep 1
		# The difference of two runs is that of the reports alone.
		for n in 2 12; do
			strace -f -c -o /tmp/ours.$n bcachefs-iostat --tsv 1 $n >/dev/null &
			strace -f -c -o /tmp/theirs.$n iostat -x -d vda vdb vdc 1 $n >/dev/null &
			wait
		done
		calls() { awk '$NF == "total" { print $4 }' "$1"; }
		for who in ours theirs; do
			echo "$who $((($(calls /tmp/$who.12) - $(calls /tmp/$who.2)) / 10))"
		done
		# Time on a CPU for 20 reports, in ns: exact, where user and system time are sampled by
		# the very tick that wakes both.
		used() { cut -d ' ' -f 1 /proc/$1/schedstat; }
		cpu() {
			"$@" >/dev/null &
			pid=$!
			sleep 2.5
			before=$(used $pid)
			sleep 20
			echo $(($(used $pid) - before))
			kill $pid
		}
		cpu bcachefs-iostat --tsv 1 >/tmp/a
		cpu iostat -x -d vda vdb vdc 1 >/tmp/b
		echo "cpu $(cat /tmp/a) $(cat /tmp/b)"
	VM
	ours=$(sed -n 's/^ours //p' <<<"$output") # a report
	theirs=$(sed -n 's/^theirs //p' <<<"$output")
	read -r _ cpu_ours cpu_theirs < <(grep ^cpu <<<"$output")
	[ "$ours" -gt 0 ]
	[ "$ours" -le "$theirs" ]
	# At most iostat's; a quarter for the noise of an emulated machine on a busy one.
	[ "$cpu_ours" -gt 0 ]
	[ "$cpu_ours" -le $((cpu_theirs * 5 / 4)) ]
}
