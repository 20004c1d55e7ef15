#!/bin/bash
# What fentry and kprobes cost the traced, beside kprobe-based peers, in a virtual machine, for a host
# may refuse both. Under emulation nanoseconds mean little; the order of the rows and their ratios are
# the result. TSV as bench/vfslat.sh prints it.
#
#   bench/vfslat-vm.sh [STORBOX]      ROUNDS=5 KERNEL=6.12
set -euo pipefail
cd "$(dirname "$0")/.."
storbox=${1:-build/storbox}
rounds=${ROUNDS:-5}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for program in musl-gcc bpftrace; do
	command -v "$program" >/dev/null || { echo "bench/vfslat-vm.sh: needs $program" >&2; exit 4; }
done
musl-gcc -static -O2 -o "$work/load" bench/vfslat_load.c
cat >"$work/kprobe.bt" <<'BT'
kprobe:vfs_read { @s[tid] = nsecs; }
kretprobe:vfs_read /@s[tid]/ { @ns = hist(nsecs - @s[tid]); delete(@s[tid]); }
interval:s:1 { printf("up\n"); }
BT
programs=(--program "$(command -v bpftrace)")
peers='bpftrace funclatency'
if command -v funclatency >/dev/null; then
	programs+=(--program "$(command -v funclatency)")
else
	peers=bpftrace
fi
cat >"$work/script" <<VM
set -e
mkdir -p /mnt/t
mount -t tmpfs t /mnt/t
mount -t tracefs t /sys/kernel/tracing 2>/dev/null || true
head -c 65536 /dev/zero >/mnt/t/file
measure() {
	echo "\$1	\$(load /mnt/t/file 4096 15 1000 | cut -f 1)"
}
# Until it shows by its output that it is attached.
up() {
	tries=120
	until grep -q "\$1" /tmp/out || [ \$((tries -= 1)) -eq 0 ]; do
		load /mnt/t/file 1 1 10 >/dev/null
		sleep 0.5
	done
	[ \$tries -gt 0 ] || { tail -n 20 /tmp/out >&2; exit 1; }
}
down() {
	for again in 1 2 3 4 5 6 7 8 9 10; do
		kill -INT \$tracer 2>/dev/null || break
		sleep 0.5
	done
	kill -KILL \$tracer 2>/dev/null || true
	wait \$tracer || true
}
for round in \$(seq $rounds); do
	measure alone
	for backend in fentry kprobe; do
		vfslat -s --by op --backend \$backend --tsv 1 >/tmp/out 2>&1 &
		tracer=\$!
		up read
		measure "vfslat \$backend"
		down
	done
	for peer in $peers; do
		case \$peer in
		bpftrace) bpftrace -q /tmp/kprobe.bt >/tmp/out 2>&1 & ;;
		funclatency) funclatency -i 1 vfs_read >/tmp/out 2>&1 & ;;
		esac
		tracer=\$!
		case \$peer in bpftrace) up '^up' ;; *) up nsec ;; esac
		measure \$peer
		down
	done
done
VM
tests/vm/run --kernel "${KERNEL:-6.12}" --storbox "$storbox" --mem 2048 --smp 2 --timeout 1200 \
	"${programs[@]}" --file "$work/load:/usr/bin/load" --file "$work/kprobe.bt:/tmp/kprobe.bt" "$work/script" >"$work/rows"
PYTHONPATH=bench PYTHONDONTWRITEBYTECODE=1 python3 - "$work/rows" <<'END'
import sys

import paired

rows = {}
for line in open(sys.argv[1]):
    name, value = line.split("\t")
    rows.setdefault(name, []).append(float(value))
added = {name: [x - y for x, y in zip(values, rows["alone"])] for name, values in rows.items()}
paired.heading()
for ours in (n for n in added if n.startswith("vfslat")):
    for peer in ("bpftrace", "funclatency"):
        if peer in added:
            paired.row("added to a read of 4 KiB of the page cache, in a machine: %s, %s's kprobes"
                       % (ours, peer), list(zip(added[ours], added[peer])),
                       paired.version(["bpftrace", "--version"]) if peer == "bpftrace"
                       else "libbpf-tools", "ns")
END
