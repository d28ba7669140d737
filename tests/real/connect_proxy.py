"""An HTTP proxy on a real socket, with a thread for each connection: CONNECT, and absolute URLs."""

from __future__ import annotations

import base64
import http.client
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import BinaryIO, Self, TypeAlias
from urllib.parse import urlsplit

from scripted_server import Received, answer
from scripted_server import _read_request as read_request

Conduct: TypeAlias = Callable[[socket.socket], object]
"""What a proxy does with a connection whose CONNECT it has read, instead of connecting."""


class ConnectProxy:
    """Listens on a free port. Whatever host it is asked for, it takes this machine for it.

    With `users` it demands one of them, as ``user:password``. With `conduct` it answers no CONNECT
    as it should; if it `drips`, it does so byte by byte, and hints come before. `asked` is what it
    was asked for, `heard` all the bytes that clients sent through it.
    """

    def __init__(
        self,
        *,
        users: tuple[str, ...] = (),
        conduct: Conduct | None = None,
        drips: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.asked: list[Received] = []
        self.heard = bytearray()
        self.stopping = threading.Event()
        self._users = {"Basic " + base64.b64encode(user.encode()).decode() for user in users}
        self._conduct = conduct
        self._drips = drips
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.netloc = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.netloc}" if tls is None else f"https://localhost:{self.port}"
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, name="proxy")]
        self._threads[0].start()

    def url_for(self, user: str) -> str:
        """The proxy's URL with a user and a password."""
        return self.url.replace("://", f"://{user}@")

    @property
    def lines(self) -> list[str]:
        return [received.line for received in self.asked]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stopping.set()
        socket.create_connection(self._listener.getsockname()[:2]).close()
        self._threads[0].join()
        self._listener.close()
        for connection in self._sockets:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self.stopping.is_set():
                connection.close()
                return
            self._sockets.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), name="proxy")
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._sockets.append(connection)
            with connection.makefile("rb") as reader:
                while self._answer(connection, reader):
                    pass
        except OSError:
            pass
        finally:
            connection.close()

    def _answer(self, connection: socket.socket, reader: BinaryIO) -> bool:
        request = read_request(reader.readline, reader.read, 0)
        if request is None:
            return False
        self.asked.append(request)
        shown = request.headers.get("proxy-authorization")
        if self._users and shown not in self._users:
            # As careless as some are: it repeats what it was sent.
            connection.sendall(
                answer(407, f'{{"message": "not {shown}"}}', Proxy_Authenticate="Basic")
            )
            return False
        if not request.line.startswith("CONNECT "):
            connection.sendall(self._forwarded(request))
            return True
        if self._conduct is not None:
            self._conduct(connection)
        else:
            self._tunnel(connection, request)
        return False

    def _tunnel(self, client: socket.socket, request: Received) -> None:
        port = int(request.line.split()[1].rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as service:
            self._sockets.append(service)
            said = b"HTTP/1.1 200 Connection established\r\nX-Proxy: ours\r\n\r\n"
            if self._drips:
                for byte in b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + said:
                    client.sendall(bytes([byte]))
                    self.stopping.wait(0.001)
            else:
                client.sendall(said)
            other = {client: service, service: client}
            while True:
                pending = isinstance(client, ssl.SSLSocket) and client.pending()
                for ready in [client] if pending else select.select(list(other), [], [])[0]:
                    data = ready.recv(1 << 16)
                    if not data:
                        return
                    if ready is client:
                        self.heard += data
                    other[ready].sendall(data)

    def _forwarded(self, request: Received) -> bytes:
        method, url, _ = request.line.split()
        target = urlsplit(url)
        assert target.scheme == "http"
        own = {"host", "proxy-authorization", "content-length"}
        headers = {name: value for name, value in request.headers.items() if name not in own}
        service = http.client.HTTPConnection("127.0.0.1", target.port or 80, timeout=10)
        try:
            path = f"{target.path}?{target.query}" if target.query else target.path
            service.request(method, path, request.body or None, {**headers, "Host": target.netloc})
            response = service.getresponse()
            kind = response.headers.get("Content-Type", "")
            return answer(response.status, response.read(), Content_Type=kind)
        finally:
            service.close()


def answers(data: bytes) -> Conduct:
    """Answer with these bytes, and wait until the client has left."""

    def conduct(connection: socket.socket) -> None:
        connection.sendall(data)
        while connection.recv(1 << 16):
            pass

    return conduct


def hangs_up(_: socket.socket) -> None:
    """Close the connection instead of answering."""


def waits(connection: socket.socket) -> None:
    """Answer nothing until the client has left."""
    while connection.recv(1 << 16):
        pass


def resets(connection: socket.socket) -> None:
    """Break the connection off instead of answering."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
