#!/bin/sh
# mos-sysvol on one empty loop device (root), beside the same steps by hand (sfdisk, mkfs, mount) and,
# for the part that it can do, systemd-repart; then what it adds over the programs it calls, and a run
# when all is well. Paired runs in turns, the ratio pair by pair. TSV: median and quartiles, ms.
# The pair of disks needs md: with a virtual machine's kernel at hand it is measured there, once.
set -eu
: "${STORBOX:=build/storbox}"
: "${RUNS:=7}"
here=$(cd "$(dirname "$0")/.." && pwd)
[ "$(id -u)" = 0 ] || { echo "bench/sysvol.sh: needs root and loop devices" >&2; exit 0; }
dir=$(mktemp -d)
cleanup() {
	for d in boot var/cache/system var/cache/etc var/cache/modules var/cache/vm-meta top; do
		umount "$dir/mnt/$d" 2>/dev/null || true
	done
	while read -r loop; do
		swapoff "${loop}p4" 2>/dev/null || true
		partx --delete "$loop" 2>/dev/null || true
		losetup --detach "$loop" 2>/dev/null || true
	done <"$dir/loops"
	rm -rf "$dir"
}
: >"$dir/loops"
trap cleanup EXIT
trap 'exit 130' INT TERM

export PYTHONPATH="$here/bench" PYTHONDONTWRITEBYTECODE=1
python3 - "$STORBOX" "$dir" "$RUNS" <<'END'
import os
import shutil
import subprocess
import sys
import time

import paired

storbox, dir, runs = os.path.abspath(sys.argv[1]), sys.argv[2], int(sys.argv[3])
mnt, image = dir + "/mnt", dir + "/disk"
subvolumes = ("system", "etc", "modules", "vm-meta")
quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
open(image, "w").close()
os.truncate(image, 3300 << 20)
loop = subprocess.check_output(["losetup", "--find", "--show", image], text=True).strip()
open(dir + "/loops", "w").write(loop + "\n")

# The programs that mos-sysvol calls, timed: what it adds is the rest of its time.
os.mkdir(dir + "/bin")
for name in ("mkfs.btrfs", "mkfs.ext4", "mkfs.vfat", "mkswap"):
    with open(dir + "/bin/" + name, "w") as f:
        f.write("#!%s\nimport subprocess, sys, time\nt = time.perf_counter()\n"
                "r = subprocess.run(['%s'] + sys.argv[1:]).returncode\n"
                "open('%s/times', 'a').write('%%f\\n' %% (time.perf_counter() - t))\nsys.exit(r)\n"
                % (sys.executable, shutil.which(name), dir))
    os.chmod(dir + "/bin/" + name, 0o755)
# What starting and ending such a wrapper costs beside its program is no part of it either.
start = time.perf_counter()
for i in range(5):
    subprocess.run([sys.executable, "-c", "import subprocess, sys, time"])
wrapper_s = (time.perf_counter() - start) / 5


def call(*argv, **more):
    subprocess.run(argv, check=True, **quiet, **more)


def fresh():
    """Takes all down again, and empties the disk."""
    for d in ("boot",) + tuple("var/cache/" + s for s in subvolumes):
        if os.path.ismount(mnt + "/" + d):
            call("umount", mnt + "/" + d)
    if loop + "p4 " in open("/proc/swaps").read():
        call("swapoff", loop + "p4")
    subprocess.run(["partx", "--delete", loop], **quiet)
    call("blkdiscard", "-f", loop)


def sysvol(path=None):
    env = dict(os.environ, PATH=path + ":" + os.environ["PATH"]) if path else None
    start = time.perf_counter()
    subprocess.run([storbox, "mos-sysvol", "--disk", loop, "--size", "1", "--swap", "1", "--wait",
                    "0", "--target", mnt], check=True, env=env, **quiet)
    return time.perf_counter() - start


def by_hand():
    start = time.perf_counter()
    subprocess.run(["sfdisk", "-q", "--no-reread", loop], check=True, text=True, **quiet, input=(
        "label: gpt\nsize=1M, type=21686148-6449-6E6F-744E-656564454649, name=mosbios\n"
        "size=100M, type=uefi, name=mosefi\nsize=1G, name=mosboot\n"
        "size=1G, type=swap, name=mosswap\nsize=1G, name=mosdata\n"))
    subprocess.run(["partx", "--add", loop], **quiet)
    call("mkfs.vfat", "-F", "32", "-n", "MOSEFI", loop + "p2")
    call("mkfs.ext4", "-q", "-L", "MOSBOOT", loop + "p3")
    call("mkswap", "-L", "MOSSWAP", loop + "p4")
    call("mkfs.btrfs", "-q", "-L", "MOSDATA", loop + "p5")
    os.makedirs(mnt + "/top", exist_ok=True)
    call("mount", loop + "p5", mnt + "/top")
    for s in subvolumes:
        call("btrfs", "subvolume", "create", mnt + "/top/" + s)
    call("umount", mnt + "/top")
    for s in subvolumes:
        os.makedirs(mnt + "/var/cache/" + s, exist_ok=True)
        call("mount", "-o", "subvol=" + s, loop + "p5", mnt + "/var/cache/" + s)
    os.makedirs(mnt + "/boot", exist_ok=True)
    call("mount", loop + "p3", mnt + "/boot")
    call("swapon", loop + "p4")
    call("sync")
    return time.perf_counter() - start


def repart_tables():
    """The table and the three filesystems that it can make (vfat, ext4, btrfs) without subvolumes."""
    start = time.perf_counter()
    call("systemd-repart", "--dry-run=no", "--empty=require", "--definitions=" + dir + "/repart.d", loop)
    return time.perf_counter() - start


def ours_tables():
    """The same part by storbox."""
    start = time.perf_counter()
    call(storbox, "mkpart", "--new-table", "--disk", loop, "mosefi:esp:100M", "mosboot:linux:1G",
         "mosdata:linux:1G")
    call(storbox, "mkvolfs", "--device", loop + "p1", "--fstype", "vfat", "--label", "MOSEFI")
    call(storbox, "mkvolfs", "--device", loop + "p2", "--fstype", "ext4", "--label", "MOSBOOT")
    call(storbox, "mkvolfs", "--device", loop + "p3", "--fstype", "btrfs", "--label", "MOSDATA")
    return time.perf_counter() - start


def turns(x, y):
    pairs = []
    for i in range(runs + 1):
        one = {}
        for f in (x, y) if i % 2 else (y, x):
            fresh()
            one[f] = f()
        pairs.append((one[x], one[y]))
    return pairs[1:]


def in_ms(pairs):
    return [(1000 * x, 1000 * y) for x, y in pairs]


paired.heading()
paired.row("one disk made: the same by hand", in_ms(turns(sysvol, by_hand)),
           paired.version(["sfdisk", "--version"]) + ", " + paired.version(["mkfs.btrfs", "--version"]))
if shutil.which("systemd-repart"):
    os.mkdir(dir + "/repart.d")
    for n, (kind, fs, size) in enumerate((("esp", "vfat", "100M"), ("linux-generic", "ext4", "1G"),
                                          ("linux-generic", "btrfs", "1G"))):
        open("%s/repart.d/%d.conf" % (dir, n), "w").write(
            "[Partition]\nType=%s\nFormat=%s\nSizeMinBytes=%s\nSizeMaxBytes=%s\n" % (
                kind, fs, size, size))
    try:
        paired.row("table and filesystems: systemd-repart", in_ms(turns(ours_tables, repart_tables)),
                   paired.version(["systemd-repart", "--version"]))
    except subprocess.CalledProcessError as e:
        print("table and filesystems: systemd-repart fails here (%s)" % e, file=sys.stderr)
added = []
for i in range(runs):
    fresh()
    open(dir + "/times", "w").close()
    total = sysvol(dir + "/bin")
    times = [float(line) for line in open(dir + "/times")]
    added.append((total - len(times) * wrapper_s, sum(times)))
paired.row("one disk: added over its programs, the programs", in_ms((a - b, b) for a, b in added),
           "mkfs.btrfs, mkfs.ext4, mkfs.vfat, mkswap")
sysvol()
paired.alone("one disk: all is well", [1000 * sysvol() for i in range(3 * runs)])
fresh()
END

# Two disks, in a machine of its own: the programs' time is that of the same command lines by hand.
[ "${PAIR-1}" = 1 ] && "$here/tests/vm/kernel" 6.12 >/dev/null 2>&1 || exit 0
truncate -s 3300M "$dir/a" "$dir/b"
set -- --storbox "$STORBOX"
for m in btrfs ext4 vfat nls_cp437 nls_ascii raid1; do set -- "$@" --module $m; done
for p in mkfs.btrfs mkfs.ext4 mkfs.vfat mkswap mdadm; do set -- "$@" --program $p; done
"$here/tests/vm/run" "$@" --disk "$dir/a" --disk "$dir/b" - <<'VM'
echo 1 >/proc/sys/dev/raid/speed_limit_min; echo 1 >/proc/sys/dev/raid/speed_limit_max
now() { read -r up _ </proc/uptime; echo "${up%.*}${up#*.}0"; }
mkdir /timed
for p in mkfs.btrfs mkfs.ext4 mkfs.vfat mkswap mdadm; do
	cat >/timed/$p <<-END
		#!/bin/sh
		read -r a _ </proc/uptime
		$(which $p) "\$@"
		r=\$?
		read -r b _ </proc/uptime
		echo \$((\${b%.*}\${b#*.}0 - \${a%.*}\${a#*.}0)) >>/timed/times
		exit \$r
	END
	chmod +x /timed/$p
done
a=$(now); for i in 1 2 3 4 5; do /bin/sh -c 'read -r a _ </proc/uptime; echo >>/run/x'; done; b=$(now)
wrapper=$(((b - a) / 5))
a=$(now)
PATH=/timed:$PATH mos-sysvol --wait 0 --size 1 --swap 1 >/dev/null || exit
b=$(now)
n=$(wc -l </timed/times) programs=$(awk '{ s += $1 } END { print s }' /timed/times)
added=$((b - a - programs - n * wrapper))
printf 'two disks (emulated machine): added over its programs, the programs\t%d\t%d\tmdadm, mkfs\tms\t%s\t-\t-\t1\n' \
	"$added" "$programs" "$(awk "BEGIN { printf \"%.2f\", $added / $programs }")"
a=$(now); for i in 1 2 3 4 5; do mos-sysvol --wait 0 >/dev/null; done; b=$(now)
printf 'two disks (emulated machine): all is well\t%d\t-\t-\tms\t-\t-\t-\t5\n' $(((b - a) / 5))
VM
