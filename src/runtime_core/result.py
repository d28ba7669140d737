"""The result region: the text of the result, or of a failed job the reason, fetched once."""

from __future__ import annotations

from enum import Enum

import attrs

from runtime_core.commands import Command, FetchFailure, FetchResult
from runtime_core.tables import by_state


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

_FETCH, _RECEIVE = ResultSignal.FETCH, ResultSignal.RECEIVE

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

_FROM = by_state(RESULT)


@attrs.frozen
class Failure:
    """Why a job failed."""

    reason: str | None = None
    """In the service's words, often a traceback; None if the service does not tell."""
    reason_code: int | str | None = None
    """The service's code for the reason."""


@attrs.define(eq=False, weakref_slot=False)
class ResultRegion:
    """What one job left behind."""

    state: ResultState = ResultState.UNKNOWN
    request: int = 0
    """The number of the request that is under way; 0 if none is."""
    text: str | None = None
    """The result, not decoded; None if it is not here."""
    told: Failure | None = None
    """What is known of the failure, be it only its code."""

    @property
    def failure(self) -> Failure | None:
        """Why the job failed, once that is all here."""
        return self.told if self.state is ResultState.HELD else None

    def tell_failure(self, reason: str | None, code: int | str | None) -> None:
        """The service told of the failure together with the state."""
        self.told = Failure(reason, code)
        if reason is not None:
            self.state = _FROM[self.state][_RECEIVE]

    def fetch(self, fetch: FetchResult | FetchFailure, out: list[Command]) -> None:
        """Ask for it."""
        self.state = _FROM[self.state][_FETCH]
        self.request = fetch.request
        out.append(fetch)

    def receive_text(self, text: str) -> None:
        """The result is here."""
        self.request = 0
        self.state = _FROM[self.state][_RECEIVE]
        self.text = text

    def receive_failure(self, reason: str | None, code: int | str | None) -> None:
        """The reason is here, or it is known that there is none."""
        self.request = 0
        self.state = _FROM[self.state][_RECEIVE]
        known = None if self.told is None else self.told.reason_code
        self.told = Failure(reason, known if code is None else code)

    def fail(self, signal: ResultSignal) -> None:
        """The request failed."""
        self.request = 0
        self.state = _FROM[self.state][signal]

    def release(self) -> None:
        """Give the memory of the text back, if it is here."""
        if self.text is not None:
            self.state = _FROM[self.state][ResultSignal.RELEASE]
            self.text = None
