"""What a job of the local runner tells beside its state and its result."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from adapters.job_logs import LogPart
from adapters.local.engine_owner import EngineOwner
from adapters.local.submission import checked
from adapters.local.told import job_metrics, job_text, log_part, log_text


class RunnerCalls(EngineOwner):
    """The calls of a client about one job, as far as `RuntimeJob` makes use of them."""

    def job_get(self, job_id: str) -> dict[str, Any]:
        """Give what is known of a job: see `JobDocument`.

        Raises:
            RuntimeJobNotFoundError: if there is no such job.
            UsageError: if this is closed.
            ServiceError: if the directory cannot be used.
        """
        text, tags = self._asked_of(job_id, lambda here, job: (job_text(here.store, job), job.tags))
        document: dict[str, Any] = json.loads(text)
        return document | {"tags": list(tags)}

    def job_logs(self, job_id: str) -> str:
        """Give what a job has printed; the end of it, if that is very long. Raises as `job_get`."""
        return self._asked_of(job_id, lambda here, job: log_text(here.store, job))

    def job_logs_part(self, job_id: str, start: int) -> LogPart:
        """Give what a job has printed from byte `start` on. Raises as `job_get`."""
        found = self._asked_of(job_id, lambda here, job: log_part(here.store, job, start))
        return LogPart(*found)

    def job_metrics(self, job_id: str) -> dict[str, Any]:
        """Give when a job began and ended, and how long it ran. Raises as `job_get`."""
        return self._asked_of(job_id, lambda here, job: job_metrics(here.store, job))

    def job_tag(self, job_id: str, tags: Iterable[str]) -> None:
        """Give a job these tags instead of those it has. Raises as `job_get`.

        Raises:
            OptionsError: if they are not several texts.
        """
        wanted = checked({"job_tags": list(tags)}).job_tags or ()
        self._asked_of(job_id, lambda here, job: here.store.tag_job(job, wanted))
