"""The command line as people use it: the real command, a real service, pipes and terminals."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import attrs
import pytest

from adapters import RuntimeService
from adapters.local.process import LocalServiceProcess
from runtime_core.states import JobState

COMMAND = (sys.executable, "-m", "adapters.cli")
ROWS, COLUMNS = 30, 80

COUNT = """
    def main(backend, user_messenger, n=3, text=None):
        user_messenger.publish("hello")
        for i in range(1, n + 1):
            user_messenger.publish({"progress": i / n, "energy": -1.0 / i, "shots": i * 10000})
        return {"n": n, "text": text}
"""
FAIL = """
    def main(backend, user_messenger):
        user_messenger.publish("before")
        raise ValueError("it went \\x1b[31mwrong")
"""
SLEEP = """
    import os, time
    def main(backend, user_messenger):
        user_messenger.publish([os.getpid(), os.getppid()])
        time.sleep(60)
"""


Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a program and gives the name of its file."""

    def write(source: str) -> str:
        file = tmp_path / "prog.py"
        file.write_text(textwrap.dedent(source))
        return str(file)

    return write


@pytest.fixture(scope="module")
def remote() -> Iterator[LocalServiceProcess]:
    """A service that is there before and after the command."""
    with LocalServiceProcess.start(2) as service:
        yield service


@pytest.fixture
def known(remote: LocalServiceProcess) -> Iterator[RuntimeService]:
    with RuntimeService(remote.url, remote.access_token, resume="offset") as service:
        yield service


def environment(token: str | None = None) -> dict[str, str]:
    plain = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "RUNTIME_CORE_TOKEN")}
    secret = {} if token is None else {"RUNTIME_CORE_TOKEN": token}
    return plain | {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"} | secret


def run(*arguments: str, token: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "run", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        env=environment(token),
    )


def start(*arguments: str, token: str | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "run", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(token),
    )


def read_until(process: subprocess.Popen[str], pattern: str) -> tuple[str, re.Match[str]]:
    """Read lines of stdout until one matches."""
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if match := re.search(pattern, line):
            return seen, match
    raise AssertionError(f"no {pattern!r} in {seen!r}")


def interrupt(process: subprocess.Popen[str]) -> tuple[str, str]:
    process.send_signal(signal.SIGINT)
    return process.communicate(timeout=15)


def assert_gone(pids: Sequence[int]) -> None:
    """All these processes end within a few seconds."""
    deadline = time.monotonic() + 5
    while alive := [pid for pid in pids if is_alive(pid)]:
        assert time.monotonic() < deadline, f"still there: {alive}"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# ---- without a terminal ------------------------------------------------------------------------


def test_a_program_is_run_and_told_line_by_line(write: Write, tmp_path: Path) -> None:
    (tmp_path / "n.json").write_text("4")
    ended = run(write(COUNT), "-i", f"n=@{tmp_path}/n.json", "-i", "text=two words")
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    lines = ended.stdout.splitlines()
    assert re.fullmatch(r"prog-[0-9a-f]{12}: job [0-9a-f]{24} on this machine", lines.pop(0))
    said = [re.sub(r"^ +\d+\.\d s  ", "", line) for line in lines]
    # A job this short may have ended before the service was asked, and is then not said to run.
    assert [word for word in said if word not in ("queued", "running")] == [
        "hello",
        " 25%  energy=-1  shots=10,000",
        " 50%  energy=-0.5  shots=20,000",
        " 75%  energy=-0.333333  shots=30,000",
        "100%  energy=-0.25  shots=40,000",
        "done",
        "{'n': 4, 'text': 'two words'}",
    ]


def test_of_a_failed_job_the_services_traceback_is_shown(write: Write) -> None:
    ended = run(write(FAIL))
    assert ended.returncode == 1
    assert re.search(r"before\n.* s  failed\n$", ended.stdout)
    assert ended.stderr.startswith('Traceback (most recent call last):\n  File "program.py", line')
    assert ended.stderr.endswith("ValueError: it went \\x1b[31mwrong\n")
    assert "adapters" not in ended.stderr


def test_inputs_that_main_does_not_take_are_the_jobs_error(write: Write) -> None:
    ended = run(write(COUNT), "-i", "m=4")
    assert ended.returncode == 1
    assert ended.stderr == (
        "main() does not take these inputs: main() got an unexpected keyword argument 'm'\n"
    )


def test_at_the_timeout_the_job_ends(write: Write) -> None:
    ended = run(write(SLEEP), "--timeout", "2.5")
    assert ended.returncode == 4
    assert ended.stderr == "runtime-core: timeout after 2.5 s: the job was cancelled.\n"
    assert ended.stdout.endswith("cancelled\n")
    match = re.search(r"\[(\d+), (\d+)\]", ended.stdout)
    assert match
    assert_gone([int(pid) for pid in match.groups()])


def test_ctrl_c_cancels_the_job_and_leaves_no_process(write: Write) -> None:
    process = start(write(SLEEP))
    _, pids = read_until(process, r"\[(\d+), (\d+)\]")
    out, err = interrupt(process)
    assert process.returncode == 130
    assert out.endswith("cancelled\n")
    assert err == "runtime-core: interrupted: the job was cancelled.\n"
    assert_gone([int(pid) for pid in pids.groups()])


def test_a_reader_that_goes_away_is_no_error(write: Write) -> None:
    with start(write(SLEEP)) as process:
        _, pids = read_until(process, r"\[(\d+), (\d+)\]")
        assert process.stdout is not None
        process.stdout.close()
        os.kill(int(pids[1]), signal.SIGKILL)  # now there is something to write
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert process.returncode == 141
    assert_gone([int(pids[2])])


# ---- a service somewhere else ------------------------------------------------------------------


def test_a_service_that_cannot_be_reached_gets_a_sentence(write: Write) -> None:
    ended = run(write(COUNT), "--url", "http://127.0.0.1:9")
    assert ended.returncode == 2
    assert ended.stderr.startswith("runtime-core: ")
    assert "refused" in ended.stderr
    assert ended.stderr.endswith("Does a service run at http://127.0.0.1:9?\n")
    assert ended.stderr.count("\n") == 1


def test_what_is_no_url_gets_a_sentence(write: Write) -> None:
    ended = run(write(COUNT), "--url", "127.0.0.1:9")
    assert ended.returncode == 2
    assert ended.stderr.startswith("runtime-core: The service's URL must start with http://")


def test_a_wrong_token_gets_a_sentence(remote: LocalServiceProcess, write: Write) -> None:
    ended = run(write(COUNT), "--url", remote.url, token="wrong")
    assert ended.returncode == 2
    assert "401" in ended.stderr
    assert "RUNTIME_CORE_TOKEN" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_program_that_is_there_already_is_run_again(
    remote: LocalServiceProcess, write: Write
) -> None:
    for _ in range(2):
        ended = run(write(COUNT), "--url", remote.url, token=remote.access_token)
        assert ended.returncode == 0, ended.stderr
        assert f"at {remote.url}\n" in ended.stdout
        assert ended.stdout.endswith("{'n': 3, 'text': None}\n")


@pytest.mark.parametrize("how", ["Ctrl-C", "timeout"])
def test_a_job_somewhere_else_goes_on(
    how: str, remote: LocalServiceProcess, known: RuntimeService, write: Write
) -> None:
    limit = ["--timeout", "2.5"] if how == "timeout" else []
    process = start(write(SLEEP), "--url", remote.url, *limit, token=remote.access_token)
    seen, _ = read_until(process, r"\[\d+, \d+\]")
    found = re.search(r"job ([0-9a-f]+) at", seen)
    assert found
    _, err = process.communicate(timeout=15) if limit else interrupt(process)
    assert process.returncode == (4 if limit else 130)
    assert "the job goes on." in err
    assert f"RuntimeService('{remote.url}', token).job('{found[1]}').result()" in err
    assert remote.access_token not in err
    with known.job(found[1]) as job:
        assert job.status() is JobState.RUNNING
        job.cancel()
        job.wait_for_final_state(timeout=10)


def test_a_job_that_somebody_else_cancels(
    remote: LocalServiceProcess, known: RuntimeService, write: Write
) -> None:
    process = start(write(SLEEP), "--url", remote.url, token=remote.access_token)
    seen, _ = read_until(process, r"\[\d+, \d+\]")
    found = re.search(r"job ([0-9a-f]+) at", seen)
    assert found
    with known.job(found[1]) as job:
        job.cancel()
    out, err = process.communicate(timeout=15)
    assert process.returncode == 3
    assert out.endswith("cancelled\n")
    assert err == ""


# ---- in a terminal -----------------------------------------------------------------------------


@attrs.define
class Screen:
    """What a terminal shows: as much of one as the command's output needs."""

    lines: list[str] = attrs.Factory(lambda: [""])
    row: int = 0
    column: int = 0
    cursor: bool = True

    def feed(self, text: str) -> None:
        for token in re.findall(r"\x1b\[[?0-9;]*[A-Za-z]|[^\x1b]", text):
            self._take(token)

    def _take(self, token: str) -> None:
        if token == "\r":
            self.column = 0
        elif token == "\n":
            self.row += 1
            self.lines += [""] * (self.row + 1 - len(self.lines))
        elif token == "\x1b[2K":
            self.lines[self.row] = ""
        elif token.endswith("A") and token[0] == "\x1b":
            self.row -= int(token[2:-1] or 1)
        elif token in ("\x1b[?25l", "\x1b[?25h"):
            self.cursor = token.endswith("h")
        elif token[0] == "\x1b":
            assert token.endswith("m"), token
        else:
            if self.column == COLUMNS:
                self._take("\r")
                self._take("\n")
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + token + line[self.column + 1 :]
            self.column += 1


def run_in_terminal(
    command: Sequence[str], interrupt_at: str | None = None
) -> tuple[int, str, Screen]:
    """Give the exit code, all that was written, and what the screen shows at the end."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (ROWS, COLUMNS))
    env = environment()
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    data = b""
    deadline = time.monotonic() + 30
    while select.select([ours], [], [], max(0.0, deadline - time.monotonic()))[0]:
        try:
            part = os.read(ours, 65536)
        except OSError:  # EIO: the other end is closed
            break
        if not part:
            break
        data += part
        if interrupt_at is not None and re.search(interrupt_at.encode(), data):
            process.send_signal(signal.SIGINT)
            interrupt_at = None
    os.close(ours)
    text = data.decode()
    screen = Screen()
    screen.feed(text)
    return process.wait(10), text, screen


def test_a_terminal_shows_progress_and_keeps_the_history(write: Write) -> None:
    code, text, screen = run_in_terminal([*COMMAND, "run", write(COUNT), "-i", f"text={'x' * 90}"])
    assert code == 0
    assert "starting a service" in text
    assert "━" in text
    assert screen.cursor
    said = [re.sub(r"^ +\d+\.\d s  ", "", line.rstrip()) for line in screen.lines]
    assert re.fullmatch(r"prog-[0-9a-f]{12}  job [0-9a-f]{24} on this machine", said.pop(0))
    assert [word for word in said if word not in ("queued", "running")] == [
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
        "",
    ]


def test_a_long_interim_result_goes_on_below_itself(write: Write) -> None:
    words = " ".join(["word"] * 30)
    source = f"def main(backend, user_messenger):\n    user_messenger.publish({words!r})\n"
    code, _, screen = run_in_terminal([*COMMAND, "run", write(source)])
    assert code == 0
    shown = [line.strip() for line in screen.lines if "word" in line]
    assert len(shown) == 3
    assert " ".join(shown).endswith(words)


def test_ctrl_c_in_a_terminal(write: Write) -> None:
    code, text, screen = run_in_terminal([*COMMAND, "run", write(SLEEP)], r"\[\d+, \d+\]")
    assert code == 130
    assert screen.cursor
    assert screen.lines[-3].endswith("cancelled")
    assert screen.lines[-2:] == ["runtime-core: interrupted: the job was cancelled.", ""]
    match = re.search(r"\[(\d+), (\d+)\]", text)
    assert match
    assert_gone([int(pid) for pid in match.groups()])


@pytest.mark.parametrize(("module", "extra"), [("rich", "cli"), ("starlette", "local")])
def test_a_missing_extra_is_named(module: str, extra: str, write: Write) -> None:
    script = (
        f"import sys; sys.modules[{module!r}] = None; "
        "from adapters.cli import main; sys.exit(main())"
    )
    code, _, screen = run_in_terminal([sys.executable, "-c", script, "run", write(COUNT)])
    said = "".join(screen.lines)
    assert code == 2
    assert f"pip install 'runtime-core[{extra}]'" in said
    assert "Traceback" not in said


def test_rich_is_imported_for_a_terminal_only() -> None:
    script = "import sys, adapters, adapters.cli.run; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], timeout=30).returncode == 0
