"""Acme Kernels, an invented vendor: its service, over HTTP. What it answers stands in README.md.

`python examples/embed_sdk/server.py` runs it until Ctrl-C; tests and `demo.py` use `AcmeServer`.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self
from urllib.parse import parse_qs, urlsplit

MAX_BODY_BYTES = 1024 * 1024
MAX_WAITING = 1000
MAX_EVENTS = 10_000
MAX_LONG_POLL = 30.0
OVER = frozenset({"SUCCEEDED", "ABORTED", "EXPIRED"})


class Refusal(Exception):  # noqa: N818 - the vendor's word
    """A request that is refused: answered by 422 and a code."""

    def __init__(self, code: str, text: str, wait: float | None = None) -> None:
        super().__init__(text)
        self.error = {"code": code, "text": text}
        if wait is not None:
            self.error["wait_ms"] = max(1, round(1000 * wait))  # type: ignore[assignment]


class KernelFault(Exception):  # noqa: N818 - the vendor's word
    """A kernel cannot go on: the task is ABORTED with this code."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class Stopped(Exception):  # noqa: N818 - nothing is wrong
    """The task that a kernel computes is over."""


# ---- what it computes --------------------------------------------------------------------------
# A kernel is a generator: it yields interim results, and returns the output. What it raises ends
# the task. Between its steps the service looks whether the task is over.

Pause = Callable[[float], None]
Steps = Generator[Any, None, Any]


def primes(pause: Pause, below: int = 100_000, parts: int = 10) -> Steps:
    """Count the primes, by a sieve in parts."""
    if not (0 < parts <= MAX_EVENTS and 0 < below <= 10_000_000):
        raise KernelFault("BAD_ARGUMENTS", "below is up to 10000000, parts up to 10000")
    sieve = bytearray([1]) * max(below, 2)
    sieve[:2] = b"\0\0"
    divisor, count = 2, 0
    for part in range(1, parts + 1):
        end = below * part // parts
        while divisor * divisor < end:
            if sieve[divisor]:
                sieve[divisor * divisor :: divisor] = bytes(
                    len(range(divisor**2, len(sieve), divisor))
                )
            divisor += 1
        count = sum(sieve[:end])
        pause(0)
        yield {"below": end, "count": count}
    return {"below": below, "count": count}


def solve(pause: Pause, matrix: list[list[int]], right: list[int]) -> Steps:
    """Solve linear equations, exactly; a row of the elimination is a step."""
    rows = [[Fraction(x) for x in [*row, y]] for row, y in zip(matrix, right, strict=True)]
    for column in range(len(rows)):
        pivot = next((row for row in range(column, len(rows)) if rows[row][column]), None)
        if pivot is None:
            raise KernelFault("SINGULAR", f"column {column} of the matrix depends on the others")
        rows[column], rows[pivot] = rows[pivot], rows[column]
        rows[column] = [x / rows[column][column] for x in rows[column]]
        for row in range(len(rows)):
            if row != column:
                factor = rows[row][column]
                rows[row] = [x - factor * y for x, y in zip(rows[row], rows[column], strict=True)]
        pause(0)
        yield {"eliminated": column + 1}
    return {"solution": [str(row[-1]) for row in rows]}


def ticks(pause: Pause, count: int = 10, every: float = 0.1) -> Steps:
    """Yield a number every so many seconds; `count` of 0 goes on for ever, silently."""
    every = max(every, 0.001)
    while count == 0:
        pause(every)
    for tick in range(1, min(count, MAX_EVENTS) + 1):
        pause(every)
        yield {"tick": tick}
    return {"ticks": count}


KERNELS: dict[str, Callable[..., Steps]] = {"primes": primes, "solve": solve, "ticks": ticks}


# ---- the tasks ---------------------------------------------------------------------------------


class Task:
    """One task; all its fields are looked at and changed under the lock of its `Kernels`."""

    def __init__(self, kernel: str, arguments: dict[str, Any], expires: float, state: str) -> None:
        self.id = f"T-{secrets.token_hex(6)}"
        self.kernel = kernel
        self.arguments = arguments
        self.state = state
        self.submitted = time.time()
        self.deadline = time.monotonic() + expires
        self.events: list[Any] = []
        self.output: Any = None
        self.failure: dict[str, str] | None = None

    def end(self, state: str, code: str = "", text: str = "") -> None:
        """Be over, unless it is already."""
        if self.state not in OVER:
            self.state = state
            self.failure = {"code": code, "text": text} if code else None


class Kernels:
    """The tasks, and the threads that compute them."""

    def __init__(self, workers: int, startup: float) -> None:
        self._startup = startup
        self._tasks: dict[str, Task] = {}
        self._changed = threading.Condition()
        self._closing = False
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End all tasks and threads."""
        with self._changed:
            self._closing = True
            for task in self._tasks.values():
                task.end("ABORTED", "SHUTDOWN", "the service was shut down")
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def submit(self, body: Any) -> dict[str, Any]:
        """Take a task."""
        match body:
            case {"kernel": str(kernel), "arguments": dict(arguments), **options}:
                pass
            case _:
                raise Refusal("BAD_REQUEST", 'expected {"kernel": ..., "arguments": {...}}')
        expires, hold = options.pop("expires_in", 60), options.pop("hold", False)
        if options or not isinstance(expires, int | float) or not 0 < expires <= 86_400:
            raise Refusal("BAD_REQUEST", f"expires_in is from 0 to 86400; unknown: {[*options]}")
        if kernel not in KERNELS:
            raise Refusal("NO_SUCH_KERNEL", f"there are {', '.join(KERNELS)}")
        task = Task(kernel, arguments, expires, "HELD" if hold else "SUBMITTED")
        with self._changed:
            waiting = sum(task.state not in OVER for task in self._tasks.values())
            if self._closing or waiting >= MAX_WAITING:
                raise Refusal("TRY_LATER", "there is no room for more tasks", wait=1)
            self._tasks[task.id] = task
            self._changed.notify_all()
            return self._described(task)

    def describe(self, task_id: str) -> dict[str, Any]:
        """Describe a task."""
        with self._changed:
            return self._described(self._task(task_id))

    def describe_all(self, limit: int, skip: int) -> dict[str, Any]:
        """Describe tasks, the newest first."""
        with self._changed:
            newest = [*reversed(self._tasks.values())][skip : skip + min(limit, 100)]
            tasks = [self._described(task) for task in newest]
            return {"tasks": tasks, "count": len(self._tasks)}

    def output(self, task_id: str) -> Any:
        """Give what a kernel returned."""
        with self._changed:
            task = self._task(task_id)
            if task.state != "SUCCEEDED":
                raise Refusal("NO_OUTPUT", f"the task is {task.state}")
            return task.output

    def abort(self, task_id: str) -> dict[str, Any]:
        """End a task for its owner."""
        with self._changed:
            task = self._task(task_id)
            if task.state in OVER:
                raise Refusal("TASK_OVER", f"the task is {task.state}")
            task.end("ABORTED", "BY_OWNER", "aborted by its owner")
            self._changed.notify_all()
            return self._described(task)

    def release(self, task_id: str) -> dict[str, Any]:
        """Let a held task go on."""
        with self._changed:
            task = self._task(task_id)
            if task.state == "HELD":
                task.state = "SUBMITTED"
                self._changed.notify_all()
            return self._described(task)

    def events(self, task_id: str, after: int, wait: float) -> list[dict[str, Any]]:
        """Give the events after the first so many; wait for one if there is none."""
        until = time.monotonic() + min(wait, MAX_LONG_POLL)
        with self._changed:
            while True:
                task = self._task(task_id)
                found = [
                    {"n": n, "data": task.events[n - 1]}
                    for n in range(after + 1, min(after + 1000, len(task.events)) + 1)
                ]
                if task.state in OVER and after + len(found) >= len(task.events):
                    return [*found, {"end": task.state}]
                left = min(until, task.deadline) - time.monotonic()
                if found or time.monotonic() >= until:
                    return found
                self._changed.wait(left)

    def _task(self, task_id: str) -> Task:
        task = self._tasks.get(task_id)
        if task is None:
            raise Refusal("NO_SUCH_TASK", f"there is no task {task_id}")
        if time.monotonic() >= task.deadline:
            task.end("EXPIRED", "TOO_OLD", "the task was not over when it expired")
        return task

    def _described(self, task: Task) -> dict[str, Any]:
        self._task(task.id)
        told = {"id": task.id, "kernel": task.kernel, "state": task.state}
        told["submitted_at"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(task.submitted))
        if task.state == "SUBMITTED":
            queue = [each for each in self._tasks.values() if each.state == "SUBMITTED"]
            return {**told, "queue": {"place": queue.index(task) + 1}}
        return {**told, "failure": task.failure} if task.failure else told

    # The threads.

    def _work(self) -> None:
        while (task := self._next()) is not None:
            self._compute(task)
            with self._changed:
                self._changed.notify_all()

    def _next(self) -> Task | None:
        with self._changed:
            while not self._closing:
                for task in [*self._tasks.values()]:
                    if self._task(task.id).state == "SUBMITTED":
                        task.state = "SCHEDULED"
                        return task
                self._changed.wait()
        return None

    def _compute(self, task: Task) -> None:
        def pause(seconds: float) -> None:
            until = time.monotonic() + seconds
            with self._changed:
                while self._task(task.id).state not in OVER:
                    left = min(until, task.deadline) - time.monotonic()
                    if left <= 0:
                        return
                    self._changed.wait(left)
            raise Stopped

        try:
            pause(self._startup)
            with self._changed:
                task.state = task.state if task.state in OVER else "EXECUTING"
            steps = KERNELS[task.kernel](pause, **task.arguments)
            while True:
                event = next(steps)
                with self._changed:
                    if task.state in OVER:
                        return
                    task.events.append(event)
                    self._changed.notify_all()
        except StopIteration as done:
            with self._changed:
                task.output = done.value
                task.end("SUCCEEDED")
        except Stopped:
            pass
        except KernelFault as fault:
            with self._changed:
                task.end("ABORTED", fault.code, str(fault))
        except Exception as error:  # of whatever the caller gave as arguments
            with self._changed:
                task.end("ABORTED", "KERNEL_FAULT", f"{type(error).__name__}: {error}")


# ---- HTTP --------------------------------------------------------------------------------------


class Rate:
    """So many requests a second, and as many at once."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._left = per_second
        self._seen = time.monotonic()
        self._lock = threading.Lock()

    def take(self) -> None:
        """Take one.

        Raises:
            Refusal: if there is none left.
        """
        with self._lock:
            now = time.monotonic()
            grown = self._left + (now - self._seen) * self._per_second
            self._left, self._seen = min(grown, self._per_second), now
            if self._left < 1:
                wait = (1 - self._left) / self._per_second
                raise Refusal("SLOW_DOWN", "too many requests with this key", wait)
            self._left -= 1


class Handler(BaseHTTPRequestHandler):
    """Speaks HTTP for the `Kernels`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    kernels: ClassVar[Kernels]
    rate: ClassVar[Rate]
    key: ClassVar[str]

    def do_GET(self) -> None:
        """Answer a request, of whatever method."""
        self._answer()

    do_POST = do_DELETE = do_GET  # noqa: N815

    def _answer(self) -> None:
        try:
            self._send(200, *self._called())
        except Refusal as refusal:
            self._send(422, {"error": refusal.error})
        except LookupError:
            self._send(404, {"error": {"code": "NO_SUCH_CALL", "text": "see the API page"}})

    def _called(self) -> tuple[Any, ...]:
        body = self._body()
        if self.headers.get("X-Acme-Key") != self.key:
            raise Refusal("BAD_KEY", "this key is not known")
        self.rate.take()
        url = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        match self.command, url.path.split("/")[1:]:
            case "POST", ["tasks"]:
                return (self.kernels.submit(_parsed(body)),)
            case "GET", ["tasks"]:
                return (
                    self.kernels.describe_all(_number(query, "limit", 20), _number(query, "skip")),
                )
            case "GET", ["tasks", task_id]:
                return (self.kernels.describe(task_id),)
            case "DELETE", ["tasks", task_id]:
                return (self.kernels.abort(task_id),)
            case "POST", ["tasks", task_id, "release"]:
                return (self.kernels.release(task_id),)
            case "GET", ["tasks", task_id, "output"]:
                return (self.kernels.output(task_id),)
            case "GET", ["tasks", task_id, "events"]:
                wait = _number(query, "wait_ms") / 1000
                found = self.kernels.events(task_id, _number(query, "after"), wait)
                return found, "application/x-ndjson"
        raise LookupError

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "0")
        is_number = length.isascii() and length.isdecimal() and len(length) < 9
        if not is_number or int(length) > MAX_BODY_BYTES:
            self.close_connection = True  # where the next request begins is not known
            raise Refusal("TOO_LARGE", f"a request says its length, {MAX_BODY_BYTES} at most")
        return self.rfile.read(int(length))

    def _send(self, status: int, answer: Any, kind: str = "application/json") -> None:
        text = json.dumps(answer)
        if kind == "application/x-ndjson":
            text = "".join(f"{json.dumps(line)}\n" for line in answer)
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        with suppress(OSError):  # nobody waits for it any more
            self.wfile.write(body)

    def log_message(self, format: str, *_: Any) -> None:  # noqa: A002 - the base class names it
        """Say nothing."""


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise Refusal("BAD_REQUEST", f"the body is not JSON: {error}") from error


def _number(query: dict[str, str], name: str, default: int = 0) -> int:
    given = query.get(name, str(default))
    if not (given.isascii() and given.isdecimal() and len(given) < 10):
        raise Refusal("BAD_REQUEST", f"{name} is a number from 0 on")
    return int(given)


class Server(ThreadingHTTPServer):
    """A thread for each connection."""

    request_queue_size = 128


class AcmeServer:
    """The service at a port of this machine, in threads of its own; `with` ends it."""

    def __init__(
        self,
        port: int = 0,
        *,
        key: str = "acme-key",
        workers: int = 2,
        startup: float = 0.005,
        requests_per_second: float = 1000,
    ) -> None:
        self.key = key
        self.kernels = Kernels(workers, startup)
        mine = {"kernels": self.kernels, "rate": Rate(requests_per_second), "key": key}
        self._server = Server(("127.0.0.1", port), type("Mine", (Handler,), mine))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """End it: all its tasks too."""
        self.kernels.close()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


if __name__ == "__main__":
    with AcmeServer(8422) as server, suppress(KeyboardInterrupt):
        print(f"Acme Kernels at {server.url}, with the key {server.key}; Ctrl-C ends it")
        threading.Event().wait()
