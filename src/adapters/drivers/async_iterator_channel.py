"""A stream that an asynchronous iterator gives: a task of the event loop iterates."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from functools import partial

from adapters.drivers import channel
from adapters.drivers.channel import Listener
from adapters.drivers.event_channel import EventChannel
from adapters.drivers.loop import Loop, TimerHandle
from runtime_core.events import StreamEvent

logger = logging.getLogger(__name__)

FORSAKEN = 1.0
"""Seconds after which the stream of a task that somebody else has cancelled counts as broken."""


class AsyncIteratorChannel(EventChannel):
    """A `Channel` over an asynchronous iterator of events, on the event loop that runs.

    It is closed by cancelling the task, which then awaits the iterator's `aclose`, if it has one.
    """

    def __init__(
        self,
        loop: Loop,
        connection: int,
        events: AsyncIterator[StreamEvent],
        listener: Listener,
    ) -> None:
        super().__init__(loop, connection, listener)
        self._events = events
        self._may_go_on = asyncio.Event()
        self._may_go_on.set()
        self._has_begun = False
        self._task = asyncio.get_running_loop().create_task(self._run(), name="runtime-stream")
        self._task.add_done_callback(self._on_done)
        self._patience: TimerHandle | None = None

    @property
    def is_closing(self) -> bool:
        """See `OwnedChannel`."""
        return self._listener is None and not self._task.done()

    def pause(self) -> None:
        """See `Channel`."""
        self._may_go_on.clear()

    def resume(self) -> None:
        """See `Channel`."""
        self._may_go_on.set()

    def _let_go(self) -> None:
        if self._has_begun and asyncio.current_task() is not self._task:
            self._task.cancel()
        # An `aclose` that hangs is given up.
        self._patience = self._loop.call_later(channel.CLOSE_TIMEOUT, self._give_up)

    def _give_up(self) -> None:
        self._task.cancel()

    def _on_done(self, _: asyncio.Task[None]) -> None:
        if self._patience is not None:
            self._patience.cancel()
        self._gone()

    async def _run(self) -> None:
        self._has_begun = True
        try:
            await self._pull()
            self._tell((self._rules.ran_out(),))
        except BaseException as error:
            self._fail(error)
            if not isinstance(error, Exception):
                raise
        finally:
            await self._close()

    def _fail(self, error: BaseException) -> None:
        failed = (self._rules.raised("its iterator raised", error),)
        if self._listener is not None and self._task.cancelling():
            # Most likely the event loop ends, which cancels all tasks: a request that followed
            # from this now would be a task that nobody awaits any more.
            self._loop.call_later(FORSAKEN, partial(self._tell, failed))
        else:
            self._tell(failed)

    async def _pull(self) -> None:
        while self._listener is not None:
            try:
                event = await anext(self._events)
            except StopAsyncIteration:
                return
            self._tell((event,))
            # So that one that always has something leaves the loop to others, too.
            await asyncio.sleep(0)
            await self._may_go_on.wait()

    async def _close(self) -> None:
        aclose = getattr(self._events, "aclose", None)
        if aclose is None:
            return
        try:
            await aclose()
        except Exception:
            logger.warning("the iterator of a stream could not be closed", exc_info=True)
