"""The requests that wait until they may be sent, and their queues."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator

import attrs

from adapters.transport import JobListing
from runtime_core.events import ReplyEvent

# How many entries of questions that have left a queue may lie in it, beside as many as are left.
_LITTER = 64


@attrs.define(eq=False)
class Question:
    """A request of a job that has been ordered and not been sent."""

    job_id: str
    """The job."""
    number: int
    """The request's number, which its reply carries."""
    send: Callable[[], None]
    """Sends it."""
    answer: Callable[[ReplyEvent], None]
    """Takes its reply, if it is answered without being sent."""
    listing: JobListing | None = None
    """Knows of many jobs at once; None if the service must be asked about this job alone."""
    place: int = 0
    """Who has the lowest is next; 0 if it has none yet."""
    urgent: bool = False
    """Whether somebody waits for just this answer, or it is likely to be news."""
    follows_end: bool = False
    """Whether it is the one that follows the end of the job's stream, as the service told it."""
    impatient: bool = False
    """Whether they want to hear of a failure at once, rather than wait till it has passed."""
    open: bool = True
    """Whether it is still to be sent or answered."""
    queue: Queue | None = None
    """Where it waits; None if it is in none, or only in a listing pass."""


class Queue:
    """Questions in the order of their places."""

    def __init__(self) -> None:
        # Those that left out of turn are None: the entry is in the way, the question is not held.
        self._heap: list[tuple[int, int, list[Question | None]]] = []
        self._cells: dict[Question, list[Question | None]] = {}
        self._ties = itertools.count()

    def __len__(self) -> int:
        return len(self._cells)

    def __iter__(self) -> Iterator[Question]:
        return iter(tuple(self._cells))

    def add(self, question: Question) -> None:
        """Have it wait here and nowhere else."""
        if question.queue is not None:
            question.queue.discard(question)
        question.queue = self
        cell: list[Question | None] = [question]
        self._cells[question] = cell
        heapq.heappush(self._heap, (question.place, next(self._ties), cell))
        if len(self._heap) > 2 * len(self._cells) + _LITTER:
            self._heap = [entry for entry in self._heap if entry[2][0] is not None]
            heapq.heapify(self._heap)

    def discard(self, question: Question) -> None:
        """Have it wait here no more."""
        cell = self._cells.pop(question, None)
        if cell is not None:
            cell[0] = question.queue = None

    def pop(self) -> Question:
        """Take the next one out; there must be one."""
        while True:
            question = heapq.heappop(self._heap)[2][0]
            if question is not None:
                self.discard(question)
                return question
