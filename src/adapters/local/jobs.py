"""The book of programs and jobs, kept in memory. Belongs to the event loop's thread."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import attrs

from adapters.local.logs import LogBuffer


class JobStatus(Enum):
    """The status words of the service."""

    QUEUED = "Queued"
    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    RAN_TOO_LONG = "Cancelled - Ran too long"

    @property
    def is_final(self) -> bool:
        """Whether the job has ended."""
        return self not in (JobStatus.QUEUED, JobStatus.RUNNING)


def _now() -> datetime:
    return datetime.now(UTC)


@attrs.frozen
class Program:
    """A program that can be run."""

    name: str
    """Its name, which is its id too."""
    source: bytes
    """The text of its one file."""
    cost: int
    """The longest execution time in seconds."""
    description: str = ""
    """What it does."""
    is_public: bool = False
    """Kept for who asks; on this machine everybody with the token may run every program."""
    spec: dict[str, Any] = attrs.field(factory=dict)
    """The JSON schemas of inputs and results; kept, not checked."""
    created: datetime = attrs.field(factory=_now)
    """When it was uploaded."""


@attrs.define(eq=False)
class Job:
    """One run of a program, and everything that is known of it.

    A reader of its stream keeps its own position in `interim` and awaits `changed` when it has seen
    everything; so no reader can hold up another.
    """

    program: Program
    """What it runs: a copy of its own, so that deleting the program does not matter."""
    backend: str
    """The name that the program is told."""
    params: str
    """The inputs: a JSON object as text."""
    image: str = ""
    """Kept for who asks; programs run with this machine's Python."""
    log_level: str | None = None
    """The level of Python's logging in the program; None leaves it alone."""
    id: str = attrs.field(factory=lambda: secrets.token_hex(12))
    """The id; it cannot be guessed."""
    created: datetime = attrs.field(factory=_now)
    """When it was submitted."""
    ended: datetime | None = None
    """When its end was known here; None as long as it is not."""
    status: JobStatus = JobStatus.QUEUED
    """How far it is."""
    interim: list[str] = attrs.field(factory=list)
    """The interim results so far, in the order published."""
    result: str | None = None
    """The result, or why there is none; None while there is nothing to say."""
    logs: LogBuffer = attrs.field(factory=LogBuffer)
    """What the program printed."""
    _changed: asyncio.Event = attrs.field(factory=asyncio.Event)

    def publish(self, texts: Iterable[str]) -> None:
        """Add interim results and wake the readers."""
        self.interim.extend(texts)
        self._wake()

    def end(self, status: JobStatus, result: str | None = None) -> None:
        """Give the job its final status and wake the readers."""
        self.status = status
        self.result = result
        self.ended = _now()
        self._wake()

    async def changed(self) -> None:
        """Return after the next interim result or the end.

        Nothing is lost between a look at the job and this call if no other await is between them.
        """
        await self._changed.wait()

    def _wake(self) -> None:
        # Everybody who waits now is woken; who comes later waits for the next change.
        self._changed.set()
        self._changed.clear()


@attrs.define(eq=False)
class Book:
    """All programs and jobs of the service, in the order in which they came."""

    programs: dict[str, Program] = attrs.field(factory=dict)
    """The programs by their id."""
    jobs: dict[str, Job] = attrs.field(factory=dict)
    """The jobs by their id."""

    def find_jobs(self, pending: bool | None = None, program: str | None = None) -> list[Job]:
        """Give the matching jobs, the newest first.

        `pending` picks those that have not ended (True), those that have (False), or both (None).
        """
        return [
            job
            for job in reversed(self.jobs.values())
            if (pending is None or pending is not job.status.is_final)
            and (program is None or program == job.program.name)
        ]
