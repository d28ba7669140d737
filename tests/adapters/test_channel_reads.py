"""How a channel reads: more at a time from a busy connection, without asking the selector anew."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable, Sequence
from typing import cast

from adapters.drivers.channel import READ_BYTES, READ_LIMIT, SocketChannel
from adapters.drivers.shared_loop import SharedLoop, Timer
from adapters.drivers.workers import WorkerPool
from adapters.transport import StreamEndpoint
from runtime_core.events import StreamEvent


class FakeSocket:
    """Always has as much as is asked for, up to what is left."""

    def __init__(self) -> None:
        self.left = 0
        self.asked: list[int] = []

    def recv(self, size: int) -> bytes:
        self.asked.append(size)
        data = bytes(min(size, self.left))
        self.left -= len(data)
        return data or b"x"

    def send(self, data: bytes) -> int:
        return len(data)


class FakeLoop:
    """Keeps what it is told to watch."""

    def __init__(self) -> None:
        self.masks: list[int] = []

    def call_later(self, delay: float, task: Callable[[], None]) -> Timer:
        return Timer(task)

    def call_soon(self, task: Callable[[], None]) -> None: ...

    def watch(self, sock: object, mask: int, ready: Callable[[int], None]) -> None:
        self.masks.append(mask)


class NoWorkers:
    def submit(self, task: Callable[[], None]) -> None: ...


class Sink:
    """A `StreamProtocol` to which nothing means anything."""

    def __init__(self) -> None:
        self.answer = b""

    def start(self) -> None: ...

    def receive(self, data: bytes) -> Sequence[StreamEvent]:
        return ()

    def data_to_send(self) -> bytes:
        answer, self.answer = self.answer, b""
        return answer

    def ping(self) -> None: ...

    def close(self) -> None: ...


class Scene:
    def __init__(self) -> None:
        self.loop, self.socket, self.sink = FakeLoop(), FakeSocket(), Sink()
        self.channel = SocketChannel(
            cast("SharedLoop", self.loop),
            cast("WorkerPool", NoWorkers()),
            1,
            StreamEndpoint("host.example", 1, None, self.sink),
            lambda _: None,
        )
        self.channel._socket = cast("socket.socket", self.socket)
        self.channel._on_secured()

    def has(self, size: int) -> list[int]:
        """Read until nothing of so many bytes is left; how much was asked for each time."""
        self.socket.left, self.socket.asked = size, []
        while self.socket.left:
            self.channel._on_ready()
        return self.socket.asked


def test_a_busy_connection_is_read_in_larger_pieces_up_to_a_limit() -> None:
    asked = Scene().has(16 * READ_LIMIT)
    assert asked[:2] == [READ_BYTES, 2 * READ_BYTES]
    assert max(asked) == asked[-1] == READ_LIMIT


def test_a_quiet_connection_is_read_in_small_pieces_again() -> None:
    scene = Scene()
    scene.has(16 * READ_LIMIT)
    scene.has(100)
    assert scene.has(100) == [READ_BYTES]


def test_what_is_watched_is_told_when_it_changes_only() -> None:
    scene = Scene()
    scene.has(4 * READ_LIMIT)
    assert scene.loop.masks == [selectors.EVENT_READ]
    scene.channel.pause()
    scene.channel.pause()
    scene.channel.resume()
    assert scene.loop.masks == [selectors.EVENT_READ, 0, selectors.EVENT_READ]
