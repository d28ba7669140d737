"""What differs between services and matters to the machine: stated once, as data."""

from __future__ import annotations

from enum import Enum

import attrs

from runtime_core.states import JobState


class Resume(Enum):
    """What a service does when a stream is opened again."""

    OFFSET = "offset"
    """It starts after the message that the client names."""
    REPLAY = "replay"
    """It starts at the first message, every time."""
    LIVE = "live"
    """It sends what is published from now on; what came in between is gone."""

    __hash__ = object.__hash__


# On Python 3.11 a member costs ten times as much to look up on its Enum as a global.
_LIVE = Resume.LIVE


@attrs.frozen
class ServiceTraits:
    """The properties of a service that decide how the machine talks to it."""

    pushes: bool = False
    """Whether the service has streams; if not, everything but streaming works by polling."""
    resume: Resume = Resume.LIVE
    """How a stream goes on after a reconnect."""
    streams_result: bool = False
    """Whether the service sends the final result as one more message, the last before the close."""
    requeues: bool = False
    """Whether the service really puts running jobs back into its queue."""
    on_unknown_status: JobState | None = None
    """What an unknown status word is taken for; None raises `UnknownStatusError` to who waits."""

    @property
    def keeps_interim(self) -> bool:
        """Whether the service still has the messages that were published before a connection."""
        return self.resume is not _LIVE
