"""Submits a job and follows it in threads of its own; what happens comes out of one queue.

So the main thread never blocks in the library: it shows, keeps the deadline, and hears Ctrl-C.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Mapping
from typing import Any, Self, TypeAlias

import attrs

from adapters.cli.program import Program
from adapters.drivers.inbox import Gap
from adapters.job import RuntimeJob
from adapters.service import RuntimeService
from runtime_core.errors import JobTimeoutError, RuntimeCoreError, TransportError
from runtime_core.states import JobState

_POLL = 1.0
_LOGGERS = ("adapters", "runtime_core")


@attrs.frozen
class Submitted:
    """The service has the job."""

    job: RuntimeJob
    """The job."""


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

    error: Exception
    """Why: a `JobError`, a failure of the service, or a bug."""


Notice: TypeAlias = Submitted | Interim | Noted | Ended | Broken


class Follower:
    """Runs `program` at `service`, from the begin of a `with`: take the notices inside of it.

    The queue is bounded: a flood of interim results waits in the service, not here. Its threads
    are daemons, and may be left behind at any time.
    """

    def __init__(
        self, service: RuntimeService, program: Program, inputs: Mapping[str, Any]
    ) -> None:
        self._service = service
        self._program = program
        self._inputs = inputs
        self.notices: queue.Queue[Notice] = queue.Queue(1000)
        """What happens, in order; the last one is `Ended` or `Broken`."""
        self._handler = _NoteHandler(self.notices)

    def __enter__(self) -> Self:
        for name in _LOGGERS:
            logging.getLogger(name).addHandler(self._handler)
        threading.Thread(target=self._follow, name="follow", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for name in _LOGGERS:
            logging.getLogger(name).removeHandler(self._handler)

    def _follow(self) -> None:
        try:
            program_id = self._upload()
            job = self._service.run(program_id, inputs=self._inputs)
            self.notices.put(Submitted(job))
            stream = threading.Thread(target=self._stream, args=(job,), name="interim", daemon=True)
            stream.start()
            job.wait_for_final_state(wait=_POLL)
            stream.join()
            self.notices.put(Ended(job.result(wait=_POLL)))
        except Exception as error:  # a bug as well: the main thread must not wait for ever
            self.notices.put(Broken(error))

    def _upload(self) -> str:
        name = self._program.name
        facts = {"name": name, "description": "uploaded by runtime-core run"}
        try:
            return self._service.upload_program(self._program.source, facts)
        except TransportError as error:
            if error.status_code == 409:
                return name  # it is there already: the name has a hash of the content
            raise

    def _stream(self, job: RuntimeJob) -> None:
        try:
            for value in job.interim_results():
                moment = time.monotonic()
                if last_known_state(job) is JobState.QUEUED:
                    # It has started: have the service say so before its first words are shown.
                    with contextlib.suppress(RuntimeCoreError):
                        job.status()
                if isinstance(value, Gap):
                    self.notices.put(Noted("some interim results may be missing here"))
                else:
                    self.notices.put(Interim(value, moment))
        except RuntimeCoreError as error:
            self.notices.put(Noted(f"no further interim results: {error}"))


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
