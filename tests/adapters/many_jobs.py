"""A service of many jobs on the fake clock, with a list of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from fakes import FakeReactor, Late

from adapters.job import RuntimeJob
from adapters.services.dialect import Dialect
from runtime_core.events import LifecycleEvent, Need, WaitStarted


class ManyJobs:
    """An api client without a list: all its jobs are RUNNING until `states` says otherwise."""

    def __init__(self, reactor: FakeReactor, *, dialect: Dialect | None = None) -> None:
        self.reactor = reactor
        self.states: dict[str, str] = {}
        self.calls: list[tuple[str, str, float]] = []
        """What was asked for, about which job, and when, in seconds since the beginning."""
        self.fail: Callable[[str, str], BaseException | Late | None] = lambda *_: None
        """What is raised to a call about a job, or how long it takes; None for nothing."""
        self.streams: Any = None
        """The client for streams of the jobs that are made from now on; None without streams."""
        if dialect is not None:
            self.dialect = dialect

    def jobs(self, count: int, **options: Any) -> list[RuntimeJob]:
        """Submit jobs: the first has the lowest number, and is the oldest."""
        first = len(self.states)
        ids = [f"j{number}" for number in range(first, first + count)]
        self.states.update(dict.fromkeys(ids, "RUNNING"))
        return [self.job(job_id, **options) for job_id in ids]

    def job(self, job_id: str, **options: Any) -> RuntimeJob:
        return RuntimeJob("b", self, self.streams, job_id, "p", reactor=self.reactor, **options)

    # ---- the calls -----------------------------------------------------------------------------

    def job_get(self, job_id: str) -> Mapping[str, Any]:
        self._called("job_get", job_id)
        return self.document(job_id)

    def job_results(self, job_id: str) -> str:
        self._called("job_results", job_id)
        return "42"

    def job_cancel(self, job_id: str) -> None:
        self._called("job_cancel", job_id)

    def document(self, job_id: str) -> Mapping[str, Any]:
        return {"id": job_id, "status": self.states[job_id]}

    def _called(self, call: str, job_id: str) -> None:
        self.calls.append((call, job_id, round(self.reactor.elapsed, 6)))
        happens = self.fail(call, job_id)
        if isinstance(happens, Late):
            self.reactor.hold(happens.seconds)
        elif happens is not None:
            raise happens

    # ---- what was called -----------------------------------------------------------------------

    def times(self, call: str = "job_get") -> list[float]:
        return [time for name, _, time in self.calls if name == call]

    def asked(self, call: str = "job_get") -> list[str]:
        return [job_id for name, job_id, _ in self.calls if name == call]

    def count(self, call: str = "job_get") -> int:
        return len(self.times(call))

    def per_job(self) -> Counter[str]:
        return Counter(self.asked())


class ListedJobs(ManyJobs):
    """The same with a list: the newest first, at most `cap` on a page."""

    cap = 100

    def __init__(self, reactor: FakeReactor, **options: Any) -> None:
        super().__init__(reactor, **options)
        self.skips: list[int] = []
        """Where each page began."""
        self.page: Callable[[Mapping[str, Any]], object] = lambda answer: answer
        """What becomes of a page on its way."""
        self.hidden: set[str] = set()
        """Jobs that the list does not tell of."""

    def jobs_get(self, limit: int = 10, skip: int = 0) -> object:
        assert 0 < limit <= 200
        self.skips.append(skip)
        self._called("jobs_get", "")
        ids = [job_id for job_id in reversed(self.states) if job_id not in self.hidden]
        found = ids[skip : skip + min(limit, self.cap)]
        return self.page({"jobs": [self.document(job_id) for job_id in found], "count": len(ids)})


def follow(job: RuntimeJob, wait: float = 5.0) -> list[Exception | None]:
    """Wait for the end of a job as another thread would; the list gets what ends that."""
    ends: list[Exception | None] = []
    runner = job._driver.runner
    event = WaitStarted(runner.new_number(), Need.FINAL, wait)
    runner._reactor.call_soon(lambda: runner.start_wait(event, ends.append))
    return ends


def ask(job: RuntimeJob) -> list[Exception | None]:
    """Ask for the state as `status()` in another thread would."""
    ends: list[Exception | None] = []
    runner = job._driver.runner
    event = WaitStarted(runner.new_number(), Need.STATUS)
    runner._reactor.call_soon(lambda: runner.start_wait(event, ends.append))
    return ends


def unread(document: object, request: int | None = None) -> LifecycleEvent:
    raise ZeroDivisionError("a dialect with a mistake")
