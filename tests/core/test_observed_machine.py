"""A machine whose steps are seen."""

from __future__ import annotations

import itertools
import weakref

import pytest
from scenes import OFFSET, POLLED

from runtime_core.commands import FetchStatus
from runtime_core.errors import RuntimeInvalidStateError
from runtime_core.events import (
    CancelRequested,
    JobStarted,
    JobSucceeded,
    Need,
    SubscriptionRequested,
    WaitStarted,
)
from runtime_core.machine import JobMachine
from runtime_core.observer import ObservedMachine, Step
from runtime_core.states import JobState


class Seen:
    def __init__(self, machine: JobMachine, error: Exception | None = None) -> None:
        self.steps: list[Step] = []
        self.failures: list[Exception] = []
        self.error = error
        clock = itertools.count(7.0, 0.5)
        self.observed = ObservedMachine(
            machine, self.see, lambda: next(clock), self.failures.append
        )

    def see(self, step: Step) -> None:
        self.steps.append(step)
        if self.error is not None:
            raise self.error


def test_each_step_is_shown_with_what_followed() -> None:
    seen = Seen(JobMachine("j1", OFFSET))
    commands = seen.observed.receive(WaitStarted(1, Need.STATUS))
    assert commands == (FetchStatus(1),)
    assert seen.observed.receive(JobStarted()) == ()
    first, second = seen.steps
    assert first == Step(
        "j1", OFFSET, 7.0, WaitStarted(1, Need.STATUS), commands, JobState.QUEUED, False
    )
    assert (second.at, second.state, second.confirmed) == (7.5, JobState.RUNNING, True)
    assert first.source is second.source
    assert weakref.ref(first.source)() is seen.observed
    assert "source" not in repr(first)  # the same for equal steps


def test_a_refused_wish_is_shown_and_raised() -> None:
    seen = Seen(JobMachine("j1", POLLED))
    seen.observed.receive(JobSucceeded())
    with pytest.raises(RuntimeInvalidStateError) as refused:
        seen.observed.receive(CancelRequested(1))
    step = seen.steps[-1]
    assert (step.event, step.commands, step.refusal) == (CancelRequested(1), (), refused.value)
    assert step.state is JobState.DONE


def test_what_is_no_event_is_no_step() -> None:
    seen = Seen(JobMachine("j1"))
    with pytest.raises(TypeError):
        seen.observed.receive("a text")  # type: ignore[arg-type]
    assert seen.steps == []


def test_a_failure_is_told_once_and_changes_nothing() -> None:
    error = ValueError("my mistake")
    seen = Seen(JobMachine("j1"), error)
    assert seen.observed.receive(WaitStarted(1, Need.STATUS)) == (FetchStatus(1),)
    with pytest.raises(RuntimeInvalidStateError):
        seen.observed.receive(SubscriptionRequested(1))
    assert seen.observed.receive(JobStarted()) == ()
    assert len(seen.steps) == 3
    assert seen.failures == [error]
