"""What is so at a service, whether or not it was told."""

from __future__ import annotations

import attrs

from runtime_core.states import JobState
from runtime_core.traits import ServiceTraits


@attrs.frozen
class Truth:
    """A job as its service knows it."""

    state: JobState
    """The state."""
    published: tuple[str, ...] = ()
    """All interim messages so far."""
    result: str | None = None
    """The text of the result, once there is one."""

    def stream(self, traits: ServiceTraits) -> tuple[str, ...]:
        """Everything that its stream carries, in order."""
        if traits.streams_result and self.state is JobState.DONE and self.result is not None:
            return (*self.published, self.result)
        return self.published

    def place_of(self, text: str, after: int | None, traits: ServiceTraits) -> int | None:
        """The place of a message behind another one; None if there is no such message."""
        stream = self.stream(traits)
        first = 0 if after is None else after + 1
        return next((n for n in range(first, len(stream)) if stream[n] == text), None)
