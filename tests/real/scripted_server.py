"""A server that answers each request with the next script: bytes, pauses, and ways to break off."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

import attrs

CERTIFICATE = Path(__file__).with_name("localhost.pem")
"""A certificate for `localhost`, signed by itself, with its key."""


class End(Enum):
    """How a script ends that does not keep the connection alive."""

    CLOSE = "close"
    RESET = "reset"


Step: TypeAlias = bytes | float | End | Callable[[], object]
Script: TypeAlias = tuple[Step, ...]


@attrs.frozen
class Received:
    """A request as it arrived."""

    connection: int
    line: str
    headers: dict[str, str]
    body: bytes


def answer(status: int = 200, body: bytes | str = b"{}", **headers: str) -> bytes:
    """Make the bytes of an answer; header names are written with underscores."""
    body = body.encode() if isinstance(body, str) else body
    fields = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
    return f"HTTP/1.1 {status} Words\r\n{head}\r\n".encode() + body


def server_context(tls: bool | ssl.SSLContext) -> ssl.SSLContext | None:
    """The context of a server; True is for the one of `CERTIFICATE`."""
    if not isinstance(tls, bool):
        return tls
    if not tls:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE)
    return context


class ScriptedServer:
    """Listens on a free port; the last script is used for all further requests."""

    def __init__(
        self, *scripts: Script | bytes, tls: bool | ssl.SSLContext = False, host: str = "127.0.0.1"
    ) -> None:
        self.received: list[Received] = []
        self.connections = 0
        self._scripts = [script if isinstance(script, tuple) else (script,) for script in scripts]
        self._listener = socket.create_server(
            (host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}"
        self._tls = server_context(tls)
        if self._tls:
            self.url = f"https://localhost:{self.port}"
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping.set()
        socket.create_connection(self._listener.getsockname()[:2]).close()
        self._threads[0].join()
        self._listener.close()
        for connection in self._sockets:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    @property
    def lines(self) -> list[str]:
        return [received.line for received in self.received]

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self._stopping.is_set():
                connection.close()
                return
            self.connections += 1
            self._sockets.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection, self.connections))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        try:
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection.makefile("rb") as reader:
                while (request := _read_request(reader.readline, reader.read, number)) is not None:
                    with self._lock:
                        self.received.append(request)
                        script = self._scripts.pop(0) if self._scripts[1:] else self._scripts[0]
                    if not self._play(script, connection):
                        return
        except OSError:
            pass
        finally:
            connection.close()

    def _play(self, script: Script, connection: socket.socket) -> bool:
        """Play a script; whether the connection stays open after it."""
        for step in script:
            if isinstance(step, bytes):
                connection.sendall(step)
            elif isinstance(step, int | float):
                self._stopping.wait(step)
            elif step is End.RESET:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
            elif step is End.CLOSE:
                return False
            else:
                step()
        return True


def _read_request(
    readline: Callable[[], bytes], read: Callable[[int], bytes], connection: int
) -> Received | None:
    line = readline().decode("latin-1").strip()
    if not line:
        return None
    headers = {}
    while header := readline().decode("latin-1").strip():
        name, _, value = header.partition(":")
        headers[name.lower()] = value.strip()
    return Received(connection, line, headers, read(int(headers.get("content-length", 0))))
