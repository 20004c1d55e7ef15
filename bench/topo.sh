#!/bin/sh
# topo disks --json beside lsblk -J of the same columns: on this machine, and on a recorded one of 500
# disks. lsblk takes what is on a disk from udev's database; where no udevd ran it says nothing of it,
# while topo has probed. So one row has blkid -p of the same
# disks after lsblk. TSV.
set -eu
: "${STORBOX:=build/storbox}"
: "${RUNS:=41}"
here=$(cd "$(dirname "$0")/.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM

bash -s "$here" "$dir" <<'END'
export BATS_TEST_DIRNAME=$1/tests/bats BATS_TEST_TMPDIR=$2 ROOT=$2/root FIXTURES=$1/tests/fixtures
mkdir "$ROOT"
. "$BATS_TEST_DIRNAME/machine.bash"
many_disks 500
END

# What the table of disks has; lsblk has no column for boot, probe_error and the reason of the type.
columns=PATH,ROTA,SIZE,MODEL,SERIAL,TRAN,PTTYPE,FSTYPE,LABEL,MOUNTPOINTS,RM,RO,LOG-SEC,PHY-SEC,WWN,MAJ:MIN

export PYTHONPATH="$here/bench" PYTHONDONTWRITEBYTECODE=1
python3 - "$STORBOX" "$dir/root" "$columns" "$RUNS" <<'END'
import json
import subprocess
import sys

import paired

storbox, root, columns, runs = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
version = paired.version(["lsblk", "--version"])
ours = [storbox, "topo", "disks", "--json"]
lsblk = ["lsblk", "-J", "-b", "-o", columns]
recorded = ["--sysroot", root]
paths = [d["path"] for d in json.loads(subprocess.run(ours, capture_output=True, check=True).stdout)
         if not d["probe_error"]]
paired.heading()
paired.compare("topo disks, this machine: lsblk", ours, lsblk, version, runs)
if paths:
    paired.compare("topo disks, this machine: lsblk and blkid", ours,
                   ["sh", "-c", 'n=$1; shift; p=; while [ $n -gt 0 ]; do p="$p $1"; shift; '
                    'n=$((n - 1)); done; "$@"; blkid -p $p || true', "sh", str(len(paths))]
                   + paths + lsblk, version, runs)
paired.compare("topo disks, recorded, 500 disks: lsblk", ours + recorded, lsblk + recorded, version,
               runs)
END
