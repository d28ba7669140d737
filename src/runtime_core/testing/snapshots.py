"""Copies of machines, and what of a machine decides how it goes on: for the explorer.

This is the one part of the tools that looks inside of a machine.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any, TypeVar

import attrs

from runtime_core.cancel import CancelRegion
from runtime_core.machine import JobMachine
from runtime_core.regions import Regions
from runtime_core.result import ResultRegion
from runtime_core.stream import StreamRegion
from runtime_core.testing.ledger import Ledger
from runtime_core.waits import NOBODY, Wait, Waits
from runtime_core.watch import WatchRegion

MachineT = TypeVar("MachineT", bound=JobMachine)

_VALUES = {
    kind: attrgetter(*(field.name for field in attrs.fields(kind)))
    for kind in (Regions, WatchRegion, CancelRegion, ResultRegion, StreamRegion, Wait)
}
# For each class whose instances change, what reads all of its fields.
_PARTS = ("watch", "result", "cancel", "stream")


def regions_of(machine: JobMachine) -> Regions:
    """All that a machine knows."""
    return machine._regions  # noqa: SLF001 # who copies a machine has to know what is in it


# ---- copies ------------------------------------------------------------------------------------


def copy_of(machine: MachineT) -> MachineT:
    """A machine of its own that is in the same state.

    What a subclass keeps besides is shared with the copy.
    """
    job = regions_of(machine)
    kind = machine.__class__
    twin = kind.__new__(kind)
    if kind is not JobMachine:
        for name, value in getattr(machine, "__dict__", {}).items():
            setattr(twin, name, value)
    twin._regions = regions = _twin_of(job)  # noqa: SLF001
    for name in _PARTS:
        setattr(regions, name, _twin_of(getattr(job, name)))
    if job.waits is not NOBODY:
        regions.waits = Waits({number: _twin_of(wait) for number, wait in job.waits.items()})
    return twin


def _twin_of(thing: Any) -> Any:
    return None if thing is None else thing.__class__(*_VALUES[thing.__class__](thing))


# ---- all of it ---------------------------------------------------------------------------------


def snapshot(machine: JobMachine) -> tuple[Any, ...]:
    """Everything in the machine, as one value."""
    job = regions_of(machine)
    return (
        (job.job_id, job.traits, job.state, job.confirmed, job.running_since),
        *(_values_of(getattr(job, name)) for name in _PARTS),
        tuple((number, _values_of(wait)) for number, wait in job.waits.items()),
    )


def _values_of(thing: Any) -> Any:
    return None if thing is None else _VALUES[thing.__class__](thing)


def ledger_snapshot(ledger: Ledger) -> tuple[Any, ...]:
    """Everything in the ledger, as one value."""
    return tuple(
        tuple(value.items()) if isinstance(value, dict) else value
        for value in attrs.astuple(ledger, recurse=False)
    )


# ---- what decides ------------------------------------------------------------------------------


def shape(machine: JobMachine) -> tuple[Any, ...]:
    """The machine with payloads and counters reduced to what decides its behaviour."""
    job = regions_of(machine)
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
        None if stream is None else _stream_shape(stream, asked),
    )


def _stream_shape(stream: StreamRegion, asked: int) -> tuple[Any, ...]:
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
    """What of a ledger decides which events may come next."""
    return (frozenset(ledger.requests.values()), frozenset(ledger.timers), ledger.connected)
