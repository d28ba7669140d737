"""Conditions that tests wait for, with generous deadlines: this machine is shared."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

PATIENCE = 15.0
"""Seconds after which a test gives up what should have come within a moment."""


def eventually(condition: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Wait until the condition holds, and say whether it does."""
    # Of what happens in other processes, and of the end of a thread, nothing tells.
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def our_threads() -> list[str]:
    """The names of the library's threads."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("runtime-")]


def open_fds() -> set[str]:
    """What this process has open, with what it is; nothing where there is no /proc."""
    found = set()
    for fd in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        try:
            found.add(f"{fd} -> {os.readlink(f'/proc/self/fd/{fd}')}")
        except FileNotFoundError:  # that by which the directory is read
            continue
    return found


class Recorder:
    """A callback for interim results that keeps what it gets."""

    def __init__(self) -> None:
        self.values: list[object] = []
        self.gaps: list[int] = []

    def __call__(self, job_id: str, value: object) -> None:
        self.values.append(value)

    def reached(self, count: int, seconds: float = PATIENCE) -> bool:
        """Wait until there are as many."""
        return eventually(lambda: len(self.values) >= count, seconds)
