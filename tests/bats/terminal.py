"""A program in a pseudo-terminal, for bats: terminal.py [-s COLSxROWS] STEP... -- COMMAND...

Steps: text to type; WAIT:TEXT (until the screen's bytes hold TEXT), SLEEP:S, RESIZE:COLSxROWS,
KILL:SIGNAL, CONT (waits until it is stopped, then goes on). Prints what the program wrote, and at
the end `status N` (128 + N for a signal) and `restored yes|no` (the terminal's modes).
"""
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time


def main():
    args = sys.argv[1:]
    size = "80x24"
    if args[0] == "-s":
        size, args = args[1], args[2:]
    split = args.index("--")
    steps, command = args[:split], args[split + 1:]
    # The other side is held open here, so that its modes can be read when the program has ended.
    main_fd, side_fd = pty.openpty()

    def resize(text):
        cols, rows = map(int, text.split("x"))
        fcntl.ioctl(side_fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    resize(size)
    # A shell's place: the session is ours and the program's group another, or Ctrl-Z would not stop
    # it (a group that is orphaned is never stopped).
    other = os.fork()
    if other:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]))
    os.setsid()
    fcntl.ioctl(side_fd, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    before = termios.tcgetattr(side_fd)
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        os.tcsetpgrp(side_fd, os.getpid())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        for fd in (0, 1, 2):
            os.dup2(side_fd, fd)
        os.closerange(3, 256)
        os.execvp(command[0], command)
    seen, shown, status = b"", b"", None
    deadline = time.monotonic() + 30

    def pump(seconds):
        nonlocal seen, shown
        if select.select([main_fd], [], [], seconds)[0]:
            data = os.read(main_fd, 65536)
            seen += data
            shown += data

    for step in steps:
        kind, _, rest = step.partition(":")
        if kind == "WAIT":
            while rest.encode() not in seen:
                if time.monotonic() > deadline:
                    print("never seen: " + rest)
                    print(seen)
                    os.kill(pid, signal.SIGKILL)
                    sys.exit(1)
                pump(0.1)
            seen = seen[seen.index(rest.encode()) + len(rest):]
        elif kind == "SLEEP":
            end = time.monotonic() + float(rest)
            while time.monotonic() < end:
                pump(0.02)
        elif kind == "RESIZE":
            resize(rest)
            os.kill(pid, signal.SIGWINCH)
        elif kind == "KILL":
            os.kill(pid, getattr(signal, rest))
        elif kind == "CONT":
            while not os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1]):
                pass
            print("restored while stopped", "yes" if termios.tcgetattr(side_fd) == before else "no")
            os.kill(pid, signal.SIGCONT)
        else:
            os.write(main_fd, step.encode().decode("unicode_escape").encode("latin-1"))
    while status is None:
        pump(0.05)
        done, code = os.waitpid(pid, os.WNOHANG)
        if done:
            status = code
        elif time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
    while select.select([main_fd], [], [], 0.05)[0]:
        pump(0)
    sys.stdout.flush()
    sys.stdout.buffer.write(shown + b"\n")
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
    sys.stdout.buffer.write(b"status %d\n" % code)
    same = termios.tcgetattr(side_fd) == before and shown.rfind(b"\x1b[?1049l") > shown.rfind(b"\x1b[?1049h")
    sys.stdout.buffer.write(b"restored " + (b"yes" if same else b"no") + b"\n")


main()
