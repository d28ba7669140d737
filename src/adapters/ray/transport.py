"""The transport of jobs on a Ray cluster.

Ray's own status is the authority on the state of a job. What a job that has ended has returned or
raised stands in its log, and what the log says is kept as soon as it was seen:

| command | Ray says | the log says | reply |
|---|---|---|---|
| FetchStatus | PENDING, RUNNING | | JobQueued, JobStarted |
| | STOPPED | | JobCancelled |
| | SUCCEEDED or FAILED | a result | JobSucceeded |
| | SUCCEEDED or FAILED | why there is none | JobFailed, with that and with Ray's code |
| | SUCCEEDED | neither | JobFailed, with a sentence |
| | SUCCEEDED | it is lost | JobSucceeded |
| | FAILED | neither, or it is lost | JobFailed, with what Ray says |
| FetchResult | | a result | ResultReceived |
| | | anything else, or it is lost | RequestFailed, not retryable |
| FetchFailure | | | FailureReceived, as of FetchStatus |
| SendCancel | stopped | | CancelAccepted |
| | not stopped | | CancelRefused |

Of a job that this library has not submitted, only what Ray says is told.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, assert_never

import attrs

from adapters.http.transport import StreamSource, as_transport_error
from adapters.job_logs import LogPart
from adapters.ray import ray_host
from adapters.ray.client import RayClient
from adapters.ray.frame_writer import SEPARATOR
from adapters.ray.log_events import Outcome, Raised, Returned
from adapters.ray.log_frames import FrameReader, printed
from adapters.ray.options import RayOptions
from adapters.ray.outcomes import Outcomes
from adapters.ray.package import ENTRYPOINT, Order, order_env, pack_program
from adapters.ray.programs import RayPrograms
from adapters.services import ray_jobs
from adapters.services.dialect import Dialect
from adapters.services.ibm_legacy import as_promised
from adapters.services.ray_jobs import RAY, TRAITS, is_final, nonce_of
from adapters.transport import ListedPage, Stream
from runtime_core.commands import (
    FetchFailure,
    FetchResult,
    FetchStatus,
    OpenStream,
    RequestCommand,
    SendCancel,
)
from runtime_core.errors import TransportError, stated
from runtime_core.events import (
    CancelAccepted,
    CancelRefused,
    FailureReceived,
    JobFailed,
    JobSucceeded,
    LifecycleEvent,
    ReplyEvent,
    RequestFailed,
    ResultReceived,
    UnknownStatusReported,
)
from runtime_core.tagged_json import encode_tagged
from runtime_core.traits import ServiceTraits

BACKEND: Final = "ray"
"""What the one backend of a cluster is called."""

_ENDING: Final = 2.0  # seconds, many times what Ray takes to notice the end of a program
_STEP: Final = 0.03  # seconds

_NO_RESULT: Final = (
    "Ray says that the job succeeded, but its log holds no result: it was not run to its end by "
    "this library, or its log has been changed."
)


class RayTransport:
    """Performs the requests of jobs on a Ray cluster, and submits them; a `ServiceTransport`.

    Any number of jobs and threads may use it. It closes nothing: the client belongs to who made it.

    Args:
        client: speaks with the head.
        streams: knows the streams of logs; what they say of the end of a job they put into
            `outcomes`.
        programs: what can be submitted.
        outcomes: keeps how jobs ended.
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
        pause: Callable[[float], object] = time.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._streams = streams
        self._programs = programs
        self._outcomes = outcomes
        self._pause = pause
        self._now = now
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
                return self._status(job_id, request)
            case FetchResult():
                return ResultReceived(request, self._result(job_id))
            case FetchFailure():
                said = self._status(job_id, request)
                if isinstance(said, JobFailed):
                    return FailureReceived(request, said.reason, said.reason_code)
                return FailureReceived(request, None)
            case SendCancel():
                stopped = self._client.job_stop(job_id)
                return CancelAccepted(request) if stopped else CancelRefused(request)
        assert_never(command)

    def _status(self, job_id: str, request: int) -> LifecycleEvent | UnknownStatusReported:
        document = self._settled(job_id)
        said = RAY.status_event(document, request)
        nonce = nonce_of(document)
        if nonce is None or not isinstance(said, JobSucceeded | JobFailed):
            return said
        try:
            outcome = self._outcome(job_id, nonce)
        except TransportError as error:
            if _may_pass(error):
                raise
            return said
        return _ended(said, outcome)

    def _settled(self, job_id: str) -> dict[str, Any]:
        """Ask for a job's document; where its end was seen, until Ray has seen it too.

        That takes Ray a part of a second from the program's last words on. It is waited for here
        and not by the machine, which asks again after the delay of a job that runs on, and that has
        grown long by then.
        """
        document = self._client.job_get(job_id)
        last = self._now() + _ENDING
        while (
            not is_final(document) and self._outcomes.get(job_id) is not None and self._now() < last
        ):
            self._pause(_STEP)
            document = self._client.job_get(job_id)
        return document

    def _outcome(self, job_id: str, nonce: str) -> Outcome | None:
        """Give how a job that has ended did so; None if its log does not say it.

        Raises:
            TransportError: if the log cannot be read.
        """
        kept = self._outcomes.get(job_id)
        if kept is not None:
            return kept
        reader = FrameReader(nonce)
        reader.feed(self._client.job_logs_text(job_id).encode(errors="surrogatepass"))
        if reader.outcome is not None:
            self._outcomes.put(job_id, reader.outcome)
        return reader.outcome

    def _result(self, job_id: str) -> str:
        """Give the result of a job.

        Raises:
            TransportError: if there is none, or it is lost.
        """
        outcome = self._outcomes.get(job_id)
        if outcome is None:
            nonce = nonce_of(self._client.job_get(job_id))
            if nonce is None:
                raise TransportError(
                    f"Job {job_id} has no result: it was not submitted by this library, and Ray "
                    "keeps no more of it than its log."
                )
            try:
                outcome = self._outcome(job_id, nonce)
            except TransportError as error:
                if _may_pass(error):
                    raise
                raise _unreadable(job_id, error) from error
        if not isinstance(outcome, Returned):
            raise TransportError(f"Job {job_id} has no result: its log holds none.")
        self._outcomes.spend(job_id)
        return outcome.text

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
            if mark not in log:
                return b""  # what Ray says before the program's words is not among them later
            log = _without_begun(log, mark)
        return printed(log, nonce)

    def job_metrics(self, job_id: str) -> dict[str, Any]:
        """Give when a job was submitted, and when it ended.

        Ray does not tell when it began to run, so there is no `usage`.
        """
        told = as_promised(ray_jobs.read_document, self._client.job_get(job_id))
        moments = {"created": told.created, "finished": told.ended}
        return {"timestamps": {name: moment for name, moment in moments.items() if moment}}


@attrs.frozen
class RayListing:
    """Asks about many jobs at once, by the list of all; a `JobListing`.

    It leaves out those that have ended, as Ray says or as was seen already: what became of them
    stands in their logs, and each is asked about alone.
    """

    client: RayClient
    """Speaks with the head."""
    outcomes: Outcomes
    """Knows the ends that were seen."""

    def page(
        self,
        limit: int,  # noqa: ARG002 - Ray gives all of them
        skip: int,  # noqa: ARG002
        wanted: Collection[str],
    ) -> ListedPage:
        """See `JobListing`."""
        jobs = ray_jobs.listed_jobs(self.client.jobs_list())
        found = {
            job_id: document
            for job_id, document in jobs
            if job_id in wanted and not is_final(document) and self.outcomes.get(job_id) is None
        }
        return ListedPage(len(jobs), found, has_more=False)

    def status_event(self, document: object, request: int) -> ReplyEvent:
        """See `JobListing`."""
        return RAY.status_event(document, request)


def _ended(said: JobSucceeded | JobFailed, outcome: Outcome | None) -> LifecycleEvent:
    """Say how a job ended, of what Ray says and what the log says."""
    match said, outcome:
        case _, Returned():
            return JobSucceeded(said.request)
        case JobFailed(), Raised(reason):
            return attrs.evolve(said, reason=reason)
        case JobSucceeded(), Raised(reason):
            return JobFailed(said.request, reason)
        case JobSucceeded(), None:
            return JobFailed(said.request, _NO_RESULT)
    return said


def _may_pass(error: TransportError) -> bool:
    """Whether a log that could not be read is to be asked for again, before anything is said.

    Not if the head has answered, and only the node of the log has not: that may last for ever, and
    Ray knows the state of the job all the same.
    """
    is_of_node = error.reason_code == ray_jobs.NO_NODE or error.status_code == 500
    return error.retryable and not is_of_node


def _unreadable(job_id: str, error: TransportError) -> TransportError:
    if error.reason_code == ray_jobs.NO_NODE:
        what = "is lost: it stood in the log on the node that ran the job, and that node is gone"
    else:
        what = f"cannot be read from its log: {stated(error)}"
    return TransportError(
        f"The result of job {job_id} {what}.", error.status_code, reason_code=error.reason_code
    )


def _without_begun(log: bytes, mark: bytes) -> bytes:
    """Take a frame's first bytes off the end of a log that is still written to.

    A line break alone stays: it is what a print ends with, far more often.
    """
    for length in range(min(len(mark), len(log)), 1, -1):
        if log.endswith(mark[:length]):
            return log[:-length]
    return log
