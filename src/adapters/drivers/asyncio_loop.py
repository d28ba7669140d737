"""A loop that asyncio runs: what is written for `Loop`, connections above all, works there too."""

from __future__ import annotations

import asyncio
import selectors
from contextlib import suppress

from adapters.drivers.loop import Ready, Task
from adapters.transport import HasFileno


class AsyncioLoop:
    """A `Loop` on an event loop of asyncio that can watch sockets, as those of Linux and macOS can.

    What a task raises goes to the exception handler of the event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._watched: dict[int, int] = {}

    def now(self) -> float:
        """See `Loop`."""
        return self._loop.time()

    def call_soon(self, task: Task) -> None:
        """See `Loop`. A loop that is closed drops the task: nobody is there for whom it matters."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(task)

    def call_later(self, delay: float, task: Task) -> asyncio.TimerHandle:
        """See `Loop`."""
        return self._loop.call_later(delay, task)

    def watch(self, sock: HasFileno, mask: int, ready: Ready) -> None:
        """See `Loop`."""
        number = sock.fileno()
        if number < 0:
            return
        # By its number, since asyncio takes no SSLSocket.
        known = self._watched.pop(number, 0)
        if mask & selectors.EVENT_READ:
            self._loop.add_reader(number, ready, selectors.EVENT_READ)
        elif known & selectors.EVENT_READ:
            self._loop.remove_reader(number)
        if mask & selectors.EVENT_WRITE:
            self._loop.add_writer(number, ready, selectors.EVENT_WRITE)
        elif known & selectors.EVENT_WRITE:
            self._loop.remove_writer(number)
        if mask:
            self._watched[number] = mask
