"""What drivers show an observer: after a fork, without threads, when it is interrupted."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fakes import FakeReactor, failure
from twin import Twin

from adapters import BlockingDriver
from adapters.drivers.job_driver import JobDriver
from adapters.transport import StreamEndpoint
from runtime_core.commands import FetchStatus, OpenStream, RequestCommand
from runtime_core.errors import RuntimeInvalidStateError
from runtime_core.events import (
    CancelRequested,
    Event,
    JobStarted,
    JobSucceeded,
    Need,
    ReplyEvent,
    ResultReceived,
    SubscriptionCancelled,
    TimerFired,
    WaitEnded,
    WaitStarted,
)
from runtime_core.machine import JobMachine
from runtime_core.observer import Step
from runtime_core.states import JobState
from runtime_core.traits import ServiceTraits


class Transport:
    """Answers a status request by the next state, and every other by what it asks for."""

    traits = ServiceTraits(pushes=True)

    def __init__(self, *replies: Callable[[int], ReplyEvent]) -> None:
        self._replies = list(replies)

    def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        if isinstance(command, FetchStatus):
            return self._replies.pop(0)(command.request)
        return ResultReceived(command.request, "42")

    def stream(self, job_id: str, command: OpenStream) -> StreamEndpoint:
        raise failure()


def test_after_a_fork_it_sees_what_was_lost() -> None:
    twin = Twin()
    reactor = FakeReactor()
    transport = Transport(JobStarted, JobSucceeded)
    driver = JobDriver(JobMachine("j1", transport.traits), transport, reactor, twin)
    wait = WaitStarted(9, Need.FINAL)
    reactor.call_soon(lambda: driver.runner.start_wait(wait, lambda _: None))
    reactor.settle()
    driver.runner.after_fork()
    known = len(twin.steps)
    assert driver.wait(lambda number: WaitStarted(number, Need.FINAL), None)
    twin.check()
    assert twin.events[known : known + 2] == [SubscriptionCancelled, WaitEnded]
    assert twin.steps[-1].state is JobState.DONE


def test_who_listened_before_a_fork_hears_nothing_of_the_child() -> None:
    heard: list[Event] = []
    reactor = FakeReactor()
    transport = Transport(JobStarted, JobSucceeded)
    driver = JobDriver(JobMachine("j1", transport.traits), transport, reactor)
    driver.runner.listen(heard.append)
    driver.runner.after_fork()
    assert driver.wait(lambda number: WaitStarted(number, Need.FINAL), None)
    assert heard == []


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_it_sees_what_a_driver_without_threads_does() -> None:
    twin = Twin()
    driver = BlockingDriver("j1", Transport(JobStarted, JobSucceeded), Clock(), observer=twin)
    assert driver.wait(Need.RESULT)
    with pytest.raises(RuntimeInvalidStateError):
        driver.cancel()
    twin.check()
    assert twin.events == [
        *(WaitStarted, JobStarted, TimerFired, JobSucceeded, ResultReceived, CancelRequested),
        WaitEnded,
    ]
    assert [step.at for step in twin.steps] == [100.0, 100.0, *[100.05] * 5]


def test_an_interruption_of_the_observer_loses_no_command() -> None:
    seen: list[Step] = []

    def interrupted_once(step: Step) -> None:
        seen.append(step)
        if len(seen) == 1:
            raise KeyboardInterrupt

    driver = BlockingDriver("j1", Transport(JobSucceeded), Clock(), observer=interrupted_once)
    with pytest.raises(KeyboardInterrupt):
        driver.wait(Need.FINAL)
    assert driver.wait(Need.FINAL)
