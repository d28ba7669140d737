"""What the command line is made of: arguments, programs, values on one line. No job is run."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest

from adapters.cli import main
from adapters.cli.arguments import TOKEN_VARIABLE, parse, read_inputs
from adapters.cli.outcome import CommandError
from adapters.cli.program import read_program
from adapters.cli.text import brief, pairs, printable, progress

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
        (["run"], "required: PROGRAM.py"),
        (["run", "p.py", "--timeout", "0"], "a number of seconds greater than 0, not '0'"),
        (["run", "p.py", "--timeout", "nan"], "a number of seconds greater than 0, not 'nan'"),
        (["run", "p.py", "--token", "secret"], "--token is for a service at --url"),
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
    options = parse(["run", "p.py", "--url", "http://localhost:1"])
    assert options.token == "from-environment"
    assert "from-environment" not in repr(options)
    assert parse(["run", "p.py", "--url", "u", "--token", "given"]).token == "given"


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
    said = capsys.readouterr().out
    assert TOKEN_VARIABLE in said
    assert max(map(len, said.splitlines())) <= 80


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (None, "There is no file '.*p.py'"),
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
        read_program(file)
    assert main(["run", str(file)]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("runtime-core: ")
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_a_folder_is_no_program(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be read: Is a directory"):
        read_program(tmp_path)


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
    assert "\n" in read_program(file).source


def test_a_programs_name_changes_with_its_content_only(tmp_path: Path) -> None:
    first, second = tmp_path / "ground état.v2.py", tmp_path / ("é" * 50 + ".py")
    first.write_text(MAIN)
    second.write_text(MAIN)
    name = read_program(first).name
    assert re.fullmatch(r"ground-tat-v2-[0-9a-f]{12}", name)
    assert len(name) <= 64
    assert name == read_program(first).name
    assert read_program(second).name.startswith("program-")
    first.write_text(MAIN + "\n")
    assert read_program(first).name != name


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
    ],
)
def test_progress_is_a_number_from_0_to_1(value: Any, share: float | None) -> None:
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


def test_large_values_stay_short() -> None:
    np = pytest.importorskip("numpy")
    for value in ("x" * 10_000, 10**4000, list(range(10_000)), np.zeros((500, 500))):
        assert len(brief(value)) < 400
        assert "\n" not in brief(value)


def test_orders_to_the_terminal_are_escaped() -> None:
    assert printable("a\tb\n\x1b]0;title\x07\u202eé") == "a\tb\n\\x1b]0;title\\x07\\u202eé"
