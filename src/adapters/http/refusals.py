"""Which refusal of a service has a class of its own. Pure.

| status | request | error |
|---|---|---|
| 401, 403 | any | NotAuthorizedError |
| 404 | a job, its end, its tags | RuntimeJobNotFoundError |
| 404 | a program, a part of it, a submission | RuntimeProgramNotFoundError |
| 409 | a program made or renamed | RuntimeDuplicateProgramError |

A 404 for a job's results or logs says no more than that there are none.
"""

from __future__ import annotations

import attrs

from runtime_core.errors import (
    NotAuthorizedError,
    RuntimeDuplicateProgramError,
    RuntimeJobNotFoundError,
    RuntimeProgramNotFoundError,
    TransportError,
)


def typed(error: TransportError, method: str, path: str) -> TransportError:
    """Give the error that says more than `error` of the same request; itself if there is none."""
    kind = _kind(error.status_code, method, path.partition("?")[0].strip("/").split("/"))
    return error if kind is None else of_kind(kind, error)


def of_kind(kind: type[TransportError], error: TransportError) -> TransportError:
    """Give an error of another class that says the same; itself if it is of that class."""
    return error if type(error) is kind else kind(*attrs.astuple(error, recurse=False))


def _kind(status: int | None, method: str, path: list[str]) -> type[TransportError] | None:
    match status, method, path:
        case ((401 | 403), _, _):
            return NotAuthorizedError
        case (404, _, ["jobs", _]) | (404, _, ["jobs", _, "cancel" | "tags"]):
            return RuntimeJobNotFoundError
        case (404, _, ["programs", _, *_]) | (404, "POST", ["jobs"]):
            return RuntimeProgramNotFoundError
        case 409, ("POST" | "PATCH"), ["programs", *_]:
            return RuntimeDuplicateProgramError
    return None
