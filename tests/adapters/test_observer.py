"""An observer sees all that a machine hears, in order, and changes nothing."""

from __future__ import annotations

import logging

import attrs
import pytest
from async_fakes import each_driver  # noqa: F401 - its fixture
from fakes import CLOSES, OPENS, FakeReactor, over_time, says, world
from twin import Twin

from adapters import (
    AsyncRuntimeService,
    AsyncTransportService,
    RuntimeService,
    TransportService,
)
from adapters.job import RuntimeJob
from adapters.job_base import JobArguments
from runtime_core.errors import RuntimeInvalidStateError
from runtime_core.events import (
    CancelRequested,
    JobQueued,
    ResultReceived,
    SubscriptionRequested,
    WaitStarted,
)
from runtime_core.job_handle import JobHandle
from runtime_core.observer import Step
from runtime_core.states import JobState
from runtime_core.testing import FakeTransport
from runtime_core.traits import Resume

HANDLE = JobHandle(job_id="j1", service="http://127.0.0.1:1", dialect="legacy")


def test_it_sees_every_event_of_a_job() -> None:
    twin = Twin()
    reactor = FakeReactor()
    w = world(
        over_time(reactor, "RUNNING", (3.0, "COMPLETED")),
        streams=Resume.OFFSET,
        script=[(0.1, OPENS, 0.1, says("1"), 0.1, says("2", "3"), 3.0, CLOSES)],
        reactor=reactor,
        initial=JobQueued(position=3),
        observer=twin,
    )
    w.job.stream_results(lambda *_: None)
    with pytest.raises(RuntimeInvalidStateError):
        w.job.stream_results(lambda *_: None)
    assert w.job.result() == 42
    with pytest.raises(RuntimeInvalidStateError):
        w.job.cancel()
    twin.check()
    assert twin.steps[0].event == JobQueued(position=3)
    assert {SubscriptionRequested, ResultReceived, WaitStarted, CancelRequested} < set(twin.events)
    assert [type(step.event) for step in twin.steps if step.refusal is not None] == [
        SubscriptionRequested,
        CancelRequested,
    ]
    assert twin.steps[-1].state is JobState.DONE
    times = [step.at for step in twin.steps]
    assert times == sorted(times)
    assert times[0] == 1000.0
    assert times[-1] > 1003.0
    assert len({id(step.source) for step in twin.steps}) == 1


def test_two_objects_of_one_job_are_told_apart() -> None:
    steps: list[Step] = []
    reactor = FakeReactor()
    for _ in range(2):
        w = world("COMPLETED", reactor=reactor, observer=steps.append)
        w.job.wait_for_final_state()
    assert len({id(step.source) for step in steps}) == 2


@pytest.mark.parametrize("error", [ValueError("my mistake"), StopIteration()])
def test_its_exceptions_are_logged_once_a_job(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    seen = []

    def fails(step: Step) -> None:
        seen.append(step)
        raise error

    w = world("COMPLETED", initial=JobQueued(), observer=fails)
    assert w.job.result() == 42
    assert len(seen) > 2
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("adapters.drivers.observing", logging.ERROR)
    assert record.getMessage() == "the observer of job j1 failed; the job goes on"
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    assert w.traces == []


def test_a_service_hands_it_to_its_jobs() -> None:
    def observer(_: Step) -> None: ...

    arguments: dict[str, object] = {"id": "j1", "status": "RUNNING"}
    with RuntimeService("http://127.0.0.1:1", "t", observer=observer) as service:
        assert service._jobs.told(arguments).observer is observer
        made: list[RuntimeJob | JobArguments] = [service._make_job(service._jobs.told(arguments))]
        assert service._taken_up(HANDLE, None, None).observer is observer
    assert made
    for each in TransportService, AsyncTransportService:
        jobs = each(FakeTransport(), observer=observer)._jobs
        assert jobs.known("j1", "p").observer is observer
        assert (
            jobs.taken_up(attrs.evolve(HANDLE, service="", dialect=""), None, None).observer
            is observer
        )
    wrapped = AsyncRuntimeService("http://127.0.0.1:1", "t", observer=observer)
    assert wrapped._service._jobs.told(arguments).observer is observer
    wrapped._service.close()
