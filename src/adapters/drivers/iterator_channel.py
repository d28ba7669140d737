"""A stream that an iterator gives, for the loop: the iterator itself is on a thread of its own."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from functools import partial

from adapters.drivers import channel
from adapters.drivers.channel import Listener
from adapters.drivers.event_channel import EventChannel
from adapters.drivers.loop import Loop, Task
from adapters.drivers.puller import Puller
from adapters.drivers.workers import WorkerPool
from runtime_core.events import StreamEvent


class IteratorChannel(EventChannel):
    """A `Channel` over an iterator of events. Lives on the loop.

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
        super().__init__(loop, connection, listener)
        self._workers = workers
        self._paused = False
        self._puller = Puller(events, self._rules, _bell(loop, weakref.ref(self)))
        weakref.finalize(self, self._puller.forget).atexit = False
        thread = threading.Thread(target=self._puller.run, name="runtime-stream", daemon=True)
        try:
            thread.start()
        except BaseException:  # there are no more threads, or Ctrl-C
            self._end()
            raise

    def deliver(self) -> None:
        """Hand on what the thread has pulled."""
        if not self._paused:
            self._tell(self._puller.take())

    def pause(self) -> None:
        """See `Channel`. The thread pulls a few events more, and then no further one."""
        self._paused = True

    def resume(self) -> None:
        """See `Channel`."""
        self._paused = False
        self._loop.call_soon(self.deliver)

    def _let_go(self) -> None:
        # A thread that is in the iterator ends when that lets it go.
        self._puller.stop()
        if self._puller.can_be_broken_off:
            task = self._puller.break_off
            self._workers.submit(task)
            # One that hangs must not take the place of a request.
            self._loop.call_later(channel.CLOSE_TIMEOUT, partial(self._workers.abandon, task))
        self._gone()


def _bell(loop: Loop, found: weakref.ref[IteratorChannel]) -> Task:
    """Make what the thread calls when there is something to deliver."""

    def ring() -> None:
        open_channel = found()
        if open_channel is not None:
            loop.call_soon(open_channel.deliver)

    return ring
