"""Seeded schedules of everything at once: several faults, refusals, slow callbacks, early ends.

A schedule that fails prints its seed; ``test_a_schedule(seed)`` runs it again.
"""

from __future__ import annotations

import logging
import random

import pytest
from fake_network import plug_in
from fake_service import (
    OPENING,
    Fault,
    Kind,
    Said,
    StreamedWorld,
    StreamService,
    account,
    pings,
    says,
    says_in_parts,
    streamed_world,
)
from test_polling_proof import REFUSALS

from adapters.drivers import inbox
from runtime_core.errors import JobTimeoutError
from runtime_core.events import JobStarted
from runtime_core.stream import LAST_ATTEMPTS
from runtime_core.traits import Resume

SCHEDULES = 300
PASSING = [refusal for refusal in REFUSALS.values() if refusal.passes]
KINDS = [kind for kind in Kind if kind is not Kind.GARBAGE]


@pytest.fixture(autouse=True)
def network(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    plug_in(monkeypatch)
    caplog.set_level(logging.CRITICAL, logger="adapters.drivers")


def scripted(dice: random.Random) -> tuple[Said, ...]:
    """Messages that all differ, at times that do not decrease."""
    said: list[Said] = []
    now = 0.0
    for number in range(dice.randrange(12)):
        now = round(now + dice.choice((0.0, 0.0, 0.1, 0.7, 3.0, 25.0)), 1)
        text = f"{number}" + "ö" * dice.choice((0, 1, 5, 60, 130))
        encoded = text.encode()
        cut = dice.randrange(len(encoded) + 1)
        said.append(
            dice.choice((says(now, text), says_in_parts(now, encoded[:cut], encoded[cut:])))
        )
        if dice.random() < 0.2:
            said.append(pings(now, b"%d" % number))
    return tuple(said)


def made(dice: random.Random) -> StreamedWorld:
    said = scripted(dice)
    ends = round((said[-1].at if said else 0.0) + dice.choice((0.0, 0.3, 2.0, 30.0)), 1)
    service = StreamService(said, ends, dice.choice(list(Resume)), dice.choice((None, "42")))
    # Who streams the result does not say RUNNING after it.
    late = 2.0 if service.result is None else 0.0
    service.done = round(dice.choice((ends, ends + late, max(0.0, ends - 5.0))), 1)
    faults: dict[int, Fault] = {}
    refusals: dict[int, bytes] = {}
    for number in range(1, LAST_ATTEMPTS):
        match dice.randrange(4):
            case 0:
                refusals[number] = dice.choice(PASSING).answer
            case 1 | 2:
                at = dice.choice((dice.randrange(OPENING), OPENING + dice.randrange(400)))
                faults[number] = Fault(dice.choice(KINDS), at)
    service.faults, service.refuses = faults.get, refusals.get
    return streamed_world(service, initial=dice.choice((None, JobStarted())))


@pytest.mark.parametrize("seed", range(SCHEDULES))
def test_a_schedule(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(seed)
    monkeypatch.setattr(inbox, "MESSAGE_LIMIT", dice.choice((2, 10_000)))
    world = made(dice)
    slow = dice.choice((0.0, 0.0, 0.5, 15.0))
    world.network.at(dice.choice((0.0, 0.0, 1.0)), lambda: None)
    world.listen(lambda _: world.network.hold(slow) if slow else None)
    timeout = dice.choice((0.0, 0.3, 5.0, 40.0))
    start = world.network.now()
    try:
        assert world.job.result(timeout=timeout, wait=dice.choice((0.1, 5.0))) == 42
        assert world.network.now() <= start + timeout
    except JobTimeoutError:
        assert world.network.now() == start + timeout
    assert world.job.result() == 42
    world.network.advance(900.0)
    account(world)
    assert world.traces == []
