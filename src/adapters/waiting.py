"""Waiting for many jobs at once, in the manner of `concurrent.futures`.

It takes the caller's own thread and no other: the jobs are followed where all jobs are, and their
services are asked within one budget, by lists where there are many.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION
from functools import partial
from typing import Generic, NamedTuple, Self, TypeVar

import attrs

from adapters.drivers.job_runner import JobRunner
from adapters.drivers.reactor import ThreadReactor
from adapters.job import RuntimeJob
from adapters.job_base import check_timeout, check_wait
from runtime_core.errors import UsageError, WaitTimeoutError
from runtime_core.events import Need, WaitStarted
from runtime_core.states import JobState

J = TypeVar("J", bound=RuntimeJob)


class DoneAndNotDone(NamedTuple, Generic[J]):
    """What `wait` gives."""

    done: set[J]
    """The jobs that have ended, or whose state cannot be had."""
    not_done: set[J]
    """The others."""


def wait(
    jobs: Iterable[J],
    timeout: float | None = None,
    return_when: str = ALL_COMPLETED,
    wait: float = 5.0,
) -> DoneAndNotDone[J]:
    """Wait until jobs have ended, in whatever way; they may be of different services.

    A job is also done if its state cannot be had: its service refuses to tell, for instance.
    `job.result()` says why. Failures that may pass are tried again, as by `wait_for_final_state`.

    Args:
        jobs: which; one that is given twice counts once.
        timeout: seconds; None waits without end, 0 asks nobody and gives what is known.
        return_when: ``ALL_COMPLETED``, ``FIRST_COMPLETED``, or ``FIRST_EXCEPTION``, which returns
            when a job has failed, was cancelled or cannot be asked about, or when all are done;
            the constants of `concurrent.futures`.
        wait: the longest time in seconds between two polls of a job; when there are many, what
            their service may be asked rules.

    Raises:
        TypeError: if one of them is no `RuntimeJob`.
        UsageError: if one of them is closed and has not ended.
        ValueError: if there is no such `return_when`, or a number is negative or none.
    """
    check_timeout(timeout)
    check_wait(wait)
    if return_when not in (ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION):
        raise ValueError(f"return_when is a constant of concurrent.futures, not {return_when!r}")
    crowd = _Crowd(jobs, timeout, wait)
    done = set(crowd.known)
    is_enough = any(_is_enough(job, None, return_when) for job in done)
    if timeout != 0 and not is_enough and crowd.pending:
        with crowd:
            while crowd.pending and not is_enough and (ended := crowd.next()):
                done |= {job for job, _ in ended}
                is_enough = any(_is_enough(job, error, return_when) for job, error in ended)
    return DoneAndNotDone(done, set(crowd.pending))


def as_completed(jobs: Iterable[J], timeout: float | None = None, wait: float = 5.0) -> Iterator[J]:
    """Give jobs as they end, in whatever way; those first that have ended already.

    What counts as an end, and the arguments, are as in `wait`. Leaving the loop early ends the
    waiting; the jobs go on.

    Raises:
        TypeError: if one of them is no `RuntimeJob`.
        UsageError: if one of them is closed and has not ended.
        ValueError: if a number is negative or none.
        WaitTimeoutError: by the iterator, if not all have ended so many seconds after this call.
            It is a `TimeoutError`.
    """
    check_timeout(timeout)
    check_wait(wait)
    return _as_they_end(_Crowd(jobs, timeout, wait))


def _as_they_end(crowd: _Crowd[J]) -> Iterator[J]:
    with crowd:
        yield from crowd.known
        while crowd.pending:
            ended = crowd.next()
            if not ended:
                raise WaitTimeoutError(len(crowd.pending), crowd.size, crowd.timeout or 0.0)
            for job, _ in ended:
                yield job


def _is_enough(job: RuntimeJob, error: Exception | None, return_when: str) -> bool:
    if return_when == FIRST_EXCEPTION:
        state = _runner(job).machine.state
        return error is not None or state in (JobState.ERROR, JobState.CANCELLED)
    return return_when == FIRST_COMPLETED


@attrs.define(eq=False)
class _Ends(Generic[J]):
    """Where the loops leave what has ended, and the caller takes it."""

    jobs: deque[tuple[J, Exception | None]] = attrs.Factory(deque)
    """The jobs, with why their state cannot be had."""
    came: threading.Event = attrs.Factory(threading.Event)
    """Set when there are more."""

    def add(self, job: J, error: Exception | None) -> None:
        """On a loop: a wait is over."""
        self.jobs.append((job, error))
        self.came.set()


class _Crowd(Generic[J]):
    """The waits of one caller for many jobs. They begin with the `with`, and end with it."""

    def __init__(self, jobs: Iterable[J], timeout: float | None, wait: float) -> None:
        different = dict.fromkeys(map(_checked, jobs))
        self.timeout = timeout
        self.size = len(different)
        self.known = [job for job in different if _runner(job).machine.state.is_final]
        """Those of which it was known that they have ended."""
        self.pending = different
        """The others, as long as they are not known to have ended."""
        for job in self.known:
            del self.pending[job]
        self._wait = wait
        self._ends: _Ends[J] = _Ends()
        self._begun: dict[J, int] = {}
        self._process = os.getpid()
        # The clock and the way to block are the same for all that live on threads.
        self._reactor = next(map(_reactor, self.pending), None)
        if self._reactor is not None and timeout is not None:
            self._deadline: float | None = self._reactor.now() + timeout
        else:
            self._deadline = None

    def __enter__(self) -> Self:
        if self.timeout != 0:
            self._begin()
        return self

    def __exit__(self, *_: object) -> None:
        ends = {job: partial(_runner(job).end_wait, number) for job, number in self._begun.items()}
        _on_their_loops(ends)

    def next(self) -> list[tuple[J, Exception | None]]:
        """Block until more jobs have ended; none if the time is up first.

        Raises:
            UsageError: if one of them is closed.
        """
        assert self._reactor is not None, "somebody is pending"
        if self._process != os.getpid():  # the waits of the parent are not the child's
            self._process = os.getpid()
            self._begin()
        ends = self._ends
        while not ends.jobs:
            if self.timeout == 0 or not self._reactor.wait(ends.came, self._deadline):
                return []
            ends.came.clear()
        found = [ends.jobs.popleft() for _ in range(len(ends.jobs))]
        for job, error in found:
            if isinstance(error, UsageError):
                raise error
            del self.pending[job]
            del self._begun[job]
        return found

    def _begin(self) -> None:
        self._ends = _Ends()
        starts = {}
        for job in self.pending:
            runner = _runner(job)
            number = self._begun[job] = runner.new_number()
            event = WaitStarted(number, Need.FINAL, self._wait)
            starts[job] = partial(runner.start_wait, event, partial(self._ends.add, job))
        _on_their_loops(starts)


def _on_their_loops(tasks: Mapping[J, Callable[[], None]]) -> None:
    """Run tasks where their jobs live, all of one loop at once: so they are seen to be many."""
    loops: dict[ThreadReactor, list[Callable[[], None]]] = {}
    for job, task in tasks.items():
        loops.setdefault(_reactor(job), []).append(task)
    for reactor, theirs in loops.items():
        reactor.call_soon(partial(_run_all, theirs))


def _run_all(tasks: list[Callable[[], None]]) -> None:
    for task in tasks:
        task()


def _checked(job: J) -> J:
    if not isinstance(job, RuntimeJob):
        raise TypeError(f"expected RuntimeJobs, got one {type(job).__name__}")
    return job


# A job has no public way to what runs it: nobody else needs one.


def _runner(job: RuntimeJob) -> JobRunner:
    return job._runner  # noqa: SLF001


def _reactor(job: RuntimeJob) -> ThreadReactor:
    return job._reactor  # noqa: SLF001
