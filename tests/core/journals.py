"""Machines with a journal."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from runtime_core.errors import RuntimeInvalidStateError
from runtime_core.events import Event
from runtime_core.journal import Journal
from runtime_core.machine import JobMachine
from runtime_core.observer import ObservedMachine
from runtime_core.traits import ServiceTraits


class Recorder:
    """A journal in memory, and a clock that goes on by half a second with each step."""

    def __init__(self, **options: Any) -> None:
        self.texts: list[str] = []
        self.journal = Journal(self.texts.append, **options)
        self.failures: list[Exception] = []
        self.now = 100.0

    def tick(self) -> float:
        self.now += 0.5
        return self.now - 0.5

    def machine(self, traits: ServiceTraits, job_id: str = "j1") -> ObservedMachine:
        machine = JobMachine(job_id, traits)
        return ObservedMachine(machine, self.journal, self.tick, self.failures.append)

    @property
    def text(self) -> str:
        return "".join(self.texts)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.text.splitlines()]


def tell(machine: ObservedMachine, events: Iterable[Event]) -> None:
    """Tell a machine what it may refuse."""
    for event in events:
        with suppress(RuntimeInvalidStateError):
            machine.receive(event)
