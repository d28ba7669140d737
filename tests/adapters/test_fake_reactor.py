"""A job, a service that is not there, and a clock that the test moves: tests without a sleep."""

from __future__ import annotations

import pytest

from adapters import Gap, RuntimeJob, as_completed, wait
from adapters.testing import FakeReactor
from runtime_core import (
    FetchResult,
    FetchStatus,
    JobState,
    JobTimeoutError,
    OpenStream,
    Resume,
    SendCancel,
    ServiceTraits,
)
from runtime_core.errors import UsageError
from runtime_core.testing import Breaks, Fails, FakeTransport, Late


def job_of(transport: FakeTransport, reactor: FakeReactor, job_id: str = "j1") -> RuntimeJob:
    return RuntimeJob(None, transport, None, job_id, "p", reactor=reactor)


def test_a_job_runs_in_the_time_that_the_machine_takes_and_in_none_of_ours() -> None:
    reactor = FakeReactor()
    transport = FakeTransport(
        JobState.QUEUED, Fails(503, retry_after=3.0), JobState.DONE, result="[1, 2]"
    )
    assert job_of(transport, reactor).result(timeout=60) == [1, 2]
    times = [asked.at for asked in transport.asked]
    assert [type(asked.command) for asked in transport.asked] == [FetchStatus] * 3 + [FetchResult]
    assert times == [0.0] * 4  # without the clock of the reactor it does not know
    assert reactor.elapsed > 3.0


def test_what_a_request_takes_is_taken_from_its_answer_only() -> None:
    reactor = FakeReactor()
    transport = FakeTransport(Late(7.0), JobState.DONE, clock=reactor.clock)
    transport.job("j1").start()
    job = job_of(transport, reactor)
    with pytest.raises(JobTimeoutError):
        job.result(timeout=5)
    assert reactor.elapsed == 5.0
    assert job.result(timeout=10) is None
    assert transport.asked[0].at == 1000.0


def test_interim_results_come_through_a_break() -> None:
    reactor = FakeReactor()
    transport = FakeTransport(stream=["1", Breaks(missed=("2",)), "3"])
    heard: list[object] = []
    job = job_of(transport, reactor)
    job.stream_results(lambda _, value: heard.append(value))
    job.result()
    assert heard == [1, 2, 3]
    opened = [a.command.after for a in transport.asked if isinstance(a.command, OpenStream)]
    assert opened[:2] == [0, 1]


def test_where_the_service_is_live_a_break_is_a_gap() -> None:
    reactor = FakeReactor()
    traits = ServiceTraits(pushes=True, resume=Resume.LIVE)
    transport = FakeTransport(stream=["1", Breaks(missed=("2",)), "3"], traits=traits)
    found = [*job_of(transport, reactor).interim_results()]
    assert [value for value in found if not isinstance(value, Gap)] == [1, 3]
    assert any(isinstance(value, Gap) for value in found)


def test_a_cancel_ends_the_job_when_the_service_says_so() -> None:
    reactor = FakeReactor()
    transport = FakeTransport()
    transport.job("j1").start()
    job = job_of(transport, reactor)
    reactor.at(2.0, lambda: transport.job("j1").cancel())
    transport.job("j1").obeys_cancel = False
    job.cancel()
    job.wait_for_final_state()
    assert job.status() is JobState.CANCELLED
    assert reactor.elapsed >= 2.0
    assert SendCancel in {type(asked.command) for asked in transport.asked}


def test_many_jobs_are_waited_for() -> None:
    reactor = FakeReactor()
    transport = FakeTransport()
    jobs = [job_of(transport, reactor, f"j{n}") for n in range(3)]
    for n, job in enumerate(jobs):
        reactor.at(n + 1.0, transport.job(job.job_id()).finish)
    assert [job.job_id() for job in as_completed(jobs)] == ["j0", "j1", "j2"]
    assert wait(jobs).not_done == set()


def test_a_wait_for_what_never_comes_is_found() -> None:
    reactor = FakeReactor()
    transport = FakeTransport()
    job = job_of(transport, reactor)
    reactor.interrupt(30.0)
    with pytest.raises(KeyboardInterrupt):
        job.result()
    assert reactor.elapsed == 30.0
    reactor.settle()
    assert reactor.armed == []
    with pytest.raises(AssertionError, match="a hang"):
        reactor.run_until(lambda: False)


def test_it_reads_iterators_only() -> None:
    reactor = FakeReactor()
    refused: list[UsageError] = []

    def open_one() -> None:
        with pytest.raises(UsageError, match="iterators") as error:
            reactor.open_channel(1, object(), print)  # type: ignore[arg-type]
        refused.append(error.value)

    reactor.call_soon(open_one)
    reactor.settle()
    assert len(refused) == 1
