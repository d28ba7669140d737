"""The dialect of the legacy IBM runtime service: its paths, its words, its quirks. Pure.

What it is based on stands in the clients that spoke it (qiskit-ibmq-provider 0.13 to 0.20).
Functions take and give values; nothing here does I/O. Job and program ids come from outside, so
every path is made here and nowhere else: an id that could lead to another path is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode

from adapters.services.calls import JobCalls, quoted_id
from adapters.services.job_lists import listed
from adapters.services.promises import NOT_PROMISED
from adapters.services.words import status_words
from runtime_core.errors import TransportError
from runtime_core.events import (
    JobCancelled,
    JobFailed,
    JobQueued,
    JobStarted,
    JobSucceeded,
)
from runtime_core.traits import Resume, ServiceTraits
from runtime_core.value_path import shown

TRAITS: Final = ServiceTraits(pushes=True, resume=Resume.LIVE, streams_result=True)
"""The service, at its least: nothing in its protocol lets a client resume a stream, and some
deployments send the result as the last message."""

TOKEN_HEADER: Final = "X-Access-Token"  # noqa: S105 - the name of the header, no token
"""Which header carries the access token."""

ACKNOWLEDGEMENTS: Final = 1
"""How many messages at the start of every connection are not interim results."""

RAN_TOO_LONG: Final = "RAN_TOO_LONG"
"""The reason code of a job that the service stopped at its maximum execution time."""

RAN_TOO_LONG_REASON: Final = "The job ran too long: its maximum execution time was exceeded."
"""The reason of such a job, which the service does not tell in words."""


CALLS: Final = JobCalls(
    submit="POST /jobs",
    status="GET /jobs/{id}",
    result="GET /jobs/{id}/results",
    cancel="POST /jobs/{id}/cancel",
    logs="GET /jobs/{id}/logs",
    jobs="GET /jobs?limit={limit}&offset={skip}",
)
"""The calls about a job that both services have."""


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
    path = f"{root}/{quoted_id(identifier, what)}"
    return f"{path}/{part}" if part else path


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


status_event: Final = status_words(
    {
        "Queued": JobQueued,
        "Running": JobStarted,
        "Completed": JobSucceeded,
        "Failed": JobFailed,
        "Cancelled": JobCancelled,
        # Its reason is said here, since its results hold none.
        "Cancelled - Ran too long": JobFailed(reason=RAN_TOO_LONG_REASON, reason_code=RAN_TOO_LONG),
    },
    at="status",
    position="position",  # of the local service
)
"""Says what the status in the answer to `GET /jobs/{id}` means; a `StatusReader`.

A job that ran too long failed.
"""

listed_jobs: Final = listed(at="jobs")
"""Finds the jobs in the answer to `GET /jobs`; a `ListReader`."""


def created_at(created: str) -> datetime:
    """Read the time in `JobDocument.created`: ISO 8601, and UTC where it names no offset.

    Raises:
        TransportError: if it is no such time.
    """
    try:
        time = datetime.fromisoformat(created)
    except ValueError as error:
        raise TransportError(
            f"{NOT_PROMISED}: expected an ISO 8601 time at $.created, got {shown(created)}."
        ) from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)


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
