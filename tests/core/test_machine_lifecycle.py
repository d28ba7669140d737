"""The service tells the state: what is confirmed, stale, contradictory, requeued, or unknown."""

from __future__ import annotations

import pytest
from scenes import FATAL, OFFSET, POLLED, STOP_POLL, Scene, fired, poll, waiting

from runtime_core.commands import (
    Command,
    EndSubscription,
    EndWait,
    FetchFailure,
    FetchResult,
    FetchStatus,
    Notice,
    Report,
)
from runtime_core.errors import UnknownStatusError
from runtime_core.events import (
    CancelRequested,
    FailureReceived,
    JobCancelled,
    JobFailed,
    JobQueued,
    JobStarted,
    JobSucceeded,
    LifecycleEvent,
    Need,
    RequestFailed,
    ResultReceived,
    StreamOpened,
    SubscriptionCancelled,
    SubscriptionRequested,
    TimerFired,
    UnknownStatusReported,
    WaitEnded,
    WaitStarted,
)
from runtime_core.machine import JobMachine
from runtime_core.states import JobState
from runtime_core.traits import ServiceTraits

ENDINGS = {JobState.DONE: JobSucceeded, JobState.ERROR: JobFailed, JobState.CANCELLED: JobCancelled}


def test_a_new_machine_knows_nothing() -> None:
    job = JobMachine("j1")
    assert (job.job_id, job.state, job.confirmed) == ("j1", JobState.QUEUED, False)
    assert (job.result_text, job.failure, job.cancel_outcome) == (None, None, None)
    assert (job.received, job.is_streaming) == (0, False)
    assert job.traits == ServiceTraits()
    assert repr(job) == "<JobMachine of 'j1': not confirmed>"
    job.receive(JobStarted())
    assert repr(job) == "<JobMachine of 'j1': RUNNING>"


def test_machines_are_compared_by_identity() -> None:
    assert JobMachine("j1") != JobMachine("j1")
    assert not hasattr(JobMachine("j1"), "__dict__")


@pytest.mark.parametrize("event", [JobQueued(), JobStarted(), JobSucceeded(), JobCancelled()])
def test_a_job_that_nobody_follows_costs_no_request(event: LifecycleEvent) -> None:
    scene = Scene(OFFSET)
    assert scene.tell(event) == ()
    assert scene.machine.confirmed


def test_a_stale_answer_is_absorbed() -> None:
    scene = Scene(POLLED, WaitStarted(1, Need.FINAL), JobStarted())
    # Asked while the job was queued, answered after the service had said that it runs.
    assert scene.tell(JobQueued(1)) == (poll(2, 0.05),)
    assert scene.state() is JobState.RUNNING


def test_a_stale_push_is_absorbed() -> None:
    scene = Scene(POLLED, JobStarted())
    assert scene.tell(JobQueued()) == ()
    assert scene.state() is JobState.RUNNING


@pytest.mark.parametrize("first", ENDINGS)
@pytest.mark.parametrize("second", ENDINGS)
def test_of_two_endings_the_first_stands(first: JobState, second: JobState) -> None:
    scene = Scene(POLLED, ENDINGS[first]())
    out: tuple[Command, ...] = ()
    if first is not second:
        text = f"Job j1 ended {first.name}, and the service now reports {second.name}; "
        out = (Report(Notice.CONTRADICTION, text + "the first stands."),)
    assert scene.tell(ENDINGS[second]()) == out
    assert scene.state() is first


def test_a_late_answer_is_absorbed() -> None:
    scene = Scene(POLLED, WaitStarted(1, Need.FINAL), JobSucceeded())
    assert scene.tell(JobCancelled(1)) == ()
    assert scene.tell(UnknownStatusReported("Pondering", 1)) == ()
    assert scene.state() is JobState.DONE


# ---- services that requeue ---------------------------------------------------------------------

REQUEUES = ServiceTraits(requeues=True)


def test_a_requeue_is_believed_in_answer_to_a_later_request() -> None:
    scene = Scene(REQUEUES, JobStarted(), WaitStarted(1, Need.STATUS))
    assert scene.tell(JobQueued(1)) == (EndWait(1),)
    assert scene.state() is JobState.QUEUED
    assert scene.tell(JobStarted()) == ()
    assert scene.state() is JobState.RUNNING


def test_a_requeue_is_not_believed_in_answer_to_an_earlier_request() -> None:
    scene = Scene(REQUEUES, WaitStarted(1, Need.FINAL), JobStarted())
    assert scene.tell(JobQueued(1)) == (poll(2, 0.05),)
    assert scene.state() is JobState.RUNNING


def test_a_requeue_is_not_believed_unasked() -> None:
    scene = Scene(REQUEUES, JobStarted(), JobQueued())
    assert scene.state() is JobState.RUNNING


def test_a_service_that_does_not_requeue_is_not_believed() -> None:
    scene = Scene(POLLED, JobStarted(), WaitStarted(1, Need.STATUS), JobQueued(1))
    assert scene.state() is JobState.RUNNING


def test_a_requeued_job_that_runs_again_may_be_requeued_again() -> None:
    scene = Scene(REQUEUES, JobStarted(), WaitStarted(1, Need.STATUS), JobQueued(1))
    scene.tell(WaitStarted(2, Need.STATUS), JobStarted())
    scene.tell(JobQueued(2))  # sent before it ran again
    assert scene.state() is JobState.RUNNING
    scene.tell(WaitStarted(3, Need.STATUS), JobQueued(3))
    assert scene.state() is JobState.QUEUED


# ---- words that nobody knows -------------------------------------------------------------------


def unknown(word: str) -> str:
    return str(UnknownStatusError("j1", word))


def test_an_unknown_status_is_raised_to_everybody_who_waits() -> None:
    scene = waiting()
    scene.tell(WaitStarted(2, Need.RESULT))
    report, first, second = scene.tell(UnknownStatusReported("Pondering", 1))
    assert isinstance(report, Report)
    error = report.error
    assert isinstance(error, UnknownStatusError)
    assert (error.job_id, error.word) == ("j1", "Pondering")
    assert report == Report(Notice.UNKNOWN_STATUS, unknown("Pondering"), error)
    assert (first, second) == (EndWait(1, error), EndWait(2, error))
    assert not scene.machine.confirmed
    # It is not sticky.
    assert scene.tell(WaitStarted(3, Need.FINAL)) == (FetchStatus(2),)


def test_an_unknown_status_ends_a_subscription_that_has_no_connection() -> None:
    scene = Scene(OFFSET, SubscriptionRequested(1))
    report, end, *rest = scene.tell(UnknownStatusReported("Pondering", 1))
    assert isinstance(report, Report)
    assert end == EndSubscription(1, report.error)
    assert not scene.machine.is_streaming
    assert len(rest) == 1  # the connection that was being opened is closed


def test_an_unknown_status_leaves_an_open_stream_alone() -> None:
    scene = Scene(OFFSET, SubscriptionRequested(1), StreamOpened(1))
    report, later = scene.tell(UnknownStatusReported("Pondering", 1))
    assert isinstance(report, Report)
    assert later == poll(2, 5.0)
    assert scene.machine.is_streaming


def test_an_unknown_status_that_nobody_asked_for_is_reported_only() -> None:
    scene = waiting()
    (report,) = scene.tell(UnknownStatusReported("Pondering"))
    assert isinstance(report, Report)
    assert (report.notice, report.text) == (Notice.UNKNOWN_STATUS, unknown("Pondering"))
    assert scene.tell(JobStarted(1)) == (poll(2, 0.05),)


def test_an_unknown_status_of_a_final_job_is_absorbed() -> None:
    scene = Scene(POLLED, JobSucceeded())
    assert scene.tell(UnknownStatusReported("Pondering")) == ()


@pytest.mark.parametrize("taken_for", JobState)
def test_an_unknown_status_may_be_taken_for_a_state(taken_for: JobState) -> None:
    scene = Scene(ServiceTraits(on_unknown_status=taken_for), WaitStarted(1, Need.FINAL))
    out = scene.tell(UnknownStatusReported("Pondering", 1))
    assert scene.state() is taken_for
    assert scene.machine.confirmed
    assert out == ((EndWait(1),) if taken_for.is_final else (poll(2, 0.05),))


def test_an_unknown_status_taken_for_a_state_obeys_the_table() -> None:
    scene = Scene(ServiceTraits(on_unknown_status=JobState.ERROR), JobSucceeded())
    (report,) = scene.tell(UnknownStatusReported("Pondering"))
    assert isinstance(report, Report)
    assert report.notice is Notice.CONTRADICTION
    assert scene.tell(UnknownStatusReported("Pondering", 9)) == ()


# ---- what may be asked for ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("traits", "event", "calls"),
    [
        (POLLED, JobQueued(), ("status", "result", "cancel")),
        (OFFSET, JobStarted(), ("status", "result", "cancel", "stream_results")),
        (OFFSET, JobSucceeded(), ("status", "result")),
    ],
)
def test_legal_calls(traits: ServiceTraits, event: LifecycleEvent, calls: tuple[str]) -> None:
    assert Scene(traits, event).machine.legal_calls == calls


def test_legal_calls_while_streaming() -> None:
    scene = Scene(OFFSET, JobStarted(), SubscriptionRequested(1))
    calls = [scene.machine.legal_calls]
    scene.tell(StreamOpened(1), JobSucceeded())
    calls.append(scene.machine.legal_calls)
    assert calls == [
        ("status", "result", "cancel", "cancel_result_streaming"),
        ("status", "result", "cancel_result_streaming"),
    ]


def test_a_wait_number_that_is_in_use_is_refused() -> None:
    scene = waiting()
    for event in (WaitStarted(1, Need.STATUS), CancelRequested(1)):
        refusal = scene.refused(event)
        assert (refusal.action, refusal.job_id) == ("wait", "j1")
        assert refusal.why == "wait 1 is under way already"
        assert refusal.legal == scene.machine.legal_calls


# ---- a final job costs nothing more -------------------------------------------------------------


@pytest.mark.parametrize("need", [Need.STATUS, Need.FINAL])
@pytest.mark.parametrize("ending", ENDINGS.values())
def test_a_wait_for_a_job_that_has_ended_ends_at_once(
    need: Need, ending: type[LifecycleEvent]
) -> None:
    assert Scene(POLLED, ending()).tell(WaitStarted(1, need)) == (EndWait(1),)


def test_the_end_stops_the_timer_and_ends_the_waits() -> None:
    scene = waiting()
    scene.tell(JobStarted(1))
    scene.tell(WaitStarted(2, Need.RESULT), WaitStarted(3, Need.STATUS))
    assert scene.tell(JobSucceeded()) == (EndWait(1), EndWait(3), FetchResult(4))
    assert scene.tell(fired(poll(2, 0))) == ()
    assert scene.tell(ResultReceived(4, "42")) == (EndWait(2),)


def test_the_end_while_paused_stops_the_timer() -> None:
    scene = waiting()
    scene.tell(JobStarted(1))
    assert scene.tell(JobSucceeded()) == (STOP_POLL, EndWait(1))


def test_what_is_late_or_foreign_does_nothing() -> None:
    scene = Scene(POLLED, JobStarted())
    for event in (
        JobSucceeded(7),
        RequestFailed(7, FATAL),
        ResultReceived(7, "42"),
        FailureReceived(7, "why"),
        TimerFired(poll(7, 1).name, 7),
        StreamOpened(1),
        WaitEnded(7),
        SubscriptionCancelled(7),
    ):
        assert scene.tell(event) == ()
    assert scene.state() is JobState.RUNNING


def test_a_failed_job_tells_its_reason_with_the_state() -> None:
    scene = Scene(POLLED, JobFailed(None, "why", 17))
    failure = scene.machine.failure
    assert failure is not None
    assert (failure.reason, failure.reason_code) == ("why", 17)
    assert scene.tell(WaitStarted(1, Need.RESULT)) == (EndWait(1),)


def test_a_failed_job_without_a_reason_is_asked_for_it() -> None:
    scene = Scene(POLLED, JobFailed())
    assert scene.machine.failure is None
    assert scene.tell(WaitStarted(1, Need.RESULT)) == (FetchFailure(1),)
