"""A clock that runs faster: the one setting that scales every delay of client and service."""

from __future__ import annotations

import os
import threading
import time

from adapters.drivers.reactor import SharedReactor
from adapters.drivers.shared_loop import SharedLoop

SPEED = float(os.environ.get("FAULTS_SPEED") or 20)
"""How many seconds of the schedules pass in a second."""


class FastLoop(SharedLoop):
    """A loop whose seconds are shorter: those of the machines, and those of the connections."""

    def now(self) -> float:
        return super().now() * SPEED

    def _timeout(self, idle_until: float) -> float | None:
        seconds = super()._timeout(idle_until)
        return None if seconds is None else seconds / SPEED


class FastReactor(SharedReactor):
    """The reactor of a process, on a `FastLoop`."""

    def _begin(self) -> None:
        super()._begin()
        self._loop = FastLoop("runtime-loop")

    def wait(self, signal: threading.Event, deadline: float | None) -> bool:
        if deadline is None:
            return signal.wait()
        return signal.wait(max(0.0, deadline - self.now()) / SPEED)


def monotonic() -> float:
    """Give the fast clock's time: the same in all processes of the machine."""
    return time.monotonic() * SPEED


def sleep(seconds: float) -> None:
    """Sleep so many fast seconds."""
    time.sleep(max(0.0, seconds) / SPEED)
