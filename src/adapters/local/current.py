"""The service's calls over HTTP, in the current protocol (wire page, `current`), below `PATH`.

Programs are uploaded by the legacy calls; here they are run by their ids. There are no sessions, no
private jobs and no calibrations; `Service-CRN` and `IBM-API-Version` are not looked at. What is
added to the protocol: `metrics` tells the place in the queue, as they once did.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import attrs
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from adapters.local.bodies import (
    RefusedError,
    job_from,
    pending_filter,
    program_id_from,
    read_object,
    run_limit_from,
    tags_from,
)
from adapters.local.job_calls import JobCalls, json_response, page_of
from adapters.local.machine import describe_backend
from adapters.local.records import DEFAULT_BACKEND, Job, JobFilter, JobStatus, now
from adapters.local.store import Store
from adapters.local.supervisor import Supervisor
from adapters.local.texts import Kind
from adapters.local.told import job_metrics

PATH: Final = "/api/v1"
"""What is before every path of the current protocol."""

RAN_TOO_LONG: Final = 1305
"""The reason code by which a job that ran too long differs from one that was cancelled."""


def routes(store: Store, supervisor: Supervisor) -> Sequence[BaseRoute]:
    """Give the routes, to be mounted at `PATH`."""
    calls = _CurrentCalls(store, supervisor)
    return [
        Route("/jobs", calls.list_jobs, methods=["GET"]),
        Route("/jobs", calls.create_job, methods=["POST"]),
        Route("/jobs/{id}", calls.get_job, methods=["GET"]),
        Route("/jobs/{id}", calls.delete_job, methods=["DELETE"]),
        Route("/jobs/{id}/results", calls.get_results, methods=["GET"]),
        Route("/jobs/{id}/logs", calls.get_logs, methods=["GET"]),
        Route("/jobs/{id}/metrics", calls.get_metrics, methods=["GET"]),
        Route("/jobs/{id}/cancel", calls.cancel_job, methods=["POST"]),
        Route("/jobs/{id}/tags", calls.tag_job, methods=["PUT"]),
        Route("/backends", calls.list_backends, methods=["GET"]),
        Route("/backends/{name}/configuration", calls.get_configuration, methods=["GET"]),
        Route("/backends/{name}/properties", calls.get_properties, methods=["GET"]),
        Route("/backends/{name}/status", calls.get_status, methods=["GET"]),
        Route("/instances/usage", calls.get_usage, methods=["GET"]),
    ]


class _CurrentCalls(JobCalls):
    """The calls, one method each; those that are as in the legacy protocol are inherited."""

    def __init__(self, store: Store, supervisor: Supervisor) -> None:
        super().__init__(store, supervisor)
        self._online = now()

    # ---- jobs ----------------------------------------------------------------------------------

    async def list_jobs(self, request: Request) -> Response:
        query = request.query_params
        which = JobFilter(
            pending=pending_filter(request),
            program=query.get("program"),
            backend=query.get("backend"),
            tags=tuple(query.getlist("tags")),
            created_after=_moment(request, "created_after"),
            created_before=_moment(request, "created_before"),
        )
        if "session_id" in query:
            return json_response('{"jobs": [], "count": 0}')  # no job is of a session
        limit, offset = page_of(request)
        oldest_first = query.get("sort", "").upper() == "ASC"
        jobs = self._store.find_jobs(which, limit, offset, oldest_first=oldest_first)
        page = ", ".join([self._job_text(job, request) for job in jobs])
        return json_response(f'{{"jobs": [{page}], "count": {self._store.count_found(which)}}}')

    async def create_job(self, request: Request) -> Response:
        body = await read_object(request)
        for key in ("session_id", "start_session", "private"):
            if body.get(key):
                raise RefusedError(400, f"This service has no sessions and no private jobs: {key}.")
        job, params = job_from(body, self._found_program(program_id_from(body)))
        job = attrs.evolve(job, tags=tags_from(body), cost=run_limit_from(body, job.cost))
        self._submit(job, params)
        return json_response(json.dumps({"id": job.id, "backend": job.backend}))

    async def get_job(self, request: Request) -> Response:
        return json_response(self._job_text(self._asked_job(request), request))

    async def get_metrics(self, request: Request) -> Response:
        job = self._asked_job(request)
        return json_response(json.dumps(job_metrics(self._store, job)))

    async def tag_job(self, request: Request) -> Response:
        body = await read_object(request)
        if body.get("tags") is None:
            raise RefusedError(400, "The body must have tags, a list of texts.")
        self._store.tag_job(self._asked_job(request), tags_from(body))
        return Response(status_code=204)

    # ---- where they run ------------------------------------------------------------------------

    async def list_backends(self, request: Request) -> Response:  # noqa: ARG002
        device = {
            "name": DEFAULT_BACKEND,
            "status": {"name": "online"},
            "queue_length": self._store.count_jobs(pending=True),
            "qubits": 0,
        }
        return json_response(json.dumps({"devices": [device]}))

    async def get_configuration(self, request: Request) -> Response:
        configuration = {
            "backend_name": self._asked_backend(request),
            "backend_version": self._version(),
            "n_qubits": 0,
            "basis_gates": [],
            "gates": [],
            "local": True,
            "simulator": True,
            "conditional": False,
            "open_pulse": False,
            "memory": False,
            "coupling_map": None,
            "online_date": self._online,
        }
        return json_response(json.dumps(configuration))

    async def get_properties(self, request: Request) -> Response:
        self._asked_backend(request)
        return json_response("{}")

    async def get_status(self, request: Request) -> Response:
        self._asked_backend(request)
        status = {
            "state": True,
            "status": "active",
            "length_queue": self._store.count_jobs(pending=True),
            "backend_version": self._version(),
        }
        return json_response(json.dumps(status))

    async def get_usage(self, request: Request) -> Response:  # noqa: ARG002
        return json_response("{}")  # there is no limit

    # ---- what they are made of -----------------------------------------------------------------

    def _asked_backend(self, request: Request) -> str:
        name: str = request.path_params["name"]
        if name != DEFAULT_BACKEND:
            raise RefusedError(404, f"There is no backend {name[:100]!r}.")
        return name

    def _version(self) -> str:
        version = describe_backend(DEFAULT_BACKEND, self._supervisor.workers)["version"]
        return str(version) or "0"

    def _job_text(self, job: Job, request: Request) -> str:
        """Give the JSON of a job. Its params are kept as text: a poll need not encode them."""
        document = {
            "id": job.id,
            "backend": job.backend,
            "state": self._state(job),
            "program": {"id": job.program},
            "created": job.created,
            "runtime": job.image,
            "tags": job.tags,
            "cost": job.cost,
        }
        text = json.dumps(document)
        if request.query_params.get("exclude_params", "").lower() == "true":
            return text
        return f'{text[:-1]}, "params": {self._store.params(job).decode()}}}'

    def _state(self, job: Job) -> dict[str, Any]:
        if job.status is not JobStatus.RAN_TOO_LONG:
            # A failed job's reason stands in its results: here it would hide them from clients.
            return {"status": job.status.value}
        told = self._store.texts.get(job, Kind.RESULT)
        reason = told.decode() if isinstance(told, bytes) else "The program ran too long."
        return {
            "status": JobStatus.CANCELLED.value,
            "reason": reason,
            "reason_code": RAN_TOO_LONG,
        }


def _moment(request: Request, key: str) -> str | None:
    """Read a time of the query, as `now` writes it; UTC if it states no offset.

    Raises:
        RefusedError: 400 if it is none.
    """
    text = request.query_params.get(key)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        known = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return known.astimezone(UTC).isoformat(timespec="microseconds")
    except (ValueError, OverflowError) as error:
        raise RefusedError(400, f"The query's {key} must be an ISO 8601 time.") from error
