"""One program in one process: starts it, listens to it, ends it, and says how it went."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from adapters.local import host
from adapters.local.endings import GRACE, death, ran_too_long
from adapters.local.frames import BrokenReportError, FrameReader
from adapters.local.processes import identity_of
from adapters.local.records import Job, JobStatus
from adapters.local.store import Store
from adapters.local.watchers import Watchers

# More than a pipe holds (at most 1 MiB on Linux), so that one read empties it.
_READ_SIZE = 1 << 20

# Output is stored after that many seconds, or from that many bytes on: a program may print a
# thousand lines a second.
_LOG_DELAY = 0.1
_LOG_BYTES = 1 << 18

# Seconds after which the end of a job is stored again, when that failed.
_STORE_DELAY = 1.0

_log = logging.getLogger(__name__)


class ProgramRun:
    """The process of one job, from its start until nothing of it is left.

    Call `start` once; `on_end` is called once after that, when the process group is gone, its
    output is read and the job's final status is stored. Belongs to the event loop's thread.

    Everything is stored before anyone is told: what a reader has seen is there after any crash.
    """

    def __init__(
        self,
        job: Job,
        store: Store,
        directory: Path,
        watchers: Watchers,
        on_end: Callable[[ProgramRun], None],
    ) -> None:
        self.job = job
        self._store = store
        self._directory = directory
        self._watchers = watchers
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._frames = FrameReader()
        self._timers: list[asyncio.TimerHandle] = []
        self._outcome: tuple[JobStatus, str] | None = None
        self._stopped: tuple[JobStatus, str | None] | None = None
        self._closing = False
        self._broken = False
        self._published = 0
        self._printed = bytearray()
        self._logged = 0
        self._log_timer: asyncio.TimerHandle | None = None
        self._pid = 0
        self._report = -1
        self._output = -1
        self._lifeline = -1

    def start(self) -> None:
        """Start the process.

        Raises:
            OSError, ValueError: if the machine does not allow one more, or not this one; nothing is
                left behind.
            sqlite3.Error: if it cannot be stored that the job runs; nothing is left behind either.
        """
        order = self._order()
        self._directory.mkdir(mode=0o700)
        try:
            process = self._spawn()
        except (OSError, ValueError):
            shutil.rmtree(self._directory, ignore_errors=True)
            raise
        self._pid = process.pid
        assert process.stdin is not None
        self._lifeline = process.stdin.fileno()
        try:
            # Before it has its order: no process ever runs a program that the store does not know.
            self.job = self._store.start_job(self.job, identity_of(process.pid))
        except sqlite3.Error:
            self._undo(process)
            raise
        self._watchers.wake(self.job.id)
        self._loop.add_reader(self._report, self._read_report)
        self._loop.add_reader(self._output, self._read_output)
        cost = self.job.cost
        self._timers.append(
            self._loop.call_later(cost, self.stop, JobStatus.RAN_TOO_LONG, ran_too_long(cost))
        )
        attendant = threading.Thread(target=self._attend, args=(process, order), daemon=True)
        try:
            attendant.start()
        except RuntimeError as error:
            self._stop_listening()
            self._undo(process)
            raise OSError(f"{error}") from error

    def close(self, reason: str) -> None:
        """End the job because the service ends; it has failed for that reason.

        If that cannot be stored it is not tried for ever: the next service finds the job.
        """
        self._closing = True
        self.stop(JobStatus.FAILED, reason)

    def stop(self, status: JobStatus, result: str | None = None) -> None:
        """End the process group: SIGTERM now, SIGKILL after the grace. The first reason counts.

        A result that had been reported before stands.
        """
        if self._stopped is None:
            self._stopped = (status, result)
            self._signal(signal.SIGTERM)
            self._timers.append(self._loop.call_later(GRACE, self._signal, signal.SIGKILL))

    def forget(self) -> None:
        """In the child of a fork: let go of the program, which belongs to the parent.

        It is ended when nobody holds its stdin any more, so the child must not.
        """
        if self._lifeline >= 0:
            null = os.open(os.devnull, os.O_WRONLY)
            # Not closed: the number belongs to an object that closes it, maybe much later.
            os.dup2(null, self._lifeline, inheritable=False)
            os.close(null)

    def _spawn(self) -> subprocess.Popen[bytes]:
        source = self._store.source(self.job.source)
        (self._directory / host.program_file(source)).write_bytes(source)
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            self._report, report = os.pipe()
            ours.callback(os.close, self._report)
            theirs.callback(os.close, report)
            self._output, output = os.pipe()
            ours.callback(os.close, self._output)
            theirs.callback(os.close, output)
            # -P: no directory of ours before the standard library's.
            process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own file
                [self.job.python or sys.executable, "-P", host.__file__, str(report)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                pass_fds=(report,),
                cwd=self._directory,
                env=self._environment(),
                start_new_session=True,
            )
            ours.pop_all()
        os.set_blocking(self._report, False)
        os.set_blocking(self._output, False)
        return process

    def _environment(self) -> dict[str, str]:
        environment = {**os.environ, host.JOB_VARIABLE: self.job.id}
        if self.job.python:
            environment["PYTHONPATH"] = self.job.python_path
        return environment

    def _undo(self, process: subprocess.Popen[bytes]) -> None:
        """End a process that has not got its order."""
        process.kill()
        process.communicate()
        os.close(self._report)
        os.close(self._output)
        shutil.rmtree(self._directory, ignore_errors=True)

    def _order(self) -> bytes:
        params = self._store.params(self.job)
        order = {
            "backend": self.job.backend,
            "params": params.decode(),
            "log_level": self.job.log_level,
        }
        return json.dumps(order).encode()

    def _attend(self, process: subprocess.Popen[bytes], order: bytes) -> None:
        """Give the process its order, await its end, clear away. In a thread of its own."""
        assert process.stdin is not None
        with contextlib.suppress(OSError):  # it may die before it has read everything
            process.stdin.write(host.LENGTH.pack(len(order)) + order)
            process.stdin.flush()
        if hasattr(os, "waitid"):
            # The group is killed before its number is free for others. In a process of somebody
            # else the child may be collected already: by os.wait(), or as SIGCHLD is ignored.
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            self._signal(signal.SIGKILL)
            returncode = process.wait()
        else:
            # macOS before Python 3.13: the number would have to come round within microseconds.
            returncode = process.wait()
            self._signal(signal.SIGKILL)
        self._loop.call_soon_threadsafe(self._ended, returncode)
        self._lifeline = -1
        with contextlib.suppress(OSError):
            process.stdin.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _signal(self, number: signal.Signals) -> None:
        # macOS says EPERM of a group that has only zombies left.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, number)

    def _read_report(self) -> None:
        data = self._read(self._report)
        if self._broken:
            return  # nothing can be understood any more
        texts: list[str] = []
        try:
            for kind, text in self._frames.feed(data):
                if kind == host.INTERIM:
                    texts.append(text)
                elif self._stopped is None:
                    self._finished(kind, text)
        except BrokenReportError as error:
            self._broken = True
            self.stop(JobStatus.FAILED, str(error))
        if texts:
            self._publish(texts)

    def _publish(self, texts: list[str]) -> None:
        # Whoever sees an interim result finds in the logs what was printed before it.
        self._read_output()
        self._store_output()
        try:
            self._store.publish(self.job, self._published, texts)
        except (sqlite3.Error, OSError) as error:
            self.stop(JobStatus.FAILED, f"An interim result could not be stored: {error}.")
        else:
            self._published += len(texts)
            self._watchers.wake(self.job.id)

    def _finished(self, kind: bytes, text: str) -> None:
        status = JobStatus.COMPLETED if kind == host.RESULT else JobStatus.FAILED
        self._outcome = (status, text)
        # What is left are exit handlers, and threads that the program forgot.
        self._timers.append(self._loop.call_later(GRACE, self._signal, signal.SIGKILL))

    def _read_output(self) -> None:
        self._printed += self._read(self._output)
        if len(self._printed) >= _LOG_BYTES:
            self._store_output()
        elif self._printed and self._log_timer is None:
            self._log_timer = self._loop.call_later(_LOG_DELAY, self._store_output)

    def _store_output(self) -> None:
        if self._log_timer is not None:
            self._log_timer.cancel()
            self._log_timer = None
        if not self._printed:
            return
        data, self._printed = bytes(self._printed), bytearray()
        try:
            self._store.log(self.job, self._logged, data)
        except (sqlite3.Error, OSError):
            _log.exception("output of job %s could not be stored and is lost", self.job.id)
        else:
            self._logged += len(data)

    def _read(self, fd: int) -> bytes:
        try:
            data = os.read(fd, _READ_SIZE)
        except BlockingIOError:
            return b""
        if not data:
            self._loop.remove_reader(fd)
        return data

    def _ended(self, returncode: int) -> None:
        # Not until the end of file: a daemon that left the group may hold the pipes open for ever.
        self._read_report()
        self._read_output()
        self._stop_listening()
        for fd in (self._report, self._output):
            os.close(fd)
        self._store_output()
        self._end(*(self._outcome or self._stopped or (JobStatus.FAILED, death(returncode))))

    def _stop_listening(self) -> None:
        for timer in self._timers:
            timer.cancel()
        for fd in (self._report, self._output):
            self._loop.remove_reader(fd)

    def _end(self, status: JobStatus, result: str | None, tries: int = 0) -> None:
        try:
            self._store.end_job(self.job, status, result)
        except (sqlite3.Error, OSError):
            # Its end is not lost as long as we are there: the disk may have room again.
            if tries == 0:
                _log.exception("the end of job %s could not be stored; trying again", self.job.id)
            if not self._closing:
                self._loop.call_later(_STORE_DELAY, self._end, status, result, tries + 1)
                return
        self._watchers.wake(self.job.id)
        self._on_end(self)
