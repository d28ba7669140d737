"""The text of the result, or the reason of a failure: fetched once, shared, retried, released."""

from __future__ import annotations

import pytest
from scenes import (
    ERROR,
    FATAL,
    LIVE_RESULT,
    OFFSET,
    POLLED,
    STOP_POLL,
    STOP_STREAM,
    Scene,
    fired,
    poll,
    retry,
    retrying,
    streaming,
)

from runtime_core.commands import (
    CloseStream,
    Deliver,
    EndSubscription,
    EndWait,
    FetchFailure,
    FetchResult,
    StartTimer,
)
from runtime_core.events import (
    FailureReceived,
    InterimReceived,
    JobCancelled,
    JobFailed,
    JobStarted,
    JobSucceeded,
    Need,
    ReleaseRequested,
    RequestFailed,
    ResultReceived,
    StreamClosed,
    StreamOpened,
    TimerName,
    WaitEnded,
    WaitStarted,
)
from runtime_core.machine import JobMachine
from runtime_core.result import Failure

RESULT = Need.RESULT


def test_the_result_is_fetched_when_somebody_wants_it() -> None:
    scene = Scene(POLLED, JobSucceeded())
    assert scene.tell(WaitStarted(1, RESULT)) == (FetchResult(1),)
    assert scene.tell(ResultReceived(1, "42")) == (EndWait(1),)
    assert scene.machine.result_text == "42"
    assert scene.machine.failure is None


def test_nobody_wants_it_nothing_is_fetched() -> None:
    scene = Scene(POLLED, JobStarted(), WaitStarted(1, Need.FINAL))
    assert scene.tell(JobSucceeded()) == (STOP_POLL, EndWait(1))


def test_a_second_wait_joins_the_first() -> None:
    scene = Scene(POLLED, JobSucceeded(), WaitStarted(1, RESULT))
    assert scene.tell(WaitStarted(2, RESULT)) == ()
    assert scene.tell(ResultReceived(1, "42")) == (EndWait(1), EndWait(2))


@pytest.mark.parametrize("text", ["42", "", "null", "0"])
def test_the_result_is_fetched_once(text: str) -> None:
    scene = Scene(POLLED, JobSucceeded(), WaitStarted(1, RESULT), ResultReceived(1, text))
    assert scene.machine.result_text == text
    assert scene.tell(WaitStarted(2, RESULT)) == (EndWait(2),)


def test_a_wait_for_the_result_lets_go_of_the_connection_that_it_opened() -> None:
    scene = Scene(OFFSET, JobStarted(), WaitStarted(1, RESULT), StreamOpened(1))
    assert scene.tell(JobSucceeded()) == (STOP_POLL, retry(1, 10.0), FetchResult(3))
    assert scene.tell(ResultReceived(3, "42")) == (EndWait(1), STOP_STREAM, CloseStream(1))


def test_a_result_that_came_ends_the_row_of_failures() -> None:
    scene = Scene(POLLED, JobSucceeded(), WaitStarted(1, RESULT))
    assert scene.tell(RequestFailed(1, ERROR, retryable=True)) == (poll(2, 0.5), retrying("0.5"))
    scene.tell(fired(poll(2, 0.5)), ResultReceived(3, "42"), ReleaseRequested())
    scene.tell(WaitStarted(2, RESULT))
    assert scene.tell(RequestFailed(4, ERROR, retryable=True)) == (poll(5, 0.5), retrying("0.5"))


def test_a_result_that_comes_after_the_waits_are_over_is_kept() -> None:
    scene = Scene(POLLED, JobSucceeded(), WaitStarted(1, RESULT))
    assert scene.tell(WaitEnded(1)) == ()
    assert scene.tell(ResultReceived(1, "42")) == ()
    assert scene.tell(WaitStarted(2, RESULT)) == (EndWait(2),)


def test_a_wait_joins_the_request_of_one_that_is_over() -> None:
    scene = Scene(POLLED, JobSucceeded(), WaitStarted(1, RESULT), WaitEnded(1))
    assert scene.tell(WaitStarted(2, RESULT)) == ()
    assert scene.tell(ResultReceived(1, "42")) == (EndWait(2),)


# ---- failures ----------------------------------------------------------------------------------


def test_a_retryable_failure_is_tried_again() -> None:
    scene = Scene(POLLED, JobSucceeded(), WaitStarted(1, RESULT))
    out = scene.tell(RequestFailed(1, ERROR, retryable=True))
    assert out == (poll(2, 0.5), retrying("0.5"))
    assert scene.tell(WaitStarted(2, RESULT)) == ()
    assert scene.tell(fired(poll(2, 0.5))) == (FetchResult(3),)
    out = scene.tell(RequestFailed(3, ERROR, retryable=True, retry_after=60.0))
    assert out == (poll(4, 60.0), retrying("60"))
    assert scene.tell(fired(poll(4, 60.0))) == (FetchResult(5),)
    assert scene.tell(ResultReceived(5, "42")) == (EndWait(1), EndWait(2))


def test_the_back_off_of_the_result_doubles_up_to_eight_seconds() -> None:
    scene = Scene(POLLED, JobSucceeded(), WaitStarted(1, RESULT))
    delays = []
    for number in range(1, 13, 2):
        timer, _ = scene.tell(RequestFailed(number, ERROR, retryable=True))
        assert isinstance(timer, StartTimer)
        delays.append(timer.delay)
        assert scene.tell(fired(timer)) == (FetchResult(number + 2),)
    assert delays == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]


def test_a_back_off_that_nobody_awaits_is_over() -> None:
    scene = Scene(POLLED, JobSucceeded(), WaitStarted(1, RESULT))
    scene.tell(RequestFailed(1, ERROR, retryable=True))
    assert scene.tell(WaitEnded(1)) == (STOP_POLL,)
    assert scene.tell(WaitStarted(2, RESULT)) == (FetchResult(3),)


def test_a_failure_that_nobody_awaits_is_not_tried_again() -> None:
    scene = Scene(POLLED, JobSucceeded(), WaitStarted(1, RESULT), WaitEnded(1))
    assert scene.tell(RequestFailed(1, ERROR, retryable=True)) == ()
    assert scene.tell(WaitStarted(2, RESULT)) == (FetchResult(2),)


def test_a_failure_for_good_is_raised_and_may_be_asked_again() -> None:
    scene = Scene(POLLED, JobSucceeded(), WaitStarted(1, RESULT), WaitStarted(2, RESULT))
    assert scene.tell(RequestFailed(1, FATAL)) == (EndWait(1, FATAL), EndWait(2, FATAL))
    assert scene.machine.result_text is None
    assert scene.tell(WaitStarted(3, RESULT)) == (FetchResult(2),)
    assert scene.tell(ResultReceived(2, "42")) == (EndWait(3),)


# ---- released ----------------------------------------------------------------------------------


def test_a_released_result_is_fetched_again() -> None:
    scene = Scene(POLLED, JobSucceeded(), WaitStarted(1, RESULT), ResultReceived(1, "42"))
    assert scene.tell(ReleaseRequested()) == ()
    assert scene.machine.result_text is None
    assert scene.tell(WaitStarted(2, RESULT)) == (FetchResult(2),)
    assert scene.tell(ResultReceived(2, "42")) == (EndWait(2),)
    assert scene.machine.result_text == "42"


def test_an_empty_result_is_released_as_well() -> None:
    scene = Scene(POLLED, JobSucceeded(), WaitStarted(1, RESULT), ResultReceived(1, ""))
    scene.tell(ReleaseRequested())
    assert scene.machine.result_text is None
    assert scene.tell(WaitStarted(2, RESULT)) == (FetchResult(2),)


def test_an_answer_ends_the_back_off_of_the_result_too() -> None:
    scene = Scene(POLLED, WaitStarted(1, RESULT))
    scene.tell(RequestFailed(1, ERROR, retryable=True), fired(poll(2, 0.5)))
    assert scene.tell(JobSucceeded(3)) == (FetchResult(4),)
    assert scene.tell(RequestFailed(4, ERROR, retryable=True))[0] == poll(5, 0.5)


def test_what_is_not_held_cannot_be_released() -> None:
    scene = Scene(POLLED)
    assert scene.tell(ReleaseRequested()) == ()
    scene.tell(JobSucceeded(), WaitStarted(1, RESULT))
    assert scene.tell(ReleaseRequested()) == ()
    assert scene.tell(ResultReceived(1, "42")) == (EndWait(1),)


def test_a_reason_is_not_released() -> None:
    scene = Scene(POLLED, JobFailed(None, "why"))
    assert scene.tell(ReleaseRequested()) == ()
    assert scene.machine.failure == Failure("why")


# ---- of a job that failed, or was cancelled ----------------------------------------------------


def test_a_reason_that_came_with_the_state_is_not_fetched() -> None:
    scene = Scene(POLLED, WaitStarted(1, RESULT))
    assert scene.tell(JobFailed(1, "why", 17)) == (EndWait(1),)
    assert scene.machine.failure == Failure("why", 17)


@pytest.mark.parametrize(
    ("told", "fetched", "known"),
    [
        (None, None, None),
        (17, None, 17),
        (None, 18, 18),
        (17, 18, 18),
        (17, 0, 0),
    ],
)
def test_a_reason_that_did_not_come_with_the_state_is_fetched(
    told: int | None, fetched: int | None, known: int | None
) -> None:
    scene = Scene(POLLED, WaitStarted(1, RESULT))
    assert scene.tell(JobFailed(1, None, told)) == (FetchFailure(2),)
    assert scene.machine.failure is None
    assert scene.tell(FailureReceived(2, "why", fetched)) == (EndWait(1),)
    assert scene.machine.failure == Failure("why", known)
    assert scene.tell(WaitStarted(2, RESULT)) == (EndWait(2),)


def test_a_service_that_tells_no_reason_is_asked_once() -> None:
    scene = Scene(POLLED, JobFailed(), WaitStarted(1, RESULT))
    assert scene.tell(FailureReceived(1, None)) == (EndWait(1),)
    assert scene.machine.failure == Failure()
    assert scene.tell(WaitStarted(2, RESULT)) == (EndWait(2),)


def test_a_second_answer_is_no_longer_one() -> None:
    failed, done = JobMachine("j1"), JobMachine("j2")
    for job, end in ((failed, JobFailed()), (done, JobSucceeded())):
        job.receive(end)
        job.receive(WaitStarted(1, RESULT))
    assert failed.receive(FailureReceived(1, "why")) == (EndWait(1),)
    assert failed.receive(FailureReceived(1, "otherwise")) == ()
    assert failed.failure == Failure("why")
    assert done.receive(ResultReceived(1, "3")) == (EndWait(1),)
    assert done.receive(ResultReceived(1, "4")) == ()
    assert done.result_text == "3"


def test_the_end_of_a_cancelled_job_needs_nothing() -> None:
    scene = Scene(POLLED, WaitStarted(1, RESULT))
    assert scene.tell(JobCancelled(1)) == (EndWait(1),)
    assert scene.tell(WaitStarted(2, RESULT)) == (EndWait(2),)
    assert scene.machine.result_text is None


# ---- beside a stream ---------------------------------------------------------------------------


def test_the_result_is_fetched_while_the_stream_drains() -> None:
    scene = streaming(OFFSET)
    scene.tell(WaitStarted(1, RESULT))
    out = scene.tell(JobSucceeded())
    assert out == (STOP_POLL, StartTimer(TimerName.STREAM, 1, 10.0), FetchResult(3))
    assert scene.tell(ResultReceived(3, "42")) == (EndWait(1),)
    assert scene.machine.is_streaming


def test_a_connection_for_a_wait_alone_is_closed_with_the_wait() -> None:
    scene = Scene(OFFSET, JobStarted(), WaitStarted(1, RESULT))
    assert scene.tell(JobSucceeded()) == (STOP_POLL, CloseStream(1), FetchResult(2))


def test_a_result_that_cannot_be_had_ends_the_stream_that_awaited_it() -> None:
    scene = streaming(LIVE_RESULT)
    scene.tell(InterimReceived(1, ("m",)), JobSucceeded())
    assert scene.tell(StreamClosed(1))[-1] == FetchResult(3)
    # Nobody can tell whether it was the result: it is better shown than lost.
    assert scene.tell(RequestFailed(3, FATAL)) == (Deliver(1, 0, ("m",)), EndSubscription(1))


def test_a_result_that_only_the_stream_awaits_is_tried_again() -> None:
    scene = streaming(LIVE_RESULT)
    scene.tell(InterimReceived(1, ("m",)), JobSucceeded(), StreamClosed(1))
    out = scene.tell(RequestFailed(3, ERROR, retryable=True))
    assert out == (poll(4, 0.5), retrying("0.5"))
    assert scene.tell(fired(poll(4, 0.5))) == (FetchResult(5),)
    assert scene.tell(ResultReceived(5, "m")) == (EndSubscription(1),)
