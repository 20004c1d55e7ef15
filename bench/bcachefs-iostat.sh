#!/bin/sh
# bcachefs-iostat's cost, as TSV: one report of a recorded filesystem of three devices and of 1,000, in
# CPU time and system calls, beside a shell script that does the same for the bytes alone with bc, and
# beside iostat -x of as many devices of this machine (which reads the machine, not a recording: on a
# real bcachefs the two are compared in tests/bats/vm-bcachefs.bats). RUNS runs, in turns.
set -eu
: "${STORBOX:=build/storbox}"
: "${RUNS:=21}"
here=$(cd "$(dirname "$0")/.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM

plant=$here/tests/fixtures/bcachefs/plant
"$plant" ROOT="$dir/three" "$here/tests/fixtures/bcachefs/6.12-t1.tree"
"$plant" ROOT="$dir/many" "$here/tests/fixtures/bcachefs/6.12-t1.tree"
fs=$dir/many/sys/fs/bcachefs/c6daddd3-9c33-4d96-ad83-7cea922e6f99
i=3
while [ $i -lt 1000 ]; do
	cp -r "$fs/dev-1" "$fs/dev-$i"
	ln -sfn "../../x/block/sd$i" "$fs/dev-$i/block"
	echo "   8 $i sd$i 1 0 8 1 1 0 8 1 0 1 2 0 0 0 0 0 0"
	i=$((i + 1))
done >>"$dir/many/proc/diskstats"

# What people use today: cat, awk and bc.
cat >"$dir/script" <<'END'
for dev in "$1"/sys/fs/bcachefs/*/dev-*; do
	name=$(basename "$dev")
	r=$(awk -F: '/^write/ { exit } NF == 2 && $2 != "" { print $2 }' "$dev/io_done" | paste -sd+ | bc)
	w=$(sed '1,/^write/d' "$dev/io_done" | awk -F: '{ print $2 }' | paste -sd+ | bc)
	rl=$(echo "scale=1; $(cat "$dev/io_latency_read") / 1000" | bc)
	wl=$(echo "scale=1; $(cat "$dev/io_latency_write") / 1000" | bc)
	printf '%s\t%s\t%s\t%s\t%s\n' "$name" "$r" "$w" "$rl" "$wl"
done
END

export PYTHONPATH="$here/bench" PYTHONDONTWRITEBYTECODE=1
python3 - "$STORBOX" "$dir" "$RUNS" <<'END'
import shutil
import subprocess
import sys

import paired

storbox, top, runs = sys.argv[1], sys.argv[2], int(sys.argv[3])
disks = [line.split()[2] for line in open("/proc/diskstats")][:3]
ours = [storbox, "bcachefs-iostat", "--tsv", "--since-mount", "--sysroot"]
peers = [("shell script with bc", ["sh", top + "/script", top + "/three"], "-")]
if shutil.which("iostat"):
    peers.append(("iostat -x", ["iostat", "-x", "-d"] + disks, paired.version(["iostat", "-V"])))


def calls(argv):
    log = top + "/calls"
    subprocess.run(["strace", "-f", "-c", "-o", log] + argv, stdout=subprocess.DEVNULL, check=True)
    return int([line.split() for line in open(log) if line.split()[-1:] == ["total"]][-1][3])


paired.heading()
for name, argv, version in peers:
    paired.compare("report of 3 devices, CPU: " + name, ours + [top + "/three"], argv, version, runs,
                   paired.cpu_milliseconds)
    if shutil.which("strace"):
        paired.row("report of 3 devices, system calls: " + name,
                   [(calls(ours + [top + "/three"]), calls(argv))] * 2, version, "calls")
paired.alone("report of 1,000 recorded devices", [paired.milliseconds(ours + [top + "/many"])
                                                  for _ in range(runs)])
END
