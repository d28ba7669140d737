"""A websocket client without I/O: bytes in, events and bytes out (RFC 6455).

wsproto cuts the frames, but for the plain ones of `ws_fast_path`; here is what it leaves to its
user: pings and close frames are answered, fragments put together, messages limited, and a failure
ends the connection. No extension is ever offered: a few kilobytes of compressed input can inflate
to gigabytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import assert_never

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import (
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Ping,
    Pong,
    TextMessage,
)
from wsproto.frame_protocol import CloseReason

from adapters.websocket.ws_events import (
    BinaryReceived,
    Closed,
    Failed,
    Opened,
    PongReceived,
    Rejected,
    TextReceived,
    WebSocketEvent,
    WebSocketState,
)
from adapters.websocket.ws_fast_path import FastPath
from adapters.websocket.ws_handshake import Handshake
from adapters.websocket.ws_size_guard import SizeGuard
from runtime_core.errors import TransportError, UsageError

_FEED_BYTES = 64 * 1024
"""What wsproto gets at a time: fed 64 MiB at once it is two and a half times slower."""

_SMALL_BYTES = 4096
"""A read up to this size is looked at as a whole first: on a quiet connection it is one message."""

_CONTROL_PAYLOAD_BYTES = 125
"""The most that a ping or a close frame can carry (RFC 6455, section 5.5)."""

_SENDABLE_CODES = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})
"""The close codes below 3000 that may be on the wire (RFC 6455, section 7.4, and IANA)."""


class WebSocketProtocol:
    """One websocket connection, seen from the client. Used by one thread at a time.

    Call `start` when the socket is connected, and `receive` with all that is read from it; after
    each call write what `data_to_send` returns. A `Rejected`, `Closed` or `Failed` is the last
    event: write what is left, then end the connection. Deadlines are the caller's; when one for the
    handshake has passed, ``receive(b"")`` still tells of a rejection that stopped in its body.

    Args:
        host: the value of the Host header: a name, or an address (IPv6 in brackets), with
            ``:port`` if it is not the scheme's own.
        target: the path and query of the URL.
        headers: more headers of the request, for instance the access token's.
        max_message_bytes: the limit of a message, over all its fragments, in bytes of UTF-8.
        max_handshake_bytes: the limit of the headers that answer the handshake.
        fast_path: whether plain messages are cut out before wsproto sees them. Without, the same
            comes out, several times slower.

    Raises:
        ValueError: if host, target or headers cannot stand in a request. It never quotes them.
    """

    def __init__(
        self,
        host: str,
        target: str,
        headers: Sequence[tuple[str, str]] = (),
        *,
        max_message_bytes: int = 64 * 1024 * 1024,
        max_handshake_bytes: int = 64 * 1024,
        fast_path: bool = True,
    ) -> None:
        self.state = WebSocketState.CONNECTING
        self._host = host
        self._max_message_bytes = max_message_bytes
        self._handshake: Handshake | None = Handshake(host, target, headers, max_handshake_bytes)
        self._connection: Connection | None = None
        self._fast_path = FastPath(max_message_bytes) if fast_path else None
        self._outbox = bytearray()
        # What is there of a message, as bytes: where it drips, the parts are single characters, of
        # which a list takes up to 84 bytes each (on Python 3.11 a StringIO too).
        self._partial = bytearray()

    def __repr__(self) -> str:
        return f"<WebSocketProtocol {self._host} {self.state.name}>"

    def start(self, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Make the request of the handshake ready to be sent. Call it once.

        Args:
            headers: more headers, for instance an access token's that is only known now.

        Raises:
            ValueError: if one of them cannot stand in a request. It never quotes them.
        """
        if self._handshake is not None:
            self._outbox += self._handshake.request(headers)

    def receive(self, data: bytes) -> tuple[WebSocketEvent, ...]:
        """Take what was read; ``b""`` is the end of the stream. Never raises, whatever comes.

        How the stream is cut makes no difference to the events, except that the text messages of
        one call which have no other event between them come as one.
        """
        if self._fast_path is not None and len(data) <= _SMALL_BYTES:
            texts = self._fast_path.cut_whole(data)
            if texts:
                return (TextReceived(tuple(texts)),)
        found = _Found()
        if not data:
            self._receive_end(found)
        elif self._handshake is not None:
            self._receive_handshake(self._handshake, data, found)
        else:
            self._receive_frames(data, found)
        return found.events()

    def data_to_send(self) -> bytes:
        """Take what has to be written to the socket now; ``b""`` if there is nothing."""
        if not self._outbox:
            return b""
        data = bytes(self._outbox)
        self._outbox.clear()
        return data

    def ping(self, payload: bytes = b"") -> None:
        """Ask the peer for a sign of life, a `PongReceived`. Nothing happens unless OPEN.

        Raises:
            ValueError: if the payload has more than 125 bytes.
        """
        if len(payload) > _CONTROL_PAYLOAD_BYTES:
            raise ValueError(f"A ping carries at most {_CONTROL_PAYLOAD_BYTES} bytes.")
        if self.state is WebSocketState.OPEN:
            self._send(Ping(payload))

    def send_text(self, text: str) -> None:
        """Send a text message.

        Raises:
            UsageError: if the connection is not OPEN.
            ValueError: if the text has a lone surrogate, for which there is no UTF-8.
        """
        self._send_message(TextMessage(text))

    def send_binary(self, data: bytes) -> None:
        """Send a binary message.

        Raises:
            UsageError: if the connection is not OPEN.
        """
        self._send_message(BytesMessage(data))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Begin an orderly close: the last event, `Closed`, follows when the peer answers it.

        While CONNECTING there is no frame to send and no event will follow: just end the
        connection. Nothing happens when it is CLOSING or CLOSED already.

        Raises:
            ValueError: if the code may not be sent, or the reason has more than 123 bytes of UTF-8.
        """
        if code not in _SENDABLE_CODES and not 3000 <= code <= 4999:
            raise ValueError(f"{code} is no close code that may be sent; use 1000 or 4000-4999.")
        if len(reason.encode()) > _CONTROL_PAYLOAD_BYTES - 2:
            raise ValueError(f"A close reason has at most {_CONTROL_PAYLOAD_BYTES - 2} bytes.")
        if self.state is WebSocketState.CONNECTING:
            self._end()
        elif self.state is WebSocketState.OPEN:
            self._send(CloseConnection(code, reason))
            self.state = WebSocketState.CLOSING

    def _send(self, event: Event) -> None:
        assert self._connection is not None
        self._outbox += self._connection.send(event)

    def _send_message(self, message: Message[str] | Message[bytes | bytearray]) -> None:
        if self.state is not WebSocketState.OPEN:
            raise UsageError(f"Cannot send a message: the connection is {self.state.name}.")
        self._send(message)

    def _receive_end(self, found: _Found) -> None:
        if self._handshake is not None:
            found.add(self._handshake.receive_end())
            self._end()
        elif self.state is not WebSocketState.CLOSED:
            # wsproto is not told: it would give a 1006 after an orderly close, too.
            self._fail(1006, "ended the connection without a close frame", found)

    def _receive_handshake(self, handshake: Handshake, data: bytes, found: _Found) -> None:
        outcome = handshake.receive(data)
        match outcome:
            case None:
                return
            case Opened():
                found.add(outcome)
                self.state = WebSocketState.OPEN
                self._handshake = None  # and with it the access token
                guard = SizeGuard(self._max_message_bytes)
                self._connection = Connection(ConnectionType.CLIENT, [guard])
                self._receive_frames(handshake.rest(), found)
            case Rejected() | Failed():
                found.add(outcome)
                self._end()
            case _:
                assert_never(outcome)

    def _receive_frames(self, data: bytes, found: _Found) -> None:
        cut: Iterable[list[str] | bytes] = (data,)
        if self._fast_path is not None:
            cut = self._fast_path.cut(data)
        for piece in cut:
            if isinstance(piece, list):
                found.add_texts(piece)
            else:
                self._feed_all(piece, found)
            if self._connection is None:
                return

    def _feed_all(self, data: bytes, found: _Found) -> None:
        for start in range(0, len(data), _FEED_BYTES):
            # After its parse error wsproto would let bytes pile up; after a close it would raise.
            if self._connection is None:
                return
            self._feed(self._connection, data[start : start + _FEED_BYTES], found)

    def _feed(self, connection: Connection, data: bytes, found: _Found) -> None:
        """Hand bytes to wsproto and take its events: the one place where this is done."""
        connection.receive_data(data)
        for event in connection.events():
            match event:
                case TextMessage():
                    self._take_text(event, found)
                case BytesMessage():
                    self._take_binary(event, found)
                case Ping():
                    # Once we are CLOSING, nothing but the peer's close frame matters.
                    if self.state is WebSocketState.OPEN:
                        self._send(event.response())
                case Pong():
                    found.add(PongReceived(bytes(event.payload)))
                case CloseConnection():
                    self._take_close(connection, event, found)

    def _take_text(self, part: TextMessage, found: _Found) -> None:
        if part.message_finished and not self._partial:
            found.add_texts([part.data])
            return
        whole = self._gather(part.data.encode(), finished=part.message_finished)
        if whole is not None:
            found.add_texts([str(whole, "utf-8")])

    def _take_binary(self, part: BytesMessage, found: _Found) -> None:
        if part.message_finished and not self._partial:
            found.add(BinaryReceived(bytes(part.data)))
            return
        whole = self._gather(part.data, finished=part.message_finished)
        if whole is not None:
            found.add(BinaryReceived(bytes(whole)))

    def _gather(self, payload: bytes | bytearray, *, finished: bool) -> bytearray | None:
        self._partial += payload
        if not finished:
            return None
        whole, self._partial = self._partial, bytearray()
        return whole

    def _take_close(self, connection: Connection, close: CloseConnection, found: _Found) -> None:
        match connection.state:
            case ConnectionState.OPEN | ConnectionState.LOCAL_CLOSING:
                # wsproto tells its parse errors as close events, but stays in its state.
                self._fail(close.code, _breach(close, self._max_message_bytes), found)
            case _:
                if connection.state is ConnectionState.REMOTE_CLOSING:
                    self._send(close.response())
                found.add(Closed(int(close.code), close.reason or ""))
                self._end()

    def _fail(self, code: int, what: str, found: _Found) -> None:
        if code != 1006 and self.state is WebSocketState.OPEN:
            self._send(CloseConnection(code))  # RFC 6455, section 7.1.7
        # The same text or the same long message would come again; the rest may be a proxy's doing.
        error = TransportError(f"{self._host} {what}.", retryable=code in (1002, 1006))
        found.add(Failed(error, int(code)))
        self._end()

    def _end(self) -> None:
        self.state = WebSocketState.CLOSED
        self._handshake = None
        self._connection = self._fast_path = None
        self._partial = bytearray()


def _breach(close: CloseConnection, max_message_bytes: int) -> str:
    match close.code:
        case CloseReason.MESSAGE_TOO_BIG:
            return f"sent a message of more than {max_message_bytes} bytes"
        case CloseReason.INVALID_FRAME_PAYLOAD_DATA:
            # Not wsproto's words: they tell a position, counted from where the stream was cut.
            return "sent text that is not UTF-8"
        case _:
            return f"broke the websocket protocol: {close.reason}"


class _Found:
    """The events of one call, in order; texts that stand next to each other are one."""

    def __init__(self) -> None:
        self._events: list[WebSocketEvent] = []
        self._texts: list[str] = []

    def add(self, event: WebSocketEvent) -> None:
        self._flush()
        self._events.append(event)

    def add_texts(self, texts: list[str]) -> None:
        self._texts += texts

    def events(self) -> tuple[WebSocketEvent, ...]:
        self._flush()
        return tuple(self._events)

    def _flush(self) -> None:
        if self._texts:
            self._events.append(TextReceived(tuple(self._texts)))
            self._texts = []
