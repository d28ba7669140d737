"""`RayRuntimeService`: a Ray cluster as the service."""

from __future__ import annotations

import ssl
from collections.abc import Sequence

from adapters.http.credentials import TokenProvider
from adapters.proxy import ENVIRONMENT
from adapters.ray.calls import RayCalls
from adapters.ray.client import RayClient
from adapters.ray.outcomes import Outcomes
from adapters.ray.programs import RayPrograms
from adapters.ray.streams import RayStreams
from adapters.ray.transport import RayTransport
from adapters.service import RuntimeService, checked_rate
from adapters.tls import ClientCert, FilePath
from adapters.transport import DEFAULT_STATUS_RATE
from runtime_core.decoders import DecoderRegistry
from runtime_core.observer import Observer
from runtime_core.states import JobState
from runtime_core.tags import AnyTag


class RayRuntimeService(RuntimeService):
    """A Ray cluster as the service; `RuntimeService.ray()` makes one and says how it behaves."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        token_provider: TokenProvider | None = None,
        decoders: DecoderRegistry | None = None,
        on_unknown_status: JobState | None = None,
        ca_certs: FilePath | None = None,
        client_cert: ClientCert | None = None,
        tls: ssl.SSLContext | None = None,
        proxy: str | None = ENVIRONMENT,
        tags: Sequence[AnyTag] = (),
        status_requests_per_second: float = DEFAULT_STATUS_RATE,
        observer: Observer | None = None,
    ) -> None:
        rate = checked_rate(status_requests_per_second)
        client = RayClient(
            url,
            # A head asks for no token unless it was started so.
            "" if token is None and token_provider is None else token,
            token_provider=token_provider,
            ca_certs=ca_certs,
            client_cert=client_cert,
            tls=tls,
            proxy=proxy,
        )
        client.status_requests_per_second = rate
        if tags:
            client.tags = tags
        outcomes, programs = Outcomes(), RayPrograms(client)
        transport = RayTransport(client, RayStreams(client, outcomes.put), programs, outcomes)
        calls = RayCalls(client, transport)
        self._set_up(transport, calls, programs, decoders, on_unknown_status, observer)

    def __repr__(self) -> str:
        return f"<RayRuntimeService {self.url}>"
