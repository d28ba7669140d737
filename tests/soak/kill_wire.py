"""A client of the service that shares no code with the library's own. It starts no service."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    TextMessage,
)
from wsproto.events import Request as UpgradeRequest

from adapters.local.lock import find_service

DEADLINE = 90.0
"""The seconds after which something hangs that should have come."""


class GoneError(Exception):
    """The service was not there, or was killed before it had answered."""


class HangingError(Exception):
    """Nothing came for too long, though the service is there."""


@attrs.frozen
class Told:
    """An answer."""

    status: int
    body: bytes

    def json(self) -> Any:
        """Give what the body says."""
        return json.loads(self.body)


class RawClient:
    """Requests to whatever service is in a data directory at the moment. Not thread-safe."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._connection: http.client.HTTPConnection | None = None

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Told:
        """Do one request, once.

        Raises:
            GoneError: if it was not answered.
        """
        try:
            if self._connection is None:
                port, self._token = _place(self._directory)
                self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
            data = None if body is None else json.dumps(body).encode()
            self._connection.request(method, path, data, {"X-Access-Token": self._token})
            response = self._connection.getresponse()
            return Told(response.status, response.read())
        except TimeoutError as error:
            raise HangingError(f"{method} {path}") from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise GoneError from error

    def close(self) -> None:
        """Close the connection; the next request opens another one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def read_stream(directory: Path, job_id: str, after: int) -> Iterator[str]:
    """Give the interim results after the first `after`, until the service closes with 1000.

    Raises:
        GoneError: if it breaks off.
    """
    try:
        port, token = _place(directory)
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as connection:
            yield from _messages(connection, f"/stream/jobs/{job_id}?after={after}", token)
    except TimeoutError as error:
        raise HangingError(f"the stream of {job_id}") from error
    except OSError as error:
        raise GoneError from error


def _messages(connection: socket.socket, target: str, token: str) -> Iterator[str]:
    protocol = WSConnection(ConnectionType.CLIENT)
    host = "{}:{}".format(*connection.getpeername())
    header = [(b"X-Access-Token", token.encode())]
    connection.sendall(protocol.send(UpgradeRequest(host, target, extra_headers=header)))
    text, is_first = "", True
    for event in _events(connection, protocol):
        match event:
            case TextMessage():
                text += event.data
                if event.message_finished:
                    if not is_first:  # that is the acknowledgement
                        yield text
                    text, is_first = "", False
            case Ping():
                connection.sendall(protocol.send(event.response()))
            case CloseConnection(code=1000):
                return
            case AcceptConnection():
                pass
            case RejectConnection() | CloseConnection():
                raise AssertionError(f"{target}: {event}")


def _events(connection: socket.socket, protocol: WSConnection) -> Iterator[Event]:
    while True:
        data = connection.recv(1 << 16)
        if not data:
            raise GoneError
        protocol.receive_data(data)
        yield from protocol.events()


def _place(directory: Path) -> tuple[int, str]:
    """Give the port and the token of the service that is there."""
    record = find_service(directory)
    if record is None or record.url is None:
        raise GoneError
    return record.port, (directory / "token").read_text().strip()


def eventually(condition: Callable[[], bool], seconds: float = DEADLINE) -> bool:
    """Wait until the condition holds, and say whether it does."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
