# tier: vm
# tests/vm/replay and record: that an image is what the disk would hold after a cut.
load ../vm/helpers

setup_file() { vm_need 6.12; }

replay() { "$VM_DIR/replay" "$@"; }

# block BYTE...: a sector of each byte.
blocks() { perl -e 'print chr(hex) x 512 for @ARGV' "$@"; }

# hand_made_log FILE: ours of one disk of eight sectors. A flush's sector is what it covers.
#  0 write 0-1 =a | 1 write 2 =b | 2 flush, asked for when only 0 was acknowledged | 3 write 3 =c FUA
#  4 write 0 =d   | 5 discard 1-2 | 6 flush of all
hand_made_log() {
	perl -e '
		sub block { my $s = shift; print $s, "\0" x (-length($s) % 512) }
		sub entry { block(pack("Q<4", @_)) }
		print pack("Q<3L<2", 0x6a736677736872, 1, 7, 512, 0), "\0" x 32,
			pack("Q<L<2Q<", 0x676f6c786f626d76, 1, 0, 4096), "\0" x (512 - 64 - 24);
		entry(0, 2, 0, 0); print "a" x 1024;
		entry(2, 1, 0, 0); print "b" x 512;
		entry(1, 0, 1, 0);
		entry(3, 1, 2, 0); print "c" x 512;
		entry(0, 1, 0, 0); print "d" x 512;
		entry(1, 2, 4, 0);
		entry(6, 0, 1, 0);
	' >"$1"
}

# picture IMAGE: its eight sectors, a letter each.
picture() {
	perl -e 'local $/ = \512; while (<>) { my $c = substr $_, 0, 1; print $c eq "\0" ? "." : $c }
		print "\n"' "$1"
}

@test "a hand-made log: each point without loss is the writes up to it" {
	local log=$BATS_TEST_TMPDIR/log n want
	hand_made_log "$log"
	n=0
	for want in ........ aa...... aab..... aab..... aabc.... dabc.... d..c.... d..c....; do
		replay "$log" --at "$n" "$BATS_TEST_TMPDIR/image"
		run picture "$BATS_TEST_TMPDIR/image"
		echo "at $n: $output, want $want"
		[ "$output" = "$want" ]
		n=$((n + 1))
	done
	[ "$(stat -c %s "$BATS_TEST_TMPDIR/image")" -eq 4096 ]
}

# all_outcomes AT [OPTION...]: the different images that 200 seeds give, on one line.
all_outcomes() {
	local at=$1 seed
	shift
	for ((seed = 0; seed < 200; seed++)); do
		replay "$log" --at "$at" --lose "$seed" "$@" "$BATS_TEST_TMPDIR/image"
		picture "$BATS_TEST_TMPDIR/image"
	done | sort -u | tr '\n' ' '
}

@test "a hand-made log: exactly what is not durable can be lost" {
	local log=$BATS_TEST_TMPDIR/log
	hand_made_log "$log"
	run all_outcomes 2
	[ "$output" = '........ ..b..... aa...... aab..... ' ]
	# The flush saves write 0, which had been acknowledged; write 1 had not when it was asked for.
	run all_outcomes 3
	[ "$output" = 'aa...... aab..... ' ]
	# FUA: still under way at 4, safe at 5.
	run all_outcomes 4
	[ "$output" = 'aa...... aa.c.... aab..... aabc.... ' ]
	run all_outcomes 5
	[ "$output" = 'aa.c.... aabc.... da.c.... dabc.... ' ]
	run all_outcomes 7
	[ "$output" = 'd..c.... ' ]
}

@test "a hand-made log: a write can be torn between sectors, and only there" {
	local log=$BATS_TEST_TMPDIR/log
	hand_made_log "$log"
	run all_outcomes 1
	[ "$output" = '........ aa...... ' ]
	run all_outcomes 1 --tear
	[ "$output" = '........ .a...... a....... aa...... ' ]
	run all_outcomes 1 --tear --sector 4096
	[ "$output" = '........ aa...... ' ]
}

@test "a base is what the disk held before; an image changed by others is made anew" {
	local log=$BATS_TEST_TMPDIR/log image=$BATS_TEST_TMPDIR/image
	hand_made_log "$log"
	blocks 78 78 78 78 78 78 78 78 >"$BATS_TEST_TMPDIR/base"
	replay "$log" --base "$BATS_TEST_TMPDIR/base" --at 3 "$image"
	[ "$(picture "$image")" = aabxxxxx ]
	replay "$log" --base "$BATS_TEST_TMPDIR/base" --at 6 "$image"
	[ "$(picture "$image")" = d..cxxxx ]
	replay "$log" --base "$BATS_TEST_TMPDIR/base" --at 1 "$image"
	[ "$(picture "$image")" = aaxxxxxx ]
	sleep 0.02
	blocks 7a | dd of="$image" bs=512 seek=7 conv=notrunc status=none
	replay "$log" --base "$BATS_TEST_TMPDIR/base" --at 2 "$image"
	[ "$(picture "$image")" = aabxxxxx ]
	[ "$(picture "$BATS_TEST_TMPDIR/base")" = xxxxxxxx ]
}

@test "a log that is none, or is cut short, is refused" {
	local log=$BATS_TEST_TMPDIR/log
	head -c 4096 /dev/zero >"$log"
	run replay --list "$log"
	[ "$status" -eq 1 ]
	hand_made_log "$log"
	truncate -s 2000 "$log"
	run replay --list "$log"
	[ "$status" -eq 1 ]
	[[ $output == *'ends in entry'* ]]
	hand_made_log "$log"
	run replay "$log" --at 8 "$BATS_TEST_TMPDIR/image"
	[ "$status" -eq 2 ]
}

# A pattern whose order and flushes are known: block n of each disk says n, a flush after each third.
pattern='
	disks=$(echo /dev/vd?)
	for n in $(seq 0 29); do
		for d in $disks; do
			printf "%-4095s\n" "block $n" | dd of=$d bs=4096 seek=$n oflag=direct conv=notrunc 2>/dev/null
			[ $((n % 3)) -ne 2 ] || blockdev --flushbufs $d
		done
		[ $((n % 3)) -ne 2 ] || sync $disks
	done
	for d in $disks; do dd if=/dev/zero of=$d bs=4096 seek=20 count=1 conv=notrunc,fsync 2>/dev/null; done
'

@test "qemu's own log: the last point is the disk, and each point is a prefix" {
	local disk log=$BATS_TEST_TMPDIR/log at count
	disk=$(vm_disk 1M)
	cp "$disk" "$BATS_TEST_TMPDIR/base"
	vm_run --disk "$disk,log=$log" <<<"$pattern"
	replay --list "$log" >"$BATS_TEST_TMPDIR/list"
	cat "$BATS_TEST_TMPDIR/list"
	[ "$(grep -c $'\tflush\t' "$BATS_TEST_TMPDIR/list")" -ge 10 ]
	at=$(($(wc -l <"$BATS_TEST_TMPDIR/list") - 1))
	replay "$log" --at "$at" --base "$BATS_TEST_TMPDIR/base" "$BATS_TEST_TMPDIR/image"
	cmp "$disk" "$BATS_TEST_TMPDIR/image"
	for at in 0 1 7 20; do
		replay "$log" --at "$at" --base "$BATS_TEST_TMPDIR/base" "$BATS_TEST_TMPDIR/image"
		count=$(head -n $((at + 1)) "$BATS_TEST_TMPDIR/list" | grep -c $'\twrite\t' || true)
		[ "$(grep -a -c '^block' "$BATS_TEST_TMPDIR/image" || true)" -eq "$count" ]
	done
}

@test "two disks in one log: the last point is both, and a cut is at one instant" {
	local a b log=$BATS_TEST_TMPDIR/log i0=$BATS_TEST_TMPDIR/i0 i1=$BATS_TEST_TMPDIR/i1 at n0 n1
	a=$(vm_disk 1M)
	b=$(vm_disk 1M)
	vm_run --disk "$a,log=$log" --disk "$b,log=$log" <<<"$pattern"
	replay --list "$log" >"$BATS_TEST_TMPDIR/list"
	at=$(($(wc -l <"$BATS_TEST_TMPDIR/list") - 1))
	replay "$log" --at "$at" "$i0" "$i1"
	cmp "$a" "$i0"
	cmp "$b" "$i1"
	# The first disk is written before the second, block by block.
	for ((n = 0; n < 60; n++)); do
		replay "$log" --at "$n" "$i0" "$i1"
		n0=$(grep -a -c '^block' "$i0" || true)
		n1=$(grep -a -c '^block' "$i1" || true)
		echo "at $n: $n0 $n1"
		[ "$n0" -eq "$n1" ] || [ "$n0" -eq $((n1 + 1)) ]
	done
	[ "$n0" -gt 15 ]
}

@test "an image brought from point to point is the one made anew, and durable data stays" {
	local a b log=$BATS_TEST_TMPDIR/log dir=$BATS_TEST_TMPDIR tried=0 at lose loss disk
	a=$(vm_disk 128M)
	b=$(vm_disk 128M)
	vm_run --disk "$a,log=$log" --disk "$b,log=$log" --module btrfs --program mkfs.btrfs <<-'VM'
		set -e
		mkfs.btrfs -q -d raid1 -m raid1 /dev/vda /dev/vdb >&2
		mount -o device=/dev/vda,device=/dev/vdb /dev/vda /mnt
		for i in 1 2 3 4; do
			head -c 200000 /dev/urandom >/mnt/file$i
			sync
		done
		umount /mnt
	VM
	while IFS=$'\t' read -r at lose; do
		[ "$at" != at ] || continue
		loss=()
		[ "$lose" = - ] || loss=(--lose "$lose" --tear)
		replay "$log" --at "$at" "${loss[@]}" "$dir/moved0" "$dir/moved1"
		tried=$((tried + 1))
		[ $((tried % 4)) -eq 0 ] || continue
		rm -f "$dir"/fresh*
		replay "$log" --at "$at" "${loss[@]}" "$dir/fresh0" "$dir/fresh1"
		for disk in 0 1; do
			cmp "$dir/moved$disk" "$dir/fresh$disk"
		done
	done < <(replay --points "$log" --random 40 --lose 7)
	echo "$tried points"
	[ "$tried" -gt 60 ]
}
