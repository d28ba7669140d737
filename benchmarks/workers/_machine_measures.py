"""What is measured of a state machine that follows jobs; the same for all of them.

A contender is a `Follower`. It is timed over one lifecycle of seven events: queued, running, three
interim results, done, result fetched. Times are CPU time, so that other work on the machine counts
little, and medians of many batches. Memory is told twice: by `tracemalloc`, what Python allocates,
and by what a fresh process of its own grows by. Standard library only: this runs in every
environment.
"""

from __future__ import annotations

import gc
import json
import resource
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _protocol import serve, value

EVENTS = 7
"""How many events a lifecycle has."""
MOST_JOBS = 16_384
"""How many jobs are prepared at most, to be timed one after the other."""


@dataclass(frozen=True)
class Follower:
    """A way to follow jobs."""

    new_maker: Callable[[], Callable[[], Any]]
    """Gives what makes a job, as if no job had been made before: a job is made, and has been
    submitted."""
    prepare: Callable[[Any], object]
    """What precedes the lifecycle, and is not timed: ours subscribes and waits."""
    live: Callable[[Any], object]
    """Takes one prepared job through its lifecycle."""
    start: Callable[[Any], object]
    """Takes a job that was made to where it runs, and nobody follows it."""


def lifecycle(follower: Follower, seconds: float) -> float:
    """Microseconds of CPU time of one lifecycle, the making of the job not counted."""
    prepare, live = follower.prepare, follower.live
    batch, taken, batches = 1, 0.0, list[float]()
    while taken < seconds or len(batches) < 3:
        make = follower.new_maker()
        jobs = [make() for _ in range(batch)]
        for job in jobs:
            prepare(job)
        spent = _spent(live, jobs)
        if spent < 0.002 and batch < MOST_JOBS:
            batch *= 2  # too short for the clock
            continue
        taken += spent
        batches.append(spent / batch)
    return statistics.median(batches) * 1e6


def _spent(live: Callable[[Any], object], jobs: list[Any]) -> float:
    gc.collect()
    gc.disable()  # as timeit does: what the others left behind is not this one's to collect
    try:
        start = time.process_time()
        for job in jobs:
            live(job)
        return time.process_time() - start
    finally:
        gc.enable()


def whole(follower: Follower, count: int) -> float:
    """Microseconds of CPU time of one job of `count` that are there at once, its making included.

    All are made, then all are followed, then each goes through its lifecycle. The garbage collector
    is on, as it is in a program: objects that stay are what it has to go through.
    """
    repeats, spent = max(1, 200 // count), 0.0
    for _ in range(repeats):
        make = follower.new_maker()
        gc.collect()
        start = time.process_time()
        jobs = [make() for _ in range(count)]
        for job in jobs:
            follower.prepare(job)
        for job in jobs:
            follower.live(job)
        spent += time.process_time() - start
    return spent / (repeats * count) * 1e6


def traced_bytes(follower: Follower, count: int) -> float:
    """Bytes that Python allocates for a running job of `count`, its id not counted."""
    make, jobs = _maker_warm(follower), list[Any]([None]) * count
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        _fill(follower, make, jobs)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return (after - before) / count


def _maker_warm(follower: Follower) -> Callable[[], Any]:
    make = follower.new_maker()
    follower.start(make())  # what is made once for all is none of a job's
    return make


def _fill(follower: Follower, make: Callable[[], Any], jobs: list[Any]) -> None:
    start = follower.start
    for index in range(len(jobs)):
        jobs[index] = job = make()
        start(job)


def resident_bytes(script: str, name: str, count: int) -> float:
    """Bytes that a fresh process grows by for a running job of `count`."""
    command = [sys.executable, script, name, "--resident", str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout))


def print_resident(follower: Follower, count: int) -> None:
    """What the fresh process does: grow, and say by how much."""
    make, jobs = _maker_warm(follower), list[Any]([None]) * count
    gc.collect()
    before = _resident()
    _fill(follower, make, jobs)
    gc.collect()
    print(json.dumps((_resident() - before) / count))


def _resident() -> int:
    """The bytes of this process that are in memory: on Linux those now, else the most so far."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    return pages * resource.getpagesize()


def run(script: str, name: str, distributions: list[str], follower: Follower) -> None:
    """What the script of a worker does: serve, or be the fresh process of `resident_bytes`."""
    if sys.argv[2:3] == ["--resident"]:
        print_resident(follower, int(sys.argv[3]))
        return

    def measure_lifecycle(seconds: float) -> dict[str, Any]:
        taken = lifecycle(follower, seconds)
        return value(taken, "us", events_per_second=EVENTS / taken * 1e6)

    serve(
        name,
        {
            "machine-lifecycle": measure_lifecycle,
            "machine-growth": lambda size: value(whole(follower, size), "us"),
            "machine-memory": lambda size: value(traced_bytes(follower, size), "bytes"),
            "machine-resident": lambda size: value(resident_bytes(script, name, size), "bytes"),
        },
        distributions,
    )
