"""Where the CPU of a lifecycle goes in the machine: step by step, beside the bare dict.

Many jobs take the same step one after the other, with the event made each time or made before; so
the clock is read around thousands of calls. Steps that are repeated like this run warmer than those
of a lifecycle, in which fourteen different things follow each other: together they take less.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence

import machine_ours
from machine_ours import RESULT_REQUEST, Bare

from runtime_core import (
    Deliver,
    Event,
    InterimReceived,
    JobMachine,
    JobQueued,
    JobStarted,
    JobSucceeded,
    ResultReceived,
)

JOBS = 5_000
"""How many jobs take each step."""
ROUNDS = 15
"""Of so many the least is shown."""

STEPS: dict[str, Callable[[], Event]] = {
    "queued, absorbed": JobQueued,
    "started": JobStarted,
    "an interim result": lambda: InterimReceived(1, ("1",)),
    "a second one": lambda: InterimReceived(1, ("2",)),
    "a third one": lambda: InterimReceived(1, ("3",)),
    "succeeded: two timers, a fetch": JobSucceeded,
    "the result: the wait ends": lambda: ResultReceived(RESULT_REQUEST, "text"),
}


def living() -> None:
    """Print the microseconds of each step: the making of its event, ours, the dict."""
    rows = [[float("inf")] * 3 for _ in STEPS]
    for _ in range(ROUNDS):
        ours, dicts = [machine_ours.make() for _ in range(JOBS)], [Bare() for _ in range(JOBS)]
        for job in ours:
            machine_ours.follow(job)
        for row, make in zip(rows, STEPS.values(), strict=True):
            event = make()
            now = [_making(make), _telling(ours, event), _telling(dicts, event)]
            row[:] = map(min, row, now)
    deliver = min(_making(lambda: Deliver(1, 0, ("1",))) for _ in range(ROUNDS))
    print(f"{'us of CPU':34}{'its event':>10}{'ours':>10}{'dict':>10}")
    for words, row in zip(STEPS, rows, strict=True):
        print(f"{words:34}" + "".join(f"{each:10.2f}" for each in row))
    total = [sum(column) for column in zip(*rows, strict=True)]
    print(f"{'together':34}" + "".join(f"{each:10.2f}" for each in total))
    print(f"{'of ours: three Delivers are made':34}{'':10}{3 * deliver:10.2f}")


def _making(make: Callable[[], object]) -> float:
    gc.collect()
    begin = time.process_time()
    for _ in range(JOBS):
        make()
    return (time.process_time() - begin) / JOBS * 1e6


def _telling(jobs: Sequence[JobMachine | Bare], event: Event) -> float:
    gc.collect()
    gc.disable()
    try:
        begin = time.process_time()
        for job in jobs:
            job.receive(event)
        return (time.process_time() - begin) / JOBS * 1e6
    finally:
        gc.enable()
