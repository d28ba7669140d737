"""What may be asked of a job in every dialect in the same way, over HTTP."""

from __future__ import annotations

import re

from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, PlainTextResponse, Response

from adapters.local.bodies import RefusedError, whole_number
from adapters.local.records import Job, Program
from adapters.local.store import Store
from adapters.local.supervisor import Supervisor
from adapters.local.texts import Kind
from adapters.local.told import log_part, log_text

PAGE = 20
"""How many entries a list gives if the query names no limit."""

MAX_PAGE = 1000
"""How many entries a list gives at most."""


class JobCalls:
    """The calls that all dialects have, and what their own calls are made of."""

    def __init__(self, store: Store, supervisor: Supervisor) -> None:
        self._store = store
        self._supervisor = supervisor

    async def delete_job(self, request: Request) -> Response:
        """Remove a job and all that is kept of it: 204; 409 if it has not ended."""
        job = self._asked_job(request)
        if not job.status.is_final:
            raise RefusedError(409, f"Job {job.id} is {job.status.value}: cancel it first.")
        self._store.delete_jobs([job])
        return Response(status_code=204)

    async def get_results(self, request: Request) -> Response:
        """Give the result as text, or of a failed job why; 404 if there is neither."""
        job = self._asked_job(request)
        result = self._store.texts.get(job, Kind.RESULT)
        if result is None:
            why = "was cancelled and has no result" if job.status.is_final else "has no result yet"
            raise RefusedError(404, f"Job {job.id} {why}.")
        if isinstance(result, bytes):
            return PlainTextResponse(result)
        return FileResponse(result, media_type="text/plain; charset=utf-8")

    async def get_logs(self, request: Request) -> Response:
        """Give what was printed, from a byte on if a Range says so; 404 if it is nothing."""
        job = self._asked_job(request)
        _, end = self._store.texts.extent(job, Kind.LOG)
        asked = re.fullmatch(r"bytes=(\d{1,18})-", request.headers.get("range", ""))
        if asked is not None:
            start, data = log_part(self._store, job, int(asked[1]))
            if not data:
                raise RefusedError(416, f"Job {job.id} has printed no more than {end} bytes.")
            where = {"Content-Range": f"bytes {start}-{start + len(data) - 1}/*"}
            return PlainTextResponse(data, 206, where)
        if end == 0:
            raise RefusedError(404, f"Job {job.id} has printed nothing.")
        return PlainTextResponse(log_text(self._store, job))

    async def cancel_job(self, request: Request) -> Response:
        """Ask for the end of a job: 204; 409 if it has ended."""
        job = self._asked_job(request)
        if job.status.is_final:
            raise RefusedError(409, f"Job {job.id} is {job.status.value} and cannot be cancelled.")
        self._supervisor.cancel(job)
        return Response(status_code=204)

    # ---- what calls are made of ----------------------------------------------------------------

    def _submit(self, job: Job, params: str) -> None:
        """Add a job, which starts as soon as it can, unless it is there already.

        Raises:
            RefusedError: 503 if the service is closing.
        """
        if self._supervisor.closing:
            raise RefusedError(503, "The service is closing and takes no more jobs.")
        # A client that did not hear our answer asks again, with the same id.
        if self._store.job(job.id) is None:
            self._store.add_job(job, params)
            self._supervisor.submitted()

    def _found_program(self, program_id: str) -> Program:
        program = self._store.program(program_id)
        if program is None:
            raise RefusedError(404, f"There is no program {program_id[:100]!r}.")
        return program

    def _asked_job(self, connection: HTTPConnection) -> Job:
        job_id = connection.path_params["id"]
        job = self._store.job(job_id)
        if job is None:
            raise RefusedError(404, f"There is no job {job_id[:100]!r}.")
        return job


def page_of(request: Request) -> tuple[int, int]:
    """Read which page of a list is asked for: how many entries, after how many others.

    Raises:
        RefusedError: 400 if these are no numbers.
    """
    return min(whole_number(request, "limit", PAGE), MAX_PAGE), whole_number(request, "offset", 0)


def json_response(content: str, status_code: int = 200) -> Response:
    """Give an answer of JSON that is a text already."""
    return Response(content, status_code, media_type="application/json")
