"""One program in one process on a Ray cluster: starts it, listens to it, writes the job's log.

The process is the one of the local service, `host`, with the same pipes; what is reported and what
is printed goes to fd 1, as `frame_writer` has it.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from typing import Any

from adapters.local.endings import GRACE, death, ran_too_long
from adapters.local.frames import BrokenReportError, FrameReader
from adapters.local.host import INTERIM as INTERIM_REPORT
from adapters.local.host import LENGTH
from adapters.local.host import RESULT as RESULT_REPORT
from adapters.ray.frame_writer import ERROR, INTERIM, RESULT, PrintedText, frames

# More than a pipe holds (at most 1 MiB on Linux), so that one read empties it.
_READ_SIZE = 1 << 20

# The seconds that Ray waits after SIGTERM before it sends SIGKILL, and where that is changed.
_STOP_WAIT = 3.0
_STOP_WAIT_VARIABLE = "RAY_JOB_STOP_WAIT_TIME_S"

# How much earlier the program is ended here, so that its last words are passed on.
_HEAD_START = 0.5


class HostedRun:
    """The process of one job, from its start until nothing of it is left.

    Args:
        nonce: what the frames of this job begin with.
        max_time: the longest execution time in seconds; None for any.
    """

    def __init__(self, nonce: str, max_time: int | None) -> None:
        self._nonce = nonce
        self._max_time = max_time
        self._frames = FrameReader()
        self._printed = PrintedText(nonce)
        self._published = 0
        self._said = bytearray()
        self._has_outcome = False
        self._exit_code = 1
        self._stopped: str | None = None
        self._broken = False
        self._too_long_at: float | None = None
        self._kill_at: float | None = None
        self._pid = 0
        self._report = -1
        self._output = -1
        self._wakeup = -1

    def run(
        self, host: str, directory: str, environment: dict[str, str], order: dict[str, Any]
    ) -> int:
        """Run the program until its end; give the exit code that says whether it has a result.

        Args:
            host: the path of the file that runs the program.
            directory: the program's working directory.
            environment: the program's environment.
            order: what `host` is to do.

        Raises:
            OSError: if the process cannot be started.
        """
        self._wakeup = _wake_on_signals()
        process = self._spawn(host, directory, environment)
        self._pid = process.pid
        if self._max_time is not None:
            self._too_long_at = time.monotonic() + self._max_time
        assert process.stdin is not None
        text = json.dumps(order).encode()
        with contextlib.suppress(OSError):  # it may die before it has read everything
            _write(LENGTH.pack(len(text)) + text, process.stdin.fileno())
        # Its stdin stays open: it is killed when nobody has the other end any more.
        returncode = self._attend(process)
        self._read_signals()
        # Not until the end of file: a daemon that left the group may hold the pipes open for ever.
        self._read_report()
        self._read_output()
        _write(self._printed.encode(b"", final=True))
        if not self._has_outcome:
            self._finish(ERROR, self._stopped or death(returncode))
        return self._exit_code

    def _spawn(
        self, host: str, directory: str, environment: dict[str, str]
    ) -> subprocess.Popen[bytes]:
        self._report, report = os.pipe()
        self._output, output = os.pipe()
        # -P: no directory of ours before the standard library's. A session of its own, since it
        # kills its group if this process dies. Ray stops this process and its descendants one by
        # one, so SIGTERM is not passed on: a program would be interrupted while it clears away.
        process = subprocess.Popen(  # noqa: S603 - this interpreter, our own file
            [sys.executable, "-P", host, str(report)],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            pass_fds=(report,),
            cwd=directory,
            env=environment,
            start_new_session=True,
        )
        os.close(report)
        os.close(output)
        os.set_blocking(self._report, False)
        os.set_blocking(self._output, False)
        return process

    def _attend(self, process: subprocess.Popen[bytes]) -> int:
        """Listen until the process has ended and nothing of its group is left."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._report, selectors.EVENT_READ, self._read_report)
            selector.register(self._output, selectors.EVENT_READ, self._read_output)
            selector.register(self._wakeup, selectors.EVENT_READ, self._read_signals)
            while not _has_ended(process):
                ready = selector.select(self._wait())
                self._read_signals()  # first: what a program says once it is stopped is no end
                for key, _ in ready:
                    if not key.data():
                        selector.unregister(key.fd)
                self._keep_time()
        # Before its number is free for others, where that can be.
        self._signal(signal.SIGKILL)
        return process.wait()

    # ---- its end -------------------------------------------------------------------------------

    def _wait(self) -> float | None:
        due = [at for at in (self._too_long_at, self._kill_at) if at is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _keep_time(self) -> None:
        now = time.monotonic()
        if self._too_long_at is not None and now >= self._too_long_at:
            assert self._max_time is not None
            self._too_long_at = None
            self._end(ran_too_long(self._max_time))
        if self._kill_at is not None and now >= self._kill_at:
            self._kill_at = None
            self._signal(signal.SIGKILL)

    def _read_signals(self) -> bool:
        received = _read(self._wakeup) or b""
        for number in (signal.SIGTERM, signal.SIGINT):
            if number in received:
                self._stopped = self._stopped or death(-number)
                self._kill_within(_stop_wait())
        return True

    def _end(self, reason: str) -> None:
        """End the program. The first reason counts; a result that was reported before stands."""
        self._stopped = self._stopped or reason
        self._signal(signal.SIGTERM)
        self._kill_within(GRACE)

    def _kill_within(self, delay: float) -> None:
        at = time.monotonic() + delay
        self._kill_at = at if self._kill_at is None else min(at, self._kill_at)

    def _signal(self, number: signal.Signals) -> None:
        # macOS says EPERM of a group that has only zombies left.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, number)

    # ---- what it says --------------------------------------------------------------------------

    def _read_report(self) -> bool:
        data = _read(self._report)
        if not data or self._broken:  # then nothing can be understood any more
            return data != b""
        # Whoever sees an interim result finds in the log what was printed before it.
        self._read_output()
        try:
            for kind, text in self._frames.feed(data):
                if kind == INTERIM_REPORT:
                    self._say(INTERIM, text)
                    self._published += 1
                elif self._stopped is None:
                    self._finish(RESULT if kind == RESULT_REPORT else ERROR, text)
        except BrokenReportError as error:
            self._broken = True
            self._end(str(error))
        self._flush()
        return True

    def _finish(self, kind: str, text: str) -> None:
        self._say(kind, text)
        self._flush()
        self._has_outcome = True
        self._exit_code = 0 if kind == RESULT else 1
        # What is left are exit handlers, and threads that the program forgot.
        self._kill_within(GRACE)

    def _say(self, kind: str, text: str) -> None:
        for frame in frames(self._nonce, self._published, kind, text):
            self._said += frame
            if len(self._said) >= _READ_SIZE:
                self._flush()

    def _flush(self) -> None:
        _write(self._said)
        self._said.clear()

    def _read_output(self) -> bool:
        data = _read(self._output)
        if data:
            _write(self._printed.encode(data))
        return data != b""


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    if hasattr(os, "waitid"):
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
    return process.poll() is not None  # macOS before Python 3.13


def _wake_on_signals() -> int:
    """Give the end of a pipe from which the numbers of signals can be read."""
    woken, wakes = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, _nothing)
    return woken


def _nothing(number: int, frame: object) -> None:
    """A handler, without which a number is not written."""


def _stop_wait() -> float:
    """Give the seconds after which the program has to be ended, before Ray ends this process."""
    try:
        wait = float(os.environ.get(_STOP_WAIT_VARIABLE, _STOP_WAIT))
    except ValueError:
        wait = _STOP_WAIT
    return max(wait - _HEAD_START, wait / 2)


def _read(fd: int) -> bytes | None:
    """Give what is there: None if nothing is, b"" if nothing more will be."""
    try:
        return os.read(fd, _READ_SIZE)
    except BlockingIOError:
        return None


def _write(data: bytes | bytearray, fd: int = 1) -> None:
    with memoryview(data) as whole:
        written = 0
        while written < len(whole):
            written += os.write(fd, whole[written:])
