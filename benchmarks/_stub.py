"""A service for benchmarks, in a process of its own: its jobs run for ever, and stream on a beat.

It speaks the legacy calls that ask for states, and the streams. What it sends is made before, so
that it costs little beside what is measured.

    GET /jobs/{id}              the job is RUNNING
    GET /jobs?limit=&offset=    as many jobs as there are, all RUNNING: job-0, job-1, ...
    GET /stream/jobs/{id}       a websocket: an acknowledgement, and the messages of the beat
    GET /streams                how many streams are open
    POST /beat?messages=M       from now on, each stream that is open gets M messages, one a second;
                                the messages of all streams are spread evenly over the second
    GET /asked                  how many status requests there were, and how many lists
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import selectors
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from wsproto.utilities import generate_accept_token

MESSAGE_BYTES = 200
"""How long a message is, about."""
TOKEN = "the-token"


def message(number: int) -> str:
    """The message of that number, the same in all streams."""
    head = json.dumps({"iteration": number, "energy": -1.137 + 1 / (number + 1), "parameters": ""})
    return head.replace('""', f'"{"x" * (MESSAGE_BYTES - len(head))}"')


def text_frame(text: str) -> bytes:
    """A text message of 126 to 65,535 bytes, or of less than 126."""
    payload = text.encode()
    size = len(payload)
    head = bytes([0x81, size]) if size < 126 else bytes([0x81, 126]) + size.to_bytes(2)
    return head + payload


def answer(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def job_document(job_id: str) -> dict[str, object]:
    return {
        "id": job_id,
        "hub": "h",
        "group": "g",
        "project": "p",
        "backend": "b",
        "status": "Running",
        "params": {},
        "program": {"id": "p"},
        "created": "2022-05-17T12:30:00Z",
    }


class Connection:
    """One client's, over which it sends requests, or which has become a stream."""

    def __init__(self, service: Stub, sock: socket.socket) -> None:
        self._service = service
        self._received = b""
        self._is_stream = False
        self.socket = sock

    def on_ready(self) -> None:
        try:
            data = self.socket.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self._service.drop(self)
        elif not self._is_stream:  # of a stream only pings and the close come
            self._received += data
            while b"\r\n\r\n" in self._received and not self._is_stream:
                head, _, self._received = self._received.partition(b"\r\n\r\n")
                self.socket.sendall(self._reply(head.decode()))

    def _reply(self, head: str) -> bytes:
        line, *fields = head.split("\r\n")
        method, target, _ = line.split()
        url = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        match method, url.path.strip("/").split("/"):
            case "GET", ["jobs"]:
                return self._service.list_jobs(int(query["limit"]), int(query["offset"]))
            case "GET", ["jobs", job_id]:
                self._service.asked += 1
                return answer(json.dumps(job_document(job_id)).encode())
            case "GET", ["stream", "jobs", _]:
                headers = {n.lower(): v for n, _, v in (f.partition(": ") for f in fields)}
                return self._open_stream(headers["sec-websocket-key"])
            case "GET", ["streams"]:
                return answer(str(len(self._service.streams)).encode())
            case "GET", ["asked"]:
                counts = {"asked": self._service.asked, "listed": self._service.listed}
                return answer(json.dumps(counts).encode())
            case "POST", ["beat"]:
                self._service.start_beat(int(query["messages"]))
                return answer(b"{}")
        return answer(b'{"message": "There is no such thing."}', "404 Not Found")

    def _open_stream(self, key: str) -> bytes:
        self._is_stream = True
        self._service.streams[self] = None
        accept = generate_accept_token(key.encode())
        lines = [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade"]
        head = b"\r\n".join([*lines, b"Sec-WebSocket-Accept: " + accept, b"\r\n"])
        return head + text_frame('{"type": "acknowledgement"}')


class Stub:
    """The service."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self.port: int = self._listener.getsockname()[1]
        self.streams: dict[Connection, None] = {}
        self.asked = self.listed = 0
        self._receivers: list[Connection] = []
        self._frames: list[bytes] = []
        self._start = 0.0
        self._sent = 0

    def run(self) -> None:
        while True:
            for key, _ in self._selector.select(self._send_due()):
                if key.data is None:
                    self._accept()
                else:
                    key.data.on_ready()

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(sock, selectors.EVENT_READ, Connection(self, sock))

    def drop(self, connection: Connection) -> None:
        self._selector.unregister(connection.socket)
        connection.socket.close()
        self.streams.pop(connection, None)

    def list_jobs(self, limit: int, offset: int) -> bytes:
        self.listed += 1
        numbers = range(offset, min(offset + limit, self._jobs))
        jobs = [job_document(f"job-{number}") for number in numbers]
        return answer(json.dumps({"jobs": jobs, "count": self._jobs}).encode())

    def start_beat(self, messages: int) -> None:
        self._receivers = list(self.streams)
        self._frames = [text_frame(message(number)) for number in range(messages)]
        self._start = time.monotonic()
        self._sent = 0

    def _send_due(self) -> float | None:
        """Send what is due; say in how many seconds the next message is."""
        count = len(self._receivers)
        while self._sent < count * len(self._frames):
            delay = self._start + self._sent / count - time.monotonic()
            if delay > 0:
                return delay
            second, place = divmod(self._sent, count)
            receiver = self._receivers[place]
            if receiver in self.streams:
                with contextlib.suppress(ConnectionError):
                    receiver.socket.sendall(self._frames[second])
            self._sent += 1
        return None


def raise_file_limit(files: int) -> None:
    """Let this process, and those that it starts, open so many files.

    Raises:
        SystemExit: if the system does not allow that.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < files:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
        except (ValueError, OSError):
            raise SystemExit(
                f"{files} open files are needed and {hard} allowed: ulimit -n"
            ) from None


def call(url: str, path: str, method: str = "GET") -> Any:
    """Ask the stub something."""
    request = urllib.request.Request(url + path, method=method)
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


@contextlib.contextmanager
def stub(jobs: int) -> Iterator[str]:
    """Start the service, give its URL, end it."""
    command = [sys.executable, str(Path(__file__)), str(jobs)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("jobs", type=int, help="how many jobs there are")
    service = Stub(parser.parse_args().jobs)
    print(service.port, flush=True)
    service.run()
