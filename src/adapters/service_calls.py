"""What a `RuntimeService` asks of a service, beside what its jobs ask by their transport."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import attrs

from runtime_core.documents import BackendDocument
from runtime_core.events import LifecycleEvent, UnknownStatusReported


@attrs.frozen
class Submitted:
    """A job that a service has taken."""

    job_id: str
    """Its id."""
    backend: str | None
    """Where it runs; None if nobody says."""
    image: str = ""
    """What it runs in; empty for the service's own."""


class ServiceCalls(Protocol):
    """The calls of one service about its jobs as such. Several threads may make them at once.

    All raise a `TransportError` if the service cannot be asked, or refuses.
    """

    @property
    def url(self) -> str:
        """Where the service is."""
        ...

    def submit(
        self, program_id: str, options: object, inputs: Mapping[str, Any], image: str
    ) -> Submitted:
        """Submit a job; see `RuntimeService.run`.

        Raises:
            OptionsError: if there is an unknown option, or one has a wrong value.
            EncodeError: if the inputs cannot be written as tagged JSON.
        """
        ...

    def job_get(self, job_id: str) -> object:
        """Give the document of a job, as the service has it."""
        ...

    def known_state(self, document: object) -> LifecycleEvent | UnknownStatusReported | None:
        """Say what the document of a job means for its state; None if it does not say all."""
        ...

    def jobs_get(
        self, limit: int | None, skip: int, pending: bool | None, program_id: str | None
    ) -> Iterable[object]:
        """Give the documents of jobs, the newest first; see `RuntimeService.jobs`."""
        ...

    def job_delete(self, job_id: str) -> None:
        """Remove a job that has ended."""
        ...

    def backend_get(self, name: str | None) -> BackendDocument:
        """Say what a backend is; None for where jobs run that name none."""
        ...

    def logout(self) -> None:
        """Have the service forget what it has cached of the access token's rights."""
        ...

    def close(self) -> None:
        """Close the connections. May be repeated."""
        ...
