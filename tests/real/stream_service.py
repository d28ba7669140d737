"""A service with one job: the legacy calls over HTTP, and a stream that a test plays by itself."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import BinaryIO, Self, TypeAlias
from urllib.parse import parse_qs, urlsplit

from blocking_face import make_job
from scripted_server import CERTIFICATE, Received, answer, server_context
from scripted_server import _read_request as read_request
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Ping, TextMessage
from wsproto.utilities import generate_accept_token

from adapters import RuntimeClient, RuntimeJob, RuntimeWebsocketClient
from runtime_core.events import LifecycleEvent

TOKEN = "s3cr3t-t0k3n"


class Peer:
    """The service's side of one stream, in a thread of its own. Ends when its play returns."""

    def __init__(self, service: StreamService, connection: socket.socket, asked: Received) -> None:
        self.service = service
        self.asked = asked
        target = urlsplit(asked.line.split()[1])
        self.after = int(parse_qs(target.query).get("after", ["0"])[0])
        self.sent = 0
        self.heard: list[bytes] = []
        self.gone = False
        self._socket = connection
        self._frames = Connection(ConnectionType.SERVER)
        self._incoming = Connection(ConnectionType.SERVER)
        self._closing = False

    def refuse(self, status: int, body: str = '{"message": "No."}', **headers: str) -> None:
        """Answer the handshake with something else than a 101."""
        self.raw(answer(status, body, **headers))

    def accept(self, acknowledged: bool = True) -> None:
        """Answer the handshake, and send the acknowledgement."""
        self.raw(self.handshake())
        if acknowledged:
            self.send('{"type": "acknowledgement"}')

    def handshake(self) -> bytes:
        """What answers the handshake."""
        token = generate_accept_token(self.asked.headers["sec-websocket-key"].encode())
        lines = [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade"]
        return b"\r\n".join([*lines, b"Sec-WebSocket-Accept: " + token, b"\r\n"])

    def frame(self, event: TextMessage | CloseConnection | Ping) -> bytes:
        """The bytes of a message."""
        self._closing = self._closing or isinstance(event, CloseConnection)
        return self._frames.send(event)

    def send(self, *texts: str) -> None:
        """Send messages."""
        for text in texts:
            self.raw(self.frame(TextMessage(text)))
            self.sent += 1

    def raw(self, data: bytes) -> None:
        """Send bytes."""
        self._socket.sendall(data)

    def drip(self, data: bytes, pause: float = 0.0) -> None:
        """Send byte by byte."""
        for i in range(len(data)):
            self.raw(data[i : i + 1])
            self.service.stopping.wait(pause)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close in good order."""
        self.raw(self.frame(CloseConnection(code, reason)))
        self.until_gone()

    def until_gone(self) -> None:
        """Read until the client has left, or the service stops; answer a close."""
        # It may be gone before it has taken our answer to its close.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while (data := self._socket.recv(1 << 16)) and not self._has_left(data):
                pass
        self.gone = True

    def _has_left(self, data: bytes) -> bool:
        self.heard.append(data)
        self._incoming.receive_data(data)
        closes = [e for e in self._incoming.events() if isinstance(e, CloseConnection)]
        if closes and not self._closing:
            self.raw(self.frame(closes[0].response()))
        return bool(closes)

    def read(self) -> bytes:
        """Read once."""
        return self._socket.recv(1 << 16)

    def reset(self) -> None:
        """Have the connection end with a reset."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


Play: TypeAlias = Callable[[Peer], object]


def silent(peer: Peer) -> None:
    """Accept, and say nothing."""
    peer.accept()
    peer.until_gone()


class StreamService:
    """Listens on a free port; each stream gets the next play, the last one is used from then on.

    `status` is what the job is in, or a function that is called for each answer; what is in
    `answers` is sent for calls whose line begins with its key.
    """

    def __init__(
        self,
        *plays: Play,
        status: str | Callable[[], str] = "Running",
        result: str = '"the result"',
        tls: bool | ssl.SSLContext = False,
    ) -> None:
        self.status = status
        self.result = result
        self.answers: dict[str, bytes | Callable[[], bytes]] = {}
        self.admits: Callable[[Received], bool] = lambda _: True
        """Which requests, handshakes among them, are not answered with 401."""
        self.requests: list[Received] = []
        self.peers: list[Peer] = []
        self.errors: list[BaseException] = []
        self.stopping = threading.Event()
        self._plays = list(plays) or [silent]
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._tls = server_context(tls)
        if self._tls:
            self.url = f"https://localhost:{self.port}"
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._clients: list[RuntimeClient] = []
        self._jobs: list[RuntimeJob] = []
        # A test that waits in vain fails, instead of waiting for ever.
        self._watchdog = threading.Timer(40, self._give_up)
        self._watchdog.daemon = True
        self._watchdog.start()
        self._threads = [threading.Thread(target=self._accept, name="service")]
        self._threads[0].start()

    def job(
        self, resume: str = "offset", job_id: str = "j1", initial: LifecycleEvent | None = None
    ) -> RuntimeJob:
        """A job of this service; its client is closed with the service."""
        return self.watched(make_job("b", *self.clients(resume), job_id, "p", initial=initial))

    def clients(self, resume: str = "offset") -> tuple[RuntimeClient, RuntimeWebsocketClient]:
        """What a job of this service is made with; closed with the service."""
        trusted = CERTIFICATE if self._tls else None
        client = RuntimeClient(self.url, TOKEN, ca_certs=trusted)
        self._clients.append(client)
        return client, RuntimeWebsocketClient(
            self.url, TOKEN, resume=resume, streams_result=False, ca_certs=trusted
        )

    def watched(self, job: RuntimeJob) -> RuntimeJob:
        """Have a job closed if the test takes too long."""
        self._jobs.append(job)
        return job

    def asked(self, line: str) -> int:
        """How many requests began with this line."""
        with self._lock:
            return sum(request.line.startswith(line) for request in self.requests)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._watchdog.cancel()
        self._watchdog.join()
        self.stopping.set()
        for client in self._clients:
            client.close()
        with suppress(OSError):
            socket.create_connection(self._listener.getsockname()[:2]).close()
        self._threads[0].join()
        self._listener.close()
        for connection in self._sockets:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        if error is None and self.errors:
            raise self.errors[0]

    def _give_up(self) -> None:
        self.errors.append(TimeoutError("the test takes too long: its jobs were closed"))
        for job in self._jobs:
            job.close()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self.stopping.is_set():
                connection.close()
                return
            self._sockets.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), name="service")
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._sockets.append(connection)
            with connection.makefile("rb") as reader:
                while self._answer(connection, reader):
                    pass
        except OSError:
            pass
        except BaseException as error:
            self.errors.append(error)
        finally:
            connection.close()

    def _answer(self, connection: socket.socket, reader: BinaryIO) -> bool:
        request = read_request(reader.readline, reader.read, 0)
        if request is None:
            return False
        with self._lock:
            self.requests.append(request)
        if not self.admits(request):
            connection.sendall(answer(401, '{"message": "Who are you?"}'))
            return "sec-websocket-key" not in request.headers
        if "sec-websocket-key" in request.headers:
            with self._lock:
                play = self._plays.pop(0) if self._plays[1:] else self._plays[0]
                peer = Peer(self, connection, request)
                self.peers.append(peer)
            play(peer)
            return False
        connection.sendall(self._reply(request.line))
        return True

    def _reply(self, line: str) -> bytes:
        for beginning, reply in self.answers.items():
            if line.startswith(beginning):
                return reply if isinstance(reply, bytes) else reply()
        match line.split():
            case ["GET", path, _] if path.endswith("/results"):
                return answer(body=self.result, Content_Type="text/plain; charset=utf-8")
            case ["GET", path, _]:
                status = self.status if isinstance(self.status, str) else self.status()
                document = {"id": path.rpartition("/")[2], "status": status, "program": {"id": "p"}}
                return answer(body=json.dumps(document))
            case ["POST", path, _] if path.endswith("/cancel"):
                self.status = "Cancelled"
                return answer(204, b"")
        return answer(404, '{"message": "There is no such thing."}')


def completed_after(polls: int) -> Callable[[], str]:
    """A job that is running for so many answers, and then is not."""
    counted = iter(range(polls))
    return lambda: "Completed" if next(counted, None) is None else "Running"
