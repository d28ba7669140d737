"""The command line with a transport of one's own in the place of a service."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from adapters.cli import main
from adapters.cli.outcome import Exit

MODULE = """
import sys

from runtime_core.commands import FetchFailure, FetchResult, FetchStatus, SendCancel
from runtime_core.errors import RuntimeJobNotFoundError, TransportError
from runtime_core.events import (
    CancelAccepted, FailureReceived, InterimReceived, JobCancelled, JobFailed, JobStarted,
    JobSucceeded, RequestFailed, ResultReceived, StreamClosed, StreamOpened,
)
from runtime_core.traits import Resume, ServiceTraits


class Bus:
    traits = ServiceTraits(pushes=True, resume=Resume.OFFSET)

    def __init__(self):
        self.asked = 0
        self.cancelled = False

    def perform(self, job_id, command):
        request = command.request
        if job_id == "unknown":
            return RequestFailed(request, RuntimeJobNotFoundError("there is none", 404))
        match command:
            case FetchStatus():
                self.asked += 1
                if job_id == "fails":
                    return JobFailed(request)
                if self.cancelled:
                    return JobCancelled(request)
                if job_id == "runs" or self.asked == 1:
                    return JobStarted(request)
                return JobSucceeded(request)
            case FetchResult():
                return ResultReceived(request, '{"n": 3}')
            case FetchFailure():
                return FailureReceived(request, "it went wrong")
            case SendCancel():
                self.cancelled = True
                return CancelAccepted(request)

    def stream(self, job_id, command):
        yield StreamOpened(command.connection)
        yield InterimReceived(command.connection, ('"one"', '"two"')[command.after:])
        yield StreamClosed(command.connection)

    def job_logs(self, job_id):
        return f"{job_id} printed\\n"

    def close(self):
        print("the bus is closed", file=sys.stderr)


class Taking(Bus):
    def submit(self, program_id, inputs, options):
        print(f"submitted {program_id} {inputs} {options}")
        return "j7"


class Awaited(Bus):
    async def perform(self, job_id, command):
        raise AssertionError


def broken():
    raise LookupError("no bus here")


def leaves():
    sys.exit("no bus today")


class Mute(Bus):
    @property
    def traits(self):
        raise LookupError("nobody knows")


class Leaving(Bus):
    def submit(self, program_id, inputs, options):
        sys.exit(5)


bus = Bus()
number = 7
"""


@attrs.frozen
class Said:
    code: int
    out: str
    err: str


Command = Callable[..., Said]


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """Runs a command in a folder with the module `mine_of_tests`."""
    (tmp_path / "mine_of_tests.py").write_text(MODULE)
    (tmp_path / "lame_of_tests.py").write_text("import no_such_module_of_tests")
    (tmp_path / "worse_of_tests.py").write_text("1 / 0")
    (tmp_path / "leaving_of_tests.py").write_text("import sys; sys.exit(3)")
    monkeypatch.chdir(tmp_path)
    # As for the installed command, for which the current directory is nowhere.
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def run(*arguments: str) -> Said:
        try:
            code = main(arguments)
        except SystemExit as error:  # of wrong arguments
            code = int(str(error.code))
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    yield run
    for name in ("mine_of_tests", "lame_of_tests", "worse_of_tests"):
        sys.modules.pop(name, None)


BUS = ("--transport", "mine_of_tests:Bus")


def test_a_job_is_watched(command: Command) -> None:
    said = command("watch", "j1", *BUS, "--json")
    events = [json.loads(line) for line in said.out.splitlines() if line.startswith("{")]
    kinds = [event["event"] for event in events]
    # Whether it is seen to run first depends on the threads.
    assert [kind for kind in kinds if kind not in ("note", "state")] == [
        *("found", "interim", "interim", "result"),
    ], said
    assert [event["value"] for event in events if event["event"] == "interim"] == ["one", "two"]
    assert events[-1]["value"] == {"n": 3}
    assert said.code == Exit.DONE
    assert "the bus is closed" in said.err


def test_status_result_and_logs(command: Command) -> None:
    assert command("status", "runs", *BUS).out.startswith("running\n")
    assert "3" in command("result", "j1", *BUS).out
    assert command("logs", "j1", *BUS).out.startswith("j1 printed\n")
    failed = command("result", "fails", *BUS)
    assert failed.code == Exit.FAILED
    assert "it went wrong" in failed.err


def test_a_job_is_cancelled(command: Command) -> None:
    said = command("cancel", "runs", *BUS)
    assert (said.code, said.out.splitlines()[0]) == (Exit.DONE, "cancelled")


def test_a_program_is_submitted_by_its_id(command: Command) -> None:
    taking = ("--transport", "mine_of_tests:Taking")
    said = command("run", "any/id", *taking, "-i", "n=3", "--detach")
    assert said.out.splitlines()[:2] == ["submitted any/id {'n': 3} {}", "j7"]
    said = command("run", "any/id", *taking)
    assert said.code == Exit.DONE
    assert "any/id: job j7 by mine_of_tests:Taking" in said.err + said.out


def test_a_transport_that_exits_ends_the_command(command: Command) -> None:
    assert command("run", "p", "--transport", "mine_of_tests:Leaving").code == 5


def test_it_may_be_an_object(command: Command) -> None:
    assert command("status", "runs", "--transport", "mine_of_tests:bus").code == Exit.DONE


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        ("mine_of_tests", "--transport wants MODULE:NAME, for instance mine:bus, not 'mine_of_te"),
        (":bus", "--transport wants MODULE:NAME"),
        ("no_such_module_of_tests:bus", "There is no module 'no_such_module_of_tests' here"),
        (
            "lame_of_tests:bus",
            "The module 'lame_of_tests' cannot be imported: No module named 'no_",
        ),
        ("worse_of_tests:bus", "'worse_of_tests' cannot be imported: ZeroDivisionError: division"),
        ("mine_of_tests:nothing", "The module 'mine_of_tests' has no 'nothing'."),
        ("mine_of_tests:number", "mine_of_tests:number gives one int, and that is no transport"),
        ("mine_of_tests:broken", "could not be called: LookupError: no bus here."),
        ("leaving_of_tests:bus", "'leaving_of_tests' cannot be imported: SystemExit: 3."),
        ("mine_of_tests:leaves", "could not be called: SystemExit: no bus today."),
        ("mine_of_tests:Mute", "Mute does not tell its traits: LookupError: nobody knows."),
        ("mine_of_tests:Awaited", "mine_of_tests:Awaited is awaited"),
    ],
)
def test_what_is_no_transport_is_told_in_a_sentence(
    command: Command, named: str, sentence: str
) -> None:
    for verb in ("status", "watch"):
        said = command(verb, "j1", "--transport", named)
        assert said.code == Exit.UNUSABLE
        assert sentence in said.err
        assert said.err.count("\n") == 1


def test_what_does_not_go_together(command: Command) -> None:
    for arguments, sentence in (
        (("status", "j1", *BUS, "--url", "http://x.example"), "not allowed with argument"),
        (("watch", "j1", *BUS, "--resume", "live"), "--resume is for a service at --url"),
        (("run", "p", *BUS, "--max-time", "3"), "--max-time is for a program that is uploaded"),
        (("run", "p", *BUS), "Bus has no submit: it can only take up jobs by their ids"),
        (("run", "p", *BUS, "--detach"), "Bus has no submit"),
        (("status", "unknown", *BUS), "There is no job 'unknown' by mine_of_tests:Bus."),
        (("jobs", *BUS), "unrecognized arguments"),
    ):
        said = command(*arguments)
        assert said.code == Exit.UNUSABLE, said
        assert sentence in said.err


def test_the_way_back_names_the_transport(command: Command) -> None:
    said = command("watch", "runs", *BUS, "--timeout", "0.2")
    assert said.code == Exit.TIMEOUT
    assert "runtime-core watch runs --transport mine_of_tests:Bus" in said.err
