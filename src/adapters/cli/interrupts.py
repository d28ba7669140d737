"""Ctrl-C, heard without being torn out of whatever goes on."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Self

_STUCK = 3


class Interrupts:
    """Counts how often Ctrl-C was pressed, inside of a `with`; ask `heard_one` now and then.

    Whoever does not ask is stuck, in a write to a pipe that nobody reads perhaps: the third one
    that nobody asked for raises KeyboardInterrupt. Where SIGINT is ignored, as in the background
    jobs of a shell, it stays so.
    """

    def __init__(self) -> None:
        self._waiting = 0
        self._before: object = None

    def heard_one(self) -> bool:
        """Take one Ctrl-C, if there was one."""
        if not self._waiting:
            return False
        self._waiting -= 1
        return True

    def _press(self, _signal: int, _frame: FrameType | None) -> None:
        self._waiting += 1
        if self._waiting >= _STUCK:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before = signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, signal.default_int_handler)
