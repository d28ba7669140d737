"""`DialectClient`: a client for any service whose calls a `Dialect` names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from adapters.http.failures import Failure
from adapters.http.service_client import NetworkArguments, ServiceClient
from adapters.http.session import Request
from adapters.services.dialect import Dialect
from adapters.services.places import Place
from runtime_core.errors import RuntimeProgramNotFoundError, TransportError, UsageError
from runtime_core.tagged_json import encode_tagged


class DialectClient(ServiceClient):
    """Asks the service at `url` by the calls of its dialect; what an SDK of its own is built on.

    It is the `api_client` of a `RuntimeJob` or an `AsyncRuntimeJob`, with None for the streams. In
    everything that is not the dialect's, it is as `RuntimeClient` is: thread-safe, a request for a
    call, nothing retried but after a 401 with another token, the token in no error and for no
    other host, failures as `TransportError`. Where the dialect has codes of its own for errors, the
    error's `reason_code` is that code, and its `status_code` the HTTP status that means the same.

    For instance::

        with DialectClient("https://acme.example/v2", key, dialect=ACME) as client:
            job_id = client.submit("primes", {"below": 1000})
            print(RuntimeJob("acme", client, None, job_id, "primes").result(timeout=60))

    Args:
        url: where the service is.
        access_token: what it wants to see; an empty one is not sent. It may be left out if there
            is a `token_provider`.
        dialect: what it speaks. It must have `calls`.
        network: the named arguments of `RuntimeClient`: `token_provider`, `connect_timeout`,
            `read_timeout`, `ca_certs`, `client_cert`, `tls`, `proxy`, `max_answer_bytes`,
            `pool_size`.

    Raises:
        UsageError: if the dialect has no calls.
        ValueError: as `RuntimeClient` does.
        OSError: if a certificate cannot be read.

    Warns:
        UserWarning: if the token would go over plain http to another machine.
    """

    _stacklevel = 3

    def __init__(
        self,
        url: str,
        access_token: str | None = None,
        *,
        dialect: Dialect,
        **network: Unpack[NetworkArguments],
    ) -> None:
        self.dialect = dialect
        _ = self._calls  # refuses a dialect that has none
        super().__init__(url, access_token, **network)

    def submit(
        self,
        program_id: str,
        inputs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> str:
        """Submit a job and give its id.

        Never do it again on your own after a failure: the error says whether the job may have
        been submitted, and is `retryable` only if it has not.

        Args:
            program_id: what to run.
            inputs: what the program gets.
            options: what else the service is to know, in its own words.

        Raises:
            UsageError: if the dialect does not say how to submit, or does not take an option.
            EncodeError: if the inputs cannot be written as tagged JSON.
            RuntimeProgramNotFoundError: if the service knows no such program.
            TransportError: if the service did not take it, or did not say so.
        """
        call = self._calls.submit
        if call is None:
            raise UsageError(f"The dialect {self.dialect.name} does not say how to submit a job.")
        body = self.dialect.write_job(program_id, inputs or {}, options or {})
        data = encode_tagged(body, self.tags).encode()
        missing = RuntimeProgramNotFoundError
        request = Request(call.method, call.path, data, submits=True, not_found=missing)
        return self._submitted_id(request, self._object(request))

    def _submitted_id(self, request: Request, answer: Mapping[str, Any]) -> str:
        job_id = Place.of(self.dialect.submitted_id).find(answer)
        if not isinstance(job_id, str):
            kind = "nothing" if job_id is None else f"one {type(job_id).__name__}"
            raise self._no_id(request, f"expected a text, got {kind}")
        try:
            self.dialect.checked_id(job_id)
        except UsageError as error:
            # Services repeat what they were sent, and the traceback shows the cause as it is.
            told = self.access.hidden(job_id) != job_id
            what = "it holds the access token" if told else str(error)
            raise self._no_id(request, what) from None if told else error
        return job_id

    def _no_id(self, request: Request, what: str) -> TransportError:
        where = self.dialect.submitted_id
        failure = Failure(f"the answer has no id at $.{where}: {what}", False, True)
        return self._session.error(request, failure)

    def jobs_get(self, limit: int = 10, skip: int = 0) -> dict[str, Any]:
        """Give a page of the jobs, the newest first, as the service sends it.

        Raises:
            UsageError: if the dialect has no call for it.
        """
        call = self._calls.jobs
        if call is None:
            raise UsageError(f"The dialect {self.dialect.name} has no call for a list of jobs.")
        return self._object(Request(call.method, call.to(limit=limit, skip=skip)))
