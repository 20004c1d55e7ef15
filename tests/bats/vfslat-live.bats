# tier: loop
# vfslat on the running kernel, by whichever backend it allows.
load helpers

setup_file() {
	[ "$(id -u)" = 0 ] || skip_or_fail "needs root"
	"$STORBOX" vfslat --backend=list >"$BATS_FILE_TMPDIR/backends" ||
		skip_or_fail "no way to trace works here: $(tail -n 1 "$BATS_FILE_TMPDIR/backends")"
	export LOAD=$BATS_FILE_TMPDIR/vfsload
	cc -O1 -o "$LOAD" "$BATS_TEST_DIRNAME/../vm/vfsload.c"
}

# Starts vfslat and waits until it is attached; its metrics are in $DIR/up.
traced() {
	DIR=$BATS_TEST_TMPDIR
	rm -f "$DIR/up"
	"$STORBOX" vfslat --metrics "$DIR/up" "$@" >"$DIR/rows" 2>"$DIR/err" 3>&- &
	TRACER=$!
	local tries=200
	while [ ! -e "$DIR/up" ] && kill -0 "$TRACER" && [ $((tries -= 1)) -gt 0 ]; do
		sleep 0.1
	done
	[ -e "$DIR/up" ] || { cat "$DIR/err"; return 1; }
}

ended() {
	kill -INT "$TRACER"
	wait "$TRACER" || { cat "$DIR/err"; return 1; }
	TRACER=
	cat "$DIR/err"
}

teardown() {
	[ -z "${TRACER:-}" ] || kill -KILL "$TRACER" || true
	[ -z "${READER:-}" ] || kill "$READER" || true
	local m
	for m in "${MOUNTED[@]}"; do umount "$m" 2>/dev/null || true; done
	[ -z "${CGROUP:-}" ] || find "$CGROUP" -depth -type d -exec rmdir {} \;
	[ -z "${PODLOG:-}" ] || rm -rf "$PODLOG"
}

# cgroups : makes $CGROUP, an empty cgroup of this test in the hierarchy that vfslat looks at.
cgroups() {
	local top=/sys/fs/cgroup/memory
	[ ! -e /sys/fs/cgroup/cgroup.controllers ] || top=/sys/fs/cgroup
	mkdir "$top/vfslat-test-$$" || skip_or_fail "no cgroup can be made in $top"
	CGROUP=$top/vfslat-test-$$
}

# within CGROUP COMMAND... : runs it there.
within() {
	local cgroup=$1
	shift
	mkdir -p "$cgroup"
	sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$cgroup" "$@"
}

# metric NAME [LABEL]... : the sum of the samples that have each of these labels.
metric() {
	local name=$1 lines
	shift
	lines=$(grep -E "^$name(\{|_total| )" "$DIR/up")
	for label; do lines=$(grep -F "$label" <<<"$lines" || true); done
	awk '{ s += $NF } END { print s + 0 }' <<<"$lines"
}

@test "each operation is a row and a count, with path, size, offset, errno" {
	mkdir -p "$BATS_TEST_TMPDIR/d"
	traced --comm vfsload --path "$BATS_TEST_TMPDIR/d" --slow-ms 0 --jsonl
	"$LOAD" "$BATS_TEST_TMPDIR/d" >"$BATS_TEST_TMPDIR/want"
	ended
	while read -r op n; do
		if [ "$op" = errors ]; then
			[ "$(grep -c '"error":"EISDIR"' "$DIR/rows")" -eq "$n" ]
			[ "$(metric storage_io_errors)" -eq "$n" ]
		else
			[ "$(grep -c "\"operation\":\"$op\"" "$DIR/rows")" -eq "$n" ]
			[ "$(metric storage_io_vfs_operations "operation=\"$op\"")" -eq "$n" ]
		fi
	done <"$BATS_TEST_TMPDIR/want"
	[ "$(grep '"operation":"fsync"' "$DIR/rows" | jq -r .path | sort -u)" = "$BATS_TEST_TMPDIR/d/file of load" ]
	[ "$(grep '"operation":"readdir"' "$DIR/rows" | jq -r .path | sort -u)" = "$BATS_TEST_TMPDIR/d" ]
	[ "$(jq -c 'select(.offset==49000 and .size_bytes==1000 and .operation=="write")' "$DIR/rows" | wc -l)" -eq 2 ]
	# The parts of the time add up, and every row belongs to the load.
	[ "$(jq -c 'select(.cpu_ns + .queued_ns + .blocked_ns != .latency_ns)' "$DIR/rows" | wc -l)" -eq 0 ]
	[ "$(jq -r .command "$DIR/rows" | sort -u)" = vfsload ]
	[ "$(jq -r .inode "$DIR/rows" | sort -u | wc -l)" -eq 3 ]
	[ "$(jq -r .inode "$DIR/rows" | sort -u)" = "$(stat -c %i "$BATS_TEST_TMPDIR/d" "$BATS_TEST_TMPDIR/d"/* | sort -u)" ]
}

@test "filters act in the kernel: operation, size, process, directory" {
	mkdir -p "$BATS_TEST_TMPDIR/d" "$BATS_TEST_TMPDIR/other"
	traced --comm vfsload --path "$BATS_TEST_TMPDIR/d" --op read,write --min-size 1001 --slow-ms 0 --jsonl
	"$LOAD" "$BATS_TEST_TMPDIR/d"
	"$LOAD" "$BATS_TEST_TMPDIR/other"
	ended
	# 20 preads of 4096, and the vectors, whose size the entry does not know: 4 times 10.
	[ "$(wc -l <"$DIR/rows")" -eq 60 ]
	[ "$(jq -r .path "$DIR/rows" | sort -u)" = "$BATS_TEST_TMPDIR/d/file of load" ]
	traced --pid 1 --path "$BATS_TEST_TMPDIR/d" --slow-ms 0 --jsonl
	"$LOAD" "$BATS_TEST_TMPDIR/d"
	ended
	[ ! -s "$DIR/rows" ]
	[ "$(metric storage_io_events_processed)" -eq 0 ]
}

@test "--mount, --path and --cgroup: what is within, also in cgroups below, and nothing beside" {
	local d=$BATS_TEST_TMPDIR/d
	mkdir -p "$d/m" "$d/sub/deep" "$d/bound" "$d/subx"
	mount -t tmpfs vfslat "$d/m"
	MOUNTED=("$d/m" "$d/bound")
	mount --bind "$d/sub" "$d/bound"
	mkdir "$d/m/below"
	cgroups
	spread() { # everywhere, in a cgroup below $CGROUP/a and in others
		local at
		for at in "$d" "$d/m" "$d/m/below" "$d/sub/deep" "$d/subx"; do
			within "$CGROUP/a/inner" "$LOAD" "$at"
			within "$CGROUP/ab" "$LOAD" "$at"
			"$LOAD" "$at"
		done >"$BATS_TEST_TMPDIR/done"
	}
	paths() { jq -r '.path | sub("/[^/]*$"; "")' "$DIR/rows" | sort | uniq -c | sed "s,$d,D,; s/^ *//"; }
	traced --comm vfsload --op fsync --slow-ms 0 --jsonl --mount "$d/m"
	spread
	ended
	[ "$(paths)" = "42 D/m
42 D/m/below" ]
	# A bind mount's files are the directory's, whichever way they are reached.
	traced --comm vfsload --op fsync --slow-ms 0 --jsonl --mount "$d/bound" --path "$d/m/below"
	spread
	"$LOAD" "$d/bound" >"$BATS_TEST_TMPDIR/done"
	ended
	[ "$(paths)" = "14 D/bound
42 D/m/below
42 D/sub/deep" ]
	traced --comm vfsload --op fsync --slow-ms 0 --jsonl --cgroup "$CGROUP/a"
	spread
	ended
	[ "$(wc -l <"$DIR/rows")" -eq 70 ]
	[ "$(jq -r .cgroup "$DIR/rows" | sort -u)" = "/${CGROUP##*/}/a/inner" ]
	# As a path of the hierarchy; and both filters at once.
	traced --comm vfsload --op fsync --slow-ms 0 --jsonl --cgroup "/${CGROUP##*/}/ab" --mount "$d/m"
	spread
	ended
	[ "$(paths)" = "14 D/m
14 D/m/below" ]
	[ "$(jq -r .cgroup "$DIR/rows" | sort -u)" = "/${CGROUP##*/}/ab" ]
	box 2 vfslat --mount "$d/sub" 1
	[[ $stderr == *"not where something is mounted"* ]]
	box 1 vfslat --cgroup /none/such 1
	box 1 vfslat --path "$d/none" 1
}

# A pod's volumes of each type in $KUBELET, and a container that writes to each and to a hostPath.
UID1=8ad2a1b4-90c3-4b1c-a0ce-6a5c8e1f4f11
ID1=1111111122222222333333334444444455555555666666667777777788888888
pod() { # UID
	KUBELET=$BATS_TEST_TMPDIR/kubelet
	local v
	for v in csi/pvc-7/mount configmap/conf secret/tls empty-dir/scratch projected/token downward-api/info; do
		mkdir -p "$KUBELET/pods/$1/volumes/kubernetes.io~$v"
	done
}
container() { # UID ID
	mkdir -p "$BATS_TEST_TMPDIR/host" "$BATS_TEST_TMPDIR/root/v"
	within "$CGROUP/kubepods/burstable/pod$1/$2" unshare -m --propagation private bash -ec '
		mount --bind "$3" "$4"
		"$1" "$4"
		for v in "$2"/*/*; do
			[[ $v != *~csi/* ]] || v=$v/mount
			mount --bind "$v" "$4"
			"$1" "$4"
		done >/dev/null' - "$LOAD" "$KUBELET/pods/$1/volumes" "$BATS_TEST_TMPDIR/host" "$BATS_TEST_TMPDIR/root/v"
}

@test "--without leaves out each type of volume, in rows and in metrics, and no other" {
	local types="configmap downwardapi emptydir hostpath projected pvc secret" type
	cgroups
	pod "$UID1"
	for type in none $types; do
		local without=(--without "$type")
		[ "$type" != none ] || without=()
		traced --kubelet "$KUBELET" --comm vfsload --op fsync --slow-ms 0 --jsonl "${without[@]}"
		container "$UID1" "$ID1" >"$BATS_TEST_TMPDIR/done"
		ended
		[ "$(jq -r '.volume_type // "none"' "$DIR/rows" | sort -u | xargs)" = "$(tr ' ' '\n' <<<"$types" | grep -vx "$type" | xargs)" ]
		[ "$(grep '^storage_io_k8s_volume_operations_total' "$DIR/up" | grep -o 'volume_type="[a-z]*"' | cut -d'"' -f 2 | sort -u | xargs)" = \
			"$(tr ' ' '\n' <<<"$types" | grep -vx "$type" | xargs)" ]
		[ "$(jq -r '.pod_uid' "$DIR/rows" | sort -u)" = "$UID1" ]
		[ "$(jq -r '.container_id' "$DIR/rows" | sort -u)" = "$ID1" ]
	done
	# What is quick is shown where it is of Kubernetes, whatever the share of other paths.
	mkdir "$BATS_TEST_TMPDIR/other"
	traced --kubelet "$KUBELET" --comm vfsload --op fsync --slow-ms 60000 --all --sample 0 --jsonl --without pvc,secret --without hostpath
	"$LOAD" "$BATS_TEST_TMPDIR/other" >"$BATS_TEST_TMPDIR/done"
	container "$UID1" "$ID1" >"$BATS_TEST_TMPDIR/done"
	ended
	[ "$(jq -r .volume_type "$DIR/rows" | sort -u | xargs)" = "configmap downwardapi emptydir projected" ]
}

# wait_for COMMAND... : until it succeeds, for half a minute and longer.
wait_for() {
	local tries=150
	until "$@"; do
		[ $((tries -= 1)) -gt 0 ] || { cat "$DIR/err"; return 1; }
		sleep 0.2
	done
}

@test "a pod that comes is known by its name, and one that went is forgotten" {
	local one
	one=$(readlink /proc/1/ns/mnt) || one=
	[ -z "$one" ] || [ "$one" = "$(readlink /proc/self/ns/mnt)" ] || skip "the host's /var/log is not at hand here"
	cgroups
	KUBELET=$BATS_TEST_TMPDIR/kubelet
	PODLOG=/var/log/pods/storbox-test_web-0_$UID1
	mkdir -p "$KUBELET/pods"
	traced --kubelet "$KUBELET" --comm vfsload --op fsync --slow-ms 0 --jsonl --metrics-interval 0.2s --forget 1s
	pod "$UID1"
	mkdir -p "$PODLOG/app"
	local secret=$KUBELET/pods/$UID1/volumes/kubernetes.io~secret/tls
	mount -t tmpfs tmpfs "$secret"
	MOUNTED=("$secret")
	named() { container "$UID1" "$ID1" >"$BATS_TEST_TMPDIR/done"; sleep 0.5; grep -q '"pod":"web-0"' "$DIR/rows"; }
	wait_for named
	[ "$(jq -r 'select(.volume_type=="secret" and .pod=="web-0") | [.namespace, .container, .fstype, .path] | join(" ")' "$DIR/rows" | sort -u)" = \
		"storbox-test app tmpfs $secret/file of load" ]
	wait_for grep -q 'pod="web-0"' "$DIR/up"
	umount "$secret"
	rm -rf "$KUBELET/pods/$UID1" "$PODLOG"
	find "$CGROUP/kubepods" -depth -type d -exec rmdir {} \;
	gone() { ! grep -q "$UID1" "$DIR/up"; }
	wait_for gone
	# What there was before is still in the sum.
	[ "$(metric storage_io_events_processed)" -ge 98 ]
	ended
}

@test "a full map is counted: operations that are in no count, names that could not be kept" {
	local name sum
	mkdir "$BATS_TEST_TMPDIR/d"
	cgroups
	traced -s --path "$BATS_TEST_TMPDIR/d" --by command --max-keys 3 --jsonl
	for name in p1 p2 p3 p4 p5 p6; do
		cp "$LOAD" "$BATS_TEST_TMPDIR/$name"
		"$BATS_TEST_TMPDIR/$name" "$BATS_TEST_TMPDIR/d" >"$BATS_TEST_TMPDIR/want"
	done
	ended
	sum=$(awk '$1 != "errors" { s += $2 } END { print s }' "$BATS_TEST_TMPDIR/want")
	[ "$(metric storage_io_operations_uncounted 'reason="map_full"')" -gt 0 ]
	[ "$(metric storage_io_map_full 'map="counts"')" -eq "$(metric storage_io_operations_uncounted 'reason="map_full"')" ]
	[ $(($(metric storage_io_events_processed) + $(metric storage_io_map_full 'map="counts"'))) -eq $((6 * sum)) ]
	grep -q 'with a map full' "$DIR/err"
	# Six cgroups' counts and room for four names.
	traced --path "$BATS_TEST_TMPDIR/d" --op fsync --slow-ms 0 --max-names 4 --jsonl
	for name in a b c d e f; do
		within "$CGROUP/$name" "$LOAD" "$BATS_TEST_TMPDIR/d" >"$BATS_TEST_TMPDIR/want"
	done
	ended
	[ "$(metric storage_io_map_full 'map="cgroups"')" -gt 0 ]
	grep -q 'not named: [1-9]' "$DIR/err"
	[ "$(metric storage_io_events_processed)" -eq 84 ]
}

@test "a row of counts that was given up is another's, also for the thread that had it last" {
	need_program jq python3
	mkdir "$BATS_TEST_TMPDIR/d"
	head -c 4096 /dev/zero >"$BATS_TEST_TMPDIR/d/f"
	traced -s --by command --forget 0.2s --path "$BATS_TEST_TMPDIR/d" --jsonl 0.2
	python3 -c 'import os, sys, time
def reads(name, n):
	open("/proc/self/comm", "w").write(name)
	for _ in range(n):
		os.pread(f, 100, 0)
f = os.open(sys.argv[1], os.O_RDONLY)
reads("one", 100)
time.sleep(1)
if not os.fork():
	reads("two", 50)
	os._exit(0)
os.wait()
reads("one", 30)' "$BATS_TEST_TMPDIR/d/f"
	ended
	[ "$(jq -s 'map(select(.command == "one").count) | add' "$DIR/rows")" -eq 130 ]
	[ "$(jq -s 'map(select(.command == "two").count) | add' "$DIR/rows")" -eq 50 ]
}

@test "names make room for new ones where no count needs them" {
	local name
	mkdir "$BATS_TEST_TMPDIR/d"
	cgroups
	"$STORBOX" vfslat --path "$BATS_TEST_TMPDIR/d" --op fsync --slow-ms 0 --max-names 4 --jsonl >"$BATS_TEST_TMPDIR/rows" 2>"$BATS_TEST_TMPDIR/err" 3>&- &
	TRACER=$!
	DIR=$BATS_TEST_TMPDIR
	seen() { "$LOAD" "$BATS_TEST_TMPDIR/d" >"$BATS_TEST_TMPDIR/want"; sleep 0.2; [ -s "$BATS_TEST_TMPDIR/rows" ]; }
	wait_for seen
	for name in 1a 1b 2a 2b 3a 3b; do
		within "$CGROUP/$name" "$LOAD" "$BATS_TEST_TMPDIR/d" >"$BATS_TEST_TMPDIR/want"
		[[ $name != *b ]] || sleep 2.5
	done
	ended
	[ "$(grep -v -c '"cgroup":"/' "$BATS_TEST_TMPDIR/rows")" -eq 0 ]
	[ "$(jq -r .cgroup "$BATS_TEST_TMPDIR/rows" | grep -c "^/${CGROUP##*/}/[123][ab]\$")" -eq 84 ]
}

@test "a name that only begins alike is another command" {
	cp "$LOAD" "$BATS_TEST_TMPDIR/vfsloadX"
	mkdir "$BATS_TEST_TMPDIR/d"
	traced --comm vfsload --path "$BATS_TEST_TMPDIR/d" --slow-ms 0 --jsonl
	"$BATS_TEST_TMPDIR/vfsloadX" "$BATS_TEST_TMPDIR/d"
	ended
	[ ! -s "$DIR/rows" ]
}

@test "--sample: a path is always in or always out; 0 is none, 1 is all; counts are never sampled" {
	mkdir "$BATS_TEST_TMPDIR/d"
	for i in $(seq 40); do echo x >"$BATS_TEST_TMPDIR/d/f$i"; done
	share() { # SHARE SLOW-MS
		traced --path "$BATS_TEST_TMPDIR/d" --comm vfsload --op read --all --sample "$1" --slow-ms "$2" --jsonl
		for _ in 1 2 3; do
			for i in $(seq 40); do "$LOAD" "$BATS_TEST_TMPDIR/d/f$i" 2 5; done
			sleep 0.3
		done
		ended
		[ "$(metric storage_io_vfs_operations)" -eq 600 ]
	}
	share 0 1000
	[ ! -s "$DIR/rows" ]
	share 1 0.001
	[ "$(wc -l <"$DIR/rows")" -eq 600 ]
	# Each row's classes, by the manual's rules: the threshold is a microsecond.
	[ "$(jq -c 'select(.severity != (if .latency_ns > 10000 then "critical" elif .latency_ns > 5000 then "error"
		elif .latency_ns > 1000 then "warning" else "none" end))' "$DIR/rows" | wc -l)" -eq 0 ]
	[ "$(jq -c 'select(.latency_class != (if .latency_ns > 1e8 then "critical" elif .latency_ns > 1e6 then "slow"
		else "fast" end))' "$DIR/rows" | wc -l)" -eq 0 ]
	[ "$(jq -r .size_class "$DIR/rows" | sort -u)" = small ]
	[ "$(jq -r .severity "$DIR/rows" | sort -u | wc -l)" -gt 1 ]
	share 0.5 1000
	jq -r .path "$DIR/rows" | sort | uniq -c >"$DIR/paths"
	cat "$DIR/paths"
	[ "$(awk '$1 != 15' "$DIR/paths" | wc -l)" -eq 0 ]
	[ "$(wc -l <"$DIR/paths")" -gt 8 ]
	[ "$(wc -l <"$DIR/paths")" -lt 32 ]
}

@test "-s: Ctrl-C prints what was gathered; the histogram and the heat map add up to it" {
	mkdir "$BATS_TEST_TMPDIR/d"
	traced -s --comm vfsload --path "$BATS_TEST_TMPDIR/d" --by op,command,mount,filesystem,device --jsonl
	"$LOAD" "$BATS_TEST_TMPDIR/d" >"$BATS_TEST_TMPDIR/want"
	ended
	while read -r op n; do
		[ "$op" = errors ] && continue
		[ "$(jq -r "select(.operation==\"$op\" and .command==\"vfsload\").count" "$DIR/rows")" -eq "$n" ]
	done <"$BATS_TEST_TMPDIR/want"
	[ "$(jq -r '[.mount, .fstype] | join(" ")' "$DIR/rows" | sort -u)" = "$(findmnt -n -o TARGET,FSTYPE -T "$BATS_TEST_TMPDIR/d" | tail -n 1 | xargs)" ]
	dev=$(findmnt -n -o MAJ:MIN -T "$BATS_TEST_TMPDIR/d" | tail -n 1 | xargs)
	[ "$(jq -r .device "$DIR/rows" | sort -u)" = "$(basename "$(readlink "/sys/dev/block/$dev" || echo "$dev")")" ]
	[ "$(jq -c 'select(.p50_ns > .p90_ns or .p90_ns > .p99_ns or .p99_ns > .max_ns or .max_ns == 0)' "$DIR/rows")" = '' ]
	for view in --histogram --heatmap; do
		traced "$view" --comm vfsload --path "$BATS_TEST_TMPDIR/d" --by op --jsonl 100
		"$LOAD" "$BATS_TEST_TMPDIR/d"
		ended
		if [ "$view" = --heatmap ]; then
			sum=$(jq -s '[.[].counts[] | tonumber] | add' "$DIR/rows")
		else
			sum=$(jq -s '[.[].count] | add' "$DIR/rows")
		fi
		[ "$sum" -eq "$(awk '$1 != "errors" { s += $2 } END { print s }' "$BATS_TEST_TMPDIR/want")" ]
	done
}

@test "metrics: OpenMetrics over HTTP, in the file and as OTLP are the same counts" {
	mkdir "$BATS_TEST_TMPDIR/d"
	traced --comm vfsload --path "$BATS_TEST_TMPDIR/d" --listen 127.0.0.1:19477 --otlp "$BATS_TEST_TMPDIR/otlp"
	"$LOAD" "$BATS_TEST_TMPDIR/d" >"$BATS_TEST_TMPDIR/want"
	exec 5<>/dev/tcp/127.0.0.1/19477
	printf 'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n' >&5
	cat <&5 | tr -d '\r' >"$DIR/http"
	exec 5<&-
	exec 5<>/dev/tcp/127.0.0.1/19477
	printf 'GET / HTTP/1.0\r\n\r\n' >&5
	[[ $(head -n 1 <&5) == *404* ]]
	exec 5<&-
	ended
	head -n 1 "$DIR/http" | grep -q '200 OK'
	grep -q 'application/openmetrics-text; version=1.0.0' "$DIR/http"
	[ "$(tail -n 1 "$DIR/http")" = '# EOF' ]
	[ "$(tail -n 1 "$DIR/up")" = '# EOF' ]
	while read -r op n; do
		[ "$op" = errors ] && continue
		grep -q "^storage_io_latency_seconds_count{operation=\"$op\".* $n\$" "$DIR/http"
		grep -q "^storage_io_latency_seconds_bucket{operation=\"$op\".*le=\"+Inf\"} $n\$" "$DIR/up"
		[ "$(tail -n 1 "$BATS_TEST_TMPDIR/otlp" | jq -r ".resourceMetrics[0].scopeMetrics[0].metrics[] |
			select(.name==\"storage_io_vfs_operations_total\").sum.dataPoints[] |
			select(.attributes[] | .key==\"storage.io.operation\" and .value.stringValue==\"$op\").asInt")" -eq "$n" ]
	done <"$BATS_TEST_TMPDIR/want"
	# Bounds one fewer than buckets, buckets that add up.
	tail -n 1 "$BATS_TEST_TMPDIR/otlp" | jq -e '[.resourceMetrics[0].scopeMetrics[0].metrics[] |
		select(.histogram).histogram.dataPoints[] |
		(.explicitBounds | length) + 1 == (.bucketCounts | length) and
		([.bucketCounts[] | tonumber] | add) == (.count | tonumber)] | all and length > 0'
	run grep -F "$BATS_TEST_TMPDIR" "$DIR/up"
	[ "$status" -ne 0 ]
}

@test "--legacy-names has milliseconds; --no-split, --self-time" {
	traced --legacy-names --op fsync --no-split --self-time --slow-ms 0 --jsonl
	sync -d "$DIR/up"
	ended
	grep -q '^storage_io_latency_ms_count' "$DIR/up"
	# What is not asked for is not told, nor said to be 0; what the programs took is.
	[ "$(jq -r '[.cpu_ns, .queued_ns, .blocked_ns] | join(" ")' "$DIR/rows" | sort -u | xargs)" = '' ]
	[ "$(metric storage_io_program_runs)" -gt 0 ]
	[ "$(metric storage_io_self_cpu_seconds | tr -d .0)" -gt 0 ]
	run grep -q storage_io_latency_seconds "$DIR/up"
	[ "$status" -ne 0 ]
}

@test "--backend insists: what does not work here is exit 4 with the reason" {
	local backend
	"$STORBOX" vfslat --backend=list --tsv -n -o backend,works >"$BATS_TEST_TMPDIR/list"
	for backend in fentry kprobe syscalls; do
		run grep -q "^$backend	true" "$BATS_TEST_TMPDIR/list"
		if [ "$status" -eq 0 ]; then
			box vfslat --backend "$backend" -s 0.1 0.1
		else
			box 4 vfslat --backend "$backend" 1
			[[ $stderr == *"$backend with "*": "* ]]
		fi
	done
}

@test "io_uring's reads and writes are counted" {
	need_program fio jq
	grep -q io_uring "$BATS_FILE_TMPDIR/backends" || skip_or_fail "this kernel's tracepoints do not give the request"
	fio --name=probe --ioengine=io_uring --filename="$BATS_TEST_TMPDIR/f" --size=64k --rw=write --bs=4k >"$BATS_TEST_TMPDIR/probe" 2>&1 ||
		skip_or_fail "no io_uring here: $(tail -n 1 "$BATS_TEST_TMPDIR/probe")"
	traced --path "$BATS_TEST_TMPDIR" --slow-ms 0 --jsonl
	fio --name=load --ioengine=io_uring --iodepth=8 --filename="$BATS_TEST_TMPDIR/f" --size=1m --rw=randrw --bs=4k --output-format=json \
		--output="$BATS_TEST_TMPDIR/fio.json"
	ended
	for op in read write; do
		want=$(jq ".jobs[0].$op.total_ios" "$BATS_TEST_TMPDIR/fio.json")
		[ "$want" -gt 0 ]
		[ "$(jq -c "select(.async and .operation==\"$op\" and .path==\"$BATS_TEST_TMPDIR/f\")" "$DIR/rows" | wc -l)" -eq "$want" ]
	done
	[ "$(jq -c 'select(.async and .size_bytes != 4096)' "$DIR/rows" | wc -l)" -eq 0 ]
}

@test "a flood of slow operations: rows and losses add up, memory does not grow" {
	head -c 4096 /dev/zero >"$BATS_TEST_TMPDIR/small"
	traced --path "$BATS_TEST_TMPDIR" --comm vfsload --slow-ms 0 --buffer 64K --max-events 100000000 --jsonl
	"$LOAD" "$BATS_TEST_TMPDIR/small" 4096 200000
	before=$(awk '/VmRSS/ { print $2 }' "/proc/$TRACER/status")
	"$LOAD" "$BATS_TEST_TMPDIR/small" 4096 800000
	after=$(awk '/VmRSS/ { print $2 }' "/proc/$TRACER/status")
	ended
	[ "$(metric storage_io_events_processed)" -eq 1000000 ]
	lost=$(metric storage_io_events_lost)
	[ "$lost" -gt 0 ]
	[ $(($(wc -l <"$DIR/rows") + lost)) -eq 1000000 ]
	[ $((after - before)) -lt 1024 ]
	grep -q 'not reported' "$DIR/err"
}

sum_wanted() {
	awk '$1 != "errors" { s += $2 } END { print s }' "$BATS_TEST_TMPDIR/want"
}

@test "on a terminal: --top and its keys, and tables as wide as the terminal" {
	local size
	seen_in() { # SIZE STEP... -- ARGUMENT... : without what draws it
		run timeout 120 python3 "$BATS_TEST_DIRNAME/terminal.py" -s "$1" "${@:2}"
		output=$(sed 's/\x1b\[[0-9;?]*[a-zA-Z]//g' <<<"$output" | tr -d '\r')
		tail -n 20 <<<"$output"
		[ "$status" -eq 0 ]
	}
	for size in 60x20 160x20; do
		seen_in "$size" WAIT:readdir s 'WAIT:most operations first, by op,mount' g 'WAIT:by command' ' ' 'WAIT:(paused)' q \
			-- sh -c "while :; do ls /usr >&9; sleep 0.1; done 9>$BATS_TEST_TMPDIR/ls & '$STORBOX' vfslat --top 0.5; s=\$?; kill %1; exit \$s"
		grep -q '^restored yes' <<<"$output"
		grep -q 'OPERATION .*P99 .*BLOCKED' <<<"$output"
		[ "$(grep -c 'OPERATION .*P90' <<<"$output")" -eq 0 ] || [ "$size" = 160x20 ]
	done
	grep -q 'OPERATION .*RATE .*P90 .*P99' <<<"$output"
	run grep -c 'OPERATION .*COUNT' <<<"$output"
	[ "$output" -eq 0 ]
	# A line of a report is no longer than the terminal is wide.
	for size in 80x24 60x24; do
		seen_in "$size" SLEEP:1 -- "$STORBOX" vfslat -s 1 1 --by op
		grep -q '^OPERATION .*P99' <<<"$output"
		[ "$(awk -v most="${size%x*}" 'length > most' <<<"$output")" = '' ]
	done
	# Through a pipe every column is there, with raw numbers.
	box vfslat -s 1 1 --by op
	[[ $(head -n 1 <<<"$output") == *errors*slow*avg_ns*p50_ns*p90_ns* ]]
}

# started COMMAND... : in the background, until its metrics are there.
started() {
	DIR=$BATS_TEST_TMPDIR
	"$@" >"$DIR/rows" 2>"$DIR/err" 3>&- &
	TRACER=$!
}

@test "the systemd unit's command works with no more than the unit leaves it" {
	need_program setpriv unshare
	local unit=$BATS_TEST_DIRNAME/../../contrib/systemd/vfslat.service state=$BATS_TEST_TMPDIR/state caps command
	mkdir -p "$state" "$BATS_TEST_TMPDIR/d"
	ln -s "$STORBOX" "$BATS_TEST_TMPDIR/vfslat"
	command=$(sed -n 's/^ExecStart=//p' "$unit")
	[[ $command == "/usr/local/bin/vfslat "*"/var/lib/vfslat/vfslat.prom"* ]]
	command=${command/\/usr\/local\/bin/$BATS_TEST_TMPDIR}
	command=${command/\/var\/lib\/vfslat/$state}
	command=${command/--slow-ms 100/--slow-ms 0 --comm vfsload}
	caps=$(sed -n 's/^CapabilityBoundingSet=//p' "$unit" | tr ' A-Z' ',a-z' | sed 's/cap_/+/g')
	# The state folder alone can be written to; no network, no privilege but these.
	# shellcheck disable=SC2016
	started unshare -m -n --propagation private bash -ec '
		mount --bind "$1" "$1"
		mount -o remount,bind,ro /
		if touch "$1/../no" 2>/dev/null; then exit 9; fi
		shift
		exec setpriv --no-new-privs --bounding-set "-all,$1" --inh-caps=-all $2' \
		- "$state" "$caps" "$command"
	wait_for test -e "$state/vfslat.prom"
	"$LOAD" "$BATS_TEST_TMPDIR/d" >"$BATS_TEST_TMPDIR/want"
	wait_for grep -q "$BATS_TEST_TMPDIR/d/file of load" "$DIR/rows"
	grep -q '^NoNewPrivs:.*1$' "/proc/$TRACER/status"
	[ "$(awk '/^VmHWM/ { print $2 }' "/proc/$TRACER/status")" -lt 131072 ]
	ended
	[ "$(tail -n 1 "$state/vfslat.prom")" = '# EOF' ]
	cp "$state/vfslat.prom" "$DIR/up"
	# The program loader's reads come beside.
	[ "$(metric storage_io_events_processed)" -ge "$(sum_wanted)" ]
	[ "$(grep -c "\"path\":\"$BATS_TEST_TMPDIR/d[/\"]" "$DIR/rows")" -eq "$(sum_wanted)" ]
}

@test "the DaemonSet's command works in a container as the manifest makes it" {
	need_program jq unshare python3
	local manifest=$BATS_TEST_DIRNAME/../../contrib/k8s/vfslat-daemonset.yaml c=$BATS_TEST_TMPDIR/c port command
	port=$(sed -n 's/^ *containerPort: //p' "$manifest")
	mapfile -t command < <(sed -nE 's/^ *(command|args): //p' "$manifest" | jq -r '.[]')
	[ "${command[0]}" = /vfslat ]
	printf '%s\n' "${command[@]}" | grep -qx ":$port"
	grep -q 'hostPID: true' "$manifest"
	# FROM scratch: the binary; what a runtime mounts; the manifest's own mounts; a read-only root.
	mkdir -p "$c" "$BATS_TEST_TMPDIR/d"
	cat >"$BATS_TEST_TMPDIR/runtime" <<-'EOF'
		set -e
		c=$1
		shift
		mount -t tmpfs none "$c"
		mkdir -p "$c/proc" "$c/sys" "$c/dev"
		cp "$STORBOX" "$c/vfslat"
		mount --rbind /proc "$c/proc"
		mount --rbind /sys "$c/sys"
		mount -o remount,bind,ro "$c"
		exec chroot "$c" "$@"
	EOF
	command=("${command[@]/#100/0}" --comm vfsload)
	started env STORBOX="$STORBOX" unshare -m --propagation private bash "$BATS_TEST_TMPDIR/runtime" "$c" "${command[@]}"
	scrape() { # as the readiness probe and Prometheus do
		python3 -c 'import sys, urllib.request
try:
	text = urllib.request.urlopen(sys.argv[1], timeout=20).read()
except OSError:
	sys.exit(1)
open(sys.argv[2], "wb").write(text)' "http://127.0.0.1:$port/metrics" "$DIR/up"
	}
	wait_for scrape
	"$LOAD" "$BATS_TEST_TMPDIR/d" >"$BATS_TEST_TMPDIR/want"
	wait_for grep -q "$BATS_TEST_TMPDIR/d/file of load" "$DIR/rows"
	scrape
	# The program loader's reads come beside.
	[ "$(metric storage_io_events_processed)" -ge "$(sum_wanted)" ]
	[ "$(awk '/^VmHWM/ { print $2 }' "/proc/$TRACER/status")" -lt 131072 ]
	ended
	[ "$(grep -c "\"path\":\"$BATS_TEST_TMPDIR/d[/\"]" "$DIR/rows")" -eq "$(sum_wanted)" ]
}

# An idle machine has nothing to report.
something_reads() {
	timeout 60 sh -c 'while :; do cat "$0" >/dev/null; sleep 0.05; done' "$BATS_TEST_FILENAME" 3>&- &
	READER=$!
}

@test "a heat map has one heading, with its marks above the rows' marks; reports have one each" {
	something_reads
	LC_ALL=C box vfslat --heatmap 0.2 1 --op read --table -o heat
	[ "$(grep -c HEAT <<<"$output")" -eq 1 ]
	[ "$(wc -l <<<"$output")" -ge 3 ]
	[ "$(awk '{ marks = ""
		for (c = 1; c <= length; c++)
			if (substr($0, c, 1) == "|")
				marks = marks " " c
		print marks }' <<<"$output" | sort -u)" = " 5 16 27" ]
	box vfslat -s 0.4 0.8 --op read --by op --table
	[ "$(grep -c ^OPERATION <<<"$output")" -eq 2 ]
}

@test "cron's line writes its report" {
	local line file=$BATS_TEST_DIRNAME/../../contrib/cron/vfslat
	mkdir "$BATS_TEST_TMPDIR/bin"
	ln -s "$STORBOX" "$BATS_TEST_TMPDIR/bin/vfslat"
	line=$(sed -nE 's/^([^ ]+ ){5}root //p' "$file")
	[[ $line == vfslat*" 60 60 "*/var/log/vfslat.report ]]
	# As printed but for a minute's length and the folder.
	line=${line/ 60 60 / 2 2 }
	something_reads
	run env -i PATH="$BATS_TEST_TMPDIR/bin:$(sed -n 's/^PATH=//p' "$file")" /bin/sh -c "${line//\/var\/log/$BATS_TEST_TMPDIR}"
	echo "$output"
	[ "$status" -eq 0 ]
	cat "$BATS_TEST_TMPDIR/vfslat.report"
	grep -q '^OPERATION .*MOUNT .*P99' "$BATS_TEST_TMPDIR/vfslat.report"
	grep -q '^read ' "$BATS_TEST_TMPDIR/vfslat.report"
	[ ! -e "$BATS_TEST_TMPDIR/vfslat.report.new" ]
}

@test "a full disk ends it with an error" {
	something_reads
	run timeout 60 bash -c "'$STORBOX' vfslat --slow-ms 0 --jsonl 20 >/dev/full"
	[ "$status" -eq 1 ]
}
