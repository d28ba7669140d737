"""`AsyncTransportService`: `TransportService` for asyncio."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Self

from adapters.async_job import AsyncInterimCallback, AsyncRuntimeJob
from adapters.async_submission import Submitted
from adapters.drivers.asyncio_reactor import AsyncioReactor
from adapters.parameters import ParameterNamespace
from adapters.transport import AsyncTransport, Transport
from adapters.transport_jobs import Submission, TransportJobs
from adapters.value_type import Value
from runtime_core.decoders import Decoder, DecoderRegistry
from runtime_core.job_handle import JobHandle
from runtime_core.observer import Observer
from runtime_core.states import JobState


class AsyncTransportService:
    """Jobs by one transport, for asyncio: `TransportService`, with `await` where the network is.

    It belongs to the event loop in which it is first used, and so do its jobs. What a `Transport`
    does is done on threads, what an `AsyncTransport` does is awaited on the loop; its `submit`,
    `close` or `aclose` too, where they are coroutine functions. `close()` it, or use it in an
    `async with`.

    The arguments are those of `TransportService`.
    """

    def __init__(
        self,
        transport: Transport | AsyncTransport,
        backend: Any = None,
        decoders: DecoderRegistry | None = None,
        on_unknown_status: JobState | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._reactor = AsyncioReactor()
        self._jobs = TransportJobs(
            transport,
            backend,
            DecoderRegistry() if decoders is None else decoders,
            on_unknown_status,
            observer,
        )

    async def run(
        self,
        program_id: str,
        options: Mapping[str, Any] | None = None,
        inputs: Mapping[str, Any] | ParameterNamespace | None = None,
        callback: AsyncInterimCallback | None = None,
        result_decoder: Decoder[Value] | None = None,
    ) -> AsyncRuntimeJob[Value]:
        """Submit a job; the arguments, and what is raised, are those of `TransportService.run`.

        `callback` may be a coroutine function. If this is cancelled while a submission is under way
        on a thread, the job may run all the same: a line in the log then names it.
        """
        jobs = self._jobs
        submission = jobs.submission(program_id, options, inputs, callback, result_decoder)
        given = jobs.submitted(await self._sent(submission), submission)
        job: AsyncRuntimeJob[Value] = AsyncRuntimeJob(**given.keywords, reactor=self._reactor)
        if callback is not None:
            job.stream_results(callback)
        return job

    async def _sent(self, submission: Submission) -> object:
        self._reactor.bind()
        if inspect.iscoroutinefunction(submission.transport.submit):
            return await _awaited(submission.send)
        submitted = Submitted()

        def send() -> object:
            job_id = submission.send()
            submitted.tell(str(job_id))
            return job_id

        try:
            return await self._reactor.call(send)
        except asyncio.CancelledError:
            submitted.forsake()
            raise

    def job(self, job_id: str, program_id: str = "") -> AsyncRuntimeJob:
        """Take a job up; nobody is asked whether it is there. See `TransportService.job`."""
        given = self._jobs.known(job_id, program_id)
        return AsyncRuntimeJob(**given.keywords, reactor=self._reactor)

    def take_up(
        self,
        handle: JobHandle,
        callback: AsyncInterimCallback | None = None,
        result_decoder: Decoder[Value] | None = None,
    ) -> AsyncRuntimeJob[Value]:
        """Take a job up where a handle left it; see `TransportService.take_up`. Awaits nothing."""
        given = self._jobs.taken_up(handle, callback, result_decoder)
        job: AsyncRuntimeJob[Value] = AsyncRuntimeJob(**given.keywords, reactor=self._reactor)
        if callback is not None:
            job.stream_results(callback)
        return job

    async def close(self) -> None:
        """Close the transport, if it can be; streams that were told to end are waited for.

        A `close` that is no coroutine function is called on the loop.
        """
        self._reactor.bind()
        transport = self._jobs.transport
        close = getattr(transport, "aclose", None) or getattr(transport, "close", None)
        if close is not None:
            await _awaited(close)
        await self._reactor.drain()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def _awaited(function: Callable[[], Awaitable[object] | object]) -> object:
    given = function()
    return await given if inspect.isawaitable(given) else given
