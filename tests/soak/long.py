"""Streams and waits for minutes or hours, against services that fail and the local one.

`make soak` takes ten minutes, `make soak MINUTES=60` an hour. The load comes in rounds; between two
of them nothing is under way, and what the process holds then is measured. After a while it must be
the same round after round.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import logging
import os
import random
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import attrs

sys.path.append(str(Path(__file__).parents[1] / "faults"))

from faults_client import Place
from faults_clock import SPEED, FastReactor
from faults_run import READ_TIMEOUT, Batch, Report, Service, free_port, services
from faults_schedule import Kind, Schedule, kind_of, schedule

from adapters import RuntimeService
from adapters.local.service import LocalRuntimeService

ROUND = 150
"""How many schedules a round has."""
LOCAL_JOBS = 3
"""How many jobs of the local service go on beside them, each with a stream, in a round."""
MESSAGES = 20
"""The interim results of such a job."""
AT_ONCE = 32
SETTLE = 10.0
"""Seconds of real time that threads and connections have to end after a round."""

PROGRAM = '''
"""Publishes numbers, and returns their sum."""

import time


def main(backend, user_messenger, count):
    for number in range(count):
        user_messenger.publish(number)
        time.sleep(0.01)
    return sum(range(count))
'''


@attrs.frozen
class Sample:
    """What the process holds when nothing is under way."""

    threads: int
    files: int
    """Sockets are among them."""
    objects: int
    """What the garbage collector follows."""
    memory: int
    """The resident set, in KiB."""


GROWTH = Sample(threads=0, files=2, objects=400, memory=2048)
"""By how much the median of the last third of the samples may be over that of the middle third.

A third of ten minutes has some 2,000 jobs: one object that each leaves behind is five times what is
allowed, a kilobyte the memory. Threads end, all of them; files are the idle connections of a few
clients. Objects and memory are what the interpreter and its allocator keep for themselves.
"""


def sample() -> Sample:
    """Measure."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Sample(
        threading.active_count(),
        len(os.listdir("/proc/self/fd")),
        len(gc.get_objects()),
        pages * os.sysconf("SC_PAGE_SIZE") // 1024,
    )


def growth(samples: Sequence[Sample]) -> list[str]:
    """Say what has grown from the middle third to the last; the first third warms up."""
    third = len(samples) // 3
    middle, last = samples[third : 2 * third], samples[2 * third :]
    found = []
    for name, limit in attrs.asdict(GROWTH).items():
        before = median(getattr(each, name) for each in middle)
        after = median(getattr(each, name) for each in last)
        if after > before + limit:
            found.append(f"{name} grew from {before:g} to {after:g}; {limit} more are allowed")
    return found


class Soak:
    """The load, round after round."""

    def __init__(self, seed: int, victim: Service, places: list[Place], folder: Path) -> None:
        self._numbers = itertools.count()
        self._seed = seed
        self._chance = random.Random(seed)
        self._victim = victim
        self._places = places
        self._reactor = FastReactor()
        self._nowhere = free_port()
        self._local: LocalRuntimeService = RuntimeService.local(data=folder, workers=2)
        self._program = self._local.upload_program(PROGRAM, {"name": "numbers"})
        self.report = Report()

    def round(self) -> None:
        """Run schedules and local jobs, kill a service in the middle of it, wait for the end."""
        plans: list[Schedule] = []
        while len(plans) < ROUND:
            number = next(self._numbers)
            if kind_of(number) not in (Kind.INTERRUPTED, Kind.FORKED):
                plans.append(schedule(self._seed, number))
        killed = [plan for plan in plans if plan.kind is Kind.KILLED]
        batches = [
            Batch(place, self._reactor, self._nowhere, self.report) for place in self._places
        ]
        batches[0].start((plan for plan in plans if plan not in killed), AT_ONCE)
        batches[1].start(killed, len(killed))
        local = [threading.Thread(target=self._attended, daemon=True) for _ in range(LOCAL_JOBS)]
        for thread in local:
            thread.start()
        for _ in range(3):
            time.sleep(self._chance.uniform(0.1, 0.6))
            self._victim.kill()
            self._victim.restart()
        for batch in batches:
            batch.join()
        for thread in local:
            thread.join(60)
            if thread.is_alive():
                self.report.complaints.append("a job of the local service hangs")

    def _attended(self) -> None:
        try:
            self._run_local()
        except Exception:  # whatever it is, it is what should not come
            self.report.complaints.append(traceback.format_exc())

    def _run_local(self) -> None:
        items: list[int] = []
        job = self._local.run(
            self._program, inputs={"count": MESSAGES}, callback=lambda _, item: items.append(item)
        )
        with job:
            if job.result(timeout=60) != sum(range(MESSAGES)) or items != list(range(MESSAGES)):
                self.report.complaints.append(f"{job.job_id()} gave {items}")
            job.wait_for_final_state(timeout=0)
        self._local.delete_job(job.job_id())

    def settle(self, threads: int) -> Sample:
        """Wait until nothing is under way, and measure."""
        deadline = time.monotonic() + SETTLE
        while threading.active_count() > threads and time.monotonic() < deadline:
            time.sleep(0.1)
        return sample()

    def close(self) -> None:
        """Let go of the local service."""
        self._local.close()


def main() -> int:
    """Do rounds for some minutes; 0 if all was right and nothing has grown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minutes", type=float, nargs="?", default=10.0)
    parser.add_argument("--seed", type=int, default=os.environ.get("SEED") or None)
    options = parser.parse_args()
    if not Path("/proc/self/statm").exists():
        _say("soak: needs Linux's /proc to see what the process holds; nothing was done")
        return 0
    logging.getLogger("adapters").setLevel(logging.ERROR)
    logging.basicConfig(level=logging.ERROR)
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    _say(f"soak: {options.minutes:g} minutes, SEED={seed}")
    began = time.monotonic()
    threads = threading.active_count()
    samples: list[Sample] = []
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, services(2) as running:
        places = [Place(each.port, READ_TIMEOUT / SPEED) for each in running]
        soak = Soak(seed, running[1], places, Path(folder))
        while time.monotonic() - began < 60 * options.minutes or len(samples) < 9:
            soak.round()
            samples.append(soak.settle(threads))
            if len(samples) % 10 == 1:
                jobs = soak.report.counts["schedules"]
                passed = time.monotonic() - began
                _say(f"soak: round {len(samples)}, {passed:.0f} s, {jobs} schedules, {samples[-1]}")
            if soak.report.complaints:
                break
        soak.close()
        for place in places:
            place.close()
    found = soak.report.complaints or growth(samples)
    for what, count in sorted(soak.report.counts.items()):
        _say(f"soak: {count:7} {what}")
    _say(f"soak: at first {samples[0]}, in the end {samples[-1]}")
    for each in found:
        _say(f"soak: WRONG: {each}")
    _say(f"soak: {'failed' if found else 'all was right'}, SEED={seed}, {len(samples)} rounds")
    return 1 if found else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
