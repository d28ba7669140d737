"""What touches the world: transports, drivers, service dialects, and the jobs on top.

Start with `RuntimeService`: `RuntimeService.local()` runs programs on this machine,
`RuntimeService.ray(url, token)` on a Ray cluster, `RuntimeService(url, access_token)` speaks with a
service somewhere else. Its `run` gives a `RuntimeJob`.

Each module logs under its own name, for instance ``adapters.drivers.job_runner``; nothing of it is
seen before the program sets `logging` up. A WARNING is what is tried again, or was lost, an ERROR
an exception of code that was handed in (a callback, an observer) or a mistake of ours, an INFO how
a busy service is asked. Lines hold no access token. The steps of a job are not logged: an
`observer` sees them, a `JournalFile` for instance.
"""

import logging
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapters.async_job import AsyncInterimCallback, AsyncRuntimeJob
    from adapters.async_service import AsyncRuntimeService
    from adapters.async_transport_service import AsyncTransportService
    from adapters.backend import RuntimeBackend
    from adapters.callback_threads import set_callback_threads
    from adapters.drivers.async_subscriber import AsyncInterimResults
    from adapters.drivers.blocking import BlockingDriver
    from adapters.drivers.inbox import Gap
    from adapters.drivers.subscriber import InterimResults
    from adapters.http.client import RuntimeClient
    from adapters.http.credentials import TokenProvider
    from adapters.http.current_client import CurrentRuntimeClient
    from adapters.http.dialect_client import DialectClient
    from adapters.http.transport import ApiClient, ClientTransport, StreamClient, StreamSource
    from adapters.job import InterimCallback, RuntimeJob
    from adapters.journal_file import JournalFile
    from adapters.local.local_runner import LocalRunner
    from adapters.local.process import LocalServiceProcess
    from adapters.local.service import LocalRuntimeService
    from adapters.parameters import ParameterNamespace
    from adapters.proxy import Proxy
    from adapters.ray.options import RayOptions
    from adapters.ray.service import RayRuntimeService
    from adapters.run_options import RunOptions
    from adapters.runtime_program import RuntimeProgram
    from adapters.service import RuntimeService
    from adapters.services.calls import JobCalls, WriteJob
    from adapters.services.dialect import CURRENT, LEGACY, Dialect
    from adapters.services.error_codes import ErrorAnswer, ErrorReader, error_codes
    from adapters.services.job_lists import ListReader, listed
    from adapters.services.words import StatusReader, status_words
    from adapters.status_updates import StatusUpdate
    from adapters.transport import (
        AnyStream,
        AsyncTransport,
        HasFileno,
        JobListing,
        ListedPage,
        ServiceTransport,
        Stream,
        StreamEndpoint,
        StreamFile,
        StreamProtocol,
        SubmittingTransport,
        Transport,
    )
    from adapters.transport_service import TransportService
    from adapters.waiting import DoneAndNotDone, as_completed, wait
    from adapters.websocket.client import RuntimeWebsocketClient

__all__ = [
    "CURRENT",
    "LEGACY",
    "AnyStream",
    "ApiClient",
    "AsyncInterimCallback",
    "AsyncInterimResults",
    "AsyncRuntimeJob",
    "AsyncRuntimeService",
    "AsyncTransport",
    "AsyncTransportService",
    "BlockingDriver",
    "ClientTransport",
    "CurrentRuntimeClient",
    "Dialect",
    "DialectClient",
    "DoneAndNotDone",
    "ErrorAnswer",
    "ErrorReader",
    "Gap",
    "HasFileno",
    "InterimCallback",
    "InterimResults",
    "JobCalls",
    "JobListing",
    "JournalFile",
    "ListReader",
    "ListedPage",
    "LocalRunner",
    "LocalRuntimeService",
    "LocalServiceProcess",
    "ParameterNamespace",
    "Proxy",
    "RayOptions",
    "RayRuntimeService",
    "RunOptions",
    "RuntimeBackend",
    "RuntimeClient",
    "RuntimeJob",
    "RuntimeProgram",
    "RuntimeService",
    "RuntimeWebsocketClient",
    "ServiceTransport",
    "StatusReader",
    "StatusUpdate",
    "Stream",
    "StreamClient",
    "StreamEndpoint",
    "StreamFile",
    "StreamProtocol",
    "StreamSource",
    "SubmittingTransport",
    "TokenProvider",
    "Transport",
    "TransportService",
    "WriteJob",
    "as_completed",
    "error_codes",
    "listed",
    "set_callback_threads",
    "status_words",
    "wait",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())


# A program pays for the import of what it names, and of nothing else.
_AT_FIRST_USE = {
    "CURRENT": "adapters.services.dialect",
    "LEGACY": "adapters.services.dialect",
    "AnyStream": "adapters.transport",
    "ApiClient": "adapters.http.transport",
    "AsyncInterimCallback": "adapters.async_job",
    "AsyncInterimResults": "adapters.drivers.async_subscriber",
    "AsyncRuntimeJob": "adapters.async_job",
    "AsyncRuntimeService": "adapters.async_service",
    "AsyncTransport": "adapters.transport",
    "AsyncTransportService": "adapters.async_transport_service",
    "BlockingDriver": "adapters.drivers.blocking",
    "ClientTransport": "adapters.http.transport",
    "CurrentRuntimeClient": "adapters.http.current_client",
    "Dialect": "adapters.services.dialect",
    "DialectClient": "adapters.http.dialect_client",
    "DoneAndNotDone": "adapters.waiting",
    "ErrorAnswer": "adapters.services.error_codes",
    "ErrorReader": "adapters.services.error_codes",
    "Gap": "adapters.drivers.inbox",
    "HasFileno": "adapters.transport",
    "InterimCallback": "adapters.job",
    "InterimResults": "adapters.drivers.subscriber",
    "JobCalls": "adapters.services.calls",
    "JobListing": "adapters.transport",
    "JournalFile": "adapters.journal_file",
    "ListReader": "adapters.services.job_lists",
    "ListedPage": "adapters.transport",
    "LocalRunner": "adapters.local.local_runner",
    "LocalRuntimeService": "adapters.local.service",
    "LocalServiceProcess": "adapters.local.process",
    "ParameterNamespace": "adapters.parameters",
    "Proxy": "adapters.proxy",
    "RayOptions": "adapters.ray.options",
    "RayRuntimeService": "adapters.ray.service",
    "RunOptions": "adapters.run_options",
    "RuntimeBackend": "adapters.backend",
    "RuntimeClient": "adapters.http.client",
    "RuntimeJob": "adapters.job",
    "RuntimeProgram": "adapters.runtime_program",
    "RuntimeService": "adapters.service",
    "RuntimeWebsocketClient": "adapters.websocket.client",
    "ServiceTransport": "adapters.transport",
    "StatusReader": "adapters.services.words",
    "StatusUpdate": "adapters.status_updates",
    "Stream": "adapters.transport",
    "StreamClient": "adapters.http.transport",
    "StreamEndpoint": "adapters.transport",
    "StreamFile": "adapters.transport",
    "StreamProtocol": "adapters.transport",
    "StreamSource": "adapters.http.transport",
    "SubmittingTransport": "adapters.transport",
    "TokenProvider": "adapters.http.credentials",
    "Transport": "adapters.transport",
    "TransportService": "adapters.transport_service",
    "WriteJob": "adapters.services.calls",
    "as_completed": "adapters.waiting",
    "error_codes": "adapters.services.error_codes",
    "listed": "adapters.services.job_lists",
    "set_callback_threads": "adapters.callback_threads",
    "status_words": "adapters.services.words",
    "wait": "adapters.waiting",
}


def __getattr__(name: str) -> object:
    if name not in _AT_FIRST_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_AT_FIRST_USE[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
