"""The transport of jobs on a Ray cluster.

Which reply a command gets, and how a job has ended, says `endings`.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, assert_never

from adapters.http.transport import StreamSource, as_transport_error
from adapters.job_logs import LogPart
from adapters.ray import ray_host
from adapters.ray.client import RayClient
from adapters.ray.endings import Endings
from adapters.ray.frame_writer import SEPARATOR
from adapters.ray.listing import RayListing
from adapters.ray.log_frames import printed
from adapters.ray.log_routes import LogRoutes
from adapters.ray.options import RayOptions
from adapters.ray.outcomes import Outcomes
from adapters.ray.package import ENTRYPOINT, Order, order_env, pack_program
from adapters.ray.programs import RayPrograms
from adapters.services import ray_jobs
from adapters.services.dialect import Dialect
from adapters.services.promises import as_promised
from adapters.services.ray_jobs import RAY, TRAITS, is_final, nonce_of
from adapters.transport import Stream
from runtime_core.commands import (
    FetchFailure,
    FetchResult,
    FetchStatus,
    OpenStream,
    RequestCommand,
    SendCancel,
)
from runtime_core.errors import TransportError
from runtime_core.events import (
    CancelAccepted,
    CancelRefused,
    FailureReceived,
    JobFailed,
    ReplyEvent,
    RequestFailed,
    ResultReceived,
)
from runtime_core.tagged_json import encode_tagged
from runtime_core.traits import ServiceTraits

BACKEND: Final = "ray"
"""What the one backend of a cluster is called."""


class RayTransport:
    """Performs the requests of jobs on a Ray cluster, and submits them; a `ServiceTransport`.

    Any number of jobs and threads may use it. It closes nothing: the client belongs to who made it.

    Args:
        client: speaks with the head.
        streams: knows the streams of logs; what they say of the end of a job they put into
            `outcomes`.
        programs: what can be submitted.
        outcomes: keeps how jobs ended.
        routes: what is known of the head; to be shared with `streams`.
        pause: waits for so many seconds.
        now: tells the time in seconds.
    """

    dialect: Dialect = RAY
    """How Ray says the state of a job."""
    traits: ServiceTraits = TRAITS
    """What the machine must know of Ray."""

    def __init__(
        self,
        client: RayClient,
        streams: StreamSource,
        programs: RayPrograms,
        outcomes: Outcomes,
        *,
        routes: LogRoutes | None = None,
        pause: Callable[[float], object] = time.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._streams = streams
        self._programs = programs
        self._outcomes = outcomes
        self._endings = Endings(client, outcomes, routes or LogRoutes(), pause=pause, now=now)
        self._listing = RayListing(client, outcomes)

    @property
    def service(self) -> object:
        """The client: all who use it share one budget."""
        return self._client

    @property
    def status_requests_per_second(self) -> float:
        """What the client says in its attribute of this name."""
        return self._client.status_requests_per_second

    @property
    def listing(self) -> RayListing:
        """What asks about many jobs at once."""
        return self._listing

    def stream(self, job_id: str, command: OpenStream) -> Stream:
        """Say where the log of a job is and how it is read; does no I/O."""
        return self._streams.stream(job_id, command)

    # ---- requests ------------------------------------------------------------------------------

    def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        """Do one request and return its one reply; may block.

        Only what is no `Exception`, for instance a KeyboardInterrupt, is raised.
        """
        try:
            return self._reply(job_id, command)
        except Exception as error:
            failure = as_transport_error(error)
        return RequestFailed(command.request, failure, failure.retryable, failure.retry_after)

    def _reply(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        request = command.request
        match command:
            case FetchStatus():
                return self._endings.status(job_id, request)
            case FetchResult():
                return ResultReceived(request, self._endings.result(job_id))
            case FetchFailure():
                said = self._endings.status(job_id, request)
                if isinstance(said, JobFailed):
                    return FailureReceived(request, said.reason, said.reason_code)
                return FailureReceived(request, None)
            case SendCancel():
                # Ray takes it until it has seen the end, a moment later.
                if self._endings.has_result(job_id) or not self._client.job_stop(job_id):
                    return CancelRefused(request)
                return CancelAccepted(request)
        assert_never(command)

    # ---- submissions ---------------------------------------------------------------------------

    def submit(self, program_id: str, inputs: Mapping[str, Any], options: object) -> str:
        """Submit a job and give its id.

        The id is made here, once: the client may send it again where it is not known whether it
        has arrived, and still it runs once.

        Args:
            program_id: a program that was uploaded to `programs`.
            inputs: what its `main` gets.
            options: a `RayOptions`, or what it is made of.

        Raises:
            OptionsError: if there is an unknown option, or one has a wrong value.
            EncodeError: if the inputs cannot be written as tagged JSON.
            UsageError: if program and inputs are too large for a package.
            RuntimeProgramNotFoundError: if there is no such program.
            TransportError: if the head did not take it, or did not say so.
        """
        chosen = RayOptions.of(options)
        program = self._programs.find(program_id)
        job_id, nonce = secrets.token_hex(12), secrets.token_hex(8)
        order = Order(
            nonce=nonce,
            job_id=job_id,
            params=encode_tagged(dict(inputs), self._client.tags),
            backend=BACKEND,
            log_level=chosen.log_level.upper() if chosen.log_level else None,
            max_time=chosen.max_execution_time or program.max_execution_time,
        )
        environment = order_env(order)
        is_short = ray_host.ORDER_VARIABLE in environment
        package = program.package if is_short else pack_program(program.source, order)
        body = ray_jobs.submission(
            job_id,
            ENTRYPOINT,
            package.name,
            nonce=nonce,
            program_id=program_id,
            tags=chosen.job_tags or (),
            env_vars={**chosen.env_vars, **environment},
            pip=chosen.pip,
            num_cpus=chosen.num_cpus,
            num_gpus=chosen.num_gpus,
            memory=chosen.memory,
            resources=chosen.resources,
        )
        self._programs.send(package)
        return self._client.submit_job(body)

    def has_result(self, job_id: str) -> bool:
        """Whether a result of the job was seen already; asks nobody."""
        return self._endings.has_result(job_id)

    def job_delete(self, job_id: str) -> None:
        """Remove what the head knows of a job that has ended; see `RayClient.job_delete`."""
        if self._outcomes.get(job_id) is not None:
            self._endings.settled(job_id)  # Ray may not have seen the end yet
        self._client.job_delete(job_id)

    # ---- what else a job tells -----------------------------------------------------------------

    def job_get(self, job_id: str) -> dict[str, Any]:
        """Give what the head knows of a job."""
        return self._client.job_get(job_id)

    def job_params(self, job_id: str) -> dict[str, Any]:
        """Give the inputs of a job, not decoded.

        Raises:
            TransportError: if Ray cannot tell them.
        """
        document = self._client.job_get(job_id)
        inputs = ray_jobs.inputs_of(document)
        if inputs is None:
            why = "they were long and went in its package, which Ray does not give back"
            if nonce_of(document) is None:
                why = "it was not submitted by this library"
            raise TransportError(f"The inputs of job {job_id} are not known: {why}.")
        return inputs

    def job_logs(self, job_id: str) -> str:
        """Give what the program printed; of a job that is not ours, the whole log."""
        return self._printed(job_id).decode(errors="replace")

    def job_logs_part(self, job_id: str, start: int) -> LogPart:
        """Give what the program printed from byte `start` on."""
        return LogPart(start, self._printed(job_id)[start:])

    def _printed(self, job_id: str) -> bytes:
        """Give what the program printed; what is there now is the beginning of what is later."""
        document = self._client.job_get(job_id)
        log = self._client.job_logs_text(job_id).encode(errors="surrogatepass")
        nonce = nonce_of(document)
        if nonce is None:
            return log
        if not is_final(document):
            mark = SEPARATOR + nonce.encode()
            log = _without_begun(log, mark)
            if mark not in log:
                return b""  # what Ray says before the program's words is not among them later
        return printed(log, nonce)

    def job_metrics(self, job_id: str) -> dict[str, Any]:
        """Give when a job was submitted, and when it ended.

        Ray does not tell when it began to run, so there is no `usage`.
        """
        told = as_promised(ray_jobs.read_document, self._client.job_get(job_id))
        moments = {"created": told.created, "finished": told.ended}
        return {"timestamps": {name: moment for name, moment in moments.items() if moment}}


def _without_begun(log: bytes, mark: bytes) -> bytes:
    """Take a frame's first bytes off the end of a log that is still written to.

    A line break alone stays: it is what a print ends with, far more often.
    """
    begun = log.rfind(mark)
    if begun >= 0 and b"\n" not in log[begun + len(mark) :]:
        return log[:begun]
    for length in range(len(mark) - 1, 1, -1):
        if log.endswith(mark[:length]):
            return log[:-length]
    return log
