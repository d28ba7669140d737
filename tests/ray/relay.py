"""A relay before a cluster: it can break connections, and can hide what is at a path."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import attrs


@attrs.define(eq=False)
class _Connection:
    """A client's connection, and ours to the cluster."""

    client: socket.socket
    cluster: socket.socket

    def close(self) -> None:
        for sock in (self.client, self.cluster):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # which wakes the thread that reads it
            sock.close()


class Relay:
    """Passes on what is said, both ways. Use it in a `with`.

    Args:
        url: the cluster's.
        hidden: a path that the cluster is not asked for: it is asked for another one, which it does
            not have.
    """

    def __init__(self, url: str, hidden: str | None = None) -> None:
        split = urlsplit(url)
        assert split.hostname is not None
        assert split.port is not None
        self._address = (split.hostname, split.port)
        self._hidden = None if hidden is None else b" " + hidden.encode()
        self._lock = threading.Lock()
        self._connections: list[_Connection] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.hits = 0
        """How often the hidden path was asked for."""

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def cut(self) -> int:
        """Break all connections; give how many there were."""
        with self._lock:
            connections, self._connections = self._connections, []
        for connection in connections:
            connection.close()
        return len(connections)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            connection = _Connection(client, socket.create_connection(self._address))
            with self._lock:
                self._connections.append(connection)
            for pair in (
                (connection.client, connection.cluster, self._hidden),
                (connection.cluster, connection.client, None),
            ):
                threading.Thread(
                    target=self._pass_on, args=(connection, *pair), daemon=True
                ).start()

    def _pass_on(
        self,
        connection: _Connection,
        source: socket.socket,
        target: socket.socket,
        hidden: bytes | None,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if hidden is not None and hidden in data:
                    self.hits += 1
                    data = data.replace(hidden, b" /there-is-nothing")
                target.sendall(data)
        with self._lock:
            if connection in self._connections:
                self._connections.remove(connection)
        connection.close()
