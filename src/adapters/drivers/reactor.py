"""What the drivers of jobs need of the world, and what in this process gives it to threads."""

from __future__ import annotations

import os
import random
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Protocol

from adapters.drivers.budgets import Budgets
from adapters.drivers.callback_pool import CALLBACK_THREADS, CallbackPool
from adapters.drivers.channel import Channel
from adapters.drivers.loop import Task, TimerHandle
from adapters.drivers.open_stream import open_stream
from adapters.drivers.shared_loop import SharedLoop
from adapters.drivers.status_budget import StatusBudget
from adapters.drivers.workers import WorkerPool
from adapters.transport import AnyStream
from runtime_core.events import StreamEvent

JITTER = 0.1
"""By how much of itself a delay of the machine is made longer at random, at most."""


def jittered(delay: float) -> float:
    """A delay, made a little longer at random."""
    return delay * (1 + JITTER * random.random())  # noqa: S311 - spreads load, keeps no secret


class Reactor(Protocol):
    """Where machines live: their loop, their clock, their sockets, and threads for what blocks."""

    def now(self) -> float:
        """The time in seconds, on a monotonic clock."""
        ...

    def call_soon(self, task: Task) -> None:
        """Run a task on the loop, after those that were given before. From every thread."""
        ...

    def call_later(self, delay: float, task: Task) -> TimerHandle:
        """Run a task on the loop after `delay` seconds. Only on the loop."""
        ...

    def jittered(self, delay: float) -> float:
        """A delay, made a little longer at random, so that many jobs do not ask at once."""
        ...

    def run_request(self, task: Task) -> None:
        """Run a task that blocks, on a thread for requests. From every thread."""
        ...

    def abandon_request(self, task: Task) -> None:
        """Nobody waits any more for this task of `run_request`, which may hang."""
        ...

    def budget_of(self, service: object) -> StatusBudget:
        """The budget of a service: the same each time for the same object. Only on the loop."""
        ...

    def open_channel(
        self,
        connection: int,
        stream: AnyStream,
        listener: Callable[[Sequence[StreamEvent]], None],
    ) -> Channel:
        """Open a connection; its events go to the listener, on the loop. Only on the loop.

        Raises:
            UsageError: if there is no such stream here.
        """
        ...

    def adopt(self, child: Forkable) -> None:
        """Tell this one in the child of a fork that its threads are gone."""
        ...


class ThreadReactor(Reactor, Protocol):
    """A reactor whose callers are threads that block."""

    def run_callback(self, task: Task) -> None:
        """Run a task of the user's, on a thread for callbacks. From every thread."""
        ...

    def wait(self, signal: threading.Event, deadline: float | None) -> bool:
        """Block the caller until the signal is set (True) or the deadline has passed (False)."""
        ...


class Forkable(Protocol):
    """Something that has to start afresh in the child of a fork."""

    def after_fork(self) -> None:
        """All threads and sockets of the parent are gone."""
        ...


class SharedReactor:
    """The reactor of the process: one loop, a few workers for requests and for callbacks.

    All its threads are daemons and end by themselves when there is nothing to do.
    """

    def __init__(self) -> None:
        self._children: weakref.WeakSet[Forkable] = weakref.WeakSet()
        self._callback_threads = CALLBACK_THREADS
        self._begin()

    def _begin(self) -> None:
        self._loop = loop = SharedLoop("runtime-loop")
        self._requests = WorkerPool(
            "runtime-request", self._later, is_needed=lambda: loop.is_running
        )
        self._callbacks = CallbackPool(self._loop, self._later, self._callback_threads)
        self._budgets = Budgets(self)

    def _later(self, delay: float, task: Task) -> None:
        loop = self._loop

        def arm() -> None:
            loop.call_later(delay, task)

        loop.call_soon(arm)

    def now(self) -> float:
        """See `Reactor`."""
        return self._loop.now()

    def call_soon(self, task: Task) -> None:
        """See `Reactor`."""
        self._loop.call_soon(task)

    def call_later(self, delay: float, task: Task) -> TimerHandle:
        """See `Reactor`."""
        return self._loop.call_later(delay, task)

    def jittered(self, delay: float) -> float:
        """See `Reactor`."""
        return jittered(delay)

    def run_request(self, task: Task) -> None:
        """See `Reactor`."""
        self._requests.submit(task)

    def abandon_request(self, task: Task) -> None:
        """See `Reactor`."""
        self._requests.abandon(task)

    def budget_of(self, service: object) -> StatusBudget:
        """See `Reactor`."""
        return self._budgets.of(service)

    def run_callback(self, task: Task) -> None:
        """See `ThreadReactor`."""
        self._callbacks.submit(task)

    def set_callback_threads(self, limit: int) -> None:
        """See `adapters.set_callback_threads`."""
        self._callback_threads = limit
        self._callbacks.set_limit(limit)

    def open_channel(
        self,
        connection: int,
        stream: AnyStream,
        listener: Callable[[Sequence[StreamEvent]], None],
    ) -> Channel:
        """See `Reactor`."""
        channel = open_stream(self._loop, self._requests, connection, stream, listener)
        self.adopt(channel)
        return channel

    def wait(self, signal: threading.Event, deadline: float | None) -> bool:
        """See `ThreadReactor`."""
        if deadline is None:
            return signal.wait()
        return signal.wait(min(max(0.0, deadline - self.now()), threading.TIMEOUT_MAX))

    def adopt(self, child: Forkable) -> None:
        """See `Reactor`."""
        self._children.add(child)

    # ---- fork ----------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Wait for a moment in which no machine is in the middle of a step."""
        self._loop.turn.acquire()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._loop.turn.release()

    def after_fork_in_child(self) -> None:
        """Start afresh, and let every job know."""
        parents_loop = self._loop
        self._begin()
        for child in tuple(self._children):
            child.after_fork()
        parents_loop.forget()


_shared = SharedReactor()
os.register_at_fork(
    before=_shared.before_fork,
    after_in_parent=_shared.after_fork_in_parent,
    after_in_child=_shared.after_fork_in_child,
)


def shared_reactor() -> SharedReactor:
    """The reactor of this process; no thread runs before it is used."""
    return _shared
