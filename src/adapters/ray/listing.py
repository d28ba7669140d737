"""The list of the jobs of a Ray cluster, which tells of many at once."""

from __future__ import annotations

from collections.abc import Collection

import attrs

from adapters.ray.client import RayClient
from adapters.ray.outcomes import Outcomes
from adapters.services import ray_jobs
from adapters.services.ray_jobs import RAY, is_final
from adapters.transport import ListedPage
from runtime_core.events import ReplyEvent


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
