"""The calls of the services that a `RuntimeClient` speaks with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from adapters.http.client import RuntimeClient
from adapters.http.current_client import CurrentRuntimeClient
from adapters.paging import entries
from adapters.run_options import RunOptions
from adapters.service_calls import Submitted
from adapters.services.promises import as_promised
from runtime_core.documents import BackendDocument, read_backend, read_job_page
from runtime_core.errors import OptionsError
from runtime_core.events import LifecycleEvent, UnknownStatusReported


@attrs.frozen
class ClientCalls:
    """Makes them by a client; a `ServiceCalls`."""

    client: RuntimeClient
    """What speaks with the service."""
    account: Mapping[str, str] = attrs.field(factory=dict)
    """What jobs are accounted to: `hub`, `group` and `project`, where the service has them."""

    @property
    def url(self) -> str:
        """See `ServiceCalls`."""
        return self.client.url

    def submit(
        self, program_id: str, options: object, inputs: Mapping[str, Any], image: str
    ) -> Submitted:
        """See `ServiceCalls`; the options are a `RunOptions`, or what it is made of."""
        chosen = RunOptions.of(options)
        image = image or chosen.image or ""
        answer = self.client.program_run(
            program_id,
            chosen.backend_name,
            inputs,
            image=image,
            log_level=chosen.log_level or None,
            **self.account,
            **self._current_options(chosen),
        )
        told = answer.get("backend")
        backend = told if isinstance(told, str) and told else chosen.backend_name
        return Submitted(answer["id"], backend, image)

    def _current_options(self, chosen: RunOptions) -> dict[str, Any]:
        """Give what only the current service takes."""
        given = {"tags": chosen.job_tags, "max_execution_time": chosen.max_execution_time}
        wanted = {name: value for name, value in given.items() if value}
        if wanted and not isinstance(self.client, CurrentRuntimeClient):
            raise OptionsError("job_tags and max_execution_time are of the current dialect")
        return wanted

    def job_get(self, job_id: str) -> object:
        """See `ServiceCalls`."""
        return self.client.job_get(job_id)

    def known_state(self, document: object) -> LifecycleEvent | UnknownStatusReported | None:
        """See `ServiceCalls`."""
        return self.client.dialect.status_event(document)

    def jobs_get(
        self, limit: int | None, skip: int, pending: bool | None, program_id: str | None
    ) -> Iterable[object]:
        """See `ServiceCalls`."""

        def page(size: int, offset: int) -> tuple[Sequence[object], int]:
            answer = self.client.jobs_get(size, offset, pending, program_id)
            return answer.get("jobs") or (), as_promised(read_job_page, answer).count

        return entries(page, limit, skip)

    def job_delete(self, job_id: str) -> None:
        """See `ServiceCalls`."""
        self.client.job_delete(job_id)

    def backend_get(self, name: str | None) -> BackendDocument:
        """See `ServiceCalls`."""
        return as_promised(read_backend, self.client.backend_get(name))

    def logout(self) -> None:
        """See `ServiceCalls`."""
        self.client.logout()

    def close(self) -> None:
        """See `ServiceCalls`."""
        self.client.close()
