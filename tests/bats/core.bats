# tier: plain
# gates: asan valgrind
# lib/core, through the program tests/unit/core.
load helpers

setup_file() {
	make_unit core
}

core() {
	run --separate-stderr "$UNIT/core" "$@"
}

size_is() {
	core size "$1"
	printf '%s -> %s, want %s\n' "$1" "$output" "$2"
	[ "$output" = "$2" ]
}

@test "sizes: binary and decimal units, fractions that are whole bytes" {
	size_is 0 "0 0B"
	size_is 4096 "4096 4K"
	size_is 10G "10737418240 10G"
	size_is 512M "536870912 512M"
	size_is 1.5T "1649267441664 1.5T"
	size_is 10GiB "10737418240 10G"
	size_is 10GB "10000000000 9.3G"
	size_is 0.5K "512 512B"
	size_is 1k "1024 1K"
	size_is 15E "17293822569102704640 15E"
	size_is 1048575 "1048575 1M"
	size_is 1.00000000000000000000000K "1024 1K"
}

@test "sizes: junk, signs, overflow and parts of a byte are refused" {
	for bad in "" " 1" "1 " -1 +1 1x 1KK 1Kib 0x10 1e3 .5 1. 1,5G 0.1K 1.0001K G nan 1.0000000000000000000001K; do
		size_is "$bad" EINVAL
	done
	for big in 16E 18446744073709551615 18446744073709551616 99999999999999999999999 15.9999999E 17E; do
		core size "$big"
		[ "$status" -eq 1 ]
	done
	size_is 18446744073709551614 "18446744073709551614 16E"
}

@test "durations: seconds by default, units, junk refused" {
	for pair in 2=2 0.5=0.5 500ms=0.5 2m=120 1h=3600 1d=86400 .25=0.25; do
		core duration "${pair%=*}"
		[ "$output" = "${pair#*=}" ]
	done
	for bad in "" -1 1x inf nan 0x10 1e999 "1 s"; do
		core duration "$bad"
		[ "$output" = EINVAL ]
	done
}

@test "TSV read and written again is the same, with every escape" {
	printf 'name\tsize_bytes\tdelta\tinterval_s\ton\tcolor\ttags\n' >"$BATS_TEST_TMPDIR/in"
	printf 'a\\tb\\nc\\\\d\\x01\\xff\t1024\t-5\t0.25\ttrue\tgreen\tx,y\\\\,z\n' >>"$BATS_TEST_TMPDIR/in"
	printf '\\-\t-\t-\t-\tfalse\t-\t-\n' >>"$BATS_TEST_TMPDIR/in"
	core copy tsv <"$BATS_TEST_TMPDIR/in"
	[ "$output" = "$(cat "$BATS_TEST_TMPDIR/in")" ]
}

@test "JSON holds the values of the TSV" {
	printf 'name\tsize_bytes\ttags\tdelta\nq"\\\\\\x1b\t18446744073709551614\ta,b\t-9223372036854775807\n' >"$BATS_TEST_TMPDIR/in"
	core copy json <"$BATS_TEST_TMPDIR/in"
	[ "$(python3 -c 'import json,sys; r=json.load(sys.stdin)[0]; print(r["name"]=="q\"\\\x1b", r["size_bytes"], r["tags"], r["delta"], r["on"], r["color"])' <<<"$output")" = \
		"True 18446744073709551614 ['a', 'b'] -9223372036854775807 False None" ]
}

@test "columns are found by name: order and extra columns do not matter" {
	printf 'junk\tsize_bytes\tname\n1\t2K\tn\n' >"$BATS_TEST_TMPDIR/in"
	core copy tsv 0 name,size <"$BATS_TEST_TMPDIR/in"
	[ "$output" = $'name\tsize_bytes\nn\t2048' ]
}

@test "TSV errors name the line and the column" {
	printf 'size_bytes\n1\n' >"$BATS_TEST_TMPDIR/in"
	core copy tsv <"$BATS_TEST_TMPDIR/in"
	[ "$status" -eq 2 ]
	[[ $stderr == *"no column 'name'"* ]]
	printf 'name\tsize_bytes\nn\tmany\n' >"$BATS_TEST_TMPDIR/in"
	core copy tsv <"$BATS_TEST_TMPDIR/in"
	[ "$status" -eq 2 ]
	[[ $stderr == *"line 2 size_bytes"*"'many'"* ]]
	printf 'name\tsize_bytes\nn\n' >"$BATS_TEST_TMPDIR/in"
	core copy tsv <"$BATS_TEST_TMPDIR/in"
	[ "$status" -eq 2 ]
	[[ $stderr == *"line 2 has 1 cells, the heading 2"* ]]
	printf 'name\na\\q\n' >"$BATS_TEST_TMPDIR/in"
	core copy tsv <"$BATS_TEST_TMPDIR/in"
	[ "$status" -eq 2 ]
	core copy tsv </dev/null
	[ "$status" -eq 2 ]
}

@test "the human table: units, alignment, cut to the terminal's width, no control characters" {
	printf 'name\tsize_bytes\tinterval_s\ta-very-long\nlong name that goes on and on and on\t1536\t0.5\tx\ne\\x1b[31m\t1\t90\ty\n' >"$BATS_TEST_TMPDIR/in"
	core copy table 40 name,size,interval_s <"$BATS_TEST_TMPDIR/in"
	[ "${lines[0]}" = "NAME                      SIZE  INTERVAL" ]
	[ "${lines[1]}" = "long name that goes on ~  1.5K      0.5s" ]
	[ "${lines[2]}" = "e?[31m                      1B     1m30s" ]
}

@test "several tables: named in TSV, one object in JSON, named rows in JSON lines" {
	core tables tsv
	[ "${lines[0]}" = "# things" ]
	[ "${lines[2]}" = "# others" ]
	core tables json
	[ "$(jq -c '[.things, (.others|length)]' <<<"$output")" = "[[],1]" ]
	core tables jsonl
	[ "$(jq -r .table <<<"$output")" = others ]
}

@test "a table of many rows needs no more memory than one of few" {
	[ -z "${SAN:-}" ] || skip "a sanitizer keeps what is freed for a while"
	for format in tsv json jsonl table; do
		small=$("$UNIT/core" rows 2000 "$format" 2>&1 >/dev/null)
		large=$("$UNIT/core" rows 200000 "$format" 2>&1 >/dev/null)
		echo "$format: $small KiB for 2000 rows, $large KiB for 200000"
		[ "$large" -lt $((small + 512)) ]
	done
}

@test "a full disk and a closed pipe are errors" {
	run bash -c "'$UNIT/core' rows 100000 tsv >/dev/full"
	[ "$status" -eq 1 ]
}

@test "run: output, status, stderr in the error, input, time limit, missing program" {
	core run 10 sh -c 'cat; echo err >&2'
	[ "$status" -eq 0 ]
	INPUT=hello core run 10 sh -c 'cat; echo oops >&2; exit 3'
	[ "$status" -eq 1 ]
	[[ $output == "EIO 3 out=hello err=oops"* ]]
	[[ $stderr == "sh: failed with exit status 3: oops" ]]
	core run 0.3 sleep 60
	[ "$status" -eq 1 ]
	[[ $stderr == *"took too long"* ]]
	core run 5 no-such-program
	[ "$status" -eq 4 ]
	core run 5 sh -c 'kill -9 $$'
	[[ $stderr == *"signal 9"* ]]
}

@test "run: a program that writes megabytes to both pipes does not block" {
	core run 20 sh -c 'head -c 3000000 /dev/zero | tr "\0" a; head -c 3000000 /dev/zero | tr "\0" b >&2'
	[ "$status" -eq 0 ]
}

@test "quoting is read back by a shell as the same words" {
	core quote a 'b c' "d'e" '' '$x' '*' '-n' $'tab\there'
	eval "set -- $output"
	[ "$#" -eq 8 ]
	[ "$3" = "d'e" ]
	[ "$4" = "" ]
	[ "$8" = $'tab\there' ]
}

@test "a recorded root keeps every path below it, through absolute and dotted links" {
	need_openat2
	mkdir -p "$ROOT/sys/a" "$ROOT/dev"
	echo inside >"$ROOT/sys/a/file"
	ln -s /sys/a/file "$ROOT/dev/absolute"
	ln -s ../../../../../../../sys/a/file "$ROOT/dev/dotted"
	ln -s /etc/passwd "$ROOT/dev/out"
	core root "$ROOT" /dev/absolute
	[ "${lines[0]}" = inside ]
	[ "${lines[1]}" = /sys/a/file ]
	core root "$ROOT" /dev/dotted
	[ "${lines[0]}" = inside ]
	core root "$ROOT" /dev/out
	[ "${lines[0]}" = ENOENT ]
	core root /nonexistent /x
	[ "$status" -eq 2 ]
}
