"""A bare socket: the limit of all clients, and with it what the server is able to."""

from __future__ import annotations

import json
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from _protocol import Measure, failed, serve, value
from _work import (
    Meter,
    Tally,
    latency_of,
    lateness_of,
    seconds_of,
    streams_cpu_of,
    streams_of,
    together_of,
    waits_of,
)

HANDSHAKE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
)
CLOSE = b"\x88\x02\x03\xe8"
ACKNOWLEDGED = b'acknowledgement"}'


def connected(url: str) -> socket.socket:
    parts = urlsplit(url)
    sock = socket.create_connection((parts.hostname, parts.port or 80))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def request(method: str, path: str, headers: str = "", body: bytes = b"") -> bytes:
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}{length}\r\n".encode() + body


def body_of(sock: socket.socket) -> Any:
    """The body of an answer, which comes in one piece from this server."""
    return json.loads(sock.recv(1 << 16).partition(b"\r\n\r\n")[2])


def latency(url: str, share: float, shortest: float, longest: float) -> dict[str, Any]:
    """Submits, reads the stream until its close, asks for the result: no less can be done."""
    seconds = seconds_of(shortest, longest, share)
    body = json.dumps({"program_id": "p", "params": {"seconds": seconds}}).encode()

    def complete() -> tuple[str, Any]:
        with connected(url) as api, connected(url) as stream:
            api.sendall(request("POST", "/jobs", body=body))
            job_id = body_of(api)["id"]
            stream.sendall(request("GET", f"/stream/jobs/{job_id}", HANDSHAKE))
            while not stream.recv(1 << 16).endswith(CLOSE):
                pass
            api.sendall(request("GET", f"/jobs/{job_id}/results"))
            return job_id, body_of(api)

    return latency_of(url, complete)


def together(url: str, size: int, seconds: float) -> dict[str, Any]:
    """One thread that reads all streams, and asks for a result when one is closed."""

    def begin(ids: Sequence[str], done: Callable[[str, Any], None]) -> threading.Thread:
        def read() -> None:
            with connected(url) as api, selectors.DefaultSelector() as selector:
                for job_id in ids:
                    sock = connected(url)
                    sock.sendall(request("GET", f"/stream/jobs/{job_id}", HANDSHAKE))
                    selector.register(sock, selectors.EVENT_READ, (sock, job_id))
                while selector.get_map():
                    for key, _ in selector.select():
                        sock, job_id = key.data
                        if sock.recv(1 << 16).endswith(CLOSE):
                            selector.unregister(sock)
                            sock.close()
                            api.sendall(request("GET", f"/jobs/{job_id}/results"))
                            done(job_id, body_of(api))

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        return thread

    return together_of(url, size, seconds, begin)


def requests(url: str, count: int) -> dict[str, Any]:
    """How many status requests a second the server answers to one who asks one after the other."""
    asked = request("GET", "/jobs/forever-0")
    with connected(url) as sock:
        begin = time.perf_counter()
        for _ in range(count):
            sock.sendall(asked)
            if not sock.recv(1 << 16).startswith(b"HTTP/1.1 200"):
                return failed("the server did not answer with 200")
        return value(count / (time.perf_counter() - begin), "requests/s")


def rate(kind: str, url: str, messages: int, cycle: int, cycle_bytes: int) -> dict[str, Any]:
    """Reads a stream and throws it away: of its content only the number of bytes is checked."""
    meter = Meter(kind, messages, cycle)
    buffer = memoryview(bytearray(1 << 20))
    with connected(url) as sock:
        sock.sendall(request("GET", f"/stream/jobs/{meter.job_id}", HANDSHAKE))
        head = b""
        while ACKNOWLEDGED not in head:
            head += sock.recv(512)
        begin, cpu = time.perf_counter(), time.process_time()
        seen = len(head.partition(ACKNOWLEDGED)[2])
        while size := sock.recv_into(buffer):
            seen += size
        seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    expected = messages // cycle * cycle_bytes + len(CLOSE)
    if seen != expected:
        return failed(f"got {seen:,} bytes of {expected:,}")
    return value(messages / seconds, "messages/s", cpu=cpu / messages * 1e6)


def rate_decoded(kind: str, url: str, messages: int, cycle: int) -> dict[str, Any]:
    """Reads a stream, cuts its frames by hand and decodes them: what nobody can do without."""
    meter = Meter(kind, messages, cycle)
    view = memoryview(bytearray(1 << 22))
    with connected(url) as sock:
        sock.sendall(request("GET", f"/stream/jobs/{meter.job_id}", HANDSHAKE))
        head = b""
        while ACKNOWLEDGED not in head:
            head += sock.recv(512)
        rest = head.partition(ACKNOWLEDGED)[2]
        view[: len(rest)] = rest
        begin, end = 0, len(rest)
        while size := sock.recv_into(view[end:]):
            begin, end = take_all(meter, view, begin, end + size), end + size
            if end == len(view):
                view[: end - begin] = bytes(view[begin:end])
                begin, end = 0, end - begin
    return meter.answer()


def take_all(meter: Meter, view: memoryview, at: int, end: int) -> int:
    """Take the messages that are whole; say where the rest begins."""
    while end - at >= 10:  # of the close, there is less
        start = at + 4
        size = view[at + 2] << 8 | view[at + 3]
        if view[at + 1] == 127:
            start, size = at + 10, int.from_bytes(view[at + 2 : at + 10], "big")
        if end < start + size:
            break
        meter.callback(meter.job_id, json.loads(str(view[start : start + size], "utf-8")))
        at = start + size
    return at


def start_streams(url: str) -> Callable[[Tally], object]:
    """One thread that reads all sockets, and cuts by hand what `json.loads` decodes."""

    def read(tally: Tally) -> None:
        with selectors.DefaultSelector() as selector:
            for job_id in tally.ids:
                sock = connected(url)
                sock.sendall(request("GET", f"/stream/jobs/{job_id}", HANDSHAKE))
                selector.register(sock, selectors.EVENT_READ, (job_id, [b""]))
            while True:
                for key, _ in selector.select():
                    job_id, rest = key.data
                    rest[0] = cut(tally, job_id, rest[0] + key.fileobj.recv(1 << 16))  # type: ignore[union-attr]

    def start(tally: Tally) -> threading.Thread:
        thread = threading.Thread(target=read, args=(tally,), daemon=True)
        thread.start()
        return thread

    return start


def streams(url: str, size: int, messages: int, seconds: float) -> dict[str, Any]:
    return streams_of(url, size, messages, seconds, start_streams(url))


def streams_cpu(url: str, size: int, seconds: int) -> dict[str, Any]:
    return streams_cpu_of(url, size, seconds, start_streams(url))


def cut(tally: Tally, job_id: str, data: bytes) -> bytes:
    """Take the messages of 126 to 65,535 bytes that are whole; give the rest."""
    while (begin := data.find(b"\x81\x7e")) >= 0:
        end = begin + 4 + int.from_bytes(data[begin + 2 : begin + 4], "big")
        if len(data) < end:
            return data[begin:]
        tally.take(job_id, json.loads(data[begin + 4 : end]))
        data = data[end:]
    return data


def waits(url: str, size: int, settle: float, seconds: float) -> dict[str, Any]:
    """One thread that looks at a socket for each job, on which nothing comes: it costs nothing."""

    def begin(ids: Sequence[str]) -> threading.Thread:
        def watch() -> None:
            with selectors.DefaultSelector() as selector:
                for job_id in ids:
                    sock = connected(url)
                    sock.sendall(request("GET", f"/stream/jobs/{job_id}", HANDSHAKE))
                    selector.register(sock, selectors.EVENT_READ)
                while True:
                    for key, _ in selector.select():
                        key.fileobj.recv(1 << 16)  # type: ignore[union-attr]

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        return thread

    return waits_of(url, size, settle, seconds, begin)


def late(_kind: str, timeout: float, calls: int, **_: Any) -> dict[str, Any]:
    """`threading.Event().wait(timeout)`: all that a timeout can rest on."""

    def call(seconds: float) -> None:
        if not threading.Event().wait(seconds):
            raise TimeoutError

    return lateness_of(timeout, calls, lambda: nullcontext(call), TimeoutError)


RATE = rate_decoded if sys.argv[1] == "decoded" else rate

MEASURES: dict[str, Measure] = {
    "latency": latency,
    "together": together,
    "requests": requests,
    "rate-small": partial(RATE, "small"),
    "rate-large": partial(RATE, "large"),
    "streams": streams,
    "streams-cpu": streams_cpu,
    "waits": waits,
    "late-answers": partial(late, "forever"),
    "late-hangs": partial(late, "hangs"),
    "late-drips": partial(late, "drips"),
    "late-refuses": partial(late, "refuses"),
}

if __name__ == "__main__":
    serve("bare socket", MEASURES)
