"""The explorer: it sees everything that there is, and says how it came to what is broken."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from scenes import OFFSET

from runtime_core.commands import Command
from runtime_core.connection import ConnectionState, SubscriptionState
from runtime_core.events import (
    CancelAccepted,
    Event,
    JobQueued,
    JobStarted,
    JobSucceeded,
    ReleaseRequested,
    StreamOpened,
    SubscriptionRequested,
)
from runtime_core.machine import JobMachine
from runtime_core.states import JobState
from runtime_core.testing import (
    LATE_EVENTS,
    PAIRS,
    Ledger,
    every_event,
    explore,
    explore_sequences,
)
from runtime_core.testing.snapshots import copy_of
from runtime_core.traits import ServiceTraits
from runtime_core.watch import WatchState


def test_it_counts_what_it_saw() -> None:
    seen = explore(ServiceTraits())
    assert seen.is_complete
    assert seen.steps > 20 * seen.states > 20_000
    assert (JobState.RUNNING, JobSucceeded) in seen.tried
    assert (WatchState.ASKING, CancelAccepted) in seen.tried
    assert (WatchState.IDLE, StreamOpened) in seen.absorbed
    assert ConnectionState.OPEN in seen.unreached
    assert (ConnectionState.OPEN, JobQueued) in seen.missing
    assert seen.tried | seen.absorbed | seen.missing == PAIRS
    assert not seen.tried & seen.absorbed


def test_it_stops_where_it_is_told_to() -> None:
    seen = explore(OFFSET, most=300)
    assert not seen.is_complete
    assert 300 <= seen.states < 400
    assert {ConnectionState.OPENING, SubscriptionState.ACTIVE} & seen.unreached == set()


def test_an_alphabet_of_ones_own_is_a_small_world() -> None:
    def told(_: Ledger) -> Iterator[Event]:
        yield JobStarted()
        yield JobSucceeded()

    seen = explore(OFFSET, alphabet=told, late=())
    assert (seen.states, seen.steps) == (3, 6)
    assert {kind for _, kind in seen.tried} == {JobStarted, JobSucceeded}
    assert seen.absorbed == set()
    assert explore_sequences(OFFSET, 2, alphabet=told, late=()) == 3


def test_the_collector_is_as_it_was() -> None:
    assert gc.isenabled()
    explore(OFFSET, alphabet=lambda _: ())
    assert gc.isenabled()
    gc.disable()
    try:
        explore(OFFSET, alphabet=lambda _: ())
        assert not gc.isenabled()
    finally:
        gc.enable()


# ---- what is broken ----------------------------------------------------------------------------


class Broken(JobMachine):
    """A machine with a fault, in a state that it takes some events to reach."""

    fault = "none"

    def receive(self, event: Event) -> tuple[Command, ...]:
        if self.state is not JobState.RUNNING:
            return super().receive(event)
        match self.fault, event:
            case "raises", ReleaseRequested():
                raise KeyError("a mistake")
            case "answers a late event", JobQueued(request=request) if request:
                return (*super().receive(event), *super().receive(SubscriptionRequested(1)))
            case "changes with a late event", JobQueued(request=request) if request:
                super().receive(JobSucceeded())
                return ()
            case "changes when it refuses", SubscriptionRequested():
                try:
                    return super().receive(event)
                except Exception:
                    super().receive(ReleaseRequested())
                    self._regions.running_since += 1
                    raise
            case _:
                return super().receive(event)


def broken(fault: str) -> type[JobMachine]:
    return type("Broken", (Broken,), {"fault": fault})


@pytest.mark.parametrize(
    ("fault", "rule"),
    [
        ("raises", "a mistake"),
        ("answers a late event", "a late event led to something"),
        ("changes with a late event", "a late event changed something"),
        ("changes when it refuses", "a refused event changed something"),
    ],
)
def test_what_is_broken_is_found_with_its_story(fault: str, rule: str) -> None:
    with pytest.raises((AssertionError, KeyError), match=rule) as found:
        explore(OFFSET, broken(fault), most=2000)
    [note] = found.value.__notes__
    first, *events = note.splitlines()
    assert first == "after these events:"
    assert any("JobStarted" in line for line in events)


def test_a_machine_that_is_not_broken_is_explored_too() -> None:
    assert explore(OFFSET, Broken, most=500).states >= 500


def test_a_copy_has_what_its_subclass_keeps() -> None:
    machine = Broken("j1", OFFSET)
    machine.own = "something"  # type: ignore[attr-defined]
    twin = copy_of(machine)
    assert vars(twin) == {"own": "something"}
    twin.receive(JobSucceeded())
    assert (machine.state, twin.state) == (JobState.QUEUED, JobState.DONE)


class Moody(JobMachine):
    """A machine that does not do the same twice."""

    turns: Iterator[int]

    def receive(self, event: Event) -> tuple[Command, ...]:
        commands = super().receive(event)
        if isinstance(event, JobStarted) and event.request is None and next(self.turns) % 3 == 2:
            self._regions.running_since += 1
        return commands


def test_a_machine_that_does_not_do_the_same_twice_is_found() -> None:
    Moody.turns = iter(range(10_000))
    with pytest.raises(AssertionError, match="the same event led to something else"):
        explore(OFFSET, Moody, alphabet=lambda _: [JobStarted()], late=())


def test_a_sequence_that_breaks_a_rule_is_found() -> None:
    with pytest.raises(AssertionError, match="a late event led to something") as found:
        explore_sequences(ServiceTraits(pushes=True), 2, broken("answers a late event"))
    assert "JobStarted" in found.value.__notes__[0]


def test_the_alphabet_is_that_of_the_ledger() -> None:
    booked = Ledger(connection=1, connections=1)
    assert StreamOpened(1) in set(every_event(booked))
    assert StreamOpened(1) not in set(every_event(Ledger()))
    assert not any(event in LATE_EVENTS for event in every_event(booked))
