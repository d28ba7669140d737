"""The cancel region: a wish, what the service said to it, and what became of it.

A cancel never changes the state of the job; only the service's word does.
"""

from __future__ import annotations

from enum import Enum

import attrs

from runtime_core.commands import Command, SendCancel
from runtime_core.states import JobState
from runtime_core.tables import by_state


class CancelState(Enum):
    """What the service said to the last cancel."""

    NONE = "none"
    """Nobody asked for one."""
    REQUESTED = "requested"
    """It was sent; the answer is awaited."""
    ACCEPTED = "accepted"
    """The service took it; the job may still end in any way."""
    REJECTED = "rejected"
    """The service refused it."""
    UNKNOWN = "unknown"
    """It may have arrived or not; or it was taken, and the service cannot be asked any more."""

    __hash__ = object.__hash__


class CancelSignal(Enum):
    """What moves the cancel region."""

    REQUEST = "the caller wants a cancel"
    ACCEPT = "the service took it"
    REFUSE = "the service refused it"
    FAIL = "the request failed"
    LOSE = "the service cannot be asked any more"

    __hash__ = object.__hash__


class CancelOutcome(Enum):
    """What became of a cancel."""

    CANCELLED = "cancelled"
    """The job ended cancelled."""
    FINISHED_ANYWAY = "finished anyway"
    """The job came to another end before the cancel took effect."""
    REJECTED = "rejected"
    """The service refused the cancel."""
    UNKNOWN = "unknown"
    """It is not known whether the cancel arrived, or took effect."""


_NONE, _REQUESTED, _ACCEPTED = CancelState.NONE, CancelState.REQUESTED, CancelState.ACCEPTED
_REJECTED, _UNKNOWN = CancelState.REJECTED, CancelState.UNKNOWN

# Columns: REQUEST, ACCEPT, REFUSE, FAIL, LOSE. An answer that nobody awaits is absorbed.
_ROWS = {
    _NONE: (_REQUESTED, _NONE, _NONE, _NONE, _NONE),
    _REQUESTED: (_REQUESTED, _ACCEPTED, _REJECTED, _UNKNOWN, _REQUESTED),
    _ACCEPTED: (_REQUESTED, _ACCEPTED, _ACCEPTED, _ACCEPTED, _UNKNOWN),
    _REJECTED: (_REQUESTED, _REJECTED, _REJECTED, _REJECTED, _REJECTED),
    _UNKNOWN: (_REQUESTED, _UNKNOWN, _UNKNOWN, _UNKNOWN, _UNKNOWN),
}

CANCEL: dict[tuple[CancelState, CancelSignal], CancelState] = {
    (state, signal): target
    for state, row in _ROWS.items()
    for signal, target in zip(CancelSignal, row, strict=True)
}
"""(state, signal) -> the state that follows. REQUEST is refused before this while the job is
final."""

_FROM = by_state(CANCEL)


def cancel_outcome(cancel: CancelState, job: JobState) -> CancelOutcome | None:
    """What became of the last cancel; None if there was none, or it is not decided yet."""
    if cancel is _NONE:
        return None
    if cancel is _REJECTED:
        return CancelOutcome.REJECTED
    if job is JobState.CANCELLED:
        return CancelOutcome.CANCELLED
    if job.is_final:
        return CancelOutcome.FINISHED_ANYWAY
    return CancelOutcome.UNKNOWN if cancel is _UNKNOWN else None


@attrs.define(eq=False, weakref_slot=False)
class CancelRegion:
    """The cancel of one job."""

    state: CancelState = CancelState.NONE
    request: int = 0
    """The number of the cancel request that is under way; 0 if none is."""

    @property
    def is_unresolved(self) -> bool:
        """Whether its outcome is open, as long as the job is not final."""
        return self.state in (CancelState.REQUESTED, CancelState.ACCEPTED)

    def send(self, number: int, out: list[Command]) -> None:
        """Ask for a cancel; `number` is that of the request."""
        self.state = _FROM[self.state][CancelSignal.REQUEST]
        self.request = number
        out.append(SendCancel(number))

    def answer(self, signal: CancelSignal) -> None:
        """The request that is under way has ended."""
        self.state = _FROM[self.state][signal]
        self.request = 0

    def lose(self) -> None:
        """The service cannot be asked any more what became of it."""
        self.state = _FROM[self.state][CancelSignal.LOSE]
