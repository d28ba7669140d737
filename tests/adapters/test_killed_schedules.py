"""Seeded schedules in which the process is killed, and another one goes on from the last handle.

What goes wrong with the network is that of `test_stream_schedules`, before and after.
"""

from __future__ import annotations

import random
from typing import Any

import attrs
import pytest
from fake_service import StreamService
from streamed_world import StreamedWorld, missed, streamed_world
from test_stream_schedules import made, network, outcome

from adapters.drivers.inbox import Gap
from adapters.job import RuntimeJob
from adapters.websocket.client import RuntimeWebsocketClient
from runtime_core.job_handle import JobHandle
from runtime_core.traits import Resume

__all__ = ["network"]  # the fixture

SCHEDULES = 100


def taken_up(handle: JobHandle, service: StreamService, at: float) -> StreamedWorld:
    """The world of another process, in which so much time has passed already."""
    world = streamed_world(attrs.evolve(service, connections=[]))
    world.network.advance(at)
    streams = RuntimeWebsocketClient(
        "ws://service.example",
        "s3cret-token",
        resume=service.resume.value,
        streams_result=service.result is not None,
    )
    job: RuntimeJob = RuntimeJob.from_handle(
        JobHandle.from_json(handle.to_json()), world.client, streams, reactor=world.network
    )
    return attrs.evolve(world, job=job)


def account(before: list[Any], cursor: int, world: StreamedWorld) -> None:
    """Hold what both processes heard against what the service published.

    Where it keeps that, the second one hears exactly what comes from the cursor on. Where not, it
    hears of a gap first, then what came through, and of a gap wherever something was missed.
    """
    service, heard = world.service, world.heard
    if service.resume is not Resume.LIVE:
        whole = service.texts[cursor:]
        assert heard == (whole if world.job.stream_error() is None else whole[: len(heard)])
        return
    arrived = service.arrived
    if service.result is not None and arrived[-1:] == [service.result]:
        arrived.pop()
    assert world.texts == arrived
    if cursor > 0:
        assert heard[0] == Gap(cursor)
        assert missed([*before, *heard], service.texts) == []


@pytest.mark.parametrize("seed", range(SCHEDULES))
def test_a_killed_process_is_followed_by_another(seed: int) -> None:
    dice = random.Random(seed)
    world = made(dice)
    handles = [world.job.handle()]
    world.listen(lambda _: handles.append(world.job.handle()))
    killed_at = round(dice.uniform(0.0, world.service.ends + 3.0) * dice.choice((0.3, 1.0)), 1)
    world.network.advance(killed_at)
    handle = handles[-1]
    # The last one was saved within a callback, which may have returned since.
    assert handle.cursor in (len(world.texts), max(0, len(world.texts) - 1))
    again = taken_up(handle, world.service, killed_at)
    again.listen()
    outcome(again)
    again.network.advance(900.0)
    account(upto(handle.cursor, world.heard), handle.cursor, again)
    assert again.job.handle().cursor == handle.cursor + len(again.texts)
    assert again.traces == []


def upto(cursor: int, heard: list[Any]) -> list[Any]:
    """What was heard before the callback that saved this cursor."""
    ends = [n for n, item in enumerate(heard) if not isinstance(item, Gap)]
    return heard[: ends[cursor]] if cursor < len(ends) else heard
