"""Connections: when one is opened, what its end means, how it backs off, how it drains."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from scenes import (
    ERROR,
    FATAL,
    LIVE,
    OFFSET,
    POLLED,
    REPLAY,
    STOP_POLL,
    STOP_STREAM,
    STREAM,
    Scene,
    fired,
    poll,
    polls,
    reopening,
    retry,
    streaming,
    waiting,
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
    Report,
    StartTimer,
)
from runtime_core.errors import TransportError
from runtime_core.events import (
    CancelAccepted,
    CancelRequested,
    InterimReceived,
    JobCancelled,
    JobQueued,
    JobStarted,
    JobSucceeded,
    Need,
    ReplayRequested,
    StreamClosed,
    StreamFailed,
    StreamNotReady,
    StreamOpened,
    SubscriptionCancelled,
    SubscriptionRequested,
    TimerFired,
    WaitEnded,
    WaitStarted,
)
from runtime_core.stream import LAST_ATTEMPTS
from runtime_core.traits import ServiceTraits

KEEPING = [pytest.param(OFFSET, id="offset"), pytest.param(REPLAY, id="replay")]

# ---- opened for whom ---------------------------------------------------------------------------


def test_a_subscription_opens_a_connection() -> None:
    scene = Scene(OFFSET, JobQueued())
    assert scene.tell(SubscriptionRequested(1)) == (OpenStream(1, 0), poll(1, 0.05))


@pytest.mark.parametrize("need", [Need.FINAL, Need.RESULT])
def test_a_wait_opens_a_connection_for_itself(need: Need) -> None:
    scene = Scene(OFFSET, JobStarted())
    assert scene.tell(WaitStarted(1, need)) == (OpenStream(1, 0), poll(1, 0.05))
    assert scene.tell(StreamOpened(1)) == (poll(2, 5.0),)


def test_a_wait_for_a_job_that_is_not_confirmed_asks_first() -> None:
    scene = waiting(OFFSET)
    assert scene.tell(JobQueued(1)) == (poll(2, 0.05), OpenStream(1, 0))


def test_a_wait_that_is_over_opens_nothing() -> None:
    scene = waiting(OFFSET)
    scene.tell(WaitEnded(1))
    assert scene.tell(JobStarted(1)) == ()


def test_a_service_that_does_not_push_is_never_connected() -> None:
    scene = waiting(POLLED)
    assert scene.tell(JobStarted(1)) == (poll(2, 0.05),)


def test_a_status_or_a_cancel_opens_no_connection() -> None:
    scene = Scene(OFFSET, JobStarted())
    assert scene.tell(WaitStarted(1, Need.STATUS)) == (FetchStatus(1),)
    scene = Scene(OFFSET, JobQueued(), CancelRequested(1))
    assert scene.tell(JobStarted()) == ()


def test_a_wait_and_a_subscription_share_one_connection() -> None:
    scene = Scene(OFFSET, JobStarted(), WaitStarted(1, Need.FINAL))
    assert scene.tell(SubscriptionRequested(1)) == ()
    scene.tell(StreamOpened(1))
    assert scene.tell(InterimReceived(1, ("m",))) == (Deliver(1, 0, ("m",)),)
    assert scene.tell(SubscriptionCancelled(1)) == (EndSubscription(1),)
    assert scene.tell(WaitEnded(1)) == (STOP_POLL, CloseStream(1))


def test_what_comes_on_a_connection_that_nobody_reads_is_counted() -> None:
    scene = Scene(LIVE, JobStarted(), WaitStarted(1, Need.FINAL), StreamOpened(1))
    assert scene.tell(InterimReceived(1, ("m", "n"))) == ()
    assert scene.machine.received == 2


# ---- its end is a hint -------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1011, 4002])
def test_the_end_of_a_stream_asks_for_the_status_whatever_its_code(code: int) -> None:
    scene = streaming(OFFSET)
    assert scene.tell(StreamClosed(1, code)) == (retry(1, 0.5), STOP_POLL, FetchStatus(3))


def test_a_broken_stream_asks_for_the_status() -> None:
    scene = streaming(OFFSET)
    out = scene.tell(StreamFailed(1, ERROR))
    assert out == (retry(1, 0.5), reopening(), STOP_POLL, FetchStatus(3))


def test_the_end_of_a_stream_wakes_a_result() -> None:
    scene = Scene(OFFSET, JobStarted(), WaitStarted(1, Need.RESULT), StreamOpened(1))
    assert scene.tell(StreamClosed(1)) == (retry(1, 0.5), STOP_POLL, FetchStatus(3))
    assert scene.tell(JobSucceeded(3)) == (STOP_STREAM, FetchResult(4))


def test_an_answer_under_way_may_be_older_than_the_end_of_the_stream() -> None:
    scene = streaming(OFFSET)
    scene.tell(fired(poll(2, 5.0)))
    assert scene.tell(StreamClosed(1)) == (retry(1, 0.5),)
    assert scene.tell(JobStarted(3)) == (FetchStatus(4),)


def test_a_connection_that_never_opened_is_no_hint() -> None:
    scene = Scene(OFFSET, JobStarted(), SubscriptionRequested(1))
    assert scene.tell(StreamFailed(1, ERROR)) == (retry(1, 0.5), reopening())


# ---- backing off -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ending",
    [
        lambda n: StreamClosed(n),
        lambda n: StreamClosed(n, 1011),
        lambda n: StreamFailed(n, ERROR),
        lambda n: StreamNotReady(n),
    ],
    ids=["1000", "1011", "failed", "not ready"],
)
def test_attempts_without_progress_back_off(ending: type[StreamClosed]) -> None:
    scene = streaming(OFFSET)
    delays = []
    for number in range(1, 8):
        timer = next(order for order in scene.tell(ending(number)) if isinstance(order, StartTimer))
        delays.append(timer.delay)
        assert scene.tell(fired(timer)) == (OpenStream(number + 1, 0),)
        scene.tell(StreamOpened(number + 1))
    assert delays == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_polling_goes_on_beside_the_back_off() -> None:
    scene = streaming(OFFSET)
    scene.tell(StreamClosed(1))
    assert polls(scene, 2, queued=False) == pytest.approx([0.05, 0.075])
    assert scene.tell(fired(retry(1, 0.5))) == (OpenStream(2, 0),)


def test_a_flapping_stream_does_not_keep_the_polls_fast() -> None:
    scene = streaming(OFFSET)
    scene.tell(StreamClosed(1), JobStarted(3))
    assert scene.tell(fired(poll(4, 0.05))) == (FetchStatus(5),)
    scene.tell(fired(retry(1, 0.5)), StreamOpened(2))
    assert scene.tell(StreamClosed(2)) == (retry(2, 1.0),)
    assert scene.tell(JobStarted(5)) == (FetchStatus(6),)
    # The second close in a row without progress does not begin the polling rule anew.
    assert scene.tell(JobStarted(6)) == (poll(7, 0.05 * 1.5),)


def test_progress_ends_the_back_off() -> None:
    scene = streaming(OFFSET)
    scene.tell(StreamClosed(1), fired(retry(1, 0.5)), StreamOpened(2))
    scene.tell(StreamClosed(2), fired(retry(2, 1.0)), StreamOpened(3))
    assert scene.tell(InterimReceived(3, ("m",))) == (Deliver(1, 0, ("m",)),)
    assert scene.tell(StreamClosed(3)) == (retry(3, 0.5),)


def test_a_replayed_message_is_no_progress() -> None:
    scene = streaming(REPLAY)
    scene.tell(InterimReceived(1, ("m",)), StreamClosed(1), fired(retry(1, 0.5)), StreamOpened(2))
    assert scene.tell(InterimReceived(2, ("m",))) == ()
    assert scene.tell(StreamClosed(2)) == (retry(2, 1.0),)


def test_a_late_message_is_absorbed() -> None:
    scene = streaming(OFFSET)
    scene.tell(StreamClosed(1))
    assert scene.tell(InterimReceived(1, ("m",))) == ()
    assert scene.tell(StreamOpened(1)) == ()
    assert scene.tell(StreamClosed(1)) == ()
    assert scene.machine.received == 0


def test_a_message_before_the_handshake_is_absorbed() -> None:
    scene = Scene(OFFSET, JobStarted(), SubscriptionRequested(1))
    assert scene.tell(InterimReceived(1, ("m",))) == ()
    assert scene.machine.received == 0


def test_nobody_interested_the_back_off_is_over() -> None:
    scene = streaming(OFFSET)
    scene.tell(StreamClosed(1), JobStarted(3))
    out = scene.tell(SubscriptionCancelled(1))
    assert out == (EndSubscription(1), STOP_POLL, STOP_STREAM)
    assert scene.tell(fired(retry(1, 0.5))) == ()


def test_a_timer_that_is_not_current_opens_and_drops_nothing() -> None:
    assert Scene(OFFSET, JobStarted()).tell(TimerFired(STREAM, 1)) == ()
    scene = streaming(OFFSET)
    scene.tell(StreamClosed(1))
    assert scene.tell(fired(retry(1, 0.5))) == (OpenStream(2, 0),)
    assert scene.tell(fired(retry(1, 0.5))) == ()


# ---- not running yet ---------------------------------------------------------------------------


def test_a_stream_that_is_not_ready_is_opened_when_the_job_starts() -> None:
    scene = Scene(OFFSET, JobQueued(), SubscriptionRequested(1))
    assert scene.tell(StreamNotReady(1)) == ()
    assert scene.tell(fired(poll(1, 0.05))) == (FetchStatus(2),)
    assert scene.tell(JobQueued(2)) == (poll(3, 0.05 * 1.5),)
    assert scene.tell(JobStarted()) == (OpenStream(2, 0),)
    assert scene.tell(StreamOpened(2)) == (poll(4, 5.0),)


def test_a_stream_that_is_not_ready_though_the_job_runs_is_tried_again() -> None:
    scene = Scene(OFFSET, JobStarted(), SubscriptionRequested(1))
    assert scene.tell(StreamNotReady(1)) == (retry(1, 0.5),)


def test_a_stream_that_was_not_ready_keeps_its_count_of_attempts() -> None:
    scene = Scene(OFFSET, JobQueued(), SubscriptionRequested(1))
    scene.tell(StreamNotReady(1), JobStarted())
    assert scene.tell(StreamFailed(2, ERROR)) == (retry(1, 0.5), reopening())


def test_a_live_stream_that_was_not_ready_may_have_missed_the_first_messages() -> None:
    scene = Scene(LIVE, JobQueued(), SubscriptionRequested(1))
    scene.tell(StreamNotReady(1), JobStarted())
    assert scene.tell(StreamOpened(2)) == (DeliverGap(1, 0), poll(2, 5.0))


def test_a_job_that_ends_before_its_stream_was_ready_is_drained() -> None:
    scene = Scene(OFFSET, JobQueued(), SubscriptionRequested(1), StreamNotReady(1))
    assert scene.tell(JobSucceeded()) == (STOP_POLL, OpenStream(2, 0))


def test_a_requeued_job_keeps_its_connection() -> None:
    traits = ServiceTraits(pushes=True, requeues=True)
    scene = Scene(traits, JobStarted(), SubscriptionRequested(1), StreamOpened(1))
    scene.tell(fired(poll(2, 5.0)))
    assert scene.tell(JobQueued(3)) == (poll(4, 5.0),)
    assert scene.tell(JobStarted()) == ()


# ---- the end of the job ------------------------------------------------------------------------


def test_a_final_status_does_not_close_an_open_connection() -> None:
    scene = streaming(OFFSET)
    assert scene.tell(JobSucceeded()) == (STOP_POLL, retry(1, 10.0))
    assert scene.tell(InterimReceived(1, ("m", "n"))) == (Deliver(1, 0, ("m", "n")),)
    assert scene.tell(StreamClosed(1)) == (STOP_STREAM, EndSubscription(1))


def test_a_live_stream_that_its_service_does_not_close_is_given_up_after_ten_seconds() -> None:
    scene = streaming(LIVE)
    scene.tell(JobSucceeded())
    out = scene.tell(fired(retry(1, 10.0)))
    assert out == (CloseStream(1), DeliverGap(1, 0), EndSubscription(1))


@pytest.mark.parametrize("traits", KEEPING)
def test_a_silent_stream_of_a_job_that_has_ended_is_opened_again(traits: ServiceTraits) -> None:
    scene = streaming(traits)
    scene.tell(InterimReceived(1, ("m",)), JobSucceeded())
    assert scene.tell(fired(retry(1, 10.0))) == (CloseStream(1), OpenStream(2, 1))
    assert scene.tell(StreamOpened(2)) == (retry(2, 10.0),)
    rest = ("n",) if traits is OFFSET else ("m", "n")
    assert scene.tell(InterimReceived(2, rest)) == (Deliver(1, 1, ("n",)),)
    assert scene.tell(StreamClosed(2)) == (STOP_STREAM, EndSubscription(1))


@pytest.mark.parametrize("traits", KEEPING)
def test_a_stream_that_stays_silent_is_given_up_after_some_connections(
    traits: ServiceTraits,
) -> None:
    scene = streaming(traits)
    scene.tell(JobSucceeded())
    for number in range(1, 1 + LAST_ATTEMPTS):
        out = scene.tell(fired(retry(number, 10.0)))
        assert out == (CloseStream(number), OpenStream(number + 1, 0))
        scene.tell(StreamOpened(number + 1))
    out = scene.tell(fired(retry(6, 10.0)))
    assert out == (CloseStream(6), DeliverGap(1, 0), EndSubscription(1))


def test_silent_and_failed_connections_count_together_until_a_message_comes() -> None:
    scene = streaming(OFFSET)
    scene.tell(JobSucceeded(), fired(retry(1, 10.0)), StreamFailed(2, ERROR))
    assert scene.tell(fired(retry(2, 0.5))) == (OpenStream(3, 0),)
    scene.tell(StreamOpened(3))
    assert scene.tell(fired(retry(3, 10.0))) == (CloseStream(3), OpenStream(4, 0))
    assert scene.tell(StreamFailed(4, ERROR)) == (retry(4, 2.0), reopening())
    scene.tell(fired(retry(4, 2.0)), StreamOpened(5), InterimReceived(5, ("m",)))
    assert scene.tell(StreamFailed(5, ERROR)) == (STOP_STREAM, retry(6, 0.5), reopening())


def test_the_drain_deadline_is_extended_while_messages_come() -> None:
    scene = streaming(OFFSET)
    scene.tell(JobSucceeded())
    for number in range(1, 4):
        scene.tell(InterimReceived(1, ("m",)))
        assert scene.tell(fired(retry(number, 10.0))) == (retry(number + 1, 10.0),)
    assert scene.tell(fired(retry(4, 10.0))) == (CloseStream(1), OpenStream(2, 3))


def test_the_drain_deadline_is_extended_while_messages_are_replayed() -> None:
    scene = streaming(REPLAY)
    scene.tell(InterimReceived(1, ("m", "n", "o")), StreamClosed(1), JobSucceeded(3))
    assert scene.tell(StreamOpened(2)) == (retry(2, 10.0),)
    scene.tell(InterimReceived(2, ("m",)))  # a service that takes its time to replay
    assert scene.tell(fired(retry(2, 10.0))) == (retry(3, 10.0),)
    assert scene.tell(InterimReceived(2, ("n", "o", "p"))) == (Deliver(1, 3, ("p",)),)
    assert scene.tell(StreamClosed(2)) == (STOP_STREAM, EndSubscription(1))


def test_the_drain_deadline_of_a_replay_that_does_not_begin_is_not_extended() -> None:
    scene = streaming(REPLAY)
    scene.tell(InterimReceived(1, ("m",)), StreamClosed(1), JobSucceeded(3), StreamOpened(2))
    assert scene.tell(fired(retry(2, 10.0))) == (CloseStream(2), OpenStream(3, 1))


def test_the_drain_deadline_counts_what_comes_for_a_new_subscription() -> None:
    scene = Scene(REPLAY, JobStarted(), WaitStarted(1, Need.RESULT), StreamOpened(1))
    scene.tell(InterimReceived(1, ("m", "n")), StreamClosed(1), JobStarted(3))
    scene.tell(fired(retry(1, 0.5)), StreamOpened(2), JobSucceeded())
    assert scene.tell(ReplayRequested(1)) == ()
    assert scene.tell(InterimReceived(2, ("m",))) == (Deliver(1, 0, ("m",)),)
    assert scene.tell(fired(retry(2, 10.0))) == (retry(3, 10.0),)


@pytest.mark.parametrize("traits", [OFFSET, REPLAY])
def test_the_drain_deadline_is_extended_while_there_are_signs_of_life(
    traits: ServiceTraits,
) -> None:
    scene = streaming(traits)
    scene.tell(InterimReceived(1, ("m",)), JobSucceeded())
    assert scene.tell(InterimReceived(1, ()), fired(retry(1, 10.0))) == (retry(2, 10.0),)
    assert scene.tell(InterimReceived(1, ()), fired(retry(2, 10.0))) == (retry(3, 10.0),)
    assert scene.tell(fired(retry(3, 10.0))) == (CloseStream(1), OpenStream(2, 1))


def test_a_sign_of_life_before_the_end_of_the_job_extends_nothing() -> None:
    scene = streaming(OFFSET)
    scene.tell(InterimReceived(1, ()), JobSucceeded())
    assert scene.tell(fired(retry(1, 10.0))) == (CloseStream(1), OpenStream(2, 0))


def test_a_cancel_that_took_effect_keeps_no_connection() -> None:
    scene = Scene(OFFSET, JobStarted(), WaitStarted(1, Need.FINAL), StreamOpened(1))
    scene.tell(CancelRequested(2), CancelAccepted(3), WaitEnded(1))
    assert scene.tell(JobCancelled(4)) == (retry(1, 10.0), STOP_STREAM, CloseStream(1))


def test_a_wait_alone_has_its_drain_deadline_too() -> None:
    scene = Scene(OFFSET, JobStarted(), WaitStarted(1, Need.RESULT), StreamOpened(1))
    assert scene.tell(JobSucceeded()) == (STOP_POLL, retry(1, 10.0), FetchResult(3))
    assert scene.tell(fired(retry(1, 10.0))) == (CloseStream(1),)


def test_nobody_interested_a_draining_connection_is_closed() -> None:
    scene = Scene(OFFSET, JobStarted(), WaitStarted(1, Need.FINAL), StreamOpened(1))
    out = scene.tell(JobSucceeded())
    assert out == (STOP_POLL, retry(1, 10.0), EndWait(1), STOP_STREAM, CloseStream(1))


@pytest.mark.parametrize("traits", KEEPING)
def test_a_job_found_final_while_retrying_gets_one_pass(traits: ServiceTraits) -> None:
    scene = streaming(traits)
    scene.tell(InterimReceived(1, ("m",)), StreamClosed(1))
    assert scene.tell(JobSucceeded(3)) == (STOP_STREAM, OpenStream(2, 1))
    assert scene.tell(StreamOpened(2)) == (retry(2, 10.0),)
    rest = ("n",) if traits is OFFSET else ("m", "n")
    assert scene.tell(InterimReceived(2, rest)) == (Deliver(1, 1, ("n",)),)
    assert scene.tell(StreamClosed(2)) == (STOP_STREAM, EndSubscription(1))


LAST_DELAYS = [0.5, 1.0, 2.0, 4.0]
"""How far apart the attempts after the end are, in seconds, where a service is away."""


def tell_last_attempts(scene: Scene, first: int, kind: Callable[[int], StreamClosed]) -> Scene:
    """Let all attempts after the end but the last fail, from connection `first` on."""
    for place, delay in enumerate(LAST_DELAYS):
        timer = scene.tell(kind(first + place))[-1]
        assert isinstance(timer, StartTimer)
        assert timer.delay == delay
        assert scene.tell(fired(timer)) == (OpenStream(first + place + 1, scene.machine.received),)
    return scene


@pytest.mark.parametrize(
    ("code", "reason", "message"),
    [
        (1011, "going wrong", "was closed with 1011 going wrong after"),
        (1011, "", "was closed with 1011 after"),
        (1000, "", "was closed with 1000 after"),
    ],
)
def test_a_pass_that_fails_is_made_again_a_few_times(code: int, reason: str, message: str) -> None:
    scene = streaming(OFFSET)
    scene.tell(StreamClosed(1), JobSucceeded(3))
    tell_last_attempts(scene, 2, lambda number: StreamClosed(number, code, reason))
    (end,) = scene.tell(StreamClosed(6, code, reason))
    assert isinstance(end, EndSubscription)
    assert isinstance(end.error, TransportError)
    assert end.error.message.startswith(f"The stream {message} the job had ended")
    assert end.error.retryable


def test_a_service_that_is_away_at_the_end_is_waited_for() -> None:
    scene = streaming(OFFSET)
    scene.tell(InterimReceived(1, ("a",)), StreamFailed(1, ERROR), JobSucceeded(3))
    timer = retry(2, 0.5)
    assert scene.tell(StreamFailed(2, ERROR)) == (timer, reopening())
    assert scene.tell(fired(timer)) == (OpenStream(3, 1),)
    scene.tell(StreamOpened(3))
    assert scene.tell(InterimReceived(3, ("b",))) == (Deliver(1, 1, ("b",)),)
    assert scene.tell(StreamClosed(3)) == (STOP_STREAM, EndSubscription(1))


def test_a_message_after_the_end_gives_the_service_its_time_anew() -> None:
    scene = streaming(OFFSET)
    scene.tell(StreamClosed(1), JobSucceeded(3))
    tell_last_attempts(scene, 2, lambda number: StreamClosed(number, 1006))
    scene.tell(StreamOpened(6), InterimReceived(6, ("m",)))
    assert retry(7, 0.5) in scene.tell(StreamFailed(6, ERROR))


def test_a_retry_after_is_obeyed_after_the_end_too() -> None:
    scene = streaming(OFFSET)
    scene.tell(StreamClosed(1), JobSucceeded(3))
    busy = TransportError("too many", 429, retryable=True, retry_after=7.0)
    assert scene.tell(StreamFailed(2, busy)) == (retry(2, 7.0), reopening(busy))


@pytest.mark.parametrize("error", [FATAL, ValueError("no transport")])
def test_a_pass_that_is_refused_for_good_is_the_last_one(error: Exception) -> None:
    scene = streaming(OFFSET)
    scene.tell(StreamClosed(1), JobSucceeded(3))
    assert scene.tell(StreamFailed(2, error)) == (EndSubscription(1, error),)


def test_a_pass_that_is_refused_because_the_job_does_not_run_is_the_last_one() -> None:
    scene = streaming(OFFSET)
    scene.tell(StreamClosed(1), JobSucceeded(3))
    (end,) = scene.tell(StreamNotReady(2))
    assert isinstance(end, EndSubscription)
    assert "was refused, because the job does not run after the job had ended" in str(end.error)


def test_who_wants_no_more_ends_the_passes() -> None:
    scene = streaming(OFFSET)
    scene.tell(StreamClosed(1), JobSucceeded(3), StreamFailed(2, ERROR))
    assert scene.tell(SubscriptionCancelled(1)) == (EndSubscription(1), STOP_STREAM)


def test_a_pass_that_breaks_tells_what_broke_it() -> None:
    scene = streaming(OFFSET)
    scene.tell(StreamClosed(1), JobSucceeded(3))
    tell_last_attempts(scene, 2, lambda number: StreamClosed(number, 1006))
    scene.tell(StreamOpened(6))
    assert scene.tell(StreamFailed(6, ERROR)) == (STOP_STREAM, EndSubscription(1, ERROR))


def test_a_connection_that_breaks_after_the_end_is_followed_by_a_pass_at_once() -> None:
    scene = streaming(OFFSET)
    scene.tell(JobSucceeded(), InterimReceived(1, ("m",)))
    assert scene.tell(StreamFailed(1, ERROR)) == (STOP_STREAM, OpenStream(2, 1))
    assert scene.tell(StreamFailed(2, ERROR)) == (retry(2, 0.5), reopening())


def test_a_connection_that_is_being_opened_at_the_end_is_the_pass() -> None:
    scene = Scene(OFFSET, JobStarted(), SubscriptionRequested(1))
    assert scene.tell(JobSucceeded()) == (STOP_POLL,)
    assert scene.tell(StreamOpened(1)) == (retry(1, 10.0),)
    assert scene.tell(StreamClosed(1)) == (STOP_STREAM, EndSubscription(1))


def test_a_connection_for_a_wait_alone_gets_no_pass() -> None:
    scene = Scene(OFFSET, JobStarted(), WaitStarted(1, Need.RESULT), StreamOpened(1))
    scene.tell(StreamClosed(1))
    assert scene.tell(JobSucceeded(3)) == (STOP_STREAM, FetchResult(4))


def test_a_draining_connection_that_ends_for_a_wait_alone_is_over() -> None:
    scene = Scene(OFFSET, JobStarted(), WaitStarted(1, Need.RESULT), StreamOpened(1))
    scene.tell(JobSucceeded())
    assert scene.tell(StreamFailed(1, ERROR)) == (STOP_STREAM,)


@pytest.mark.parametrize(
    ("asked", "delay"), [(None, 0.5), (0.0, 0.5), (120.0, 120.0), (9e9, 300.0)]
)
def test_a_refused_stream_is_opened_again_when_the_service_said(
    asked: float | None, delay: float
) -> None:
    scene = Scene(OFFSET, SubscriptionRequested(1))
    refused = TransportError("too many", 429, retryable=True, retry_after=asked)
    out = scene.tell(StreamFailed(1, refused))
    assert out[0] == StartTimer(STREAM, 1, delay)
    assert isinstance(out[1], Report)
    assert out[1].text == "Job j1: too many; the stream is opened again."
