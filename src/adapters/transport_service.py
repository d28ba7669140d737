"""`TransportService`: where jobs are submitted and taken up by a transport of your own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.closing import Closing
from adapters.drivers.performers import blocking
from adapters.job import InterimCallback, RuntimeJob
from adapters.parameters import ParameterNamespace
from adapters.transport import Transport
from adapters.transport_jobs import TransportJobs
from adapters.value_type import Value
from runtime_core.decoders import Decoder, DecoderRegistry
from runtime_core.job_handle import JobHandle
from runtime_core.observer import Observer
from runtime_core.states import JobState


class TransportService(Closing):
    """Jobs by one transport: the same objects as a `RuntimeService` gives, without its client.

    Making it does no I/O. Any number of threads may use it, if the transport allows that. Close
    it, or use it in a `with`: that closes the transport, if it has a `close`. Jobs go on.

    Args:
        transport: does the requests, and opens the streams.
        backend: where the jobs run; given back by `RuntimeJob.backend` as it is.
        decoders: the decoders of programs; None for one that decodes every result alike.
        on_unknown_status: what a status word that nobody knows is taken for; None raises
            `UnknownStatusError` to whoever waits.
        observer: is called with each `Step` of its jobs, see `Observer`.

    Raises:
        UsageError: if the requests of the transport have to be awaited: for asyncio there is
            `AsyncTransportService`.
    """

    def __init__(
        self,
        transport: Transport,
        backend: Any = None,
        decoders: DecoderRegistry | None = None,
        on_unknown_status: JobState | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._jobs = TransportJobs(
            blocking(transport),
            backend,
            DecoderRegistry() if decoders is None else decoders,
            on_unknown_status,
            observer,
        )

    @property
    def ends_jobs(self) -> bool:
        """Whether jobs that have not ended do so when the transport is closed.

        It is what the transport says in an attribute of this name, if it has one; else they go on.
        """
        return getattr(self._jobs.transport, "ends_jobs", False) is True

    @property
    def can_submit(self) -> bool:
        """Whether the transport has a `submit`."""
        return self._jobs.submitting is not None

    def run(
        self,
        program_id: str,
        options: Mapping[str, Any] | None = None,
        inputs: Mapping[str, Any] | ParameterNamespace | None = None,
        callback: InterimCallback | None = None,
        result_decoder: Decoder[Value] | None = None,
    ) -> RuntimeJob[Value]:
        """Submit a job.

        Args:
            program_id: the program to run, as the transport names it.
            options: what else is wanted of the run; handed to the transport as it is.
            inputs: what the program gets.
            callback: gets the interim results: job id and decoded interim result.
            result_decoder: decodes the job's results; None for `ResultDecoder`.

        Raises:
            UsageError: if the transport cannot submit, or not with these options or inputs; if
                `result_decoder` is no decoder, or there is a `callback` and no stream.
            InputsError: if the inputs do not fit the program's parameters.
            TransportError: if the service did not take the job, or did not say so.
        """
        jobs = self._jobs
        submission = jobs.submission(program_id, options, inputs, callback, result_decoder)
        given = jobs.submitted(submission.send(), submission)
        return RuntimeJob(**given.keywords, user_callback=callback)

    def job(self, job_id: str, program_id: str = "") -> RuntimeJob:
        """Take a job up; nobody is asked whether it is there.

        Args:
            job_id: the job, as its service names it.
            program_id: what it runs; chooses the decoder of its results.
        """
        return RuntimeJob(**self._jobs.known(job_id, program_id).keywords)

    def take_up(
        self,
        handle: JobHandle,
        callback: InterimCallback | None = None,
        result_decoder: Decoder[Value] | None = None,
    ) -> RuntimeJob[Value]:
        """Take a job up where a handle left it; see `RuntimeJob.from_handle`.

        Raises:
            UsageError: if the handle is of another service or dialect, there is no decoder of the
                name that it says, or there is a `callback` and no stream.
        """
        given = self._jobs.taken_up(handle, callback, result_decoder)
        return RuntimeJob(**given.keywords, user_callback=callback)

    def close(self) -> None:
        """Close the transport, if it can be closed."""
        close = getattr(self._jobs.transport, "close", None)
        if close is not None:
            close()
