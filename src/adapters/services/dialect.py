"""What a dialect is to those who watch a job: how its service says the state, and how it behaves.

The service dialects' other functions (paths, bodies, headers) are called by the client that is
made for them; a client says by its attribute `dialect` what it speaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import attrs

from adapters.services import ibm_current, ibm_legacy
from runtime_core.events import LifecycleEvent, UnknownStatusReported
from runtime_core.traits import ServiceTraits


class StatusReader(Protocol):
    """Says what a service's description of a job means for its state."""

    def __call__(
        self, document: object, request: int | None = None, /
    ) -> LifecycleEvent | UnknownStatusReported:
        """Read the answer of `job_get`.

        Raises:
            TransportError: if there is no state in it.
        """
        ...


class ListReader(Protocol):
    """Finds the jobs in a service's list of them."""

    def __call__(self, answer: object, /) -> Sequence[tuple[str, object]]:
        """Read the answer of `jobs_get`: the id of each job, and its document for `StatusReader`.

        Raises:
            TransportError: if there is no list in it.
        """
        ...


@attrs.frozen
class Dialect:
    """How a service speaks of its jobs: make one for a service with other words."""

    name: str
    """What it is called."""
    status_event: StatusReader
    """Says what the answer of `job_get` means."""
    traits: ServiceTraits = attrs.field(factory=ServiceTraits)
    """How the service behaves, if nobody says more."""
    listed_jobs: ListReader | None = None
    """Finds the jobs in the answer of `jobs_get`, by which many are asked about at once; None if
    each is to be asked about alone."""


LEGACY: Final = Dialect(
    "legacy", ibm_legacy.status_event, ibm_legacy.TRAITS, ibm_legacy.listed_jobs
)
"""The service that `RuntimeJob` was first written for: `status` is a word."""

CURRENT: Final = Dialect(
    "current", ibm_current.status_event, ibm_current.TRAITS, ibm_legacy.listed_jobs
)
"""Its successor: `state` holds a status, a reason and a reason code; there are no streams."""


def dialect_of(api_client: object) -> Dialect:
    """Give the dialect that a client says it speaks; the legacy one if it says none."""
    said = getattr(api_client, "dialect", None)
    return said if isinstance(said, Dialect) else LEGACY
