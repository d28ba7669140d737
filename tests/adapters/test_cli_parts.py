"""What the command line is made of: arguments, programs, values on one line. No job is run."""

from __future__ import annotations

import io
import json
import math
import re
import signal
from argparse import Namespace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.cli import main
from adapters.cli.arguments import COMMANDS, parse
from adapters.cli.inputs import read_inputs
from adapters.cli.interrupts import Interrupts
from adapters.cli.job_ids import complete_job_ids
from adapters.cli.json_view import JsonView
from adapters.cli.options import TOKEN_VARIABLE, duration, size
from adapters.cli.outcome import CommandError, Exit
from adapters.cli.place import Place
from adapters.cli.program import Program, check_program
from adapters.cli.tagged import AsItCame
from adapters.cli.text import brief, pairs, printable, progress, standing
from adapters.cli.times import ago, days, lasting, sized
from adapters.local import records
from adapters.local.retention import RetentionRule
from adapters.local.store import Store

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
OF_A_JOB = ("watch", "status", "result", "logs", "cancel")
NEEDED = {"run": ["p.py"], "completion": ["bash"], "replay": ["f"]} | {
    name: ["j1"] for name in OF_A_JOB
}
MAIN = "def main(backend, user_messenger):\n    pass\n"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-1.5e3", -1500.0),
        ("true", True),
        ("null", None),
        ('"3"', "3"),
        ('"@file"', "@file"),
        ("[1, 2]", [1, 2]),
        ("plain words", "plain words"),
        ("a=b", "a=b"),
        ("", ""),
        ("{broken", "{broken"),
        ('{"__type__": "complex", "__value__": [1, 2]}', 1 + 2j),
    ],
)
def test_an_input_is_json_if_it_can_be_else_text(text: str, value: Any) -> None:
    assert read_inputs([f"x={text}"]) == {"x": value}


def test_an_input_can_come_from_a_json_file(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text('{"energies": [1.5, 2]}')
    assert read_inputs([f"x=@{file}", "y=1"]) == {"x": {"energies": [1.5, 2]}, "y": 1}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["samples"], "NAME=VALUE"),
        (["=3"], "NAME=VALUE"),
        (["two words=3"], "NAME=VALUE"),
        (["x=1", "x=2"], "'x' twice"),
        (["x=@missing.json"], "'missing.json' cannot be read: No such file"),
        (["x=@."], "cannot be read: Is a directory"),
        (["x=@text.json"], "'text.json' is not JSON"),
        (["x=@latin.json"], "'latin.json' is not UTF-8"),
        (['x={"__type__": "complex", "__value__": 1}'], "-i x: the value cannot be used"),
    ],
)
def test_a_wrong_input_gets_a_sentence(
    given: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.json").write_text("hello")
    Path("latin.json").write_bytes(b'"\xe9"')
    with pytest.raises(CommandError, match=says):
        read_inputs(given)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "say what to do"),
        (["walk"], "invalid choice: 'walk'"),
        (["run"], "required: PROGRAM"),
        (["run", "p.py", "--timeout", "0"], "a number of seconds greater than 0, not '0'"),
        (["run", "p.py", "--timeout", "nan"], "a number of seconds greater than 0, not 'nan'"),
        (["run", "p.py", "--token", "secret"], "--token is for a service at --url"),
        (["run", "p.py", "--url", "u", "--data", "d"], "not allowed with argument --url"),
        (["run", "p.py", "--max-time", "1.5"], "a whole number from 1 on, not '1.5'"),
        (["run", "p.py", "--detach", "--timeout", "3"], "--timeout has no meaning with --detach"),
        (["run", "p.py", "--tim", "3"], "unrecognized arguments: --tim"),
        (["watch"], "required: JOB"),
        (["jobs", "--limit", "0"], "a whole number from 1 on, not '0'"),
        (["jobs", "--pending", "--finished"], "not allowed with argument --pending"),
        (["prune", "--older-than", "7"], "an age like 90s, 30m, 12h, 7d or 2w, not '7'"),
        (["prune", "--keep-size", "lots"], "a size like 500M, 2G or 0, not 'lots'"),
        (["serve", "--port", "65536"], "a port from 0 to 65535, not '65536'"),
        (["serve", "--keep-days", "-1"], "a number of days"),
        (["completion", "tcsh"], "invalid choice: 'tcsh'"),
    ],
)
def test_wrong_arguments_get_a_sentence(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert says in said.err
    assert said.err.count("\n") == 1
    assert "secret" not in said.err


def test_the_token_is_the_option_or_the_environments_and_is_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "from-environment")
    place = Place.given(parse(["run", "p.py", "--url", "http://localhost:1"]))
    assert place.token == "from-environment"
    assert "from-environment" not in repr(place)
    assert Place.given(parse(["jobs", "--url", "u", "--token", "given"])).token == "given"


def test_the_way_back_holds_what_was_given_but_no_token() -> None:
    def way_back(*options: str) -> str:
        return Place.given(parse(["run", "p.py", *options])).command("watch", "j1")

    assert way_back() == "runtime-core watch j1"
    assert way_back("--data", "my jobs") == "runtime-core watch j1 --data 'my jobs'"
    assert way_back("--url", "http://h:1", "--token", "t") == (
        "runtime-core watch j1 --url http://h:1"
    )


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_help_and_version(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([option])
    assert ended.value.code == 0
    assert "runtime-core" in capsys.readouterr().out


def test_the_help_says_where_a_token_is_safe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    assert TOKEN_VARIABLE in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_fits_a_small_terminal(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert COMMANDS[command].ABOUT in said
    assert max(map(len, said.splitlines())) <= 80


def test_the_help_says_what_a_service_keeps_by_itself(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    rule = RetentionRule()
    assert f"(default: {days(rule.keep_seconds)})" in said
    assert f"(default: {sized(rule.keep_bytes).replace('GB', 'GiB')})" in said


def test_the_readme_says_which_commands_are_for_this_machine_alone() -> None:
    (named,) = re.findall(r"All but (.*?), which", README)
    alone = set(re.findall(r"`(\w+)`", named))
    assert alone <= set(COMMANDS)
    for command in COMMANDS:
        if command == "replay":
            continue  # it is for no service at all
        place = parse([command, *NEEDED.get(command, [])])
        takes_url = "url" in place and command != "prune"  # which only says why not
        assert takes_url is (command not in alone)


def test_the_readme_says_every_exit_code() -> None:
    (said,) = re.findall(r"They exit with (.*?)\.\n", README, re.DOTALL)
    assert [int(code) for code in re.findall(r"\d+", said)] == sorted(Exit)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (None, "There is no file or folder '.*p.py'"),
        ("def main(:\n", "is not Python: .* in line 1"),
        ("\nreturn 1\n", "is not Python: 'return' outside function in line 2"),
        ("x = '\0'", "is not Python"),
        ("x = 1\n", "has no main: a program needs a function main"),
        ("def other():\n    def main(): pass\n", "has no main"),
        ("", "has no main"),
        (b"# \xe9\n", "is not Python: it is not UTF-8"),
    ],
)
def test_what_is_no_program_gets_a_sentence(
    source: str | bytes | None, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "p.py"
    if source is not None:
        file.write_bytes(source.encode() if isinstance(source, str) else source)
    with pytest.raises(CommandError, match=says):
        check_program(str(file))
    assert main(["run", str(file)]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("runtime-core: ")
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_a_folder_without_main_is_no_program(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="has no main module: put a file"):
        check_program(str(tmp_path))


@pytest.mark.parametrize(
    "source",
    [
        MAIN,
        "try:\n    from fast import main\nexcept ImportError:\n    def main(b, m): pass\n",
        "main = lambda b, m: 1",
        "from somewhere import *",
        "import main",
        "\ufeff" + MAIN,
        "# \\d is not checked\nx = '\\d'\n" + MAIN,
    ],
)
def test_main_may_come_from_anywhere_at_the_top_level(source: str, tmp_path: Path) -> None:
    file = tmp_path / "p.py"
    file.write_text(source)
    assert check_program(str(file)) == Program(str(file))


def test_an_old_job_is_completed_by_the_beginning_of_its_id(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        program = store.add_program(records.Program("p", 5), b"")
        for job_id in ["old%_", *(f"new{number}" for number in range(30))]:
            store.add_job(records.Job("p", program.source, 5, id=job_id), "{}")
    given = Namespace(data=tmp_path)
    assert complete_job_ids("old", given) == {"old%_": "p, queued"}
    assert complete_job_ids("old%_", given) == {"old%_": "p, queued"}
    assert complete_job_ids("%", given) == complete_job_ids("OLD", given) == {}
    newest = [f"new{number}" for number in range(29, 9, -1)]
    assert list(complete_job_ids("", given)) == newest
    assert list(complete_job_ids("new2", given)) == [*newest[:10], "new2"]


def test_ctrl_c_is_heard_by_who_asks() -> None:
    with Interrupts() as interrupts:
        assert not interrupts.heard_one()
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)
        assert [interrupts.heard_one() for _ in range(3)] == [True, True, False]
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_the_third_ctrl_c_that_nobody_hears_interrupts() -> None:
    with Interrupts():
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_that_is_ignored_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            signal.raise_signal(signal.SIGINT)
            assert not interrupts.heard_one()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a": 1, "b": "two words"}, [("a", "1"), ("b", "two words")]),
        ({"progress": 0.5, "n": 1}, [("n", "1")]),
        ({"progress": 1.5}, [("progress", "1.5")]),
        ({"progress": 0.5}, []),
        ({}, [("", "{}")]),
        ({"a\x1bb": 1}, [("a\\x1bb", "1")]),
        ("text", [("", "text")]),
        ([1, 2], [("", "[1, 2]")]),
        ({"step": 3, "of": 20_000, "loss": 0.5}, [("step", "3/20,000"), ("loss", "0.5")]),
        ({"step": 3, "of": 2}, [("step", "3"), ("of", "2")]),
        ({"step": 1, "of": 2, "progress": 0.1}, [("step", "1"), ("of", "2")]),
        (None, [("", "None")]),
    ],
)
def test_an_interim_result_is_said_in_pairs(value: Any, said: list[tuple[str, str]]) -> None:
    assert pairs(value) == said


@pytest.mark.parametrize(
    ("value", "share"),
    [
        ({"progress": 0}, 0.0),
        ({"progress": 1}, 1.0),
        ({"progress": 0.25, "x": 1}, 0.25),
        ({"progress": True}, None),
        ({"progress": math.nan}, None),
        ({"progress": -0.1}, None),
        ({"progress": "0.5"}, None),
        ({}, None),
        (0.5, None),
        ({"step": 1, "of": 4}, 0.25),
        ({"step": 0, "of": 4.0}, 0.0),
        ({"step": 4, "of": 4}, 1.0),
        ({"step": 5, "of": 4}, None),
        ({"step": 0, "of": 0}, None),
        ({"step": -1, "of": 4}, None),
        ({"step": True, "of": 4}, None),
        ({"step": 1, "of": math.inf}, None),
        ({"step": math.nan, "of": 4}, None),
        ({"step": "1", "of": "4"}, None),
        ({"step": 1}, None),
        ({"step": 1, "of": 4, "progress": 0.5}, 0.5),
        ({"step": 1, "of": 4, "progress": 50}, 0.25),
    ],
)
def test_progress_is_a_number_from_0_to_1_or_a_step(value: Any, share: float | None) -> None:
    assert progress(value) == share


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (True, "True"),
        (2024, "2024"),
        (20_000_000, "20,000,000"),
        (-20_000, "-20,000"),
        (math.pi, "3.14159"),
        (1e-9 / 3, "3.33333e-10"),
        (math.inf, "inf"),
        ([math.pi] * 8, "[3.14159, 3.14159, 3.14159, 3.14159, 3.14159, 3.14159, ...]"),
        (1 + 2j, "(1+2j)"),
        ("", "''"),
        ("a\nb\x1b[31m", "'a\\nb\\x1b[31m'"),
    ],
)
def test_a_value_is_shown_in_short(value: Any, said: str) -> None:
    assert brief(value) == said


TAGGED = '{"__type__": "complex", "__value__": %s}'


@pytest.mark.parametrize(
    ("came", "printed"),
    [
        ('{"n":2, "x": 1.10}', '{"n":2, "x": 1.10}'),
        ("[NaN, Infinity, -Infinity]", '["NaN", "Infinity", "-Infinity"]'),
        (TAGGED % "[NaN,-Infinity]", TAGGED % '["NaN","-Infinity"]'),
        ('{"NaN": NaN, "a": "-Infinity"}', '{"NaN": "NaN", "a": "-Infinity"}'),
        (r'["\\", NaN, "\" NaN, \\\" NaN"]', r'["\\", "NaN", "\" NaN, \\\" NaN"]'),
        ("NaN", '"NaN"'),
        ("[1e400]", "[1e400]"),
        ('plain "text"\nof NaN', '"plain \\"text\\"\\nof NaN"'),
        ("[" * 600 + "NaN" + "]" * 600, "[" * 600 + '"NaN"' + "]" * 600),
    ],
    ids=["plain", "all", "tagged", "in texts", "quotes", "alone", "large", "no JSON", "deep"],
)
def test_a_result_is_passed_on_as_json_that_everybody_reads(came: str, printed: str) -> None:
    assert AsItCame.decode(came) == printed


def test_an_event_is_json_that_everybody_reads() -> None:
    out = io.StringIO()
    view = JsonView(out, io.StringIO())
    view.interim(1.0, {"progress": math.nan, "NaN": [math.inf, -math.inf, 'a " NaN']})
    view.result(2.0, math.nan)

    def refuse(word: str) -> None:
        raise AssertionError(word)

    interim, result = (
        json.loads(line, parse_constant=refuse) for line in out.getvalue().splitlines()
    )
    assert interim["value"] == {"progress": "NaN", "NaN": ["Infinity", "-Infinity", 'a " NaN']}
    assert result["value"] == "NaN"


@pytest.mark.parametrize("command", ["run", "watch", "result"])
def test_the_help_says_what_nan_is_in_json(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert 'texts "NaN"' in capsys.readouterr().out


def test_large_values_stay_short() -> None:
    np = pytest.importorskip("numpy")
    for value in ("x" * 10_000, 10**4000, list(range(10_000)), np.zeros((500, 500))):
        assert len(brief(value)) < 400
        assert "\n" not in brief(value)


def test_orders_to_the_terminal_are_escaped() -> None:
    assert printable("a\tb\n\x1b]0;title\x07\u202eé") == "a\tb\n\\x1b]0;title\\x07\\u202eé"


@pytest.mark.parametrize(
    ("position", "said"),
    [
        (1, "next in line"),
        (2, "2nd in line"),
        (3, "3rd in line"),
        (4, "4th in line"),
        (11, "11th in line"),
        (22, "22nd in line"),
        (112, "112th in line"),
    ],
)
def test_a_place_in_the_queue(position: int, said: str) -> None:
    assert standing(position) == said


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("90s", 90), ("30m", 1800), ("12h", 43200), ("7d", 604800), ("2W", 1209600), ("1.5h", 5400)],
)
def test_an_age_is_a_number_with_a_unit(given: str, seconds: float) -> None:
    assert duration(given) == seconds


@pytest.mark.parametrize(
    ("given", "count"),
    [("0", 0), ("500M", 500 * 2**20), ("2G", 2**31), ("1.5k", 1536), ("3GiB", 3 * 2**30)],
)
def test_a_size_is_a_number_of_bytes(given: str, count: int) -> None:
    assert size(given) == count


NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("age", "said"),
    [
        (timedelta(seconds=-5), "12:00 (0 s ago)"),
        (timedelta(seconds=59.9), "11:59 (59 s ago)"),
        (timedelta(minutes=61), "10:59 (1 h ago)"),
        (timedelta(hours=13), "2026-03-03 (13 h ago)"),
        (timedelta(days=40), "2026-01-23 (40 d ago)"),
    ],
)
def test_when_something_was(age: timedelta, said: str) -> None:
    assert ago(NOW - age, NOW) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-1, "0.0 s"),
        (2.34, "2.3 s"),
        (59.96, "1 min 00 s"),
        (245, "4 min 05 s"),
        (7620, "2 h 07 min"),
    ],
)
def test_how_long_something_took(seconds: float, said: str) -> None:
    assert lasting(seconds) == said


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 bytes"), (999, "999 bytes"), (1024, "1 kB"), (12_900_000, "12.3 MB"), (2**31, "2 GB")],
)
def test_a_size_is_said_in_short(count: int, said: str) -> None:
    assert sized(count) == said
