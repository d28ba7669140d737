"""What was found out about the ways to the logs of a head, for the streams that follow. Pure."""

from __future__ import annotations

from collections import OrderedDict

import attrs

_REMEMBERED = 1000
"""How many jobs are remembered; each is forgotten when its next stream begins."""


@attrs.frozen
class LogPlace:
    """Where the log of a job is, as the head said."""

    node_id: str
    """The node that the job runs on, or ran on."""
    nonce: str
    """What marks our lines in it."""
    is_final: bool
    """Whether the job had ended."""
    by_tail: bool = False
    """Whether the quick way to it was refused."""


@attrs.define
class LogRoutes:
    """What the streams of one head share. A wrong guess costs a request, so nothing is locked."""

    quick: bool = True
    """Whether the head is thought to have the quick log stream."""
    _begun: OrderedDict[str, LogPlace] = attrs.field(factory=OrderedDict, init=False)

    def keep(self, job_id: str, place: LogPlace) -> None:
        """Remember how far a stream has come whose connection was closed after an answer."""
        self._begun[job_id] = place
        while len(self._begun) > _REMEMBERED:
            self._begun.popitem(last=False)

    def take(self, job_id: str) -> LogPlace | None:
        """Give what was remembered, once: it grows old."""
        return self._begun.pop(job_id, None)
