"""What a service sends on a websocket, as bytes; and what `WebSocketProtocol` makes of it."""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import attrs
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Event

from adapters.websocket.protocol import WebSocketProtocol
from adapters.websocket.ws_events import (
    Closed,
    Failed,
    Rejected,
    TextReceived,
    WebSocketEvent,
    WebSocketState,
)

TOKEN = "s3cret-token"
LIMIT = 4096
LAST = (Rejected, Closed, Failed)

# ---- the peer ----------------------------------------------------------------------------------


def client(**options: Any) -> WebSocketProtocol:
    options = {"max_message_bytes": LIMIT} | options
    return WebSocketProtocol("host.example", "/stream", [("Authorization", TOKEN)], **options)


def accept_value(request: bytes) -> str:
    key = re.search(rb"Sec-WebSocket-Key: (\S+)", request, re.IGNORECASE)
    assert key is not None
    digest = hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    return base64.b64encode(digest).decode()


def accepted(request: bytes, *more: str) -> bytes:
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept_value(request)}",
        *more,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    if len(payload) < 126:
        return bytes([first, len(payload)]) + payload
    if len(payload) < 65536:
        return struct.pack("!BBH", first, 126, len(payload)) + payload
    return struct.pack("!BBQ", first, 127, len(payload)) + payload


def header(opcode: int, length: int, *, fin: bool = True) -> bytes:
    return struct.pack("!BBQ", (0x80 if fin else 0) | opcode, 127, length)


def text(words: str, *, fin: bool = True) -> bytes:
    return frame(1, words.encode(), fin=fin)


def close_frame(code: int, reason: bytes = b"") -> bytes:
    return frame(8, struct.pack("!H", code) + reason)


HELLO, WORLD = text("hello"), text("wörld")
BYE = close_frame(1000, b"bye")

# ---- how a scenario is run ---------------------------------------------------------------------


@attrs.frozen
class Broken:
    """A `Failed`, comparable."""

    message: str
    retryable: bool
    status_code: int | None
    close_code: int | None


@attrs.frozen
class Outcome:
    """What a stream came to, whatever way it was cut."""

    events: tuple[WebSocketEvent | Broken, ...]
    sent: tuple[Event, ...]
    state: WebSocketState


def normalise(events: Sequence[WebSocketEvent]) -> tuple[WebSocketEvent | Broken, ...]:
    """Merge adjacent `TextReceived`, make `Failed` comparable."""
    merged: list[WebSocketEvent | Broken] = []
    for event in events:
        previous = merged[-1] if merged else None
        if isinstance(event, TextReceived) and isinstance(previous, TextReceived):
            merged[-1] = TextReceived(previous.texts + event.texts)
        elif isinstance(event, Failed):
            error = event.error
            merged.append(
                Broken(error.message, error.retryable, error.status_code, event.close_code)
            )
        else:
            merged.append(event)
    return tuple(merged)


def sent_frames(data: bytes) -> tuple[Event, ...]:
    """Read what a client sent after its request with wsproto's server."""
    server = WSConnection(ConnectionType.SERVER)
    server.receive_data(REQUEST)
    list(server.events())
    server.send(AcceptConnection())
    server.receive_data(data)
    return tuple(server.events())


REQUEST = (
    b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)

Answer = Callable[[bytes], bytes]


def cut(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted({at for at in cuts if 0 < at < len(data)}), len(data)]
    return [data[i:j] for i, j in pairwise(edges)]


def run(
    answer: Answer, cutter: Callable[[bytes], list[bytes]], *, eof: bool, **options: Any
) -> Outcome:
    protocol = client(**options)
    protocol.start()
    request = protocol.data_to_send()
    events: list[WebSocketEvent] = []
    sent = b""
    for piece in [*cutter(answer(request)), *([b""] if eof else [])]:
        events += protocol.receive(piece)
        sent += protocol.data_to_send()
    ends = [event for event in events if isinstance(event, LAST)]
    assert ends == events[-1:] if protocol.state is WebSocketState.CLOSED else not ends
    return Outcome(normalise(events), sent_frames(sent), protocol.state)


def whole(data: bytes) -> list[bytes]:
    return [data]


def bytewise(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def frames(*parts: bytes) -> Answer:
    return lambda request: accepted(request) + b"".join(parts)


def raw(data: bytes) -> Answer:
    return lambda _request: data
