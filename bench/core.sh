#!/bin/sh
# The box itself: its size and start-up beside a static busybox, and how long many rows take.
set -eu
: "${STORBOX:=build/storbox}"
: "${RUNS:=201}"
here=$(cd "$(dirname "$0")/.." && pwd)
make -s -C "$here" build/unit/core >&2
export PYTHONPATH="$here/bench" PYTHONDONTWRITEBYTECODE=1
python3 - "$STORBOX" "$RUNS" "$here/build/unit/core" <<'END'
import os
import shutil
import sys

import paired

storbox, runs, core = sys.argv[1], int(sys.argv[2]), sys.argv[3]
busybox = shutil.which("busybox")
version = paired.version([busybox]) if busybox else None
paired.heading()
if busybox:
    paired.compare("start-up: --version, busybox true", [storbox, "--version"], [busybox, "true"],
                   version, runs)
    paired.row("size of the binary", [(os.path.getsize(storbox) / 1e3, os.path.getsize(busybox) / 1e3)] * 2,
               version, "kB")
# Linear: ten times the rows, a tenth of the time each. The peer is the shorter run.
for form in ("tsv", "json", "table"):
    pairs = []
    for _ in range(5):
        many = paired.milliseconds([core, "rows", "1000000", form])
        few = paired.milliseconds([core, "rows", "100000", form])
        pairs.append((many * 1e3 / 1e6, few * 1e3 / 1e5))
    paired.row("a row of %s: 1,000,000, 100,000 rows" % form, pairs, "storbox", "us")
END
