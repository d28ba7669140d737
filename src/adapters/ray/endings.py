"""How jobs on a Ray cluster stand, and how they ended: what Ray says, and what the log says.

Ray's own status is the authority on the state of a job, but for one thing: a result that stands in
the log stands, as it does with the local service, whatever becomes of the process after it. So who
has seen it need not ask, and everybody tells the same in the end, as long as the log can be read.
What the log says of the end is kept as soon as it was seen:

| command | Ray says | the log says | reply |
|---|---|---|---|
| FetchStatus | anything, it is not asked | a result, seen already | JobSucceeded |
| | PENDING, RUNNING | | JobQueued, JobStarted |
| | SUCCEEDED, FAILED or STOPPED | a result | JobSucceeded |
| | STOPPED | anything else, or it is lost | JobCancelled |
| | SUCCEEDED or FAILED | why there is none | JobFailed, with that and with Ray's code |
| | SUCCEEDED | neither | JobFailed, with a sentence |
| | SUCCEEDED | it is lost | JobSucceeded |
| | FAILED | neither | JobFailed, with what Ray says |
| | FAILED | it is lost | the same, by the last lines of the log that Ray repeats |
| FetchResult | | a result | ResultReceived |
| | | anything else, or it is lost | RequestFailed, not retryable |
| FetchFailure | | | FailureReceived, as of FetchStatus |
| SendCancel | anything, it is not asked | a result, seen already | CancelRefused |
| | stopped | | CancelAccepted |
| | not stopped | | CancelRefused |

Of a job that this library has not submitted, only what Ray says is told.
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from adapters.ray.client import RayClient
from adapters.ray.log_events import Outcome, Raised, Returned
from adapters.ray.log_frames import BrokenLogError, FrameReader
from adapters.ray.log_routes import NO_SUCH_CALL, LogRoutes
from adapters.ray.outcomes import Outcomes
from adapters.services.ray_errors import NO_NODE
from adapters.services.ray_jobs import RAY, is_final, node_of, nonce_of
from runtime_core.errors import TransportError, stated
from runtime_core.events import (
    JobCancelled,
    JobFailed,
    JobSucceeded,
    LifecycleEvent,
    UnknownStatusReported,
)

_ENDING: Final = 2.0  # seconds, many times what Ray takes to notice the end of a program
_FIRST_STEP: Final = 0.03  # seconds
_GROWTH: Final = 1.5  # a program that does not exit is no reason to ask without end

_LAST_LINES: Final = 100
"""What is read first of a log: an outcome of a megabyte, and some lines after it."""

_TOO_MANY: Final = 429
"""With this a head refuses a log of a node while too many are read."""

_PATIENCE: Final = 30.0
"""How long a log is read to know more than Ray of the state of a job, in seconds."""

_NO_RESULT: Final = (
    "Ray says that the job succeeded, but its log holds no result: it was not run to its end by "
    "this library, or its log has been changed."
)


class Endings:
    """Asks a head how jobs stand, and reads how they ended. Thread-safe.

    Args:
        client: speaks with the head.
        outcomes: keeps how jobs ended; the streams put there what they see.
        routes: what is known of the head, for its streams too.
        pause: waits for so many seconds.
        now: tells the time in seconds.
    """

    def __init__(
        self,
        client: RayClient,
        outcomes: Outcomes,
        routes: LogRoutes,
        *,
        pause: Callable[[float], object] = time.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._outcomes = outcomes
        self._routes = routes
        self._pause = pause
        self._now = now

    def has_result(self, job_id: str) -> bool:
        """Whether a result was seen already, so that nothing more can become of the job."""
        return isinstance(self._outcomes.get(job_id), Returned)

    def status(self, job_id: str, request: int) -> LifecycleEvent | UnknownStatusReported:
        """Say how a job stands, or how it ended.

        Raises:
            TransportError: if that cannot be known now.
        """
        if self.has_result(job_id):
            return JobSucceeded(request)
        document = self.settled(job_id)
        said = RAY.status_event(document, request)
        nonce = nonce_of(document)
        if nonce is None or not isinstance(said, JobSucceeded | JobFailed | JobCancelled):
            return said
        try:
            outcome = self._read(job_id, document, nonce, _PATIENCE)
        except TransportError as error:
            if _may_pass(error):
                raise
            # Of a failed job Ray itself repeats the last lines of the log.
            outcome = self._kept(job_id, _last_outcome(document.get("message"), nonce))
            return said if outcome is None else _ended(said, outcome)
        return _ended(said, outcome)

    def settled(self, job_id: str) -> dict[str, Any]:
        """Ask for a job's document; where its end was seen, until Ray has seen it too.

        That takes Ray a part of a second from the program's last words on. It is waited for here
        and not by the machine, which asks again after the delay of a job that runs on, and that has
        grown long by then.

        Raises:
            TransportError: if it cannot be had.
        """
        document = self._client.job_get(job_id)
        last, step = self._now() + _ENDING, _FIRST_STEP
        while (
            not is_final(document) and self._outcomes.get(job_id) is not None and self._now() < last
        ):
            self._pause(step)
            step *= _GROWTH
            document = self._client.job_get(job_id)
        return document

    def _read(
        self, job_id: str, document: Mapping[str, Any], nonce: str, patience: float
    ) -> Outcome | None:
        """Give how a job that has ended did so; None if its log does not say it.

        Its end is read first, which nearly always says it, however long the log is.

        Raises:
            TransportError: if the log cannot be read, or takes longer than `patience`, in seconds.
        """
        kept = self._outcomes.get(job_id)
        node = node_of(document)
        if kept is not None or node is None:
            return kept
        if self._routes.quick:
            try:
                return self._kept(job_id, self._read_from_node(job_id, node, nonce, patience))
            except TransportError as error:
                if error.status_code not in NO_SUCH_CALL | {_TOO_MANY}:
                    raise
                self._routes.quick = error.status_code == _TOO_MANY
        reader = self._reader(nonce)
        reader.feed(self._client.job_logs_text(job_id).encode(errors="surrogatepass"))
        return self._kept(job_id, reader.outcome)

    def _read_from_node(
        self, job_id: str, node: str, nonce: str, patience: float
    ) -> Outcome | None:
        last = self._now() + patience
        found = self._read_end(job_id, node, nonce, last)
        return self._read_log(job_id, node, nonce, last) if found is None else found

    def _read_end(self, job_id: str, node: str, nonce: str, last: float) -> Outcome | None:
        try:
            return self._read_log(job_id, node, nonce, last, _LAST_LINES)
        except BrokenLogError:
            return None  # it begins within what the program reported

    def _reader(self, nonce: str) -> FrameReader:
        # As if all interim results were known: they are the streams' affair, missing ones too.
        return FrameReader(nonce, after=sys.maxsize, max_text=self._client.max_answer_bytes)

    def _read_log(
        self, job_id: str, node: str, nonce: str, last: float, last_lines: int | None = None
    ) -> Outcome | None:
        reader = self._reader(nonce)

        def take(data: bytes) -> bool:
            reader.feed(data)
            return reader.outcome is None and self._now() <= last

        self._client.job_log_read(job_id, node, take, last_lines)
        if reader.outcome is None and self._now() > last:
            raise TransportError("it is long, and was not read to its end in time")
        return reader.outcome

    def _kept(self, job_id: str, outcome: Outcome | None) -> Outcome | None:
        if outcome is not None:
            self._outcomes.put(job_id, outcome)
        return outcome

    def result(self, job_id: str) -> str:
        """Give the result of a job.

        Raises:
            TransportError: if there is none, or it is lost.
        """
        outcome = self._outcomes.get(job_id)
        if outcome is None:
            document = self._client.job_get(job_id)
            nonce = nonce_of(document)
            if nonce is None:
                raise TransportError(
                    f"Job {job_id} has no result: it was not submitted by this library, and Ray "
                    "keeps no more of it than its log."
                )
            try:
                outcome = self._read(job_id, document, nonce, math.inf)
            except TransportError as error:
                if _may_pass(error):
                    raise
                raise _unreadable(job_id, error) from error
        if not isinstance(outcome, Returned):
            raise TransportError(f"Job {job_id} has no result: its log holds none.")
        self._outcomes.spend(job_id)
        return outcome.text


def _last_outcome(message: object, nonce: str) -> Outcome | None:
    """Read the end of a log, cut off anywhere; None if it does not say how the program ended."""
    reader = FrameReader(nonce, after=sys.maxsize)
    with contextlib.suppress(BrokenLogError):
        reader.feed(message.encode(errors="surrogatepass") if isinstance(message, str) else b"")
    return reader.outcome


def _ended(
    said: JobSucceeded | JobFailed | JobCancelled, outcome: Outcome | None
) -> LifecycleEvent:
    """Say how a job ended, of what Ray says and what the log says."""
    match said, outcome:
        case _, Returned():
            return JobSucceeded(said.request)
        case JobFailed(), Raised(reason):
            return attrs.evolve(said, reason=reason)
        case JobSucceeded(), Raised(reason):
            return JobFailed(said.request, reason)
        case JobSucceeded(), None:
            return JobFailed(said.request, _NO_RESULT)
    return said


def _may_pass(error: TransportError) -> bool:
    """Whether a log that could not be read is to be asked for again, before anything is said.

    A node that does not answer is given up by the head in the end. What else goes wrong between
    them, which Ray says with a traceback, may last for ever, and Ray knows the state of the job.
    """
    return error.retryable and error.status_code != 500


def _unreadable(job_id: str, error: TransportError) -> TransportError:
    if error.reason_code == NO_NODE:
        what = "is lost: it stood in the log on the node that ran the job, and that node is gone"
    else:
        what = f"cannot be read from its log: {stated(error)}"
    return TransportError(
        f"The result of job {job_id} {what}.", error.status_code, reason_code=error.reason_code
    )
