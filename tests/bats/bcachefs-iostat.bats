# tier: plain
# gates: none
# (Reports a second apart cannot be kept under a sanitizer beside a VM; the fuzzer's kept inputs are its
# parsers under one. By hand, after tests/gates.sh asan: tests/gates.sh --file asan FILE)
# timeout: 600
# bcachefs-iostat on recorded trees and made ones; what needs a real bcachefs is in vm-bcachefs.bats.
load helpers
load bcachefs

FS=sys/fs/bcachefs/c6daddd3-9c33-4d96-ad83-7cea922e6f99

# plant DIR TREE : a tree's files below $ROOT/DIR.
plant() {
	"$FIXTURES/bcachefs/plant" ROOT="$ROOT/$1" "$FIXTURES/bcachefs/$2.tree"
}

# use DIR : from the next look on, $ROOT/now is that recording; replaced in one step.
use() {
	ln -sfn "$1" "$ROOT/new"
	mv -T "$ROOT/new" "$ROOT/now"
	[ -e "$ROOT/sys" ] || ln -s now/sys now/proc now/dev "$ROOT"
}

# replay "DIR DIR..." ARGS... : one report of each recording, in one run; output in $output.
replay() {
	local dirs dir out=$BATS_TEST_TMPDIR/out pid i seen=0
	read -ra dirs <<<"$1"
	shift
	use "${dirs[0]}"
	"$STORBOX" bcachefs-iostat --sysroot "$ROOT" "$@" 1 "${#dirs[@]}" >"$out" 2>"$out.err" &
	pid=$!
	for dir in "${dirs[@]:1}"; do
		for ((i = 0; i < 500 && $(wc -l <"$out") <= seen; i++)); do sleep 0.01; done
		sleep 0.02
		seen=$(wc -l <"$out")
		use "$dir"
	done
	status=0
	wait $pid || status=$?
	output=$(cat "$out")
	stderr=$(cat "$out.err")
	printf '%s\n%s\n' "$output" "$stderr"
	[ "$status" -eq 0 ]
}

# rows SCOPE : how many there are in $output.
rows() {
	awk -F '\t' -v scope="$1" 'NR > 1 && $4 == scope { n++ } END { print n + 0 }' <<<"$output"
}

# is SELECT COLUMN VALUE
is() {
	local got
	got=$(cell "$1" "$2")
	printf '%s %s: %s, want %s\n' "$1" "$2" "$got" "$3"
	[ "$got" = "$3" ]
}

@test "since mount: sums as recorded, no rates and nothing of the block layer's" {
	plant t1 6.12-t1
	use t1
	box bcachefs-iostat --sysroot "$ROOT" --since-mount --tsv -x
	# io_done of dev-0: 86016 + 524288 + 35520512; 354816 + 602112 + 139264 + 19660800.
	is "device=vda scope=device" read_bytes 36130816
	is "device=vda scope=device" write_bytes 20756992
	is "device=vda scope=type type=user" read_bytes 35520512
	is "device=vda scope=type type=journal" write_bytes 602112
	# All three: 36130816 + (86016 + 524288 + 104202240) + 86016.
	is "scope=filesystem" read_bytes 141029376
	is "scope=filesystem" write_bytes 41897472
	is "device=vda scope=device" read_bytes_per_s -
	is "device=vda scope=device" reads_per_s -
	is "device=vda scope=device" interval_s -
	is "device=vda scope=device" since_mount true
	# "mean: 732 us" since mount, of 555; of both 555 x 732 us and 1627 x 508 us over 2182.
	is "device=vda scope=device" read_latency_ns 732000
	is "device=vda scope=device" read_latency_kind approximate
	is "scope=filesystem" read_latency_ns 564975
	is "device=vdc scope=device" read_latency_ns -
	is "device=vda scope=device" read_quantiles_ns 67000,67000,67000,67000,67000,67000,67000,83000,83000,83000,83000,83000,83000,83000,83000
	is "device=vda scope=device" write_p50_ns 833000
	is "device=vdc scope=device" write_p50_ns -
	# 2048 - 1845 buckets of 131072.
	is "device=vda scope=device" used_bytes 26607616
	is "device=vda scope=device" size_bytes 268435456
	is "device=vda scope=device" used_percent 9.912
	is "device=vda scope=device" label ssd.ssd1
	is "device=vda scope=device" state rw
	is "device=vda scope=device" has_data journal,btree,user
	is "scope=filesystem" filesystem /mnt
	# Types that never moved a byte are no rows: sb, journal, btree, user of two, sb of the third.
	[ "$(rows type)" -eq 9 ]
}

@test "an interval: every figure by hand" {
	plant t0 6.12-t0
	plant t1 6.12-t1
	replay "t0 t1" --tsv -x
	is "device=vda scope=device since_mount=false" interval_s 3.07
	# 12288 sb + 35520512 user; 50688 + 573440 + 110592 + 19660800; over 9.27 - 6.20 s.
	is "device=vda scope=device since_mount=false" read_bytes 35532800
	is "device=vda scope=device since_mount=false" read_bytes_per_s 11574201.954
	is "device=vda scope=device since_mount=false" write_bytes 20395520
	is "device=vda scope=device since_mount=false" write_bytes_per_s 6643491.857
	is "device=vda type=journal since_mount=false" write_bytes_per_s 186788.274
	# diskstats: 2241 - 27 reads of 284242 - 1210 sectors in 1100 - 15 ms; 271 - 77 writes.
	is "device=vda scope=device since_mount=false" reads_per_s 721.173
	is "device=vda scope=device since_mount=false" writes_per_s 63.192
	is "device=vda scope=device since_mount=false" block_read_bytes 144912384
	is "device=vda scope=device since_mount=false" read_size_bytes 65453
	is "device=vda scope=device since_mount=false" read_await_ns 490063
	is "device=vda scope=device since_mount=false" write_await_ns 3422680
	# (1799 - 43) ms of requests and (508 - 36) ms of work in 3070.
	is "device=vda scope=device since_mount=false" queue_depth 0.572
	is "device=vda scope=device since_mount=false" util_percent 15.375
	# The kernel's recent mean: 580 us for 551 I/Os; with vdb's 439 us for 1623.
	is "device=vda scope=device since_mount=false" read_latency_ns 580000
	is "device=vda scope=device since_mount=false" read_latency_count 551
	is "scope=filesystem since_mount=false" read_latency_ns 474736
	is "scope=filesystem since_mount=false" read_latency_kind approximate
	# Nothing was counted on vdc: no latency rather than 0.
	is "device=vdc scope=device since_mount=false" write_latency_ns -
	is "scope=filesystem since_mount=false" read_bytes 139759616
	is "scope=filesystem since_mount=false" block_writes 401
	is "scope=filesystem since_mount=false" util_percent 23.322
	is "device=vda scope=device since_mount=false" new_errors 0
}

@test "several intervals: each from the one before" {
	for t in 0 1 2 3; do plant t$t 6.12-t$t; done
	replay "t0 t1 t2 t3" --tsv
	[ "$(rows device)" -eq 12 ]
	# (214290432 - 35520512) user + (94208 - 86016) sb in 12.59 - 9.27 s.
	is "scope=device device=vda interval_s=3.32" read_bytes_per_s 53848828.916
	is "scope=device device=vda interval_s=3.29" block_reads 3231
}

@test "-y leaves the first report out, -g the devices, -z those without I/O" {
	plant t0 6.12-t0
	use t0
	box bcachefs-iostat --sysroot "$ROOT" --tsv -y 0.05 1
	is "device=vda" since_mount false
	[ "$(rows device)" -eq 3 ]
	box bcachefs-iostat --sysroot "$ROOT" --tsv -y -z 0.05 1
	[ "$(rows device)" -eq 0 ]
	[ "$(rows filesystem)" -eq 1 ]
	box bcachefs-iostat --sysroot "$ROOT" --tsv --since-mount -g
	[ "${#lines[@]}" -eq 2 ]
	box bcachefs-iostat --sysroot "$ROOT" --tsv --since-mount -g -x
	# sb, journal and btree of all devices: 3 x 304128.
	is "scope=type type=sb" write_bytes 912384
	is "scope=type type=sb" device -
}

@test "the out-of-tree module: JSON forms, exact latency" {
	plant a made-json-t0
	plant b made-json-t1
	replay "a b" --tsv -x
	# 96000000 ns for 480; 12345678 ns for 50. The text form beside it says another.
	is "device=sda scope=device since_mount=false" read_latency_ns 200000
	is "device=sda scope=device since_mount=false" read_latency_kind exact
	is "device=sda scope=device since_mount=false" write_latency_ns 246914
	is "scope=filesystem since_mount=false" write_latency_kind exact
	is "device=sda type=user since_mount=false" read_bytes_per_s 2000000
	is "device=sda scope=device since_mount=false" write_bytes 3054096
	is "device=sda scope=device" read_p50_ns 8000
	is "device=sda scope=device" size_bytes 1048576000
	is "device=sda scope=device" flush_errors 1
	is "device=sdd scope=device" state ro
	is "device=sdd scope=device" label -
	# A hole in the numbers, and a member that is not there.
	is "device=sdd scope=device" member 3
	is "member=7 scope=device" device -
	is "member=7 scope=device" note offline
	is "member=7 scope=device" reads_per_s -
	is "scope=filesystem since_mount=false" reads_per_s 50
	# Errors rose by 2.
	is "device=sda scope=device since_mount=false" new_errors 2
	is "device=sda scope=device since_mount=false" errors 10
	is "device=sda scope=device since_mount=false" note "2 new errors"
}

@test "Linux 6.7, 6.11, 6.16: told by content" {
	plant old made-6.7
	use old
	box bcachefs-iostat --sysroot "$ROOT" --tsv --since-mount -x
	is "type=user" read_bytes 123456789012345
	is "type=btree" read_bytes 999999999999
	is "scope=device" read_bytes 124456789098360
	is "scope=device" read_latency_count 484251
	is "scope=device" size_bytes 1073741824
	plant mid made-6.11
	use mid
	box bcachefs-iostat --sysroot "$ROOT" --tsv --since-mount
	is "scope=device" read_latency_ns 732000
	is "scope=device" read_p50_ns 1000000
	is "scope=device" size_bytes 536870912
	plant one made-6.16-single
	use one
	box bcachefs-iostat --sysroot "$ROOT" --tsv --since-mount
	is "scope=device" uuid sdb2
	is "scope=device" filesystem /whole
	is "scope=device" read_latency_ns -
	is "scope=device" errors 1
}

@test "filesystems by mount point, UUID, device, label; an unknown one is exit 1 and names what is there" {
	plant one made-6.16-single
	plant one 6.12-t1
	sed -n '/mountinfo/,/^===.*io_done/{/^4/p}' "$FIXTURES/bcachefs/made-6.16-single.tree" >>"$ROOT/one/proc/self/mountinfo"
	use one
	mkdir -p "$ROOT/one/dev"
	: >"$ROOT/one/dev/vdb"
	count() {
		box bcachefs-iostat --sysroot "$ROOT" --tsv -g --since-mount -n "$@"
		[ "${#lines[@]}" -eq "$want" ]
	}
	want=2 count
	want=1 count /mnt
	[[ $output == *c6daddd3* ]]
	want=1 count C6DADDD3-9C33-4D96-AD83-7CEA922E6F99
	want=1 count UUID=c6daddd3-9c33-4d96-ad83-7cea922e6f99
	want=1 count vdb
	want=1 count /dev/vdb
	want=1 count sdb2
	want=1 count /part
	want=1 count "my data"
	want=1 count "LABEL=my data"
	want=2 count /mnt /whole
	box 1 bcachefs-iostat --sysroot "$ROOT" /nonesuch
	[[ $stderr == *"/nonesuch: no bcachefs filesystem"*"/mnt"* ]]
	box 1 bcachefs-iostat --sysroot "$ROOT" LABEL=5
	box 1 bcachefs-iostat --sysroot "$ROOT" UUID=sdb3
}

@test "a label that no link tells is in the superblock" {
	need_program xz
	plant t1 6.12-t1
	use t1
	mkdir -p "$ROOT/t1/dev"
	xz -dc "$FIXTURES/bcachefs/member0.img.xz" | head -c 65536 >"$ROOT/t1/dev/vda"
	box bcachefs-iostat --sysroot "$ROOT" --tsv -g --since-mount tank
	[ "${#lines[@]}" -eq 2 ]
	box 1 bcachefs-iostat --sysroot "$ROOT" --tsv -g --since-mount tan
}

@test "no bcachefs: exit 4, said once; so is a kernel that has it and nothing mounted" {
	mkdir -p "$ROOT/sys/fs"
	box 4 bcachefs-iostat --sysroot "$ROOT"
	[[ $stderr == *"this kernel has no bcachefs"* ]]
	[ -z "$output" ]
	mkdir -p "$ROOT/sys/fs/bcachefs"
	box 4 bcachefs-iostat --sysroot "$ROOT"
	[[ $stderr == *"no filesystem is mounted"* ]]
}

@test "wrong calls are exit 2" {
	plant t0 6.12-t0
	use t0
	for bad in "0" "1 0" "-k -m 1 1" "--since-mount 1" "--since-mount -y" "--top --metrics x" \
		"-w --since-mount" "--sort nonesuch --top" "-o nonesuch 1 1" "--top"; do
		# shellcheck disable=SC2086
		box 2 bcachefs-iostat --sysroot "$ROOT" $bad
	done
}

@test "a device added, one removed, a filesystem mounted again, unmounted, and back" {
	plant t0 6.12-t0
	plant t1 6.12-t1
	plant t2 6.12-t2
	plant t3 6.12-t3
	rm -r "$ROOT/t0/$FS/dev-2" "$ROOT/t2/$FS/dev-1"
	replay "t0 t1 t2" --tsv
	is "device=vdc read_bytes=86016" note added
	is "scope=filesystem since_mount=false" note "removed dev-1 (vdb)"
	# t3 to t0: every counter is lower; what there is now is all of this interval.
	sed -i 's/^.*$/20.00 1/' "$ROOT/t0/proc/uptime"
	replay "t3 t0" --tsv
	is "scope=device device=vda since_mount=false" note "counters restarted"
	is "scope=device device=vda since_mount=false" read_bytes 598016
	run ! grep -E $'\t-[0-9]' <<<"$output"
	mkdir -p "$ROOT/none/sys/fs/bcachefs" "$ROOT/none/proc"
	echo 30.00 1 >"$ROOT/none/proc/uptime"
	sed -i 's/^.*$/40.00 1/' "$ROOT/t1/proc/uptime"
	replay "t0 none t1" --tsv -g
	[ "$(cut -f52 <<<"$output" | tail -n 3 | tr '\n' ,)" = "-,unmounted,mounted," ]
	# The whole module is gone for a while.
	rmdir "$ROOT/none/sys/fs/bcachefs"
	replay "t0 none t1" --tsv -g
	[ "${#lines[@]}" -ge 0 ]
	is "scope=filesystem" note mounted
}

@test "a value that cannot be read is -, the rest goes on" {
	plant t1 6.12-t1
	use t1
	rm "$ROOT/t1/$FS/dev-0/io_done" "$ROOT/t1/$FS/dev-0/io_errors" "$ROOT/t1/$FS/dev-0/state" \
		"$ROOT/t1/$FS/dev-0/alloc_debug" "$ROOT/t1/$FS/dev-0/label"
	box bcachefs-iostat --sysroot "$ROOT" --tsv --since-mount
	for column in read_bytes write_bytes errors state used_percent label; do
		is "device=vda" "$column" -
	done
	is "device=vda" read_latency_ns 732000
	is "device=vdb" read_bytes 104812544
	# A sum of which a part is unknown is unknown.
	is "scope=filesystem" read_bytes -
	# Without the statistics the last single latency is better than none.
	rm "$ROOT/t1/$FS"/dev-1/io_latency_stats_*
	box bcachefs-iostat --sysroot "$ROOT" --tsv --since-mount
	is "device=vdb" read_latency_ns "$(cat "$ROOT/t1/$FS/dev-1/io_latency_read")"
	is "device=vdb" read_latency_kind approximate
	rm -r "$ROOT/t1/proc/diskstats" "$ROOT/t1/proc/self"
	box bcachefs-iostat --sysroot "$ROOT" --tsv --since-mount
	is "device=vdb" read_bytes 104812544
	is "device=vdb" filesystem c6daddd3-9c33-4d96-ad83-7cea922e6f99
}

@test "damaged values: no crash, and what is shown is true or -" {
	plant t1 6.12-t1
	use t1
	python3 "$BATS_TEST_DIRNAME/bcachefs-damage.py" "$STORBOX" "$ROOT" "$ROOT/t1/$FS/dev-0" text
	plant json made-json-t1
	use json
	python3 "$BATS_TEST_DIRNAME/bcachefs-damage.py" "$STORBOX" "$ROOT" \
		"$ROOT/json/sys/fs/bcachefs/11111111-2222-4333-8444-555555555555/dev-0" json
}

@test "the table: approximate latencies marked, sums since mount, units, time, columns by option" {
	plant t0 6.12-t0
	plant t1 6.12-t1
	replay "t0 t1" --table
	[[ ${output%%$'\n'*} == "FS "*DEVICE*READ*WRITE*R/S*RLAT*UTIL* ]]
	[[ $output == *~580us* ]]
	[[ $output == *"11M/s"*"6.3M/s"* ]]
	[[ $output == *"584K   353K"* ]]
	[[ $output != *TYPE* ]]
	box bcachefs-iostat --sysroot "$ROOT" --table --since-mount -x -l -t -k
	[[ ${lines[0]} == *TIME*TYPE*RP50*RAWAIT* ]]
	[[ $output == *35284K* ]]
	box bcachefs-iostat --sysroot "$ROOT" --table --since-mount -m
	[[ $output == *34.46M* ]]
	box bcachefs-iostat --sysroot "$ROOT" --table --since-mount -g
	[[ $output != *DEVICE* ]]
}

@test "colours: green from 10 MB/s, yellow from 1 MB/s, an alert for new errors; NO_COLOR" {
	plant t0 6.12-t0
	plant t1 6.12-t1
	replay "t0 t1" --table --color=always
	[[ $output == *$'\033[32m11M/s\033[0m'* ]]
	[[ $output == *$'\033[33m6.3M/s\033[0m'* ]]
	replay "t0 t1" --table
	[[ $output != *$'\033'* ]]
	plant a made-json-t0
	plant b made-json-t1
	replay "a b" --table --color=always
	[[ $output == *$'\033[1;37;41msda\033[0m'* ]]
	[[ $output == *"10 (+2)"* ]]
	on_terminal() { python3 "$BATS_TEST_DIRNAME/terminal.py" SLEEP:0.3 -- "$@"; }
	run on_terminal "$STORBOX" bcachefs-iostat --sysroot "$ROOT" --since-mount
	[[ $output == *$'\033[1m'* ]]
	NO_COLOR=1 run on_terminal "$STORBOX" bcachefs-iostat --sysroot "$ROOT" --since-mount
	[[ $output != *$'\033[1m'* ]]
}

@test "TSV and JSON lines say the same; a stream is one object a line" {
	plant t1 6.12-t1
	use t1
	box bcachefs-iostat --sysroot "$ROOT" --jsonl --since-mount -x
	jsonl=$output
	box bcachefs-iostat --sysroot "$ROOT" --tsv --since-mount -x
	TSV=$output JSONL=$jsonl python3 - <<-'END'
		import json, os
		head, *rows = [l.split("\t") for l in os.environ["TSV"].splitlines()]
		objects = [json.loads(l) for l in os.environ["JSONL"].splitlines()]
		assert len(rows) == len(objects) == 13, len(rows)
		for row, o in zip(rows, objects):
		    assert list(o) == head
		    for name, cell in zip(head, row):
		        v = o[name]
		        text = "-" if v is None else ",".join(v) if isinstance(v, list) else \
		            str(v).lower() if isinstance(v, bool) else str(v)
		        if name != "time":
		            assert text == cell or float(text) == float(cell), (name, text, cell)
	END
}

@test "-w: a histogram of the run, in powers of two" {
	plant a made-json-t0
	plant b made-json-t1
	use a
	"$STORBOX" bcachefs-iostat --sysroot "$ROOT" -w --tsv 1 3 >"$BATS_TEST_TMPDIR/out" &
	sleep 0.5
	use b
	wait $!
	output=$(cat "$BATS_TEST_TMPDIR/out")
	echo "$output"
	# 480 reads at 200000 ns and 50 writes at 246913 ns, both in [131072, 262144).
	is "direction=read" low_ns 131072
	is "direction=read" high_ns 262144
	is "direction=read" count 480
	is "direction=write" count 50
	is "direction=read" share_percent 100
	is "direction=read" kind exact
	[ "$(wc -l <<<"$output")" -eq 3 ]
}

@test "--metrics: OpenMetrics with the counters, to a file and to standard output" {
	plant b made-json-t1
	use b
	box bcachefs-iostat --sysroot "$ROOT" --metrics "$BATS_TEST_TMPDIR/x.prom"
	[ -z "$output" ]
	m=$BATS_TEST_TMPDIR/x.prom
	uuid=11111111-2222-4333-8444-555555555555
	labels="filesystem=\"$uuid\",member=\"0\",device=\"sda\",label=\"ssd.a\""
	grep -Fx "bcachefs_device_io_bytes_total{$labels,direction=\"read\",type=\"user\"} 60000000" "$m"
	grep -Fx "bcachefs_device_latency_seconds_total{$labels,direction=\"read\"} 0.796" "$m"
	grep -Fx "bcachefs_device_latency_operations_total{$labels,direction=\"write\"} 3050" "$m"
	grep -Fx "bcachefs_device_errors_total{$labels,kind=\"checksum\"} 7" "$m"
	grep -Fx "bcachefs_device_used_bytes{$labels} 629145600" "$m"
	grep -Fx "bcachefs_device_online{filesystem=\"$uuid\",member=\"7\",device=\"\",label=\"hdd\"} 0" "$m"
	grep -Fx "bcachefs_mounted{filesystem=\"$uuid\",mountpoint=\"/tank\"} 1" "$m"
	[ "$(tail -n 1 "$m")" = "# EOF" ]
	# Each family once, its samples behind it.
	[ "$(grep -c '^# TYPE' "$m")" -eq "$(grep '^# TYPE' "$m" | sort -u | wc -l)" ]
	box bcachefs-iostat --sysroot "$ROOT" --metrics -
	[ "${lines[-1]}" = "# EOF" ]
	box 1 bcachefs-iostat --sysroot "$ROOT" --metrics /nonesuch/x.prom
	# With an interval it is kept up to date.
	box bcachefs-iostat --sysroot "$ROOT" --metrics "$m" 0.05 3
}

@test "a full disk is a failure" {
	plant t1 6.12-t1
	use t1
	run bash -c "'$STORBOX' bcachefs-iostat --sysroot '$ROOT' --since-mount >/dev/full"
	[ "$status" -eq 1 ]
	run bash -c "'$STORBOX' bcachefs-iostat --sysroot '$ROOT' -J 0.01 3 >/dev/full"
	[ "$status" -eq 1 ]
}

@test "SIGINT and SIGTERM end it in order, in the middle of an interval" {
	plant t1 6.12-t1
	use t1
	for signal in INT TERM; do
		status=0
		timeout --preserve-status -s $signal 1 "$STORBOX" bcachefs-iostat --sysroot "$ROOT" 60 \
			>"$BATS_TEST_TMPDIR/out" || status=$?
		[ "$status" -eq 0 ]
		[ "$(wc -l <"$BATS_TEST_TMPDIR/out")" -eq 5 ]
	done
}

@test "--top: rows sorted, keys, sizes, and the terminal as it was" {
	plant t0 6.12-t0
	plant t1 6.12-t1
	use t1
	top() {
		local size=$1
		shift
		LANG=C.UTF-8 run python3 "$BATS_TEST_DIRNAME/terminal.py" -s "$size" "$@" -- \
			"$STORBOX" bcachefs-iostat --sysroot "$ROOT" --top 0.2
		tail -c 300 <<<"$output" | cat -v
		[ "$status" -eq 0 ]
		[[ $output == *"restored yes" ]]
	}
	top 160x24 WAIT:vdc WAIT:LAST SLEEP:0.5 n WAIT:DEVICE▼ R WAIT:DEVICE▲ '\x1b[C' WAIT:LABEL▲ '?' \
		'WAIT:sort by the column' q WAIT:vda p WAIT:PAUSED p q
	[[ $output == *"status 0"* ]]
	# By writes: vdb is first on t1, by name vda.
	frame=${output#*2026h}
	frame=${frame%%2026l*}
	[[ $frame == *vdb*vda*vdc* ]]
	for size in 80x24 40x6 20x3 1x1; do
		top "$size" SLEEP:0.5 q
		[[ $output == *"status 0"* ]]
	done
	top 80x24 WAIT:vdc RESIZE:140x10 WAIT:QUEUE RESIZE:30x5 SLEEP:0.3 q
	top 80x24 WAIT:vdc KILL:SIGTERM
	top 80x24 WAIT:vdc '\x03'
	crashes_are_fatal
	top 80x24 WAIT:vdc KILL:SIGSEGV
	[[ $output == *"status 139"* ]]
	top 80x24 WAIT:vdc '\x1a' CONT WAIT:vdc q
}

@test "a thousand devices in one report: all of them, in order" {
	plant t1 6.12-t1
	use t1
	for ((i = 3; i < 1000; i++)); do
		cp -r "$ROOT/t1/$FS/dev-1" "$ROOT/t1/$FS/dev-$i"
		ln -sfn "../../x/block/sd$i" "$ROOT/t1/$FS/dev-$i/block"
		echo "   8 $i sd$i 1 0 8 1 1 0 8 1 0 1 2 0 0 0 0 0 0"
	done >>"$ROOT/t1/proc/diskstats"
	box bcachefs-iostat --sysroot "$ROOT" --tsv --since-mount -n >/dev/null
	[ "${#lines[@]}" -eq 1001 ]
	[ "$(cut -f7 <<<"$output" | tail -n +2 | tr '\n' ' ')" = "$(seq -s ' ' 0 999) " ]
	# 36130816 + 104812544 + 86016 + 997 x 104812544.
	[ "$(cut -f14 <<<"${lines[0]}")" = 104639135744 ]
}
