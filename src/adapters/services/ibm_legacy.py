"""The dialect of the legacy IBM runtime service: its paths, its words, its quirks. Pure.

What it is based on stands in the clients that spoke it (qiskit-ibmq-provider 0.13 to 0.20).
Functions take and give values; nothing here does I/O. Job and program ids come from outside, so
every path is made here and nowhere else: an id that could lead to another path is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, TypeVar
from urllib.parse import quote, urlencode

from runtime_core.errors import DecodeError, TransportError, UsageError
from runtime_core.events import (
    JobCancelled,
    JobFailed,
    JobQueued,
    JobStarted,
    JobSucceeded,
    LifecycleEvent,
    UnknownStatusReported,
)
from runtime_core.traits import Resume, ServiceTraits
from runtime_core.value_path import shown

T = TypeVar("T")

TRAITS: Final = ServiceTraits(pushes=True, resume=Resume.LIVE, streams_result=True)
"""The service, at its least: nothing in its protocol lets a client resume a stream, and some
deployments send the result as the last message."""

TOKEN_HEADER: Final = "X-Access-Token"  # noqa: S105 - the name of the header, no token
"""Which header carries the access token."""

ACKNOWLEDGEMENTS: Final = 1
"""How many messages at the start of every connection are not interim results."""

RAN_TOO_LONG: Final = "RAN_TOO_LONG"
"""The reason code of a job that the service stopped at its maximum execution time."""

_NOT_PROMISED: Final = "The answer is not what the call promises"


# ---- paths and bodies --------------------------------------------------------------------------


def job_path(job_id: str, part: str = "") -> str:
    """Give the path of a job, or of its `results`, `logs` or `cancel`.

    Raises:
        UsageError: if the id cannot be one.
    """
    return _path("/jobs", job_id, "job", part)


def jobs_path(
    limit: int = 10, skip: int = 0, pending: bool | None = None, program_id: str | None = None
) -> str:
    """Give the path of a page of the list of jobs.

    `pending` picks the jobs that have not ended (True), that have (False), or both (None).
    """
    query: dict[str, str | int] = {"limit": limit, "offset": skip}
    if pending is not None:
        query["pending"] = "true" if pending else "false"
    if program_id is not None:
        query["program"] = program_id
    return f"/jobs?{urlencode(query)}"


def program_path(program_id: str, part: str = "") -> str:
    """Give the path of a program, or of its `data`, or to make it `public` or `private`.

    Raises:
        UsageError: if the id cannot be one.
    """
    return _path("/programs", program_id, "program", part)


def programs_path(limit: int = 20, skip: int = 0) -> str:
    """Give the path of a page of the list of programs."""
    return f"/programs?{urlencode({'limit': limit, 'offset': skip})}"


def backend_path(name: str | None = None) -> str:
    """Give the path of a backend; None for the one where jobs run that name none.

    The service that this dialect is of has no such call; the local service has it.

    Raises:
        UsageError: if the name cannot be one.
    """
    return "/backends" if name is None else _path("/backends", name, "backend")


def stream_path(job_id: str, resume: Resume, after: int = 0) -> str:
    """Give the path of the interim results of a job.

    `after` is how many messages to skip; it is sent only to services that resume at an offset.

    Raises:
        UsageError: if the id cannot be one.
    """
    path = _path("/stream/jobs", job_id, "job")
    return f"{path}?after={after}" if resume is Resume.OFFSET and after else path


def _path(root: str, identifier: str, what: str, part: str = "") -> str:
    # Proxies decode %2F, and some resolve dots, before they route: quoting is not enough.
    if not identifier or not identifier.isprintable() or "/" in identifier or "\\" in identifier:
        raise _refused(identifier, what)
    if ".." in identifier or identifier == ".":
        raise _refused(identifier, what)
    path = f"{root}/{quote(identifier, safe='')}"
    return f"{path}/{part}" if part else path


def _refused(identifier: str, what: str) -> UsageError:
    return UsageError(
        f"{shown(identifier)} cannot be the id of a {what}: "
        "it is empty, or holds a slash, '..' or a control character."
    )


def run_body(
    program_id: str,
    params: object,
    *,
    backend_name: str | None = None,
    image: str = "",
    hub: str = "",
    group: str = "",
    project: str = "",
    log_level: str | None = None,
) -> dict[str, object]:
    """Give the body of `POST /jobs`, to be written by `encode_tagged`."""
    body: dict[str, object] = {
        "program_id": program_id,
        "hub": hub,
        "group": group,
        "project": project,
        "backend": backend_name or "",
        "params": params,
        "runtime": image,
    }
    if log_level is not None:
        body["log_level"] = log_level
    return body


# ---- status words and documents ----------------------------------------------------------------


def status_event(
    document: object, request: int | None = None
) -> LifecycleEvent | UnknownStatusReported:
    """Say what the status in the answer to `GET /jobs/{id}` means.

    A job that ran too long failed: its reason is said here, since its results hold none.

    Raises:
        TransportError: if there is no status in the answer.
    """
    if not isinstance(document, Mapping):
        raise TransportError(f"{_NOT_PROMISED}: expected a job, got {type(document).__name__}.")
    word = document.get("status")
    if not isinstance(word, str):
        raise TransportError(f"{_NOT_PROMISED}: expected a text at $.status, got {shown(word)}.")
    match " ".join(word.upper().split()):
        case "QUEUED":
            return JobQueued(request)
        case "RUNNING":
            return JobStarted(request)
        case "COMPLETED":
            return JobSucceeded(request)
        case "FAILED":
            return JobFailed(request)
        case "CANCELLED":
            return JobCancelled(request)
        case "CANCELLED - RAN TOO LONG":
            reason = "The job ran too long: its maximum execution time was exceeded."
            return JobFailed(request, reason, RAN_TOO_LONG)
    return UnknownStatusReported(word, request)


def listed_jobs(answer: object) -> list[tuple[str, object]]:
    """Find the jobs in the answer to `GET /jobs`: the id and the document of each.

    What has no id gets an empty one. A document is read by `status_event`, as that of one job is.

    Raises:
        TransportError: if there is no list in the answer.
    """
    jobs = answer.get("jobs") if isinstance(answer, Mapping) else None
    if not isinstance(jobs, Sequence) or isinstance(jobs, str):
        raise TransportError(f"{_NOT_PROMISED}: expected a list at $.jobs, got {shown(jobs)}.")
    ids = [job.get("id") if isinstance(job, Mapping) else None for job in jobs]
    return [(i if isinstance(i, str) else "", job) for i, job in zip(ids, jobs, strict=True)]


def created_at(created: str) -> datetime:
    """Read the time in `JobDocument.created`: ISO 8601, and UTC where it names no offset.

    Raises:
        TransportError: if it is no such time.
    """
    try:
        time = datetime.fromisoformat(created)
    except ValueError as error:
        raise TransportError(
            f"{_NOT_PROMISED}: expected an ISO 8601 time at $.created, got {shown(created)}."
        ) from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def as_promised(read: Callable[[object], T], answer: object) -> T:
    """Read an answer of the service with one of the `read_*` functions of `documents`.

    For instance ``as_promised(read_job, client.job_get(job_id))``.

    Raises:
        TransportError: if the answer is not what the call promises.
    """
    try:
        return read(answer)
    except DecodeError as error:
        raise TransportError(f"{_NOT_PROMISED}: {error}") from error


# ---- logs --------------------------------------------------------------------------------------


def range_start(content_range: str) -> int | None:
    """Give where a part of a log begins, from its `Content-Range`; None if that says nothing.

    For instance 120 of ``bytes 120-180/*`` (RFC 9110, section 14.4).
    """
    found = re.match(r"\s*bytes\s+(\d{1,18})-\d", content_range, re.IGNORECASE | re.ASCII)
    return None if found is None else int(found[1])


# ---- streams -----------------------------------------------------------------------------------


def interim_messages(messages: Sequence[str], seen: int) -> tuple[str, ...]:
    """Take the acknowledgement out of what one read of a connection gave.

    `seen` is how many messages this connection had before them. The first one of a connection is
    an acknowledgement, whatever it says; the same text later on is a result.
    """
    return tuple(messages[max(0, ACKNOWLEDGEMENTS - seen) :])
