"""Recorded streams, and at every byte of them a fault: nothing is lost, repeated or left behind.

The job, its driver, its connections and its protocol are the real ones; the clock and the bytes are
the test's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import attrs
import pytest
from fake_network import plug_in
from fake_service import (
    Fault,
    Kind,
    Said,
    StreamedWorld,
    StreamService,
    account,
    first,
    pings,
    says,
    says_in_parts,
    streamed_world,
)
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
    says(0.2, "ein längerer Text, " * 8),
    says_in_parts(0.6, b"with", b" a ping", between=frame(9, b"in between")),
    says(0.8, ""),
    says(1.1, "€" * 50),
)


@attrs.frozen
class Recording:
    said: tuple[Said, ...]
    resume: Resume
    result: str | None = None
    ends: float = 1.4

    def world(self, fault: Fault) -> StreamedWorld:
        service = StreamService(self.said, self.ends, self.resume, self.result, first(fault))
        return streamed_world(service)


RECORDINGS = {
    "offset": Recording(PLAIN, Resume.OFFSET),
    "replay": Recording(PLAIN, Resume.REPLAY),
    "live": Recording(PLAIN, Resume.LIVE),
    "offset, with the result": Recording(PLAIN, Resume.OFFSET, "42"),
    "replay, with the result": Recording(PLAIN, Resume.REPLAY, "42"),
    "live, with the result": Recording(PLAIN, Resume.LIVE, "42"),
    "offset, in one read": Recording(PLAIN, Resume.OFFSET, ends=0.0),
    "offset, mixed": Recording(MIXED, Resume.OFFSET),
    "replay, mixed": Recording(MIXED, Resume.REPLAY),
    "live, mixed": Recording(MIXED, Resume.LIVE, "42"),
}


def size(recording: Recording) -> int:
    """How many bytes the service sends, if nothing goes wrong."""
    world = recording.world(Fault(Kind.PAUSE, 10**9))
    follow(world)
    return world.service.connections[0].written


def follow(world: StreamedWorld) -> None:
    """Stream the job to its end, and a while beyond it."""
    world.listen()
    assert world.job.result() == 42
    world.network.advance(200.0)
    account(world)
    assert world.job.stream_error() is None
    assert world.traces == []


def offsets(recording: Recording) -> Iterator[int]:
    yield from range(size(recording) + 1)


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.BYTEWISE])
@pytest.mark.parametrize("name", RECORDINGS)
def test_a_fault_at_every_byte(name: str, kind: Kind) -> None:
    recording = RECORDINGS[name]
    for at in offsets(recording):
        world = recording.world(Fault(kind, at))
        try:
            follow(world)
        except BaseException as error:
            error.add_note(f"the fault was a {kind.value} after {at} bytes")
            raise
