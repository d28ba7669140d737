"""Where a service's list of jobs has the jobs, and a job its id. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from adapters.services.places import Place
from adapters.services.promises import NOT_PROMISED
from runtime_core.errors import TransportError


class ListReader(Protocol):
    """Finds the jobs in a service's list of them."""

    def __call__(self, answer: object, /) -> Sequence[tuple[str, object]]:
        """Read the answer of `jobs_get`: the id of each job, and its document for `StatusReader`.

        Raises:
            TransportError: if there is no list in it.
        """
        ...


def listed(*, at: str, id_at: str = "id") -> ListReader:
    """Make the reader of a list whose jobs are described as each job alone is.

    What has no id gets an empty one.

    Args:
        at: where the list stands in the answer, the steps joined by dots.
        id_at: where the id stands in a job.

    Raises:
        ValueError: if a place cannot be one.
    """
    place, ids = Place.of(at), Place.of(id_at)

    def listed_jobs(answer: object, /) -> list[tuple[str, object]]:
        jobs = place.find(answer)
        if not isinstance(jobs, Sequence) or isinstance(jobs, str):
            raise TransportError(f"{NOT_PROMISED}: {place.missing(answer, 'a list')}.")
        found = [(ids.find(job), job) for job in jobs]
        return [(told if isinstance(told, str) else "", job) for told, job in found]

    return listed_jobs
