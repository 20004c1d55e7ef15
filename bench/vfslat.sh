#!/bin/bash
# What tracing costs the traced: reads in a loop, alone and under each tracer that works here, all
# in one run and in turns, so that what else the machine does hits all of them. TSV: nanoseconds that
# each of vfslat's tracers adds to an operation and that each peer adds, round by round.
#
#   bench/vfslat.sh [STORBOX]      ROUNDS=5
set -euo pipefail
cd "$(dirname "$0")/.."
storbox=${1:-build/storbox}
rounds=${ROUNDS:-5}
[ "$(id -u)" = 0 ] || { echo "bench/vfslat.sh: needs root" >&2; exit 4; }
# The peers want tracefs, which a machine need not have mounted: then it is, for them alone.
if [ ! -e /sys/kernel/tracing/events ] && [ -z "${OWN_MOUNTS-}" ]; then
	# shellcheck disable=SC2016 # for the inner shell
	OWN_MOUNTS=1 exec unshare -m --propagation private bash -c \
		'mount -t tracefs t /sys/kernel/tracing || true; exec "$0" "$@"' "$PWD/bench/vfslat.sh" "$storbox"
fi
work=$(mktemp -d)
tracer=
cleanup() {
	[ -z "$tracer" ] || kill -INT "$tracer" 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT

cc -O2 -o "$work/load" bench/vfslat_load.c
head -c 1M /dev/urandom >"$work/file"

# The tracers: name, seconds until it is attached, command.
names=(alone) waits=(0) commands=('')
add() {
	names+=("$1")
	waits+=("$2")
	commands+=("$3")
}
kinds='--kind file,dir,char'
while IFS=$'\t' read -r backend works; do
	[ "$works" = true ] || continue
	add "vfslat $backend" 3 "$storbox vfslat $kinds --backend $backend"
	add "vfslat $backend, counts by op,mount,volume,pod" 3 \
		"$storbox vfslat -s $kinds --by op,mount,volume,pod --backend $backend 100"
	add "vfslat $backend, 10,000 slow rows a second of all" 3 \
		"$storbox vfslat $kinds --slow-ms 0 --backend $backend"
done < <("$storbox" vfslat --backend=list --tsv -o backend,works -n | awk '!seen[$1 $2]++')
if command -v bpftrace >/dev/null; then
	calls='tracepoint:syscalls:sys_enter_pread64 { @s[tid] = nsecs; }
		tracepoint:syscalls:sys_exit_pread64 /@s[tid]/ { @ns = hist(nsecs - @s[tid]); delete(@s[tid]); }'
	printf '%s\n' "$calls" >"$work/calls.bt"
	printf '%s\n' 'kprobe:vfs_read { @s[tid] = nsecs; }
		kretprobe:vfs_read /@s[tid]/ { @ns = hist(nsecs - @s[tid]); delete(@s[tid]); }' >"$work/kprobe.bt"
	timeout 10 bpftrace -e 'BEGIN { exit(); }' >/dev/null 2>&1 &&
		add 'bpftrace tracepoints' 4 "bpftrace $work/calls.bt"
	timeout -s INT 4 bpftrace "$work/kprobe.bt" >"$work/try" 2>&1 && grep -q Attaching "$work/try" &&
		! grep -qi error "$work/try" && add 'bpftrace kprobe' 4 "bpftrace $work/kprobe.bt"
fi
syscount=$(command -v syscount || command -v syscount-bpfcc || true)
[ -z "$syscount" ] || add 'syscount -L' 2 "$syscount -L -d 1000"

# A background command begins with SIGINT ignored: one that is still starting does not hear the first.
end_tracer() {
	local tries=20
	while kill -INT "$tracer" 2>/dev/null && [ $((tries -= 1)) -gt 0 ]; do
		sleep 0.3
	done
	kill -KILL "$tracer" 2>/dev/null || true
	wait "$tracer" 2>/dev/null || true
	tracer=
}

measure() { # LOAD TRACER: into $work/NAMES
	local file=$1 size=$2 i=$3
	taskset -c 1 nice -n -10 "$work/load" "$file" "$size" 30 10000 | cut -f 1 >>"$work/$4.$i"
}

for ((round = 0; round < rounds; round++)); do
	for i in "${!names[@]}"; do
		if [ -n "${commands[i]}" ]; then
			# shellcheck disable=SC2086
			taskset -c 0 ${commands[i]} >"$work/out" 2>"$work/err" &
			tracer=$!
			sleep "${waits[i]}"
			if ! kill -0 "$tracer" 2>/dev/null; then
				echo "bench/vfslat.sh: ${names[i]} ended: $(head -n 1 "$work/err")" >&2
				tracer=
				continue
			fi
		fi
		measure /dev/zero 1 "$i" zero
		measure "$work/file" 4096 "$i" file
		[ -z "$tracer" ] || end_tracer
	done
done

for i in "${!names[@]}"; do
	printf '%s\n' "${names[i]}"
done >"$work/names"
PYTHONPATH=bench PYTHONDONTWRITEBYTECODE=1 python3 - "$work" <<'END'
import os
import sys

import paired

work = sys.argv[1]
names = open(work + "/names").read().split("\n")[:-1]
bpftrace = paired.version(["bpftrace", "--version"]) if any("bpftrace" in n for n in names) else "-"


# Debian has the program in bpfcc-tools and in libbpf-tools.
bcc = paired.version(["sh", "-c", "dpkg-query -W -f '${Package} ${Version}' "
                      "$(dpkg-query -S $(command -v syscount) | cut -d : -f 1)"])


def rounds(load, i):
    path = "%s/%s.%d" % (work, load, i)
    return [float(line) for line in open(path)] if os.path.exists(path) else []


paired.heading()
for load, what in (("zero", "1 byte of /dev/zero"), ("file", "4 KiB of the page cache")):
    base = rounds(load, 0)
    added = {name: [x - y for x, y in zip(rounds(load, i), base)] for i, name in enumerate(names) if i}
    peers = [n for n in added if not n.startswith("vfslat") and added[n]]
    for ours in added:
        if not ours.startswith("vfslat") or not added[ours]:
            continue
        for peer in peers:
            paired.row("added to a read of %s: %s, %s" % (what, ours, peer),
                       list(zip(added[ours], added[peer])),
                       bpftrace if "bpftrace" in peer else bcc, "ns")
        if not peers:
            paired.alone("added to a read of %s: %s" % (what, ours), added[ours], "ns")
END

# vfslat's own time: the process under 10,000 operations a second, in percent of a CPU, after it has
# started (that takes the kernel's verifier some tenths of a second).
taskset -c 0 "$storbox" vfslat --slow-ms 10 100 >"$work/out" 2>&1 &
tracer=$!
sleep 3
hz=$(getconf CLK_TCK)
ticks() { awk '{ print $14 + $15 }' "/proc/$tracer/stat"; }
before=$(ticks)
taskset -c 1 "$work/load" "$work/file" 4096 1 100000 10000 >/dev/null
after=$(ticks)
end_tracer
printf 'own CPU at 10,000 operations a second\t%s\t-\t-\tpercent\t-\t-\t-\t1\n' \
	"$(echo "scale=2; 100 * ($after - $before) / $hz / 10" | bc)"
