"""The watch region: who is interested in the job, and when the service is asked."""

from __future__ import annotations

from enum import Enum

import attrs

from runtime_core.events import Need


class WatchState(Enum):
    """Whether the service is being asked for the state of the job."""

    IDLE = "idle"
    """Nothing is asked and no timer runs."""
    ASKING = "asking"
    """One status request is under way."""
    ASKING_AGAIN = "asking again"
    """One is under way, and its answer may be older than what has to be known: ask once more."""
    PAUSED = "paused"
    """The POLL timer is armed."""

    __hash__ = object.__hash__


class WatchSignal(Enum):
    """What moves the watch region."""

    ASK = "a fresh answer is needed now"
    REPLIED = "the service answered"
    FAILED = "the status request failed"
    PAUSE = "ask again after a delay"
    FIRED = "the delay has passed"
    REST = "nobody is interested"
    FINISH = "the job is final"

    __hash__ = object.__hash__


_IDLE, _ASKING = WatchState.IDLE, WatchState.ASKING
_AGAIN, _PAUSED = WatchState.ASKING_AGAIN, WatchState.PAUSED

# Columns: ASK, REPLIED, FAILED, PAUSE, FIRED, REST, FINISH. A request that is under way cannot be
# called back: REST lets it come home, FINISH makes its answer one that is no longer current.
_ROWS = {
    _IDLE: (_ASKING, _IDLE, _IDLE, _PAUSED, _IDLE, _IDLE, _IDLE),
    _ASKING: (_AGAIN, _IDLE, _IDLE, _ASKING, _ASKING, _ASKING, _IDLE),
    _AGAIN: (_AGAIN, _ASKING, _IDLE, _AGAIN, _AGAIN, _ASKING, _IDLE),
    _PAUSED: (_ASKING, _PAUSED, _PAUSED, _PAUSED, _ASKING, _IDLE, _IDLE),
}

WATCH: dict[tuple[WatchState, WatchSignal], WatchState] = {
    (state, signal): target
    for state, row in _ROWS.items()
    for signal, target in zip(WatchSignal, row, strict=True)
}
"""(state, signal) -> the state that follows."""


@attrs.define(eq=False)
class Wait:
    """Somebody who waits."""

    need: Need | None
    """What for; None waits for what the service says to a cancel."""
    wait: float
    """The longest time in seconds between two polls that suits them."""
    mark: int = 0
    """They are content with an answer to a status request of this number or a later one."""
