"""Reads the stream of a job that comes over a pipe in this process. Pure.

What comes are the frames of `host`, with kinds of their own: one `OPENED`, any number of `INTERIM`
and of `ALIVE`, and one `CLOSED` at the end; or `REFUSED` in place of all of it. What goes back is
one byte of any value, which asks for an `ALIVE`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from adapters.local.frames import MAX_FRAME_BYTES, BrokenReportError, FrameReader
from adapters.local.host import HEADER, INTERIM
from runtime_core.errors import TransportError
from runtime_core.events import (
    InterimReceived,
    StreamClosed,
    StreamEvent,
    StreamFailed,
    StreamOpened,
)

OPENED: Final = b"O"
"""The kind of the frame that says that the job is there; its text is empty."""

ALIVE: Final = b"A"
"""The kind of the frame that answers a question for a sign of life; its text is empty."""

CLOSED: Final = b"C"
"""The kind of the frame after which nothing follows; its text says why, if that needs saying."""

REFUSED: Final = b"E"
"""The kind of the frame that says why there is no stream."""

PING: Final = b"?"
"""Asks for a frame of the kind `ALIVE`."""


def frame(kind: bytes, text: bytes = b"") -> bytes:
    """Give one frame."""
    return HEADER.pack(kind, len(text)) + text


class PipeStream:
    """The `StreamProtocol` of one stream.

    Args:
        connection: the number that the events carry.
    """

    def __init__(self, connection: int) -> None:
        self._connection = connection
        self._frames = FrameReader(
            MAX_FRAME_BYTES, sys.maxsize, (OPENED, INTERIM, ALIVE, CLOSED, REFUSED)
        )
        self._asked = b""
        self._ended = False

    def start(self) -> None:
        """See `StreamProtocol`. There is nothing to say."""

    def receive(self, data: bytes) -> Sequence[StreamEvent]:
        """See `StreamProtocol`."""
        if self._ended:
            return ()
        if not data:
            return (self._failed("The stream of the local runner broke off.", retryable=True),)
        events: list[StreamEvent] = []
        messages: list[str] = []
        try:
            for kind, text in self._frames.feed(data):
                if kind == INTERIM:
                    messages.append(text)
                elif kind == OPENED:
                    events.append(StreamOpened(self._connection))
                elif kind != ALIVE:
                    self._take(messages, events)
                    events.append(self._end(kind, text))
                    return events
        except BrokenReportError:
            self._take(messages, events)
            events.append(self._failed("What came over the local runner's pipe is no stream."))
            return events
        self._take(messages, events)
        return events

    def data_to_send(self) -> bytes:
        """See `StreamProtocol`."""
        asked, self._asked = self._asked, b""
        return asked

    def ping(self) -> None:
        """See `StreamProtocol`."""
        self._asked += PING

    def close(self) -> None:
        """See `StreamProtocol`. Who writes sees that the other end is closed."""

    def _take(self, messages: list[str], events: list[StreamEvent]) -> None:
        if messages:
            events.append(InterimReceived(self._connection, tuple(messages)))

    def _end(self, kind: bytes, text: str) -> StreamEvent:
        if kind == REFUSED:
            return self._failed(text)
        self._ended = True
        return StreamClosed(self._connection, reason=text)

    def _failed(self, why: str, *, retryable: bool = False) -> StreamFailed:
        self._ended = True
        return StreamFailed(self._connection, TransportError(why, retryable=retryable))
