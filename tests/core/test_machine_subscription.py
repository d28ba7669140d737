"""Subscriptions: who may have one, where it starts, what is delivered, a gap, or held back."""

from __future__ import annotations

import pytest
from scenes import (
    ERROR,
    FATAL,
    LIVE,
    LIVE_RESULT,
    OFFSET,
    OFFSET_RESULT,
    POLLED,
    REPLAY,
    STOP_POLL,
    STOP_STREAM,
    Scene,
    fired,
    poll,
    retry,
    streaming,
)

from runtime_core.commands import (
    CloseStream,
    Deliver,
    DeliverGap,
    EndSubscription,
    EndWait,
    FetchResult,
    FetchStatus,
    OpenStream,
    StartTimer,
)
from runtime_core.events import (
    Event,
    InterimReceived,
    JobCancelled,
    JobFailed,
    JobQueued,
    JobStarted,
    JobSucceeded,
    Need,
    ReplayRequested,
    RequestFailed,
    ResultReceived,
    StreamClosed,
    StreamFailed,
    StreamNotReady,
    StreamOpened,
    SubscriptionCancelled,
    SubscriptionRequested,
    WaitStarted,
)
from runtime_core.traits import ServiceTraits

# ---- who may -----------------------------------------------------------------------------------


@pytest.mark.parametrize("request_of", [SubscriptionRequested, ReplayRequested])
def test_a_service_without_streams_has_none(request_of: type[SubscriptionRequested]) -> None:
    refusal = Scene(POLLED, JobStarted()).refused(request_of(1))
    assert (refusal.action, refusal.why) == ("stream_results", "its service has no streams")


@pytest.mark.parametrize("request_of", [SubscriptionRequested, ReplayRequested])
def test_of_two_subscriptions_exactly_one_wins(request_of: type[SubscriptionRequested]) -> None:
    scene = Scene(OFFSET, SubscriptionRequested(1))
    refusal = scene.refused(request_of(2))
    assert (refusal.action, refusal.why) == ("stream_results", "its results are streamed already")
    assert refusal.legal == ("status", "result", "cancel", "cancel_result_streaming")
    scene.tell(StreamOpened(1))
    assert scene.tell(InterimReceived(1, ("m",))) == (Deliver(1, 0, ("m",)),)


@pytest.mark.parametrize("ending", [JobSucceeded(), JobFailed(), JobCancelled()])
def test_a_job_that_has_ended_cannot_be_subscribed_to(ending: Event) -> None:
    refusal = Scene(OFFSET, ending).refused(SubscriptionRequested(1))
    assert (refusal.action, refusal.why) == ("stream_results", "it has ended")


def test_a_replay_of_what_was_not_kept_is_refused() -> None:
    refusal = Scene(LIVE, JobSucceeded()).refused(ReplayRequested(1))
    assert refusal.action == "interim_results"
    assert refusal.why == "it has ended and its service keeps none"


@pytest.mark.parametrize("traits", [OFFSET, REPLAY])
def test_a_job_that_has_ended_is_replayed_where_it_was_kept(traits: ServiceTraits) -> None:
    scene = Scene(traits, JobSucceeded())
    assert scene.tell(ReplayRequested(1)) == (OpenStream(1, 0),)
    assert scene.tell(StreamOpened(1)) == (retry(1, 10.0),)
    assert scene.tell(InterimReceived(1, ("m", "n"))) == (Deliver(1, 0, ("m", "n")),)
    assert scene.tell(StreamClosed(1)) == (STOP_STREAM, EndSubscription(1))


def test_a_replay_that_breaks_goes_on() -> None:
    scene = Scene(OFFSET, JobSucceeded(), ReplayRequested(1), StreamOpened(1))
    scene.tell(InterimReceived(1, ("m",)))
    assert scene.tell(StreamFailed(1, ERROR)) == (STOP_STREAM, OpenStream(2, 1))
    scene.tell(StreamOpened(2))
    assert scene.tell(StreamFailed(2, FATAL)) == (STOP_STREAM, EndSubscription(1, FATAL))
    # The next one has its own chance.
    assert scene.tell(ReplayRequested(2)) == (OpenStream(3, 0),)
    assert scene.tell(StreamFailed(3, ERROR)) == (OpenStream(4, 0),)


def test_a_replay_of_a_job_that_goes_on_is_a_subscription() -> None:
    scene = Scene(LIVE, JobStarted())
    assert scene.tell(ReplayRequested(1)) == (OpenStream(1, 0), poll(1, 0.05))


# ---- cancelled ---------------------------------------------------------------------------------


def test_cancelled_right_after_its_start() -> None:
    scene = Scene(OFFSET, JobStarted(), SubscriptionRequested(1))
    out = scene.tell(SubscriptionCancelled(1))
    assert out == (EndSubscription(1), STOP_POLL, CloseStream(1))
    assert scene.tell(StreamOpened(1)) == ()
    assert scene.tell(SubscriptionCancelled(1)) == ()


def test_a_late_cancel_does_not_end_the_next_subscription() -> None:
    scene = streaming(OFFSET)
    scene.tell(SubscriptionCancelled(1), SubscriptionRequested(2))
    assert scene.tell(SubscriptionCancelled(1)) == ()
    assert scene.machine.is_streaming


def test_nothing_is_delivered_after_the_end() -> None:
    scene = streaming(OFFSET)
    scene.tell(WaitStarted(1, Need.FINAL), SubscriptionCancelled(1))
    assert scene.tell(InterimReceived(1, ("m",))) == ()


# ---- where it starts ---------------------------------------------------------------------------


@pytest.mark.parametrize("traits", [OFFSET, REPLAY])
def test_a_second_subscription_starts_at_the_first_message(traits: ServiceTraits) -> None:
    scene = streaming(traits)
    scene.tell(InterimReceived(1, ("m", "n")), SubscriptionCancelled(1))
    assert scene.machine.received == 2
    assert scene.tell(SubscriptionRequested(2))[0] == OpenStream(2, 0)
    assert scene.machine.received == 0
    scene.tell(StreamOpened(2))
    assert scene.tell(InterimReceived(2, ("m", "n", "o"))) == (Deliver(2, 0, ("m", "n", "o")),)


@pytest.mark.parametrize("traits", [OFFSET, REPLAY])
def test_messages_that_passed_before_the_subscription_are_had_again(traits: ServiceTraits) -> None:
    scene = Scene(traits, JobStarted(), WaitStarted(1, Need.FINAL), StreamOpened(1))
    scene.tell(InterimReceived(1, ("m",)))
    assert scene.tell(SubscriptionRequested(1)) == (CloseStream(1), OpenStream(2, 0), poll(3, 0.05))
    scene.tell(StreamOpened(2))
    assert scene.tell(InterimReceived(2, ("m", "n"))) == (Deliver(1, 0, ("m", "n")),)


def test_a_live_subscription_starts_now() -> None:
    scene = Scene(LIVE, JobStarted(), WaitStarted(1, Need.FINAL), StreamOpened(1))
    scene.tell(InterimReceived(1, ("m",)))
    assert scene.tell(SubscriptionRequested(1)) == ()
    assert scene.tell(InterimReceived(1, ("n",))) == (Deliver(1, 0, ("n",)),)


def test_a_connection_that_carried_nothing_yet_is_used() -> None:
    scene = Scene(OFFSET, JobStarted(), WaitStarted(1, Need.FINAL), StreamOpened(1))
    assert scene.tell(SubscriptionRequested(1)) == ()
    assert scene.tell(InterimReceived(1, ("m",))) == (Deliver(1, 0, ("m",)),)


def test_a_subscription_ends_a_back_off_of_the_connection() -> None:
    scene = Scene(OFFSET, JobStarted(), WaitStarted(1, Need.FINAL))
    scene.tell(StreamFailed(1, ERROR))
    assert scene.tell(SubscriptionRequested(1)) == (STOP_STREAM, OpenStream(2, 0))


# ---- where it starts, if another one was before it -----------------------------------------------


@pytest.mark.parametrize("request_of", [SubscriptionRequested, ReplayRequested])
def test_an_offset_is_asked_for_from_the_cursor_on(request_of: type[SubscriptionRequested]) -> None:
    scene = Scene(OFFSET, JobStarted())
    assert scene.tell(request_of(1, 3)) == (OpenStream(1, 3), poll(1, 0.05))
    assert scene.machine.received == 3
    scene.tell(StreamOpened(1))
    assert scene.tell(InterimReceived(1, ("p",))) == (Deliver(1, 3, ("p",)),)
    assert scene.machine.received == 4


def test_a_replay_skips_what_was_delivered_before() -> None:
    scene = Scene(REPLAY, JobStarted(), SubscriptionRequested(1, 3), StreamOpened(1))
    assert scene.tell(InterimReceived(1, ("m", "n"))) == ()
    assert scene.machine.received == 3
    assert scene.tell(InterimReceived(1, ("o", "p"))) == (Deliver(1, 3, ("p",)),)
    assert scene.tell(InterimReceived(1, ("q",))) == (Deliver(1, 4, ("q",)),)


def test_a_replay_that_breaks_before_the_cursor_starts_again() -> None:
    scene = Scene(REPLAY, JobStarted(), SubscriptionRequested(1, 2), StreamOpened(1))
    scene.tell(InterimReceived(1, ("m",)), StreamClosed(1, 1006))
    assert scene.tell(fired(retry(1, 0.5))) == (OpenStream(2, 2),)
    scene.tell(StreamOpened(2))
    assert scene.tell(InterimReceived(2, ("m", "n", "o"))) == (Deliver(1, 2, ("o",)),)


def test_a_live_subscription_that_goes_on_begins_with_a_gap() -> None:
    scene = Scene(LIVE, JobStarted())
    out = scene.tell(SubscriptionRequested(1, 3))
    assert out == (DeliverGap(1, 3), OpenStream(1, 3), poll(1, 0.05))
    assert scene.tell(StreamOpened(1)) == (poll(2, 5.0),)
    assert scene.tell(InterimReceived(1, ("z",))) == (Deliver(1, 3, ("z",)),)
    assert scene.machine.received == 4


def test_a_live_subscription_that_goes_on_takes_the_connection_of_a_wait() -> None:
    scene = Scene(LIVE, JobStarted(), WaitStarted(1, Need.FINAL), StreamOpened(1))
    scene.tell(InterimReceived(1, ("x", "y")))
    assert scene.tell(SubscriptionRequested(1, 1)) == (DeliverGap(1, 1),)
    assert scene.tell(InterimReceived(1, ("z",))) == (Deliver(1, 1, ("z",)),)


def test_a_live_subscription_of_a_job_that_ends_first_tells_of_the_gap() -> None:
    scene = Scene(LIVE, JobStarted())
    scene.tell(SubscriptionRequested(1, 3), StreamOpened(1), JobSucceeded())
    assert scene.tell(StreamClosed(1)) == (STOP_STREAM, EndSubscription(1))


@pytest.mark.parametrize(
    ("traits", "passed", "after", "kept"),
    [
        (OFFSET, 0, 2, False),  # not for the sake of what would have to be skipped
        (OFFSET, 2, 2, True),
        (OFFSET, 3, 2, False),
        (REPLAY, 0, 2, True),
        (REPLAY, 1, 2, True),
        (REPLAY, 2, 2, True),
        (REPLAY, 3, 2, False),
    ],
)
def test_the_connection_of_a_wait_is_kept_if_it_comes_by_the_cursor(
    traits: ServiceTraits, passed: int, after: int, kept: bool
) -> None:
    scene = Scene(traits, JobStarted(), WaitStarted(1, Need.FINAL), StreamOpened(1))
    messages = ("m", "n", "o", "p")
    if passed:
        scene.tell(InterimReceived(1, messages[:passed]))
    out = scene.tell(SubscriptionRequested(1, after))
    if kept:
        assert out == ()
    else:
        assert out == (CloseStream(1), OpenStream(2, after), poll(3, 0.05))
        scene.tell(StreamOpened(2))
        passed = after if traits is OFFSET else 0
    out = scene.tell(InterimReceived(scene.ledger.connection, messages[passed:]))
    assert out == (Deliver(1, after, messages[after:]),)


def test_a_job_that_has_ended_is_replayed_from_the_cursor_on() -> None:
    scene = Scene(OFFSET, JobSucceeded())
    assert scene.tell(ReplayRequested(1, 2)) == (OpenStream(1, 2),)
    scene.tell(StreamOpened(1))
    assert scene.tell(StreamClosed(1)) == (STOP_STREAM, EndSubscription(1))
    assert scene.machine.received == 2


def test_what_is_held_back_counts_from_the_cursor_on() -> None:
    scene = Scene(OFFSET_RESULT, JobStarted(), SubscriptionRequested(1, 2), StreamOpened(1))
    assert scene.tell(InterimReceived(1, ("o", "p"))) == (Deliver(1, 2, ("o",)),)
    assert scene.tell(InterimReceived(1, ("q",))) == (Deliver(1, 3, ("p",)),)


@pytest.mark.parametrize("request_of", [SubscriptionRequested, ReplayRequested])
def test_a_cursor_is_not_negative(request_of: type[SubscriptionRequested]) -> None:
    refusal = Scene(OFFSET, JobStarted()).refused(request_of(1, -1))
    assert refusal.action == "stream_results"
    assert refusal.why == "a cursor is the number of messages that were delivered, not -1"


# ---- the cursor --------------------------------------------------------------------------------


def test_an_offset_goes_on_after_what_was_received() -> None:
    scene = streaming(OFFSET)
    scene.tell(InterimReceived(1, ("m", "n")), StreamClosed(1, 1006))
    assert scene.tell(fired(retry(1, 0.5))) == (OpenStream(2, 2),)
    assert scene.tell(StreamOpened(2)) == ()
    assert scene.tell(InterimReceived(2, ("o",))) == (Deliver(1, 2, ("o",)),)


def test_a_replay_skips_what_was_received() -> None:
    scene = streaming(REPLAY)
    scene.tell(InterimReceived(1, ("m", "n")), StreamClosed(1, 1006))
    assert scene.tell(fired(retry(1, 0.5))) == (OpenStream(2, 2),)
    assert scene.tell(StreamOpened(2)) == ()
    assert scene.tell(InterimReceived(2, ("m",))) == ()
    assert scene.tell(InterimReceived(2, ("n", "o"))) == (Deliver(1, 2, ("o",)),)
    assert scene.tell(InterimReceived(2, ("p",))) == (Deliver(1, 3, ("p",)),)
    assert scene.machine.received == 4


def test_equal_messages_are_different_messages() -> None:
    scene = streaming(OFFSET)
    for first in range(3):
        assert scene.tell(InterimReceived(1, ("m",))) == (Deliver(1, first, ("m",)),)


def test_a_read_without_messages_is_nothing() -> None:
    scene = streaming(OFFSET)
    assert scene.tell(InterimReceived(1, ())) == ()


def test_what_a_live_service_sent_meanwhile_is_a_gap() -> None:
    scene = streaming(LIVE)
    scene.tell(InterimReceived(1, ("m",)), StreamClosed(1, 1006), fired(retry(1, 0.5)))
    assert scene.tell(StreamOpened(2)) == (DeliverGap(1, 1),)
    assert scene.tell(InterimReceived(2, ("o",))) == (Deliver(1, 1, ("o",)),)


def test_the_first_connection_of_a_live_subscription_is_no_gap() -> None:
    scene = Scene(LIVE, JobStarted(), SubscriptionRequested(1))
    assert scene.tell(StreamOpened(1)) == (poll(2, 5.0),)


def test_the_gaps_of_one_subscription_are_not_those_of_the_next() -> None:
    scene = streaming(LIVE)
    scene.tell(StreamClosed(1, 1006), JobStarted(3), SubscriptionCancelled(1))
    scene.tell(SubscriptionRequested(2))
    assert scene.tell(StreamOpened(2)) == ()


def test_a_failed_first_attempt_of_a_live_subscription_is_a_gap() -> None:
    scene = Scene(LIVE, JobStarted(), SubscriptionRequested(1))
    scene.tell(StreamFailed(1, ERROR), fired(retry(1, 0.5)))
    assert scene.tell(StreamOpened(2)) == (DeliverGap(1, 0), poll(2, 5.0))


def test_a_live_subscription_on_an_open_connection_has_a_gap_when_that_is_lost() -> None:
    scene = Scene(LIVE, JobStarted(), WaitStarted(1, Need.FINAL), StreamOpened(1))
    scene.tell(SubscriptionRequested(1), StreamClosed(1), fired(retry(1, 0.5)))
    assert scene.tell(StreamOpened(2)) == (DeliverGap(1, 0),)


def test_a_wait_alone_hears_of_no_gap() -> None:
    scene = Scene(LIVE, JobStarted(), WaitStarted(1, Need.FINAL), StreamOpened(1))
    scene.tell(StreamClosed(1), fired(retry(1, 0.5)))
    assert scene.tell(StreamOpened(2)) == ()


# ---- live, and the job has ended ---------------------------------------------------------------


def test_a_live_stream_that_closed_with_the_job_is_complete() -> None:
    scene = streaming(LIVE)
    scene.tell(StreamClosed(1))
    assert scene.tell(JobSucceeded(3)) == (STOP_STREAM, EndSubscription(1))


def test_a_live_stream_that_broke_before_the_end_has_a_gap() -> None:
    scene = streaming(LIVE)
    scene.tell(StreamClosed(1, 1006))
    assert scene.tell(JobSucceeded(3)) == (STOP_STREAM, DeliverGap(1, 0), EndSubscription(1))


def test_a_live_stream_that_closed_long_before_the_end_has_a_gap() -> None:
    scene = streaming(LIVE)
    scene.tell(StreamClosed(1), JobStarted(3))  # the job went on after that
    out = scene.tell(JobSucceeded())
    assert out == (STOP_POLL, STOP_STREAM, DeliverGap(1, 0), EndSubscription(1))


def test_a_close_before_the_subscription_does_not_make_it_complete() -> None:
    scene = Scene(LIVE, JobQueued(), WaitStarted(1, Need.RESULT), StreamOpened(1), StreamClosed(1))
    scene.tell(SubscriptionRequested(1), StreamNotReady(2))
    assert scene.tell(JobCancelled()) == (DeliverGap(1, 0), EndSubscription(1), EndWait(1))


def test_a_live_stream_that_breaks_after_the_end_has_a_gap() -> None:
    scene = streaming(LIVE)
    scene.tell(JobSucceeded())
    assert scene.tell(StreamFailed(1, ERROR)) == (
        STOP_STREAM,
        DeliverGap(1, 0),
        EndSubscription(1),
    )


def test_an_older_answer_does_not_say_that_the_job_went_on_after_the_close() -> None:
    scene = streaming(LIVE)
    scene.tell(fired(poll(2, 5.0)), StreamClosed(1))
    assert scene.tell(JobStarted(3)) == (FetchStatus(4),)
    assert scene.tell(JobSucceeded(4)) == (STOP_STREAM, EndSubscription(1))


# ---- the result as the last message ------------------------------------------------------------


@pytest.mark.parametrize("traits", [LIVE_RESULT, OFFSET_RESULT])
def test_the_last_message_is_held_back_until_another_comes(traits: ServiceTraits) -> None:
    scene = streaming(traits)
    assert scene.tell(InterimReceived(1, ("m",))) == ()
    assert scene.tell(InterimReceived(1, ("n",))) == (Deliver(1, 0, ("m",)),)
    out = scene.tell(InterimReceived(1, ("o", "p", "q")))
    assert out == (Deliver(1, 1, ("n",)), Deliver(1, 2, ("o", "p")))
    assert scene.machine.received == 5


def test_what_is_held_at_a_clean_close_is_held_however_many_requests_there_were() -> None:
    scene = streaming(LIVE_RESULT)
    for number in range(2, 202, 2):
        scene.tell(fired(poll(number, 5.0)), JobStarted(number + 1))
    scene.tell(InterimReceived(1, ("m",)))
    assert scene.tell(StreamClosed(1)) == (retry(1, 0.5), STOP_POLL, FetchStatus(203))
    # It may be the result, and the state may lag behind the stream.
    (again,) = scene.tell(JobStarted(203))
    assert isinstance(again, StartTimer)


def test_a_gap_of_one_subscription_is_not_told_to_the_next() -> None:
    scene = streaming(LIVE_RESULT)
    scene.tell(InterimReceived(1, ("m",)), SubscriptionCancelled(1), SubscriptionRequested(2))
    scene.tell(StreamOpened(2), InterimReceived(2, ("n",)))
    assert scene.tell(InterimReceived(2, ("o",))) == (Deliver(2, 0, ("n",)),)


def test_the_result_is_not_shown_as_interim() -> None:
    scene = streaming(LIVE_RESULT)
    scene.tell(InterimReceived(1, ("m", "42")))
    assert scene.tell(StreamClosed(1)) == (retry(1, 0.5), STOP_POLL, FetchStatus(3))
    # The result is fetched to tell, although nobody waits for it.
    assert scene.tell(JobSucceeded(3)) == (STOP_STREAM, FetchResult(4))
    assert scene.tell(ResultReceived(4, "42")) == (EndSubscription(1),)
    assert not scene.machine.is_streaming


def test_a_last_message_that_is_not_the_result_is_delivered() -> None:
    scene = streaming(LIVE_RESULT)
    scene.tell(InterimReceived(1, ("m", "n")), StreamClosed(1), JobSucceeded(3))
    assert scene.tell(ResultReceived(4, "42")) == (Deliver(1, 1, ("n",)), EndSubscription(1))


def test_an_answer_that_the_job_runs_releases_what_is_held() -> None:
    scene = streaming(LIVE_RESULT)
    scene.tell(InterimReceived(1, ("m",)), fired(poll(2, 5.0)))
    assert scene.tell(JobStarted(3)) == (Deliver(1, 0, ("m",)), poll(4, 5.0))


def test_an_answer_that_is_older_than_the_message_releases_nothing() -> None:
    scene = streaming(LIVE_RESULT)
    scene.tell(fired(poll(2, 5.0)), InterimReceived(1, ("m",)))
    assert scene.tell(JobStarted(3)) == (poll(4, 5.0),)
    scene.tell(fired(poll(4, 5.0)))
    assert scene.tell(JobStarted(5)) == (Deliver(1, 0, ("m",)), poll(6, 5.0))


def test_an_answer_that_the_job_is_queued_is_evidently_older_than_its_messages() -> None:
    scene = streaming(LIVE_RESULT)
    scene.tell(InterimReceived(1, ("m",)), fired(poll(2, 5.0)))
    assert scene.tell(JobQueued(3)) == (poll(4, 5.0),)
    scene = Scene(LIVE_RESULT, JobQueued(), SubscriptionRequested(1), StreamOpened(1))
    scene.tell(InterimReceived(1, ("m",)), fired(poll(2, 5.0)))
    assert scene.tell(JobQueued(3)) == (poll(4, 5.0),)


def test_what_is_held_goes_before_a_gap() -> None:
    scene = streaming(LIVE_RESULT)
    scene.tell(InterimReceived(1, ("m",)), StreamClosed(1, 1006), fired(retry(1, 0.5)))
    assert scene.tell(StreamOpened(2)) == ()
    assert scene.tell(InterimReceived(2, ("n",))) == (Deliver(1, 0, ("m",)), DeliverGap(1, 1))


@pytest.mark.parametrize("traits", [LIVE_RESULT, OFFSET_RESULT])
def test_a_status_that_lags_behind_a_close_does_not_make_the_result_interim(
    traits: ServiceTraits,
) -> None:
    scene = streaming(traits)
    scene.tell(InterimReceived(1, ("m", "42")), StreamClosed(1))
    assert not any(isinstance(each, Deliver) for each in scene.tell(JobStarted(3)))
    scene.tell(fired(poll(4, 0.05)), JobSucceeded(5))
    if traits is OFFSET_RESULT:
        scene.tell(StreamOpened(2), StreamClosed(2))
    gap = () if traits is OFFSET_RESULT else (DeliverGap(1, 1),)
    assert scene.tell(ResultReceived(6, "42")) == (*gap, EndSubscription(1))


def test_a_message_shows_that_the_one_before_a_close_was_not_the_result() -> None:
    scene = streaming(OFFSET_RESULT)
    scene.tell(InterimReceived(1, ("m",)), StreamClosed(1), JobStarted(3))
    scene.tell(fired(retry(1, 0.5)), StreamOpened(2))
    assert scene.tell(InterimReceived(2, ("n",))) == (Deliver(1, 0, ("m",)),)


def test_a_connection_is_no_proof_that_the_job_goes_on() -> None:
    scene = streaming(LIVE_RESULT)
    scene.tell(InterimReceived(1, ("m", "42")), StreamClosed(1), RequestFailed(3, ERROR, True))
    scene.tell(fired(retry(1, 0.5)), StreamOpened(2), JobSucceeded())
    assert scene.tell(StreamClosed(2)) == (STOP_STREAM, FetchResult(5))
    assert scene.tell(ResultReceived(5, "42")) == (DeliverGap(1, 1), EndSubscription(1))


@pytest.mark.parametrize("ending", [JobFailed(None, "why"), JobCancelled()])
def test_a_job_without_a_result_has_no_last_message_that_is_one(ending: Event) -> None:
    scene = streaming(LIVE_RESULT)
    scene.tell(InterimReceived(1, ("m",)))
    scene.tell(ending)
    assert scene.tell(StreamClosed(1)) == (
        STOP_STREAM,
        Deliver(1, 0, ("m",)),
        EndSubscription(1),
    )


def test_a_failed_jobs_stream_needs_no_reason_to_end() -> None:
    scene = streaming(LIVE_RESULT)
    scene.tell(InterimReceived(1, ("m",)), JobFailed())
    assert scene.tell(StreamClosed(1)) == (
        STOP_STREAM,
        Deliver(1, 0, ("m",)),
        EndSubscription(1),
    )


def test_a_cancelled_subscription_drops_what_is_held() -> None:
    scene = streaming(LIVE_RESULT)
    scene.tell(InterimReceived(1, ("m",)))
    out = scene.tell(SubscriptionCancelled(1))
    assert out == (EndSubscription(1), STOP_POLL, CloseStream(1))


def test_a_result_that_is_here_already_decides_at_once() -> None:
    scene = streaming(LIVE_RESULT)
    scene.tell(WaitStarted(1, Need.RESULT), InterimReceived(1, ("42",)), JobSucceeded())
    assert scene.tell(ResultReceived(3, "42")) == (EndWait(1),)
    assert scene.tell(StreamClosed(1)) == (STOP_STREAM, EndSubscription(1))


def test_a_stream_given_up_at_its_deadline_still_compares_the_last_message() -> None:
    scene = streaming(LIVE_RESULT)
    scene.tell(JobSucceeded(), InterimReceived(1, ("42",)))
    assert scene.tell(fired(retry(1, 10.0))) == (retry(2, 10.0),)
    out = scene.tell(fired(retry(2, 10.0)))
    assert out == (CloseStream(1), FetchResult(3))
    assert scene.tell(ResultReceived(3, "42")) == (DeliverGap(1, 0), EndSubscription(1))


@pytest.mark.parametrize("last", ["m", "42"])
def test_a_last_pass_that_breaks_still_compares_the_last_message(last: str) -> None:
    scene = streaming(OFFSET_RESULT)
    scene.tell(InterimReceived(1, (last,)), StreamClosed(1), JobSucceeded(3))
    assert scene.tell(StreamFailed(2, FATAL)) == (FetchResult(4),)
    delivered = () if last == "42" else (Deliver(1, 0, ("m",)),)
    assert scene.tell(ResultReceived(4, "42")) == (*delivered, EndSubscription(1, FATAL))


def test_a_gap_behind_what_is_held_comes_after_it() -> None:
    scene = streaming(LIVE_RESULT)
    scene.tell(InterimReceived(1, ("m",)), StreamClosed(1, 1006))
    assert scene.tell(JobSucceeded(3)) == (STOP_STREAM, FetchResult(4))
    assert scene.tell(ResultReceived(4, "42")) == (
        Deliver(1, 0, ("m",)),
        DeliverGap(1, 1),
        EndSubscription(1),
    )


def test_a_reconnect_after_the_end_does_not_release_what_is_held() -> None:
    scene = streaming(LIVE_RESULT)
    scene.tell(InterimReceived(1, ("m",)), StreamClosed(1, 1006), fired(retry(1, 0.5)))
    assert scene.tell(JobSucceeded(3)) == ()
    # What is held may be the result; then nothing follows it.
    assert scene.tell(StreamOpened(2)) == (retry(2, 10.0),)
    assert scene.tell(InterimReceived(2, ("42",))) == (Deliver(1, 0, ("m",)), DeliverGap(1, 1))
    assert scene.tell(StreamClosed(2)) == (STOP_STREAM, FetchResult(4))
    assert scene.tell(ResultReceived(4, "42")) == (EndSubscription(1),)
