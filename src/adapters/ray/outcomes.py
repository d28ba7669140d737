"""How jobs on a Ray cluster ended, kept in this process: their node may be gone a moment later."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from typing import Final, assert_never

from adapters.ray.log_events import Outcome, Raised, Returned

MAX_BYTES: Final = 64 * 1024 * 1024
"""How much is kept, in bytes of memory, roughly."""

_ENTRY: Final = 200  # bytes that an outcome takes beside its text


class Outcomes:
    """What is known of the ends of jobs, by their ids. Thread-safe.

    Past the limit goes what was given out already, and then what was used the longest time ago;
    never the last one, however long it is: whoever has read it is about to ask for it.

    Args:
        max_bytes: the limit.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[str, Outcome] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()
        self._process = os.getpid()

    @property
    def size(self) -> int:
        """How much is kept, in bytes, roughly."""
        return self._size

    def put(self, job_id: str, outcome: Outcome) -> None:
        """Keep how a job ended."""
        with self._own_lock():
            before = self._kept.pop(job_id, None)
            self._size += _size(outcome) - (0 if before is None else _size(before))
            self._kept[job_id] = outcome
            while self._size > self._max_bytes and len(self._kept) > 1:
                self._size -= _size(self._kept.popitem(last=False)[1])

    def get(self, job_id: str) -> Outcome | None:
        """Give how a job ended; None if it is not known here."""
        with self._own_lock():
            found = self._kept.get(job_id)
            if found is not None:
                self._kept.move_to_end(job_id)
            return found

    def spend(self, job_id: str) -> None:
        """Say that whoever wanted to know has it: if something has to go, it goes first."""
        with self._own_lock():
            if job_id in self._kept:
                self._kept.move_to_end(job_id, last=False)

    def _own_lock(self) -> threading.Lock:
        # A fork may have copied the lock while a thread had it that is not in the child. Two
        # threads of the child that come here at once may make two, which is as good as none for
        # one call: what is kept twice or too long then is gone with the next one.
        if self._process != os.getpid():
            self._lock, self._process = threading.Lock(), os.getpid()
        return self._lock


def _size(outcome: Outcome) -> int:
    match outcome:
        case Returned(text) | Raised(text):
            # Of a str with other than Latin letters it is more; an estimate bounds it, too.
            return _ENTRY + len(text)
    assert_never(outcome)
