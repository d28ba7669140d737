"""`RuntimeJob.cancel`: a wish, what the service says to it, and what comes of it."""

from __future__ import annotations

import pytest
from async_fakes import each_driver  # noqa: F401 - its fixture
from fakes import HANGS, OPENS, Late, failure, over_time, says, world

from adapters.drivers.job_requests import REQUEST_DEADLINE
from runtime_core.cancel import CancelOutcome
from runtime_core.errors import (
    RuntimeInvalidStateError,
    RuntimeJobCancelledError,
    TransportError,
    UsageError,
)
from runtime_core.events import JobStarted
from runtime_core.states import JobState
from runtime_core.traits import Resume

REFUSED = failure(409)


def test_a_cancel_that_was_taken_and_took_effect() -> None:
    w = world("RUNNING", "RUNNING", "CANCELLED")
    assert w.job.cancel_outcome() is None
    w.job.cancel()
    assert w.job.cancel_outcome() is None
    w.job.wait_for_final_state()
    assert w.job.cancel_outcome() is CancelOutcome.CANCELLED
    with pytest.raises(RuntimeJobCancelledError):
        w.job.result()
    assert w.client.count("job_cancel") == 1


def test_cancel_returns_with_the_service_s_answer() -> None:
    w = world("RUNNING", cancel=Late(3.0, ""))
    with w.takes(3.0):
        w.job.cancel()


def test_an_accepted_cancel_asks_for_the_state_at_once_and_goes_on_asking() -> None:
    w = world("RUNNING")
    w.job.cancel()
    w.reactor.settle()
    assert w.client.times("job_get") == [0.0]
    w.client.now_says(over_time(w.reactor, "RUNNING", (8.0, "CANCELLED")))
    w.reactor.advance(20.0)
    assert w.job.cancel_outcome() is CancelOutcome.CANCELLED
    assert w.traces == []


def test_a_job_that_ends_before_the_cancel_takes_effect_finished_anyway() -> None:
    w = world("RUNNING", "COMPLETED")
    w.job.cancel()
    assert w.job.result() == 42
    assert w.job.cancel_outcome() is CancelOutcome.FINISHED_ANYWAY


def test_a_cancel_refused_with_409_says_in_which_state_the_job_is() -> None:
    w = world("COMPLETED", cancel=REFUSED)
    with pytest.raises(RuntimeInvalidStateError, match="DONE") as caught:
        w.job.cancel()
    assert caught.value.state is JobState.DONE
    assert w.job.cancel_outcome() is CancelOutcome.REJECTED
    assert w.job.result() == 42


def test_a_cancel_refused_though_the_job_goes_on() -> None:
    w = world("RUNNING", cancel=[REFUSED, ""])
    with pytest.raises(RuntimeInvalidStateError, match="RUNNING"):
        w.job.cancel()
    assert w.job.cancel_outcome() is CancelOutcome.REJECTED
    w.job.cancel()
    assert w.job.cancel_outcome() is None


def test_a_cancel_that_may_have_arrived_is_unknown() -> None:
    away = failure(504, retryable=True)
    w = world("RUNNING", cancel=[away, ""])
    with w.takes(0.0), pytest.raises(TransportError) as caught:
        w.job.cancel()
    assert caught.value is away
    assert w.job.cancel_outcome() is CancelOutcome.UNKNOWN
    assert w.client.count("job_cancel") == 1
    assert w.traces == []
    w.job.cancel()
    assert w.job.cancel_outcome() is None


def test_an_unknown_cancel_is_decided_by_the_job_s_end() -> None:
    w = world("CANCELLED", cancel=failure(retryable=True))
    with pytest.raises(TransportError):
        w.job.cancel()
    w.job.wait_for_final_state()
    assert w.job.cancel_outcome() is CancelOutcome.CANCELLED


def test_a_cancel_that_is_not_answered_is_given_up_after_ninety_seconds() -> None:
    w = world("RUNNING", cancel=HANGS)
    with w.takes(90.0), pytest.raises(TransportError):
        w.job.cancel()
    assert w.job.cancel_outcome() is CancelOutcome.UNKNOWN


def test_a_second_cancel_shares_the_answer_to_the_first() -> None:
    w = world("RUNNING", cancel=Late(2.0, ""))
    w.reactor.at(1.0, w.job.cancel)
    w.job.cancel()
    assert w.client.count("job_cancel") == 1


def test_a_final_state_wins_over_a_pending_answer() -> None:
    w = world("COMPLETED", cancel=Late(5.0, REFUSED))
    w.reactor.at(1.0, w.job.wait_for_final_state)
    with w.takes(1.0):
        w.job.cancel()
    assert w.job.cancel_outcome() is CancelOutcome.FINISHED_ANYWAY
    w.reactor.advance(10.0)
    assert w.job.cancel_outcome() is CancelOutcome.FINISHED_ANYWAY


def test_a_job_known_to_be_final_is_not_cancelled() -> None:
    w = world("FAILED")
    w.job.status()
    with pytest.raises(RuntimeInvalidStateError, match="ERROR"):
        w.job.cancel()
    assert w.client.count("job_cancel") == 0
    assert w.job.cancel_outcome() is None
    assert w.traces == []


def test_cancel_works_inside_a_callback() -> None:
    w = world("RUNNING", streams=Resume.OFFSET, script=[(OPENS, says("1"))], initial=JobStarted())
    w.client.now_says(over_time(w.reactor, "RUNNING", (3.0, "CANCELLED")))
    w.job.stream_results(lambda *_: w.job.cancel())
    with pytest.raises(RuntimeJobCancelledError):
        w.job.result(timeout=60)
    assert w.job.stream_error() is None
    assert w.job.cancel_outcome() is CancelOutcome.CANCELLED


def test_ctrl_c_during_a_cancel_does_not_take_the_wish_back() -> None:
    w = world("RUNNING", cancel=Late(5.0, ""))
    w.reactor.interrupt(1.0)
    with pytest.raises(KeyboardInterrupt):
        w.job.cancel()
    w.client.now_says("CANCELLED")
    w.reactor.advance(10.0)
    assert w.job.cancel_outcome() is CancelOutcome.CANCELLED
    assert w.traces == []


def test_close_wakes_who_waits_for_a_cancel() -> None:
    w = world("RUNNING", cancel=HANGS)
    w.reactor.at(1.0, w.job.close)
    with w.takes(1.0), pytest.raises(UsageError):
        w.job.cancel()
    # The cancel itself goes on, until its time is up: closing a job takes nothing back.
    w.reactor.advance(REQUEST_DEADLINE)
    assert w.traces == []
