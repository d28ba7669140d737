"""A driver for threads: callers hand over to the loop what they want, and block.

A Ctrl-C interrupts the caller's wait and nothing else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import attrs

from adapters.drivers.job_runner import CatchUp, JobRunner
from adapters.drivers.performers import OnThreads
from adapters.drivers.reactor import ThreadReactor
from adapters.drivers.subscriber import Subscriber
from adapters.status_updates import StatusNews, StatusUpdate
from adapters.transport import Transport
from runtime_core.events import (
    CancelRequested,
    ReplayRequested,
    SubscriptionRequested,
    WaitStarted,
)
from runtime_core.machine import JobMachine
from runtime_core.observer import Observer

SILENCE = 1.0
"""Seconds without a message after which `result()` waits no longer for the end of a stream."""


@attrs.define(eq=False)
class Outcome:
    """What came of something that was handed over to the loop."""

    known: threading.Event = attrs.Factory(threading.Event)
    """Set when it is over."""
    error: Exception | None = None
    """What is to be raised."""

    def tell(self, error: Exception | None) -> None:
        """Wake who blocks."""
        self.error = error
        self.known.set()


class JobDriver:
    """Runs one `JobMachine` for callers that block; everything may be called from every thread."""

    def __init__(
        self,
        machine: JobMachine,
        transport: Transport,
        reactor: ThreadReactor,
        observer: Observer | None = None,
    ) -> None:
        performer = OnThreads(machine.job_id, transport, reactor)
        self.runner = JobRunner(machine, transport, performer, reactor, observer)
        """The half on the loop."""
        self._reactor = reactor

    def release_result(self) -> None:
        """Give the memory of the result's text back; return once the machine has done it."""
        done = threading.Event()

        def release() -> None:
            try:
                self.runner.release_result()
            finally:
                done.set()

        self._reactor.call_soon(release)
        self._reactor.wait(done, None)

    def wait(
        self,
        make_event: Callable[[int], WaitStarted | CancelRequested],
        deadline: float | None,
    ) -> bool:
        """Start a wait and block until the machine ends it; False if the deadline passed first.

        Raises:
            RuntimeCoreError: what the machine ended the wait with, or its refusal.
        """
        event = make_event(self.runner.new_number())
        outcome = Outcome()
        ended = False
        try:
            self._reactor.call_soon(lambda: self.runner.start_wait(event, outcome.tell))
            ended = self._reactor.wait(outcome.known, deadline)
        finally:
            if not ended:  # the deadline, or Ctrl-C
                self._reactor.call_soon(lambda: self.runner.end_wait(event.wait_id))
        if not ended:
            return False
        if outcome.error is not None:
            raise outcome.error
        return True

    def wait_and_tell(
        self,
        make_event: Callable[[int], WaitStarted],
        deadline: float | None,
        on_status: Callable[[StatusUpdate], object],
    ) -> bool:
        """Do as `wait`, and call `on_status` here whenever the state or the place in it changes.

        Not after the deadline, unless what is waited for is there.

        Raises:
            RuntimeCoreError: what the machine ended the wait with.
            Exception: what `on_status` raises.
        """
        runner, event = self.runner, make_event(self.runner.new_number())
        came = threading.Event()
        is_over = False
        ends: list[Exception | None] = []
        news = StatusNews(runner.machine, self._reactor.now, came.set)

        def end(error: Exception | None) -> None:
            ends.append(error)
            came.set()

        def start() -> None:
            runner.listen(news.see)
            news.see()
            runner.start_wait(event, end)

        def stop() -> None:
            runner.unlisten(news.see)
            runner.end_wait(event.wait_id)

        try:
            self._reactor.call_soon(start)
            while not is_over and (ends or self._is_in_time(came, deadline)):
                came.clear()
                is_over = bool(ends)
                while (is_over or not self._is_past(deadline)) and (update := news.next()):
                    on_status(update)
        finally:
            self._reactor.call_soon(stop)
        if not ends:
            return False
        if ends[0] is not None:
            raise ends[0]
        return True

    def _is_in_time(self, signal: threading.Event, deadline: float | None) -> bool:
        return not self._is_past(deadline) and self._reactor.wait(signal, deadline)

    def _is_past(self, deadline: float | None) -> bool:
        return deadline is not None and self._reactor.now() >= deadline

    def wait_for_callbacks(self, deadline: float | None) -> None:
        """Block until the stream of a job that has ended is through its callback.

        Not beyond the deadline, and not longer than `SILENCE` for a service that leaves the stream
        open and sends nothing.
        """
        while self.runner.subscriber is not None:
            reached, moved = threading.Event(), threading.Event()
            behind = CatchUp(reached, moved)
            self._reactor.call_soon(partial(self.runner.mark, behind))
            if not self._reactor.wait(reached, deadline) or behind.is_last:
                return
            patience = self._reactor.now() + SILENCE
            if deadline is not None:
                patience = min(patience, deadline)
            if not self._reactor.wait(moved, patience):
                return

    def subscribe(
        self,
        make_event: Callable[[int], SubscriptionRequested | ReplayRequested],
        subscriber: Subscriber,
    ) -> None:
        """Start a subscription; return once the machine has taken it.

        Raises:
            RuntimeInvalidStateError: if the machine refuses it.
        """
        event = make_event(self.runner.new_number())
        outcome = Outcome()

        def subscribe() -> None:
            try:
                self.runner.subscribe(event, subscriber)
            except Exception as refusal:
                outcome.tell(refusal)
            else:
                outcome.tell(None)

        try:
            self._reactor.call_soon(subscribe)
            self._reactor.wait(outcome.known, None)
        except BaseException:  # Ctrl-C
            self.unsubscribe(subscriber)
            raise
        if outcome.error is not None:
            raise outcome.error

    def unsubscribe(self, subscriber: Subscriber | None = None) -> None:
        """End a subscription, by default the present one; nothing more is delivered to it."""
        self._reactor.call_soon(lambda: self.runner.unsubscribe(subscriber))

    def adjust(self) -> None:
        """Read from the socket while the subscriber has room, and only then."""
        self._reactor.call_soon(self.runner.adjust)

    def close(self) -> None:
        """Let go of everything; who waits gets a `UsageError`. The job itself goes on."""
        self._reactor.call_soon(self.runner.close)
