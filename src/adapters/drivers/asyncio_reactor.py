"""What the drivers of jobs need of the world, on an event loop of asyncio.

Timers and sockets are the event loop's. The only threads are a few for what blocks, requests and
name look-ups; they are daemons and end by themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import ParamSpec, TypeVar

from adapters.drivers.asyncio_loop import AsyncioLoop
from adapters.drivers.budgets import Budgets
from adapters.drivers.channel import Channel, SocketChannel
from adapters.drivers.loop import Task, TimerHandle
from adapters.drivers.reactor import Forkable, jittered
from adapters.drivers.status_budget import StatusBudget
from adapters.drivers.workers import WorkerPool
from adapters.transport import StreamEndpoint
from runtime_core.errors import UsageError
from runtime_core.events import StreamEvent

P = ParamSpec("P")
T = TypeVar("T")


class AsyncioReactor:
    """A `Reactor` on the event loop in which it is first used.

    Everything is called on that loop, `call_soon` from every thread.
    """

    def __init__(self) -> None:
        self._bound: tuple[asyncio.AbstractEventLoop, AsyncioLoop] | None = None
        self._requests = WorkerPool("runtime-request", self._later)
        self._budgets = Budgets(self)
        self._channels: set[SocketChannel] = set()
        self._drains: set[asyncio.Event] = set()

    def bind(self) -> None:
        """Belong to the running event loop from now on; does nothing if that is so already.

        Raises:
            UsageError: if no event loop runs, or it is another one than before.
        """
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            raise UsageError("This is for asyncio: call it in a running event loop.") from None
        if self._bound is None:
            self._bound = running, AsyncioLoop(running)
        elif self._bound[0] is not running:
            raise UsageError(
                "This belongs to another event loop: make services and jobs anew in each."
            )

    @property
    def loop(self) -> AsyncioLoop:
        """The event loop to which this belongs."""
        assert self._bound is not None, "whoever comes here has called bind"
        return self._bound[1]

    def now(self) -> float:
        """See `Reactor`."""
        return self.loop.now()

    def call_soon(self, task: Task) -> None:
        """See `Reactor`."""
        self.loop.call_soon(task)

    def call_later(self, delay: float, task: Task) -> TimerHandle:
        """See `Reactor`."""
        return self.loop.call_later(delay, task)

    def _later(self, delay: float, task: Task) -> None:
        self.call_soon(lambda: _drop(self.call_later(delay, task)))

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

    def open_channel(
        self,
        connection: int,
        endpoint: StreamEndpoint,
        listener: Callable[[Sequence[StreamEvent]], None],
    ) -> Channel:
        """See `Reactor`."""
        channel = SocketChannel(self.loop, self._requests, connection, endpoint, listener)
        self._channels.add(channel)
        channel.on_gone = partial(self._gone, channel)
        return channel

    def _gone(self, channel: SocketChannel) -> None:
        self._channels.discard(channel)
        for moment in self._drains:
            moment.set()

    async def drain(self) -> None:
        """Wait until the connections that were told to close are gone; that takes 2 s at most."""
        while any(channel.is_closing for channel in self._channels):
            moment = asyncio.Event()
            self._drains.add(moment)
            try:
                await moment.wait()
            finally:
                self._drains.discard(moment)

    def adopt(self, child: Forkable) -> None:
        """See `Reactor`. An event loop does not survive a fork, so there is nothing to tell."""

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function that blocks on a thread for requests.

        Who is cancelled meanwhile does not wait for it; it goes on all the same.
        """
        self.bind()
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def perform() -> None:
            try:
                value = function(*args, **kwargs)
            except BaseException as error:
                self.call_soon(partial(_fail, outcome, error))
            else:
                self.call_soon(partial(_fulfil, outcome, value))

        self._requests.submit(perform)
        try:
            return await outcome
        except asyncio.CancelledError:
            self._requests.abandon(perform)
            raise


def _drop(_: object) -> None:
    """Take a value that nobody needs."""


def _fulfil(outcome: asyncio.Future[T], value: T) -> None:
    with suppress(asyncio.InvalidStateError):  # cancelled meanwhile
        outcome.set_result(value)


def _fail(outcome: asyncio.Future[T], error: BaseException) -> None:
    with suppress(asyncio.InvalidStateError):
        outcome.set_exception(error)
