"""Seeded schedules of everything at once: several faults, refusals, slow callbacks, early ends.

The seed of a schedule stands in its test's name: ``pytest -k 'a_schedule[17]'`` runs it again.
"""

from __future__ import annotations

import errno
import logging
import random
from functools import partial

import pytest
from fake_network import plug_in
from fake_service import OPENING, StreamService
from fakes import Answer, Late, Value, failure
from stream_script import Fault, Kind, Said, pings, says, says_in_parts
from streamed_world import StreamedWorld, account, streamed_world
from test_polling_proof import REFUSALS
from websocket_bytes import close_frame

from adapters.drivers import inbox
from runtime_core.errors import JobTimeoutError, RuntimeJobCancelledError, RuntimeJobFailureError
from runtime_core.events import JobStarted
from runtime_core.stream import LAST_ATTEMPTS
from runtime_core.traits import Resume

SCHEDULES = 300


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


ENDS = {
    "COMPLETED": None,
    "FAILED": RuntimeJobFailureError,
    "CANCELLED": RuntimeJobCancelledError,
}


def made(dice: random.Random) -> StreamedWorld:
    """A job whose first connections go wrong; the last attempts of an ended one are enough."""
    said = scripted(dice)
    ends = round((said[-1].at if said else 0.0) + dice.choice((0.0, 0.3, 2.0, 30.0)), 1)
    service = StreamService(said, ends, dice.choice(list(Resume)), dice.choice((None, "42")))
    service.end = dice.choice(list(ENDS))
    service.done = round(dice.choice((ends, ends + 2.0, max(0.0, ends - 5.0))), 1)
    faults: dict[int, Fault] = {}
    refusals: dict[int, bytes] = {}
    for number in range(1, LAST_ATTEMPTS):
        match dice.randrange(4):
            case 0:
                refusals[number] = dice.choice(list(REFUSALS.values())).answer
            case 1 | 2:
                at = dice.choice((dice.randrange(OPENING), OPENING + dice.randrange(400)))
                faults[number] = Fault(dice.choice(list(Kind)), at)
    service.faults, service.refuses = faults.get, refusals.get
    world = streamed_world(service, initial=dice.choice((None, JobStarted())))
    doors = {number: errno.ECONNREFUSED for number in range(1, 9) if dice.random() < 0.1}
    world.network.doors = lambda number: doors.get(number, 0)
    for _ in range(dice.randrange(3)):
        moment = dice.uniform(0.0, ends) * dice.choice((0.1, 1.0))
        # Not 1000: read when the job is known to have ended, it says that the stream is complete.
        code = dice.choice((1001, 1011, 4000))
        world.network.at(moment, partial(close, service, code))
    if dice.random() < 0.3:
        world.client.now_says(unsteady(dice, world))
    return world


def close(service: StreamService, code: int) -> None:
    """Close the connection that there is, if it is open, with this code."""
    if service.connections and not service.connections[-1].sock.is_closed:
        newest = service.connections[-1]
        if newest.is_streaming:
            newest.send_close(close_frame(code))


def unsteady(dice: random.Random, world: StreamedWorld) -> Answer:
    """What a service says of the state that is slow, or away, at times."""
    service = world.service

    def answer() -> Value:
        assert service.done is not None
        word = service.end if world.network.time >= service.done else "RUNNING"
        return dice.choice((word, word, Late(0.5, word), failure(503, retryable=True)))

    return answer


def outcome(world: StreamedWorld, timeout: float | None = None, wait: float = 5.0) -> None:
    """Have the result, or the error that the job ended with."""
    expected = ENDS[world.service.end]
    if expected is None:
        assert world.job.result(timeout, wait) == 42
        return
    with pytest.raises(expected):
        world.job.result(timeout, wait)


@pytest.mark.parametrize("seed", range(SCHEDULES))
def test_a_schedule(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(seed)
    monkeypatch.setattr(inbox, "MESSAGE_LIMIT", dice.choice((2, 10_000)))
    world = made(dice)
    slow = dice.choice((0.0, 0.0, 0.5, 15.0))
    world.listen(lambda _: world.network.hold(slow) if slow else None)
    timeout = dice.choice((0.0, 0.3, 5.0, 40.0))
    start = world.network.now()
    try:
        outcome(world, timeout=timeout, wait=dice.choice((0.1, 5.0)))
        assert world.network.now() <= start + timeout
    except JobTimeoutError:
        assert world.network.now() == start + timeout
    outcome(world)
    world.network.advance(900.0)
    account(world)
    assert world.traces == []
