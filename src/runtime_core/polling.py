"""How long to wait before the next request: plain arithmetic, all times in seconds."""

from __future__ import annotations

FIRST_POLL = 0.05
"""The delay before the first poll of a wait."""
POLL_GROWTH = 1.5
"""By how much each delay is longer than the one before."""
SHORTEST_POLL = 0.02
"""No two polls are closer than this, whatever the caller asks for."""
DEFAULT_WAIT = 5.0
"""The longest delay between two polls where no caller says otherwise."""
FIRST_RETRY = 0.5
"""The delay after the first failure; it doubles with each further one."""
LONGEST_RETRY = 8.0
"""The longest delay that we choose ourselves after a failure."""
LONGEST_RETRY_AFTER = 300.0
"""How much of a service's Retry-After is obeyed."""

# The delay has reached any sensible `wait` long before; a float overflows at 1.5 ** 1751.
_LAST_GROWTH = 40


def poll_delay(attempt: int, wait: float) -> float:
    """Seconds until the next poll.

    Args:
        attempt: how many polls this wait has made already.
        wait: the longest delay that the caller wants, in seconds.
    """
    grown = FIRST_POLL * POLL_GROWTH ** min(attempt, _LAST_GROWTH)
    return max(SHORTEST_POLL, min(grown, wait))


def retry_delay(failures: int, retry_after: float | None = None) -> float:
    """Seconds until a failed request is tried again.

    Args:
        failures: how many requests have failed in a row; at least 1.
        retry_after: what the service asked for, in seconds; it rules, up to five minutes.
    """
    if retry_after is not None:
        return max(SHORTEST_POLL, min(retry_after, LONGEST_RETRY_AFTER))
    return min(FIRST_RETRY * 2.0 ** min(failures - 1, 10), LONGEST_RETRY)
