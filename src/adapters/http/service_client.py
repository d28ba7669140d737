"""What every client of a service is made of: a session, and the calls that all dialects have."""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypedDict

from adapters.closing import Closing
from adapters.defaults import DEFAULT_STATUS_RATE, ENVIRONMENT
from adapters.http.access import ServiceAccess
from adapters.http.credentials import TokenProvider
from adapters.http.failures import Failure
from adapters.http.refusals import of_kind
from adapters.http.session import Answer, HttpSession, Request
from adapters.services.calls import Call, JobCalls
from adapters.services.dialect import Dialect
from adapters.tls import ClientCert, FilePath
from runtime_core.errors import (
    DecodeError,
    NotAuthorizedError,
    RuntimeJobNotFoundError,
    TransportError,
    UsageError,
)
from runtime_core.json_limits import DecodeLimits, parse_json
from runtime_core.tags import AnyTag
from runtime_core.value_path import shown


class NetworkArguments(TypedDict, total=False):
    """The named arguments of a client that are about the network, for whoever passes them on.

    `RuntimeClient` says what each is.
    """

    token_provider: TokenProvider | None
    connect_timeout: float
    read_timeout: float
    ca_certs: FilePath | None
    client_cert: ClientCert | None
    tls: ssl.SSLContext | None
    proxy: str | None
    max_answer_bytes: int
    pool_size: int


class ServiceClient(Closing):
    """Speaks with the service at `url` in its `dialect`; `RuntimeClient` says what the rest is."""

    dialect: Dialect
    """What the service speaks."""

    tags: Sequence[AnyTag] = ()
    """What inputs may hold beside the values that tagged JSON knows, for instance
    `adapters.qiskit.qiskit_tags()`. May be set."""

    status_requests_per_second: float = DEFAULT_STATUS_RATE
    """How often the service is asked for the state of jobs at most, for all that use this client;
    `math.inf` is no limit. May be set, and holds from the next request on."""

    _stacklevel: ClassVar[int] = 2
    """Where a warning of the constructor is about: how many calls above it."""

    def __init__(
        self,
        url: str,
        access_token: str | None = None,
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
        access = ServiceAccess.of(
            url,
            access_token,
            token_provider,
            ca_certs=ca_certs,
            client_cert=client_cert,
            tls=tls,
            proxy=proxy,
        )
        address = access.address
        if (access_token or token_provider) and not (address.is_tls or address.is_loopback):
            warnings.warn(
                f"The access token goes to {address.host}{access.via} without TLS: "
                "use https if it can.",
                stacklevel=self._stacklevel,
            )
        self._session = HttpSession(
            access,
            self._credentials,
            self.dialect.read_error,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            max_answer_bytes=max_answer_bytes,
            pool_size=pool_size,
        )

    def _credentials(self, access_token: str) -> Mapping[str, str]:
        """Give the headers that say who asks."""
        return self.dialect.request_headers(access_token)

    # ---- jobs ----------------------------------------------------------------------------------

    def job_get(self, job_id: str) -> dict[str, Any]:
        """Give what the service knows of a job."""
        return self._object(self._about(self._calls.status, job_id, RuntimeJobNotFoundError))

    def job_results(self, job_id: str) -> str:
        """Give the text of the result, not decoded; of a failed job, why it failed."""
        return self._text(self._about(self._calls.result, job_id))

    def job_logs(self, job_id: str) -> str:
        """Give what the job wrote to its log; empty if there is none."""
        if self._calls.logs is None:
            raise UsageError(f"The dialect {self.dialect.name} has no call for the log of a job.")
        try:
            return self._text(self._about(self._calls.logs, job_id))
        except TransportError as error:
            if error.status_code == 404:
                return ""
            raise

    def job_cancel(self, job_id: str) -> None:
        """Ask for the end of a job. A `TransportError` with status 409 says that it has ended."""
        self._send(self._about(self._calls.cancel, job_id, RuntimeJobNotFoundError))

    @property
    def _calls(self) -> JobCalls:
        if self.dialect.calls is None:
            raise UsageError(f"The dialect {self.dialect.name} does not say how to ask for jobs.")
        return self.dialect.calls

    def _about(
        self, call: Call, job_id: str, not_found: type[TransportError] = TransportError
    ) -> Request:
        path = call.to(id=self.dialect.checked_id(job_id))
        return Request(call.method, path, not_found=not_found)

    # ---- the session ---------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connections. May be repeated; requests under way end by themselves."""
        self._session.close()

    @property
    def url(self) -> str:
        """Where the service is."""
        return str(self._session.access.address)

    @property
    def access(self) -> ServiceAccess:
        """The way to the service, for the streams to share."""
        return self._session.access

    @property
    def tls(self) -> ssl.SSLContext | None:
        """How connections are secured, for the streams to share; None for plain http."""
        return self._session.access.tls

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    # ---- answers -------------------------------------------------------------------------------

    def _send(self, request: Request) -> Answer:
        """Do a request, whatever its answer is."""
        try:
            return self._session.send(request)
        except TransportError as error:
            refusal = self._refusal(request, error)
            if refusal is error:
                raise
            raise refusal from error.__cause__

    def _refusal(self, request: Request, error: TransportError) -> TransportError:
        """Give the error that says more than `error` of the same request, or itself."""
        match error.status_code:
            case 401 | 403:
                return of_kind(NotAuthorizedError, error)
            case 404:
                return of_kind(request.not_found, error)
        return error

    def _object(self, request: Request) -> dict[str, Any]:
        """Do a request whose answer is a JSON object."""
        return self._read_object(request, self._send(request))

    def _read_object(self, request: Request, answer: Answer) -> dict[str, Any]:
        """Read an answer that is a JSON object."""
        value = self._read_json(request, answer)
        if not isinstance(value, dict):
            raise self._other_json(request, answer, "a JSON object")
        return value

    def _read_json(self, request: Request, answer: Answer) -> object:
        """Read an answer that is JSON."""
        limits = DecodeLimits(max_text_bytes=self._session.max_answer_bytes)
        try:
            return parse_json(answer.body.decode("utf-8"), limits)
        except (ValueError, DecodeError) as error:
            what = f"the answer ({answer.content_type or 'of no type'}) is not JSON: {error}"
            raise self._not_promised(request, answer, what) from error

    def _other_json(self, request: Request, answer: Answer, wanted: str) -> TransportError:
        """Say that an answer is JSON, but not as wanted."""
        # Before it is shortened: half a token could not be found any more.
        hidden = Answer(answer.status, "", self.access.hidden(answer.body.decode()).encode())
        what = f"expected {wanted}, got {shown(self._read_json(request, hidden))}"
        return self._not_promised(request, answer, what)

    def _text(self, request: Request) -> str:
        """Do a request whose answer is a text."""
        answer = self._send(request)
        try:
            return answer.body.decode("utf-8")
        except UnicodeDecodeError as error:
            what = f"the answer is not UTF-8: {error}"
            raise self._not_promised(request, answer, what) from error

    def _not_promised(self, request: Request, answer: Answer, what: str) -> TransportError:
        return self._session.error(request, Failure(what, False, True), answer.status)
