#!/usr/bin/env python3
"""unpack-machine.py FILE DIR: makes the files of a recording (see record-machine.sh) below DIR."""
import os
import re
import sys


def text(s):
    return re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t"}.get(m[1], m[1]), s)


def unpack(lines, top):
    made = set()
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\n")
        if not line or line.startswith("#"):
            continue
        path, tab, content = line.partition("\t")
        if not tab or not path.startswith("/") or ".." in path.split("/"):
            sys.exit("line %d is no PATH, tab, CONTENT" % number)
        folder, name = os.path.split(top + path)
        if folder not in made:
            os.makedirs(folder, exist_ok=True)
            made.add(folder)
        if not name:
            continue
        if content.startswith("-> "):
            os.symlink(content[3:], os.path.join(folder, name))
            continue
        data = bytes.fromhex(content[1:]) if content.startswith("%") else text(content).encode() + b"\n"
        with open(os.path.join(folder, name), "wb") as f:
            f.write(data)


with open(sys.argv[1]) as recording:
    unpack(recording, sys.argv[2])
