#!/bin/sh
# mos-volmgrd: requests a second and latency of list_disks for one client and for many; the client's
# status beside lsblk -J, findmnt -J and btrfs filesystem usage together; list_disks beside udisksd's
# GetManagedObjects over D-Bus, where it is installed (on a bus of its own). Root; TSV.
set -eu
: "${STORBOX:=build/storbox}"
: "${RUNS:=41}"
: "${SECONDS_EACH:=5}"
here=$(cd "$(dirname "$0")/.." && pwd)
[ "$(id -u)" = 0 ] || { echo "volmgr: needs root" >&2; exit 0; }
make -s -C "$here" build/unit/rpcload >&2
dir=$(mktemp -d)
loop='' daemon='' bus='' udisks=''
finish() {
	# shellcheck disable=SC2086 # those that run
	[ -z "$daemon$udisks$bus" ] || kill $daemon $udisks $bus 2>/dev/null || true
	umount "$dir/mnt" 2>/dev/null || true
	[ -z "$loop" ] || losetup -d "$loop"
	rm -rf "$dir"
}
trap finish EXIT
trap 'exit 130' INT TERM

truncate -s 512M "$dir/image"
loop=$(losetup --find --show "$dir/image")
mkfs.btrfs -q -f "$loop" >/dev/null
mkdir "$dir/mnt"
mount "$loop" "$dir/mnt"
"$STORBOX" mos-volmgrd --socket "$dir/sock" &
daemon=$!
until [ -S "$dir/sock" ]; do sleep 0.05; done

udisksd=/usr/libexec/udisks2/udisksd
if [ -x $udisksd ] && command -v dbus-daemon >/dev/null && command -v busctl >/dev/null; then
	dbus-daemon --session --nofork --address="unix:path=$dir/bus" 2>/dev/null &
	bus=$!
	until [ -S "$dir/bus" ]; do sleep 0.05; done
	DBUS_SYSTEM_BUS_ADDRESS=unix:path=$dir/bus $udisksd >/dev/null 2>&1 &
	udisks=$!
	for _ in $(seq 100); do
		busctl --address="unix:path=$dir/bus" status org.freedesktop.UDisks2 >/dev/null 2>&1 && break
		sleep 0.1
	done
	busctl --address="unix:path=$dir/bus" status org.freedesktop.UDisks2 >/dev/null 2>&1 || udisks=''
fi

export PYTHONPATH="$here/bench" PYTHONDONTWRITEBYTECODE=1
python3 - "$STORBOX" "$here/build/unit/rpcload" "$dir" "$RUNS" "$SECONDS_EACH" "$udisks" <<'END'
import subprocess
import sys

import paired

storbox, rpcload, tmp, runs, seconds, udisks = sys.argv[1:]
sock, mnt = tmp + "/sock", tmp + "/mnt"
paired.heading()


def load(clients, *methods):
    out = subprocess.run([rpcload, sock, str(clients), seconds, *methods], check=True,
                         stdout=subprocess.PIPE).stdout.decode().split("\t")
    what = "%s, %d client%s: " % (methods[0].split(".")[1], clients, "s" if clients > 1 else "")
    for name, value, unit in (("requests a second", out[5], "1/s"), ("p50", out[6], "ms"),
                              ("p99", out[7], "ms")):
        print("\t".join((what + name, value.strip(), "-", "-", unit, "-", "-", "-", out[1])), flush=True)


for clients in (1, 16, 200):
    load(clients, "storage.list_disks")
load(16, "storage.list_mounts")
both = "lsblk -J -b -O >/dev/null && findmnt -J >/dev/null && btrfs filesystem usage -b %s >/dev/null" % mnt
peer = paired.version(["lsblk", "--version"]) + ", " + paired.version(["btrfs", "--version"])
paired.compare("status --json by the daemon, lsblk + findmnt + btrfs usage",
               [storbox, "mos-volmgr", "--socket", sock, "status", "--json"], ["sh", "-c", both], peer,
               int(runs))
paired.compare("status --json in process, lsblk + findmnt + btrfs usage",
               [storbox, "mos-volmgr", "--direct", "status", "--json"], ["sh", "-c", both], peer, int(runs))
if udisks:
    paired.compare("disks --json by the daemon, udisksd GetManagedObjects by busctl",
                   [storbox, "mos-volmgr", "--socket", sock, "disks", "--json"],
                   ["busctl", "--address=unix:path=" + tmp + "/bus", "-j", "call", "org.freedesktop.UDisks2",
                    "/org/freedesktop/UDisks2", "org.freedesktop.DBus.ObjectManager", "GetManagedObjects"],
                   "udisksd " + paired.version(["dpkg-query", "-W", "-f", "${Version}", "udisks2"]), int(runs))
END
