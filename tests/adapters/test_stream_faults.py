"""Recorded streams, and at every byte of them a fault: nothing is lost, repeated or left behind.

The job, its driver, its connections and its protocol are the real ones; the clock and the bytes are
the test's.
"""

from __future__ import annotations

import logging

import attrs
import pytest
from fake_network import plug_in
from fake_service import HEAD, OPENING, StreamService
from stream_script import Fault, Faults, Kind, Said, first, pings, says, says_in_parts
from streamed_world import StreamedWorld, account, streamed_world
from websocket_bytes import frame

from runtime_core.traits import Resume


@pytest.fixture(autouse=True)
def network(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    plug_in(monkeypatch)
    caplog.set_level(logging.CRITICAL, logger="adapters.drivers")


# ---- the recordings ----------------------------------------------------------------------------

PLAIN = (
    says(0.0, "1"),
    says(0.0, "2"),
    pings(0.1, b"p"),
    says(0.3, "3"),
    says(0.9, "4"),
    says(1.3, "5"),
)
MIXED = (
    says_in_parts(0.0, "wör".encode()[:2], "wör".encode()[2:], b"", b"ld"),
    says(0.2, "ä long one, " * 11),
    says_in_parts(0.6, b"with", b" a ping", between=frame(9, b"in between")),
    says(0.8, ""),
    says(1.1, "€" * 8),
)
AT_ONCE = tuple(attrs.evolve(each, at=0.0) for each in PLAIN)


@attrs.frozen
class Recording:
    said: tuple[Said, ...]
    resume: Resume
    result: str | None = None
    ends: float = 1.4
    done: float | None = None

    def world(self, faults: Faults) -> StreamedWorld:
        service = StreamService(self.said, self.ends, self.resume, self.result, faults)
        service.done = self.done
        return streamed_world(service)


RECORDINGS = {
    "offset": Recording(PLAIN, Resume.OFFSET),
    "replay": Recording(PLAIN, Resume.REPLAY),
    "live": Recording(PLAIN, Resume.LIVE),
    "offset, with the result": Recording(PLAIN, Resume.OFFSET, "42"),
    "replay, with the result": Recording(PLAIN, Resume.REPLAY, "42"),
    "live, with the result": Recording(PLAIN, Resume.LIVE, "42"),
    "offset, in one read": Recording(AT_ONCE, Resume.OFFSET, ends=0.0),
    "replay, in one read": Recording(AT_ONCE, Resume.REPLAY, "42", ends=0.0),
    "offset, ended before": Recording(PLAIN, Resume.OFFSET, done=0.2),
    "replay, ended before": Recording(PLAIN, Resume.REPLAY, "42", done=0.2),
    "live, ended before": Recording(PLAIN, Resume.LIVE, "42", done=0.2),
    "offset, mixed": Recording(MIXED, Resume.OFFSET),
    "replay, mixed": Recording(MIXED, Resume.REPLAY),
    "live, mixed": Recording(MIXED, Resume.LIVE, "42"),
}
WITH_HANDSHAKE = ("offset", "live, with the result", "replay, in one read")
"""For which the bytes of the handshake's answer are gone through as well: they are all the same."""


def follow(world: StreamedWorld) -> None:
    """Stream the job to its end, and a while beyond it."""
    world.listen()
    assert world.job.result(wait=0.1) == 42
    world.network.advance(200.0)
    account(world)
    assert world.job.stream_error() is None
    assert world.traces == []


def offsets(name: str) -> range:
    """Where a fault may be."""
    world = RECORDINGS[name].world(first(Fault(Kind.PAUSE, 10**9)))
    follow(world)
    connection = world.service.connections[0]
    return range(0 if name in WITH_HANDSHAKE else HEAD, connection.written + 1)


def follow_all(name: str, kind: Kind, connections: int) -> None:
    """Have the fault at every byte in turn, on each of the first so many connections."""
    for at in offsets(name):
        faults = dict.fromkeys(range(1, connections + 1), Fault(kind, at))
        world = RECORDINGS[name].world(faults.get)
        try:
            follow(world)
        except BaseException as error:
            error.add_note(f"each of {connections} connections had a {kind.value} after {at} bytes")
            raise


CUTTING = [kind for kind in Kind if kind is not Kind.BYTEWISE]

# ---- the faults --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CUTTING)
@pytest.mark.parametrize("name", RECORDINGS)
def test_a_fault_at_every_byte(name: str, kind: Kind) -> None:
    follow_all(name, kind, connections=1)


@pytest.mark.parametrize("kind", [Kind.RESET, Kind.STALL])
@pytest.mark.parametrize("name", ["offset", "replay, with the result", "live, with the result"])
def test_the_same_fault_on_three_connections(name: str, kind: Kind) -> None:
    follow_all(name, kind, connections=3)


@pytest.mark.parametrize("name", RECORDINGS)
def test_byte_by_byte(name: str) -> None:
    world = RECORDINGS[name].world(lambda _: Fault(Kind.BYTEWISE))
    follow(world)
    assert world.texts == world.service.texts


LONG = 70_000
LONG_HEADER = 10


@pytest.mark.parametrize("kind", CUTTING)
@pytest.mark.parametrize("resume", Resume)
def test_a_fault_in_a_long_message(resume: Resume, kind: Kind) -> None:
    recording = Recording((says(0.0, "1"), says(0.5, "x" * LONG), says(2.0, "3")), resume, ends=3.0)
    opening = OPENING + 3  # and the first message
    header = range(opening, opening + LONG_HEADER + 2)
    body = (opening + 40_000, opening + 65_536, opening + LONG_HEADER + LONG - 1)
    for at in (*header, *body, opening + LONG_HEADER + LONG):
        world = recording.world(first(Fault(kind, at)))
        follow(world)
        if resume is not Resume.LIVE:
            assert len(world.texts[1]) == LONG


@pytest.mark.parametrize("name", ["offset, mixed", "replay, in one read"])
def test_the_service_s_pings_are_answered(name: str) -> None:
    world = RECORDINGS[name].world(lambda _: None)
    follow(world)
    payload = b"in between" if "mixed" in name else b"p"
    assert world.service.connections[0].pongs == [payload]
