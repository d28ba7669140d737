"""The types of jobs and services as a user's type checker sees them; what runs shows they are true.

`assert_type` is checked by mypy and by pyright (`make types`), and does nothing when it runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, assert_type

import attrs

from adapters import (
    AsyncInterimResults,
    AsyncRuntimeJob,
    AsyncRuntimeService,
    DoneAndNotDone,
    Gap,
    InterimResults,
    LocalRunner,
    RuntimeJob,
    RuntimeService,
    as_completed,
    wait,
)
from runtime_core import CancelOutcome, JobHandle, JobState, StructuredDecoder


@attrs.frozen
class Energies:
    """What the program gives."""

    values: list[float]


class LengthDecoder:
    """Another reading of the same text."""

    @classmethod
    def decode(cls, data: str) -> int:
        return len(data)


ENERGIES = StructuredDecoder(Energies)
TEXT = '{"values": [-1.5]}'


class Client:
    """A service whose jobs are done."""

    def job_get(self, job_id: str) -> Mapping[str, object]:
        return {"id": job_id, "status": "Completed"}

    def job_results(self, job_id: str) -> str:
        return TEXT

    def job_cancel(self, job_id: str) -> None:
        raise AssertionError("it is done")


def energies_job() -> RuntimeJob[Energies]:
    job = RuntimeJob(None, Client(), None, "job-7", "vqe", result_decoder=ENERGIES)
    assert_type(job, RuntimeJob[Energies])
    return job


def plain_job() -> RuntimeJob:
    job = RuntimeJob(None, Client(), None, "job-8", "vqe")
    assert_type(job, RuntimeJob[Any])
    return job


def test_the_result_is_what_the_jobs_decoder_makes() -> None:
    with energies_job() as job:
        assert_type(job, RuntimeJob[Energies])
        result = job.result()
        assert_type(result, Energies)
        assert result == Energies([-1.5])
        assert_type(job.result(30), Energies)
        assert_type(job.result(timeout=30, wait=1), Energies)
        assert_type(job.status(), JobState)
        assert_type(job.cancel_outcome(), CancelOutcome | None)
        assert_type(job.error_message(), str | None)
        assert_type(job.inputs, dict[str, Any])


def test_the_calls_decoder_goes_first() -> None:
    with energies_job() as job:
        length = job.result(decoder=LengthDecoder)
        assert_type(length, int)
        assert length == len(TEXT)
        assert_type(job.result(30, 1, LengthDecoder), int)
        assert_type(job.result(30, decoder=ENERGIES), Energies)


def test_without_a_typed_decoder_the_result_is_any() -> None:
    with plain_job() as job:
        result = job.result()
        assert_type(result, Any)
        assert result == {"values": [-1.5]}
        assert_type(job.result(decoder=ENERGIES), Energies)


def test_a_job_that_is_taken_up_has_the_type_of_its_decoder() -> None:
    with energies_job() as job:
        handle = job.handle()
    assert_type(handle, JobHandle)
    handle = JobHandle.from_json(handle.to_json())
    assert_type(handle, JobHandle)
    with RuntimeJob.from_handle(handle, Client(), result_decoder=ENERGIES) as again:
        assert_type(again, RuntimeJob[Energies])
        assert again.result() == Energies([-1.5])
    with RuntimeJob.from_handle(plain_job().handle(), Client()) as plain:
        assert_type(plain.result(), Any)


def test_jobs_keep_their_types_through_waiting() -> None:
    jobs = [energies_job(), energies_job()]
    for job in as_completed(jobs, timeout=30):
        assert_type(job, RuntimeJob[Energies])
        assert job.result().values == [-1.5]
    assert_type(as_completed(jobs), Iterator[RuntimeJob[Energies]])
    waited = wait(jobs, timeout=0)
    assert_type(waited, DoneAndNotDone[RuntimeJob[Energies]])
    done, not_done = waited
    assert_type(done, set[RuntimeJob[Energies]])
    assert (done, not_done) == (set(jobs), set())
    of_two_kinds: list[RuntimeJob] = [energies_job(), plain_job()]
    for each in as_completed(of_two_kinds, timeout=30):
        assert_type(each.result(), Any)


def test_the_same_holds_for_those_who_await() -> None:
    async def main() -> None:
        job = AsyncRuntimeJob(None, Client(), None, "job-7", "vqe", result_decoder=ENERGIES)
        assert_type(job, AsyncRuntimeJob[Energies])
        async with job:
            result = await job.result()
            assert_type(result, Energies)
            assert result == Energies([-1.5])
            assert_type(await job.result(30, 1), Energies)
            assert_type(await job.result(decoder=LengthDecoder), int)
            assert_type(await job.status(), JobState)
        untyped = AsyncRuntimeJob(None, Client(), None, "job-8", "vqe")
        assert_type(untyped, AsyncRuntimeJob[Any])

    asyncio.run(main())


def test_a_job_taken_up_from_a_handle_is_typed_by_its_decoder() -> None:
    handle = JobHandle(job_id="job-7", program_id="vqe", dialect="legacy")
    job = RuntimeJob.from_handle(handle, Client(), result_decoder=ENERGIES)
    assert_type(job, RuntimeJob[Energies])
    assert job.result() == Energies([-1.5])
    assert_type(RuntimeJob.from_handle(handle, Client()), RuntimeJob[Any])
    assert_type(job.handle(), JobHandle)


# ---- what needs a service that streams, and so is checked without being run ---------------------


def services(service: RuntimeService) -> None:
    job = service.run("vqe", inputs={"depth": 2}, result_decoder=ENERGIES)
    assert_type(job, RuntimeJob[Energies])
    assert_type(service.run("vqe", None, None, None, ENERGIES), RuntimeJob[Energies])
    assert_type(service.run("vqe"), RuntimeJob[Any])
    assert_type(service.job("job-7"), RuntimeJob[Any])
    assert_type(service.jobs(), list[RuntimeJob[Any]])
    assert_type(service.take_up(job.handle(), result_decoder=ENERGIES), RuntimeJob[Energies])
    assert_type([each.result() for each in as_completed([job])], list[Energies])


def local_runners(runner: LocalRunner) -> None:
    assert_type(runner.run("vqe.py", inputs={}, result_decoder=ENERGIES), RuntimeJob[Energies])
    assert_type(runner.run("vqe.py"), RuntimeJob[Any])
    assert_type(runner.job("job-7"), RuntimeJob[Any])


async def awaited_services(service: AsyncRuntimeService) -> None:
    job = await service.run("vqe", result_decoder=ENERGIES)
    assert_type(job, AsyncRuntimeJob[Energies])
    assert_type(await service.run("vqe"), AsyncRuntimeJob[Any])
    assert_type(await service.job("job-7"), AsyncRuntimeJob[Any])
    assert_type(await service.jobs(), list[AsyncRuntimeJob[Any]])


def streams(job: RuntimeJob) -> None:
    def on_energies(job_id: str, energies: Energies) -> None: ...

    def on_gap(job_id: str, gap: Gap) -> None: ...

    job.stream_results(lambda job_id, interim: print(job_id, interim["energy"]))
    job.stream_results(on_energies)  # what a job of another program gives, nobody knows
    job.stream_results(on_energies, ENERGIES, on_gap=on_gap)
    results = job.interim_results(decoder=ENERGIES)
    assert_type(results, InterimResults[Energies | Gap])
    for interim in results:
        if isinstance(interim, Gap):
            continue
        assert_type(interim, Energies)
    with job.interim_results() as untyped:
        assert_type(untyped, InterimResults[Any])
        for interim in untyped:
            print(interim["energy"])


async def awaited_streams(job: AsyncRuntimeJob) -> None:
    async def on_energies(job_id: str, energies: Energies) -> None: ...

    def on_length(job_id: str, length: int) -> None: ...

    job.stream_results(on_energies, ENERGIES)
    job.stream_results(on_length, LengthDecoder)
    results = job.interim_results(ENERGIES)
    assert_type(results, AsyncInterimResults[Energies | Gap])
    async for interim in results:
        assert_type(interim, Energies | Gap)
    assert_type(job.interim_results(), AsyncInterimResults[Any])
    assert_type(job.follow_logs(), AsyncIterator[str])


class OwnJob(RuntimeJob[Energies]):
    """A user's class keeps its own methods through `as_completed`."""

    def lowest(self) -> float:
        return min(self.result().values)


def subclasses(jobs: list[OwnJob]) -> None:
    for job in as_completed(jobs):
        assert_type(job, OwnJob)
        assert_type(job.lowest(), float)
    assert_type(wait(jobs).done, set[OwnJob])
