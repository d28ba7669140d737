"""What was found out about the ways to the logs of a head, for those who read them next. Pure."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final
from weakref import WeakValueDictionary

import attrs

MAX_QUICK: Final = 50
"""How many quick streams of one head are open at once from here.

A head has room for a hundred, from everybody, and what finds none waits there in silence, its state
API (`ray list`) too.
"""

NO_SUCH_CALL: Final = frozenset({404, 405, 501})
"""With these statuses a head says that it does not have the quick way."""

_REMEMBERED: Final = 1000
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
    """What all who read the logs of one head share. A wrong guess costs a request: no lock."""

    quick: bool = True
    """Whether the head is thought to give the logs of nodes, as they grow and from their end."""
    max_quick: int = MAX_QUICK
    """How many quick streams may be open at once."""
    # By job, and weak: nobody tells a protocol that its connection has broken, and it may stay
    # around until garbage is collected. Two that read one job at once count as one.
    _open: WeakValueDictionary[str, object] = attrs.field(
        factory=WeakValueDictionary, init=False, repr=False
    )
    _begun: OrderedDict[str, LogPlace] = attrs.field(factory=OrderedDict, init=False, repr=False)

    def begin_quick(self, job_id: str, stream: object) -> bool:
        """Give a job's stream leave to go the quick way, if there is room.

        It has that until it is ended or gone, or the job's next one takes its place.
        """
        if job_id not in self._open and len(self._open) >= self.max_quick:
            return False
        self._open[job_id] = stream
        return True

    def end_quick(self, job_id: str, stream: object) -> None:
        """Take note that a stream does not need its room any more."""
        if self._open.get(job_id) is stream:
            del self._open[job_id]

    def keep(self, job_id: str, place: LogPlace) -> None:
        """Remember how far a stream has come whose connection was closed after an answer."""
        self._begun[job_id] = place
        while len(self._begun) > _REMEMBERED:
            self._begun.popitem(last=False)

    def take(self, job_id: str) -> LogPlace | None:
        """Give what was remembered, once: it grows old."""
        return self._begun.pop(job_id, None)
