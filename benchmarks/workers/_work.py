"""What the workers share: checks that the work was done, clocks around it, what the server counted.

Only the standard library, as in `_protocol`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import resource
import socket
import statistics
import threading
import time
import urllib.request
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from _protocol import failed, progress, value

TOKEN = "the-token"
PAGE = os.sysconf("SC_PAGE_SIZE")
_numbers = itertools.count()
_kept: list[object] = []


def ask(url: str, path: str, method: str = "GET") -> Any:
    """Ask the server something that is not counted."""
    request = urllib.request.Request(f"{url}/bench/{path}", method=method)
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def running(url: str, size: int) -> list[str]:
    """The ids of so many jobs that run for ever."""
    ids: list[str] = ask(url, f"running?count={size}", "POST")
    return ids


def stream_url(url: str, job_id: str) -> str:
    return f"{url.replace('http', 'ws', 1)}/stream/jobs/{job_id}"


class Loop:
    """A loop of asyncio in a thread of its own, for as long as the process lives."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def run(self, call: Coroutine[Any, Any, Any]) -> Any:
        """Run it in the loop; give what it gives."""
        return asyncio.run_coroutine_threadsafe(call, self._loop).result()

    def begin(self, call: Coroutine[Any, Any, Any]) -> object:
        """Begin it in the loop, and give what must be kept."""
        return asyncio.run_coroutine_threadsafe(call, self._loop)


# ---- completion --------------------------------------------------------------------------------


def seconds_of(shortest: float, longest: float, share: float) -> float:
    """How long the job of a round runs."""
    return shortest + (longest - shortest) * share


def latency_of(url: str, complete: Callable[[], tuple[str, Any]]) -> dict[str, Any]:
    """How long after the end of its job a call returns, and how many requests that took.

    Args:
        url: of the server, which is used by nobody else meanwhile.
        complete: submits a job, waits for its result, gives its id and the result.
    """
    before = ask(url, "counts")
    job_id, result = complete()
    now = time.time()
    after = ask(url, f"counts?job={job_id}")
    if result != {"job": job_id}:
        return failed(f"the result of {job_id} is {result!r}")
    return value(
        (now - after["ended"]) * 1000,
        "ms",
        requests=after["requests"] - before["requests"],
        handshakes=after["handshakes"] - before["handshakes"],
    )


def together_of(
    url: str,
    size: int,
    seconds: float,
    begin: Callable[[Sequence[str], Callable[[str, Any], None]], object],
) -> dict[str, Any]:
    """How long after the ends of their jobs many waits return, all in one second.

    Args:
        url: of the server.
        size: how many jobs.
        seconds: how long is waited for all results, from the beginning.
        begin: begins to wait for jobs, and gives what must be kept. It is given their ids and what
            to call with the id of each job and its result.
    """
    raise_file_limit()
    returned: dict[str, float] = {}

    def done(job_id: str, result: Any) -> None:
        if result == {"job": job_id}:
            returned[job_id] = time.time()

    before = ask(url, "counts")
    after = 0.5 + size / 500  # by then all of them are waited for
    ids = ask(url, f"jobs?count={size}&after={after}", "POST")
    kept = begin(ids, done)
    is_complete = until(lambda: len(returned) == size, seconds)
    asked = ask(url, "counts")["requests"] - before["requests"]
    if not is_complete:
        return failed(f"{len(returned)} of {size} results were there after {seconds:g} s")
    ends = ask(url, "ends")
    late = [(returned[job_id] - ends[job_id]) * 1000 for job_id in ids]
    del kept
    return value(statistics.median(late), "ms", worst=max(late), requests=asked / size)


# ---- messages a second -------------------------------------------------------------------------


class Meter:
    """Takes the decoded values of a flood: checks and counts them, looks at the clock twice."""

    def __init__(self, kind: str, messages: int, cycle: int) -> None:
        self.job_id = f"{kind}-{messages}-{next(_numbers)}-{os.getpid()}"
        self.messages = messages
        self.seen = 0
        self.total = 0
        self.cycle = cycle
        self.seconds = self.cpu_seconds = 0.0
        self.done = threading.Event()

    def take(self, step: dict[str, Any]) -> None:
        """Take the next one."""
        if not self.seen:
            self.seconds, self.cpu_seconds = -time.perf_counter(), -time.process_time()
        self.seen += 1
        self.total += step["iteration"]
        if self.seen == self.messages:
            self.seconds += time.perf_counter()
            self.cpu_seconds += time.process_time()
            self.done.set()

    def callback(self, _job_id: str, step: dict[str, Any]) -> None:
        """Take the next one, as a user's callback."""
        self.take(step)

    def answer(self) -> dict[str, Any]:
        """The rate between the first and the last, if all came that had to."""
        cycles, more = divmod(self.messages, self.cycle)
        expected = cycles * sum(range(self.cycle)) + sum(range(more))
        if self.seen != self.messages:
            return failed(f"got {self.seen:,} of {self.messages:,} messages")
        if self.total != expected:
            return failed(f"the numbers of the messages are {self.total} in sum, not {expected}")
        count = self.messages - 1
        return value(count / self.seconds, "messages/s", cpu=self.cpu_seconds / count * 1e6)


# ---- many streams ------------------------------------------------------------------------------


class Tally:
    """Counts the messages of many streams, and those that are not the next of their stream."""

    def __init__(self, ids: Sequence[str], messages: int) -> None:
        self.ids = ids
        self._next = dict.fromkeys(self.ids, 0)
        self._messages = messages
        self.misplaced = 0

    def take(self, job_id: str, step: dict[str, Any]) -> None:
        """Take the next message of a job; from one thread for each job."""
        if step["iteration"] != self._next[job_id]:
            self.misplaced += 1
        self._next[job_id] += 1

    @property
    def complete(self) -> int:
        """How many streams have all their messages."""
        return sum(count >= self._messages for count in self._next.values())


def memory() -> int:
    """The bytes of resident memory of this process."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE
    except OSError:  # not Linux: the most there ever was, in bytes on macOS
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def threads() -> int:
    """How many threads this process has, those too that Python knows nothing of."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return threading.active_count()


def streams_of(
    url: str, size: int, messages: int, seconds: float, start: Callable[[Tally], object]
) -> dict[str, Any]:
    """How many of so many streams get all their messages, while all of the jobs go on.

    Args:
        url: of the server.
        size: how many streams.
        messages: how many messages the server sends to each of those that are open.
        seconds: how long is waited for all to be open, and again for all to have their messages;
            longer for more than 1,000.
        start: begins all of them, and gives what must be kept.
    """
    raise_file_limit()
    seconds *= max(1.0, size / 1000)
    tally = Tally(running(url, size), messages)
    memory_before, threads_before, begin = memory(), threads(), time.monotonic()
    kept = start(tally)
    # Seldom enough that the asking itself takes little of either process.
    is_open = until(lambda: ask(url, "streams") >= size, seconds, max(0.005, size / 50_000))
    opened = time.monotonic() - begin
    begin = time.monotonic()
    reached = ask(url, f"beat?messages={messages}", "POST")
    progress(f"{reached} of {size} streams were open")
    until(lambda: tally.complete >= reached, seconds)
    when = time.monotonic() - begin
    served = tally.complete
    details = {
        "opened": opened if is_open else f"{reached} in {opened:.0f} s",
        "when": when * 1000 if served == size else f"{when * 1000:.0f} for {served}",
        "threads": threads() - threads_before,
        "memory": (memory() - memory_before) / 1024 / size if served == size else "-",
        "open": reached,
    }
    del kept
    if tally.misplaced:
        return failed(f"{tally.misplaced} messages came out of their order")
    return value(served, "streams", **details)


def streams_cpu_of(
    url: str, size: int, seconds: int, start: Callable[[Tally], object]
) -> dict[str, Any]:
    """What part of a core so many streams take which bring a message a second each.

    Args:
        url: of the server.
        size: how many streams.
        seconds: how long is measured.
        start: begins all of them, and gives what must be kept.
    """
    raise_file_limit()
    tally = Tally(running(url, size), seconds)
    kept = start(tally)
    if not until(lambda: ask(url, "streams") >= size, 10):
        return failed(f"{ask(url, 'streams')} of {size} streams were open after 10 s")
    ask(url, f"pulse?seconds={seconds}", "POST")
    cpu, begin = time.process_time(), time.monotonic()
    time.sleep(seconds)
    cpu, took = time.process_time() - cpu, time.monotonic() - begin
    if not until(lambda: tally.complete == size, 5) or tally.misplaced:
        return failed(f"{tally.complete} of {size} streams got their messages in order")
    del kept
    return value(100 * cpu / took, "% of a core", threads=threads())


def refusing() -> str:
    """The address of a service that refuses connections."""
    closed = socket.socket()
    closed.bind(("127.0.0.1", 0))  # and does not listen
    _kept.append(closed)
    return f"http://127.0.0.1:{closed.getsockname()[1]}"


def until(condition: Callable[[], object], seconds: float, pause: float = 0.005) -> bool:
    """Wait for something, so long at most, and look for it after each pause; say if it came."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True


def raise_file_limit() -> None:
    """Let this process open as many files as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20_000), hard))


# ---- many waits --------------------------------------------------------------------------------


def waits_of(
    url: str, size: int, settle: float, seconds: float, begin: Callable[[Sequence[str]], object]
) -> dict[str, Any]:
    """What part of a core it takes to wait for so many jobs, none of which ends.

    Args:
        url: of the server.
        size: how many jobs.
        settle: how many seconds after the begin is measured: polls may become rarer.
        seconds: how long is measured.
        begin: begins to wait for the jobs of these ids, and gives what must be kept.
    """
    raise_file_limit()
    ids = running(url, size)
    threads_before = threads()
    kept = begin(ids)
    progress(f"waits had begun for {size}")
    time.sleep(settle)
    before, cpu, start = ask(url, "counts"), time.process_time(), time.monotonic()
    time.sleep(seconds)
    cpu = time.process_time() - cpu
    after, took = ask(url, "counts"), time.monotonic() - start
    del kept
    return value(
        100 * cpu / took,
        "% of a core",
        requests=(after["requests"] - before["requests"]) / took,
        threads=threads() - threads_before,
    )


def in_threads(calls: Sequence[Callable[[], object]]) -> list[threading.Thread]:
    """Begin each call in a thread of its own."""

    def quietly(call: Callable[[], object]) -> None:
        with contextlib.suppress(Exception):  # closed at the end of what is measured
            call()

    started = [threading.Thread(target=quietly, args=(call,), daemon=True) for call in calls]
    for thread in started:
        thread.start()
    return started


# ---- timeouts ----------------------------------------------------------------------------------


def lateness_of(
    timeout: float,
    calls: int,
    prepared: Callable[[], AbstractContextManager[Callable[[float], object]]],
    expected: type[BaseException] | tuple[type[BaseException], ...],
) -> dict[str, Any]:
    """How many milliseconds after its timeout a call returns: the median of some.

    Args:
        timeout: what the call is given, in seconds.
        calls: how often it is called.
        prepared: gives what waits for a job that does not end; what is done before and after is not
            measured.
        expected: what the call raises at its timeout.
    """
    late = []
    for number in range(calls):
        progress(f"{number} of {calls} calls had returned")
        with prepared() as call:
            begin = time.monotonic()
            try:
                call(timeout)
            except expected:
                late.append((time.monotonic() - begin - timeout) * 1000)
            except Exception as error:
                words = f"{type(error).__name__} after {time.monotonic() - begin:.1f} s"
                return failed(f"{words}, {str(error)[:60]}...")
            else:
                return failed("a wait for a job that goes on returned")
    return value(
        statistics.median(late), "ms", worst=max(late), early=sum(each < 0 for each in late)
    )
