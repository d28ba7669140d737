"""How often a service may be asked: our own limit, and the service's word. Pure: time is given.

All times are seconds on one monotonic clock.
"""

from __future__ import annotations

import math

from runtime_core.events import ReplyEvent, RequestFailed
from runtime_core.polling import retry_delay

BURST = 10
"""How many requests may go at once, at most, if there were none for a while."""

TOO_MANY_REQUESTS = 429
"""The status code by which a service says that it is asked too often (RFC 6585, section 4)."""

# Below what a timer resolves: who was woken for a moment must not find it a rounding away.
_ALMOST = 1e-6


class TokenBucket:
    """At most `rate` requests a second in the long run, of which a few may go at once.

    An infinite rate is no limit.
    """

    __slots__ = ("_full_at", "rate")

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._full_at = -math.inf

    def set_rate(self, rate: float, now: float) -> None:
        """Change the rate; as many tokens are missing then as before."""
        if rate == self.rate:
            return
        owed = max(0.0, self._full_at - now)
        self._full_at = now + (0.0 if math.inf in (rate, self.rate) else owed * self.rate / rate)
        self.rate = rate

    @property
    def burst(self) -> int:
        """How many tokens there are at most."""
        return int(max(1, min(BURST, self.rate)))

    def delay(self, now: float) -> float:
        """Seconds until there is a token; 0 if there is one."""
        delay = self._full_at - now - (self.burst - 1) / self.rate
        return delay if delay > _ALMOST else 0.0

    def tokens(self, now: float) -> int:
        """How many requests may go at once."""
        if self.rate == math.inf:
            return self.burst
        missing = max(0.0, self._full_at - now - _ALMOST) * self.rate
        return self.burst - math.ceil(missing)

    def take(self, now: float) -> None:
        """Spend a token; there must be one."""
        self._full_at = max(self._full_at, now) + 1 / self.rate


class SlowDown:
    """Until when nothing may be sent to a service, because it said that it is too much.

    A `Retry-After` rules, up to five minutes. Without one there is a back-off of 0.5 s, which
    doubles to 8 s each time that the service still says 429 after it; a success ends that.
    """

    __slots__ = ("_refusals", "until")

    def __init__(self) -> None:
        self.until = -math.inf
        """When it is over."""
        self._refusals = 0

    def holds(self, now: float) -> bool:
        """Whether nothing may be sent now."""
        return now < self.until - _ALMOST

    def hear(self, reply: ReplyEvent, now: float) -> None:
        """Take the answer to a request into account."""
        if not isinstance(reply, RequestFailed):
            self.hear_success(now)
            return
        if reply.retry_after is not None:
            delay = retry_delay(1, reply.retry_after)
        elif getattr(reply.error, "status_code", None) == TOO_MANY_REQUESTS and not self.holds(now):
            # Not while it holds: what was sent before it is one refusal, however often it is said.
            self._refusals += 1
            delay = retry_delay(self._refusals)
        else:
            return
        self.until = max(self.until, now + delay)

    def hear_success(self, now: float) -> None:
        """Take into account that the service has answered as it should."""
        if not self.holds(now):
            self._refusals = 0
