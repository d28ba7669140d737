"""What a call promises of its answer, and the error if the answer is something else. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from runtime_core.errors import DecodeError, TransportError

T = TypeVar("T")

NOT_PROMISED: Final = "The answer is not what the call promises"
"""How the errors about such answers begin."""


def as_promised(read: Callable[[object], T], answer: object) -> T:
    """Read an answer of the service with one of the `read_*` functions of `documents`.

    For instance ``as_promised(read_job, client.job_get(job_id))``.

    Raises:
        TransportError: if the answer is not what the call promises.
    """
    try:
        return read(answer)
    except DecodeError as error:
        raise TransportError(f"{NOT_PROMISED}: {error}") from error
