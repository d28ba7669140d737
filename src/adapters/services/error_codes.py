"""How a service's error answers are read, where the HTTP status does not say it all. Pure.

A service with error codes of its own says by them what others say by the status. So a code is read
as the HTTP status that means the same, and everything else follows from that: whether it is worth a
second try (`adapters.http.retry`), whether the request may have been carried out
(`adapters.http.failures`), what class the error has (`adapters.http.refusals`), what becomes of a
cancel.

| the service means | the status |
|---|---|
| this cancel comes too late: the job has ended | 409 |
| there is no such job; of a result: there is none | 404 |
| this token is not, or no longer, good | 401 |
| too many requests: wait | 429 |
| it cannot just now | 503 |
| it will not, whatever you do | 400 |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeVar

import attrs

from adapters.services.places import Places, Where

C = TypeVar("C", bound=int | str)


@attrs.frozen
class ErrorAnswer:
    """What an error answer means."""

    status: int
    """The HTTP status, from 400 on, that means the same."""
    reason_code: int | str | None = None
    """The service's own code; None if it has none."""
    words: str | None = None
    """What the service says, for people; None if that is to be looked for in the usual places."""
    retry_after: float | None = None
    """The seconds that it asks to wait; None if that is said by a `Retry-After`, or not at all."""


class ErrorReader(Protocol):
    """Says what an error answer means."""

    def __call__(self, status: int, document: object, /) -> ErrorAnswer | None:
        """Read an answer with a status from 400 on; None if the status says it all. Never raises.

        Args:
            status: the HTTP status.
            document: the body, if that is JSON; as a text, if it is called plain text; else None.
        """
        ...


def error_codes(
    codes: Mapping[C, int],
    *,
    at: Where,
    text: Where = (),
    wait: Where = (),
    wait_unit: float = 1.0,
) -> ErrorReader:
    """Make the reader of a service's own error codes.

    For instance ``error_codes({"TASK_OVER": 409, "SLOW_DOWN": 429}, at="error.code")``. An answer
    with another code, or none, is what its status says.

    Args:
        codes: for each code the HTTP status that means the same, see above.
        at: where the code stands in the answer, the steps joined by dots.
        text: where the words for people stand, if not where they are looked for anyway.
        wait: where it is said how long to wait before the next request.
        wait_unit: how many seconds that is for a 1: 0.001 if it is in milliseconds.

    Raises:
        ValueError: if a place cannot be one, or a status is none from 400 to 599.
    """
    statuses = {str(code): status for code, status in codes.items()}
    for code, status in statuses.items():
        if not 400 <= status < 600:
            raise ValueError(f"{code!r} means an HTTP status from 400 to 599, not {status!r}")
    places, words, waits = Places.of(at), Places.of(text), Places.of(wait)

    def read_error(status: int, document: object, /) -> ErrorAnswer | None:
        code = places.code(document)
        if code is None:
            return None
        means = statuses.get(str(code), status)
        return ErrorAnswer(means, code, words.text(document), waits.seconds(document, wait_unit))

    return read_error
