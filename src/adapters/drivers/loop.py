"""What a loop is: it runs tasks, timers and socket handlers one after the other, in one place.

`SharedLoop` is one in a thread of its own, `AsyncioLoop` one that asyncio runs. Whatever is written
against this, connections above all, is written once for both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from adapters.transport import HasFileno

Task: TypeAlias = Callable[[], None]
"""What a loop runs."""
Ready: TypeAlias = Callable[[int], None]
"""What is called with the mask of `selectors` when a socket is ready."""


class TimerHandle(Protocol):
    """A timer that can be disarmed."""

    def cancel(self) -> None:
        """See to it that the timer does not fire."""
        ...


class Loop(Protocol):
    """Everything but `now` and `call_soon` is called on the loop only."""

    def now(self) -> float:
        """The time in seconds, on a monotonic clock."""
        ...

    def call_soon(self, task: Task) -> None:
        """Run a task on the loop, after those that were given before. From every thread."""
        ...

    def call_later(self, delay: float, task: Task) -> TimerHandle:
        """Run a task after `delay` seconds."""
        ...

    def watch(self, sock: HasFileno, mask: int, ready: Ready) -> None:
        """Call `ready` whenever a socket, or a pipe, is ready for what `mask` says; 0 stops that.

        `mask` is of `selectors`. What is closed, and has the number -1, is not watched any more.
        """
        ...
