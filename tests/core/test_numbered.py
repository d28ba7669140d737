"""Commands that differ in their number alone are shared, and are values like all others."""

from __future__ import annotations

import pytest
from scenes import OFFSET

from runtime_core.commands import Command, EndWait, FetchResult, FetchStatus, StartTimer, StopTimer
from runtime_core.events import (
    JobQueued,
    JobStarted,
    JobSucceeded,
    Need,
    ResultReceived,
    StreamOpened,
    SubscriptionRequested,
    TimerName,
    WaitEnded,
    WaitStarted,
)
from runtime_core.machine import JobMachine
from runtime_core.numbered import MADE, numbered
from runtime_core.stream import DRAIN_DEADLINE


def test_a_small_number_gives_the_same_command_each_time() -> None:
    command = numbered(FetchStatus)
    for number in range(MADE):
        assert command(number) is command(number)
        assert command(number) == FetchStatus(number)


@pytest.mark.parametrize("number", [MADE, 10**30, -1])
def test_any_other_number_gives_a_command_of_its_own(number: int) -> None:
    command = numbered(FetchStatus)
    assert command(number) == FetchStatus(number)
    assert command(number) is not command(number)


def test_two_jobs_share_the_commands_of_an_end() -> None:
    def end() -> list[Command]:
        job = JobMachine("j1", OFFSET)
        job.receive(JobQueued())
        job.receive(SubscriptionRequested(1))
        job.receive(StreamOpened(1))
        job.receive(WaitStarted(1, Need.RESULT))
        job.receive(JobStarted())
        return [*job.receive(JobSucceeded()), *job.receive(ResultReceived(3, "1"))]

    first, second = end(), end()
    drain = StartTimer(TimerName.STREAM, 1, DRAIN_DEADLINE)
    assert first == [StopTimer(TimerName.POLL), drain, FetchResult(3), EndWait(1)]
    assert all(one is other for one, other in zip(first, second, strict=True))


def test_a_job_goes_on_beyond_the_numbers_that_are_shared() -> None:
    job = JobMachine("j1")
    asked: list[Command] = []
    for number in range(1, 3 * MADE):
        asked += job.receive(WaitStarted(number, Need.STATUS))
        assert job.receive(JobStarted(number)) == (EndWait(number),)
        assert job.receive(WaitEnded(number)) == ()
    assert asked == [FetchStatus(number) for number in range(1, 3 * MADE)]
