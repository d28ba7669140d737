"""The watch region: when the service is asked for the state, and which request is under way."""

from __future__ import annotations

from enum import Enum

import attrs

from runtime_core.commands import Command, FetchStatus, StartTimer, StopTimer
from runtime_core.events import TimerName
from runtime_core.numbered import numbered
from runtime_core.polling import poll_delay, retry_delay
from runtime_core.tables import by_state


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
_PAUSE, _FINISH = WatchSignal.PAUSE, WatchSignal.FINISH

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

_FROM = by_state(WATCH)

_POLL = TimerName.POLL
_STOP = StopTimer(_POLL)
_fetch_status = numbered(FetchStatus)

# Enough polls for the delay to have grown to the caller's `wait`.
_LATE = 100


@attrs.define(eq=False, weakref_slot=False)
class WatchRegion:
    """When a job is asked for. Every method appends its commands to `out`."""

    state: WatchState = WatchState.IDLE
    next_number: int = 1
    """The number of the next request of the job, of whatever kind, or of the next POLL timer: one
    counter for all of them, so that the numbers also tell what was sent before what."""
    request: int = 0
    """The number of the status request that is under way; 0 if none is."""
    timer: int = 0
    """The number of the POLL timer that is armed; 0 if none is."""
    delay: float = 0.0
    """The delay of the last POLL timer, in seconds."""
    polls: int = 0
    """How many polls the present polling has made; they become rarer."""
    failures: int = 0
    """How many requests in a row have failed and will be tried again."""

    @property
    def is_backing_off(self) -> bool:
        """Whether the timer that is armed spares a service that failed."""
        return self.failures > 0 and self.state is _PAUSED

    def new_number(self) -> int:
        """The number for a request that is sent now."""
        number = self.next_number
        self.next_number = number + 1
        return number

    def signal(self, signal: WatchSignal, out: list[Command]) -> None:
        """Make one move of the table, and what comes with the state that follows."""
        self.state = after = _FROM[self.state][signal]
        if after is not _PAUSED and self.timer:
            self.timer = 0
            out.append(_STOP)
        if after is _ASKING and self.request == 0:
            self.request = self.new_number()
            out.append(_fetch_status(self.request))

    def finish(self, out: list[Command]) -> None:
        """The job is final: it is asked for no more."""
        self.request = 0
        self.state = _FROM[self.state][_FINISH]
        if self.timer:
            self.timer = 0
            out.append(_STOP)

    def next_delay(self, wait: float, pushed: bool) -> float:
        """Seconds until the next poll.

        Args:
            wait: the longest delay that suits everybody who waits.
            pushed: whether a connection tells that the job goes on; polling is only the proof then.
        """
        return poll_delay(_LATE if pushed else self.polls, wait)

    def poll_later(self, delay: float, out: list[Command]) -> None:
        """Ask again after a delay of the polling rule."""
        self.polls += 1
        self._pause(delay, out)

    def retry_later(self, retry_after: float | None, out: list[Command]) -> float:
        """Try again what has failed, after a delay of so many seconds."""
        delay = retry_delay(self.failures, retry_after)
        self._pause(delay, out)
        return delay

    def _pause(self, delay: float, out: list[Command]) -> None:
        self.state = _FROM[self.state][_PAUSE]
        self.timer = self.new_number()
        self.delay = delay
        out.append(StartTimer(_POLL, self.timer, delay))
