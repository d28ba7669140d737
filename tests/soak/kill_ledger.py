"""What the service acknowledged and what anybody has seen of it: none of it may be lost."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import attrs


@attrs.define(eq=False)
class Ledger:
    """The facts of one data directory, of all clients and all rounds. Thread-safe."""

    inputs: dict[int, dict[str, Any]] = attrs.field(factory=dict)
    """Job number -> its inputs, from before its submission on."""
    jobs: dict[str, int] = attrs.field(factory=dict)
    """Job id -> number, of submissions that were acknowledged."""
    cancelling: set[str] = attrs.field(factory=set)
    """Ids of jobs whose cancel was sent, answered or not."""
    cancelled: dict[str, str] = attrs.field(factory=dict)
    """Job id -> when its cancel had been acknowledged: they never start after that."""
    deleting: set[str] = attrs.field(factory=set)
    """Ids of jobs whose removal was sent, answered or not."""
    deleted: set[str] = attrs.field(factory=set)
    """Ids of jobs whose removal was acknowledged."""
    finals: dict[str, str] = attrs.field(factory=dict)
    """Job id -> the final status that somebody saw."""
    seen: dict[str, int] = attrs.field(factory=dict)
    """Job id -> how many interim results one reader saw at most."""
    verified: set[str] = attrs.field(factory=set)
    """Ids of jobs that have ended and were read whole."""
    released: set[str] = attrs.field(factory=set)
    """Ids of jobs that nobody waits for any more: they may be removed."""
    programs: dict[str, bytes] = attrs.field(factory=dict)
    """Program id -> source, of uploads that were acknowledged."""
    removing: set[str] = attrs.field(factory=set)
    """Ids of programs whose removal was sent, answered or not."""
    removed: set[str] = attrs.field(factory=set)
    """Ids of programs whose removal was acknowledged."""
    counts: Counter[str] = attrs.field(factory=Counter)
    """What happened how often, for the report."""
    wrongs: list[str] = attrs.field(factory=list)
    """What should never be, in words."""
    _lock: threading.Lock = attrs.field(factory=threading.Lock)

    def new_job(self, **inputs: Any) -> dict[str, Any]:
        """Give the inputs of a job that is about to be submitted, with a number of its own."""
        with self._lock:
            number = len(self.inputs) + 1
            self.inputs[number] = {"number": number, **inputs}
            self.counts["submissions sent"] += 1
            return self.inputs[number]

    def acknowledged(self, job_id: str, number: int) -> None:
        """A submission was answered."""
        with self._lock:
            if self.jobs.setdefault(job_id, number) != number:
                self.wrongs.append(f"job {job_id} has the numbers {self.jobs[job_id]}, {number}")
            self.counts["submissions acknowledged"] += 1

    def saw(self, job_id: str, count: int) -> None:
        """A reader got the interim result with number `count` - 1."""
        with self._lock:
            self.seen[job_id] = max(count, self.seen.get(job_id, 0))
            self.counts["interim results read"] += 1

    def ended(self, job_id: str, status: str) -> None:
        """Somebody was told the final status of a job."""
        with self._lock:
            before = self.finals.setdefault(job_id, status)
            if before != status:
                self.wrongs.append(f"job {job_id} was {before} and became {status}")

    def count(self, what: str) -> None:
        """Count something for the report."""
        with self._lock:
            self.counts[what] += 1

    def wrong(self, what: str) -> None:
        """Note what should never be."""
        with self._lock:
            self.wrongs.append(what)

    def expect(self, holds: bool, what: str) -> None:
        """Note what should never be, unless it holds."""
        if not holds:
            self.wrong(what)
