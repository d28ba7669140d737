"""The service's calls over HTTP, in the legacy protocol (wire page, `legacy`), and all others.

What is added to the protocol: a job document says when the job `started` and `ended`, and its
`position` in the queue; `POST /jobs` takes an `id` of the client's choice, with which it may be
repeated, and the `python` that runs the program, with its `python_path`; logs may be asked for from
a byte on (`Range`); `GET /backends/{name}` describes this machine, under whatever name;
`GET /storage` and `POST /storage/prune` show and apply the retention.
"""

from __future__ import annotations

import base64
import json
import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from adapters.local import current
from adapters.local.bodies import (
    RefusedError,
    changed_program,
    job_from,
    pending_filter,
    program_from,
    program_id_from,
    prune_from,
    read_body,
    read_object,
    source_from,
    whole_number,
)
from adapters.local.gate import message_response
from adapters.local.job_calls import JobCalls, json_response, page_of
from adapters.local.machine import describe_backend
from adapters.local.records import DEFAULT_BACKEND, Job, Program
from adapters.local.retention import Retention
from adapters.local.store import DuplicateError, Store
from adapters.local.streams import send_stream
from adapters.local.supervisor import Supervisor
from adapters.local.told import job_text

MAX_PAGE_BYTES = 16 * 1024 * 1024
"""How long a page may get, with the inputs of its jobs, before the rest is left to the next one."""

_log = logging.getLogger(__name__)


def create_app(store: Store, supervisor: Supervisor, retention: Retention) -> ASGIApp:
    """Give the ASGI application, which lets everybody in: put a `Gate` before it."""
    calls = _Calls(store, supervisor, retention)
    routes = [
        Route("/programs", calls.list_programs, methods=["GET"]),
        Route("/programs", calls.create_program, methods=["POST"]),
        Route("/programs/{id}", calls.get_program, methods=["GET"]),
        Route("/programs/{id}", calls.update_program, methods=["PATCH"]),
        Route("/programs/{id}", calls.delete_program, methods=["DELETE"]),
        Route("/programs/{id}/data", calls.update_source, methods=["PUT"]),
        Route("/programs/{id}/public", calls.make_public, methods=["PUT"]),
        Route("/programs/{id}/private", calls.make_private, methods=["PUT"]),
        Route("/jobs", calls.list_jobs, methods=["GET"]),
        Route("/jobs", calls.create_job, methods=["POST"]),
        Route("/jobs/{id}", calls.get_job, methods=["GET"]),
        Route("/jobs/{id}", calls.delete_job, methods=["DELETE"]),
        Route("/jobs/{id}/results", calls.get_results, methods=["GET"]),
        Route("/jobs/{id}/logs", calls.get_logs, methods=["GET"]),
        Route("/jobs/{id}/cancel", calls.cancel_job, methods=["POST"]),
        Route("/backends", calls.get_backend, methods=["GET"]),
        Route("/backends/{name}", calls.get_backend, methods=["GET"]),
        Route("/storage", calls.get_storage, methods=["GET"]),
        Route("/storage/prune", calls.prune, methods=["POST"]),
        Route("/logout", calls.logout, methods=["POST"]),
        WebSocketRoute("/stream/jobs/{id}", calls.stream),
        Mount(current.PATH, routes=current.routes(store, supervisor)),
    ]
    handlers: Mapping[Any, Any] = {
        RefusedError: _refused,
        HTTPException: _not_routed,
        sqlite3.Error: _not_stored,
        OSError: _not_stored,
    }
    return Starlette(routes=routes, exception_handlers=handlers)


class _Calls(JobCalls):
    """The calls, one method each."""

    def __init__(self, store: Store, supervisor: Supervisor, retention: Retention) -> None:
        super().__init__(store, supervisor)
        self._retention = retention

    # ---- programs ------------------------------------------------------------------------------

    async def list_programs(self, request: Request) -> Response:
        limit, offset = page_of(request)
        programs = [_program_document(each) for each in self._store.programs(limit, offset)]
        return json_response(
            json.dumps({"programs": programs, "count": self._store.count_programs()})
        )

    async def create_program(self, request: Request) -> Response:
        program, source = program_from(await read_object(request))
        try:
            program = self._store.add_program(program, source)
        except DuplicateError as error:
            raise _has_name(program) from error
        return json_response(json.dumps({"id": program.id}), 201)

    async def get_program(self, request: Request) -> Response:
        program = self._asked_program(request)
        data = base64.b64encode(self._store.source(program.source)).decode()
        return json_response(json.dumps(_program_document(program) | {"data": data}))

    async def update_program(self, request: Request) -> Response:
        body = await read_object(request)
        program = changed_program(self._asked_program(request), body)
        try:
            self._store.change_program(program)
        except DuplicateError as error:
            raise _has_name(program) from error
        return Response(status_code=204)

    async def update_source(self, request: Request) -> Response:
        source = source_from(await read_body(request))
        self._store.change_program(self._asked_program(request), source)
        return Response(status_code=204)

    async def make_public(self, request: Request) -> Response:
        return self._make_visible(request, public=True)

    async def make_private(self, request: Request) -> Response:
        return self._make_visible(request, public=False)

    def _make_visible(self, request: Request, *, public: bool) -> Response:
        program = self._asked_program(request)
        self._store.change_program(attrs.evolve(program, is_public=public))
        return Response(status_code=204)

    async def delete_program(self, request: Request) -> Response:
        self._store.delete_program(self._asked_program(request).id)
        return Response(status_code=204)

    # ---- jobs ----------------------------------------------------------------------------------

    async def list_jobs(self, request: Request) -> Response:
        pending, program = pending_filter(request), request.query_params.get("program")
        limit, offset = page_of(request)
        jobs = self._store.jobs(pending, program, limit, offset)
        page = ", ".join(self._texts_of_page(jobs))
        count = self._store.count_jobs(pending, program)
        return json_response(f'{{"jobs": [{page}], "count": {count}}}')

    def _texts_of_page(self, jobs: Iterable[Job]) -> Iterator[str]:
        """Give the texts of jobs, of at least one, and not many more bytes than a page may have."""
        length = 0
        for job in jobs:
            text = job_text(self._store, job)
            yield text
            length += len(text)
            if length > MAX_PAGE_BYTES:
                return

    async def create_job(self, request: Request) -> Response:
        body = await read_object(request)
        job, params = job_from(body, self._found_program(program_id_from(body)))
        self._submit(job, params)
        return json_response(json.dumps({"id": job.id, "backend": job.backend}), 201)

    async def get_job(self, request: Request) -> Response:
        return json_response(job_text(self._store, self._asked_job(request)))

    async def stream(self, websocket: WebSocket) -> None:
        try:
            job = self._asked_job(websocket)
            after = whole_number(websocket, "after", 0)
        except RefusedError as refusal:
            response = message_response(refusal.status_code, refusal.message)
            await websocket.send_denial_response(response)
            return
        await send_stream(websocket, self._store, self._supervisor.watchers, job, after)

    # ---- the service ---------------------------------------------------------------------------

    async def get_backend(self, request: Request) -> Response:
        name = request.path_params.get("name", DEFAULT_BACKEND)
        return json_response(json.dumps(describe_backend(name, self._supervisor.workers)))

    async def get_storage(self, request: Request) -> Response:  # noqa: ARG002
        return json_response(json.dumps(self._retention.storage()))

    async def prune(self, request: Request) -> Response:
        rule, dry_run = prune_from(await read_object(request), self._retention.rule)
        return json_response(json.dumps(await self._retention.prune(rule, dry_run=dry_run)))

    async def logout(self, request: Request) -> Response:  # noqa: ARG002 - tokens have no sessions
        return Response(status_code=204)

    # ---- finding -------------------------------------------------------------------------------

    def _asked_program(self, request: Request) -> Program:
        return self._found_program(request.path_params["id"])


def _program_document(program: Program) -> dict[str, Any]:
    return {
        "id": program.id,
        "name": program.name,
        "cost": program.cost,
        "description": program.description,
        "is_public": program.is_public,
        "creation_date": program.created,
        "update_date": program.updated,
        "spec": program.spec,
    }


def _has_name(program: Program) -> RefusedError:
    return RefusedError(409, f"There is a program {program.name!r} already.")


async def _refused(_request: Request, refusal: RefusedError) -> Response:
    return message_response(refusal.status_code, refusal.message)


async def _not_routed(_request: Request, error: HTTPException) -> Response:
    return message_response(error.status_code, f"{error.detail}.")


async def _not_stored(_request: Request, error: sqlite3.Error | OSError) -> Response:
    _log.error("a request failed at the store", exc_info=error)
    return message_response(507, f"The service's store cannot be used: {error}.")
