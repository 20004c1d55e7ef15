# tier: plain
# The GPT writer and reader on images, through the program tests/unit/gpt: power cuts at any sector,
# damaged copies, other tools' tables.
load helpers

setup_file() {
	make_unit gpt
}

setup() {
	IMAGE=$BATS_TEST_TMPDIR/disk
	truncate -s 16M "$IMAGE"
}

gpt() {
	run --separate-stderr "$UNIT/gpt" "$@"
	printf '$ gpt %s [%s]\n%s\n%s\n' "$*" "$status" "$output" "$stderr"
	[ "$status" -eq 0 ]
}

# three SECTOR: a table with three partitions, made by sfdisk; it makes none for 4096.
three() {
	need_program sfdisk
	if [ "$1" = 512 ]; then
		printf '%s\n' 'label: gpt' 'size=1MiB, name=one' 'size=2MiB, name=two, type=uefi' \
			'size=2MiB, name=three' | sfdisk -q "$IMAGE"
		return
	fi
	truncate -s 0 "$IMAGE"
	truncate -s 16M "$IMAGE"
	gpt -s "$1" apply "$IMAGE" create
	gpt -s "$1" apply "$IMAGE" add one 1M
	gpt -s "$1" apply "$IMAGE" add two 2M
	gpt -s "$1" apply "$IMAGE" add three 2M
}

byte() { # OFFSET: flips one byte
	python3 - "$IMAGE" "$1" <<-'PY'
		import sys
		with open(sys.argv[1], "r+b") as f:
		    f.seek(int(sys.argv[2]))
		    b = f.read(1)[0]
		    f.seek(int(sys.argv[2]))
		    f.write(bytes([b ^ 0x55]))
	PY
}

@test "sfdisk's table: read as sfdisk reads it, with the gaps" {
	three 512
	gpt show "$IMAGE"
	[ "${lines[0]}" = good ]
	[ "${lines[1]}" = "1 1048576 1048576 one" ]
	[ "${lines[2]}" = "2 2097152 2097152 two" ]
	[ "${lines[3]}" = "3 4194304 2097152 three" ]
	# 16 MiB less 6 in front and 33 sectors of backup, down to a whole MiB
	[ "${lines[4]}" = "free 6291456 9437184" ]
	[ "${#lines[@]}" -eq 5 ]
}

@test "our table: sfdisk verifies it" {
	need_program sfdisk
	gpt apply "$IMAGE" create
	gpt apply "$IMAGE" add 'größe' 3M
	run sfdisk --verify "$IMAGE"
	[[ $output == *"No errors detected"* ]]
	run env LC_ALL=C.UTF-8 sfdisk --part-label "$IMAGE" 1
	[ "$output" = größe ]
}

@test "our table with sectors of 4096 bytes: fdisk reads it" {
	need_program fdisk
	gpt -s 4096 apply "$IMAGE" create
	gpt -s 4096 apply "$IMAGE" add one 3M
	run fdisk --sector-size 4096 --output Start,Sectors,Name --list "$IMAGE"
	[ "$(tail -n 1 <<<"$output" | tr -s ' ')" = ' 256 768 one' ]
}

# Each state after a cut: read by our reader and by libblkid it is the old or the new table; then the
# next run repairs and completes it. The program fails at the first state that is not so.
states() { # MINIMUM: how many there were
	local n
	n=$(sed -n 's/^states \([0-9]*\) .*/\1/p' <<<"$output")
	[ "$n" -ge "$1" ]
}

@test "power cut while a new table is made on an empty disk: none or all of it" {
	for sector in 512 4096; do
		gpt -s "$sector" crash "$IMAGE" create
		states 6
	done
}

@test "power cut while a new table is made with five partitions in one write: none or all of it" {
	for sector in 512 4096; do
		gpt -s "$sector" crash "$IMAGE" create a.new b.new c.new d.new e.new
		states 10
	done
}

@test "copies with partitions but no MBR are somebody's, unless all names are provisional" {
	three 512
	dd if=/dev/zero of="$IMAGE" bs=512 count=1 conv=notrunc status=none
	gpt show "$IMAGE"
	[ "$output" != none ]
	[ "${lines[0]}" = no_mbr ]
	gpt apply "$IMAGE" repair
	gpt apply "$IMAGE" rename one=one.new two=two.new three=three.new
	dd if=/dev/zero of="$IMAGE" bs=512 count=1 conv=notrunc status=none
	gpt show "$IMAGE"
	[ "$output" = none ]
}

@test "power cut while a partition is added" {
	for sector in 512 4096; do
		three "$sector"
		gpt -s "$sector" crash "$IMAGE" add four 1M
		states 8
	done
}

@test "power cut while three partitions are renamed at once: all or none" {
	for sector in 512 4096; do
		three "$sector"
		gpt -s "$sector" crash "$IMAGE" rename one=uno two=due three=tre
		states 8
	done
}

@test "power cut while one is deleted" {
	three 512
	gpt crash "$IMAGE" delete two
	states 8
}

@test "power cut while sixteen of sixty-four are renamed: many sectors, torn in any way" {
	need_program sfdisk
	truncate -s 100M "$IMAGE"
	{
		echo 'label: gpt'
		for i in {1..64}; do echo "size=1MiB, name=p$i"; done
	} | sfdisk -q "$IMAGE"
	names=()
	for i in {1..64..4}; do names+=("p$i=new-name-$i"); done
	gpt crash "$IMAGE" rename "${names[@]}"
	states 400
}

@test "power cut on a disk that has grown, while its backup moves to the new end" {
	three 512
	truncate -s 32M "$IMAGE"
	gpt show "$IMAGE"
	[ "${lines[0]}" = 'good grown' ]
	gpt crash "$IMAGE" add four 12M
	states 10
	gpt apply "$IMAGE" add four 12M
	gpt show "$IMAGE"
	[ "${lines[0]}" = good ]
	run sfdisk --verify "$IMAGE"
	[[ $output == *"No errors detected"* ]]
}

@test "power cut while a damaged copy is repaired" {
	three 512
	byte 600
	gpt crash "$IMAGE" repair
	byte 600
	byte $((16 * 1024 * 1024 - 500))
	gpt crash "$IMAGE" repair
}

@test "a damaged copy, header or entries: listed from the other one" {
	three 512
	for at in 520 560 1030 $((16777216 - 510)) $((16777216 - 460)) $((16777216 - 33 * 512 + 5)); do
		byte "$at"
		gpt show "$IMAGE"
		if [ "$at" -lt 20000 ]; then
			[ "${lines[0]}" = primary_bad ]
		else
			[ "${lines[0]}" = backup_bad ]
		fi
		[ "${lines[3]}" = "3 4194304 2097152 three" ]
		byte "$at"
	done
	gpt show "$IMAGE"
	[ "${lines[0]}" = good ]
}

@test "repair gives back the very bytes that were damaged" {
	three 512
	want=$(sha256sum <"$IMAGE")
	for at in 520 560 1030 $((16777216 - 510)) $((16777216 - 460)) $((16777216 - 33 * 512 + 5)); do
		byte "$at"
		gpt apply "$IMAGE" repair
		[ "$(sha256sum <"$IMAGE")" = "$want" ]
	done
}

@test "both copies damaged, no MBR, hybrid MBR, overlapping partitions, another table: told apart" {
	three 512
	cp "$IMAGE" "$IMAGE.good"
	byte 600
	byte $((16777216 - 500))
	gpt show "$IMAGE"
	[ "${lines[0]}" = broken ]
	cp "$IMAGE.good" "$IMAGE"
	byte 510
	gpt show "$IMAGE"
	[ "${lines[0]}" = no_mbr ]
	cp "$IMAGE.good" "$IMAGE"
	printf '\x83' | dd of="$IMAGE" bs=1 seek=466 conv=notrunc status=none
	gpt show "$IMAGE"
	[ "${lines[0]}" = hybrid ]
	cp "$IMAGE.good" "$IMAGE"
	python3 "$BATS_TEST_DIRNAME/signature.py" gpt-overlap "$IMAGE"
	gpt show "$IMAGE"
	[ "${lines[0]}" = invalid ]
	# nothing is free where the table contradicts itself
	run grep free <<<"$output"
	[ "$status" -eq 1 ]
	echo ',,' | sfdisk -q -X dos --wipe always "$IMAGE"
	gpt show "$IMAGE"
	[ "${lines[0]}" = none ]
}

@test "no byte of garbage in the table's sectors makes the reader fail or find free space outside" {
	three 512
	python3 - "$IMAGE" "$UNIT/gpt" <<-'PY'
		import random, subprocess, sys
		image, program = sys.argv[1:]
		good = open(image, "rb").read(34 * 512)
		rng = random.Random(7)
		for i in range(300):
		    data = bytearray(good)
		    for _ in range(rng.choice((1, 3, 40))):
		        data[rng.randrange(len(data))] = rng.randrange(256)
		    with open(image, "r+b") as f:
		        f.write(data)
		    out = subprocess.run([program, "show", image], capture_output=True, text=True)
		    assert out.returncode == 0, (i, out)
		    for line in out.stdout.splitlines():
		        if line.startswith("free"):
		            _, start, size = line.split()
		            assert int(start) >= 1 << 20 and int(start) + int(size) <= 16 << 20, line
	PY
}
