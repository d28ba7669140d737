"""What the local runner answers to the commands of its jobs. On the engine's thread."""

from __future__ import annotations

from pathlib import Path
from typing import assert_never

from adapters.local.engine import Machinery
from adapters.local.records import Job, JobStatus
from adapters.local.texts import Kind
from adapters.services.ibm_legacy import RAN_TOO_LONG
from runtime_core.errors import RuntimeJobNotFoundError
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


def found_job(here: Machinery, job_id: str) -> Job:
    """Find a job.

    Raises:
        RuntimeJobNotFoundError: if there is none.
    """
    job = here.store.job(job_id)
    if job is None:
        raise RuntimeJobNotFoundError(f"There is no job {job_id[:100]!r}.")
    return job


def status_event(here: Machinery, job: Job, request: int | None = None) -> LifecycleEvent:
    """Say how far a job is."""
    match job.status:
        case JobStatus.QUEUED:
            return JobQueued(request, here.store.position(job))
        case JobStatus.RUNNING:
            return JobStarted(request)
        case JobStatus.COMPLETED:
            return JobSucceeded(request)
        case JobStatus.FAILED:
            return JobFailed(request)
        case JobStatus.CANCELLED:
            return JobCancelled(request)
        case JobStatus.RAN_TOO_LONG:
            told = here.store.texts.get(job, Kind.RESULT)
            reason = told.decode() if isinstance(told, bytes) else None
            return JobFailed(request, reason, RAN_TOO_LONG)
    assert_never(job.status)


def cancel(here: Machinery, job: Job, request: int) -> CancelAccepted | CancelRefused:
    """End a job, unless it has ended."""
    if job.status.is_final:
        return CancelRefused(request)
    here.supervisor.cancel(job)
    return CancelAccepted(request)


def ending(here: Machinery, job: Job) -> tuple[JobStatus, bytes | Path | None]:
    """Say how a job stands, with its result or why there is none; large ones are in a file."""
    return job.status, here.store.texts.get(job, Kind.RESULT)
