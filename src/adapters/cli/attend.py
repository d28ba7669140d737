"""The user's side of following a job: what is shown, the timeout, Ctrl-C, the exit code."""

from __future__ import annotations

import argparse
import math
import queue
import time
from collections.abc import Callable
from contextlib import ExitStack
from enum import Enum
from typing import assert_never

import attrs

from adapters.cli.follow import (
    Begun,
    Broken,
    Ended,
    Follower,
    Interim,
    Moved,
    Noted,
    Notice,
    last_known_state,
)
from adapters.cli.interrupts import Interrupts
from adapters.cli.job_clock import JobClock
from adapters.cli.outcome import CommandError, Exit
from adapters.cli.place import AnyService, Place
from adapters.cli.show import open_view
from adapters.cli.tagged import AsTagged
from adapters.cli.text import printable, word
from adapters.cli.views import View
from adapters.job import RuntimeJob
from adapters.transport_service import TransportService
from runtime_core.errors import (
    RuntimeCoreError,
    RuntimeJobCancelledError,
    RuntimeJobFailureError,
    TransportError,
)
from runtime_core.states import JobState

_TICK = 0.1
_CHANCE = 2.0
"""Seconds after a Ctrl-C in which a second one cancels the job."""
_LAST_CHANCE = 1.0
"""Seconds that the wish for a cancel has to arrive."""
_CANCEL_TIMEOUT = 10.0
"""Seconds that a job has to end after it was cancelled: more than a service's own patience."""


class Stage(Enum):
    """What the user wants."""

    FOLLOWING = "to see how the job goes"
    LEAVING = "to go, or to press Ctrl-C once more"
    CANCELLING = "the end of the job"


@attrs.frozen
class Errand:
    """What is followed, and how."""

    prepare: Callable[[], Callable[[AnyService], RuntimeJob]]
    """Gives what submits or finds the job; called before there is a service, which may fail."""
    event: str
    """What there is to tell of the job then: it was ``submitted``, or ``found``."""
    beginning: str
    """What goes on until then."""


def attend(options: argparse.Namespace, errand: Errand) -> Exit:
    """Begin a job and follow it to its end, or until the user wants to go.

    Raises:
        CommandError: if the service cannot be used.
    """
    started = time.monotonic()
    place = Place.given(options)
    with open_view(options.json) as view:
        try:
            begin = errand.prepare()
            view.begin(errand.beginning)
            with ExitStack() as held:
                services: list[AnyService] = []

                def begun() -> RuntimeJob:
                    # On the follower's thread: a service may take half a minute to start.
                    opening = place.reach(may_be_new=errand.event == "submitted")
                    services.append(held.enter_context(opening))
                    return begin(services[0])

                follower = Follower(begun, AsTagged if options.json else None)
                with Interrupts() as interrupts, follower:
                    attendance = _Attendance(place, view, follower, interrupts, errand.event)
                    attendance.ends_jobs = lambda: any(map(_ends_jobs, services))
                    if options.timeout is not None:
                        attendance.limit(started, options.timeout)
                    attendance.cancels_at_once = options.cancel_on_interrupt
                    return attendance.attend()
        except CommandError as error:
            view.error(str(error))
            return error.code
        except KeyboardInterrupt:
            view.left("interrupt", None, "interrupted before there was a job.")
            return Exit.INTERRUPTED


def _ends_jobs(service: AnyService) -> bool:
    return isinstance(service, TransportService) and service.ends_jobs


class _Attendance:
    """One job, from its beginning to what is said at the end."""

    def __init__(
        self, place: Place, view: View, follower: Follower, interrupts: Interrupts, event: str
    ) -> None:
        self._place = place
        self._view = view
        self._follower = follower
        self._interrupts = interrupts
        self._event = event
        self._stage = Stage.FOLLOWING
        self._deadline = math.inf
        self._timeout = math.inf
        self._job: RuntimeJob | None = None
        self._state: JobState | None = None
        self._clock = JobClock.started()
        self.cancels_at_once = False
        """Whether the first Ctrl-C cancels the job."""
        self.ends_jobs: Callable[[], bool] = lambda: False
        """Says whether the job ends when we leave."""

    def limit(self, started: float, timeout: float) -> None:
        """Leave so many seconds after `started`."""
        self._timeout, self._deadline = timeout, started + timeout

    def attend(self) -> Exit:
        """Show the job until it ends, or the user leaves."""
        try:
            while True:
                while self._interrupts.heard_one():
                    if self._stage is Stage.CANCELLING or not self._interrupted():
                        return self._left("interrupted")
                if time.monotonic() >= self._deadline:
                    return self._out_of_time()
                code = self._show_next()
                if code is not None:
                    return code
        except KeyboardInterrupt:  # nobody had heard the ones before
            return self._left("interrupted")
        except BrokenPipeError:
            if self._stage is Stage.LEAVING:
                # Ctrl-C has ended what reads our output as well, `tee` perhaps.
                self._left("interrupted")
            raise
        finally:
            if self._job is not None:
                self._job.close()

    # ---- following -----------------------------------------------------------------------------

    def _show_next(self) -> Exit | None:
        """Show what happens, if something does; the exit code if that is the end."""
        notice: Notice | None
        try:
            notice = self._follower.notices.get(timeout=_TICK)
        except queue.Empty:
            notice = None
        self._show_state()
        match notice:
            case Begun(job):
                self._begun(job)
            case Moved(position):
                if self._state is JobState.QUEUED:
                    self._view.queued(self._clock.now(), position)
            case Interim(value, moment):
                self._view.interim(self._clock.at(moment), value)
            case Noted(text):
                self._view.note(printable(text))
            case Ended(value):
                self._view.result(self._clock.now(), value)
                self._too_late()
                return Exit.DONE
            case Broken(error):
                return self._broken(error)
            case None:
                pass
            case _:
                assert_never(notice)
        if self._job is not None:
            self._view.tick(self._clock.now())
        return None

    def _begun(self, job: RuntimeJob) -> None:
        self._job = job
        self._clock = JobClock.started() if self._event == "submitted" else JobClock.found(job)
        self._view.job(self._event, job.program_id, job.job_id(), self._place.name)
        self._show_state()
        if self._stage is Stage.CANCELLING:
            self._follower.cancel(job)

    def _show_state(self) -> None:
        if self._job is None:
            return
        state = last_known_state(self._job)
        # The end is shown when everything that the job said before it has been shown.
        if state is not self._state and not state.is_final:
            self._state = state
            self._view.state(self._clock.now(), word(state))

    # ---- Ctrl-C and the timeout ----------------------------------------------------------------

    def _interrupted(self) -> bool:
        """Ctrl-C was pressed; False if there is nothing left to do."""
        if self._stage is Stage.FOLLOWING and not self.cancels_at_once:
            self._stage = Stage.LEAVING
            self._deadline = time.monotonic() + _CHANCE
            if self._job is None:
                self._view.aside(f"leaving, if there is no job within {_CHANCE:g} s")
            else:
                fate = "and the job ends with it" if self.ends_jobs() else "the job goes on"
                self._view.aside(f"leaving, {fate}: Ctrl-C again within {_CHANCE:g} s cancels it")
            return True
        if self._job is None and self._stage is Stage.LEAVING:
            return False
        self._stage = Stage.CANCELLING
        self._deadline = time.monotonic() + _CANCEL_TIMEOUT
        self._view.aside("cancelling the job")
        if self._job is not None:
            self._follower.cancel(self._job)
        return True

    def _out_of_time(self) -> Exit:
        if self._stage is Stage.FOLLOWING:
            return self._left(f"timeout after {self._timeout:g} s", Exit.TIMEOUT)
        return self._left("interrupted")

    def _left(self, why: str, code: Exit = Exit.INTERRUPTED) -> Exit:
        job = self._job
        if job is None:
            text = (
                f"{why}: the job was not confirmed yet, and may have been submitted all the "
                f"same{self._place.advice}."
                if self._event == "submitted"
                else f"{why}."
            )
        else:
            goes_on = "ends with this command" if self.ends_jobs() else "goes on"
            if self._stage is Stage.CANCELLING:
                # A third Ctrl-C may come before the wish of the second has been sent.
                arrived = self._follower.cancel_arrived.wait(_LAST_CHANCE)
                asked = "was asked" if arrived else "may not have been asked"
                goes_on = f"{asked} to end, and has not ended yet"
            text = f"{why}: job {job.job_id()} {goes_on}.{self._way_back(job)}"
        short = "timeout" if code is Exit.TIMEOUT else "interrupt"
        self._view.left(short, None if job is None else job.job_id(), text)
        return code

    def _way_back(self, job: RuntimeJob) -> str:
        if self.ends_jobs():
            return ""
        return f" Come back with\n    {self._place.command('watch', job.job_id())}"

    # ---- endings -------------------------------------------------------------------------------

    def _broken(self, error: BaseException) -> Exit:
        seconds = self._clock.now()
        match error:
            case RuntimeJobFailureError(reason=reason, reason_code=code):
                self._view.failed(seconds, reason, code)
                self._too_late()
                return Exit.FAILED
            case RuntimeJobCancelledError():
                self._view.cancelled(seconds)
                return Exit.CANCELLED
            case CommandError():
                raise error
            case RuntimeCoreError():
                text = self._place.complaint(error)
                if self._job is not None and isinstance(error, TransportError):
                    text += self._way_back(self._job)
                self._view.error(text)
                return Exit.UNUSABLE
        raise error

    def _too_late(self) -> None:
        if self._stage is Stage.CANCELLING:
            self._view.aside("the job had ended before it could be cancelled")
