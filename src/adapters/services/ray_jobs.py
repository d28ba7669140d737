"""The dialect of Ray Jobs: its paths, its words, its errors, its quirks. Pure.

What it is based on is the Jobs API of Ray 2.60 and its sources. What its errors mean stands
in `ray_errors`. Functions take and give values; nothing here does I/O.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

import attrs

from adapters.services.calls import JobCalls, quoted_id
from adapters.services.dialect import Dialect
from adapters.services.promises import NOT_PROMISED
from adapters.services.ray_errors import read_error
from adapters.services.ray_reason import clean_reason
from adapters.services.words import status_words
from runtime_core.documents import JobDocument, ProgramReference
from runtime_core.errors import DecodeError, OptionsError, TransportError
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

TRAITS: Final = ServiceTraits(pushes=True, resume=Resume.OFFSET)
"""Interim results stand in the log of the job, which is read from its beginning."""

NONCE: Final = "runtime_core_nonce"
"""The key in the metadata of a job of the nonce that marks what is ours in its log."""
PROGRAM: Final = "runtime_core_program"
"""The key in the metadata of a job of the id of its program."""
TAGS: Final = "runtime_core_tags"
"""The key in the metadata of a job of its tags, as a JSON list."""
ORDER_VARIABLE: Final = "RUNTIME_CORE_RAY_ORDER"
"""The environment variable of a job that holds what to run, as a JSON object, if that is short."""

FINAL_WORDS: Final = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})
"""The status words of jobs that have ended."""

MAX_ENVIRONMENT_BYTES: Final = 120_000
"""How long the environment of a job and its metadata may be, as JSON.

Ray writes the environment into one argument of the processes that it starts, and both into one
variable; Linux takes 131,072 bytes of each (MAX_ARG_STRLEN), and Ray adds something. With more, a
job waits, and keeps its CPU, until it fails after six minutes without a word of the reason.
"""

# ---- paths and bodies --------------------------------------------------------------------------

JOBS: Final = "/api/jobs/"
"""The path of the list of jobs, and of a submission; without the slash at its end it is none."""
VERSION: Final = "/api/version"
"""The path of the version of Ray."""
AUTHENTICATION_MODE: Final = "/api/authentication_mode"
"""The path of how the head asks who calls; the only one that is open to everybody."""

CALLS: Final = JobCalls(
    status=f"GET {JOBS}{{id}}",
    result=f"GET {JOBS}{{id}}/logs",
    cancel=f"POST {JOBS}{{id}}/stop",
    submit=f"POST {JOBS}",
    logs=f"GET {JOBS}{{id}}/logs",
)
"""The calls about a job. What a program returns is read from its log."""


def job_path(job_id: str, part: str = "") -> str:
    """Give the path of a job, or of its `logs`, or to `stop` it.

    Raises:
        UsageError: if the id cannot be one.
    """
    path = f"{JOBS}{RAY.checked_id(job_id)}"
    return f"{path}/{part}" if part else path


def package_path(name: str) -> str:
    """Give the path of a package of files.

    Raises:
        UsageError: if the name cannot be one.
    """
    return f"/api/packages/gcs/{quoted_id(name, 'package')}"


def log_tail_path(job_id: str) -> str:
    """Give the path of the websocket that sends the log of a job, from its beginning.

    Raises:
        UsageError: if the id cannot be one.
    """
    return job_path(job_id, "logs/tail")


def log_stream_path(node_id: str, job_id: str, interval: float = 0.1) -> str:
    """Give the path of the log of a job as it grows, from its beginning; the answer never ends.

    `node_id` is the job's `driver_node_id`, `interval` how often the node looks for more, in
    seconds.

    Raises:
        UsageError: if the id cannot be one.
    """
    return _log_path("stream", node_id, job_id, interval=f"{interval:g}")


def log_file_path(node_id: str, job_id: str, last_lines: int | None = None) -> str:
    """Give the path of the log of a job as it is now, as bytes; `node_id` as for the stream.

    With `last_lines` only so many lines of its end; None gives all of it.

    Raises:
        UsageError: if the id cannot be one.
    """
    lines = -1 if last_lines is None else last_lines
    return _log_path("file", node_id, job_id, lines=str(lines))


def _log_path(kind: str, node_id: str, job_id: str, **more: str) -> str:
    file = f"job-driver-{RAY.checked_id(job_id)}.log"
    query = {"node_id": node_id, "filename": file, "lines": "-1", **more}
    return f"/api/v0/logs/{kind}?{urlencode(query)}"


def submission(
    job_id: str,
    entrypoint: str,
    package: str,
    *,
    nonce: str,
    program_id: str,
    tags: Sequence[str] = (),
    env_vars: Mapping[str, str] | None = None,
    pip: Sequence[str] = (),
    num_cpus: float = 1,
    num_gpus: float = 0,
    memory: int = 0,
    resources: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Give the body of `POST /api/jobs/`.

    Args:
        job_id: the id that the job is to have; whoever submits chooses it.
        entrypoint: the command that a shell is to run in the unpacked package.
        package: the name of the package.
        nonce: what marks our lines in the log.
        program_id: what the job runs.
        tags: by which it is to be found.
        env_vars: the environment variables of the program, and of the tasks of Ray in it.
        pip: what `pip` is to install for it.
        num_cpus: how many CPUs are reserved for the program itself.
        num_gpus: how many GPUs.
        memory: how many bytes of memory.
        resources: how much of the resources that the cluster names itself.

    Raises:
        OptionsError: if Ray could not start the job with so much in its environment.
    """
    runtime_env: dict[str, Any] = {
        "working_dir": f"gcs://{package}",
        "env_vars": dict(env_vars or {}),
    }
    if pip:
        runtime_env["pip"] = list(pip)
    metadata = {NONCE: nonce, PROGRAM: program_id}
    if tags:
        metadata[TAGS] = json.dumps(list(tags))
    size = len(json.dumps({"runtime_env": runtime_env, "metadata": metadata}))
    if size > MAX_ENVIRONMENT_BYTES:
        raise OptionsError(
            f"The environment of the job is {size:,} bytes as JSON; Ray can pass on "
            f"{MAX_ENVIRONMENT_BYTES:,}: give less in env_vars, or as inputs."
        )
    body: dict[str, Any] = {
        "entrypoint": entrypoint,
        "submission_id": job_id,
        "runtime_env": runtime_env,
        "metadata": metadata,
        "entrypoint_num_cpus": num_cpus,
        "entrypoint_num_gpus": num_gpus,
        "entrypoint_memory": memory,
        "entrypoint_resources": dict(resources or {}),
    }
    return {key: value for key, value in body.items() if value or key == "entrypoint_num_cpus"}


# ---- documents ---------------------------------------------------------------------------------


def nonce_of(document: object) -> str | None:
    """Give the nonce of a job, of its document; None if it is none of ours."""
    nonce = _metadata(document).get(NONCE)
    return nonce if isinstance(nonce, str) and nonce else None


def node_of(document: object) -> str | None:
    """Give the id of the node that a job runs on, or ran on; None if it has not run."""
    node = document.get("driver_node_id") if isinstance(document, Mapping) else None
    return node if isinstance(node, str) and node else None


def is_final(document: object) -> bool:
    """Whether a job has ended, by its document."""
    return isinstance(document, Mapping) and document.get("status") in FINAL_WORDS


def program_of(document: object) -> str:
    """Give the id of what a job runs; empty if it is none of ours."""
    program = _metadata(document).get(PROGRAM)
    return program if isinstance(program, str) else ""


def start_time(document: object) -> int:
    """Give when a job was submitted, in milliseconds since the epoch; 0 if that is not told."""
    started = document.get("start_time") if isinstance(document, Mapping) else None
    return started if isinstance(started, int) else 0


def end_time(document: object) -> float | None:
    """Give when a job ended, in seconds since the epoch by the clock of the cluster; None if not.

    A job ends before its document tells.
    """
    ended = document.get("end_time") if isinstance(document, Mapping) else None
    return ended / 1000 if isinstance(ended, int) and not isinstance(ended, bool) else None


def read_document(document: object) -> JobDocument:
    """Read a job as Ray describes it; a `DocumentReader`.

    Jobs that were not submitted by this library have no program, no tags and no inputs; drivers
    that were not submitted at all are known by another id than jobs. The inputs are told where they
    stood in the environment.

    Raises:
        DecodeError: if it is no job.
    """
    if not isinstance(document, Mapping):
        raise DecodeError(f"expected a job, got {shown(document)}", "$")
    metadata = _metadata(document)
    failed = document.get("status") == "FAILED"
    message, code = document.get("message"), document.get("error_type")
    return JobDocument(
        id=_text(document, "submission_id" if document.get("submission_id") else "job_id"),
        status=_text(document, "status"),
        program=ProgramReference(program_of(document)),
        params=inputs_of(document) or {},
        created=_time(document, "start_time"),
        ended=_time(document, "end_time"),
        reason=clean_reason(message, nonce_of(document))
        if failed and isinstance(message, str)
        else None,
        reason_code=code if isinstance(code, str) else None,
        tags=_tags(metadata.get(TAGS)),
    )


def _metadata(document: object) -> Mapping[str, Any]:
    metadata = document.get("metadata") if isinstance(document, Mapping) else None
    return metadata if isinstance(metadata, Mapping) else {}


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str):
        raise DecodeError(f"expected a text, got {shown(value)}", f"$.{key}")
    return value


def _time(document: Mapping[str, Any], key: str) -> str:
    """Give a time, in milliseconds on the wire, as ISO 8601; empty if there is none."""
    value = document.get(key)
    if value is None or value == 0:  # of a driver
        return ""
    try:
        return datetime.fromtimestamp(value / 1000, UTC).isoformat()
    except (TypeError, ValueError, OverflowError, OSError) as error:
        what = f"expected a time in milliseconds, got {shown(value)}"
        raise DecodeError(what, f"$.{key}") from error


def inputs_of(document: object) -> dict[str, Any] | None:
    """Give the inputs that stand in the environment of a job, not decoded; None if they do not."""
    environment = document.get("runtime_env") if isinstance(document, Mapping) else None
    variables = environment.get("env_vars") if isinstance(environment, Mapping) else None
    order = variables.get(ORDER_VARIABLE) if isinstance(variables, Mapping) else None
    params = _parsed(order).get("params")
    return _parsed(params) if isinstance(params, str) else None


def _parsed(text: object) -> dict[str, Any]:
    """Read a JSON object; empty if it is none."""
    try:
        value = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _tags(text: object) -> tuple[str, ...]:
    try:
        tags = json.loads(text) if isinstance(text, str) else []
    except (ValueError, RecursionError):
        return ()
    return tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else ()


def listed_jobs(answer: object, /) -> list[tuple[str, object]]:
    """Find the jobs in the answer to `GET /api/jobs/`; a `ListReader`.

    Drivers that were not submitted as jobs stand among them, and have no id as such.

    Raises:
        TransportError: if it is no list.
    """
    if not isinstance(answer, list):
        raise TransportError(f"{NOT_PROMISED}: expected a list, got {shown(answer)}.")
    return [(id_of(job), job) for job in answer]


def id_of(job: object) -> str:
    """Give the id of a job, of its document; empty for a driver that was not submitted as one."""
    told = job.get("submission_id") if isinstance(job, Mapping) else None
    return told if isinstance(told, str) else ""


# ---- status words ------------------------------------------------------------------------------

_told_status: Final = status_words(
    {
        "PENDING": JobQueued,
        "RUNNING": JobStarted,
        "SUCCEEDED": JobSucceeded,
        "FAILED": JobFailed,
        "STOPPED": JobCancelled,
    },
    at="status",
    reason="message",
    code="error_type",
)


def status_event(
    document: object, request: int | None = None, /
) -> LifecycleEvent | UnknownStatusReported:
    """Say what the status in the answer to `GET /api/jobs/{id}` means; a `StatusReader`.

    Raises:
        TransportError: if there is none in it.
    """
    said = _told_status(document, request)
    if isinstance(said, JobFailed) and said.reason is not None:
        return attrs.evolve(said, reason=clean_reason(said.reason, nonce_of(document)))
    return said


RAY: Final = Dialect(
    "ray",
    status_event,
    TRAITS,
    listed_jobs,
    id_pattern=r"[A-Za-z0-9_-]{1,64}",
    read_document=read_document,
    calls=CALLS,
    submitted_id="submission_id",
    read_error=read_error,
)
"""Ray Jobs, as a head of a cluster offers them."""
