"""The result region: the text of the result, or of a failed job the reason, fetched once."""

from __future__ import annotations

from enum import Enum

import attrs


class ResultState(Enum):
    """Whether the text is here."""

    UNKNOWN = "unknown"
    """It was not asked for."""
    FETCHING = "fetching"
    """One request is under way; whoever wants the text joins it."""
    HELD = "held"
    """It is here."""
    FAILED = "failed"
    """It could not be had; it may be asked for again."""
    RELEASED = "released"
    """It was here, and its memory was given back; asking fetches it again."""

    __hash__ = object.__hash__


class ResultSignal(Enum):
    """What moves the result region."""

    FETCH = "somebody wants it"
    RECEIVE = "it came, or the service told it with the state"
    RETRY = "the request failed and will be tried again"
    FAIL = "the request failed"
    RELEASE = "its memory is wanted back"

    __hash__ = object.__hash__


_UNKNOWN, _FETCHING, _HELD = ResultState.UNKNOWN, ResultState.FETCHING, ResultState.HELD
_FAILED, _RELEASED = ResultState.FAILED, ResultState.RELEASED

# Columns: FETCH, RECEIVE, RETRY, FAIL, RELEASE.
_ROWS = {
    _UNKNOWN: (_FETCHING, _HELD, _UNKNOWN, _UNKNOWN, _UNKNOWN),
    _FETCHING: (_FETCHING, _HELD, _UNKNOWN, _FAILED, _FETCHING),
    _HELD: (_HELD, _HELD, _HELD, _HELD, _RELEASED),
    _FAILED: (_FETCHING, _FAILED, _FAILED, _FAILED, _FAILED),
    _RELEASED: (_FETCHING, _RELEASED, _RELEASED, _RELEASED, _RELEASED),
}

RESULT: dict[tuple[ResultState, ResultSignal], ResultState] = {
    (state, signal): target
    for state, row in _ROWS.items()
    for signal, target in zip(ResultSignal, row, strict=True)
}
"""(state, signal) -> the state that follows."""


@attrs.frozen
class Failure:
    """Why a job failed."""

    reason: str | None = None
    """In the service's words, often a traceback; None if the service does not tell."""
    reason_code: int | str | None = None
    """The service's code for the reason."""
