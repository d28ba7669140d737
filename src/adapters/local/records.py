"""What the service keeps of programs and jobs: immutable copies of the rows of its store."""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import attrs

DEFAULT_BACKEND = "local"
"""What this machine is called where a job names no backend; any other name means it as well."""

DEFAULT_COST = 3600
"""The longest execution time in seconds of a program that names none."""

MAX_COST = 365 * 24 * 3600
"""The longest execution time in seconds that a program may name."""


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


_PROGRAM_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def program_id_of(name: str) -> str:
    """Give the id of a program of this name: the name itself where it can be one."""
    if _PROGRAM_ID.fullmatch(name) and name.strip("."):
        return name
    return f"{_readable(name)}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def other_program_id(name: str) -> str:
    """Give an id for a program of this name where another program has the usual one."""
    return f"{_readable(name)}-{secrets.token_hex(6)}"


def _readable(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:40] or "program"


@attrs.frozen
class Program:
    """A program that can be run."""

    name: str
    """Its name for people; no other program has it at the same time."""
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
    updated: str = attrs.field(default=attrs.Factory(lambda self: self.created, True))
    """When it was changed last."""
    id: str = attrs.field(default=attrs.Factory(lambda self: program_id_of(self.name), True))
    """What it is called by; it stays when the name changes."""


@attrs.frozen
class Job:
    """One run of a program, as it was when it was read from the store."""

    program: str
    """The id of the program that it runs."""
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
    hub: str = ""
    """Kept for who asks, as are `group` and `project`: the account that it is submitted for."""
    group: str = ""
    """The group within the hub."""
    project: str = ""
    """The project within the group."""
    tags: tuple[str, ...] = ()
    """What its submitter calls it, to find it by; may be changed at any time."""
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
    cancelling: bool = attrs.field(default=False, converter=bool)
    """Whether its end was asked for while it ran."""
    size: int = 0
    """The bytes of everything that is kept of it."""
    key: int = 0
    """Its number in the store: jobs are started in this order."""


@attrs.frozen
class JobFilter:
    """Which jobs are meant: those of which all of this holds."""

    pending: bool | None = None
    """Whether they have not ended (True), or have (False)."""
    program: str | None = None
    """The id of their program."""
    backend: str | None = None
    """The name that the program was told."""
    tags: tuple[str, ...] = ()
    """Tags that they all have."""
    created_after: str | None = None
    """When they were submitted at the earliest, as `now` writes it."""
    created_before: str | None = None
    """When they were submitted at the latest."""


ALL_JOBS = JobFilter()
"""Every job."""
