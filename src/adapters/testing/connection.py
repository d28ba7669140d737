"""One connection of a transport, read on the loop that all jobs share, as a job would read it."""

from __future__ import annotations

import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

import attrs

from adapters.drivers.channel import Channel
from adapters.drivers.reactor import Reactor
from adapters.transport import AnyStream, StreamEndpoint, StreamFile, StreamProtocol
from runtime_core.events import (
    InterimReceived,
    StreamClosed,
    StreamEvent,
    StreamFailed,
    StreamNotReady,
    StreamOpened,
)


class Connection:
    """Keeps what a stream tells, as it tells it, until it is closed. For the caller's thread.

    Args:
        reactor: reads it.
        number: the number that its events should carry. Those that do not are kept as they are, and
            passed on with this one: so only the rule about numbers is broken.
        stream: what the transport gave.
    """

    def __init__(self, reactor: Reactor, number: int, stream: AnyStream) -> None:
        self.events: list[StreamEvent] = []
        """What was told to a job so far."""
        self.numbers: set[object] = set()
        """The numbers that the transport's events carried."""
        self._number = number
        self._reactor = reactor
        self._changed = threading.Condition()
        self._channel: Channel | None = None
        self._error: Exception | None = None
        reactor.call_soon(lambda: self._open(stream))

    def _open(self, stream: AnyStream) -> None:
        try:
            self._channel = self._reactor.open_channel(
                self._number, self._noted(stream), self._hear
            )
        except Exception as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _noted(self, stream: AnyStream) -> AnyStream:
        if isinstance(stream, StreamEndpoint | StreamFile):
            return attrs.evolve(stream, protocol=_NotedProtocol(stream.protocol, self._note))
        if isinstance(stream, AsyncIterator):
            return _noted_in_turn(stream, self._note)
        return _NotedEvents(stream, self._note)

    def _note(self, event: StreamEvent) -> StreamEvent:
        number = getattr(event, "connection", None)
        self.numbers.add(number)
        return event if number == self._number else attrs.evolve(event, connection=self._number)

    def _hear(self, events: Sequence[StreamEvent]) -> None:
        with self._changed:
            self.events += events
            self._changed.notify_all()

    def wait_until(self, holds: Callable[[], bool], patience: float) -> bool:
        """Wait until this holds; False if it did not within `patience` seconds.

        Raises:
            Exception: why the stream could not be opened.
        """
        with self._changed:
            self._changed.wait_for(lambda: holds() or self._error is not None, patience)
            if self._error is not None:
                raise self._error
            return holds()

    @property
    def is_open(self) -> bool:
        """Whether it told that it is open."""
        return any(isinstance(event, StreamOpened) for event in self.events)

    @property
    def has_ended(self) -> bool:
        """Whether it told its last event."""
        last = StreamClosed | StreamFailed | StreamNotReady
        return bool(self.events) and isinstance(self.events[-1], last)

    @property
    def messages(self) -> list[str]:
        """The interim results so far."""
        received = [event for event in self.events if isinstance(event, InterimReceived)]
        return [text for event in received for text in event.messages]

    def close(self) -> None:
        """Close it, as a job does; nothing is told any more when this has returned."""
        done = threading.Event()

        def close() -> None:
            if self._channel is not None:
                self._channel.close()
            done.set()

        self._reactor.call_soon(close)
        done.wait()


@attrs.frozen(eq=False)
class _NotedProtocol:
    """A `StreamProtocol` whose events are noted."""

    inner: StreamProtocol
    note: Callable[[StreamEvent], StreamEvent]

    def start(self) -> None:
        self.inner.start()

    def receive(self, data: bytes) -> Sequence[StreamEvent]:
        return [self.note(event) for event in self.inner.receive(data)]

    def data_to_send(self) -> bytes:
        return self.inner.data_to_send()

    def ping(self) -> None:
        self.inner.ping()

    def close(self) -> None:
        self.inner.close()


@attrs.define(eq=False)
class _NotedEvents:
    """An iterator of events that are noted."""

    inner: Iterator[StreamEvent]
    note: Callable[[StreamEvent], StreamEvent]
    is_closed: bool = False

    def __iter__(self) -> Iterator[StreamEvent]:
        return self

    def __next__(self) -> StreamEvent:
        event = self.note(next(self.inner))
        if self.is_closed:
            self.close()
            raise StopIteration
        return event

    def close(self) -> None:
        self.is_closed = True
        close = getattr(self.inner, "close", None)
        if close is None:
            return
        try:
            close()
        except ValueError:
            # A generator that is running, which another thread cannot close: at its next event.
            if not inspect.isgenerator(self.inner):
                raise


async def _noted_in_turn(
    stream: AsyncIterator[StreamEvent], note: Callable[[StreamEvent], StreamEvent]
) -> AsyncIterator[StreamEvent]:
    try:
        async for event in stream:
            yield note(event)
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()
