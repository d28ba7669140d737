"""One story for every kind of stream, on both drivers: it breaks, goes on, and is let go of."""

from __future__ import annotations

import asyncio
import os
import queue
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Protocol

import pytest
from conditions import PATIENCE, Recorder, eventually
from test_custom_streams import (  # the fixtures are for every test
    Lines,
    Service,
    each_driver,  # noqa: F401
    impatience,  # noqa: F401
    job_by,
    nothing_left,  # noqa: F401
)

from adapters import StreamEndpoint, StreamFile
from adapters.transport import AnyStream
from runtime_core.commands import OpenStream
from runtime_core.events import StreamEvent


class Peer(Protocol):
    """The other end of the newest connection."""

    def stream(self, command: OpenStream) -> AnyStream:
        """Give our end of a new one."""
        ...

    def send(self, data: bytes) -> None: ...

    def hang_up(self) -> None: ...

    def close(self) -> None: ...


class OfPipes:
    def __init__(self) -> None:
        self.write = -1

    def stream(self, command: OpenStream) -> AnyStream:
        read, self.write = os.pipe()
        return StreamFile(os.fdopen(read, "rb", buffering=0), Lines(command.connection))

    def send(self, data: bytes) -> None:
        os.write(self.write, data)

    def hang_up(self) -> None:
        os.close(self.write)

    def close(self) -> None: ...


class OfSocketPairs:
    def stream(self, command: OpenStream) -> AnyStream:
        ours, self.theirs = socket.socketpair()
        return StreamFile(ours, Lines(command.connection))

    def send(self, data: bytes) -> None:
        self.theirs.sendall(data)

    def hang_up(self) -> None:
        self.theirs.close()

    def close(self) -> None: ...


class OfTcp:
    def __init__(self) -> None:
        self.door = socket.create_server(("127.0.0.1", 0))
        self.door.settimeout(PATIENCE)
        self.theirs: socket.socket | None = None

    def stream(self, command: OpenStream) -> AnyStream:
        port = self.door.getsockname()[1]
        return StreamEndpoint("127.0.0.1", port, None, Lines(command.connection))

    def send(self, data: bytes) -> None:
        if self.theirs is None:
            self.theirs, _ = self.door.accept()
        self.theirs.sendall(data)

    def hang_up(self) -> None:
        if self.theirs is not None:
            self.theirs.close()
            self.theirs = None

    def close(self) -> None:
        self.door.close()


class OfGenerators:
    def stream(self, command: OpenStream) -> AnyStream:
        self.said: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        return self.events(Lines(command.connection), self.said)

    def events(self, lines: Lines, said: queue.SimpleQueue[bytes]) -> Iterator[StreamEvent]:
        while data := said.get(timeout=PATIENCE):
            yield from lines.receive(data)

    def send(self, data: bytes) -> None:
        self.said.put(data)

    def hang_up(self) -> None:
        self.said.put(b"")

    def close(self) -> None: ...


class OfAsyncGenerators:
    def stream(self, command: OpenStream) -> AnyStream:
        self.loop, self.said = asyncio.get_running_loop(), asyncio.Queue[bytes]()
        return self.events(Lines(command.connection), self.said)

    async def events(self, lines: Lines, said: asyncio.Queue[bytes]) -> AsyncIterator[StreamEvent]:
        while data := await said.get():
            for event in lines.receive(data):
                yield event

    def send(self, data: bytes) -> None:
        self.loop.call_soon_threadsafe(self.said.put_nowait, data)

    def hang_up(self) -> None:
        if not self.loop.is_closed():
            self.send(b"")

    def close(self) -> None: ...


KINDS: Sequence[type[Peer]] = (OfPipes, OfSocketPairs, OfTcp, OfGenerators, OfAsyncGenerators)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_breaks_goes_on_at_its_cursor_and_is_let_go_of(
    kind: type[Peer], request: pytest.FixtureRequest
) -> None:
    if kind is OfAsyncGenerators and "threads" in request.node.name:
        pytest.skip("for asyncio alone")
    peer = kind()
    opened = threading.Semaphore(0)

    def stream(command: OpenStream) -> AnyStream:
        made = peer.stream(command)
        opened.release()
        return made

    service = Service(stream)
    heard = Recorder()
    with job_by(service) as job:
        job.stream_results(heard)
        assert opened.acquire(timeout=PATIENCE)
        peer.send(b"hello\n1\n2")
        peer.send(b"\n")
        assert heard.reached(2)
        peer.hang_up()
        assert opened.acquire(timeout=PATIENCE)
        peer.send(b"hello\n3\n")
        assert heard.reached(3)
        assert [command.after for command in service.opened] == [0, 2]
        job.cancel_result_streaming()
        assert job.stream_error() is None
    assert eventually(lambda: job._driver.runner._channel is None)
    peer.hang_up()
    peer.close()
    assert heard.values == [1, 2, 3]
    assert len(service.opened) == 2
