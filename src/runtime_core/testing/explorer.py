"""The machine, explored: every state that can be reached, every event in each, every rule.

    exploration = explore(ServiceTraits(pushes=True, resume=Resume.OFFSET))
    assert exploration.unreached == set()

Two machines that differ in nothing that decides their behaviour are one state. It takes from half a
second (a service that is polled) to a minute (one that is live and streams the result).
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias, get_args

import attrs

from runtime_core.cancel import CancelState
from runtime_core.connection import ConnectionState, SubscriptionState
from runtime_core.events import Event
from runtime_core.machine import JobMachine
from runtime_core.result import ResultState
from runtime_core.states import JobState
from runtime_core.testing.alphabet import LATE_EVENTS, every_event
from runtime_core.testing.ledger import Ledger, step
from runtime_core.testing.snapshots import (
    copy_of,
    ledger_shape,
    ledger_snapshot,
    regions_of,
    shape,
    snapshot,
)
from runtime_core.traits import ServiceTraits
from runtime_core.watch import WatchState

RegionState: TypeAlias = (
    JobState | WatchState | CancelState | ConnectionState | SubscriptionState | ResultState
)
"""The state of one region: the lifecycle, or one beside it."""
Pair: TypeAlias = tuple[RegionState, type[Event]]
"""An event of that kind, tried on a machine one of whose regions was in that state."""
Alphabet: TypeAlias = Callable[[Ledger], Iterable[Event]]
"""What may happen next, given what is under way."""

REGION_STATES: frozenset[RegionState] = frozenset(
    state for region in get_args(RegionState) for state in region
)
"""Every state of every region."""

PAIRS: frozenset[Pair] = frozenset(
    (state, kind) for state in REGION_STATES for kind in get_args(Event)
)
"""Every state of every region, with every kind of event."""

_Path: TypeAlias = tuple[Any, Event] | None  # the path before, and what followed


@attrs.frozen
class Exploration:
    """What was seen of a machine."""

    traits: ServiceTraits
    """The kind of service."""
    states: int
    """How many states were reached that differ in how they go on."""
    steps: int
    """How many times an event was tried that may happen in a state."""
    is_complete: bool
    """Whether all states were reached; else there were more than was allowed."""
    tried: frozenset[Pair]
    """The pairs that can come about."""
    absorbed: frozenset[Pair]
    """Those that come about only with a late event, which changes nothing."""

    @property
    def missing(self) -> frozenset[Pair]:
        """The pairs that were not tried in any way."""
        return PAIRS - self.tried - self.absorbed

    @property
    def unreached(self) -> frozenset[RegionState]:
        """The states of regions that no machine was seen in."""
        return REGION_STATES - {state for state, _ in self.tried | self.absorbed}


def explore(
    traits: ServiceTraits,
    make_machine: Callable[[str, ServiceTraits], JobMachine] = JobMachine,
    *,
    alphabet: Alphabet = every_event,
    late: Sequence[Event] = LATE_EVENTS,
    most: int | None = None,
) -> Exploration:
    """Go through every reachable state breadth first, and try every event in each.

    Every step is held to the rules of the `Ledger`; besides, a refused event changes nothing, a
    late one is absorbed, and the same event gives the same commands again.

    Args:
        traits: the kind of service.
        make_machine: what to explore: `JobMachine`, or a subclass whose own fields do not change.
        alphabet: the events that may happen; few enough for the number of states to be finite.
        late: the events that no machine is waiting for.
        most: how many states to reach; None for all.

    Raises:
        AssertionError: if a rule is broken; a note says after which events.
    """
    tour = _Tour(make_machine("j1", traits), alphabet, late)
    with _no_collector():
        while tour.queue and (most is None or len(tour.seen) < most):
            tour.visit()
    return Exploration(
        traits,
        len(tour.seen),
        tour.steps,
        not tour.queue,
        tried := frozenset(tour.pairs()),
        frozenset(tour.pairs(map(type, late))) - tried,
    )


def explore_sequences(
    traits: ServiceTraits,
    length: int,
    make_machine: Callable[[str, ServiceTraits], JobMachine] = JobMachine,
    *,
    alphabet: Alphabet = every_event,
    late: Sequence[Event] = LATE_EVENTS,
) -> int:
    """Try every sequence of so many events; return to how many places they lead.

    Sequences that lead to the same machine and ledger, to the last number, go on as one. What is
    held to the rules is what `explore` holds to them.

    Raises:
        AssertionError: if a rule is broken; a note says after which events.
    """
    start, ledger = make_machine("j1", traits), Ledger()
    places: dict[Any, tuple[JobMachine, Ledger, _Path]] = {None: (start, ledger, None)}
    with _no_collector():
        for _ in range(length):
            found: dict[Any, tuple[JobMachine, Ledger, _Path]] = {}
            for machine, booked, path in places.values():
                _check_late_events(machine, late, path)
                for event in alphabet(booked):
                    after, then = _try_event(machine, booked, event, path)
                    found[snapshot(after), ledger_snapshot(then)] = (after, then, (path, event))
            places = found
        for machine, _, path in places.values():
            _check_late_events(machine, late, path)
    return len(places)


class _Tour:
    """A search under way."""

    def __init__(self, start: JobMachine, alphabet: Alphabet, late: Sequence[Event]) -> None:
        self.queue: deque[tuple[JobMachine, Ledger, _Path]] = deque([(start, Ledger(), None)])
        self.seen: set[Any] = {(shape(start), ledger_shape(Ledger()))}
        self.steps = 0
        self._kinds: dict[tuple[RegionState, ...], set[type[Event]]] = {}
        self._alphabet = alphabet
        self._late = late

    def visit(self) -> None:
        """Try everything in the next state."""
        machine, ledger, path = self.queue.popleft()
        kinds = self._kinds.setdefault(_states_of(machine), set())
        _check_late_events(machine, self._late, path)
        for event in self._alphabet(ledger):
            kinds.add(type(event))
            self.steps += 1
            after, booked = _try_event(machine, ledger, event, path)
            key = (shape(after), ledger_shape(booked))
            if key not in self.seen:
                self.seen.add(key)
                self.queue.append((after, booked, (path, event)))
                _check_repeatable(machine, ledger, event, path)

    def pairs(self, kinds: Iterable[type[Event]] | None = None) -> Iterator[Pair]:
        """The pairs of each state that was visited: with what was tried, or with these kinds."""
        fixed = None if kinds is None else tuple(kinds)
        for states, tried in self._kinds.items():
            for state in states:
                for kind in tried if fixed is None else fixed:
                    yield state, kind


def _states_of(machine: JobMachine) -> tuple[RegionState, ...]:
    job = regions_of(machine)
    cancel, stream = job.cancel, job.stream
    return (
        job.state,
        job.watch.state,
        job.result.state,
        CancelState.NONE if cancel is None else cancel.state,
        ConnectionState.CLOSED if stream is None else stream.connection,
        SubscriptionState.NONE if stream is None else stream.subscription,
    )


# ---- one step ----------------------------------------------------------------------------------


def _try_event(
    machine: JobMachine, ledger: Ledger, event: Event, path: _Path
) -> tuple[JobMachine, Ledger]:
    """Feed an event to copies, checking everything; a refusal changes nothing."""
    after, booked = copy_of(machine), ledger.copy()
    try:
        commands = step(after, booked, event)
    except Exception as error:
        error.add_note(_story((path, event)))
        raise
    if commands is None and snapshot(after) != snapshot(machine):
        _fail("a refused event changed something", (path, event))
    return after, booked


def _check_repeatable(machine: JobMachine, ledger: Ledger, event: Event, path: _Path) -> None:
    """The same event, one that was taken, gives the same commands."""
    first, second = copy_of(machine), copy_of(machine)
    commands = step(first, ledger.copy(), event)
    # Errors have no equality.
    if repr(second.receive(event)) != repr(commands) or repr(snapshot(first)) != repr(
        snapshot(second)
    ):
        _fail("the same event led to something else", (path, event))


def _check_late_events(machine: JobMachine, late: Sequence[Event], path: _Path) -> None:
    """What is no longer current is absorbed: no command, no change."""
    before = snapshot(machine)
    for event in late:
        if machine.receive(event) != ():
            _fail("a late event led to something", (path, event))
    if snapshot(machine) != before:
        _fail("a late event changed something", path)


def _fail(rule: str, path: _Path) -> None:
    error = AssertionError(rule)
    error.add_note(_story(path))
    raise error


def _story(path: _Path) -> str:
    """What happened, in order: the last event is the one that was tried."""
    events: list[Event] = []
    while path is not None:
        path, event = path
        events.append(event)
    return "\n".join(["after these events:", *(f"    {event!r}" for event in reversed(events))])


@contextmanager
def _no_collector() -> Iterator[None]:
    """There are no cycles in millions of small objects: the collector would look in vain."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
