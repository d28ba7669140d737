"""`wait` and `as_completed`, on the fake clock."""

from __future__ import annotations

import concurrent.futures
import math
import os
from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from typing import Any

import pytest
from fakes import FakeReactor, failure
from many_jobs import ManyJobs

import adapters
from adapters.job import RuntimeJob
from adapters.waiting import DoneAndNotDone, as_completed, wait
from runtime_core.errors import TransportError, UsageError, WaitTimeoutError
from runtime_core.events import JobQueued, JobSucceeded
from runtime_core.states import JobState


class Service(ManyJobs):
    """Its jobs end when they are told to."""

    def ends(self, delay: float, job: RuntimeJob, status: str = "COMPLETED") -> None:
        self.reactor.at(delay, lambda: self.states.update({job.job_id(): status}))


@pytest.fixture
def service() -> Service:
    return Service(FakeReactor())


def waits_of(jobs: list[RuntimeJob]) -> int:
    """How many waits there are left."""
    jobs[0]._reactor.settle()  # type: ignore[attr-defined]
    return sum(len(job._driver.runner._waiters) for job in jobs)


def test_they_are_public() -> None:
    assert (adapters.wait, adapters.as_completed) == (wait, as_completed)


# ---- wait --------------------------------------------------------------------------------------


def test_all_have_ended_in_whatever_way(service: Service) -> None:
    jobs = service.jobs(3)
    for job, status in zip(jobs, ["COMPLETED", "FAILED", "CANCELLED"], strict=True):
        service.ends(3.0, job, status)
    done, not_done = wait(jobs)
    assert (done, not_done) == (set(jobs), set())
    states = [job.status() for job in jobs]
    assert states == [JobState.DONE, JobState.ERROR, JobState.CANCELLED]
    assert waits_of(jobs) == 0
    assert service.reactor.armed == []


def test_at_the_timeout_it_gives_what_there_is_and_lets_go(service: Service) -> None:
    jobs = service.jobs(3)
    service.ends(1.0, jobs[1])
    assert wait(jobs, timeout=3.0) == ({jobs[1]}, {jobs[0], jobs[2]})
    assert service.reactor.elapsed == 3.0
    assert waits_of(jobs) == 0
    before = service.count()
    service.reactor.advance(100.0)
    assert service.count() == before


def test_the_first_that_ends_is_enough(service: Service) -> None:
    jobs = service.jobs(3)
    service.ends(2.0, jobs[2])
    result = wait(jobs, return_when=concurrent.futures.FIRST_COMPLETED)
    assert result == DoneAndNotDone({jobs[2]}, {jobs[0], jobs[1]})
    assert waits_of(jobs) == 0


@pytest.mark.parametrize("status", ["FAILED", "CANCELLED"])
def test_the_first_that_goes_wrong_is_enough(service: Service, status: str) -> None:
    jobs = service.jobs(3)
    service.ends(0.2, jobs[0])
    service.ends(2.0, jobs[1], status)
    done, not_done = wait(jobs, return_when="FIRST_EXCEPTION")
    assert (done, not_done) == ({jobs[0], jobs[1]}, {jobs[2]})


def test_if_none_goes_wrong_all_are_waited_for(service: Service) -> None:
    jobs = service.jobs(3)
    for job in jobs:
        service.ends(2.0, job)
    assert wait(jobs, return_when="FIRST_EXCEPTION") == (set(jobs), set())


@pytest.mark.parametrize("when", ["ALL_COMPLETED", "FIRST_EXCEPTION"])
def test_a_job_whose_state_cannot_be_had_is_done_and_tells_why(service: Service, when: str) -> None:
    jobs = service.jobs(2)
    service.ends(5.0, jobs[1])
    service.fail = lambda _, job_id: failure(404) if job_id == "j0" else None
    done, not_done = wait(jobs, return_when=when)
    assert jobs[0] in done
    assert not_done == (set() if when == "ALL_COMPLETED" else {jobs[1]})
    with pytest.raises(TransportError, match="404"):
        jobs[0].result()


def test_what_may_pass_is_tried_again(service: Service) -> None:
    [job] = service.jobs(1)
    service.ends(5.0, job)
    service.fail = lambda *_: failure(503, retryable=True) if service.reactor.elapsed < 3 else None
    assert wait([job]) == ({job}, set())


def test_jobs_that_have_ended_are_not_asked_about(service: Service) -> None:
    jobs = service.jobs(2, initial=JobSucceeded())
    assert wait(jobs) == (set(jobs), set())
    assert list(as_completed(jobs)) == jobs
    others = service.jobs(1)
    assert wait([*jobs, *others], return_when="FIRST_COMPLETED") == (set(jobs), set(others))
    assert service.calls == []
    assert service.reactor.elapsed == 0


@pytest.mark.parametrize("when", ["ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION"])
def test_no_jobs(when: str) -> None:
    assert wait([], return_when=when) == (set(), set())
    assert list(as_completed([])) == []


def test_timeout_0_asks_nobody(service: Service) -> None:
    jobs = [*service.jobs(2), *service.jobs(1, initial=JobSucceeded())]
    assert wait(jobs, timeout=0) == ({jobs[2]}, {jobs[0], jobs[1]})
    found = as_completed(jobs, timeout=0)
    assert next(found) is jobs[2]
    with pytest.raises(WaitTimeoutError):
        next(found)
    assert service.calls == []


def test_a_job_given_twice_counts_once(service: Service) -> None:
    [job] = service.jobs(1)
    service.ends(1.0, job)
    assert wait(iter([job, job])) == ({job}, set())
    [other] = service.jobs(1)
    service.ends(1.0, other)
    assert list(as_completed([other, job, other])) == [job, other]


def test_a_final_job_that_is_closed_has_ended_all_the_same(service: Service) -> None:
    [job] = service.jobs(1, initial=JobSucceeded())
    job.close()
    assert wait([job]) == ({job}, set())


Call = Callable[..., Any]


def drain(*args: Any, **kwargs: Any) -> None:
    list(as_completed(*args, **kwargs))


@pytest.mark.parametrize("call", [wait, drain])
def test_a_closed_job_is_a_mistake(service: Service, call: Call) -> None:
    jobs = service.jobs(2)
    jobs[1].close()
    with pytest.raises(UsageError, match="j1 is closed"):
        call(jobs)
    assert waits_of(jobs) == 0


@pytest.mark.parametrize("call", [wait, drain])
def test_a_job_that_is_closed_meanwhile_is_a_mistake(service: Service, call: Call) -> None:
    jobs = service.jobs(2)
    service.reactor.at(2.0, jobs[1].close)
    with pytest.raises(UsageError, match="j1 is closed"):
        call(jobs)
    assert waits_of(jobs) == 0


@pytest.mark.parametrize("call", [wait, as_completed])
def test_what_is_no_job(service: Service, call: Call) -> None:
    with pytest.raises(TypeError, match="expected RuntimeJobs, got one str"):
        call([*service.jobs(1), "j1"])
    with pytest.raises(TypeError):
        call(service.jobs(1)[0])


@pytest.mark.parametrize("call", [wait, as_completed])
@pytest.mark.parametrize("number", [-1, math.nan])
@pytest.mark.parametrize("argument", ["timeout", "wait"])
def test_numbers_that_are_none(service: Service, call: Call, number: float, argument: str) -> None:
    with pytest.raises(ValueError, match=f"{argument} is in seconds"):
        call(service.jobs(1), **{argument: number})


def test_return_when_is_a_constant() -> None:
    with pytest.raises(ValueError, match="'SOME_COMPLETED'"):
        wait([], return_when="SOME_COMPLETED")


def test_ctrl_c_leaves_no_wait_behind(service: Service) -> None:
    jobs = service.jobs(3)
    service.reactor.interrupt(2.0)
    with pytest.raises(KeyboardInterrupt):
        wait(jobs)
    assert waits_of(jobs) == 0


def test_jobs_may_be_of_different_services(service: Service) -> None:
    other = Service(service.reactor)
    jobs = [*service.jobs(1), *other.jobs(1)]
    service.ends(1.0, jobs[0])
    other.ends(2.0, jobs[1])
    assert wait(jobs) == (set(jobs), set())


def test_the_longest_time_between_two_polls(service: Service) -> None:
    [job] = service.jobs(1)
    service.ends(50.0, job)
    wait([job], wait=10.0)
    times = service.times()
    assert max(b - a for a, b in pairwise(times)) == 10.0


# ---- as_completed ------------------------------------------------------------------------------


def test_jobs_come_as_they_end(service: Service) -> None:
    jobs = service.jobs(3)
    for delay, job in zip([6.0, 2.0, 4.0], jobs, strict=True):
        service.ends(delay, job)
    assert list(as_completed(jobs, wait=0.5)) == [jobs[1], jobs[2], jobs[0]]
    assert waits_of(jobs) == 0


def test_those_that_have_ended_come_first(service: Service) -> None:
    pending, known = service.jobs(1)[0], service.jobs(1, initial=JobSucceeded())[0]
    service.ends(0.0, pending)
    assert list(as_completed([pending, known])) == [known, pending]


def test_those_that_end_while_the_loop_is_busy_are_not_lost(service: Service) -> None:
    jobs = service.jobs(3)
    for delay, job in enumerate(jobs):
        service.ends(delay, job)
    found = []
    for job in as_completed(jobs, timeout=9.0, wait=1.0):
        found.append(job)
        service.reactor.advance(10.0)
    assert found == jobs


def test_the_time_is_up(service: Service) -> None:
    jobs = service.jobs(3)
    service.ends(1.0, jobs[0])
    found = as_completed(jobs, timeout=5.0)
    assert next(found) is jobs[0]
    with pytest.raises(TimeoutError, match="2 of 3 jobs have not ended within 5 s") as caught:
        next(found)
    assert isinstance(caught.value, WaitTimeoutError)
    assert service.reactor.elapsed == 5.0
    assert waits_of(jobs) == 0


def test_the_time_counts_from_the_call(service: Service) -> None:
    found = as_completed(service.jobs(1), timeout=5.0)
    service.reactor.advance(3.0)
    with pytest.raises(WaitTimeoutError):
        next(found)
    assert service.reactor.elapsed == 5.0


def test_nothing_is_asked_before_the_first_is_wanted(service: Service) -> None:
    found = as_completed(service.jobs(3))
    service.reactor.advance(3.0)
    assert service.calls == []
    del found


def test_leaving_the_loop_leaves_no_wait_behind(service: Service) -> None:
    jobs = service.jobs(3)
    for delay, job in enumerate(jobs):
        service.ends(10.0 * delay, job)
    for _ in as_completed(jobs):
        break
    assert waits_of(jobs) == 0
    assert list(islice(as_completed(jobs), 1)) == [jobs[0]]
    assert waits_of(jobs) == 0
    assert service.reactor.armed == []


def test_a_job_whose_state_cannot_be_had_comes_too(service: Service) -> None:
    jobs = service.jobs(2)
    service.ends(5.0, jobs[1])
    service.fail = lambda _, job_id: failure(404) if job_id == "j0" else None
    assert list(as_completed(jobs)) == jobs


def test_subclasses_stay_what_they_are(service: Service) -> None:
    class Mine(RuntimeJob):
        mine = True

    job = Mine("b", service, None, "j0", "p", reactor=service.reactor, initial=JobSucceeded())
    found: Iterator[Mine] = as_completed([job])
    done: set[Mine] = wait([job]).done
    assert next(found).mine
    assert all(each.mine for each in done)


def test_the_child_of_a_fork_goes_on(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = service.jobs(2, initial=JobQueued())
    service.ends(1.0, jobs[0])
    service.ends(9.0, jobs[1])
    found = as_completed(jobs)
    assert next(found) is jobs[0]
    monkeypatch.setattr(os, "getpid", lambda: -1)
    for job in jobs:
        job._driver.runner.after_fork()
    assert next(found) is jobs[1]
