"""The machine, explored: breadth first through every reachable state, and every short sequence."""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any

import attrs
import pytest
from alphabet import LATE_EVENTS, every_event

from runtime_core.cancel import CancelRegion
from runtime_core.events import Event
from runtime_core.machine import JobMachine
from runtime_core.regions import Regions
from runtime_core.result import ResultRegion
from runtime_core.states import JobState
from runtime_core.stream import StreamRegion
from runtime_core.testing import Ledger, step
from runtime_core.traits import Resume, ServiceTraits
from runtime_core.waits import NOBODY, Wait, Waits
from runtime_core.watch import WatchRegion

SERVICES = {
    "polled": ServiceTraits(),
    "requeues": ServiceTraits(requeues=True, on_unknown_status=JobState.RUNNING),
    "offset": ServiceTraits(pushes=True, resume=Resume.OFFSET),
    "replay": ServiceTraits(pushes=True, resume=Resume.REPLAY),
    "live": ServiceTraits(pushes=True),
    "live, streams the result": ServiceTraits(pushes=True, streams_result=True),
}

VALUES = {
    kind: attrgetter(*(field.name for field in attrs.fields(kind)))
    for kind in (Regions, WatchRegion, CancelRegion, ResultRegion, StreamRegion, Wait)
}
"""For each class whose instances change, what reads all of its fields."""
PARTS = ("watch", "result", "cancel", "stream")


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    """There are no cycles in millions of small objects: the collector would look in vain."""
    gc.disable()
    yield
    gc.enable()


def twin_of(thing: Any) -> Any:
    return None if thing is None else thing.__class__(*VALUES[thing.__class__](thing))


def copy_of(machine: JobMachine) -> JobMachine:
    job = machine._regions
    twin = JobMachine.__new__(JobMachine)
    twin._regions = regions = twin_of(job)
    for name in PARTS:
        setattr(regions, name, twin_of(getattr(job, name)))
    if job.waits is not NOBODY:
        regions.waits = Waits({number: twin_of(wait) for number, wait in job.waits.items()})
    return twin


def values_of(thing: Any) -> Any:
    return None if thing is None else VALUES[thing.__class__](thing)


def snapshot(machine: JobMachine) -> tuple[Any, ...]:
    """Everything in the machine, as one value."""
    job = machine._regions
    return (
        (job.job_id, job.traits, job.state, job.confirmed, job.running_since),
        *(values_of(getattr(job, name)) for name in PARTS),
        tuple((number, values_of(wait)) for number, wait in job.waits.items()),
    )


def shape(machine: JobMachine) -> tuple[Any, ...]:
    """The machine with payloads and counters reduced to what decides its behaviour."""
    job = machine._regions
    watch, cancel, stream = job.watch, job.cancel, job.stream
    asked = watch.request
    waits = sorted((n, w.mark > 0, w.mark <= asked) for n, w in job.waits.items())
    return (
        job.state,
        job.confirmed,
        job.traits.requeues and asked >= job.running_since,
        watch.next_number == 1,
        watch.state,
        watch.failures > 0,
        asked > 0,
        watch.timer > 0,
        None if cancel is None else (cancel.state, cancel.request > 0),
        job.result.state,
        job.result.request > 0,
        tuple(waits),
        None if stream is None else stream_shape(stream, asked),
    )


def stream_shape(stream: StreamRegion, asked: int) -> tuple[Any, ...]:
    live = stream.is_active and not stream.traits.keeps_interim
    return (
        stream.connection,
        stream.subscription,
        bool(stream.current),
        bool(stream.timer),
        bool(stream.current) and stream.position > 0,
        bool(stream.current) and stream.position < stream.cursor,
        stream.is_open and bool(stream.timer) and stream.position > stream.armed_at,
        live and stream.exposed,
        live and (stream.clean_mark > 0, stream.clean_mark <= asked),
        stream.is_active and stream.last_pass and stream.attempts,
        stream.held is not None and (True, stream.held_mark <= asked, stream.gap_follows),
    )


def ledger_shape(ledger: Ledger) -> tuple[Any, ...]:
    return (frozenset(ledger.requests.values()), frozenset(ledger.timers), ledger.connected)


def ledger_snapshot(ledger: Ledger) -> tuple[Any, ...]:
    return tuple(
        tuple(value.items()) if isinstance(value, dict) else value
        for value in attrs.astuple(ledger, recurse=False)
    )


def try_event(machine: JobMachine, ledger: Ledger, event: Event) -> tuple[JobMachine, Ledger]:
    """Feed an event to copies, checking everything; a refusal changes nothing."""
    after, booked = copy_of(machine), ledger.copy()
    try:
        commands = step(after, booked, event)
    except AssertionError as error:
        error.add_note(f"{event!r}, tried on {snapshot(machine)!r}")
        raise
    if commands is None:
        assert snapshot(after) == snapshot(machine), "a refused event changed something"
    return after, booked


def check_repeatable(machine: JobMachine, ledger: Ledger, event: Event) -> None:
    """The same event gives the same commands."""
    first, second = copy_of(machine), copy_of(machine)
    commands = step(first, ledger.copy(), event)
    if commands is not None:
        assert repr(second.receive(event)) == repr(commands)  # errors have no equality
        assert repr(snapshot(first)) == repr(snapshot(second))


def check_late_events(machine: JobMachine) -> None:
    """What is no longer current is absorbed: no command, no change."""
    before = snapshot(machine)
    for event in LATE_EVENTS:
        assert machine.receive(event) == (), event
    assert snapshot(machine) == before


def explore(service: str) -> None:
    """Go through every reachable state, and try every event in each."""
    start = JobMachine("j1", SERVICES[service])
    queue = deque([(start, Ledger())])
    seen = {(shape(start), ledger_shape(Ledger()))}
    while queue:
        machine, ledger = queue.popleft()
        check_late_events(machine)
        for event in every_event(ledger):
            after, booked = try_event(machine, ledger, event)
            key = (shape(after), ledger_shape(booked))
            if key not in seen:
                seen.add(key)
                queue.append((after, booked))
                check_repeatable(machine, ledger, event)
    assert {state for (state, *_), _ in seen} == set(JobState)


# The live ones have most of the states: they are in a file, and so in a process, of their own.
@pytest.mark.parametrize("service", [name for name in SERVICES if not name.startswith("live")])
def test_every_reachable_state_with_every_event(service: str) -> None:
    explore(service)


Places = dict[tuple[Any, ...], tuple[JobMachine, Ledger]]


def following(places: Places, visit: Callable[[JobMachine], None]) -> Places:
    """Where one more event leads from each of these places."""
    found: Places = {}
    for machine, ledger in places.values():
        visit(machine)
        for event in every_event(ledger):
            after, booked = try_event(machine, ledger, event)
            found[snapshot(after), ledger_snapshot(booked)] = (after, booked)
    return found


@pytest.mark.parametrize("service", ["polled", "offset"])
def test_every_sequence_of_five_events(service: str) -> None:
    # Sequences that lead to the same machine and ledger, to the last number, go on as one.
    start, ledger = JobMachine("j1", SERVICES[service]), Ledger()
    places = {(snapshot(start), ledger_snapshot(ledger)): (start, ledger)}
    for _ in range(5):
        places = following(places, check_late_events)
    for machine, _ in places.values():
        check_late_events(machine)
