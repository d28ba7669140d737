"""Which process is which: a number alone may belong to another one by now."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")


def identity_of(pid: int) -> str | None:
    """Give a text that only this process has: its number and when it was started.

    None if there is no such process; one that has ended and was not collected is none.
    """
    started = _started_linux(pid) if sys.platform == "linux" else _started_elsewhere(pid)
    return None if started is None else f"{pid} {started}"


def kill_group(identity: str) -> None:
    """End the process group whose leader had this identity, if it is the same one still."""
    pid = int(identity.partition(" ")[0])
    alive = identity_of(pid)
    if alive == identity:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
    elif alive is None and sys.platform == "linux":
        # The leader is gone and may have left others. A group that was made since by another
        # process of that number would have that number's session as well, and be younger: it
        # would have had to lose its leader too.
        for member in _left_behind(pid, identity):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(member, signal.SIGKILL)


def _started_linux(pid: int) -> str | None:
    """Give the boot, and the clock ticks from then to the start (proc(5), stat, field 22)."""
    fields = _stat(pid)
    if fields is None or fields[0] in ("Z", "X"):
        return None
    return f"{fields[19]} {_boot()}"


def _started_elsewhere(pid: int) -> str | None:
    shown = subprocess.run(  # noqa: S603 - no shell, a number
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)],  # noqa: S607
        capture_output=True,
        text=True,
        env={"LC_ALL": "C", "PATH": os.environ.get("PATH", os.defpath)},
        check=False,
    ).stdout.split(maxsplit=1)
    if len(shown) < 2 or shown[0].startswith("Z"):
        return None
    return " ".join(shown[1].split())


def _stat(pid: int) -> list[str] | None:
    """Give the fields of a process from its state on; its name may hold anything."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # gone, or none of ours
        return None
    return text.rpartition(")")[2].split()


def _boot() -> str:
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def _left_behind(pid: int, identity: str) -> Iterator[int]:
    _, ticks, boot = identity.split(" ")
    if boot != _boot():
        return
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            # Process group, session, start.
            if fields and fields[2] == fields[3] == str(pid) and int(fields[19]) >= int(ticks):
                yield int(entry.name)
