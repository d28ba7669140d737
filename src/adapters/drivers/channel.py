"""One connection on a loop: reading, writing, keep-alive, closing.

Its socket is made by a `Connector`, or it is a file that is open already. What the bytes mean is
the `StreamProtocol`'s business; what to do about events, the machine's.
"""

from __future__ import annotations

import selectors
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from adapters.drivers.connector import BLOCKED, Connector, place, stream_failure
from adapters.drivers.file_connector import FileConnector, OpenFile
from adapters.drivers.loop import Loop, Task, TimerHandle
from adapters.drivers.stream_rules import LAST, StreamRules
from adapters.drivers.workers import WorkerPool
from adapters.transport import StreamEndpoint, StreamFile
from runtime_core.errors import TransportError
from runtime_core.events import StreamEvent, StreamFailed, StreamNotReady

READ_BYTES = 256 * 1024
"""How much is read at a time, to begin with, while much comes."""
READ_LIMIT = 2 * 1024 * 1024
"""How much is read at a time at most, where messages are so long that a read brings none that is
whole: one that comes in one piece is copied less often."""
FIRST_READ_BYTES = 8 * 1024
"""How much is read at a time while little comes: the memory for a read is taken before it is known
how much there is, and for a large one that costs several times what a small message does."""
WRITE_LIMIT = 1024 * 1024
"""How much may wait to be written; only a peer that floods us with pings gets that far."""
OPEN_TIMEOUT = 30.0
"""Seconds for name look-up, connection, the proxy's answer, TLS and handshake together."""
PING_INTERVAL = 20.0
"""Seconds between two pings; a peer that gives no sign of life from one to the next is dead. Where
the protocol has no pings, for instance over a pipe, whose end says more, nobody is judged."""
CLOSE_TIMEOUT = 2.0
"""Seconds that the peer has to answer our close."""

Listener: TypeAlias = Callable[[Sequence[StreamEvent]], None]


class Channel(Protocol):
    """One connection. All methods are called on the loop."""

    def pause(self) -> None:
        """Read no more from the socket; the peer's keep-alive is not judged meanwhile."""
        ...

    def resume(self) -> None:
        """Read again."""
        ...

    def close(self) -> None:
        """Close in an orderly way, in the background; tell nothing any more."""
        ...


class OwnedChannel(Channel, Protocol):
    """A channel as the reactor has it that opened it."""

    on_gone: Task | None
    """Called once, when the connection is over and nothing of it is left on the loop."""

    @property
    def is_closing(self) -> bool:
        """Whether nobody is told of it any more, and it is not over yet."""
        ...

    def after_fork(self) -> None:
        """In the child of a fork: the connection is the parent's, let go of it without a word."""
        ...


class ByteChannel:
    """A connection that carries bytes: TCP, with or without TLS, or a file that is open already.

    Lives on the loop's thread.
    """

    def __init__(
        self,
        loop: Loop,
        workers: WorkerPool,
        connection: int,
        stream: StreamEndpoint | StreamFile,
        listener: Listener,
    ) -> None:
        self._loop = loop
        self._connection = connection
        self._where = place(stream)
        self._protocol = stream.protocol
        self._rules = StreamRules(connection)
        self._listener: Listener | None = listener
        self._socket: socket.socket | OpenFile | None = None
        self._outgoing = bytearray()
        self._step = self._on_ready
        self._watched = 0
        self._read_bytes = FIRST_READ_BYTES
        self._paused = False
        self._heard = False
        self._pinged = False
        self.on_gone: Task | None = None
        """See `OwnedChannel`."""
        self._deadline: TimerHandle | None = None
        connected, failed = self._on_connected, self._tell_failure
        self._connector: Connector | FileConnector | None = (
            FileConnector(loop, stream, connected, failed)
            if isinstance(stream, StreamFile)
            else Connector(loop, workers, stream, OPEN_TIMEOUT, connected, failed)
        )
        self._set_deadline(OPEN_TIMEOUT, self._on_open_timeout)

    def __repr__(self) -> str:
        return f"<ByteChannel {self._connection} to {self._where}>"

    @property
    def is_closing(self) -> bool:
        """See `OwnedChannel`."""
        return self._listener is None and self._socket is not None

    def _on_connected(self, made: socket.socket | OpenFile) -> None:
        self._connector = None
        self._socket = made
        if self._ask(self._protocol.start):
            self._flush()
            self._rewatch()

    # ---- the protocol, which may be anybody's --------------------------------------------------

    def _ask(self, call: Callable[[], None]) -> bool:
        """Have the protocol do something; False if it raised, which ended the stream."""
        try:
            call()
        except Exception as error:
            self._on_raised(error)
            return False
        return True

    def _events(self, data: bytes) -> Sequence[StreamEvent]:
        try:
            events = self._protocol.receive(data)
        except Exception as error:
            return (self._rules.raised("its protocol raised", error),)
        return self._rules.checked(events)

    def _answer(self) -> bytes:
        try:
            return self._protocol.data_to_send()
        except Exception as error:
            self._on_raised(error)
            return b""

    def _on_raised(self, error: Exception) -> None:
        self._tell((self._rules.raised("its protocol raised", error),))

    # ---- reading and writing -------------------------------------------------------------------

    def _on_ready(self) -> None:
        if self._outgoing:
            self._flush()
        if self._socket is not None and not self._paused:
            self._read()

    def _read(self) -> None:
        while self._socket is not None and not self._paused and self._read_once(self._socket):
            pass

    def _read_once(self, sock: socket.socket | OpenFile) -> bool:
        """Read what is there; return whether more is there that the selector does not see."""
        try:
            data = sock.recv(self._read_bytes)
        except BLOCKED:
            return False
        except OSError as error:
            self._fail(f"the connection broke: {error}", error)
            return False
        self._heard = True
        decrypted = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
        self._take(data)
        return decrypted

    def _adapt(self, size: int, brought: bool) -> None:
        """Choose how much to read at a time, by what a read of so many bytes brought."""
        if size < FIRST_READ_BYTES:
            self._read_bytes = FIRST_READ_BYTES
        elif size < READ_BYTES:
            self._read_bytes = READ_BYTES
        elif size == self._read_bytes and not brought:
            self._read_bytes = min(2 * size, READ_LIMIT)

    def _take(self, data: bytes) -> None:
        was_open = self._rules.is_open
        events = self._events(data)
        self._adapt(len(data), bool(events))
        ended = bool(events) and isinstance(events[-1], LAST)
        if self._rules.is_open and not was_open:
            self._set_deadline(PING_INTERVAL, self._on_quiet)
        if self._listener is None:
            ended = ended or not data
        elif events:
            self._listener(events)
        self._flush()
        if ended and data and self._listener is not None and not any(map(_is_refusal, events)):
            self._part()
        elif ended:
            self._end()
        elif not data:
            self._fail("it ended, and its protocol did not say so", None)

    def _flush(self) -> None:
        if self._socket is None:
            return
        data = self._answer()
        if not data and not self._outgoing:
            return  # as after nearly every read
        self._outgoing += data
        self._write()

    def _write(self) -> None:
        if self._socket is None:
            return
        try:
            while self._outgoing:
                sent = self._socket.send(self._outgoing)
                del self._outgoing[:sent]
        except BLOCKED:
            pass
        except OSError as error:
            self._on_broken(error)
            return
        if len(self._outgoing) > WRITE_LIMIT:
            self._fail("it sends more pings than it takes answers", None)
            return
        self._watch(self._mask())

    def _on_broken(self, error: OSError) -> None:
        """Nothing can be written any more, but what the peer had said may still be read."""
        self._outgoing.clear()
        if self._listener is None:
            self._end()
            return
        self._heard = False
        self._set_deadline(CLOSE_TIMEOUT, lambda: self._on_unread(error))
        self._watch(self._mask())

    def _on_unread(self, error: OSError) -> None:
        """It broke a while ago: go on only if something was heard since, or if we do not read."""
        if self._heard or self._paused:
            self._on_broken(error)
            return
        self._fail(f"it broke: {error}", error)

    def _mask(self) -> int:
        mask = 0 if self._paused else selectors.EVENT_READ
        return mask | selectors.EVENT_WRITE if self._outgoing else mask

    def _watch(self, mask: int) -> None:
        if self._socket is not None and mask != self._watched:
            self._watched = mask
            self._loop.watch(self._socket, mask, self._on_event)

    def _on_event(self, _mask: int) -> None:
        self._step()

    # ---- the channel ---------------------------------------------------------------------------

    def pause(self) -> None:
        """See `Channel`."""
        self._paused = True
        self._rewatch()

    def resume(self) -> None:
        """See `Channel`."""
        self._paused = False
        self._heard = True
        self._rewatch()
        if isinstance(self._socket, ssl.SSLSocket) and self._step == self._on_ready:
            self._read()

    def _rewatch(self) -> None:
        if self._step == self._on_ready:
            self._watch(self._mask())

    def close(self) -> None:
        """See `Channel`."""
        if self.is_closing:
            return
        self._listener = None
        self._paused = False
        farewell = self._answer() if self._ask(self._protocol.close) else b""
        if self._socket is None or not farewell:  # not open: there is nothing to be answered
            self._end()
            return
        self._outgoing += farewell
        self._set_deadline(CLOSE_TIMEOUT, self._end)
        self._flush()

    def after_fork(self) -> None:
        """In the child of a fork: the connection is the parent's, let go of it without a word."""
        self._listener = self._deadline = None
        if self._connector is not None:
            self._connector.after_fork()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    # ---- the time ------------------------------------------------------------------------------

    def _set_deadline(self, delay: float, task: Callable[[], None]) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._loop.call_later(delay, task)

    def _on_open_timeout(self) -> None:
        if self._socket is not None:
            # A refusal may have stopped in the middle of its body: it still says what it is.
            events = self._events(b"")
            if any(map(_is_refusal, events)):
                self._tell(events)
                return
        missing = "it did not open" if self._connector is None else self._connector.missing
        self._fail(f"{missing} within {OPEN_TIMEOUT:g} s", None)

    def _on_quiet(self) -> None:
        if self._pinged and not self._heard and not self._paused:
            self._fail(f"it gave no sign of life for {PING_INTERVAL:g} s", None)
            return
        self._heard = False
        self._set_deadline(PING_INTERVAL, self._on_quiet)
        if self._ask(self._protocol.ping):
            self._outgoing += self._answer()
            self._pinged = bool(self._outgoing)
            self._write()

    # ---- the end -------------------------------------------------------------------------------

    def _fail(self, what: str, cause: Exception | None) -> None:
        self._tell_failure(stream_failure(self._where, what, cause))

    def _tell_failure(self, error: TransportError) -> None:
        self._tell((StreamFailed(self._connection, error),))

    def _tell(self, events: Sequence[StreamEvent]) -> None:
        """Tell the last events, and end."""
        listener = self._listener
        self._end()
        if listener is not None:
            listener(events)

    def _part(self) -> None:
        """Send what is left, and leave when the peer has; it may still be sending.

        A socket that is closed with something unread is reset, and the peer may never see our
        close frame: why its stream was not good (RFC 6455, section 7.1.1).
        """
        self._listener = None
        self._paused = False
        self._step = self._on_parting
        self._set_deadline(CLOSE_TIMEOUT, self._end)
        self._on_parting()

    def _on_parting(self) -> None:
        if self._socket is None:
            return
        try:
            if self._outgoing:
                del self._outgoing[: self._socket.send(self._outgoing)]
            if not self._outgoing:
                self._socket.shutdown(socket.SHUT_WR)
            if not self._socket.recv(READ_LIMIT):
                self._end()
                return
        except BLOCKED:
            pass
        except OSError:
            self._end()
            return
        self._watch(self._mask())

    def _end(self) -> None:
        self._listener = None
        if self._connector is not None:
            self._connector.stop()
            self._connector = None
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._drop_socket()
        gone, self.on_gone = self.on_gone, None
        if gone is not None:
            gone()

    def _drop_socket(self) -> None:
        if self._socket is not None:
            self._watch(0)
            self._socket.close()
            self._socket = None


def _is_refusal(event: StreamEvent) -> bool:
    if isinstance(event, StreamFailed):
        return isinstance(event.error, TransportError) and event.error.status_code is not None
    return isinstance(event, StreamNotReady)
