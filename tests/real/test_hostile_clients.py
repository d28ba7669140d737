"""What the local service refuses, and that it goes on serving others meanwhile."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import json
import re
import resource
import selectors
import socket
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
import urllib3
import uvicorn
from wsclient import WebSocketClient

from adapters.local.bearer import BearerTokens
from adapters.local.door import MAX_GUESTS, PATIENCE, Doorkeeper
from adapters.local.gate import Gate, names_of
from adapters.local.process import LocalServiceProcess

GIB = 1 << 30
MIB = 1 << 20
GENEROUS = 20.0
CONNECTIONS = 10_000

HOST = "Host: 127.0.0.1:{port}"
TOKEN = "X-Access-Token: {token}"
BEARER = "Authorization: Bearer {token}"
CLOSE = "Connection: close"
GOOD = (HOST, TOKEN, CLOSE)
UPGRADE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)


class Answer:
    """One response, and nothing after it."""

    def __init__(self, data: bytes) -> None:
        head, separator, self.body = data.partition(b"\r\n\r\n")
        assert separator, data
        first, *lines = head.decode().split("\r\n")
        self.status = int(first.split()[1])
        self.headers = dict(line.lower().split(": ", 1) for line in lines)

    def refuses(self, status: int) -> bool:
        """Whether it is of this status and says why in one sentence, and the connection ends."""
        assert self.status == status, (self.status, self.body)
        assert self.headers["connection"] == "close"
        assert self.headers["content-type"] == "application/json"
        assert len(self.body) == int(self.headers["content-length"])
        (message,) = json.loads(self.body).values()
        return message.endswith(".") and not any("access-control" in name for name in self.headers)


class Target:
    """A service, and an honest client of it who must not suffer."""

    def __init__(self, port: int, token: str) -> None:
        self.port = port
        self.token = token
        self.pool = urllib3.HTTPConnectionPool(
            "127.0.0.1", port, retries=False, timeout=GENEROUS, maxsize=1
        )

    def fill(self, line: str, *headers: str) -> bytes:
        text = "\r\n".join((line, *headers, "", ""))
        filled = text.replace("{port}", str(self.port)).replace("{token}", self.token)
        return filled.encode("latin-1")

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=GENEROUS)

    def ask(self, data: bytes) -> Answer:
        """Send this, see that others are served while the connection is open, read to its end."""
        with self.connect() as connection:
            connection.sendall(data)
            self.serves_others()
            return Answer(read_all(connection))

    def serves_others(self) -> None:
        """See that an open connection and a new one are served."""
        assert self.call().status == 200
        with self.connect() as connection:
            connection.sendall(self.fill("GET /jobs?limit=1 HTTP/1.1", *GOOD))
            assert read_one(connection).status == 200

    def call(
        self, method: str = "GET", path: str = "/jobs?limit=1", body: Any = None
    ) -> urllib3.BaseHTTPResponse:
        headers = {"X-Access-Token": self.token}
        data = None if body is None else json.dumps(body)
        return self.pool.request(method, path, body=data, headers=headers)

    def close(self) -> None:
        self.pool.close()


class Service(Target):
    """The service itself, in its process."""

    def __init__(self) -> None:
        self.process = LocalServiceProcess.start(workers=2)
        super().__init__(int(self.process.url.rsplit(":", 1)[1]), self.process.access_token)
        self.pid = self.process.pid

    def log(self) -> str:
        """What it has written to stderr, where that is a file."""
        with contextlib.suppress(OSError):
            path = Path(f"/proc/{self.pid}/fd/2")
            return path.read_text() if path.is_file() else ""
        return ""

    def peak_memory(self) -> int:
        """The most memory in bytes that it had since the last call."""
        process = Path(f"/proc/{self.pid}")
        match = re.search(r"VmHWM:\s*(\d+) kB", (process / "status").read_text())
        assert match is not None
        (process / "clear_refs").write_text("5")
        return int(match[1]) << 10

    def run(self, source: str) -> str:
        data = base64.b64encode(textwrap.dedent(source).encode()).decode()
        name = f"program-{time.monotonic_ns()}"
        assert self.call("POST", "/programs", {"name": name, "data": data}).status == 201
        answer = self.call("POST", "/jobs", {"program_id": name})
        assert answer.status == 201, answer.data
        return str(answer.json()["id"])

    def close(self) -> None:
        super().close()
        self.process.close()


def read_all(connection: socket.socket) -> bytes:
    """Read until the service ends its side; a reset ends it too."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(1 << 16):
            data += part
    return data


def read_one(connection: socket.socket) -> Answer:
    """Read one response with a length, on a connection that may stay open."""
    data = b""
    while True:
        head, separator, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        if separator and length is not None and len(body) >= int(length[1]):
            return Answer(data)
        part = connection.recv(1 << 16)
        assert part, data
        data += part


def is_open(connection: socket.socket) -> bool:
    """Whether the service has neither sent anything nor ended the connection."""
    connection.setblocking(False)
    try:
        return connection.recv(1, socket.MSG_PEEK) is None
    except BlockingIOError:
        return True
    except ConnectionResetError:
        return False
    finally:
        connection.settimeout(GENEROUS)


class Meanwhile:
    """Asks again and again, over an open connection and over new ones, until its block ends.

    A new one may be reset before it sends, if as many strangers come in between as may be guests.
    Then it tries again, as every client does; the open one has nothing to fear.
    """

    def __init__(self, service: Target) -> None:
        self._service = service
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._ask)
        self.count = 0

    def _ask(self) -> None:
        try:
            while not self._stop.is_set() or not self.count:
                with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                    self._service.serves_others()
                    self.count += 1
        except BaseException as error:
            self._error = error

    def __enter__(self) -> Self:
        self._service.call()  # opened before the strangers come
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._error is not None:
            raise self._error


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.close()


@pytest.fixture(autouse=True)
def unharmed(service: Service) -> Iterator[None]:
    """After every test the service serves, and has logged neither a failure nor its token."""
    yield
    service.serves_others()
    log = service.log()
    assert "Traceback" not in log
    assert log.count("\n") < 10, "a stranger must not fill the disk"
    assert service.token not in log


# ---- heads that are refused ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        # No token, or a wrong one.
        ((HOST,), 401),
        ((HOST, "X-Access-Token:"), 401),
        ((HOST, "X-Access-Token: wrong"), 401),
        ((HOST, "X-Access-Token: {token}x"), 401),
        ((HOST, "X-Access-Token: \xe9\xff"), 401),
        ((HOST, TOKEN, TOKEN), 401),
        ((HOST, "X-Access-Token: wrong", TOKEN), 401),
        ((HOST, "Authorization: Bearer wrong"), 401),
        ((HOST, "Authorization: Bearer {token}x"), 401),
        ((HOST, "Authorization: Bearer {token} {token}"), 401),
        ((HOST, "Authorization: Bearer e30.e30."), 401),
        ((HOST, "Authorization: Bearer \xe9\xff"), 401),
        ((HOST, "Authorization: Bearer"), 401),
        ((HOST, "Authorization: Basic {token}"), 401),
        ((HOST, "Authorization: {token}"), 401),
        ((HOST, BEARER, BEARER), 401),
        ((HOST, BEARER, "X-Access-Token: wrong"), 401),
        ((HOST, "Cookie: X-Access-Token={token}"), 401),
        # A Host that is not ours: a name rebound to our address, or something odd.
        (("Host: example.org:{port}", TOKEN), 403),
        (("Host: 127.0.0.1.example.org:{port}", TOKEN), 403),
        (("Host: localhost.example.org:{port}", TOKEN), 403),
        (("Host: example.org@127.0.0.1:{port}", TOKEN), 403),
        (("Host: 127.0.0.1:{port}@example.org", TOKEN), 403),
        (("Host: localhost.:{port}", TOKEN), 403),
        (("Host: 192.0.2.1:{port}", TOKEN), 403),
        (("Host: [::ffff:127.0.0.1]:{port}", TOKEN), 403),
        (("Host: 2130706433:{port}", TOKEN), 403),
        (("Host: 0x7f.1:{port}", TOKEN), 403),
        (("Host: 127.0.0.1:1", TOKEN), 403),
        (("Host: 127.0.0.1:{port}0", TOKEN), 403),
        (("Host: 127.0.0.1", TOKEN), 403),
        (("Host: 127.0.0.1:", TOKEN), 403),
        (("Host: 127.0.0.1:{port}/", TOKEN), 403),
        (("Host: 127.0.0.1:{port}, example.org", TOKEN), 403),
        (("Host: \xe9\xff", TOKEN), 403),
        (("Host: " + "x" * 300, TOKEN), 403),
        (("Host:", TOKEN), 403),
        ((TOKEN,), 400),
        ((HOST, HOST, TOKEN), 400),
        ((HOST, "Host: example.org", TOKEN), 400),
        # A page of another origin.
        ((HOST, TOKEN, "Origin: http://example.org"), 403),
        ((HOST, TOKEN, "Origin: null"), 403),
        ((HOST, TOKEN, "Origin:"), 403),
        ((HOST, TOKEN, "Origin: https://127.0.0.1:{port}"), 403),
        ((HOST, TOKEN, "Origin: http://127.0.0.1"), 403),
        ((HOST, TOKEN, "Origin: http://127.0.0.1:1"), 403),
        ((HOST, TOKEN, "Origin: http://localhost:{port}"), 403),
        ((HOST, TOKEN, "Origin: http://user@127.0.0.1:{port}"), 403),
        ((HOST, TOKEN, "Origin: http://127.0.0.1:{port}.example.org"), 403),
        ((HOST, TOKEN, "Origin: http://127.0.0.1:{port} http://example.org"), 403),
        ((HOST, TOKEN, "Origin: http://127.0.0.1:{port}", "Origin: http://example.org"), 403),
        ((HOST, TOKEN, "Origin: \xff"), 403),
        ((HOST, TOKEN, "Sec-Fetch-Site: cross-site"), 403),
        ((HOST, TOKEN, "Sec-Fetch-Site: same-site"), 403),
        ((HOST, TOKEN, "Sec-Fetch-Site:"), 403),
    ],
)
def test_a_stranger_is_refused(service: Service, headers: tuple[str, ...], status: int) -> None:
    # Not among them: HTTP/1.0 has no Host, and then it is ours to refuse.
    for line in ("GET /jobs?limit=1 HTTP/1.1", "GET /jobs?limit=1 HTTP/1.0"):
        assert service.ask(service.fill(line, *headers)).refuses(status)
    for upgraded in ("GET /stream/jobs/none HTTP/1.1", "GET /nowhere HTTP/1.1"):
        assert service.ask(service.fill(upgraded, *headers, *UPGRADE)).refuses(status)


@pytest.mark.parametrize(
    "headers",
    [
        ("Host: LocalHost:{port}", TOKEN, CLOSE),
        ("Host: [::1]:{port}", TOKEN, CLOSE),
        (HOST, TOKEN, CLOSE, "Origin: http://127.0.0.1:{port}"),
        (HOST, TOKEN, CLOSE, "Origin: HTTP://127.0.0.1:{port}", "Sec-Fetch-Site: same-origin"),
        (HOST, TOKEN, CLOSE, "Sec-Fetch-Site: none"),
        (HOST, "x-access-token:  {token} ", CLOSE),
        (HOST, BEARER, CLOSE),
        (HOST, "authorization: bearer  {token} ", CLOSE),
        (HOST, TOKEN, "Authorization: Basic of-a-proxy", CLOSE),
        ("X-Anything: \xff", *GOOD),
    ],
)
def test_who_names_the_service_and_has_the_token_is_let_in(
    service: Service, headers: tuple[str, ...]
) -> None:
    assert service.ask(service.fill("GET /jobs?limit=1 HTTP/1.1", *headers)).status == 200
    assert service.ask(service.fill("GET /jobs?limit=1 HTTP/1.0", *headers)).status == 200


def test_the_preflight_of_a_foreign_page_is_refused(service: Service) -> None:
    asks = ("Access-Control-Request-Method: POST", "Access-Control-Request-Headers: x-access-token")
    for origin, status in (("http://example.org", 403), ("http://127.0.0.1:{port}", 401)):
        data = service.fill("OPTIONS /jobs HTTP/1.1", HOST, f"Origin: {origin}", *asks)
        assert service.ask(data).refuses(status)


@pytest.mark.parametrize(
    ("line", "headers", "status"),
    [
        # Targets that are no paths.
        ("GET http://127.0.0.1:{port}/jobs HTTP/1.1", (), 400),
        ("GET http://example.org/jobs HTTP/1.1", (), 400),
        ("OPTIONS * HTTP/1.1", (), 400),
        ("CONNECT example.org:443 HTTP/1.1", (), 400),
        ("GET jobs HTTP/1.1", (), 400),
        # No HTTP, or not quite.
        ("GET /jobs/\xff\xfe HTTP/1.1", (), 400),
        ("GET /jobs/\0 HTTP/1.1", (), 400),
        ("GET /jobs/a b HTTP/1.1", (), 400),
        ("GET /jobs", (), 400),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", (), 400),
        ("PRI * HTTP/2.0", (), 400),
        ("GET /jobs HTTP/1.1", ("X: a\0b",), 400),
        ("GET /jobs HTTP/1.1", ("X\xff: a",), 400),
        ("GET /jobs HTTP/1.1", ("no colon",), 400),
        ("GET /jobs HTTP/1.1", ("Transfer-Encoding : chunked",), 400),
        # Where a body ends must be beyond doubt.
        ("POST /jobs HTTP/1.1", ("Transfer-Encoding: chunked", "Content-Length: 2"), 400),
        ("POST /jobs HTTP/1.1", ("Content-Length: 2", "Content-Length: 3"), 400),
        ("POST /jobs HTTP/1.1", ("Content-Length: -1",), 400),
        ("POST /jobs HTTP/1.1", ("Content-Length: 1e9",), 400),
        ("POST /jobs HTTP/1.1", ("Content-Length: " + "9" * 30,), 400),
        ("POST /jobs HTTP/1.1", ("Transfer-Encoding: gzip, chunked",), 501),
        ("POST /jobs HTTP/1.1", ("Transfer-Encoding: chunked",) * 2, 501),
        # Long ones.
        ("GET /jobs/" + "x" * 17_000 + " HTTP/1.1", (), 431),
        ("GET /jobs/" + "x" * MIB + " HTTP/1.1", (), 431),
        ("GET /jobs HTTP/1.1", ("X: " + "x" * 17_000,), 431),
        ("GET /jobs HTTP/1.1", ("X: 1",) * 10_000, 431),
        ("GET /jobs HTTP/1.1", ("X: 1\r\n ",) * 10_000, 431),
    ],
)
def test_what_is_malformed_is_refused(
    service: Service, line: str, headers: tuple[str, ...], status: int
) -> None:
    assert service.ask(service.fill(line, *GOOD, *headers)).refuses(status)


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", UPGRADE),
        ("GET", (*UPGRADE[:2], "Sec-WebSocket-Version: 8", UPGRADE[3])),
        ("GET", (*UPGRADE[:2], UPGRADE[3])),
        ("GET", UPGRADE[:3]),
        ("GET", (*UPGRADE, UPGRADE[3])),
        ("GET", (*UPGRADE, "Content-Length: 5")),
        ("GET", (*UPGRADE, "Transfer-Encoding: chunked")),
        ("GET", (*UPGRADE, "Sec-WebSocket-Protocol: \xff")),
        ("GET", (*UPGRADE, "Sec-WebSocket-Extensions: \xff")),
    ],
)
def test_a_malformed_upgrade_is_refused(
    service: Service, method: str, headers: tuple[str, ...]
) -> None:
    data = service.fill(f"{method} /stream/jobs/none HTTP/1.1", HOST, TOKEN, *headers)
    assert service.ask(data).refuses(400)


@pytest.mark.parametrize(
    "path",
    [
        "/jobs/..",
        "/jobs/%2e%2e",
        "/jobs/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/jobs/../../../etc/passwd",
        "/jobs/..%5c..%5cwindows",
        "/jobs/%252e%252e%252f",
        "/jobs/a%2Fb",
        "/jobs/%00",
        "/jobs/x%00.json",
        "/jobs/%ff%fe",
        "/jobs/%",
        "/jobs/%zz",
        "/jobs/%0d%0aSet-Cookie:%20x",
        "/jobs/%F0%9F%92%A9",
        "/jobs/'%20OR%201=1--",
        "/jobs/" + "x" * 12_000,
        "/jobs/" + "%2e%2e%2f" * 1_000,
        "/jobs/~",
        "//etc/passwd",
        "/./jobs",
        "/jobs/{}/results/..",
    ],
)
def test_tricks_in_ids_find_nothing(service: Service, path: str) -> None:
    for suffix in ("", "/results", "/logs"):
        answer = service.ask(service.fill(f"GET {path}{suffix} HTTP/1.1", *GOOD))
        assert answer.status == 404, answer.body
        assert list(json.loads(answer.body)) == ["message"]
    program = path.replace("/jobs", "/programs")
    for method in ("GET", "DELETE"):
        assert service.ask(service.fill(f"{method} {program} HTTP/1.1", *GOOD)).status == 404
    data = service.fill(f"GET /stream{path} HTTP/1.1", HOST, TOKEN, *UPGRADE)
    assert service.ask(data).status in (403, 404)


# ---- what comes after the head -------------------------------------------------------------------


def test_each_request_of_a_connection_is_judged(service: Service) -> None:
    good = service.fill("GET /jobs?limit=1 HTTP/1.1", HOST, TOKEN)
    bad = service.fill("GET /jobs?limit=1 HTTP/1.1", HOST)
    with service.connect() as connection:
        connection.sendall(good + good + bad + good)
        answers = read_all(connection)
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"200", b"401"]
    with service.connect() as connection:
        connection.sendall(bad + good)
        answers = read_all(connection)
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"401"]


def test_a_body_in_which_another_request_hides_is_no_request(service: Service) -> None:
    hidden = service.fill("DELETE /jobs/none HTTP/1.1", HOST, TOKEN)
    head = service.fill("POST /jobs HTTP/1.1", HOST, f"Content-Length: {len(hidden)}")
    assert service.ask(head + hidden).refuses(401)


@pytest.mark.parametrize("token", [(), (TOKEN,)])
def test_a_body_that_is_garbled_is_refused(service: Service, token: tuple[str, ...]) -> None:
    head = service.fill("POST /jobs HTTP/1.1", HOST, *token, "Transfer-Encoding: chunked")
    with service.connect() as at_once:
        at_once.sendall(head + b"zz\r\n\r\n")
        assert Answer(read_all(at_once)).refuses(400 if token else 401)
    with service.connect() as in_the_end:
        in_the_end.sendall(head + b"1\r\n{\r\n")
        service.serves_others()
        with contextlib.suppress(ConnectionError):
            in_the_end.sendall(b"1\r\n}garbage")
        assert Answer(read_all(in_the_end)).refuses(400 if token else 401)


def test_a_garbled_body_is_refused_where_none_is_read_too(service: Service) -> None:
    head = service.fill("GET /jobs HTTP/1.1", HOST, TOKEN, "Transfer-Encoding: chunked")
    assert service.ask(head + b"zz\r\n\r\n").refuses(400)


def test_garbage_after_an_answer_ends_the_connection(service: Service) -> None:
    head = service.fill("GET /jobs?limit=1 HTTP/1.1", HOST, TOKEN, "Transfer-Encoding: chunked")
    with service.connect() as connection:
        connection.sendall(head)
        assert read_one(connection).status == 200
        connection.sendall(b"garbage\r\n")
        service.serves_others()
        assert read_all(connection) == b""


@pytest.mark.parametrize("length", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
def test_a_client_that_goes_in_the_middle_of_its_body_is_no_failure(
    service: Service, length: str
) -> None:
    with service.connect() as connection:
        connection.sendall(service.fill("POST /jobs HTTP/1.1", HOST, TOKEN, length) + b"1\r\n")
        service.serves_others()


def test_a_stranger_is_not_invited_to_send_the_body(service: Service) -> None:
    expect = ("Content-Length: 100", "Expect: 100-continue")
    assert service.ask(service.fill("POST /jobs HTTP/1.1", HOST, *expect)).refuses(401)


def test_the_answer_to_head_has_no_body(service: Service) -> None:
    answer = service.ask(service.fill("HEAD /jobs HTTP/1.1", HOST))
    assert (answer.status, answer.body) == (401, b"")


def test_a_whole_body_does_not_cost_a_stranger_the_answer(service: Service) -> None:
    # Closed with the body unread, the connection would be reset, maybe before the answer is read.
    body = b" " * (MIB // 2)
    head = service.fill("POST /jobs HTTP/1.1", HOST, f"Content-Length: {len(body)}")
    with service.connect() as connection:
        connection.sendall(head)
        assert b"401" in connection.recv(1 << 16, socket.MSG_PEEK)
        connection.sendall(body)
        service.serves_others()
        connection.shutdown(socket.SHUT_WR)
        data = b""
        while part := connection.recv(1 << 16):  # a reset would raise
            data += part
    assert Answer(data).refuses(401)


# ---- 1 GiB ---------------------------------------------------------------------------------------


def send_gib(service: Service, head: bytes, part: bytes) -> Answer:
    """Send 1 GiB, part by part, as far as the service takes it; give the answer."""
    with service.connect() as connection:
        connection.sendall(head)
        try:
            for number in range(GIB // MIB):
                connection.sendall(part)
                if number in (1, 100, 200):
                    service.serves_others()
        except ConnectionError:
            pass  # it has read enough
        return read_one(connection)


@pytest.mark.parametrize(
    ("path", "length", "part"),
    [
        ("/jobs", f"Content-Length: {GIB}", b"x" * MIB),
        ("/programs", "Transfer-Encoding: chunked", b"100000\r\n" + b"x" * MIB + b"\r\n"),
    ],
    ids=["length", "chunked"],
)
def test_a_body_of_one_gib_is_refused(
    service: Service, path: str, length: str, part: bytes
) -> None:
    head = service.fill(f"POST {path} HTTP/1.1", HOST, "X-Access-Token: wrong", length)
    before = service.peak_memory()
    assert send_gib(service, head, part).refuses(401)
    if sys.platform == "linux":
        assert service.peak_memory() - before < 16 * MIB
    head = service.fill(f"POST {path} HTTP/1.1", HOST, TOKEN, length)
    answer = send_gib(service, head, part)
    assert answer.status == 413
    assert list(json.loads(answer.body)) == ["message"]
    if sys.platform == "linux":
        assert service.peak_memory() - before < 256 * MIB


# ---- a byte a second -----------------------------------------------------------------------------


def drip(connection: socket.socket, data: bytes, pause: float) -> bytes:
    """Send a byte, pause, until the service ends the connection; give its answer."""
    connection.settimeout(pause)
    answer = b""
    for position in range(1_000_000):
        try:
            connection.sendall(data[position % len(data) :][:1])
            part = connection.recv(1 << 16)
        except TimeoutError:
            continue
        except ConnectionError:
            break
        if not part:
            break
        answer += part
    return answer


@pytest.fixture(scope="module", autouse=True)
def slow_client(service: Service) -> Iterator[Callable[[], tuple[bytes, float]]]:
    """A client of the service that sends a byte a second, beside the tests up to its own."""
    answers: list[tuple[bytes, float]] = []
    head = service.fill("GET /jobs HTTP/1.1", *GOOD, "X: " + "x" * 1000)
    connection = service.connect()
    start = time.monotonic()

    def send() -> None:
        answer = drip(connection, head, 1.0)
        answers.append((answer, time.monotonic() - start))

    thread = threading.Thread(target=send)
    thread.start()

    def outcome() -> tuple[bytes, float]:
        thread.join()
        return answers[0]

    yield outcome
    with contextlib.suppress(OSError):  # it is over, or no test waits for it
        connection.shutdown(socket.SHUT_RDWR)
    thread.join()
    connection.close()


def test_a_byte_a_second_gains_nothing(
    service: Service, slow_client: Callable[[], tuple[bytes, float]]
) -> None:
    with Meanwhile(service):
        data, duration = slow_client()
    assert Answer(data).refuses(408)
    assert duration < PATIENCE + GENEROUS


# ---- 10,000 connections --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def most_open() -> Iterator[int]:
    """How many connections this process may have open at a time."""
    before = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (CONNECTIONS + 1000, 10_240):
        if soft < wanted and (hard == resource.RLIM_INFINITY or wanted <= hard):
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
                break
    yield resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def open_many(port: int, count: int, most_open: int, first: bytes) -> list[socket.socket]:
    """Open so many connections, send `first` on each; give those still open on our side."""
    opened: deque[socket.socket] = deque()
    with selectors.DefaultSelector() as selector:

        def settle(timeout: float) -> None:
            for key, _ in selector.select(timeout):
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                selector.unregister(connection)
                # It may have gone already; but a connection it was.
                with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                    connection.send(first)

        for number in range(count):
            while len(opened) >= most_open:
                settle(0)
                if opened[0].fileno() not in selector.get_map():
                    opened.popleft().close()
            connection = socket.socket()
            connection.setblocking(False)
            connection.connect_ex(("127.0.0.1", port))
            selector.register(connection, selectors.EVENT_WRITE)
            opened.append(connection)
            if number % 100 == 0:
                settle(0)
        deadline = time.monotonic() + GENEROUS
        while selector.get_map():
            assert time.monotonic() < deadline, f"{len(selector.get_map())} do not get through"
            settle(1)
    return list(opened)


COUNTS = """
    import time
    def main(backend, user_messenger):
        for number in range(1_000_000):
            user_messenger.publish(number)
            time.sleep(0.1)
"""


@pytest.mark.parametrize(
    "first",
    [b"", b"GET /jobs HTTP/1.1\r\nX: ", b"GET /jobs HTTP/1.1\r\nHost: example.org\r\n\r\n"],
    ids=["silent", "half a head", "refused"],
)
def test_ten_thousand_connections(service: Service, most_open: int, first: bytes) -> None:
    job = service.run(COUNTS)
    with WebSocketClient(
        service.port, f"/stream/jobs/{job}", {"X-Access-Token": service.token}
    ) as stream:
        assert stream.receive() is not None
        with Meanwhile(service) as meanwhile:
            opened = open_many(service.port, CONNECTIONS, most_open, first)
        assert meanwhile.count > 0
        service.serves_others()
        assert service.call("POST", f"/jobs/{job}/cancel").status == 204
        messages = stream.messages()
        assert [int(text) for text in messages] == list(range(len(messages)))
        assert stream.close_code == 1000
    for connection in opened:
        connection.close()


def test_of_too_many_guests_the_oldest_goes(service: Service, most_open: int) -> None:
    with contextlib.ExitStack() as stack:
        admitted = stack.enter_context(service.connect())
        admitted.sendall(service.fill("GET /jobs/none HTTP/1.1", HOST, TOKEN))
        assert read_one(admitted).status == 404
        guests = []
        for _ in range(min(MAX_GUESTS + 10, most_open)):
            guests.append(stack.enter_context(service.connect()))
            if len(guests) % 100 == 0:
                service.serves_others()  # and so they are accepted in this order
        service.serves_others()
        assert not any(is_open(guest) for guest in guests[:10])
        assert is_open(guests[-1])
        admitted.sendall(service.fill("GET /jobs/none HTTP/1.1", *GOOD))
        assert read_one(admitted).status == 404


def test_few_file_descriptors_do_not_stop_the_service() -> None:
    source = """
        import resource, sys
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 256))
        from adapters.local.process import LocalServiceProcess
        with LocalServiceProcess.start(workers=1) as service:
            print(service.url, service.access_token, service.pid, flush=True)
            sys.stdin.read()
    """
    command = [sys.executable, "-c", textwrap.dedent(source)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        url, token, pid = owner.stdout.readline().split()
        target = Target(int(url.rsplit(":", 1)[1]), token)
        with Meanwhile(target) as meanwhile:
            opened = open_many(target.port, 2_000, 500, b"GET")
        assert meanwhile.count > 0
        with Meanwhile(target):
            pass  # until it was served once more, with all of them there
        target.close()
        for connection in opened:
            connection.close()
        log = Path(f"/proc/{pid}/fd/2")
        assert not log.is_file() or log.read_text() == ""
        owner.communicate("")


# ---- guests and their time -----------------------------------------------------------------------


async def answers_200(scope: Any, receive: Any, send: Any) -> None:
    """The smallest application: it reads the body and says nothing."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


class SmallService(Target):
    """Gate and door in this process."""

    def __init__(self, port: int, token: str, keeper: Doorkeeper) -> None:
        super().__init__(port, token)
        self.keeper = keeper


@contextlib.contextmanager
def small_service(**options: Any) -> Iterator[SmallService]:
    """Gate and door before a small application, with other limits than the service's."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    gate = Gate(answers_200, "secret", port)
    keeper = Doorkeeper(gate, **{"files": 1024, **options})
    config = uvicorn.Config(
        gate, http=keeper.protocol(), ws="wsproto", lifespan="off", log_config=None, log_level=40
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
    thread.start()
    target = SmallService(port, "secret", keeper)
    try:
        yield target
    finally:
        target.close()
        server.should_exit = True
        thread.join()


@pytest.mark.parametrize("speed", ["silent", "a byte now and then", "half a head"])
def test_a_guest_has_little_time(speed: str) -> None:
    with small_service(patience=0.4) as target, target.connect() as guest:
        head = target.fill("GET / HTTP/1.1", HOST, TOKEN, "X: " + "x" * 10_000)
        if speed == "half a head":
            guest.sendall(head[:1000])
        target.serves_others()
        data = drip(guest, head, 0.05) if speed == "a byte now and then" else read_all(guest)
        assert Answer(data).refuses(408)
        target.serves_others()


def test_who_is_admitted_has_all_the_time() -> None:
    with small_service(patience=0.2) as target, target.connect() as client:
        head = target.fill("POST / HTTP/1.1", HOST, TOKEN, "Content-Length: 20", CLOSE)
        client.sendall(head)
        start = time.monotonic()
        for _ in range(20):
            client.sendall(b"x")
            time.sleep(0.02)
        assert time.monotonic() - start > 0.3
        assert Answer(read_all(client)).status == 200


def test_who_was_refused_must_go() -> None:
    with small_service(linger=0.1) as target, target.connect() as guest:
        guest.sendall(target.fill("POST / HTTP/1.1", HOST, "Content-Length: 1000"))
        assert Answer(read_all(guest)).refuses(401)
        target.serves_others()
        deadline = time.monotonic() + GENEROUS
        # That not only its side of the connection has ended, sending tells alone.
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < deadline:
                guest.sendall(b"x")
                time.sleep(0.02)
        assert time.monotonic() < deadline


def test_who_was_refused_cannot_send_for_ever() -> None:
    with small_service() as target, target.connect() as guest:
        guest.sendall(target.fill("POST / HTTP/1.1", HOST, f"Content-Length: {GIB}"))
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < GIB:
                sent += guest.send(b"x" * MIB)
        assert sent < 64 * MIB  # what the kernel takes, and a little
        target.serves_others()


def test_a_slow_head_is_fine_on_a_connection_that_was_admitted() -> None:
    with small_service(patience=0.2) as target, target.connect() as client:
        client.sendall(target.fill("GET / HTTP/1.1", HOST, TOKEN))
        assert read_one(client).status == 200
        head = target.fill("GET / HTTP/1.1", *GOOD)
        for position in range(0, len(head), 8):
            client.sendall(head[position : position + 8])
            time.sleep(0.03)
        assert Answer(read_all(client)).status == 200


def test_one_connection_too_many_is_told_so() -> None:
    # Of 16 files 4 are kept back, and 4 are for guests.
    with small_service(files=16) as target, contextlib.ExitStack() as stack:
        streams = [
            stack.enter_context(WebSocketClient(target.port, "/", {"X-Access-Token": target.token}))
            for _ in range(8)
        ]
        for headers in ((), UPGRADE):
            with target.connect() as client:
                client.sendall(target.fill("GET / HTTP/1.1", HOST, TOKEN, *headers))
                assert Answer(read_all(client)).refuses(503)
        for stream in streams[:3]:
            stream.close()
        deadline = time.monotonic() + GENEROUS
        while target.call(path="/").status == 503:
            assert time.monotonic() < deadline
        target.serves_others()


@pytest.mark.parametrize("data", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0"])
def test_a_guest_leaves_nothing_to_the_garbage_collector(data: bytes) -> None:
    # Thousands in reference cycles would be a pause for everybody when they are collected.
    gc.disable()
    try:
        with small_service() as target:
            with target.connect() as guest:
                guest.sendall(data)
                target.serves_others()
                (door,) = map(weakref.ref, target.keeper._guests)
            deadline = time.monotonic() + GENEROUS
            while door() is not None and time.monotonic() < deadline:
                time.sleep(0.01)
            assert door() is None
    finally:
        gc.enable()


def test_a_refused_client_does_not_hinder_the_end_of_the_service() -> None:
    with small_service() as target, target.connect() as refused, target.connect() as guest:
        guest.sendall(b"GET")
        refused.sendall(target.fill("GET / HTTP/1.1", HOST))
        assert b" 401 " in refused.recv(1 << 16)
        start = time.monotonic()
    assert time.monotonic() - start < GENEROUS


# ---- bearer tokens -------------------------------------------------------------------------------

WANTS_BEARER = "POST /identity/token HTTP/1.1"


def form(length: int | str, *headers: str) -> tuple[str, ...]:
    return (WANTS_BEARER, HOST, f"Content-Length: {length}", *headers)


def with_key(target: Target, key: str) -> bytes:
    body = f"grant_type=urn%3Aibm&apikey={key}&response_type=cloud_iam".encode()
    return target.fill(*form(len(body))) + body


def test_who_has_the_token_gets_a_bearer_token_for_it(service: Service) -> None:
    answer = service.ask(with_key(service, service.token))
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert answer.headers["cache-control"] == "no-store"
    told = json.loads(answer.body)
    assert (told["token_type"], told["expires_in"]) == ("Bearer", 3600)
    assert service.token not in told["access_token"]
    bearer = told["access_token"]
    for token, status in ((bearer, 200), (bearer + "x", 401), (bearer[:-1], 401)):
        head = service.fill("GET /jobs HTTP/1.1", HOST, f"Authorization: Bearer {token}", CLOSE)
        assert service.ask(head).status == status
    # The signature is of this payload and of no other.
    head, _, signature = bearer.split(".")
    payload = base64.urlsafe_b64encode(json.dumps({"iat": 0, "exp": 1e12}).encode())
    forged = f"{head}.{payload.rstrip(b'=').decode()}.{signature}"
    data = service.fill("GET /jobs HTTP/1.1", HOST, f"Authorization: Bearer {forged}")
    assert service.ask(data).refuses(401)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"apikey=",
        b"apikey=wrong",
        b"apikey={token}&apikey={token}",
        b"apikey={token}x",
        b"other={token}",
        b"apikey=%ff%fe%ed%a0%80",
        b"\xff\x00",
        b"&" * 4096,
        b"a=1&" * 1024,
    ],
)
def test_who_has_not_gets_none(service: Service, body: bytes) -> None:
    body = body.replace(b"{token}", service.token.encode())
    assert service.ask(service.fill(*form(len(body))) + body).refuses(401)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ((HOST,), 411),
        ((HOST, "Transfer-Encoding: chunked"), 411),
        ((HOST, "Content-Length: 4097"), 413),
        ((HOST, "Content-Length: 00000000000000009999"), 413),
        ((HOST, "Content-Length: 99999999999999999999"), 413),
        (("Host: example.org:{port}", "Content-Length: 9"), 403),
        ((HOST, "Content-Length: 9", "Origin: http://example.org"), 403),
        ((HOST, "Content-Length: 0", *UPGRADE), 400),
    ],
)
def test_what_may_be_read_of_a_stranger_is_little(
    service: Service, headers: tuple[str, ...], status: int
) -> None:
    assert service.ask(service.fill(WANTS_BEARER, *headers)).refuses(status)


@pytest.mark.parametrize(
    "line",
    [
        "GET /identity/token HTTP/1.1",
        "POST /identity/token?x HTTP/1.1",
        "POST /identity/token/ HTTP/1.1",
        "POST /identity%2Ftoken HTTP/1.1",
        "POST /identity/../identity/token HTTP/1.1",
        "POST /jobs HTTP/1.1",
    ],
)
def test_no_other_request_is_let_in_for_it(service: Service, line: str) -> None:
    assert service.ask(service.fill(line, HOST, "Content-Length: 0")).refuses(401)


def test_who_asks_for_a_bearer_token_stays_a_guest() -> None:
    with small_service(patience=0.4, max_guests=2) as target, target.connect() as guest:
        guest.sendall(target.fill(*form(100)) + b"apikey=")
        target.serves_others()
        assert target.keeper.guests == 1
        assert Answer(read_all(guest)).refuses(408)
    with small_service(max_guests=1) as target, target.connect() as first:
        first.sendall(target.fill(*form(100)))
        with target.connect() as second:
            second.sendall(with_key(target, "secret"))
            assert read_all(first) == b""
            assert Answer(read_all(second)).status == 200


def test_a_bearer_token_holds_for_its_time() -> None:
    now = 1000.0
    tokens = BearerTokens("secret", lambda: now)
    issued = f"Bearer {tokens.issue()['access_token']}".encode()
    assert tokens.accepts(issued)
    assert tokens.accepts(b"bearer secret")
    assert not BearerTokens("other", lambda: now).accepts(issued)
    now += 3599
    assert tokens.accepts(issued)
    now += 1
    assert not tokens.accepts(issued)


@pytest.mark.parametrize("token", ["", ".", "..", "a.b.c", "=", "e30.e30.e30", "." * 4096])
def test_what_we_have_not_signed_is_not_looked_into(token: str) -> None:
    assert not BearerTokens("secret").accepts(b"Bearer " + token.encode())


# ---- names ---------------------------------------------------------------------------------------


def judge(names: Any, host: str) -> int:
    headers = [(b"host", host.encode()), (b"x-access-token", b"secret")]
    gate = Gate(answers_200, "secret", 8000, names)
    refusal = gate.refusal(b"GET", b"/jobs", headers)
    return 200 if refusal is None else refusal.status_code


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "::1", "127.1.2.3"])
def test_at_loopback_few_names_are_ours(address: str) -> None:
    names = names_of(address, ["Proxy.example:443", "other.example"])
    authority = f"[{address}]" if ":" in address else address
    for host in ("127.0.0.1:8000", "localhost:8000", "[::1]:8000", f"{authority}:8000"):
        assert judge(names, host) == 200
    assert judge(names, "proxy.example:443") == 200
    assert judge(names, "proxy.example:8000") == 403
    assert judge(names, "other.example:8000") == 200
    assert judge(names, "192.0.2.1:8000") == 403
    assert judge(names, f"{socket.gethostname()}:8000") == 403


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.1", "here.example"])
def test_elsewhere_every_address_is_ours_and_few_names(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "Box")
    monkeypatch.setattr(socket, "getfqdn", lambda: "box.example")
    names = names_of(address)
    for host in ("192.0.2.1", "[2001:db8::1]", "127.0.0.1", "localhost", "box", "BOX.example"):
        assert judge(names, f"{host}:8000") == 200
        assert judge(names, f"{host}:8001") == 403
    assert judge(names, "here.example:8000") == (200 if address == "here.example" else 403)
    for host in ("rebound.example", "box.example.org", "1.2.3", "2130706433", "box.example."):
        assert judge(names, f"{host}:8000") == 403


def test_without_the_door_the_gate_refuses_too() -> None:
    async def ask(scope: dict[str, Any]) -> list[Any]:
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            sent.append(message)

        gate = Gate(answers_200, "secret", 8000)
        headers = [(b"host", b"localhost:8000")]
        await gate({"raw_path": b"/", "headers": headers, **scope}, receive, send)
        return sent

    first, _ = asyncio.run(ask({"type": "http", "method": "GET"}))
    assert first["status"] == 401
    extensions: dict[str, Any] = {"websocket.http.response": {}}
    first, *_ = asyncio.run(ask({"type": "websocket", "extensions": extensions}))
    assert (first["type"], first["status"]) == ("websocket.http.response.start", 401)


def test_the_file_limit_is_raised() -> None:
    source = """
        import resource, adapters.local.door
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 300))
        print(adapters.local.door.raise_file_limit(), resource.getrlimit(resource.RLIMIT_NOFILE))
        print(adapters.local.door.raise_file_limit())
    """
    command = [sys.executable, "-c", textwrap.dedent(source)]
    output = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert output == "300 (300, 300)\n300\n"
