"""A channel step by step, on a socket and a loop that are none: how it reads, and how it leaves."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable, Sequence
from typing import cast

from adapters.drivers.channel import (
    CLOSE_TIMEOUT,
    FIRST_READ_BYTES,
    READ_BYTES,
    READ_LIMIT,
    ByteChannel,
)
from adapters.drivers.shared_loop import SharedLoop, Timer
from adapters.drivers.workers import WorkerPool
from adapters.transport import StreamEndpoint
from runtime_core.errors import TransportError
from runtime_core.events import InterimReceived, StreamEvent, StreamFailed, StreamOpened


class FakeSocket:
    """Has as much as is asked for, up to what is left; takes `room` bytes."""

    def __init__(self) -> None:
        self.left = 0
        self.has_ended = False
        self.room = 1000
        self.asked: list[int] = []
        self.sent = b""
        self.is_shut = False
        self.is_closed = False

    def recv(self, size: int) -> bytes:
        self.asked.append(size)
        if not self.left and not self.has_ended:
            raise BlockingIOError
        data = bytes(min(size, self.left))
        self.left -= len(data)
        return data

    def send(self, data: bytes) -> int:
        taken = bytes(data[: self.room])
        if not taken:
            raise BlockingIOError
        self.sent += taken
        self.room -= len(taken)
        return len(taken)

    def shutdown(self, how: int) -> None:
        assert how == socket.SHUT_WR
        self.is_shut = True

    def close(self) -> None:
        self.is_closed = True


class FakeLoop:
    """Keeps what it is told to watch."""

    def __init__(self) -> None:
        self.masks: list[int] = []
        self.timers: list[tuple[float, Timer]] = []

    def call_later(self, delay: float, task: Callable[[], None]) -> Timer:
        self.timers.append((delay, Timer(task)))
        return self.timers[-1][1]

    def fire(self, delay: float) -> None:
        """Let the time come of the timers of this delay that are armed."""
        for armed, timer in tuple(self.timers):
            if armed == delay and timer.task is not None:
                timer.task()

    def call_soon(self, task: Callable[[], None]) -> None: ...

    def watch(self, sock: object, mask: int, ready: Callable[[int], None]) -> None:
        self.masks.append(mask)


class NoWorkers:
    def submit(self, task: Callable[[], None]) -> None: ...


class Sink:
    """A `StreamProtocol` to which all bytes mean the same event, or nothing."""

    def __init__(self) -> None:
        self.answer = b""
        self.event: StreamEvent | None = None

    def start(self) -> None: ...

    def receive(self, data: bytes) -> Sequence[StreamEvent]:
        return () if self.event is None else (self.event,)

    def data_to_send(self) -> bytes:
        answer, self.answer = self.answer, b""
        return answer

    def ping(self) -> None: ...

    def close(self) -> None: ...


class Scene:
    def __init__(self) -> None:
        self.loop, self.socket, self.sink = FakeLoop(), FakeSocket(), Sink()
        self.heard: list[StreamEvent] = []
        self.channel = ByteChannel(
            cast("SharedLoop", self.loop),
            cast("WorkerPool", NoWorkers()),
            1,
            StreamEndpoint("host.example", 1, None, self.sink),
            self.heard.extend,
        )
        self.channel._on_connected(cast("socket.socket", self.socket))

    def has(self, size: int) -> list[int]:
        """Read until nothing of so many bytes is left; how much was asked for each time."""
        self.socket.left, self.socket.asked = size, []
        while self.socket.left:
            self.channel._on_ready()
        return self.socket.asked


def test_long_messages_are_read_in_larger_pieces_up_to_a_limit() -> None:
    asked = Scene().has(16 * READ_LIMIT)
    assert asked[:3] == [FIRST_READ_BYTES, READ_BYTES, 2 * READ_BYTES]
    assert max(asked) == asked[-1] == READ_LIMIT


def test_a_connection_that_is_a_little_less_busy_is_read_in_pieces_of_the_usual_size() -> None:
    scene = Scene()
    scene.has(16 * READ_LIMIT)
    scene.has(2 * FIRST_READ_BYTES)
    assert scene.has(2 * FIRST_READ_BYTES) == [READ_BYTES]


def test_one_turn_reads_once_so_that_nobody_is_starved() -> None:
    scene = Scene()
    scene.socket.left = 16 * READ_LIMIT
    for turn in range(1, 5):
        scene.channel._on_ready()
        assert len(scene.socket.asked) == turn


def test_after_a_long_message_it_is_read_in_small_pieces_again() -> None:
    scene = Scene()
    scene.has(16 * READ_LIMIT)
    scene.has(100)
    assert scene.has(100) == [FIRST_READ_BYTES]


def test_many_small_messages_are_not_read_in_larger_pieces() -> None:
    scene = Scene()
    scene.sink.event = StreamOpened(1)
    scene.has(100)
    scene.sink.event = InterimReceived(1, ("message",))
    assert set(scene.has(16 * READ_LIMIT)[1:]) == {READ_BYTES}


def test_what_is_watched_is_told_when_it_changes_only() -> None:
    scene = Scene()
    scene.has(4 * READ_LIMIT)
    assert scene.loop.masks == [selectors.EVENT_READ]
    scene.channel.pause()
    scene.channel.pause()
    scene.channel.resume()
    assert scene.loop.masks == [selectors.EVENT_READ, 0, selectors.EVENT_READ]


# ---- the end -----------------------------------------------------------------------------------

BREACH = StreamFailed(1, TransportError("it broke the protocol"))


def parting(*, room: int) -> Scene:
    """It has 100 bytes, which are a breach; our answer of 10 bytes is ready."""
    scene = Scene()
    scene.sink.event, scene.sink.answer = BREACH, b"c" * 10
    scene.socket.left, scene.socket.room = 100, room
    scene.channel._on_ready()
    assert scene.heard == [BREACH]
    assert not scene.socket.is_closed
    return scene


def test_after_a_breach_what_comes_is_read_and_thrown_away_until_the_peer_leaves() -> None:
    scene = parting(room=1000)
    assert scene.socket.sent == b"c" * 10
    assert scene.socket.is_shut
    scene.socket.left = 10 * READ_LIMIT
    while scene.socket.left:
        scene.channel._step()
    assert not scene.socket.is_closed
    scene.socket.has_ended = True
    scene.channel._step()
    assert scene.socket.is_closed
    assert scene.heard == [BREACH]


def test_after_a_breach_the_rest_of_the_answer_is_sent_first() -> None:
    scene = parting(room=4)
    assert not scene.socket.is_shut
    assert scene.loop.masks[-1] == selectors.EVENT_READ | selectors.EVENT_WRITE
    scene.socket.room = 1000
    scene.channel._step()
    assert scene.socket.sent == b"c" * 10
    assert scene.socket.is_shut


def test_a_peer_that_does_not_leave_is_left() -> None:
    scene = parting(room=1000)
    assert scene.channel.is_closing
    scene.loop.fire(CLOSE_TIMEOUT)
    assert scene.socket.is_closed
    assert not scene.channel.is_closing
    assert scene.heard == [BREACH]


def test_a_refusal_is_not_waited_for_any_more() -> None:
    scene = Scene()
    scene.sink.event = StreamFailed(1, TransportError("it refused", 403))
    scene.socket.left = 100
    scene.channel._on_ready()
    assert scene.socket.is_closed


def test_a_protocol_that_says_nothing_at_the_end_does_not_keep_the_loop_busy() -> None:
    scene = Scene()
    scene.socket.has_ended = True
    scene.channel._on_ready()
    assert scene.socket.is_closed
    (failed,) = scene.heard
    assert isinstance(failed, StreamFailed)
    assert "did not say so" in str(failed.error)
