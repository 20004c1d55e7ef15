"""Paired runs of two commands, for bench/*.sh: one after the other, in turns, so that a busy machine
slows both; the ratio is taken pair by pair. Prints TSV: medians, and the quartiles of the ratio."""
import os
import resource
import statistics
import subprocess
import time

COLUMNS = ("benchmark", "storbox", "peer", "peer_version", "unit", "ratio", "ratio_q1", "ratio_q3", "runs")


def heading():
    """Once: what runs several scripts sets NO_HEADING after the first."""
    if not os.environ.get("NO_HEADING"):
        print("\t".join(COLUMNS), flush=True)


def quietly(argv):
    """Runs it; 3 is storbox's "ran, and found something to report"."""
    status = subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
    if status not in (0, 3):
        raise subprocess.CalledProcessError(status, argv)


def milliseconds(argv):
    start = time.perf_counter()
    quietly(argv)
    return (time.perf_counter() - start) * 1000


def cpu_milliseconds(argv):
    """User and system time of the command and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    quietly(argv)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def version(argv):
    """The first line of what the peer says of itself."""
    out = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False).stdout
    return out.decode(errors="replace").split("\n")[0].strip() or "unknown"


def row(name, pairs, peer_version, unit="ms"):
    q = statistics.quantiles([x / y for x, y in pairs], n=4)
    print("\t".join((name, "%.3f" % statistics.median(x for x, _ in pairs),
                     "%.3f" % statistics.median(y for _, y in pairs), peer_version, unit,
                     "%.2f" % q[1], "%.2f" % q[0], "%.2f" % q[2], str(len(pairs)))), flush=True)


def alone(name, values, unit="ms"):
    """A row without a peer: its spread is the quartiles of the values themselves."""
    q = statistics.quantiles(values, n=4)
    print("\t".join((name, "%.3f" % q[1], "-", "-", unit, "-", "%.3f" % q[0], "%.3f" % q[2],
                     str(len(values)))), flush=True)


def compare(name, ours, peer, peer_version, runs, milliseconds=milliseconds):
    """Times the two command lines; both must succeed."""
    milliseconds(ours), milliseconds(peer)
    pairs = []
    for i in range(runs):
        if i % 2:
            y = milliseconds(peer)
            x = milliseconds(ours)
        else:
            x = milliseconds(ours)
            y = milliseconds(peer)
        pairs.append((x, y))
    row(name, pairs, peer_version)
