"""The smallest websocket client that can look at what a service sends. For tests only."""

from __future__ import annotations

import socket
import time
from collections import deque
from types import TracebackType
from typing import Self

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)


class RejectedError(Exception):
    """The handshake was refused."""

    def __init__(self, status_code: int, body: str) -> None:
        super().__init__(f"{status_code}: {body}")
        self.status_code = status_code
        self.body = body


class WebSocketClient:
    """One connection; `messages` reads until the service closes."""

    def __init__(
        self, port: int, target: str, headers: dict[str, str], timeout: float = 10
    ) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self._connection = WSConnection(ConnectionType.CLIENT)
        self._events: deque[Event] = deque()
        self.close_code: int | None = None
        self.close_reason: str | None = None
        self.closed_at = 0.0
        host = headers.pop("Host", f"127.0.0.1:{port}")
        extra = [(name.encode(), value.encode()) for name, value in headers.items()]
        request = Request(host=host, target=target, extra_headers=extra)
        self._socket.sendall(self._connection.send(request))
        first = self._next()
        if isinstance(first, RejectConnection):
            body = b""
            while first.has_body:
                part = self._next()
                assert isinstance(part, RejectData)
                body += part.data
                if part.body_finished:
                    break
            self.close()
            raise RejectedError(first.status_code, body.decode())
        assert isinstance(first, AcceptConnection), first

    def receive(self) -> str | None:
        """Give the next message, or None when the service has closed."""
        text = ""
        while True:
            event = self._next()
            match event:
                case TextMessage():
                    text += event.data
                    if event.message_finished:
                        return text
                case Ping():
                    self._socket.sendall(self._connection.send(event.response()))
                case CloseConnection():
                    self.closed_at = time.monotonic()
                    self.close_code, self.close_reason = event.code, event.reason
                    self._socket.sendall(self._connection.send(event.response()))
                    return None

    def messages(self) -> list[str]:
        """Give all messages until the service closes."""
        received: list[str] = []
        while (message := self.receive()) is not None:
            received.append(message)
        return received

    def _next(self) -> Event:
        while not self._events:
            data = self._socket.recv(1 << 16)
            self._connection.receive_data(data or None)
            self._events.extend(self._connection.events())
        return self._events.popleft()

    def close(self) -> None:
        """Drop the connection."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
