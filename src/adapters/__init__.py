"""What touches the world: transports, drivers, service dialects, and the jobs on top.

Start with `RuntimeService`: `RuntimeService.local()` runs programs on this machine,
`RuntimeService(url, access_token)` speaks with a service somewhere else. Its `run` gives a
`RuntimeJob`.
"""

from typing import TYPE_CHECKING

from adapters.async_job import AsyncInterimCallback, AsyncRuntimeJob
from adapters.async_service import AsyncRuntimeService
from adapters.backend import RuntimeBackend
from adapters.drivers.async_subscriber import AsyncInterimResults
from adapters.drivers.blocking import BlockingDriver
from adapters.drivers.inbox import Gap
from adapters.drivers.subscriber import InterimResults
from adapters.http.client import RuntimeClient
from adapters.http.current_client import CurrentRuntimeClient
from adapters.http.transport import ApiClient, ClientTransport, StreamClient, StreamSource
from adapters.job import InterimCallback, RuntimeJob
from adapters.parameters import ParameterNamespace
from adapters.run_options import RunOptions
from adapters.runtime_program import RuntimeProgram
from adapters.service import RuntimeService
from adapters.services.dialect import CURRENT, LEGACY, Dialect, StatusReader
from adapters.transport import StreamEndpoint, StreamProtocol, Transport
from adapters.websocket.client import RuntimeWebsocketClient

if TYPE_CHECKING:
    from adapters.local.process import LocalServiceProcess
    from adapters.local.service import LocalRuntimeService

__all__ = [
    "CURRENT",
    "LEGACY",
    "ApiClient",
    "AsyncInterimCallback",
    "AsyncInterimResults",
    "AsyncRuntimeJob",
    "AsyncRuntimeService",
    "BlockingDriver",
    "ClientTransport",
    "CurrentRuntimeClient",
    "Dialect",
    "Gap",
    "InterimCallback",
    "InterimResults",
    "LocalRuntimeService",
    "LocalServiceProcess",
    "ParameterNamespace",
    "RunOptions",
    "RuntimeBackend",
    "RuntimeClient",
    "RuntimeJob",
    "RuntimeProgram",
    "RuntimeService",
    "RuntimeWebsocketClient",
    "StatusReader",
    "StreamClient",
    "StreamEndpoint",
    "StreamProtocol",
    "StreamSource",
    "Transport",
]


def __getattr__(name: str) -> object:
    # Who speaks with a service somewhere else does not pay for the one on this machine.
    if name == "LocalRuntimeService":
        from adapters.local.service import LocalRuntimeService

        return LocalRuntimeService
    if name == "LocalServiceProcess":
        from adapters.local.process import LocalServiceProcess

        return LocalServiceProcess
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
