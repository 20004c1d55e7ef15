# tier: vm
# timeout: 1500
# mos-sysvol's power cut: what was recorded of a run is replayed to points of it, and a run again must
# come up complete. tests/crash/sysvol.sh does it; `make check-crash` at thousands of points.
load ../vm/helpers

setup_file() { vm_need 6.12; }

# crash POINTS KINDS ARGS...: KINDS are the ways there must have been for a run to end complete.
crash() {
	local points=$1 kinds=$2 kind
	shift 2
	run --separate-stderr "$BATS_TEST_DIRNAME/../crash/sysvol.sh" --points "$points" "$@"
	printf '%s\n%s\n' "$output" "$stderr"
	[ "$status" -eq 0 ]
	# What was tried, by which seed, and how each ended.
	tail -n 1 <<<"$output" >&3
	[ "$(grep -c -v '^#' <<<"$output")" -eq "$points" ]
	for kind in $kinds; do
		grep -q "	$kind	0	" <<<"$output"
	done
}

@test "two disks, cut while they are made" {
	crash 24 "made redone finished complete" --disks 2 --seed 11 --keep "$BATS_FILE_TMPDIR/pair"
}
@test "one disk, cut while it is made" { crash 28 "made redone complete" --disks 1 --seed 12; }
@test "two disks, cut while a run begins afresh on what an earlier cut left" {
	crash 8 "redone complete" --disks 2 --redo --seed 13
}

# By fresh boots, with udevd, which assembles and scans before mos-sysvol comes.
@test "two disks, cut while they are made, and the next run in a machine that really boots" {
	work=$BATS_FILE_TMPDIR/pair
	[ -e "$work/log" ]
	total=$("$VM_DIR/replay" --list "$work/log" | wc -l)
	args=()
	for m in btrfs ext4 vfat nls_cp437 nls_ascii raid1; do args+=(--with-module $m); done
	for p in mkfs.btrfs mkfs.ext4 mkfs.vfat mkswap mdadm; do args+=(--program $p); done
	for share in 25 60; do
		at=$((total * share / 100))
		rm -f "$work"/{x,y,marks}.cut*
		"$VM_DIR/replay" "$work/log" --at $at --lose $share --tear "$work"/{x,y,marks}.cut
		vm_run "${args[@]}" --disk "$work/x.cut,serial=x" --disk "$work/y.cut,serial=y" \
			--append "mossize=1 mosswap=1" --udev <<-'VM'
			mos-sysvol --wait 0 >&2 && mos-sysvol --status >&2 && echo complete
		VM
		[ "$output" = complete ]
	done
}
