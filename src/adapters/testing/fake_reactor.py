"""A world without threads and real time, in which jobs live: one thread, a clock of its own."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Protocol, TypeAlias

import attrs

from adapters.drivers.budgets import Budgets
from adapters.drivers.channel import Channel
from adapters.drivers.loop import Task
from adapters.drivers.reactor import Forkable
from adapters.drivers.status_budget import StatusBudget
from adapters.transport import AnyStream
from runtime_core.errors import UsageError
from runtime_core.events import StreamClosed, StreamEvent, StreamFailed, StreamNotReady
from runtime_core.testing import FakeClock

Listener: TypeAlias = Callable[[Sequence[StreamEvent]], None]

BUSY = 20_000
"""So many tasks at one time mean that they make each other without end."""


class WorldClock(FakeClock):
    """The clock of a `FakeReactor`: what sleeps in a request or a callback holds only that up."""

    def __init__(self, start: float) -> None:
        super().__init__(start)
        self.held: float | None = None
        """How long what is running takes, so far; None if nothing is running that could."""

    def sleep(self, seconds: float, /) -> None:
        """Take so much time: as long as that the request or callback that calls this is held up."""
        if self.held is None:
            super().sleep(seconds)
        elif seconds < 0:
            raise ValueError(f"time does not go back: {seconds:g} s")
        else:
            self.held += seconds


class Armed(Protocol):
    """A timer of a loop."""

    @property
    def at(self) -> float:
        """When it fires, on the clock."""
        ...

    @property
    def armed(self) -> bool:
        """Whether it will."""
        ...


@attrs.define(eq=False)
class ReactorTimer:
    """A timer that can be disarmed."""

    at: float
    """When it fires, on the clock."""
    task: Task
    """What it does then."""
    armed: bool = True
    """Whether it will."""

    def cancel(self) -> None:
        """Disarm it."""
        self.armed = False

    def fire(self) -> None:
        """Do it, unless it was disarmed."""
        if self.armed:
            self.armed = False
            self.task()


class FakeReactor:
    """Where jobs live in a test: nothing happens but while somebody waits, and no time is lost.

        reactor = FakeReactor()
        transport = FakeTransport(JobState.RUNNING, Late(3.0), JobState.DONE, clock=reactor.clock)
        job = RuntimeJob(None, transport, None, "j1", "p", reactor=reactor)
        job.result(timeout=10)
        assert reactor.elapsed == ...

    Whoever waits (`job.result()`, say) runs what is to be run: requests, callbacks, the loop; when
    there is nothing, the clock moves to the next moment at which something is due, or to the
    deadline, exactly. What sleeps on `clock` in a request or a callback runs at once, and what
    comes of it comes that much later. To wait for what will never come is an `AssertionError`.

    For one thread. Streams are iterators of events; one with a `poll`, as `FakeTransport` gives
    them, is never waited for. `jittered` adds nothing.

    Args:
        start: the first reading of the clock, in seconds: far from 0, so that nobody takes a time
            for a delay.
    """

    ends_a_worker: tuple[type[BaseException], ...] = (SystemExit,)
    """What a request or a callback may raise that ends its thread and nothing else."""

    def __init__(self, start: float = 1000.0) -> None:
        self.clock = WorldClock(start)
        """What time it is. For the test, and for what a request or a callback takes."""
        self.timers: list[Armed] = []
        """The timers that were armed by `call_later`."""
        self.abandoned: list[Task] = []
        """The requests that nobody waits for any more."""
        self.children: list[Forkable] = []
        """Who would have to hear of a fork."""
        self._start = start
        self._tasks: deque[Task] = deque()
        self._requests: deque[Task] = deque()
        self._callbacks: deque[Task] = deque()
        self._others: deque[Task] = deque()
        self._streams: list[_Channel] = []
        self._callbacks_free_at = start
        self._on_loop = False
        self._steps = 0
        self._interrupt: float | None = None
        self._budgets = Budgets(self)

    # ---- ThreadReactor -------------------------------------------------------------------------

    def now(self) -> float:
        """See `Reactor`."""
        return self.clock.monotonic()

    def call_soon(self, task: Task) -> None:
        """See `Reactor`."""
        if self.clock.held is None:
            self._put(task)
        else:
            self._at(self.now() + self.clock.held, lambda: self._put(task))

    def call_later(self, delay: float, task: Task) -> ReactorTimer:
        """See `Reactor`."""
        _require(self._on_loop, "call_later is for the loop only")
        timer = ReactorTimer(self.now() + delay, task)
        self._at(timer.at, lambda: self._tasks.append(timer.fire))
        self.timers.append(timer)
        return timer

    def jittered(self, delay: float) -> float:
        """The delay as it is."""
        return delay

    def run_request(self, task: Task) -> None:
        """See `Reactor`."""
        self._requests.append(task)

    def abandon_request(self, task: Task) -> None:
        """See `Reactor`."""
        self.abandoned.append(task)

    def budget_of(self, service: object) -> StatusBudget:
        """See `Reactor`."""
        _require(self._on_loop, "budget_of is for the loop only")
        return self._budgets.of(service)

    def run_callback(self, task: Task) -> None:
        """See `ThreadReactor`. Callbacks run one after the other."""
        self._callbacks.append(task)

    def open_channel(self, connection: int, stream: AnyStream, listener: Listener) -> Channel:
        """See `Reactor`.

        Raises:
            UsageError: if the stream is no iterator.
        """
        _require(self._on_loop, "open_channel is for the loop only")
        if not isinstance(stream, Iterator):
            raise UsageError(f"connection {connection}: a FakeReactor reads iterators of events")
        channel = _Channel(stream, listener)
        self._streams.append(channel)
        return channel

    def wait(self, signal: threading.Event, deadline: float | None) -> bool:
        """Run the world until the signal is set or the deadline is reached, and not beyond it."""
        _require(not self._on_loop, "who waits on the loop waits for ever")
        return self.run_until(signal.is_set, deadline)

    def adopt(self, child: Forkable) -> None:
        """See `Reactor`."""
        self.children.append(child)

    # ---- for tests -----------------------------------------------------------------------------

    @property
    def elapsed(self) -> float:
        """The seconds since the beginning."""
        return self.now() - self._start

    @property
    def armed(self) -> list[float]:
        """In how many seconds the timers will fire that are armed."""
        return sorted(t.at - self.now() for t in self.timers if t.armed and t.at >= self.now())

    def at(self, delay: float, task: Task) -> None:
        """Run something as another thread would, some seconds from now."""
        self._at(self.now() + delay, lambda: self._others.append(task))

    def interrupt(self, delay: float) -> None:
        """Ctrl-C: raise KeyboardInterrupt out of who waits, some seconds from now."""
        self._interrupt = self.now() + delay

    def run_until(self, is_over: Callable[[], bool], deadline: float | None = None) -> bool:
        """Run the world until this holds (True) or the deadline is reached (False).

        Raises:
            AssertionError: if it never will, or if tasks make each other without end.
        """
        held, self.clock.held = self.clock.held, None  # what runs meanwhile is not what is held
        try:
            while not is_over():
                # At the same moment the deadline is first: what comes with it comes too late.
                if deadline is not None and self.now() >= deadline:
                    _require(self.now() == deadline, "somebody else slept past this deadline")
                    return False
                moves = self._step(deadline)
                _require(moves, "a hang: somebody waits, and nothing will ever happen")
        finally:
            self.clock.held = held
        return True

    def settle(self) -> None:
        """Run everything that is to be done now; the clock stands."""
        while self._run_one():
            pass

    def advance(self, seconds: float) -> None:
        """Let time pass, and everything happen that happens in it."""
        until = self.now() + seconds
        while self.now() < until:
            self._step(until)
        self.settle()

    # ---- the world -----------------------------------------------------------------------------

    def _put(self, task: Task) -> None:
        self._tasks.append(task)

    def _at(self, time: float, task: Callable[[], object]) -> None:
        if time < math.inf:
            self.clock.call_at(time, task)

    def _step(self, limit: float | None) -> bool:
        """Do one thing, or else move the clock; False if there is nothing to come."""
        if self._interrupt is not None and self.now() >= self._interrupt:
            self._interrupt = None
            raise KeyboardInterrupt
        if self._run_one():
            return True
        moments = (self.clock.next_due, limit, self._interrupt)
        times = [moment for moment in moments if moment is not None]
        if not times:
            return False
        self.clock.advance_to(min(times))
        self._steps = 0
        return True

    def _run_one(self) -> bool:
        self._steps += 1
        _require(self._steps <= BUSY, "a busy loop: there is always one more thing to do now")
        self.clock.advance(0)
        if self._loop_is_busy:
            self._on_loop = True
            try:
                self._run_loop()
            finally:
                self._on_loop = False
        elif self._requests:
            self._run_worker(self._requests.popleft())
        elif self._callbacks and self.now() >= self._callbacks_free_at:
            held = self._run_worker(self._callbacks.popleft())
            self._callbacks_free_at = self.now() + held
            self._at(self._callbacks_free_at, _nothing)
        elif self._others:
            self._others.popleft()()
        else:
            return any(self._read(channel) for channel in self._streams)
        return True

    @property
    def _loop_is_busy(self) -> bool:
        return bool(self._tasks)

    def _run_loop(self) -> None:
        self._tasks.popleft()()

    def _read(self, channel: _Channel) -> bool:
        """Take the next event of a stream, if there is one; return whether there was."""
        event = channel.next()
        if event is not None:
            self._put(lambda: channel.tell(event))
        return event is not None

    def _run_worker(self, task: Task) -> float:
        """Run a task as a worker does, which logs what it raises; return how long it takes."""
        before, self.clock.held = self.clock.held, 0.0
        with suppress(*self.ends_a_worker):
            task()
        held, self.clock.held = self.clock.held, before
        return held


@attrs.define(eq=False)
class _Channel:
    """A connection that is an iterator of events."""

    stream: Iterator[StreamEvent]
    listener: Listener
    is_paused: bool = False
    has_ended: bool = False

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False

    def close(self) -> None:
        self.has_ended = True
        close = getattr(self.stream, "close", None)
        if close is not None:
            close()

    def next(self) -> StreamEvent | None:
        """Give the next event; None if there is none now."""
        if self.is_paused or self.has_ended:
            return None
        poll: Callable[[], StreamEvent | None] = getattr(
            self.stream, "poll", lambda: next(self.stream, None)
        )
        event = poll()
        self.has_ended = isinstance(event, StreamClosed | StreamFailed | StreamNotReady)
        return event

    def tell(self, event: StreamEvent) -> None:
        self.listener((event,))


def _nothing() -> None:
    """Makes a moment at which the world is looked at again."""


def _require(holds: bool, rule: str) -> None:
    if not holds:
        raise AssertionError(rule)
