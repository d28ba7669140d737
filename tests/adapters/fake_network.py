"""A network without sockets: real `ByteChannel`s over connections whose bytes a test controls.

A `FakeSocket` has what the channel uses of a socket. What its peer has written is read in the
pieces in which it was written; the loop tells a readiness as a selector does: as long as it lasts.
"""

from __future__ import annotations

import errno
import socket
from collections import deque
from collections.abc import Callable, Sequence
from selectors import EVENT_READ, EVENT_WRITE
from typing import Any, TypeAlias, cast

import pytest
from fakes import FakeReactor, Task

from adapters.drivers import channel, connector
from adapters.drivers.channel import Channel
from adapters.drivers.loop import Ready
from adapters.drivers.open_stream import open_stream
from adapters.drivers.workers import WorkerPool
from adapters.testing.fake_reactor import ReactorTimer
from adapters.transport import AnyStream, HasFileno
from runtime_core.events import StreamEvent

Receive: TypeAlias = Callable[[bytes], None]
"""Takes what a client writes."""
Accept: TypeAlias = Callable[["FakeSocket"], Receive]
"""Is called with every connection that is made."""


class FakeSocket:
    """The client's end of a connection, and for the peer a handle on it."""

    def __init__(self, network: NetworkReactor) -> None:
        self.number = len(network.sockets) + 1
        self.is_closed = False
        self.opened_at = network.time
        self.closed_at: float | None = None
        self.read = 0
        """How many bytes the client has read."""
        self.is_writable = True
        """Whether what the client writes is taken."""
        self.network = network
        self._connects = network.doors(self.number)
        self._receive: Receive = _nobody
        self._unread: deque[bytes] = deque()
        self._end: OSError | None = None
        self._ended = False
        self._write_error: OSError | None = None
        self._mask = 0
        self._ready: Ready = _ignore
        self._told = False

    # ---- the peer's ----------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Let the client read this, in one piece."""
        assert data
        if not (self._ended or self.is_closed):
            self._unread.append(data)
            self.tell()

    def end(self, error: OSError | None = None) -> None:
        """Let the client find the end, or the error, after what it has still to read."""
        self._ended, self._end = True, error
        self.tell()

    def refuse_writes(self, error: OSError) -> None:
        """Fail what the client writes from now on."""
        self._write_error = error

    # ---- the loop's ----------------------------------------------------------------------------

    def watch(self, mask: int, ready: Ready) -> None:
        self._mask, self._ready = mask, ready
        self.tell()

    def tell(self) -> None:
        """Have the loop call the client, if there is something to call it for."""
        if not self._told and self._events():
            self._told = True
            self.network.call_on_loop(self._call)

    def _call(self) -> None:
        self._told = False
        events = self._events()
        if events:
            self._ready(events)
            self.tell()

    def _events(self) -> int:
        if self.is_closed:
            return 0
        readable = EVENT_READ if self._unread or self._ended else 0
        writable = EVENT_WRITE if self.is_writable and self._connects is not None else 0
        return (readable | writable) & self._mask

    # ---- the client's --------------------------------------------------------------------------

    def setblocking(self, flag: bool) -> None:
        assert not flag

    def setsockopt(self, *_: int) -> None: ...

    def connect_ex(self, address: object) -> int:
        return errno.EINPROGRESS

    def getsockopt(self, *_: int) -> int:
        assert self._connects is not None
        if not self._connects:
            self._receive = self.network.accept(self)
        return self._connects

    def recv(self, size: int) -> bytes:
        assert not self.is_closed
        if self._unread:
            data = self._unread.popleft()
            if len(data) > size:
                self._unread.appendleft(data[size:])
            self.read += len(data[:size])
            return data[:size]
        if not self._ended:
            raise BlockingIOError
        if self._end is not None:
            raise self._end
        return b""

    def send(self, data: bytes | bytearray) -> int:
        assert not self.is_closed
        if self._write_error is not None:
            raise self._write_error
        if not self.is_writable:
            raise BlockingIOError
        self._receive(bytes(data))
        return len(data)

    def shutdown(self, how: int) -> None:
        assert how == socket.SHUT_WR
        if self._write_error is not None:
            raise self._write_error
        self.end()  # so does a peer that hears of it

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self.closed_at = self.network.time
            self._unread.clear()

    def fileno(self) -> int:
        return -1 if self.is_closed else self.number


def _ignore(_: int) -> None: ...


def _nobody(_: bytes) -> None:
    raise AssertionError("nothing is written before there is a connection")


class NetworkLoop:
    """The `Loop` of a `NetworkReactor`."""

    def __init__(self, reactor: NetworkReactor) -> None:
        self._reactor = reactor

    def now(self) -> float:
        return self._reactor.now()

    def call_soon(self, task: Task) -> None:
        self._reactor.call_soon(task)

    def call_later(self, delay: float, task: Task) -> ReactorTimer:
        return self._reactor.call_later(delay, task)

    def watch(self, sock: HasFileno, mask: int, ready: Ready) -> None:
        assert isinstance(sock, FakeSocket)
        sock.watch(mask, ready)


class NetworkWorkers:
    """The `WorkerPool` that looks names up."""

    def __init__(self, reactor: NetworkReactor) -> None:
        self._reactor = reactor

    def submit(self, task: Task) -> None:
        self._reactor.run_request(task)


class NetworkReactor(FakeReactor):
    """A `FakeReactor` whose connections are real channels; `accept` is the peer of all of them."""

    def __init__(self, accept: Accept) -> None:
        super().__init__()
        self.accept = accept
        self.sockets: list[FakeSocket] = []
        """Every connection, the newest last."""
        self.addresses = 1
        """How many addresses the service has."""
        self.doors: Callable[[int], int | None] = lambda _: 0
        """The error number with which each connection, by its number, is refused; None for no
        answer at all."""
        self._loop = NetworkLoop(self)
        PLUG.network = self

    @property
    def time(self) -> float:
        """The time since the beginning, without what the arithmetic of floats adds to it."""
        return round(self.elapsed, 6)

    @property
    def open_sockets(self) -> list[FakeSocket]:
        return [sock for sock in self.sockets if not sock.is_closed]

    def call_on_loop(self, task: Task) -> None:
        self._tasks.append(task)

    def open_channel(
        self,
        connection: int,
        stream: AnyStream,
        listener: Callable[[Sequence[StreamEvent]], None],
    ) -> Channel:
        workers = cast("WorkerPool", NetworkWorkers(self))
        return open_stream(self._loop, workers, connection, stream, listener)

    def connect(self) -> FakeSocket:
        made = FakeSocket(self)
        self.sockets.append(made)
        return made


class SocketModule:
    """Stands for the module `socket` in those of channels and connectors."""

    SOCK_STREAM = socket.SOCK_STREAM
    IPPROTO_TCP = socket.IPPROTO_TCP
    TCP_NODELAY = socket.TCP_NODELAY
    SOL_SOCKET = socket.SOL_SOCKET
    SO_ERROR = socket.SO_ERROR
    SO_KEEPALIVE = socket.SO_KEEPALIVE
    SHUT_WR = socket.SHUT_WR
    network: NetworkReactor

    def socket(self, *_: int) -> FakeSocket:
        return self.network.connect()

    def getaddrinfo(self, host: str, port: int, **_: int) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (host, port))] * self.network.addresses


PLUG = SocketModule()
"""Leads to the network that was made last."""


def plug_in(patch: pytest.MonkeyPatch) -> None:
    """Let channels connect to the fake network instead of the world."""
    for module in (channel, connector):
        patch.setattr(module, "socket", PLUG)
