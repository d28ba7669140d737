"""How long jobs are kept: by age and by size, the ones that ended first go first."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from adapters.local.records import Job
from adapters.local.store import Store
from adapters.local.watchers import Watchers

# How many jobs are removed at once: a few milliseconds, in which nobody else is served.
_BATCH = 50

_HOUR = 3600.0

_log = logging.getLogger(__name__)


@attrs.frozen
class RetentionRule:
    """Which jobs are kept. Unfinished ones are, and programs are, whatever it says."""

    keep_seconds: float = 30 * 24 * 3600
    """How long a job is kept after its end, in seconds."""
    keep_bytes: int = 10 * 1024**3
    """The size of everything, in bytes, above which the oldest jobs go."""


class Retention:
    """Shows what is kept, and removes what need not be. Belongs to the event loop's thread."""

    def __init__(self, store: Store, watchers: Watchers, rule: RetentionRule) -> None:
        self._store = store
        self._watchers = watchers
        self.rule = rule
        """What is applied without being asked, at the start and every hour."""

    def storage(self) -> dict[str, Any]:
        """Give what is kept, and the rule, as JSON has it."""
        return {
            "jobs": self._store.count_jobs(),
            "unfinished": self._store.count_jobs(pending=True),
            "programs": self._store.count_programs(),
            "size": self._store.size(),
            "oldest": self._store.oldest(),
            **attrs.asdict(self.rule),
        }

    async def prune(self, rule: RetentionRule, *, dry_run: bool = False) -> dict[str, int]:
        """Remove what `rule` does not keep, or only say what; give the number and size of it.

        A job whose stream is being read is left for the next time.
        """
        doomed = [job for job in self._beyond(rule) if not self._watchers.is_watched(job.id)]
        if not dry_run:
            for start in range(0, len(doomed), _BATCH):
                self._store.delete_jobs(doomed[start : start + _BATCH])
                await asyncio.sleep(0)
        return {"jobs": len(doomed), "size": sum(job.size for job in doomed)}

    async def prune_hourly(self) -> None:
        """Apply the rule now and every hour, without end."""
        while True:
            try:
                await self.prune(self.rule)
            except Exception:  # whatever it is, the service goes on
                _log.exception("what is too old could not be removed")
            await asyncio.sleep(_HOUR)

    def _beyond(self, rule: RetentionRule) -> list[Job]:
        try:
            limit = datetime.now(UTC) - timedelta(seconds=rule.keep_seconds)
            oldest_kept = limit.isoformat(timespec="microseconds")
        except OverflowError:
            oldest_kept = ""  # longer than there has been time
        size, count = self._store.size(), 0
        for ended, job_size in self._store.ended_sizes():
            if ended >= oldest_kept and size <= rule.keep_bytes:
                break
            size -= job_size
            count += 1
        return self._store.ended_jobs(count)
