"""What the local service costs, and whether it stays so when it is used much.

Five parts, each compared with something of the same run, since a machine may be busy:

- `store`: the calls of a service with 10,000 jobs, next to one with 100, request by request. Once
  with jobs that have ended, once with jobs that wait. Its one worker is held by a job that sleeps,
  so nothing else runs, and what is submitted waits.
- `streams`: 500 readers of one running job, next to a bare uvicorn that sends the same texts from
  memory. One reader that does not read must hold up nobody. Readers keep bytes with the time of
  their arrival, and look at them when all is over: they cost the same for both.
- `memory`: the resident memory of a service over 2,000 short jobs, each streamed and its result
  fetched.
- `job`: a job that does nothing, next to a bare process that runs the same `main` and prints what
  it returns as JSON; and where the time goes, by the clock that all processes share.
- `use`: submissions, finding and starting the service, the command line.
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import contextlib
import http.client
import json
import multiprocessing
import os
import resource
import secrets
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs
import uvicorn
from _tables import Summary, machine_line, print_table, summarize

from adapters import RuntimeService
from adapters.local.lock import find_service
from adapters.local.process import LocalServiceProcess
from adapters.local.records import Job, JobStatus, Program, new_job_id
from adapters.local.service import LocalRuntimeService
from adapters.local.store import Store

STORE_BOUND = 2.0
"""How many times the time with 100 jobs a call may take with 10,000."""
STREAMS_BOUND = 3.0
"""How many times the time of a bare broadcast from memory our delivery may take: what a reader is
sent is read from the store for it."""
SLOW_READER_BOUND = 1.5
"""How many times their usual time the others may take beside a reader that does not read: nothing,
but for what a shared machine does between two runs."""
MEMORY_BOUND = 700.0
"""How many bytes the service may grow by a job. The record of a job alone takes more, and what runs
it or streams it many times that, so nothing can be kept of each job. What a collection of cyclic
garbage that comes a bit later adds stays below it over 1,000 jobs."""
JOB_BOUND = 100.0
"""How many milliseconds more than a bare process a job may take."""

FEW, MANY = 100, 10_000
READERS, MESSAGES, MESSAGE_BYTES = 500, 200, 1000


@attrs.frozen
class Scale:
    """How much is measured."""

    rounds: int
    """How often each call is made."""
    bursts: int
    """How often the streams are filled."""
    jobs: tuple[int, ...]
    """After how many jobs the memory is looked at; it is to be flat between the last two."""
    pairs: int
    """How many jobs and bare processes are compared."""


FULL = Scale(rounds=60, bursts=4, jobs=(200, 1000, 2000), pairs=25)
QUICK = Scale(rounds=20, bursts=2, jobs=(50, 200, 400), pairs=8)


@attrs.frozen
class Measured:
    """One line of the report; its section says what is compared with what."""

    name: str
    """What was measured."""
    value: Summary
    """What it took."""
    reference: Summary | None = None
    """What the other one took, in the same rounds."""
    compared: Summary | None = None
    """The ratio to the other one, or the difference, round by round."""
    bound: float | None = None
    """The most that the median of `compared` may be; of `value`, if nothing is compared."""
    unit: str = "ms"
    """Of everything but a ratio."""

    @property
    def within(self) -> bool | None:
        """Whether the bound is kept; None without a bound."""
        if self.bound is None:
            return None
        return (self.compared or self.value).median <= self.bound


@attrs.frozen
class Section:
    """A part of the report."""

    title: str
    """What it is about."""
    reference: str
    """What it is compared with."""
    comparison: str
    """How: "x" or "more"."""
    rows: list[Measured]
    """Its lines."""


def ratio(
    name: str,
    values: Sequence[float],
    references: Sequence[float],
    bound: float | None = None,
    unit: str = "ms",
) -> Measured:
    ratios = [a / b for a, b in zip(values, references, strict=True)]
    return Measured(name, summarize(values), summarize(references), summarize(ratios), bound, unit)


def more(
    name: str, values: Sequence[float], references: Sequence[float], bound: float | None = None
) -> Measured:
    differences = [a - b for a, b in zip(values, references, strict=True)]
    return Measured(name, summarize(values), summarize(references), summarize(differences), bound)


# ---- programs ----------------------------------------------------------------------------------

SLEEPS = """
import time

def main(backend, user_messenger, **inputs):
    time.sleep(3600)
"""

SHORT = """
import time

def main(backend, user_messenger):
    began = time.time()
    return {"began": began, "returned": time.time()}
"""

PUBLISHES = """
import os, time

def main(backend, user_messenger, go, count, pad, pause):
    pad = "x" * pad
    while not os.path.exists(go):
        time.sleep(0.005)
    for number in range(count):
        user_messenger.publish({"number": number, "at": time.time(), "pad": pad})
        time.sleep(pause)
    time.sleep(1)
"""


# ---- the store: 10,000 jobs next to 100 --------------------------------------------------------


def fill(directory: Path, count: int, *, ended: bool, held: bool = True) -> None:
    """Fill a store by its own code with so many jobs, which have ended or wait.

    With `held` there is another one before them in the queue, which sleeps: it is what a service
    with one worker runs.
    """
    directory.mkdir(mode=0o700)
    with Store.open(directory) as store:
        sleeps = store.add_program(Program("sleeps", 24 * 3600), SLEEPS.encode())
        short = store.add_program(Program("short", 3600), SHORT.encode())
        if held:
            store.add_job(Job("sleeps", sleeps.source, sleeps.cost), "{}")
        for number in range(count):
            program = (short, sleeps)[number % 10 == 0]
            params = {"name": f"run {number}", "shots": 4096, "theta": [number / 7] * 16}
            job = store.add_job(Job(program.name, program.source, program.cost), json.dumps(params))
            if ended:
                job = store.start_job(job, f"{number} 1 boot")
                steps = [json.dumps({"step": step, "energy": -step / 3}) for step in range(5)]
                store.publish(job, 0, steps)
                store.log(job, 0, b"one line of output, as programs print them\n" * 5)
                status = (JobStatus.COMPLETED, JobStatus.FAILED)[number % 20 == 19]
                store.end_job(job, status, json.dumps({"energy": [number / 3] * 50}))


class Caller:
    """Calls one service over one kept-alive connection, with as little else as possible."""

    def __init__(self, service: LocalServiceProcess) -> None:
        self._headers = {"X-Access-Token": service.access_token}
        self._connection = http.client.HTTPConnection(urlsplit(service.url).netloc)
        self._connection.connect()
        self.taken = 0.0
        """The milliseconds of the last call."""
        listed = self("GET", "/jobs?limit=1")
        total = listed["count"]
        self.newest: str = listed["jobs"][0]["id"]
        self.oldest: str = self("GET", f"/jobs?limit=1&offset={total - 2}")["jobs"][0]["id"]
        self.submitted = ""

    def __call__(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        start = time.perf_counter()
        self._connection.request(method, path, data, self._headers)
        answer = self._connection.getresponse()
        text = answer.read()
        self.taken = (time.perf_counter() - start) * 1000
        assert 200 <= answer.status < 300, (method, path, answer.status, text)
        return json.loads(text) if text else None

    def submit(self) -> None:
        body = {"program_id": "short", "params": {"x": 1}, "id": new_job_id()}
        self.submitted = self("POST", "/jobs", body)["id"]

    def list_newest(self) -> None:
        assert len(self("GET", "/jobs?limit=20")["jobs"]) == 20

    def list_unfinished(self) -> None:
        self("GET", "/jobs?limit=20&pending=true")

    def list_of_program(self) -> None:
        self("GET", "/jobs?limit=20&program=short")

    def list_unfinished_of_program(self) -> None:
        self("GET", "/jobs?limit=20&pending=true&program=short")

    def get_oldest(self) -> None:
        self("GET", f"/jobs/{self.oldest}")

    def get_newest(self) -> None:
        self("GET", f"/jobs/{self.newest}")

    def get_submitted(self) -> None:
        assert self("GET", f"/jobs/{self.submitted}")["position"] >= 1

    def get_result(self) -> None:
        self("GET", f"/jobs/{self.oldest}/results")

    def cancel(self) -> None:
        self("POST", f"/jobs/{self.submitted}/cancel")

    def delete(self) -> None:
        self("DELETE", f"/jobs/{self.submitted}")

    def storage(self) -> None:
        self("GET", "/storage")


Call = tuple[str, Callable[[Caller], None], float | None]
"""Its name, what it does, and the bound where one was promised."""

# In each round one job is submitted, and removed again at the end.
ENDED_CALLS: tuple[Call, ...] = (
    ("submission", Caller.submit, STORE_BOUND),
    ("the newest 20", Caller.list_newest, STORE_BOUND),
    ("status of the oldest", Caller.get_oldest, STORE_BOUND),
    ("status of the newest", Caller.get_newest, STORE_BOUND),
    ("status of a queued one", Caller.get_submitted, STORE_BOUND),
    ("a result", Caller.get_result, None),
    ("the unfinished ones", Caller.list_unfinished, None),
    ("the newest 20 of a program", Caller.list_of_program, None),
    ("the unfinished ones of it", Caller.list_unfinished_of_program, None),
    ("cancel of a queued one", Caller.cancel, None),
    ("deletion", Caller.delete, None),
    ("what is kept", Caller.storage, None),
)
QUEUED_CALLS: tuple[Call, ...] = (
    ("submission", Caller.submit, STORE_BOUND),
    ("the newest 20", Caller.list_newest, STORE_BOUND),
    ("status of the first in the queue", Caller.get_oldest, STORE_BOUND),
    ("status of the last in the queue", Caller.get_submitted, STORE_BOUND),
    ("cancel of the last", Caller.cancel, None),
    ("deletion", Caller.delete, None),
)


def measure_store(scale: Scale, root: Path) -> list[Section]:
    sections = []
    for ended, calls in ((True, ENDED_CALLS), (False, QUEUED_CALLS)):
        with contextlib.ExitStack() as stack:
            callers = []
            for count in (FEW, MANY):
                data = root / f"{'ended' if ended else 'queued'}-{count}"
                fill(data, count, ended=ended)
                service = stack.enter_context(LocalServiceProcess.start(workers=1, data=data))
                callers.append(Caller(service))
            rows = [ratio(*row) for row in _alternating(calls, callers, scale.rounds)]
        what = "jobs that have ended" if ended else "jobs that wait"
        title = f"A call with {MANY:,} {what} in the store ({scale.rounds} rounds)"
        sections.append(Section(title, f"with {FEW}", "x", rows))
    return sections


def _alternating(
    calls: Sequence[Call], callers: Sequence[Caller], rounds: int
) -> Iterator[tuple[str, list[float], list[float], float | None]]:
    times: list[list[list[float]]] = [[[] for _ in calls] for _ in callers]
    for number in range(rounds + 3):
        for index, (_, call, _) in enumerate(calls):
            # Who is asked first changes: the other one finds the caches warm.
            for which in (0, 1) if number % 2 else (1, 0):
                call(callers[which])
                if number >= 3:
                    times[which][index].append(callers[which].taken)
    for index, (name, _, bound) in enumerate(calls):
        yield name, times[1][index], times[0][index], bound


# ---- streams: 500 readers of one job -----------------------------------------------------------


@attrs.frozen
class Target:
    """A stream to read."""

    port: int
    """Where the service listens."""
    path: str
    """Its path."""
    token: str
    """What the service wants to see."""

    def handshake(self) -> bytes:
        return (
            f"GET {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
            f"X-Access-Token: {self.token}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
        ).encode()


@attrs.frozen
class Delivered:
    """What the readers of one stream got."""

    burst: float
    """Microseconds a message and reader, from the first one's publishing to the last arrival."""
    latencies: list[float]
    """Of each message: milliseconds from its publishing until the last reader had it."""


CLOSED = b"\x88\x02\x03\xe8"
"""The frame of a close with 1000; who gets it drops the connection."""


class Reader(asyncio.Protocol):
    """Keeps what comes, and when, until the service closes."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.data = bytearray()
        self.arrivals: list[tuple[int, float]] = []
        self.opened = asyncio.Event()
        self.closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._target.handshake())

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.arrivals.append((len(self.data), time.time()))
        if not self.opened.is_set() and b"acknowledgement" in self.data:
            self.opened.set()
        if self.data.endswith(CLOSED):
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.opened.set()
        self.closed.set()


def frames(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Cut what a service sent into opcode, payload, and where that ends (RFC 6455, 5.2)."""
    head, _, _ = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101"), head
    at = len(head) + 4
    while at < len(data):
        opcode, length = data[at] & 0x0F, data[at + 1]
        at += 2
        if length > 125:
            size = 2 if length == 126 else 8
            length, at = int.from_bytes(data[at : at + size]), at + size
        yield opcode, data[at : at + length], at + length
        at += length


def check(data: bytes, count: int) -> list[tuple[float, int]]:
    """Give when each message was published and where it ended; all are there, in order."""
    said = list(frames(data))
    opcode, code, _ = said[-1]
    assert (opcode, code[:2]) == (8, (1000).to_bytes(2)), said[-1]
    messages = [(json.loads(text), end) for opcode, text, end in said if opcode == 1][1:]
    assert [message["number"] for message, _ in messages] == list(range(count))
    return [(message["at"], end) for message, end in messages]


def deliveries(readers: Sequence[Reader], count: int) -> Delivered:
    last = [0.0] * count
    published = [0.0] * count
    for reader in readers:
        ends = [end for end, _ in reader.arrivals]
        for number, (at, end) in enumerate(check(bytes(reader.data), count)):
            published[number] = at
            last[number] = max(last[number], reader.arrivals[bisect.bisect_left(ends, end)][1])
    seconds = max(last) - published[0]
    latencies = [(a - b) * 1000 for a, b in zip(last, published, strict=True)]
    return Delivered(seconds * 1e6 / (count * len(readers)), latencies)


async def _read_streams(target: Target, readers: int, count: int, say: Any) -> Delivered:
    loop = asyncio.get_running_loop()
    open_readers = []
    for _ in range(readers):
        _, reader = await loop.create_connection(lambda: Reader(target), "127.0.0.1", target.port)
        open_readers.append(reader)
    for reader in open_readers:
        await reader.opened.wait()
    say.send("open")
    for reader in open_readers:
        await reader.closed.wait()
    return deliveries(open_readers, count)


def read_streams(target: Target, readers: int, count: int, say: Any) -> None:
    """Read a stream so many times at once: in a process of its own."""
    say.send(asyncio.run(_read_streams(target, readers, count, say)))


class SlowReader:
    """Opens a stream and reads nothing of it."""

    def __init__(self, target: Target) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        # The kernel takes as little as possible for it, on both sides: the rest is the service's.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        self._socket.connect(("127.0.0.1", target.port))
        self._socket.sendall(target.handshake())
        self.data = bytearray()
        while b"acknowledgement" not in self.data:
            self._read(5)

    def read_sent(self) -> None:
        """Read what the service has sent so far."""
        while self._read(0.3):
            pass

    def read_all(self) -> None:
        """Read until the service closes."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        while not self.data.endswith(CLOSED) and self._read(30):
            pass
        self._socket.close()

    def _read(self, timeout: float) -> bool:
        if not select.select([self._socket], [], [], timeout)[0]:
            return False
        part = self._socket.recv(1 << 16)
        self.data += part
        return bool(part)


def deliver(
    target: Target, go: Callable[[], None], readers: int, count: int = MESSAGES
) -> Delivered:
    """Have a stream read by so many, in a process of their own, and say how it went."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=read_streams, args=(target, readers, count, there))
    process.start()
    there.close()
    try:
        assert here.recv() == "open"
        go()
        delivered: Delivered = here.recv()
    finally:
        process.join()
    return delivered


class Publisher:
    """A service with a program that publishes when it is told to."""

    def __init__(self, process: LocalServiceProcess, service: RuntimeService, root: Path) -> None:
        self.process = process
        self._service = service
        self._root = root
        service.upload_program(PUBLISHES, {"name": "publishes"})

    def deliver(self, readers: int, count: int = MESSAGES, pause: float = 0) -> Delivered:
        target, go = self.new_stream(count, pause)
        return deliver(target, go.touch, readers, count)

    def deliver_beside_a_slow_one(self, readers: int) -> Delivered:
        target, go = self.new_stream(MESSAGES, 0)
        slow = SlowReader(target)
        delivered = deliver(target, go.touch, readers - 1)
        # What it has still to get is with the service, not in the kernel: it did wait for it.
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            slow.read_sent()
            sent = len(slow.data)
        finally:
            os.kill(self.process.pid, signal.SIGCONT)
        slow.read_all()
        assert sent < 0.9 * len(slow.data), (sent, len(slow.data))
        check(bytes(slow.data), MESSAGES)
        return delivered

    def new_stream(self, count: int, pause: float) -> tuple[Target, Path]:
        go = self._root / f"go-{secrets.token_hex(4)}"
        inputs = {"go": str(go), "count": count, "pad": MESSAGE_BYTES, "pause": pause}
        job = self._service.run("publishes", inputs=inputs)
        port = urlsplit(self.process.url).port
        assert port is not None
        return Target(port, f"/stream/jobs/{job.job_id()}", self.process.access_token), go


class Broadcast:
    """The least that sends texts to readers in Python: ASGI, no store, no job."""

    def __init__(self) -> None:
        self._go = asyncio.Event()
        self._texts: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            at, pad = time.time(), "x" * MESSAGE_BYTES
            numbers = range(MESSAGES)
            self._texts = [json.dumps({"number": n, "at": at, "pad": pad}) for n in numbers]
            self._go.set()
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})
            return
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": '"acknowledgement"'})
        await self._go.wait()
        for text in self._texts:
            await send({"type": "websocket.send", "text": text})
        await send({"type": "websocket.close", "code": 1000})


def serve_broadcast(listener: socket.socket) -> None:
    config = uvicorn.Config(
        Broadcast(),
        loop="asyncio",
        http="h11",
        ws="wsproto",
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
    )
    asyncio.run(uvicorn.Server(config).serve([listener]))


def deliver_bare(readers: int) -> Delivered:
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        port = listener.getsockname()[1]
        spawn = multiprocessing.get_context("spawn")
        process = spawn.Process(target=serve_broadcast, args=(listener,))
        process.start()

        def go() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", port)
            connection.request("POST", "/")
            connection.getresponse().read()
            connection.close()

        try:
            return deliver(Target(port, "/", ""), go, readers)
        finally:
            process.terminate()
            process.join()


def measure_streams(scale: Scale, root: Path) -> list[Section]:
    with (
        LocalServiceProcess.start(workers=1, data=root / "streams") as process,
        RuntimeService(process.url, process.access_token, resume="offset") as service,
    ):
        publisher = Publisher(process, service, root)
        publisher.deliver(1)
        rows = [
            (
                publisher.deliver(READERS).burst,
                deliver_bare(READERS).burst,
                publisher.deliver_beside_a_slow_one(READERS).burst,
                publisher.deliver(1).burst,
            )
            for _ in range(scale.bursts)
        ]
        paced = publisher.deliver(READERS, 30, 0.2).latencies
    many, bare, slow, one = ([*column] for column in zip(*rows, strict=True))
    per = f"{MESSAGES} messages of {MESSAGE_BYTES} bytes at once"
    return [
        Section(
            f"{READERS} readers of one job, {per}: a message and reader (each got all, in order)",
            "bare",
            "x",
            [
                ratio(f"{READERS} readers", many, bare, STREAMS_BOUND, "us"),
                Measured("1 reader, the program's own time too", summarize(one), unit="us"),
            ],
        ),
        Section(
            "The same beside one that does not read, and gets all of it later",
            "without it",
            "x",
            [ratio(f"the {READERS - 1} others", slow, many, SLOW_READER_BOUND, "us")],
        ),
        Section(
            "The same, but a message every 200 ms",
            "",
            "",
            [Measured(f"until the last of {READERS} has it", summarize(paced))],
        ),
    ]


# ---- memory over many jobs ---------------------------------------------------------------------


def resident_bytes(pid: int) -> int:
    """Give how much memory a process has in use."""
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, check=True)
    return int(shown.stdout) * 1024


def measure_memory(scale: Scale, root: Path) -> list[Section]:
    rows = []
    sizes: list[tuple[int, int]] = []
    data = root / "memory"
    fill(data, MANY, ended=True, held=False)
    with (
        LocalServiceProcess.start(data=data) as process,
        RuntimeService(process.url, process.access_token, resume="offset") as service,
        ThreadPoolExecutor(4) as pool,
    ):
        # SQLite's cache grows with the store, up to its 2 MiB: here it is full before we look.
        for skip in range(0, MANY, 100):
            assert len(service.jobs(limit=100, skip=skip)) == 100

        def run_one(_: int) -> None:
            with service.run("short") as job:
                assert job.result(timeout=120)["returned"]

        done = 0
        for count in scale.jobs:
            for _ in pool.map(run_one, range(count - done)):
                pass
            done = count
            size = resident_bytes(process.pid)
            sizes.append((count, size))
            mib = size / (1 << 20)
            rows.append(Measured(f"after {count:,} jobs", Summary(mib, mib, mib), unit="MiB"))
    (before, small), (after, large) = sizes[-2:]
    growth = (large - small) / (after - before)
    name = f"growth a job, {before:,} to {after:,}"
    flat = Measured(name, Summary(growth, growth, growth), bound=MEMORY_BOUND, unit="bytes")
    return [Section("Resident memory of the service", "", "", [*rows, flat])]


# ---- a job next to a bare process --------------------------------------------------------------


@attrs.frozen
class Times:
    """When things happened, in seconds; all processes share the clock."""

    begun: float
    """Before anything was done."""
    started: float
    """The process had been started."""
    main: float
    """`main` was called."""
    returned: float
    """`main` had returned."""
    ended: float
    """The end of the process was known."""
    known: float
    """The result was known here."""


def run_job(service: RuntimeService) -> Times:
    begun = time.time()
    with service.run("short") as job:
        said = job.result()
        known = time.time()
        document = service._client.job_get(job.job_id())  # noqa: SLF001 - the times, as they were sent
    started, ended = (
        datetime.fromisoformat(document[key]).timestamp() for key in ("started", "ended")
    )
    return Times(begun, started, said["began"], said["returned"], ended, known)


def run_bare(program: Path) -> Times:
    begun = time.time()
    with subprocess.Popen([sys.executable, "-P", program], stdout=subprocess.PIPE) as process:
        started = time.time()
        assert process.stdout is not None
        text = process.stdout.read()
    ended = time.time()
    said = json.loads(text)
    return Times(begun, started, said["began"], said["returned"], ended, time.time())


STEPS: tuple[tuple[str, str, str], ...] = (
    ("submission to process", "begun", "started"),
    ("process to main()", "started", "main"),
    ("main() to the process's end", "returned", "ended"),
    ("its end to the result here", "ended", "known"),
)


def measure_job(scale: Scale, root: Path) -> list[Section]:
    program = root / "bare.py"
    program.write_text(f"import json\n{SHORT}\nprint(json.dumps(main(None, None)))\n")
    with local_service(root / "job") as service:
        service.upload_program(SHORT, {"name": "short"})
        pairs = [(run_job(service), run_bare(program)) for _ in range(scale.pairs + 3)][3:]

    def spans(which: int, since: str, until: str) -> list[float]:
        return [(getattr(pair[which], until) - getattr(pair[which], since)) * 1e3 for pair in pairs]

    whole = more(
        "submission to result", spans(0, "begun", "known"), spans(1, "begun", "known"), JOB_BOUND
    )
    steps = [more(f"  {name}", spans(0, a, b), spans(1, a, b)) for name, a, b in STEPS]
    title = f"A job that does nothing ({scale.pairs} pairs)"
    return [Section(title, "bare process", "more", [whole, *steps])]


# ---- using it ----------------------------------------------------------------------------------


@contextlib.contextmanager
def local_service(data: Path, workers: int | None = None) -> Iterator[LocalRuntimeService]:
    """The service as people get it, ended at the end."""
    service = RuntimeService.local(data=data, workers=workers)
    try:
        with service:
            yield service
    finally:
        end_service(data)


def end_service(data: Path) -> None:
    record = find_service(data)
    if record is not None:
        os.kill(record.pid, signal.SIGTERM)
        while find_service(data) is not None:
            time.sleep(0.01)


def took(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * 1000


def measure_use(scale: Scale, root: Path) -> list[Section]:
    data = root / "use"

    def find() -> None:
        RuntimeService.local(data=data, workers=1).close()

    def find_and_ask() -> None:
        with RuntimeService.local(data=data, workers=1) as service:
            service.storage()

    def run(*arguments: str) -> Callable[[], object]:
        command = [sys.executable, "-P", *arguments]
        return lambda: subprocess.run(command, check=True, capture_output=True)

    with local_service(data, workers=1) as service:
        service.upload_program(SLEEPS, {"name": "sleeps"})
        job_id = service.run("sleeps").job_id()
        found = [took(find) for _ in range(scale.rounds)]
        asked = [took(find_and_ask) for _ in range(scale.rounds)]
        status = run("-m", "adapters.cli", "status", job_id, "--data", str(data))
        pairs = [(took(status), took(run("-c", "pass"))) for _ in range(scale.pairs)]
        alone = _submissions(service, 1, 10 * scale.rounds)
        together = _submissions(service, 4, 10 * scale.rounds)
    cold = []
    for _ in range(max(3, scale.pairs // 3)):
        cold.append(took(find))
        end_service(data)
    commands, bare = zip(*pairs, strict=True)
    return [
        Section(
            "The service, used",
            "bare process",
            "more",
            [
                Measured("local(), the service runs", summarize(found)),
                Measured("local() and a first answer", summarize(asked)),
                Measured("local(), which starts it", summarize(cold)),
                more("runtime-core status", commands, bare),
                Measured("submissions acknowledged, 1 client", alone, unit="a second"),
                Measured("submissions acknowledged, 4 clients", together, unit="a second"),
            ],
        )
    ]


def _submissions(service: RuntimeService, threads: int, count: int) -> Summary:
    """Say how many jobs a second are taken, in each tenth of the jobs."""
    rates = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(10):
            begun = time.perf_counter()
            for _ in pool.map(lambda _: service.run("sleeps").close(), range(count // 10)):
                pass
            rates.append(count // 10 / (time.perf_counter() - begun))
    return summarize(rates)


# ---- reporting ---------------------------------------------------------------------------------

PARTS: dict[str, Callable[[Scale, Path], list[Section]]] = {
    "store": measure_store,
    "streams": measure_streams,
    "memory": measure_memory,
    "job": measure_job,
    "use": measure_use,
}
VERDICTS = {None: "", True: "ok", False: "NO"}


def shown(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 100 else f"{value:,.0f}"


def spread(summary: Summary) -> str:
    if summary.low == summary.high:
        return ""
    return f"{shown(summary.low)} .. {shown(summary.high)}"


def print_section(section: Section) -> None:
    # Bounds in milliseconds say little on a machine that is busy with something else.
    print(f"\n{section.title}; load at its end {os.getloadavg()[0]:.1f}")
    header = ["", "median", "", "spread", section.reference, section.comparison, "spread"]
    rows = []
    for row in section.rows:
        cells = [row.name, shown(row.value.median), row.unit, spread(row.value)]
        reference, compared = row.reference, row.compared
        cells += ["" if reference is None else shown(reference.median)]
        cells += ["", ""] if compared is None else [shown(compared.median), spread(compared)]
        cells += ["" if row.bound is None else f"{row.bound:g}", VERDICTS[row.within]]
        rows.append(cells)
    print_table([*header, "bound", ""], rows)


def print_json(sections: Sequence[Section]) -> None:
    plain = [
        attrs.asdict(section)
        | {"rows": [attrs.asdict(row) | {"within": row.within} for row in section.rows]}
        for section in sections
    ]
    print(json.dumps({"machine": machine_line(), "sections": plain}, indent=2))


def main() -> None:
    parser = argparse.ArgumentParser(description="What the local service costs.")
    parser.add_argument("--quick", action="store_true", help="measure less: for a first look")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=[*PARTS], help="these parts")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args()
    # 500 streams are as many files, here and in the service, which inherits the limit.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 4096:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    if not options.json:
        print(machine_line())
    sections = []
    with tempfile.TemporaryDirectory(prefix="runtime-core-bench-") as root:
        for part in options.only:
            measured = PARTS[part](QUICK if options.quick else FULL, Path(root))
            sections += measured
            if not options.json:
                for section in measured:
                    print_section(section)
    if options.json:
        print_json(sections)


if __name__ == "__main__":
    main()
