"""Opens what a transport gives as a stream, by its kind."""

from __future__ import annotations

from collections.abc import Iterator

from adapters.drivers.channel import ByteChannel, Listener, OwnedChannel
from adapters.drivers.iterator_channel import IteratorChannel
from adapters.drivers.loop import Loop
from adapters.drivers.workers import WorkerPool
from adapters.transport import StreamEndpoint, StreamFile
from runtime_core.errors import UsageError


def open_stream(
    loop: Loop, workers: WorkerPool, connection: int, stream: object, listener: Listener
) -> OwnedChannel:
    """Open a stream; the listener is told of it later, on the loop.

    Args:
        loop: where the channel lives.
        workers: do what blocks while it is opened, or closed.
        connection: the number that its events carry.
        stream: what a transport gave: a `Stream`, if it did as it should.
        listener: gets the events.

    Raises:
        UsageError: if it is none that can be opened here.
    """
    if isinstance(stream, StreamEndpoint | StreamFile):
        return ByteChannel(loop, workers, connection, stream, listener)
    if isinstance(stream, Iterator):
        return IteratorChannel(loop, workers, connection, stream, listener)
    raise UsageError(
        f"Transport.stream gave one {type(stream).__name__}, expected a StreamEndpoint, a "
        "StreamFile or an iterator of events; an asynchronous one is for AsyncRuntimeJob alone."
    )
