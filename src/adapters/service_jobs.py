"""The jobs of a `RuntimeService`: how they are submitted, found again, and made objects.

With this module comes all that a job is made of: the service loads it when it is made itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from adapters.job import InterimCallback, RuntimeJob
from adapters.job_base import JobArguments
from adapters.parameters import ParameterNamespace, plain_inputs
from adapters.service_calls import ServiceCalls
from adapters.services.dialect import dialect_of
from adapters.services.promises import as_promised
from adapters.transport_jobs import TransportJobs
from runtime_core.decoders import Decoder, ResultDecoder, choose_decoder
from runtime_core.documents import read_job
from runtime_core.events import JobQueued, UnknownStatusReported


@attrs.frozen
class ServiceJobs(TransportJobs):
    """The jobs of one service; they ask by its transport."""

    calls: ServiceCalls
    """What submits and finds them."""
    backend_of: Callable[[str | None], Any]
    """Gives the backend of a name; None if there is no name."""

    def submit(
        self,
        program_id: str,
        options: object,
        inputs: Mapping[str, Any] | ParameterNamespace | None,
        result_decoder: Decoder[Any] | None,
        image: str,
    ) -> JobArguments:
        """Submit a job; see `RuntimeService.run`."""
        decoder = ResultDecoder if result_decoder is None else result_decoder
        # Before the job is there: nobody would learn its id from a refusal.
        choose_decoder(program_id, self.decoders, None, decoder)
        params = plain_inputs(inputs)
        taken = self.calls.submit(program_id, options, params, image)
        return attrs.evolve(
            self.known(taken.job_id, program_id),
            backend=self.backend_of(taken.backend),
            params=params,
            result_decoder=decoder,
            image=taken.image,
            initial=JobQueued(),
        )

    def find(self, job_id: str) -> JobArguments:
        """Find a job again; see `RuntimeService.job`."""
        return self.told(self.calls.job_get(job_id))

    def find_all(
        self, limit: int | None, skip: int, pending: bool | None, program_id: str | None
    ) -> list[JobArguments]:
        """Find jobs; see `RuntimeService.jobs`."""
        documents = self.calls.jobs_get(limit, skip, pending, program_id)
        found = {each.job_id: each for each in map(self.told, documents)}
        return list(found.values())

    def told(self, answer: object) -> JobArguments:
        """Read what the service says of a job."""
        document = as_promised(dialect_of(self.transport).read_document or read_job, answer)
        said = self.calls.known_state(answer)
        return attrs.evolve(
            self.known(document.id, document.program_id),
            backend=self.backend_of(document.backend),
            image=document.image,
            initial=None if isinstance(said, UnknownStatusReported) else said,
            document=document,
        )

    def job(self, given: JobArguments, callback: InterimCallback | None) -> RuntimeJob:
        """Make the object of a job."""
        return RuntimeJob(**given.keywords, user_callback=callback)
