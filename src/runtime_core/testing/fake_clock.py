"""A clock for tests: time passes when the test says so, and no test sleeps."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable

import attrs


@attrs.define(eq=False)
class FakeTimer:
    """A task that a `FakeClock` will run."""

    due: float
    """When, in seconds on the clock."""
    task: Callable[[], object]
    """What is run."""
    is_cancelled: bool = False
    """Whether it will not be run after all."""

    def cancel(self) -> None:
        """See to it that the task is not run; if it was already, do nothing."""
        self.is_cancelled = True


class FakeClock:
    """What time it is: as late as the test has made it. For every thread.

    It stands wherever code takes a clock with `monotonic` and `sleep`, as `BlockingDriver` does:
    who sleeps on it moves it, and returns at once.

        clock = FakeClock()
        driver = BlockingDriver("j1", transport, clock=clock)
        driver.wait(Need.FINAL)
        assert clock.monotonic() == 3.0

    Args:
        start: the first reading, in seconds. One that is far from 0 shows where a time was taken
            for a delay.
    """

    def __init__(self, start: float = 0.0) -> None:
        self._now = start
        self._timers: list[tuple[float, int, FakeTimer]] = []
        self._count = itertools.count()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<FakeClock at {self._now:g} s, {len(self.pending)} timers>"

    def monotonic(self) -> float:
        """The time in seconds; it never goes back."""
        return self._now

    def sleep(self, seconds: float, /) -> None:
        """Let so much time pass: the same as `advance`, under the name that drivers call."""
        self.advance(seconds)

    def call_later(self, delay: float, task: Callable[[], object]) -> FakeTimer:
        """Have a task run when `delay` seconds have passed, by the thread that lets them pass."""
        return self.call_at(self._now + max(0.0, delay), task)

    def call_at(self, moment: float, task: Callable[[], object]) -> FakeTimer:
        """Have a task run when the clock shows this; see `call_later`."""
        timer = FakeTimer(moment, task)
        with self._lock:
            heapq.heappush(self._timers, (moment, next(self._count), timer))
        return timer

    def advance(self, seconds: float) -> None:
        """Let time pass, and run what is due meanwhile: in order, each at its own time.

        What a task raises passes through; the time then is that of the task.

        Raises:
            ValueError: if `seconds` is negative.
        """
        if seconds < 0:
            raise ValueError(f"time does not go back: {seconds:g} s")
        self.advance_to(self._now + seconds)

    def advance_to(self, moment: float) -> None:
        """Let time pass until the clock shows exactly this; see `advance`.

        Nothing happens if it is later already.
        """
        while (timer := self._next_due(moment)) is not None:
            timer.task()
        with self._lock:
            self._now = max(self._now, moment)

    def advance_to_next(self) -> bool:
        """Let time pass until the next task is due, and run what is due then; False if none is."""
        due = self.next_due
        if due is None:
            return False
        self.advance_to(due)
        return True

    @property
    def next_due(self) -> float | None:
        """When the next task will be run; None if none will."""
        with self._lock:
            while self._timers and self._timers[0][2].is_cancelled:
                heapq.heappop(self._timers)
            return self._timers[0][0] if self._timers else None

    @property
    def pending(self) -> tuple[FakeTimer, ...]:
        """What will be run, the next first."""
        with self._lock:
            return tuple(timer for *_, timer in sorted(self._timers) if not timer.is_cancelled)

    def _next_due(self, end: float) -> FakeTimer | None:
        """Take out the next timer up to then, and make it its time."""
        with self._lock:
            while self._timers and self._timers[0][0] <= end:
                due, _, timer = heapq.heappop(self._timers)
                if not timer.is_cancelled:
                    # A task that slept may have made it later already.
                    self._now = max(self._now, due)
                    return timer
        return None
