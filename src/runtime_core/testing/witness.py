"""What a caller and a service may expect of a machine between them, beside the ledger's rules.

The ledger looks at what one machine says; the witness also knows what is so at the service. It
never looks inside the machine either.
"""

from __future__ import annotations

import attrs

from runtime_core.commands import (
    Command,
    Deliver,
    DeliverGap,
    EndSubscription,
    EndWait,
    FetchFailure,
    FetchResult,
    FetchStatus,
    Notice,
    Report,
    SendCancel,
    StartTimer,
    StopTimer,
)
from runtime_core.errors import RuntimeInvalidStateError, UnknownStatusError
from runtime_core.events import (
    CancelAccepted,
    CancelRefused,
    CancelRequested,
    Event,
    Need,
    ReplayRequested,
    RequestFailed,
    StreamEvent,
    StreamFailed,
    StreamOpened,
    SubscriptionCancelled,
    SubscriptionRequested,
    TimerFired,
    TimerName,
    UnknownStatusReported,
    WaitEnded,
    WaitStarted,
)
from runtime_core.lifecycle import STATED
from runtime_core.machine import JobMachine
from runtime_core.polling import DEFAULT_WAIT, FIRST_RETRY, LONGEST_RETRY_AFTER, SHORTEST_POLL
from runtime_core.states import JobState
from runtime_core.testing.ledger import Ledger, RequestKind, require
from runtime_core.testing.message_witness import MessageWitness
from runtime_core.testing.truth import Truth
from runtime_core.traits import ServiceTraits

_STATED: dict[type[Event], JobState] = dict(STATED.items())


@attrs.define
class Wish:
    """Somebody who waits."""

    need: Need | None
    """What for; None waits for what the service says to a cancel."""
    wait: float
    """The longest time between two polls, in seconds."""
    asked_before: int
    """The last request that was sent before the wait began."""
    is_refused: bool = False
    """Whether it is a cancel, and the service refused it."""


@attrs.define
class Witness:
    """What must be so, kept from what happened: `foresee` before each step, `check` after it."""

    traits: ServiceTraits
    """The kind of service."""
    messages: MessageWitness
    """The same for the subscriber."""
    state: JobState = JobState.QUEUED
    """The state that the machine must be in: what it was told first, and nothing else."""
    confirmed: bool = False
    """Whether it was told any."""
    waits: dict[int, Wish] = attrs.Factory(dict)
    """Who waits."""
    asked: int = 0
    """The last request that was sent before this step."""
    asked_before_running: int = 0
    """The last request that was sent before the job was known to run."""
    answered: RequestKind | None = None
    """What the event of this step answers; None if nothing, or something that nobody awaits."""
    was_final: bool = False
    """Whether the job was known to have ended before this step."""
    backs_off: bool = False
    """Whether the POLL timer that is armed spares a service that failed."""
    backed_off: bool = False
    """Whether it did so before this step."""

    # ---- before a step -------------------------------------------------------------------------

    def foresee(self, event: Event, ledger: Ledger, truth: Truth) -> None:
        """Note what the machine is about to be told."""
        request: int | None = getattr(event, "request", None)
        self.asked = ledger.last_request
        self.answered = None if request is None else ledger.requests.get(request)
        self.was_final, self.backed_off = self.state.is_final, self.backs_off
        if request is None or self.answered is not None:
            self._foresee_state(event, request)
        self.messages.foresee(event, ledger, truth)

    def _foresee_state(self, event: Event, request: int | None) -> None:
        stated = _STATED.get(type(event))
        if isinstance(event, UnknownStatusReported):
            stated = self.traits.on_unknown_status
        if stated is None:
            return
        self.confirmed = True
        if self.state.is_final:
            return
        if (self.state, stated) == (JobState.RUNNING, JobState.QUEUED):
            is_stale = request is None or request <= self.asked_before_running
            if is_stale or not self.traits.requeues:
                return
        if (self.state, stated) == (JobState.QUEUED, JobState.RUNNING):
            self.asked_before_running = self.asked
        self.state = stated

    # ---- after it ------------------------------------------------------------------------------

    def check_refusal(self, event: Event, ledger: Ledger) -> None:
        """Check that the machine had to refuse a wish.

        Raises:
            AssertionError: if it was legal.
        """
        final = self.state.is_final
        match event:
            case CancelRequested(wait_id=number):
                is_legal = not final and number not in ledger.waits
            case WaitStarted(wait_id=number):
                is_legal = number not in ledger.waits
            case SubscriptionRequested(after=after) | ReplayRequested(after=after):
                is_free = self.traits.pushes and not ledger.subscription and after >= 0
                replays = isinstance(event, ReplayRequested) and self.traits.keeps_interim
                is_legal = is_free and (replays or not final)
            case _:
                is_legal = True
        require(not is_legal, "a wish was refused that is legal")

    def check(
        self,
        event: Event,
        commands: tuple[Command, ...],
        machine: JobMachine,
        ledger: Ledger,
        truth: Truth,
    ) -> None:
        """Check what the machine made of an event that it took.

        Args:
            event: what it was told.
            commands: what it ordered.
            machine: as it is now.
            ledger: as it is now.
            truth: what is so at the service.

        Raises:
            AssertionError: if a rule is broken.
        """
        self._check_state(machine, truth)
        self._note(event)
        for command in commands:
            match command:
                case FetchStatus() | FetchResult() | FetchFailure() | SendCancel():
                    self._check_request(type(command), event, ledger)
                case StartTimer() | StopTimer():
                    self._check_timer(command, event)
                case Deliver() | DeliverGap() | EndSubscription():
                    self.messages.check(command, event, truth)
                case EndWait(wait_id=number, error=error):
                    self._check_end(self.waits.pop(number), error, event)
                case Report(notice=notice):
                    self._check_report(notice, event)
                case _:
                    pass
        self._check_waits(event)
        self._check_contradiction(event, commands)
        if isinstance(event, StreamOpened) and event.connection == ledger.connection:
            if ledger.subscription:
                self.messages.check_reopened(commands)
        elif isinstance(event, SubscriptionCancelled):
            goes_on = ledger.subscription == event.subscription
            require(not goes_on, "nobody wants the messages, and the subscription goes on")

    def _check_state(self, machine: JobMachine, truth: Truth) -> None:
        require(machine.state is self.state, "another state than the service said first")
        require(machine.confirmed is self.confirmed, "confirmed, and the service said nothing")
        taken_for = self.traits.on_unknown_status
        if self.state.is_final and (taken_for is None or not taken_for.is_final):
            require(self.state is truth.state, "an ending that never was")
        text = machine.result_text
        require(text is None or text == truth.result, "another result than the service has")

    def _note(self, event: Event) -> None:
        self.messages.note(event)
        match event:
            case WaitStarted(wait_id=number, need=need, wait=wait):
                self.waits[number] = Wish(need, wait, self.asked)
            case CancelRequested(wait_id=number):
                self.waits[number] = Wish(None, DEFAULT_WAIT, self.asked)
            case WaitEnded(wait_id=number):
                self.waits.pop(number, None)
            case CancelRefused() if self.answered is SendCancel:
                for wish in self.waits.values():
                    wish.is_refused |= wish.need is None
            case TimerFired(name=TimerName.POLL):
                self.backs_off = False
            case _:
                pass

    # ---- requests and timers -------------------------------------------------------------------

    def _check_request(self, kind: RequestKind, event: Event, ledger: Ledger) -> None:
        if kind is SendCancel:
            require(isinstance(event, CancelRequested), "a cancel that nobody asked for")
            return
        # An answer that was to be followed by another, wanted by somebody who has given up since;
        # or who gave up waiting for a cancel that was refused.
        may_follow = self.answered is FetchStatus or isinstance(event, CancelRefused)
        require(ledger.has_interest or may_follow, "the service is asked, and nobody is interested")
        if kind is FetchStatus:
            require(not self.was_final, "the state is asked for, and it is known")
            is_hint = self.backed_off and isinstance(event, StreamEvent)
            require(not is_hint, "the end of a stream cut a back-off short")

    def _check_timer(self, command: StartTimer | StopTimer, event: Event) -> None:
        if command.name is not TimerName.POLL:
            return
        failed = isinstance(event, RequestFailed) and event.retryable
        self.backs_off = failed and isinstance(command, StartTimer)
        if isinstance(command, StopTimer):
            return
        if isinstance(event, RequestFailed) and failed:
            asked = FIRST_RETRY if event.retry_after is None else event.retry_after
            least = max(SHORTEST_POLL, min(asked, LONGEST_RETRY_AFTER))
            require(command.delay >= least, "a service that failed is asked again too soon")
        else:
            waits = [wish.wait for wish in self.waits.values() if wish.need in _FOLLOWING]
            most = max(SHORTEST_POLL, min(waits, default=DEFAULT_WAIT))
            require(command.delay <= most, "polls are rarer than somebody wants")

    # ---- waits ---------------------------------------------------------------------------------

    def _check_end(self, wish: Wish, error: Exception | None, event: Event) -> None:
        if error is None:
            match wish.need:
                case Need.STATUS:
                    is_reason = self.state.is_final or self._is_answer(event, wish)
                case None:
                    is_reason = self.state.is_final or self.answered is SendCancel
                case _:
                    is_reason = True  # the ledger looks at these
            require(is_reason, "a wait ended without a reason")
            return
        if isinstance(error, RuntimeInvalidStateError):
            require(wish.is_refused, "a wait ended with a refusal, and there was none")
            return
        match event:
            case RequestFailed(error=failure, retryable=retryable):
                require(error is failure, "a wait ended with another error than there was")
                endures = retryable and wish.need in _FOLLOWING
                require(not endures, "a wait ended with a failure that may pass")
            case UnknownStatusReported():
                require(isinstance(error, UnknownStatusError), "a wait ended with another error")
            case _:
                require(False, "a wait ended with an error, and there was none")

    def _is_answer(self, event: Event, wish: Wish) -> bool:
        request: int | None = getattr(event, "request", None)
        is_fresh = request is not None and request > wish.asked_before
        return is_fresh and self.answered is FetchStatus

    def _check_waits(self, event: Event) -> None:
        """Check that nobody waits any more for what is here, or cannot be had."""
        is_lost = self._is_lost(event)
        for wish in self.waits.values():
            require(not (is_lost and wish.need), "the state cannot be had, and somebody waits on")
            if self.state.is_final:
                require(wish.need is Need.RESULT, "the job has ended, and somebody waits for that")
            elif wish.need is Need.STATUS:
                is_answered = self._is_answer(event, wish)
                require(not is_answered, "the service answered, and somebody waits for that")
            elif wish.need is None:
                is_accepted = self.answered is SendCancel and isinstance(event, CancelAccepted)
                require(not is_accepted, "a cancel was accepted, and somebody waits for that")

    def _is_lost(self, event: Event) -> bool:
        """Whether the state cannot be had, for now."""
        if self.answered is not FetchStatus or self.state.is_final:
            return False
        if isinstance(event, RequestFailed):
            return not event.retryable
        return isinstance(event, UnknownStatusReported) and self.traits.on_unknown_status is None

    # ---- reports -------------------------------------------------------------------------------

    def _check_report(self, notice: Notice, event: Event) -> None:
        match notice:
            case Notice.RETRY:
                is_reason = isinstance(event, RequestFailed | StreamFailed)
            case Notice.UNKNOWN_STATUS:
                is_reason = isinstance(event, UnknownStatusReported)
            case _:
                is_reason = self.was_final
        require(is_reason, f"a report of {notice.value}, and there was none")

    def _check_contradiction(self, event: Event, commands: tuple[Command, ...]) -> None:
        stated = _STATED.get(type(event))
        if stated is None or not (stated.is_final and self.was_final):
            return
        if stated is not self.state and getattr(event, "request", None) is None:
            notices = [command.notice for command in commands if isinstance(command, Report)]
            require(notices == [Notice.CONTRADICTION], "a contradiction was not reported")


_FOLLOWING = (Need.FINAL, Need.RESULT)
