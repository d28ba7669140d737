"""Fixtures for pytest, for who asks for them.

It needs pytest, which this package does not bring. Say in a `conftest.py`:

    pytest_plugins = ["runtime_core.testing.plugin"]

It is no entry point: an entry point would be loaded by every run of pytest in every environment
that has this library, also where nobody tests anything with it, and would take hypothesis along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest

from runtime_core.commands import Command
from runtime_core.events import Event
from runtime_core.machine import JobMachine
from runtime_core.testing.fake_clock import FakeClock
from runtime_core.testing.fake_transport import FakeTransport
from runtime_core.testing.ledger import Ledger, require, step
from runtime_core.traits import ServiceTraits


@attrs.frozen
class BookedMachine:
    """A machine and its ledger: what it is told is checked against every rule of the ledger."""

    machine: JobMachine
    """The machine."""
    ledger: Ledger
    """What is under way on its behalf."""

    def tell(self, *events: Event) -> tuple[Command, ...]:
        """Feed events that the machine must take; give the commands of the last.

        Raises:
            AssertionError: if it refuses one, or breaks a rule.
        """
        commands: tuple[Command, ...] | None = ()
        for event in events:
            commands = step(self.machine, self.ledger, event)
            require(commands is not None, f"{event!r} was refused")
        return commands or ()


@pytest.fixture
def fake_clock() -> FakeClock:
    """A clock that stands until the test moves it."""
    return FakeClock()


@pytest.fixture
def fake_transport(fake_clock: FakeClock) -> Iterator[Callable[..., FakeTransport]]:
    """Makes `FakeTransport`s, with the arguments of that, on the test's `fake_clock`.

    After the test, what still hangs is let go, and streams end: no thread is left behind.
    """
    made: list[FakeTransport] = []

    def make(*script: Any, **more: Any) -> FakeTransport:
        transport = FakeTransport(*script, **{"clock": fake_clock, **more})
        made.append(transport)
        return transport

    yield make
    for transport in made:
        transport.close()


@pytest.fixture
def ledger() -> Ledger:
    """An empty ledger, for a machine of yours: see `step`."""
    return Ledger()


@pytest.fixture
def job_machine() -> Callable[..., BookedMachine]:
    """Makes machines that are held to the rules: ``job_machine(traits).tell(JobStarted())``."""

    def make(traits: ServiceTraits | None = None, job_id: str = "j1") -> BookedMachine:
        traits = ServiceTraits() if traits is None else traits
        return BookedMachine(JobMachine(job_id, traits), Ledger())

    return make
