"""`AsyncRuntimeJob`: a job of a runtime service, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Generic, Self, TypeVar, assert_never, cast, overload

from adapters.drivers.async_driver import AsyncJobDriver
from adapters.drivers.async_subscriber import AsyncCallbackSubscriber, AsyncInterimResults
from adapters.drivers.asyncio_reactor import AsyncioReactor
from adapters.drivers.inbox import Gap, Inbox
from adapters.drivers.job_runner import JobRunner
from adapters.http.transport import ApiClient, StreamClient
from adapters.job_base import JobArguments, JobBase, check_timeout, check_wait
from adapters.job_logs import EndsWithin, PauseFor, ReadFrom, log_steps
from adapters.status_updates import StatusUpdate
from adapters.transport import AsyncTransport, Transport
from adapters.value_type import Made, Value
from runtime_core.decoders import Decoder, DecoderRegistry, ResultDecoder
from runtime_core.documents import JobDocument
from runtime_core.errors import JobTimeoutError, RuntimeJobFailureError, ServiceError
from runtime_core.events import (
    CancelRequested,
    LifecycleEvent,
    Need,
    ReplayRequested,
    SubscriptionRequested,
    WaitStarted,
)
from runtime_core.job_handle import JobHandle
from runtime_core.observer import Observer
from runtime_core.result import Failure
from runtime_core.states import JobState

T = TypeVar("T")

AsyncInterimCallback = Callable[[str, Any], Awaitable[object] | object]
"""Gets the job's id and a decoded interim result; what it returns is awaited, if it can be."""

_LARGE = 256 * 1024
"""From so many characters on a result is decoded on a thread, so that the loop is not held up."""


class AsyncRuntimeJob(JobBase, Generic[Value]):
    """A job of a runtime service, for asyncio: `RuntimeJob`, with `await` where the network is.

    It belongs to the event loop in which it is first used, and is used there only; any number of
    tasks may do that at the same time. Every `await` may be cancelled, by `asyncio.timeout` too:
    that ends this wait, and neither the job nor anybody else's. The stream is on the event loop;
    requests are made on a few threads.

    Args:
        backend: where the job runs; given back by `backend()` as it is.
        api_client: does the requests, for instance a `RuntimeClient`: it blocks, and is called on
            threads, as a `Transport` is; an `AsyncTransport` is awaited on the loop. It is not
            closed by this object.
        ws_client: knows the streams, for instance a `RuntimeWebsocketClient`; None if the service
            has none: then everything but streaming works, by polling. Also None with a transport,
            which opens the streams itself.
        job_id: the job, as its service names it.
        program_id: what the job runs; chooses the decoder of its results.
        params: the inputs of the job; None if they are not known here.
        creation_date: when it was submitted: a datetime, or ISO 8601 text, UTC if it says no
            offset.
        user_callback: gets the interim results, see `stream_results`; only with a running loop.
        result_decoder: decodes results and interim results where a call names no other decoder.
        image: what the program runs in, if that was chosen.
        decoders: the decoders of programs, where neither names one.
        on_unknown_status: what a status word that nobody knows is taken for; None raises
            `UnknownStatusError` to whoever waits.
        initial: what the service said of the job's state a moment ago, as an event.
        document: what the service said of the job as a whole, if it was asked already.
        observer: is called with each `Step` of the job's machine, on the loop, see `Observer`; for
            instance a `JournalFile`.
        after: how many interim results were delivered before, see `from_handle`.
        reactor: where the job lives; by default one of its own. Jobs of one service share one.

    Raises:
        UsageError: if `creation_date` is no time, `result_decoder` no decoder, or there is a
            `ws_client` beside a transport. From every method, if there is no running event loop,
            or another than before.
        RuntimeInvalidStateError: if a `user_callback` is given and the service has no streams.
    """

    def __init__(
        self,
        backend: Any,
        api_client: ApiClient | Transport | AsyncTransport,
        ws_client: StreamClient | None,
        job_id: str,
        program_id: str,
        params: Mapping[str, Any] | None = None,
        creation_date: str | datetime | None = None,
        user_callback: AsyncInterimCallback | None = None,
        result_decoder: Decoder[Value] = ResultDecoder,
        image: str = "",
        *,
        decoders: DecoderRegistry | None = None,
        on_unknown_status: JobState | None = None,
        initial: LifecycleEvent | None = None,
        document: JobDocument | None = None,
        observer: Observer | None = None,
        after: int = 0,
        reactor: AsyncioReactor | None = None,
    ) -> None:
        super().__init__(
            JobArguments(
                backend=backend,
                api_client=api_client,
                ws_client=ws_client,
                job_id=job_id,
                program_id=program_id,
                params=params,
                creation_date=creation_date,
                result_decoder=result_decoder,
                image=image,
                decoders=decoders,
                on_unknown_status=on_unknown_status,
                initial=initial,
                document=document,
                observer=observer,
                after=after,
            )
        )
        self._reactor = AsyncioReactor() if reactor is None else reactor
        self._driver = AsyncJobDriver(self._machine, self._transport, self._reactor, observer)
        if initial is not None:
            self._runner.begin(initial)
        if user_callback is not None:
            self.stream_results(user_callback)

    @classmethod
    def from_handle(
        cls,
        handle: JobHandle,
        api_client: ApiClient | Transport | AsyncTransport,
        ws_client: StreamClient | None = None,
        *,
        user_callback: AsyncInterimCallback | None = None,
        result_decoder: Decoder[Made] | None = None,
        decoders: DecoderRegistry | None = None,
        backend: Any = None,
        on_unknown_status: JobState | None = None,
        observer: Observer | None = None,
        reactor: AsyncioReactor | None = None,
    ) -> AsyncRuntimeJob[Made]:
        """Take a job up again; see `RuntimeJob.from_handle`, also for what is raised."""
        given = JobArguments.of(
            handle,
            api_client,
            ws_client,
            result_decoder=result_decoder,
            decoders=decoders,
            backend=backend,
            on_unknown_status=on_unknown_status,
            observer=observer,
        )
        made = cls(**given.keywords, user_callback=user_callback, reactor=reactor)
        return cast("AsyncRuntimeJob[Made]", made)

    @property
    def _runner(self) -> JobRunner:
        return self._driver.runner

    # ---- what the job is -----------------------------------------------------------------------

    async def inputs(self) -> dict[str, Any]:
        """Give the inputs of the job; a copy. Asks the service once if they were not given.

        Raises:
            TransportError: if the service cannot be asked.
            DecodeError: if what it says they are does not decode.
        """
        return await self._reactor.call(self._facts.inputs)

    async def creation_date(self) -> datetime | None:
        """Give when the job was submitted, in local time; None if the service does not tell.

        Asks the service once if it was not given.

        Raises:
            TransportError: if the service cannot be asked.
        """
        return await self._reactor.call(self._facts.creation_date)

    async def document(self) -> JobDocument:
        """Give what the service said of the job as a whole, when it was found.

        Asks the service once if it was not given.

        Raises:
            TransportError: if the service cannot be asked.
        """
        return await self._reactor.call(self._facts.document)

    # ---- its state -----------------------------------------------------------------------------

    async def status(self) -> JobState:
        """Ask the service for the state; a final one is known and not asked for again.

        Raises:
            TransportError: if the service cannot be asked.
            UnknownStatusError: if it says a word that nobody knows.
        """
        if not self._machine.state.is_final:
            await self._driver.wait(lambda number: WaitStarted(number, Need.STATUS), None)
        return self._machine.state

    async def in_final_state(self) -> bool:
        """Ask the service whether the job has ended. Raises what `status` does."""
        return (await self.status()).is_final

    async def queue_position(self) -> int | None:
        """Ask the service which of the queued jobs this is: 1 is the next to run.

        None if the job is not queued, or the service does not tell.

        Raises:
            TransportError: if the service cannot be asked.
        """
        if self._machine.state is not JobState.QUEUED:
            return None
        if self._facts.can_be_asked:
            return await self._reactor.call(self._facts.queue_position)
        is_queued = await self.status() is JobState.QUEUED
        return self._runner.queue_position if is_queued else None

    async def metrics(self) -> dict[str, Any] | None:
        """Ask the service for what it measured; None if it does not tell. See `RuntimeJob`.

        Raises:
            TransportError: if the service cannot be asked.
        """
        return await self._reactor.call(self._facts.metrics)

    async def usage(self) -> float | None:
        """Ask the service for the seconds that the job is charged for, so far if it goes on.

        None if the service does not tell.

        Raises:
            TransportError: if the service cannot be asked.
        """
        return await self._reactor.call(self._facts.usage)

    async def tags(self) -> list[str] | None:
        """Give the tags of the job, as they were when it was found; None if they are not told.

        Raises:
            TransportError: if the service cannot be asked.
        """
        return await self._reactor.call(self._facts.tags)

    async def update_tags(self, new_tags: Iterable[str]) -> list[str]:
        """Give the job these tags instead of those it has; give them as the service has them then.

        Raises:
            UsageError: if its service keeps no tags, or they are not several texts.
            RuntimeJobNotFoundError: if the service does not know the job.
            TransportError: if the service cannot be asked, or refuses.
        """
        return await self._reactor.call(self._facts.tag, new_tags)

    async def wait_for_final_state(
        self,
        timeout: float | None = None,
        wait: float = 5,
        *,
        on_status: Callable[[StatusUpdate], Awaitable[object] | object] | None = None,
    ) -> None:
        """Wait until the job has ended, in whatever way; see `RuntimeJob.wait_for_final_state`.

        Args:
            timeout: seconds, for everything that this does; None waits without end, 0 returns only
                if it is known already.
            wait: the longest time in seconds between two polls.
            on_status: is called in this task when the state or the place in the queue changes,
                with a `StatusUpdate`, first with what is known; not after the timeout. It may be
                a coroutine function, which is cancelled at the timeout. What it raises ends this
                wait and nothing else.

        Raises:
            JobTimeoutError: if the job has not ended when the timeout passes; it goes on.
            TransportError: if the service refuses to tell.
            UnknownStatusError: if it says a word that nobody knows.
        """
        check_timeout(timeout)
        check_wait(wait)
        deadline = self._deadline(timeout)
        if self._machine.state.is_final:
            if on_status is not None:
                await self._driver.told(
                    on_status(StatusUpdate(self._machine.state, None, 0.0)), deadline
                )
            return
        if timeout == 0 or not await self._has_ended_by(deadline, wait, on_status):
            raise self._timed_out("its end", timeout)

    async def _has_ended_by(
        self,
        deadline: float | None,
        wait: float,
        on_status: Callable[[StatusUpdate], Awaitable[object] | object] | None,
    ) -> bool:
        def event(number: int) -> WaitStarted:
            return WaitStarted(number, Need.FINAL, wait)

        if on_status is None:
            return await self._driver.wait(event, deadline)
        return await self._driver.wait_and_tell(event, deadline, on_status)

    # ---- its result ----------------------------------------------------------------------------

    @overload
    async def result(
        self, timeout: float | None = ..., wait: float = ..., decoder: None = ...
    ) -> Value: ...

    @overload
    async def result(
        self, timeout: float | None = ..., wait: float = ..., *, decoder: Decoder[T]
    ) -> T: ...

    @overload
    async def result(self, timeout: float | None, wait: float, decoder: Decoder[T]) -> T: ...

    async def result(
        self,
        timeout: float | None = None,
        wait: float = 5,
        decoder: Decoder[Any] | None = None,
    ) -> Any:
        """Wait for the result and decode it; when it returns, interim callbacks have caught up.

        Each decoder's value is kept: the same object comes back the next time. What is large is
        decoded on a thread.

        Args:
            timeout: seconds, for everything that this does; None waits without end, 0 returns only
                what is here already.
            wait: the longest time in seconds between two polls.
            decoder: decodes the result; by default the job's own, or the registered one.

        Raises:
            RuntimeJobFailureError: if the job failed.
            RuntimeJobCancelledError: if it was cancelled.
            JobTimeoutError: if the result is not here when the timeout passes; the job goes on.
            TransportError: if the service refuses to tell.
            UnknownStatusError: if it says a word that nobody knows.
            DecodeError: if the result does not decode; another decoder may be tried.
        """
        check_timeout(timeout)
        check_wait(wait)
        deadline = self._deadline(timeout)
        chosen = self._choose(decoder)
        # Not only once: another task may release the result before it is taken here.
        while (text := self._known_result()) is None:
            await self._wait_for_result(timeout, deadline, wait)
        if timeout != 0 and not self._runner.is_in_callback:
            await self._driver.wait_for_callbacks(deadline)
        if len(text) >= _LARGE and id(chosen) not in self._values:
            return await self._reactor.call(self._decoded, chosen, text)
        return self._decoded(chosen, text)

    async def _wait_for_result(
        self, timeout: float | None, deadline: float | None, wait: float
    ) -> None:
        try:
            here = timeout != 0 and await self._driver.wait(
                lambda number: WaitStarted(number, Need.RESULT, wait), deadline
            )
        except ServiceError as error:
            if self._machine.state is JobState.ERROR:
                # That it failed is known, and what the caller asked for; only the reason is not.
                raise RuntimeJobFailureError(self._job_id) from error
            raise
        if not here:
            raise self._timed_out("its result", timeout)

    def release_result(self) -> None:
        """Give the memory of the result back; `result()` fetches and decodes it again."""
        self._reactor.bind()
        self._runner.release_result()
        self._values.clear()

    async def error_message(self) -> str | None:
        """Ask why the job failed; None if it has not failed, or the service does not tell.

        Raises:
            TransportError: if the service cannot be asked.
            UnknownStatusError: if it says a word that nobody knows.
        """
        failure = await self._failure()
        return None if failure is None else failure.reason

    async def reason(self) -> str | None:
        """Ask why the job failed, in its service's words: what `error_message` gives."""
        return await self.error_message()

    async def reason_code(self) -> int | str | None:
        """Ask for the code of the reason; None if it has none, or the job has not failed.

        Raises what `error_message` does.
        """
        failure = await self._failure()
        return None if failure is None else failure.reason_code

    async def _failure(self) -> Failure | None:
        if await self.status() is not JobState.ERROR:
            return None
        if self._machine.failure is None:
            await self._driver.wait(lambda number: WaitStarted(number, Need.RESULT), None)
        return self._machine.failure

    async def logs(self) -> str:
        """Ask the service for what the job wrote to its log; empty if there is none.

        Raises:
            RuntimeJobNotFoundError: if the service says that it has no such job. Most say of its
                log only that there is none, which is an empty one.
            TransportError: if the service cannot be asked.
            UsageError: if the `api_client` has no `job_logs`.
        """
        return await self._reactor.call(self._logs)

    async def follow_logs(self) -> AsyncIterator[str]:
        """Give what the job has printed so far, and then what it prints, until it has ended.

        The pieces are as they come: a line may be in two of them, and many in one. Failures that
        may pass are tried again.

        Raises:
            TransportError: if the service refuses to tell.
            UnknownStatusError: if it says a status word that nobody knows.
            UsageError: if the `api_client` has neither `job_logs_part` nor `job_logs`.
        """
        steps = log_steps()
        answer: object = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration:
                return
            answer = None
            match step:
                case str():
                    yield step
                case ReadFrom(start):
                    answer = await self._reactor.call(self._read_log, start)
                case PauseFor(seconds):
                    await asyncio.sleep(seconds)
                case EndsWithin(seconds):
                    answer = await self._ends_within(seconds)
                case _:
                    assert_never(step)

    async def _ends_within(self, seconds: float) -> bool:
        try:
            await self.wait_for_final_state(seconds, 1.0)
        except JobTimeoutError:
            return False
        return True

    # ---- cancelling it -------------------------------------------------------------------------

    async def cancel(self) -> None:
        """Ask the service to cancel the job; returns when it has said that it will.

        The job's state changes only on the service's word: wait for it, or see `cancel_outcome`.
        If this itself is cancelled, the wish may have been sent all the same.

        Raises:
            RuntimeInvalidStateError: if the job has ended.
            TransportError: if it is not known whether the wish has arrived.
        """
        await self._driver.wait(CancelRequested, None)

    # ---- interim results -----------------------------------------------------------------------

    @overload
    def stream_results(
        self,
        callback: Callable[[str, T], Awaitable[object] | object],
        decoder: Decoder[T],
        *,
        on_gap: Callable[[str, Gap], Awaitable[object] | object] | None = ...,
    ) -> None: ...

    @overload
    def stream_results(
        self,
        callback: AsyncInterimCallback,
        decoder: None = ...,
        *,
        on_gap: Callable[[str, Gap], Awaitable[object] | object] | None = ...,
    ) -> None: ...

    def stream_results(
        self,
        callback: AsyncInterimCallback,
        decoder: Decoder[Any] | None = None,
        *,
        on_gap: Callable[[str, Gap], Awaitable[object] | object] | None = None,
    ) -> None:
        """Have a callback called with each interim result, in order, from the first one on.

        It may be a coroutine function; a plain one must not block, since it is called on the event
        loop. One call after the other, in a task. An exception in the callback, or an interim
        result that does not decode, ends the stream and nothing else: see `stream_error`.

        Args:
            callback: gets the job's id and the decoded interim result.
            decoder: decodes interim results; by default as for `result`.
            on_gap: gets the job's id and a `Gap` where interim results may be missing, which only
                happens with services that do not keep them.

        Raises:
            RuntimeInvalidStateError: if the job has ended, is streamed already, or its service has
                no streams.
        """
        chosen = self._choose(decoder)
        job_id = self._job_id
        subscriber = AsyncCallbackSubscriber(
            Inbox(self._change),
            lambda text: callback(job_id, chosen.decode(text)),
            None if on_gap is None else lambda gap: on_gap(job_id, gap),
            lambda: self._driver.unsubscribe(subscriber),
            self._after,
        )
        self._driver.subscribe(partial(SubscriptionRequested, after=self._after), subscriber)

    def cancel_result_streaming(self) -> None:
        """End the stream, also while it reconnects; nothing happens if there is none.

        A callback that is running is not interrupted; no further one is called.
        """
        self._driver.unsubscribe()

    @overload
    def interim_results(self, decoder: Decoder[T]) -> AsyncInterimResults[T | Gap]: ...

    @overload
    def interim_results(self, decoder: None = ...) -> AsyncInterimResults[Any]: ...

    def interim_results(self, decoder: Decoder[Any] | None = None) -> AsyncInterimResults[Any]:
        """Give an asynchronous iterator over the decoded interim results, from the first one on.

        ``async for`` over it ends when the stream is complete. A `Gap` stands where interim results
        may be missing, which only happens with services that do not keep them. Also works on a job
        that has ended, if its service keeps them.

        Raises:
            RuntimeInvalidStateError: if the job is streamed already, its service has no streams,
                or the job has ended and its service keeps no interim results.
        """
        chosen = self._choose(decoder)
        results: AsyncInterimResults[Any] = AsyncInterimResults(
            chosen.decode, lambda: self._driver.unsubscribe(results), self._change, self._after
        )
        self._driver.subscribe(partial(ReplayRequested, after=self._after), results)
        return results

    def _change(self) -> None:
        """The subscriber's inbox is full, or has room again."""
        self._reactor.call_soon(self._runner.adjust)

    # ---- the object ----------------------------------------------------------------------------

    async def close(self) -> None:
        """Let go of the job, which goes on: streams and waits of this object end.

        What is known stays known. May be repeated. Waits for an orderly close of the stream, which
        takes 2 s at most.
        """
        await self._driver.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _deadline(self, timeout: float | None) -> float | None:
        self._reactor.bind()
        return None if timeout is None else self._reactor.now() + timeout
