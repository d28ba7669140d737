"""The service of the benchmarks: speaks what each client speaks, and keeps up with all of them.

One process, one loop; whoever floods a client has a thread. Below `/api/v1` it is the current
service, with a bearer token, elsewhere the legacy one, with streams. All that is streamed was made
before. What a job is, its id says:

    forever-7           runs for ever; its stream is open, and gets what a beat brings
    small-200000-7      its stream is that many messages of 200 bytes, as fast as it goes; ends then
    large-40-7          the same of 1 MB
    hangs-7             says nothing to any request
    drips-7             says it, a byte each tenth of a second
    run-7               what `POST /jobs` made: it runs for the `seconds` of its params, its stream
                        brings one message in the middle and closes at its end

and `/bench` is what the benchmarks ask themselves:

    GET /bench/counts?job=ID        requests and handshakes in all, and of a job, with its end
    POST /bench/running?count=N     makes N jobs that run for ever, if they are not there
    GET /bench/streams              how many streams of jobs that run for ever are open
    POST /bench/beat?messages=M     sends M messages to each of those, one after the other
    POST /bench/jobs?count=N&after=S    makes N jobs, which end one after the other within a second
                                    that begins in S seconds
    GET /bench/ends                 when each job has ended
    POST /bench/pulse?seconds=S     sends each of them a message a second, so long, evenly spread
"""

from __future__ import annotations

import base64
import contextlib
import heapq
import itertools
import json
import re
import resource
import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs
from _frames import CLOSE, CYCLE, answer, frames, text_frame, upgrade

CURRENT = "/api/v1"
FILES = 20_000
"""How many open files there may be, if the system allows so many."""
SLOTS = 100
"""Into how many parts a second is divided for a pulse."""
_KEY = re.compile(rb"^Sec-WebSocket-Key: *(\S+)", re.IGNORECASE | re.MULTILINE)
_LENGTH = re.compile(rb"^Content-Length: *(\d+)", re.IGNORECASE | re.MULTILINE)


@attrs.define(eq=False)
class Job:
    """What runs for its seconds."""

    id: str
    """Its id."""
    ended: float | None = None
    """When it ended, by the clock of all processes."""
    stream: Connection | None = None
    """Where its interim result goes."""
    published: bool = False
    """Whether its interim result has been published."""


def moment() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


class Connection:
    """A client's, over which it asks, or which has become a stream."""

    def __init__(self, server: Server, sock: socket.socket) -> None:
        self._server = server
        self._received = b""
        self.is_stream = False
        self.socket = sock

    def on_ready(self) -> None:
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionError:
            data = b""
        if not data:
            self._server.drop(self)
        elif not self.is_stream:  # of a stream only pings and the close come
            self._received += data
            self._answer_all()

    def _answer_all(self) -> None:
        while not self.is_stream and b"\r\n\r\n" in self._received:
            head, _, rest = self._received.partition(b"\r\n\r\n")
            found = _LENGTH.search(head)
            size = int(found[1]) if found else 0
            if len(rest) < size:
                return
            self._received = rest[size:]
            self._server.on_request(self, head, rest[:size])

    def send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self.socket.sendall(data)


class Server:
    """The service."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self.port: int = self._listener.getsockname()[1]
        self._blocks = {kind: frames(kind) for kind in CYCLE}
        self._jobs: dict[str, Job] = {}
        self._numbers = itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._streams: dict[Connection, None] = {}
        self._of_job: Counter[str] = Counter()
        self._requests = self._handshakes = 0

    # ---- the loop ------------------------------------------------------------------------------

    def run(self) -> None:
        while True:
            for key, _ in self._selector.select(self._wait()):
                if key.data is None:
                    self._accept()
                else:
                    key.data.on_ready()
            while self._due and self._due[0][0] <= time.time():
                heapq.heappop(self._due)[2]()

    def _wait(self) -> float | None:
        return max(0.0, self._due[0][0] - time.time()) if self._due else None

    def _at(self, when: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._due, (when, next(self._numbers), call))

    def _accept(self) -> None:
        # All that are there: a crowd that fills the backlog has to try again, each time later.
        with contextlib.suppress(BlockingIOError):
            while True:
                sock, _ = self._listener.accept()
                sock.setblocking(True)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._selector.register(sock, selectors.EVENT_READ, Connection(self, sock))

    def drop(self, connection: Connection) -> None:
        self._streams.pop(connection, None)
        self._selector.unregister(connection.socket)
        connection.socket.close()

    # ---- requests ------------------------------------------------------------------------------

    def on_request(self, connection: Connection, head: bytes, body: bytes) -> None:
        method, target, _ = head.partition(b"\r\n")[0].decode().split()
        url = urlsplit(target)
        parts = url.path.removeprefix(CURRENT).strip("/").split("/")
        if parts[0] == "bench":
            connection.send(self._bench(parts[1], parse_qs(url.query)))
            return
        self._requests += 1
        job_id = parts[-1] if parts[0] == "stream" else parts[1] if len(parts) > 1 else ""
        self._of_job[job_id] += 1
        if job_id.startswith("hangs-"):
            return
        if parts[0] == "stream" and not job_id.startswith("drips-"):
            self._handshakes += 1
            self._stream(connection, job_id, head)
            return
        is_current = url.path.startswith(CURRENT)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        data = self._reply(method, parts, query, body, is_current=is_current)
        if job_id.startswith("drips-"):
            self._drip(connection, data)
        else:
            connection.send(data)

    def _reply(
        self, method: str, parts: list[str], query: dict[str, str], body: bytes, *, is_current: bool
    ) -> bytes:
        match method, parts:
            case "GET", ["jobs", job_id]:
                return answer(self._document(job_id, is_current=is_current))
            case "GET", ["jobs", job_id, "results"]:
                return answer(json.dumps({"job": job_id}))
            case "POST", ["jobs"]:
                return answer(self._submit(json.loads(body)))
            case "GET", ["jobs"]:
                return answer(self._list(query, is_current=is_current))
            case "POST", ["jobs", _, "cancel"]:
                return answer(None, "204 No Content")
            case "POST", ["identity", "token"]:
                return answer(bearer())
            case "GET", ["instances", "usage"]:
                return answer({})
            case "GET", ["backends"]:
                local = {"name": "local", "status": {"name": "online"}}
                return answer({"devices": [local | {"queue_length": 0, "qubits": 0}]})
            case "GET", ["backends", _, "configuration"]:
                return answer(CONFIGURATION)
            case "GET", ["backends", _, "status"]:
                return answer(STATUS)
        return answer({"message": f"There is no {method} {'/'.join(parts)}."}, "404 Not Found")

    def _document(self, job_id: str, *, is_current: bool) -> dict[str, Any]:
        word = "Running" if self._job(job_id).ended is None else "Completed"
        shared = {
            "id": job_id,
            "backend": "local",
            "program": {"id": "p"},
            "created": "2026-01-01T12:30:00Z",
            "params": {},
        }
        if is_current:
            return shared | {"state": {"status": word}, "runtime": "", "tags": []}
        return shared | {"status": word, "hub": "h", "group": "g", "project": "p"}

    def _job(self, job_id: str) -> Job:
        """A job that somebody asks for is there, and runs."""
        job = self._jobs.get(job_id)
        if job is None:
            job = self._jobs[job_id] = Job(job_id)
        return job

    def _list(self, query: dict[str, str], *, is_current: bool) -> dict[str, Any]:
        """A page of all jobs, the newest first; of 200 at most, as the service has it."""
        begin, limit = int(query.get("offset", 0)), min(200, int(query.get("limit", 20)))
        ids = list(reversed(self._jobs))[begin : begin + limit]
        jobs = [self._document(job_id, is_current=is_current) for job_id in ids]
        return {"jobs": jobs, "count": len(self._jobs)}

    def _submit(self, body: dict[str, Any]) -> dict[str, str]:
        job = self._job(f"run-{next(self._numbers)}")
        self._of_job[job.id] += 1
        seconds, now = float(body["params"]["seconds"]), time.time()
        self._at(now + seconds / 2, lambda: self._publish(job))
        self._at(now + seconds, lambda: self._end(job))
        return {"id": job.id, "backend": "local"}

    def _make_many(self, count: int, after: float) -> list[str]:
        now = time.time()
        jobs = [self._job(f"run-{next(self._numbers)}") for _ in range(count)]
        for number, job in enumerate(jobs):
            self._at(now + after + number / count, partial(self._end, job))
        return [job.id for job in jobs]

    # ---- streams -------------------------------------------------------------------------------

    def _publish(self, job: Job) -> None:
        job.published = True
        if job.stream is not None:
            job.stream.send(HALF)

    def _end(self, job: Job) -> None:
        job.ended = time.time()
        if job.stream is not None:
            job.stream.send(CLOSE)

    def _stream(self, connection: Connection, job_id: str, head: bytes) -> None:
        key = _KEY.search(head)
        if key is None:
            connection.send(answer({"message": "This is for websockets."}, "400 Bad Request"))
            return
        connection.is_stream = True
        connection.send(upgrade(key[1]))
        kind, _, number = job_id.partition("-")
        job = self._job(job_id)
        if kind == "run":
            job.stream = connection
            connection.send(HALF * job.published + CLOSE * (job.ended is not None))
        elif kind in CYCLE:
            self._selector.unregister(connection.socket)
            flood = (connection.socket, self._blocks[kind], job, int(number.partition("-")[0]))
            threading.Thread(target=send_flood, args=flood, daemon=True).start()
        else:
            self._streams[connection] = None

    def _pulse(self, seconds: int) -> None:
        streams, now = list(self._streams), time.time()
        for slot in range(seconds * SLOTS):
            frame = self._blocks["small"][slot // SLOTS]
            part = streams[slot % SLOTS :: SLOTS]
            self._at(now + slot / SLOTS, partial(send_all, part, frame))

    def _drip(self, connection: Connection, data: bytes) -> None:
        now = time.time()
        for number in range(len(data)):
            byte = data[number : number + 1]
            self._at(now + number / 10, partial(connection.send, byte))

    # ---- what the benchmarks ask ---------------------------------------------------------------

    def _bench(self, what: str, query: dict[str, list[str]]) -> bytes:
        match what:
            case "running":
                jobs = [self._job(f"forever-{n}") for n in range(int(query["count"][0]))]
                return answer([job.id for job in jobs])
            case "streams":
                return answer(len(self._streams))
            case "beat":
                beat = self._blocks["small"][: int(query["messages"][0])]
                for frame in beat:
                    for stream in self._streams:
                        stream.send(frame)
                return answer(len(self._streams))
            case "jobs":
                return answer(self._make_many(int(query["count"][0]), float(query["after"][0])))
            case "ends":
                return answer({job.id: job.ended for job in self._jobs.values()})
            case "pulse":
                self._pulse(int(query["seconds"][0]))
                return answer(len(self._streams))
        job_id = query.get("job", [""])[0]
        job = self._jobs.get(job_id)
        return answer(
            {
                "requests": self._requests - self._handshakes,
                "handshakes": self._handshakes,
                "of_job": self._of_job[job_id],
                "ended": job.ended if job else None,
            }
        )


def send_all(streams: Sequence[Connection], frame: bytes) -> None:
    for stream in streams:
        stream.send(frame)


def send_flood(sock: socket.socket, messages: list[bytes], job: Job, count: int) -> None:
    """Send so many messages, as fast as they are taken, and close: the job has ended."""
    block = memoryview(b"".join(messages))
    cycles, more = divmod(count, len(messages))
    with sock, contextlib.suppress(OSError):
        for _ in range(cycles):
            sock.sendall(block)
        sock.sendall(b"".join(messages[:more]))
        job.ended = time.time()
        sock.sendall(CLOSE)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(1 << 16):
            pass


def bearer() -> dict[str, Any]:
    now = int(time.time())
    parts: tuple[dict[str, Any], ...] = ({"alg": "none"}, {"iat": now, "exp": now + 36_000}, {})
    text = [base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts]
    return {
        "access_token": ".".join(text),
        "refresh_token": "not_supported",
        "token_type": "Bearer",
        "expires_in": 36_000,
        "expiration": now + 36_000,
    }


HALF = text_frame(json.dumps({"half": True}))
STATUS = {"state": True, "status": "active", "length_queue": 0, "backend_version": "1.0.0"}
CONFIGURATION = {
    "backend_name": "local",
    "backend_version": "1.0.0",
    "n_qubits": 0,
    "basis_gates": [],
    "gates": [],
    "local": True,
    "simulator": True,
    "conditional": False,
    "open_pulse": False,
    "memory": False,
    "coupling_map": None,
    "online_date": moment(),
}


def raise_file_limit() -> None:
    """Allow as many open files as are needed, or as the system lets this process have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


if __name__ == "__main__":
    raise_file_limit()
    server = Server()
    print(server.port, flush=True)
    server.run()
