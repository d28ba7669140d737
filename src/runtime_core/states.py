"""The five states of a job: the vocabulary that errors, events and tables share."""

from __future__ import annotations

from enum import Enum


class JobState(Enum):
    """The state of a job, as its service last confirmed it."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    ERROR = "error"
    CANCELLED = "cancelled"

    is_final: bool
    """Whether the job has ended: DONE, ERROR or CANCELLED. A final state never changes."""

    def __init__(self, word: str) -> None:
        self.is_final = word not in ("queued", "running")

    # Members are singletons. Enum hashes the name, which costs a fifth of a table look-up.
    __hash__ = object.__hash__
