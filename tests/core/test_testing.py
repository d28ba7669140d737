"""The tools that ship for tests: the ledger finds what is broken, strategies keep their word."""

from __future__ import annotations

import ast
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import find, given
from hypothesis import strategies as st
from scenes import ERROR, OFFSET, POLL, STOP_POLL, fired, poll

from runtime_core import testing
from runtime_core.commands import (
    CloseStream,
    Command,
    Deliver,
    DeliverGap,
    EndSubscription,
    EndWait,
    FetchFailure,
    FetchResult,
    FetchStatus,
    Notice,
    OpenStream,
    Report,
    SendCancel,
    StartTimer,
)
from runtime_core.errors import RuntimeInvalidStateError
from runtime_core.events import (
    CancelRequested,
    Event,
    InterimReceived,
    JobFailed,
    JobQueued,
    JobStarted,
    JobSucceeded,
    Need,
    SubscriptionRequested,
    WaitStarted,
)
from runtime_core.lifecycle import LIFECYCLE
from runtime_core.machine import JobMachine
from runtime_core.states import JobState
from runtime_core.testing import (
    Ledger,
    RequestKind,
    cuts,
    events,
    interim_messages,
    lifecycles,
    service_traits,
    step,
)
from runtime_core.traits import ServiceTraits

# ---- the ledger: each rule, broken -------------------------------------------------------------


def booked() -> Ledger:
    """A ledger with everything under way."""
    return Ledger(
        requests={1: FetchStatus},
        timers={POLL: 2},
        connection=1,
        connections=1,
        waits={1: Need.FINAL, 2: Need.RESULT, 3: None, 4: Need.STATUS},
        subscription=1,
        delivered=3,
        last_request=1,
    )


@pytest.mark.parametrize(
    ("command", "rule"),
    [
        (FetchStatus(2), "two FetchStatus in flight"),
        (OpenStream(2, 0), "a second connection was opened"),
        (CloseStream(2), "a connection was closed that is not there"),
        (StartTimer(POLL, 3, 0.019), "a timer shorter than 20 ms"),
        (StartTimer(POLL, 2, 1.0), "a timer's number came again"),
        (Deliver(2, 3, ("m",)), "something for nobody"),
        (Deliver(1, 2, ("m",)), "a message lost, repeated or out of order"),
        (Deliver(1, 4, ("m",)), "a message lost, repeated or out of order"),
        (Deliver(1, 3, ()), "a delivery of nothing"),
        (DeliverGap(1, 4), "a gap at the wrong place"),
        (EndSubscription(2), "something for nobody"),
        (EndWait(9), "a wait ended that is not there"),
        (EndWait(1), "a wait ended before the job"),
        (EndWait(2), "a wait ended before the result was there"),
        (Report(Notice.RETRY, ""), "a report without a text"),
    ],
)
def test_a_command_that_breaks_a_rule_is_found(command: Command, rule: str) -> None:
    with pytest.raises(AssertionError, match=f"^{rule}$"):
        booked().carry_out((command,), JobMachine("j1", OFFSET))


@pytest.mark.parametrize(
    ("commands", "rule"),
    [
        ((STOP_POLL, STOP_POLL), "a timer was stopped that is not armed"),
        ((CloseStream(1), OpenStream(1, 0)), "a connection's number came again"),
        ((EndSubscription(1), EndSubscription(1)), "something for nobody"),
        ((EndWait(4), EndWait(4)), "a wait ended that is not there"),
    ],
)
def test_two_commands_that_break_a_rule_are_found(commands: tuple[Command, ...], rule: str) -> None:
    with pytest.raises(AssertionError, match=f"^{rule}$"):
        booked().carry_out(commands, JobMachine("j1", OFFSET))


def test_a_request_number_that_comes_again_is_found() -> None:
    with pytest.raises(AssertionError, match="a request's number came again"):
        Ledger(last_request=1).carry_out((FetchStatus(1),), JobMachine("j1"))


@pytest.mark.parametrize("need", [None, Need.STATUS, Need.FINAL, Need.RESULT])
def test_a_wait_may_always_end_with_an_error(need: Need | None) -> None:
    ledger = Ledger(waits={1: need})
    ledger.carry_out((EndWait(1, ERROR),), JobMachine("j1"))
    assert not ledger.has_interest


@pytest.mark.parametrize(
    ("event", "complete"),
    [
        (JobSucceeded(), False),
        (JobFailed(), False),
        (JobFailed(None, "why"), True),
        (JobStarted(), False),
    ],
)
def test_a_wait_for_the_result_needs_one(event: Event, complete: bool) -> None:
    machine, ledger = JobMachine("j1"), Ledger(waits={1: Need.RESULT})
    machine.receive(event)
    if complete:
        ledger.carry_out((EndWait(1),), machine)
    else:
        with pytest.raises(AssertionError, match="before the result was there"):
            ledger.carry_out((EndWait(1),), machine)


@pytest.mark.parametrize(
    ("ledger", "rule"),
    [
        (Ledger(subscription=1, connection=1), "is_streaming is not true"),
        (Ledger(waits={1: Need.FINAL}), "somebody waits, and nothing is under way"),
        (Ledger(timers={POLL: 1}), "a timer runs for nobody"),
        (Ledger(connection=1), "a connection is there for nobody"),
        (Ledger(connections=1), "a stream where there is none"),
    ],
)
def test_a_state_that_breaks_a_rule_is_found(ledger: Ledger, rule: str) -> None:
    with pytest.raises(AssertionError, match=f"^{rule}$"):
        ledger.check(JobMachine("j1"))


class Broken(JobMachine):
    """A machine that says what a test wants it to say."""

    def __init__(self, shown: list[JobState], sure: list[bool], refusing: bool = False) -> None:
        super().__init__("j1")
        self.shown, self.sure, self.refusing = shown, sure, refusing

    @property
    def state(self) -> JobState:
        return self.shown.pop(0) if len(self.shown) > 1 else self.shown[0]

    @property
    def confirmed(self) -> bool:
        return self.sure.pop(0) if len(self.sure) > 1 else self.sure[0]

    def receive(self, event: Event) -> tuple[Command, ...]:
        if self.refusing:
            raise RuntimeInvalidStateError("x", self.job_id, JobState.DONE, "y")
        return ()


@pytest.mark.parametrize(
    ("machine", "rule"),
    [
        (
            Broken(shown=[JobState.DONE, JobState.RUNNING], sure=[True]),
            "a final state was left",
        ),
        (
            Broken(shown=[JobState.QUEUED], sure=[True, False]),
            "what was confirmed is forgotten",
        ),
        (Broken(shown=[JobState.RUNNING], sure=[False]), "a state was guessed"),
        (
            Broken(shown=[JobState.RUNNING], sure=[True], refusing=True),
            "a refusal names another state",
        ),
    ],
)
def test_a_step_that_breaks_a_rule_is_found(machine: Broken, rule: str) -> None:
    with pytest.raises(AssertionError, match=f"^{rule}$"):
        step(machine, Ledger(), JobQueued())


def test_a_step_books_what_is_under_way() -> None:
    machine, ledger = JobMachine("j1", OFFSET), Ledger()
    assert step(machine, ledger, WaitStarted(1, Need.FINAL)) == (FetchStatus(1),)
    assert (ledger.waits, ledger.requests) == ({1: Need.FINAL}, {1: FetchStatus})
    twin = ledger.copy()
    assert step(machine, ledger, JobQueued(1)) == (poll(2, 0.05), OpenStream(1, 0))
    assert (ledger.requests, ledger.timers, ledger.connection) == ({}, {POLL: 2}, 1)
    assert (twin.requests, twin.timers, twin.connection) == ({1: FetchStatus}, {}, 0)
    assert step(machine, ledger, fired(poll(2, 0.05))) == (FetchStatus(3),)
    step(machine, ledger, JobSucceeded())
    assert ledger == Ledger(connections=1, last_wait=1, last_request=3)
    assert step(machine, ledger, CancelRequested(2)) is None
    assert step(machine, ledger, SubscriptionRequested(1)) is None


def test_the_tools_work_where_asserts_do_not() -> None:
    paths = list(Path(testing.__file__).parent.glob("*.py"))
    assert len(paths) > 15
    for path in paths:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not any(isinstance(node, ast.Assert) for node in ast.walk(tree))


# ---- the strategies ----------------------------------------------------------------------------


@given(st.binary(max_size=40), st.data())
def test_cuts_join_to_the_data(data: bytes, draw: st.DataObject) -> None:
    pieces = draw.draw(cuts(data))
    assert b"".join(pieces) == data
    assert all(pieces)


@pytest.mark.parametrize("pieces", [1, 3, 6])
def test_cuts_are_whole_and_one_by_one_and_anything_between(pieces: int) -> None:
    assert find(cuts(b"abcdef"), lambda found: len(found) == pieces)


@given(lifecycles(), lifecycles(ends=False))
def test_a_lifecycle_never_goes_back(told: tuple[Event, ...], open_end: tuple[Event, ...]) -> None:
    for sequence in (told, open_end):
        state = JobState.QUEUED
        machine = JobMachine("j1")
        for event in sequence:
            assert machine.receive(event) == ()
            state = LIFECYCLE[state, type(event)]  # type: ignore[index] # all are of the lifecycle
            assert machine.state is state
    assert told


@given(interim_messages(most=2), interim_messages(st.just("m")))
def test_messages_are_at_least_one(few: tuple[str, ...], equal: tuple[str, ...]) -> None:
    assert 1 <= len(few) <= 2
    assert set(equal) == {"m"}


KINDS: tuple[RequestKind, ...] = (FetchStatus, FetchResult, FetchFailure, SendCancel)
SITUATIONS = [
    Ledger(),
    booked(),
    Ledger(connection=1, connections=1, connected=True, last_subscription=1),
    Ledger(requests=dict(enumerate(KINDS, start=1)), last_request=4),
    Ledger(connections=2, last_request=2),
]


@given(service_traits(), st.sampled_from(SITUATIONS), st.data())
def test_an_event_may_be_drawn_in_every_situation(
    traits: ServiceTraits, ledger: Ledger, draw: st.DataObject
) -> None:
    event = draw.draw(events(ledger))
    with suppress(RuntimeInvalidStateError):
        JobMachine("j1", traits).receive(event)
    if isinstance(event, InterimReceived):
        assert event.messages
        assert event.connection in (1, ledger.connections - 1)


@pytest.mark.parametrize("kind", get_args(Event))
def test_every_event_is_drawn_in_some_situation(kind: type[Event]) -> None:
    drawn = st.one_of(*(events(ledger) for ledger in SITUATIONS))
    assert find(drawn, lambda event: type(event) is kind)


def test_the_core_does_not_load_its_test_tools() -> None:
    code = "import runtime_core, sys; print([m for m in sys.modules if 'testing' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
