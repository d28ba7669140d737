"""What a driver would have under way, kept from a machine's commands alone, and the rules it obeys.

The ledger never looks inside the machine: it knows what went in, what came out and the public
properties. So it holds the machine to its contract rather than to its implementation, and it can
be kept beside any driver's machine as well.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TypeAlias, assert_never

import attrs

from runtime_core.cancel import CancelOutcome
from runtime_core.commands import (
    CloseStream,
    Command,
    Deliver,
    DeliverGap,
    EndSubscription,
    EndWait,
    FetchFailure,
    FetchResult,
    FetchStatus,
    OpenStream,
    Report,
    RequestCommand,
    SendCancel,
    StartTimer,
    StopTimer,
)
from runtime_core.errors import RuntimeInvalidStateError
from runtime_core.events import (
    CancelAccepted,
    CancelRequested,
    Event,
    Need,
    ReplayRequested,
    ReplyEvent,
    StreamClosed,
    StreamFailed,
    StreamNotReady,
    StreamOpened,
    SubscriptionRequested,
    TimerFired,
    TimerName,
    WaitEnded,
    WaitStarted,
)
from runtime_core.machine import JobMachine
from runtime_core.polling import SHORTEST_POLL
from runtime_core.states import JobState

RequestKind: TypeAlias = type[RequestCommand]
"""Which of the requests."""


@attrs.define
class Ledger:
    """Everything that is under way on behalf of one machine. Feed it by `step`."""

    requests: dict[int, RequestKind] = attrs.Factory(dict)
    """The requests whose reply somebody awaits, by their numbers."""
    timers: dict[TimerName, int] = attrs.Factory(dict)
    """The timers that are armed, and their numbers."""
    connection: int = 0
    """The connection that was ordered and has not ended; 0 if there is none."""
    connected: bool = False
    """Whether its handshake is through."""
    connections: int = 0
    """The highest number of a connection so far."""
    waits: dict[int, Need | None] = attrs.Factory(dict)
    """Who waits, and what for; None waits for the answer to a cancel."""
    last_wait: int = 0
    """The highest number of a wait so far."""
    subscription: int = 0
    """The subscription that is active; 0 if none is."""
    last_subscription: int = 0
    """The highest number of a subscription so far."""
    delivered: int = 0
    """The cursor of the present or last subscription: where it started, and what it was handed."""
    cancel_unresolved: bool = False
    """Whether a cancel was asked for whose outcome is open."""
    last_request: int = 0
    """The highest number of a request so far."""

    def copy(self) -> Ledger:
        """A ledger of its own with the same content."""
        # `attrs.evolve` takes several times as long, and an exploration makes millions.
        twin = Ledger(*_values_of(self))
        twin.requests, twin.timers = dict(self.requests), dict(self.timers)
        twin.waits = dict(self.waits)
        return twin

    @property
    def has_interest(self) -> bool:
        """Whether anybody follows the job."""
        return bool(self.waits or self.subscription or self.cancel_unresolved)

    # ---- what went in --------------------------------------------------------------------------

    def note(self, event: Event) -> None:
        """Book an event that the machine took."""
        match event:
            case WaitStarted(wait_id=wait_id, need=need):
                self._note_wait(wait_id, need)
            case CancelRequested(wait_id=wait_id):
                self._note_wait(wait_id, None)
                self.cancel_unresolved = True
            case WaitEnded(wait_id=wait_id):
                self.waits.pop(wait_id, None)
            case SubscriptionRequested(number, after) | ReplayRequested(number, after):
                self.subscription = number
                self.last_subscription = max(number, self.last_subscription)
                self.delivered = after
            case StreamOpened(connection=number) if number == self.connection:
                self.connected = True
            case StreamClosed() | StreamFailed() | StreamNotReady():
                if event.connection == self.connection:
                    self.connection, self.connected = 0, False
            case TimerFired(name=name, id=number) if self.timers.get(name) == number:
                del self.timers[name]
            case _:
                pass
        if isinstance(event, ReplyEvent) and event.request in self.requests:
            kind = self.requests.pop(event.request)
            if kind is SendCancel and not isinstance(event, CancelAccepted):
                self.cancel_unresolved = False

    def _note_wait(self, wait_id: int, need: Need | None) -> None:
        self.waits[wait_id] = need
        self.last_wait = max(wait_id, self.last_wait)

    # ---- what came out -------------------------------------------------------------------------

    def carry_out(self, commands: tuple[Command, ...], machine: JobMachine) -> None:
        """Book the commands, and check each of them against what is under way.

        Raises:
            AssertionError: if a command breaks a rule.
        """
        for command in commands:
            match command:
                case FetchStatus() | FetchResult() | FetchFailure() | SendCancel():
                    self._send(command, machine)
                case OpenStream() | CloseStream():
                    self._connect(command)
                case StartTimer() | StopTimer():
                    self._set_timer(command)
                case Deliver() | DeliverGap() | EndSubscription():
                    self._hand_over(command)
                case EndWait(wait_id=wait_id, error=error):
                    self._end_wait(wait_id, error, machine)
                case Report(text=text):
                    require(text != "", "a report without a text")
                case _:
                    assert_never(command)

    def _send(self, command: RequestCommand, machine: JobMachine) -> None:
        kind = type(command)
        if kind is FetchResult:
            require(machine.result_text is None, "a result is fetched that is here")
        require(kind not in self.requests.values(), f"two {kind.__name__} in flight")
        require(command.request > self.last_request, "a request's number came again")
        self.last_request = command.request
        self.requests[command.request] = kind

    def _connect(self, command: OpenStream | CloseStream) -> None:
        number = command.connection
        if isinstance(command, CloseStream):
            require(number == self.connection, "a connection was closed that is not there")
            self.connection, self.connected = 0, False
        else:
            require(self.connection == 0, "a second connection was opened")
            require(number > self.connections, "a connection's number came again")
            self.connection = self.connections = number

    def _set_timer(self, command: StartTimer | StopTimer) -> None:
        armed = self.timers.pop(command.name, None)
        if isinstance(command, StopTimer):
            require(armed is not None, "a timer was stopped that is not armed")
        else:
            require(command.delay >= SHORTEST_POLL, "a timer shorter than 20 ms")
            require(command.id != armed, "a timer's number came again")
            self.timers[command.name] = command.id

    def _hand_over(self, command: Deliver | DeliverGap | EndSubscription) -> None:
        require(command.subscription == self.subscription, "something for nobody")
        match command:
            case Deliver(first=first, messages=messages):
                require(first == self.delivered, "a message lost, repeated or out of order")
                require(len(messages) > 0, "a delivery of nothing")
                self.delivered += len(messages)
            case DeliverGap(after=after):
                require(after == self.delivered, "a gap at the wrong place")
            case EndSubscription():
                self.subscription = 0
            case _:
                assert_never(command)

    def _end_wait(self, wait_id: int, error: Exception | None, machine: JobMachine) -> None:
        require(wait_id in self.waits, "a wait ended that is not there")
        need = self.waits.pop(wait_id)
        if error is not None:
            return
        if need is Need.FINAL:
            require(machine.state.is_final, "a wait ended before the job")
        if need is Need.RESULT:
            require(_has_ending(machine), "a wait ended before the result was there")

    # ---- the rules that hold after every event -------------------------------------------------

    def check(self, machine: JobMachine) -> None:
        """Check what holds between two events.

        Raises:
            AssertionError: if a rule is broken.
        """
        self._resolve_cancel(machine)
        require(machine.is_streaming == bool(self.subscription), "is_streaming is not true")
        alive = self.requests or self.timers or self.connection
        require(bool(alive) or not self.has_interest, "somebody waits, and nothing is under way")
        if not self.has_interest:
            require(not self.timers, "a timer runs for nobody")
            require(not self.connection, "a connection is there for nobody")
        require(machine.traits.pushes or self.connections == 0, "a stream where there is none")
        require(machine.confirmed or machine.state is JobState.QUEUED, "a state was guessed")

    def _resolve_cancel(self, machine: JobMachine) -> None:
        if machine.state.is_final:
            self.cancel_unresolved = False
            # Nobody awaits these answers any more: they are late ones, if they come.
            for number, kind in tuple(self.requests.items()):
                if kind in (FetchStatus, SendCancel):
                    del self.requests[number]
        elif machine.cancel_outcome in (CancelOutcome.UNKNOWN, CancelOutcome.REJECTED):
            self.cancel_unresolved = False


_values_of = attrgetter(*(field.name for field in attrs.fields(Ledger)))


def step(machine: JobMachine, ledger: Ledger, event: Event) -> tuple[Command, ...] | None:
    """Feed one event, book and check everything; None if the machine refused it.

    Raises:
        AssertionError: if the machine breaks a rule.
    """
    before, confirmed = machine.state, machine.confirmed
    try:
        commands = machine.receive(event)
    except RuntimeInvalidStateError as refusal:
        require(refusal.state is before, "a refusal names another state")
        ledger.check(machine)
        return None
    ledger.note(event)
    ledger.carry_out(commands, machine)
    ledger.check(machine)
    require(not before.is_final or machine.state is before, "a final state was left")
    require(machine.confirmed or not confirmed, "what was confirmed is forgotten")
    return commands


def _has_ending(machine: JobMachine) -> bool:
    match machine.state:
        case JobState.DONE:
            return machine.result_text is not None
        case JobState.ERROR:
            return machine.failure is not None
        case state:
            return state is JobState.CANCELLED


def require(holds: bool, rule: str) -> None:
    """Hold something to a rule.

    Not an assert: a tool that finds nothing under ``python -O`` is worse than none.

    Raises:
        AssertionError: with the rule, if it does not hold.
    """
    if not holds:
        raise AssertionError(rule)
