"""Every table, pair by pair, against a matrix written a second time; and what builds them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from itertools import product
from typing import Any, cast, get_args

import attrs
import pytest
from transitions import Machine

from runtime_core import commands, events, machine
from runtime_core.cancel import CANCEL, CancelOutcome, CancelSignal, CancelState, cancel_outcome
from runtime_core.connection import (
    CONNECTION,
    SUBSCRIPTION,
    ConnectionSignal,
    ConnectionState,
    SubscriptionSignal,
    SubscriptionState,
)
from runtime_core.lifecycle import (
    EVENTS,
    LIFECYCLE,
    LIFECYCLE_FROM,
    MACHINE,
    REQUEUED,
    STATED,
    TRANSITIONS,
    Row,
    build_machine,
    compile_table,
    contradicts,
    may_become,
)
from runtime_core.machine import JobMachine
from runtime_core.result import RESULT, ResultSignal, ResultState
from runtime_core.states import JobState
from runtime_core.tables import by_state
from runtime_core.watch import WATCH, WatchSignal, WatchState

LIFECYCLE_MATRIX = """
    .          JobQueued  JobStarted  JobSucceeded  JobFailed   JobCancelled
    QUEUED     QUEUED     RUNNING     DONE          ERROR       CANCELLED
    RUNNING    RUNNING    RUNNING     DONE          ERROR       CANCELLED
    DONE       DONE       DONE        DONE          DONE!       DONE!
    ERROR      ERROR      ERROR       ERROR!        ERROR       ERROR!
    CANCELLED  CANCELLED  CANCELLED   CANCELLED!    CANCELLED!  CANCELLED
"""
"""`!` marks a contradiction."""

WATCH_MATRIX = """
    .             ASK           REPLIED  FAILED  PAUSE         FIRED         REST     FINISH
    IDLE          ASKING        IDLE     IDLE    PAUSED        IDLE          IDLE     IDLE
    ASKING        ASKING_AGAIN  IDLE     IDLE    ASKING        ASKING        ASKING   IDLE
    ASKING_AGAIN  ASKING_AGAIN  ASKING   IDLE    ASKING_AGAIN  ASKING_AGAIN  ASKING   IDLE
    PAUSED        ASKING        PAUSED   PAUSED  PAUSED        ASKING        IDLE     IDLE
"""
CANCEL_MATRIX = """
    .          REQUEST    ACCEPT    REFUSE    FAIL      LOSE
    NONE       REQUESTED  NONE      NONE      NONE      NONE
    REQUESTED  REQUESTED  ACCEPTED  REJECTED  UNKNOWN   REQUESTED
    ACCEPTED   REQUESTED  ACCEPTED  ACCEPTED  ACCEPTED  UNKNOWN
    REJECTED   REQUESTED  REJECTED  REJECTED  REJECTED  REJECTED
    UNKNOWN    REQUESTED  UNKNOWN   UNKNOWN   UNKNOWN   UNKNOWN
"""
CONNECTION_MATRIX = """
    .         OPEN     OPENED    HOLD      ENDED     DROP
    CLOSED    OPENING  CLOSED    CLOSED    CLOSED    CLOSED
    OPENING   OPENING  OPEN      CLOSED    RETRYING  CLOSED
    OPEN      OPEN     OPEN      CLOSED    RETRYING  CLOSED
    RETRYING  OPENING  RETRYING  RETRYING  RETRYING  CLOSED
"""
SUBSCRIPTION_MATRIX = """
    .       SUBSCRIBE  END
    NONE    ACTIVE     NONE
    ACTIVE  -          ENDED
    ENDED   ACTIVE     ENDED
"""
"""`-` is refused."""
RESULT_MATRIX = """
    .         FETCH     RECEIVE   RETRY     FAIL      RELEASE
    UNKNOWN   FETCHING  HELD      UNKNOWN   UNKNOWN   UNKNOWN
    FETCHING  FETCHING  HELD      UNKNOWN   FAILED    FETCHING
    HELD      HELD      HELD      HELD      HELD      RELEASED
    FAILED    FETCHING  FAILED    FAILED    FAILED    FAILED
    RELEASED  FETCHING  RELEASED  RELEASED  RELEASED  RELEASED
"""


def cells(matrix: str) -> dict[tuple[str, str], str]:
    header, *rows = (line.split() for line in matrix.strip().splitlines())
    return {
        (row[0], column): cell
        for row in rows
        for column, cell in zip(header[1:], row[1:], strict=True)
    }


@pytest.mark.parametrize(
    ("table", "matrix", "states", "signals"),
    [
        pytest.param(WATCH, WATCH_MATRIX, WatchState, WatchSignal, id="watch"),
        pytest.param(CANCEL, CANCEL_MATRIX, CancelState, CancelSignal, id="cancel"),
        pytest.param(
            CONNECTION, CONNECTION_MATRIX, ConnectionState, ConnectionSignal, id="connection"
        ),
        pytest.param(
            SUBSCRIPTION,
            SUBSCRIPTION_MATRIX,
            SubscriptionState,
            SubscriptionSignal,
            id="subscription",
        ),
        pytest.param(RESULT, RESULT_MATRIX, ResultState, ResultSignal, id="result"),
    ],
)
def test_a_region_is_its_matrix(
    table: Mapping[tuple[Enum, Enum], Enum], matrix: str, states: type[Enum], signals: type[Enum]
) -> None:
    written = cells(matrix)
    assert set(written) == {(s.name, signal.name) for s, signal in product(states, signals)}
    assert {
        (state.name, signal.name): target.name for (state, signal), target in table.items()
    } == {pair: target for pair, target in written.items() if target != "-"}
    assert {type(target) for target in table.values()} == {states}


# ---- the lifecycle -----------------------------------------------------------------------------

PAIRS = [(state, kind) for state in JobState for kind in EVENTS.values()]


def test_the_lifecycle_has_twenty_five_pairs() -> None:
    assert len(PAIRS) == len(TRANSITIONS) == len(LIFECYCLE) == len(cells(LIFECYCLE_MATRIX)) == 25
    assert set(LIFECYCLE) == set(PAIRS)
    assert set(EVENTS.values()) == set(STATED) == set(get_args(events.LifecycleEvent))


@pytest.mark.parametrize(("state", "kind"), PAIRS)
def test_a_pair_is_as_in_the_matrix(state: JobState, kind: type[events.LifecycleEvent]) -> None:
    cell = cells(LIFECYCLE_MATRIX)[state.name, kind.__name__]
    assert LIFECYCLE[state, kind] is JobState[cell.rstrip("!")]
    assert contradicts(state, kind()) is cell.endswith("!")


@pytest.mark.parametrize(("state", "kind"), PAIRS)
def test_the_machine_takes_a_pair_as_the_matrix_says(
    state: JobState, kind: type[events.LifecycleEvent]
) -> None:
    job = JobMachine("j1")
    job.receive(next(event for event, stated in STATED.items() if stated is state)())
    assert (job.state, job.confirmed) == (state, True)
    out = job.receive(kind())
    cell = cells(LIFECYCLE_MATRIX)[state.name, kind.__name__]
    assert job.state is JobState[cell.rstrip("!")]
    notices = [order.notice for order in out if isinstance(order, commands.Report)]
    assert notices == [commands.Notice.CONTRADICTION] * cell.endswith("!")


@pytest.mark.parametrize(("state", "kind"), PAIRS)
def test_the_compiled_table_and_transitions_agree(
    state: JobState, kind: type[events.LifecycleEvent]
) -> None:
    trigger = kind.__name__
    [row] = MACHINE.get_transitions(trigger, state)
    assert (row.source, row.dest) == (state.name, LIFECYCLE[state, kind].name)
    assert trigger in MACHINE.get_triggers(state)

    class Model:
        state: Any

    model = Model()  # the same table, driven by transitions itself
    rows: list[list[str | Enum]] = [[*row] for row in TRANSITIONS]
    Machine(model, JobState, state, rows, auto_transitions=False)
    assert cast("Any", model).trigger(trigger)
    assert model.state is LIFECYCLE[state, kind]


def test_the_shared_machine_has_no_model_and_nothing_but_the_table() -> None:
    assert MACHINE.models == []
    assert set(MACHINE.events) == set(EVENTS)
    assert set(MACHINE.states) == {state.name for state in JobState}
    assert MACHINE.initial == JobState.QUEUED.name  # where its drawing begins
    assert compile_table(build_machine(TRANSITIONS)) == LIFECYCLE


@pytest.mark.parametrize("row", TRANSITIONS, ids=lambda row: f"{row[0]}-{row[1].name}")
def test_a_duplicate_row_is_refused(row: Row) -> None:
    with pytest.raises(ValueError, match=f"two rows for {row[0]} in {row[1].name}"):
        build_machine([*TRANSITIONS, (row[0], row[1], JobState.DONE)])


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (("JobPondered", JobState.QUEUED, JobState.DONE), "'JobPondered', which is no event"),
        (("JobQueued", JobState.QUEUED, "PONDERING"), "'PONDERING' is not from state to state"),
        (("JobQueued", "PONDERING", JobState.DONE), "'PONDERING' -> "),
        (("JobQueued", JobState.QUEUED, None), "None is not from state to state"),
    ],
)
def test_an_unknown_trigger_or_state_is_refused(row: Row, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        build_machine([row])


def test_what_a_state_may_become() -> None:
    assert may_become(JobState.QUEUED) == frozenset(JobState)
    assert may_become(JobState.RUNNING) == frozenset(JobState) - {JobState.QUEUED}
    for state in (JobState.DONE, JobState.ERROR, JobState.CANCELLED):
        assert may_become(state) == {state}
        assert state.is_final
    assert not JobState.QUEUED.is_final
    assert not JobState.RUNNING.is_final


def test_the_rows_of_a_table_are_its_pairs() -> None:
    rows = {s: {kind: LIFECYCLE[s, kind] for kind in EVENTS.values()} for s in JobState}
    assert rows == LIFECYCLE_FROM
    assert by_state({(1, "a"): 2, (2, "a"): 1, (1, "b"): 1}) == {1: {"a": 2, "b": 1}, 2: {"a": 1}}
    assert by_state(dict[tuple[int, str], int]()) == {}


def test_a_requeue_replaces_the_stale_row() -> None:
    trigger, source, target = REQUEUED
    assert (trigger, source, target) == ("JobQueued", JobState.RUNNING, JobState.QUEUED)
    assert LIFECYCLE[source, EVENTS[trigger]] is source


# ---- the cancel's outcome ----------------------------------------------------------------------

OUTCOME_MATRIX = """
    .          NONE  REQUESTED        ACCEPTED         REJECTED  UNKNOWN
    QUEUED     -     -                -                REJECTED  UNKNOWN
    RUNNING    -     -                -                REJECTED  UNKNOWN
    DONE       -     FINISHED_ANYWAY  FINISHED_ANYWAY  REJECTED  FINISHED_ANYWAY
    ERROR      -     FINISHED_ANYWAY  FINISHED_ANYWAY  REJECTED  FINISHED_ANYWAY
    CANCELLED  -     CANCELLED        CANCELLED        REJECTED  CANCELLED
"""


def test_the_outcome_of_a_cancel_is_its_matrix() -> None:
    written = cells(OUTCOME_MATRIX)
    assert len(written) == len(JobState) * len(CancelState)
    for (job, cancel), cell in written.items():
        expected = None if cell == "-" else CancelOutcome[cell]
        assert cancel_outcome(CancelState[cancel], JobState[job]) is expected


# ---- the closed unions -------------------------------------------------------------------------


def classes_of(module: Any) -> set[type]:
    return {
        value
        for value in vars(module).values()
        if isinstance(value, type) and attrs.has(value) and value.__module__ == module.__name__
    }


def test_the_unions_name_every_event_and_command() -> None:
    assert set(get_args(events.Event)) == classes_of(events)
    assert set(get_args(commands.Command)) == classes_of(commands)


def test_every_event_has_a_handler_and_nothing_else_has() -> None:
    assert set(machine.HANDLERS) == set(get_args(events.Event))


@pytest.mark.parametrize(
    "nonsense",
    [None, "JobQueued", 1.5, commands.FetchStatus(1), events.JobQueued, JobState.DONE],
    ids=repr,
)
def test_what_is_no_event_is_a_type_error(nonsense: Any) -> None:
    job = JobMachine("j1")
    with pytest.raises(TypeError, match="not an event"):
        job.receive(nonsense)
    assert not job.confirmed


def test_a_subclass_of_an_event_is_no_event() -> None:
    class Queued(events.JobQueued):
        pass

    with pytest.raises(TypeError, match="not an event"):
        JobMachine("j1").receive(Queued())


@pytest.mark.parametrize("kind", get_args(events.Event) + get_args(commands.Command))
def test_events_and_commands_are_frozen_values(kind: Any) -> None:
    number_of_fields = len(attrs.fields(kind))
    one, same = (kind(*range(1, number_of_fields + 1)) for _ in range(2))
    assert one == same
    assert hash(one) == hash(same)
    assert not hasattr(one, "__dict__")
    for field in attrs.fields(kind):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(one, field.name, 2)
