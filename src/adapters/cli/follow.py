"""Follows a job in threads of its own; what happens comes out of one queue.

So the main thread never blocks in the library: it shows, keeps the deadline, and hears Ctrl-C.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Self, TypeAlias

import attrs

from adapters.drivers.inbox import Gap
from adapters.job import RuntimeJob
from runtime_core.decoders import Decoder
from runtime_core.errors import (
    JobTimeoutError,
    RuntimeCoreError,
    RuntimeInvalidStateError,
)
from runtime_core.states import JobState

_POLL = 1.0
# Most jobs start at once: no need to say that they were next in line.
_BEFORE_POSITION = 0.3
_LOGGERS = ("adapters", "runtime_core")


@attrs.frozen
class Begun:
    """There is a job: submitted, or found."""

    job: RuntimeJob
    """The job."""


@attrs.frozen
class Moved:
    """A queued job has another place in the queue."""

    position: int
    """Which one; 1 is the next to run."""


@attrs.frozen
class Interim:
    """The job published something."""

    value: Any
    """What."""
    moment: float
    """When it came, on the monotonic clock."""


@attrs.frozen
class Noted:
    """Something happened that is worth a line."""

    text: str
    """What."""


@attrs.frozen
class Ended:
    """The job is done, and all interim results were told."""

    value: Any
    """The result."""


@attrs.frozen
class Broken:
    """There is no result; nothing more follows."""

    error: BaseException
    """Why: a `JobError`, a failure of the service, or a bug."""


Notice: TypeAlias = Begun | Moved | Interim | Noted | Ended | Broken


class Follower:
    """Follows the job that `begin` gives, from the begin of a `with`: take the notices inside.

    The queue is bounded: a flood of interim results waits in the service, not here. Its threads
    are daemons, and may be left behind at any time.

    Args:
        begin: finds or starts the service, and submits or finds the job; called on a thread of the
            follower.
        decoder: decodes results and interim results; None for what the service has registered.
    """

    def __init__(self, begin: Callable[[], RuntimeJob], decoder: Decoder[Any] | None) -> None:
        self._begin = begin
        self._decoder = decoder
        self._left = threading.Event()
        self.notices: queue.Queue[Notice] = queue.Queue(1000)
        """What happens, in order; the last one is `Ended` or `Broken`."""
        self.cancel_arrived = threading.Event()
        """Set when the service has the wish of `cancel`."""
        self._handler = _NoteHandler(self.notices)

    def __enter__(self) -> Self:
        for name in _LOGGERS:
            logging.getLogger(name).addHandler(self._handler)
        self._start(self._follow)
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        for name in _LOGGERS:
            logging.getLogger(name).removeHandler(self._handler)

    def cancel(self, job: RuntimeJob) -> None:
        """Ask for the end of the job; returns at once, and what is worth it is noted."""
        self._start(self._cancel, job)

    def _start(self, target: Callable[..., None], *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=target, args=arguments, name="follow", daemon=True)
        thread.start()
        return thread

    def _follow(self) -> None:
        try:
            job = self._begin()
            self.notices.put(Begun(job))
            stream = self._start(self._stream, job)
            if last_known_state(job) is JobState.QUEUED:
                self._start(self._queue, job)
            job.wait_for_final_state(wait=_POLL)
            stream.join()
            self.notices.put(Ended(job.result(None, _POLL, self._decoder)))
        except BaseException as error:  # a bug as well: the main thread must not wait for ever
            self.notices.put(Broken(error))

    def _stream(self, job: RuntimeJob) -> None:
        try:
            for value in job.interim_results(self._decoder):
                moment = time.monotonic()
                if last_known_state(job) is JobState.QUEUED:
                    # It has started: have the service say so before its first words are shown.
                    with contextlib.suppress(RuntimeCoreError):
                        job.status()
                if isinstance(value, Gap):
                    self.notices.put(Noted("some interim results may be missing here"))
                else:
                    self.notices.put(Interim(value, moment))
        except RuntimeInvalidStateError:
            text = "no interim results: the service is not known to keep them, see --resume"
            self.notices.put(Noted(text))
        except RuntimeCoreError as error:
            self.notices.put(Noted(f"no further interim results: {error}"))

    def _queue(self, job: RuntimeJob) -> None:
        known, delay = None, _BEFORE_POSITION
        while not self._left.wait(delay) and last_known_state(job) is JobState.QUEUED:
            delay = _POLL
            # If the service cannot be asked, the wait for the end says so.
            with contextlib.suppress(RuntimeCoreError):
                position = job.queue_position()
                if position is None:
                    return  # it has started, or the service does not tell
                if position != known:
                    self.notices.put(Moved(position))
                known = position

    def _cancel(self, job: RuntimeJob) -> None:
        try:
            job.cancel()
        except RuntimeInvalidStateError:
            pass  # it has ended: how, is on its way
        except RuntimeCoreError as error:
            self.notices.put(Noted(str(error)))
        else:
            self.cancel_arrived.set()


def last_known_state(job: RuntimeJob) -> JobState:
    """Give what the service said last of the job's state, without asking."""
    try:
        job.wait_for_final_state(timeout=0)
    except JobTimeoutError as error:
        return error.state
    return job.status()  # final, so nobody is asked


class _NoteHandler(logging.Handler):
    """Turns what the library logs into notices."""

    def __init__(self, notices: queue.Queue[Notice]) -> None:
        super().__init__(logging.WARNING)
        self._notices = notices

    def emit(self, record: logging.LogRecord) -> None:
        """Never blocks: it may be called on the thread that reads the sockets."""
        with contextlib.suppress(queue.Full):
            self._notices.put_nowait(Noted(record.getMessage()))
