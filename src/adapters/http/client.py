"""The client of the legacy IBM runtime service: one method for each of its calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.http.failures import Failure
from adapters.http.program_calls import ProgramCalls
from adapters.http.refusals import typed
from adapters.http.service_client import ServiceClient
from adapters.http.session import Request
from adapters.job_logs import LogPart
from adapters.services import ibm_legacy
from adapters.services.dialect import LEGACY
from runtime_core.errors import TransportError
from runtime_core.tagged_json import encode_tagged


class RuntimeClient(ServiceClient, ProgramCalls):
    """Speaks with the runtime service at `url`, over kept-alive connections.

    Thread-safe: every method may be called from every thread, at the same time. `close()` it, or
    use it in a `with`; whoever made it closes it. It opens no connection before the first call.

    Each call is one request; no redirect is followed, so the token goes to no other host. Nothing
    is retried, but for a request that was refused with 401 if there is another token by then. What
    fails raises `TransportError`: its `retryable` and `retry_after` say whether and when to try
    again (the tables stand in `adapters.http.failures` and `adapters.http.retry`); some refusals
    have a class of their own (see `adapters.http.refusals`). An HTML page is never an answer, and
    not retryable even with status 200: a proxy or a place to log in sends it, and it goes on until
    somebody looks at it. A closed client raises `UsageError`.

    Args:
        url: where the service is.
        access_token: what it wants to see; an empty one is not sent. It may be left out if there
            is a `token_provider`.
        token_provider: gives a token that is good now. It is asked before the first request, if
            there is no `access_token`, and when the service answers 401: then the request is done
            again, once, with what it gave. If it gives the same token, or the new one is refused
            too, that is a `NotAuthorizedError`, and it is not asked again before the next request
            is refused. Threads that are refused at the same time have it asked once. It may block;
            it must not use this client. What it raises is the cause of a `NotAuthorizedError`.
        connect_timeout: seconds for the connection; it does not bound a call as a whole.
        read_timeout: seconds for each wait for more bytes. A service may send a byte at a time.
        ca_certs: a PEM file of the authorities to trust; None for the system's.
        client_cert: a certificate of ours, for services that demand one: a PEM file with its key,
            or a pair of files, the certificate's and the key's. The key must not be encrypted.
        tls: a TLS context to use as it is, instead of `ca_certs` and `client_cert`.
        proxy: the URL of an HTTP proxy, ``http://user:password@host:port``, user and password
            percent-encoded; ``https://`` if the proxy itself speaks TLS. None for no proxy. By
            default the environment says it: `https_proxy`, `all_proxy` and `no_proxy`, in capitals
            too, and for plain http `http_proxy`; never for services on this machine. User and
            password go to the proxy only. A proxy sees neither token nor data of https, which goes
            through a tunnel; of plain http it sees everything.
        max_answer_bytes: the limit of an answer, decompressed, while it is read.
        pool_size: how many idle connections are kept; more than that may be open at once.

    Raises:
        ValueError: if `url` or `proxy` cannot be one, the token cannot be sent, there is neither a
            token nor a provider, or `tls` is not alone. No message holds a token or a password.
        OSError: if a certificate cannot be read.

    Warns:
        UserWarning: if the token would go over plain http to another machine, by a proxy or not.
            That is allowed, since some networks secure it by other means.
    """

    dialect = LEGACY
    """How the service says the state of a job."""

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
    ) -> dict[str, Any]:
        """Submit a job and give what the service says of it; its id is at ``["id"]``.

        Never do it again on your own after a failure: the error says whether the job may have
        been submitted, and is `retryable` only if it has not.

        Raises:
            EncodeError: if `params` cannot be written as tagged JSON.
            TransportError: if the service did not take it, or did not say so.
        """
        body = ibm_legacy.run_body(
            program_id,
            dict(params or {}),
            backend_name=backend_name,
            image=image,
            hub=hub,
            group=group,
            project=project,
            log_level=log_level,
        )
        return self._submit(body)

    def _submit(self, body: dict[str, object]) -> dict[str, Any]:
        text = encode_tagged(body, self.tags)
        request = Request("POST", "/jobs", text.encode(), submits=True)
        job = self._object(request)
        if not isinstance(job.get("id"), str) or not job["id"]:
            raise self._session.error(request, Failure("the answer has no id", False, True))
        return job

    def jobs_get(
        self,
        limit: int = 10,
        skip: int = 0,
        pending: bool | None = None,
        program_id: str | None = None,
    ) -> dict[str, Any]:
        """Give a page of the jobs, the newest first: ``{"jobs": [...], "count": ...}``.

        `pending` picks the jobs that have not ended (True), that have (False), or both (None).
        """
        path = ibm_legacy.jobs_path(limit, skip, pending, program_id)
        return self._object(Request("GET", path))

    def job_logs_part(self, job_id: str, start: int) -> LogPart:
        """Give what the job wrote to its log from byte `start` on; empty if that is nothing yet.

        The part may begin later, if the service keeps the end of long logs only, or earlier, if it
        gives a log only whole: see `LogPart.start`.
        """
        path = ibm_legacy.job_path(job_id, "logs")
        request = Request("GET", path, first_byte=start)
        try:
            answer = self._send(request)
        except TransportError as error:
            if error.status_code in (404, 416):
                return LogPart(start, b"")
            raise
        if answer.status != 206:
            return LogPart(0, answer.body)
        begin = ibm_legacy.range_start(answer.content_range)
        if begin is None:
            what = f"expected a Content-Range in bytes, got {answer.content_range!r}"
            raise self._not_promised(request, answer, what)
        return LogPart(begin, answer.body)

    def job_delete(self, job_id: str) -> None:
        """Remove a job and its result from the service."""
        self._send(Request("DELETE", ibm_legacy.job_path(job_id)))

    # ---- backends ------------------------------------------------------------------------------

    def backend_get(self, name: str | None = None) -> dict[str, Any]:
        """Give what the service knows of a backend; None for where jobs run that name none."""
        return self._object(Request("GET", ibm_legacy.backend_path(name)))

    # ---- the session ---------------------------------------------------------------------------

    def logout(self) -> None:
        """Tell the service that this access token is no longer used."""
        self._send(Request("POST", "/logout"))

    def _refusal(self, request: Request, error: TransportError) -> TransportError:
        return typed(error, request.method, request.path)
