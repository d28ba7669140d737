"""The service of tests: what it says follows from its jobs, its traits and its script."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from runtime_core.commands import (
    FetchFailure,
    FetchResult,
    FetchStatus,
    OpenStream,
    RequestCommand,
    SendCancel,
)
from runtime_core.errors import TransportError
from runtime_core.events import (
    CancelAccepted,
    CancelRefused,
    FailureReceived,
    InterimReceived,
    JobCancelled,
    JobFailed,
    JobQueued,
    JobStarted,
    JobSucceeded,
    ReplyEvent,
    RequestFailed,
    ResultReceived,
    StreamClosed,
    StreamEvent,
    StreamFailed,
    StreamNotReady,
    StreamOpened,
    UnknownStatusReported,
)
from runtime_core.states import JobState
from runtime_core.testing import (
    Asked,
    Breaks,
    Closes,
    Fails,
    FakeClock,
    FakeJob,
    FakeTransport,
    Hangs,
    Late,
    Loses,
    Says,
    StreamStep,
    Submitted,
)
from runtime_core.traits import Resume, ServiceTraits

QUEUED, RUNNING = JobState.QUEUED, JobState.RUNNING
DONE, ERROR, CANCELLED = JobState.DONE, JobState.ERROR, JobState.CANCELLED
LIVE = ServiceTraits(pushes=True, resume=Resume.LIVE)
REPLAY = ServiceTraits(pushes=True, resume=Resume.REPLAY)
OFFSET = ServiceTraits(pushes=True, resume=Resume.OFFSET)


def statuses(transport: FakeTransport, count: int) -> list[ReplyEvent]:
    return [transport.perform("j1", FetchStatus(number)) for number in range(1, count + 1)]


# ---- requests ----------------------------------------------------------------------------------


def test_a_script_is_followed_step_by_step() -> None:
    transport = FakeTransport(
        QUEUED, QUEUED, RUNNING, Fails(503, retry_after=3.0), Says("Pondering"), DONE, result="42"
    )
    queued, again, started, failed, unknown, done = statuses(transport, 6)
    assert (queued, again, started) == (JobQueued(1), JobQueued(2), JobStarted(3))
    assert isinstance(failed, RequestFailed)
    assert (failed.request, failed.retryable, failed.retry_after) == (4, True, 3.0)
    assert isinstance(failed.error, TransportError)
    assert failed.error.status_code == 503
    assert str(failed.error) == "The service answered 503."
    assert (unknown, done) == (UnknownStatusReported("Pondering", 5), JobSucceeded(6))
    assert transport.perform("j1", FetchResult(7)) == ResultReceived(7, "42")


def test_after_its_end_a_job_stays_as_it_is() -> None:
    transport = FakeTransport(ERROR, RUNNING, reason="no more memory", reason_code=17)
    assert statuses(transport, 3) == [JobFailed(1), JobFailed(2), JobFailed(3)]
    assert transport.perform("j1", FetchFailure(4)) == FailureReceived(4, "no more memory", 17)


def test_a_script_that_is_used_up_says_so() -> None:
    transport = FakeTransport(QUEUED, RUNNING)
    statuses(transport, 2)
    with pytest.raises(
        AssertionError, match=r"of job j1 is used up: it last said RUNNING.*`\.\.\.`"
    ):
        transport.perform("j1", FetchStatus(3))


def test_three_dots_go_on_with_the_truth() -> None:
    transport = FakeTransport(QUEUED, RUNNING, ...)
    assert statuses(transport, 3) == [JobQueued(1), JobStarted(2), JobStarted(3)]
    transport.job("j1").cancel()
    assert transport.perform("j1", FetchStatus(4)) == JobCancelled(4)
    with pytest.raises(ValueError, match="only be the last"):
        FakeTransport(..., QUEUED)


def test_without_a_script_the_truth_is_told() -> None:
    transport = FakeTransport()
    job = transport.job("j1")
    assert transport.perform("j1", FetchStatus(1)) == JobQueued(1)
    job.start()
    assert transport.perform("j1", FetchStatus(2)) == JobStarted(2)
    assert job.news == JobStarted()
    early = transport.perform("j1", FetchResult(3))
    assert isinstance(early, RequestFailed)
    assert (early.retryable, str(early.error)) == (False, "Job j1 is RUNNING: there is none.")
    job.finish("7")
    assert transport.perform("j1", FetchStatus(4)) == JobSucceeded(4)
    assert transport.perform("j1", FetchResult(5)) == ResultReceived(5, "7")
    assert isinstance(transport.perform("j1", FetchFailure(6)), RequestFailed)


def test_a_job_that_has_ended_does_nothing_more() -> None:
    job = FakeTransport().job("j1")
    job.finish()
    assert job.result == "null"
    with pytest.raises(ValueError, match="Job j1 has ended DONE: it cannot become ERROR"):
        job.fail("why", 3)
    with pytest.raises(ValueError, match="it cannot publish"):
        job.publish("a")
    assert (job.state, job.reason, job.published) == (DONE, None, [])


def test_a_job_fails_with_a_reason() -> None:
    transport = FakeTransport(reason="by default")
    transport.job("j1").fail("why", 3)
    transport.job("j2").fail()
    assert transport.perform("j1", FetchFailure(1)) == FailureReceived(1, "why", 3)
    assert transport.perform("j2", FetchFailure(1)) == FailureReceived(1, "by default")


def test_a_cancel_is_accepted_and_obeyed() -> None:
    transport = FakeTransport(QUEUED, ...)
    assert transport.perform("j1", SendCancel(1)) == CancelAccepted(1)
    assert transport.perform("j1", FetchStatus(2)) == JobCancelled(2)
    assert transport.perform("j1", SendCancel(3)) == CancelRefused(3)


def test_a_cancel_may_come_to_nothing() -> None:
    transport = FakeTransport()
    job = transport.job("j1")
    job.obeys_cancel = False
    assert transport.perform("j1", SendCancel(1)) == CancelAccepted(1)
    job.finish()
    assert transport.perform("j1", FetchStatus(2)) == JobSucceeded(2)


def test_an_answer_may_be_lost_after_the_deed() -> None:
    transport = FakeTransport(answers={SendCancel: [Fails(None, retryable=False), Loses()]})
    first, second = (transport.perform("j1", SendCancel(number)) for number in (1, 2))
    assert isinstance(first, RequestFailed)
    assert isinstance(second, RequestFailed)
    assert (first.retryable, str(first.error)) == (False, "The service did not answer.")
    assert (second.retryable, transport.job("j1").state) == (True, CANCELLED)


def test_steps_may_be_added_and_may_be_functions() -> None:
    def odd(job: FakeJob, command: RequestCommand) -> ReplyEvent:
        return UnknownStatusReported(job.id, command.request)

    transport = FakeTransport()
    transport.job("j1").will(FetchStatus, odd, Fails())
    odd_one, failed, truth = statuses(transport, 3)
    assert odd_one == UnknownStatusReported("j1", 1)
    assert isinstance(failed, RequestFailed)
    assert truth == JobQueued(3)


def test_each_job_has_a_script_of_its_own() -> None:
    transport = FakeTransport(RUNNING, DONE)
    assert transport.perform("j1", FetchStatus(1)) == JobStarted(1)
    assert transport.perform("j2", FetchStatus(1)) == JobStarted(1)
    assert transport.perform("j1", FetchStatus(2)) == JobSucceeded(2)
    assert transport.job("j2").state is RUNNING


def test_what_was_asked_is_noted() -> None:
    clock = FakeClock(5.0)
    transport = FakeTransport(Late(2.0), stream=[], clock=clock)
    transport.perform("j1", FetchStatus(1))
    transport.stream("j2", OpenStream(1, 0))
    assert transport.asked == (
        Asked("j1", FetchStatus(1), 5.0),
        Asked("j2", OpenStream(1, 0), 7.0),
    )
    assert transport.asked_for(FetchStatus) == transport.asked_for(OpenStream) == 1
    assert transport.asked_for(FetchResult) == 0


def test_a_late_answer_needs_a_clock() -> None:
    with pytest.raises(ValueError, match="clock="):
        FakeTransport(Late(1.0)).perform("j1", FetchStatus(1))


def test_jobs_are_submitted() -> None:
    transport = FakeTransport(DONE)
    assert transport.submit("p", {"shots": 3}, {}) == "fake-1"
    assert transport.submit("p", {}, {"image": "x"}) == "fake-2"
    assert transport.submitted == [
        Submitted("p", {"shots": 3}, {}),
        Submitted("p", {}, {"image": "x"}),
    ]
    assert transport.perform("fake-2", FetchStatus(1)) == JobSucceeded(1)


def test_a_request_that_hangs_is_released_with_an_old_answer() -> None:
    transport = FakeTransport(Hangs(), ...)
    replies = list[ReplyEvent]()
    asking = threading.Thread(
        target=lambda: replies.append(transport.perform("j1", FetchStatus(1))), daemon=True
    )
    asking.start()
    transport.wait_until_hanging()
    transport.job("j1").finish()
    assert replies == []
    transport.release()
    asking.join()
    assert replies == [JobQueued(1)]
    assert transport.perform("j1", FetchStatus(2)) == JobSucceeded(2)


def test_nothing_hangs_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime_core.testing.fake_transport.LONGEST_HANG", 0.0)
    transport = FakeTransport(Hangs())
    with pytest.raises(AssertionError, match="0 requests hang, not 1"):
        transport.wait_until_hanging()
    with pytest.raises(AssertionError, match=r"FetchStatus\(request=1\) of job j1 hangs"):
        transport.perform("j1", FetchStatus(1))


# ---- streams -----------------------------------------------------------------------------------


def connections(transport: FakeTransport, cursors: list[int]) -> Iterator[list[StreamEvent]]:
    """All events of one connection after the other, opened at these cursors."""
    for number, after in enumerate(cursors, start=1):
        yield list(transport.stream("j1", OpenStream(number, after)))


A, B, C = InterimReceived(1, ("a",)), InterimReceived(1, ("b",)), InterimReceived(2, ("c",))
BROKEN = Breaks()


@pytest.mark.parametrize(
    ("traits", "second"),
    [
        (OFFSET, [InterimReceived(2, ("b", "x")), C]),
        (REPLAY, [InterimReceived(2, ("a", "b", "x")), C]),
        (LIVE, [C]),
    ],
)
def test_a_stream_goes_on_as_its_service_resumes(
    traits: ServiceTraits, second: list[StreamEvent]
) -> None:
    lost = Breaks(missed=("x",))
    transport = FakeTransport(traits=traits, stream=["a", "b", lost, "c"], result="r")
    # The client says that it has one message; the second was on its way when it all broke.
    first, rest = connections(transport, [0, 1])
    assert first == [StreamOpened(1), A, B, StreamFailed(1, lost.error)]
    assert rest == [StreamOpened(2), *second, StreamClosed(2)]
    assert transport.perform("j1", FetchStatus(1)) == JobSucceeded(1)


def test_a_plan_moves_the_job_that_has_no_script() -> None:
    transport = FakeTransport(stream=["a", ("b", "c")])
    job, stream = transport.job("j1"), transport.stream("j1", OpenStream(1, 0))
    assert (next(stream), job.state) == (StreamOpened(1), QUEUED)
    assert (next(stream), job.state) == (A, RUNNING)
    assert (next(stream), job.state) == (InterimReceived(1, ("b", "c")), DONE)
    assert list(stream) == [StreamClosed(1)]
    assert transport.traits == OFFSET


def test_a_plan_does_not_move_the_job_that_has_a_script() -> None:
    transport = FakeTransport(QUEUED, RUNNING, DONE, stream=["a"])
    assert list(transport.stream("j1", OpenStream(1, 0))) == [StreamOpened(1), A, StreamClosed(1)]
    assert statuses(transport, 3) == [JobQueued(1), JobStarted(2), JobSucceeded(3)]


def test_a_stream_without_anything_is_complete_at_once() -> None:
    transport = FakeTransport(stream=[])
    assert list(transport.stream("j1", OpenStream(1, 0))) == [StreamOpened(1), StreamClosed(1)]
    assert transport.job("j1").state is DONE


def test_a_stream_may_close_early_and_may_not_open() -> None:
    transport = FakeTransport(stream=["a", Closes(1011, "going"), BROKEN, "c"])
    first, second, third = connections(transport, [0, 1, 1])
    assert first == [StreamOpened(1), A, StreamClosed(1, 1011, "going")]
    assert second == [StreamFailed(2, BROKEN.error)]
    assert third == [StreamOpened(3), InterimReceived(3, ("c",)), StreamClosed(3)]


def test_the_result_may_be_the_last_message() -> None:
    traits = ServiceTraits(pushes=True, resume=Resume.OFFSET, streams_result=True)
    transport = FakeTransport(traits=traits, stream=["a", "b"], result="r")
    [events] = connections(transport, [0])
    assert events[1:-1] == [A, InterimReceived(1, ("b", "r"))]


def test_the_stream_of_a_job_that_does_not_run_may_be_refused() -> None:
    transport = FakeTransport(traits=OFFSET, refuses_queued=True)
    job = transport.job("j1")
    assert list(transport.stream("j1", OpenStream(1, 0))) == [StreamNotReady(1)]
    job.start()
    stream = transport.stream("j1", OpenStream(2, 0))
    assert (stream.poll(), stream.poll()) == (StreamOpened(2), None)
    job.publish("a")
    job.fail()
    assert (stream.poll(), stream.poll()) == (InterimReceived(2, ("a",)), StreamClosed(2))
    assert (stream.poll(), stream.has_ended, transport.streams[-1]) == (None, True, stream)


@pytest.mark.parametrize("plan", [[Hangs(), "a"], ["a", Hangs()]])
def test_a_stream_may_hang(plan: list[StreamStep]) -> None:
    transport = FakeTransport(stream=plan)
    stream = transport.stream("j1", OpenStream(1, 0))
    told = [event for event in (stream.poll() for _ in range(4)) if event is not None]
    transport.release()
    told += list(stream)
    assert told == [StreamOpened(1), A, StreamClosed(1)]
    assert transport.job("j1").state is DONE


def test_a_stream_blocks_until_something_happens() -> None:
    transport = FakeTransport(traits=LIVE)
    told = list[StreamEvent]()
    stream = transport.stream("j1", OpenStream(1, 0))
    assert next(stream) == StreamOpened(1)
    reading = threading.Thread(target=lambda: told.extend(stream), daemon=True)
    reading.start()
    transport.job("j1").publish("a")
    transport.job("j1").finish()
    reading.join()
    assert told == [A, StreamClosed(1)]


def test_closing_ends_what_blocks() -> None:
    transport = FakeTransport(traits=LIVE)
    told = list[StreamEvent]()
    stream = transport.stream("j1", OpenStream(1, 0))
    assert next(stream) == StreamOpened(1)
    reading = threading.Thread(target=lambda: told.extend(stream), daemon=True)
    reading.start()
    transport.close()
    transport.close()
    reading.join()
    assert told == []
