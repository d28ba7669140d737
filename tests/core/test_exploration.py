"""The machine, explored: breadth first through every reachable state, and every short sequence."""

from __future__ import annotations

from collections import deque
from typing import Any

import attrs
import pytest
from alphabet import LATE_EVENTS, every_event
from ledger import Ledger, step

from runtime_core.events import Event
from runtime_core.machine import JobMachine
from runtime_core.states import JobState
from runtime_core.stream import StreamRegion
from runtime_core.traits import Resume, ServiceTraits

SERVICES = {
    "polled": ServiceTraits(),
    "requeues": ServiceTraits(requeues=True, on_unknown_status=JobState.RUNNING),
    "offset": ServiceTraits(pushes=True, resume=Resume.OFFSET),
    "replay": ServiceTraits(pushes=True, resume=Resume.REPLAY),
    "live, streams the result": ServiceTraits(pushes=True, streams_result=True),
}


FIELDS = tuple(field.name for field in attrs.fields(JobMachine))
PLAIN_FIELDS = tuple(name for name in FIELDS if name not in ("_waits", "_stream"))


def copy_of(machine: JobMachine) -> JobMachine:
    twin = JobMachine(machine.job_id, machine.traits)
    for name in FIELDS:
        setattr(twin, name, getattr(machine, name))
    if machine._waits is not None:
        twin._waits = {number: attrs.evolve(wait) for number, wait in machine._waits.items()}
    if machine._stream is not None:
        twin._stream = attrs.evolve(machine._stream)
    return twin


def snapshot(machine: JobMachine) -> tuple[Any, ...]:
    """Everything in the machine."""
    waits = machine._waits or {}
    return (
        *(getattr(machine, name) for name in PLAIN_FIELDS),
        tuple((number, wait.need, wait.wait, wait.mark) for number, wait in waits.items()),
        None if machine._stream is None else attrs.astuple(machine._stream, recurse=False),
    )


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


def try_event(machine: JobMachine, ledger: Ledger, event: Event) -> tuple[JobMachine, Ledger]:
    """Feed an event to copies, twice: the same comes out; a refusal changes nothing."""
    first, second = copy_of(machine), copy_of(machine)
    booked = ledger.copy()
    try:
        commands = step(first, booked, event)
    except AssertionError as error:
        error.add_note(f"{event!r}, tried on {snapshot(machine)!r}")
        raise
    if commands is None:
        assert snapshot(first) == snapshot(machine), "a refused event changed something"
    else:
        assert repr(second.receive(event)) == repr(commands)  # errors have no equality
    return first, booked


@pytest.mark.parametrize("service", SERVICES)
def test_every_reachable_state_with_every_event(service: str) -> None:
    start = JobMachine("j1", SERVICES[service])
    queue = deque([(start, Ledger())])
    seen = {(shape(start), ledger_shape(Ledger()))}
    pairs = 0
    while queue:
        machine, ledger = queue.popleft()
        check_late_events(machine)
        for event in every_event(ledger):
            pairs += 1
            after, booked = try_event(machine, ledger, event)
            key = (shape(after), ledger_shape(booked))
            if key not in seen:
                seen.add(key)
                queue.append((after, booked))
    print(service, len(seen), pairs)
    assert {state for (state, *_), _ in seen} == set(JobState)


def check_late_events(machine: JobMachine) -> None:
    """What is no longer current is absorbed: no command, no change."""
    before = snapshot(machine)
    for event in LATE_EVENTS:
        assert machine.receive(event) == (), event
    assert snapshot(machine) == before


def ledger_shape(ledger: Ledger) -> tuple[Any, ...]:
    return (frozenset(ledger.requests.values()), frozenset(ledger.timers), ledger.connected)
