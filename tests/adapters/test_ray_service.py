"""`RuntimeService.ray`: a Ray cluster as the service, with a head in memory."""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from fake_ray import PROGRAM, FakeHead, NoStreams, document, log, raised, result

import adapters
from adapters import AsyncRuntimeService, RayOptions, RayRuntimeService, RuntimeService
from adapters.ray import service as service_module
from runtime_core import JobHandle
from runtime_core.cancel import CancelOutcome
from runtime_core.errors import (
    OptionsError,
    RuntimeInvalidStateError,
    RuntimeJobFailureError,
    RuntimeJobNotFoundError,
    RuntimeProgramNotFoundError,
    TransportError,
    UsageError,
)
from runtime_core.states import JobState
from runtime_core.tags import Tag

TIMEOUT = 20


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> FakeHead:
    head = FakeHead()
    head.jobs.clear()
    monkeypatch.setattr(service_module, "RayClient", lambda *_, **__: head)
    monkeypatch.setattr(service_module, "RayStreams", lambda *_: NoStreams())
    return head


@pytest.fixture
def service(head: FakeHead) -> Iterator[RayRuntimeService]:
    with RuntimeService.ray("http://head:8265", "t") as service:
        yield service


def end(head: FakeHead, job_id: str, *parts: str | bytes, status: str = "SUCCEEDED") -> None:
    """Have a job end, with that in its log."""
    (told,) = head.jobs[job_id]
    told["status"] = status
    head.logs[job_id] = log(*parts, nonce=told["metadata"]["runtime_core_nonce"])


def returns(head: FakeHead, job_id: str, text: str) -> None:
    nonce = head.jobs[job_id][0]["metadata"]["runtime_core_nonce"]
    end(head, job_id, result(text, nonce=nonce))


def test_the_three_lines_of_the_local_service_are_these(
    service: RayRuntimeService, head: FakeHead
) -> None:
    program = service.upload_program(PROGRAM)
    job = service.run(program, inputs={"n": 3})
    assert (job.program_id, job.inputs) == (program, {"n": 3})
    assert job.status() is JobState.QUEUED
    assert str(job.backend()) == "ray"
    returns(head, job.job_id(), "[1, 2]")
    assert job.result(timeout=TIMEOUT) == [1, 2]
    assert job.status() is JobState.DONE
    assert job.logs() == ""
    assert job.usage() is None


def test_the_same_program_is_sent_once(service: RayRuntimeService, head: FakeHead) -> None:
    first = service.upload_program(PROGRAM)
    assert service.upload_program(PROGRAM) == first
    assert head.calls == ["has package", "put package"]
    with RuntimeService.ray("http://head:8265") as other:
        with pytest.raises(RuntimeProgramNotFoundError):
            other.run(first)
        assert other.upload_program(PROGRAM) == first
    assert head.calls == ["has package", "put package", "has package", "close"]


def test_programs_are_listed_and_show_their_source(service: RayRuntimeService) -> None:
    service.upload_program(PROGRAM, {"name": "one", "max_execution_time": 7})
    service.upload_program(PROGRAM, {"name": "two", "description": "the second"})
    assert [each.program_id for each in service.programs()] == ["one", "two"]
    one = service.program("one")
    assert (one.max_execution_time, one.source) == (7, PROGRAM.encode())
    service.update_program("one", name="uno")
    assert service.program("one").name == "uno"
    service.set_program_visibility("two", True)
    assert service.program("two").is_public
    service.delete_program("one")
    with pytest.raises(RuntimeProgramNotFoundError):
        service.program("one")


def test_options_are_rays(service: RayRuntimeService, head: FakeHead) -> None:
    program = service.upload_program(PROGRAM)
    service.run(program, RayOptions(num_cpus=2))
    assert head.submitted[0]["entrypoint_num_cpus"] == 2
    with pytest.raises(OptionsError, match="image"):
        service.run(program, image="x:1")
    with pytest.raises(OptionsError, match="backend_name"):
        service.run(program, {"backend_name": "x"})
    assert len(head.submitted) == 1


def test_tags_are_written(head: FakeHead) -> None:
    class Point:
        pass

    tag = Tag("point", (Point,), lambda _: {}, lambda _: Point())
    with RuntimeService.ray("http://head:8265", tags=[tag]) as service:
        service.run(service.upload_program(PROGRAM), inputs={"p": Point()})
    assert "point" in json.dumps(head.submitted[0])


# ---- finding jobs -----------------------------------------------------------------------------


def test_a_job_is_found_again(service: RayRuntimeService, head: FakeHead) -> None:
    program = service.upload_program(PROGRAM)
    job_id = service.run(program, {"job_tags": ["a"]}, {"n": 1 + 2j}).job_id()
    found = service.job(job_id)
    assert (found.program_id, found.inputs, found.tags) == (program, {"n": 1 + 2j}, ["a"])
    assert found.creation_date is not None
    returns(head, job_id, "5")
    assert service.job(job_id).result(timeout=TIMEOUT) == 5
    with pytest.raises(RuntimeJobNotFoundError):
        service.job("nobody")


def test_the_log_of_a_job_that_is_gone_is_not_an_empty_one(
    service: RayRuntimeService, head: FakeHead
) -> None:
    head.jobs["j1"] = [document("SUCCEEDED")]
    job = service.job("j1")
    del head.jobs["j1"]
    with pytest.raises(RuntimeJobNotFoundError, match="j1 does not exist"):
        job.logs()


def test_one_that_failed_says_what_its_log_says(service: RayRuntimeService, head: FakeHead) -> None:
    head.jobs["j1"] = [document("FAILED", message="Ray's words", error_type="CODE")]
    head.logs["j1"] = log(raised("Traceback"))
    with pytest.raises(RuntimeJobFailureError, match="Traceback") as caught:
        service.job("j1").result(timeout=TIMEOUT)
    assert caught.value.reason_code == "CODE"


def test_of_one_that_was_stopped_a_result_before_that_stands(
    service: RayRuntimeService, head: FakeHead
) -> None:
    head.jobs["j1"] = [document("STOPPED")]
    head.logs["j1"] = log(result('"in time"'))
    job = service.job("j1")
    assert job.handle().state is None
    assert job.result(timeout=10) == "in time"


def test_one_whose_result_was_seen_has_ended_before_ray_says_so(
    service: RayRuntimeService, head: FakeHead
) -> None:
    head.jobs["j1"] = [document("SUCCEEDED")]
    head.logs["j1"] = log(result("1"))
    assert service.job("j1").result(timeout=10) == 1
    head.jobs["j1"] = [document("RUNNING")]
    assert service.jobs(pending=True) == []
    (found,) = service.jobs(pending=False)
    assert found.status() is JobState.DONE


def test_one_of_somebody_else_is_found_without_a_result(
    service: RayRuntimeService, head: FakeHead
) -> None:
    head.jobs["j1"] = [document("SUCCEEDED", nonce=None)]
    job = service.job("j1")
    assert job.status() is JobState.DONE
    with pytest.raises(TransportError, match="not submitted by this library"):
        job.result(timeout=TIMEOUT)


def test_jobs_are_found_the_newest_first(service: RayRuntimeService, head: FakeHead) -> None:
    words = ("SUCCEEDED", "RUNNING", "PENDING", "FAILED", "STOPPED")
    for number, word in enumerate(words):
        head.jobs[f"j{number}"] = [document(word, start_time=1000 * (number * 3 % 5))]
    # j0 is the oldest, then come j2, j4, j1, j3.
    head.jobs["other"] = [document("RUNNING", nonce=None, start_time=99_000)]

    def found(**filters: Any) -> list[str]:
        return [job.job_id() for job in service.jobs(**filters)]

    newest = ["j3", "j1", "j4", "j2", "j0"]
    assert found() == ["other", *newest]
    assert found(program_id="counts") == newest
    assert found(program_id="counts", limit=2, skip=1) == newest[1:3]
    assert found(program_id="counts", limit=None, skip=3) == newest[3:]
    assert found(program_id="counts", pending=True) == ["j1", "j2"]
    assert found(program_id="counts", pending=False) == ["j3", "j4", "j0"]
    assert head.calls == ["list"] * 6
    for wrong in {"limit": -1}, {"skip": -1}:
        with pytest.raises(UsageError):
            found(**wrong)


def test_drivers_that_are_no_jobs_are_left_out(
    service: RayRuntimeService, head: FakeHead, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = document("RUNNING", nonce=None, submission_id=None, type="DRIVER", job_id="01000000")
    monkeypatch.setattr(head, "jobs_list", lambda: [driver, document("RUNNING")])
    assert [job.job_id() for job in service.jobs()] == ["j1"]


def test_a_job_is_taken_up_by_its_handle(service: RayRuntimeService, head: FakeHead) -> None:
    job = service.run(service.upload_program(PROGRAM))
    handle = JobHandle.from_json(job.handle().to_json())
    assert (handle.service, handle.dialect) == ("http://head:8265", "ray")
    returns(head, job.job_id(), "1")
    assert service.take_up(handle).result(timeout=TIMEOUT) == 1
    with RuntimeService("http://127.0.0.1:1", "t") as other, pytest.raises(UsageError):
        other.take_up(handle)


def test_a_cancel_is_accepted_or_refused(service: RayRuntimeService, head: FakeHead) -> None:
    job = service.run(service.upload_program(PROGRAM))
    job.cancel()
    assert job.cancel_outcome() is None
    returns(head, job.job_id(), "1")
    with pytest.raises(RuntimeInvalidStateError):
        service.job(job.job_id()).cancel()
    job.wait_for_final_state(timeout=TIMEOUT)
    assert job.cancel_outcome() is CancelOutcome.FINISHED_ANYWAY


def test_a_job_is_deleted(service: RayRuntimeService, head: FakeHead) -> None:
    head.jobs["j1"] = [document("SUCCEEDED")]
    service.delete_job("j1")
    assert head.calls == ["delete"]
    with pytest.raises(RuntimeJobNotFoundError):
        service.job("j1")


# ---- the service ------------------------------------------------------------------------------


def test_there_is_one_backend(service: RayRuntimeService) -> None:
    backend = service.backend()
    assert (backend.name, backend.version) == ("ray", "2.60.0")
    assert service.backend("ray") == backend
    with pytest.raises(TransportError, match="a Ray cluster is one") as caught:
        service.backend("other")
    assert caught.value.status_code == 404


def test_it_closes_its_client_and_says_where_it_is(head: FakeHead) -> None:
    with RuntimeService.ray("http://head:8265", status_requests_per_second=3) as service:
        assert isinstance(service, RayRuntimeService)
        assert service.url == "http://head:8265"
        assert service.has_streams
        assert repr(service) == "<RayRuntimeService http://head:8265>"
        assert head.status_requests_per_second == 3
        service.logout()
    assert head.calls == ["close"]


@pytest.mark.parametrize("rate", [0, -1, math.nan])
def test_a_rate_that_cannot_be_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="status_requests_per_second"):
        RuntimeService.ray("http://head:8265", status_requests_per_second=rate)


@pytest.mark.parametrize("url", ["head:8265", "ray://head:10001", "auto", "", None])
def test_a_url_that_is_rays_and_not_the_dashboards_is_refused_with_one_that_is(url: Any) -> None:
    with pytest.raises(ValueError, match=f"instance http://head:8265, not {url!r}"):
        RuntimeService.ray(url)


def test_a_url_that_may_hold_a_password_is_not_shown() -> None:
    with pytest.raises(ValueError, match="not one with an @") as caught:
        RuntimeService.ray("ray://me:secret@head:10001")
    assert "secret" not in str(caught.value)


def test_the_token_is_rays_bearer_token_and_stands_nowhere() -> None:
    with RuntimeService.ray("http://127.0.0.1:1", "secret-token-123456") as service:
        with pytest.raises(TransportError) as caught:
            service.jobs()
        assert "secret" not in f"{service!r} {vars(service)!r} {caught.value!r}"


def test_a_head_that_wants_no_token_gets_none() -> None:
    with RuntimeService.ray("http://127.0.0.1:1") as service, pytest.raises(TransportError):
        service.jobs()


def test_it_is_awaited_as_well(head: FakeHead) -> None:
    async def main() -> object:
        async with AsyncRuntimeService.ray("http://head:8265", "t") as service:
            job = await service.run(await service.upload_program(PROGRAM))
            returns(head, job.job_id(), '"awaited"')
            assert [each.job_id() for each in await service.jobs()] == [job.job_id()]
            return await job.result(timeout=TIMEOUT)

    assert asyncio.run(main()) == "awaited"
    assert head.calls[-1] == "close"


def test_who_does_not_use_it_does_not_pay_for_it() -> None:
    code = "import sys, adapters; print([name for name in sys.modules if '.ray' in name])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"
    assert {"RayOptions", "RayRuntimeService"} <= set(adapters.__all__)
