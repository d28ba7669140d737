"""Who gets interim results in asyncio: a callback in a task, or an asynchronous iterator."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from typing import Self, TypeVar

from adapters.drivers.inbox import Batch, End, Gap, Inbox, Item, Mark
from adapters.drivers.interim_items import InterimItems, Nothing
from adapters.value_type import Value

logger = logging.getLogger(__name__)

T = TypeVar("T")

_calls: ContextVar[object | None] = ContextVar("calls", default=None)
"""Within a call of a callback, and in the tasks that it starts: which call that is."""


class AsyncCallbackSubscriber:
    """Calls the user's callback for each message, one after the other, in a task of the loop.

    What the callback returns is awaited, if it can be. A `Subscriber`.

    Args:
        inbox: what waits for the callback.
        receive: decodes one message and calls the user's callback with it.
        on_gap: the user's callback for gaps, if there is one.
        cancel: called when the callback has failed, to end the subscription.
        start: the cursor at which the subscription starts.
    """

    def __init__(
        self,
        inbox: Inbox,
        receive: Callable[[str], object],
        on_gap: Callable[[Gap], object] | None,
        cancel: Callable[[], None],
        start: int = 0,
    ) -> None:
        self._inbox = inbox
        self._receive = receive
        self._on_gap = on_gap
        self._cancel = cancel
        self._dropped = False
        self._complete = False
        self._task: asyncio.Task[None] | None = None
        self._now: object | None = None
        self.error: BaseException | None = None
        """See `Subscriber`."""
        self.delivered = start
        """See `Subscriber`: it moves when what the callback has returned is through, too."""

    @property
    def is_caller(self) -> bool:
        """See `Subscriber`. So are the tasks that the callback starts, as long as it waits."""
        return self._now is not None and _calls.get() is self._now

    @property
    def is_waited_for(self) -> bool:
        """See `Subscriber`."""
        return True

    @property
    def is_behind(self) -> bool:
        """See `Subscriber`."""
        return not (self._dropped or self._complete)

    @property
    def is_full(self) -> bool:
        """See `Subscriber`."""
        return self._inbox.is_full and not self._dropped

    def put(self, item: Item) -> None:
        """See `Subscriber`."""
        if self._inbox.put(item):
            self._task = asyncio.get_running_loop().create_task(self._run())
            self._task.add_done_callback(self._on_done)

    def drop(self) -> None:
        """See `Subscriber`."""
        self._dropped = True

    def after_fork(self, error: Exception) -> None:
        """See `Subscriber`."""
        self._dropped = True
        self.error = error

    async def _run(self) -> None:
        """Handle all items, and let others run in between."""
        more = True
        while more:
            # Before the first as well: a task that is begun eagerly is in the middle of a step.
            await asyncio.sleep(0)
            item = self._inbox.peek()
            assert item is not None
            try:
                await self._handle(item)
            except (Exception, asyncio.CancelledError) as error:
                if _is_cancelled():
                    raise
                # Of a CancelledError too, if it is the callback's own: of a task that it awaited.
                logger.exception("the callback for interim results failed; no more are delivered")
                self._end(error)
            finally:
                self._now = None
            more = self._inbox.take()

    def _on_done(self, task: asyncio.Task[None]) -> None:
        """The loop is ended, or the task was cancelled: it does not come to what is left."""
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None:
            self._end(error)
            self._pass_over()

    def _pass_over(self) -> None:
        """Nothing is handled any more; who waits for that is not kept waiting."""
        while (item := self._inbox.peek()) is not None:
            if isinstance(item, Mark):
                item.reached()
            self._inbox.take()

    def _end(self, error: BaseException) -> None:
        self._dropped = True
        self.error = error
        self._cancel()

    async def _handle(self, item: Item) -> None:
        match item:
            case Mark(reached):
                reached()
            case End(error):
                self._complete = True
                if not self._dropped:
                    self.error = error
            case Gap():
                if self._on_gap is not None and not self._dropped:
                    await self._through(self._called(self._on_gap, item))
            case Batch(messages):
                for message in messages:
                    if self._dropped:
                        return
                    returned = self._called(self._receive, message)
                    if returned is not None:  # else it is not worth a coroutine
                        await self._through(returned)
                    self._now = None
                    self.delivered += 1

    def _called(self, function: Callable[[T], object], argument: T) -> object:
        self._now = object()
        _calls.set(self._now)
        return function(argument)

    async def _through(self, returned: object) -> None:
        if inspect.isawaitable(returned):
            await returned


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class AsyncInterimResults(AsyncIterator[Value]):
    """The interim results of a job, decoded, as they come; `Gap` where some may be missing.

    Ends when the stream is complete. Made by `AsyncRuntimeJob.interim_results`; used by one task at
    a time. `close()` it, or use it in an `async with`, if you leave before the end.

    An interim result counts as delivered, for `AsyncRuntimeJob.handle`, when the next one is asked
    for, or the `async with` is left without an exception.
    """

    def __init__(
        self,
        decode: Callable[[str], object],
        cancel: Callable[[], None],
        on_change: Callable[[], None],
        start: int = 0,
    ) -> None:
        self._items = InterimItems(Inbox(on_change), decode, cancel, start)
        self._arrived = asyncio.Event()

    @property
    def error(self) -> BaseException | None:
        """See `Subscriber`."""
        return self._items.error

    @property
    def delivered(self) -> int:
        """See `Subscriber`."""
        return self._items.delivered

    @property
    def is_caller(self) -> bool:
        """See `Subscriber`."""
        return False

    @property
    def is_waited_for(self) -> bool:
        """See `Subscriber`: who iterates is at no one's service."""
        return False

    @property
    def is_behind(self) -> bool:
        """See `Subscriber`: it has no callback."""
        return False

    @property
    def is_full(self) -> bool:
        """See `Subscriber`."""
        return self._items.is_full

    def put(self, item: Item) -> None:
        """See `Subscriber`."""
        self._items.put(item)
        self._arrived.set()

    def drop(self) -> None:
        """See `Subscriber`."""
        self._items.ended = True
        self._arrived.set()

    def after_fork(self, error: Exception) -> None:
        """See `Subscriber`: an event loop does not survive a fork."""
        self._items.ended = True
        self._items.error = error

    async def __anext__(self) -> Value:
        """Wait for the next interim result; nothing is lost if this is cancelled.

        Raises:
            StopAsyncIteration: when the stream is complete.
            DecodeError: if an interim result does not decode; nothing more follows then.
            ServiceError: if the stream cannot be had to its end.
        """
        while (item := self._items.take()) is Nothing.YET:
            self._arrived.clear()
            await self._arrived.wait()
        if item is Nothing.MORE:
            raise StopAsyncIteration
        found: Value = item  # which type that is, says who gave the decoder
        return found

    def close(self) -> None:
        """Let go of the stream; the job goes on. Who waits for the next item gets the end."""
        self._items.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        if raised[0] is None:
            self._items.count_given()
        self.close()
