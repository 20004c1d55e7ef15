#!/bin/bash
# Runs tiers of tests and prints one TAP stream; exit status 0 only if nothing failed.
#
#   tests/run.sh [--only NAME] TIER...      lint, plain, loop, vm, gates
#
# A test file is tests/bats/NAME.bats. Its first lines may say "# tier: loop" (root, loop devices) or
# "# tier: vm" (qemu); without, it is plain. "# timeout: SECONDS" there changes how long the whole file
# may take. Files run side by side, but for those of the loop tier, and the gates (tests/gates.sh)
# behind them. With CI=true a tier that cannot run, or skips whole, has failed.
set -uo pipefail

cd "$(dirname "$0")/.." || exit
export STORBOX=${STORBOX:-$PWD/build/storbox}
# The tests are not part of the make that may have started them.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES TIERS T

only=
if [ "${1-}" = --only ]; then
	only=$2
	shift 2
	[ -e "tests/bats/$only.bats" ] || { echo "no such test file: tests/bats/$only.bats" >&2; exit 2; }
fi
out=$(mktemp -d)
gates_pid= # a session of its own, so that all it started can be ended
trap 'kill $(jobs -p) 2>/dev/null; [ -z "$gates_pid" ] || pkill -s "$gates_pid"; rm -rf "$out"' EXIT
trap 'exit 130' INT TERM

declare -A default_timeout=([plain]=600 [loop]=900 [vm]=1500)
declare -A shown=() ran=() # tests of each tier: all, and those that were not skipped
number=0 failed=0 passed=0

header() { # FIELD FILE
	sed -n "1,5s/^# $1: *//p" "$2" | head -n 1
}

files_of() { # TIER
	local file tier
	for file in tests/bats/${only:-*}.bats; do
		tier=$(header tier "$file")
		[ "${tier:-plain}" != "$1" ] || echo "$file"
	done
}

result() { # "ok"|"not ok" DESCRIPTION
	echo "$1 $((++number)) $2"
	case $1:$2 in
	ok:*"# skip"*) ;;
	ok:*) passed=$((passed + 1)) ;;
	*) failed=$((failed + 1)) ;;
	esac
}

run_file() { # FILE TIER : TAP into $out/NAME; exit status, limit and time into $out/NAME.status
	local name limit status TIMEFORMAT='%0R s, %0U + %0S s of processor'
	name=$(basename "$1" .bats)
	limit=$(header timeout "$1")
	limit=${limit:-${default_timeout[$2]}}
	{ time timeout -k 10 "$limit" bats --tap "$1" >"$out/$name" 2>&1 </dev/null; } 2>"$out/$name.time"
	status=$?
	echo "$status $limit $(cat "$out/$name.time")" >"$out/$name.status"
}

print_file() { # FILE TIER
	local name status limit time line planned=none seen=0 ran_before=$((passed + failed))
	name=$(basename "$1" .bats)
	read -r status limit time <"$out/$name.status"
	while IFS= read -r line; do
		if [[ $line =~ ^1\.\.([0-9]+) ]]; then
			planned=${BASH_REMATCH[1]}
		elif [[ $line =~ ^(ok|not\ ok)\ [0-9]+\ (.*)$ ]]; then
			seen=$((seen + 1))
			result "${BASH_REMATCH[1]}" "$name: ${BASH_REMATCH[2]}"
		else
			line=${line#\#}
			echo "#${line:+ ${line# }}"
		fi
	done <"$out/$name"
	# bats exits 1 when a test failed; all else, or too few results, is a failure of the file.
	if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
		result "not ok" "$name: not done after its time limit of $limit s, $seen of $planned tests"
	elif [ "$planned" = none ] || [ "$planned" = 0 ] || [ "$seen" -ne "$planned" ] || [ "$status" -gt 1 ]; then
		result "not ok" "$name: exit status $status after $seen of $planned tests"
	fi
	echo "# $name: $seen tests, $time"
	shown[$2]=$((${shown[$2]:-0} + seen))
	ran[$2]=$((${ran[$2]:-0} + passed + failed - ran_before))
}

cannot_run() { # TIER WHY
	if [ "${CI-}" = true ]; then
		result "not ok" "tier $1 $2"
	else
		result ok "tier $1 # skip $2"
	fi
}

lint() {
	local findings
	if findings=$(tests/lint.sh 2>&1); then
		result ok lint
	else
		result "not ok" lint
		# shellcheck disable=SC2001 # each line of it
		sed 's/^/# /' <<<"$findings"
	fi
}

# queue TIER... : all their test files, one on each processor; each is shown as soon as it is done. Those
# of the loop tier follow one another, for each sees what another does to loop devices, and come first,
# so that there is something to run beside them; then those that may take longest.
queue() {
	local waiting=() slots tier file limit n looped=
	local -A tier_of=() at_work=()
	for tier in "$@"; do
		if [ "$tier" = loop ] && [ "$(id -u)" -ne 0 ]; then
			[ -z "$(files_of loop)" ] || cannot_run loop "needs root"
			continue
		fi
		while read -r file; do tier_of[$file]=$tier; done < <(files_of "$tier")
	done
	mapfile -t waiting < <(for file in "${!tier_of[@]}"; do
		tier=${tier_of[$file]}
		limit=$(header timeout "$file")
		echo "$([ "$tier" = loop ] && echo 1 || echo 2) ${limit:-${default_timeout[$tier]}} $file"
	done | sort -k 1,1n -k 2,2rn -k 3 | cut -d ' ' -f 3)
	slots=$(nproc)
	while [ $((${#waiting[@]} + ${#at_work[@]})) -gt 0 ]; do
		for n in "${!waiting[@]}"; do
			[ "${#at_work[@]}" -lt "$slots" ] || break
			file=${waiting[n]}
			tier=${tier_of[$file]}
			if [ "$tier" = loop ]; then
				[ -z "$looped" ] || continue
				looped=$file
			fi
			unset "waiting[n]"
			run_file "$file" "$tier" &
			at_work[$!]=$file
		done
		wait -n -p n "${!at_work[@]}"
		file=${at_work[$n]}
		unset "at_work[$n]"
		[ "$looped" != "$file" ] || looped=
		print_file "$file" "${tier_of[$file]}"
	done
	for tier in "$@"; do
		[ "${shown[$tier]:-0}" -eq 0 ] || [ "${ran[$tier]:-0}" -gt 0 ] || [ -n "$only" ] ||
			cannot_run "$tier" "skipped whole"
	done
}

start_gates() {
	setsid timeout -k 10 2400 tests/gates.sh >"$out/gates" 2>&1 </dev/null &
	gates_pid=$!
}

gates() {
	local line seen=0 bad=0 status=0
	wait "$gates_pid" || status=$?
	gates_pid=
	while IFS= read -r line; do
		case $line in
		"ok "*) seen=$((seen + 1)); result ok "${line#ok }" ;;
		"not ok "*) bad=$((bad + 1)); result "not ok" "${line#not ok }" ;;
		*) echo "$line" ;;
		esac
	done <"$out/gates"
	# 1 is a result that is not ok; all else, or no result, is a failure of the gates themselves.
	if [ "$status" -gt 1 ] || [ $((status > 0)) -ne $((bad > 0)) ] || [ $((seen + bad)) -eq 0 ]; then
		result "not ok" "gates: exit status $status after $((seen + bad)) results"
	fi
}

tiers=() with_gates=
for t in "$@"; do
	case $t in
	lint) [ -n "$only" ] || lint ;;
	plain | loop | vm) tiers+=("$t") ;;
	gates) with_gates=$([ -n "$only" ] || echo yes) ;;
	*) echo "no such tier: $t" >&2; exit 2 ;;
	esac
done
# The gates give way to the tests.
[ -z "$with_gates" ] || start_gates
queue "${tiers[@]}"
[ -z "$with_gates" ] || gates
echo "1..$number"
[ "$failed" -eq 0 ] && [ "$number" -gt 0 ]
