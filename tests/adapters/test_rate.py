"""How often a service may be asked, as arithmetic."""

from __future__ import annotations

import math

import pytest
from fakes import failure

from adapters.drivers.rate import SlowDown, TokenBucket
from runtime_core.errors import TransportError
from runtime_core.events import JobStarted, RequestFailed


def sent(bucket: TokenBucket, seconds: float, start: float = 1000.0) -> list[float]:
    """When requests go, if there is always one more to send."""
    now, times = start, []
    while now < start + seconds:
        delay = bucket.delay(now)
        if delay == 0:
            bucket.take(now)
            times.append(now - start)
        else:
            now += delay
    return times


def test_ten_at_once_and_then_ten_a_second() -> None:
    times = sent(TokenBucket(10.0), 3.0)
    assert times[:10] == [0.0] * 10
    assert times[10:] == pytest.approx([n / 10 for n in range(1, len(times) - 9)])
    assert len(times) == 10 + 29


def test_at_a_later_time_too_every_wake_up_finds_a_token() -> None:
    # Where the clock resolves microseconds only, so to speak.
    times = sent(TokenBucket(10.0), 100.0, start=1e9)
    assert len(times) == pytest.approx(10 + 1000, abs=1)


def test_who_waits_saves_no_more_than_a_burst() -> None:
    bucket = TokenBucket(10.0)
    for _ in range(10):
        bucket.take(1000.0)
    assert bucket.tokens(1000.0) == 0
    assert bucket.tokens(1000.5) == 5
    assert bucket.tokens(2000.0) == 10


@pytest.mark.parametrize(("rate", "burst"), [(0.5, 1), (1.0, 1), (2.5, 2), (10.0, 10), (500.0, 10)])
def test_the_burst_is_what_a_second_allows_and_ten_at_most(rate: float, burst: int) -> None:
    bucket = TokenBucket(rate)
    assert bucket.tokens(1000.0) == burst
    seconds = 100 / rate
    assert len(sent(bucket, seconds)) == pytest.approx(burst + 100, abs=1)


def test_there_may_be_no_limit() -> None:
    bucket = TokenBucket(math.inf)
    for _ in range(1000):
        assert bucket.delay(1000.0) == 0
        bucket.take(1000.0)
    assert bucket.tokens(1000.0) == 10


def test_the_rate_may_change() -> None:
    bucket = TokenBucket(1.0)
    bucket.take(1000.0)
    assert bucket.delay(1000.0) == 1.0
    bucket.set_rate(10.0, 1000.0)
    assert bucket.delay(1000.0) == 0  # ten may go at once, and one is gone
    assert bucket.tokens(1000.0) == 9


def test_what_was_rare_is_not_waited_for_once_more_is_allowed() -> None:
    bucket = TokenBucket(0.01)
    bucket.take(1000.0)
    assert bucket.delay(1001.0) == pytest.approx(99.0)
    bucket.set_rate(1.0, 1001.0)
    assert bucket.delay(1001.0) == pytest.approx(0.99)
    bucket.set_rate(math.inf, 1001.0)
    assert bucket.delay(1001.0) == 0
    bucket.set_rate(1.0, 1001.0)
    assert bucket.tokens(1001.0) == 1


# ---- the service's word ------------------------------------------------------------------------


def failed(error: TransportError) -> RequestFailed:
    return RequestFailed(1, error, error.retryable, error.retry_after)


def test_a_retry_after_rules_whatever_the_status() -> None:
    for status in (429, 503, None):
        slow = SlowDown()
        slow.hear(failed(failure(status, after=60)), 1000.0)
        assert slow.until == 1060.0
        assert slow.holds(1059.9)
        assert not slow.holds(1060.0)


def test_a_retry_after_is_obeyed_for_five_minutes() -> None:
    slow = SlowDown()
    slow.hear(failed(failure(429, after=1e9)), 1000.0)
    assert slow.until == 1300.0


def test_a_shorter_one_does_not_take_the_longer_one_back() -> None:
    slow = SlowDown()
    slow.hear(failed(failure(429, after=60)), 1000.0)
    slow.hear(failed(failure(429, after=1)), 1001.0)
    slow.hear(failed(failure(429)), 1001.0)
    assert slow.until == 1060.0


def test_without_one_a_429_doubles_the_delay_up_to_eight_seconds() -> None:
    slow = SlowDown()
    now, delays = 1000.0, []
    for _ in range(7):
        slow.hear(failed(failure(429)), now)
        delays.append(slow.until - now)
        now = slow.until
    assert delays == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_all_429_of_one_burst_count_once() -> None:
    slow = SlowDown()
    for _ in range(10):
        slow.hear(failed(failure(429)), 1000.0)
    assert slow.until == 1000.5


def test_a_success_ends_the_doubling_but_not_if_it_was_sent_before() -> None:
    slow = SlowDown()
    slow.hear(failed(failure(429)), 1000.0)
    slow.hear(JobStarted(1), 1000.1)
    slow.hear(failed(failure(429)), 1000.5)
    assert slow.until == 1001.5
    slow.hear(JobStarted(1), 1001.5)
    slow.hear(failed(failure(429)), 1002.0)
    assert slow.until == 1002.5


def test_other_failures_are_the_job_s_own() -> None:
    slow = SlowDown()
    slow.hear(failed(failure(503)), 1000.0)
    slow.hear(RequestFailed(1, ValueError("no status")), 1000.0)
    assert not slow.holds(1000.0)
