"""Many jobs of the real service at once: `wait`, `as_completed`, and what they cost it."""

from __future__ import annotations

import asyncio
import textwrap
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conditions import PATIENCE, eventually, our_threads
from own_service import OwnService, own_service

from adapters import (
    AsyncRuntimeJob,
    CurrentRuntimeClient,
    RuntimeClient,
    RuntimeJob,
    as_completed,
    wait,
)
from adapters.drivers.asyncio_reactor import AsyncioReactor
from adapters.drivers.reactor import SharedReactor
from runtime_core.errors import WaitTimeoutError
from runtime_core.states import JobState

MANY = 1000
LONG = 60.0
"""Seconds that a thousand jobs have, on a machine that is shared."""

PROGRAMS = {
    "sleeps": """
        import time
        def main(backend, user_messenger, seconds, fails=False):
            time.sleep(seconds)
            if fails:
                raise ValueError("on purpose")
            return seconds
        """,
    # Keeps a worker busy until the file is there.
    "blocks": """
        import os, time
        def main(backend, user_messenger, gate):
            while not os.path.exists(gate):
                time.sleep(0.01)
        """,
}


def fill(service: OwnService) -> OwnService:
    for name, source in PROGRAMS.items():
        service.upload_program(textwrap.dedent(source).encode(), {"name": name})
    return service


@pytest.fixture(scope="module")
def service() -> Iterator[OwnService]:
    with own_service(4) as service:
        yield fill(service)


@pytest.fixture
def lone_worker() -> Iterator[OwnService]:
    with own_service(1) as service:
        yield fill(service)


class CountingClient(RuntimeClient):
    """Counts its requests."""

    def __init__(self, service: OwnService) -> None:
        super().__init__(service.url, service.token)
        self.requests: Counter[str] = Counter()
        self.most_threads = 0

    def job_get(self, job_id: str) -> dict[str, Any]:
        self._count("job_get")
        return super().job_get(job_id)

    def jobs_get(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        self._count("jobs_get")
        return super().jobs_get(*args, **kwargs)

    def _count(self, call: str) -> None:
        self.requests[call] += 1
        self.most_threads = max(self.most_threads, len(our_threads()))


def job_of(client: RuntimeClient, job_id: str, **options: Any) -> RuntimeJob:
    return RuntimeJob("b", client, None, job_id, "p", **options)


def test_a_thousand_jobs_take_one_thread_more_and_a_few_requests(
    lone_worker: OwnService, tmp_path: Path
) -> None:
    lone_worker.run("blocks", inputs={"gate": str(tmp_path / "gate")})
    ids = [lone_worker.run("sleeps", inputs={"seconds": 0}).job_id() for _ in range(MANY)]
    before = threading.active_count()
    with CountingClient(lone_worker) as client:
        jobs = [job_of(client, job_id) for job_id in ids]
        assert wait(jobs, timeout=1.0) == (set(), set(jobs))
        assert client.requests.total() <= 30

        def cancel_all() -> None:
            for job in jobs:
                job.cancel()

        canceller = threading.Thread(target=cancel_all)
        canceller.start()
        done, not_done = wait(jobs, timeout=LONG)
        canceller.join(LONG)
        assert not_done == set()
        assert {job.status() for job in done} == {JobState.CANCELLED}
        assert eventually(lambda: threading.active_count() <= before)
        # The loop, two for requests, and more of these only while some hang.
        assert client.most_threads <= 5


def test_jobs_come_as_they_end(service: OwnService) -> None:
    seconds = [0.9, 0.1, 0.5]
    jobs = [service.run("sleeps", inputs={"seconds": s, "fails": s == 0.5}) for s in seconds]
    ended = list(as_completed(jobs, timeout=PATIENCE))
    assert ended == [jobs[1], jobs[2], jobs[0]]
    assert [job.status() for job in ended] == [JobState.DONE, JobState.ERROR, JobState.DONE]
    assert list(as_completed(jobs)) == jobs


def test_the_first_of_jobs_that_live_on_different_loops(service: OwnService) -> None:
    own = SharedReactor()
    with RuntimeClient(service.url, service.token) as client:
        ids = [service.run("sleeps", inputs={"seconds": s}).job_id() for s in (30, 0.1)]
        jobs = [job_of(client, ids[0]), job_of(client, ids[1], reactor=own)]
        assert wait(jobs, PATIENCE, FIRST_COMPLETED) == ({jobs[1]}, {jobs[0]})
        with pytest.raises(WaitTimeoutError, match="1 of 2"):
            list(as_completed(jobs, timeout=0.2))
        jobs[0].cancel()
        assert wait(jobs, PATIENCE) == (set(jobs), set())


def test_leaving_early_leaves_nothing_behind(service: OwnService) -> None:
    jobs = [service.run("sleeps", inputs={"seconds": s}) for s in (0.1, 30)]
    with closing(as_completed(jobs, timeout=PATIENCE)) as ends:  # type: ignore[type-var]
        assert next(ends) is jobs[0]
    jobs[1].cancel()
    assert eventually(lambda: not our_threads())


@pytest.mark.parametrize("dialect", ["legacy", "current"])
def test_the_service_s_list_tells_what_its_jobs_tell(
    service: OwnService, dialect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = [{"seconds": 0, "fails": n % 2 == 1} for n in range(20)]
    ids = [service.run("sleeps", inputs=given).job_id() for given in inputs]
    assert eventually(lambda: all(job.in_final_state() for job in service.jobs(20)), seconds=LONG)
    client = (
        RuntimeClient(service.url, service.token)
        if dialect == "legacy"
        else CurrentRuntimeClient(f"{service.url}/api/v1", service.token, "crn:x")
    )
    monkeypatch.setattr(client, "job_get", lambda _: pytest.fail("asked about one alone"))
    with client:
        jobs = [job_of(client, job_id) for job_id in ids]
        assert wait(jobs, PATIENCE).not_done == set()
        failed = [job._machine.state is JobState.ERROR for job in jobs]
        assert failed == [given["fails"] for given in inputs]


def test_asyncio_gather_asks_by_the_list_too(service: OwnService) -> None:
    jobs = [service.run("sleeps", inputs={"seconds": 0}) for _ in range(30)]

    async def play(client: CountingClient) -> None:
        reactor = AsyncioReactor()
        ours = [
            AsyncRuntimeJob("b", client, None, job.job_id(), "p", reactor=reactor) for job in jobs
        ]
        async with asyncio.timeout(LONG):
            await asyncio.gather(*[job.wait_for_final_state() for job in ours])

    with CountingClient(service) as client:
        asyncio.run(play(client))
        assert client.requests["jobs_get"] > 0
        assert client.requests.total() < len(jobs) * 3
