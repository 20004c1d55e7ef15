# tier: loop
# subvol on real filesystems, compared with what btrfs-progs says of them.
load helpers
load btrfs

setup() { need_btrfs; }
teardown() { btrfs_teardown; }


@test "create: on a filesystem that is not mounted; nothing stays mounted" {
	one_btrfs
	box subvol create data --fs "$LOOP"
	[ "$(cell path)" = data ]
	[ "$(cell id)" = 256 ]
	[ "$(cell read_only)" = false ]
	nothing_mounted
	mounted "$LOOP"
	run btrfs subvolume show "$MNT/data"
	[[ $output == *"Subvolume ID: "*256* ]]
}

@test "create: by UUID, by label, by mount point, inside a directory and inside a subvolume" {
	one_btrfs
	box subvol create one --fs "UUID=$UUID"
	box subvol create two --fs "LABEL=$LABEL"
	mounted "$LOOP"
	mkdir "$MNT/dir"
	box subvol create dir/three --fs "$MNT"
	box subvol create one/four --fs "$MNT"
	[ "$(cell top_level)" = 256 ]
	[ "$(btrfs subvolume list "$MNT" | awk '{ print $NF }' | sort | xargs)" = "dir/three one one/four two" ]
}

@test "the top level is reached while only a subvolume is mounted, whose mount stays as it was" {
	one_btrfs
	box subvol create one --fs "$LOOP"
	mounted "$LOOP" subvol=one,noatime
	before=$(cat /proc/self/mountinfo)
	box subvol create two --fs "$MNT"
	[ "$(cell path)" = two ]
	box subvol create three --fs "$LOOP"
	[ "$before" = "$(cat /proc/self/mountinfo)" ]
	run ! test -e "$MNT/two"
	box subvol list --fs "$MNT" -o path,mount_points
	[ "$output" = "$(printf 'path\tmount_points\none\t%s\ntwo\t-\nthree\t-' "$MNT")" ]
}

@test "list: the same IDs, generations, parents and UUIDs as btrfs subvolume list" {
	one_btrfs
	mounted "$LOOP"
	btrfs subvolume create "$MNT/a" >/dev/null
	btrfs subvolume create "$MNT/a/b" >/dev/null
	mkdir "$MNT/dir"
	btrfs subvolume snapshot -r "$MNT/a" "$MNT/dir/a snapshot" >/dev/null
	echo change >"$MNT/a/file"
	btrfs send -q "$MNT/dir/a snapshot" 2>/dev/null | btrfs receive -q "$MNT" >/dev/null 2>&1
	sync -f "$MNT"
	box subvol list --fs "$MNT" -n -o id,gen,cgen,parent,top_level,path,uuid,parent_uuid,received_uuid
	[ "${#lines[@]}" -eq 4 ]
	btrfs subvolume list -pcuqR "$MNT" >"$BATS_TEST_TMPDIR/progs"
	while IFS=$'\t' read -r id gen cgen parent top path uuid parent_uuid received_uuid; do
		grep -F "ID $id gen $gen cgen $cgen parent $parent top level $top " "$BATS_TEST_TMPDIR/progs" >"$BATS_TEST_TMPDIR/line"
		grep -F " uuid $uuid path $path" "$BATS_TEST_TMPDIR/line"
		grep -E "parent_uuid $parent_uuid +received_uuid $received_uuid +uuid" "$BATS_TEST_TMPDIR/line"
	done <<<"$output"
}

@test "list: read-only ones and times are what btrfs subvolume show says" {
	one_btrfs
	mounted "$LOOP"
	btrfs subvolume create "$MNT/a" >/dev/null
	btrfs subvolume snapshot -r "$MNT/a" "$MNT/s" >/dev/null
	box subvol list --fs "$MNT" -o path,read_only,created_time
	[ "$(cell read_only 1)" = false ]
	[ "$(cell read_only 2)" = true ]
	for row in 1 2; do
		shown=$(btrfs subvolume show "$MNT/$(cell path $row)" | sed -n 's/^\s*Creation time:\s*//p')
		ours=$(cell created_time $row)
		[ "$(date -d "@${ours%.*}" '+%F %T %z')" = "$shown" ]
	done
}

@test "list: a thousand subvolumes, each once" {
	one_btrfs 1G
	mounted "$LOOP"
	for i in $(seq 100); do btrfs subvolume create "$MNT/$i"; done >/dev/null
	for i in $(seq 9); do
		mkdir "$MNT/d$i"
		for k in $(seq 100); do btrfs subvolume snapshot -r "$MNT/$k" "$MNT/d$i/$k"; done
	done >/dev/null
	box subvol list --fs "$MNT" -n -o id,path
	[ "$(sort <<<"$output")" = "$(btrfs subvolume list "$MNT" | awk '{ print $2 "\t" $NF }' | sort)" ]
	[ "${#lines[@]}" -eq 1000 ]
}

@test "show: UUIDs, generations and snapshots as btrfs subvolume show has them; JSON is one object" {
	one_btrfs
	mounted "$LOOP"
	btrfs subvolume create "$MNT/a" >/dev/null
	btrfs subvolume snapshot "$MNT/a" "$MNT/s1" >/dev/null
	btrfs subvolume snapshot -r "$MNT/a" "$MNT/s2" >/dev/null
	box subvol show a --fs "$MNT" --json
	[ "$(jq -c .snapshots <<<"$output")" = '["s1","s2"]' ]
	shown=$(btrfs subvolume show "$MNT/a")
	[[ $shown == *"$(jq -r .uuid <<<"$output")"* ]]
	[ "$(jq .gen <<<"$output")" = "$(sed -n 's/^\s*Generation:\s*//p' <<<"$shown")" ]
	[ "$(jq .cgen <<<"$output")" = "$(sed -n 's/^\s*Gen at creation:\s*//p' <<<"$shown")" ]
	[ "$(jq -r .quota <<<"$output")" = off ]
}

@test "snapshot: read-only unless --writable; the contents are those of the source" {
	one_btrfs
	box subvol create a --fs "$LOOP"
	mounted "$LOOP"
	echo precious >"$MNT/a/file"
	box subvol snapshot a s --fs "$MNT"
	[ "$(cell read_only)" = true ]
	box subvol snapshot a w --writable --fs "$MNT"
	[ "$(cell read_only)" = false ]
	[ "$(btrfs property get "$MNT/s" ro)" = ro=true ]
	[ "$(btrfs property get "$MNT/w" ro)" = ro=false ]
	[ "$(cat "$MNT/s/file" "$MNT/w/file")" = $'precious\nprecious' ]
	box 1 subvol snapshot a s --fs "$MNT"
	[[ $stderr == "subvol: s: exists already"* ]]
	box 2 subvol snapshot nope t --fs "$MNT"
	[[ $stderr == *"nope: there is no such subvolume"* ]]
}

@test "delete: gone at once and after the filesystem is mounted again" {
	one_btrfs
	box subvol create a --fs "$LOOP"
	box subvol create b --fs "$LOOP"
	box subvol delete a --fs "$LOOP" --wait
	[ "$(cell path)" = a ]
	[ "$(cell durable)" = true ]
	nothing_mounted
	mounted "$LOOP"
	[ "$(btrfs subvolume list "$MNT" | awk '{ print $NF }')" = b ]
	[ -z "$(btrfs subvolume list -d "$MNT")" ]
}

# What a power cut right now would leave: the image as it is, the filesystem still mounted.
after_power_cut() {
	cp --sparse=always "$IMAGE" "$IMAGE.cut"
	unmounted "$MNT"
	btrfs device scan --forget "$LOOP"
	losetup --detach "$LOOP"
	attach "$IMAGE.cut"
	mounted "$LOOP"
}

@test "delete: survives a power cut the moment the command returns" {
	one_btrfs
	box subvol create a --fs "$LOOP"
	mounted "$LOOP" commit=300
	box subvol delete a --fs "$MNT"
	[ "$(cell durable)" = true ]
	after_power_cut
	[ -z "$(btrfs subvolume list "$MNT")" ]
}

@test "the same power cut undoes a deletion that was not committed: the test above can fail" {
	one_btrfs
	box subvol create a --fs "$LOOP"
	mounted "$LOOP" commit=300
	btrfs subvolume delete "$MNT/a"
	after_power_cut
	[[ $(btrfs subvolume list "$MNT") == *" path a" ]]
}

@test "create and snapshot survive that power cut too, with the source's data" {
	one_btrfs
	mounted "$LOOP" commit=300
	box subvol create a --fs "$MNT"
	echo precious >"$MNT/a/file"
	box subvol snapshot a s --fs "$MNT"
	box subvol create late --fs "$MNT"
	after_power_cut
	[ "$(btrfs subvolume list "$MNT" | awk '{ print $NF }' | xargs)" = "a s late" ]
	[ "$(cat "$MNT/s/file")" = precious ]
}

@test "delete: one that holds others is refused, --recursive takes them innermost first" {
	one_btrfs
	for name in a a/b a/b/c a/d ab; do box subvol create "$name" --fs "$LOOP"; done
	box 1 subvol delete a --fs "$LOOP"
	[[ $stderr == "subvol: a: holds 3 other subvolumes, such as a/b; "*"--recursive"* ]]
	box subvol delete a --recursive --fs "$LOOP"
	[ "$(cell path 1)" = a/b/c ]
	[ "$(cell path 4)" = a ]
	box subvol list --fs "$LOOP" -n -o path
	[ "$output" = ab ]
}

@test "delete: core subvolumes never, also by a roundabout name" {
	one_btrfs
	for name in system etc modules vm-meta; do
		box subvol create "$name" --fs "$LOOP"
		box 2 subvol delete "$name" --recursive --fs "$LOOP"
		[[ $stderr == *"$name: is a core subvolume and is never deleted"* ]]
	done
	for name in ./etc etc/ /etc etc/. x/../etc etc//; do
		box 2 subvol delete "$name" --fs "$LOOP"
	done
	box subvol list --fs "$LOOP" -n -o path
	[ "$output" = $'system\netc\nmodules\nvm-meta' ]
	box subvol create etc/inner --fs "$LOOP"
	box subvol delete etc/inner --fs "$LOOP"
}

@test "delete: a mounted one, one with a mounted one inside, and the default one are refused" {
	one_btrfs
	box subvol create a --fs "$LOOP"
	box subvol create a/b --fs "$LOOP"
	mounted "$LOOP" subvol=a/b
	box 1 subvol delete a/b --fs "$LOOP"
	[[ $stderr == "subvol: a/b: is mounted at $MNT; unmount it first" ]]
	box 1 subvol delete a -r --fs "$LOOP"
	[[ $stderr == *"a/b: is mounted at"* ]]
	unmounted "$MNT"
	mounted "$LOOP" subvol=/
	btrfs subvolume set-default 256 "$MNT"
	box 1 subvol delete a -r --fs "$MNT"
	[[ $stderr == *"a: is what a mount without subvol= gets"* ]]
	box subvol list --fs "$LOOP" -n -o path
	[ "$output" = $'a\na/b' ]
}

@test "delete: no directory, no file, no link" {
	one_btrfs
	mounted "$LOOP"
	box subvol create a --fs "$MNT"
	mkdir "$MNT/dir"
	echo x >"$MNT/file"
	ln -s a "$MNT/link"
	box 2 subvol delete dir --fs "$MNT"
	[[ $stderr == *"dir: is a directory, not a subvolume"* ]]
	box 2 subvol delete file --fs "$MNT"
	[[ $stderr == *"file: is not a subvolume"* ]]
	box 2 subvol delete link --fs "$MNT"
	[[ $stderr == *"link: is not a subvolume"* ]]
	box 2 subvol delete link/x --fs "$MNT"
	[[ $stderr == *"link/x: leads through a link"* ]]
	box 2 subvol delete nope --fs "$MNT"
	[[ $stderr == *"nope: there is no such subvolume"* ]]
	[ -d "$MNT/dir" ] && [ -d "$MNT/a" ]
}

@test "names: none leads out, through a link, or onto another mount" {
	one_btrfs
	mounted "$LOOP"
	mkdir "$MNT/in" "$MNT/other" "$BATS_TEST_TMPDIR/out"
	ln -s "$BATS_TEST_TMPDIR/out" "$MNT/link"
	ln -s in "$MNT/inlink"
	mount -t tmpfs none "$MNT/other"
	for name in link/x inlink/x other/x; do
		box 2 subvol create "$name" --fs "$MNT"
		[[ $stderr == *"leads through a link or another mount"* ]]
	done
	umount "$MNT/other"
	[ -z "$(btrfs subvolume list "$MNT")" ]
}

@test "names: bad ones are refused before anything is done" {
	one_btrfs
	long=$(printf 'x%.0s' $(seq 256))
	for name in "" / /a a/ a//b . .. a/../b ./a "$long" "a/$long" "$(printf 'x/%.0s' $(seq 2100))y"; do
		box 2 subvol create "$name" --fs "$LOOP"
		[ "${#stderr_lines[@]}" -eq 1 ]
		box 2 subvol delete "$name" --fs "$LOOP"
	done
	for name in $'a\nb' $'a\tb' $'\e[31m' $'a\x7f'; do
		box 2 subvol create "$name" --fs "$LOOP"
		[[ $stderr == *"has a control character"* ]]
		[ "${#stderr_lines[@]}" -eq 1 ]
		run ! grep -q $'\e' <<<"$stderr"
	done
	box subvol create "${long:1}" --fs "$LOOP"
	box subvol create 'ü "quoted" $x; rm *' --fs "$LOOP"
	box subvol create -- -dash --fs "$LOOP" || true
	box subvol create --fs "$LOOP" -- -dash
	box subvol list --fs "$LOOP" --json -o path
	[ "$(jq -r '.[1].path' <<<"$output")" = 'ü "quoted" $x; rm *' ]
	[ "$(jq -r '.[2].path' <<<"$output")" = -dash ]
}

@test "an existing name with a control character can be listed, shown and deleted" {
	one_btrfs
	mounted "$LOOP"
	btrfs subvolume create "$MNT/"$'a\nb' >/dev/null
	box subvol list --fs "$MNT" -n -o path
	[ "$output" = 'a\nb' ]
	box subvol delete $'a\nb' --fs "$MNT"
	[ -z "$(btrfs subvolume list "$MNT")" ]
}

@test "bad filesystems: no btrfs, no device, a file, an empty device, an unknown label" {
	box 2 subvol list --fs /proc
	[[ $stderr == "subvol: /proc: is not on a btrfs filesystem" ]]
	box 1 subvol list --fs /dev/no-such-device
	[[ $stderr == *"No such file or directory"* ]]
	loop_new 64M
	box 2 subvol list --fs "$IMAGE"
	[[ $stderr == *"is neither a directory nor a block device; attach an image with losetup first" ]]
	box 2 subvol list --fs "$LOOP"
	[[ $stderr == "subvol: $LOOP: is not a btrfs: holds nothing known" ]]
	mkfs.ext4 -q "$LOOP"
	box 2 subvol create a --fs "$LOOP"
	[[ $stderr == *"is not a btrfs: holds ext4" ]]
	box 1 subvol list --fs LABEL=no-such-label
	[[ $stderr == *"there is no btrfs filesystem of that label"* ]]
}

@test "without root: refused as unsupported here, nothing is changed" {
	one_btrfs
	chmod o+r "$LOOP"
	run --separate-stderr setpriv --reuid 65534 --clear-groups "$STORBOX" subvol create a --fs "$LOOP"
	[ "$status" -eq 4 ]
	[[ $stderr == *"; run it as root" ]]
	run --separate-stderr setpriv --reuid 65534 --clear-groups "$STORBOX" subvol list --fs "LABEL=$LABEL"
	[ "$status" -eq 4 ]
	chmod o-r "$LOOP"
	mounted "$LOOP"
	[ -z "$(btrfs subvolume list "$MNT")" ]
}

@test "a filesystem mounted read-only stays so: listed, not changed" {
	one_btrfs
	box subvol create a --fs "$LOOP"
	mounted "$LOOP" ro
	for fs in "$LOOP" "$MNT" "UUID=$UUID"; do
		box subvol list --fs "$fs" -n -o path
		[ "$output" = a ]
		box 1 subvol create b --fs "$fs"
		[[ $stderr == *"the filesystem is mounted read-only; mount it writable first" ]]
		box 1 subvol delete a --fs "$fs"
		box 1 subvol set-quota a 1G --fs "$fs"
	done
	[[ $(findmnt -no FS-OPTIONS "$MNT") == ro,* ]]
}

@test "list changes nothing on a filesystem that is not mounted" {
	one_btrfs
	box subvol create a --fs "$LOOP"
	before=$(btrfs inspect-internal dump-super "$LOOP" | grep -w generation)
	box subvol list --fs "$LOOP"
	box subvol show a --fs "$LOOP"
	[ "$before" = "$(btrfs inspect-internal dump-super "$LOOP" | grep -w generation)" ]
}

@test "a full filesystem: the refusal says what to do, or the subvolume is made; never half" {
	loop_new 16M
	make_btrfs --mixed "$LOOP"
	mounted "$LOOP"
	for i in $(seq 3000); do head -c 2000 /dev/urandom >"$MNT/$i" || break; done 2>/dev/null
	for i in $(seq 500); do
		run --separate-stderr "$STORBOX" subvol create "s$i" --fs "$MNT"
		[ "$status" -eq 0 ] || break
	done
	echo "$i: $stderr"
	[ "$status" -eq 1 ]
	[[ $stderr == *"No space left"* || $stderr == *"has no space left for it; "* ]]
	unmounted "$MNT"
	btrfs check -q "$LOOP"
}

@test "two filesystems of one label: refused, naming both UUIDs" {
	one_btrfs
	first=$UUID label=$LABEL
	loop_new 256M
	second=$(cat /proc/sys/kernel/random/uuid)
	mkfs.btrfs -q -f -U "$second" -L "$label" "$LOOP" >/dev/null
	box 1 subvol create a --fs "LABEL=$label"
	[[ $stderr == *"two btrfs filesystems have this label"*"$first"* ]]
	[[ $stderr == *"$second"* ]]
	box subvol create a --fs "UUID=$second"
}

@test "two devices: found by either one or the UUID, also when the kernel knows neither yet" {
	two_btrfs
	for fs in "$LOOP1" "$LOOP2" "UUID=$UUID" "LABEL=$LABEL"; do
		btrfs device scan --forget "$LOOP1"
		btrfs device scan --forget "$LOOP2"
		run ! mount -o ro "$LOOP1" "$BATS_TEST_TMPDIR" # what an unscanned member does to mount(8)
		box subvol create "by-$(basename "$fs")" --fs "$fs"
		nothing_mounted
	done
	mounted "$LOOP1"
	[ "$(btrfs subvolume list "$MNT" | wc -l)" = 4 ]
}

@test "two devices, one missing: refused, never mounted degraded, the disk unchanged" {
	two_btrfs
	box subvol create a --fs "$LOOP1"
	btrfs device scan --forget "$LOOP1"
	btrfs device scan --forget "$LOOP2"
	losetup --detach "$LOOP2"
	before=$(sha256sum <"$IMAGE1")
	for fs in "$LOOP1" "UUID=$UUID"; do
		box 1 subvol list --fs "$fs"
		[[ $stderr == *"only 1 of its 2 devices are here; attach the missing devices; it is never mounted degraded" ]]
		box 1 subvol delete a --fs "$fs"
	done
	[ "$before" = "$(sha256sum <"$IMAGE1")" ]
}

@test "killed at any moment: nothing stays mounted, the filesystem is sound" {
	one_btrfs
	for i in $(seq 40); do
		"$STORBOX" subvol create "s$i" --fs "$LOOP" >/dev/null 2>&1 3>&- &
		victim=$!
		sleep "0.0$((i % 10))$((i % 7))"
		kill -KILL "$victim" 2>/dev/null || true
		wait "$victim" 2>/dev/null || true
	done
	# The kernel takes the filesystem down with the process, after it: give it a moment.
	for i in $(seq 50); do [ ! -e "/sys/fs/btrfs/$UUID" ] || sleep 0.1; done
	nothing_mounted
	btrfs check -q "$LOOP"
	box subvol create last --fs "$LOOP"
	box subvol list --fs "$LOOP" -n -o path
	echo "${#lines[@]} of 40 were made before the kill"
	[[ $output == *last* ]]
}

@test "stopped while it waits for freed space: the deletion stands, and that is said" {
	one_btrfs 1G
	mounted "$LOOP"
	box subvol create a --fs "$MNT"
	for i in $(seq 400); do head -c 300 /dev/urandom >"$MNT/a/$i"; done
	sync -f "$MNT"
	run --separate-stderr timeout -s TERM 0.005 "$STORBOX" subvol delete a --wait --fs "$MNT"
	[ "$status" -eq 124 ] || [ "$status" -eq 0 ] || [ "$status" -eq 1 ]
	box subvol list --fs "$MNT" -n -o path
}

@test "set-quota: simple quotas where the kernel has them, a write beyond the limit fails" {
	one_btrfs
	box subvol create a --fs "$LOOP"
	mounted "$LOOP"
	box subvol set-quota a 10M --fs "$MNT"
	[ "$(cell max_bytes)" = 10485760 ]
	if [ -e /sys/fs/btrfs/features/simple_quota ] || [ "$(cat "/sys/fs/btrfs/$UUID/qgroups/mode")" = squota ]; then
		[ "$(cell quota)" = simple ]
		[[ $stderr == *"simple quotas are on from now"* ]]
	fi
	[ "$(cat "/sys/fs/btrfs/$UUID/qgroups/0_256/max_referenced")" = 10485760 ]
	run dd if=/dev/urandom of="$MNT/a/f" bs=1M count=20 conv=fsync
	[ "$status" -ne 0 ]
	[[ $output == *"Disk quota exceeded"* ]]
	box subvol set-quota a none --fs "$MNT"
	[ "$(cell max_bytes)" = - ]
	[ -z "$stderr" ]
	dd if=/dev/urandom of="$MNT/a/f" bs=1M count=20 status=none
	sync -f "$MNT" # the kernel counts when it commits
	box subvol list --fs "$MNT" -o path,referenced_bytes,max_bytes
	[ "$(cell referenced_bytes)" -ge 20971520 ]
	[ "$(cell referenced_bytes)" = "$(cat "/sys/fs/btrfs/$UUID/qgroups/0_256/referenced")" ]
}

@test "set-quota: survives a mount; a limit below the contents is warned of; bad limits are refused" {
	one_btrfs
	box subvol create a --fs "$LOOP"
	box subvol set-quota a 50M --fs "$LOOP"
	mounted "$LOOP"
	dd if=/dev/urandom of="$MNT/a/f" bs=1M count=20 conv=fsync status=none
	box subvol set-quota a 1M --fs "$MNT"
	[[ $stderr == *"a: holds more than the limit already"* ]]
	unmounted "$MNT"
	box subvol show a --fs "$LOOP" -o max_bytes
	[ "$(cell max_bytes)" = 1048576 ]
	for bad in 0 -1 1.5 x 99999999999999999999 ""; do
		box 2 subvol set-quota --fs "$LOOP" -- a "$bad"
	done
	box 2 subvol set-quota a --fs "$LOOP"
	box 2 subvol set-quota nope 1G --fs "$LOOP"
}

@test "set-quota: full quotas stay full, and inconsistent ones are told" {
	one_btrfs
	box subvol create a --fs "$LOOP"
	mounted "$LOOP"
	dd if=/dev/urandom of="$MNT/a/f" bs=1M count=5 conv=fsync status=none
	btrfs quota enable "$MNT"
	btrfs quota rescan -w "$MNT" >/dev/null
	box subvol set-quota a 100M --fs "$MNT"
	[ "$(cell quota)" = full ]
	[ "$(cell quota_inconsistent)" = false ]
	[ -z "$stderr" ]
	shown=$(btrfs qgroup show -re --raw "$MNT" | awk '$1 == "0/256" { print $2, $3, $4 }')
	[ "$(cell referenced_bytes) $(cell exclusive_bytes) $(cell max_bytes)" = "$shown" ]
	# Data shared with a snapshot cannot be moved to a group without counting again.
	btrfs subvolume snapshot "$MNT/a" "$MNT/s" >/dev/null
	sync -f "$MNT"
	btrfs qgroup create 1/0 "$MNT"
	btrfs qgroup assign --no-rescan 0/256 1/0 "$MNT" || true
	sync -f "$MNT"
	[ "$(cat "/sys/fs/btrfs/$UUID/qgroups/inconsistent")" = 1 ]
	box subvol set-quota a 50M --fs "$MNT"
	[ "$(cell quota_inconsistent)" = true ]
	[[ $stderr == *"quotas are inconsistent, so limits do not hold"* ]]
	box subvol show a --fs "$MNT" -o quota_inconsistent
	[ "$(cell quota_inconsistent)" = true ]
}

@test "delete: with quotas on, the quota group goes too" {
	one_btrfs
	box subvol create a --fs "$LOOP"
	mounted "$LOOP"
	box subvol set-quota a 10M --fs "$MNT"
	dd if=/dev/urandom of="$MNT/a/f" bs=1M count=2 conv=fsync status=none
	[ -e "/sys/fs/btrfs/$UUID/qgroups/0_256" ]
	box subvol delete a --fs "$MNT" --wait
	[ "$(cell qgroup)" = removed ]
	run ! test -e "/sys/fs/btrfs/$UUID/qgroups/0_256"
}

@test "the same row as TSV, JSON and on the default table" {
	one_btrfs
	box subvol create a --fs "$LOOP"
	box subvol list --fs "$LOOP" --json
	json=$(jq -r '.[0] | [.id, .gen, .path, .read_only, .uuid] | @tsv' <<<"$output")
	box subvol list --fs "$LOOP" -n -o id,gen,path,read_only,uuid
	[ "$output" = "$json" ]
	box subvol list --fs "$LOOP" --table
	[[ ${lines[0]} == *"TOP-LEVEL"* ]]
}
