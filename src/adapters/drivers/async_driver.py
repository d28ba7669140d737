"""A driver for asyncio: callers are coroutines on the loop itself, and await.

Where the machine is told is the same as for threads, `JobRunner`; a caller that is cancelled ends
its own wait and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from adapters.drivers.asyncio_reactor import AsyncioReactor
from adapters.drivers.job_driver import SILENCE
from adapters.drivers.job_runner import CatchUp, JobRunner
from adapters.drivers.performers import OnThreads, Performer, blocking, is_awaited
from adapters.drivers.subscriber import Subscriber
from adapters.drivers.task_performer import InTasks
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
