"""What the services over a transport have in common: how a job is submitted, and what makes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from adapters.job_base import JobArguments
from adapters.parameters import ParameterNamespace, plain_inputs
from adapters.transport import AsyncTransport, SubmittingTransport, Transport
from runtime_core.decoders import Decoder, DecoderRegistry, ResultDecoder, choose_decoder
from runtime_core.errors import UsageError
from runtime_core.events import JobQueued
from runtime_core.job_handle import JobHandle
from runtime_core.observer import Observer
from runtime_core.states import JobState


@attrs.frozen
class TransportJobs:
    """The jobs of one transport; see `TransportService` for what is given."""

    transport: Transport | AsyncTransport
    """What does the requests."""
    backend: Any
    """Where jobs run."""
    decoders: DecoderRegistry
    """The decoders of programs."""
    on_unknown_status: JobState | None
    """What an unknown word is taken for."""
    observer: Observer | None
    """Of all jobs."""

    @property
    def submitting(self) -> SubmittingTransport | None:
        """What submits; None if there is nothing that does."""
        return self.transport if isinstance(self.transport, SubmittingTransport) else None

    def submission(
        self,
        program_id: str,
        options: Mapping[str, Any] | None,
        inputs: Mapping[str, Any] | ParameterNamespace | None,
        callback: object,
        result_decoder: Decoder[Any] | None,
    ) -> Submission:
        """Check what is to be submitted, before the job is there: nobody would learn its id.

        Raises:
            UsageError: if it cannot be submitted like this; see `TransportService.run`.
        """
        submitting = self.submitting
        if submitting is None:
            name = type(self.transport).__name__
            raise UsageError(f"{name} has no submit: it can only take up jobs by their ids.")
        if callback is not None and not self.transport.traits.pushes:
            raise UsageError("the service has no streams: run without callback, and wait")
        decoder = ResultDecoder if result_decoder is None else result_decoder
        choose_decoder(program_id, self.decoders, None, decoder)
        given = plain_inputs(inputs)
        return Submission(submitting, program_id, given, dict(options or {}), decoder)

    def submitted(self, job_id: object, submission: Submission) -> JobArguments:
        """Give what makes the object of a job that was submitted.

        Raises:
            UsageError: if the transport gave no id.
        """
        if not isinstance(job_id, str) or not job_id:
            kind = "empty text" if job_id == "" else type(job_id).__name__
            raise UsageError(
                f"{type(self.transport).__name__}.submit gave one {kind}, expected the id of the "
                "job, a str."
            )
        return attrs.evolve(
            self.known(job_id, submission.program_id),
            params=submission.inputs,
            result_decoder=submission.decoder,
            initial=JobQueued(),
        )

    def known(self, job_id: str, program_id: str) -> JobArguments:
        """Give what makes the object of a job that is there already."""
        return JobArguments(
            backend=self.backend,
            api_client=self.transport,
            ws_client=None,
            job_id=job_id,
            program_id=program_id,
            decoders=self.decoders,
            on_unknown_status=self.on_unknown_status,
            observer=self.observer,
        )

    def taken_up(
        self, handle: JobHandle, callback: object, result_decoder: Decoder[Any] | None
    ) -> JobArguments:
        """Give what makes the object of a job that a handle names.

        Raises:
            UsageError: if it cannot be taken up; see `TransportService.take_up`.
        """
        if callback is not None and not self.transport.traits.pushes:
            raise UsageError("the service has no streams: take it up without callback, and wait")
        return JobArguments.of(
            handle,
            self.transport,
            None,
            result_decoder=result_decoder,
            decoders=self.decoders,
            backend=self.backend,
            on_unknown_status=self.on_unknown_status,
            observer=self.observer,
        )


@attrs.frozen
class Submission:
    """A job that can be submitted, as far as we know."""

    transport: SubmittingTransport
    """What submits it."""
    program_id: str
    """What it runs."""
    inputs: dict[str, Any]
    """What the program gets."""
    options: dict[str, Any]
    """What else is wanted."""
    decoder: Decoder[Any]
    """What decodes its results."""

    def send(self) -> object:
        """Submit it; gives its id, or, by an `AsyncTransport`, what gives that when awaited."""
        return self.transport.submit(self.program_id, self.inputs, self.options)
