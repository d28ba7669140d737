"""The client of the service of a data directory, whichever process that is at the moment."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Self

import attrs

from adapters.http.client import RuntimeClient
from adapters.http.session import Answer, Request
from adapters.local.daemon import find_or_start
from adapters.local.directory import read_token
from adapters.local.lock import ServiceRecord
from adapters.local.records import JobStatus, new_job_id
from adapters.transport import StreamEndpoint
from adapters.websocket.client import RuntimeWebsocketClient
from runtime_core.commands import OpenStream
from runtime_core.errors import TransportError
from runtime_core.traits import Resume, ServiceTraits

_ATTEMPTS = 3

# A killed service closes its connections a moment before it is seen to be gone, in seconds.
_DYING = 1.0
_POLL = 0.01


@attrs.frozen
class Storage:
    """What the service keeps."""

    jobs: int
    """How many jobs."""
    unfinished: int
    """How many of them have not ended."""
    programs: int
    """How many programs."""
    size: int
    """The bytes of all of it."""
    oldest: str | None
    """When the oldest job was submitted: ISO 8601 in UTC; None if there is none."""
    keep_seconds: float
    """How many seconds a job is kept after its end."""
    keep_bytes: int
    """The size of everything above which the oldest jobs go."""


@attrs.frozen
class Pruned:
    """What was removed, or would be."""

    jobs: int
    """How many jobs."""
    size: int
    """Their bytes."""


@attrs.frozen
class _Found:
    """A service, and what is needed to speak with it."""

    service: ServiceRecord
    url: str
    token: str = attrs.field(repr=False)

    @classmethod
    def now(cls, directory: Path, service: ServiceRecord) -> Self:
        assert service.url is not None
        return cls(service, service.url, read_token(directory))


class LocalClient(RuntimeClient):
    """A `RuntimeClient` that starts the service again if it has ended, and follows it.

    A service ends when nobody has needed it for a while; nothing that it acknowledged is lost. So
    a request that it did not answer is done again with the next one; a submission too, since it
    carries an id of ours.

    Raises:
        ServiceError: if there is no service and none comes up.
    """

    def __init__(self, directory: Path, workers: int | None = None) -> None:
        self._directory = directory
        self._workers = workers
        self._closed = False
        self._found = _Found.now(directory, find_or_start(directory, workers=workers))
        super().__init__(self._found.url, self._found.token)

    @property
    def found(self) -> _Found:
        """The service that was found last."""
        return self._found

    @property
    def service_name(self) -> str:
        """What stays the same, whichever process serves: the data directory."""
        return f"local:{self._directory}"

    @property
    def pid(self) -> int:
        """The number of the process that was found last."""
        return self._found.service.pid

    @property
    def access_token(self) -> str:
        """What the service wants to see in ``X-Access-Token``."""
        return self._found.token

    def storage_get(self) -> Storage:
        """Say what the service keeps."""
        return Storage(**self._object(Request("GET", "/storage")))

    def storage_prune(
        self, older_than: float | None, keep_bytes: int | None, *, dry_run: bool
    ) -> Pruned:
        """Remove what the limits do not keep, see `LocalRuntimeService.prune`."""
        body = {"older_than": older_than, "keep_bytes": keep_bytes, "dry_run": dry_run}
        request = Request("POST", "/storage/prune", json.dumps(body).encode())
        return Pruned(**self._object(request))

    def _submit(self, body: dict[str, object]) -> dict[str, Any]:
        # Programs find what the submitter has installed, whoever has started the service.
        python = {"python": sys.executable, "python_path": os.environ.get("PYTHONPATH", "")}
        return super()._submit({**body, "id": new_job_id(), **python})

    def _send(self, request: Request) -> Answer:
        # The port of a service that has ended is anybody's: the token goes to no stranger there.
        self.awaken()
        for attempt in range(_ATTEMPTS):
            asked = self._found.service
            try:
                return super()._send(request)
            except TransportError as error:
                if error.status_code is not None:
                    done = self._own_effect(request, error.status_code) if attempt else None
                    if done is None:
                        raise
                    return done
                if attempt == _ATTEMPTS - 1 or not self._renew(asked.process):
                    raise
        raise AssertionError

    def _own_effect(self, request: Request, status: int) -> Answer | None:
        """Give the answer that was not heard, if a request is refused for what it has done.

        That is how it looks when the service had done it, and was gone before it could say so.
        """
        match request.method, status, request.path:
            case "DELETE", 404, _:
                return Answer(204, "", b"")
            case "POST", 409, "/programs":
                sent = json.loads(request.body or b"")
                if "/" in sent["name"]:
                    return None  # no name to ask for
                there = self.program_get(sent["name"])
                if all(there.get(key) == value for key, value in sent.items()):
                    return Answer(201, "application/json", json.dumps({"id": there["id"]}).encode())
            case "POST", 409, path if path.endswith("/cancel"):
                job = self._object(Request("GET", path.removesuffix("/cancel")))
                if job.get("status") == JobStatus.CANCELLED.value:
                    return Answer(204, "", b"")
        return None

    def awaken(self) -> None:
        """Start the service if it has ended, follow it if it is another one; may block for that.

        Raises:
            ServiceError: if none comes up.
        """
        if self._closed:
            return
        service = self._find_or_start()
        if service.process != self._found.service.process:
            self._follow(service)

    def _find_or_start(self) -> ServiceRecord:
        return find_or_start(
            self._directory, workers=self._workers, is_wanted=lambda: not self._closed
        )

    def close(self) -> None:
        """See `RuntimeClient.close`."""
        self._closed = True
        super().close()

    def _renew(self, process: str) -> bool:
        """Find or start the service that comes after `process`; say whether there is another.

        Threads that come here at once find the same one: no harm, and no lock that a fork could
        leave locked.
        """
        if self._found.service.process == process:
            service = None if self._closed else self._successor(process)
            if service is None:
                return False
            self._follow(service)
        return True

    def _follow(self, service: ServiceRecord) -> None:
        found = _Found.now(self._directory, service)
        # The old one stays open: another thread may use it just now, and will come here too.
        client = RuntimeClient(found.url, found.token)
        self._session = client._session  # noqa: SLF001 - of the class that this one is based on
        self._found = found
        if self._closed:
            client.close()  # it was closed meanwhile, and remains so

    def _successor(self, process: str) -> ServiceRecord | None:
        """Find or start a service that is not `process`; None if that one lives on."""
        deadline = time.monotonic() + _DYING
        while True:
            service = self._find_or_start()
            if service.process != process:
                return service
            if time.monotonic() >= deadline:
                return None
            time.sleep(_POLL)


class LocalStreams:
    """The streams of the service that a `LocalClient` speaks with. Thread-safe."""

    traits: ServiceTraits

    def __init__(self, client: LocalClient) -> None:
        self._client = client
        self.traits = self._streams().traits

    def stream(self, job_id: str, command: OpenStream) -> StreamEndpoint:
        """See `RuntimeWebsocketClient.stream`.

        A service that has ended is started first. If it finds its port taken and listens at another
        one, this attempt fails, and the next one knows.
        """
        endpoint = self._streams().stream(job_id, command)
        return attrs.evolve(endpoint, prepare=self._client.awaken)

    def _streams(self) -> RuntimeWebsocketClient:
        found = self._client.found
        return RuntimeWebsocketClient(found.url, found.token, resume=Resume.OFFSET.value)
