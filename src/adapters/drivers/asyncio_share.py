"""What all that is on one event loop of asyncio shares: threads for requests, budgets of services.

So jobs that are made by hand, each with a reactor of its own, do not have threads of their own, and
together ask a service no more often than it allows.
"""

from __future__ import annotations

import asyncio
from functools import partial
from weakref import WeakKeyDictionary, ref

from adapters.drivers.asyncio_loop import AsyncioLoop
from adapters.drivers.budgets import Budgets
from adapters.drivers.loop import Task, TimerHandle
from adapters.drivers.workers import WorkerPool


class LoopShare:
    """Belongs to an event loop, on which alone it is used; let go of when another one begins."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = ref(loop)
        self.workers = WorkerPool("runtime-request", self._check_later)
        """The threads for requests; they are daemons and end by themselves."""
        self.budgets = Budgets(self)
        """The budgets of services."""

    @property
    def _face(self) -> AsyncioLoop:
        loop = self._loop()
        assert loop is not None, "who is called by an event loop has one"
        return AsyncioLoop(loop)

    def now(self) -> float:
        """See `Reactor`."""
        return self._face.now()

    def call_soon(self, task: Task) -> None:
        """See `Reactor`. What comes when the loop is gone is dropped."""
        loop = self._loop()
        if loop is not None:
            AsyncioLoop(loop).call_soon(task)

    def call_later(self, delay: float, task: Task) -> TimerHandle:
        """See `Reactor`."""
        return self._face.call_later(delay, task)

    def run_request(self, task: Task) -> None:
        """See `Reactor`."""
        self.workers.submit(task)

    def abandon_request(self, task: Task) -> None:
        """See `Reactor`."""
        self.workers.abandon(task)

    def _check_later(self, delay: float, task: Task) -> None:
        self.call_soon(partial(self._arm, delay, task))

    def _arm(self, delay: float, task: Task) -> None:
        self.call_later(delay, task)


_shares: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopShare] = WeakKeyDictionary()


def share_of(loop: asyncio.AbstractEventLoop) -> LoopShare:
    """What there is of this for an event loop: the same each time."""
    found = _shares.get(loop)
    if found is None:
        # A timer that was armed when its loop ended keeps that loop, by what leads to it from here.
        for ended in [each for each in _shares if each.is_closed()]:
            del _shares[ended]
        found = _shares[loop] = LoopShare(loop)
    return found
