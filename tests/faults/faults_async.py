"""The same schedules through `AsyncRuntimeJob`, all of them on one event loop with a fast clock."""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress

import attrs
from faults_client import TRIES, WAIT, Heard, Place, Record, Text
from faults_clock import SPEED, monotonic
from faults_schedule import TOKEN, Flow, Kind, Schedule
from faults_service import job_id

from adapters import AsyncRuntimeJob, RuntimeWebsocketClient
from adapters.drivers.asyncio_reactor import AsyncioReactor
from adapters.drivers.inbox import Gap
from runtime_core.errors import (
    JobTimeoutError,
    RuntimeInvalidStateError,
    RuntimeJobCancelledError,
    RuntimeJobFailureError,
    ServiceError,
    TransportError,
    UnknownStatusError,
)


class FastSelector(selectors.DefaultSelector):
    """Waits so much shorter as the clock is faster."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(None if timeout is None else timeout / SPEED)


class FastEventLoop(asyncio.SelectorEventLoop):
    """An event loop whose seconds are shorter."""

    def __init__(self) -> None:
        super().__init__(FastSelector())

    def time(self) -> float:
        return super().time() * SPEED


class AsyncBatch:
    """Runs schedules on an event loop of its own, in one thread.

    Args:
        place: the service.
        nowhere: a port at which nobody listens.
        running: where the records stand of those that are under way.
        judge: called with each that is through.
    """

    def __init__(
        self,
        place: Place,
        nowhere: int,
        running: dict[Schedule, tuple[float, Record]],
        judge: Callable[[Schedule, Record], None],
    ) -> None:
        self._place = place
        self._nowhere = nowhere
        self._running = running
        self._judge = judge

    def start(self, plans: Iterable[Schedule], at_once: int) -> threading.Thread:
        """Begin; give the thread."""
        waiting = list(plans)
        thread = threading.Thread(
            target=self._thread, args=(waiting, at_once), name="schedule", daemon=True
        )
        thread.start()
        return thread

    def _thread(self, waiting: list[Schedule], at_once: int) -> None:
        with asyncio.Runner(loop_factory=FastEventLoop) as runner:
            runner.run(self._all(waiting, at_once))

    async def _all(self, waiting: list[Schedule], at_once: int) -> None:
        reactor = AsyncioReactor()
        reactor.bind()

        async def work() -> None:
            while waiting:
                await self._one(waiting.pop(0), reactor)

        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(work())

    async def _one(self, plan: Schedule, reactor: AsyncioReactor) -> None:
        record = Record()
        self._running[plan] = monotonic() / SPEED, record
        try:
            await self._run(plan, record, reactor)
        except Exception as error:  # whatever it is, it is what should not come
            record.wrongs.append(f"{record.doing} raised {error!r}")
        await asyncio.to_thread(self._judge, plan, record)
        del self._running[plan]

    async def _run(self, plan: Schedule, record: Record, reactor: AsyncioReactor) -> None:
        port = self._nowhere if plan.kind is Kind.NOWHERE else self._place.port
        streams = RuntimeWebsocketClient(
            f"http://127.0.0.1:{port}",
            TOKEN,
            resume=plan.resume.value,
            streams_result=plan.streams_result,
        )
        record.job_id, record.begun = job_id(plan), monotonic()
        first = Heard(is_first=True, hears_gaps=False)
        with self._place.client() as api:
            job = AsyncRuntimeJob(
                "b",
                api,
                streams,
                record.job_id,
                "p",
                user_callback=_into(first) if plan.flow is Flow.CONSTRUCTOR else None,
                result_decoder=Text,
                on_unknown_status=plan.on_unknown,
                reactor=reactor,
            )
            if plan.flow is Flow.CONSTRUCTOR:
                record.heard.append(first)
            try:
                await _Run(self._place, plan, record, job).run()
            finally:
                await job.close()


@attrs.define(eq=False)
class _Run:
    place: Place
    plan: Schedule
    record: Record
    job: AsyncRuntimeJob

    async def run(self) -> None:
        plan, record = self.plan, self.record
        helper: asyncio.Task[None] | None = None
        match plan.flow:
            case Flow.CALLBACK | Flow.RESTREAM:
                self.stream(is_first=True)
            case Flow.ITERATOR if plan.kind is not Kind.HANGING:
                await self.iterate()
            case Flow.LATE:
                helper = asyncio.create_task(self.wait_beside())
                await asyncio.sleep(plan.moments[0])
                self.stream()
        if plan.kind is Kind.HANGING:
            await self.hang()
        if plan.flow is Flow.RESTREAM:
            for moment in plan.moments[:2]:
                await asyncio.sleep(max(0.0, moment - record.now))
                self.note_error()
                if record.heard:
                    record.heard[-1].was_cancelled = True
                self.job.cancel_result_streaming()
                self.stream()
        await self.outcome()
        record.ended_at = record.now
        record.doing = "waiting for the end of the subscription"
        while self.is_streaming():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.2)
        self.note_error()
        await self.iterate(is_replay=True)
        if helper is not None:
            record.doing = "the other task"
            await helper
        record.doing = "status()"
        record.state = await self.job.status()

    # ---- streams -------------------------------------------------------------------------------

    def stream(self, *, is_first: bool = False) -> None:
        heard = Heard(is_first=is_first)
        self.record.heard.append(heard)
        try:
            self.job.stream_results(_into(heard), on_gap=_gap_into(heard))
        except RuntimeInvalidStateError:
            self.record.heard.remove(heard)

    def is_streaming(self) -> bool:
        try:
            self.job.stream_results(lambda *_: None)
        except RuntimeInvalidStateError as refusal:
            return "cancel_result_streaming" in refusal.legal
        raise AssertionError("a job that has ended is streamed")

    def note_error(self) -> None:
        if self.record.heard:
            heard = self.record.heard[-1]
            heard.error = heard.error or self.job.stream_error()

    async def iterate(self, *, is_replay: bool = False) -> None:
        for _ in range(TRIES):
            heard = Heard(is_first=not self.record.heard and not is_replay, is_replay=is_replay)
            try:
                items = self.job.interim_results()
            except RuntimeInvalidStateError:
                return
            self.record.heard.append(heard)
            self.record.doing = "interim_results"
            try:
                async for item in items:
                    heard.items.append(item)
            except ServiceError as error:
                heard.error = error
            else:
                return
            if self.plan.end_code != 1000 and len(heard.items) >= len(self.plan.published):
                return
        if self.plan.kind is not Kind.NOWHERE:
            self.record.wrongs.append("the interim results can never be had")

    # ---- the end of the job --------------------------------------------------------------------

    async def outcome(self) -> None:
        record, timeouts = self.record, iter(self.plan.timeouts)
        for _ in range(TRIES):
            try:
                await self.call(next(timeouts, None))
            except JobTimeoutError:
                record.timeouts += 1
            except (TransportError, UnknownStatusError) as error:
                record.raised.append(error)
                ended = self.job.stream_error()
                if record.heard and ended is not None and not record.heard[-1].is_replay:
                    record.heard[-1].error = ended
                    self.stream()
            else:
                return
        record.wrongs.append("the end of the job can never be had")

    async def call(self, seconds: float | None) -> None:
        if self.plan.flow is Flow.FINAL_STATE:
            self.record.doing = f"wait_for_final_state({seconds})"
            await self.job.wait_for_final_state(seconds, WAIT)
        try:
            self.record.doing = f"result({seconds})"
            self.record.text = await self.job.result(seconds, WAIT)
        except RuntimeJobFailureError as failure:
            self.record.text = failure.reason
        except RuntimeJobCancelledError:
            pass

    async def hang(self) -> None:
        """A timeout passes, and a task is cancelled, while the service says nothing."""
        timeout = (*self.plan.timeouts, 1.0)[0]
        for call in (self.job.result, self.job.wait_for_final_state):
            self.record.doing = f"{call.__name__}({timeout}) of a service that hangs"
            try:
                await call(timeout)
                self.record.wrongs.append(f"{call.__name__} knows what nobody has said")
            except JobTimeoutError:
                self.record.timeouts += 1
        try:
            async with asyncio.timeout(timeout):
                await self.job.result()
            self.record.wrongs.append("result knows what nobody has said")
        except TimeoutError:
            self.record.timeouts += 1
        await asyncio.to_thread(self.place.ask, "go", self.record.job_id)

    async def wait_beside(self) -> None:
        for _ in range(TRIES):
            with suppress(ServiceError):
                await self.job.wait_for_final_state(None, WAIT)
                return


def _into(heard: Heard) -> Callable[[str, str], object]:
    return lambda _, text: heard.items.append(text)


def _gap_into(heard: Heard) -> Callable[[str, Gap], object]:
    return lambda _, gap: heard.items.append(gap)
