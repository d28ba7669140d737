"""A stream that an iterator gives, for the loop: the iterator itself is on a thread of its own."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator

from adapters.drivers import channel
from adapters.drivers.channel import Listener
from adapters.drivers.loop import Loop, Task, TimerHandle
from adapters.drivers.puller import Puller
from adapters.drivers.stream_rules import LAST, StreamRules
from adapters.drivers.workers import WorkerPool
from runtime_core.errors import TransportError
from runtime_core.events import StreamEvent, StreamFailed


class IteratorChannel:
    """A `Channel` over an iterator of events. Lives on the loop's thread.

    The thread is a daemon and ends with the stream. It knows this object by a weak reference only:
    where an event loop of asyncio has ended, nobody closes its channels.
    """

    is_closing = False
    """See `OwnedChannel`: a thread that is in the iterator cannot be waited for."""

    def __init__(
        self,
        loop: Loop,
        workers: WorkerPool,
        connection: int,
        events: Iterator[StreamEvent],
        listener: Listener,
    ) -> None:
        self.on_gone: Task | None = None
        """See `OwnedChannel`."""
        self._loop = loop
        self._workers = workers
        self._connection = connection
        self._listener: Listener | None = listener
        self._paused = False
        self._deadline: TimerHandle | None = None
        self._rules = StreamRules(connection)
        self._puller = Puller(events, self._rules, _bell(loop, weakref.ref(self)))
        weakref.finalize(self, self._puller.stop).atexit = False
        thread = threading.Thread(target=self._puller.run, name="runtime-stream", daemon=True)
        thread.start()
        self._deadline = loop.call_later(channel.OPEN_TIMEOUT, self._on_open_timeout)

    def __repr__(self) -> str:
        return f"<IteratorChannel {self._connection}>"

    def deliver(self) -> None:
        """Hand on what the thread has pulled."""
        if self._listener is None or self._paused:
            return
        events = self._rules.checked(self._puller.take())
        if self._rules.is_open and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        listener = self._listener
        if events and isinstance(events[-1], LAST):
            self._end()
        if events:
            listener(events)

    def pause(self) -> None:
        """See `Channel`. The thread pulls a few events more, and then no further one."""
        self._paused = True

    def resume(self) -> None:
        """See `Channel`."""
        self._paused = False
        self._loop.call_soon(self.deliver)

    def close(self) -> None:
        """See `Channel`. A thread that is in the iterator ends when that lets it go."""
        if self._listener is not None:
            self._end()

    def after_fork(self) -> None:
        """In the child of a fork: the iterator is the parent's, and so is the thread."""
        self._listener = self._deadline = None

    def _on_open_timeout(self) -> None:
        listener = self._listener
        self._end()
        if listener is not None:
            message = f"The stream failed: its iterator gave nothing for {channel.OPEN_TIMEOUT:g} s"
            error = TransportError(f"{message}.", retryable=True)
            listener((StreamFailed(self._connection, error),))

    def _end(self) -> None:
        self._listener = None
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._puller.stop()
        if self._puller.can_be_broken_off:
            self._workers.submit(self._puller.break_off)
        gone, self.on_gone = self.on_gone, None
        if gone is not None:
            gone()


def _bell(loop: Loop, found: weakref.ref[IteratorChannel]) -> Task:
    """Make what the thread calls when there is something to deliver."""

    def ring() -> None:
        channel = found()
        if channel is not None:
            loop.call_soon(channel.deliver)

    return ring
