"""The clock of tests: it goes when it is told to, and only forward."""

from __future__ import annotations

import pytest

from runtime_core.testing import FakeClock


def test_time_stands_still_until_somebody_moves_it() -> None:
    clock = FakeClock(1000.0)
    assert clock.monotonic() == clock.monotonic() == 1000.0
    clock.sleep(2.5)
    clock.advance(0.5)
    assert clock.monotonic() == 1003.0
    with pytest.raises(ValueError, match="time does not go back: -1 s"):
        clock.advance(-1)
    assert clock.monotonic() == 1003.0


def test_what_is_due_runs_in_order_each_at_its_time() -> None:
    clock, ran = FakeClock(), list[tuple[str, float]]()

    def note(name: str) -> None:
        ran.append((name, clock.monotonic()))

    clock.call_later(2.0, lambda: note("second"))
    clock.call_later(1.0, lambda: note("first"))
    clock.call_later(2.0, lambda: note("third"))
    clock.call_later(9.0, lambda: note("never"))
    clock.advance(5.0)
    assert ran == [("first", 1.0), ("second", 2.0), ("third", 2.0)]
    assert clock.monotonic() == 5.0
    assert repr(clock) == "<FakeClock at 5 s, 1 timers>"


def test_a_task_may_start_another_and_may_sleep() -> None:
    clock, ran = FakeClock(), list[float]()

    def again() -> None:
        ran.append(clock.monotonic())
        clock.call_later(1.0, again)

    def slow() -> None:
        clock.sleep(10.0)

    clock.call_later(1.0, again)
    clock.call_later(2.5, slow)
    clock.advance(3.5)
    assert ran == [float(n) for n in range(1, 13)]
    assert clock.monotonic() == 12.5, "the task slept past the end, and time does not go back"


def test_a_task_that_was_cancelled_does_not_run() -> None:
    clock, ran = FakeClock(), list[str]()
    timer = clock.call_later(1.0, lambda: ran.append("cancelled"))
    other = clock.call_later(2.0, lambda: ran.append("other"))
    timer.cancel()
    assert [*clock.pending] == [other]
    clock.advance(3.0)
    assert ran == ["other"]
    assert not clock.pending


def test_what_a_task_raises_stops_the_time() -> None:
    clock, ran = FakeClock(), list[str]()

    def fail() -> None:
        raise ZeroDivisionError

    clock.call_later(1.0, fail)
    clock.call_later(1.0, lambda: ran.append("next"))
    with pytest.raises(ZeroDivisionError):
        clock.advance(5.0)
    assert (clock.monotonic(), ran) == (1.0, [])
    clock.advance(0.0)
    assert ran == ["next"]


def test_time_can_pass_until_something_happens() -> None:
    clock, ran = FakeClock(), list[float]()
    assert not clock.advance_to_next()
    clock.call_later(3.0, lambda: ran.append(clock.monotonic()))
    clock.call_later(-1.0, lambda: ran.append(clock.monotonic()))
    assert clock.advance_to_next()
    assert ran == [0.0]
    assert clock.advance_to_next()
    assert ran == [0.0, 3.0]
    assert not clock.advance_to_next()


def test_it_moves_to_a_moment_exactly() -> None:
    clock = FakeClock(0.1)
    clock.advance_to(0.7)  # 0.1 + (0.7 - 0.1) is not 0.7
    assert clock.monotonic() == 0.7
    clock.advance_to(0.5)
    assert clock.monotonic() == 0.7


def test_it_knows_when_it_is_needed_next() -> None:
    clock = FakeClock()
    assert clock.next_due is None
    first = clock.call_at(1.0, lambda: None)
    clock.call_at(2.0, lambda: None)
    assert clock.next_due == 1.0
    first.cancel()
    assert clock.next_due == 2.0
