"""What the local runner answers, by the state of a job in the store; no process is started."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from adapters.local.engine import Machinery
from adapters.local.records import Job, JobStatus, Program
from adapters.local.replies import cancel, found_job, status_event
from adapters.local.store import Store
from adapters.local.submission import Submission
from runtime_core.errors import (
    EncodeError,
    OptionsError,
    RuntimeJobNotFoundError,
    UsageError,
)
from runtime_core.events import (
    CancelAccepted,
    CancelRefused,
    JobCancelled,
    JobFailed,
    JobQueued,
    JobStarted,
    JobSucceeded,
    LifecycleEvent,
)
from runtime_core.tags import AnyTag

NO_TAGS: tuple[AnyTag, ...] = ()
SOURCE = "def main(backend, user_messenger):\n    return 5\n"
TOO_LONG = "The program ran longer than its 1 s and was ended."


class FakeSupervisor:
    """Takes every job, and keeps which were cancelled."""

    def __init__(self) -> None:
        self.cancelled: list[str] = []
        self.closing = False

    def cancel(self, job: Job) -> None:
        self.cancelled.append(job.id)

    def submitted(self) -> None:
        pass


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Machinery]:
    with Store.open(tmp_path) as store:
        yield Machinery(store, cast("Any", FakeSupervisor()), cast("Any", None))


def job_that_is(here: Machinery, status: JobStatus, text: str | None = None) -> Job:
    program = here.store.add_program(Program("p", 60), b"")
    job = here.store.add_job(Job("p", program.source, 60), "{}")
    if status is not JobStatus.QUEUED:
        here.store.start_job(job, None)
    if status.is_final:
        here.store.end_job(job, status, text)
    return found_job(here, job.id)


@pytest.mark.parametrize(
    ("status", "text", "event"),
    [
        (JobStatus.QUEUED, None, JobQueued(4, 1)),
        (JobStatus.RUNNING, None, JobStarted(4)),
        (JobStatus.COMPLETED, "5", JobSucceeded(4)),
        (JobStatus.FAILED, "why", JobFailed(4)),
        (JobStatus.CANCELLED, None, JobCancelled(4)),
        (JobStatus.RAN_TOO_LONG, TOO_LONG, JobFailed(4, TOO_LONG, "RAN_TOO_LONG")),
    ],
)
def test_every_state_has_its_event(
    here: Machinery, status: JobStatus, text: str | None, event: LifecycleEvent
) -> None:
    assert status_event(here, job_that_is(here, status, text), 4) == event


@pytest.mark.parametrize("status", list(JobStatus))
def test_only_what_has_not_ended_is_cancelled(here: Machinery, status: JobStatus) -> None:
    job = job_that_is(here, status)
    expected = CancelRefused(4) if status.is_final else CancelAccepted(4)
    assert cancel(here, job, 4) == expected
    assert cast("Any", here.supervisor).cancelled == ([] if status.is_final else [job.id])


def test_a_job_that_is_not_there_is_not_found(here: Machinery) -> None:
    with pytest.raises(RuntimeJobNotFoundError, match="There is no job 'x'"):
        found_job(here, "x")


# ---- submission ----------------------------------------------------------------------------------


def test_a_submission_keeps_what_it_was_given(here: Machinery) -> None:
    options = {
        "backend_name": "mine",
        "image": "i:1",
        "log_level": "info",
        "job_tags": ["a", "b"],
        "max_execution_time": 7,
    }
    given = Submission.of(SOURCE, {"z": 1 + 2j}, options, NO_TAGS)
    job = found_job(here, given.add_to(here))
    assert (job.backend, job.image, job.log_level, job.tags) == ("mine", "i:1", "INFO", ("a", "b"))
    assert (job.cost, job.status) == (7, JobStatus.QUEUED)
    assert here.store.params(job) == b'{"z":{"__type__":"complex","__value__":[1.0,2.0]}}'
    assert here.store.source(job.source) == SOURCE.encode()


def test_the_same_program_is_kept_once(here: Machinery) -> None:
    for number in range(2):
        Submission.of(SOURCE, {"n": number}, {}, NO_TAGS).add_to(here)
    Submission.of(SOURCE + "\n", {}, {}, NO_TAGS).add_to(here)
    assert (here.store.count_programs(), here.store.count_jobs()) == (2, 3)
    assert {job.cost for job in here.store.jobs()} == {3600}


def test_who_is_closing_takes_no_job(here: Machinery) -> None:
    cast("Any", here.supervisor).closing = True
    with pytest.raises(UsageError, match="closing"):
        Submission.of(SOURCE, {}, {}, NO_TAGS).add_to(here)
    assert here.store.count_jobs() == 0


@pytest.mark.parametrize(
    ("program", "inputs", "options", "error"),
    [
        ("no/such/file.py", {}, {}, UsageError),
        (SOURCE, {"a": object()}, {}, EncodeError),
        (SOURCE, {}, {"queue": "fast"}, OptionsError),
        (SOURCE, {}, {"max_execution_time": 10**9}, OptionsError),
        (SOURCE, {}, {"backend_name": "a\0b"}, OptionsError),
        (SOURCE, {}, {"job_tags": ["\udc80"]}, OptionsError),
    ],
)
def test_what_cannot_be_run_is_refused(
    program: str, inputs: dict[str, object], options: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        Submission.of(program, inputs, options, NO_TAGS)
