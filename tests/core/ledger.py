"""What a driver would have under way, kept from a machine's commands alone, and the rules it obeys.

The ledger never looks inside the machine: it knows what went in, what came out and the public
properties. So it holds the machine to its contract rather than to its implementation.
"""

from __future__ import annotations

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
    SendCancel,
    StartTimer,
    StopTimer,
)
from runtime_core.errors import RuntimeInvalidStateError
from runtime_core.events import (
    CancelAccepted,
    CancelRequested,
    Event,
    InterimReceived,
    Need,
    ReplayRequested,
    RequestFailed,
    ReplyEvent,
    StreamClosed,
    StreamFailed,
    StreamNotReady,
    StreamOpened,
    SubscriptionCancelled,
    SubscriptionRequested,
    TimerFired,
    TimerName,
    WaitEnded,
    WaitStarted,
)
from runtime_core.machine import JobMachine
from runtime_core.states import JobState
from runtime_core.traits import Resume

Request = FetchStatus | FetchResult | FetchFailure | SendCancel


@attrs.define
class Ledger:
    """Everything that is under way on behalf of one machine."""

    requests: dict[int, type[Request]] = attrs.Factory(dict)
    timers: dict[TimerName, int] = attrs.Factory(dict)
    connection: int = 0
    connected: bool = False
    connections: int = 0
    waits: dict[int, Need | None] = attrs.Factory(dict)
    subscription: int = 0
    position: int = 0
    """Where on the present connection the next message stands (OFFSET and REPLAY)."""
    delivered: int = 0
    """How many messages the present subscription was handed."""
    cancel_unresolved: bool = False
    last_id: int = 0

    def copy(self) -> Ledger:
        return attrs.evolve(
            self, requests=dict(self.requests), timers=dict(self.timers), waits=dict(self.waits)
        )

    # ---- what went in --------------------------------------------------------------------------

    def note(self, event: Event) -> None:
        """Book an event that the machine took."""
        match event:
            case WaitStarted(wait_id=wait_id, need=need):
                self.waits[wait_id] = need
            case CancelRequested(wait_id=wait_id):
                self.waits[wait_id] = None
                self.cancel_unresolved = True
            case WaitEnded(wait_id=wait_id):
                self.waits.pop(wait_id, None)
            case SubscriptionRequested(subscription=number) | ReplayRequested(subscription=number):
                self.subscription = number
                self.delivered = 0
            case StreamOpened(connection=number) if number == self.connection:
                self.connected = True
            case StreamClosed(connection=number) | StreamFailed(connection=number) | StreamNotReady(
                connection=number
            ) if number == self.connection:
                self.connection = 0
                self.connected = False
            case TimerFired(name=name, id=number) if self.timers.get(name) == number:
                del self.timers[name]
            case _:
                pass
        request = getattr(event, "request", None)
        if isinstance(event, ReplyEvent) and request in self.requests:
            kind = self.requests.pop(request)
            if kind is SendCancel and not isinstance(event, CancelAccepted):
                self.cancel_unresolved = False

    # ---- what came out -------------------------------------------------------------------------

    def carry_out(self, commands: tuple[Command, ...], machine: JobMachine) -> None:
        """Book the commands, and check each of them against what is under way."""
        for command in commands:
            match command:
                case FetchStatus() | FetchResult() | FetchFailure() | SendCancel():
                    self._send(command)
                case OpenStream(connection=number, after=after):
                    assert self.connection == 0, "a second connection was opened"
                    assert number > self.connections, "a connection number came again"
                    self.connection = self.connections = number
                    self.position = after if machine.traits.resume is Resume.OFFSET else 0
                case CloseStream(connection=number):
                    assert number == self.connection, "a connection was closed that is not there"
                    self.connection = 0
                    self.connected = False
                case StartTimer(name=name, id=number, delay=delay):
                    assert delay >= 0.02
                    assert number != self.timers.get(name), "a timer's number came again"
                    self.timers[name] = number
                case StopTimer(name=name):
                    assert name in self.timers, "a timer was stopped that is not armed"
                    del self.timers[name]
                case Deliver(subscription=number, first=first, messages=messages):
                    assert number == self.subscription, "delivered to nobody"
                    assert first == self.delivered, "a message lost, repeated or out of order"
                    assert messages
                    self.delivered += len(messages)
                case DeliverGap(subscription=number, after=after):
                    assert number == self.subscription
                    assert after == self.delivered
                case EndSubscription(subscription=number):
                    assert number == self.subscription, "ended twice"
                    self.subscription = 0
                case EndWait(wait_id=wait_id, error=error):
                    self._end_wait(wait_id, error, machine)
                case Report():
                    assert command.text

    def _send(self, command: Request) -> None:
        kind = type(command)
        assert kind not in self.requests.values(), f"two {kind.__name__} in flight"
        assert command.request > self.last_id, "a request's number came again"
        self.last_id = command.request
        self.requests[command.request] = kind

    def _end_wait(self, wait_id: int, error: Exception | None, machine: JobMachine) -> None:
        need = self.waits.pop(wait_id)
        if error is not None:
            return
        if need is Need.FINAL:
            assert machine.state.is_final
        if need is Need.RESULT:
            match machine.state:
                case JobState.DONE:
                    assert machine.result_text is not None
                case JobState.ERROR:
                    assert machine.failure is not None
                case _:
                    assert machine.state is JobState.CANCELLED

    # ---- the rules that hold after every event -------------------------------------------------

    @property
    def has_interest(self) -> bool:
        return bool(self.waits or self.subscription or self.cancel_unresolved)

    def check(self, machine: JobMachine) -> None:
        """Check the invariants of the design."""
        if machine.state.is_final:
            self.cancel_unresolved = False
            # Nobody awaits these answers any more: they are late ones, if they come.
            for number, kind in tuple(self.requests.items()):
                if kind in (FetchStatus, SendCancel):
                    del self.requests[number]
        elif machine.cancel_outcome in (CancelOutcome.UNKNOWN, CancelOutcome.REJECTED):
            self.cancel_unresolved = False
        assert machine.is_streaming == bool(self.subscription)
        alive = self.requests or self.timers or self.connection
        assert alive or not self.has_interest, "somebody waits, and nothing is under way"
        if not self.has_interest:
            assert not self.timers, "a timer runs for nobody"
            assert not self.connection, "a connection is there for nobody"
        if not machine.traits.pushes:
            assert self.connections == 0
        if not machine.confirmed:
            assert machine.state is JobState.QUEUED


def step(machine: JobMachine, ledger: Ledger, event: Event) -> tuple[Command, ...] | None:
    """Feed one event, book and check everything; None if the machine refused it."""
    before, confirmed = machine.state, machine.confirmed
    try:
        commands = machine.receive(event)
    except RuntimeInvalidStateError as refusal:
        assert refusal.state is before
        assert str(refusal)
        ledger.check(machine)
        return None
    ledger.note(event)
    ledger.carry_out(commands, machine)
    ledger.check(machine)
    if before.is_final:
        assert machine.state is before, "a final state was left"
    assert machine.confirmed >= confirmed
    return commands
