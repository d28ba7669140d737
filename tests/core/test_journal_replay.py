"""A journal is done again: the same events, the same states, the same commands."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from journals import Recorder, tell
from scenes import LIVE, LIVE_RESULT, OFFSET, OFFSET_RESULT, POLLED, REPLAY

import runtime_core
from runtime_core import journal_replay
from runtime_core.commands import Deliver, EndSubscription, StartTimer
from runtime_core.errors import JournalError, NotAuthorizedError, TransportError
from runtime_core.events import (
    CancelRequested,
    Event,
    InterimReceived,
    JobStarted,
    JobSucceeded,
    Need,
    RequestFailed,
    ResultReceived,
    StreamClosed,
    StreamFailed,
    StreamOpened,
    SubscriptionRequested,
    WaitEnded,
    WaitStarted,
)
from runtime_core.journal_lines import RecordedError, RecordedTransportError, read_event
from runtime_core.journal_replay import Replay, replay
from runtime_core.machine import JobMachine
from runtime_core.observer import Step
from runtime_core.states import JobState
from runtime_core.testing import Ledger, events, step
from runtime_core.traits import ServiceTraits
from runtime_core.value_path import shown

ALL_TRAITS = (POLLED, OFFSET, REPLAY, LIVE, LIVE_RESULT, OFFSET_RESULT)


def replayed(recorder: Recorder) -> Replay:
    return replay(recorder.text.splitlines(keepends=True))


class TheirTransportError(TransportError):
    pass


HEADER = '{"schema": "runtime-core journal", "version": 1}'
JOB_LINES = (
    '{"job": 1, "id": "j1", "traits": {"is": "ServiceTraits"}}',
    '{"job": 1, "at": 0, "in": {"is": "JobStarted"}, "out": [], "state": "running"}',
)
ENDED: tuple[Event, ...] = (
    JobStarted(),
    SubscriptionRequested(1),
    StreamOpened(1),
    InterimReceived(1, ("1", "2", "42")),
    JobSucceeded(),
    CancelRequested(5),
    StreamClosed(1),
    ResultReceived(3, "42"),
)


@pytest.mark.parametrize("payloads", [False, True])
@pytest.mark.parametrize("traits", ALL_TRAITS)
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
@given(data=st.data())
def test_any_walk_is_replayed(traits: ServiceTraits, payloads: bool, data: st.DataObject) -> None:
    recorder = Recorder(payloads=payloads, salt=b"salt")
    machine, ledger = JobMachine("j1", traits), Ledger()
    observed = recorder.machine(traits)
    walk = []
    for _ in range(data.draw(st.integers(0, 40))):
        event = data.draw(events(ledger))
        walk.append((event, step(machine, ledger, event)))
        tell(observed, [event])
    if not walk:
        return
    found = replayed(recorder)
    assert found.differences == []
    assert found.is_same
    assert (found.jobs[0].state, found.is_cut, found.is_full) == (machine.state, False, False)
    assert found.jobs[0].machine.received == machine.received
    for (event, commands), done in zip(walk, found.steps, strict=True):
        assert type(done.step.event) is type(event)
        assert list(map(type, done.step.commands)) == list(map(type, commands or ()))
        assert (done.step.refusal is None) is (commands is not None)


@pytest.mark.parametrize(("result", "shown"), [("42", 2), ("43", 3)])
def test_whether_the_last_message_was_the_result_is_known_without_the_texts(
    result: str, shown: int
) -> None:
    recorder = Recorder()
    tell(recorder.machine(OFFSET_RESULT), [*ENDED[:-1], ResultReceived(3, result)])
    found = replayed(recorder)
    assert found.is_same
    delivered = [
        len(command.messages)
        for each in found.steps
        for command in each.step.commands
        if isinstance(command, Deliver)
    ]
    assert sum(delivered) == shown
    assert EndSubscription(1) in found.steps[-1].step.commands


def test_what_is_there_to_be_read() -> None:
    recorder = Recorder(payloads=True, about={"library": "1.2"})
    first, second = recorder.machine(OFFSET_RESULT), recorder.machine(POLLED, "j2")
    tell(first, ENDED[:4])
    tell(second, [JobStarted()])
    tell(first, ENDED[4:])
    found = replayed(recorder)
    assert (found.about, found.has_texts) == ({"library": "1.2"}, True)
    assert [(job.number, job.job_id, job.state) for job in found.jobs] == [
        (1, "j1", JobState.DONE),
        (2, "j2", JobState.RUNNING),
    ]
    assert found.jobs[0].machine.result_text == "42"
    assert [each.line for each in found.steps] == [3, 4, 5, 6, 8, 9, 10, 11, 12]
    assert [each.step.at for each in found.steps] == [n / 2 for n in range(9)]
    assert found.steps[3].step.event == ENDED[3]
    assert found.steps[6].step.refusal is not None
    assert found.steps[4].job is found.jobs[1]


def test_what_a_journal_does_not_tell_is_empty() -> None:
    found = replay([HEADER.ljust(2**22), "", *JOB_LINES])
    assert (found.about, found.has_texts) == ({}, False)
    assert (found.is_cut, found.is_full, found.broken) == (False, False, None)
    assert [each.line for each in found.steps] == [4]
    assert found.steps[0].differences == ()
    assert found.is_same


def test_steps_can_be_shown_to_an_observer() -> None:
    recorder, again = Recorder(payloads=True), Recorder(payloads=True)
    first, second = recorder.machine(OFFSET_RESULT), recorder.machine(POLLED)
    tell(first, ENDED[:4])
    tell(second, [JobStarted()])
    tell(first, ENDED[4:])
    for each in replayed(recorder).steps:
        again.journal(each.step)
    assert again.text == recorder.text


def test_errors_are_of_classes_that_are_here() -> None:
    errors = [
        NotAuthorizedError("no", 401),
        TheirTransportError("busy", 503, retryable=True, retry_after=3.0, reason_code="E7"),
        ValueError("no value"),
    ]
    recorder, again = Recorder(), Recorder()
    machine, twin = recorder.machine(OFFSET), again.machine(OFFSET)
    for number, error in enumerate(errors, start=1):
        tell(machine, [WaitStarted(number, Need.STATUS), RequestFailed(number, error)])
    found = replayed(recorder)
    assert found.is_same
    refused, busy, value = [each.step.event.error for each in found.steps[1::2]]  # type: ignore[union-attr]
    assert isinstance(refused, NotAuthorizedError)
    assert isinstance(busy, RecordedTransportError)
    assert isinstance(value, RecordedError)
    assert (busy.kind, str(busy), busy.retryable, busy.retry_after) == (
        *("TheirTransportError", "busy", True),
        3.0,
    )
    assert busy.reason_code == "E7"
    assert (value.kind, str(value)) == ("ValueError", "no value")
    for each in found.steps:
        twin.receive(each.step.event)
    assert again.text == recorder.text


# ---- differences -------------------------------------------------------------------------------


def changed(recorder: Recorder, line: int, **changes: Any) -> list[str]:
    lines = recorder.lines
    lines[line - 1] = {**lines[line - 1], **changes}
    return [json.dumps(each) for each in lines]


@pytest.mark.parametrize(
    ("changes", "what", "recorded", "done"),
    [
        ({"out": []}, "commands", "[]", '[{"is": "StartTimer", "name": "poll", "id": 2,'),
        ({"state": "queued"}, "state", '["queued", true]', '["running", true]'),
        ({"confirmed": False}, "state", '["running", false]', '["running", true]'),
        ({"refused": "it rains"}, "refusal", '"it rains"', "null"),
    ],
)
def test_a_difference_is_told(changes: dict[str, Any], what: str, recorded: str, done: str) -> None:
    recorder = Recorder()
    tell(recorder.machine(OFFSET_RESULT), ENDED)
    found = replay(changed(recorder, 5, **changes))
    (difference,) = found.differences
    assert (difference.line, difference.job_id, difference.what) == (5, "j1", what)
    assert difference.recorded == recorded
    assert difference.replayed.startswith(done)
    assert str(difference).startswith(f"line 5, job j1: another {what} than recorded: expected ")
    assert found.steps[2].differences == (difference,)
    assert not found.is_same
    assert found.broken is None


def test_a_delay_that_differs_is_told() -> None:
    recorder = Recorder()
    tell(recorder.machine(POLLED), [JobStarted(), WaitStarted(1, Need.FINAL)])
    (timer,) = replayed(recorder).steps[1].step.commands
    assert isinstance(timer, StartTimer)
    out = [{"is": "StartTimer", "name": "poll", "id": 1, "delay": timer.delay + 1e-9}]
    assert len(replay(changed(recorder, 4, out=out)).differences) == 1


# ---- what cannot be read -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["{}" + " " * 2**22], "it has more than 4,194,304 characters"),
        ([], "it is empty."),
        (["", " \n"], "it is empty."),
        (["no journal"], "it does not begin with a line of 'runtime-core journal'."),
        (["[" * 100_000], "maximum recursion depth exceeded"),
        (["7"], "it does not begin with"),
        (['{"job": 1}'], "it does not begin with"),
        (['{"schema": "a book", "version": 1}'], "it is 'a book' of version 1, and what can"),
        (
            ['{"schema": "runtime-core journal", "version": 8}'],
            "it is 'runtime-core journal' of version 8, and what can be read is "
            "'runtime-core journal' of version 1",
        ),
        (['{"schema": "runtime-core journal", "version": 1, "about": 7}'], "expected an object"),
    ],
)
def test_what_is_no_journal_is_refused(lines: list[str], why: str) -> None:
    with pytest.raises(JournalError) as refused:
        replay(lines)
    assert refused.value.line == 1
    assert str(refused.value).startswith(f"The journal cannot be read at line 1: {why}")


def test_a_last_line_that_is_cut_is_told() -> None:
    recorder = Recorder()
    tell(recorder.machine(OFFSET_RESULT), ENDED)
    text = recorder.text
    whole = len(replayed(recorder).steps)
    for size in range(len(text) - 2, text.rindex("\n", 0, -1) + 1, -1):
        found = replay(text[:size].splitlines())
        assert (found.is_cut, found.is_same, len(found.steps)) == (True, True, whole - 1)


def test_a_line_that_is_cut_may_be_followed_by_another_journal() -> None:
    recorder = Recorder(about={"library": "1.2"})
    next_one = Recorder(payloads=True, about={"library": "1.3"})
    tell(recorder.machine(POLLED), ENDED[:3])
    tell(next_one.machine(OFFSET_RESULT), ENDED)
    found = replay([*(recorder.text[:-5] + "\n" + next_one.text).splitlines()])
    assert (found.is_cut, found.is_same, found.has_texts) == (True, True, True)
    assert [(job.number, job.job_id, job.state) for job in found.jobs] == [
        (1, "j1", JobState.RUNNING),
        (2, "j1", JobState.DONE),
    ]
    assert [job.about for job in found.jobs] == [{"library": "1.2"}, {"library": "1.3"}]
    assert found.about == {"library": "1.2"}


def test_what_one_of_several_journals_tells_stays_told() -> None:
    whole = HEADER.replace("}", ', "texts": "whole", "about": {"library": "1.2"}}')
    other = HEADER.replace("}", ', "texts": "digests", "about": {"library": "1.3"}}')
    cut = JOB_LINES[1][:-5]
    found = replay([whole, *JOB_LINES, cut, other, *JOB_LINES, HEADER, *JOB_LINES])
    assert (found.about, found.has_texts) == ({"library": "1.2"}, True)
    assert (found.is_cut, found.is_same, len(found.steps)) == (True, True, 3)


GOOD = {"is": "JobStarted"}
NO_JOBS: tuple[object, ...] = (9, True, 1.0, [], None)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("garbage", "it is no JSON object"),
        ("[1, 2]", "it is no JSON object"),
        (
            {"schema": "runtime-core journal", "version": 2},
            "it is 'runtime-core journal' of version 2, and what can be read is "
            "'runtime-core journal' of version 1",
        ),
        ({"what": 7}, "it is none of the lines of a journal"),
        ({"job": 1, "id": "j1", "traits": {}}, "a job needs a number of its own, and an id"),
        ({"job": "2", "id": "j1", "traits": {}}, "a job needs a number of its own, and an id"),
        ({"job": 2, "id": 7, "traits": {}}, "a job needs a number of its own, and an id"),
        ({"job": 2, "id": "j", "traits": 7}, "expected an object, not 7"),
        ({"job": 2, "id": "j", "traits": {"is": "Step"}}, "there is no 'Step'"),
        ({"job": 2, "id": "j", "traits": {"is": []}}, "there is no []"),
        ({"job": 2, "id": "j", "traits": {}}, "there is no None"),
        (
            {"job": 2, "id": "j", "traits": {"is": "ServiceTraits", "pushes": 1}},
            "ServiceTraits: expected bool, not 1",
        ),
        (
            {"job": 2, "id": "j", "traits": {"is": "ServiceTraits", "resume": "never"}},
            "ServiceTraits: there is no Resume 'never'",
        ),
        ({"job": [1], "at": 0, "in": GOOD, "state": "done"}, "no line says what job [1] is"),
        (
            {"job": 1, "at": 10**400, "in": GOOD, "state": "done"},
            f"expected a number, not {shown(10**400)}",
        ),
        *(
            (
                {"job": job, "at": 0, "in": GOOD, "state": "done"},
                f"no line says what job {job} is",
            )
            for job in NO_JOBS
        ),
        ({"at": 0, "in": GOOD, "state": "done"}, "no line says what job None is"),
        ({"job": 1, "at": 0, "in": GOOD, "state": "gone"}, "there is no JobState 'gone'"),
        ({"job": 1, "at": 0, "in": GOOD, "state": []}, "there is no JobState []"),
        ({"job": 1, "at": "0", "in": GOOD, "state": "done"}, "expected a number, not '0'"),
        ({"job": 1, "at": True, "in": GOOD, "state": "done"}, "expected a number, not True"),
        (
            {"job": 1, "at": 0, "in": {"is": "os.system"}, "state": "done"},
            "there is no 'os.system'",
        ),
        ({"job": 1, "at": 0, "in": {"is": "Deliver"}, "state": "done"}, "there is no 'Deliver'"),
        (
            {"job": 1, "at": 0, "in": {"is": "JobStarted", "x": 1}, "state": "done"},
            "JobStarted has no 'x'",
        ),
        (
            {"job": 1, "at": 0, "in": {"is": "WaitEnded"}, "state": "done"},
            "WaitEnded lacks 'wait_id'",
        ),
    ],
)
def test_a_line_that_cannot_be_read_ends_the_replay(line: Any, why: str) -> None:
    recorder = Recorder()
    tell(recorder.machine(POLLED), ENDED)
    lines = recorder.text.splitlines()
    lines.insert(4, line if isinstance(line, str) else json.dumps(line))
    found = replay(lines)
    assert found.broken is not None
    assert found.broken.line == 5
    assert found.broken.why == why
    assert len(found.steps) == 2
    assert (found.is_cut, found.is_same) == (False, False)


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (
            {"is": "InterimReceived", "connection": 1, "messages": 7},
            "InterimReceived: expected an object, not 7",
        ),
        (
            {"is": "InterimReceived", "connection": 1, "messages": {"count": 10**12}},
            "InterimReceived: 1000000000000 messages",
        ),
        (
            {"is": "WaitStarted", "wait_id": 1, "need": "final", "wait": -(10**400)},
            f"WaitStarted: expected a number, not {shown(-(10**400))}",
        ),
        *(
            (
                {"is": "WaitEnded", "wait_id": number},
                f"WaitEnded: expected an int of 64 bits, not {number}",
            )
            for number in (2**63, -(2**63))
        ),
        (
            {"is": "InterimReceived", "connection": 1, "messages": {"count": 0}},
            "InterimReceived: 0 messages",
        ),
        (
            {"is": "ResultReceived", "request": 1, "text": {"chars": "9"}},
            "ResultReceived: expected int, not '9'",
        ),
        (
            {"is": "RequestFailed", "request": 1, "error": "no"},
            "RequestFailed: expected an object, not 'no'",
        ),
        ({"is": "JobFailed", "reason_code": 1.5}, "JobFailed: expected int, not 1.5"),
        ({"is": "WaitEnded", "wait_id": 1.5}, "WaitEnded: expected int, not 1.5"),
    ],
)
def test_an_event_that_cannot_be_read_is_told(event: dict[str, Any], why: str) -> None:
    recorder = Recorder()
    tell(recorder.machine(POLLED), ENDED)
    found = replay(changed(recorder, 5, **{"in": event}))
    assert found.broken is not None
    assert found.broken.line == 5
    assert found.broken.why == why


def test_what_stands_for_a_text_is_short_and_says_how_long_it_was() -> None:
    written = {
        "is": "ResultReceived",
        "request": 1,
        "text": {"chars": 9, "digest": "0123456789" * 9},
    }
    event = read_event(written)
    assert event == ResultReceived(1, "<9 characters, 0123456789012345>")
    last = {"chars": 1, "digest": "f"}
    messages: dict[str, Any] = {"count": 2**20, "chars": 0, "last": last}
    read = read_event({"is": "InterimReceived", "connection": 1, "messages": messages})
    assert isinstance(read, InterimReceived)
    assert len(read.messages) == 2**20
    assert read.messages[-2:] == ("<a message>", "<1 characters, f>")
    messages["count"] = 1
    alone = read_event({"is": "InterimReceived", "connection": 1, "messages": messages})
    assert alone == InterimReceived(1, ("<1 characters, f>",))
    messages["count"] = 2**20 + 1
    with pytest.raises(ValueError, match="InterimReceived: 1048577 messages"):
        read_event({"is": "InterimReceived", "connection": 1, "messages": messages})


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63 - 1)])
def test_what_can_be_counted_to_is_read(number: int) -> None:
    assert read_event({"is": "WaitEnded", "wait_id": number}) == WaitEnded(number)


def test_a_version_that_cannot_be_read_may_follow_a_line_that_was_cut() -> None:
    recorder = Recorder()
    tell(recorder.machine(POLLED), ENDED[:2])
    lines = [*recorder.text.splitlines()[:-1], '{"job', '{"schema": "another", "version": 1}']
    found = replay(lines)
    assert found.broken is not None
    assert (found.broken.line, found.is_cut) == (5, True)
    assert "it is 'another' of version 1" in found.broken.why


def test_a_journal_is_not_believed_to_tell_of_any_number_of_messages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert journal_replay.MOST_MESSAGES == 2**24
    recorder = Recorder()
    tell(recorder.machine(OFFSET), [*ENDED[:4], InterimReceived(1, ("1", "2", "3"))])
    monkeypatch.setattr(journal_replay, "MOST_MESSAGES", 6)
    assert replayed(recorder).is_same
    monkeypatch.setattr(journal_replay, "MOST_MESSAGES", 5)
    found = replayed(recorder)
    assert found.broken is not None
    assert found.broken.why == "it tells of too many messages"


def test_a_journal_that_has_reached_its_size_is_replayed() -> None:
    recorder = Recorder(max_bytes=1500)
    machine = recorder.machine(OFFSET_RESULT)
    tell(machine, [*ENDED, *[JobSucceeded()] * 20])
    found = replayed(recorder)
    assert (found.is_full, found.is_same, found.is_cut) == (True, True, False)
    assert 5 < len(found.steps) < 28


def test_the_root_has_it() -> None:
    assert runtime_core.replay is replay
    assert runtime_core.Journal is type(Recorder().journal)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        runtime_core.Nothing  # noqa: B018


def test_a_stream_of_a_service_that_is_away() -> None:
    recorder = Recorder()
    error = TheirTransportError("busy", 503, retryable=True, retry_after=30.0)
    tell(recorder.machine(OFFSET), [*ENDED[:3], StreamFailed(1, error)])
    found = replayed(recorder)
    assert found.is_same
    assert isinstance(found.steps[-1].step, Step)
    assert StartTimer(runtime_core.TimerName.STREAM, 1, 30.0) in found.steps[-1].step.commands
