"""The lifecycle of a job: which state follows which fact.

The table is written in the format of `transitions`, from which one shared machine is built when
this module is imported. That machine answers what is legal; the hot path reads the plain dicts
`LIFECYCLE_FROM` that are compiled from it, since a trigger of the machine costs about twenty times
a dict look-up.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import TypeAlias

from transitions import Machine

from runtime_core.events import (
    JobCancelled,
    JobFailed,
    JobQueued,
    JobStarted,
    JobSucceeded,
    LifecycleEvent,
)
from runtime_core.states import JobState
from runtime_core.tables import by_state

Row: TypeAlias = tuple[str, JobState, JobState]
"""Trigger (the name of an event's class), source, destination: as `transitions` takes it."""

QUEUED, RUNNING = JobState.QUEUED, JobState.RUNNING
DONE, ERROR, CANCELLED = JobState.DONE, JobState.ERROR, JobState.CANCELLED

TRANSITIONS: Sequence[Row] = (
    ("JobQueued", QUEUED, QUEUED),
    ("JobQueued", RUNNING, RUNNING),  # stale: a slow poll, overtaken by a push
    ("JobQueued", DONE, DONE),
    ("JobQueued", ERROR, ERROR),
    ("JobQueued", CANCELLED, CANCELLED),
    ("JobStarted", QUEUED, RUNNING),
    ("JobStarted", RUNNING, RUNNING),
    ("JobStarted", DONE, DONE),
    ("JobStarted", ERROR, ERROR),
    ("JobStarted", CANCELLED, CANCELLED),
    ("JobSucceeded", QUEUED, DONE),
    ("JobSucceeded", RUNNING, DONE),
    ("JobSucceeded", DONE, DONE),
    ("JobSucceeded", ERROR, ERROR),  # contradiction: the first ending stands, as below
    ("JobSucceeded", CANCELLED, CANCELLED),
    ("JobFailed", QUEUED, ERROR),
    ("JobFailed", RUNNING, ERROR),
    ("JobFailed", DONE, DONE),
    ("JobFailed", ERROR, ERROR),
    ("JobFailed", CANCELLED, CANCELLED),
    ("JobCancelled", QUEUED, CANCELLED),
    ("JobCancelled", RUNNING, CANCELLED),
    ("JobCancelled", DONE, DONE),
    ("JobCancelled", ERROR, ERROR),
    ("JobCancelled", CANCELLED, CANCELLED),
)
"""Every state with every fact. Nothing else changes the state of a job."""

REQUEUED: Row = ("JobQueued", RUNNING, QUEUED)
"""The row that replaces the stale one where a service really requeues (`ServiceTraits.requeues`)
and the answer is to a question that was asked after RUNNING was known."""

EVENTS: dict[str, type[LifecycleEvent]] = {
    kind.__name__: kind for kind in (JobQueued, JobStarted, JobSucceeded, JobFailed, JobCancelled)
}
"""The triggers of the table."""

STATED: dict[type[LifecycleEvent], JobState] = {
    JobQueued: QUEUED,
    JobStarted: RUNNING,
    JobSucceeded: DONE,
    JobFailed: ERROR,
    JobCancelled: CANCELLED,
}
"""The state that each event says the job is in."""


def build_machine(rows: Sequence[Row]) -> Machine:
    """Build a `transitions` machine without a model from a table.

    Raises:
        ValueError: if a row stands twice, or names a trigger or a state that does not exist;
            `transitions` itself takes both in silence.
    """
    seen: set[tuple[str, JobState]] = set()
    plain: list[list[str | Enum]] = []
    for trigger, source, target in rows:
        if trigger not in EVENTS:
            raise ValueError(f"the lifecycle table names {trigger!r}, which is no event")
        if not all(isinstance(state, JobState) for state in (source, target)):
            text = f"{trigger}: {source!r} -> {target!r} is not from state to state"
            raise ValueError(text)
        if (trigger, source) in seen:
            raise ValueError(f"two rows for {trigger} in {source.name}")
        seen.add((trigger, source))
        plain.append([trigger, source, target])
    return Machine(
        model=None,
        states=JobState,
        initial=QUEUED,
        transitions=plain,
        auto_transitions=False,
    )


def compile_table(machine: Machine) -> dict[tuple[JobState, type[LifecycleEvent]], JobState]:
    """Read the table of a machine back as a plain dict."""
    return {
        (JobState[row.source], kind): JobState[str(row.dest)]
        for trigger, kind in EVENTS.items()
        for row in machine.get_transitions(trigger)
    }


MACHINE = build_machine(TRANSITIONS)
"""The one machine of the process. It has no model: jobs keep their state themselves."""

LIFECYCLE = compile_table(MACHINE)
"""(state, class of the event) -> the state that follows."""

LIFECYCLE_FROM = by_state(LIFECYCLE)
"""State, then class of the event -> the state that follows."""


def may_become(state: JobState) -> frozenset[JobState]:
    """The states that one event can lead to from this one, itself included."""
    return frozenset(
        JobState[str(row.dest)]
        for trigger in MACHINE.get_triggers(state)
        for row in MACHINE.get_transitions(trigger, state)
    )


def contradicts(known: JobState, event: LifecycleEvent) -> bool:
    """Whether a job that has ended one way is now said to have ended another."""
    if not known.is_final:
        return False
    stated = STATED[type(event)]
    return stated.is_final and stated is not known
