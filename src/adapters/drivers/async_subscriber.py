"""Who gets interim results in asyncio: a callback in a task, or an asynchronous iterator."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any, Self

from adapters.drivers.inbox import Batch, End, Gap, Inbox, Item, Mark

logger = logging.getLogger(__name__)


class AsyncCallbackSubscriber:
    """Calls the user's callback for each message, one after the other, in a task of the loop.

    What the callback returns is awaited, if it can be. A `Subscriber`.

    Args:
        inbox: what waits for the callback.
        receive: decodes one message and calls the user's callback with it.
        on_gap: the user's callback for gaps, if there is one.
        cancel: called when the callback has failed, to end the subscription.
    """

    def __init__(
        self,
        inbox: Inbox,
        receive: Callable[[str], object],
        on_gap: Callable[[Gap], object] | None,
        cancel: Callable[[], None],
    ) -> None:
        self._inbox = inbox
        self._receive = receive
        self._on_gap = on_gap
        self._cancel = cancel
        self._dropped = False
        self._complete = False
        self._stopped = False
        self._task: asyncio.Task[None] | None = None
        self.error: BaseException | None = None
        """See `Subscriber`."""
        self.delivered = 0
        """The cursor of what was delivered: how many calls of the callback have returned."""

    @property
    def is_current_thread(self) -> bool:
        """See `Subscriber`."""
        return self._task is not None and self._task is asyncio.current_task()

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
        was_empty = self._inbox.put(item)
        if self._stopped:
            self._pass_over()
        elif was_empty:
            self._task = asyncio.get_running_loop().create_task(self._run())

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
            item = self._inbox.peek()
            assert item is not None
            try:
                await self._handle(item)
            except Exception as error:
                logger.exception("the callback for interim results failed; no more are delivered")
                self._end(error)
            except BaseException as error:
                # The loop is ended, or the task was cancelled: both want to go on from here.
                self._end(error)
                self._stopped = True
                self._pass_over()
                raise
            more = self._inbox.take()
            await asyncio.sleep(0)

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
                    await _awaited(self._on_gap(item))
            case Batch(messages):
                for message in messages:
                    if self._dropped:
                        return
                    await _awaited(self._receive(message))
                    self.delivered += 1


async def _awaited(returned: object) -> None:
    if inspect.isawaitable(returned):
        await returned


class AsyncInterimResults(AsyncIterator[Any]):
    """The interim results of a job, decoded, as they come; `Gap` where some may be missing.

    Ends when the stream is complete. Made by `AsyncRuntimeJob.interim_results`; used by one task at
    a time. `close()` it, or use it in an `async with`, if you leave before the end.
    """

    def __init__(
        self,
        decode: Callable[[str], Any],
        cancel: Callable[[], None],
        on_change: Callable[[], None],
    ) -> None:
        self._decode = decode
        self._cancel = cancel
        self._inbox = Inbox(on_change)
        self._arrived = asyncio.Event()
        self._batch: tuple[str, ...] = ()
        self._next = 0
        self._ended = False
        self.error: BaseException | None = None
        """See `Subscriber`."""

    @property
    def is_current_thread(self) -> bool:
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
        return self._inbox.is_full and not self._ended

    def put(self, item: Item) -> None:
        """See `Subscriber`."""
        if isinstance(item, Mark):
            item.reached()  # nobody waits for who iterates
            return
        self._inbox.put(item)
        self._arrived.set()

    def drop(self) -> None:
        """See `Subscriber`."""
        self._ended = True
        self._arrived.set()

    def after_fork(self, error: Exception) -> None:
        """See `Subscriber`."""
        self._ended = True
        self.error = error

    async def __anext__(self) -> Any:
        """Wait for the next interim result; nothing is lost if this is cancelled.

        Raises:
            StopAsyncIteration: when the stream is complete.
            DecodeError: if an interim result does not decode; nothing more follows then.
            ServiceError: if the stream cannot be had to its end.
        """
        while not self._ended:
            if self._next < len(self._batch):
                message = self._batch[self._next]
                self._next += 1
                return self._decoded(message)
            item = self._inbox.peek()
            if item is None:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            self._inbox.take()
            match item:
                case Batch(messages):
                    self._batch, self._next = messages, 0
                case Gap():
                    return item
                case End(error):
                    self._ended = True
                    self.error = error
                    if error is not None:
                        raise error
                case Mark():
                    pass
        raise StopAsyncIteration

    def _decoded(self, message: str) -> Any:
        try:
            return self._decode(message)
        except BaseException as error:
            self.error = error
            self.close()
            raise

    def close(self) -> None:
        """Let go of the stream; the job goes on."""
        if not self._ended:
            self._ended = True
            self._cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
