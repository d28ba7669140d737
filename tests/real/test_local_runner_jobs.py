"""Jobs of the local runner, as a person uses them."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conditions import PATIENCE, Recorder, eventually

from adapters import AsyncRuntimeJob, LocalRunner, RuntimeJob, as_completed, wait
from runtime_core.cancel import CancelOutcome
from runtime_core.decoders import ResultDecoder
from runtime_core.errors import (
    OptionsError,
    RuntimeJobCancelledError,
    RuntimeJobFailureError,
    RuntimeJobNotFoundError,
    TransportError,
    UsageError,
)
from runtime_core.job_handle import JobHandle
from runtime_core.states import JobState

PROGRAM = """
def main(backend, user_messenger, value, fail=False):
    for number in range(4):
        user_messenger.publish({"number": number})
    print(f"on {backend.name}: {value}")
    if fail:
        raise ValueError("on purpose")
    return value
"""
SLEEPS = """
import time
def main(backend, user_messenger):
    user_messenger.publish("asleep")
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def runner() -> Iterator[LocalRunner]:
    with LocalRunner(workers=2) as runner:
        yield runner


class Doubled(ResultDecoder):
    """Gives results twice as large."""

    @classmethod
    def decode(cls, data: str) -> Any:
        return 2 * super().decode(data)


def test_a_job_is_run_streamed_and_tells_all_about_itself(runner: LocalRunner) -> None:
    got = Recorder()
    options = {"backend_name": "mine", "job_tags": ["a"]}
    job = runner.run(PROGRAM, options, {"value": 1 + 2j}, got)
    assert job.result(timeout=PATIENCE) == 1 + 2j
    assert got.values == [{"number": number} for number in range(4)]
    assert (job.status(), job.stream_error()) == (JobState.DONE, None)
    assert (str(job.backend()), job.backend().document.workers) == ("mine", 2)
    assert (job.logs(), "".join(job.follow_logs())) == ("on mine: (1+2j)\n",) * 2
    assert job.creation_date is not None
    assert abs(datetime.now(UTC) - job.creation_date) < timedelta(minutes=5)
    assert job.usage() is not None
    assert (job.tags, job.update_tags(["b"])) == (["a"], ["b"])


def test_a_job_is_found_again(runner: LocalRunner) -> None:
    job_id = runner.run(PROGRAM, inputs={"value": {3, 4}}).job_id()
    job = runner.job(job_id)
    assert job.inputs == {"value": {3, 4}}
    assert list(job.interim_results()) == [{"number": number} for number in range(4)]
    assert job.result(timeout=PATIENCE) == {3, 4}
    with pytest.raises(RuntimeJobNotFoundError):
        runner.job("nobody")


def test_a_job_has_a_decoder_of_its_own(runner: LocalRunner) -> None:
    job = runner.run(PROGRAM, inputs={"value": 4}, result_decoder=Doubled)
    assert job.result(timeout=PATIENCE) == 8


def test_many_jobs_are_awaited_together(runner: LocalRunner) -> None:
    jobs = [runner.run(PROGRAM, inputs={"value": n, "fail": n == 2}) for n in range(4)]
    assert set(as_completed(jobs, timeout=PATIENCE)) == set(jobs)
    assert wait(jobs, timeout=PATIENCE).done == set(jobs)
    assert [job.status() for job in jobs] == [
        JobState.ERROR if number == 2 else JobState.DONE for number in range(4)
    ]
    with pytest.raises(RuntimeJobFailureError, match="ValueError: on purpose"):
        jobs[2].result()


def test_a_job_that_runs_is_cancelled(runner: LocalRunner) -> None:
    got = Recorder()
    job = runner.run(SLEEPS, callback=got)
    assert got.reached(1)
    job.cancel()
    with pytest.raises(RuntimeJobCancelledError):
        job.result(timeout=PATIENCE)
    assert job.cancel_outcome() is CancelOutcome.CANCELLED


def test_an_interrupt_leaves_the_job_running(runner: LocalRunner) -> None:
    job = runner.run(SLEEPS, callback=lambda *_: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        job.result(timeout=PATIENCE)
    assert job.status() is JobState.RUNNING
    job.cancel()


def test_who_waits_hears_that_the_runner_was_closed() -> None:
    runner = LocalRunner(workers=1)
    job = runner.run(SLEEPS, callback=lambda *_: runner.close())
    with pytest.raises(TransportError, match="is closed: make a new one"):
        job.result(timeout=PATIENCE)


def test_what_cannot_be_run_is_no_job(runner: LocalRunner) -> None:
    with pytest.raises(OptionsError):
        runner.run(PROGRAM, {"nothing": 1})
    with pytest.raises(UsageError):
        runner.run("no/such/file.py")
    with pytest.raises(UsageError):
        runner.run(PROGRAM, result_decoder=5)  # type: ignore[arg-type]


def test_an_async_job_uses_it_on_threads(runner: LocalRunner) -> None:
    job_id = runner.run(PROGRAM, inputs={"value": 5}).job_id()

    async def scene() -> None:
        async with asyncio.timeout(PATIENCE):
            job = AsyncRuntimeJob(None, runner, None, job_id, PROGRAM)
            assert [item async for item in job.interim_results()] == [
                {"number": number} for number in range(4)
            ]
            assert await job.result() == 5

    asyncio.run(scene())


def test_a_job_is_taken_up_by_the_next_runner_in_the_directory(tmp_path: Path) -> None:
    with LocalRunner(workers=1, data=tmp_path) as first:
        got = Recorder()
        job = first.run(PROGRAM, inputs={"value": 7}, callback=got)
        assert job.result(timeout=PATIENCE) == 7
        assert got.reached(4)
        handle = JobHandle.from_json(job.handle().to_json())
    with LocalRunner(data=tmp_path) as second:
        again = RuntimeJob.from_handle(handle, second)
        assert list(again.interim_results()) == []  # its cursor is behind all of them
        assert (again.result(timeout=PATIENCE), again.inputs) == (7, {"value": 7})
    with LocalRunner() as other, pytest.raises(UsageError):
        RuntimeJob.from_handle(handle, other)


def test_jobs_keep_their_runner_alive() -> None:
    job: RuntimeJob | None = LocalRunner(workers=1).run(PROGRAM, inputs={"value": 6})
    assert job is not None
    assert job.result(timeout=PATIENCE) == 6
    runner = job._transport
    assert isinstance(runner, LocalRunner)
    engine = runner._engine
    assert engine is not None
    del runner
    job = None
    assert eventually(lambda: gc.collect() >= 0 and engine.has_ended)
