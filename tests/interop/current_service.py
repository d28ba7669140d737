"""The current service as its own client, qiskit-ibm-runtime 0.51, needs it: a contract that runs.

It keeps everything in memory and runs nothing; a job takes one step at each look at it. It is here
to show, with ``test_ibm_runtime.py``, that what follows is enough: the client works with it
unchanged.

BEFORE ANYTHING ELSE
    The client is made with ``QiskitRuntimeService(channel="ibm_quantum_platform", token=KEY,
    instance=CRN, url=URL, url_resolver=lambda url, *_: url + "/api/v1")``; CRN must begin with
    ``crn:`` and have seven colons or more. The environment has QISKIT_FUNCTIONS_EXPERIMENTAL=1, or
    the company's search is asked for the account's instances, and IAM_URL=URL. There it asks first:
    ``POST /identity/token`` (not below ``/api/v1``), a form: ``apikey=KEY``, ``response_type=
    cloud_iam``, ``grant_type=urn:ibm:params:oauth:grant-type:apikey``; without Authorization. The
    answer is 200 with ``{"access_token": JWT, "refresh_token": "not_supported", "token_type":
    "Bearer", "expires_in": seconds, "expiration": unix time}``. Only the JWT is read: its payload
    must have ``iat`` and ``exp`` in whole seconds, its signature is not checked. It is renewed
    after 80 % of its life. After any status but 2xx the client warns and sends the key itself,
    ``Authorization: apikey KEY``; but before each further request it waits a minute for a token.

EVERY REQUEST
    carries ``Authorization: Bearer JWT``, ``Service-CRN: CRN``, ``IBM-API-Version: 2026-04-15``,
    ``X-Qx-Client-Application``, and no ``Content-Type`` unless it has a body. 401 becomes
    IBMNotAuthorizedError; POST too is repeated after 500, 502, 503, 504 (five times, backing off).
    Of an error's body the text is quoted, or of ``{"error": {"message", "code"}}`` these two. Times
    are ISO 8601 and in UTC: whatever offset they state is ignored when they are shown. Values in
    ``params`` and in results are tagged JSON.

THE INSTANCE AND ITS BACKENDS
    ``GET /instances/usage``: an object; ``{}`` says that there is no limit. Asked before each run.
    (``usage_consumed_seconds``, ``usage_limit_seconds``, ``usage_limit_reached`` are read.)
    ``GET /backends?include_mocks=True``: ``{"devices": [{"name", "status": {"name": "online"},
    "queue_length", "qubits"}]}``; asked by the constructor and by each ``backend(...)``; if it
    fails the client takes the instance for one without backends and says nothing but a log line.
    ``GET /backends/{name}/configuration``: all of ``backend_name``, ``backend_version``,
    ``n_qubits``, ``basis_gates``, ``gates``, ``local``, ``simulator``, ``conditional``,
    ``open_pulse``, ``memory``, ``coupling_map`` and ``online_date`` (ISO 8601); more is welcome.
    With ``simulator`` true no properties are asked for; else ``GET /backends/{name}/properties``,
    which may answer ``{}``.
    ``GET /backends/{name}/status``: ``{"state": true, "status": "active", "length_queue": 0,
    "backend_version"}``; another ``status`` than active makes each run warn. Asked before each run.

JOBS
    ``POST /jobs``: ``{"program_id", "params"}`` and, if given, ``runtime`` (the image),
    ``log_level``, ``backend``, ``tags`` (a list), ``cost`` (max seconds of this job), ``private``
    (true), ``session_id``, ``start_session`` with ``session_time``, ``calibration_id``. 200 and
    ``{"id", "backend"}``: both must be there. 404: no such program.
    ``GET /jobs/{id}``, with ``exclude_params=true`` but for the inputs: ``{"id", "backend",
    "state": {"status", "reason"?, "reason_code"?}, "program": {"id"}, "created", "runtime", "tags",
    "session_id"?, "private"?, "estimated_running_time_seconds"?, "params"}``. ``status`` is one of
    Queued, Running, Completed, Failed, Cancelled, in any case; a cancelled job with ``reason_code``
    1305 ran too long and is an error. A ``reason_code`` counts only beside a ``reason``, and a
    ``reason`` hides the traceback from the client's errors: a failed job has none.
    ``GET /jobs/{id}/results``: text; the result, or of a failed job and of one that ran too long
    what there is to say: of it the client shows what begins with the last "Traceback". An empty
    result is None.
    ``GET /jobs/{id}/logs``: text; 404 if there are none.
    ``GET /jobs/{id}/metrics``: ``{"timestamps": {"created", "running", "finished"}, "usage":
    {"status": "pending" or "final", "qpu_charge_time_seconds"}}``; what did not happen is null.
    ``POST /jobs/{id}/cancel``: 204 (no body); 409 if it is final.
    ``PUT /jobs/{id}/tags``: ``{"tags": [...]}``; 204 and no other 2xx.
    ``DELETE /jobs/{id}``: 204; 404.
    ``GET /jobs``: ``exclude_params=true``, ``limit``, ``offset``, ``backend``, ``program``,
    ``pending=true|false``, ``tags`` (repeated: jobs that have all of them), ``session_id``,
    ``created_after`` and ``created_before`` (with offset; inclusive), ``sort=ASC`` (else newest
    first), ``include_mocks=True``. ``{"jobs": [...], "count": all that match}``: the client asks
    for pages until it has ``count - skip`` jobs or its limit, for ever if the service gives fewer.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs

PATH = "/api/v1"

Answer = tuple[int, object]
"""A status, and what is sent as JSON, or as it is if it is a text; None for no body."""

Query = Mapping[str, list[str]]


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


@attrs.define(eq=False)
class _Job:
    program: str
    backend: str
    params: dict[str, Any]
    image: str
    tags: list[str]
    limited: bool
    id: str = attrs.field(factory=lambda: secrets.token_hex(12))
    status: str = "Queued"
    created: str = attrs.field(factory=_now)
    running: str | None = None
    finished: str | None = None
    reason: str | None = None
    result: str | None = None

    @property
    def is_final(self) -> bool:
        return self.finished is not None

    def step(self) -> None:
        if self.status == "Queued":
            self.status, self.running = "Running", _now()
        elif self.status == "Running" and (self.program == "long" or self.limited):
            self.reason = self.result = "The program ran longer than its 1 s and was ended."
            self.end("Cancelled")
        elif self.status == "Running" and self.program != "sleep":
            failed = self.program == "fail"
            error = "Noise\nTraceback (most recent call last):\nValueError: the mirror cracked\n"
            value = None if self.program == "talk" else self.params
            self.result = error if failed else json.dumps(value)
            self.end("Failed" if failed else "Completed")

    def end(self, status: str) -> None:
        self.status, self.finished = status, _now()

    def document(self, *, with_params: bool) -> dict[str, Any]:
        state: dict[str, Any] = {"status": self.status}
        if self.reason is not None:
            state |= {"reason": self.reason, "reason_code": 1305}
        document = {
            "id": self.id,
            "backend": self.backend,
            "state": state,
            "program": {"id": self.program},
            "created": self.created,
            "runtime": self.image,
            "tags": self.tags,
        }
        return document | {"params": self.params} if with_params else document


class CurrentService:
    """What the module's docstring says, as a function of requests."""

    def __init__(self) -> None:
        self.url = ""
        self.access_token = secrets.token_urlsafe(16)
        self._jobs: dict[str, _Job] = {}
        self._lock = threading.Lock()

    def answer(self, method: str, target: str, authorization: str, body: bytes) -> Answer:
        url = urlsplit(target)
        if (method, url.path) == ("POST", "/identity/token"):
            return self._token(body.decode())
        kind, _, token = authorization.partition(" ")
        if kind != "Bearer" or token.rpartition(".")[2] != self._signature(token):
            return 401, {"message": "The bearer token is missing, or is not one of this service."}
        routes: list[tuple[str, Callable[..., Answer]]] = [
            ("GET /instances/usage", lambda: (200, {})),
            ("GET /backends", self._backends),
            ("GET /backends/(.*)/configuration", self._configuration),
            ("GET /backends/(.*)/status", self._status),
            ("GET /jobs", lambda: self._list(parse_qs(url.query))),
            ("POST /jobs", lambda: self._create(json.loads(body))),
            ("GET /jobs/([^/]*)", self._of(lambda job: self._get(job, parse_qs(url.query)))),
            ("DELETE /jobs/([^/]*)", self._of(self._delete)),
            ("GET /jobs/([^/]*)/results", self._of(self._results)),
            ("GET /jobs/([^/]*)/logs", self._of(self._logs)),
            ("GET /jobs/([^/]*)/metrics", self._of(self._metrics)),
            ("POST /jobs/([^/]*)/cancel", self._of(self._cancel)),
            ("PUT /jobs/([^/]*)/tags", self._of(lambda job: self._tag(job, json.loads(body)))),
        ]
        asked = f"{method} {url.path.removeprefix(PATH)}"
        with self._lock:
            for pattern, call in routes:
                if url.path.startswith(PATH) and (found := re.fullmatch(pattern, asked)):
                    return call(*found.groups())
        return 404, {"message": f"There is no {asked}."}

    # ---- who asks ------------------------------------------------------------------------------

    def _token(self, form: str) -> Answer:
        if parse_qs(form).get("apikey") != [self.access_token]:
            return 400, {"errorMessage": "The API key is not the one of this service."}
        now = int(time.time())
        head, payload = {"alg": "HS256", "typ": "JWT"}, {"iat": now, "exp": now + 3600}
        signed = ".".join(_base64(json.dumps(part).encode()) for part in (head, payload))
        token = f"{signed}.{self._signature(signed + '.')}"
        return 200, {
            "access_token": token,
            "refresh_token": "not_supported",
            "token_type": "Bearer",
            "expires_in": 3600,
            "expiration": now + 3600,
        }

    def _signature(self, token: str) -> str:
        signed = token.rpartition(".")[0].encode()
        return _base64(hmac.digest(self.access_token.encode(), signed, "sha256"))

    # ---- backends ------------------------------------------------------------------------------

    def _backends(self) -> Answer:
        online = {"name": "local", "status": {"name": "online"}, "queue_length": 0, "qubits": 0}
        return 200, {"devices": [online]}

    def _configuration(self, name: str) -> Answer:
        if name != "local":
            return 404, {"message": f"There is no backend {name!r}."}
        return 200, {
            "backend_name": name,
            "backend_version": "1.0.0",
            "n_qubits": 0,
            "basis_gates": [],
            "gates": [],
            "local": True,
            "simulator": True,
            "conditional": False,
            "open_pulse": False,
            "memory": False,
            "coupling_map": None,
            "online_date": _now(),
        }

    def _status(self, name: str) -> Answer:
        if name != "local":
            return 404, {"message": f"There is no backend {name!r}."}
        waiting = sum(not job.is_final for job in self._jobs.values())
        return 200, {
            "state": True,
            "status": "active",
            "length_queue": waiting,
            "backend_version": "1.0.0",
        }

    # ---- jobs ----------------------------------------------------------------------------------

    def _create(self, body: dict[str, Any]) -> Answer:
        program = body["program_id"]
        if program not in ("echo", "talk", "fail", "sleep", "long"):
            return 404, {"message": f"There is no program {program!r}."}
        job = _Job(
            program=program,
            backend=body.get("backend", ""),
            params=body["params"],
            image=body.get("runtime", ""),
            tags=body.get("tags", []),
            limited=body.get("cost") == 1,
        )
        self._jobs[job.id] = job
        return 200, {"id": job.id, "backend": job.backend}

    def _list(self, query: Query) -> Answer:
        jobs = list(self._jobs.values())
        if query.get("sort") != ["ASC"]:
            jobs.reverse()
        found = [job for job in jobs if _matches(job, query)]
        limit, offset = (int(query.get(key, ["0"])[0]) for key in ("limit", "offset"))
        page = found[offset : offset + (limit or 20)]
        documents = [job.document(with_params=False) for job in page]
        return 200, {"jobs": documents, "count": len(found)}

    def _of(self, call: Callable[[_Job], Answer]) -> Callable[[str], Answer]:
        def look_up(job_id: str) -> Answer:
            job = self._jobs.get(job_id)
            return (404, {"message": f"There is no job {job_id!r}."}) if job is None else call(job)

        return look_up

    def _get(self, job: _Job, query: Query) -> Answer:
        job.step()
        return 200, job.document(with_params=query.get("exclude_params") != ["true"])

    def _delete(self, job: _Job) -> Answer:
        if not job.is_final:
            return 409, {"message": "Cancel it first."}
        del self._jobs[job.id]
        return 204, None

    def _results(self, job: _Job) -> Answer:
        return (404, {"message": "It has no result."}) if job.result is None else (200, job.result)

    def _logs(self, job: _Job) -> Answer:
        if job.program not in ("talk", "fail"):
            return 404, {"message": "It printed nothing."}
        return 200, "a last word\n"

    def _metrics(self, job: _Job) -> Answer:
        times = {"created": job.created, "running": job.running, "finished": job.finished}
        status, seconds = ("final", 0.5) if job.is_final else ("pending", 0)
        usage = {"status": status, "qpu_charge_time_seconds": seconds}
        return 200, {"timestamps": times, "usage": usage}

    def _cancel(self, job: _Job) -> Answer:
        if job.is_final:
            return 409, {"message": "It has ended."}
        job.end("Cancelled")
        return 204, None

    def _tag(self, job: _Job, body: dict[str, Any]) -> Answer:
        job.tags = body["tags"]
        return 204, None


def _matches(job: _Job, query: Query) -> bool:
    tests: dict[str, Callable[[str], bool]] = {
        "backend": lambda name: job.backend == name,
        "program": lambda name: job.program == name,
        "pending": lambda word: (not job.is_final) == (word == "true"),
        "tags": lambda tag: tag in job.tags,
        "session_id": lambda _: False,
        "created_after": lambda text: _time(job.created) >= _time(text),
        "created_before": lambda text: _time(job.created) <= _time(text),
    }
    return all(test(value) for key, test in tests.items() for value in query.get(key, ()))


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: CurrentService

    def handle_request(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        authorization = self.headers.get("Authorization", "")
        status, what = self.service.answer(self.command, self.path, authorization, body)
        self.send_response(status)
        if what is None:
            self.end_headers()
            return
        kind, text = ("text/plain", what) if isinstance(what, str) else ("application/json", None)
        data = (json.dumps(what) if text is None else text).encode()
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = handle_request  # noqa: N815 - http.server's names

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def current_service() -> Iterator[CurrentService]:
    """Run one, on a port of its own."""
    service = CurrentService()
    handler = type("Handler", (_Handler,), {"service": service})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        service.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield service
        finally:
            server.shutdown()
            thread.join()
