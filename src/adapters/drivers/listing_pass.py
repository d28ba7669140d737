"""One pass through the list of a service's jobs, which answers many status requests at once. Pure.

Jobs that are submitted or deleted meanwhile move the others to another page: one that is seen twice
is answered once, one that is missed is asked for alone.
"""

from __future__ import annotations

from collections.abc import Collection

from adapters.drivers.questions import Question
from adapters.transport import JobListing, ListedPage

PAGE = 200
"""How many jobs are asked for at once: the most that the services of IBM give."""

MOST_PAGES = 10
"""After so many pages what was not found is asked for alone."""

BARREN_PAGES = 2
"""The same after so many pages in a row that bring nothing, once one has brought something: jobs of
others may lie before ours, and between them."""


class ListingPass:
    """Which questions it is to answer, and how far it has come."""

    def __init__(self, questions: Collection[Question], listing: JobListing, now: float) -> None:
        self.listing = listing
        self.started = now
        self.is_urgent = any(question.urgent for question in questions)
        """Whether somebody waits for what it tells."""
        self.took = 0.0
        """How many seconds the service has needed for its pages."""
        self.skip = 0
        """How many jobs have been seen."""
        self.pages = 0
        """How many pages have been asked for."""
        self.is_asking = False
        """Whether a page is under way."""
        self.found = 0
        """How many questions were answered."""
        self._barren = 0
        self._asked: dict[str, list[Question]] = {}
        for question in questions:
            self._asked.setdefault(question.job_id, []).append(question)
        # More pages than jobs would be dearer than to ask about each alone.
        self._most_pages = min(MOST_PAGES, len(self._asked))

    @property
    def wanted(self) -> frozenset[str]:
        """The jobs that have not been found."""
        return frozenset(self._asked)

    @property
    def left(self) -> list[Question]:
        """The questions that are still open."""
        return [q for questions in self._asked.values() for q in questions if q.open]

    def take(self, page: ListedPage) -> bool:
        """Answer what a page answers; return whether the pass goes on."""
        before = self.found
        for job_id, document in page.found.items():
            for question in self._asked.get(job_id, ()):
                self._answer(question, document)
        self.skip += page.length
        if self.found > before:
            self._barren = 0
        elif self.found:
            self._barren += 1
        is_deep = self.pages >= self._most_pages or self._barren >= BARREN_PAGES
        return page.has_more and not is_deep and bool(self.left)

    def _answer(self, question: Question, document: object) -> None:
        if not question.open or question.listing is None:
            return
        try:
            reply = question.listing.status_event(document, question.number)
        except Exception:  # of a dialect: then the job is asked for alone, and that tells why
            return
        if question.queue is not None:  # it has become urgent meanwhile
            question.queue.discard(question)
        question.open = False
        self.found += 1
        question.answer(reply)
