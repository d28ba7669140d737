"""A service that holds what a job published and streams it as bytes, with faults where wanted."""

from __future__ import annotations

import errno
import math
import re
from collections.abc import Callable, Iterator
from functools import partial

import attrs
import websocket_bytes
from fake_network import FakeSocket, NetworkReactor, Receive
from stream_script import CLOSE, GARBAGE, PAUSE, PONG, Fault, Faults, Kind, Said
from websocket_bytes import accepted, close_frame, frame

from runtime_core.traits import Resume

HEAD_END = b"\r\n\r\n"
ACKNOWLEDGEMENT = websocket_bytes.text("ok")
HEAD = len(accepted(websocket_bytes.REQUEST))
"""The size of the handshake's answer in bytes."""
OPENING = HEAD + len(ACKNOWLEDGEMENT)
"""What every connection begins with, in bytes."""


@attrs.define(eq=False)
class StreamService:
    """The service of one job. Make a world with it by `streamed_world`."""

    said: tuple[Said, ...]
    ends: float
    """When its stream is closed."""
    resume: Resume = Resume.OFFSET
    result: str | None = None
    """The final result, if it is streamed as the last message."""
    faults: Faults = lambda _: None
    refuses: Callable[[int], bytes | None] = lambda _: None
    """The bytes with which each connection, by its number, is refused; None to accept it."""
    close: bytes | None = close_frame(1000)
    """The close frame at the end; None for none."""
    done: float | None = None
    """When the job ends, if that is not when its stream is closed."""
    end: str = "COMPLETED"
    """How it ends; only a job that completed has a result to be streamed."""
    idle_limit: float = math.inf
    """After how many seconds without a byte in either direction a proxy drops a connection."""
    connections: list[Connection] = attrs.field(factory=list)

    @property
    def texts(self) -> list[str]:
        """The interim results."""
        return [each.text for each in self.said if each.text is not None]

    @property
    def arrived(self) -> list[str]:
        """All messages that came whole through any connection, the result among them."""
        return [text for each in self.connections for text in each.arrived]

    def accept(self, sock: FakeSocket) -> Receive:
        """Be the peer of a connection of the network."""
        fault = self.faults(len(self.connections) + 1)
        connection = Connection(self, sock, sock.network, fault)
        self.connections.append(connection)
        return connection.receive


@attrs.define(eq=False)
class Connection:
    """The service's end of a connection."""

    service: StreamService
    sock: FakeSocket
    network: NetworkReactor
    fault: Fault | None
    after: int = 0
    """What the client asked to skip."""
    opened: bool = False
    written: int = 0
    """How many bytes were sent, those that a fault swallowed included."""
    marks: list[tuple[int, str]] = attrs.field(factory=list)
    """Where each message ends."""
    pings: list[float] = attrs.field(factory=list)
    """When the client pinged."""
    pongs: list[bytes] = attrs.field(factory=list)
    """What the client answered to pings."""
    close_code: int | None = None
    """With what the client closed."""
    is_deaf: bool = False
    """Whether what the client sends does not arrive."""
    inbox: bytearray = attrs.field(factory=bytearray)
    _sent_close: bool = False
    _moved_at: float = 0.0

    @property
    def is_streaming(self) -> bool:
        """Whether it was accepted, and neither side has closed it."""
        return bool(self.marks or self.written >= OPENING) and not self._sent_close

    @property
    def arrived(self) -> list[str]:
        """The messages that the client has read to their end."""
        right = math.inf
        if self.fault is not None and self.fault.kind is Kind.GARBAGE:
            right = self.fault.at
        return [text for end, text in self.marks if end <= min(self.sock.read, right)]

    # ---- what the client says ------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        if self.is_deaf:
            return
        self._stir()
        self.inbox += data
        if not self.opened:
            head, found, rest = self.inbox.partition(HEAD_END)
            if not found:
                return
            self.inbox = rest
            self.opened = True
            self._answer(bytes(head + found))
        while (taken := _cut(self.inbox)) is not None:
            opcode, payload, size = taken
            del self.inbox[:size]
            self._take(opcode, payload)

    def _take(self, opcode: int, payload: bytes) -> None:
        match opcode:
            case 9:
                self.pings.append(self.network.time)
                self.send(frame(PONG, payload))
            case 10:
                self.pongs.append(payload)
            case 8:
                self.close_code = int.from_bytes(payload[:2], "big") if payload else 1005
                if not self._sent_close:
                    self.send_close(frame(CLOSE, payload))
                self.end()

    def _answer(self, request: bytes) -> None:
        found = re.match(rb"GET \S+?(?:\?after=(\d+))? HTTP/1.1\r\n", request)
        assert found is not None
        self.after = int(found[1] or 0)
        refusal = self.service.refuses(self.service.connections.index(self) + 1)
        if refusal is None:
            self._play(accepted(request) + ACKNOWLEDGEMENT)
        elif refusal:
            self.send(refusal)

    def _play(self, opening: bytes) -> None:
        """Send what was published already at once, and the rest at its time."""
        now = self.network.time
        read = [Said(now, opening)]
        for said in self._wanted(now):
            if said.at > now:
                self._later(said.at, partial(self.say, said))
            else:
                read.append(said)
        if self.service.ends <= now:
            read += self._last_words()
        elif self.service.ends < math.inf:
            self._later(self.service.ends, lambda: self.say(*self._last_words()))
        self.say(*read)

    def _wanted(self, now: float) -> Iterator[Said]:
        """What this connection has to carry."""
        number = 0
        for said in self.service.said:
            number += said.text is not None
            if self.service.resume is Resume.LIVE:
                wanted = said.at >= now
            else:
                wanted = said.text is None or number > self._first
            if wanted:
                yield said

    @property
    def _first(self) -> int:
        return self.after if self.service.resume is Resume.OFFSET else 0

    def _last_words(self) -> list[Said]:
        words = []
        result, close = self.service.result, self.service.close
        missed = self.service.resume is Resume.LIVE and self.network.time > self.service.ends
        completed = self.service.end == "COMPLETED" and not missed
        if result is not None and self._first <= len(self.service.texts) and completed:
            words.append(Said(0.0, websocket_bytes.text(result), result))
        if close is not None:
            words.append(Said(0.0, close))
        return words

    def _later(self, at: float, task: Callable[[], None]) -> None:
        self.network.at(at - self.network.time, task)

    # ---- what the service says -----------------------------------------------------------------

    def say(self, *said: Said) -> None:
        """Send all this in one piece, unless it was closed."""
        if self._sent_close:
            return
        data = b""
        for each in said:
            data += each.frames
            if each.text is not None:
                self.marks.append((self.written + len(data), each.text))
            self._sent_close = self._sent_close or each.frames[:1] == b"\x88"
        if data:
            self.send(data)

    def send_close(self, data: bytes) -> None:
        self._sent_close = True
        self.send(data)

    def send(self, data: bytes) -> None:
        """Send this, as far as the fault lets it through."""
        before, self.written = self.written, self.written + len(data)
        if self.fault is None:
            self._feed(data)
            return
        room = max(0, self.fault.at - before)
        self._feed(data[:room])
        if self.written >= self.fault.at:
            self._fail(self.fault.kind, data[room:])

    def _fail(self, kind: Kind, rest: bytes) -> None:
        match kind:
            case Kind.RESET:
                self.is_deaf = True
                self.sock.refuse_writes(ConnectionResetError(errno.ECONNRESET, "reset"))
                self.sock.end(ConnectionResetError(errno.ECONNRESET, "reset"))
            case Kind.HALF_CLOSE:
                self.sock.end()
            case Kind.STALL:
                self.is_deaf = True
            case Kind.GARBAGE:
                if not self.is_deaf:
                    self.is_deaf = True
                    self._feed(GARBAGE)
            case Kind.BROKEN_PIPE:
                self.is_deaf = True
                self.sock.refuse_writes(BrokenPipeError(errno.EPIPE, "broken pipe"))
                self._feed(rest)
            case Kind.PAUSE:
                if rest:
                    self.network.at(PAUSE, lambda: self._feed(rest))
            case Kind.BYTEWISE:
                for at in range(len(rest)):
                    self._feed(rest[at : at + 1])

    def _feed(self, data: bytes) -> None:
        if data:
            self._stir()
            self.sock.feed(data)

    def _stir(self) -> None:
        """A byte passes: a proxy counts from now on."""
        self._moved_at = self.network.time
        if self.service.idle_limit < math.inf:
            self.network.at(self.service.idle_limit, self._drop_if_idle)

    def _drop_if_idle(self) -> None:
        if self.network.time >= self._moved_at + self.service.idle_limit:
            self._fail(Kind.RESET, b"")

    def stall(self) -> None:
        """Neither hear nor say anything any more."""
        self.fault = Fault(Kind.STALL, self.written)
        self.is_deaf = True

    def end(self) -> None:
        """End the connection, after what was sent."""
        if not self.is_deaf:
            self.sock.end()


def _cut(data: bytearray) -> tuple[int, bytes, int] | None:
    """The first frame of a client: its opcode, its payload, its size in bytes."""
    if len(data) < 6 or len(data) < 6 + (data[1] & 0x7F):
        return None
    length = data[1] & 0x7F
    assert length < 126, "a client that only streams sends control frames"
    mask = data[2:6]
    payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data[6 : 6 + length]))
    return data[0] & 0x0F, payload, 6 + length
