"""Where the streams of a service are and how they are opened: what a job streams with."""

from __future__ import annotations

import os
import ssl

import attrs

from adapters.http.address import ServiceAddress
from adapters.services.ibm_legacy import TOKEN_HEADER, TRAITS, stream_path
from adapters.transport import StreamEndpoint
from adapters.websocket.protocol import WebSocketProtocol
from adapters.websocket.stream import JobStream
from runtime_core.commands import OpenStream
from runtime_core.errors import UsageError
from runtime_core.traits import Resume, ServiceTraits

_SCHEMES = {"ws": "http", "wss": "https"}


class RuntimeWebsocketClient:
    """The streams of the runtime service at `url`.

    It holds no connection: a job opens its own, on the background loop. Thread-safe.

    Args:
        url: the service's; ``http://`` and ``https://`` mean ``ws://`` and ``wss://``.
        access_token: what the service wants to see in its token header.
        resume: what the service does on a reconnect. ``offset``: it takes ``?after=N``, as the
            local service does, and starts there. ``replay``: it starts at the first message each
            time. ``live``: it sends what is published from then on, so that a reconnect may have
            missed something, which is reported as a gap.
        streams_result: whether the service sends the final result as one more message, the last
            before the close. If so, the latest message is held back until it is known to be no
            such; None says so of ``live`` services, some of which do.
        ca_certs: a PEM file of the authorities to trust; None for the system's.
        tls: a TLS context to use as it is, instead of `ca_certs`.
        max_message_bytes: the limit of one message.

    Raises:
        ValueError: if `url` is not one of a service, or `resume` is none of the three.
        OSError: if `ca_certs` cannot be read.
    """

    def __init__(
        self,
        url: str,
        access_token: str,
        *,
        resume: str = "live",
        streams_result: bool | None = None,
        ca_certs: str | os.PathLike[str] | None = None,
        tls: ssl.SSLContext | None = None,
        max_message_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        scheme, separator, rest = url.partition("://")
        self._address = ServiceAddress.parse(_SCHEMES.get(scheme, scheme) + separator + rest)
        self._secret = access_token
        self._headers = ((TOKEN_HEADER, access_token),) if access_token else ()
        self._max_message_bytes = max_message_bytes
        try:
            kind = Resume(resume)
        except ValueError:
            known = ", ".join(repr(each.value) for each in Resume)
            raise ValueError(f"resume must be one of {known}, not {resume!r}") from None
        held = kind is Resume.LIVE if streams_result is None else streams_result
        self._traits = attrs.evolve(TRAITS, resume=kind, streams_result=held)
        self._tls = (tls or _context(ca_certs)) if self._address.is_tls else None

    @property
    def traits(self) -> ServiceTraits:
        """What the machine must know of a service with these streams."""
        return self._traits

    def stream(self, job_id: str, command: OpenStream) -> StreamEndpoint:
        """Say where the stream of a job is and how its bytes are read; does no I/O.

        Raises:
            UsageError: if the id of the job cannot be one.
        """
        address = self._address
        target = address.path + stream_path(job_id, self._traits.resume, command.after)
        try:
            websocket = WebSocketProtocol(
                address.netloc,
                target,
                self._headers,
                max_message_bytes=self._max_message_bytes,
            )
        except ValueError as error:
            raise UsageError(f"The stream of job {job_id} cannot be asked for: {error}") from error
        protocol = JobStream(command.connection, websocket, address.netloc, self._secret)
        return StreamEndpoint(address.host, address.port, self._tls, protocol)

    def __repr__(self) -> str:
        return (
            f"RuntimeWebsocketClient({str(self._address)!r}, resume={self._traits.resume.value!r})"
        )


def _context(ca_certs: str | os.PathLike[str] | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_certs)
