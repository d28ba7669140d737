"""Those who wait for a job: what for, how patiently, and from which answer on they are content."""

from __future__ import annotations

import attrs

from runtime_core.events import Need
from runtime_core.polling import DEFAULT_WAIT

# On Python 3.11 a member costs ten times as much to look up on its Enum as a global.
_FINAL, _RESULT = Need.FINAL, Need.RESULT


@attrs.define(eq=False, weakref_slot=False)
class Wait:
    """Somebody who waits."""

    need: Need | None
    """What for; None waits for what the service says to a cancel."""
    wait: float
    """The longest time in seconds between two polls that suits them."""
    mark: int = 0
    """They are content with an answer to a status request of this number or a later one; 0 if no
    such answer will do. A cancel has one once the service has refused it."""

    @property
    def follows(self) -> bool:
        """Whether they follow the job to its end, by polls and a stream."""
        return self.need is _FINAL or self.need is _RESULT


class Waits(dict[int, Wait]):
    """The waits of one job by their numbers, in the order in which they began."""

    __slots__ = ()

    def followed(self) -> bool:
        """Whether anybody follows the job to its end."""
        return any(wait.follows for wait in self.values())

    def shortest(self) -> float:
        """The longest time between two polls that suits all who follow the job, in seconds."""
        if not self:
            return DEFAULT_WAIT
        return min((w.wait for w in self.values() if w.follows), default=DEFAULT_WAIT)

    def answered_by(self, request: int) -> list[int]:
        """Those who are content with an answer to this status request."""
        return [number for number, wait in self.items() if 0 < wait.mark <= request]

    def impatient(self) -> list[int]:
        """Those whom any failure of a status request ends."""
        return [number for number, wait in self.items() if wait.mark]

    def cancels(self) -> list[int]:
        """Those who wait for the service's answer to a cancel."""
        return [n for n, wait in self.items() if wait.need is None and wait.mark == 0]


NOBODY = Waits()
"""Nobody waits: what the jobs share for whom that is so. Never changed."""
