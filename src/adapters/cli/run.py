"""`runtime-core run`: a program as a job, from the file to the exit code."""

from __future__ import annotations

import os
import queue
import sys
import time
import warnings
from importlib.util import find_spec
from typing import assert_never

from adapters.cli.arguments import TOKEN_VARIABLE, RunOptions
from adapters.cli.follow import Broken, Ended, Follower, Interim, Noted, Submitted, last_known_state
from adapters.cli.outcome import CommandError, Exit
from adapters.cli.program import Program, read_program
from adapters.cli.text import pairs, printable, progress
from adapters.cli.views import PlainView, View
from adapters.job import RuntimeJob
from adapters.service import RuntimeService
from runtime_core.errors import (
    RuntimeCoreError,
    RuntimeInvalidStateError,
    RuntimeJobCancelledError,
    RuntimeJobFailureError,
    TransportError,
)
from runtime_core.states import JobState

_TICK = 0.1
_CANCEL_TIMEOUT = 5.0


def run(options: RunOptions) -> Exit:
    """Run the program, show how it goes, and give the exit code.

    Raises:
        CommandError: if the program or the service cannot be used.
    """
    started = time.monotonic()
    program = read_program(options.program)
    with _view() as view:
        view.begin("starting a service on this machine" if options.url is None else "submitting")
        with _service(options) as service:
            attempt = _Attempt(options, started, view, service, program)
            code = attempt.run()
    # After everything is closed, so that it is true, and the last thing on the screen.
    if attempt.epilogue:
        sys.stderr.write(f"{attempt.epilogue}\n")
    return code


def _view() -> View:
    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return PlainView(sys.stdout)
    if find_spec("rich") is None:
        raise CommandError(
            "The live display needs rich: install it with `pip install 'runtime-core[cli]'`, "
            "or send the output through a pipe."
        )
    from adapters.cli.live import LiveView

    return LiveView()


def _service(options: RunOptions) -> RuntimeService:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            if options.url is None:
                return RuntimeService.local()
            return RuntimeService(options.url, options.token)
        except (RuntimeCoreError, ValueError, OSError) as error:
            raise CommandError(str(error)) from error
        finally:
            for warning in caught:
                sys.stderr.write(f"runtime-core: {warning.message}\n")


class _Attempt:
    """One job, from its submission to what is said at the end."""

    def __init__(
        self,
        options: RunOptions,
        started: float,
        view: View,
        service: RuntimeService,
        program: Program,
    ) -> None:
        self._options = options
        self._view = view
        self._program = program.name
        self._follower = Follower(service, program, options.inputs)
        self._url = service.url
        self._deadline = None if options.timeout is None else started + options.timeout
        self._submitted = started
        self._job: RuntimeJob | None = None
        self._state: JobState | None = None
        self.epilogue = ""
        """What to say when everything is closed."""

    @property
    def _is_local(self) -> bool:
        return self._options.url is None

    def run(self) -> Exit:
        """Submit, follow and show the job, whatever the user does."""
        with self._follower:
            try:
                code = self._follow(self._deadline)
                return self._timed_out() if code is None else code
            except KeyboardInterrupt:
                return self._interrupted()
            finally:
                if self._job is not None:
                    self._job.close()

    # ---- following -----------------------------------------------------------------------------

    def _follow(self, deadline: float | None) -> Exit | None:
        """Show what happens until the end; None if the deadline passed first."""
        while True:
            now = time.monotonic()
            if deadline is not None and now >= deadline:
                return None
            try:
                notice = self._follower.notices.get(timeout=_TICK)
            except queue.Empty:
                notice = None
            self._show_state()
            match notice:
                case Submitted(job):
                    self._job, self._submitted = job, time.monotonic()
                    where = "on this machine" if self._is_local else f"at {self._url}"
                    self._view.job(self._program, job.job_id(), where)
                case Interim(value, moment):
                    seconds = moment - self._submitted
                    self._view.interim(max(0.0, seconds), progress(value), pairs(value))
                case Noted(text):
                    self._view.note(printable(text))
                case Ended(value):
                    self._view.state(self._seconds(), "done")
                    self._view.result(value)
                    return Exit.DONE
                case Broken(error):
                    return self._broken(error)
                case None:
                    pass
                case _:
                    assert_never(notice)
            if self._job is not None:
                self._view.tick(self._seconds())

    def _show_state(self) -> None:
        if self._job is None:
            return
        state = last_known_state(self._job)
        # The end is shown when everything that the job said before it has been shown.
        if state is not self._state and not state.is_final:
            self._state = state
            self._view.state(self._seconds(), state.value)

    def _seconds(self) -> float:
        return time.monotonic() - self._submitted

    # ---- endings -------------------------------------------------------------------------------

    def _broken(self, error: Exception) -> Exit:
        match error:
            case RuntimeJobFailureError(reason=reason, reason_code=code):
                word = "failed" if code is None else f"failed (code {code})"
                self._view.state(self._seconds(), word, failed=True)
                why = reason or "The service gives no reason."
                self.epilogue = printable(why).rstrip("\n")
                return Exit.FAILED
            case RuntimeJobCancelledError():
                self._view.state(self._seconds(), "cancelled")
                return Exit.CANCELLED
            case RuntimeCoreError():
                self.epilogue = f"runtime-core: {printable(str(error))}"
                if isinstance(error, TransportError):
                    self.epilogue += self._advice(error)
                if self._job is not None:
                    self.epilogue += f"\n{self._how_to_look()}"
                return Exit.UNUSABLE
        raise error

    def _advice(self, error: TransportError) -> str:
        if error.status_code == 401:
            return f" It is read from {TOKEN_VARIABLE}, or from --token."
        if error.status_code is None and error.retryable and not self._is_local:
            return f" Does a service run at {self._url}?"
        return ""

    def _timed_out(self) -> Exit:
        after = f"runtime-core: timeout after {self._options.timeout:g} s"
        self.epilogue = f"{after}: {self._leave()}"
        return Exit.TIMEOUT

    def _interrupted(self) -> Exit:
        try:
            left = self._leave()
        except KeyboardInterrupt:  # once more: at once
            left = "the job ends with its service." if self._is_local else self._how_to_look()
        self.epilogue = f"runtime-core: interrupted: {left}"
        return Exit.INTERRUPTED

    def _leave(self) -> str:
        """End the job if its service ends with us, else leave it; say what became of it."""
        if self._job is None:
            if self._is_local:
                return "no job is left running."
            return f"{self._url} had not confirmed the job; it may have taken it all the same."
        if not self._is_local:
            return f"the job goes on. {self._how_to_look()}"
        try:
            self._job.cancel()
        except RuntimeInvalidStateError:
            pass  # it has ended: how, is on its way to us
        except RuntimeCoreError as error:
            self._view.note(printable(str(error)))
        match self._follow(time.monotonic() + _CANCEL_TIMEOUT):
            case Exit.CANCELLED:
                return "the job was cancelled."
            case None:
                return "the job did not end when it was cancelled, and was killed."
            case _:
                said = self.epilogue and f"\n{self.epilogue}"
                return f"the job had ended before it could be cancelled.{said}"

    def _how_to_look(self) -> str:
        assert self._job is not None
        job_id = self._job.job_id()
        if self._is_local:
            return f"Job {job_id} ended with its service."
        return (
            f"See job {job_id} again, in Python:\n"
            f"    RuntimeService({self._url!r}, token).job({job_id!r}).result()"
        )
