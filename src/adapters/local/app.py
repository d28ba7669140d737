"""The service's calls over HTTP and websocket, in the legacy protocol (wire page, `legacy`)."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from adapters.local.bodies import (
    RefusedError,
    job_from,
    pending_filter,
    program_from,
    read_object,
    whole_number,
)
from adapters.local.gate import Gate, message_response
from adapters.local.jobs import Book, Job, Program
from adapters.local.supervisor import Supervisor

PAGE = 20
"""How many entries a list gives if the query names no limit."""

# How many messages one reader gets before the others have their turn.
_BURST = 64


def create_app(supervisor: Supervisor, token: str, port: int) -> ASGIApp:
    """Give the ASGI application that listens on `port` and asks for `token`."""
    calls = _Calls(supervisor)
    routes = [
        Route("/programs", calls.list_programs, methods=["GET"]),
        Route("/programs", calls.create_program, methods=["POST"]),
        Route("/programs/{id}", calls.get_program, methods=["GET"]),
        Route("/programs/{id}", calls.delete_program, methods=["DELETE"]),
        Route("/jobs", calls.list_jobs, methods=["GET"]),
        Route("/jobs", calls.create_job, methods=["POST"]),
        Route("/jobs/{id}", calls.get_job, methods=["GET"]),
        Route("/jobs/{id}", calls.delete_job, methods=["DELETE"]),
        Route("/jobs/{id}/results", calls.get_results, methods=["GET"]),
        Route("/jobs/{id}/logs", calls.get_logs, methods=["GET"]),
        Route("/jobs/{id}/cancel", calls.cancel_job, methods=["POST"]),
        Route("/logout", calls.logout, methods=["POST"]),
        WebSocketRoute("/stream/jobs/{id}", calls.stream),
    ]
    handlers: dict[Any, Any] = {RefusedError: _refused, HTTPException: _not_routed}
    return Gate(Starlette(routes=routes, exception_handlers=handlers), token, port)


class _Calls:
    """The calls, one method each."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._book = Book()

    async def list_programs(self, request: Request) -> Response:
        programs = list(self._book.programs.values())
        offset, limit = whole_number(request, "offset", 0), whole_number(request, "limit", PAGE)
        page = [_program_document(program) for program in programs[offset : offset + limit]]
        return _json(json.dumps({"programs": page, "count": len(programs)}))

    async def create_program(self, request: Request) -> Response:
        program = program_from(await read_object(request))
        if program.name in self._book.programs:
            raise RefusedError(409, f"There is a program {program.name!r} already.")
        self._book.programs[program.name] = program
        return _json(json.dumps({"id": program.name}), 201)

    async def get_program(self, request: Request) -> Response:
        program = self._program(request)
        data = base64.b64encode(program.source).decode()
        return _json(json.dumps(_program_document(program) | {"data": data}))

    async def delete_program(self, request: Request) -> Response:
        del self._book.programs[self._program(request).name]
        return Response(status_code=204)

    async def list_jobs(self, request: Request) -> Response:
        jobs = self._book.find_jobs(pending_filter(request), request.query_params.get("program"))
        offset, limit = whole_number(request, "offset", 0), whole_number(request, "limit", PAGE)
        page = ", ".join(_job_text(job) for job in jobs[offset : offset + limit])
        return _json(f'{{"jobs": [{page}], "count": {len(jobs)}}}')

    async def create_job(self, request: Request) -> Response:
        job = job_from(await read_object(request), self._book)
        if self._supervisor.closing:
            raise RefusedError(503, "The service is closing and takes no more jobs.")
        self._book.jobs[job.id] = job
        self._supervisor.submit(job)
        return _json(json.dumps({"id": job.id}), 201)

    async def get_job(self, request: Request) -> Response:
        return _json(_job_text(self._job(request)))

    async def delete_job(self, request: Request) -> Response:
        job = self._job(request)
        if not job.status.is_final:
            raise RefusedError(409, f"Job {job.id} is {job.status.value}: cancel it first.")
        del self._book.jobs[job.id]
        return Response(status_code=204)

    async def get_results(self, request: Request) -> Response:
        job = self._job(request)
        if job.result is None:
            why = "was cancelled and has no result" if job.status.is_final else "has no result yet"
            raise RefusedError(404, f"Job {job.id} {why}.")
        return PlainTextResponse(job.result)

    async def get_logs(self, request: Request) -> Response:
        job = self._job(request)
        text = job.logs.text()
        if not text:
            raise RefusedError(404, f"Job {job.id} has printed nothing.")
        return PlainTextResponse(text)

    async def cancel_job(self, request: Request) -> Response:
        job = self._job(request)
        if job.status.is_final:
            raise RefusedError(409, f"Job {job.id} is {job.status.value} and cannot be cancelled.")
        self._supervisor.cancel(job)
        return Response(status_code=204)

    async def logout(self, request: Request) -> Response:  # noqa: ARG002 - tokens have no sessions
        return Response(status_code=204)

    async def stream(self, websocket: WebSocket) -> None:
        try:
            job = self._job(websocket)
            after = whole_number(websocket, "after", 0)
        except RefusedError as refusal:
            response = message_response(refusal.status_code, refusal.message)
            await websocket.send_denial_response(response)
            return
        await websocket.accept()
        # The receiver hears of a reader that leaves while there is nothing to send.
        sender = asyncio.create_task(_send_interim(websocket, job, after))
        receiver = asyncio.create_task(_ignore_messages(websocket))
        try:
            await asyncio.wait((sender, receiver), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sender.cancel()
            receiver.cancel()
            await asyncio.gather(sender, receiver, return_exceptions=True)

    def _program(self, request: Request) -> Program:
        program_id = request.path_params["id"]
        program = self._book.programs.get(program_id)
        if program is None:
            raise RefusedError(404, f"There is no program {program_id[:100]!r}.")
        return program

    def _job(self, connection: HTTPConnection) -> Job:
        job_id = connection.path_params["id"]
        job = self._book.jobs.get(job_id)
        if job is None:
            raise RefusedError(404, f"There is no job {job_id[:100]!r}.")
        return job


async def _send_interim(websocket: WebSocket, job: Job, after: int) -> None:
    """Send the acknowledgement, what there is after the first `after`, what comes, the close."""
    await websocket.send_text(json.dumps({"type": "acknowledgement", "job_id": job.id}))
    position = after
    while True:
        while position < len(job.interim):
            await websocket.send_text(job.interim[position])
            position += 1
            if position % _BURST == 0:
                await asyncio.sleep(0)  # sending does not wait while the socket takes everything
        if job.status.is_final:
            break
        await job.changed()
    await websocket.close(1000)


async def _ignore_messages(websocket: WebSocket) -> None:
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


def _program_document(program: Program) -> dict[str, Any]:
    return {
        "id": program.name,
        "name": program.name,
        "cost": program.cost,
        "description": program.description,
        "is_public": program.is_public,
        "creation_date": program.created.isoformat(),
        "update_date": program.created.isoformat(),
        "spec": program.spec,
    }


def _job_text(job: Job) -> str:
    """Give the JSON of a job. Its params are kept as text: a poll need not encode them again."""
    document = {
        "id": job.id,
        "hub": "",
        "group": "",
        "project": "",
        "backend": job.backend,
        "status": job.status.value,
        "program": {"id": job.program.name},
        "created": job.created.isoformat(),
        "ended": job.ended.isoformat() if job.ended else None,
        "image": job.image,
    }
    return f'{json.dumps(document)[:-1]}, "params": {job.params}}}'


def _json(content: str, status_code: int = 200) -> Response:
    return Response(content, status_code, media_type="application/json")


async def _refused(_request: Request, refusal: RefusedError) -> Response:
    return message_response(refusal.status_code, refusal.message)


async def _not_routed(_request: Request, error: HTTPException) -> Response:
    return message_response(error.status_code, f"{error.detail}.")
