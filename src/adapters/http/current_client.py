"""The client of the current IBM runtime service: the methods of `RuntimeClient`, in its words."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from adapters.defaults import ENVIRONMENT
from adapters.http.client import RuntimeClient
from adapters.http.credentials import TokenProvider
from adapters.http.session import Answer, Request
from adapters.services import ibm_current
from adapters.services.dialect import CURRENT
from adapters.services.ibm_legacy import job_path
from adapters.tls import ClientCert, FilePath
from runtime_core.errors import UsageError
from runtime_core.tagged_json import encode_tagged


class CurrentRuntimeClient(RuntimeClient):
    """Speaks with the current service at `url`, which ends with its version: ``.../api/v1``.

    `access_token` is a bearer token, and so is what `token_provider` gives; `instance` is the CRN
    of the instance that jobs belong to. In everything else, the other arguments too, it is as
    `RuntimeClient` is: thread-safe, a request for a call, the token in no error and for no other
    host. There are no streams, and no programs to upload: those methods raise `UsageError`.

    Raises:
        ValueError: as `RuntimeClient` does, or if `instance` cannot be sent.
        OSError: if a certificate cannot be read.
    """

    dialect = CURRENT
    """How the service says the state of a job."""

    def __init__(
        self,
        url: str,
        access_token: str | None = None,
        instance: str = "",
        *,
        token_provider: TokenProvider | None = None,
        connect_timeout: float = 10.0,
        read_timeout: float = 60.0,
        ca_certs: FilePath | None = None,
        client_cert: ClientCert | None = None,
        tls: ssl.SSLContext | None = None,
        proxy: str | None = ENVIRONMENT,
        max_answer_bytes: int = 256 * 1024 * 1024,
        pool_size: int = 10,
    ) -> None:
        ibm_current.headers("", instance)  # says now, rather than later, that it cannot be sent
        self._instance = instance
        super().__init__(
            url,
            access_token,
            token_provider=token_provider,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            ca_certs=ca_certs,
            client_cert=client_cert,
            tls=tls,
            proxy=proxy,
            max_answer_bytes=max_answer_bytes,
            pool_size=pool_size,
        )

    def _credentials(self, access_token: str) -> dict[str, str]:
        return ibm_current.headers(access_token, self._instance)

    # ---- jobs ----------------------------------------------------------------------------------

    def program_run(
        self,
        program_id: str,
        backend_name: str | None = None,
        params: Mapping[str, object] | None = None,
        *,
        image: str = "",
        hub: str = "",
        group: str = "",
        project: str = "",
        log_level: str | None = None,
        tags: Sequence[str] = (),
        max_execution_time: int | None = None,
    ) -> dict[str, Any]:
        """Submit a job and give what the service says of it; its id is at ``["id"]``.

        `max_execution_time` is in seconds. `hub`, `group` and `project` are of the legacy service;
        the instance stands for them here.

        Raises:
            UsageError: if they are given all the same.
            EncodeError: if `params` cannot be written as tagged JSON.
            TransportError: if the service did not take it, or did not say so.
        """
        if hub or group or project:
            raise UsageError("hub, group and project are of the legacy service: give an instance.")
        body = ibm_current.run_body(
            program_id,
            dict(params or {}),
            backend_name=backend_name,
            image=image,
            log_level=log_level,
            tags=tags,
            max_execution_time=max_execution_time,
        )
        return self._submit(body)

    def job_params(self, job_id: str) -> dict[str, Any]:
        """Give the inputs of a job, not decoded; empty if the service does not tell."""
        params = self._object(Request("GET", job_path(job_id))).get("params")
        return params if isinstance(params, dict) else {}

    def jobs_get(
        self,
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
    ) -> dict[str, Any]:
        """Give a page of the jobs, the newest first: ``{"jobs": [...], "count": ...}``.

        The arguments are those of `ibm_current.jobs_path`.
        """
        path = ibm_current.jobs_path(
            limit,
            skip,
            pending,
            program_id,
            backend_name=backend_name,
            tags=ibm_current.checked_tags(tags),
            created_after=created_after,
            created_before=created_before,
            descending=descending,
        )
        return self._object(Request("GET", path))

    def job_metrics(self, job_id: str) -> dict[str, Any]:
        """Give what the service measured of a job: ``{"timestamps": {...}, "usage": {...}}``."""
        return self._object(Request("GET", job_path(job_id, "metrics")))

    def job_tag(self, job_id: str, tags: Iterable[str]) -> None:
        """Give a job these tags, instead of those that it has.

        Raises:
            UsageError: if they are not several texts.
        """
        path = job_path(job_id, "tags")
        checked = ibm_current.checked_tags(tags if isinstance(tags, Sequence) else [*tags])
        self._send(Request("PUT", path, encode_tagged({"tags": checked}).encode()))

    # ---- backends ------------------------------------------------------------------------------

    def backend_get(self, name: str | None = None) -> dict[str, Any]:
        """Give the name and the version of a backend; None for the first that there is."""
        if name is None:
            request = Request("GET", "/backends")
            name = ibm_current.first_backend(self._object(request))
        path = ibm_current.backend_path(name)
        return ibm_current.backend_document(self._object(Request("GET", path)))

    # ---- the session ---------------------------------------------------------------------------

    def logout(self) -> None:
        """Do nothing: a bearer token ends by itself."""

    def _send(self, request: Request) -> Answer:
        # One place for all that the legacy service does with programs, and this one does not.
        if request.path.startswith("/programs"):
            raise UsageError(
                "The current service takes no programs and does not list its own: run one by its "
                'id, or upload by dialect="legacy" where the service speaks that too.'
            )
        return super()._send(request)
