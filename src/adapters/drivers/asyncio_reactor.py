"""What the drivers of jobs need of the world, on an event loop of asyncio.

Timers and sockets are the event loop's. The only threads are a few for what blocks, requests and
name look-ups; they are daemons and end by themselves.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any, ParamSpec, TypeVar

from adapters.drivers.async_iterator_channel import AsyncIteratorChannel
from adapters.drivers.asyncio_loop import AsyncioLoop
from adapters.drivers.asyncio_share import LoopShare, share_of
from adapters.drivers.channel import Channel, OwnedChannel
from adapters.drivers.loop import Task, TimerHandle
from adapters.drivers.open_stream import open_stream
from adapters.drivers.reactor import Forkable, jittered
from adapters.drivers.status_budget import StatusBudget
from adapters.transport import AnyStream
from runtime_core.errors import UsageError
from runtime_core.events import StreamEvent

P = ParamSpec("P")
T = TypeVar("T")


class AsyncioReactor:
    """A `Reactor` on the event loop in which it is first used.

    Everything is called on that loop, `call_soon` from every thread.
    """

    def __init__(self) -> None:
        self._bound: tuple[asyncio.AbstractEventLoop, AsyncioLoop, LoopShare] | None = None
        self._channels: set[OwnedChannel] = set()
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
            self._bound = running, AsyncioLoop(running), share_of(running)
        elif self._bound[0] is not running:
            raise UsageError(
                "This belongs to another event loop: make services and jobs anew in each."
            )

    @property
    def loop(self) -> AsyncioLoop:
        """The event loop to which this belongs."""
        assert self._bound is not None, "whoever comes here has called bind"
        return self._bound[1]

    @property
    def _share(self) -> LoopShare:
        assert self._bound is not None, "whoever comes here has called bind"
        return self._bound[2]

    def now(self) -> float:
        """See `Reactor`. Before the first use the time is that of the usual event loops."""
        return time.monotonic() if self._bound is None else self._bound[1].now()

    def call_soon(self, task: Task) -> None:
        """See `Reactor`."""
        self.loop.call_soon(task)

    def call_later(self, delay: float, task: Task) -> TimerHandle:
        """See `Reactor`."""
        return self.loop.call_later(delay, task)

    def jittered(self, delay: float) -> float:
        """See `Reactor`."""
        return jittered(delay)

    def run_request(self, task: Task) -> None:
        """See `Reactor`."""
        self._share.run_request(task)

    def abandon_request(self, task: Task) -> None:
        """See `Reactor`."""
        self._share.abandon_request(task)

    def budget_of(self, service: object) -> StatusBudget:
        """See `Reactor`."""
        return self._share.budgets.of(service)

    def open_channel(
        self,
        connection: int,
        stream: AnyStream,
        listener: Callable[[Sequence[StreamEvent]], None],
    ) -> Channel:
        """See `Reactor`."""
        channel: OwnedChannel = (
            AsyncIteratorChannel(self.loop, connection, stream, listener)
            if isinstance(stream, AsyncIterator)
            else open_stream(self.loop, self._share.workers, connection, stream, listener)
        )
        self._channels.add(channel)
        channel.on_gone = partial(self._gone, channel)
        return channel

    def _gone(self, channel: OwnedChannel) -> None:
        self._channels.discard(channel)
        for moment in self._drains:
            moment.set()

    async def drain(self) -> None:
        """Wait until the connections that were told to close are gone; that takes 2 s at most."""
        closing = {channel for channel in self._channels if channel.is_closing}
        while closing & self._channels:
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

        Who is cancelled meanwhile does not wait for it: if it has begun, it goes on all the same.
        """
        self.bind()
        # What it gives is taken out here: a future cannot hold a StopIteration.
        outcome: asyncio.Future[Callable[[], Any]] = asyncio.get_running_loop().create_future()

        def perform() -> None:
            try:
                value = function(*args, **kwargs)
            except BaseException as error:
                self.call_soon(partial(_fulfil, outcome, partial(_raise, error)))
            else:
                self.call_soon(partial(_fulfil, outcome, lambda: value))

        self.run_request(perform)
        try:
            give: Callable[[], T] = await outcome
        except asyncio.CancelledError:
            self.abandon_request(perform)
            raise
        return give()


def _fulfil(outcome: asyncio.Future[Callable[[], Any]], give: Callable[[], Any]) -> None:
    if not outcome.done():  # cancelled meanwhile
        outcome.set_result(give)


def _raise(error: BaseException) -> Any:
    raise error
