"""The original's errors. Each is one of ours too, so it is caught by either name.

    IBMQError                                also: RuntimeCoreError
    ├── IBMQInputValueError                  UsageError
    └── QiskitRuntimeError
        ├── RequestsApiError                 TransportError: has `status_code`
        ├── IBMQNotAuthorizedError           NotAuthorizedError
        ├── RuntimeDuplicateProgramError     RuntimeDuplicateProgramError
        ├── RuntimeProgramNotFound           RuntimeProgramNotFoundError
        ├── RuntimeJobNotFound               RuntimeJobNotFoundError
        ├── RuntimeJobFailureError           RuntimeJobFailureError
        └── RuntimeInvalidStateError         RuntimeInvalidStateError
    JobTimeoutError                          JobTimeoutError; no IBMQError in the original either

What is raised is made of ours at the border of `adapters.ibmq`. `except` looks at the real classes
of an error, so where the program has loaded Qiskit, what is raised has Qiskit's `QiskitError` (or
`JobTimeoutError`) among its bases; those classes are made when they are first needed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

from runtime_core import errors
from runtime_core.errors import RuntimeCoreError

P = ParamSpec("P")
T = TypeVar("T")


class _HasMessage:
    """Has the `message` that Qiskit's errors have."""

    def __getattr__(self, name: str) -> Any:
        # Some of ours have a field of this name.
        if name == "message":
            return str(self)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


class IBMQError(_HasMessage, RuntimeCoreError):
    """The base of all errors of the original."""

    # Before Qiskit's, which puts the text in quotes.
    __str__ = Exception.__str__


class QiskitRuntimeError(IBMQError):
    """The base of the errors of the runtime service."""


class IBMQInputValueError(errors.UsageError, IBMQError):
    """An input has a wrong value."""


class RequestsApiError(errors.TransportError, QiskitRuntimeError):
    """A request failed; `status_code` is None if there was no answer."""


class IBMQNotAuthorizedError(errors.NotAuthorizedError, RequestsApiError):
    """The account may not do that."""


class RuntimeDuplicateProgramError(errors.RuntimeDuplicateProgramError, RequestsApiError):
    """There is a program of that name already."""


class RuntimeProgramNotFound(  # noqa: N818 - the original's name
    errors.RuntimeProgramNotFoundError, RequestsApiError
):
    """There is no such program."""


class RuntimeJobNotFound(  # noqa: N818 - the original's name
    errors.RuntimeJobNotFoundError, RequestsApiError
):
    """There is no such job."""


class VisibilityProgramNotFound(RuntimeProgramNotFound, RuntimeJobNotFound):
    """There is no program whose visibility could be set: the original says "job" here."""


class JobTimeoutError(_HasMessage, errors.JobTimeoutError):
    """The answer did not come in time; where Qiskit is loaded, its `JobTimeoutError` as well."""


class RuntimeInvalidStateError(errors.RuntimeInvalidStateError, QiskitRuntimeError):
    """The state is not valid for the operation."""


class RuntimeJobFailureError(errors.RuntimeJobFailureError, QiskitRuntimeError):
    """The job failed; the text is the original's."""

    def __str__(self) -> str:
        why = failure_text(self.job_id, self.reason, self.reason_code)
        return f"Unable to retrieve job result. {why}"


def failure_text(job_id: str, reason: str | None, reason_code: int | str | None) -> str:
    """Say why a job failed, in the words of the original."""
    # The legacy dialect's word, and the current one's number, for the same.
    if reason_code in ("RAN_TOO_LONG", 1305):
        what = "ran longer than maximum execution time. Job was cancelled"
    else:
        what = "has failed"
    return f"Job {job_id} {what}:\n{reason or ''}"


_COUNTERPARTS: Final[dict[type[RuntimeCoreError], type[RuntimeCoreError]]] = {
    errors.JobTimeoutError: JobTimeoutError,
    errors.RuntimeJobFailureError: RuntimeJobFailureError,
    errors.RuntimeJobCancelledError: QiskitRuntimeError,
    errors.RuntimeInvalidStateError: RuntimeInvalidStateError,
    errors.RuntimeDuplicateProgramError: RuntimeDuplicateProgramError,
    errors.RuntimeProgramNotFoundError: RuntimeProgramNotFound,
    errors.RuntimeJobNotFoundError: RuntimeJobNotFound,
    errors.NotAuthorizedError: IBMQNotAuthorizedError,
    errors.TransportError: RequestsApiError,
    errors.UsageError: IBMQInputValueError,
    RuntimeCoreError: IBMQError,
}

_KINDS: Final[dict[tuple[type[RuntimeCoreError], type[Exception] | None], Any]] = {}
"""The classes that were made; of two threads that make the same, the first one's is used."""


def as_original(error: RuntimeCoreError) -> RuntimeCoreError:
    """Give an error as one of the original, and of Qiskit where that is loaded."""
    key = type(error), _qiskits(error)
    kind = _KINDS.get(key) or _KINDS.setdefault(key, _kind(*key))
    return error if kind is type(error) else _twin(kind, error.args, vars(error))


def translating(call: Callable[P, T]) -> Callable[P, T]:
    """Have a function raise the original's errors."""

    @wraps(call)
    def translated(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return call(*args, **kwargs)
        except RuntimeCoreError as error:
            twin = as_original(error)
            if twin is error:
                raise
            raise twin.with_traceback(error.__traceback__) from error.__cause__

    return translated


def _qiskits(error: RuntimeCoreError) -> type[Exception] | None:
    is_timeout = isinstance(error, errors.JobTimeoutError)
    module = sys.modules.get("qiskit.providers.exceptions" if is_timeout else "qiskit.exceptions")
    found = getattr(module, "JobTimeoutError" if is_timeout else "QiskitError", None)
    return found if isinstance(found, type) and issubclass(found, Exception) else None


def _kind(kind: type[RuntimeCoreError], qiskits: type[Exception] | None) -> type[RuntimeCoreError]:
    counterpart = next(_COUNTERPARTS[base] for base in kind.__mro__ if base in _COUNTERPARTS)
    bases: tuple[type, ...] = (kind,)
    if not issubclass(kind, counterpart):
        bases = (counterpart,) if issubclass(counterpart, kind) else (kind, counterpart)
    if qiskits is not None and not issubclass(kind, qiskits):
        bases += (qiskits,)
    if len(bases) == 1:
        return bases[0]
    # The class is made at run time: in another process of what that has loaded.
    reduce = lambda error: (_revived, (kind, error.args, vars(error)))  # noqa: E731
    body = {"__doc__": bases[0].__doc__, "__module__": __name__, "__reduce__": reduce}
    return type(bases[0].__name__, bases, body)


def _twin(
    kind: type[RuntimeCoreError], args: tuple[Any, ...], fields: dict[str, Any]
) -> RuntimeCoreError:
    twin = kind.__new__(kind, *args)
    twin.args = args
    vars(twin).update(fields)
    return twin


def _revived(
    kind: type[RuntimeCoreError], args: tuple[Any, ...], fields: dict[str, Any]
) -> RuntimeCoreError:
    return as_original(_twin(kind, args, fields))
