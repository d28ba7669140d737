"""The dialect of the current IBM runtime service: its paths, its words, its quirks. Pure.

What it is based on stands in the client that speaks it (qiskit-ibm-runtime 0.51). The paths of a
job, and what makes an id, are those of the legacy service (`ibm_legacy.job_path`). Functions take
and give values; nothing here does I/O.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

import attrs

from adapters.services import ibm_legacy
from adapters.services.ibm_legacy import RAN_TOO_LONG_REASON
from adapters.services.promises import NOT_PROMISED
from adapters.services.words import status_words
from runtime_core.errors import TransportError, UsageError
from runtime_core.events import (
    JobCancelled,
    JobFailed,
    JobQueued,
    JobStarted,
    JobSucceeded,
)
from runtime_core.traits import ServiceTraits
from runtime_core.value_path import shown

TRAITS: Final = ServiceTraits(pushes=False)
"""The service has no streams: its jobs are polled."""

API_VERSION: Final = "2026-04-15"
"""The version of the protocol that is asked for, a date."""

RAN_TOO_LONG: Final = 1305
"""The reason code of a job that is called cancelled, and that the service ended at its maximum
execution time."""

CALLS: Final = attrs.evolve(
    ibm_legacy.CALLS,
    status="GET /jobs/{id}?exclude_params=true",
    jobs="GET /jobs?exclude_params=true&limit={limit}&offset={skip}",
)
"""The calls about a job; the inputs, which may be long, are left out of what is polled."""


# ---- headers, paths and bodies -----------------------------------------------------------------


def headers(access_token: str, instance: str) -> dict[str, str]:
    """Give the headers of every request: who asks, for which instance, in which version.

    `access_token` is a bearer token, `instance` a CRN; what is empty is not sent.

    Raises:
        ValueError: if `instance` cannot be sent.
    """
    if not (instance.isascii() and instance.isprintable()) or " " in instance:
        raise ValueError("The instance holds a character that no CRN has, a space for instance.")
    who = {"Authorization": f"Bearer {access_token}"} if access_token else {}
    which = {"Service-CRN": instance} if instance else {}
    return {**who, **which, "IBM-API-Version": API_VERSION}


def jobs_path(
    limit: int = 10,
    skip: int = 0,
    pending: bool | None = None,
    program_id: str | None = None,
    *,
    backend_name: str | None = None,
    tags: Sequence[str] = (),
    created_after: datetime | None = None,
    created_before: datetime | None = None,
    descending: bool = True,
) -> str:
    """Give the path of a page of the list of jobs, without their inputs.

    `pending` picks the jobs that have not ended (True), that have (False), or both (None). Of
    `tags` a job must have all. Times without an offset are local ones; both ends are included.
    """
    query: list[tuple[str, str | int]] = [("exclude_params", "true"), ("limit", limit)]
    if skip:
        query.append(("offset", skip))
    if pending is not None:
        query.append(("pending", "true" if pending else "false"))
    if program_id is not None:
        query.append(("program", program_id))
    if backend_name is not None:
        query.append(("backend", backend_name))
    query += [("tags", tag) for tag in tags]
    for key, moment in (("created_after", created_after), ("created_before", created_before)):
        if moment is not None:
            known = moment if moment.tzinfo else moment.astimezone()
            query.append((key, known.isoformat()))
    if not descending:
        query.append(("sort", "ASC"))
    return f"/jobs?{urlencode(query)}"


def run_body(
    program_id: str,
    params: object,
    *,
    backend_name: str | None = None,
    image: str = "",
    log_level: str | None = None,
    tags: Sequence[str] = (),
    max_execution_time: int | None = None,
) -> dict[str, object]:
    """Give the body of `POST /jobs`, to be written by `encode_tagged`.

    `max_execution_time` is in seconds; what is not given is not sent.
    """
    given: dict[str, object] = {
        "backend": backend_name,
        "runtime": image,
        "log_level": log_level,
        "tags": checked_tags(tags),
        "cost": max_execution_time,
    }
    return {"program_id": program_id, "params": params, **{k: v for k, v in given.items() if v}}


def checked_tags(tags: Sequence[object]) -> list[str]:
    """Give tags as they are sent.

    Raises:
        UsageError: if they are not several texts. One text would be taken for its letters.
    """
    texts = [tag for tag in tags if isinstance(tag, str) and tag]
    if isinstance(tags, str) or len(texts) < len(tags):
        raise UsageError(f"tags are a list of texts that are not empty, not {shown(tags)}")
    return texts


# ---- status words and documents ----------------------------------------------------------------


status_event: Final = status_words(
    {
        "Queued": JobQueued,
        "Running": JobStarted,
        "Completed": JobSucceeded,
        "Failed": JobFailed,
        "Cancelled": JobCancelled,
        ("Cancelled", RAN_TOO_LONG): JobFailed(reason=RAN_TOO_LONG_REASON),
        "Cancelled - Ran too long": JobFailed(reason=RAN_TOO_LONG_REASON, reason_code=RAN_TOO_LONG),
    },
    at="state.status",
    reason="state.reason",
    code=("state.reason_code", "state.reasonCode"),  # it is written in two ways
    position="position",  # which the local service tells
)
"""Says what the state in the answer to `GET /jobs/{id}` means; a `StatusReader`.

A reason and its code are said here where the service tells them with the state.
"""


# ---- metrics -----------------------------------------------------------------------------------


def usage_seconds(metrics: Mapping[str, object]) -> float | None:
    """Give the seconds in the answer to `GET /jobs/{id}/metrics` that a job is charged for so far.

    None if the service does not tell. Earlier versions of it called them `quantum_seconds`.
    """
    usage = metrics.get("usage")
    if not isinstance(usage, Mapping):
        return None
    for key in ("qpu_charge_time_seconds", "quantum_seconds", "seconds"):
        seconds = usage.get(key)
        if isinstance(seconds, int | float) and not isinstance(seconds, bool):
            return float(seconds)
    return None


def queue_position(metrics: Mapping[str, object]) -> int | None:
    """Give the place in the queue in the answer to `GET /jobs/{id}/metrics`; None if not told."""
    position = metrics.get("position_in_queue")
    if isinstance(position, bool) or not isinstance(position, int) or position < 1:
        return None
    return position


# ---- backends ----------------------------------------------------------------------------------


def backend_path(name: str) -> str:
    """Give the path of what a backend is.

    Raises:
        UsageError: if there can be none of that name.
    """
    return f"{ibm_legacy.backend_path(name)}/configuration"


def first_backend(answer: Mapping[str, object]) -> str:
    """Give the name of the first backend in the answer to `GET /backends`.

    Raises:
        TransportError: if there is none.
    """
    devices = answer.get("devices")
    first = devices[0] if isinstance(devices, list) and devices else None
    # Earlier versions of the service gave the names alone.
    name = first.get("name") if isinstance(first, Mapping) else first
    if not isinstance(name, str):
        raise TransportError(f"{NOT_PROMISED}: expected a name at $.devices[0].name.")
    return name


def backend_document(configuration: Mapping[str, object]) -> dict[str, object]:
    """Give what `read_backend` reads, of the answer to `backend_path`."""
    named = {"name": "backend_name", "version": "backend_version"}
    return {ours: configuration.get(theirs) for ours, theirs in named.items()}
