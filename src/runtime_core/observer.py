"""What can be seen of a machine at work: each event, and the commands that it led to.

An observer is any function that takes a `Step`. The drivers of `adapters` take one as `observer=`;
a driver of your own shows its machine's steps by an `ObservedMachine`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import attrs

from runtime_core.commands import Command
from runtime_core.errors import RuntimeInvalidStateError
from runtime_core.events import Event
from runtime_core.machine import JobMachine
from runtime_core.states import JobState
from runtime_core.traits import ServiceTraits


@attrs.frozen
class Step:
    """One event that a machine received, and what followed from it."""

    job_id: str
    """The job."""
    traits: ServiceTraits
    """What the machine knows of the service: the same for every step of a machine."""
    at: float
    """When, in seconds on the driver's monotonic clock."""
    event: Event
    """What was received."""
    commands: tuple[Command, ...]
    """What has to be done because of it."""
    state: JobState
    """The state of the job afterwards."""
    confirmed: bool
    """Whether the service has said anything about the state by then."""
    refusal: RuntimeInvalidStateError | None = None
    """Why the machine refused the event, a wish of the caller; it changed nothing then."""
    source: object = attrs.field(default=None, eq=False, repr=False)
    """Which machine it was: the same object for all its steps, another for another machine, be it
    of the same job. It can be held weakly; nothing else is promised of it."""


Observer: TypeAlias = Callable[[Step], object]
"""Is called with each step of a machine, in order, refused ones too. That is on the loop that all
jobs share (the first step perhaps where the job is made), so it returns quickly and does not block.
An exception that it raises is logged, once for each job, and changes nothing."""


class ObservedMachine:
    """Shows an observer what a machine does. Used as the machine is: by one thread at a time.

    Args:
        machine: the machine; what others tell it directly is not seen.
        observer: is called with each step, before its commands are carried out.
        now: the driver's monotonic clock, in seconds.
        on_failure: is called with the first exception that the observer raises, while it is being
            handled; the observer is called with further steps all the same.
    """

    __slots__ = ("__weakref__", "_machine", "_now", "_observer", "_on_failure")

    def __init__(
        self,
        machine: JobMachine,
        observer: Observer,
        now: Callable[[], float],
        on_failure: Callable[[Exception], object],
    ) -> None:
        self._machine = machine
        self._observer = observer
        self._now = now
        self._on_failure: Callable[[Exception], object] | None = on_failure

    def receive(self, event: Event) -> tuple[Command, ...]:
        """Do what `JobMachine.receive` does, and show it.

        Raises:
            RuntimeInvalidStateError: as there.
            TypeError: as there; that is no step.
        """
        try:
            commands = self._machine.receive(event)
        except RuntimeInvalidStateError as refusal:
            self.show(event, (), refusal)
            raise
        self.show(event, commands)
        return commands

    def show(
        self,
        event: Event,
        commands: tuple[Command, ...],
        refusal: RuntimeInvalidStateError | None = None,
    ) -> None:
        """Show what the machine has just done: for drivers that do not call `receive` here."""
        machine = self._machine
        step = Step(
            machine.job_id,
            machine.traits,
            self._now(),
            event,
            commands,
            machine.state,
            machine.confirmed,
            refusal,
            self,
        )
        try:
            self._observer(step)
        except Exception as error:
            on_failure, self._on_failure = self._on_failure, None
            if on_failure is not None:
                on_failure(error)
