"""Where the streams of a service are and how they are opened: what a job streams with."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import attrs

from adapters.defaults import ENVIRONMENT
from adapters.http.access import ServiceAccess
from adapters.http.credentials import TokenProvider
from adapters.services.ibm_legacy import TOKEN_HEADER, TRAITS, stream_path
from adapters.tls import ClientCert, FilePath
from adapters.transport import StreamEndpoint
from adapters.websocket.protocol import WebSocketProtocol
from adapters.websocket.stream import JobStream
from runtime_core.commands import OpenStream
from runtime_core.errors import UsageError
from runtime_core.traits import Resume, ServiceTraits

if TYPE_CHECKING:
    from adapters.http.client import RuntimeClient

_SCHEMES = {"ws": "http", "wss": "https"}
_MAX_MESSAGE_BYTES = 64 * 1024 * 1024


class RuntimeWebsocketClient:
    """The streams of the runtime service at `url`.

    It holds no connection: a job opens its own, on the background loop. Thread-safe. `of` makes one
    that shares what a `RuntimeClient` was given.

    Args:
        url: the service's; ``http://`` and ``https://`` mean ``ws://`` and ``wss://``.
        access_token: what the service wants to see in its token header; an empty one is not sent.
            It may be left out if there is a `token_provider`.
        token_provider: gives a token that is good now. It is asked before the first connection, if
            there is no `access_token`, and before the one that follows a connection that was
            refused with 401: so at most once for each connection, and those are the further apart
            the more of them fail. What it raises is why there is no connection. It may block; it is
            called on a worker thread.
        resume: what the service does on a reconnect. ``offset``: it takes ``?after=N``, as the
            local service does, and starts there. ``replay``: it starts at the first message each
            time. ``live``: it sends what is published from then on, so that a reconnect may have
            missed something, which is reported as a gap.
        streams_result: whether the service sends the final result as one more message, the last
            before the close. If so, the latest message is held back until it is known to be no
            such; None says so of ``live`` services, some of which do.
        ca_certs: see `RuntimeClient`, as for the next three.
        client_cert: see there.
        tls: see there.
        proxy: see there. Streams always go through a tunnel (CONNECT), and not by a proxy that
            speaks TLS itself. ``ws`` and ``wss`` follow what the environment says of ``http`` and
            ``https``.
        max_message_bytes: the limit of one message.

    Raises:
        ValueError: if `url` is not one of a service, `resume` is none of the three, or another
            argument is as `RuntimeClient` refuses it.
        UsageError: if the proxy speaks TLS.
        OSError: if a certificate cannot be read.
    """

    def __init__(
        self,
        url: str,
        access_token: str | None = None,
        *,
        token_provider: TokenProvider | None = None,
        resume: str = "live",
        streams_result: bool | None = None,
        ca_certs: FilePath | None = None,
        client_cert: ClientCert | None = None,
        tls: ssl.SSLContext | None = None,
        proxy: str | None = ENVIRONMENT,
        max_message_bytes: int = _MAX_MESSAGE_BYTES,
    ) -> None:
        scheme, separator, rest = url.partition("://")
        access = ServiceAccess.of(
            _SCHEMES.get(scheme, scheme) + separator + rest,
            access_token,
            token_provider,
            ca_certs=ca_certs,
            client_cert=client_cert,
            tls=tls,
            proxy=proxy,
        )
        self._set_up(access, resume, streams_result, max_message_bytes)

    @classmethod
    def of(
        cls,
        client: RuntimeClient,
        *,
        resume: str = "live",
        streams_result: bool | None = None,
        max_message_bytes: int = _MAX_MESSAGE_BYTES,
    ) -> Self:
        """Give the streams of the service that `client` speaks with.

        They share its token, so that one that was renewed is known to both, its TLS and its proxy.

        Raises:
            ValueError: if `resume` is none of the three.
            UsageError: if the proxy speaks TLS.
        """
        made = cls.__new__(cls)
        made._set_up(client.access, resume, streams_result, max_message_bytes)  # noqa: SLF001 - ours
        return made

    def _set_up(
        self,
        access: ServiceAccess,
        resume: str,
        streams_result: bool | None,
        max_message_bytes: int,
    ) -> None:
        try:
            kind = Resume(resume)
        except ValueError:
            known = ", ".join(repr(each.value) for each in Resume)
            raise ValueError(f"resume must be one of {known}, not {resume!r}") from None
        if access.proxy is not None and access.proxy.scheme == "https":
            raise UsageError(
                f"Streams cannot go by {access.proxy.url}, a proxy that speaks TLS itself: "
                "give one with http:// as proxy=, or None for none."
            )
        held = kind is Resume.LIVE if streams_result is None else streams_result
        self._traits = attrs.evolve(TRAITS, resume=kind, streams_result=held)
        self._access = access
        self._max_message_bytes = max_message_bytes

    @property
    def traits(self) -> ServiceTraits:
        """What the machine must know of a service with these streams."""
        return self._traits

    def stream(self, job_id: str, command: OpenStream) -> StreamEndpoint:
        """Say where the stream of a job is and how its bytes are read; does no I/O.

        Raises:
            UsageError: if the id of the job cannot be one.
        """
        access, address = self._access, self._access.address
        target = address.path + stream_path(job_id, self._traits.resume, command.after)
        try:
            websocket = WebSocketProtocol(
                address.netloc, target, max_message_bytes=self._max_message_bytes
            )
        except ValueError as error:
            raise UsageError(f"The stream of job {job_id} cannot be asked for: {error}") from error
        protocol = JobStream(command.connection, websocket, address.netloc, _Caller(access))
        prepare = access.credentials.prepare if access.credentials.are_renewed else None
        return StreamEndpoint(
            address.host, address.port, access.tls, protocol, prepare, access.proxy
        )

    def __repr__(self) -> str:
        address, resume = str(self._access.address), self._traits.resume.value
        return f"RuntimeWebsocketClient({address!r}, resume={resume!r})"


class _Caller:
    """Who asks for one stream: an `Identity` that knows which token it has sent."""

    def __init__(self, access: ServiceAccess) -> None:
        self._access = access
        self._sent = ""

    def headers(self) -> Sequence[tuple[str, str]]:
        self._sent = self._access.credentials.held
        return ((TOKEN_HEADER, self._sent),) if self._sent else ()

    def refuse(self) -> None:
        self._access.credentials.refuse(self._sent)

    def hidden(self, text: str) -> str:
        return self._access.hidden(text)
