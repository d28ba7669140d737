"""What can be seen of a machine at work: each event, and the commands that it led to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import attrs

from runtime_core.commands import Command
from runtime_core.errors import RuntimeInvalidStateError
from runtime_core.events import Event
from runtime_core.states import JobState
from runtime_core.traits import ServiceTraits


@attrs.frozen
class Step:
    """One event that a machine received, and what followed from it."""

    job_id: str
    """The job."""
    traits: ServiceTraits
    """What the machine knows of the service: the same for every step of a machine."""
    at: float
    """When, in seconds on the driver's monotonic clock."""
    event: Event
    """What was received."""
    commands: tuple[Command, ...]
    """What has to be done because of it."""
    state: JobState
    """The state of the job afterwards."""
    confirmed: bool
    """Whether the service has said anything about the state by then."""
    refusal: RuntimeInvalidStateError | None = None
    """Why the machine refused the event, a wish of the caller; it changed nothing then."""


Observer: TypeAlias = Callable[[Step], object]
"""Is called with each step of a machine, in order, on the loop that all jobs share: it must return
quickly and may not block. What it raises is logged, and changes nothing."""
