"""The streams of the legacy service: a websocket's events as those of a job. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, assert_never

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

UNAUTHORIZED = 401
"""With this status it refuses an access token, which may have run out."""


class Identity(Protocol):
    """Says to the service who asks for one stream."""

    def headers(self) -> Sequence[tuple[str, str]]:
        """Give what the handshake says: the token as it is now. Called once."""
        ...

    def refuse(self) -> None:
        """Take note that the service did not accept what `headers` gave."""
        ...

    def hidden(self, text: str) -> str:
        """Give a text of the service's without secrets in it."""
        ...


class JobStream:
    """The `StreamProtocol` of one connection.

    Args:
        connection: the number that the events carry.
        websocket: the connection's protocol, not started.
        where: what the stream is called in errors; no token in it.
        identity: says who asks.
    """

    def __init__(
        self, connection: int, websocket: WebSocketProtocol, where: str, identity: Identity
    ) -> None:
        self._connection = connection
        self._websocket = websocket
        self._where = where
        self._identity = identity
        self._seen = 0

    def start(self) -> None:
        """See `StreamProtocol`."""
        self._websocket.start(self._identity.headers())

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
                # Services and proxies repeat what they were sent.
                return StreamClosed(self._connection, code, self._identity.hidden(reason))
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
        if status == UNAUTHORIZED:
            self._identity.refuse()
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
