"""A `RuntimeService` in the current dialect, with the local service at the other end."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from conditions import PATIENCE, Recorder, eventually
from own_service import OwnService, own_service

from adapters import CurrentRuntimeClient, RunOptions, RuntimeJob, RuntimeService
from adapters.services.ibm_current import RAN_TOO_LONG
from runtime_core.cancel import CancelOutcome
from runtime_core.errors import (
    JobTimeoutError,
    NotAuthorizedError,
    OptionsError,
    RuntimeInvalidStateError,
    RuntimeJobCancelledError,
    RuntimeJobFailureError,
    RuntimeJobNotFoundError,
    RuntimeProgramNotFoundError,
    UsageError,
)
from runtime_core.states import JobState

CRN = "crn:v1:bluemix:public:quantum-computing:local:a/0:0::"
WAIT = 0.05

PROGRAMS = {
    "echo": "return inputs",
    "talk": "print('a last word')",
    "fail": "raise ValueError('the mirror cracked')",
    "sleep": "import time; time.sleep(60)",
}


@pytest.fixture(scope="module")
def legacy() -> Iterator[OwnService]:
    with own_service(2) as service:
        for name, body in PROGRAMS.items():
            source = f"def main(backend, user_messenger, **inputs):\n{textwrap.indent(body, ' ')}"
            metadata = {"name": name, "description": name, "max_execution_time": 60}
            service.upload_program(source.encode(), metadata)
        yield service


@pytest.fixture(scope="module")
def service(legacy: OwnService) -> Iterator[RuntimeService]:
    url = f"{legacy.url}/api/v1"
    with RuntimeService(url, legacy.token, dialect="current", instance=CRN) as service:
        yield service


def ended(job: RuntimeJob) -> RuntimeJob:
    job.wait_for_final_state(PATIENCE, WAIT)
    return job


def is_running(job: RuntimeJob) -> bool:
    return job.status() is JobState.RUNNING


# ---- the life of a job -------------------------------------------------------------------------


def test_a_job_runs_and_is_waited_for_by_polling(service: RuntimeService) -> None:
    inputs = {"z": 1 + 2j, "s": {1, 2}, "n": None}
    job = service.run("echo", {"image": "i:1"}, inputs)
    assert job.result(PATIENCE, WAIT) == inputs
    assert job.status() is JobState.DONE
    assert (job.reason, job.reason_code) == (None, None)
    again = service.job(job.job_id())
    assert again.inputs == inputs
    assert again.result() == inputs
    assert (again.program_id, str(again.backend())) == ("echo", "local")
    assert again.document.image == "i:1"
    created = again.creation_date
    assert created is not None
    assert timedelta(0) <= datetime.now(UTC) - created < timedelta(seconds=PATIENCE)


def test_a_failed_job_says_why(service: RuntimeService) -> None:
    job = service.run("fail")
    with pytest.raises(RuntimeJobFailureError, match="the mirror cracked") as caught:
        job.result(PATIENCE, WAIT)
    assert caught.value.reason_code is None
    assert job.status() is JobState.ERROR
    assert job.reason == job.error_message() == caught.value.reason
    assert job.reason_code is None
    again = service.job(job.job_id())
    assert "the mirror cracked" in (again.reason or "")


def test_a_job_that_ran_too_long_is_an_error_with_its_code(service: RuntimeService) -> None:
    job = service.run("sleep", RunOptions(max_execution_time=1))
    with pytest.raises(RuntimeJobFailureError, match=r"code 1305.*longer than its 1 s") as caught:
        job.result(PATIENCE, WAIT)
    assert caught.value.reason_code == RAN_TOO_LONG
    assert job.status() is JobState.ERROR
    for each in (job, service.job(job.job_id()), service.jobs(1)[0]):
        assert each.job_id() == job.job_id()
        assert each.reason_code == RAN_TOO_LONG
        assert "longer than its 1 s" in (each.reason or "")
        assert each.status() is JobState.ERROR
    document = service.job(job.job_id()).document
    assert (document.status, document.reason_code) == ("Cancelled", RAN_TOO_LONG)


def test_a_running_job_is_cancelled(service: RuntimeService) -> None:
    job = service.run("sleep")
    assert eventually(lambda: is_running(job))
    job.cancel()
    ended(job)
    assert job.cancel_outcome() is CancelOutcome.CANCELLED
    assert (job.status(), job.reason, job.reason_code) == (JobState.CANCELLED, None, None)
    with pytest.raises(RuntimeJobCancelledError):
        job.result()
    with pytest.raises(RuntimeInvalidStateError):
        job.cancel()
    assert service.job(job.job_id()).status() is JobState.CANCELLED


def test_a_finished_job_is_not_cancelled(service: RuntimeService) -> None:
    job = service.run("echo")
    assert eventually(lambda: service.job(job.job_id()).status() is JobState.DONE)
    # This object has not heard of it: the service refuses.
    with pytest.raises(RuntimeInvalidStateError):
        job.cancel()
    assert job.status() is JobState.DONE


def test_a_wait_ends_in_time(service: RuntimeService) -> None:
    job = service.run("sleep")
    with pytest.raises(JobTimeoutError):
        job.result(0.2, WAIT)
    job.cancel()
    ended(job)


def test_logs_are_there(service: RuntimeService) -> None:
    assert ended(service.run("talk")).logs() == "a last word\n"
    assert ended(service.run("echo")).logs() == ""
    assert "".join(service.run("talk").follow_logs()) == "a last word\n"


def test_what_needs_streams_is_refused_before_anything_is_submitted(
    service: RuntimeService,
) -> None:
    before = len(service.jobs(None))
    with pytest.raises(UsageError, match="no streams"):
        service.run("echo", callback=Recorder())
    assert len(service.jobs(None)) == before
    job = service.run("echo")
    with pytest.raises(RuntimeInvalidStateError, match="no streams"):
        job.stream_results(Recorder())
    with pytest.raises(RuntimeInvalidStateError):
        job.interim_results()
    ended(job)


# ---- what the service tells of it --------------------------------------------------------------


def test_tags_are_given_changed_and_found_by(service: RuntimeService, legacy: OwnService) -> None:
    job = service.run("echo", {"job_tags": ["a", "b"]})
    assert job.tags == ["a", "b"]
    assert job.update_tags(["c", "b"]) == ["c", "b"]
    assert job.tags == service.job(job.job_id()).tags == ["c", "b"]
    with pytest.raises(UsageError, match="list of texts"):
        job.update_tags("tag")
    assert job.update_tags([]) == job.tags == []
    ended(job)
    with CurrentRuntimeClient(service.url, legacy.token, CRN) as client:
        job.update_tags(["mine"])
        page = client.jobs_get(tags=["mine"], created_after=datetime(2020, 1, 1))  # noqa: DTZ001
        assert [found["id"] for found in page["jobs"]] == [job.job_id()]


def test_metrics_and_usage_are_told(service: RuntimeService) -> None:
    job = ended(service.run("echo"))
    metrics = job.metrics()
    assert metrics is not None
    times = metrics["timestamps"]
    assert times["created"] <= times["running"] <= times["finished"]
    usage = job.usage()
    assert usage is not None
    assert 0 <= usage < PATIENCE


def test_the_place_in_the_queue_is_told(service: RuntimeService) -> None:
    jobs = [service.run("sleep") for _ in range(4)]
    assert eventually(lambda: is_running(jobs[1]))
    assert [job.queue_position() for job in jobs] == [None, None, 1, 2]
    assert jobs[3].usage() == 0
    for job in reversed(jobs):
        job.cancel()
    for job in jobs:
        ended(job)


def test_where_the_service_does_not_tell_it_is_none(legacy: OwnService) -> None:
    job = ended(legacy.run("echo"))
    assert (job.tags, job.metrics(), job.usage()) == (None, None, None)
    with pytest.raises(UsageError, match="keeps no tags"):
        job.update_tags(["a"])


# ---- finding -----------------------------------------------------------------------------------


def test_jobs_are_found_in_pages(service: RuntimeService) -> None:
    jobs = [ended(service.run("talk")).job_id() for _ in range(3)]
    found = [job.job_id() for job in service.jobs(program_id="talk", limit=2)]
    assert found == jobs[:-3:-1]
    assert service.jobs(program_id="talk", limit=1, skip=1)[0].job_id() == jobs[1]
    assert all(job.in_final_state() for job in service.jobs(None, pending=False))


def test_a_job_is_removed(service: RuntimeService) -> None:
    job = ended(service.run("echo"))
    service.delete_job(job.job_id())
    with pytest.raises(RuntimeJobNotFoundError):
        service.job(job.job_id())


def test_the_backend_is_this_machine(service: RuntimeService) -> None:
    for backend in (service.backend(), service.backend("local"), service.run("echo").backend()):
        assert backend.name == "local"
        assert backend.version


# ---- what is refused ---------------------------------------------------------------------------


def test_errors_are_as_typed_as_in_the_other_dialect(
    service: RuntimeService, legacy: OwnService
) -> None:
    with pytest.raises(RuntimeProgramNotFoundError):
        service.run("none")
    with pytest.raises(RuntimeJobNotFoundError):
        service.job("none")
    with (
        RuntimeService(service.url, "wrong", dialect="current") as stranger,
        pytest.raises(NotAuthorizedError) as caught,
    ):
        stranger.jobs()
    assert "wrong" not in str(caught.value)
    with pytest.raises(UsageError, match="takes no programs"):
        service.upload_program(b"def main(): pass", {"name": "n", "max_execution_time": 1})
    for option in ({"job_tags": ["a"]}, {"max_execution_time": 1}):
        with pytest.raises(OptionsError, match="of the current dialect"):
            legacy.run("echo", option)


@pytest.mark.parametrize(
    "arguments",
    [
        {"dialect": "spoken"},
        {"dialect": "current", "resume": "offset"},
        {"dialect": "current", "streams_result": False},
        {"instance": CRN},
    ],
)
def test_arguments_of_the_other_dialect_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        RuntimeService("http://localhost:1", "t", **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "option",
    [
        {"job_tags": "a"},
        {"job_tags": [1]},
        {"max_execution_time": 0},
        {"max_execution_time": True},
        {"max_execution_time": "9"},
    ],
)
def test_options_have_their_types(service: RuntimeService, option: dict[str, object]) -> None:
    with pytest.raises(OptionsError):
        service.run("echo", option)
