"""The supervisor with real processes, when the store or the machine fails it."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from conditions import PATIENCE

from adapters.local import runner, supervisor
from adapters.local.records import Job, JobStatus, Program
from adapters.local.store import Store
from adapters.local.supervisor import Supervisor
from adapters.local.texts import Kind

SLEEPS = b"""
import time
def main(backend, user_messenger):
    time.sleep(60)
"""
RETURNS = b"""
def main(backend, user_messenger):
    return 5
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path) as store:
        yield store


def run(store: Store, source: bytes, scene: Callable[[Supervisor, Job], Awaitable[None]]) -> Job:
    """Have a supervisor run one job, play the scene, close; give the job as it is then."""
    program = store.add_program(Program("p", 60), source)
    job = store.add_job(Job("p", program.source, 60), "{}")

    async def play() -> None:
        async with asyncio.timeout(PATIENCE):
            this = Supervisor(store, Path(store.texts._files).parent, 1)
            this.open()
            await scene(this, job)
            await this.close()

    asyncio.run(play())
    kept = store.job(job.id)
    assert kept is not None
    return kept


async def ended(this: Supervisor, job: Job) -> None:
    while this.is_busy:  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.01)


async def nothing(this: Supervisor, job: Job) -> None:
    pass


def fails(monkeypatch: pytest.MonkeyPatch, name: str, times: int) -> list[int]:
    """Let a method of the store fail that many times; count how often it did."""
    real, failed = getattr(Store, name), [0]

    def failing(*arguments: object) -> object:
        if failed[0] < times:
            failed[0] += 1
            raise sqlite3.OperationalError("database or disk is full")
        return real(*arguments)

    monkeypatch.setattr(Store, name, failing)
    return failed


def test_a_start_that_could_not_be_stored_is_tried_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_RETRY", 0.01)
    failed = fails(monkeypatch, "start_job", 2)
    assert run(store, RETURNS, ended).status is JobStatus.COMPLETED
    assert failed == [2]


def test_an_end_that_could_not_be_stored_is_tried_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_STORE_DELAY", 0.01)
    failed = fails(monkeypatch, "end_job", 2)
    job = run(store, RETURNS, ended)
    assert (job.status, store.texts.get(job, Kind.RESULT)) == (JobStatus.COMPLETED, b"5")
    assert failed == [2]


def test_a_store_that_takes_nothing_does_not_keep_the_service_from_ending(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = fails(monkeypatch, "end_job", 1000)
    assert run(store, SLEEPS, nothing).status is JobStatus.RUNNING  # the next service finds it
    assert failed == [1]


def test_a_machine_without_another_thread_fails_the_job(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    job = run(store, SLEEPS, ended)
    assert job.status is JobStatus.FAILED
    reason = store.texts.get(job, Kind.RESULT)
    assert reason == b"The program's process could not be started: can't start new thread"


def test_what_runs_when_the_service_is_stopped_has_failed(store: Store) -> None:
    job = run(store, SLEEPS, nothing)
    assert job.status is JobStatus.FAILED
    assert store.texts.get(job, Kind.RESULT) == supervisor.STOPPED.encode()
