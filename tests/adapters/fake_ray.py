"""A Ray head, as `RayClient` tells of it: jobs with documents and logs, packages, no network."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, cast

from adapters.http.session import Take
from adapters.ray.client import RayClient
from adapters.ray.frame_writer import ERROR, INTERIM, RESULT, STARTED, frames
from adapters.ray.outcomes import Outcomes
from adapters.ray.programs import RayPrograms
from adapters.ray.transport import RayTransport
from adapters.services.ray_errors import NO_SUCH_JOB
from adapters.transport import StreamEndpoint
from runtime_core.commands import OpenStream
from runtime_core.errors import RuntimeJobNotFoundError, ServiceError, TransportError

NONCE = "0123456789abcdef"
PROGRAM = "def main(backend, user_messenger):\n    return 1\n"
HEADER = "2026-11-26 15:41:57\tINFO job_manager.py:581 -- Runtime env is setting up.\n"


def document(status: str, *, nonce: str | None = NONCE, **more: object) -> dict[str, Any]:
    """What Ray says of a job; with `nonce` None it is somebody else's."""
    ours = {"runtime_core_nonce": nonce, "runtime_core_program": "counts"}
    return {
        "type": "SUBMISSION",
        "submission_id": "j1",
        "status": status,
        "message": None,
        "error_type": None,
        "start_time": 1795343982659,
        "end_time": None,
        "metadata": {} if nonce is None else ours,
        "runtime_env": {},
        "driver_node_id": "97c3",
        **more,
    }


def log(*parts: str | bytes, nonce: str = NONCE) -> str:
    """A log of what was printed (texts) and framed (bytes), with what comes before all logs."""
    started = b"".join(frames(nonce, 0, STARTED))
    whole = [part if isinstance(part, bytes) else part.encode() for part in (started, *parts)]
    return HEADER + b"".join(whole).decode()


def interim(index: int, text: str) -> bytes:
    return b"".join(frames(NONCE, index, INTERIM, text))


def result(text: str, index: int = 0, nonce: str = NONCE) -> bytes:
    return b"".join(frames(nonce, index, RESULT, text))


def raised(text: str, index: int = 0) -> bytes:
    return b"".join(frames(NONCE, index, ERROR, text))


class FakeHead:
    """Answers; what it was asked stands in `calls`. A log that is an error is raised."""

    url = "http://head:8265"
    tags = ()
    status_requests_per_second = 10.0
    max_answer_bytes = 256 * 1024 * 1024

    def __init__(self, status: str = "SUCCEEDED", log: str | TransportError = "") -> None:
        self.jobs: dict[str, list[dict[str, Any]]] = {"j1": [document(status)]}
        self.logs: dict[str, str | TransportError] = {"j1": log}
        self.pieces_left: list[bytes] = []
        self.packages: dict[str, bytes] = {}
        self.submitted: list[Mapping[str, Any]] = []
        self.calls: list[str] = []
        self.error: Exception | None = None
        self.refusal: TransportError | None = None

    def tell(self, *documents: dict[str, Any]) -> None:
        """Say this of the job, one after the other; the last one stays."""
        self.jobs["j1"] = [*documents]

    def _called(self, call: str) -> None:
        self.calls.append(call)
        if self.error is not None:
            raise self.error

    def job_get(self, job_id: str) -> dict[str, Any]:
        self._called("get")
        told = self.jobs.get(job_id)
        if told is None:
            raise RuntimeJobNotFoundError(
                f"Job {job_id} does not exist", 404, False, None, NO_SUCH_JOB
            )
        return told.pop(0) if told[1:] else told[0]

    def job_logs_text(self, job_id: str) -> str:
        self._called("logs")
        found = self.logs[job_id]
        if isinstance(found, TransportError):
            raise found
        return found

    def job_log_read(
        self, job_id: str, node_id: str, take: Take, last_lines: int | None = None
    ) -> None:
        self._called("read log" if last_lines is None else "read end of log")
        assert node_id == "97c3"
        if self.refusal is not None:
            raise self.refusal
        found = self.logs[job_id]
        if isinstance(found, TransportError):
            raise found
        lines = found.encode().splitlines(keepends=True)
        whole = b"".join(lines if last_lines is None else lines[-last_lines:])
        pieces = [whole[start : start + 100] for start in range(0, len(whole), 100)]
        self.pieces_left = list(itertools.dropwhile(take, pieces))

    def job_stop(self, job_id: str) -> bool:
        self._called("stop")
        return self.jobs[job_id][0]["status"] in ("PENDING", "RUNNING")

    def job_delete(self, job_id: str) -> None:
        self._called("delete")
        del self.jobs[job_id]

    def jobs_list(self) -> list[dict[str, Any]]:
        self._called("list")
        return [{**told[0], "submission_id": job_id} for job_id, told in self.jobs.items()]

    def package_exists(self, name: str) -> bool:
        self._called("has package")
        return name in self.packages

    def package_put(self, name: str, data: bytes) -> None:
        self._called("put package")
        self.packages[name] = data

    def submit_job(self, body: Mapping[str, Any]) -> str:
        self._called("submit")
        self.submitted.append(body)
        job_id: str = body["submission_id"]
        kept = {key: body[key] for key in ("submission_id", "metadata", "runtime_env")}
        self.jobs[job_id] = [{**document("PENDING"), **kept}]
        return job_id

    def version(self) -> dict[str, Any]:
        self._called("version")
        return {"version": "4", "ray_version": "2.60.0"}

    def close(self) -> None:
        self.calls.append("close")

    @property
    def client(self) -> RayClient:
        return cast("RayClient", self)


class NoStreams:
    """Has none, so that jobs are asked about."""

    def stream(self, job_id: str, command: OpenStream) -> StreamEndpoint:
        raise ServiceError(f"no stream of {job_id} in this test")


class Clock:
    """Goes on by being waited for."""

    def __init__(self) -> None:
        self.time = 0.0

    def pause(self, seconds: float) -> None:
        self.time += seconds

    def now(self) -> float:
        return self.time


def transport(
    head: FakeHead, outcomes: Outcomes | None = None, clock: Clock | None = None
) -> RayTransport:
    """A transport to it."""
    clock = Clock() if clock is None else clock
    return RayTransport(
        head.client,
        NoStreams(),
        RayPrograms(head.client),
        Outcomes() if outcomes is None else outcomes,
        pause=clock.pause,
        now=clock.now,
    )
