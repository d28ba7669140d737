"""The requests of one job: when they are sent, how long each may take, that it is answered once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from adapters.defaults import DEFAULT_STATUS_RATE
from adapters.drivers.loop import Task, TimerHandle
from adapters.drivers.performers import Performer
from adapters.drivers.questions import Question
from adapters.drivers.reactor import Reactor
from adapters.drivers.status_budget import StatusBudget
from adapters.transport import (
    AsyncTransport,
    ServiceTransport,
    Transport,
    usable_rate,
)
from runtime_core.commands import FetchResult, FetchStatus, RequestCommand, SendCancel
from runtime_core.errors import TransportError
from runtime_core.events import ReplyEvent, RequestFailed

REQUEST_DEADLINE = 90.0
"""Seconds after which a request is given up, even if its answer keeps dripping in."""

RESULT_DEADLINE = 900.0
"""The same for a result, which may be large."""


class JobRequests:
    """Sends the requests of one job when its service's budget allows it. Used on the loop only.

    Args:
        job_id: the job.
        transport: says, if it does, which service it is that they are for.
        performer: does them.
        reactor: gives the timers and the budget.
        receive: gets the reply to each, once.
    """

    def __init__(
        self,
        job_id: str,
        transport: Transport | AsyncTransport,
        performer: Performer,
        reactor: Reactor,
        receive: Callable[[ReplyEvent], None],
    ) -> None:
        self._job_id = job_id
        self._transport = transport
        self._performer = performer
        self._service = transport if isinstance(transport, ServiceTransport) else None
        self._reactor = reactor
        self._receive = receive
        self._known_budget: StatusBudget | None = None
        self._open: set[int] = set()
        self._deadlines: dict[int, TimerHandle] = {}
        self._under_way: dict[int, Task] = {}
        self._queued: dict[int, Question] = {}
        self._place = 0
        self._has_ended = False
        self._follow_up = 0

    @property
    def _budget(self) -> StatusBudget:
        if self._known_budget is None:
            service = self._transport if self._service is None else self._service.service
            self._known_budget = self._reactor.budget_of(service)
        return self._known_budget

    @property
    def are_queued(self) -> bool:
        """Whether any has been ordered and not been sent."""
        return bool(self._queued)

    def order(self, command: RequestCommand) -> None:
        """Have a request sent as soon as it may be."""
        number = command.request
        self._open.add(number)
        if isinstance(command, SendCancel):
            self._send(command)
            return
        question = Question(
            self._job_id,
            number,
            partial(self._send, command),
            partial(self._reply, number),
        )
        self._queued[number] = question
        if not isinstance(command, FetchStatus):
            self._budget.send(question)
            return
        rate = DEFAULT_STATUS_RATE
        if self._service is not None:
            rate = usable_rate(self._service.status_requests_per_second)
            question.listing = self._service.listing
        question.place = self._place
        question.follows_end = self._may_follow
        self._budget.ask(question, rate)

    def hurry(self, *, impatient: bool = False) -> None:
        """Somebody waits for the state: see `StatusBudget.hurry`."""
        for question in self._queued.values():
            if question.place:
                question.follows_end = self._may_follow
                self._budget.hurry(question, impatient=impatient)

    def follow_end(self) -> None:
        """The service has ended the job's stream: the first time, this is asked about at once.

        Only the first time, so that a service which ends streams again and again, though their jobs
        go on, is not asked each time. If a request is under way, it is the next one that goes so.
        """
        self._has_ended = True
        self.hurry()

    @property
    def _may_follow(self) -> bool:
        return self._has_ended and not self._follow_up

    def drop(self) -> None:
        """Nobody is interested: what has not been sent has failed, and is not sent.

        Who asks again takes the place in the queue that was left.
        """
        error = TransportError("Nobody waited for it any more: it was not sent.", retryable=True)
        for number, question in tuple(self._queued.items()):
            if number not in self._queued:
                continue  # what follows from a reply may come here, too
            self._budget.drop(question)
            self._reply(number, RequestFailed(number, error, retryable=True))
            self._place = max(self._place, question.place)

    def close(self) -> None:
        """Let go of everything; what is under way ends by itself, by its deadline at the latest."""
        for question in self._queued.values():
            self._budget.drop(question)
        self._queued.clear()

    def hear(self, failure: RequestFailed) -> None:
        """Take into account what the service said to something that was no request."""
        self._budget.hear(failure)

    # ---- one request ---------------------------------------------------------------------------

    def _send(self, command: RequestCommand) -> None:
        number = command.request
        question = self._queued.pop(number, None)
        if question is not None and question.place:
            self._place = 0
            if question.follows_end:
                self._follow_up = number
        seconds = RESULT_DEADLINE if isinstance(command, FetchResult) else REQUEST_DEADLINE
        # The deadline first: it holds as well if there are no more threads.
        task = partial(self._abandon, number, seconds)
        self._deadlines[number] = self._reactor.call_later(seconds, task)
        tell = partial(self._on_reply, number)
        self._under_way[number] = self._performer.perform(command, tell)

    def _on_reply(self, number: int, reply: ReplyEvent) -> None:
        self._budget.hear(reply)
        self._reply(number, reply)

    def _reply(self, number: int, reply: ReplyEvent) -> None:
        if number in self._open and number == self._follow_up:
            self._budget.followed()
        self._open.discard(number)
        question = self._queued.pop(number, None)
        if question is not None and question.place:
            self._place = 0
            if question.follows_end:  # a page has told it
                self._follow_up = number
        self._under_way.pop(number, None)
        deadline = self._deadlines.pop(number, None)
        if deadline is not None:
            deadline.cancel()
        self._receive(reply)

    def _abandon(self, number: int, seconds: float) -> None:
        abandon = self._under_way.pop(number, None)
        if abandon is not None:
            abandon()
        message = f"The service did not answer within {seconds:g} s."
        error = TransportError(message, retryable=True)
        self._reply(number, RequestFailed(number, error, retryable=True))

    # ---- fork ----------------------------------------------------------------------------------

    def after_fork(self, error: Exception) -> list[RequestFailed]:
        """In the child of a fork: give the replies to what was under way, which is lost."""
        lost = [RequestFailed(number, error, retryable=True) for number in sorted(self._open)]
        self._open.clear()
        self._under_way.clear()
        self._deadlines.clear()
        self._queued.clear()
        self._known_budget = None
        self._place = self._follow_up = 0
        return lost
