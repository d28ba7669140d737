"""Wakes those who wait for a job to change. Belongs to the event loop's thread."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator


class Watchers:
    """Who watches which job.

    A reader looks at the store, sends what is new, and awaits its event; so it holds up nobody
    else, and nothing is kept for it.
    """

    def __init__(self) -> None:
        self._events: dict[str, set[asyncio.Event]] = {}

    @contextlib.contextmanager
    def watching(self, job_id: str) -> Iterator[asyncio.Event]:
        """Give an event that is set with every change of the job; who has seen it clears it."""
        event = asyncio.Event()
        events = self._events.setdefault(job_id, set())
        events.add(event)
        try:
            yield event
        finally:
            events.discard(event)
            if not events and self._events.get(job_id) is events:
                del self._events[job_id]

    def wake(self, job_id: str) -> None:
        """Say that the job has changed."""
        for event in self._events.get(job_id, ()):
            event.set()

    def is_watched(self, job_id: str) -> bool:
        """Whether somebody watches the job."""
        return job_id in self._events
