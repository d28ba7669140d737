"""Run a command until stdin ends, then end it and all that it has left: `keeper.py COMMAND ...`.

It is a process of its own, so that nothing outlives the tests, whatever ends them. A Ray node is
some twenty processes in several sessions, many of which rename themselves; when one dies its
children are given to the init process. On Linux they are given to this one, which asks for them, so
all are found below it. Elsewhere those are found that are below it when it is told to end.

It exits with 0 when nothing is left.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
GRACE = 3.0
"""Seconds from SIGTERM to SIGKILL: a head takes 35 to end by itself."""
LAST = 10.0
"""Seconds that SIGKILL is given."""


def parents() -> dict[int, int]:
    """The parent of every process that has not ended."""
    found = {}
    if sys.platform == "linux":
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):  # it is gone by now
                    fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                    if fields[0] not in ("Z", "X"):
                        found[int(entry.name)] = int(fields[1])
    else:
        command = ["ps", "-A", "-o", "pid=,ppid=,stat="]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as ps:
            shown, _ = ps.communicate()
        for line in shown.splitlines():
            pid, parent, state = line.split()
            if not state.startswith("Z") and int(pid) != ps.pid:
                found[int(pid)] = int(parent)
    return found


def descendants(root: int) -> set[int]:
    """All processes below this one."""
    children = defaultdict(list)
    for pid, parent in parents().items():
        children[parent].append(pid)
    found: set[int] = set()
    queue = [root]
    while queue:
        for pid in children[queue.pop()]:
            found.add(pid)
            queue.append(pid)
    return found


def reap() -> bool:
    """Collect the children that have ended; say whether there are more."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def wait_for_end(seconds: float) -> None:
    """Wait until no child is left, at most for so long."""
    deadline = time.monotonic() + seconds
    while reap() and time.monotonic() < deadline:
        time.sleep(0.02)


def kill(pids: set[int], number: signal.Signals) -> None:
    """Send all of them a signal."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def end(child: int) -> int:
    """End the command and all below; give how many are left."""
    seen = descendants(os.getpid())
    kill({child} & seen, signal.SIGTERM)
    wait_for_end(GRACE)
    deadline = time.monotonic() + LAST
    # Elsewhere than on Linux an orphan is not below this process any more.
    while left := descendants(os.getpid()) | (seen & parents().keys()):
        if time.monotonic() > deadline:
            break
        kill(left, signal.SIGKILL)
        wait_for_end(0.2)
    return len(left)


def main(command: list[str]) -> int:
    """Run the command until stdin ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL).pid
    while not select.select([sys.stdin], [], [], 0.2)[0] and reap():
        pass
    return end(child)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
