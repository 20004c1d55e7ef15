# tier: loop
# timeout: 1200
# Every command of mos-volmgr on real filesystems, by the daemon and in process, compared with what
# btrfs-progs, lsblk and sfdisk say.
load helpers
load btrfs
load volmgr

setup() {
	need_btrfs
	need_program socat jq sfdisk lsblk findmnt python3
	ROOT=$BATS_TEST_TMPDIR/root
	daemon_start
}
teardown() {
	local loop
	daemon_teardown
	umount "$BATS_TEST_TMPDIR"/target* 2>/dev/null || true
	[ ! -e "$BATS_TEST_TMPDIR/loops" ] || while read -r loop; do
		umount "$loop"p* 2>/dev/null || true
		loop_no_partitions "$loop"
	done <"$BATS_TEST_TMPDIR/loops"
	btrfs_teardown
}

# volmgr [STATUS] ARGS... : by the daemon; --socket insists on it.
volmgr() {
	local want=0
	if [[ $1 =~ ^[0-9]+$ ]]; then
		want=$1
		shift
	fi
	box "$want" mos-volmgr --socket "$SOCK" "$@"
}

# both [STATUS] ARGS... : the same by the daemon and in process: output, errors and exit status,
# but for what time changes ($VOLATILE: a jq filter).
both() {
	local want=0 by_daemon daemon_stderr
	if [[ $1 =~ ^[0-9]+$ ]]; then
		want=$1
		shift
	fi
	box "$want" mos-volmgr --socket "$SOCK" "$@"
	by_daemon=$output daemon_stderr=$stderr
	box "$want" mos-volmgr --direct "$@"
	[ "$stderr" = "$daemon_stderr" ]
	if [ -n "${VOLATILE:-}" ]; then
		[ "$(jq -S "$VOLATILE" <<<"$output")" = "$(jq -S "$VOLATILE" <<<"$by_daemon")" ]
	else
		[ "$output" = "$by_daemon" ]
	fi
}

# follows_schema METHOD : the JSON in $output is what the OpenRPC document promises.
follows_schema() {
	python3 -c 'import jsonschema' 2>/dev/null || return 0
	[ -e "$BATS_TEST_TMPDIR/doc" ] || "$STORBOX" mos-volmgr --direct discover >"$BATS_TEST_TMPDIR/doc"
	python3 -c 'import json, sys, jsonschema
doc = json.load(open(sys.argv[1]))
schema = next(m for m in doc["methods"] if m["name"] == sys.argv[2])["result"]["schema"]
jsonschema.validate(json.load(sys.stdin), schema)' "$BATS_TEST_TMPDIR/doc" "$1" <<<"$output"
}

raid1() { # two_btrfs, mounted on $MNT with some data
	two_btrfs "${1:-512M}"
	mounted "$LOOP1"
	head -c "${2:-20M}" /dev/urandom >"$MNT/data"
	sync -f "$MNT"
}

@test "disks, partitions, filesystems, mounts: as lsblk and findmnt have them" {
	loop_new 512M
	printf 'label: gpt\nsize=100M,name=one\nsize=100M,name=two\n' | sfdisk -q "$LOOP"
	partx --update "$LOOP" 2>/dev/null || partx --add "$LOOP" 2>/dev/null || true
	mkfs.ext4 -q -L ONE "${LOOP}p1"
	VOLATILE="map(select(.path == \"$LOOP\"))" both disks --json
	follows_schema storage.list_disks
	[ "$(jq -c --arg d "$LOOP" '.[] | select(.path == $d) | [.size_bytes,.table,.partitions]' <<<"$output")" = \
		"[$(lsblk -bdno SIZE "$LOOP"),\"gpt\",2]" ]
	VOLATILE="map(select(.disk == \"$LOOP\"))" both partitions --json
	follows_schema storage.list_partitions
	[ "$(jq -c --arg d "$LOOP" 'map(select(.disk == $d) | [.path,.name,.size_bytes,.fstype,.label])' <<<"$output")" = \
		"[[\"${LOOP}p1\",\"one\",104857600,\"ext4\",\"ONE\"],[\"${LOOP}p2\",\"two\",104857600,null,null]]" ]
	VOLATILE="map(select(.devices[0] == \"${LOOP}p1\"))" both filesystems --all --json
	follows_schema storage.list_filesystems
	[ "$(jq -r --arg d "${LOOP}p1" '.[] | select(.devices[0] == $d) | .uuid' <<<"$output")" = \
		"$(blkid -s UUID -o value "${LOOP}p1")" ]
	mkdir "$BATS_TEST_TMPDIR/target"
	mount "${LOOP}p1" "$BATS_TEST_TMPDIR/target"
	VOLATILE="map(select(.source == \"${LOOP}p1\"))" both mounts --all --json
	follows_schema storage.list_mounts
	[ "$(jq -r --arg d "${LOOP}p1" '.[] | select(.source == $d) | .target' <<<"$output")" = "$BATS_TEST_TMPDIR/target" ]
	VOLATILE=. both free-space "$LOOP" --json
	follows_schema storage.list_free_space
	[ "$(jq -c 'map([.disk,.start_bytes])' <<<"$output")" = "[[\"$LOOP\",210763776]]" ]
}

@test "status is the whole inventory; the human table is the same both ways" {
	raid1
	volmgr status --json
	follows_schema storage.inventory
	[ "$(jq -c 'keys' <<<"$output")" = '["disks","filesystems","free_space","mounts","partitions","subvolumes"]' ]
	[ "$(jq -c --arg u "$UUID" '.filesystems[] | select(.uuid == $u) | [.total_devices, (.devices|length)]' <<<"$output")" = '[2,2]' ]
	volmgr status --table
	[[ $output == *"disks"*"PATH"*"filesystems"*"$LABEL"* ]]
	box mos-volmgr --socket "$SOCK" topologies --table
	by_daemon=$output
	box mos-volmgr --direct topologies --table
	[ "$(awk '{ print $1 }' <<<"$output")" = "$(awk '{ print $1 }' <<<"$by_daemon")" ]
	volmgr topologies --json
	follows_schema storage.feasible_topologies
	[ "$(jq length <<<"$output")" -eq 6 ]
	volmgr 3 topologies --require SsdHddBcachefs
}

@test "errors read the same by the daemon and in process, and exit the same" {
	both 1 free-space /dev/no-such-disk
	both 1 fs-usage /no/such/place
	both 2 fs-usage /proc
	both 2 unmount /
	both 2 unmount "$BATS_TEST_TMPDIR"
	both 1 mount --source /dev/no-such --target /mnt --fstype ext4
	both 2 mount --source /dev/loop0 --target /mnt --fstype 'ext4;reboot'
	both 1 create-partition --disk /dev/no-such --name x
	both 1 create-filesystem --device /dev/no-such --fstype ext4
	both 1 create-subvolume x --fs LABEL=no-such-label
	both 1 set-quota x 100 --fs LABEL=no-such-label
	both 2 defrag /proc
	both 2 scrub-start /proc
	both 2 disks --output no_such_column
	both 2 create-partition --name x
	both 2 disks --wait
	box 1 mos-volmgr --socket "$BATS_TEST_TMPDIR/nobody" disks
	[[ $stderr == *"connect to the daemon"* ]]
}

@test "without a daemon the command runs in process; --socket insists on the daemon" {
	raid1
	daemon_stop
	box mos-volmgr fs-df "$MNT" --json
	follows_schema storage.fs_df
	box 1 mos-volmgr --socket "$SOCK" fs-df "$MNT"
	daemon_start
}

@test "a relative path is the caller's" {
	raid1
	cd "${MNT%/*}"
	ln -s "${MNT##*/}" link
	VOLATILE=. both fs-df "${MNT##*/}" --json
	VOLATILE=. both fs-df link --json
}

@test "create-partition, create-filesystem, mount, unmount: a disk put to use" {
	loop_new 1G
	echo 'label: gpt' | sfdisk -q "$LOOP"
	volmgr create-partition --disk "$LOOP" --name mydata --part-type linux --size 536870912 --json
	follows_schema storage.create_partition
	[ "$(jq -c '[.path,.name,.size_bytes,.part_type]' <<<"$output")" = "[\"${LOOP}p1\",\"mydata\",536870912,\"linux\"]" ]
	[ "$(sfdisk --json "$LOOP" | jq -c '.partitiontable.partitions | map([.name,.size])')" = '[["mydata",1048576]]' ]
	box mos-volmgr --direct create-partition --disk "$LOOP" --name rest --json
	[ "$(jq -r .path <<<"$output")" = "${LOOP}p2" ]
	volmgr create-partition --disk "$LOOP" --name more --dry-run --json || true
	[ "$(sfdisk --json "$LOOP" | jq '.partitiontable.partitions | length')" -eq 2 ]
	both 1 create-partition --disk "$LOOP" --name mydata
	volmgr create-filesystem --device "${LOOP}p1" --fstype btrfs --label MYDATA --json
	follows_schema storage.create_filesystem
	[ "$(blkid -s LABEL -o value "${LOOP}p1")" = MYDATA ]
	both 1 create-filesystem --device "${LOOP}p1" --fstype ext4 --label OTHER
	[ "$(blkid -s TYPE -o value "${LOOP}p1")" = btrfs ]
	target=$BATS_TEST_TMPDIR/target
	both 2 mount --source "${LOOP}p1" --target "$target" --fstype btrfs
	mkdir "$target"
	volmgr mount --source "${LOOP}p1" --target "$target" --fstype btrfs --options noatime,compress=zstd --json
	follows_schema storage.mount
	[ "$(jq -c '[.target,.source,.fstype]' <<<"$output")" = "[\"$target\",\"${LOOP}p1\",\"btrfs\"]" ]
	[[ $(findmnt -no OPTIONS "$target") == *noatime*compress=zstd* ]]
	# Again changes nothing; something else there is refused.
	both mount --source "${LOOP}p1" --target "$target" --fstype btrfs --options noatime,compress=zstd --json
	[ "$(grep -c " $target " /proc/self/mountinfo)" -eq 1 ]
	mkfs.ext4 -q "${LOOP}p2"
	both 1 mount --source "${LOOP}p2" --target "$target" --fstype ext4
	volmgr unmount "$target/"
	[ -z "$output" ]
	run ! findmnt "$target"
	both 2 unmount "$target"
	# A target behind a link is refused by the method itself; the client resolves its own.
	ln -s target "${target}-link"
	call storage.mount "{\"source\":\"${LOOP}p1\",\"target\":\"${target}-link\",\"fstype\":\"btrfs\"}"
	[ "$(jq -r .data.errno <<<"$error")" = ELOOP ]
	volmgr mount --source "${LOOP}p1" --target "${target}-link" --fstype btrfs --json
	[ "$(jq -r .target <<<"$output")" = "$target" ]
	echo busy >"$target/file"
	exec 9<"$target/file"
	both 1 unmount "$target"
	exec 9<&-
	box mos-volmgr --direct unmount "$target"
}

@test "mount scans the other members of a raid1 first" {
	two_btrfs
	btrfs device scan --forget "$LOOP1" "$LOOP2" >/dev/null 2>&1 || true
	mkdir "$BATS_TEST_TMPDIR/target"
	volmgr mount --source "$LOOP2" --target "$BATS_TEST_TMPDIR/target" --fstype btrfs
	[ "$(btrfs filesystem show "$BATS_TEST_TMPDIR/target" | grep -c devid)" -eq 2 ]
	volmgr unmount "$BATS_TEST_TMPDIR/target"
}

@test "subvolumes: create, list, snapshot, quota, delete, as btrfs-progs sees them" {
	one_btrfs
	mounted "$LOOP"
	volmgr create-subvolume myapp-data --fs "$MNT" --json
	follows_schema storage.create_subvolume
	[ "$(btrfs subvolume list "$MNT" | awk '{ print $NF }')" = myapp-data ]
	both 1 create-subvolume myapp-data --fs "$MNT"
	echo content >"$MNT/myapp-data/file"
	volmgr snapshot myapp-data snap-1 --fs "$MNT" --json
	follows_schema storage.snapshot_subvolume
	[ "$(btrfs property get "$MNT/snap-1" ro)" = ro=true ]
	[ "$(cat "$MNT/snap-1/file")" = content ]
	VOLATILE=. both subvolumes --fs "$MNT" --json
	follows_schema storage.list_subvolumes
	[ "$(jq -r '.[] | "\(.id) \(.path)"' <<<"$output")" = "$(btrfs subvolume list "$MNT" | awk '{ print $2, $NF }')" ]
	volmgr set-quota myapp-data 10485760 --fs "$MNT" --json
	follows_schema storage.set_quota
	[[ $stderr == *"warning"*"quotas are on from now"* ]]
	[ "$(jq .max_bytes <<<"$output")" = 10485760 ]
	run bash -c "head -c 30M /dev/urandom >'$MNT/myapp-data/big' && sync -f '$MNT'"
	[ "$status" -ne 0 ]
	volmgr set-quota myapp-data none --fs "$MNT" --json
	[ "$(jq .max_bytes <<<"$output")" = null ]
	for core in system etc modules vm-meta; do
		btrfs subvolume create "$MNT/$core" >/dev/null
		both 1 delete-subvolume "$core" --fs "$MNT" || both 2 delete-subvolume "$core" --fs "$MNT"
		[ -d "$MNT/$core" ]
	done
	volmgr delete-subvolume myapp-data --fs "$MNT" --json
	follows_schema storage.delete_subvolume
	box mos-volmgr --direct delete-subvolume snap-1 --fs "$MNT"
	[ "$(btrfs subvolume list "$MNT" | awk '{ print $NF }' | sort | xargs)" = "etc modules system vm-meta" ]
	both 2 create-subvolume ../out --fs "$MNT"
	both 2 create-subvolume /abs --fs "$MNT"
}

@test "usage, fs-usage and fs-df: the numbers of btrfs filesystem usage and df" {
	raid1
	VOLATILE=. both fs-usage "$MNT" --json
	follows_schema storage.fs_usage
	want=$(btrfs filesystem usage -b "$MNT")
	number() { sed -n "s/^ *$1:[[:space:]]*\([0-9]*\).*/\1/p" <<<"$want" | head -n 1; }
	[ "$(jq '.overall[0].device_size_bytes' <<<"$output")" = "$(number 'Device size')" ]
	[ "$(jq '.overall[0].device_allocated_bytes' <<<"$output")" = "$(number 'Device allocated')" ]
	[ "$(jq '.overall[0].device_unallocated_bytes' <<<"$output")" = "$(number 'Device unallocated')" ]
	[ "$(jq '.overall[0].used_bytes' <<<"$output")" = "$(number 'Used')" ]
	[ "$(jq '.overall[0].free_estimated_bytes' <<<"$output")" = "$(number 'Free (estimated)')" ]
	VOLATILE=. both fs-df "$MNT" --json
	follows_schema storage.fs_df
	[ "$(jq -r '.[] | "\(.type) \(.profile) \(.total_bytes) \(.used_bytes)"' <<<"$output" | sort)" = \
		"$(btrfs filesystem df -b "$MNT" | sed 's/,//g; s/://; s/total=//; s/used=//' | sort)" ]
	volmgr usage --json
	follows_schema storage.usage
}

@test "scrub of a raid1 with a corrupted mirror, device-stats after it; events tell of both" {
	raid1 512M 40M
	box mos-volmgr --socket "$SOCK" device-stats "$MNT" --json
	follows_schema storage.device_stats
	[ "$(jq '[.[] | .write_io_errs + .read_io_errs + .flush_io_errs + .corruption_errs + .generation_errs] | add' <<<"$output")" = 0 ]
	"$STORBOX" mos-volmgr --socket "$SOCK" watch --interval 0.2 --jsonl >"$BATS_TEST_TMPDIR/events" 3>&- &
	watcher=$!
	sleep 1
	umount "$MNT"
	# A part of the data on the second device, in the middle of its first data chunk.
	python3 - "$IMAGE2" <<-'PY'
		import sys
		with open(sys.argv[1], "r+b") as f:
		    f.seek(100 << 20)
		    f.write(b"\xa5" * (24 << 20))
	PY
	mount "$LOOP1" "$MNT"
	sleep 1
	volmgr scrub-status "$MNT" --json
	[ "$(jq -r '.scrub[0].state' <<<"$output")" = never ]
	volmgr 3 scrub-start --wait "$MNT" --json
	follows_schema storage.scrub_start
	[ "$(jq -r '.scrub[0].state' <<<"$output")" = finished ]
	errors=$(jq '.scrub[0].csum_errors' <<<"$output")
	[ "$errors" -gt 0 ]
	[ "$(jq '.scrub[0].corrected_errors' <<<"$output")" = "$errors" ]
	[ "$(jq '.scrub[0].uncorrectable_errors' <<<"$output")" = 0 ]
	VOLATILE=. both scrub-status "$MNT" --json
	follows_schema storage.scrub_status
	run btrfs scrub status -R "$MNT"
	[[ $output == *"csum_errors: $errors"* ]]
	VOLATILE=. both device-stats "$MNT" --json
	[ "$(jq '[.[].corruption_errs] | add' <<<"$output")" = "$(btrfs --format json device stats "$MNT" | jq '[."device-stats"[].corruption_errs | tonumber] | add')" ]
	[ "$(jq '.[1].corruption_errs' <<<"$output")" = "$errors" ]
	# Now it is clean.
	volmgr scrub-start --wait "$MNT" --json
	[ "$(jq '.scrub[0].errors' <<<"$output")" = 0 ]
	sleep 1
	kill "$watcher"
	wait "$watcher" || true
	cat "$BATS_TEST_TMPDIR/events"
	[ "$(jq -s --arg d "$LOOP2" 'map(select(.event == "device_errors" and .object == $d and .text == "corruption_errs") | .rise) | add' "$BATS_TEST_TMPDIR/events")" = "$errors" ]
	jq -se --arg m "$MNT" 'any(.[]; .event == "scrub" and .object == $m)' "$BATS_TEST_TMPDIR/events"
	[ "$(jq -s --arg m "$MNT" 'map(select(.event == "scrub" and .object == $m and .text == "finished")) | length' "$BATS_TEST_TMPDIR/events")" = 2 ]
	jq -se --arg m "$MNT" 'any(.[]; .event == "unmounted" and .object == $m)' "$BATS_TEST_TMPDIR/events"
}

slow_scrub() { # as slow as it goes
	for f in /sys/fs/btrfs/"$UUID"/devinfo/*/scrub_speed_max; do echo 1M >"$f"; done
}

@test "a scrub goes on when its client has left, is seen, cancelled, and ended by SIGTERM" {
	raid1 512M 100M
	slow_scrub
	volmgr scrub-start "$MNT" --json
	follows_schema storage.scrub_start
	[ "$(jq -r '.scrub[0].state' <<<"$output")" = running ]
	run btrfs scrub status "$MNT"
	[[ $output == *running* ]]
	both 1 scrub-start "$MNT"
	volmgr scrub-status "$MNT" --json
	[ "$(jq -r '.scrub[0].state' <<<"$output")" = running ]
	# Other changes to the filesystem do not wait for it.
	volmgr create-subvolume during --fs "$MNT"
	volmgr scrub-cancel "$MNT"
	sleep 0.5
	volmgr scrub-status "$MNT" --json
	[ "$(jq -r '.scrub[0].state' <<<"$output")" = aborted ]
	both 1 scrub-cancel "$MNT"
	volmgr scrub-start "$MNT"
	daemon_stop
	run btrfs scrub status "$MNT"
	[[ $output == *aborted* ]]
	daemon_start
	# Without a daemon it goes on as well.
	box mos-volmgr --direct scrub-start "$MNT" --json
	[ "$(jq -r '.scrub[0].state' <<<"$output")" = running ]
	box mos-volmgr --direct scrub-cancel "$MNT"
	sleep 0.5
	box mos-volmgr --direct scrub-status "$MNT" --json
	[ "$(jq -r '.scrub[0].state' <<<"$output")" = aborted ]
}

@test "balance: start, status, wait, cancel" {
	raid1 1G 200M
	volmgr balance-status "$MNT" --json
	follows_schema storage.balance_status
	[ "$(jq -r .state <<<"$output")" = idle ]
	[[ $(btrfs balance status "$MNT") == *"No balance found"* ]]
	both 1 balance-cancel "$MNT"
	volmgr balance-start --wait --usage 100 "$MNT" --json
	follows_schema storage.balance_start
	[ "$(jq -r '[.state, .completed_chunks > 0] | join(" ")' <<<"$output")" = "finished true" ]
	box mos-volmgr --direct balance-start --wait --usage 0 "$MNT" --json
	[ "$(jq -r .state <<<"$output")" = finished ]
	volmgr balance-start "$MNT" --json
	[[ $stderr == *"rewrites everything"* ]]
	volmgr balance-cancel "$MNT" || [[ $stderr == *"no balance runs"* ]]
	volmgr balance-status "$MNT" --json
	[ "$(jq -r .state <<<"$output")" = idle ]
}

@test "resize-max after both backing files grew" {
	raid1 512M
	truncate -s 768M "$IMAGE1" "$IMAGE2"
	losetup -c "$LOOP1"
	losetup -c "$LOOP2"
	volmgr resize-max "$MNT" --json
	follows_schema storage.resize_max
	[ "$(jq -c 'map([.devid,.old_bytes,.new_bytes])' <<<"$output")" = '[[1,536870912,805306368],[2,536870912,805306368]]' ]
	run btrfs filesystem show --raw "$MNT"
	[ "$(grep -c 'size 805306368' <<<"$output")" -eq 2 ]
}

@test "defrag: fewer extents" {
	one_btrfs
	mounted "$LOOP"
	head -c 1638400 /dev/urandom >"$MNT/f"
	sync -f "$MNT"
	for i in $(seq 0 2 398); do
		head -c 4096 /dev/urandom | dd of="$MNT/f" bs=4096 seek="$i" conv=notrunc,fsync status=none
	done
	before=$(filefrag "$MNT/f" | awk '{ print $2 }')
	volmgr defrag "$MNT" --json
	follows_schema storage.defrag
	[ "$(jq .files <<<"$output")" = 1 ]
	sync -f "$MNT"
	[ "$before" -gt 50 ]
	[ "$(filefrag "$MNT/f" | awk '{ print $2 }')" -lt $((before / 4)) ]
}

@test "discover is the same document by the daemon and in process" {
	both discover
	[ "$(jq -r .openrpc <<<"$output")" = 1.3.2 ]
}

@test "the manual's socat lines work as printed" {
	default=/run/mos_volmgrd/mos_volmgrd.sock
	[ ! -e "$default" ] || skip_or_fail "a mos-volmgrd of this machine has $default"
	loop_new 512M
	echo 'label: gpt' | sfdisk -q "$LOOP"
	daemon_stop
	SOCK=$default
	: >"$LOG"
	daemon_start
	n=0
	"$STORBOX" --man mos-volmgrd "$BATS_TEST_DIRNAME/../../docs/man/mos-volmgrd.mdoc" |
		mandoc -T utf8 -O width=200 2>/dev/null | col -b | sed -n '/^SHELL ACCESS/,/^SECURITY/p' |
		sed '/^[A-Z]/d; /^ *Without/,$d' >"$BATS_TEST_TMPDIR/lines"
	cat "$BATS_TEST_TMPDIR/lines"
	[ "$(grep -c '^ *echo' "$BATS_TEST_TMPDIR/lines")" -eq 4 ]
	sed -i "s,/dev/sda,$LOOP," "$BATS_TEST_TMPDIR/lines"
	run bash "$BATS_TEST_TMPDIR/lines"
	echo "$output" | cut -c1-200
	[ "$(jq -c '[.id, (.result|type), (.error.code // 0)]' <<<"$output" | sed -n '1p;2p;4p' | xargs)" = \
		"[1,array,0] [1,array,0] [1,object,0]" ]
	daemon_stop
}
