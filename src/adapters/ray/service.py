"""`RayRuntimeService`: a Ray cluster as the service."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from typing import Any

from adapters.defaults import DEFAULT_STATUS_RATE, ENVIRONMENT
from adapters.http.credentials import TokenProvider
from adapters.job import InterimCallback, RuntimeJob
from adapters.parameters import ParameterNamespace
from adapters.ray.calls import RayCalls
from adapters.ray.client import RayClient
from adapters.ray.log_routes import LogRoutes
from adapters.ray.options import RayOptions
from adapters.ray.outcomes import Outcomes
from adapters.ray.programs import RayPrograms
from adapters.ray.streams import RayStreams
from adapters.ray.transport import RayTransport
from adapters.run_options import RunOptions
from adapters.service import RuntimeService, checked_rate
from adapters.tls import ClientCert, FilePath
from adapters.value_type import Value
from runtime_core.decoders import Decoder, DecoderRegistry
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
            token,
            token_provider=token_provider,
            ca_certs=ca_certs,
            client_cert=client_cert,
            tls=tls,
            proxy=proxy,
        )
        client.status_requests_per_second = rate
        if tags:
            client.tags = tags
        outcomes, routes, programs = Outcomes(), LogRoutes(), RayPrograms(client)
        streams = RayStreams(client, outcomes.put, routes)
        transport = RayTransport(client, streams, programs, outcomes, routes=routes)
        calls = RayCalls(client, transport)
        self._set_up(transport, calls, programs, decoders, on_unknown_status, observer)

    def run(
        self,
        program_id: str,
        options: RayOptions | RunOptions | Mapping[str, Any] | None = None,
        inputs: Mapping[str, Any] | ParameterNamespace | None = None,
        callback: InterimCallback | None = None,
        result_decoder: Decoder[Value] | None = None,
        image: str = "",
    ) -> RuntimeJob[Value]:
        """Submit a job. If it is not known whether it has arrived, it is sent again, and runs once.

        Args:
            program_id: a program that was uploaded with this object.
            options: see `RayOptions`; a dict of its fields, or one of it.
            inputs: what the program's `main` gets as keyword arguments.
            callback: gets the interim results: job id and decoded interim result.
            result_decoder: decodes the job's results; None for `ResultDecoder`.
            image: refused, as a cluster has none.

        Raises:
            OptionsError: if there is an unknown option, or one has a wrong value.
            InputsError: if the inputs do not fit the program's parameters.
            UsageError: if `result_decoder` is no decoder, or program and inputs are too large.
            EncodeError: if the inputs cannot be written as tagged JSON.
            RuntimeProgramNotFoundError: if this object has no such program: upload it first.
            TransportError: if the head did not take the job, or did not say so.
        """
        given = self._submitted(program_id, options, inputs, result_decoder, image)
        return self._make_job(given, callback)

    def __repr__(self) -> str:
        return f"<RayRuntimeService {self.url}>"
