"""What a reader of a job's stream gets: what there is, then what comes, until the job has ended."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

from adapters.local.records import Job
from adapters.local.store import Store
from adapters.local.texts import Kind
from adapters.local.watchers import Watchers

# How many messages one reader gets before the others have their turn, and are held for it.
_BURST = 64


async def bursts(
    store: Store, watchers: Watchers, job: Job, after: int
) -> AsyncGenerator[list[bytes | Path], None]:
    """Give the interim results after the first `after`, or their files, some at a time.

    It ends when all of a job that has ended were given. A reader that is slow holds up nobody, and
    nothing is kept for it.
    """
    with watchers.watching(job.id) as changed:
        while True:
            changed.clear()
            # First whether it has ended, then what there is: nothing comes after the end.
            last = store.job(job.id)
            while burst := list(store.texts.read(job, Kind.INTERIM, after, _BURST)):
                after = burst[-1][0] + 1
                yield [text for _, text in burst]
            if last is None or last.status.is_final:
                return
            await changed.wait()
