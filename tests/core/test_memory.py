"""A list of jobs is cheap: what a machine takes while nothing is under way."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from collections.abc import Callable

import pytest
from scenes import LIVE, OFFSET, POLLED

from runtime_core.events import Event, JobQueued, JobStarted, Need, WaitEnded, WaitStarted
from runtime_core.machine import JobMachine
from runtime_core.traits import ServiceTraits

JOBS = 10_000


def bytes_each(make: Callable[[], JobMachine]) -> float:
    make()  # what is made once for all is none of a job's
    kept: list[JobMachine | None] = [None] * JOBS
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for index in range(JOBS):
            kept[index] = make()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return (after - before) / JOBS


@pytest.mark.parametrize("traits", [POLLED, OFFSET, LIVE], ids=["polled", "offset", "live"])
@pytest.mark.parametrize(
    "events",
    [
        (JobQueued(), JobStarted()),
        (WaitStarted(1, Need.STATUS), JobStarted(1)),
    ],
    ids=["told", "asked"],
)
def test_a_tracked_job_takes_400_bytes(traits: ServiceTraits, events: tuple[Event, ...]) -> None:
    def tracked() -> JobMachine:
        job = JobMachine("j1", traits)
        for event in events:
            job.receive(event)
        return job

    assert bytes_each(tracked) <= 400


def test_a_job_that_was_polled_for_a_wait_takes_400_bytes() -> None:
    def tracked() -> JobMachine:
        job = JobMachine("j1")
        for event in (WaitStarted(1, Need.FINAL), JobStarted(1), WaitEnded(1)):
            job.receive(event)
        return job

    assert bytes_each(tracked) <= 400


def test_a_machine_can_be_kept_by_a_weak_reference() -> None:
    machine = JobMachine("j1")
    kept = weakref.ref(machine)
    assert kept() is machine
    del machine
    assert kept() is None
