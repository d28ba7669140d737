"""A driver for asyncio: callers are coroutines on the loop itself, and await.

Where the machine is told is the same as for threads, `JobRunner`; a caller that is cancelled ends
its own wait and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TypeVar

from adapters.drivers.asyncio_reactor import AsyncioReactor
from adapters.drivers.job_driver import SILENCE
from adapters.drivers.job_runner import CatchUp, JobRunner
from adapters.drivers.performers import OnThreads, Performer, blocking, is_awaited
from adapters.drivers.subscriber import Subscriber
from adapters.drivers.task_performer import InTasks
from adapters.status_updates import StatusNews, StatusUpdate
from adapters.transport import AsyncTransport, Transport
from runtime_core.events import (
    CancelRequested,
    ReplayRequested,
    SubscriptionRequested,
    WaitStarted,
)
from runtime_core.machine import JobMachine
from runtime_core.observer import Observer

T = TypeVar("T")


class AsyncJobDriver:
    """Runs one `JobMachine` for coroutines; everything is called on the reactor's loop.

    What a caller begins with raises `UsageError` if that is not the loop which runs.
    """

    def __init__(
        self,
        machine: JobMachine,
        transport: Transport | AsyncTransport,
        reactor: AsyncioReactor,
        observer: Observer | None = None,
    ) -> None:
        performer: Performer = (
            InTasks(machine.job_id, transport)
            if is_awaited(transport)
            else OnThreads(machine.job_id, blocking(transport), reactor)
        )
        self.runner = JobRunner(machine, transport, performer, reactor, observer)
        """The half that is the same for all drivers."""
        self._reactor = reactor

    async def wait(
        self,
        make_event: Callable[[int], WaitStarted | CancelRequested],
        deadline: float | None,
    ) -> bool:
        """Start a wait until the machine ends it; False if the deadline passed first.

        Raises:
            RuntimeCoreError: what the machine ended the wait with, or its refusal.
        """
        self._reactor.bind()
        event = make_event(self.runner.new_number())
        outcome: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.runner.start_wait(event, outcome.set_result)
        try:
            await self._within(outcome, deadline)
        finally:
            if not outcome.done():  # the deadline, or cancelled
                self.runner.end_wait(event.wait_id)
        if not outcome.done():
            return False
        error = outcome.result()
        if error is not None:
            raise error
        return True

    async def wait_and_tell(
        self,
        make_event: Callable[[int], WaitStarted],
        deadline: float | None,
        on_status: Callable[[StatusUpdate], Awaitable[object] | object],
    ) -> bool:
        """Do as `wait`, and call `on_status` here whenever the state or the place in it changes.

        Not after the deadline, unless what is waited for is there. If it gives something to await,
        that is cancelled at the deadline.

        Raises:
            RuntimeCoreError: what the machine ended the wait with.
            Exception: what `on_status` raises.
        """
        self._reactor.bind()
        runner, event = self.runner, make_event(self.runner.new_number())
        came = Moment()
        is_over = False
        ends: list[Exception | None] = []
        news = StatusNews(runner.machine, self._reactor.now, lambda: came.set())

        def end(error: Exception | None) -> None:
            ends.append(error)
            came.set()

        try:
            runner.listen(news.see)
            news.see()
            runner.start_wait(event, end)
            while not is_over and (ends or await self._is_in_time(came, deadline)):
                came = Moment()
                is_over = bool(ends)
                while (is_over or not self._is_past(deadline)) and (update := news.next()):
                    await self.told(on_status(update), deadline)
        finally:
            runner.unlisten(news.see)
            runner.end_wait(event.wait_id)
        if not ends:
            return False
        if ends[0] is not None:
            raise ends[0]
        return True

    async def told(self, answer: object, deadline: float | None) -> None:
        """Await what a callback gave, but not beyond the deadline."""
        if not isawaitable(answer):
            return
        left = None if deadline is None else max(0.0, deadline - self._reactor.now())
        limit = asyncio.timeout(left)
        try:
            async with limit:
                await answer
        except TimeoutError:
            if not limit.expired():
                raise  # it is the callback's own

    async def _is_in_time(self, moment: Moment, deadline: float | None) -> bool:
        return not self._is_past(deadline) and await self._within(moment.future, deadline)

    def _is_past(self, deadline: float | None) -> bool:
        return deadline is not None and self._reactor.now() >= deadline

    async def wait_for_callbacks(self, deadline: float | None) -> None:
        """Wait until the stream of a job that has ended is through its callback.

        Not beyond the deadline, and not longer than `SILENCE` for a service that leaves the stream
        open and sends nothing.
        """
        while self.runner.subscriber is not None:
            reached, moved = Moment(), Moment()
            behind = CatchUp(reached, moved)
            self.runner.mark(behind)
            if not await self._within(reached.future, deadline) or behind.is_last:
                return
            patience = self._reactor.now() + SILENCE
            if deadline is not None:
                patience = min(patience, deadline)
            if not await self._within(moved.future, patience):
                return

    def subscribe(
        self,
        make_event: Callable[[int], SubscriptionRequested | ReplayRequested],
        subscriber: Subscriber,
    ) -> None:
        """Start a subscription.

        Raises:
            RuntimeInvalidStateError: if the machine refuses it.
        """
        self._reactor.bind()
        self.runner.subscribe(make_event(self.runner.new_number()), subscriber)

    def unsubscribe(self, subscriber: Subscriber | None = None) -> None:
        """End a subscription, by default the present one; nothing more is delivered to it."""
        self._reactor.bind()
        self.runner.unsubscribe(subscriber)

    async def close(self) -> None:
        """Let go of everything; who waits gets a `UsageError`. The job itself goes on."""
        self._reactor.bind()
        self.runner.close()
        await self._reactor.drain()

    async def _within(self, future: asyncio.Future[T], deadline: float | None) -> bool:
        """Wait for it; False if the deadline passed first, and then it is left as it is."""
        timeout = None if deadline is None else max(0.0, deadline - self._reactor.now())
        done, _ = await asyncio.wait((future,), timeout=timeout)
        return bool(done)


class Moment:
    """A `Signal` that a coroutine awaits."""

    def __init__(self) -> None:
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when it has happened."""

    def set(self) -> None:
        """See `Signal`."""
        if not self.future.done():
            self.future.set_result(None)
