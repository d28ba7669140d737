"""Ctrl-C, heard without being torn out of whatever goes on."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import NoReturn, Self

_STUCK = 3


class Interrupts:
    """Counts how often Ctrl-C was pressed, inside of a `with`; ask `heard_one` now and then.

    Whoever does not ask is stuck, in a write to a pipe that nobody reads perhaps: the third one
    that nobody asked for raises KeyboardInterrupt. Where SIGINT is ignored, as in the background
    jobs of a shell, it stays so. SIGTERM raises SystemExit: a terminal gets its cursor back.
    """

    def __init__(self) -> None:
        # A signal may come in the middle of a subtraction, but not of a list's pop.
        self._waiting: list[int] = []
        self._before: dict[signal.Signals, object] = {}

    def heard_one(self) -> bool:
        """Take one Ctrl-C, if there was one."""
        if not self._waiting:
            return False
        self._waiting.pop()
        return True

    def _press(self, number: int, _frame: FrameType | None) -> None:
        self._waiting.append(number)
        if len(self._waiting) >= _STUCK:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                self._before[signal.SIGINT] = signal.signal(signal.SIGINT, self._press)
            if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
                self._before[signal.SIGTERM] = signal.signal(signal.SIGTERM, _end)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            assert callable(handler) or isinstance(handler, signal.Handlers)
            signal.signal(number, handler)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
