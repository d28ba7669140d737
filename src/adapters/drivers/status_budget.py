"""How the status requests of all jobs of one service share what the service may be asked.

By default ten a second, in the order in which they were ordered; each job has one at a time, so
that is fair. Those that somebody waits for go first, but leave every fifth place to the others.
When more are due than may be sent soon, one pass through the service's list of jobs answers them
all.

What follows the end of a stream that the service closed in order is no poll. It comes once in the
life of a job, as the fetch of its result does; so it goes at once and counts for nothing, as long
as there are no more than ten of them under way. Those beyond that have a turn when no other urgent
one is left, or are told by a page.

A service that says 429, or names a time by `Retry-After`, to whatever request of whatever job, is
sent nothing before that time but cancels: somebody waits for what they do, and it may save money.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

from adapters.defaults import DEFAULT_STATUS_RATE
from adapters.drivers.listing_pass import PAGE, ListingPass
from adapters.drivers.loop import Task, TimerHandle
from adapters.drivers.questions import Question, Queue
from adapters.drivers.rate import TOO_MANY_REQUESTS, SlowDown, TokenBucket
from adapters.transport import ListedPage
from runtime_core.errors import TransportError, stated
from runtime_core.events import ReplyEvent, RequestFailed
from runtime_core.scrub import scrubbed

logger = logging.getLogger(__name__)

FOLLOW_UPS = 10
"""How many requests that follow the ends of streams may be under way before others have to wait."""

URGENT_IN_A_ROW = 4
"""How many urgent requests may go before one that is not."""

SOON = 0.5
"""Seconds; what cannot be sent within them is a crowd, and worth a pass through the list."""

GATHERING = 0.1
"""Seconds from the moment when there is a crowd to the first pass: mostly it is still growing."""

LISTING_INTERVAL = 2.0
"""Seconds from the beginning of a pass to that of the next one."""

LISTING_SHARE = 4
"""The same, as a multiple of what its pages take: a list that is slow is asked for less often."""

LISTING_PAUSE = 60.0
"""Seconds without a pass after one that failed; also the most after passes that were dearer than to
ask about each job alone, which double the interval each time."""

PAGE_DEADLINE = 30.0
"""Seconds after which a page is given up."""

PATIENCE = 10.0
"""Seconds of a slow-down that `status()` sits out; if it is longer, it hears of it at once."""


class World(Protocol):
    """What a budget needs of a `Reactor`; see there."""

    def now(self) -> float: ...  # noqa: D102
    def call_soon(self, task: Task) -> None: ...  # noqa: D102
    def call_later(self, delay: float, task: Task) -> TimerHandle: ...  # noqa: D102
    def run_request(self, task: Task) -> None: ...  # noqa: D102
    def abandon_request(self, task: Task) -> None: ...  # noqa: D102


class StatusBudget:
    """The budget of one service. Lives on a reactor's loop: every method is called there."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._bucket = TokenBucket(DEFAULT_STATUS_RATE)
        self._slow_down = SlowDown()
        self._place = 0
        self._follow_ups = Queue()
        """Those that need no turn, if there is room."""
        self._following = 0
        """How many of those are under way."""
        self._urgent = Queue()
        self._polls = Queue()
        """Those that a pass can answer."""
        self._singles = Queue()
        """Those that no pass can answer, or the last one did not."""
        self._others = Queue()
        """Requests that are for no status: they wait for the end of a slow-down only."""
        self._in_a_row = 0
        self._pass: ListingPass | None = None
        self._page_deadline: TimerHandle | None = None
        self._next_pass = -math.inf
        self._dear_passes = 0
        self._is_crowded = False
        self._timer: tuple[float, TimerHandle] | None = None
        self._is_due = False

    # ---- requests come and go ------------------------------------------------------------------

    def ask(self, question: Question, rate: float) -> None:
        """Have a status request sent in its turn.

        Args:
            question: the request; with a place if it had one before.
            rate: how many the service may get in a second, from now on.
        """
        self._bucket.set_rate(rate, self._world.now())
        if not question.place:
            self._place += 1
            question.place = self._place
        self._put(question)
        self._attend()

    def send(self, question: Question) -> None:
        """Have a request sent that is for no status: at once, or when a slow-down is over."""
        if self._slow_down.holds(self._world.now()):
            self._others.add(question)
            self._attend()
        else:
            self._send(question)

    def hurry(self, question: Question, *, impatient: bool) -> None:
        """Somebody waits for the answer now; the impatient would rather hear that it takes long."""
        question.urgent = True
        question.impatient |= impatient
        self._put(question)
        self._attend()

    def followed(self) -> None:
        """Tell that a question which `follows_end`, and was sent, is under way no more."""
        self._following -= 1
        if self._follow_ups:
            self._attend()

    def drop(self, question: Question) -> None:
        """Nobody wants this any more: it is neither sent nor answered."""
        question.open = False
        if question.queue is not None:
            question.queue.discard(question)
            self._attend()

    def hear(self, reply: ReplyEvent) -> None:
        """Take into account how the service answered a request, of whatever kind."""
        self._slow_down.hear(reply, self._world.now())

    # ---- turns ---------------------------------------------------------------------------------

    def _put(self, question: Question, *, was_listed: bool = False) -> None:
        # Who asks for the status gets it no later because of the end.
        has_room = self._following < FOLLOW_UPS
        if question.follows_end and (has_room or not question.impatient):
            self._follow_ups.add(question)
        elif question.urgent:
            self._urgent.add(question)
        elif was_listed or question.listing is None:
            self._singles.add(question)
        else:
            self._polls.add(question)

    def _attend(self) -> None:
        """See what can be sent once everything that happens at this moment has happened.

        So a thousand jobs that begin to be waited for together are known to be a crowd.
        """
        if not self._is_due:
            self._is_due = True
            self._world.call_soon(self._take_turns)

    def _take_turns(self) -> None:
        self._is_due = False
        now = self._world.now()
        try:
            if self._slow_down.holds(now):
                self._refuse_impatient(now)
            else:
                self._send_what_may_go(now)
        finally:  # one that cannot be sent, for want of a thread say, must not hold up the others
            self._set_timer(now)

    def _send_what_may_go(self, now: float) -> None:
        while self._others:
            self._send(self._others.pop())
        while self._follow_ups and self._following < FOLLOW_UPS:
            self._send(self._follow_ups.pop())
        if self._bucket.delay(now) == 0:
            self._begin_pass_if_crowded(now)
        while self._bucket.delay(now) == 0 and self._take_turn(now):
            self._bucket.take(now)

    def _take_turn(self, now: float) -> bool:
        """Send the next request; return whether there was one."""
        other = self._other_turn(now)
        is_first = self._in_a_row < URGENT_IN_A_ROW and not self._is_page_first
        urgent = self._urgent or self._follow_ups
        if urgent and (other is None or is_first):
            self._in_a_row += 1
            self._send(urgent.pop())
            return True
        self._in_a_row = 0
        if other is not None:
            other()
        return other is not None

    @property
    def _all_urgent(self) -> list[Question]:
        return [*self._follow_ups, *self._urgent]

    @property
    def _is_page_first(self) -> bool:
        """Whether a page is due that many wait for."""
        listing_pass = self._pass
        return listing_pass is not None and listing_pass.is_urgent and not listing_pass.is_asking

    def _other_turn(self, now: float) -> Callable[[], None] | None:
        """What is to be sent next, urgent requests aside."""
        if self._pass is not None and not self._pass.is_asking:
            return partial(self._ask_page, self._pass)
        if self._singles:
            return lambda: self._send(self._singles.pop())
        if self._polls and not self._polls_wait(now):
            return lambda: self._send(self._polls.pop())
        return None

    def _polls_wait(self, now: float) -> bool:
        """Whether polls gather for the next pass."""
        return self._pass is not None or (self._is_crowded and now < self._next_pass)

    def _refuse_impatient(self, now: float) -> None:
        left = self._slow_down.until - now
        if left <= PATIENCE:
            return
        for question in self._all_urgent:
            if question.impatient:
                self.drop(question)
                message = f"The service asks to wait: it is sent nothing for another {left:.0f} s."
                error = TransportError(message, TOO_MANY_REQUESTS, True, left)
                question.answer(RequestFailed(question.number, error, True, left))

    def _set_timer(self, now: float) -> None:
        at = self._next_turn(now)
        if self._timer is not None:
            if self._timer[0] == at:
                return
            self._timer[1].cancel()
            self._timer = None
        if at is not None:
            self._timer = at, self._world.call_later(max(0.0, at - now), self._on_timer)

    def _next_turn(self, now: float) -> float | None:
        """When something can be sent that cannot be sent now; None if there is nothing."""
        page_waits = self._pass is not None and not self._pass.is_asking
        urgent = self._urgent or self._follow_ups
        anything = page_waits or urgent or self._singles or self._polls or self._others
        if not anything:
            return None
        if self._slow_down.holds(now):
            return self._slow_down.until
        if self._other_turn(now) is not None or urgent:
            return now + self._bucket.delay(now)
        return None if self._pass is not None else self._next_pass

    def _on_timer(self) -> None:
        self._timer = None
        self._take_turns()

    # ---- passes through the list ---------------------------------------------------------------

    def _begin_pass_if_crowded(self, now: float) -> None:
        if self._pass is not None or now < self._next_pass:
            return
        tokens = self._bucket.tokens(now)
        soon = tokens + SOON * self._bucket.rate
        # A few that are urgent can go by themselves, and at once.
        urgent = self._all_urgent
        urgent = [q for q in urgent if q.listing] if len(urgent) > tokens else []
        was_crowded = self._is_crowded
        self._is_crowded = len(self._polls) + len(urgent) > soon
        if self._is_crowded and was_crowded:
            self._begin_pass([*urgent, *self._polls], now)
        elif self._is_crowded:
            self._next_pass = now + GATHERING

    def _begin_pass(self, questions: list[Question], now: float) -> None:
        for question in questions:
            if question.queue is not None and not question.follows_end:
                question.queue.discard(question)
        listing = questions[-1].listing
        assert listing is not None, "others do not wait for a pass"
        self._pass = ListingPass(questions, listing, now)

    def _ask_page(self, listing_pass: ListingPass) -> None:
        listing_pass.is_asking = True
        listing_pass.pages += 1
        number, skip, wanted = listing_pass.pages, listing_pass.skip, listing_pass.wanted
        sent = self._world.now()

        def perform() -> None:
            """On a worker: whatever happens, the loop hears of it once."""
            outcome: ListedPage | Exception = TransportError("The request was interrupted.")
            try:
                outcome = listing_pass.listing.page(PAGE, skip, wanted)
            except Exception as error:
                outcome = error
            finally:
                self._world.call_soon(partial(self._on_page, listing_pass, number, sent, outcome))

        def abandon() -> None:
            self._world.abandon_request(perform)
            late = TransportError(f"The service did not answer within {PAGE_DEADLINE:g} s.")
            self._on_page(listing_pass, number, sent, late)

        self._page_deadline = self._world.call_later(PAGE_DEADLINE, abandon)
        self._world.run_request(perform)

    def _on_page(
        self,
        listing_pass: ListingPass,
        number: int,
        sent: float,
        outcome: ListedPage | Exception,
    ) -> None:
        if self._pass is not listing_pass or listing_pass.pages != number:
            return  # its deadline has passed
        assert self._page_deadline is not None
        self._page_deadline.cancel()
        self._page_deadline = None
        listing_pass.is_asking = False
        now = self._world.now()
        listing_pass.took += now - sent
        if isinstance(outcome, Exception):
            self._on_failed_page(listing_pass, outcome, now)
        else:
            self._slow_down.hear_success(now)
            if not listing_pass.take(outcome):
                self._end_pass(listing_pass)
        self._attend()

    def _on_failed_page(self, listing_pass: ListingPass, error: Exception, now: float) -> None:
        self._slow_down.hear(
            RequestFailed(0, error, retry_after=getattr(error, "retry_after", None)), now
        )
        self._pass = None
        if self._slow_down.holds(now):
            self._next_pass = self._slow_down.until
            self._put_back(listing_pass.left)
            return
        logger.info(
            "the list of jobs cannot be had: %s; each is asked for alone meanwhile",
            scrubbed(stated(error)),
        )
        self._next_pass = now + LISTING_PAUSE
        self._is_crowded = False
        self._put_back(listing_pass.left, were_listed=True)

    def _end_pass(self, listing_pass: ListingPass) -> None:
        self._pass = None
        interval = max(LISTING_INTERVAL, LISTING_SHARE * listing_pass.took)
        if listing_pass.found < listing_pass.pages:
            self._dear_passes += 1
            self._is_crowded = False
            interval = max(interval, min(LISTING_INTERVAL * 2**self._dear_passes, LISTING_PAUSE))
        else:
            self._dear_passes = 0
        self._next_pass = listing_pass.started + interval
        self._put_back(listing_pass.left, were_listed=True)

    def _put_back(self, questions: Iterable[Question], *, were_listed: bool = False) -> None:
        for question in questions:
            self._put(question, was_listed=were_listed)

    def _send(self, question: Question) -> None:
        question.open = False
        if question.follows_end:
            self._following += 1
        question.send()
