"""`RuntimeService`: where jobs are submitted and found again."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from adapters.backend import RuntimeBackend
from adapters.closing import Closing
from adapters.defaults import DEFAULT_STATUS_RATE, ENVIRONMENT
from adapters.service_programs import ServicePrograms
from runtime_core.errors import UsageError

# What speaks with a service, and what jobs are made of, is loaded when a service is made: in the
# caller's thread, before anything has a deadline.
if TYPE_CHECKING:
    import ssl

    from adapters.http.client import RuntimeClient
    from adapters.http.credentials import TokenProvider
    from adapters.http.transport import StreamClient
    from adapters.job import InterimCallback, RuntimeJob
    from adapters.job_base import JobArguments
    from adapters.local.service import LocalRuntimeService
    from adapters.parameters import ParameterNamespace
    from adapters.ray.service import RayRuntimeService
    from adapters.run_options import RunOptions
    from adapters.service_calls import ServiceCalls
    from adapters.service_programs import ProgramKeeper
    from adapters.tls import ClientCert, FilePath
    from adapters.transport import Transport
    from adapters.value_type import Value
    from runtime_core.decoders import Decoder, DecoderRegistry
    from runtime_core.job_handle import JobHandle
    from runtime_core.observer import Observer
    from runtime_core.states import JobState
    from runtime_core.tags import AnyTag


class _Network(TypedDict):
    """What both clients are given of the network."""

    token_provider: TokenProvider | None
    ca_certs: FilePath | None
    client_cert: ClientCert | None
    tls: ssl.SSLContext | None
    proxy: str | None


class ServiceOptions(TypedDict, total=False):
    """The named arguments of `RuntimeService`, for whoever passes them on."""

    token_provider: TokenProvider | None
    dialect: Literal["legacy", "current"]
    instance: str
    decoders: DecoderRegistry | None
    resume: str
    streams_result: bool | None
    on_unknown_status: JobState | None
    ca_certs: FilePath | None
    client_cert: ClientCert | None
    tls: ssl.SSLContext | None
    proxy: str | None
    tags: Sequence[AnyTag]
    status_requests_per_second: float
    observer: Observer | None


class RayServiceOptions(TypedDict, total=False):
    """The named arguments of `RuntimeService.ray`, for whoever passes them on."""

    token_provider: TokenProvider | None
    decoders: DecoderRegistry | None
    on_unknown_status: JobState | None
    ca_certs: FilePath | None
    client_cert: ClientCert | None
    tls: ssl.SSLContext | None
    proxy: str | None
    tags: Sequence[AnyTag]
    status_requests_per_second: float
    observer: Observer | None


class RuntimeService(ServicePrograms, Closing):
    """A runtime service: submits programs as jobs, and finds jobs again.

    Thread-safe. `close()` it, or use it in a `with`: that closes its connections; jobs made by it
    can then no longer ask, and go on at the service.

    Args:
        url: where the service is.
        access_token: the token that it wants to see; it may be left out if there is a
            `token_provider`.
        token_provider: gives a token that is good now, when there is none yet or the service
            answers 401; requests and streams share what it gave. When it is asked, and how often,
            say `RuntimeClient` and `RuntimeWebsocketClient`.
        dialect: what it speaks. ``legacy`` is what `RuntimeJob` was first written for, with an
            access token and streams. ``current`` is its successor's, with a bearer token and
            without streams: there is no `callback`, everything else works by polling. Its `url`
            ends with the version, ``.../api/v1``.
        instance: in the current dialect the CRN of the instance that jobs belong to.
        decoders: the decoders of programs, for all jobs of this service.
        resume: what its streams do on a reconnect, see `RuntimeWebsocketClient`; of the legacy
            dialect, as is `streams_result`.
        streams_result: whether its streams carry the final result too, see there.
        on_unknown_status: what a status word that nobody knows is taken for; None raises
            `UnknownStatusError` to whoever waits.
        ca_certs: a PEM file of the authorities to trust; None for the system's.
        client_cert: a certificate of ours, for services that demand one: a PEM file, or a pair.
        tls: a TLS context to use as it is, instead of these two.
        proxy: the URL of an HTTP proxy; None for none; by default what the environment says. For
            this and what is before it see `RuntimeClient`.
        tags: what inputs may hold beside the values that tagged JSON knows, for instance
            `adapters.qiskit.qiskit_tags()`. (Of results a decoder's `tags` say so.)
        status_requests_per_second: how often it is asked for the state of jobs at most, for all of
            them together; `math.inf` is no limit. The one request, once a job, that follows the end
            of its stream is not counted.
        observer: of all jobs that this service gives, see `RuntimeJob`.

    Raises:
        ValueError: as `RuntimeClient` does, or if `instance` cannot be sent, or
            `status_requests_per_second` is not above 0.
        UsageError: if there is no such dialect, or an argument is of the other one, or streams
            would have to go by a proxy that speaks TLS itself.
        OSError: if a certificate cannot be read.
    """

    def __init__(
        self,
        url: str,
        access_token: str | None = None,
        *,
        token_provider: TokenProvider | None = None,
        dialect: Literal["legacy", "current"] = "legacy",
        instance: str = "",
        decoders: DecoderRegistry | None = None,
        resume: str = "live",
        streams_result: bool | None = None,
        on_unknown_status: JobState | None = None,
        ca_certs: FilePath | None = None,
        client_cert: ClientCert | None = None,
        tls: ssl.SSLContext | None = None,
        proxy: str | None = ENVIRONMENT,
        tags: Sequence[AnyTag] = (),
        status_requests_per_second: float = DEFAULT_STATUS_RATE,
        observer: Observer | None = None,
    ) -> None:
        network: _Network = {
            "token_provider": token_provider,
            "ca_certs": ca_certs,
            "client_cert": client_cert,
            "tls": tls,
            "proxy": proxy,
        }
        rate = checked_rate(status_requests_per_second)
        client: RuntimeClient
        streams: StreamClient | None
        match dialect:
            case "current":
                from adapters.http.current_client import CurrentRuntimeClient

                if resume != "live" or streams_result is not None:
                    raise UsageError(
                        "resume and streams_result: the current dialect has no streams"
                    )
                client = CurrentRuntimeClient(url, access_token, instance, **network)
                streams = None
            case "legacy":
                from adapters.http.client import RuntimeClient
                from adapters.websocket.client import RuntimeWebsocketClient

                if instance:
                    raise UsageError('instance is of the current dialect: dialect="current"')
                client = RuntimeClient(url, access_token, **network)
                streams = RuntimeWebsocketClient.of(
                    client, resume=resume, streams_result=streams_result
                )
            case _:
                raise UsageError(f"there are the dialects legacy and current, not {dialect!r}")
        client.status_requests_per_second = rate
        if tags:
            client.tags = tags
        self._connect(client, streams, decoders, on_unknown_status, observer)

    def _connect(
        self,
        client: RuntimeClient,
        streams: StreamClient | None,
        decoders: DecoderRegistry | None,
        on_unknown_status: JobState | None = None,
        observer: Observer | None = None,
        account: Mapping[str, str] | None = None,
    ) -> None:
        """Speak with a service by a client, instead of `__init__`."""
        from adapters.client_calls import ClientCalls
        from adapters.http.transport import ClientTransport

        self._client = client
        traits = None if streams is None else streams.traits
        self._set_up(
            ClientTransport(client, streams, traits),
            ClientCalls(client, account or {}),
            client,
            decoders,
            on_unknown_status,
            observer,
        )

    def _set_up(
        self,
        transport: Transport,
        calls: ServiceCalls,
        programs: ProgramKeeper,
        decoders: DecoderRegistry | None,
        on_unknown_status: JobState | None = None,
        observer: Observer | None = None,
    ) -> None:
        """Have jobs by a transport, and everything else by `calls`, instead of `__init__`."""
        from adapters.service_jobs import ServiceJobs
        from runtime_core.decoders import DecoderRegistry

        super().__init__(programs)
        self._calls = calls
        known = DecoderRegistry() if decoders is None else decoders
        self._jobs = ServiceJobs(
            transport, None, known, on_unknown_status, observer, calls, self._backend
        )

    @staticmethod
    def local(
        *,
        data: str | os.PathLike[str] | None = None,
        workers: int | None = None,
        decoders: DecoderRegistry | None = None,
        tags: Sequence[AnyTag] = (),
        observer: Observer | None = None,
    ) -> LocalRuntimeService:
        """Find the service on this machine, or start it; every process of the user shares it.

        It keeps all that it acknowledged in its data directory. It goes on when this object is
        closed or this process ends, and ends by itself a minute after it had neither clients nor
        unfinished jobs; whoever needs it then starts it again.

        Args:
            data: its data directory; None for the one that the environment variable
                RUNTIME_CORE_DATA names, or else the usual place for the user's data.
            workers: how many jobs run at a time, if this starts it; None for one for each core.
            decoders: the decoders of programs.
            tags: see `RuntimeService`; a program gets what is written so as it was written.
            observer: of all jobs that this service gives, see `RuntimeJob`.

        Raises:
            ServiceError: if it does not come up, or the extra `local` is not installed.
        """
        from adapters.local.service import LocalRuntimeService

        return LocalRuntimeService(
            data=data, workers=workers, decoders=decoders, tags=tags, observer=observer
        )

    @staticmethod
    def ray(
        url: str, token: str | None = None, **options: Unpack[RayServiceOptions]
    ) -> RayRuntimeService:
        """Take a Ray cluster for the service: the same programs, inputs and jobs as with `local`.

        Nothing of Ray is needed here, and nothing of this library there. Making it asks nobody.

        - Programs are in this object, and sent to the cluster as they are needed; another object
          finds the jobs, and has to upload the programs again to run more.
        - `run` takes the `options` of `RayOptions`: how many CPUs are reserved (1 by default, so
          that jobs queue), other resources, environment variables, packages. There is no `image`.
        - A result stands in the log of its job, on the node that ran it, and is lost with that
          node. So it is read, and kept in this process, as soon as the job is seen to have ended.
        - A cancel of a job that waits for its resources comes into effect when it gets them.

        Args:
            url: where the head's dashboard is, ``http://head:8265``.
            token: the token that the head was started with (RAY_AUTH_TOKEN); None for a head that
                wants none.
            options: all but `url` and `token` are named, and as `RuntimeService` has them:
                `token_provider`, `decoders`, `on_unknown_status`, `ca_certs`, `client_cert`, `tls`,
                `proxy`, `tags`, `status_requests_per_second`, `observer`. Ray refuses a wrong token
                with 403, which asks the provider, too.

        Raises:
            ValueError: if `url` or `proxy` cannot be one, the token cannot be sent, or
                `status_requests_per_second` is not above 0.
            UsageError: if streams would have to go by a proxy that speaks TLS itself.
            OSError: if a certificate cannot be read.

        Warns:
            UserWarning: if the token would go over plain http to another machine.
        """
        from adapters.ray.service import RayRuntimeService

        return RayRuntimeService(url, token, **options)

    @property
    def url(self) -> str:
        """Where the service is."""
        return self._calls.url

    @property
    def has_streams(self) -> bool:
        """Whether jobs can be streamed; if not, they are polled."""
        return self._jobs.transport.traits.pushes

    def __repr__(self) -> str:
        return f"<RuntimeService {self.url}>"

    # ---- jobs ----------------------------------------------------------------------------------

    def run(
        self,
        program_id: str,
        options: RunOptions | Mapping[str, Any] | None = None,
        inputs: Mapping[str, Any] | ParameterNamespace | None = None,
        callback: InterimCallback | None = None,
        result_decoder: Decoder[Value] | None = None,
        image: str = "",
    ) -> RuntimeJob[Value]:
        """Submit a job.

        Args:
            program_id: the program to run.
            options: see `RunOptions`; a dict of its fields, or one of it.
            inputs: what the program's `main` gets as keyword arguments: a dict, or what the
                `parameters()` of a `RuntimeProgram` gave, which is validated.
            callback: gets the interim results: job id and decoded interim result.
            result_decoder: decodes the job's results; None for `ResultDecoder`.
            image: the same as in `options`, and instead of it.

        Raises:
            OptionsError: if there is an unknown option, or one has a wrong value.
            InputsError: if the inputs do not fit the program's parameters.
            UsageError: if `result_decoder` is no decoder, or there is a `callback` and the service
                has no streams.
            EncodeError: if the inputs cannot be written as tagged JSON.
            RuntimeProgramNotFoundError: if the service has no such program.
            TransportError: if the service did not take the job, or did not say so. The message
                says whether it may have arrived; it is never submitted again behind your back.
        """
        if callback is not None and not self.has_streams:
            raise UsageError("the service has no streams: run without callback, and wait")
        given = self._submitted(program_id, options, inputs, result_decoder, image)
        return self._make_job(given, callback)

    def _submitted(
        self,
        program_id: str,
        options: object,
        inputs: Mapping[str, Any] | ParameterNamespace | None,
        result_decoder: Decoder[Any] | None,
        image: str,
    ) -> JobArguments:
        """Submit a job; see `run`."""
        return self._jobs.submit(program_id, options, inputs, result_decoder, image)

    def job(self, job_id: str) -> RuntimeJob:
        """Find a job again.

        Raises:
            RuntimeJobNotFoundError: if the service does not know it.
            TransportError: if the service cannot be asked.
        """
        return self._make_job(self._find_job(job_id))

    def take_up(
        self,
        handle: JobHandle,
        callback: InterimCallback | None = None,
        result_decoder: Decoder[Value] | None = None,
    ) -> RuntimeJob[Value]:
        """Take a job up where a handle left it; asks the service for nothing.

        See `RuntimeJob.from_handle`.

        Args:
            handle: what `RuntimeJob.handle` gave, in another process perhaps.
            callback: gets the interim results from the handle's cursor on.
            result_decoder: a decoder of the name that the handle says; None looks for it in the
                service's own.

        Raises:
            UsageError: if the handle is of another service or dialect, there is no decoder of the
                name that it says, or there is a `callback` and the service has no streams.
        """
        return self._make_job(self._taken_up(handle, callback, result_decoder), callback)

    def _taken_up(
        self, handle: JobHandle, callback: object, result_decoder: Decoder[Any] | None
    ) -> JobArguments:
        """Take a job up; see `take_up`."""
        return self._jobs.taken_up(handle, callback, result_decoder)

    def _find_job(self, job_id: str) -> JobArguments:
        """Find a job again; see `job`."""
        return self._jobs.find(job_id)

    def jobs(
        self,
        limit: int | None = 10,
        skip: int = 0,
        pending: bool | None = None,
        program_id: str | None = None,
    ) -> list[RuntimeJob]:
        """Find jobs, the newest first.

        Args:
            limit: how many at most; None for all. More than the service gives at a time are asked
                for in pages; a job that moves to another one meanwhile is given once.
            skip: how many of the newest to leave out.
            pending: only those that have not ended (True), only those that have (False), or both.
            program_id: only jobs of this program.

        Raises:
            TransportError: if the service cannot be asked.
        """
        found = self._find_jobs(limit, skip, pending, program_id)
        return [self._make_job(each) for each in found]

    def _find_jobs(
        self, limit: int | None, skip: int, pending: bool | None, program_id: str | None
    ) -> list[JobArguments]:
        """Find jobs; see `jobs`."""
        return self._jobs.find_all(limit, skip, pending, program_id)

    def delete_job(self, job_id: str) -> None:
        """Remove a job that has ended, and its result. That cannot be taken back.

        Raises:
            RuntimeJobNotFoundError: if the service does not know it.
            TransportError: if it has not ended (status 409), or the service cannot be asked.
        """
        self._calls.job_delete(job_id)

    # ---- where they run ------------------------------------------------------------------------

    def backend(self, name: str | None = None) -> RuntimeBackend:
        """Ask for a backend: its name, its version, what it can run.

        Args:
            name: which; None for the one where jobs run that name none.

        Raises:
            TransportError: if there is none (status 404; also if the service does not tell of
                backends, as the local service does), or the service cannot be asked.
        """
        document = self._calls.backend_get(name)
        return RuntimeBackend(document.name, lambda: document)

    def _backend(self, name: str | None) -> RuntimeBackend | None:
        """A backend that nothing is asked about yet; None if it has no name."""
        return RuntimeBackend(name, lambda: self._calls.backend_get(name)) if name else None

    # ---- the object ----------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connections."""
        self._calls.close()

    def logout(self) -> None:
        """Have the service forget what it has cached of the access token's rights."""
        self._calls.logout()

    def _make_job(self, given: JobArguments, callback: InterimCallback | None = None) -> RuntimeJob:
        """Make a job of the class that this service gives."""
        return self._jobs.job(given, callback)


def checked_rate(status_requests_per_second: float) -> float:
    """Give it back, if it can be how often a service is asked at most.

    Raises:
        ValueError: if it is not above 0.
    """
    if not status_requests_per_second > 0:
        given = status_requests_per_second
        raise ValueError(f"status_requests_per_second is a number above 0, not {given!r}")
    return status_requests_per_second
