# tier: loop
# timeout: 1200
# The btrfs operations on real filesystems, compared with what btrfs-progs says of them. They are
# called through tests/unit/btrfs_ops, which is nothing but a main() around them.
load helpers
load btrfs

setup_file() { make_unit btrfs_ops; }
setup() { need_btrfs; }
teardown() {
	[ -z "${CHILD:-}" ] || kill -KILL "$CHILD" 2>/dev/null || true
	btrfs_teardown
}

OPS=$UNIT/btrfs_ops

# op [EXPECTED_STATUS] OPERATION args...
op() {
	local want=0
	if [[ $1 =~ ^[0-9]+$ ]]; then
		want=$1
		shift
	fi
	run --separate-stderr "$OPS" "$@"
	printf '$ %s [%s]\n%s\n%s\n' "$*" "$status" "$output" "$stderr"
	[ "$status" -eq "$want" ]
}

# numbers LABEL... : what `btrfs filesystem usage -b` says behind each label, on one line.
numbers() {
	local label
	for label; do
		sed -n "s/^ *$label:[[:space:]]*\([0-9.-]*\).*/\1/p" "$BATS_TEST_TMPDIR/usage"
	done | xargs
}

same_usage() { # the filesystem on $MNT
	sync -f "$MNT"
	btrfs filesystem usage -b "$MNT" >"$BATS_TEST_TMPDIR/usage" 2>/dev/null
	cat "$BATS_TEST_TMPDIR/usage"
	op fs_usage "$MNT" --json
	[ "$(jq -r '.overall[0] | [.device_size_bytes, .device_allocated_bytes, .device_unallocated_bytes,
		.device_missing_bytes, .device_slack_bytes, .used_bytes, .free_estimated_bytes, .free_statfs_bytes,
		.global_reserve_bytes] | join(" ")' <<<"$output")" = \
		"$(numbers 'Device size' 'Device allocated' 'Device unallocated' 'Device missing' 'Device slack' \
			Used 'Free (estimated)' 'Free (statfs, df)' 'Global reserve')" ]
	[ "$(jq -r '.overall[0].free_estimated_min_bytes' <<<"$output")" = \
		"$(sed -n 's/.*(min: \([0-9]*\)).*/\1/p' "$BATS_TEST_TMPDIR/usage")" ]
	[ "$(jq -r '.overall[0].global_reserve_used_bytes' <<<"$output")" = \
		"$(sed -n 's/.*Global reserve.*(used: \([0-9]*\)).*/\1/p' "$BATS_TEST_TMPDIR/usage")" ]
	[ "$(jq -r '.overall[0] | .data_ratio, .metadata_ratio' <<<"$output" | xargs printf '%.2f %.2f')" = \
		"$(numbers 'Data ratio' 'Metadata ratio')" ]
	[ "$(jq -r '.overall[0].multiple_profiles' <<<"$output")" = \
		"$(sed -n 's/.*Multiple profiles:[[:space:]]*yes.*/true/p;s/.*Multiple profiles:[[:space:]]*no.*/false/p' "$BATS_TEST_TMPDIR/usage")" ]
	# "Data,RAID1: Size:N, Used:N (..%)"
	[ "$(jq -r '.profiles[] | "\(.type),\(.profile) \(.total_bytes) \(.used_bytes)"' <<<"$output" | sort)" = \
		"$(sed -n 's/^\([A-Z][A-Za-z+]*,[A-Za-z0-9]*\): *Size:\([0-9]*\), Used:\([0-9]*\).*/\1 \2 \3/p' "$BATS_TEST_TMPDIR/usage" | sort)" ]
	# Below each of those headings, and "Unallocated:", a line of each device.
	[ "$(jq -r '.devices[] | "\(.type)\(if .profile then "," + .profile else "" end) \(.path) \(.size_bytes)"' <<<"$output" | sort)" = \
		"$(awk '/^[A-Z].*:/ { sub(/:.*/, ""); kind = $0; next } $1 ~ /^\/dev/ { print kind, $1, $2 }' "$BATS_TEST_TMPDIR/usage" | sort)" ]
}

fill() { dd if=/dev/urandom of="$MNT/fill" bs=1M count="$1" conv=fsync status=none; }

@test "fs_usage: every number of btrfs filesystem usage -b, single and dup" {
	one_btrfs
	mounted "$LOOP"
	same_usage
	fill 50
	same_usage
}

@test "fs_usage: the same for raid1, raid0, raid10, raid5, raid6, raid1c3 and mixed" {
	for n in 1 2 3 4; do
		loop_new 400M
		devices[$n]=$LOOP
	done
	for profile in raid1:2 raid0:3 raid10:4 raid5:3 raid6:4 raid1c3:3; do
		make_btrfs -d "${profile%:*}" -m "${profile%:*}" "${devices[@]:1:${profile#*:}}"
		btrfs device scan "${devices[@]:1:${profile#*:}}" >/dev/null
		mounted "${devices[1]}"
		echo "== $profile"
		fill 60
		same_usage
		unmounted "$MNT"
	done
	make_btrfs --mixed "${devices[1]}"
	mounted "${devices[1]}"
	fill 30
	same_usage
}

@test "fs_usage: the same in the middle of a conversion, with slack, and degraded" {
	two_btrfs 1G
	mounted "$LOOP1"
	fill 300
	btrfs balance start -f -dconvert=single,limit=1 "$MNT" >/dev/null
	btrfs filesystem resize 2:-64M "$MNT" >/dev/null
	same_usage
	[ "$(jq '.overall[0].multiple_profiles and .overall[0].device_slack_bytes == 67108864' <<<"$output")" = true ]
	btrfs balance start -dconvert=raid1,soft "$MNT" >/dev/null
	unmounted "$MNT"
	btrfs device scan --forget "$LOOP1"
	btrfs device scan --forget "$LOOP2"
	losetup --detach "$LOOP2"
	mounted "$LOOP1" degraded
	op fs_usage "$MNT" --json
	[ "$(jq '.overall[0].device_missing_bytes' <<<"$output")" -gt 400000000 ]
	[ "$(jq -c '[.devices[] | select(.path == null)] | length > 0' <<<"$output")" = true ]
}

@test "fs_df: the numbers of btrfs filesystem df's JSON" {
	two_btrfs
	mounted "$LOOP1"
	fill 20
	op fs_df "$MNT" --json
	[ "$(jq -c '[.[] | [.type, .profile, .total_bytes, .used_bytes]]' <<<"$output")" = \
		"$(btrfs --format json filesystem df "$MNT" | jq -c '[.["filesystem-df"][] | [."bg-type", ."bg-profile", (.total | tonumber), (.used | tonumber)]]' | sed 's/"SINGLE"/"single"/g')" ]
}

@test "usage: what df says of every filesystem with a MOS label, mounted or not" {
	loop_new 300M
	make_btrfs -L MOSTEST "$LOOP"
	op usage
	[ "$(awk -F '\t' -v u="$UUID" '$3 == u { print $1, $2, $4, $5 }' <<<"$output")" = "MOSTEST btrfs - -" ]
	mounted "$LOOP"
	fill 30
	op usage
	[ "$(awk -F '\t' -v u="$UUID" '$3 == u { print $4, $5, $6, $7 }' <<<"$output")" = \
		"$MNT $(df --block-size=1 --output=size,used,avail "$MNT" | tail -n 1 | xargs)" ]
	percent=$(awk -F '\t' -v u="$UUID" '$3 == u { print int($8 + 0.9999999) }' <<<"$output")
	[ "$percent%" = "$(df --output=pcent "$MNT" | tail -n 1 | xargs)" ]
}

@test "a path that is no mount point, not there, or no btrfs: refused by every operation" {
	one_btrfs
	mounted "$LOOP"
	mkdir "$MNT/dir"
	for o in fs_usage fs_df device_stats reset_device_stats resize_max scrub_start scrub_status \
		scrub_cancel balance_start balance_status balance_cancel; do
		op 2 "$o" "$MNT/dir"
		[[ $stderr == "$o: $MNT/dir: is not a mount point; "* ]]
		op 1 "$o" "$MNT/nope"
		[[ $stderr == *"No such file or directory" ]]
		op 2 "$o" /proc
		[[ $stderr == "$o: /proc: is not on a btrfs filesystem" ]]
		op 2 "$o"
	done
}

# Overwrites the data of a raid1's second device, all but its superblocks and metadata.
corrupt_mirror() {
	dd if=/dev/urandom of="$MNT/f" bs=1M count=24 conv=fsync status=none
	sum=$(sha256sum <"$MNT/f")
	sync -f "$MNT"
	# Where the file's extents lie on the second device: stripe 1 of the data chunk.
	unmounted "$MNT"
	python3 - "$IMAGE1" "$IMAGE2" <<-'PYTHON'
		import sys
		first, second = (open(p, "rb").read() for p in sys.argv[1:])
		needle = None
		# The same block is on both devices, at an offset of its own on each.
		import re
		def blocks(image):
		    return {image[i:i + 4096]: i for i in range(0, len(image), 4096)
		            if image[i:i + 4096].count(0) < 100}
		a, b = blocks(first), blocks(second)
		both = [b[k] for k in a if k in b]
		both.sort()
		run = both[len(both) // 2: len(both) // 2 + 200]
		with open(sys.argv[2], "r+b") as f:
		    for at in run:
		        f.seek(at)
		        f.write(b"\xa5" * 4096)
		print(len(run))
	PYTHON
	blockdev --flushbufs "$LOOP2"
	mounted "$LOOP1"
}

progs_stats() {
	btrfs --format json device stats "$MNT" 2>/dev/null | jq -c '[.["device-stats"][] |
		[.device, .devid, .write_io_errs, .read_io_errs, .flush_io_errs, .corruption_errs, .generation_errs] | map(tonumber? // .)]'
}

our_stats() {
	jq -c '[.[] | [.device, .devid, .write_io_errs, .read_io_errs, .flush_io_errs, .corruption_errs, .generation_errs]]' <<<"$output"
}

@test "scrub and device_stats: a corrupted mirror is found, repaired, counted, and told as btrfs-progs tells it" {
	two_btrfs
	mounted "$LOOP1"
	corrupt_mirror
	op device_stats "$MNT" --json
	[ "$(our_stats)" = "$(progs_stats)" ]
	op 3 scrub_start "$MNT" --json
	[[ $stderr == *"progress: scrub $MNT: "* ]]
	echo "$output" >"$BATS_TEST_TMPDIR/first"
	[ "$(jq -r '.scrub[0].state' <<<"$output")" = finished ]
	[ "$(jq '.scrub[0].csum_errors' <<<"$output")" = 200 ]
	[ "$(jq '.scrub[0].corrected_errors' <<<"$output")" = 200 ]
	[ "$(jq '.scrub[0].uncorrectable_errors' <<<"$output")" = 0 ]
	[ "$(jq -c '[.devices[].csum_errors]' <<<"$output")" = "[0,200]" ]
	# What btrfs-progs reads from the record.
	progs=$(btrfs scrub status --raw -d "$MNT")
	echo "$progs"
	[ "$(grep -c 'Status:  *finished' <<<"$progs")" -eq 2 ]
	[[ $progs == *"csum=200"* ]]
	[[ $progs == *"Corrected:      200"* ]]
	[ "$(sed -n 's/^Total to scrub:[^0-9]*\([0-9]*\).*/\1/p' <<<"$(btrfs scrub status --raw "$MNT")")" ]
	btrfs scrub status -R "$MNT"
	for counter in read_errors csum_errors verify_errors super_errors corrected_errors uncorrectable_errors; do
		[ "$(btrfs scrub status -R "$MNT" | sed -n "s/^\s*$counter: //p")" = "$(jq ".scrub[0].$counter" <<<"$output")" ]
	done
	op device_stats "$MNT" --json
	[ "$(our_stats)" = "$(progs_stats)" ]
	[ "$(jq '.[1].corruption_errs' <<<"$output")" = 200 ]
	op 3 device_stats "$MNT" --check
	op scrub_start "$MNT" --json
	[ "$(jq '.scrub[0].errors' <<<"$output")" = 0 ]
	[ "$(sha256sum <"$MNT/f")" = "$sum" ]
	op reset_device_stats "$MNT" --json
	[ "$(jq '.[1].corruption_errs' <<<"$output")" = 200 ]
	op device_stats "$MNT" --check --json
	[ "$(our_stats)" = "$(progs_stats)" ]
	[ "$(jq '.[1].corruption_errs' <<<"$output")" = 0 ]
}

@test "scrub --read-only finds errors and repairs none" {
	two_btrfs
	mounted "$LOOP1"
	corrupt_mirror
	op 3 scrub_start "$MNT" --read-only --json
	[ "$(jq '.scrub[0].csum_errors' <<<"$output")" = 200 ]
	op 3 scrub_start "$MNT" --json
	[ "$(jq '.scrub[0].csum_errors' <<<"$output")" = 200 ]
	op scrub_start "$MNT" --json
	[ "$(jq '.scrub[0].csum_errors' <<<"$output")" = 0 ]
}

@test "scrub_status: never, then what a scrub of btrfs-progs left" {
	one_btrfs
	mounted "$LOOP"
	fill 20
	op scrub_status "$MNT" --json
	[ "$(jq -r '.scrub[0].state' <<<"$output")" = never ]
	[ "$(jq -r '.scrub[0].scrubbed_bytes' <<<"$output")" = null ]
	btrfs scrub start -B "$MNT" >/dev/null
	op scrub_status "$MNT" --json
	[ "$(jq -r '.scrub[0].state' <<<"$output")" = finished ]
	[ "$(jq '.scrub[0].scrubbed_bytes' <<<"$output")" = \
		"$(btrfs scrub status -R "$MNT" | awk '/_bytes_scrubbed/ { s += $2 } END { print s }')" ]
	started=$(btrfs scrub status "$MNT" | sed -n 's/^Scrub started: *//p')
	[ "$(date -d "@$(jq '.scrub[0].started_time' <<<"$output")")" = "$(date -d "$started")" ]
}

child_fails() { # with status 1
	local ended=0
	wait "$CHILD" || ended=$?
	CHILD=
	cat "$BATS_TEST_TMPDIR/out"
	[ "$ended" -eq 1 ]
}

# A scrub that takes long: the kernel's own limit on its speed.
slow_scrub() {
	one_btrfs 1G
	mounted "$LOOP"
	fill 200
	limit=/sys/fs/btrfs/$UUID/devinfo/1/scrub_speed_max
	[ -e "$limit" ] || skip "this kernel cannot limit a scrub's speed"
	echo $((10 << 20)) >"$limit"
}

started() { # until a scrub is seen
	local i
	for i in $(seq 100); do
		"$OPS" scrub_status "$MNT" -n -o state 2>/dev/null | grep -q running && return
		sleep 0.05
	done
	return 1
}

@test "scrub: running is seen by both tools, a second is refused, cancel ends it, both say aborted" {
	slow_scrub
	"$OPS" scrub_start "$MNT" >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	CHILD=$!
	started
	sleep 2
	op scrub_status "$MNT" --json
	[ "$(jq -r '.scrub[0].state' <<<"$output")" = running ]
	[ "$(jq '.scrub[0].scrubbed_bytes > 0 and .scrub[0].done_percent < 90 and .scrub[0].left_s > 0' <<<"$output")" = true ]
	[ "$(jq '.scrub[0].duration_s >= 1' <<<"$output")" = true ]
	[ "$(jq '.devices[0].limit_bytes_per_s' <<<"$output")" = $((10 << 20)) ]
	[[ $(btrfs scrub status "$MNT") == *"Status:           running"* ]]
	op 1 scrub_start "$MNT"
	[[ $stderr == *"a scrub runs already; wait for it, or cancel it" ]]
	op scrub_cancel "$MNT"
	child_fails
	grep -q "the scrub was cancelled" "$BATS_TEST_TMPDIR/out"
	op scrub_status "$MNT" --json
	[ "$(jq -r '.scrub[0].state' <<<"$output")" = aborted ]
	[[ $(btrfs scrub status "$MNT") == *"Status:           aborted"* ]]
	op 1 scrub_cancel "$MNT"
	[[ $stderr == *"no scrub runs" ]]
}

@test "scrub: SIGTERM cancels it in order" {
	slow_scrub
	"$OPS" scrub_start "$MNT" >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	CHILD=$!
	started
	kill -TERM "$CHILD"
	child_fails
	grep -q "the scrub was cancelled" "$BATS_TEST_TMPDIR/out"
	op scrub_status "$MNT" -o state
	[[ $output == *aborted* ]]
	[[ $(btrfs scrub status "$MNT") == *aborted* ]]
}

@test "scrub_status: a running scrub of btrfs-progs, and scrub_cancel ends it" {
	slow_scrub
	btrfs scrub start "$MNT" >/dev/null 3>&-
	started
	op scrub_status "$MNT" --json
	[ "$(jq -r '.scrub[0].state' <<<"$output")" = running ]
	[ "$(jq '.scrub[0].scrubbed_bytes >= 0 and .scrub[0].duration_s == null' <<<"$output")" = true ]
	sleep 6 # it writes down when it began after five seconds
	op scrub_status "$MNT" --json
	[ "$(jq '.scrub[0].scrubbed_bytes > 0 and .scrub[0].started_time > 1e9' <<<"$output")" = true ]
	[ "$(jq '.scrub[0].duration_s > 5 and .scrub[0].duration_s < 12' <<<"$output")" = true ]
	op scrub_cancel "$MNT"
	for i in $(seq 50); do
		[[ $(btrfs scrub status "$MNT") == *aborted* ]] && break
		sleep 0.1
	done
	op scrub_status "$MNT" -o state
	[[ $output == *aborted* ]]
}

@test "scrub: a damaged record is no reason to fail but is told; the next scrub replaces it" {
	one_btrfs
	mounted "$LOOP"
	mkdir -p /var/lib/btrfs
	printf 'scrub status:1\ngarbage\n%s:x|y\n%s:1|data_bytes_scrubbed:7|new_counter:3|t_start:5|finished:1\n' \
		"$UUID" "$UUID" >"/var/lib/btrfs/scrub.status.$UUID"
	op scrub_status "$MNT" --json
	[ "$(jq '.scrub[0].scrubbed_bytes' <<<"$output")" = 7 ]
	printf 'scrub status:9\n' >"/var/lib/btrfs/scrub.status.$UUID"
	op 1 scrub_status "$MNT"
	[[ $stderr == *"has another format"* ]]
	"$OPS" scrub_start "$MNT" >/dev/null 2>&1
	op scrub_status "$MNT" --json
	[ "$(jq -r '.scrub[0].state' <<<"$output")" = finished ]
}

@test "balance: idle, a filtered one, numbers as btrfs-progs counts them" {
	one_btrfs 1G
	mounted "$LOOP"
	fill 100
	op balance_status "$MNT"
	[ "$(cell state)" = idle ]
	[[ $(btrfs balance status "$MNT") == "No balance found"* ]]
	op 1 balance_cancel "$MNT"
	[[ $stderr == *"no balance runs or is paused" ]]
	op balance_start "$MNT" --usage 0
	op balance_start "$MNT" --usage 0 # no empty one is left
	[ "$(cell completed_chunks)" = 0 ]
	[ -z "$stderr" ] || [[ $stderr == "progress:"* ]]
	chunks=$(btrfs inspect-internal dump-tree -t chunk "$LOOP" | grep -c CHUNK_ITEM)
	op balance_start "$MNT"
	[[ $stderr == *"rewrites everything"* ]]
	[ "$(cell state)" = finished ]
	[ "$(cell considered_chunks)" -ge "$(cell completed_chunks)" ]
	[ "$(cell completed_chunks)" -ge 3 ]
	echo "$chunks chunks before"
	op 2 balance_start "$MNT" --usage 101
	op balance_start "$MNT" --data --limit 1
	[ "$(cell completed_chunks)" = 1 ]
	same_usage
}

# A balance that takes long, as $CHILD: many chunks, and a pause before each commit is not to be had, so
# the tests look at it while it is at work.
long_balance() {
	loop_new 4G
	make_btrfs "$LOOP"
	mounted "$LOOP"
	dd if=/dev/zero of="$MNT/fill" bs=1M count=2000 conv=fsync status=none
	"$OPS" balance_start "$MNT" >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	CHILD=$!
	for i in $(seq 200); do
		"$OPS" balance_status "$MNT" -n -o state | grep -q running && break
	done
}

@test "balance: running is seen by both tools, a second is refused by name, cancel ends it" {
	long_balance
	op balance_status "$MNT"
	progs=$(btrfs balance status "$MNT" || true)
	[ "$(cell state)" = running ]
	[ "$(cell exclusive_operation)" = balance ]
	[[ $progs == *"is running"* ]]
	op 1 balance_start "$MNT" --usage 10
	[[ $stderr == *"another exclusive operation runs: balance; wait for its end, or cancel it" ]]
	op 1 resize_max "$MNT"
	[[ $stderr == *"another exclusive operation runs: balance"* ]]
	op balance_cancel "$MNT"
	child_fails
	grep -q "the balance was cancelled after" "$BATS_TEST_TMPDIR/out"
	op balance_status "$MNT"
	[ "$(cell state)" = idle ]
}

@test "balance: SIGTERM cancels it in order, and a paused one is called so" {
	long_balance
	kill -TERM "$CHILD"
	child_fails
	grep -q "cancelled" "$BATS_TEST_TMPDIR/out"
	btrfs balance start --bg --full-balance "$MNT" >/dev/null 3>&-
	for i in $(seq 200); do
		"$OPS" balance_status "$MNT" -n -o state | grep -q running && break
	done
	btrfs balance pause "$MNT"
	op balance_status "$MNT"
	[ "$(cell state)" = paused ]
	[[ $(btrfs balance status "$MNT") == *"is paused"* ]]
	op balance_cancel "$MNT"
}

@test "resize_max: every device grows, not the first alone, as btrfs filesystem show has it" {
	two_btrfs
	mounted "$LOOP1"
	fill 50
	truncate -s 768M "$IMAGE1"
	truncate -s 700M "$IMAGE2"
	losetup --set-capacity "$LOOP1"
	losetup --set-capacity "$LOOP2"
	op resize_max "$MNT"
	[ "$(cell old_bytes 1)" = 536870912 ]
	[ "$(cell new_bytes 1)" = 805306368 ]
	[ "$(cell new_bytes 2)" = 734003200 ]
	[ "$(btrfs filesystem show --raw "$MNT" | awk '$1 == "devid" { print $2, $4, $8 }')" = \
		"$(awk -F '\t' 'NR > 1 { print $1, $4, $2 }' <<<"$output")" ]
	op resize_max "$MNT"
	[ "$(cell old_bytes 1)" = "$(cell new_bytes 1)" ]
	same_usage
}

extents() { filefrag "$1" | sed -n 's/.*: \([0-9]*\) extents\{0,1\} found/\1/p'; }

@test "defrag: fewer extents, the same contents; links, other subvolumes and filesystems are left alone" {
	one_btrfs 1G
	mounted "$LOOP"
	mkdir "$MNT/dir" "$MNT/dir/deep"
	btrfs subvolume create "$MNT/dir/sub" >/dev/null
	for f in dir/a dir/deep/b dir/sub/c; do
		python3 - "$MNT/$f" <<-'PYTHON'
			import os, sys
			fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
			for i in list(range(0, 400, 2)) + list(range(1, 400, 2)):
			    os.pwrite(fd, os.urandom(4096), i * 4096)
			    os.fsync(fd)
		PYTHON
	done
	ln -s sub/c "$MNT/dir/link"
	sync -f "$MNT"
	sums=$(cd "$MNT/dir" && sha256sum a deep/b sub/c)
	before_a=$(extents "$MNT/dir/a") before_c=$(extents "$MNT/dir/sub/c")
	[ "$before_a" -gt 100 ]
	op defrag "$MNT/dir"
	sync -f "$MNT"
	[ "$(cell files)" = 2 ]
	[ "$(cell failed_files)" = 0 ]
	[ "$(extents "$MNT/dir/a")" -lt 10 ]
	[ "$(extents "$MNT/dir/deep/b")" -lt 10 ]
	[ "$(extents "$MNT/dir/sub/c")" = "$before_c" ]
	[ "$sums" = "$(cd "$MNT/dir" && sha256sum a deep/b sub/c)" ]
	op defrag "$MNT/dir/sub/c"
	sync -f "$MNT"
	[ "$(extents "$MNT/dir/sub/c")" -lt 10 ]
	op 2 defrag "$MNT/dir/link"
	[[ $stderr == *"is a symbolic link" ]]
}

@test "defrag: --compress, snapshots warned of, read-only subvolumes and other filesystems refused" {
	one_btrfs
	mounted "$LOOP"
	btrfs subvolume create "$MNT/a" >/dev/null
	yes compressible | head -c 20000000 >"$MNT/a/f"
	sync -f "$MNT"
	op defrag "$MNT/a" --compress zstd
	sync -f "$MNT"
	filefrag -v "$MNT/a/f" | grep -q encoded
	btrfs subvolume snapshot -r "$MNT/a" "$MNT/s" >/dev/null
	op defrag "$MNT/a"
	[[ $stderr == *"its subvolume has snapshots, such as s; what is rewritten is no longer shared"* ]]
	op 1 defrag "$MNT/s"
	[[ $stderr == *"is in a read-only subvolume"* ]]
	op 2 defrag /proc/self
	op 2 defrag /dev/null
	op 1 defrag "$MNT/nope"
	op 2 defrag "$MNT/a" --compress brotli
}
