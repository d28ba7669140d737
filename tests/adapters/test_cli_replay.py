"""`runtime-core replay`: what a maintainer reads in a bug report."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import attrs
import pytest

from adapters.cli import main
from adapters.cli.sentences import what_came, what_goes
from adapters.cli.timeline import timeline
from runtime_core import replay
from runtime_core.commands import Command, EndWait, Notice, OpenStream, StartTimer
from runtime_core.errors import RuntimeInvalidStateError, TransportError
from runtime_core.events import (
    CancelRequested,
    Event,
    InterimReceived,
    JobQueued,
    JobStarted,
    JobSucceeded,
    Need,
    RequestFailed,
    ResultReceived,
    StreamClosed,
    StreamOpened,
    SubscriptionRequested,
    TimerFired,
    TimerName,
    WaitStarted,
)
from runtime_core.journal import Journal
from runtime_core.machine import JobMachine
from runtime_core.observer import ObservedMachine
from runtime_core.states import JobState
from runtime_core.traits import Resume, ServiceTraits

STREAMED = ServiceTraits(pushes=True, resume=Resume.OFFSET, streams_result=True)
ALL_IN_ALL: tuple[Event, ...] = (
    JobQueued(position=3),
    SubscriptionRequested(1),
    WaitStarted(2, Need.RESULT),
    JobStarted(),
    StreamOpened(1),
    InterimReceived(1, ("one", "two")),
    InterimReceived(1, ("\x1b[31mthree",)),
    SubscriptionRequested(3),
    JobSucceeded(),
    StreamClosed(1),
    ResultReceived(3, "42"),
)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.5
        return self.now


def journalled(*jobs: tuple[str, ServiceTraits, Iterable[Event]], **options: Any) -> list[str]:
    lines: list[str] = []
    journal = Journal(lines.append, about={"library": "1.2", "python": "3.11.7"}, **options)
    clock = Clock()
    for job_id, traits, events in jobs:
        machine = ObservedMachine(JobMachine(job_id, traits), journal, clock, print)
        for event in events:
            with suppress(RuntimeInvalidStateError):
                machine.receive(event)
    return "".join(lines).splitlines()


def test_a_timeline() -> None:
    shown = "\n".join(timeline(replay(journalled(("j1", STREAMED, ALL_IN_ALL), payloads=True))))
    assert (
        shown
        == """\
a journal of runtime-core 1.2, Python 3.11.7; with the texts of jobs
job 1: j1, its service's streams resume where they are asked to, carry the result

     0.000  queued     service: queued, 3rd in line
     0.500             caller: streams the results (subscription 1)
                         -> open connection 1
                         -> start the poll timer 1: 0.05 s
     1.000             caller: waits for the result (wait 2, polls 5 s apart at most)
     1.500  running    service: running
     2.000             connection 1: open
                         -> start the poll timer 2: 5 s
     2.500             connection 1: 3 messages, the last \\x1b[31mthree, in 2 reads within 0.500 s
                         -> deliver messages 0 to 1 (subscription 1)
     3.500             caller: streams the results (subscription 3)
                         REFUSED: its results are streamed already
     4.000  done       service: done
                         -> stop the poll timer
                         -> start the stream timer 1: 10 s
                         -> fetch the result (request 3)
     4.500             connection 1: closed by the service, code 1000
                         -> stop the stream timer
     5.000             answer 3: the result, 42
                         -> deliver message 2 (subscription 1)
                         -> end subscription 1
                         -> end wait 2

job 1 at the end: done, 3 messages received
11 steps replayed to the same states and commands."""
    )


def test_a_journal_that_was_continued_says_by_whom() -> None:
    first = journalled(("j1", STREAMED, [JobStarted()]), ("j2", STREAMED, [JobStarted()]))
    next_one = [line.replace('"1.2"', '"1.3"') for line in first]
    assert list(timeline(replay(first + next_one)))[:6] == [
        "a journal of runtime-core 1.2, Python 3.11.7; without the texts of jobs",
        "job 1: j1, its service's streams resume where they are asked to, carry the result",
        "job 2: j2, its service's streams resume where they are asked to, carry the result",
        "then one of runtime-core 1.3, Python 3.11.7; its times begin anew",
        "job 3: j1, its service's streams resume where they are asked to, carry the result",
        "job 4: j2, its service's streams resume where they are asked to, carry the result",
    ]


def polls(count: int) -> list[Event]:
    events: list[Event] = []
    for number in range(2, 2 + count * 2, 2):
        events += [TimerFired(TimerName.POLL, number), JobStarted(number + 1)]
    return events


def test_polling_without_news_is_one_line() -> None:
    begin: list[Event] = [WaitStarted(1, Need.FINAL), JobStarted(1)]
    found = replay(journalled(("j1", ServiceTraits(), [*begin, *polls(50), JobSucceeded()])))
    shown = list(timeline(found))
    assert "     1.000             time: polled 50 times within 49.500 s" in "\n".join(shown)
    assert len(shown) < 18
    few = replay(journalled(("j1", ServiceTraits(), [*begin, *polls(2)])))
    assert sum("the poll timer" in line and "fires" in line for line in timeline(few)) == 2


def test_moving_up_in_the_queue_is_news() -> None:
    events: list[Event] = [WaitStarted(1, Need.FINAL), JobQueued(1, 3)]
    for number, place in zip(range(2, 42, 2), [*[3] * 9, *[2] * 11], strict=True):
        events += [TimerFired(TimerName.POLL, number), JobQueued(number + 1, place)]
    shown = "\n".join(timeline(replay(journalled(("j1", ServiceTraits(), events)))))
    assert "service: " not in shown
    assert "answer 1: queued, 3rd in line" in shown
    assert "answer 20: queued, 2nd in line" not in shown
    assert "answer 21: queued, 2nd in line" in shown
    assert "time: polled 10 times" in shown


def test_several_jobs_are_told_apart() -> None:
    jobs = [(name, ServiceTraits(requeues=True), ALL_IN_ALL[:1]) for name in ("a", "b")]
    shown = list(timeline(replay(journalled(*jobs))))
    assert "     0.000    1 queued     service: queued, 3rd in line" in shown
    assert "     0.500    2 queued     service: queued, 3rd in line" in shown
    assert "job 2: b, its service has no streams, running jobs may be queued again" in shown


def test_what_is_not_known_is_said() -> None:
    traits = ServiceTraits(on_unknown_status=JobState.ERROR)
    events: list[Event] = [WaitStarted(1, Need.STATUS), CancelRequested(2)]
    shown = list(timeline(replay(journalled(("j1", traits, events)))))
    assert shown[1].endswith("its service has no streams, unknown words are taken for failed")
    assert shown[3].startswith("     0.000  not known  caller: waits for the status (wait 1)")
    assert "job 1 at the end: not known" in shown


VALUES: dict[str, list[Any]] = {
    "int": [1, 1234],
    "int | None": [None, 7],
    "float": [0.5],
    "float | None": [None, 2.5],
    "bool": [False, True],
    "str": ["", "w\x1b[31m\nw" + "x" * 1000],
    "str | None": [None, "w\x1b[31m\nw"],
    "int | str | None": [None, "E\x1b[31m17"],
    "Exception": [ValueError("no\nvalue"), TransportError("\x1b[31mno", 503)],
    "Exception | None": [None, TransportError("\x1b[31mno", 503)],
    "tuple[str, ...]": [("a",), ("a", "\x1b[31m\n")],
    "TimerName": list(TimerName),
    "Need": list(Need),
    "Notice": list(Notice),
}


@pytest.mark.parametrize("kind", [*get_args(Event), *get_args(Command)], ids=lambda k: k.__name__)
def test_everything_has_a_sentence_that_fits_on_a_line(kind: type) -> None:
    said = set()
    for index in range(2):
        fields = {
            field.name: VALUES[str(field.type)][index % len(VALUES[str(field.type)])]
            for field in attrs.fields(kind)
        }
        value = kind(**fields)
        line = what_goes(value) if isinstance(value, Command) else what_came(value)
        assert line.isprintable()
        assert 5 <= len(line) < 700
        said.add(line)
    assert len(said) == (2 if attrs.fields(kind) else 1)


def test_failures_say_what_failed() -> None:
    error = TransportError("busy", 503, retryable=True)
    failed = RequestFailed(3, error, retryable=True, retry_after=2.0)
    assert what_came(failed) == (
        "answer 3: none, TransportError 503: busy [may be tried again, asked to wait 2 s]"
    )
    assert what_goes(EndWait(2, error)) == "end wait 2 with TransportError 503: busy"
    assert what_goes(OpenStream(2, 3)) == "open connection 2 after 3 messages"


# ---- the command -------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "journal"
    path.write_text("\n".join(journalled(("j1", STREAMED, ALL_IN_ALL))), encoding="ascii")
    return path


def test_what_is_replayed_to_the_same(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(path)]) == 0
    out, err = capsys.readouterr()
    assert "11 steps replayed to the same states and commands.\n" in out
    assert "without the texts of jobs" in out
    assert re.search(r"3 messages, the last <10 characters, [0-9a-f]{16}>", out)
    assert err == ""


def test_what_differs(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = path.read_text(encoding="ascii").splitlines()
    changed = json.loads(lines[6])
    assert changed["out"][0]["is"] == StartTimer.__name__
    changed["out"][0]["delay"] = 4.0
    lines[6] = json.dumps(changed)
    path.write_text("\n".join(lines), encoding="ascii")
    assert main(["replay", str(path)]) == 1
    out, _ = capsys.readouterr()
    assert "DIFFERS at line 7, commands:\n" in out
    assert 'recorded [{"is": "StartTimer", "name": "poll", "id": 2, "delay": 4.0}]\n' in out
    assert 'replayed [{"is": "StartTimer", "name": "poll", "id": 2, "delay": 5.0}]\n' in out
    assert "It was NOT replayed to the same: see line 7.\n" in out


def test_what_differs_among_many_reads_is_shown(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = path.read_text(encoding="ascii").splitlines()
    changed = json.loads(lines[8])
    assert changed["in"]["is"] == InterimReceived.__name__
    changed["out"][0]["first"] = 7
    lines[8] = json.dumps(changed)
    path.write_text("\n".join(lines), encoding="ascii")
    assert main(["replay", str(path)]) == 1
    assert "DIFFERS at line 9, commands:\n" in capsys.readouterr().out


def test_what_was_cut_and_what_was_full(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_text(path.read_text(encoding="ascii")[:-5], encoding="ascii")
    assert main(["replay", str(path)]) == 0
    assert "the process was killed while it wrote" in capsys.readouterr().out
    full = journalled(("j1", STREAMED, [*ALL_IN_ALL, *[JobSucceeded()] * 20]), max_bytes=2500)
    path.write_text("\n".join(full), encoding="ascii")
    assert main(["replay", str(path)]) == 0
    assert "had reached its size" in capsys.readouterr().out


def test_what_cannot_be_read(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = path.read_text(encoding="ascii").splitlines()
    lines.insert(5, "garbage \udcff\x1b[31m")
    path.write_text("\n".join(lines), encoding="utf-8", errors="surrogateescape")
    assert main(["replay", str(path)]) == 2
    out, err = capsys.readouterr()
    assert "service: queued, 3rd in line" in out
    assert "replayed to the same" not in out
    assert "The journal cannot be read at line 6: it is no JSON object." in err
    path.write_text("no journal", encoding="ascii")
    assert main(["replay", str(path)]) == 2
    assert main(["replay", str(path.parent / "nowhere")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "at line 1: it does not begin with" in err
    assert "nowhere cannot be read: No such file or directory." in err


def test_it_may_come_from_a_pipe(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(path.read_text(encoding="ascii")))
    assert main(["replay", "-"]) == 0
    assert "11 steps replayed" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", None)  # what Python makes of one that is closed
    assert main(["replay", "-"]) == 2
    assert "-: The journal cannot be read at line 1: it is empty." in capsys.readouterr().err


def test_a_journal_that_cannot_be_written_is_said_before_anything_is_submitted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "p.py"
    program.write_text("def main(backend, user_messenger):\n    pass\n", encoding="utf-8")
    where = ["--url", "http://127.0.0.1:1", "--journal"]
    assert main(["run", str(program), *where, str(tmp_path / "no" / "journal")]) == 2
    assert main(["run", str(program), *where, str(program)]) == 2
    err = capsys.readouterr().err
    assert "cannot be written: No such file or directory." in err
    assert "There is something else than a journal in" in err
    with pytest.raises(SystemExit):
        main(["run", str(program), "--detach", "--journal", "j"])
    assert "--journal has no meaning with --detach" in capsys.readouterr().err
