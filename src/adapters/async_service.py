"""`AsyncRuntimeService`: where jobs are submitted and found again, for asyncio."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, Unpack

# What `RuntimeService` loads when one is made: a running loop must not wait for that.
import adapters.client_calls
import adapters.service_jobs
import adapters.websocket.client  # noqa: F401
from adapters.async_job import AsyncInterimCallback, AsyncRuntimeJob
from adapters.async_submission import Submitted
from adapters.backend import RuntimeBackend
from adapters.drivers.asyncio_reactor import AsyncioReactor
from adapters.job_base import JobArguments
from adapters.parameters import ParameterNamespace
from adapters.run_options import RunOptions
from adapters.runtime_program import RuntimeProgram
from adapters.service import RayServiceOptions, RuntimeService, ServiceOptions
from adapters.value_type import Value
from runtime_core.decoders import Decoder, DecoderRegistry
from runtime_core.errors import UsageError
from runtime_core.job_handle import JobHandle
from runtime_core.observer import Observer
from runtime_core.tags import AnyTag

if TYPE_CHECKING:
    from adapters.ray.options import RayOptions


class AsyncRuntimeService:
    """A runtime service for asyncio: `RuntimeService`, with `await` where the network is.

    It belongs to the event loop in which it is first used, and so do its jobs. Requests are made on
    a few threads, streams are on the event loop. `close()` it, or use it in an `async with`.

    The arguments, and what is raised, are those of `RuntimeService`. A `token_provider` is called
    on a thread.
    """

    def __init__(
        self, url: str, access_token: str | None = None, **options: Unpack[ServiceOptions]
    ) -> None:
        self._set_up(RuntimeService(url, access_token, **options))

    def _set_up(self, service: RuntimeService) -> None:
        self._service = service
        self._reactor = AsyncioReactor()

    @classmethod
    def of(cls, service: RuntimeService) -> Self:
        """Make one of a service that is there; it is closed together with this one."""
        made = cls.__new__(cls)
        made._set_up(service)  # noqa: SLF001 - its own
        return made

    @classmethod
    async def local(
        cls,
        *,
        data: str | os.PathLike[str] | None = None,
        workers: int | None = None,
        decoders: DecoderRegistry | None = None,
        tags: Sequence[AnyTag] = (),
        observer: Observer | None = None,
    ) -> Self:
        """Find the service on this machine, or start it; see `RuntimeService.local`.

        Raises:
            ServiceError: if it does not come up, or the extra `local` is not installed.
        """
        service = await AsyncioReactor().call(
            RuntimeService.local,
            data=data,
            workers=workers,
            decoders=decoders,
            tags=tags,
            observer=observer,
        )
        return cls.of(service)

    @classmethod
    def ray(cls, url: str, token: str | None = None, **options: Unpack[RayServiceOptions]) -> Self:
        """Take a Ray cluster for the service; see `RuntimeService.ray`. Awaits nothing."""
        return cls.of(RuntimeService.ray(url, token, **options))

    @property
    def url(self) -> str:
        """Where the service is."""
        return self._service.url

    @property
    def has_streams(self) -> bool:
        """Whether jobs can be streamed; if not, they are polled."""
        return self._service.has_streams

    def __repr__(self) -> str:
        return f"<AsyncRuntimeService {self.url}>"

    # ---- jobs ----------------------------------------------------------------------------------

    async def run(
        self,
        program_id: str,
        options: RunOptions | RayOptions | Mapping[str, Any] | None = None,
        inputs: Mapping[str, Any] | ParameterNamespace | None = None,
        callback: AsyncInterimCallback | None = None,
        result_decoder: Decoder[Value] | None = None,
        image: str = "",
    ) -> AsyncRuntimeJob[Value]:
        """Submit a job; the arguments, and what is raised, are those of `RuntimeService.run`.

        `callback` may be a coroutine function, see `AsyncRuntimeJob.stream_results`. If this is
        cancelled while the submission is under way, the job may run all the same: a line in the log
        then names it.
        """
        if callback is not None and not self.has_streams:
            raise UsageError("the service has no streams: run without callback, and wait")
        submission = Submitted()

        def submit() -> JobArguments:
            submitted = self._service._submitted(  # noqa: SLF001 - of one package
                program_id, options, inputs, result_decoder, image
            )
            submission.tell(submitted.job_id)
            return submitted

        try:
            given = await self._reactor.call(submit)
        except asyncio.CancelledError:
            submission.forsake()
            raise
        job = self._made(given)
        if callback is not None:
            job.stream_results(callback)
        return job

    async def job(self, job_id: str) -> AsyncRuntimeJob:
        """Find a job again.

        Raises:
            RuntimeJobNotFoundError: if the service does not know it.
            TransportError: if the service cannot be asked.
        """
        return self._made(await self._reactor.call(self._service._find_job, job_id))  # noqa: SLF001

    def take_up(
        self,
        handle: JobHandle,
        callback: AsyncInterimCallback | None = None,
        result_decoder: Decoder[Value] | None = None,
    ) -> AsyncRuntimeJob[Value]:
        """Take a job up where a handle left it; see `RuntimeService.take_up`. Awaits nothing."""
        job = self._made(self._service._taken_up(handle, callback, result_decoder))  # noqa: SLF001
        if callback is not None:
            job.stream_results(callback)
        return job

    async def jobs(
        self,
        limit: int | None = 10,
        skip: int = 0,
        pending: bool | None = None,
        program_id: str | None = None,
    ) -> list[AsyncRuntimeJob]:
        """Find jobs, the newest first; see `RuntimeService.jobs`.

        Raises:
            TransportError: if the service cannot be asked.
        """
        find = self._service._find_jobs  # noqa: SLF001
        found = await self._reactor.call(find, limit, skip, pending, program_id)
        return [self._made(each) for each in found]

    async def delete_job(self, job_id: str) -> None:
        """Remove a job that has ended, and its result. That cannot be taken back.

        Raises:
            RuntimeJobNotFoundError: if the service does not know it.
            TransportError: if it has not ended (status 409), or the service cannot be asked.
        """
        await self._reactor.call(self._service.delete_job, job_id)

    def _made(self, given: JobArguments) -> AsyncRuntimeJob:
        return AsyncRuntimeJob(**given.keywords, reactor=self._reactor)

    # ---- programs ------------------------------------------------------------------------------
    # The arguments, and what is raised, are those of `RuntimeService`.

    async def programs(
        self, refresh: bool = False, limit: int | None = 20, skip: int = 0
    ) -> list[RuntimeProgram]:
        """Give the programs that may be run; see `RuntimeService.programs`.

        What a program has still to ask for, its `data` for instance, blocks: use
        `asyncio.to_thread`.
        """
        return await self._reactor.call(self._service.programs, refresh, limit, skip)

    async def program(self, program_id: str, refresh: bool = False) -> RuntimeProgram:
        """Give a program; see `RuntimeService.program`."""
        return await self._reactor.call(self._service.program, program_id, refresh)

    async def upload_program(
        self,
        data: str | bytes | os.PathLike[str],
        metadata: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    ) -> str:
        """Upload a program and give its id; see `RuntimeService.upload_program`."""
        return await self._reactor.call(self._service.upload_program, data, metadata)

    async def update_program(
        self,
        program_id: str,
        data: str | bytes | os.PathLike[str] | None = None,
        metadata: Mapping[str, Any] | str | os.PathLike[str] | None = None,
        name: str | None = None,
        description: str | None = None,
        max_execution_time: int | None = None,
        spec: Mapping[str, Any] | None = None,
    ) -> None:
        """Change a program; see `RuntimeService.update_program`."""
        await self._reactor.call(
            self._service.update_program,
            program_id,
            data,
            metadata,
            name,
            description,
            max_execution_time,
            spec,
        )

    async def delete_program(self, program_id: str) -> None:
        """Remove a program, not its jobs; see `RuntimeService.delete_program`."""
        await self._reactor.call(self._service.delete_program, program_id)

    async def set_program_visibility(self, program_id: str, public: bool) -> None:
        """Say who may see and run a program; see `RuntimeService.set_program_visibility`."""
        await self._reactor.call(self._service.set_program_visibility, program_id, public)

    # ---- where they run ------------------------------------------------------------------------

    async def backend(self, name: str | None = None) -> RuntimeBackend:
        """Ask for a backend; see `RuntimeService.backend`.

        Raises:
            TransportError: if there is none (status 404), or the service cannot be asked.
        """
        return await self._reactor.call(self._service.backend, name)

    # ---- the object ----------------------------------------------------------------------------

    async def logout(self) -> None:
        """Have the service forget what it has cached of the access token's rights."""
        await self._reactor.call(self._service.logout)

    async def close(self) -> None:
        """Close the connections; streams that were told to end are waited for, 2 s at most."""
        self._service.close()
        await self._reactor.drain()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
