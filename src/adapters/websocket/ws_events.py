"""What a websocket client tells: its state, and the events of `WebSocketProtocol.receive`.

`Rejected`, `Closed` and `Failed` each end a connection; nothing follows them.
"""

from __future__ import annotations

from enum import Enum
from typing import TypeAlias

import attrs

from runtime_core.errors import TransportError

Headers: TypeAlias = tuple[tuple[str, str], ...]
"""Names in lower case with their values, in the order of the wire."""


class WebSocketState(Enum):
    """Where a connection is in its life (RFC 6455, sections 4 and 7)."""

    CONNECTING = "connecting"
    """The handshake is not answered."""
    OPEN = "open"
    """Messages go both ways."""
    CLOSING = "closing"
    """We sent a close frame and wait for the peer's; messages may still come."""
    CLOSED = "closed"
    """Over: nothing is read any more, but `data_to_send` may have a last frame."""

    __hash__ = object.__hash__


@attrs.frozen
class Opened:
    """The service accepted the handshake; messages may follow."""

    headers: Headers = attrs.field(repr=False)
    """Those of the answer, without the handshake's own. Not shown: cookies are among them."""


@attrs.frozen
class Rejected:
    """The service answered the handshake with a plain HTTP response. The last event."""

    status_code: int
    """The HTTP status, never a 1xx."""
    headers: Headers = attrs.field(repr=False)
    """Those of the answer. Not shown: cookies and signed locations are among them."""
    body: bytes
    """The body as far as it was waited for, 16 KiB at most; empty for a redirect, and where only
    the end of the connection would end it."""


@attrs.frozen
class TextReceived:
    """Whole text messages: all that stood next to each other in one read."""

    texts: tuple[str, ...]
    """The messages in order, at least one."""


@attrs.frozen
class BinaryReceived:
    """A whole binary message."""

    data: bytes
    """The message."""


@attrs.frozen
class PongReceived:
    """The service answered a ping, or sent a pong unasked."""

    payload: bytes
    """What the ping carried, 125 bytes at most."""


@attrs.frozen
class Closed:
    """The service sent a close frame, first or in answer to ours. The last event."""

    code: int
    """The close code (RFC 6455, section 7.4); 1005 if the frame had none."""
    reason: str
    """The service's words for it, often empty."""


@attrs.frozen
class Failed:
    """The connection could not be opened, or broke without a close frame. The last event."""

    error: TransportError
    """What happened; its `retryable` says whether a new connection may do better."""
    close_code: int | None
    """1002 for a breach of the protocol, 1006 for an end without a close frame, 1007 for text
    that is not UTF-8, 1009 for a message over the limit; None if it was never open."""


WebSocketEvent: TypeAlias = (
    Opened | Rejected | TextReceived | BinaryReceived | PongReceived | Closed | Failed
)
"""Everything that a connection tells."""
