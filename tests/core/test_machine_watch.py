"""Who waits, when the service is asked, and what a failing service is spared."""

from __future__ import annotations

import pytest
from scenes import (
    ERROR,
    FATAL,
    LIVE,
    OFFSET,
    POLLED,
    STOP_POLL,
    STREAM,
    Scene,
    fired,
    poll,
    polls,
    retry,
    retrying,
    streaming,
    waiting,
)

from runtime_core.commands import (
    CloseStream,
    EndSubscription,
    EndWait,
    FetchStatus,
    OpenStream,
    SendCancel,
    StartTimer,
)
from runtime_core.events import (
    CancelAccepted,
    CancelRequested,
    JobQueued,
    JobStarted,
    JobSucceeded,
    Need,
    RequestFailed,
    StreamClosed,
    StreamOpened,
    SubscriptionCancelled,
    SubscriptionRequested,
    TimerFired,
    WaitEnded,
    WaitStarted,
)
from runtime_core.polling import poll_delay, retry_delay
from runtime_core.states import JobState

# ---- asking ------------------------------------------------------------------------------------


@pytest.mark.parametrize("need", Need)
def test_a_job_taken_up_by_id_is_asked_for_at_once(need: Need) -> None:
    assert Scene(POLLED).tell(WaitStarted(1, need)) == (FetchStatus(1),)


@pytest.mark.parametrize("need", [Need.FINAL, Need.RESULT])
def test_what_was_said_at_the_submission_is_not_asked_again_at_once(need: Need) -> None:
    assert Scene(POLLED, JobQueued()).tell(WaitStarted(1, need)) == (poll(1, 0.05),)


def test_a_later_wait_asks_at_once() -> None:
    scene = waiting()
    scene.tell(JobQueued(1))
    assert scene.tell(WaitEnded(1)) == (STOP_POLL,)
    assert scene.tell(WaitStarted(2, Need.FINAL)) == (FetchStatus(3),)


def test_status_asks_even_right_after_the_submission() -> None:
    scene = Scene(POLLED, JobQueued())
    assert scene.tell(WaitStarted(1, Need.STATUS)) == (FetchStatus(1),)
    assert scene.tell(JobQueued(1)) == (EndWait(1),)


def test_status_interrupts_a_pause() -> None:
    scene = waiting()
    scene.tell(JobQueued(1))
    assert scene.tell(WaitStarted(2, Need.STATUS)) == (STOP_POLL, FetchStatus(3))
    assert scene.tell(JobStarted(3)) == (EndWait(2), poll(4, 0.05))


def test_an_answer_that_is_older_than_the_question_is_not_taken_for_one() -> None:
    scene = waiting()
    assert scene.tell(WaitStarted(2, Need.STATUS)) == ()
    assert scene.tell(WaitStarted(3, Need.STATUS)) == ()
    # The answer may have left the service before the second wait began.
    assert scene.tell(JobQueued(1)) == (FetchStatus(2),)
    assert scene.tell(JobStarted(2)) == (EndWait(2), EndWait(3), poll(3, 0.05))


def test_a_stale_answer_is_an_answer_all_the_same() -> None:
    scene = Scene(POLLED, JobStarted(), WaitStarted(1, Need.STATUS))
    assert scene.tell(JobQueued(1)) == (EndWait(1),)


def test_a_push_answers_no_question() -> None:
    scene = Scene(POLLED, WaitStarted(1, Need.STATUS))
    assert scene.tell(JobStarted()) == ()
    assert scene.tell(JobStarted(1)) == (EndWait(1),)


# ---- the polling rule --------------------------------------------------------------------------


def test_polls_begin_at_fifty_milliseconds_and_grow_to_wait() -> None:
    scene = waiting(wait=0.3)
    assert polls(scene, 8) == pytest.approx([0.05, 0.075, 0.1125, 0.16875, 0.253125, 0.3, 0.3, 0.3])


def test_polls_begin_afresh_when_the_state_changes() -> None:
    scene = waiting()
    polls(scene, 5)
    assert polls(scene, 2, queued=False) == pytest.approx([0.05, 0.075])


def test_the_smallest_wait_rules() -> None:
    scene = waiting(wait=5.0)
    scene.tell(WaitStarted(2, Need.RESULT, 0.06))
    scene.tell(WaitStarted(3, Need.FINAL, 2.0))
    assert polls(scene, 3) == [0.05, 0.06, 0.06]
    scene.tell(WaitEnded(2))
    assert max(polls(scene, 12)) == 2.0


def test_the_wait_of_a_cancel_or_a_status_is_not_a_polling_interval() -> None:
    scene = waiting(wait=5.0)
    scene.tell(CancelRequested(2), WaitStarted(3, Need.STATUS, 0.02), WaitStarted(4, Need.FINAL))
    assert scene.tell(JobQueued(1)) == (FetchStatus(3),)
    assert scene.tell(JobQueued(3)) == (EndWait(3), poll(4, 0.05))


def test_the_wait_of_a_cancel_does_not_hurry_the_polls() -> None:
    scene = streaming(OFFSET)
    assert scene.tell(WaitStarted(1, Need.FINAL, 60.0), CancelRequested(2)) == (SendCancel(3),)
    scene.tell(fired(poll(2, 5.0)))
    assert scene.tell(JobStarted(4)) == (poll(5, 60.0),)


def test_a_new_impatient_wait_shortens_a_long_pause() -> None:
    scene = waiting(wait=5.0)
    polls(scene, 9)
    (timer,) = scene.tell(JobQueued(19))
    assert isinstance(timer, StartTimer)
    assert timer.delay == pytest.approx(0.05 * 1.5**9)
    assert scene.tell(WaitStarted(2, Need.FINAL, 5.0)) == (poll(21, 0.05),)
    # Another one does not push the poll away.
    assert scene.tell(WaitStarted(3, Need.FINAL, 0.04)) == (poll(22, 0.04),)
    assert scene.tell(WaitStarted(4, Need.FINAL, 5.0)) == ()
    assert scene.tell(fired(timer)) == ()
    assert scene.tell(fired(poll(22, 0.04))) == (FetchStatus(23),)


@pytest.mark.parametrize("wait", [0.0, -1.0, 0.001, float("nan"), -float("inf")])
def test_polls_are_never_closer_than_twenty_milliseconds(wait: float) -> None:
    scene = waiting(wait=wait)
    assert all(delay >= 0.02 for delay in polls(scene, 4))


def test_poll_delay_is_plain_arithmetic() -> None:
    assert poll_delay(0, 5.0) == 0.05
    assert poll_delay(1, 5.0) == pytest.approx(0.075)
    assert poll_delay(11, 5.0) == pytest.approx(0.05 * 1.5**11)
    assert poll_delay(12, 5.0) == 5.0
    assert poll_delay(10_000, float("inf")) < float("inf")
    assert poll_delay(0, 0.0) == 0.02


def test_retry_delay_is_plain_arithmetic() -> None:
    assert [retry_delay(n) for n in range(1, 8)] == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert retry_delay(10_000) == 8.0
    assert retry_delay(1, 60.0) == 60.0
    assert retry_delay(9, 1.0) == 1.0
    assert retry_delay(1, 301.0) == retry_delay(1, float("inf")) == 300.0
    assert retry_delay(1, 0.0) == retry_delay(1, -5.0) == 0.02


def test_a_subscription_alone_polls_every_five_seconds_at_last() -> None:
    scene = Scene(LIVE, JobQueued(), SubscriptionRequested(1))
    scene.tell(fired(poll(1, 0.05)))
    assert max(polls(scene, 15)) == 5.0


def test_an_open_connection_is_polled_every_wait_seconds() -> None:
    scene = streaming(OFFSET)
    assert scene.tell(WaitStarted(1, Need.FINAL, 2.0)) == (poll(3, 2.0),)
    assert scene.tell(WaitStarted(2, Need.FINAL, 3.0)) == ()
    scene.tell(fired(poll(3, 2.0)))
    assert polls(scene, 3, queued=False) == [2.0, 2.0, 2.0]


def test_the_polling_rule_is_back_when_the_connection_is_gone() -> None:
    scene = streaming(OFFSET)
    assert scene.tell(StreamClosed(1)) == (retry(1, 0.5), STOP_POLL, FetchStatus(3))
    assert polls(scene, 3, queued=False) == pytest.approx([0.05, 0.075, 0.1125])


def test_a_reopened_connection_slows_the_polls_down() -> None:
    scene = streaming(OFFSET)
    scene.tell(StreamClosed(1), JobStarted(3))
    assert scene.tell(fired(retry(1, 0.5))) == (OpenStream(2, 0),)
    assert scene.tell(StreamOpened(2)) == (poll(5, 5.0),)


# ---- interest ----------------------------------------------------------------------------------


def test_nobody_interested_nothing_under_way() -> None:
    scene = waiting()
    scene.tell(WaitStarted(2, Need.RESULT), JobQueued(1))
    assert scene.tell(WaitEnded(1)) == ()
    assert scene.tell(WaitEnded(2)) == (STOP_POLL,)
    assert scene.tell(WaitEnded(2)) == ()


def test_a_request_that_nobody_needs_any_more_comes_home_and_is_the_last() -> None:
    scene = waiting()
    assert scene.tell(WaitEnded(1)) == ()
    assert scene.tell(JobStarted(1)) == ()
    assert scene.machine.confirmed


def test_a_need_that_is_gone_is_not_asked_again_for() -> None:
    scene = waiting()
    scene.tell(WaitStarted(2, Need.STATUS), WaitEnded(2), WaitEnded(1))
    assert scene.tell(JobStarted(1)) == ()


def test_a_failed_request_that_nobody_needs_any_more_is_not_tried_again() -> None:
    scene = waiting()
    scene.tell(WaitEnded(1))
    assert scene.tell(RequestFailed(1, ERROR, retryable=True)) == ()


def test_a_subscription_is_interest() -> None:
    scene = streaming(OFFSET)
    scene.tell(WaitStarted(1, Need.FINAL))
    assert scene.tell(WaitEnded(1)) == ()
    assert scene.tell(SubscriptionCancelled(1)) == (
        EndSubscription(1),
        STOP_POLL,
        CloseStream(1),
    )


def test_an_accepted_cancel_is_interest_until_the_job_is_final() -> None:
    scene = Scene(POLLED, JobStarted(), CancelRequested(1))
    assert scene.tell(CancelAccepted(1)) == (EndWait(1), FetchStatus(2))
    assert scene.tell(JobStarted(2)) == (poll(3, 0.05),)
    assert scene.tell(fired(poll(3, 0.05))) == (FetchStatus(4),)
    assert scene.tell(JobSucceeded(4)) == ()


# ---- failures ----------------------------------------------------------------------------------


def test_a_retryable_failure_backs_off_and_does_not_end_a_wait() -> None:
    scene = waiting(wait=0.1)
    delays = []
    for number in range(1, 15, 2):
        timer, report = scene.tell(RequestFailed(number, ERROR, retryable=True))
        assert isinstance(timer, StartTimer)
        assert report == retrying(f"{timer.delay:g}")
        delays.append(timer.delay)
        assert scene.tell(fired(timer)) == (FetchStatus(number + 2),)
    assert delays == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_an_answer_ends_the_back_off() -> None:
    scene = waiting()
    scene.tell(RequestFailed(1, ERROR, retryable=True), fired(poll(2, 0.5)))
    scene.tell(RequestFailed(3, ERROR, retryable=True), fired(poll(4, 1.0)))
    assert scene.machine.failures == 2
    assert scene.tell(JobQueued(5)) == (poll(6, 0.05),)
    assert scene.machine.failures == 0
    scene.tell(fired(poll(6, 0.05)))
    assert scene.tell(RequestFailed(7, ERROR, retryable=True))[0] == poll(8, 0.5)


@pytest.mark.parametrize(("asked", "delay"), [(60.0, 60.0), (300.0, 300.0), (86_400.0, 300.0)])
def test_retry_after_is_obeyed_up_to_five_minutes(asked: float, delay: float) -> None:
    scene = waiting(wait=0.1)
    out = scene.tell(RequestFailed(1, ERROR, retryable=True, retry_after=asked))
    assert out == (poll(2, delay), retrying(f"{delay:g}"))


def test_a_new_wait_does_not_shorten_a_back_off() -> None:
    scene = waiting()
    scene.tell(RequestFailed(1, ERROR, retryable=True, retry_after=60.0))
    assert scene.tell(WaitStarted(2, Need.FINAL, 0.02)) == ()
    assert scene.tell(fired(poll(2, 60.0))) == (FetchStatus(3),)


def test_an_opened_stream_does_not_shorten_a_back_off() -> None:
    scene = Scene(OFFSET, SubscriptionRequested(1))
    scene.tell(RequestFailed(1, ERROR, retryable=True, retry_after=60.0))
    assert scene.tell(StreamOpened(1)) == ()


def test_a_closed_stream_does_not_shorten_a_back_off() -> None:
    scene = Scene(OFFSET, SubscriptionRequested(1), StreamOpened(1))
    scene.tell(RequestFailed(1, ERROR, retryable=True, retry_after=60.0))
    assert scene.tell(StreamClosed(1)) == (retry(1, 0.5),)


def test_a_closed_stream_is_heard_of_by_a_request_that_is_being_retried() -> None:
    scene = Scene(OFFSET, SubscriptionRequested(1), StreamOpened(1))
    scene.tell(RequestFailed(1, ERROR, retryable=True), fired(poll(2, 0.5)))
    assert scene.tell(StreamClosed(1)) == (retry(1, 0.5),)
    # The answer may be older than the close.
    assert scene.tell(JobStarted(3)) == (FetchStatus(4),)


def test_any_failure_ends_a_wait_for_the_status() -> None:
    scene = waiting()
    scene.tell(WaitStarted(2, Need.STATUS))
    out = scene.tell(RequestFailed(1, ERROR, retryable=True))
    assert out == (EndWait(2, ERROR), poll(2, 0.5), retrying("0.5"))


def test_a_status_that_alone_was_wanted_is_not_tried_again() -> None:
    scene = Scene(POLLED, WaitStarted(1, Need.STATUS))
    assert scene.tell(RequestFailed(1, ERROR, retryable=True)) == (EndWait(1, ERROR),)


def test_a_failure_for_good_ends_every_wait_and_is_not_sticky() -> None:
    scene = waiting()
    scene.tell(WaitStarted(2, Need.RESULT), WaitStarted(3, Need.STATUS))
    out = scene.tell(RequestFailed(1, FATAL))
    assert out == (EndWait(1, FATAL), EndWait(2, FATAL), EndWait(3, FATAL))
    assert scene.tell(WaitStarted(4, Need.FINAL)) == (FetchStatus(2),)
    assert scene.tell(JobSucceeded(2)) == (EndWait(4),)


def test_a_failure_for_good_forgets_the_failures_before() -> None:
    scene = waiting()
    scene.tell(RequestFailed(1, ERROR, retryable=True), fired(poll(2, 0.5)))
    assert scene.tell(RequestFailed(3, FATAL)) == (EndWait(1, FATAL),)
    scene.tell(WaitStarted(2, Need.FINAL))
    assert scene.tell(RequestFailed(4, ERROR, retryable=True))[0] == poll(5, 0.5)


def test_a_failure_for_good_leaves_the_answer_to_a_cancel_to_the_service() -> None:
    scene = Scene(POLLED, JobStarted(), WaitStarted(1, Need.FINAL))
    scene.tell(fired(poll(1, 0.05)))
    scene.tell(CancelRequested(2))
    assert scene.tell(RequestFailed(2, FATAL)) == (EndWait(1, FATAL),)
    assert scene.tell(CancelAccepted(3)) == (EndWait(2), FetchStatus(4))


def test_a_failure_for_good_ends_a_subscription_that_has_no_connection() -> None:
    scene = Scene(OFFSET, SubscriptionRequested(1))
    assert scene.tell(RequestFailed(1, FATAL)) == (EndSubscription(1, FATAL), CloseStream(1))


def test_a_failure_for_good_leaves_an_open_stream_alone() -> None:
    scene = Scene(OFFSET, SubscriptionRequested(1), StreamOpened(1))
    assert scene.tell(RequestFailed(1, FATAL)) == (poll(2, 5.0),)
    assert scene.machine.is_streaming
    # Its end is a hint again.
    assert scene.tell(StreamClosed(1)) == (retry(1, 0.5), STOP_POLL, FetchStatus(3))


def test_an_open_stream_that_nobody_closes_does_not_hide_the_end_of_the_job() -> None:
    scene = Scene(OFFSET, SubscriptionRequested(1), StreamOpened(1))
    scene.tell(RequestFailed(1, FATAL), fired(poll(2, 5.0)), JobSucceeded(3))
    assert scene.machine.state is JobState.DONE
    assert scene.tell(TimerFired(STREAM, 1)) == (CloseStream(1), OpenStream(2, 0))


def test_a_failed_wait_only_connection_ends_with_the_wait() -> None:
    scene = Scene(OFFSET, JobStarted(), WaitStarted(1, Need.FINAL), StreamOpened(1))
    scene.tell(fired(poll(2, 5.0)))
    assert scene.tell(RequestFailed(3, FATAL)) == (EndWait(1, FATAL), CloseStream(1))
