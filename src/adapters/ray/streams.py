"""Where the streams of jobs on a Ray cluster are, and how they are opened."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from adapters.http.access import ServiceAccess
from adapters.http.failures import status_failure, told_by
from adapters.http.one_line import shortened
from adapters.http.retry import http_date, retry_after_seconds
from adapters.ray.log_events import Outcome
from adapters.ray.log_routes import LogRoutes
from adapters.ray.log_stream import INTERVAL, RayLogStream
from adapters.services.ray_jobs import RAY, TRAITS
from adapters.transport import StreamEndpoint
from runtime_core.commands import OpenStream
from runtime_core.errors import (
    NotAuthorizedError,
    RuntimeJobNotFoundError,
    TransportError,
    UsageError,
)
from runtime_core.traits import ServiceTraits

if TYPE_CHECKING:
    from adapters.ray.client import RayClient

_UNAUTHORIZED: Final = frozenset({401, 403})


class RayStreams:
    """The streams of the jobs of one head.

    It holds no connection: a job opens its own, on the background loop. Thread-safe.

    Args:
        client: what the requests are made with: its address, token, TLS and proxy are used.
        on_outcome: gets the id of a job and what its program ended with, each time that a stream
            reads it. Called on the loop that all jobs share: it must return at once.
        routes: what is known of the head.

    Raises:
        UsageError: if the proxy speaks TLS.
    """

    def __init__(
        self,
        client: RayClient,
        on_outcome: Callable[[str, Outcome], object],
        routes: LogRoutes | None = None,
        *,
        interval: float = INTERVAL,
    ) -> None:
        access = client.access
        if access.proxy is not None and access.proxy.scheme == "https":
            raise UsageError(
                f"Streams cannot go by {access.proxy.url}, a proxy that speaks TLS itself: "
                "give one with http:// as proxy=, or None for none."
            )
        self._access = access
        self._on_outcome = on_outcome
        self._routes = LogRoutes() if routes is None else routes
        self._interval = interval

    def __repr__(self) -> str:
        return f"RayStreams({str(self._access.address)!r})"

    @property
    def traits(self) -> ServiceTraits:
        """What the machine must know of a service with these streams."""
        return TRAITS

    def stream(self, job_id: str, command: OpenStream) -> StreamEndpoint:
        """Say where the stream of a job is and how its bytes are read; does no I/O.

        Raises:
            UsageError: if the id of the job cannot be one.
        """
        access, address = self._access, self._access.address
        try:
            protocol = RayLogStream(
                command.connection,
                job_id,
                command.after,
                base=address.path,
                netloc=address.netloc,
                caller=_Caller(access),
                routes=self._routes,
                on_outcome=lambda outcome: self._on_outcome(job_id, outcome),
                interval=self._interval,
            )
        except ValueError as error:
            raise UsageError(f"The stream of job {job_id} cannot be asked for: {error}") from error
        prepare = access.credentials.prepare if access.credentials.are_renewed else None
        return StreamEndpoint(
            address.host, address.port, access.tls, protocol, prepare, access.proxy
        )


class _Caller:
    """Who asks for one stream: it knows which token it has sent."""

    def __init__(self, access: ServiceAccess) -> None:
        self._access = access
        self._sent = ""

    def headers(self) -> Sequence[tuple[str, str]]:
        self._sent = self._access.credentials.held
        return (("Authorization", f"Bearer {self._sent}"),) if self._sent else ()

    def refusal(self, status: int, headers: dict[str, str], body: bytes) -> TransportError:
        hide = self._access.hidden
        kind = headers.get("content-type", "")
        told = told_by(RAY.read_error, status, kind, body, hide)
        failure = status_failure(status, kind, headers.get("location"), body, hide, told)
        status = status if told is None else told.status
        if status == 401:
            self._access.credentials.refuse(self._sent)
        said = failure.what.rstrip(".")
        what = f"The stream from {self._access.address.netloc} {said}. {failure.advice}"
        return _error_type(status)(
            what.rstrip(),
            status,
            failure.retryable,
            _retry_after(headers),
            None if told is None else told.reason_code,
        )

    def hidden(self, text: str) -> str:
        return shortened(self._access.hidden(text))


def _error_type(status: int) -> type[TransportError]:
    if status in _UNAUTHORIZED:
        return NotAuthorizedError
    return RuntimeJobNotFoundError if status == 404 else TransportError


def _retry_after(headers: dict[str, str]) -> float | None:
    """The seconds that the head asked to wait; a date is compared with that of the answer."""
    sent = http_date(headers.get("date", ""))
    return retry_after_seconds(headers.get("retry-after"), math.inf if sent is None else sent)
