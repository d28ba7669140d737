"""Every error of the library, in one tree of three families.

    RuntimeCoreError
    ├── UsageError                      you misused us: nothing was changed
    │   ├── RuntimeInvalidStateError    not legal in the job's present state
    │   ├── OptionsError                how a job is to be run: not as it must be
    │   ├── InputsError                 inputs that do not fit the program's parameters
    │   ├── JournalError                a journal that cannot be read
    │   └── EncodeError                 a value that cannot be written as tagged JSON
    ├── ServiceError                    the service or the network misbehaved
    │   ├── TransportError              a request or a stream failed
    │   │   ├── NotAuthorizedError              this token may not do that
    │   │   ├── RuntimeJobNotFoundError         there is no such job
    │   │   ├── RuntimeProgramNotFoundError     there is no such program
    │   │   └── RuntimeDuplicateProgramError    there is a program of that name already
    │   ├── UnknownStatusError          the service said a status word that nobody knows
    │   ├── DecodeError                 what the service sent does not decode
    │   ├── JobTimeoutError             the answer did not come in time (also a TimeoutError)
    │   └── WaitTimeoutError            not all of many jobs ended in time (also a TimeoutError)
    └── JobError                        the job itself ended without a result
        ├── RuntimeJobFailureError      it failed; says why
        └── RuntimeJobCancelledError    it was cancelled

Each error carries its facts as fields; the message is built from them. No message holds an access
token.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from runtime_core.states import JobState


class RuntimeCoreError(Exception):
    """The base of every error that this library raises on purpose."""


class UsageError(RuntimeCoreError):
    """The local caller asked for something that cannot be done; nothing was changed."""


class ServiceError(RuntimeCoreError):
    """The service, or the way to it, did not do what was asked."""


class JobError(RuntimeCoreError):
    """The job ended, but not with a result."""


@attrs.define(eq=False, slots=False)
class RuntimeInvalidStateError(UsageError):
    """The call is not legal in the present state of the job."""

    action: str
    """What was asked for, for instance ``cancel``."""
    job_id: str
    """The job."""
    state: JobState
    """The state of the job as last confirmed by its service."""
    why: str
    """What stands in the way."""
    legal: Sequence[str] = ()
    """What may be called now."""

    def __str__(self) -> str:
        legal = f" Legal now: {', '.join(self.legal)}." if self.legal else ""
        return f"Job {self.job_id} is {self.state.name}: cannot {self.action}, {self.why}.{legal}"


class OptionsError(UsageError):
    """The options of a job are not as they must be; the message says which, and why."""


@attrs.define(eq=False, slots=False)
class InputsError(UsageError):
    """The inputs do not fit what the program says of its parameters."""

    problems: Sequence[str]
    """What does not fit, one text for each problem, with its path."""

    def __str__(self) -> str:
        return f"The inputs do not fit the program's parameters: {'; '.join(self.problems)}."


@attrs.define(eq=False, slots=False)
class JournalError(UsageError):
    """What was given as a journal cannot be read."""

    why: str
    """What is wrong with it."""
    line: int
    """The line, from 1 on."""

    def __str__(self) -> str:
        return f"The journal cannot be read at line {self.line}: {self.why}."


@attrs.define(eq=False, slots=False)
class EncodeError(UsageError):
    """A value cannot be sent, because tagged JSON has no word for it."""

    message: str
    """What cannot be written, and why."""
    path: str = ""
    """Where in the value, for instance ``$.circuits[0]``."""

    def __str__(self) -> str:
        where = f" (at {self.path})" if self.path else ""
        return f"{self.message}{where}"


@attrs.define(eq=False, slots=False)
class TransportError(ServiceError):
    """A request or a stream failed on its way, or was answered with something else."""

    message: str
    """What happened, where, and what to do if that is known. Never holds a token."""
    status_code: int | None = None
    """The HTTP status code, or None if there was no answer."""
    retryable: bool = False
    """Whether the same request may well succeed a little later."""
    retry_after: float | None = None
    """The seconds that the service asked to wait before the next request."""
    reason_code: int | str | None = None
    """The service's own code for it, if it has one. `status_code` is then the HTTP status that
    means the same, whatever the answer's own was."""

    def __str__(self) -> str:
        return self.message


class NotAuthorizedError(TransportError):
    """The service does not allow this to who has this access token (status 401 or 403).

    Or there is no token to show it: then the cause is what the token_provider raised.
    """


class RuntimeJobNotFoundError(TransportError):
    """The service knows no such job (status 404)."""


class RuntimeProgramNotFoundError(TransportError):
    """The service knows no such program (status 404)."""


class RuntimeDuplicateProgramError(TransportError):
    """The service has a program of that name already (status 409)."""


@attrs.define(eq=False, slots=False)
class UnknownStatusError(ServiceError):
    """The service reported a status word that its dialect does not know."""

    job_id: str
    """The job."""
    word: str
    """The word, as the service sent it."""

    def __str__(self) -> str:
        return (
            f"The service reports the unknown status {self.word!r} for job {self.job_id}. "
            "Pass on_unknown_status=<a JobState> to say what it should be taken for."
        )


@attrs.define(eq=False, slots=False)
class DecodeError(ServiceError):
    """A result or an interim result does not decode."""

    message: str
    """What was wrong, in words."""
    path: str = ""
    """Where in the value, for instance ``$.energies[3]``; empty if it is about the whole text."""
    limit: str = ""
    """Which limit was passed, for instance ``max_nodes``; empty if it was none."""

    def __str__(self) -> str:
        where = f" (at {self.path})" if self.path else ""
        return f"{self.message}{where}"


@attrs.define(eq=False, slots=False)
class JobTimeoutError(ServiceError, TimeoutError):
    """The caller's timeout passed first. That changes nothing about the job."""

    job_id: str
    """The job."""
    action: str
    """What was waited for, for instance ``the result``."""
    timeout: float
    """The caller's timeout in seconds."""
    state: JobState
    """The state of the job as last known."""
    failures: int = 0
    """How many requests in a row had failed by then, and were to be tried again."""

    def __str__(self) -> str:
        if self.failures:
            last = "request" if self.failures == 1 else f"{self.failures} requests"
            return (
                f"Job {self.job_id} was {self.state.name} when it was last seen: {self.action} did "
                f"not come within {self.timeout:g} s, and the last {last} failed: status() says "
                f"why. Wait again when the service answers."
            )
        what_next = (
            "Ask again" if self.state.is_final else "The job goes on; wait again, or cancel() it"
        )
        return (
            f"Job {self.job_id} is {self.state.name}: {self.action} did not come within "
            f"{self.timeout:g} s. {what_next}."
        )


@attrs.define(eq=False, slots=False)
class WaitTimeoutError(ServiceError, TimeoutError):
    """The caller's timeout passed before all of several jobs had ended. They go on."""

    pending: int
    """How many have not ended."""
    total: int
    """How many were waited for."""
    timeout: float
    """The caller's timeout in seconds."""

    def __str__(self) -> str:
        return (
            f"{self.pending} of {self.total} jobs have not ended within {self.timeout:g} s. "
            "They go on; wait again, or cancel() them."
        )


@attrs.define(eq=False, slots=False)
class RuntimeJobFailureError(JobError):
    """The job failed."""

    job_id: str
    """The job."""
    reason: str | None = None
    """Why, in the service's words, often a traceback; None if the service does not tell."""
    reason_code: int | str | None = None
    """The service's code for the reason, if it has one."""

    def __str__(self) -> str:
        code = "" if self.reason_code is None else f" (code {self.reason_code})"
        reason = self.reason or "the service gives no reason; job.logs() may tell more"
        return f"Job {self.job_id} failed{code}: {reason}"


@attrs.define(eq=False, slots=False)
class RuntimeJobCancelledError(JobError):
    """The job was cancelled, so there is no result."""

    job_id: str
    """The job."""

    def __str__(self) -> str:
        return f"Job {self.job_id} was cancelled: it has no result."


def stated(error: Exception) -> str:
    """What an error says, to stand inside of a sentence."""
    return str(error).removesuffix(".")
