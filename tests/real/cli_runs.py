"""The real command in processes of its own: with pipes, and in a terminal."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import pytest
from conditions import PATIENCE, eventually

from adapters.cli import main

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
def main(backend, user_messenger, until=None):
    print("asleep")
    user_messenger.publish([os.getpid()])
    while until is None or not os.path.exists(until):
        time.sleep(0.02)
    print("awake")
    return "slept"
"""
STUBBORN = """
import os, signal, time
def main(backend, user_messenger):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    user_messenger.publish([os.getpid()])
    time.sleep(60)
"""


def environment(**more: str) -> dict[str, str]:
    hidden = ("NO_COLOR", "RUNTIME_CORE_TOKEN", "COLUMNS")
    plain = {name: value for name, value in os.environ.items() if name not in hidden}
    return plain | {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"} | more


def cli(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=30,
        env=environment(**variables),
    )


def call(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Do what the command does, in this process: quicker where the process itself is no matter."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.delenv("RUNTIME_CORE_TOKEN", raising=False)
        for name, value in variables.items():
            patch.setenv(name, value)
        code = main(list(map(str, arguments)))
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def start(*arguments: str | Path, **variables: str) -> subprocess.Popen[str]:
    """Start the command."""
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**variables),
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


def interrupt(process: subprocess.Popen[str], times: int = 1) -> None:
    """Press Ctrl-C; the next time when the command has said that it heard the one before."""
    assert process.stderr is not None
    for press in range(times):
        if press:
            process.stderr.readline()
        process.send_signal(signal.SIGINT)


def assert_gone(*pids: int) -> None:
    """All these processes end within a few seconds."""
    assert eventually(lambda: not any(map(is_alive, pids)))


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


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


@attrs.frozen
class Shown:
    """What a command in a terminal came to."""

    code: int
    """Its exit code."""
    text: str
    """All that it wrote, with the orders to the terminal."""
    screen: Screen
    """What the terminal shows at the end."""


def run_in_terminal(
    command: Sequence[str | Path],
    *steps: tuple[str, Callable[[subprocess.Popen[bytes]], object]],
) -> Shown:
    """Run a command in a terminal; each step is done once its pattern is in what came since."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (ROWS, COLUMNS))
    env = environment()
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    data, since, left = b"", 0, list(steps)
    deadline = time.monotonic() + 2 * PATIENCE
    while select.select([ours], [], [], max(0.0, deadline - time.monotonic()))[0]:
        try:
            part = os.read(ours, 65536)
        except OSError:  # EIO: the other end is closed
            break
        if not part:
            break
        data += part
        if left and (match := re.compile(left[0][0].encode()).search(data, since)):
            since = match.end()
            left.pop(0)[1](process)
    os.close(ours)
    text = data.decode()
    assert not left, f"no {left[0][0]!r} in {text!r}"
    screen = Screen()
    screen.feed(text)
    return Shown(process.wait(PATIENCE), text, screen)


def press(process: subprocess.Popen[bytes]) -> None:
    """A step: press Ctrl-C."""
    process.send_signal(signal.SIGINT)
