"""The machine, explored: breadth first through every reachable state, and every short sequence."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from alphabet import LATE_EVENTS, every_event

from runtime_core.events import Event
from runtime_core.machine import JobMachine
from runtime_core.states import JobState
from runtime_core.stream import StreamRegion
from runtime_core.testing import Ledger, step
from runtime_core.traits import Resume, ServiceTraits
from runtime_core.watch import Wait

SERVICES = {
    "polled": ServiceTraits(),
    "requeues": ServiceTraits(requeues=True, on_unknown_status=JobState.RUNNING),
    "offset": ServiceTraits(pushes=True, resume=Resume.OFFSET),
    "replay": ServiceTraits(pushes=True, resume=Resume.REPLAY),
    "live": ServiceTraits(pushes=True),
    "live, streams the result": ServiceTraits(pushes=True, streams_result=True),
}

CHANGING: dict[type, tuple[str, ...]] = {
    kind: tuple(field.name for field in attrs.fields(kind))
    for kind in (JobMachine, StreamRegion, Wait)
}
"""The classes whose instances change, and their fields; everything else in a machine is a value."""


def copy_of(thing: Any) -> Any:
    kind = thing.__class__
    if kind is dict:
        return {number: copy_of(item) for number, item in thing.items()}
    if kind not in CHANGING:
        return thing
    twin = kind.__new__(kind)
    for name in CHANGING[kind]:
        setattr(twin, name, copy_of(getattr(thing, name)))
    return twin


def snapshot(thing: Any) -> Any:
    """Everything in it, as one value."""
    kind = thing.__class__
    if kind is dict:
        return tuple((number, snapshot(item)) for number, item in thing.items())
    if kind not in CHANGING:
        return thing
    return tuple(snapshot(getattr(thing, name)) for name in CHANGING[kind])


def shape(machine: JobMachine) -> tuple[Any, ...]:
    """The machine with payloads and counters reduced to what decides its behaviour."""
    asked = machine._status_request
    waits = machine._waits or {}
    return (
        machine.state,
        machine.confirmed,
        machine._next_id == 1,
        machine._watch,
        machine._cancel,
        machine._result,
        machine._failures > 0,
        bool(machine._status_request),
        bool(machine._cancel_request),
        bool(machine._result_request),
        bool(machine._poll_timer),
        machine.traits.requeues and asked >= machine._running_since,
        tuple(sorted((n, wait.mark > 0, wait.mark <= asked) for n, wait in waits.items())),
        None if machine._stream is None else stream_shape(machine._stream, asked),
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
        stream.is_open and bool(stream.timer) and stream.position > stream.drained_to,
        live and stream.exposed,
        live and (stream.clean_mark > 0, stream.clean_mark <= asked),
        stream.is_active and stream.last_pass,
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


@pytest.mark.parametrize("service", SERVICES)
def test_every_reachable_state_with_every_event(service: str) -> None:
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
