"""The budget of status requests that the jobs of one service share, on the fake clock."""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import attrs
import pytest
from fakes import (
    BREAKS,
    CLOSES,
    HANGS,
    OPENS,
    Breaks,
    Closes,
    FakeReactor,
    FakeStreams,
    Late,
    failure,
)
from many_jobs import ListedJobs, ManyJobs, ask, follow, unread

from adapters import RuntimeService
from adapters.drivers.budgets import Budgets
from adapters.drivers.performers import OnThreads
from adapters.drivers.questions import Question, Queue
from adapters.drivers.reactor import SharedReactor
from adapters.drivers.status_budget import GATHERING
from adapters.job import RuntimeJob
from adapters.services.dialect import CURRENT, LEGACY, Dialect
from adapters.transport import StreamEndpoint
from runtime_core.commands import OpenStream
from runtime_core.errors import JobTimeoutError, TransportError, UsageError
from runtime_core.events import JobStarted, StreamFailed
from runtime_core.states import JobState
from runtime_core.traits import Resume


@pytest.fixture
def reactor() -> FakeReactor:
    return FakeReactor()


@pytest.fixture
def service(reactor: FakeReactor) -> ManyJobs:
    """One without a list."""
    return ManyJobs(reactor)


@pytest.fixture
def listed(reactor: FakeReactor) -> ListedJobs:
    return ListedJobs(reactor)


def most_in(seconds: float, times: list[float]) -> int:
    """The most that there were in so many seconds."""
    return max(sum(start <= time < start + seconds for time in times) for start in times)


# ---- the rate ----------------------------------------------------------------------------------


def test_a_burst_of_ten_goes_at_once_and_then_ten_a_second(service: ManyJobs) -> None:
    for job in service.jobs(30):
        follow(job)
    service.reactor.advance(2.05)
    assert service.times() == [0.0] * 10 + [n / 10 for n in range(1, 21)]


def test_no_more_than_ten_a_second_in_the_long_run(service: ManyJobs) -> None:
    for job in service.jobs(100):
        follow(job)
    service.reactor.advance(100.0)
    assert service.count() == 10 + 1000
    assert most_in(10.0, service.times()[10:]) <= 101


def test_it_is_shared_fairly(service: ManyJobs) -> None:
    for job in service.jobs(100):
        follow(job, wait=0.1)
    service.reactor.advance(100.0)
    asked = service.per_job()
    assert set(asked.values()) == {10, 11}
    rounds = service.asked()
    assert rounds[:100] == [f"j{n}" for n in range(100)]


def test_few_jobs_are_not_held_up(service: ManyJobs) -> None:
    for job in service.jobs(9):
        assert job.status() is JobState.RUNNING
    assert service.times() == [0.0] * 9
    assert service.reactor.elapsed == 0.0


def test_the_client_says_how_many_a_second(service: ManyJobs) -> None:
    service.status_requests_per_second = 2  # type: ignore[attr-defined]
    for job in service.jobs(50):
        follow(job)
    service.reactor.advance(4.9)
    assert service.times() == [0.0, 0.0, *(n / 2 for n in range(1, 10))]
    service.status_requests_per_second = math.inf  # type: ignore[attr-defined]
    ask(service.jobs(1)[0])
    service.reactor.advance(1.0)
    assert service.count() > 50


@pytest.mark.parametrize("nonsense", [0, -1, math.nan, "many", None])
def test_a_client_that_says_nonsense_gets_the_usual(service: ManyJobs, nonsense: object) -> None:
    service.status_requests_per_second = nonsense  # type: ignore[attr-defined]
    for job in service.jobs(30):
        follow(job)
    service.reactor.advance(1.05)
    assert service.count() == 20


@pytest.mark.parametrize("nonsense", [0, -1.0, math.nan])
def test_a_service_takes_no_nonsense(nonsense: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        RuntimeService("https://host.example", "t", status_requests_per_second=nonsense)


def test_a_service_tells_its_client() -> None:
    with RuntimeService("https://host.example", "t", status_requests_per_second=3) as service:
        assert service._client.status_requests_per_second == 3
    with RuntimeService("https://host.example", "t") as service:
        assert service._client.status_requests_per_second == 10


def test_each_client_has_a_budget_of_its_own(reactor: FakeReactor) -> None:
    services = [ManyJobs(reactor) for _ in range(3)]
    for service in services:
        for job in service.jobs(20):
            follow(job)
    reactor.settle()
    assert [service.count() for service in services] == [10, 10, 10]


def test_the_time_in_the_queue_is_not_the_request_s(service: ManyJobs) -> None:
    service.status_requests_per_second = 0.01  # type: ignore[attr-defined]
    jobs = service.jobs(2)
    service.fail = lambda *_: HANGS
    follow(jobs[0])
    service.reactor.settle()
    end = ask(jobs[1])
    service.reactor.advance(189.9)
    assert service.times() == [0.0, 100.0]
    assert end == []
    service.reactor.advance(0.2)
    assert isinstance(end[0], TransportError)


def test_one_that_cannot_be_sent_does_not_hold_up_the_others(
    service: ManyJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(task: object) -> None:
        monkeypatch.undo()
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(service.reactor, "run_request", no_thread)
    ends = [ask(job) for job in service.jobs(20)]
    with pytest.raises(RuntimeError):
        service.reactor.settle()
    service.reactor.advance(1.05)
    assert ends == [[], *[[None]] * 19]
    service.reactor.advance(90.0)
    assert isinstance(ends[0][0], TransportError)


# ---- who goes first ----------------------------------------------------------------------------


def test_what_somebody_waits_for_goes_before_the_polls(service: ManyJobs) -> None:
    jobs = service.jobs(60)
    for job in jobs[:59]:
        follow(job)
    service.reactor.advance(1.05)
    assert service.count() == 20
    assert jobs[59].status() is JobState.RUNNING
    assert service.reactor.elapsed == pytest.approx(1.1)
    assert service.asked()[20] == "j59"


def test_status_hurries_the_poll_that_waits_in_the_queue(service: ManyJobs) -> None:
    jobs = service.jobs(60)
    for job in jobs:
        follow(job)
    service.reactor.advance(1.05)
    jobs[59].status()
    # Its answer must be to a request that was ordered after the call.
    assert service.asked()[20:22] == ["j59", "j59"]
    assert service.reactor.elapsed == pytest.approx(1.2)


def test_what_is_urgent_leaves_a_fifth_to_the_polls(service: ManyJobs) -> None:
    polled, urgent = service.jobs(40), service.jobs(200)
    for job in polled:
        follow(job)
    service.reactor.advance(0.05)
    for job in urgent:
        ask(job)
    before = service.count()
    service.reactor.advance(10.0)
    asked = [int(job_id[1:]) >= 40 for job_id in service.asked()[before:]]
    assert len(asked) == 100
    assert asked == [True, True, True, True, False] * 20


class Streams(FakeStreams):
    def stream(self, job_id: str, command: OpenStream) -> StreamEndpoint:
        return super().stream("j1", command)


def streamed(service: ManyJobs) -> RuntimeJob:
    """A job whose results are streamed, beside many that are polled."""
    reactor = service.reactor
    for job in service.jobs(60):
        follow(job)
    streams = Streams(Resume.OFFSET)
    service.states["s"] = "RUNNING"
    job = RuntimeJob("b", service, streams, "s", "p", reactor=reactor, initial=JobStarted())
    job.stream_results(lambda *_: None)
    reactor.settle()
    return job


@pytest.mark.parametrize("end", [Closes(1001), BREAKS])
@pytest.mark.parametrize("is_queued", [True, False])
def test_the_end_of_a_stream_goes_before_the_polls(
    service: ManyJobs, end: Closes | Breaks, is_queued: bool
) -> None:
    streamed(service)
    service.reactor.channel.feed(OPENS)
    # Its own poll is due after 5 s.
    service.reactor.advance(5.45 if is_queued else 1.45)
    service.states["s"] = "COMPLETED"
    before = service.count()
    service.reactor.channel.feed(end)
    service.reactor.advance(0.1)
    assert service.asked()[before:] == ["s"]


def test_a_stream_that_does_not_open_hurries_nothing(service: ManyJobs) -> None:
    service.reactor.connections += [(OPENS, CLOSES), *[(BREAKS,)] * 30]
    streamed(service)
    service.reactor.advance(20.0)
    assert len(service.reactor.channels) > 4
    assert service.per_job()["s"] <= 5


def test_a_stream_that_we_closed_hurries_nothing_later(service: ManyJobs) -> None:
    job = streamed(service)
    service.reactor.channel.feed(OPENS)
    service.reactor.advance(1.05)
    job.cancel_result_streaming()
    service.reactor.settle()
    job.stream_results(lambda *_: None)
    service.reactor.advance(0.5)
    before = service.per_job()["s"]
    service.reactor.channel.feed(BREAKS)
    service.reactor.advance(0.1)
    assert job._driver.runner._requests.are_queued
    assert service.per_job()["s"] == before


def test_a_stream_that_is_refused_for_a_time_slows_the_service_down(service: ManyJobs) -> None:
    streamed(service)
    channel = service.reactor.channel
    error = TransportError("too many", 429, True, 30.0)
    channel._send((StreamFailed(channel.connection, error),))
    service.reactor.settle()
    before = service.count()
    service.reactor.advance(29.9)
    assert service.count() == before
    service.reactor.advance(0.1)
    assert service.count() == before + 10


def test_after_a_cancel_the_state_is_asked_for_before_the_polls(service: ManyJobs) -> None:
    jobs = service.jobs(60)
    for job in jobs[:59]:
        follow(job)
    service.reactor.advance(1.05)
    jobs[59].cancel()
    assert service.times("job_cancel") == [1.05]
    service.reactor.advance(0.1)
    assert service.asked()[20] == "j59"


# ---- who wants it no more ----------------------------------------------------------------------


def test_what_nobody_waits_for_is_not_sent(service: ManyJobs) -> None:
    jobs = service.jobs(30)
    for job in jobs[:29]:
        follow(job)
    with pytest.raises(JobTimeoutError):
        jobs[29].wait_for_final_state(timeout=0.5)
    assert service.reactor.elapsed == 0.5
    service.reactor.advance(10.0)
    assert "j29" not in service.asked()
    service.states["j29"] = "COMPLETED"
    assert jobs[29].result() == 42


def test_who_asks_again_and_again_keeps_the_place(service: ManyJobs) -> None:
    jobs = service.jobs(200)
    for job in jobs[:29]:
        follow(job)
    service.reactor.settle()
    for job in jobs[30:]:
        service.reactor.at(0.05, partial(_follow, job))
    for _ in range(9):
        with pytest.raises(JobTimeoutError):
            jobs[29].wait_for_final_state(timeout=0.25)
    assert service.asked()[29] == "j29"


def _follow(job: RuntimeJob) -> None:
    follow(job)


def test_the_last_one_leaves_nothing_behind(service: ManyJobs) -> None:
    jobs = service.jobs(30)
    service.fail = lambda *_: failure(429, retryable=True, after=200)
    with pytest.raises(JobTimeoutError):
        jobs[0].wait_for_final_state(timeout=1.0)
    with pytest.raises(JobTimeoutError):
        jobs[1].wait_for_final_state(timeout=1.0)
    service.reactor.settle()
    assert service.count() == 1
    assert service.reactor.armed == []


def test_a_job_that_is_closed_is_not_asked_about(service: ManyJobs) -> None:
    jobs = service.jobs(30)
    ends = [follow(job) for job in jobs]
    service.reactor.settle()
    for job in jobs[10:]:
        job.close()
    service.reactor.advance(10.0)
    assert set(service.asked()) == {f"j{n}" for n in range(10)}
    assert all(isinstance(end[0], UsageError) for end in ends[10:])


def test_a_cancel_is_followed_up_though_nobody_waits(service: ManyJobs) -> None:
    jobs = service.jobs(41)
    for job in jobs[:40]:
        follow(job)
    service.reactor.settle()
    jobs[40].cancel()
    service.states["j40"] = "CANCELLED"
    with pytest.raises(JobTimeoutError):
        jobs[40].wait_for_final_state(timeout=0.05)
    assert "j40" not in service.asked()
    service.reactor.advance(1.0)
    assert "j40" in service.asked()
    assert jobs[40].status() is JobState.CANCELLED


# ---- a service that says that it is too much ---------------------------------------------------


def test_retry_after_slows_the_whole_service_down(service: ManyJobs) -> None:
    jobs = service.jobs(5)
    service.fail = lambda _, job_id: (
        failure(429, retryable=True, after=60)
        if job_id == "j2" and service.reactor.elapsed < 60
        else None
    )
    for job in jobs:
        follow(job, wait=1.0)
    service.reactor.advance(59.9)
    assert set(service.times()) == {0.0}
    service.reactor.advance(0.2)
    assert len(set(service.asked()[5:])) == 5


def test_so_does_that_to_a_result(service: ManyJobs) -> None:
    jobs = service.jobs(2)
    service.states["j0"] = "COMPLETED"
    service.fail = lambda call, _: (
        failure(503, retryable=True, after=30)
        if call == "job_results" and service.reactor.elapsed < 30
        else None
    )
    with pytest.raises(JobTimeoutError):
        jobs[0].result(timeout=1.0)
    follow(jobs[1])
    service.reactor.advance(28.9)
    assert service.asked() == ["j0"]
    service.reactor.advance(0.1)
    assert service.asked() == ["j0", "j1"]


def test_a_429_without_retry_after_backs_all_off_and_doubles(service: ManyJobs) -> None:
    service.fail = lambda *_: failure(429, retryable=True)
    for job in service.jobs(8):
        follow(job)
    service.reactor.advance(60.0)
    moments = sorted(set(service.times()))
    assert moments[0] == 0.0
    gaps = [b - a for a, b in pairwise(moments)]
    assert gaps[:5] == pytest.approx([0.5, 1.0, 2.0, 4.0, 8.0])
    assert all(gap >= 7.9 for gap in gaps[5:])


def test_nothing_but_a_cancel_goes_meanwhile(service: ManyJobs) -> None:
    jobs = service.jobs(4)
    service.states["j1"] = "COMPLETED"
    assert jobs[1].status() is JobState.DONE
    service.fail = lambda call, _: (
        failure(429, retryable=True, after=5) if call == "job_get" else None
    )
    with pytest.raises(TransportError):
        jobs[0].status()
    service.fail = lambda *_: None
    jobs[2].cancel()
    assert service.times("job_cancel") == [0.0]
    ask(jobs[3])
    assert jobs[1].result() == 42
    assert service.reactor.elapsed == 5.0
    service.reactor.settle()
    assert service.times("job_results") == [5.0]
    assert service.times()[2:] == [5.0, 5.0]


def test_a_result_that_nobody_waits_for_is_not_fetched_later(service: ManyJobs) -> None:
    jobs = service.jobs(2)
    service.states["j0"] = "COMPLETED"
    jobs[0].status()
    service.fail = lambda *_: failure(429, retryable=True, after=5)
    with pytest.raises(TransportError):
        jobs[1].status()
    with pytest.raises(JobTimeoutError):
        jobs[0].result(timeout=1.0)
    service.reactor.settle()
    assert service.reactor.armed == []
    service.fail = lambda *_: None
    service.reactor.advance(100.0)
    assert service.count("job_results") == 0
    assert jobs[0].result() == 42


def test_who_has_no_timeout_hears_at_once_that_it_takes_long(service: ManyJobs) -> None:
    jobs = service.jobs(2)
    service.fail = lambda *_: failure(429, retryable=True, after=60)
    with pytest.raises(TransportError):
        jobs[0].status()
    service.reactor.advance(3.0)
    with pytest.raises(TransportError, match="another 57 s") as caught:
        jobs[1].status()
    assert (caught.value.status_code, caught.value.retryable) == (429, True)
    assert caught.value.retry_after == pytest.approx(57.0)
    assert service.reactor.elapsed == 3.0
    assert service.count() == 1


def test_who_waits_in_the_queue_hears_of_it_too(service: ManyJobs) -> None:
    service.status_requests_per_second = 1  # type: ignore[attr-defined]
    jobs = service.jobs(2)
    service.fail = lambda *_: failure(429, retryable=True, after=60)
    ends = [ask(job) for job in jobs]
    service.reactor.advance(1.0)
    assert ["57" in str(end[0]) or "59" in str(end[0]) for end in ends] == [False, True]


def test_a_short_one_is_sat_out(service: ManyJobs) -> None:
    jobs = service.jobs(2)
    service.fail = lambda *_: failure(429, retryable=True, after=4)
    with pytest.raises(TransportError):
        jobs[0].status()
    service.fail = lambda *_: None
    assert jobs[1].status() is JobState.RUNNING
    assert service.reactor.elapsed == 4.0


def test_timeouts_hold_all_the_same(service: ManyJobs) -> None:
    jobs = service.jobs(2)
    service.fail = lambda *_: failure(429, retryable=True, after=60)
    with pytest.raises(TransportError):
        jobs[0].status()
    with pytest.raises(JobTimeoutError):
        jobs[1].result(timeout=2.0)
    assert service.reactor.elapsed == 2.0


# ---- the list ----------------------------------------------------------------------------------


def test_a_thousand_jobs_that_begin_together_are_asked_about_by_the_list(
    listed: ListedJobs,
) -> None:
    jobs = listed.jobs(1000)
    for job in jobs:
        listed.states[job.job_id()] = "COMPLETED"
    ends = [follow(job) for job in jobs]
    listed.reactor.advance(GATHERING)
    assert listed.skips == list(range(0, 1000, 100))
    assert listed.count() == 0
    assert ends == [[None]] * 1000
    assert {job._machine.state for job in jobs} == {JobState.DONE}
    assert listed.reactor.armed == []


def test_a_thousand_jobs_cost_a_few_requests_a_second(listed: ListedJobs) -> None:
    listed.cap = 200
    for job in listed.jobs(1000):
        follow(job)
    listed.reactor.advance(30.0)
    before = len(listed.calls)
    listed.reactor.advance(100.0)
    assert len(listed.calls) - before <= 5 * 100 / 2
    assert listed.count() == 0


def test_a_few_are_asked_about_one_by_one(listed: ListedJobs) -> None:
    ends = [ask(job) for job in listed.jobs(15)]
    listed.reactor.settle()
    assert listed.count() == 10
    listed.reactor.advance(0.55)
    assert listed.count("jobs_get") == 0
    assert listed.count() == 15
    assert ends == [[None]] * 15


def test_sixteen_are_a_crowd(listed: ListedJobs) -> None:
    for job in listed.jobs(16):
        follow(job)
    listed.reactor.advance(GATHERING)
    assert listed.count() == 0
    assert listed.count("jobs_get") == 1


def test_a_pass_is_made_every_two_seconds(listed: ListedJobs) -> None:
    for job in listed.jobs(50):
        follow(job, wait=0.5)
    listed.reactor.advance(20.0)
    assert listed.times("jobs_get") == [pytest.approx(2.0 * n + GATHERING) for n in range(10)]
    assert listed.count() == 0


def test_a_list_that_is_slow_is_asked_for_less_often(listed: ListedJobs) -> None:
    listed.fail = lambda call, _: Late(2.0) if call == "jobs_get" else None
    for job in listed.jobs(50):
        follow(job, wait=0.5)
    listed.reactor.advance(30.0)
    assert listed.times("jobs_get") == [pytest.approx(8.0 * n + GATHERING) for n in range(4)]


def test_when_they_are_few_again_they_are_asked_about_one_by_one(listed: ListedJobs) -> None:
    jobs = listed.jobs(50)
    for job in jobs:
        follow(job, wait=1.0)
    listed.reactor.advance(GATHERING)
    for job in jobs[5:]:
        job.close()
    listed.reactor.advance(30.0)
    assert listed.times("jobs_get") == [0.1]
    assert set(listed.asked()) == {f"j{n}" for n in range(5)}


def test_what_is_urgent_does_not_wait_for_the_list(listed: ListedJobs) -> None:
    jobs = listed.jobs(51)
    for job in jobs[:50]:
        follow(job)
    listed.reactor.advance(1.0)
    before = listed.reactor.elapsed
    assert jobs[50].status() is JobState.RUNNING
    assert listed.reactor.elapsed == before
    assert listed.asked() == ["j50"]


def test_many_that_are_urgent_are_a_crowd_too(listed: ListedJobs) -> None:
    ends = [ask(job) for job in listed.jobs(100)]
    listed.reactor.settle()
    assert listed.asked() == [f"j{n}" for n in range(10)]
    listed.reactor.advance(2 * GATHERING)
    assert listed.count() == 10
    assert listed.count("jobs_get") == 1
    assert ends == [[None]] * 100


def test_pages_that_many_wait_for_go_before_what_is_urgent(listed: ListedJobs) -> None:
    listed.cap = 20
    for job in listed.jobs(100):
        ask(job)
    listed.reactor.advance(0.15)
    for job in listed.jobs(5):
        ask(job)
    before = len(listed.calls)
    listed.reactor.advance(1.05)
    calls = [call for call, *_ in listed.calls[before:]]
    assert calls == ["jobs_get"] * 4 + ["job_get"] * 5


def test_status_does_not_wait_for_a_list_that_is_slow(listed: ListedJobs) -> None:
    jobs = listed.jobs(50)
    for job in jobs:
        follow(job)
    listed.fail = lambda call, _: Late(20.0) if call == "jobs_get" else None
    listed.reactor.advance(GATHERING)
    listed.states["j7"] = "COMPLETED"
    before = listed.reactor.elapsed
    assert jobs[7].status() is JobState.DONE
    assert listed.reactor.elapsed == before
    listed.reactor.advance(30.0)
    assert jobs[7].status() is JobState.DONE


def test_an_answer_counts_only_for_what_was_ordered_before_it_was_asked_for(
    listed: ListedJobs,
) -> None:
    jobs = listed.jobs(51)
    for job in jobs[:50]:
        follow(job)
    listed.fail = lambda call, _: Late(1.0) if call == "jobs_get" else None
    listed.reactor.advance(GATHERING)
    assert listed.count("jobs_get") == 1
    end = follow(jobs[50])
    listed.states["j50"] = "COMPLETED"  # the page that is under way may say so already
    listed.fail = lambda *_: None
    listed.reactor.advance(3.9)
    assert end == []
    listed.reactor.advance(0.1)
    assert end == [None]
    assert listed.times("jobs_get") == [0.1, 4.1]


def test_two_objects_of_one_job_are_both_answered(listed: ListedJobs) -> None:
    jobs = listed.jobs(20)
    twins = [listed.job(job.job_id()) for job in jobs]
    listed.states.update({job.job_id(): "COMPLETED" for job in jobs})
    ends = [follow(job) for job in [*jobs, *twins]]
    listed.reactor.advance(GATHERING)
    assert ends == [[None]] * 40
    assert len(listed.calls) == 1


@pytest.mark.parametrize("cap", [1, 7, 20, 200])
def test_a_service_may_cap_its_pages(listed: ListedJobs, cap: int) -> None:
    listed.cap = cap
    jobs = listed.jobs(20)
    listed.states.update({job.job_id(): "COMPLETED" for job in jobs})
    ends = [follow(job) for job in jobs]
    listed.reactor.advance(3.0)
    assert ends == [[None]] * 20
    pages = min(10, math.ceil(20 / cap))
    assert listed.skips == [cap * page for page in range(pages)]
    assert listed.count() == (10 if cap == 1 else 0)


def test_a_page_counts_as_a_request(listed: ListedJobs) -> None:
    listed.cap = 10
    for job in listed.jobs(100):
        follow(job, wait=60.0)
    listed.reactor.advance(30.0)
    times = listed.times("jobs_get")
    assert most_in(1.0, times) <= 20
    assert len(times) <= 10 + 300


def test_what_the_list_does_not_tell_of_is_asked_about_alone(listed: ListedJobs) -> None:
    jobs = listed.jobs(50)
    listed.hidden = {"j3", "j4"}
    listed.states.update({job.job_id(): "COMPLETED" for job in jobs})
    ends = [follow(job) for job in jobs]
    listed.reactor.advance(GATHERING)
    assert ends == [[None]] * 50
    assert sorted(listed.asked()) == ["j3", "j4"]
    assert listed.count("jobs_get") == 1


def test_after_two_pages_of_others_jobs_the_rest_is_asked_about_alone(listed: ListedJobs) -> None:
    jobs = listed.jobs(20)
    listed.jobs(1000)
    mine = listed.jobs(20)
    ends = [follow(job) for job in [*jobs, *mine]]
    listed.reactor.advance(GATHERING)
    assert listed.skips == [0, 100, 200]
    assert ends == [[]] * 40
    listed.reactor.advance(2.0)
    assert set(listed.asked()) >= {job.job_id() for job in jobs}


def test_a_list_that_is_of_no_use_is_asked_for_less_and_less(listed: ListedJobs) -> None:
    jobs = listed.jobs(50)
    listed.jobs(1000)
    for job in jobs:
        follow(job, wait=1.0)
    listed.reactor.advance(300.0)
    pages = zip(listed.skips, listed.times("jobs_get"), strict=True)
    gaps = [round(b - a) for a, b in pairwise(time for skip, time in pages if skip == 0)]
    assert gaps == [4, 8, 16, 32, 60, 60, 60]
    assert max(listed.skips) == 900
    listed.hidden = set(list(listed.states)[50:])
    listed.reactor.advance(100.0)
    assert [round(b - a) for a, b in pairwise(listed.times("jobs_get"))][-5:] == [2] * 5
    listed.hidden = set()
    before = len(listed.skips)
    listed.reactor.advance(10.0)
    assert listed.skips[before:] == [*range(0, 1000, 100)] * 2


def test_pages_are_no_more_than_jobs(listed: ListedJobs) -> None:
    listed.status_requests_per_second = 2  # type: ignore[attr-defined]
    listed.cap = 10
    jobs = listed.jobs(4)
    listed.jobs(100)
    for job in jobs:
        follow(job, wait=60.0)
    listed.reactor.advance(30.0)
    assert max(listed.skips) == 30


def test_jobs_of_others_may_lie_before_ours(listed: ListedJobs) -> None:
    jobs = listed.jobs(20)
    listed.jobs(500)
    ends = [follow(job) for job in jobs]
    listed.states.update({job.job_id(): "COMPLETED" for job in jobs})
    listed.reactor.advance(GATHERING)
    assert ends == [[None]] * 20
    assert listed.skips == [0, 100, 200, 300, 400, 500]


@pytest.mark.parametrize(
    "page", [None, [], {}, {"jobs": None}, {"jobs": "j1"}, {"jobs": 7}, "html"]
)
def test_a_list_that_is_none_harms_nobody(listed: ListedJobs, page: object) -> None:
    listed.page = lambda _: page
    jobs = listed.jobs(30)
    ends = [follow(job) for job in jobs]
    listed.reactor.advance(1.05)
    assert listed.count() == 9 + 9
    assert ends == [[]] * 30
    listed.states.update({job.job_id(): "COMPLETED" for job in jobs})
    listed.reactor.advance(30.0)
    assert ends == [[None]] * 30
    assert listed.count("jobs_get") == 1


@pytest.mark.parametrize(
    "spoilt",
    [None, 7, {}, {"id": 7}, {"id": "j3"}, {"id": "j3", "status": None}, {"status": "RUNNING"}],
)
def test_an_entry_that_is_none_harms_nobody(listed: ListedJobs, spoilt: object) -> None:
    def spoil(answer: Mapping[str, Any]) -> object:
        kept = [spoilt if job["id"] == "j3" else job for job in answer["jobs"]]
        return {**answer, "jobs": kept}

    listed.page = spoil
    jobs = listed.jobs(30)
    listed.states.update({job.job_id(): "COMPLETED" for job in jobs})
    ends = [follow(job) for job in jobs]
    listed.reactor.advance(GATHERING)
    assert ends == [[None]] * 30
    assert listed.asked() == ["j3"]


def test_a_list_that_does_not_count_ends_with_an_empty_page(listed: ListedJobs) -> None:
    listed.page = lambda answer: {"jobs": answer["jobs"]}
    listed.cap = 20
    for job in listed.jobs(40):
        follow(job)
    listed.hidden = {"j0"}
    listed.reactor.advance(GATHERING)
    assert listed.skips == [0, 20, 39]


@pytest.mark.parametrize("count", [None, "many", 10**9, True])
def test_a_list_that_counts_wrongly_ends_all_the_same(listed: ListedJobs, count: object) -> None:
    listed.page = lambda answer: {**answer, "count": count}
    listed.cap = 10
    jobs = listed.jobs(30)
    listed.hidden = {"j0"}
    ends = [follow(job) for job in jobs]
    listed.states.update({job.job_id(): "COMPLETED" for job in jobs})
    listed.reactor.advance(3.0)
    assert ends == [[None]] * 30


def test_a_list_that_is_always_the_same_page_ends_all_the_same(reactor: FakeReactor) -> None:
    class Stuck(ListedJobs):
        def jobs_get(self, limit: int = 10, skip: int = 0) -> object:
            return super().jobs_get(limit, 0)

    listed = Stuck(reactor)
    listed.cap = 20
    for job in listed.jobs(60):
        follow(job)
    reactor.advance(GATHERING)
    assert listed.skips == [0, 0, 0]


def test_a_list_that_fails_is_left_alone_for_a_minute(listed: ListedJobs) -> None:
    listed.fail = lambda call, _: failure(403) if call == "jobs_get" else None
    for job in listed.jobs(50):
        follow(job, wait=1.0)
    listed.reactor.advance(60.05)
    assert listed.times("jobs_get") == [0.1]
    assert listed.count() == 9 + 599
    listed.reactor.advance(0.5)
    assert listed.count("jobs_get") == 2


def test_a_client_whose_list_takes_other_arguments_harms_nobody(reactor: FakeReactor) -> None:
    class Other(ManyJobs):
        def jobs_get(self, page_token: str) -> object:
            raise AssertionError(page_token)

    service = Other(reactor)
    ends = [follow(job) for job in service.jobs(50)]
    reactor.advance(10.0)
    assert service.count() > 100 - 10
    assert ends == [[]] * 50


def test_a_page_that_does_not_come_is_given_up(listed: ListedJobs) -> None:
    listed.fail = lambda call, _: HANGS if call == "jobs_get" else None
    jobs = listed.jobs(30)
    listed.states.update({job.job_id(): "COMPLETED" for job in jobs})
    ends = [follow(job) for job in jobs]
    listed.reactor.advance(29.0)
    assert listed.count() == 0
    listed.reactor.advance(4.0)
    assert ends == [[None]] * 30
    assert len(listed.reactor.abandoned) == 1


def test_a_page_that_comes_after_its_deadline_is_too_late(listed: ListedJobs) -> None:
    listed.fail = lambda call, _: Late(31.0) if call == "jobs_get" else None
    ends = [follow(job, wait=1.0) for job in listed.jobs(30)]
    listed.reactor.advance(40.0)
    assert ends == [[]] * 30
    assert set(listed.asked()) == {f"j{n}" for n in range(30)}
    listed.reactor.advance(60.0)
    assert listed.times("jobs_get")[1:] == [pytest.approx(90.2, abs=1.0)]


def test_a_429_to_the_list_slows_the_service_down_and_ends_no_listing(listed: ListedJobs) -> None:
    listed.fail = lambda call, _: (
        failure(429, retryable=True, after=20)
        if call == "jobs_get" and listed.reactor.elapsed < 20
        else None
    )
    for job in listed.jobs(50):
        follow(job)
    listed.reactor.advance(20.0)
    assert len(listed.calls) == 1
    listed.reactor.advance(0.1)
    assert listed.times("jobs_get") == [0.1, 20.1]
    assert listed.count() == 0


def test_a_page_that_comes_ends_the_back_off(listed: ListedJobs) -> None:
    busy = [True, False, True, False]
    listed.fail = lambda call, _: (
        failure(429, retryable=True)
        if call == "jobs_get" and (busy.pop(0) if busy else False)
        else None
    )
    for job in listed.jobs(50):
        follow(job, wait=0.5)
    listed.reactor.advance(4.0)
    assert listed.times("jobs_get") == [0.1, 0.6, 2.6, 3.1]


def test_a_pass_answers_all_that_wait_when_its_first_page_goes(listed: ListedJobs) -> None:
    listed.status_requests_per_second = 0.5  # type: ignore[attr-defined]
    early, late = listed.jobs(30), listed.jobs(10)
    early[0].status()
    ends = [follow(job) for job in early]
    listed.reactor.advance(1.0)
    ends += [follow(job) for job in late]
    listed.states.update(dict.fromkeys(listed.states, "COMPLETED"))
    listed.reactor.advance(1.1)
    assert listed.times("jobs_get") == [2.1]
    assert ends == [[None]] * 40


def test_what_a_page_has_answered_is_not_sent_as_well(listed: ListedJobs) -> None:
    listed.status_requests_per_second = 1  # type: ignore[attr-defined]
    listed.fail = lambda call, _: Late(0.5) if call == "jobs_get" else None
    jobs = listed.jobs(30)
    for job in jobs:
        follow(job)
    listed.reactor.advance(0.2)
    end = ask(jobs[7])
    listed.reactor.advance(2.0)
    # One more, since the page was ordered before the call.
    assert listed.asked() == ["j7"]
    assert listed.times() == [1.1]
    assert end == [None]


def test_what_was_sent_is_not_answered_by_a_page_as_well(listed: ListedJobs) -> None:
    listed.fail = lambda call, _: Late(1.0 if call == "jobs_get" else 3.0)
    jobs = listed.jobs(30)
    for job in jobs:
        follow(job, wait=60.0)
    listed.reactor.advance(0.2)
    ask(jobs[7])
    listed.reactor.advance(2.0)
    assert listed.asked() == ["j7"]
    listed.reactor.advance(2.0)
    assert listed.asked() == ["j7", "j7"]


def test_a_worker_that_is_interrupted_harms_nobody(listed: ListedJobs) -> None:
    listed.fail = lambda call, _: SystemExit() if call == "jobs_get" else None
    jobs = listed.jobs(30)
    for job in jobs:
        follow(job)
    listed.reactor.advance(5.0)
    assert set(listed.asked()) == {f"j{n}" for n in range(30)}


def test_one_that_nobody_waits_for_any_more_is_left_out(listed: ListedJobs) -> None:
    listed.fail = lambda call, _: Late(1.0) if call == "jobs_get" else None
    jobs = listed.jobs(30)
    for job in jobs[1:]:
        follow(job)
    with pytest.raises(JobTimeoutError):
        jobs[0].wait_for_final_state(timeout=0.5)
    listed.states["j0"] = "COMPLETED"
    listed.reactor.advance(10.0)
    assert not jobs[0]._machine.state.is_final
    assert jobs[0].status() is JobState.DONE


def test_a_closed_job_is_left_out(listed: ListedJobs) -> None:
    listed.fail = lambda call, _: Late(1.0) if call == "jobs_get" else None
    jobs = listed.jobs(30)
    for job in jobs:
        follow(job)
    listed.reactor.advance(GATHERING)
    jobs[0].close()
    listed.hidden = {"j0"}
    listed.reactor.advance(10.0)
    assert listed.count() == 0


@pytest.mark.parametrize("dialect", [LEGACY, CURRENT])
def test_both_dialects_have_a_list(reactor: FakeReactor, dialect: Dialect) -> None:
    class Service(ListedJobs):
        def document(self, job_id: str) -> Mapping[str, Any]:
            state = self.states[job_id]
            if dialect is LEGACY:
                return {"id": job_id, "status": state}
            return {"id": job_id, "state": {"status": state, "reason": "bad luck"}}

    listed = Service(reactor, dialect=dialect)
    jobs = listed.jobs(30)
    listed.states.update(dict.fromkeys(listed.states, "FAILED"))
    for job in jobs:
        follow(job)
    reactor.advance(GATHERING)
    assert listed.count() == 0
    assert {job._machine.state for job in jobs} == {JobState.ERROR}


def test_a_dialect_that_says_nothing_of_a_list_has_none(reactor: FakeReactor) -> None:
    listed = ListedJobs(reactor, dialect=Dialect("mine", LEGACY.status_event))
    for job in listed.jobs(50):
        follow(job)
    reactor.advance(5.05)
    assert listed.count("jobs_get") == 0
    assert listed.count() == 60


def test_a_dialect_with_a_mistake_harms_nobody_else(reactor: FakeReactor) -> None:
    assert LEGACY.listed_jobs is not None
    listed = ListedJobs(reactor)
    mistaken = Dialect("mine", unread, listed_jobs=LEGACY.listed_jobs)
    listed.dialect = mistaken
    wrong = [follow(job) for job in listed.jobs(20)]
    listed.dialect = LEGACY
    right = [follow(job) for job in listed.jobs(20)]
    listed.states.update(dict.fromkeys(listed.states, "COMPLETED"))
    reactor.advance(5.0)
    assert right == [[None]] * 20
    assert all(isinstance(end[0], TransportError) for end in wrong)


# ---- one budget for each service ---------------------------------------------------------------


def test_a_budget_lives_as_long_as_its_service(reactor: FakeReactor) -> None:
    budgets = Budgets(reactor)

    class Client:
        pass

    client, other = Client(), Client()
    budget = weakref.ref(budgets.of(client))
    assert budgets.of(client) is budget()
    assert budgets.of(other) is not budget()
    del client
    gc.collect()
    assert budget() is None
    assert len(budgets._known) == 1


def test_a_job_that_is_gone_keeps_no_client_alive(reactor: FakeReactor) -> None:
    service = ManyJobs(reactor)
    job = service.jobs(1)[0]
    job.status()
    gone = weakref.ref(service)
    reactor.children.clear()
    del service, job
    reactor.advance(200.0)
    reactor.timers.clear()
    gc.collect()
    assert gone() is None


def test_a_service_in_the_place_of_another_one_gets_a_budget_of_its_own(
    reactor: FakeReactor,
) -> None:
    budgets = Budgets(reactor)
    former, later = ManyJobs(reactor), ManyJobs(reactor)
    known = budgets.of(former)
    budgets._known[id(later)] = budgets._known[id(former)]  # as if at the same address
    assert budgets.of(later) is not known


def test_clients_that_are_equal_are_not_the_same(reactor: FakeReactor) -> None:
    @attrs.define
    class Equal:
        """Neither hashable nor told apart by `==`."""

    budgets = Budgets(reactor)
    one, two = Equal(), Equal()
    assert one == two
    assert budgets.of(one) is budgets.of(one)
    assert budgets.of(one) is not budgets.of(two)


def test_a_client_that_cannot_be_referenced_weakly_has_a_budget_for_each_job(
    reactor: FakeReactor,
) -> None:
    class Slotted:
        __slots__ = ("calls",)

        def __init__(self) -> None:
            self.calls = 0

        def job_get(self, job_id: str) -> Mapping[str, Any]:
            self.calls += 1
            return {"id": job_id, "status": "RUNNING"}

        def job_results(self, job_id: str) -> str:
            raise NotImplementedError

        def job_cancel(self, job_id: str) -> object:
            raise NotImplementedError

    client = Slotted()
    jobs = [RuntimeJob("b", client, None, f"j{n}", "p", reactor=reactor) for n in range(30)]
    for job in jobs:
        follow(job, wait=0.02)
    reactor.settle()
    assert client.calls == 30
    reactor.advance(10.0)
    assert client.calls <= 30 * (10 + 100)


# ---- fork --------------------------------------------------------------------------------------


def forked(service: ManyJobs, jobs: list[RuntimeJob]) -> FakeReactor:
    """Do as in the child of a fork: everything that the reactor had is gone."""
    service.reactor = child = FakeReactor()
    for job in jobs:
        runner = job._driver.runner
        job._reactor = job._driver._reactor = child
        runner._reactor = runner._requests._reactor = child
        performer = runner._requests._performer
        assert isinstance(performer, OnThreads)
        performer._reactor = child
        runner.after_fork()
    return child


def test_the_child_of_a_fork_has_a_budget_of_its_own(service: ManyJobs) -> None:
    jobs = service.jobs(30)
    for job in jobs:
        follow(job)
    service.reactor.advance(1.0)
    service.fail = lambda *_: failure(429, retryable=True, after=200)
    service.reactor.advance(0.1)
    service.fail = lambda *_: None
    child = forked(service, jobs)
    service.calls.clear()
    child.advance(100.0)
    assert service.calls == []
    for job in jobs[5:10]:
        assert job.status() is JobState.RUNNING
    assert child.elapsed == 100.0


def test_the_reactor_of_a_process_has_other_budgets_after_a_fork() -> None:
    reactor, client = SharedReactor(), FakeStreams()
    before = reactor.budget_of(client)
    assert reactor.budget_of(client) is before
    reactor.after_fork_in_child()
    assert reactor.budget_of(client) is not before


def test_what_was_queued_at_the_fork_is_asked_again(listed: ListedJobs) -> None:
    jobs = listed.jobs(50)
    listed.fail = lambda call, _: HANGS if call == "jobs_get" else None
    for job in jobs:
        follow(job)
    listed.reactor.advance(GATHERING)
    assert listed.count("jobs_get") == 1
    listed.fail = lambda *_: None
    child = forked(listed, jobs)
    listed.states.update(dict.fromkeys(listed.states, "COMPLETED"))
    assert not any(job._driver.runner._requests.are_queued for job in jobs)
    ends = [follow(job) for job in jobs]
    child.advance(GATHERING)
    assert ends == [[None]] * 50


# ---- queues ------------------------------------------------------------------------------------


def question(place: int) -> Question:
    return Question(f"j{place}", 1, lambda: None, lambda _: None, place=place)


def test_the_lowest_place_is_next_whoever_came_first() -> None:
    queue = Queue()
    questions = [question(place) for place in (5, 3, 9, 3, 1)]
    for each in questions:
        queue.add(each)
    queue.discard(questions[2])
    assert [queue.pop().place for _ in range(len(queue))] == [1, 3, 3, 5]


def test_who_comes_and_goes_leaves_nothing_behind() -> None:
    queue = Queue()
    kept = [question(place) for place in range(10)]
    for each in kept:
        queue.add(each)
    for place in range(10_000):
        passing = question(-place)
        queue.add(passing)
        queue.discard(passing)
        gone = weakref.ref(passing)
        del passing
        assert gone() is None
    assert len(queue._heap) < 200
    assert [queue.pop() for _ in range(len(queue))] == kept


def test_a_question_waits_in_one_queue_only() -> None:
    first, second = Queue(), Queue()
    each = question(1)
    first.add(each)
    second.add(each)
    assert (len(first), len(second)) == (0, 1)
    assert each.queue is second
