#!/bin/sh
# The Nix evaluator beside nix-instantiate, and a whole run on a large report, layout and metrics. TSV.
set -eu
: "${STORBOX:=build/storbox}"
: "${RUNS:=21}"
here=$(cd "$(dirname "$0")/.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export NIX_STORE_DIR="$dir/store" NIX_STATE_DIR="$dir/state" NIX_LOG_DIR="$dir/log" HOME="$dir"

# A layout of 40 subvolumes, and a report of 300 KB.
{
	echo '{ disko.devices.disk.a = { type = "disk"; device = "/dev/sda"; content = { type = "btrfs"; subvolumes = {'
	for i in $(seq 40); do
		echo "  \"@$i\" = { mountpoint = \"/m$i\"; mountOptions = [ \"noatime\" \"compress=zstd:$((i % 3))\" ]; };"
	done
	echo '}; }; }; }'
} >"$dir/disko.nix"
f=$here/tests/fixtures
jq -c --slurpfile a "$f/facter/machine-05.json" '.hardware.more = [$a[0], $a[0], $a[0]]' \
	"$f/facter/machine-05.json" >"$dir/facter.json"
echo 'let fib = n: if n < 2 then n else fib (n - 1) + fib (n - 2); in fib 21' >"$dir/fib.nix"
export PYTHONPATH="$here/bench" PYTHONDONTWRITEBYTECODE=1
python3 - "$STORBOX" "$dir" "$f" "$RUNS" <<'END'
import os
import shutil
import sys

import paired

storbox, dir, fixtures, runs = os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
metrics = fixtures + "/advise/btrfs"
raid1 = metrics + "/raid1"
everything = [storbox, "storadvise", "--facter", dir + "/facter.json", "--disko", dir + "/disko.nix",
              "--btrfs-usage", raid1 + "/usage.txt", "--btrfs-df", raid1 + "/btrfs-df.json",
              "--device-stats", raid1 + "/stats.json", "--mounts", raid1 + "/mounts.txt",
              "--lsblk", raid1 + "/lsblk.json", "--df", raid1 + "/df-PTB1.txt",
              "--iostat", metrics + "/iostat/iostat-x.json",
              "--iotop", metrics + "/iostat/iotop-c-bPk.txt", "--json"]
paired.heading()
paired.alone("advice: 300 KB of facter, 40 subvolumes, all metrics",
             [paired.milliseconds(everything) for _ in range(runs)])
if shutil.which("nix-instantiate"):
    version = paired.version(["nix-instantiate", "--version"])
    for what, file in (("layout of 40 subvolumes", "disko.nix"), ("fib 21", "fib.nix")):
        paired.compare(what + ": eval, nix-instantiate --eval",
                       [storbox, "storadvise", "eval", dir + "/" + file],
                       ["nix-instantiate", "--eval", "--strict", "--json", dir + "/" + file],
                       version, runs)
END
