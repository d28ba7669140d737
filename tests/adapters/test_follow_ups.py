"""What follows the end of a stream, as the service told it: it waits for no turn. Fake clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Self

import pytest
from fakes import HANGS, FakeReactor, Late, failure
from many_jobs import ListedJobs, ManyJobs, ask, follow

from adapters.job import RuntimeJob
from runtime_core.commands import OpenStream
from runtime_core.errors import TransportError
from runtime_core.events import (
    JobStarted,
    StreamClosed,
    StreamEvent,
    StreamFailed,
    StreamOpened,
)
from runtime_core.states import JobState
from runtime_core.traits import Resume, ServiceTraits


class Pushed:
    """The stream of one connection: tells what it was given."""

    def __init__(self, connection: int) -> None:
        self.connection = connection
        self._events: deque[StreamEvent] = deque([StreamOpened(connection)])

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> StreamEvent:
        raise AssertionError("it is polled")

    def poll(self) -> StreamEvent | None:
        return self._events.popleft() if self._events else None

    def end(self, code: int = 1000) -> None:
        self._events.append(StreamClosed(self.connection, code))

    def fail(self) -> None:
        error = TransportError("it broke", retryable=True)
        self._events.append(StreamFailed(self.connection, error))


class World:
    """A service, who waits for its jobs, and their streams, which open at once."""

    traits = ServiceTraits(pushes=True, resume=Resume.OFFSET)

    def __init__(self, service: ManyJobs) -> None:
        self.service = service
        self.reactor = service.reactor
        self.newest: dict[str, Pushed] = {}
        """The last connection of each job."""
        self.ends: dict[str, list[Exception | None]] = {}
        """What ended the wait for each job, when it has ended."""
        self.jobs: dict[str, RuntimeJob] = {}

    def stream(self, job_id: str, command: OpenStream) -> Iterator[StreamEvent]:
        stream = self.newest[job_id] = Pushed(command.connection)
        return stream

    def await_jobs(self, count: int, wait: float = 60.0) -> list[str]:
        """Wait for so many jobs that run, and have their streams."""
        self.service.streams = self
        jobs = self.service.jobs(count, initial=JobStarted())
        self.service.streams = None
        for job in jobs:
            self.jobs[job.job_id()] = job
            self.ends[job.job_id()] = follow(job, wait)
        self.reactor.settle()
        return [job.job_id() for job in jobs]

    def spend(self, burst: int = 10) -> None:
        """Have polls take all that may be sent now, and for long."""
        before = self.service.count()
        for job in self.service.jobs(200):
            follow(job)
        self.reactor.settle()
        assert self.service.count() == before + burst

    def finish(self, *job_ids: str) -> None:
        """The service ends jobs, and says so."""
        for job_id in job_ids:
            self.service.states[job_id] = "COMPLETED"
            self.newest[job_id].end()
        self.reactor.settle()

    def asked(self, *job_ids: str) -> list[float]:
        """When the service was asked about these."""
        return [
            when
            for call, job_id, when in self.service.calls
            if call == "job_get" and job_id in job_ids
        ]

    def done(self, job_ids: Sequence[str]) -> int:
        """How many of the waits have ended as they should."""
        return sum(self.ends[job_id] == [None] for job_id in job_ids)


@pytest.fixture
def reactor() -> FakeReactor:
    return FakeReactor()


@pytest.fixture
def world(reactor: FakeReactor) -> World:
    """One whose service has no list."""
    return World(ManyJobs(reactor))


@pytest.fixture
def listed(reactor: FakeReactor) -> World:
    return World(ListedJobs(reactor))


# ---- at once -----------------------------------------------------------------------------------


def test_many_that_end_in_one_moment_are_all_known_in_that_moment(listed: World) -> None:
    ids = listed.await_jobs(1000)
    assert listed.service.calls == []
    listed.finish(*ids)
    assert listed.asked(*ids) == [0.0] * 1000
    assert listed.done(ids) == 1000
    assert listed.service.count("jobs_get") == 0


def test_a_result_that_is_waited_for_is_there_as_soon(world: World) -> None:
    (job_id,) = world.await_jobs(1)
    world.spend()
    world.service.streams = world
    job = world.service.job(job_id, initial=JobStarted())
    world.reactor.at(0.05, lambda: world.finish(job_id))
    assert job.result() == 42
    assert world.reactor.elapsed == pytest.approx(0.05)


def test_they_count_for_nothing(world: World) -> None:
    world.finish(*world.await_jobs(100))
    before = world.service.count()
    ends = [ask(job) for job in world.service.jobs(30)]
    world.reactor.advance(1.05)
    assert ends == [[None]] * 20 + [[]] * 10
    assert world.service.count() == before + 20


def test_they_hold_up_no_polls(world: World) -> None:
    ids = world.await_jobs(100)
    world.spend()
    for number, job_id in enumerate(ids):
        world.reactor.at(number / 50, partial(world.finish, job_id))
    world.reactor.advance(2.05)
    assert world.done(ids) == 100
    others = [job_id for job_id in world.service.asked() if job_id not in ids]
    assert len(others) == 10 + 20


@pytest.mark.parametrize("code", [1001, 1006, 1011, 1012, None])
def test_a_stream_that_ends_otherwise_waits_for_its_turn(world: World, code: int | None) -> None:
    (job_id,) = world.await_jobs(1)
    world.spend()
    stream = world.newest[job_id]
    stream.fail() if code is None else stream.end(code)
    world.reactor.advance(0.05)
    assert world.asked(job_id) == []
    world.reactor.advance(0.1)
    assert world.asked(job_id) == [0.1]


def test_a_stream_that_did_not_open_waits_for_its_turn(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pushed, "poll", lambda _: None)
    (job_id,) = world.await_jobs(1)
    world.spend()
    world.reactor.advance(0.08)
    assert world.jobs[job_id]._driver.runner._requests.are_queued  # it is polled meanwhile
    monkeypatch.setattr(Pushed, "poll", lambda stream: StreamClosed(stream.connection))
    world.reactor.advance(0.01)
    assert world.asked(job_id) == []


# ---- once --------------------------------------------------------------------------------------


def test_a_stream_that_ends_again_and_again_is_followed_once(world: World) -> None:
    (job_id,) = world.await_jobs(1)
    world.spend()
    world.newest[job_id].end()
    world.reactor.advance(0.05)
    assert world.asked(job_id) == [0.0]
    first = world.newest[job_id]
    world.reactor.advance(0.9)
    second = world.newest[job_id]
    assert second is not first
    world.reactor.advance(0.01)
    second.end()
    world.reactor.advance(0.02)
    assert world.asked(job_id) == [0.0]
    world.reactor.advance(0.1)
    assert world.asked(job_id) == [0.0, 1.0]


def test_if_a_request_was_under_way_the_next_one_goes_at_once(world: World) -> None:
    (job_id,) = world.await_jobs(1, wait=0.5)
    # Its own poll says RUNNING, since that is what the job was when it was sent.
    world.service.fail = lambda _, asked: Late(0.25) if asked == job_id else None
    world.reactor.advance(0.6)
    world.service.fail = lambda *_: None
    world.newest[job_id].end()
    world.spend()
    world.reactor.advance(0.1)
    assert world.asked(job_id) == [0.5]
    world.service.states[job_id] = "COMPLETED"
    world.reactor.advance(0.06)
    assert world.asked(job_id) == [0.5, 0.75]
    assert world.done([job_id]) == 1


def test_if_nothing_was_asked_at_the_end_the_next_poll_goes_at_once(world: World) -> None:
    (job_id,) = world.await_jobs(1, wait=0.5)
    requests = world.jobs[job_id]._driver.runner._requests
    world.reactor.call_soon(requests.follow_end)
    world.spend()
    world.reactor.advance(0.55)
    assert world.asked(job_id) == [0.5]


# ---- no more than there is room for ------------------------------------------------------------


def test_ten_are_under_way_and_the_others_have_their_turn(world: World) -> None:
    ids = world.await_jobs(40)
    world.spend()
    world.service.fail = lambda _, job_id: Late(0.35) if job_id in ids else None
    world.finish(*ids)
    world.reactor.advance(0.5)
    # Those that had a turn fill the room, too.
    assert world.asked(*ids) == [0.0] * 10 + [0.1, 0.2, 0.3] + [0.35] * 7 + [0.4]
    world.reactor.advance(1.0)
    assert world.done(ids) == 40


def test_one_that_is_given_up_makes_room(world: World) -> None:
    ids = world.await_jobs(12)
    world.service.status_requests_per_second = 0.001  # type: ignore[attr-defined]
    world.spend(1)
    world.service.fail = lambda *_: HANGS
    world.finish(*ids)
    world.reactor.advance(89.0)
    assert world.asked(*ids) == [0.0] * 10
    world.reactor.advance(2.0)
    assert world.asked(*ids) == [0.0] * 10 + [90.0] * 2


def test_one_that_is_answered_after_it_was_given_up_makes_no_more_room(world: World) -> None:
    ids = world.await_jobs(40)
    world.service.status_requests_per_second = 0.001  # type: ignore[attr-defined]
    world.spend(1)
    world.service.fail = lambda *_: Late(100.0)
    world.finish(*ids)
    world.reactor.advance(179.0)
    assert world.asked(*ids) == [0.0] * 10 + [90.0] * 10


def test_what_finds_no_room_is_told_by_the_list(listed: World) -> None:
    ids = listed.await_jobs(100)
    listed.service.fail = lambda call, _: Late(5.0) if call == "job_get" else None
    listed.finish(*ids)
    listed.reactor.advance(0.25)
    assert listed.asked(*ids) == [0.0] * 20 + [0.1]
    assert listed.service.times("jobs_get") == [0.2]
    assert listed.done(ids) == 79
    listed.reactor.advance(5.0)
    assert listed.done(ids) == 100
    assert len(listed.asked(*ids)) == 21


def test_what_a_page_has_told_does_not_go_at_once_later(listed: World) -> None:
    ids = listed.await_jobs(100)
    listed.service.fail = lambda call, _: Late(5.0) if call == "job_get" else None
    for job_id in ids:
        listed.newest[job_id].end()  # though they go on
    listed.reactor.advance(0.25)
    told = [listed.jobs[job_id] for job_id in ids if not listed.asked(job_id)]
    assert len(told) == 79
    assert not any(job._driver.runner._requests._may_follow for job in told)


def test_who_asks_for_a_status_goes_before_those_that_find_no_room(world: World) -> None:
    ids = world.await_jobs(40)
    world.spend()
    world.service.fail = lambda _, job_id: HANGS if job_id in ids else None
    world.finish(*ids)
    (job,) = world.service.jobs(1)
    assert job.status() is JobState.RUNNING
    assert world.reactor.elapsed == pytest.approx(0.1)
    assert world.asked(*ids) == [0.0] * 10


def test_who_asks_for_a_status_gets_it_no_later_because_of_the_end(world: World) -> None:
    ids = world.await_jobs(11)
    world.spend()
    world.service.fail = lambda _, job_id: HANGS if job_id in ids[:10] else None
    world.finish(*ids[:10])
    asked = ask(world.jobs[ids[10]])
    others = [ask(job) for job in world.service.jobs(5)]
    world.finish(ids[10])
    world.reactor.advance(0.15)
    assert asked == [None]
    assert [len(other) for other in others] == [0] * 5


def test_a_page_that_is_slow_does_not_hold_them_up(listed: World) -> None:
    ids = listed.await_jobs(100)
    listed.service.fail = lambda call, _: Late(20.0 if call == "jobs_get" else 0.3)
    listed.finish(*ids)
    listed.reactor.advance(3.05)
    assert listed.service.count("jobs_get") == 1
    assert listed.done(ids) == 100


# ---- peace -------------------------------------------------------------------------------------


def test_nothing_goes_while_the_service_wants_peace(world: World) -> None:
    ids = world.await_jobs(30)
    world.service.fail = lambda *_: failure(429, retryable=True, after=5)
    ask(world.service.jobs(1)[0])
    world.reactor.settle()
    world.service.fail = lambda *_: None
    world.finish(*ids)
    world.reactor.advance(4.9)
    assert world.asked(*ids) == []
    world.reactor.advance(0.1)
    assert world.asked(*ids) == [5.0] * 30
    assert world.done(ids) == 30


def test_a_429_to_one_of_them_holds_up_the_others(world: World) -> None:
    ids = world.await_jobs(30)
    world.service.fail = lambda *_: failure(429, retryable=True, after=5)
    world.finish(*ids)
    world.reactor.advance(4.9)
    assert world.asked(*ids) == [0.0]
    world.service.fail = lambda *_: None
    world.reactor.advance(2.0)
    assert world.done(ids) == 30


def test_a_status_that_would_have_to_wait_long_hears_of_it(world: World) -> None:
    (job_id,) = world.await_jobs(1)
    world.service.fail = lambda *_: failure(429, retryable=True, after=60)
    ask(world.service.jobs(1)[0])
    world.reactor.settle()
    world.finish(job_id)
    end = ask(world.jobs[job_id])
    world.reactor.settle()
    assert isinstance(end[0], TransportError)
    assert world.asked(job_id) == []


# ---- whoever leaves ----------------------------------------------------------------------------


def test_a_job_that_is_closed_is_not_asked_about(world: World) -> None:
    ids = world.await_jobs(30)
    world.service.fail = lambda *_: Late(0.5)
    world.spend()
    world.finish(*ids)
    for job_id in ids[20:]:
        world.jobs[job_id].close()
    world.reactor.advance(20.0)
    assert not set(world.service.asked()) & set(ids[20:])
    # Those that were closed while they were under way have left their room, too.
    more = world.await_jobs(10)
    world.finish(*more)
    assert len(world.asked(*more)) == 10
