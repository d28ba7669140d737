"""When things happened to a job: seconds since it was submitted, as far as that is known."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime

from adapters.cli.follow import last_known_state
from adapters.cli.times import read_time
from adapters.job import RuntimeJob
from runtime_core.documents import JobDocument
from runtime_core.errors import RuntimeCoreError

_REPLAY = 0.5
"""Seconds after a job was found in which what it published before is told again."""


class JobClock:
    """Counts from the submission of a job; make one with `started` or `found`."""

    def __init__(self, origin: float | None, live_from: float, duration: float | None) -> None:
        self._origin = origin
        self._live_from = live_from
        self._duration = duration

    @classmethod
    def started(cls) -> JobClock:
        """Give the clock of a job that is submitted now."""
        return cls(time.monotonic(), -math.inf, None)

    @classmethod
    def found(cls, job: RuntimeJob) -> JobClock:
        """Give the clock of a job that was found, by what its service said of it."""
        document = told(job)
        created = None if document is None else read_time(document.created)
        if last_known_state(job).is_final:
            # When it published what is told again, nobody remembers.
            ended = None if document is None else read_time(document.ended)
            if created is None or ended is None:
                return cls(None, math.inf, None)
            return cls(None, math.inf, (ended - created).total_seconds())
        now = time.monotonic()
        age = 0.0 if created is None else (datetime.now(UTC) - created).total_seconds()
        return cls(now - max(0.0, age), now + _REPLAY, None)

    def now(self) -> float | None:
        """Give the seconds until now; until its end, if it was found when it had ended."""
        return self._duration if self._origin is None else time.monotonic() - self._origin

    def at(self, moment: float) -> float | None:
        """Give the seconds until something came, on the monotonic clock; None if it is older."""
        if self._origin is None or moment < self._live_from:
            return None
        return max(0.0, moment - self._origin)


def told(job: RuntimeJob) -> JobDocument | None:
    """Give what the service said of a job as a whole; None if it does not, by a transport say."""
    try:
        return job.document
    except RuntimeCoreError:
        return None
