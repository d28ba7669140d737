"""`TransportService`: where jobs are submitted and taken up by a transport of your own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.closing import Closing
from adapters.drivers.performers import blocking
from adapters.job import InterimCallback, RuntimeJob
from adapters.parameters import ParameterNamespace, plain_inputs
from adapters.transport import SubmittingTransport, Transport
from runtime_core.decoders import Decoder, DecoderRegistry, ResultDecoder, choose_decoder
from runtime_core.errors import UsageError
from runtime_core.events import JobQueued
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
        UsageError: if the requests of the transport have to be awaited: for asyncio give it to an
            `AsyncRuntimeJob`.
    """

    def __init__(
        self,
        transport: Transport,
        backend: Any = None,
        decoders: DecoderRegistry | None = None,
        on_unknown_status: JobState | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._transport = blocking(transport)
        self._backend = backend
        self._decoders = DecoderRegistry() if decoders is None else decoders
        self._on_unknown_status = on_unknown_status
        self._observer = observer

    @property
    def ends_jobs(self) -> bool:
        """Whether jobs that have not ended do so when the transport is closed.

        It is what the transport says in an attribute of this name, if it has one; else they go on.
        """
        return getattr(self._transport, "ends_jobs", False) is True

    @property
    def can_submit(self) -> bool:
        """Whether the transport has a `submit`."""
        return isinstance(self._transport, SubmittingTransport)

    def run(
        self,
        program_id: str,
        options: Mapping[str, Any] | None = None,
        inputs: Mapping[str, Any] | ParameterNamespace | None = None,
        callback: InterimCallback | None = None,
        result_decoder: Decoder[Any] | None = None,
    ) -> RuntimeJob:
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
        transport = self._transport
        if not isinstance(transport, SubmittingTransport):
            raise UsageError(
                f"{type(transport).__name__} has no submit: it can only take up jobs by their ids."
            )
        # Before the job is there: nobody would learn its id from a refusal.
        decoder = ResultDecoder if result_decoder is None else result_decoder
        choose_decoder(program_id, self._decoders, None, decoder)
        if callback is not None and not self._transport.traits.pushes:
            raise UsageError("the service has no streams: run without callback, and wait")
        given = plain_inputs(inputs)
        job_id = transport.submit(program_id, given, dict(options or {}))
        if not isinstance(job_id, str):
            raise UsageError(
                f"{type(transport).__name__}.submit gave one {type(job_id).__name__}, expected "
                "the id of the job, a str."
            )
        return RuntimeJob(
            self._backend,
            self._transport,
            None,
            job_id,
            program_id,
            given,
            user_callback=callback,
            result_decoder=decoder,
            decoders=self._decoders,
            on_unknown_status=self._on_unknown_status,
            initial=JobQueued(),
            observer=self._observer,
        )

    def job(self, job_id: str, program_id: str = "") -> RuntimeJob:
        """Take a job up; nobody is asked whether it is there.

        Args:
            job_id: the job, as its service names it.
            program_id: what it runs; chooses the decoder of its results.
        """
        return RuntimeJob(
            self._backend,
            self._transport,
            None,
            job_id,
            program_id,
            decoders=self._decoders,
            on_unknown_status=self._on_unknown_status,
            observer=self._observer,
        )

    def take_up(
        self,
        handle: JobHandle,
        callback: InterimCallback | None = None,
        result_decoder: Decoder[Any] | None = None,
    ) -> RuntimeJob:
        """Take a job up where a handle left it; see `RuntimeJob.from_handle`.

        Raises:
            UsageError: if the handle is of another service or dialect, there is no decoder of the
                name that it says, or there is a `callback` and no stream.
        """
        if callback is not None and not self._transport.traits.pushes:
            raise UsageError("the service has no streams: take it up without callback, and wait")
        return RuntimeJob.from_handle(
            handle,
            self._transport,
            user_callback=callback,
            result_decoder=result_decoder,
            decoders=self._decoders,
            backend=self._backend,
            on_unknown_status=self._on_unknown_status,
            observer=self._observer,
        )

    def close(self) -> None:
        """Close the transport, if it can be closed."""
        close = getattr(self._transport, "close", None)
        if close is not None:
            close()
