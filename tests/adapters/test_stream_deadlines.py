"""When a stream is opened again, asked for a sign of life, given up: to the moment."""

from __future__ import annotations

import errno
import itertools
import logging

import pytest
from fake_network import plug_in
from fake_service import HEAD, OPENING, StreamService
from stream_script import Fault, Kind, Said, first, says
from streamed_world import StreamedWorld, streamed_world
from websocket_bytes import frame

from adapters.drivers import channel, inbox
from adapters.drivers.channel import CLOSE_TIMEOUT, OPEN_TIMEOUT, PING_INTERVAL
from adapters.drivers.inbox import Gap
from runtime_core.events import JobQueued
from runtime_core.polling import LONGEST_RETRY, retry_delay
from runtime_core.traits import Resume

HOUR = 3600.0


@pytest.fixture(autouse=True)
def network(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    plug_in(monkeypatch)
    caplog.set_level(logging.CRITICAL, logger="adapters.drivers")


def streamed(*said: Said, ends: float = HOUR, **options: object) -> StreamedWorld:
    """A job that is being streamed."""
    service = StreamService(said, ends, **options)  # type: ignore[arg-type]
    world = streamed_world(service)
    world.listen()
    return world


def connected_at(world: StreamedWorld) -> list[float]:
    return [sock.opened_at for sock in world.network.sockets]


def ended_at(world: StreamedWorld) -> list[float | None]:
    return [sock.closed_at for sock in world.network.sockets]


def back_offs(count: int, each: float = 0.0) -> list[float]:
    """When so many connections are opened, of which each fails after a time."""
    delays = (each + retry_delay(number) for number in range(1, count))
    return list(itertools.accumulate(delays, initial=0.0))


# ---- back-off ----------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0, 1, HEAD, OPENING])
@pytest.mark.parametrize("kind", [Kind.RESET, Kind.HALF_CLOSE, Kind.GARBAGE])
def test_connections_without_progress_are_ever_rarer(kind: Kind, at: int) -> None:
    world = streamed(faults=lambda _: Fault(kind, at))
    world.network.advance(45.0)
    assert connected_at(world) == back_offs(9)
    assert connected_at(world)[-2:] == [31.5, 31.5 + LONGEST_RETRY]


def test_refused_connections_are_ever_rarer() -> None:
    world = streamed_world(StreamService((), HOUR))
    world.network.doors = lambda _: errno.ECONNREFUSED
    world.listen()
    world.network.advance(45.0)
    assert connected_at(world) == back_offs(9)


def test_after_progress_the_back_off_begins_anew() -> None:
    message = frame(1, b"1")
    world = streamed(
        *(says(0.1 * number, str(number)) for number in range(1, 100)),
        faults=lambda _: Fault(Kind.RESET, OPENING + len(message)),
    )
    world.network.advance(3.0)
    # Each carries the next message, at once or when it is published, and breaks.
    assert connected_at(world) == [0.0, 0.6, 1.1, 1.6, 2.1, 2.6]
    assert world.heard == ["1", "2", "3", "4", "5", "6"]


def test_a_replay_without_anything_new_is_no_progress() -> None:
    message = frame(1, b"1")
    world = streamed(
        says(0.0, "1"),
        says(0.0, "2"),
        resume=Resume.REPLAY,
        faults=lambda _: Fault(Kind.RESET, OPENING + len(message)),
    )
    world.network.advance(20.0)
    assert connected_at(world) == back_offs(6)
    assert world.heard == ["1"]


def test_leaving_during_a_back_off_leaves_nothing() -> None:
    world = streamed(faults=lambda _: Fault(Kind.RESET, HEAD))
    world.network.advance(4.0)  # the next would be at 7.5 s
    world.job.cancel_result_streaming()
    assert world.traces == []
    world.network.advance(60.0)
    assert connected_at(world) == [0.0, 0.5, 1.5, 3.5]


# ---- opening -----------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0, 1, HEAD // 2, HEAD - 1])
def test_a_handshake_that_never_ends_is_given_up(at: int) -> None:
    world = streamed(faults=lambda _: Fault(Kind.STALL, at))
    world.network.advance(99.0)
    assert connected_at(world) == back_offs(4, OPEN_TIMEOUT)
    assert ended_at(world) == [30.0, 60.5, 91.5, None]


@pytest.mark.parametrize("addresses", [1, 2, 3])
def test_an_address_that_does_not_answer_leaves_time_for_the_next(addresses: int) -> None:
    world = streamed_world(StreamService((says(0.0, "1"),), HOUR))
    world.network.addresses = addresses
    world.network.doors = lambda number: None if number < addresses else 0
    world.listen()
    world.network.advance(35.0)
    patience = OPEN_TIMEOUT / (addresses + 1)
    assert connected_at(world) == [patience * number for number in range(addresses)]
    assert world.heard == ["1"]


def test_a_service_of_which_no_address_answers_is_tried_again() -> None:
    world = streamed_world(StreamService((), HOUR))
    world.network.addresses = 2
    world.network.doors = lambda _: None
    world.listen()
    world.network.advance(42.0)
    assert connected_at(world) == [0.0, 10.0, 20.5, 30.5, 41.5]


# ---- alive or dead -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last_word", "noticed"), [(0.0, 40.0), (0.1, 40.0), (19.9, 40.0), (20.1, 60.0), (65.0, 100.0)]
)
def test_a_peer_that_stopped_answering_is_noticed_at_the_second_ping(
    last_word: float, noticed: float
) -> None:
    world = streamed(says(last_word, "1"), says(last_word + 1.0, "2"))
    world.network.at(last_word, lambda: world.service.connections[0].stall())
    world.network.advance(noticed - 0.001)
    assert ended_at(world) == [None]
    world.network.advance(0.501)
    assert ended_at(world) == [noticed, None]
    assert connected_at(world) == [0.0, noticed + retry_delay(1)]
    world.network.advance(0.0)
    assert world.heard == ["1", "2"]


def test_it_is_pinged_in_equal_steps_as_long_as_it_answers() -> None:
    world = streamed(says(30.0, "1"))
    world.network.advance(5 * PING_INTERVAL + 1.0)
    (connection,) = world.service.connections
    assert connection.pings == [20.0, 40.0, 60.0, 80.0, 100.0]


@pytest.mark.parametrize(("interval", "survives"), [(20.0, True), (59.0, True), (61.0, False)])
def test_an_idle_stream_behind_a_proxy_that_drops_idle_connections(
    interval: float, survives: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "PING_INTERVAL", interval)
    service = StreamService((says(HOUR, "1"),), HOUR + 1.0, idle_limit=60.0)
    world = streamed_world(service, initial=JobQueued())
    world.client.now_says(lambda: "QUEUED" if world.network.time < HOUR else "COMPLETED")
    world.listen()
    world.network.advance(HOUR - 0.5)
    assert (len(world.service.connections) == 1) is survives
    if survives:
        assert len(world.service.connections[0].pings) == (HOUR - 1.0) // interval
    assert world.job.result() == 42
    world.network.advance(60.0)
    assert world.heard == ["1"]
    assert world.traces == []


def test_a_slow_callback_suspends_the_judgement_of_the_peer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inbox, "MESSAGE_LIMIT", 4)
    said = tuple(says(0.0, str(number)) for number in range(6))
    world = streamed_world(StreamService(said, HOUR, faults=first(Fault(Kind.STALL, OPENING + 18))))
    world.listen(lambda text: world.network.hold(130.0) if text == "0" else None)
    world.network.advance(159.9)
    # It is silent, and nobody reads until 130 s; what counts is the silence between two pings.
    assert ended_at(world) == [None]
    world.network.advance(0.2)
    assert ended_at(world) == [160.0]
    assert world.heard == [each.text for each in said]


def test_what_came_before_a_break_is_read_when_there_is_room_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inbox, "MESSAGE_LIMIT", 4)
    said = (*(says(0.0, str(number)) for number in range(6)), says(5.0, "6"))
    broken = first(Fault(Kind.BROKEN_PIPE, OPENING + 18))
    world = streamed_world(StreamService(said, HOUR, Resume.LIVE, faults=broken))
    world.listen(lambda text: world.network.hold(131.0) if text == "0" else None)
    world.network.advance(135.0)
    # The ping at 20 s could not be written; the last message was read at 131 s, within the steps
    # of 2 s in which the peer is listened to from then on.
    assert world.heard == [*world.service.texts, Gap(7)]
    assert ended_at(world) == [132.0 + CLOSE_TIMEOUT, None]


def test_a_peer_that_answers_no_close_is_left_after_a_while() -> None:
    world = streamed(faults=lambda _: Fault(Kind.STALL, OPENING))
    world.network.advance(5.0)
    world.job.cancel_result_streaming()
    world.network.advance(10.0)
    assert ended_at(world) == [5.0 + CLOSE_TIMEOUT]
    assert world.traces == []


def test_a_peer_that_answers_a_close_is_left_at_once() -> None:
    world = streamed()
    world.network.advance(5.0)
    world.job.cancel_result_streaming()
    world.network.settle()
    assert ended_at(world) == [5.0]
    assert world.service.connections[0].close_code == 1000
    assert world.traces == []


@pytest.mark.parametrize("at", [0, HEAD - 1])
def test_a_handshake_that_nobody_waits_for_is_left_at_once(at: int) -> None:
    world = streamed(faults=lambda _: Fault(Kind.STALL, at))
    world.network.advance(5.0)
    world.job.cancel_result_streaming()
    world.network.settle()
    assert ended_at(world) == [5.0]
    assert world.traces == []
