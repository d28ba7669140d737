"""What is the same of a job for those who block and for those who await: what is known of it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NoReturn, Self, SupportsIndex, cast

import attrs

from adapters.drivers.job_runner import JobRunner
from adapters.handles import dialect_name, service_name
from adapters.http.transport import ApiClient, ClientTransport, StreamClient, asked
from adapters.job_facts import JobFacts
from adapters.job_logs import LogPart
from adapters.services.dialect import check_job_id
from adapters.transport import AsyncTransport, Transport
from runtime_core.cancel import CancelOutcome
from runtime_core.decoders import (
    Decoder,
    DecoderRegistry,
    ResultDecoder,
    choose_decoder,
    decoder_name,
)
from runtime_core.documents import JobDocument
from runtime_core.errors import (
    JobTimeoutError,
    RuntimeJobCancelledError,
    RuntimeJobFailureError,
    RuntimeJobNotFoundError,
    TransportError,
    UsageError,
)
from runtime_core.events import LifecycleEvent
from runtime_core.fast_json import fast_parser
from runtime_core.job_handle import JobHandle
from runtime_core.machine import JobMachine
from runtime_core.observer import Observer
from runtime_core.states import JobState
from runtime_core.traits import ServiceTraits

fast_parser()  # is imported here, if it is installed: not when somebody waits for a value


@attrs.frozen(kw_only=True)
class JobArguments:
    """What a job is made of, whoever it is made for; `RuntimeJob` says what each is."""

    backend: Any
    api_client: ApiClient | Transport | AsyncTransport
    ws_client: StreamClient | None
    job_id: str
    program_id: str
    params: Mapping[str, Any] | None = None
    creation_date: str | datetime | None = None
    result_decoder: Decoder[Any] = ResultDecoder
    image: str = ""
    decoders: DecoderRegistry | None = None
    on_unknown_status: JobState | None = None
    initial: LifecycleEvent | None = None
    document: JobDocument | None = None
    observer: Observer | None = None
    after: int = 0

    @classmethod
    def of(
        cls,
        handle: JobHandle,
        api_client: ApiClient | Transport | AsyncTransport,
        ws_client: StreamClient | None,
        *,
        result_decoder: Decoder[Any] | None = None,
        decoders: DecoderRegistry | None = None,
        backend: Any = None,
        on_unknown_status: JobState | None = None,
        observer: Observer | None = None,
    ) -> Self:
        """Take them from a handle; see `RuntimeJob.from_handle`."""
        handle.check_service(service_name(api_client), dialect_name(api_client))
        known = DecoderRegistry() if decoders is None else decoders
        decoder = handle.choose_decoder(known, result_decoder)
        return cls(
            backend=backend,
            api_client=api_client,
            ws_client=ws_client,
            job_id=handle.job_id,
            program_id=handle.program_id,
            result_decoder=decoder,
            # Of this program alone: what it is registered with now is not what the handle names.
            decoders=DecoderRegistry(decoder),
            on_unknown_status=on_unknown_status,
            observer=observer,
            after=handle.cursor,
        )

    @property
    def keywords(self) -> dict[str, Any]:
        """The same as arguments of a job's class."""
        return attrs.asdict(self, recurse=False)


class JobBase(ABC):
    """The facts of a job, its machine, and its decoded results. Asks nobody for anything."""

    def __init__(self, given: JobArguments) -> None:
        self._backend = given.backend
        self._transport = _transport(given.api_client, given.ws_client)
        self._teller = _teller(given.api_client)
        check_job_id(given.api_client, given.job_id)
        self._job_id = given.job_id
        self._program_id = given.program_id
        self._image = given.image
        self._after = given.after
        self._facts = JobFacts(
            self._teller, given.job_id, given.params, given.creation_date, given.document
        )
        self._decoders = DecoderRegistry() if given.decoders is None else given.decoders
        self._result_decoder = given.result_decoder
        self._choose(None)  # refuses what is no decoder
        traits = self._transport.traits
        if given.on_unknown_status is not None:
            traits = attrs.evolve(traits, on_unknown_status=given.on_unknown_status)
        self._machine = JobMachine(given.job_id, traits)
        # By the identity of the decoder, which the entry keeps alive. No lock: a fork could find it
        # held by a thread that the child does not have.
        self._values: dict[int, tuple[Decoder[Any], Any]] = {}

    @property
    @abstractmethod
    def _runner(self) -> JobRunner:
        """What runs the machine."""

    # ---- what the job is -----------------------------------------------------------------------

    def job_id(self) -> str:
        """The id of the job, as its service names it."""
        return self._job_id

    def backend(self) -> Any:
        """Where the job runs, as it was given."""
        return self._backend

    @property
    def image(self) -> str:
        """The image that was chosen for the program to run in; empty for the service's own."""
        return self._image

    @property
    def program_id(self) -> str:
        """What the job runs."""
        return self._program_id

    def __repr__(self) -> str:
        state = self._machine.state.name if self._machine.confirmed else "not asked yet"
        return f"<{type(self).__name__} {self._job_id!r} of {self._program_id!r}: {state}>"

    # ---- in another process --------------------------------------------------------------------

    def handle(self) -> JobHandle:
        """Give what another process needs to take the job up again, as it is at this moment.

        Its cursor is that of the present or last stream, and counts the interim results that the
        user is through with: those whose callback has returned, and of `interim_results` those
        after which the next one was asked for. So within a callback it says those before this one.
        Asks nobody, and may be called from everywhere, as often as you like.

        Raises:
            UsageError: if the service's URL has an @ behind its host, so that it cannot be told
                whether it holds a password.
        """
        machine = self._machine
        return JobHandle(
            job_id=self._job_id,
            service=service_name(self._transport),
            dialect=dialect_name(self._transport),
            program_id=self._program_id,
            decoder=decoder_name(self._choose(None)),
            cursor=self._runner.delivered(self._after),
            state=machine.state if machine.confirmed else None,
        )

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse to be pickled or copied: a job is followed by threads and sockets of its own."""
        name = type(self).__name__
        raise TypeError(
            f"a {name} can be neither pickled nor copied: it belongs to this process. Send "
            f"job.handle().to_json(), and make another of it by {name}.from_handle()."
        )

    # ---- what became of it ---------------------------------------------------------------------

    def cancel_outcome(self) -> CancelOutcome | None:
        """What became of the last `cancel`; None if there was none, or it is not decided yet."""
        return self._machine.cancel_outcome

    def stream_error(self) -> BaseException | None:
        """Why the last stream ended early: the callback's exception, or the service's failure.

        None if there was none, it goes on, or it ended as it should.
        """
        return self._runner.stream_error

    def _known_result(self) -> str | None:
        """The text of the result if it is here; raises if it is known that there is none."""
        machine = self._machine
        if machine.state is JobState.CANCELLED:
            raise RuntimeJobCancelledError(self._job_id)
        failure = machine.failure
        if failure is not None:
            raise RuntimeJobFailureError(self._job_id, failure.reason, failure.reason_code)
        return machine.result_text

    def _choose(self, decoder: Decoder[Any] | None) -> Decoder[Any]:
        return choose_decoder(self._program_id, self._decoders, decoder, self._result_decoder)

    def _decoded(self, decoder: Decoder[Any], text: str) -> Any:
        known = self._values.get(id(decoder))
        if known is None:
            # If another thread is quicker, both get the same object.
            known = self._values.setdefault(id(decoder), (decoder, decoder.decode(text)))
        return known[1]

    def _logs(self) -> str:
        """Ask for the log; blocks."""
        job_logs = getattr(self._teller, "job_logs", None)
        if job_logs is None:
            raise UsageError(f"{type(self._teller).__name__} has no job_logs")
        try:
            return str(asked(job_logs, self._job_id))
        except RuntimeJobNotFoundError:
            raise  # that there is no job is not that there is no log
        except TransportError as error:
            if error.status_code == 404:
                return ""
            raise

    def _read_log(self, start: int) -> LogPart | TransportError:
        """Ask for the log from a byte on, and give what comes of that; blocks."""
        part = getattr(self._teller, "job_logs_part", None)
        try:
            if part is None:
                return LogPart(0, self._logs().encode())
            found: LogPart = part(self._job_id, start)
        except TransportError as error:
            return error
        return found

    def _timed_out(self, action: str, timeout: float | None) -> JobTimeoutError:
        machine = self._machine
        return JobTimeoutError(
            self._job_id, action, timeout or 0.0, machine.state, machine.failures
        )


def check_timeout(timeout: float | None) -> None:
    """Refuse what is no timeout.

    Raises:
        ValueError: if it is negative, or no number.
    """
    if timeout is not None and (math.isnan(timeout) or timeout < 0):
        raise ValueError(f"timeout is in seconds, 0 or more, or None: not {timeout!r}")


def check_wait(wait: float) -> None:
    """Refuse what is no time between two polls.

    Raises:
        ValueError: if it is negative, or no number.
    """
    if math.isnan(wait) or wait < 0:
        raise ValueError(f"wait is in seconds, 0 or more: not {wait!r}")


def _transport(
    given: ApiClient | Transport | AsyncTransport, ws_client: StreamClient | None
) -> Transport | AsyncTransport:
    transport = _as_transport(given)
    if transport is None:
        _check_client(given)
        traits = None if ws_client is None else ws_client.traits
        return ClientTransport(cast("ApiClient", given), ws_client, traits)
    if ws_client is not None:
        name = type(given).__name__
        raise UsageError(f"{name} is a transport and has its own streams: give it ws_client=None.")
    return transport


def _check_client(given: object) -> None:
    # Nothing more is asked of a client than that it does not look like a transport that lacks
    # something: its first request would say that there is no job_get.
    if hasattr(given, "perform") and not hasattr(given, "job_get"):
        raise UsageError(
            f"{type(given).__name__} is no transport: it needs traits, which are a ServiceTraits, "
            "perform and stream."
        )


def _as_transport(given: object) -> Transport | AsyncTransport | None:
    """Give it itself if it is a transport, of either kind; None if it is a client."""
    # A mock has whatever it is asked for, but no such traits.
    if isinstance(given, Transport) and isinstance(given.traits, ServiceTraits):
        return given
    return None


def _teller(given: object) -> object:
    """Who tells of a job what the machine does not need, if anybody does."""
    return given.service if isinstance(given, ClientTransport) else given
