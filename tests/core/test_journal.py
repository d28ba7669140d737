"""What a journal says, what it does not say, and where it ends."""

from __future__ import annotations

import gc
import hashlib
import json
from enum import Enum
from typing import Any, get_args

import attrs
import pytest
from journals import Recorder, tell
from scenes import LIVE_RESULT, OFFSET, POLLED

from runtime_core import journal_lines
from runtime_core.commands import Command
from runtime_core.errors import NotAuthorizedError, TransportError
from runtime_core.events import (
    CancelRequested,
    Event,
    FailureReceived,
    InterimReceived,
    JobFailed,
    JobQueued,
    JobStarted,
    JobSucceeded,
    Need,
    RequestFailed,
    ResultReceived,
    StreamClosed,
    StreamFailed,
    StreamOpened,
    SubscriptionRequested,
    TimerName,
    UnknownStatusReported,
    WaitStarted,
)
from runtime_core.journal import MAX_BYTES, Journal
from runtime_core.journal_lines import read_event
from runtime_core.journal_replay import replay
from runtime_core.machine import JobMachine
from runtime_core.observer import Step
from runtime_core.states import JobState
from runtime_core.traits import ServiceTraits

STREAMED: tuple[Event, ...] = (
    JobQueued(position=3),
    SubscriptionRequested(1),
    JobStarted(),
    StreamOpened(1),
    InterimReceived(1, ("my first words", "my words")),
    JobSucceeded(),
    CancelRequested(7),
    StreamClosed(1),
    ResultReceived(3, "my result"),
)


def test_a_line_for_who_wrote_it_one_for_the_job_and_one_for_each_step() -> None:
    recorder = Recorder(about={"library": "1.2"})
    tell(recorder.machine(OFFSET), STREAMED[:4])
    assert recorder.lines == [
        {
            "schema": "runtime-core journal",
            "version": 1,
            "texts": "digests",
            "about": {"library": "1.2"},
        },
        {
            "job": 1,
            "id": "j1",
            "traits": {"is": "ServiceTraits", "pushes": True, "resume": "offset"},
        },
        {
            "job": 1,
            "at": 0.0,
            "in": {"is": "JobQueued", "position": 3},
            "out": [],
            "state": "queued",
        },
        {
            "job": 1,
            "at": 0.5,
            "in": {"is": "SubscriptionRequested", "subscription": 1},
            "out": [
                {"is": "OpenStream", "connection": 1, "after": 0},
                {"is": "StartTimer", "name": "poll", "id": 1, "delay": 0.05},
            ],
            "state": "queued",
        },
        {"job": 1, "at": 1.0, "in": {"is": "JobStarted"}, "out": [], "state": "running"},
        {
            "job": 1,
            "at": 1.5,
            "in": {"is": "StreamOpened", "connection": 1},
            "out": [{"is": "StartTimer", "name": "poll", "id": 2, "delay": 5.0}],
            "state": "running",
        },
    ]


def test_what_was_delivered_and_reported_is_told_without_its_texts() -> None:
    recorder = Recorder()
    tell(recorder.machine(OFFSET), STREAMED[1:])
    tell(recorder.machine(POLLED), [JobSucceeded(), JobFailed()])
    assert recorder.lines[5]["out"] == [
        {"is": "Deliver", "subscription": 1, "first": 0, "messages": 2}
    ]
    assert recorder.lines[-1]["out"] == [{"is": "Report", "notice": "contradiction"}]


def test_each_step_is_one_text_of_whole_lines_in_ascii() -> None:
    recorder = Recorder(payloads=True)
    tell(recorder.machine(POLLED, "jöb\n"), STREAMED)
    assert len(recorder.texts) == len(STREAMED)
    for text in recorder.texts:
        assert text.endswith("\n")
        assert text.isascii()
        assert '", ' not in text
        assert recorder.journal.is_over is False
    assert recorder.lines[1]["id"] == "jöb\n"


def test_what_is_not_confirmed_and_what_is_refused_is_told() -> None:
    recorder = Recorder()
    tell(recorder.machine(POLLED), [SubscriptionRequested(1), JobQueued()])
    refused, told = recorder.lines[2:]
    assert refused["confirmed"] is False
    assert refused["refused"] == "its service has no streams"
    assert told.keys().isdisjoint({"confirmed", "refused"})


def test_jobs_are_told_apart_also_those_of_one_id() -> None:
    recorder = Recorder()
    machines = [recorder.machine(POLLED) for _ in range(2)]
    for machine in (machines[0], machines[1], machines[0]):
        tell(machine, [JobStarted()])
    assert [line["job"] for line in recorder.lines[1:]] == [1, 1, 2, 2, 1]
    known = len(recorder.journal._numbers)
    del machine, machines
    gc.collect()
    assert (known, len(recorder.journal._numbers)) == (2, 0)


def test_steps_without_a_source_are_told_apart_by_their_jobs() -> None:
    recorder = Recorder()
    for job_id in ("a", "b", "a"):
        recorder.journal(
            Step(job_id, POLLED, 1.0, JobStarted(), (), JobState.RUNNING, confirmed=True)
        )
    assert [line["job"] for line in recorder.lines[1:]] == [1, 1, 2, 2, 1]


# ---- texts -------------------------------------------------------------------------------------

REASONS = (JobFailed(None, "my reason", 17), JobFailed(None, None, "my code"))


def test_texts_are_left_out() -> None:
    recorder = Recorder(salt=b"salt")
    tell(recorder.machine(OFFSET), STREAMED)
    tell(recorder.machine(POLLED), REASONS)
    tell(recorder.machine(POLLED), [JobFailed(), FailureReceived(1, "my reason")])
    for text in ("my words", "my first words", "my result", "my reason"):
        assert text not in recorder.text
    assert "my code" in recorder.text
    read = recorder.lines[6]["in"]["messages"]
    assert (read["count"], read["chars"], read["last"]["chars"]) == (2, 22, 8)
    assert recorder.lines[10]["in"]["text"]["chars"] == 9
    reasons = [line["in"]["reason"] for line in recorder.lines if "reason" in line.get("in", {})]
    assert len(reasons) == 2
    assert reasons[0] == reasons[1]


def test_equal_texts_stay_equal_and_a_digest_is_of_its_journal() -> None:
    found = []
    for salt in ({}, {"salt": b""}, {"salt": b"a"}, {"salt": b"b"}, {"salt": b"b" * 1000}):
        recorder = Recorder(**salt)
        events = (*STREAMED[:4], InterimReceived(1, ("x", "42")), JobSucceeded())
        tell(recorder.machine(LIVE_RESULT), [*events, ResultReceived(3, "42")])
        message, result = recorder.lines[6]["in"]["messages"]["last"], recorder.lines[8]["in"]
        assert message == result["text"]
        found.append(message["digest"])
    assert found[0] == found[1]
    assert len(set(found)) == 4
    assert {len(digest) for digest in found} == {16}


def test_texts_are_left_out_unless_they_are_asked_for() -> None:
    writing = journal_lines.Writing()
    for text, data in (("my words", b"my words"), ("\ud800", b"\xed\xa0\x80")):
        digest = hashlib.blake2b(data, digest_size=8).hexdigest()
        assert writing.text(text) == {"chars": len(text), "digest": digest}
    assert writing.word("my words") == "my words"
    assert writing.messages(()) == []


def test_texts_are_written_if_they_are_asked_for() -> None:
    recorder = Recorder(payloads=True, secrets=("pass",))
    events = (*STREAMED[:4], InterimReceived(1, ("my words", "my password \ud800")))
    tell(recorder.machine(OFFSET), events)
    tell(recorder.machine(POLLED), REASONS)
    assert recorder.lines[0]["texts"] == "whole"
    assert recorder.lines[6]["in"]["messages"] == ["my words", "my ***word \ud800"]
    assert recorder.lines[8]["in"]["reason"] == "my reason"


def test_long_texts_are_never_written() -> None:
    recorder = Recorder(payloads=True)
    long = "x" * 65_537
    tell(recorder.machine(OFFSET), [*STREAMED[:4], InterimReceived(1, (long[2:], "x"))])
    assert recorder.lines[-1]["in"]["messages"] == [long[2:], "x"]
    tell(recorder.machine(POLLED), [JobFailed(None, long[1:])])
    assert recorder.lines[-1]["in"]["reason"] == long[1:]
    tell(recorder.machine(OFFSET), STREAMED[:4])
    tell(recorder.machine(OFFSET), [*STREAMED[:4], InterimReceived(1, (long, "short"))])
    assert recorder.lines[-1]["in"]["messages"] == {"count": 2, "chars": 65_542, "last": "short"}
    tell(recorder.machine(POLLED), [JobFailed(None, long)])
    assert recorder.lines[-1]["in"]["reason"]["chars"] == 65_537


def test_a_thousand_messages_are_one_short_line() -> None:
    recorder = Recorder()
    tell(recorder.machine(OFFSET), STREAMED[:4])
    machine = recorder.machine(OFFSET)
    tell(machine, STREAMED[:4])
    before = len(recorder.text)
    tell(machine, [InterimReceived(1, ("my words",) * 1000)])
    assert len(recorder.text) - before < 300


class TheirError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_errors_are_told_without_what_looks_like_a_credential() -> None:
    recorder = Recorder(secrets=("hunter2",))
    refused = NotAuthorizedError("Bearer abc is refused at http://a:b@h/?t=1 hunter2", 401)
    busy = TransportError("busy", 503, retryable=True, retry_after=float("inf"))
    tell(
        recorder.machine(OFFSET),
        [
            WaitStarted(1, Need.STATUS),
            RequestFailed(1, refused),
            WaitStarted(2, Need.STATUS, float("inf")),
            RequestFailed(2, busy, retryable=True, retry_after=float("nan")),
            StreamFailed(1, TheirError()),
            UnknownStatusReported("token=abc"),
            StreamClosed(1, 1011, "Bearer abc"),
            JobFailed(None, None, "token=abc"),
        ],
    )
    assert "abc" not in recorder.text
    assert "hunter2" not in recorder.text
    events = [line["in"] for line in recorder.lines[2:]]
    assert events[1]["error"] == {
        "type": "NotAuthorizedError",
        "message": "Bearer *** is refused at http://***@h/?*** ***",
        "retryable": False,
        "status_code": 401,
        "retry_after": None,
    }
    assert events[2]["wait"] == "inf"
    assert (events[3]["retry_after"], events[3]["error"]["retry_after"]) == ("nan", "inf")
    assert events[4]["error"] == {"type": "TheirError", "message": "its message cannot be had"}
    assert events[5]["word"] == events[7]["reason_code"] == "token=***"
    assert recorder.lines[3]["out"] == [{"is": "EndWait", "wait_id": 1, "error": kind(refused)}]


class Grpc(Enum):
    UNAVAILABLE = (14, "token=abc")


def test_an_error_of_a_careless_transport_is_told_and_read_again() -> None:
    recorder = Recorder()
    careless: Any = TransportError
    error = careless("away", "503", retryable=1, reason_code=Grpc.UNAVAILABLE)
    tell(recorder.machine(OFFSET), [SubscriptionRequested(1), StreamFailed(1, error)])
    assert recorder.failures == []
    assert recorder.lines[3]["in"]["error"] == {
        "type": "TransportError",
        "message": "away",
        "retryable": True,
        "status_code": None,
        "retry_after": None,
        "reason_code": "Grpc.UNAVAILABLE",
    }
    assert replay(recorder.text.splitlines()).is_same


def kind(error: Exception) -> str:
    return type(error).__name__


# ---- its size ----------------------------------------------------------------------------------


def test_it_ends_at_its_size_and_says_so() -> None:
    recorder = Recorder(max_bytes=2000)
    machine = recorder.machine(POLLED)
    tell(machine, [JobStarted()] * 100)
    assert recorder.lines[-1] == {"end": "max_bytes", "max_bytes": 2000}
    assert 1800 < len(recorder.text) <= 2000
    assert recorder.journal.is_over
    before = len(recorder.texts)
    tell(machine, [JobStarted()])
    assert len(recorder.texts) == before
    assert len(recorder.journal._numbers) == 0


def test_what_fits_exactly_is_written() -> None:
    events = [JobStarted()] * 20
    whole = Recorder()
    tell(whole.machine(POLLED), events)
    end = len('{"end":"max_bytes","max_bytes":1234}\n')
    for room, written in ((0, len(whole.texts)), (-1, len(whole.texts) - 1)):
        recorder = Recorder(max_bytes=len(whole.text) + end + room)
        tell(recorder.machine(POLLED), events)
        assert recorder.journal.is_over is (room < 0)
        steps = [line for line in recorder.lines if "in" in line]
        assert len(steps) == written


def test_nothing_is_kept_of_jobs_without_a_source_at_the_end() -> None:
    recorder = Recorder(max_bytes=1000)
    step = Step("j1", POLLED, 1.0, JobStarted(), (), JobState.RUNNING, confirmed=True)
    for _ in range(30):
        recorder.journal(step)
    assert recorder.journal.is_over
    assert recorder.journal._nameless == {}


def test_a_size_in_which_nothing_fits_is_refused() -> None:
    with pytest.raises(ValueError, match="max_bytes is 1000 or more, not 999"):
        Journal(print, max_bytes=999)
    assert Journal(print, max_bytes=1000).is_over is False
    assert MAX_BYTES == 10_000_000


def test_a_secret_is_not_taken_for_its_letters() -> None:
    with pytest.raises(TypeError) as refused:
        Journal(print, secrets="hunter2")
    assert str(refused.value) == "secrets are several texts: secrets=[token], not a str"


def test_times_are_rounded_to_microseconds() -> None:
    recorder = Recorder()
    machine = recorder.machine(POLLED)
    tell(machine, [JobStarted()])
    recorder.now += 0.123456789
    tell(machine, [JobStarted()])
    assert [line["at"] for line in recorder.lines[2:]] == [0.0, 0.623457]


def test_after_a_write_that_failed_nothing_is_written() -> None:
    """A step that is missing in between would make a replay lie."""
    written = []

    def write(text: str) -> None:
        written.append(text)
        if len(written) == 2:
            raise OSError(28, "no space left")

    journal = Journal(write)
    machine = JobMachine("j1")
    step = Step("j1", POLLED, 1.0, JobStarted(), (), machine.state, confirmed=True, source=machine)
    journal(step)
    with pytest.raises(OSError, match="no space"):
        journal(step)
    journal(step)
    assert journal.is_over
    assert len(written) == 2


def test_a_step_that_cannot_be_written_is_the_last() -> None:
    recorder = Recorder()
    machine, other = recorder.machine(POLLED), recorder.machine(POLLED)
    tell(other, [JobStarted()])
    before = recorder.text
    tell(machine, [JobStarted(object())])  # type: ignore[arg-type]
    tell(other, [JobSucceeded()])
    assert [type(error) for error in recorder.failures] == [TypeError]
    assert recorder.text == before


def test_an_id_is_written_as_it_is_however_long() -> None:
    recorder = Recorder(secrets=("hunter2",))
    tell(recorder.machine(POLLED, "k3y" * 100 + "hunter2"), [JobStarted()])
    assert recorder.lines[1]["id"] == "k3y" * 100 + "***"


# ---- every event and every command ---------------------------------------------------------------

VALUES: dict[str, list[Any]] = {
    "int": [0, 7],
    "int | None": [None, 7],
    "bool": [False, True],
    "float": [0.1, float("inf"), float("-inf"), float("nan")],
    "float | None": [None, 2.5],
    "str": ["", "a word"],
    "str | None": [None, "a word"],
    "int | str | None": [None, 17, "E17"],
    "Exception": [TransportError("no", 503, retryable=True, retry_after=2.0)],
    "tuple[str, ...]": [(), ("a", "b")],
    "TimerName": list(TimerName),
    "Need": list(Need),
}


@pytest.mark.parametrize("kind", get_args(Event), ids=lambda kind: kind.__name__)
def test_every_event_comes_back_as_it_was(kind: type) -> None:
    writing = journal_lines.Writing(payloads=True)
    for index in range(4):
        fields = {
            field.name: VALUES[str(field.type)][index % len(VALUES[str(field.type)])]
            for field in attrs.fields(kind)
        }
        event = kind(**fields)
        read = read_event(json.loads(json.dumps(writing.event(event))))
        assert repr(read) == repr(event)


def test_every_command_can_be_written() -> None:
    assert set(journal_lines._COMMAND_PLANS) == set(get_args(Command))


def test_traits_come_back_as_they_were() -> None:
    for traits in (POLLED, LIVE_RESULT, ServiceTraits(on_unknown_status=JobState.RUNNING)):
        written = json.dumps(journal_lines.Writing().traits(traits))
        assert journal_lines.read_traits(json.loads(written)) == traits
