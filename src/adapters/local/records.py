"""What the service keeps of programs and jobs: immutable copies of the rows of its store."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import attrs


class JobStatus(Enum):
    """The status words of the service."""

    QUEUED = "Queued"
    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    RAN_TOO_LONG = "Cancelled - Ran too long"

    __hash__ = object.__hash__

    @property
    def is_final(self) -> bool:
        """Whether the job has ended."""
        return self not in (JobStatus.QUEUED, JobStatus.RUNNING)


def now() -> str:
    """Give the time as the store has it: ISO 8601 in UTC; the order of texts is that of time."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def new_job_id() -> str:
    """Give an id that cannot be guessed."""
    return secrets.token_hex(12)


@attrs.frozen
class Program:
    """A program that can be run."""

    name: str
    """Its name, which is its id too."""
    cost: int
    """The longest execution time in seconds."""
    description: str = ""
    """What it does."""
    is_public: bool = False
    """Kept for who asks; on this machine everybody with the token may run every program."""
    spec: dict[str, Any] = attrs.field(factory=dict)
    """The JSON schemas of inputs and results; kept, not checked."""
    source: str = ""
    """Which source it has: the SHA-256 of it."""
    created: str = attrs.field(factory=now)
    """When it was uploaded."""
    updated: str = attrs.field(factory=now)
    """When it was changed last."""


@attrs.frozen
class Job:
    """One run of a program, as it was when it was read from the store."""

    program: str
    """The name of the program that it runs."""
    source: str
    """The program's source at the submission: what happens to the program does not matter."""
    cost: int
    """The longest execution time in seconds."""
    backend: str = ""
    """The name that the program is told."""
    image: str = ""
    """Kept for who asks; programs run with this machine's Python."""
    python: str = ""
    """The interpreter that runs the program; empty for the service's own, with its environment."""
    python_path: str = ""
    """The PYTHONPATH that goes with `python`."""
    log_level: str | None = None
    """The level of Python's logging in the program; None leaves it alone."""
    id: str = attrs.field(factory=new_job_id)
    """Its id."""
    status: JobStatus = JobStatus.QUEUED
    """How far it is."""
    created: str = attrs.field(factory=now)
    """When it was submitted."""
    started: str | None = None
    """When its process was started; None before."""
    ended: str | None = None
    """When its end was known here; None as long as it is not."""
    process: str | None = None
    """Its process, see `processes.identity_of`; None before the start."""
    size: int = 0
    """The bytes of everything that is kept of it."""
    key: int = 0
    """Its number in the store: jobs are started in this order."""
