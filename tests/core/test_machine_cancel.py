"""A cancel is a wish: what is sent, who hears of the answer, and what becomes of it."""

from __future__ import annotations

import pytest
from scenes import (
    ERROR,
    FATAL,
    OFFSET,
    POLLED,
    STOP_POLL,
    Scene,
    fired,
    poll,
    retrying,
    streaming,
    waiting,
)

from runtime_core.cancel import CancelOutcome
from runtime_core.commands import (
    CloseStream,
    Command,
    EndWait,
    FetchResult,
    FetchStatus,
    SendCancel,
)
from runtime_core.errors import RuntimeInvalidStateError
from runtime_core.events import (
    CancelAccepted,
    CancelRefused,
    CancelRequested,
    Event,
    JobCancelled,
    JobFailed,
    JobQueued,
    JobStarted,
    JobSucceeded,
    Need,
    RequestFailed,
    SubscriptionCancelled,
    UnknownStatusReported,
    WaitEnded,
    WaitStarted,
)
from runtime_core.states import JobState


def refusal_of(command: Command, wait_id: int) -> RuntimeInvalidStateError:
    """The error of a wait that a service's refusal ended."""
    assert isinstance(command, EndWait)
    assert command.wait_id == wait_id
    error = command.error
    assert isinstance(error, RuntimeInvalidStateError)
    assert (error.action, error.job_id) == ("cancel", "j1")
    assert error.why == "its service refused, since it has ended"
    return error


def test_a_cancel_is_sent_and_changes_no_state() -> None:
    scene = Scene(POLLED, JobStarted())
    assert scene.tell(CancelRequested(1)) == (SendCancel(1),)
    assert scene.tell(CancelAccepted(1)) == (EndWait(1), FetchStatus(2))
    assert scene.state() is JobState.RUNNING
    assert scene.outcome() is None
    assert scene.tell(JobCancelled(2)) == ()
    assert scene.state() is JobState.CANCELLED
    assert scene.outcome() is CancelOutcome.CANCELLED


def test_a_job_that_is_not_confirmed_may_be_cancelled() -> None:
    assert Scene(POLLED).tell(CancelRequested(1)) == (SendCancel(1),)


@pytest.mark.parametrize("ending", [JobSucceeded(), JobFailed(), JobCancelled()])
def test_a_cancel_of_a_job_that_has_ended_is_refused(ending: Event) -> None:
    scene = Scene(POLLED, ending)
    refusal = scene.refused(CancelRequested(1))
    assert (refusal.action, refusal.why) == ("cancel", "it has ended")
    assert refusal.legal == ("status", "result")
    assert str(refusal).endswith("Legal now: status, result.")
    assert scene.outcome() is None


def test_a_second_cancel_shares_the_answer() -> None:
    scene = Scene(POLLED, CancelRequested(1))
    assert scene.tell(CancelRequested(2)) == ()
    assert scene.tell(CancelAccepted(1)) == (EndWait(1), EndWait(2), FetchStatus(2))


def test_a_second_cancel_shares_a_failure() -> None:
    scene = Scene(POLLED, CancelRequested(1), CancelRequested(2))
    assert scene.tell(RequestFailed(1, ERROR)) == (EndWait(1, ERROR), EndWait(2, ERROR))


@pytest.mark.parametrize("answer", [CancelAccepted(1), CancelRefused(1), RequestFailed(1, ERROR)])
def test_a_cancel_may_be_sent_again(answer: Event) -> None:
    scene = Scene(POLLED, JobStarted(), CancelRequested(1))
    scene.tell(answer)
    (send,) = scene.tell(CancelRequested(2))
    assert isinstance(send, SendCancel)
    assert scene.outcome() is None
    assert EndWait(2) in scene.tell(CancelAccepted(send.request))


def test_a_cancel_ends_no_other_wait() -> None:
    scene = waiting()
    scene.tell(CancelRequested(2))
    # The answer under way may be older than the cancel: it is asked once more.
    assert scene.tell(CancelAccepted(2)) == (EndWait(2),)
    assert scene.tell(JobStarted(1)) == (FetchStatus(3),)
    assert scene.tell(JobCancelled(3)) == (EndWait(1),)


def test_an_accepted_cancel_asks_at_once_even_while_paused() -> None:
    scene = waiting()
    scene.tell(JobStarted(1), CancelRequested(2))
    assert scene.tell(CancelAccepted(3)) == (EndWait(2), STOP_POLL, FetchStatus(4))


@pytest.mark.parametrize("ending", [JobSucceeded(2), JobFailed(2)])
def test_a_job_may_finish_after_its_cancel_was_accepted(ending: Event) -> None:
    scene = Scene(POLLED, CancelRequested(1), CancelAccepted(1))
    assert scene.tell(ending) == ()
    assert scene.outcome() is CancelOutcome.FINISHED_ANYWAY


def test_a_second_answer_to_a_cancel_is_absorbed() -> None:
    scene = Scene(POLLED, JobStarted(), CancelRequested(1), CancelAccepted(1))
    assert scene.tell(CancelAccepted(1)) == ()
    # It did not call for a fresh answer either.
    assert scene.tell(JobStarted(2)) == (poll(3, 0.05),)


# ---- refused -----------------------------------------------------------------------------------


def test_a_refused_cancel_tells_the_state_that_the_service_then_says() -> None:
    scene = Scene(POLLED, JobStarted(), CancelRequested(1), CancelRequested(2))
    assert scene.tell(CancelRefused(1)) == (FetchStatus(2),)
    first, second = scene.tell(JobSucceeded(2))
    for wait_id, command in ((1, first), (2, second)):
        error = refusal_of(command, wait_id)
        assert (error.state, error.legal) == (JobState.DONE, ("status", "result"))
    assert scene.outcome() is CancelOutcome.REJECTED


def test_a_refused_cancel_is_over_though_the_job_goes_on() -> None:
    scene = Scene(POLLED, CancelRequested(1), CancelRefused(1))
    (end,) = scene.tell(JobStarted(2))
    assert refusal_of(end, 1).state is JobState.RUNNING
    assert scene.outcome() is CancelOutcome.REJECTED


def test_a_refused_cancel_waits_for_an_answer_that_is_newer() -> None:
    scene = waiting()
    scene.tell(CancelRequested(2))
    assert scene.tell(CancelRefused(2)) == ()
    assert scene.tell(JobStarted(1)) == (FetchStatus(3),)
    end_wait, end_cancel = scene.tell(JobSucceeded(3))
    assert end_wait == EndWait(1)
    assert refusal_of(end_cancel, 2).state is JobState.DONE


@pytest.mark.parametrize("retryable", [True, False])
def test_a_refusal_stands_though_the_state_cannot_be_had(retryable: bool) -> None:
    scene = Scene(POLLED, CancelRequested(1), CancelRefused(1))
    (end,) = scene.tell(RequestFailed(2, ERROR, retryable))
    assert refusal_of(end, 1).state is JobState.QUEUED
    assert scene.outcome() is CancelOutcome.REJECTED


def test_a_refusal_that_nobody_hears_any_more() -> None:
    scene = Scene(POLLED, CancelRequested(1))
    assert scene.tell(WaitEnded(1)) == ()
    # The state is asked for all the same: the refusal says that it has changed.
    assert scene.tell(CancelRefused(1)) == (FetchStatus(2),)
    assert scene.tell(JobSucceeded(2)) == ()


def test_a_refused_cancel_lets_go_of_a_stream_that_nobody_else_wants() -> None:
    scene = streaming(OFFSET)
    scene.tell(CancelRequested(1), SubscriptionCancelled(1))
    assert scene.tell(CancelRefused(3)) == (STOP_POLL, FetchStatus(4))
    end, close = scene.tell(JobStarted(4))
    assert refusal_of(end, 1).state is JobState.RUNNING
    assert close == CloseStream(1)


def test_a_refusal_that_nobody_hears_lets_go_of_the_stream_at_once() -> None:
    scene = streaming(OFFSET)
    scene.tell(CancelRequested(1), SubscriptionCancelled(1), WaitEnded(1))
    assert scene.tell(CancelRefused(3)) == (STOP_POLL, FetchStatus(4), CloseStream(1))


def test_a_refusal_lets_go_of_the_stream_though_the_state_cannot_be_had() -> None:
    scene = streaming(OFFSET)
    scene.tell(CancelRequested(1), SubscriptionCancelled(1), CancelRefused(3))
    end, close = scene.tell(RequestFailed(4, ERROR, retryable=True))
    assert refusal_of(end, 1).state is JobState.RUNNING
    assert close == CloseStream(1)


# ---- not known ---------------------------------------------------------------------------------


@pytest.mark.parametrize("retryable", [True, False])
def test_a_cancel_that_failed_may_have_arrived(retryable: bool) -> None:
    scene = Scene(POLLED, JobStarted(), CancelRequested(1))
    assert scene.tell(RequestFailed(1, ERROR, retryable)) == (EndWait(1, ERROR),)
    assert scene.outcome() is CancelOutcome.UNKNOWN
    scene.tell(JobCancelled())
    assert scene.outcome() is CancelOutcome.CANCELLED


def test_a_cancel_that_failed_is_no_interest_and_no_status_failure() -> None:
    scene = waiting()
    scene.tell(CancelRequested(2))
    assert scene.tell(RequestFailed(2, ERROR, retryable=True)) == (EndWait(2, ERROR),)
    assert scene.tell(JobStarted(1)) == (poll(3, 0.05),)
    assert scene.tell(WaitEnded(1)) == (STOP_POLL,)


@pytest.mark.parametrize("event", [RequestFailed(2, FATAL), UnknownStatusReported("Pondering", 2)])
def test_an_accepted_cancel_is_lost_when_the_service_cannot_be_asked(event: Event) -> None:
    scene = Scene(POLLED, JobStarted(), CancelRequested(1), CancelAccepted(1))
    scene.tell(event)
    assert scene.outcome() is CancelOutcome.UNKNOWN


def test_an_accepted_cancel_is_asked_after_again_when_a_request_failed() -> None:
    scene = Scene(POLLED, JobStarted(), CancelRequested(1), CancelAccepted(1))
    out = scene.tell(RequestFailed(2, ERROR, retryable=True))
    assert out == (poll(3, 0.5), retrying("0.5"))


def test_a_cancel_that_failed_lets_go_of_a_stream_that_nobody_else_wants() -> None:
    scene = streaming(OFFSET)
    scene.tell(CancelRequested(1), SubscriptionCancelled(1))
    assert scene.tell(RequestFailed(3, ERROR)) == (EndWait(1, ERROR), STOP_POLL, CloseStream(1))


# ---- a final status wins -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ending", "outcome"),
    [
        (JobSucceeded(), CancelOutcome.FINISHED_ANYWAY),
        (JobFailed(), CancelOutcome.FINISHED_ANYWAY),
        (JobCancelled(), CancelOutcome.CANCELLED),
    ],
)
def test_a_final_status_wins_over_a_pending_answer(ending: Event, outcome: CancelOutcome) -> None:
    scene = Scene(POLLED, JobStarted(), CancelRequested(1))
    assert scene.tell(ending) == (EndWait(1),)
    assert scene.outcome() is outcome
    for late in (CancelAccepted(1), CancelRefused(1), RequestFailed(1, ERROR)):
        assert scene.tell(late) == ()
    assert scene.outcome() is outcome


def test_the_result_that_is_waited_for_is_fetched_whatever_becomes_of_the_cancel() -> None:
    scene = Scene(POLLED, JobStarted(), WaitStarted(1, Need.RESULT), CancelRequested(2))
    assert scene.tell(JobSucceeded()) == (STOP_POLL, EndWait(2), FetchResult(3))


def test_polls_go_on_while_an_accepted_cancel_takes_its_time() -> None:
    scene = Scene(POLLED, JobQueued(), CancelRequested(1), CancelAccepted(1))
    assert scene.tell(JobQueued(2)) == (poll(3, 0.05),)
    assert scene.tell(fired(poll(3, 0.05))) == (FetchStatus(4),)
    assert scene.tell(JobQueued(4)) == (poll(5, 0.05 * 1.5),)
