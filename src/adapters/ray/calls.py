"""What `RayRuntimeService` asks of a head, beside what its jobs ask by their transport."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from adapters.ray.client import RayClient
from adapters.ray.options import RayOptions
from adapters.ray.transport import BACKEND, RayTransport
from adapters.service_calls import Submitted
from adapters.services import ray_jobs
from adapters.services.ray_jobs import RAY, is_final
from runtime_core.documents import BackendDocument
from runtime_core.errors import TransportError, UsageError
from runtime_core.events import LifecycleEvent, UnknownStatusReported
from runtime_core.value_path import shown


@attrs.frozen
class RayCalls:
    """Asks a head; a `ServiceCalls`."""

    client: RayClient
    """Speaks with the head."""
    transport: RayTransport
    """Submits."""

    @property
    def url(self) -> str:
        """See `ServiceCalls`."""
        return self.client.url

    def submit(
        self, program_id: str, options: object, inputs: Mapping[str, Any], image: str
    ) -> Submitted:
        """See `ServiceCalls`; the options are a `RayOptions`, or what it is made of."""
        if image:
            RayOptions.of({"image": image})  # says why there is none
        job_id = self.transport.submit(program_id, inputs, options)
        return Submitted(job_id, BACKEND)

    def job_get(self, job_id: str) -> object:
        """See `ServiceCalls`."""
        return self.client.job_get(job_id)

    def known_state(self, document: object) -> LifecycleEvent | UnknownStatusReported | None:
        """See `ServiceCalls`; how a job of ours has ended stands in its log, not here."""
        if self._has_ended(document) and ray_jobs.nonce_of(document) is not None:
            return None
        return RAY.status_event(document)

    def _has_ended(self, document: object) -> bool:
        """Whether a job has ended, as Ray says, or as was seen before Ray."""
        return is_final(document) or self.transport.has_result(ray_jobs.id_of(document))

    def jobs_get(
        self, limit: int | None, skip: int, pending: bool | None, program_id: str | None
    ) -> Iterable[object]:
        """See `ServiceCalls`; Ray gives all jobs at once, in no order."""
        if skip < 0 or (limit is not None and limit < 0):
            raise UsageError(f"limit and skip are numbers from 0 on, not {limit} and {skip}")
        found = [job for job_id, job in ray_jobs.listed_jobs(self.client.jobs_list()) if job_id]
        if pending is not None:
            found = [job for job in found if self._has_ended(job) is not pending]
        if program_id is not None:
            found = [job for job in found if ray_jobs.program_of(job) == program_id]
        found.sort(key=ray_jobs.start_time, reverse=True)
        return found[skip : None if limit is None else skip + limit]

    def job_delete(self, job_id: str) -> None:
        """See `ServiceCalls`."""
        self.transport.job_delete(job_id)

    def backend_get(self, name: str | None) -> BackendDocument:
        """See `ServiceCalls`; there is one, the cluster."""
        if name not in (None, BACKEND):
            raise TransportError(
                f"There is no backend {shown(name)}: a Ray cluster is one, {BACKEND!r}.", 404
            )
        return BackendDocument(BACKEND, version=self.client.version()["ray_version"])

    def logout(self) -> None:
        """Do nothing: a head keeps nothing of a token."""

    def close(self) -> None:
        """See `ServiceCalls`."""
        self.client.close()
