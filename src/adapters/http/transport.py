"""A transport over any client that has `job_get`, `job_results` and `job_cancel`.

| command | call | reply |
|---|---|---|
| FetchStatus | `job_get` | what the status in it means |
| FetchResult | `job_results` | ResultReceived |
| FetchFailure | `job_results` | FailureReceived; without a reason if it is empty or a 404 |
| SendCancel | `job_cancel` | CancelAccepted; CancelRefused on a 409 |
| any | raises an `Exception` | RequestFailed with a `TransportError` |

An exception of a client that is not ours is wrapped. Its status code is looked for in its
`status_code`, then in its `response.status_code`; with one, `retry.py` says whether it is
retryable. Without one an `OSError` is, unless it is about a certificate: no connection, or one that
broke. Everything else is not. An attribute `retry_after` in seconds is taken over.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Collection, Mapping
from math import inf
from typing import Any, Protocol, TypeVar, assert_never

import attrs

from adapters.http.one_line import shortened
from adapters.http.retry import RETRYABLE_STATUS
from adapters.services.dialect import Dialect, dialect_of
from adapters.services.job_lists import ListReader
from adapters.services.words import StatusReader
from adapters.transport import ListedPage, StreamEndpoint, usable_rate
from runtime_core.commands import (
    FetchFailure,
    FetchResult,
    FetchStatus,
    OpenStream,
    RequestCommand,
    SendCancel,
)
from runtime_core.errors import RuntimeCoreError, ServiceError, TransportError, UsageError
from runtime_core.events import (
    CancelAccepted,
    CancelRefused,
    FailureReceived,
    ReplyEvent,
    RequestFailed,
    ResultReceived,
)
from runtime_core.traits import ServiceTraits

T = TypeVar("T")


class ApiClient(Protocol):
    """What is needed of a client; several threads may call it at once."""

    def job_get(self, job_id: str) -> Mapping[str, object]:
        """Give what the service knows of a job; the dialect says where in it the status is."""
        ...

    def job_results(self, job_id: str) -> str:
        """Give the text of the result; of a failed job, why it failed."""
        ...

    def job_cancel(self, job_id: str) -> object:
        """Ask for the end of a job; what it returns is ignored."""
        ...


class StreamSource(Protocol):
    """What knows where the streams of a service are."""

    def stream(self, job_id: str, command: OpenStream) -> StreamEndpoint:
        """Say where the stream of a job is and how its bytes are read; does no I/O."""
        ...


class StreamClient(StreamSource, Protocol):
    """What is needed of a client for streams; several threads may call it at once."""

    @property
    def traits(self) -> ServiceTraits:
        """What the machine must know of a service with these streams."""
        ...


class ClientTransport:
    """Performs the requests of jobs with `api_client`; a `Transport`.

    Any number of jobs and threads may use it, if the client allows that. It closes nothing: the
    client belongs to who made it. Without a `stream_source` there are no streams; the `traits`
    are then those of a service that does not push.

    Args:
        api_client: does the requests.
        stream_source: knows the streams.
        traits: how the service behaves; None for what its dialect says.
        dialect: how the service says the state of a job; None for the one that the client names
            in its attribute `dialect`, or else the legacy one.
    """

    def __init__(
        self,
        api_client: ApiClient,
        stream_source: StreamSource | None = None,
        traits: ServiceTraits | None = None,
        dialect: Dialect | None = None,
    ) -> None:
        dialect = dialect_of(api_client) if dialect is None else dialect
        traits = dialect.traits if traits is None else traits
        self._client = api_client
        self._dialect = dialect
        self._status_event = dialect.status_event
        self._listing = _listing(api_client, dialect)
        self._streams = stream_source
        self._traits = traits if stream_source else attrs.evolve(traits, pushes=False)

    @property
    def traits(self) -> ServiceTraits:
        """What the machine must know of the service."""
        return self._traits

    @property
    def dialect(self) -> Dialect:
        """How the service says the state of a job."""
        return self._dialect

    @property
    def service(self) -> object:
        """The client: all who use it share one budget."""
        return self._client

    @property
    def status_requests_per_second(self) -> float:
        """What the client says in an attribute of this name; ten if that is no number above 0."""
        return usable_rate(getattr(self._client, "status_requests_per_second", None))

    @property
    def listing(self) -> ClientListing | None:
        """What asks about many jobs by `jobs_get`; None if client or dialect have no such list."""
        return self._listing

    def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        """Do one request and return its one reply; may block.

        Only what is no `Exception`, for instance a KeyboardInterrupt, is raised.
        """
        # Whatever a client of somebody else raises, the machine waits for a reply.
        try:
            return self._reply(job_id, command)
        except Exception as error:
            failure = as_transport_error(error)
        return self._failed(command, failure)

    def submit(self, program_id: str, inputs: Mapping[str, Any], options: Mapping[str, Any]) -> str:
        """Submit a job and give its id, if the client can: see `SubmittingTransport`.

        Raises:
            UsageError: if the client has no `submit`, or an option or an input cannot be used.
            TransportError: if the service did not take the job, or did not say so.
        """
        submit = getattr(self._client, "submit", None)
        if submit is None:
            name = type(self._client).__name__
            raise UsageError(f"{name} has no submit(program_id, inputs, options).")
        job_id: object = asked(submit, program_id, inputs, options)
        if isinstance(job_id, int):
            return str(job_id)
        if not isinstance(job_id, str):
            raise TransportError(
                f"{type(self._client).__name__}.submit gave one {type(job_id).__name__}, expected "
                "the job's id. It may have been submitted; look for it before you submit again."
            )
        return job_id

    def stream(self, job_id: str, command: OpenStream) -> StreamEndpoint:
        """Say where the stream of a job is and how its bytes are read; does no I/O.

        Raises:
            ServiceError: if the service has no streams.
        """
        if self._streams is None:
            raise ServiceError(f"The service has no streams: job {job_id} can only be polled.")
        return self._streams.stream(job_id, command)

    def _reply(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        request = command.request
        match command:
            case FetchStatus():
                return self._status_event(self._client.job_get(job_id), request)
            case FetchResult():
                return ResultReceived(request, self._results(job_id))
            case FetchFailure():
                return FailureReceived(request, self._results(job_id) or None)
            case SendCancel():
                self._client.job_cancel(job_id)
                return CancelAccepted(request)
        assert_never(command)

    def _results(self, job_id: str) -> str:
        text = self._client.job_results(job_id)
        # A client of somebody else may give bytes, or a response of its HTTP library.
        if not isinstance(text, str):
            raise TransportError(f"job_results gave {type(text).__name__}, expected a str.")
        return text

    def _failed(self, command: RequestCommand, error: TransportError) -> ReplyEvent:
        match command, error.status_code:
            case SendCancel(request), 409:
                return CancelRefused(request)
            case FetchFailure(request), 404:
                return FailureReceived(request, None)
        return RequestFailed(command.request, error, error.retryable, error.retry_after)


@attrs.frozen
class ClientListing:
    """Asks about many jobs at once by a client's `jobs_get`; a `JobListing`.

    Any number of threads may use it, if the client allows that.
    """

    jobs_get: Callable[[int, int], object]
    """Gives so many jobs after the newest so many."""
    listed_jobs: ListReader
    """Finds the jobs in that."""
    read_status: StatusReader
    """Says what the document of one means."""

    def page(self, limit: int, skip: int, wanted: Collection[str]) -> ListedPage:
        """See `JobListing`."""
        answer = asked(self.jobs_get, limit, skip)
        jobs = self.listed_jobs(answer)
        count = answer.get("count") if isinstance(answer, Mapping) else None
        is_last = not jobs or (isinstance(count, int) and skip + len(jobs) >= count)
        found = {job_id: job for job_id, job in jobs if job_id in wanted}
        return ListedPage(len(jobs), found, not is_last)

    def status_event(self, document: object, request: int) -> ReplyEvent:
        """See `JobListing`."""
        return self.read_status(document, request)


def _listing(client: object, dialect: Dialect) -> ClientListing | None:
    jobs_get = getattr(client, "jobs_get", None)
    if not callable(jobs_get) or dialect.listed_jobs is None:
        return None
    return ClientListing(jobs_get, dialect.listed_jobs, dialect.status_event)


def asked(call: Callable[..., T], *arguments: object) -> T:
    """Call a client's method; what it raises is one of our errors, whoever wrote it.

    Raises:
        RuntimeCoreError: as the client raised it.
        TransportError: in place of any other `Exception`, which is its cause.
    """
    try:
        return call(*arguments)
    except RuntimeCoreError:
        raise
    except Exception as error:
        failure = as_transport_error(error)
    raise failure from failure.__cause__


def as_transport_error(error: Exception) -> TransportError:
    """Give `error` itself if it is a `TransportError`, else one that has it as its cause."""
    if isinstance(error, TransportError):
        return error
    status = _status_code(error)
    if status is not None:
        retryable = status in RETRYABLE_STATUS
    else:
        certificate = isinstance(error, ssl.SSLCertVerificationError)
        retryable = isinstance(error, OSError) and not certificate
    wait = getattr(error, "retry_after", None)
    retry_after = float(wait) if isinstance(wait, int | float) and 0 <= wait < inf else None
    message = shortened(f"{type(error).__name__}: {error}")
    wrapped = TransportError(message, status, retryable, retry_after)
    wrapped.__cause__ = error
    return wrapped


def _status_code(error: Exception) -> int | None:
    for holder in (error, getattr(error, "response", None)):
        status = getattr(holder, "status_code", None)
        if isinstance(status, int):
            return status
    return None
