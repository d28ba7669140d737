"""The command line in a terminal: what the screen shows, and Ctrl-C there."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli_runs import COLUMNS, COMMAND, COUNT, FAIL, SLEEP, assert_gone, call, press, run_in_terminal

from adapters.local.process import LocalServiceProcess

Write = Callable[[str], str]

STEPS = """
def main(backend, user_messenger):
    for step in range(1, 4):
        user_messenger.publish({"step": step, "of": 4, "loss": 1 / step})
    return list(range(40))
"""
COLOURS = """
def main(backend, user_messenger):
    print("\\x1b[32mgreen\\x1b[0m\\x1b]0;title\\x07", end="")
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a program and gives the name of its file."""

    def write(source: str) -> str:
        file = tmp_path / "prog.py"
        file.write_text(source)
        return str(file)

    return write


@pytest.fixture(scope="module")
def home() -> Iterator[LocalServiceProcess]:
    with LocalServiceProcess.start(2) as process:
        yield process


def history(lines: list[str]) -> list[str]:
    """The lines of the screen without the times and without the states that pass quickly."""
    said = [re.sub(r"^ +\d+\.\d s  ", "", line.rstrip()) for line in lines]
    while not said[-1]:
        said.pop()
    return [word for word in said if word not in ("queued", "running")]


def test_a_terminal_shows_progress_and_keeps_the_history(
    home: LocalServiceProcess, write: Write
) -> None:
    text = f"text={'x' * 90}"
    shown = run_in_terminal([*COMMAND, "run", write(COUNT), "--data", home.data, "-i", text])
    assert shown.code == 0
    assert "finding the service" in shown.text
    assert "━" in shown.text
    assert shown.screen.cursor
    head, *said = history(shown.screen.lines)
    assert re.fullmatch(r"prog-[0-9a-f]{12}  job [0-9a-f]{24} on this machine", head)
    assert said == [
        "hello",
        " 33%  energy=-1  shots=10,000",
        " 66%  energy=-0.5  shots=20,000",
        "100%  energy=-0.333333  shots=30,000",
        "done",
        "{",
        "    'n': 3,",
        "    'text':",
        "'" + "x" * 79,
        "x" * 11 + "'",
        "}",
    ]


def test_steps_are_progress_too(home: LocalServiceProcess, write: Write) -> None:
    shown = run_in_terminal([*COMMAND, "run", write(STEPS), "--data", home.data])
    assert "━" in shown.text
    assert history(shown.screen.lines)[1:4] == [
        " 25%  step=1/4  loss=1",
        " 50%  step=2/4  loss=0.5",
        " 75%  step=3/4  loss=0.333333",
    ]


def test_a_long_interim_result_goes_on_below_itself(
    home: LocalServiceProcess, write: Write
) -> None:
    words = " ".join(["word"] * 30)
    source = f"def main(backend, user_messenger):\n    user_messenger.publish({words!r})\n"
    shown = run_in_terminal([*COMMAND, "run", write(source), "--data", home.data])
    assert shown.code == 0
    lines = [line.strip() for line in shown.screen.lines if "word" in line]
    assert len(lines) == 3
    assert " ".join(lines).endswith(words)


def test_a_failed_job_in_a_terminal(home: LocalServiceProcess, write: Write) -> None:
    shown = run_in_terminal([*COMMAND, "run", write(FAIL), "--data", home.data])
    assert shown.code == 1
    said = history(shown.screen.lines)
    assert said[1:4] == ["before", "failed", "Traceback (most recent call last):"]
    assert said[-1] == "ValueError: it went \\x1b[31mwrong"
    assert shown.screen.cursor


def test_the_place_in_the_queue_is_in_the_line_that_is_alive(write: Write, tmp_path: Path) -> None:
    until = tmp_path / "until"
    given = ["run", write(SLEEP), "-i", f"until={until}"]
    with LocalServiceProcess.start(1) as lone:
        call(*given, "--data", lone.data, "--detach")
        shown = run_in_terminal(
            [*COMMAND, *given, "--data", lone.data],
            (r"queued, next in line", lambda _: until.touch()),
        )
    assert shown.code == 0
    assert not any("in line" in line for line in shown.screen.lines)  # it is no history
    assert history(shown.screen.lines)[-2:] == ["done", "slept"]


def test_ctrl_c_in_a_terminal_leaves_the_job(home: LocalServiceProcess, write: Write) -> None:
    command = [*COMMAND, "run", write(SLEEP), "--data", str(home.data)]
    shown = run_in_terminal(command, (r"\[\d+\]", press))
    assert shown.code == 130
    assert shown.screen.cursor
    found = re.search(r"job ([0-9a-f]{24}) goes on", shown.text)
    assert found
    assert [line.rstrip() for line in shown.screen.lines if "Ctrl-C" in line] == [
        "runtime-core: leaving, the job goes on: Ctrl-C again within 2 s cancels it"
    ]
    # The way back is the last thing on the screen.
    assert "".join(shown.screen.lines).endswith(
        f"    runtime-core watch {found[1]} --data {home.data}"
    )
    assert call("cancel", found[1], "--data", home.data).stdout == "cancelled\n"


def test_ctrl_c_twice_in_a_terminal_cancels_the_job(
    home: LocalServiceProcess, write: Write
) -> None:
    command = [*COMMAND, "run", write(SLEEP), "--data", str(home.data)]
    shown = run_in_terminal(command, (r"\[\d+\]", press), ("Ctrl-C again", press))
    assert shown.code == 3
    assert shown.screen.cursor
    assert history(shown.screen.lines)[-2:] == [
        "runtime-core: cancelling the job",
        "cancelled",
    ]
    pid = re.search(r"\[(\d+)\]", shown.text)
    assert pid
    assert_gone(int(pid[1]))


def test_a_terminal_gets_its_cursor_back_at_the_end_of_the_process(
    home: LocalServiceProcess, write: Write
) -> None:
    command = [*COMMAND, "run", write(SLEEP), "--data", str(home.data)]
    shown = run_in_terminal(command, (r"\[\d+\]", lambda process: process.terminate()))
    assert shown.code == 128 + signal.SIGTERM
    assert shown.screen.cursor
    found = re.search(r"job ([0-9a-f]{24})", shown.text)
    assert found
    assert call("cancel", found[1], "--data", home.data).stdout == "cancelled\n"


def test_what_cannot_be_run_leaves_the_terminal_as_it_was(write: Write) -> None:
    shown = run_in_terminal([*COMMAND, "run", write(COUNT), "--url", "http://127.0.0.1:9"])
    assert shown.code == 2
    assert shown.screen.cursor
    assert shown.screen.lines[0].startswith("runtime-core: POST /programs at 127.0.0.1:9: ")
    assert "Traceback" not in shown.text


def test_a_table_of_jobs_is_as_wide_as_the_terminal(
    home: LocalServiceProcess, tmp_path: Path
) -> None:
    program = tmp_path / "a_program_with_quite_a_long_name.py"
    program.write_text(COUNT)
    assert call("run", program, "--data", home.data).returncode == 0
    shown = run_in_terminal([*COMMAND, "jobs", "--data", home.data])
    assert shown.code == 0
    assert max(len(line.rstrip()) for line in shown.screen.lines) <= COLUMNS
    assert re.search(r"[0-9a-f]{24}  a_program\w*…  done ", shown.screen.lines[1])


def test_a_log_cannot_give_orders_to_the_terminal(home: LocalServiceProcess, write: Write) -> None:
    job = call("run", write(COLOURS), "--data", home.data, "--detach").stdout.strip()
    call("result", job, "--data", home.data)
    shown = run_in_terminal([*COMMAND, "logs", job, "--data", home.data])
    assert shown.text == "\x1b[32mgreen\x1b[0m\\x1b]0;title\\x07\r\n"


@pytest.mark.parametrize(("module", "extra"), [("rich", "cli"), ("starlette", "local")])
def test_a_missing_extra_is_named(module: str, extra: str, write: Write, tmp_path: Path) -> None:
    script = (
        f"import sys; sys.modules[{module!r}] = None; "
        "from adapters.cli import main; sys.exit(main())"
    )
    data = str(tmp_path / "data")
    shown = run_in_terminal([sys.executable, "-c", script, "run", write(COUNT), "--data", data])
    said = "".join(shown.screen.lines)
    assert shown.code == 2
    assert f"pip install 'runtime-core[{extra}]'" in said
    assert "Traceback" not in said


def test_without_argcomplete_completion_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['argcomplete'] = sys.modules['argcomplete.shell_integration'] = "
        "None; from adapters.cli import main; sys.exit(main(['completion', 'bash']))"
    )
    command = [sys.executable, "-c", script]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        "runtime-core: Completion needs argcomplete: "
        "install it with `pip install 'runtime-core[cli]'`.\n"
    )
