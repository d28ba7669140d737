"""An observer that holds what it saw to the machine's word."""

from __future__ import annotations

import pytest

from runtime_core.errors import RuntimeInvalidStateError
from runtime_core.machine import JobMachine
from runtime_core.observer import Step


class Twin:
    """Keeps the steps of one machine; `check` feeds them to another, which must do the same."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def __call__(self, step: Step) -> None:
        self.steps.append(step)

    @property
    def events(self) -> list[type[object]]:
        return [type(step.event) for step in self.steps]

    def check(self) -> None:
        """Not while it is called: what an observer raises is nobody's concern."""
        machine = JobMachine(self.steps[0].job_id, self.steps[0].traits)
        for step in self.steps:
            if step.refusal is None:
                assert repr(machine.receive(step.event)) == repr(step.commands)
            else:
                assert step.commands == ()
                with pytest.raises(RuntimeInvalidStateError):
                    machine.receive(step.event)
            assert (machine.state, machine.confirmed) == (step.state, step.confirmed)
