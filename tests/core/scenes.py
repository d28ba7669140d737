"""What the tests of the machine share: the services, one error, and a machine with its ledger."""

from __future__ import annotations

import pytest

from runtime_core.cancel import CancelOutcome
from runtime_core.commands import Command, FetchStatus, Notice, Report, StartTimer, StopTimer
from runtime_core.errors import RuntimeInvalidStateError, TransportError
from runtime_core.events import (
    Event,
    JobQueued,
    JobStarted,
    Need,
    StreamOpened,
    SubscriptionRequested,
    TimerFired,
    TimerName,
    WaitStarted,
)
from runtime_core.machine import JobMachine
from runtime_core.states import JobState
from runtime_core.testing import Ledger, step
from runtime_core.traits import Resume, ServiceTraits

POLLED = ServiceTraits()
OFFSET = ServiceTraits(pushes=True, resume=Resume.OFFSET)
REPLAY = ServiceTraits(pushes=True, resume=Resume.REPLAY)
LIVE = ServiceTraits(pushes=True, resume=Resume.LIVE)
LIVE_RESULT = ServiceTraits(pushes=True, resume=Resume.LIVE, streams_result=True)
OFFSET_RESULT = ServiceTraits(pushes=True, resume=Resume.OFFSET, streams_result=True)

POLL, STREAM = TimerName.POLL, TimerName.STREAM
ERROR = TransportError("the service did not answer", retryable=True)
FATAL = TransportError("the service does not know us", status_code=401)


class Scene:
    """A machine whose every step is booked, and checked against the rules of the ledger."""

    def __init__(self, traits: ServiceTraits, *events: Event) -> None:
        self.machine = JobMachine("j1", traits)
        self.ledger = Ledger()
        self.tell(*events)

    def tell(self, *events: Event) -> tuple[Command, ...]:
        """Feed events that the machine takes; the commands of the last."""
        commands: tuple[Command, ...] | None = ()
        for event in events:
            commands = step(self.machine, self.ledger, event)
            assert commands is not None, f"{event!r} was refused"
        return commands or ()

    def refused(self, event: Event) -> RuntimeInvalidStateError:
        """Feed an event that the machine refuses; why."""
        with pytest.raises(RuntimeInvalidStateError) as refusal:
            self.machine.receive(event)
        assert step(self.machine, self.ledger, event) is None
        return refusal.value

    # Methods: mypy takes a property for one that keeps its value.

    def state(self) -> JobState:
        return self.machine.state

    def outcome(self) -> CancelOutcome | None:
        return self.machine.cancel_outcome


def streaming(traits: ServiceTraits) -> Scene:
    """A running job with subscription 1 on the open connection 1, and the POLL timer 2."""
    scene = Scene(traits, JobStarted(), SubscriptionRequested(1))
    assert scene.tell(StreamOpened(1)) == (poll(2, 5.0),)
    return scene


def waiting(traits: ServiceTraits = POLLED, need: Need = Need.FINAL, wait: float = 5.0) -> Scene:
    """A queued job that wait 1 follows; the status request 1 is under way."""
    scene = Scene(traits)
    assert scene.tell(WaitStarted(1, need, wait)) == (FetchStatus(1),)
    return scene


def poll(number: int, delay: float) -> StartTimer:
    return StartTimer(POLL, number, delay)


def retry(number: int, delay: float) -> StartTimer:
    return StartTimer(STREAM, number, delay)


def fired(timer: StartTimer) -> TimerFired:
    return TimerFired(timer.name, timer.id)


def retrying(delay: str, error: Exception = ERROR) -> Report:
    return Report(Notice.RETRY, f"Job j1: {error}; trying again in {delay} s.", error)


def reopening(error: Exception = ERROR) -> Report:
    return Report(Notice.RETRY, f"Job j1: {error}; the stream is opened again.", error)


def polls(scene: Scene, count: int, *, queued: bool = True) -> list[float]:
    """Answer the status request under way, and so on; the delays of the polls that follow."""
    delays = []
    for _ in range(count):
        [request] = scene.ledger.requests
        (timer,) = scene.tell(JobQueued(request) if queued else JobStarted(request))
        assert isinstance(timer, StartTimer)
        delays.append(timer.delay)
        (again,) = scene.tell(fired(timer))
        assert isinstance(again, FetchStatus)
    return delays


STOP_POLL, STOP_STREAM = StopTimer(POLL), StopTimer(STREAM)
