#!/bin/bash
# The quality gates: what a test cannot see, asked of the same sources and the same tests.
#
#   tests/gates.sh [GATE...]     tidy, cppcheck, asan, valgrind, fuzz; default: all
#
# Prints `ok GATE: WHAT` or `not ok GATE: WHAT` a line, what was found and the seconds behind "# ",
# without numbers: tests/run.sh gives those. A plain test file is run again under asan unless its
# header "# gates:" names others; `JOBS` of them run side by side (default: the processors), and
# GATE_TIERS="plain loop" has those of the loop tier too, for which JOBS is to be 1. Valgrind
# has only those that name it, what parses text from anywhere, for it is slow (gpt alone: minutes of
# small processes), and Debian 12's does not know openat2(), without which no recorded machine can be
# read.
set -uo pipefail

cd "$(dirname "$0")/.." || exit
: "${JOBS:=$(nproc)}"
: "${GATE_TIERS:=plain}"
out=$(mktemp -d)
chmod 711 "$out" # a test may drop root's rights
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$out"' EXIT
trap 'exit 130' INT TERM
failed=0

header() { # FIELD FILE
	sed -n "1,6s/^# $1: *//p" "$2" | head -n 1
}

# A name without a path in it, for `make` of another way of building.
build() { # FOLDER VARIABLE=VALUE... TARGET...
	local folder=$1
	shift
	nice make -s -j "$JOBS" B="build/$folder" "$@" >"$out/build" 2>&1 </dev/null && return
	result 1 "$folder: build" "$out/build"
	return 1
}

result() { # STATUS DESCRIPTION [FILE with what was found]
	if [ "$1" -eq 0 ]; then
		echo "ok $2"
		return
	fi
	failed=1
	echo "not ok $2"
	[ -z "${3-}" ] || sed 's/^/# /' "$3"
}

# One test file under one of them; the report of a sanitizer counts even where the test expects
# the program to fail.
file_under() { # GATE FILE
	local name reports status=0 limit
	name=$(basename "$2" .bats)
	reports=$out/$1-$name
	mkdir -m 1777 "$reports"
	limit=$(header timeout "$2")
	case $1 in
	asan)
		export STORBOX=$PWD/build/asan/storbox UNIT_PROGRAMS=$PWD/build/asan/unit SAN=1
		export ASAN_OPTIONS=exitcode=99:log_path=$reports/found UBSAN_OPTIONS=print_stacktrace=1:log_path=$reports/found
		;;
	valgrind)
		export STORBOX=$PWD/build/valgrind/under/storbox UNIT_PROGRAMS=$PWD/build/valgrind/under/unit SAN=valgrind
		export VALGRIND_REPORTS=$reports
		;;
	esac
	timeout -k 10 $((${limit:-600} * 3)) nice bats --tap "$2" >"$reports/tap" 2>&1 </dev/null || status=$?
	{
		grep -A 30 '^not ok' "$reports/tap" || [ "$status" -eq 0 ] || tail -n 30 "$reports/tap"
		find "$reports" -name 'found*' -size +0 -exec cat {} + | grep -v '^--[0-9]*-- '
	} | sed -n 1,200p >"$reports/all"
	[ ! -s "$reports/all" ] || status=1
	{
		result "$status" "$1: $name" "$reports/all"
		echo "# $1: $name, $SECONDS s"
	} >"$reports/result"
	flock "$0" cat "$reports/result"
	[ "$status" -eq 0 ]
}

files_under() { # GATE
	local file gates tier
	for file in tests/bats/*.bats; do
		gates=$(header gates "$file")
		tier=$(header tier "$file")
		case " $GATE_TIERS " in *" ${tier:-plain} "*) gates=${gates:-asan} ;; esac
		case " $gates " in *" $1 "*) echo "$file" ;; esac
	done | xargs -r -P "$JOBS" -n 1 "$0" --file "$1" || failed=1
}

unit_programs() { # FOLDER
	printf '%s\n' tests/unit/*.c | sed "s,^tests/\(.*\)\.c\$,build/$1/\1,"
}

gate_asan() {
	# shellcheck disable=SC2046 # a list
	build asan SAN=1 LINK=shared CC=gcc all $(unit_programs asan) && files_under asan
}

# Valgrind sees through malloc() only where the C library is a shared one.
gate_valgrind() {
	local program
	# shellcheck disable=SC2046 # a list
	build valgrind SAN= LINK=shared CC=gcc all $(unit_programs valgrind) || return
	rm -rf build/valgrind/under
	mkdir -p build/valgrind/under/unit build/valgrind/as
	for program in storbox unit/core unit/gpt unit/term unit/k8s; do
		# By whatever name it is called, for the name says which applet it is.
		cat >"build/valgrind/under/$program" <<-END
			#!/bin/sh
			as=$PWD/build/valgrind/as/\${0##*/}
			[ -e "\$as" ] || ln -sf "$PWD/build/valgrind/$program" "\$as"
			exec valgrind --quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite \\
				--errors-for-leak-kinds=definite --log-file="\${VALGRIND_REPORTS:-.}/found.%p" "\$as" "\$@"
		END
		chmod +x "build/valgrind/under/$program"
	done
	files_under valgrind
}

gate_tidy() {
	nice make -s -k -j "$JOBS" tidy >"$out/tidy" 2>&1 </dev/null
	result $? "tidy: clang-tidy finds nothing" "$out/tidy"
}

gate_cppcheck() {
	nice make -s cppcheck JOBS="$JOBS" >"$out/cppcheck" 2>&1 </dev/null
	result $? "cppcheck: finds nothing" "$out/cppcheck"
}

gate_fuzz() {
	nice make -s -j "$JOBS" fuzz-replay >"$out/fuzz" 2>&1 </dev/null
	result $? "fuzz: the kept inputs of every fuzzer" "$out/fuzz"
}

if [ "${1-}" = --file ]; then
	file_under "$2" "$3"
	exit
fi
[ $# -gt 0 ] || set -- asan valgrind fuzz cppcheck tidy
for gate in "$@"; do
	started=$SECONDS
	"gate_$gate" || failed=1
	echo "# $gate: $((SECONDS - started)) s"
done
exit "$failed"
