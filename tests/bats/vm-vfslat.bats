# tier: vm
# vfslat on real kernels: every backend that each should have, with one known load.
load helpers
load ../vm/helpers

setup_file() {
	vm_need 6.12
	export LOAD=$BATS_FILE_TMPDIR/vfsload
	musl-gcc -static -O1 -o "$LOAD" "$BATS_TEST_DIRNAME/../vm/vfsload.c"
}

# In the machine: traced OUT ARGS... starts vfslat and waits until it is attached; ended stops it.
traced='
traced() {
	out=$1
	shift
	rm -f /tmp/up
	vfslat --metrics /tmp/up "$@" >$out 2>/tmp/err &
	tracer=$!
	tries=600
	while [ ! -e /tmp/up ] && kill -0 $tracer 2>/dev/null && [ $((tries -= 1)) -gt 0 ]; do
		usleep 100000
	done
	[ -e /tmp/up ] || { cat /tmp/err >&2; return 1; }
}
ended() {
	kill -INT $tracer
	wait $tracer
	cat /tmp/err >&2
}
'

# counts_are_exact KERNEL BACKEND...
counts_are_exact() {
	local kernel=$1
	shift
	vm_need "$kernel"
	vm_run --kernel "$kernel" --timeout 300 --file "$LOAD:/usr/bin/vfsload" <<-VM
		$traced
		mkdir -p /mnt/t
		mount -t tmpfs t /mnt/t
		for backend in $*; do
			echo "== \$backend"
			traced /tmp/rows --backend \$backend --comm vfsload --path /mnt/t --slow-ms 0 --jsonl || exit 1
			vfsload /mnt/t >/tmp/want || exit 1
			ended || exit 1
			for op in read write fsync readdir; do
				echo "\$op \$(grep -c "\"operation\":\"\$op\"" /tmp/rows)"
			done >/tmp/got
			echo "errors \$(grep -c '"error":"EISDIR"' /tmp/rows)" >>/tmp/got
			diff /tmp/want /tmp/got || exit 1
			# All counted as well, and as the backend that was asked for.
			sum=0
			while read -r op n; do
				[ \$op = errors ] && continue
				grep "^storage_io_vfs_operations_total.*operation=\"\$op\".* \$n\$" /tmp/up ||
					{ grep vfs_operations /tmp/up; exit 1; }
				sum=\$((sum + n))
			done </tmp/want
			grep -q "^storage_io_events_processed_total \$sum\$" /tmp/up || exit 1
			grep -q "storage_io_backend{backend=\"\$backend\"" /tmp/up || exit 1
			grep -q 'storage_io_events_lost_total{reason="buffer_full"} 0' /tmp/up || exit 1
			# Whole paths, the right offsets and sizes.
			grep '"operation":"fsync"' /tmp/rows | grep -vc '"path":"/mnt/t/file of load"'
			grep '"operation":"readdir"' /tmp/rows | grep -vc '"mount":"/mnt/t","path":"/mnt/t"'
			grep -c '"operation":"write".*"size_bytes":1000,"offset":49000,"result":1000' /tmp/rows
			grep -c '"operation":"read".*"size_bytes":4096,"offset":4096,"result":4096' /tmp/rows
		done
	VM
	[ "$(grep -c '^==' <<<"$output")" -eq $# ]
	# For each backend: no fsync and no readdir elsewhere; write and pwrite at 49000; 20 preads.
	[ "$(grep -xE '[0-9]+' <<<"$output" | paste -sd ' ')" = "$(for _ in "$@"; do echo 0 0 2 20; done | paste -sd ' ')" ]
}

@test "Linux 6.12: every backend counts each operation once, with its path, offset and errno" {
	counts_are_exact 6.12 fentry kprobe syscalls
}

@test "Linux 6.1: every backend counts each operation once" {
	counts_are_exact 6.1 fentry kprobe syscalls
}

@test "Linux 5.10, without task storage: every backend counts each operation once" {
	counts_are_exact 5.10 fentry kprobe syscalls
}

@test "the newest kernel: every backend counts each operation once" {
	counts_are_exact newest fentry kprobe syscalls
}

# near WHAT GOT WANT PERCENT: fails where they are further apart.
near() {
	awk -v what="$1" -v a="$2" -v b="$3" -v p="$4" 'BEGIN {
		d = a > b ? a - b : b - a
		printf "# %s: %s, measured otherwise %s (%.1f %%)\n", what, a, b, b ? 100 * d / b : 0
		exit !(d <= b * p / 100)
	}'
}

# The load measures itself too, by the clock around each call and the scheduler's own figures. A
# machine under emulation on a busy host is late at times, so that is what vfslat must agree with;
# with the device's nominal delay only where the load itself does. A thread mostly loses its CPU when a
# call returns, between its end and the load's clock: so calls are long where the CPU is used, and what
# they waited for it is left out but where it is the subject.
@test "latency is true to 10 %: known delays, a throttled cgroup, decompression, page cache, a busy CPU" {
	vm_need 6.12
	need_program mksquashfs
	local image=$BATS_TEST_TMPDIR/squash backend what mean p50 cpu queued blocked vcount vmean vp50 vcpu vqueued vblocked
	mkdir "$BATS_TEST_TMPDIR/data"
	head -c 3M /dev/urandom | base64 -w 0 >"$BATS_TEST_TMPDIR/data/file"
	mksquashfs "$BATS_TEST_TMPDIR/data" "$image" -comp xz -b 1M -quiet -no-progress
	# null_blk completes by a timer of nanoseconds, so 25 ms are 25 ms. dm-delay counts ticks: of
	# 25 ms it makes 28 at 250 Hz.
	vm_run --timeout 600 --disk "$(vm_disk 64M)" --disk "$image,ro" --module dm-delay --module squashfs \
		--with-module null_blk --program dmsetup --smp 1 --file "$LOAD:/usr/bin/vfsload" <<-VM
		$traced
		set -e
		modprobe null_blk nr_devices=1 gb=1 queue_mode=2 irqmode=2 completion_nsec=25000000
		dmsetup --noudevsync create slow --table '0 100000 delay /dev/vda 0 25' >&2
		mkdir -p /mnt/t /mnt/squash
		mount -t tmpfs t /mnt/t
		head -c 67108864 /dev/zero >/mnt/t/big
		mount -t squashfs /dev/vdb /mnt/squash
		mount -t cgroup2 cgroup /sys/fs/cgroup
		echo +io >/sys/fs/cgroup/cgroup.subtree_control
		mkdir /sys/fs/cgroup/slow
		echo "\$(cat /sys/block/vda/dev) riops=20" >/sys/fs/cgroup/slow/io.max
		measure() { # WHAT ARGUMENTS...
			what=\$1
			shift
			traced /tmp/rows --backend \$backend --comm vfsload --kind file,block -s --by op --tsv -n \\
				-o count,avg_ns,p50_ns,cpu_percent,queued_percent,blocked_percent
			own=\$(vfsload "\$@")
			ended
			echo "\$backend	\$what	\$own	\$(tail -n 1 /tmp/rows)"
		}
		for backend in fentry kprobe syscalls; do
			measure timer /dev/nullb0 4096 40 direct
			measure tick /dev/dm-0 4096 40 direct
			[ \$backend = kprobe ] && continue
			measure cache /mnt/t/big 16777216 4 timed
			echo 3 >/proc/sys/vm/drop_caches
			measure squash /mnt/squash/file 1048576 4 timed
			echo \$\$ >/sys/fs/cgroup/slow/cgroup.procs
			measure throttled /dev/vda 4096 60 direct
			echo \$\$ >/sys/fs/cgroup/cgroup.procs
			spin=
			for s in 1 2 3; do
				(while :; do :; done) &
				spin="\$spin \$!"
			done
			measure busy /mnt/t/big 67108864 1 timed
			kill \$spin
		done
	VM
	[ "$(grep -c . <<<"$output")" -eq 14 ]
	while IFS=$'\t' read -r backend what mean p50 cpu queued blocked vcount vmean vp50 vcpu vqueued vblocked; do
		echo "# $backend $what: $vcount operations; cpu $cpu $vcpu, queued $queued $vqueued, blocked $blocked $vblocked"
		case $what in
		timer | tick | throttled)
			near "$backend $what, mean ns" "$vmean" "$mean" 10
			;;&
		timer | tick)
			near "$backend $what, median ns" "$vp50" "$p50" 10
			[ "$vcount" -eq 40 ]
			near "$backend $what, blocked percent" "$vblocked" "$blocked" 10
			;;&
		timer)
			awk -v p="$p50" -v m="$mean" 'BEGIN { exit !(p < 26500000 && m < 26500000) }' || continue
			near "$backend $what, median ns, nominal" "$vp50" 25000000 10
			near "$backend $what, blocked ns, nominal" \
				"$(awk -v a="$vmean" -v b="$vblocked" 'BEGIN { print a * b / 100 }')" 25000000 10
			;;
		throttled)
			[ "$vcount" -eq 60 ]
			near "$backend $what, blocked percent" "$vblocked" "$blocked" 10
			awk -v m="$mean" 'BEGIN { exit !(m < 52500000) }' || continue
			near "$backend $what, mean ns, nominal" "$vmean" 50000000 10
			;;
		cache | squash)
			near "$backend $what, mean without waiting" \
				"$(awk -v m="$vmean" -v q="$vqueued" 'BEGIN { print m * (100 - q) }')" \
				"$(awk -v m="$mean" -v q="$queued" 'BEGIN { print m * (100 - q) }')" 10
			awk -v c="$vcpu" 'BEGIN { exit !(c >= 85) }'
			;;
		busy)
			near "$backend $what, waiting percent" "$vqueued" "$queued" 10
			awk -v q="$vqueued" 'BEGIN { exit !(q >= 50) }'
			;;
		esac
	done <<<"$output"
}

@test "a flood of slow operations: what is not reported is counted exactly, and nothing hangs" {
	vm_need 6.12
	vm_run --timeout 300 --file "$LOAD:/usr/bin/vfsload" <<-VM
		$traced
		mkdir -p /mnt/t
		mount -t tmpfs t /mnt/t
		head -c 4096 /dev/zero >/mnt/t/small
		# A buffer of 16 records and no limit a second: it overruns.
		traced /tmp/rows --comm vfsload --slow-ms 0 --buffer 16K --max-events 100000000 --jsonl || exit 1
		vfsload /mnt/t/small 4096 200000 || exit 1
		ended || exit 1
		echo "rows \$(grep -c . /tmp/rows)"
		sed -n 's/^storage_io_events_lost_total{reason="buffer_full"}/lost/p; s/^storage_io_events_processed_total/seen/p' /tmp/up
		traced /tmp/rows --comm vfsload --slow-ms 0 --max-events 100 --jsonl || exit 1
		vfsload /mnt/t/small 4096 200000 || exit 1
		ended || exit 1
		echo "rows \$(grep -c . /tmp/rows)"
		sed -n 's/^storage_io_events_lost_total{reason="rate_limit"}/lost/p; s/^storage_io_events_processed_total/seen/p' /tmp/up
	VM
	[ "$(grep -c '^rows' <<<"$output")" -eq 2 ]
	run awk '/^rows/ { rows = $2 } /^seen/ { seen = $2 } /^lost/ { lost = $2
		if (lost <= 0 || seen != 200000 || rows + lost != seen) exit 1 }' <<<"$output"
	[ "$status" -eq 0 ]
}

# A node as kubelet and containerd make it, in a machine: what a container does on each volume comes
# back with the pod, the container and the volume. hierarchy: 1 or 2. With "inside" vfslat itself is in
# a mount namespace where the node's folders are not to be seen, as in a pod with hostPID.
kubernetes() { # KERNEL HIERARCHY DRIVER BACKEND [inside]
	vm_need "$1"
	vm_run --kernel "$1" --timeout 300 --disk "$(vm_disk 64M)" --module ext4 --program mkfs.ext4 \
		--module overlay --file "$LOAD:/usr/bin/vfsload" <<-VM
		$traced
		set -e
		uid=8ad2a1b4-90c3-4b1c-a0ce-6a5c8e1f4f11
		flat=8ad2a1b4_90c3_4b1c_a0ce_6a5c8e1f4f11
		id=1111111122222222333333334444444455555555666666667777777788888888
		mount -t tmpfs var /var
		if [ $2 = 2 ]; then
			mount -t cgroup2 cgroup /sys/fs/cgroup
			top=/sys/fs/cgroup
		else
			mount -t tmpfs cgroup /sys/fs/cgroup
			top=/sys/fs/cgroup/memory
			mkdir \$top
			mount -t cgroup -o memory cgroup \$top
		fi
		if [ $3 = systemd ]; then
			cgroup=\$top/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod\$flat.slice/cri-containerd-\$id.scope
		else
			cgroup=\$top/kubepods/burstable/pod\$uid/\$id
		fi
		mkdir -p \$cgroup
		pod=/var/lib/kubelet/pods/\$uid/volumes
		mkdir -p \$pod/kubernetes.io~empty-dir/scratch \$pod/kubernetes.io~empty-dir/memory \\
			\$pod/kubernetes.io~secret/tls \$pod/kubernetes.io~projected/token \\
			\$pod/kubernetes.io~configmap/conf \$pod/kubernetes.io~downward-api/info \\
			\$pod/kubernetes.io~csi/pvc-7/mount /var/data /var/log/pods/prod_web-0_\$uid/app \\
			/var/lib/kubelet/plugins/kubernetes.io/csi/ebs.csi.aws.com/hash/globalmount \\
			/var/o/lower /var/o/upper /var/o/work /run/containerd/io.containerd.runtime.v2.task/k8s.io/\$id/rootfs
		for v in secret/tls projected/token empty-dir/memory; do
			mount -t tmpfs tmpfs "\$pod/kubernetes.io~\$v"
		done
		mkfs.ext4 -q /dev/vda >&2
		global=/var/lib/kubelet/plugins/kubernetes.io/csi/ebs.csi.aws.com/hash/globalmount
		mount -t ext4 /dev/vda \$global
		mount --bind \$global \$pod/kubernetes.io~csi/pvc-7/mount
		echo '{"driverName":"ebs.csi.aws.com","specVolID":"pvc-7-claim"}' >\$pod/kubernetes.io~csi/pvc-7/vol_data.json
		rootfs=/run/containerd/io.containerd.runtime.v2.task/k8s.io/\$id/rootfs
		mount -t overlay -o lowerdir=/var/o/lower,upperdir=/var/o/upper,workdir=/var/o/work overlay \$rootfs
		cat >/tmp/container <<-'IN'
			set -e
			echo \$\$ >\$cgroup/cgroup.procs
			mkdir -p \$rootfs/v
			for v in \$pod/*/*; do
				case \$v in *~csi/*) from=\$v/mount ;; *) from=\$v ;; esac
				to=\$rootfs/v/\${v##*/}
				mkdir -p \$to
				mount --bind \$from \$to
			done
			mkdir -p \$rootfs/v/host \$rootfs/v/own
			mount --bind /var/data \$rootfs/v/host
			cp /usr/bin/vfsload \$rootfs/vfsload
			cd \$rootfs
			for v in scratch memory tls token conf info pvc-7 host own; do
				chroot . /vfsload /v/\$v >&2
			done
		IN
		late=99999999-90c3-4b1c-a0ce-6a5c8e1f4f11
		pods=\${cgroup%/*/*}
		mkdir -p \$pods/pod\$late/\$id
		export uid id cgroup pod rootfs top pods
		only=
		if [ -n "${5:-}" ]; then
			vfslat() {
				exec unshare -m sh -c 'mount -t tmpfs none /var && mount -t tmpfs none /run &&
					mount --bind \$pods \$top && [ ! -e /var/lib ] && exec vfslat "\$@"' - "\$@"
			}
			# One cgroup as seen in here, one as the host has it.
			only="--cgroup \$top/pod\$uid --cgroup \${pods#\$top}/pod\$late"
		fi
		traced /tmp/rows --backend $4 \$only --comm vfsload --op fsync --slow-ms 0 --tsv -n \\
			-o volume,volume_type,plugin,pod_uid,container_id,namespace,pod,container,path
		unshare -m sh /tmp/container
		sleep 1
		# A pod that went, and one that comes while vfslat runs.
		mkdir -p /var/log/pods/prod_late-1_\$late/app /var/lib/kubelet/pods/\$late/volumes/kubernetes.io~empty-dir/e
		sh -c "echo \\\$\\\$ >\$pods/pod\$late/\$id/cgroup.procs; vfsload /var/lib/kubelet/pods/\$late/volumes/kubernetes.io~empty-dir/e" >&2
		sleep 2
		sh -c "echo \\\$\\\$ >\$pods/pod\$late/\$id/cgroup.procs; vfsload /var/lib/kubelet/pods/\$late/volumes/kubernetes.io~empty-dir/e" >&2
		ended
		sort -u /tmp/rows | sed "s/\$uid/UID/g; s/\$id/ID/g; s/\$late/LATE/g"
	VM
	local who=$'UID\tID\tprod\tweb-0\tapp' pods=/var/lib/kubelet/pods/UID/volumes
	has() { grep -qxF -e "$1" <<<"$output" || { echo "lacks: $1"; return 1; }; }
	has "scratch	emptydir	kubernetes.io/empty-dir	$who	$pods/kubernetes.io~empty-dir/scratch/file of load"
	has "memory	emptydir	kubernetes.io/empty-dir	$who	$pods/kubernetes.io~empty-dir/memory/file of load"
	has "tls	secret	kubernetes.io/secret	$who	$pods/kubernetes.io~secret/tls/file of load"
	has "token	projected	kubernetes.io/projected	$who	$pods/kubernetes.io~projected/token/file of load"
	has "conf	configmap	kubernetes.io/configmap	$who	$pods/kubernetes.io~configmap/conf/file of load"
	has "info	downwardapi	kubernetes.io/downward-api	$who	$pods/kubernetes.io~downward-api/info/file of load"
	has "pvc-7-claim	pvc	ebs.csi.aws.com	$who	$pods/kubernetes.io~csi/pvc-7/mount/file of load"
	has "/var/data	hostpath	-	$who	/var/data/file of load"
	has "-	rootfs	-	$who	/run/containerd/io.containerd.runtime.v2.task/k8s.io/ID/rootfs/v/own/file of load"
	# The one that came later is known at its second look, if not at the first.
	has "e	emptydir	kubernetes.io/empty-dir	LATE	ID	prod	late-1	app	/var/lib/kubelet/pods/LATE/volumes/kubernetes.io~empty-dir/e/file of load"
}

@test "Kubernetes, cgroup v2, systemd's names: pod, container and volume from inside the container" {
	kubernetes 6.12 2 systemd fentry
}

@test "Kubernetes, cgroup v1, cgroupfs's names, by the system calls alone, vfslat inside a pod" {
	kubernetes 6.1 1 cgroupfs syscalls inside
}
