"""What a wait tells while it waits: `on_status` of `wait_for_final_state`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import attrs

from runtime_core.events import Event, JobQueued
from runtime_core.machine import JobMachine
from runtime_core.states import JobState


@attrs.frozen
class StatusUpdate:
    """What has changed of a job while somebody waits for it."""

    state: JobState
    """The state, as the service told it."""
    queue_position: int | None
    """Which of the queued jobs it is, as the service told last: 1 is the next to run. None if it is
    not queued, or the service does not tell."""
    elapsed: float
    """The seconds from the call that waits until the service told this."""


class StatusNews:
    """Notes on the loop what changes, for one who waits elsewhere. Begins with what is known.

    Args:
        machine: the machine of the job.
        now: the clock of the loop, in seconds.
        stir: wakes who waits; called on the loop.
    """

    def __init__(
        self, machine: JobMachine, now: Callable[[], float], stir: Callable[[], object]
    ) -> None:
        self._machine = machine
        self._now = now
        self._stir = stir
        self._begun = now()
        self._known: tuple[JobState, int | None] | None = None
        self._updates: deque[StatusUpdate] = deque()

    def see(self, event: Event | None = None) -> None:
        """On the loop: the machine has received an event; None to say what is known."""
        machine = self._machine
        if not machine.confirmed:
            return
        position = None
        if machine.state is JobState.QUEUED:
            # Not every answer of a service has it: a list of jobs, say.
            position = None if self._known is None else self._known[1]
            if isinstance(event, JobQueued) and event.position is not None:
                position = event.position
        if self._known != (machine.state, position):
            self._known = machine.state, position
            elapsed = max(0.0, self._now() - self._begun)
            self._updates.append(StatusUpdate(machine.state, position, elapsed))
            self._stir()

    def next(self) -> StatusUpdate | None:
        """Where somebody waits: the next change, if there is one."""
        return self._updates.popleft() if self._updates else None
