"""What the machine of a job costs: the time of a lifecycle, the memory of a tracked job.

A lifecycle is: queued, running, three interim results, done. Each competitor builds the same six
events. The bare machine looks the state up in a dict and returns nothing: no library that tells
what is to be done can be as quick. Ours follows a job whose subscription is active on an open
connection and whose result somebody waits for (all of that prepared outside of the timed part), so
each interim result gives a `Deliver`, and the end stops the poll timer, sets the drain deadline and
fetches the result: six commands. `transitions` is used in its two usual ways: a `Machine` for each
job, with the job as its model (the machine is made outside of the timed part), and one shared
machine to which the job was added. They too return nothing but whether they moved.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import attrs
from _tables import Summary, machine_line, print_table, summarize
from transitions import Machine

from runtime_core.commands import Deliver, FetchResult, StartTimer, StopTimer
from runtime_core.events import (
    Event,
    InterimReceived,
    JobQueued,
    JobStarted,
    JobSucceeded,
    Need,
    StreamOpened,
    SubscriptionRequested,
    WaitStarted,
)
from runtime_core.lifecycle import LIFECYCLE, TRANSITIONS
from runtime_core.machine import JobMachine
from runtime_core.states import JobState
from runtime_core.traits import Resume, ServiceTraits

TIME_TARGET = 2.5
"""How many times the bare machine's time a lifecycle of ours may take."""
MEMORY_TARGET = 400
"""How many bytes a tracked job may take."""

PUSHED = ServiceTraits(pushes=True, resume=Resume.OFFSET)
TABLE: dict[tuple[JobState, type[Event]], JobState] = {
    **{(state, kind): after for (state, kind), after in LIFECYCLE.items()},
    **{(state, InterimReceived): state for state in JobState},
}
ROWS: list[list[Any]] = [
    *([*row] for row in TRANSITIONS),
    *(["InterimReceived", state, state] for state in JobState),
]

Lives: TypeAlias = Callable[[Any], object]
"""Takes a prepared job through its life."""


@attrs.frozen
class Case:
    """A way to follow a job."""

    name: str
    """What it is."""
    prepare: Callable[[int], Sequence[Any]]
    """Makes so many jobs."""
    live: Lives
    """Takes one job through its life: this is what is timed."""
    target: float | None = None
    """How many times the bare machine's time it may take; None if it is not ours."""


@attrs.frozen
class Measured:
    """What a case took."""

    name: str
    """What was measured."""
    microseconds: Summary
    """For one lifecycle."""
    ratio: Summary
    """Times the bare machine of the same round."""
    bytes_per_job: float | None
    """The memory of one tracked job: running, nothing under way; None for the bare machine."""
    target: float | None
    """The highest ratio promised."""


# ---- the bare machine --------------------------------------------------------------------------


class Bare:
    """A state, and nothing else."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = JobState.QUEUED

    def receive(self, event: Event) -> None:
        self.state = TABLE[self.state, type(event)]


def bare_jobs(count: int) -> list[Bare]:
    return [Bare() for _ in range(count)]


def live_bare(job: Bare) -> None:
    receive = job.receive
    receive(JobQueued())
    receive(JobStarted())
    receive(InterimReceived(1, ("1",)))
    receive(InterimReceived(1, ("2",)))
    receive(InterimReceived(1, ("3",)))
    receive(JobSucceeded())


# ---- ours --------------------------------------------------------------------------------------


def our_jobs(count: int) -> list[JobMachine]:
    jobs = [JobMachine("j1", PUSHED) for _ in range(count)]
    before: tuple[Event, ...] = (
        JobQueued(),
        SubscriptionRequested(1),
        StreamOpened(1),
        WaitStarted(1, Need.RESULT),
    )
    for job in jobs:
        for event in before:
            job.receive(event)
    return jobs


def live_ours(job: JobMachine) -> None:
    receive = job.receive
    receive(JobQueued())
    receive(JobStarted())
    receive(InterimReceived(1, ("1",)))
    receive(InterimReceived(1, ("2",)))
    receive(InterimReceived(1, ("3",)))
    receive(JobSucceeded())


def check_ours() -> None:
    """The lifecycle that is timed orders what the docstring says."""
    (job,) = our_jobs(1)
    messages = [InterimReceived(1, (text,)) for text in "123"]
    events: list[Event] = [JobQueued(), JobStarted(), *messages]
    orders = [job.receive(event) for event in events]
    assert [[type(order) for order in each] for each in orders] == [[], [], *[[Deliver]] * 3]
    end = job.receive(JobSucceeded())
    assert [type(order) for order in end] == [StopTimer, StartTimer, FetchResult]


# ---- transitions -------------------------------------------------------------------------------


class Model:
    """A job as `transitions` wants it."""

    state: Any
    trigger: Callable[[str], bool]


def own_machines(count: int) -> list[Model]:
    jobs = [Model() for _ in range(count)]
    for job in jobs:
        Machine(job, JobState, JobState.QUEUED, ROWS, auto_transitions=False)
    return jobs


def shared_machine(count: int) -> list[Model]:
    machine = Machine(None, JobState, JobState.QUEUED, ROWS, auto_transitions=False)
    jobs = [Model() for _ in range(count)]
    for job in jobs:
        machine.add_model(job)
    return jobs


def live_transitions(job: Model) -> None:
    trigger = job.trigger
    trigger(JobQueued().__class__.__name__)
    trigger(JobStarted().__class__.__name__)
    trigger(InterimReceived(1, ("1",)).__class__.__name__)
    trigger(InterimReceived(1, ("2",)).__class__.__name__)
    trigger(InterimReceived(1, ("3",)).__class__.__name__)
    trigger(JobSucceeded().__class__.__name__)


# ---- measuring ---------------------------------------------------------------------------------

CASES = (
    Case("a dict look-up, nothing returned", bare_jobs, live_bare),
    Case("JobMachine", our_jobs, live_ours, TIME_TARGET),
    Case("transitions, a Machine for each job", own_machines, live_transitions),
    Case("transitions, one Machine and add_model", shared_machine, live_transitions),
)
JOBS = {live_bare: 500, live_ours: 500, live_transitions: 100}
"""How many jobs are prepared, and then timed; a `transitions` machine for each is slow to make."""
REPEATS = {live_bare: 10, live_ours: 10, live_transitions: 1}
"""How often in a round."""


def microseconds(case: Case) -> float:
    live, repeats = case.live, REPEATS[case.live]
    taken = 0.0
    for _ in range(repeats):
        jobs = case.prepare(JOBS[live])
        gc.collect()
        gc.disable()  # as timeit does: what the others left behind is not this one's to collect
        start = time.perf_counter()
        for job in jobs:
            live(job)
        taken += time.perf_counter() - start
        gc.enable()
    return taken / (repeats * JOBS[live]) * 1e6


def bytes_of_ours(count: int = 10_000) -> float:
    """The memory of a running job that nobody follows, without its id, which the service gave."""

    def track(_: int) -> JobMachine:
        job = JobMachine("j1", PUSHED)
        job.receive(JobQueued())
        job.receive(JobStarted())
        return job

    return _bytes_each(track, count)


def bytes_of_own_machine(count: int = 200) -> float:
    def track(_: int) -> Model:
        (job,) = own_machines(1)
        job.trigger("JobStarted")
        return job

    return _bytes_each(track, count)


def bytes_of_shared_machine(count: int = 200) -> float:
    machine = Machine(None, JobState, JobState.QUEUED, ROWS, auto_transitions=False)

    def track(_: int) -> Model:
        job = Model()
        machine.add_model(job)
        job.trigger("JobStarted")
        return job

    return _bytes_each(track, count)


def _bytes_each(track: Callable[[int], object], count: int) -> float:
    track(0)  # what is made once for all is none of a job's
    jobs: list[object] = [None] * count
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for index in range(count):
        jobs[index] = track(index)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (after - before) / count


def measure(rounds: int) -> list[Measured]:
    check_ours()
    times = [[microseconds(case) for case in CASES] for _ in range(rounds)]
    memory = [None, bytes_of_ours(), bytes_of_own_machine(), bytes_of_shared_machine()]
    return [
        Measured(
            case.name,
            microseconds=summarize([row[i] for row in times]),
            ratio=summarize([row[i] / row[0] for row in times]),
            bytes_per_job=memory[i],
            target=case.target,
        )
        for i, case in enumerate(CASES)
    ]


# ---- reporting ---------------------------------------------------------------------------------

VERDICTS = {None: "", True: "yes", False: "NO"}


def within(result: Measured) -> bool | None:
    """Whether both promises are kept; None if it is not ours."""
    if result.target is None or result.bytes_per_job is None:
        return None
    return result.ratio.median <= result.target and result.bytes_per_job <= MEMORY_TARGET


def print_report(results: list[Measured], rounds: int) -> None:
    print(f"A lifecycle of six events: median of {rounds} rounds (tenth .. nine tenths)")
    print(machine_line())
    header = ["", "x bare", "spread", "target", "us", "bytes a job", "target", "within"]
    rows = [
        [
            result.name,
            f"{result.ratio.median:.2f}",
            f"{result.ratio.low:.2f} .. {result.ratio.high:.2f}",
            "" if result.target is None else f"{result.target:.2f}",
            f"{result.microseconds.median:.2f}",
            "" if result.bytes_per_job is None else f"{result.bytes_per_job:.0f}",
            "" if result.target is None else str(MEMORY_TARGET),
            VERDICTS[within(result)],
        ]
        for result in results
    ]
    print_table(header, rows)


def print_json(results: list[Measured], rounds: int) -> None:
    cases = [attrs.asdict(result) | {"within": within(result)} for result in results]
    report = {"machine": machine_line(), "rounds": rounds, "bytes_target": MEMORY_TARGET}
    print(json.dumps(report | {"cases": cases}, indent=2))


def main() -> None:
    parser = argparse.ArgumentParser(description="What the machine of a job costs.")
    parser.add_argument("--rounds", type=int, default=15, help="rounds of each case (at least 2)")
    parser.add_argument("--json", action="store_true", help="print JSON (times in microseconds)")
    arguments = parser.parse_args()
    if arguments.rounds < 2:
        parser.error("a median with a spread needs at least 2 rounds")
    results = measure(arguments.rounds)
    if arguments.json:
        print_json(results, arguments.rounds)
    else:
        print_report(results, arguments.rounds)


if __name__ == "__main__":
    main()
