"""The client of a Ray head: one method for each call of Ray Jobs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Unpack

import attrs

from adapters.http.service_client import NetworkArguments, ServiceClient
from adapters.http.session import Answer, AnswerTooLargeError, Request, Take
from adapters.services import ray_errors, ray_jobs
from adapters.services.ray_jobs import RAY
from runtime_core.errors import RuntimeJobNotFoundError, TransportError, UsageError
from runtime_core.value_path import shown

NO_HEAD: Final = "Is this the URL of a Ray head's dashboard, for instance http://head:8265?"
"""What is asked where something else than Ray seems to answer."""

_IDENTITY: Final = ("entrypoint", "metadata")
"""What of a job is as it was submitted, and the same only if it is the same submission: the
metadata holds the nonce."""

_DELAYS: Final = (0.5, 1.0, 2.0)  # seconds before the second try, the third, the fourth
_LONGEST_DELAY: Final = 30.0  # seconds, what is obeyed of a Retry-After
_LAST_TRY: Final = 60.0  # seconds after the first one

_SETTLED: Final = 60.0
"""Seconds after its end in which Ray may still write about a job: two, but no two clocks agree."""
_LAST_LOOKS: Final = 3.0
"""Seconds in which the head has seen that the supervisor of a job is dead: it looks every second,
and needs two looks at most."""
_LONGEST_SETTLING: Final = 30.0  # seconds
_STEP: Final = 0.5  # seconds

_OTHERWISE: Final = frozenset({ray_errors.NOT_UTF8, ray_errors.NODE_SILENT})
"""The reason codes with which another call for the log may say more."""
_NO_ANSWER: Final = Answer(200, "", b"")


class RayClient(ServiceClient):
    """Speaks with the head of a Ray cluster at `url`, over kept-alive connections.

    It is as `RuntimeClient` is, whose arguments it takes: thread-safe, no redirect followed, the
    token in no error and for no other host, failures as `TransportError`. What Ray says in plain
    texts is read by `ray_errors.read_error`, so the `status_code` of an error is the one that means
    what Ray says: 409 for an id that is there already, 401 for a wrong token, which Ray calls 403.

    The token is the one that the head was started with (`RAY_AUTH_TOKEN`).

    `submit_job` and the calls about packages are tried again where that does no harm; nothing else
    is.
    """

    dialect = RAY
    """What a head speaks."""

    _stacklevel = 3

    def __init__(
        self, url: str, access_token: str | None = None, **network: Unpack[NetworkArguments]
    ) -> None:
        if not str(url).lower().startswith(("http://", "https://")):
            # Ray's own clients take more: `ray://head:10001`, `auto`, an address without a scheme.
            said = "one with an @" if "@" in str(url) else shown(url)
            raise ValueError(
                "The URL of a Ray head is that of its dashboard, for instance http://head:8265, "
                f"not {said}."
            )
        # A head asks nobody who calls, unless it was told to.
        super().__init__(url, access_token or "", **network)
        self._pause: Callable[[float], None] = time.sleep
        self._now: Callable[[], float] = time.monotonic

    # ---- jobs ----------------------------------------------------------------------------------

    def submit_job(self, body: Mapping[str, Any]) -> str:
        """Submit a job by what `ray_jobs.submission` gives; gives its id, ``submission_id``.

        If nothing was sent, or it is not known whether it arrived, or the head cannot just now, it
        is sent again: four times at most, none later than a minute after the first. That does not
        run it twice, since the id stays the same: that there is such a job already, of the same
        entrypoint and metadata, means that it arrived. A `Retry-After` is obeyed up to half a
        minute.

        A head that has just been started may need ten seconds for its first job.

        Raises:
            UsageError: if the id cannot be one.
            TransportError: if the head did not take it, or did not say so. If it is `retryable`,
                the same body may be given again later. Its status is 409 if there is another job
                of that id.
        """
        job_id = body.get("submission_id")
        if not isinstance(job_id, str):
            raise UsageError(f"A submission carries the id of the job, not {shown(job_id)}.")
        RAY.checked_id(job_id)
        data = json.dumps(body).encode()
        request = Request("POST", ray_jobs.JOBS, data, submits=True, repeatable=True)
        try:
            answer = self._read_object(request, self._repeated(request))
        except TransportError as error:
            if error.reason_code == ray_errors.ALREADY_EXISTS and self._is_ours(job_id, body):
                return job_id
            raise
        if answer.get("submission_id") != job_id:
            raise self._odd(request, f"expected the id {job_id} at $.submission_id")
        return job_id

    def _is_ours(self, job_id: str, body: Mapping[str, Any]) -> bool:
        """Whether the job of that id is the one that was submitted by `body`."""
        request = self._about(self._calls.status, job_id, RuntimeJobNotFoundError)
        try:
            told = self._read_object(request, self._repeated(request))
        except TransportError as error:
            words = f"{error.message} Job {job_id} may have been submitted."
            raise attrs.evolve(error, message=words) from error
        return all((told.get(key) or None) == (body.get(key) or None) for key in _IDENTITY)

    def job_get(self, job_id: str) -> dict[str, Any]:
        """Give what the head knows of a job.

        Raises:
            RuntimeJobNotFoundError: if there is no such job, or the head was started anew.
        """
        return super().job_get(job_id)

    def job_stop(self, job_id: str) -> bool:
        """Ask for the end of a job; False if nothing was left to be ended.

        Of a job that waits for its resources it is True, and comes into effect when it has them.
        Of one that has just ended it is True for a moment.

        Raises:
            RuntimeJobNotFoundError: if there is no such job.
        """
        request = self._about(self._calls.cancel, job_id, RuntimeJobNotFoundError)
        stopped = self._object(request).get("stopped")
        if not isinstance(stopped, bool):
            raise self._odd(request, f"expected true or false at $.stopped, got {shown(stopped)}")
        return stopped

    def job_cancel(self, job_id: str) -> None:
        """Ask for the end of a job. A `TransportError` with status 409 says that it has ended."""
        if not self.job_stop(job_id):
            raise TransportError(f"Job {job_id} at {self.url} has ended: it is not stopped.", 409)

    def job_delete(self, job_id: str) -> None:
        """Remove what the head knows of a job that has ended; its log stays on its node.

        Ray looks after a job until a moment after its end, and makes it anew, as a failed one, if
        it is gone by then. So this waits until nothing looks any more: of a job that has just
        ended about three seconds, and never more than thirty.

        Raises:
            RuntimeJobNotFoundError: if there is no such job.
            TransportError: if the head did not do it; status 409 if the job has not ended.
        """
        self._settle(job_id)
        path = ray_jobs.job_path(job_id)
        request = Request("DELETE", path, not_found=RuntimeJobNotFoundError)
        if self._object(request).get("deleted") is not True:
            raise self._odd(request, "expected true at $.deleted")

    def _settle(self, job_id: str) -> None:
        """Wait until Ray writes no more about a job that has ended.

        The head has a task for each job that looks every second whether the job's supervisor still
        lives; it writes what it finds, and leaves when it has found the supervisor dead. What tells
        of the supervisor is whether there is something to stop. That is answered by the same event
        loop which runs those tasks, so no answer comes while they stand still.
        """
        request = self._about(self._calls.status, job_id, RuntimeJobNotFoundError)
        answer = self._send(request)
        job = self._read_object(request, answer)
        if not ray_jobs.is_final(job):
            what = f"Job {job_id} at {self.url} has not ended: only then it can be deleted."
            raise TransportError(what, 409, reason_code=ray_errors.NOT_FINAL)
        ended = ray_jobs.end_time(job)
        if ended is not None and answer.date is not None and answer.date - ended > _SETTLED:
            return
        begin, gone = self._now(), None
        while gone is None or self._now() - gone < _LAST_LOOKS:
            if self._now() - begin > _LONGEST_SETTLING:
                what = f"Job {job_id} at {self.url} has ended, but Ray has not yet put it away."
                raise TransportError(f"{what} Try again later.", retryable=True)
            if self.job_stop(job_id):
                gone = None
            elif gone is None:
                gone = self._now()
            self._pause(_STEP)

    def jobs_list(self) -> list[dict[str, Any]]:
        """Give what the head knows of all jobs, in no order.

        Among them are drivers that were not submitted as jobs, with `type` ``DRIVER``.
        """
        request = Request("GET", ray_jobs.JOBS)
        answer = self._send(request)
        jobs = self._read_json(request, answer)
        if not isinstance(jobs, list):
            raise self._other_json(request, answer, "a list of jobs")
        return [job for job in jobs if isinstance(job, dict)]

    # ---- logs ----------------------------------------------------------------------------------

    def job_logs_text(self, job_id: str) -> str:
        r"""Give the log of a job as it is now, our own lines in it; empty if there is none yet.

        Bytes that are no UTF-8 are written as ``\xff``.

        Raises:
            RuntimeJobNotFoundError: if there is no such job.
            AnswerTooLargeError: if it is longer than `max_answer_bytes`; `job_log_read` reads it.
            TransportError: if it cannot be had. It is retryable while the node of the log does not
                answer the head; its status is 410, and it is not, once the head has given up the
                node, fifteen seconds after its end, say: with it the log is lost.
        """
        request = self._about(ray_jobs.CALLS.result, job_id, RuntimeJobNotFoundError)
        try:
            logs = self._object(request).get("logs")
        except TransportError as error:
            if error.reason_code not in _OTHERWISE:
                raise
            return self._job_logs_bytes(job_id).decode("utf-8", errors="backslashreplace")
        if not isinstance(logs, str):
            raise self._odd(request, f"expected a text at $.logs, got {shown(logs)}")
        return logs

    def job_log_read(
        self, job_id: str, node_id: str, take: Take, last_lines: int | None = None
    ) -> None:
        """Read the log of a job as it is now, of any length, with our own lines in it.

        Args:
            job_id: the job.
            node_id: its node, of its document.
            take: gets its bytes, piece by piece, and says with False that it has enough.
            last_lines: how many lines of its end; None for all of it.

        Raises:
            RuntimeJobNotFoundError: if there is no such job.
            TransportError: if it cannot be had, or breaks off; see `job_logs_text`.
        """
        request = Request("GET", ray_jobs.log_file_path(node_id, job_id, last_lines))
        try:
            self._session.send(request, take)
        except TransportError as error:
            raise self._refusal(request, error) from error.__cause__

    def _job_logs_bytes(self, job_id: str) -> bytes:
        """Give a log by the call that does not take it for a text, and knows of dead nodes."""
        node = ray_jobs.node_of(self.job_get(job_id))
        if node is None:
            return b""
        return self._send(Request("GET", ray_jobs.log_file_path(node, job_id))).body

    def job_logs(self, job_id: str) -> str:
        """Give what `job_logs_text` gives."""
        return self.job_logs_text(job_id)

    def job_results(self, job_id: str) -> str:  # noqa: ARG002
        """Refuse: Ray keeps no results; what a program returned stands in its log.

        Raises:
            UsageError: always.
        """
        raise UsageError("Ray keeps no results: RuntimeService.ray reads them from the log.")

    # ---- packages ------------------------------------------------------------------------------

    def package_exists(self, name: str) -> bool:
        """Tell whether the head has a package of that name; then it keeps it ten minutes more."""
        request = Request("GET", ray_jobs.package_path(name))
        try:
            self._repeated(request)
        except TransportError as error:
            if error.reason_code == ray_errors.NO_SUCH_PACKAGE:
                return False
            raise
        return True

    def package_put(self, name: str, data: bytes) -> None:
        """Give the head a package: a zip file.

        Raises:
            TransportError: if the head did not take it; status 413 if it is too large.
        """
        path = ray_jobs.package_path(name)
        self._repeated(Request("PUT", path, data, "application/octet-stream"))

    # ---- the head ------------------------------------------------------------------------------

    def version(self) -> dict[str, Any]:
        """Give the versions of the head: ``{"version": "4", "ray_version": "2.60.0", ...}``.

        Raises:
            TransportError: if what is at that URL is no Ray head, for instance.
        """
        request = Request("GET", ray_jobs.VERSION)
        answer = self._object(request)
        if not isinstance(answer.get("ray_version"), str):
            raise self._odd(request, "expected a text at $.ray_version")
        return answer

    def authentication_mode(self) -> str:
        """Give how the head asks who calls: ``token``, or ``disabled``; needs no token itself."""
        request = Request("GET", ray_jobs.AUTHENTICATION_MODE)
        mode = self._object(request).get("authentication_mode")
        if not isinstance(mode, str):
            raise self._odd(request, "expected a text at $.authentication_mode")
        return mode

    # ---- the session ---------------------------------------------------------------------------

    @property
    def max_answer_bytes(self) -> int:
        """The limit of an answer, and of what stands in a log as one thing."""
        return self._session.max_answer_bytes

    def _repeated(self, request: Request) -> Answer:
        """Do a request that may be done more than once; again if that may help."""
        last = self._now() + _LAST_TRY
        for delay in _DELAYS:
            try:
                return self._send(request)
            except TransportError as error:
                wait = max(delay, error.retry_after or 0.0)
                if not error.retryable or wait > _LONGEST_DELAY or self._now() + wait > last:
                    raise
            self._pause(wait)
        return self._send(request)

    def _refusal(self, request: Request, error: TransportError) -> TransportError:
        if isinstance(error, AnswerTooLargeError):
            return error
        # A page for people; or a path or a method that is unknown, where Ray names what is.
        if error.status_code in (200, 404, 405) and error.reason_code is None:
            return _no_head(error)
        return super()._refusal(request, error)

    def _odd(self, request: Request, what: str) -> TransportError:
        return self._not_promised(request, _NO_ANSWER, what)

    def _not_promised(self, request: Request, answer: Answer, what: str) -> TransportError:
        return _no_head(super()._not_promised(request, answer, what))


def _no_head(error: TransportError) -> TransportError:
    return attrs.evolve(error, message=f"{error.message} {NO_HEAD}")
