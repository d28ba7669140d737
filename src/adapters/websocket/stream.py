"""The streams of the legacy service: a websocket's events as those of a job. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import assert_never

from adapters.http.retry import RETRYABLE_STATUS, http_date, retry_after_seconds
from adapters.services.ibm_legacy import interim_messages
from adapters.websocket.protocol import WebSocketProtocol
from adapters.websocket.ws_events import (
    BinaryReceived,
    Closed,
    Failed,
    Headers,
    Opened,
    PongReceived,
    Rejected,
    TextReceived,
    WebSocketEvent,
)
from runtime_core.errors import TransportError
from runtime_core.events import (
    InterimReceived,
    StreamClosed,
    StreamEvent,
    StreamFailed,
    StreamNotReady,
    StreamOpened,
)

FOUND = 302
"""With this status the service refuses to stream a job that does not run yet."""


class JobStream:
    """The `StreamProtocol` of one connection.

    Args:
        connection: the number that the events carry.
        websocket: the connection's protocol, not started.
        where: what the stream is called in errors; no token in it.
        secret: what is taken out of the words of the service; empty if there is none.
    """

    def __init__(
        self, connection: int, websocket: WebSocketProtocol, where: str, secret: str = ""
    ) -> None:
        self._connection = connection
        self._websocket = websocket
        self._where = where
        self._secret = secret
        self._seen = 0

    def start(self) -> None:
        """See `StreamProtocol`."""
        self._websocket.start()

    def receive(self, data: bytes) -> Sequence[StreamEvent]:
        """See `StreamProtocol`."""
        events: list[StreamEvent] = []
        for event in self._websocket.receive(data):
            translated = self._translate(event)
            if translated is not None:
                events.append(translated)
            if isinstance(translated, StreamFailed):
                break  # a binary message: what came after it in the same read is not wanted
        return events

    def data_to_send(self) -> bytes:
        """See `StreamProtocol`."""
        return self._websocket.data_to_send()

    def ping(self) -> None:
        """See `StreamProtocol`."""
        self._websocket.ping()

    def close(self) -> None:
        """See `StreamProtocol`."""
        self._websocket.close()

    def _translate(self, event: WebSocketEvent) -> StreamEvent | None:
        match event:
            case TextReceived(texts):
                messages = interim_messages(texts, self._seen)
                self._seen += len(texts)
                return InterimReceived(self._connection, messages) if messages else None
            case Opened():
                return StreamOpened(self._connection)
            case PongReceived():
                return None
            case Closed(code, reason):
                if self._secret:  # services and proxies repeat what they were sent
                    reason = reason.replace(self._secret, "<access token>")
                return StreamClosed(self._connection, code, reason)
            case Rejected(status, headers):
                return self._refused(status, headers)
            case Failed(error):
                return StreamFailed(self._connection, error)
            case BinaryReceived(data):
                return self._unexpected(len(data))
        assert_never(event)

    def _refused(self, status: int, headers: Headers) -> StreamEvent:
        if status == FOUND:
            return StreamNotReady(self._connection)
        error = TransportError(
            f"{self._where} refused the stream with status {status}.",
            status,
            status in RETRYABLE_STATUS,
            _retry_after(headers),
        )
        return StreamFailed(self._connection, error)

    def _unexpected(self, size: int) -> StreamEvent:
        self._websocket.close(1003, "interim results are text")
        error = TransportError(
            f"{self._where} sent a binary message of {size} bytes; interim results are text."
        )
        return StreamFailed(self._connection, error)


def _retry_after(headers: Headers) -> float | None:
    """The seconds that the service asked to wait; a date is compared with that of the answer."""
    found = dict(headers)
    sent = http_date(found.get("date", ""))
    return retry_after_seconds(found.get("retry-after"), math.inf if sent is None else sent)
