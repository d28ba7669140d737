"""How connections come in: who has not shown the token yet gets little room and little time.

A connection is a *guest* until the head of one of its requests has passed the gate. There are at
most so many guests, one more and the oldest has to go: a client that means well is admitted within
milliseconds, since it sends its request at once. What a guest sends is not read beyond the head of
its first request. The one exception is a request for a bearer token, whose form of at most 4 KiB is
read; its sender stays a guest. So whoever has no token can make the service neither wait nor run
out of file descriptors or memory, however many connections they open and however slowly they send.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import struct
from http import HTTPStatus
from typing import Any

import h11
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from adapters.local.bearer import is_token_request
from adapters.local.gate import MAX_HEAD_BYTES, Gate, Refusal, message_body

ACCEPT_BATCH = 16
"""How many connections are accepted before those accepted so far are looked at: the `backlog` of
uvicorn, and of asyncio, which calls by this name also what `QUEUE` is."""

QUEUE = 4096
"""How many connections the kernel lets wait until they are accepted; more are not answered and try
again after a second. (It lowers this to what the machine allows.)"""

MAX_GUESTS = 1024
"""How many guests there may be."""

PATIENCE = 10.0
"""The seconds after which a guest is told that it took too long."""

LINGER = 1.0
"""The seconds that a refused client has to read the answer, and to stop sending."""

LINGER_BYTES = 1 << 20
"""What a refused client may go on to send: it is dropped. If the connection were closed with bytes
on their way, its reset could overtake the answer (RFC 9112, 9.6)."""

_MAX_FILES = 1 << 16
_RESET = struct.pack("ii", 1, 0)

_NO_HTTP = Refusal(400, "This is not a valid HTTP/1.1 request.")
_MALFORMED = {
    431: Refusal(431, f"The request's head is longer than {MAX_HEAD_BYTES >> 10} KiB."),
    501: Refusal(501, "The only Transfer-Encoding that is understood is chunked."),
}


def raise_file_limit() -> int:
    """Let this process have as many files open as it may, at most 65,536; give how many that are.

    Its children inherit this.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_FILES)
    # macOS allows less than its hard limit says; 10,240 are what it always allows.
    for wanted in (most, 10_240):
        if soft != resource.RLIM_INFINITY and soft < wanted <= most:
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
                return wanted
    return most if soft == resource.RLIM_INFINITY else soft


class Doorkeeper:
    """Knows the guests, and how many connections there may be.

    Args:
        gate: Who is let in.
        files: How many files the process may have open (`raise_file_limit` tells). A quarter of
            them is never used for connections: the store, the programs' pipes and what has been
            accepted but not looked at need some.
        max_guests: How many guests there may be; no more than a quarter of `files`.
        patience: The seconds that a guest has.
        linger: The seconds that a refused client has.
    """

    def __init__(
        self,
        gate: Gate,
        files: int,
        max_guests: int = MAX_GUESTS,
        patience: float = PATIENCE,
        linger: float = LINGER,
    ) -> None:
        self.gate = gate
        self.patience = patience
        self.linger = linger
        self._max_guests = max(1, min(max_guests, files // 4))
        self._max_admitted = files * 3 // 4 - self._max_guests
        self._guests: dict[Door, None] = {}

    @property
    def guests(self) -> int:
        """How many guests there are."""
        return len(self._guests)

    def protocol(self) -> type[asyncio.Protocol]:
        """Give what uvicorn is to speak HTTP with: ``Config(http=doorkeeper.protocol())``."""

        class DoorOfThis(Door):
            keeper = self

        return DoorOfThis

    def enter(self, door: Door) -> None:
        """Take up a new connection; the oldest guest may have to go for it."""
        self._guests[door] = None
        if len(self._guests) > self._max_guests:
            oldest = next(iter(self._guests))
            self.leave(oldest)
            oldest.reset()

    def admit(self, door: Door) -> Refusal | None:
        """Make a guest one that may stay, if there is room.

        One is refused rather than an idle one closed: a client that is refused knows that nothing
        was done, and may try again; one whose connection ends under its request does not know.
        """
        if door in self._guests:
            if len(door.connections) - len(self._guests) >= self._max_admitted:
                return Refusal(503, "Too many connections are open: close some and try again.")
            self.leave(door)
        return None

    def leave(self, door: Door) -> None:
        """Forget a guest that goes, or is none any more."""
        self._guests.pop(door, None)


class _Connection(h11.Connection):
    """Reads requests, and refuses with the right status those that are malformed or not let in.

    A refusal is an error like h11's own, so that no body is read, no task is started and no
    connection is upgraded.
    """

    def __init__(self, door: Door) -> None:
        super().__init__(h11.SERVER, MAX_HEAD_BYTES)
        self._door = door
        self.refusal = _NO_HTTP
        """What is to be answered after an error."""
        self.method = b""
        """The method of the last request."""

    def forget_door(self) -> None:
        """Let go of the connection that is no more: a cycle would be left to the collector.

        Of some thousands it takes a quarter of a second at once, in which nobody is served.
        """
        del self._door

    def next_event(self) -> h11.Event | type[h11.NEED_DATA | h11.PAUSED]:
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as error:
            # Its text is not passed on: it repeats the line, and a header may hold the token.
            self.refusal = _MALFORMED.get(error.error_status_hint, _NO_HTTP)
            error.__traceback__ = None  # a cycle too: h11 raises it from a method of its own
        else:
            if not isinstance(event, h11.Request):
                return event
            self.method = event.method
            keeper = self._door.keeper
            refusal = keeper.gate.refusal(event.method, event.target, event.headers)
            if refusal is None and is_token_request(event.method, event.target):
                return event  # nothing is shown yet: its sender has no more time than any guest
            refusal = refusal or keeper.admit(self._door)
            if refusal is None:
                self._door.stay()
                return event
            self.refusal = refusal
        raise h11.RemoteProtocolError(self.refusal.message, self.refusal.status_code)


class Door(H11Protocol):
    """One connection: a guest, then admitted, and dismissed once a request of it was refused."""

    keeper: Doorkeeper

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn: _Connection = _Connection(self)
        self._timer: asyncio.TimerHandle | None = None
        # What a dismissed client may still send; None while it is not dismissed.
        self._linger_bytes: int | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection up as a guest."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(self.keeper.patience, self._expire)
        self.keeper.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        super().connection_lost(exc)
        self.conn.forget_door()
        self.stay()
        self.keeper.leave(self)

    def data_received(self, data: bytes) -> None:
        """Read requests; drop what comes after one that was refused."""
        if self._linger_bytes is None:
            super().data_received(data)
            return
        self._linger_bytes -= len(data)
        if self._linger_bytes < 0:
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - h11's words, see above
        """Answer what `conn` refused, if there is no answer under way, and take no more."""
        self._dismiss(self.conn.refusal)

    def stay(self) -> None:
        """Go on without a deadline."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def reset(self) -> None:
        """End the connection at once, and have the kernel forget it too."""
        raw = self.transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def _expire(self) -> None:
        self._dismiss(Refusal(408, f"No request came within {self.keeper.patience:g} s."))

    def _dismiss(self, refusal: Refusal) -> None:
        if self.transport.is_closing():
            return
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._answer(refusal)
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            # Its body broke off. For the application that is as if the client had gone.
            cycle.disconnected = True
            cycle.message_event.set()
        self._linger_bytes = LINGER_BYTES
        self.stay()
        self._timer = self.loop.call_later(self.keeper.linger, self.transport.abort)
        with contextlib.suppress(OSError):  # it has gone already
            self.transport.write_eof()

    def _answer(self, refusal: Refusal) -> None:
        body = message_body(refusal.message)
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
        ]
        response = h11.Response(
            status_code=refusal.status_code,
            headers=headers,
            reason=HTTPStatus(refusal.status_code).phrase,
        )
        answer = self.conn.send(response) or b""
        if self.conn.method != b"HEAD":
            answer += self.conn.send(h11.Data(data=body)) or b""
        self.transport.write(answer + (self.conn.send(h11.EndOfMessage()) or b""))
