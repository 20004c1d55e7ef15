# tier: plain
# lib/core's graphs, metrics and full screen, through the program tests/unit/term; and every applet's
# manners on a terminal and into a pipe.
load helpers
load machine

setup_file() {
	make_unit term
}

term() {
	run --separate-stderr "$UNIT/term" "$@"
}

is() {
	local want=$1
	shift
	term "$@"
	printf '%s -> %s, want %s\n' "$*" "$output" "$want"
	[ "$output" = "$want" ]
}

# screen STEP... [-- ARG]: the screen program in a pseudo-terminal.
screen() {
	local steps=() size=80x24
	if [ "$1" = -s ]; then
		size=$2
		shift 2
	fi
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		steps+=("$1")
		shift
	done
	run python3 "$BATS_TEST_DIRNAME/terminal.py" -s "$size" "${steps[@]}" -- \
		"$UNIT/term" screen "${@:2}"
	printf '%s\n' "$output" | cat -v | tail -n 5
	[ "$status" -eq 0 ]
}

@test "bars: eighths in UTF-8, whole columns in ASCII, never empty for more than nothing" {
	is '' bar 0 10 utf8
	is '' bar nan 10 utf8
	is '' bar -1 10 ascii
	is '▏' bar 0.0001 10 utf8
	is '#' bar 0.0001 10 ascii
	is '█████' bar 0.5 10 utf8
	is '█████▌' bar 0.55 10 utf8
	is '##########' bar 1 10 ascii
	is '██████████' bar 7 10 utf8
	is '██████████' bar inf 10 utf8
}

@test "sparklines: no value, zero and little are told apart; the scale is given or the largest" {
	is '[ _▁█]' spark 0 utf8 nan 0 0.001 100
	is '[ _.#]' spark 0 ascii nan 0 0.001 100
	is '[▄█]' spark 100 utf8 50 1000
	is '[_ _]' spark 0 utf8 0 nan 0
	is '[▁▂▃▄▅▆▇█]' spark 0 utf8 1 2 3 4 5 6 7 8
	is '[]' spark 0 utf8
}

@test "UTF-8 is what the locale's variables say, the first that is set" {
	LC_ALL='' LC_CTYPE='' LANG=de_DE.UTF-8 term utf8
	[ "$status" -eq 0 ]
	LC_ALL=C LANG=de_DE.UTF-8 term utf8
	[ "$status" -eq 1 ]
	LC_ALL='' LC_CTYPE=en_US.utf8 LANG=C term utf8
	[ "$status" -eq 0 ]
	LC_ALL='' LC_CTYPE='' LANG='' term utf8
	[ "$status" -eq 1 ]
}

@test "histograms: powers of two, their edges, and quantiles within their bucket" {
	is '0-2:2 2-4:2 4-8:1 q=2.82843' hist 0.6 0 1 2 3 4
	is '1024-2048:1 q=1448.15' hist 0.5 1024
	is 'q=nan' hist 0.5
	term hist 1 18446744073709551615
	[[ $output == 9223372036854775808-18446744073709551615:1* ]]
}

@test "metrics: the text, byte for byte" {
	term metrics "$BATS_TEST_TMPDIR/m.prom" $'a"b\\c\nd\xff'
	[ "$status" -eq 0 ]
	diff - "$BATS_TEST_TMPDIR/m.prom" <<-'END'
		# TYPE test_read_bytes counter
		# UNIT test_read_bytes bytes
		# HELP test_read_bytes Bytes \"read\",\nback\\slash
		test_read_bytes_total{device="a\"b\\c\nd\\xff"} 18446744073709551614
		# TYPE test_used_ratio gauge
		# UNIT test_used_ratio ratio
		# HELP test_used_ratio Used
		test_used_ratio 0.1
		test_used_ratio{device="a"} +Inf
		# TYPE test_wait_seconds histogram
		# UNIT test_wait_seconds seconds
		# HELP test_wait_seconds Waits
		test_wait_seconds_bucket{op="read",le="3e-09"} 2
		test_wait_seconds_bucket{op="read",le="7e-09"} 3
		test_wait_seconds_bucket{op="read",le="1.5e-08"} 3
		test_wait_seconds_bucket{op="read",le="+Inf"} 4
		test_wait_seconds_sum{op="read"} 1.011e-06
		test_wait_seconds_count{op="read"} 4
		# EOF
	END
}

@test "metrics: the file is replaced whole, readable by all, and nothing is left beside it" {
	dir=$BATS_TEST_TMPDIR/dir
	mkdir "$dir"
	echo old >"$dir/m.prom"
	exec 7<"$dir/m.prom"
	term metrics "$dir/m.prom" x
	[ "$status" -eq 0 ]
	[ "$(cat <&7)" = old ]
	[ "$(tail -n 1 "$dir/m.prom")" = '# EOF' ]
	[ "$(stat -c %a "$dir/m.prom")" = 644 ]
	[ "$(ls -A "$dir")" = m.prom ]
}

@test "metrics: through a symbolic link, to standard output, into a pipe" {
	mkdir "$BATS_TEST_TMPDIR/dir"
	ln -s dir/real.prom "$BATS_TEST_TMPDIR/link"
	echo old >"$BATS_TEST_TMPDIR/dir/real.prom"
	term metrics "$BATS_TEST_TMPDIR/link" x
	[ -L "$BATS_TEST_TMPDIR/link" ]
	[ "$(tail -n 1 "$BATS_TEST_TMPDIR/dir/real.prom")" = '# EOF' ]
	term metrics - x
	[ "${lines[-1]}" = '# EOF' ]
	term metrics /dev/stdout x
	[ "${lines[-1]}" = '# EOF' ]
}

@test "metrics: a failure leaves the old file and no other" {
	term metrics "$BATS_TEST_TMPDIR/none/m.prom" x
	[ "$status" -eq 1 ]
	[[ $stderr == *none/m.prom*"No such file"* ]]
	term metrics /dev/full x
	[ "$status" -eq 1 ]
	[[ $stderr == *"No space left"* ]]
	dir=$BATS_TEST_TMPDIR/dir
	mkdir "$dir"
	echo old >"$dir/m.prom"
	run bash -c "ulimit -f 0; trap '' XFSZ; '$UNIT/term' metrics '$dir/m.prom' x"
	[ "$status" -eq 1 ]
	[ "$(cat "$dir/m.prom")" = old ]
	[ "$(ls -A "$dir")" = m.prom ]
}

@test "keys: letters, UTF-8, cursor keys, unknown sequences, junk, and what is not whole yet" {
	keys() { printf "$1" | "$UNIT/term" keys; }
	[ "$(keys 'q')" = '71/1 left 0' ]
	[ "$(keys '\303\244\342\202\254')" = 'e4/2 20ac/3 left 0' ]
	[ "$(keys '\033[A\033OB\033[5~\033[H')" = '110001/3 110002/3 110007/4 110005/3 left 0' ]
	[ "$(keys '\033[200~q')" = '0/6 71/1 left 0' ]
	[ "$(keys '\377\300q')" = '0/1 0/1 71/1 left 0' ]
	[ "$(keys '\033[1')" = 'left 3' ]
	[ "$(keys '\033q')" = '1b/1 71/1 left 0' ]
	[ "$(keys '\342\202')" = 'left 2' ]
}

@test "screen: keys arrive, a lone escape too, and the end restores the terminal" {
	screen 'WAIT:key 0.' a 'WAIT:key 97.' '\x1b[A' "WAIT:key $((0x110001))." '\x1b' 'WAIT:key 27.' q
	[[ $output == *'ended well'* ]]
	[[ $output == *'status 0'* ]]
	[[ $output == *'restored yes' ]]
}

@test "screen: sizes, and a change of size" {
	screen -s 40x10 'WAIT:size 40x10' RESIZE:100x30 'WAIT:size 100x30' RESIZE:1x1 'WAIT:size 1x1' q
	[[ $output == *'restored yes' ]]
	# No more lines than the screen has: a frame of 10 rows has 9 line ends.
	frame=${output#*2026h}
	frame=${frame%%2026l*}
	[ "$(printf %s "$frame" | wc -l)" -eq 9 ]
}

@test "screen: restored by a signal that ends it, handled or not" {
	screen 'WAIT:key 0.' KILL:SIGTERM
	[[ $output == *'status 143'*'restored yes' ]]
	screen 'WAIT:key 0.' KILL:SIGINT
	[[ $output == *'status 130'*'restored yes' ]]
	screen 'WAIT:key 0.' '\x03'
	[[ $output == *'status 130'*'restored yes' ]]
	screen 'WAIT:key 0.' KILL:SIGHUP
	[[ $output == *'status 129'*'restored yes' ]]
	screen 'WAIT:key 0.' KILL:SIGTERM -- orderly
	[[ $output == *'ended EINTR'*'status 0'*'restored yes' ]]
}

@test "screen: restored by a crash, a full stack, abort and exit" {
	crashes_are_fatal
	screen 'WAIT:key 0.' C
	[[ $output == *'status 139'*'restored yes' ]]
	screen 'WAIT:key 0.' S
	[[ $output == *'status 139'*'restored yes' ]]
	screen 'WAIT:key 0.' A
	[[ $output == *'status 134'*'restored yes' ]]
	screen 'WAIT:key 0.' E
	[[ $output == *'status 7'*'restored yes' ]]
}

@test "screen: stopped by Ctrl-Z it is the shell's, and goes on where it was" {
	screen 'WAIT:key 0.' '\x1a' CONT "WAIT:key $((0x110009))." q
	[[ $output == *'restored while stopped yes'* ]]
	[[ $output == *'ended well'*'restored yes' ]]
}

@test "screen: refused where there is no terminal" {
	term screen
	[ "$status" -eq 2 ]
	[[ $stderr == *'no terminal'* ]]
}

# A command for each applet that shows its table of a machine recorded below $ROOT; those of mkvolfs,
# subvol and mos-volmgrd are of real devices only.
tables() {
	machine server-md-lvm
	"$FIXTURES/bcachefs/plant" ROOT="$ROOT/bcachefs" "$FIXTURES/bcachefs/6.12-t1.tree"
	local rest="--sysroot $ROOT" pods=$ROOT/var/lib/kubelet/pods/8ad2a1b4-90c3-4b1c-a0ce-6a5c8e1f4f11
	mkdir -p "$pods/volumes/kubernetes.io~empty-dir/a-volume-of-some-length"
	COMMANDS=("topo $rest" "topo disks $rest" "mkpart --list $rest" "mos-volmgr status $rest"
		"mos-sysvol --dry-run --wait 0 $rest" "vfslat --volumes $rest" "storadvise $rest" "storadvise rules"
		"bcachefs-iostat --since-mount --sysroot $ROOT/bcachefs")
	local command name
	for name in $("$STORBOX" --list | cut -f 1); do
		case $name in mkvolfs | subvol | mos-volmgrd) continue ;; esac
		[[ " ${COMMANDS[*]%% *} " == *" $name "* ]] || { echo "no command for $name"; return 1; }
	done
	for command in "${COMMANDS[@]}"; do
		"$STORBOX" --list | cut -f 1 | grep -qx "${command%% *}" || continue
		HERE+=("$command")
	done
	COMMANDS=("${HERE[@]}")
}

# on_terminal COLUMNS COMMAND... : what it writes to a terminal, into the file $SHOWN.
on_terminal() {
	SHOWN=$BATS_TEST_TMPDIR/shown
	python3 "$BATS_TEST_DIRNAME/terminal.py" -s "$1x24" -- "$STORBOX" "${@:2}" | tr -d '\r' >"$SHOWN"
	grep -qE '^status (0|3)$' "$SHOWN" || { cat "$SHOWN"; return 1; }
	# Its own last words: status, and modes of the terminal.
	head -n -2 "$SHOWN" | sed '$ { /^$/d }' >"$SHOWN.new"
	mv "$SHOWN.new" "$SHOWN"
	[ -s "$SHOWN" ]
}

@test "every applet: no escape by NO_COLOR or --color=never; by --color=always where it has colours" {
	local command colours=0
	tables
	export TERM=xterm
	for command in "${COMMANDS[@]}"; do
		echo "$command"
		NO_COLOR=1 on_terminal 120 $command
		run grep -c $'\033' "$SHOWN"
		[ "$output" = 0 ]
		on_terminal 120 $command --color=never
		run grep -c $'\033' "$SHOWN"
		[ "$output" = 0 ]
		run "$STORBOX" $command --table --color=always
		[[ $output != *$'\033['* ]] || colours=$((colours + 1))
		case $command in bcachefs-iostat*) [[ $output == *$'\033['*m*$'\033[0m'* ]] ;; esac
	done
	[ "$colours" -gt 0 ]
}

@test "every applet: 40 columns break no table, and what names a row stays whole" {
	local command least line first
	tables
	export TERM=xterm NO_COLOR=1
	for command in "${COMMANDS[@]}"; do
		echo "$command"
		# No wider than the terminal, or than a table is that was cut as far as any is.
		COLUMNS=1 on_terminal 40 $command
		least=$(wc -L <"$SHOWN")
		on_terminal 40 $command
		[ "$(wc -L <"$SHOWN")" -le $((least > 40 ? least : 40)) ]
		# All that there is without a terminal's bound names itself here, too.
		COLUMNS=1000 "$STORBOX" $command --table >"$BATS_TEST_TMPDIR/wide" || [ $? -eq 3 ]
		case $command in
		*' disks '* | topo* | mkpart* | 'storadvise rules') ;;
		*) continue ;;
		esac
		while read -r first line; do
			grep -q "^$first\( \|\$\)" "$SHOWN" || { echo "lost: $first"; cat "$SHOWN"; false; }
		done <"$BATS_TEST_TMPDIR/wide"
	done
}

@test "every applet: nothing but ASCII in a C locale; UTF-8 where the locale and the tool have it" {
	local command
	tables
	export TERM=xterm
	for command in "${COMMANDS[@]}"; do
		echo "$command"
		LC_ALL=C on_terminal 120 $command
		run env LC_ALL=C grep -c '[^[:print:][:space:][:cntrl:]]' "$SHOWN"
		[ "$output" = 0 ]
	done
	"$STORBOX" --list | cut -f 1 | grep -qx bcachefs-iostat || return 0
	# The mark of the column that its live view is sorted by.
	live() { python3 "$BATS_TEST_DIRNAME/terminal.py" -s 120x24 WAIT:vdb q -- \
		"$STORBOX" bcachefs-iostat --top --sysroot "$ROOT/bcachefs" >"$BATS_TEST_TMPDIR/live"; }
	LC_ALL=C.UTF-8 live
	grep -q '▼' "$BATS_TEST_TMPDIR/live"
	LC_ALL=C live
	grep -q 'vdb' "$BATS_TEST_TMPDIR/live"
	run env LC_ALL=C grep -c '[^[:print:][:space:][:cntrl:]]' "$BATS_TEST_TMPDIR/live"
	[ "$output" = 0 ]
}

@test "every applet: a reader that goes away ends it in silence, whether SIGPIPE is ignored or not" {
	local name
	tables
	for name in $("$STORBOX" --list | cut -f 1); do
		COMMANDS+=("$name --help")
	done
	COMMANDS+=(--help --list)
	# Into a pipe that had no reader before the command started: its status, and what it complains of.
	printf '%s\n' "${COMMANDS[@]}" | python3 -c '
import os, signal, subprocess, sys
reader, writer = os.pipe()
os.close(reader)
for line in sys.stdin:
    for way in (signal.SIG_DFL, signal.SIG_IGN):
        p = subprocess.run([sys.argv[1]] + line.split(), stdout=writer, stderr=subprocess.PIPE,
                           restore_signals=False, preexec_fn=lambda: signal.signal(signal.SIGPIPE, way))
        errors = [e for e in p.stderr.decode().splitlines() if "warning:" not in e]
        print(128 - p.returncode if p.returncode < 0 else p.returncode, errors, way.name, line.strip())
' "$STORBOX" >"$BATS_TEST_TMPDIR/ends"
	cat "$BATS_TEST_TMPDIR/ends"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/ends")" -eq $((2 * ${#COMMANDS[@]})) ]
	run grep -v '^141 \[\] ' "$BATS_TEST_TMPDIR/ends"
	[ "$status" -eq 1 ]
	# head takes one line of many.
	run bash -c 'set -o pipefail; "$1" topo --help | head -n 1' - "$STORBOX"
	[[ $output == "usage: topo"* ]]
	[[ $status =~ ^(0|141)$ ]]
}
