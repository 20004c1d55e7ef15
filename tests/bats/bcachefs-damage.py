"""Damages each file of a recorded device in every way, and compares what bcachefs-iostat says with
the truth: a value is the true one, or none. Then random bytes: no crash, valid JSON, nothing negative.
"""
import json
import os
import random
import subprocess
import sys

storbox, root, device, kind = sys.argv[1:]
number = int(device.rsplit("-", 1)[1])


def rows():
    out = subprocess.run([storbox, "bcachefs-iostat", "--sysroot", root, "--since-mount", "--jsonl", "-x"],
                         capture_output=True)
    assert out.returncode == 0, (out.returncode, out.stderr)
    return [json.loads(line) for line in out.stdout.decode().splitlines()]


def key(row):
    return row["scope"], row["member"], row["type"]


truth = {key(r): r for r in rows()}
free = {"time", "note"}
runs = 0


def check(what):
    global runs
    runs += 1
    for row in rows():
        true = truth.get(key(row))
        if true is None:
            # A type that moved nothing, one half of which is lost: unknown is not nothing.
            assert not row["read_bytes"] and not row["write_bytes"], (what, row)
            continue
        for name, value in row.items():
            if name in free or value is None or value == true[name]:
                continue
            # Another source of the same, marked for what it is.
            if "latency" in name or name.startswith(("read_p", "write_p")):
                if row["scope"] != "type" and name.endswith(("latency_ns", "kind")) and \
                   (row["read_latency_kind"] == "approximate" or row["write_latency_kind"] == "approximate"):
                    continue
            raise AssertionError((what, key(row), name, value, true[name]))


files = [f for f in ("io_done", "io_errors", "state", "label", "has_data", "bucket_size", "alloc_debug",
                     "io_latency_stats_read_json" if kind == "json" else "io_latency_stats_read",
                     "io_latency_stats_write_json" if kind == "json" else "io_latency_stats_write")]
random.seed(5)
for name in files:
    path = os.path.join(device, name)
    whole = open(path, "rb").read()
    cuts = range(len(whole)) if len(whole) < 40 else sorted(random.sample(range(len(whole)), 60))
    for n in cuts:
        open(path, "wb").write(whole[:n])
        check((name, "cut at", n))
    for what, data in (("empty", b""), ("binary", bytes(range(256)) * 8), ("zeros", b"\0" * 4096),
                       ("huge", b"9" * 70000 + b"\n"), ("only newlines", b"\n" * 500),
                       ("negative", whole.replace(b" 0", b" -1").replace(b": ", b": -"))):
        open(path, "wb").write(data)
        if what == "negative":
            out = rows()
            for row in out:
                for column, value in row.items():
                    assert not isinstance(value, (int, float)) or value >= 0, (name, column, value)
        else:
            check((name, what))
    for _ in range(40):
        data = bytearray(whole)
        for _ in range(random.randint(1, 8)):
            if data:
                data[random.randrange(len(data))] = random.randrange(256)
        open(path, "wb").write(bytes(data))
        for row in rows():
            for column, value in row.items():
                assert not isinstance(value, (int, float)) or value >= 0, (name, column, value)
        runs += 1
    open(path, "wb").write(whole)
assert [{k: v for k, v in r.items() if k not in free} for r in rows()] == \
    [{k: v for k, v in truth[key(r)].items() if k not in free} for r in rows()]
print(runs, "damaged trees of", kind, "device", number)
