"""What many mostly idle streams cost: jobs that stream one message a second each.

The service is a process of its own, and so is each client, freshly started: 1,000 jobs with a
callback that returns at once, next to websocket-client with a thread for each stream. They take
turns and see the same messages, spread evenly over the second; CPU is the user and system time of
the client's process, once all streams are open.

Of websocket-client there are two: its `WebSocketApp`, which does what a job's stream does and what
the original of `RuntimeJob` was made of (callbacks, and a ping every 20 s that must be answered;
that is a second thread for each), and a bare loop around `recv()`, with no callback interface and
no sign of life: the least that can be done with it. Both decode JSON by `json.loads`.

A job that streams is polled, too, as the proof. What that costs is told by another client, whose
status requests are answered without a network. At last 5,000 jobs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
from _stub import TOKEN, call, raise_file_limit, stub
from _tables import Summary, machine_line, print_table, summarize

from adapters import RuntimeClient, RuntimeJob, RuntimeWebsocketClient
from runtime_core.events import JobStarted

THREADS_BOUND = 4
"""How many threads more than before there may be, however many streams."""
STREAM_BOUND = 40.0
"""How many KiB of resident memory a stream may take."""
CPU_BOUND = 1 / 3
"""The part of websocket-client's CPU that ours may take."""
PING_SECONDS = 20
"""How often websocket-client pings: as often as ours."""

WARM_UP = 2
"""Seconds of messages before the measuring begins."""


@attrs.frozen
class Scale:
    """How much is measured."""

    jobs: int
    """How many streams are compared."""
    many: int
    """How many have to work."""
    seconds: int
    """How long is measured."""
    rounds: int
    """How often, each client in its turn."""


FULL = Scale(jobs=1000, many=5000, seconds=20, rounds=3)
QUICK = Scale(jobs=300, many=1000, seconds=5, rounds=2)


class Tally:
    """Counts the messages of each job, and those that are not the next of their job."""

    def __init__(self, jobs: int) -> None:
        self._next = dict.fromkeys(job_ids(jobs), 0)
        self.misplaced = 0

    def take(self, job_id: str, value: Any) -> None:
        if value["iteration"] != self._next[job_id]:
            self.misplaced += 1
        self._next[job_id] += 1

    @property
    def total(self) -> int:
        return sum(self._next.values())


def job_ids(jobs: int) -> list[str]:
    return [f"job-{number}" for number in range(jobs)]


# ---- the clients, each in a process of its own -------------------------------------------------


class NoNetwork:
    """An api client whose jobs run, without asking."""

    def job_get(self, job_id: str) -> Mapping[str, object]:
        return {"id": job_id, "status": "Running"}

    def job_results(self, job_id: str) -> str:
        raise NotImplementedError

    def job_cancel(self, job_id: str) -> object:
        raise NotImplementedError


def open_ours(url: str, ids: Sequence[str], tally: Tally) -> object:
    return _open_jobs(RuntimeClient(url, TOKEN), url, ids, tally)


def open_ours_unpolled(url: str, ids: Sequence[str], tally: Tally) -> object:
    return _open_jobs(NoNetwork(), url, ids, tally)


def _open_jobs(
    client: RuntimeClient | NoNetwork, url: str, ids: Sequence[str], tally: Tally
) -> list[RuntimeJob]:
    streams = RuntimeWebsocketClient(url, TOKEN, streams_result=False)
    return [
        RuntimeJob(
            "b", client, streams, job_id, "p", user_callback=tally.take, initial=JobStarted()
        )
        for job_id in ids
    ]


def open_theirs(url: str, ids: Sequence[str], tally: Tally) -> object:
    import websocket

    def stream(job_id: str) -> None:
        acknowledged: list[str] = []

        def on_message(_app: object, text: str) -> None:
            if acknowledged:
                tally.take(job_id, json.loads(text))
            else:
                acknowledged.append(text)

        websocket.WebSocketApp(
            _stream_url(url, job_id), header={"X-Access-Token": TOKEN}, on_message=on_message
        ).run_forever(ping_interval=PING_SECONDS, ping_timeout=PING_SECONDS / 2)

    return _start_threads(stream, ids)


def open_theirs_bare(url: str, ids: Sequence[str], tally: Tally) -> object:
    import websocket

    def stream(job_id: str) -> None:
        connection = websocket.create_connection(
            _stream_url(url, job_id), header={"X-Access-Token": TOKEN}
        )
        connection.recv()  # the acknowledgement
        while text := connection.recv():
            tally.take(job_id, json.loads(text))

    return _start_threads(stream, ids)


def _stream_url(url: str, job_id: str) -> str:
    return f"{url.replace('http', 'ws', 1)}/stream/jobs/{job_id}"


def _start_threads(stream: Callable[[str], None], ids: Sequence[str]) -> object:
    threads = [threading.Thread(target=stream, args=(job_id,), daemon=True) for job_id in ids]
    for thread in threads:
        thread.start()
    return threads


CLIENTS: dict[str, Callable[[str, Sequence[str], Tally], object]] = {
    "ours": open_ours,
    "ours-unpolled": open_ours_unpolled,
    "theirs": open_theirs,
    "theirs-bare": open_theirs_bare,
}


@attrs.frozen
class Run:
    """What one client took in one run."""

    cpu: float
    """CPU seconds per second, from the first measured message on."""
    threads: int
    """The most threads more than before."""
    memory: float
    """KiB of resident memory a stream, once messages have come."""
    opened: float
    """Seconds until all streams were open."""
    received: int
    """How many messages came through to the callback."""
    expected: int
    """How many should have."""
    misplaced: int
    """How many came out of order."""


def run_client(kind: str, url: str, jobs: int, seconds: int) -> Run:
    """In the client's own process: open the streams, measure, wait for the last message."""
    tally, threads = Tally(jobs), threading.active_count()
    first, *others = job_ids(jobs)
    # The first stream loads what is loaded late.
    kept = [CLIENTS[kind](url, [first], tally)]
    _until(lambda: call(url, "/streams") == 1)
    memory = resident()
    begun = time.monotonic()
    kept.append(CLIENTS[kind](url, others, tally))
    _until(lambda: call(url, "/streams") == jobs)
    opened = time.monotonic() - begun
    call(url, f"/beat?messages={WARM_UP + seconds + 1}", "POST")
    time.sleep(WARM_UP)
    before, start = time.process_time(), time.monotonic()
    most = 0
    while time.monotonic() < start + seconds:
        time.sleep(0.25)
        most = max(most, threading.active_count() - threads)
    cpu = (time.process_time() - before) / (time.monotonic() - start)
    grown = resident() - memory
    expected = jobs * (WARM_UP + seconds + 1)
    _until(lambda: tally.total >= expected)
    return Run(cpu, most, grown / len(others), opened, tally.total, expected, tally.misplaced)


def _until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for a condition; if it does not come about, the report will show it."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)


def resident() -> int:
    """The resident memory of this process in KiB."""
    command = ["ps", "-o", "rss=", "-p", str(os.getpid())]
    return int(subprocess.run(command, capture_output=True, check=True).stdout)


# ---- the comparison ----------------------------------------------------------------------------


def measure(kind: str, jobs: int, seconds: int) -> Run:
    with stub(jobs) as url:
        command = [sys.executable, __file__, "--client", kind, url, str(jobs), str(seconds)]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return Run(**json.loads(done.stdout))


def compare(scale: Scale) -> dict[str, list[Run]]:
    runs: dict[str, list[Run]] = {kind: [] for kind in CLIENTS}
    for _ in range(scale.rounds):
        for kind, done in runs.items():
            done.append(measure(kind, scale.jobs, scale.seconds))
    return runs


def spread(summary: Summary, scale: float = 1.0) -> str:
    low, middle, high = (v * scale for v in (summary.low, summary.median, summary.high))
    return f"{middle:.1f} ({low:.1f} to {high:.1f})"


def row(name: str, runs: Sequence[Run]) -> list[str]:
    lost = sum(run.expected - run.received for run in runs)
    every = "every one" if lost == 0 and not any(run.misplaced for run in runs) else f"{lost} LOST"
    return [
        name,
        spread(_summary([run.cpu for run in runs]), 100),
        str(max(run.threads for run in runs)),
        spread(_summary([run.memory for run in runs])),
        spread(_summary([run.opened for run in runs])),
        every,
    ]


def _summary(values: Sequence[float]) -> Summary:
    return summarize([*values, *values])  # one run has no spread


NAMES = {
    "ours": "jobs with a callback",
    "ours-unpolled": "the same, polls without a network",
    "theirs": "websocket-client: WebSocketApp, pings",
    "theirs-bare": "websocket-client: bare recv()",
}


def print_report(scale: Scale, runs: Mapping[str, Sequence[Run]], many: Run) -> None:
    print(machine_line())
    print(f"{scale.jobs} streams of one message a second, {scale.seconds} s; median (10 % to 90 %)")
    header = ["", "% of a core", "threads", "KiB a stream", "s to open", "messages"]
    table = [row(NAMES[kind], done) for kind, done in runs.items()]
    print_table(header, [*table, row(f"{scale.many} jobs with a callback", [many])])
    ratios = {kind: _ratio(runs["ours"], runs[kind]) for kind in ("theirs", "theirs-bare")}
    for kind, ratio in ratios.items():
        low, middle, high = ratio.low, ratio.median, ratio.high
        print(f"CPU: {middle:.2f} ({low:.2f} to {high:.2f}) times that of {NAMES[kind]}")
    ours = [*runs["ours"], many]
    verdicts = {
        f"CPU below {CPU_BOUND:.2f} of WebSocketApp's": ratios["theirs"].median < CPU_BOUND,
        f"at most {THREADS_BOUND} threads": all(run.threads <= THREADS_BOUND for run in ours),
        f"below {STREAM_BOUND:g} KiB": all(run.memory < STREAM_BOUND for run in ours),
        "every message, in order": all(
            run.received == run.expected and not run.misplaced for run in ours
        ),
    }
    print("; ".join(f"{what}: {'ok' if held else 'NO'}" for what, held in verdicts.items()))


def _ratio(ours: Sequence[Run], theirs: Sequence[Run]) -> Summary:
    return _summary([o.cpu / t.cpu for o, t in zip(ours, theirs, strict=True)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="measure less: for a first look")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--client", nargs=4, metavar=("KIND", "URL", "JOBS", "SECONDS"), help=argparse.SUPPRESS
    )
    options = parser.parse_args()
    if options.client:
        kind, url, jobs, seconds = options.client
        print(json.dumps(attrs.asdict(run_client(kind, url, int(jobs), int(seconds)))), flush=True)
        os._exit(0)  # a thousand streams need no farewell
    scale = QUICK if options.quick else FULL
    raise_file_limit(scale.many + 200)
    runs = compare(scale)
    many = measure("ours", scale.many, scale.seconds)
    if options.json:
        plain = {kind: [attrs.asdict(run) for run in done] for kind, done in runs.items()}
        print(json.dumps({"machine": machine_line(), **plain, "many": attrs.asdict(many)}))
    else:
        print_report(scale, runs, many)


if __name__ == "__main__":
    main()
