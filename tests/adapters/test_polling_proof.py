"""Whatever the stream does, polling proves how the job ends: exactly when, and with which messages.

Streams that never open, are refused in every way, or are closed with any code at any time.
"""

from __future__ import annotations

import itertools
import logging
import math
import struct
from collections.abc import Callable

import attrs
import pytest
from fake_network import plug_in
from fake_service import StreamService
from stream_script import Said, says
from streamed_world import StreamedWorld, account, streamed_world
from websocket_bytes import frame

from adapters.drivers.channel import OPEN_TIMEOUT
from adapters.drivers.inbox import Gap
from adapters.drivers.job_driver import SILENCE
from runtime_core.errors import JobTimeoutError, TransportError
from runtime_core.events import JobQueued
from runtime_core.polling import LONGEST_RETRY, poll_delay, retry_delay
from runtime_core.states import JobState
from runtime_core.stream import LAST_ATTEMPTS
from runtime_core.traits import Resume

KEEPING = (Resume.OFFSET, Resume.REPLAY)


@pytest.fixture(autouse=True)
def network(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    plug_in(monkeypatch)
    caplog.set_level(logging.CRITICAL, logger="adapters.drivers")


# ---- how a stream is refused -------------------------------------------------------------------


def response(status: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


HTML = b"<html><body>Please sign in</body></html>"


@attrs.frozen
class Refusal:
    """How a service refuses a stream."""

    answer: bytes
    status: int | None = None
    """What the error says of it."""
    passes: bool = False
    """Whether a job that has ended is asked for again, since it may pass."""
    lasts: float = 0.0
    """How long it takes until it is known."""
    asks: float = 0.0
    """How many seconds the service wants to be left alone."""

    @property
    def slows(self) -> bool:
        """Whether nothing else is sent to the service for a while, either."""
        return self.status == 429 or self.asks > 0

    def connections(self, until: float) -> list[float]:
        """When connections are opened that are all refused, before a poll finds the end."""
        if self.slows:  # the one at this moment too: both wait for the same
            until = math.nextafter(until, math.inf)
        found = [0.0]
        for number in itertools.count(1):
            at = found[-1] + self.lasts + max(retry_delay(number), self.asks)
            if at >= until:
                return found
            found.append(at)
        raise AssertionError


REFUSALS = {
    "never opens": Refusal(b"", passes=True, lasts=OPEN_TIMEOUT),
    "302": Refusal(response("302 Found", "Location: /elsewhere")),
    "401": Refusal(response("401 Unauthorized"), 401),
    "403": Refusal(response("403 Forbidden", body=b"no"), 403),
    "404": Refusal(response("404 Not Found"), 404),
    "426": Refusal(response("426 Upgrade Required", "Upgrade: websocket"), 426),
    "429": Refusal(response("429 Too Many Requests"), 429, passes=True),
    "429, later": Refusal(
        response("429 Too Many Requests", "Retry-After: 3"), 429, passes=True, asks=3.0
    ),
    "503": Refusal(response("503 Service Unavailable", body=HTML), 503, passes=True),
    "503, later": Refusal(
        response("503 Service Unavailable", "Retry-After: 6"), 503, passes=True, asks=6.0
    ),
    "HTML": Refusal(response("200 OK", "Content-Type: text/html", body=HTML), 200),
    "HTML without an end": Refusal(b"HTTP/1.1 200 OK\r\n\r\n" + HTML, 200),
    "HTML, no HTTP": Refusal(HTML),
}
refused = pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)

ENDS = 20.0


def refusing(refusal: Refusal, resume: Resume = Resume.OFFSET, times: int = 10**9) -> StreamService:
    said = (says(0.0, "1"), says(0.0, "2"), says(9.0, "3"))

    def refuses(number: int) -> bytes | None:
        return refusal.answer if number <= times else None

    return StreamService(said, ENDS, resume, refuses=refuses)


def poll_at_or_after(time: float, *before: float) -> float:
    """When the first poll is made that is not before this time; `before` are delays before all."""
    delays = itertools.chain(before, (poll_delay(number, 5.0) for number in itertools.count()))
    return next(round(at, 6) for at in itertools.accumulate(delays) if round(at, 6) >= time)


def slowed_down(world: StreamedWorld, refusal: Refusal) -> float:
    """When the poll was made that found the end, where the service asks for patience.

    That holds for polls too: they wait until it is over, and go on from there.
    """
    polls = world.client.times("job_get")
    found = next(number for number, at in enumerate(polls) if at >= ENDS)
    assert polls[found + 1 :] == []
    for refused_at in connected_at(world)[:-1]:
        until = round(refused_at + refusal.asks, 6)
        assert not [at for at in polls if refused_at < at < until]
    return polls[found]


def connected_at(world: StreamedWorld) -> list[float]:
    return [sock.opened_at for sock in world.network.sockets]


@refused
def test_a_wait_ends_at_the_poll_that_says_so(refusal: Refusal) -> None:
    world = streamed_world(refusing(refusal))
    world.job.wait_for_final_state()
    end = slowed_down(world, refusal) if refusal.slows else poll_at_or_after(ENDS)
    assert world.network.time == end
    assert world.job.status() is JobState.DONE
    assert connected_at(world) == refusal.connections(end)
    assert world.traces == []


@refused
@pytest.mark.parametrize("resume", Resume)
def test_the_result_comes_at_the_poll_that_says_so(refusal: Refusal, resume: Resume) -> None:
    world = streamed_world(refusing(refusal, resume))
    world.listen()
    assert world.job.result() == 42
    # A stream that may still come to its end is waited for a little.
    usual = poll_at_or_after(ENDS, poll_delay(0, 5.0))
    end = slowed_down(world, refusal) if refusal.slows else usual
    (fetched,) = world.client.times("job_results")
    passes = sum(map(retry_delay, range(1, LAST_ATTEMPTS)))
    pending = refusal.lasts > 0 or (refusal.passes and resume in KEEPING and fetched < end + passes)
    # The result waits, too, while the service wants to be left alone.
    assert fetched == end or (refusal.slows and end < fetched <= end + LONGEST_RETRY)
    assert world.network.time == fetched + SILENCE * pending
    before = refusal.connections(end)
    assert connected_at(world)[: len(before)] == before
    world.network.advance(300.0)
    assert world.traces == []
    if resume is Resume.LIVE:
        assert (world.heard, world.job.stream_error()) == ([Gap(0)], None)
        return
    error = world.job.stream_error()
    assert isinstance(error, TransportError)
    assert (world.heard, error.status_code) == ([], refusal.status)
    attempts = LAST_ATTEMPTS if refusal.passes else 1
    assert len(connected_at(world)) == len(before) + attempts


@refused
@pytest.mark.parametrize("call", ["result", "wait_for_final_state"])
@pytest.mark.parametrize("timeout", [0.01, 0.5, 7.0, 19.99])
def test_a_timeout_is_kept_while_the_stream_fails(
    refusal: Refusal, call: str, timeout: float
) -> None:
    world = streamed_world(refusing(refusal))
    with world.takes(timeout), pytest.raises(JobTimeoutError):
        getattr(world.job, call)(timeout=timeout)
    assert world.traces == []


@refused
@pytest.mark.parametrize("resume", Resume)
def test_after_some_refusals_the_stream_opens(refusal: Refusal, resume: Resume) -> None:
    service = refusing(refusal, resume, times=2)
    service.said = (says(0.0, "1"), says(0.0, "2"), says(70.0, "3"), says(80.0, "4"))
    service.ends = 99.0
    world = streamed_world(service)
    world.listen()
    assert world.job.result() == 42
    assert world.network.time == 99.0
    assert connected_at(world)[:3] == refusal.connections(1000.0)[:3]
    if resume is Resume.LIVE:
        assert world.heard == [Gap(0), "3", "4"]
    else:
        assert world.heard == ["1", "2", "3", "4"]
    assert world.traces == []


@pytest.mark.parametrize("resume", Resume)
def test_a_stream_refused_since_the_job_is_queued_is_opened_when_it_runs(resume: Resume) -> None:
    said = (says(30.0, "1"), says(31.0, "2"))
    service = StreamService(said, 40.0, resume)
    world = streamed_world(service, initial=JobQueued())
    redirect = REFUSALS["302"].answer
    service.refuses = lambda _: redirect if world.network.time < 12.0 else None
    status = [(0.0, "QUEUED"), (12.0, "RUNNING"), (40.0, "COMPLETED")]
    world.client.now_says(lambda: [word for at, word in status if at <= world.network.time][-1])
    world.listen()
    assert world.job.result() == 42
    assert world.network.time == 40.0
    assert connected_at(world)[:2] == [0.0, poll_at_or_after(12.0, poll_delay(0, 5.0))]
    assert world.texts == ["1", "2"]
    assert world.traces == []


# ---- how a stream is closed --------------------------------------------------------------------


def close_frame(code: int | None) -> bytes:
    return frame(8, b"" if code is None else struct.pack("!H", code) + b"bye")


CODES = [None, *range(1000, 1016), 3000, 4000, 4999]
closed_with = pytest.mark.parametrize("code", CODES)

STREAM: tuple[Said, ...] = (
    says(0.1, "1"),
    says(0.2, "2"),
    says(0.4, "3"),
    says(1.1, "4"),
    says(1.3, "5"),
)
STREAM_ENDS = 1.4


def closing(code: int | None, at: float, resume: Resume) -> StreamedWorld:
    """A job whose first connection is closed at a time; those after it are not."""
    service = StreamService(STREAM, STREAM_ENDS, resume)
    world = streamed_world(service)
    world.network.at(at, lambda: service.connections[0].send_close(close_frame(code)))
    return world


EARLY, MIDDLE, LATE = 0.0, 0.45, 1.33
CLOSED_AT = {
    # the end of the stream is the hint
    EARLY: STREAM_ENDS,
    MIDDLE: STREAM_ENDS,
    # the next connection would be at 1.83 s: it is a poll that finds the end
    LATE: round(LATE + poll_delay(0, 5.0) + poll_delay(1, 5.0), 6),
}


@closed_with
@pytest.mark.parametrize("at", CLOSED_AT)
@pytest.mark.parametrize("resume", Resume)
def test_a_stream_closed_before_the_end_of_the_job(
    code: int | None, at: float, resume: Resume
) -> None:
    world = closing(code, at, resume)
    world.listen()
    assert world.job.result() == 42
    assert world.network.time == CLOSED_AT[at]
    opened = round(at + retry_delay(1), 6)
    if at < LATE:
        assert connected_at(world)[:2] == [0.0, opened]
    account(world)
    if resume is Resume.LIVE:
        missed = [said.text for said in STREAM if at < said.at < opened]
        assert world.texts == [said.text for said in STREAM if said.text not in missed]
    assert world.job.stream_error() is None
    world.network.advance(60.0)
    assert world.traces == []


@closed_with
@pytest.mark.parametrize("at", CLOSED_AT)
def test_a_wait_for_the_end_of_a_job_whose_stream_is_closed(code: int | None, at: float) -> None:
    world = closing(code, at, Resume.OFFSET)
    world.job.wait_for_final_state()
    assert world.network.time == CLOSED_AT[at]
    assert world.traces == []


@closed_with
@pytest.mark.parametrize("resume", Resume)
def test_a_stream_closed_at_the_end_of_the_job(code: int | None, resume: Resume) -> None:
    service = StreamService(STREAM, STREAM_ENDS, resume, close=close_frame(code))
    world = streamed_world(service)
    world.listen()
    assert world.job.result() == 42
    waits = SILENCE if code != 1000 and resume in KEEPING else 0.0
    assert world.network.time == STREAM_ENDS + waits
    world.network.advance(60.0)
    assert world.texts == service.texts
    assert world.traces == []
    if code == 1000 or resume is Resume.LIVE:
        assert world.job.stream_error() is None
    else:
        assert isinstance(world.job.stream_error(), TransportError)


@closed_with
@pytest.mark.parametrize("call", ["result", "wait_for_final_state"])
def test_a_timeout_is_kept_while_every_connection_is_closed(code: int | None, call: str) -> None:
    service = StreamService((), ENDS)
    world = streamed_world(service)
    accept = service.accept

    def closes(sock: object) -> Callable[[bytes], None]:
        world.network.at(0.0, lambda: service.connections[-1].send_close(close_frame(code)))
        return accept(sock)  # type: ignore[arg-type]

    world.network.accept = closes
    with world.takes(7.0), pytest.raises(JobTimeoutError):
        getattr(world.job, call)(timeout=7.0)
    assert connected_at(world) == [0.0, 0.5, 1.5, 3.5]
    assert world.traces == []
