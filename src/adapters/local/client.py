"""The client of a service on this machine, which knows when that has ended for good."""

from __future__ import annotations

from adapters.http.client import RuntimeClient
from adapters.http.session import Answer, Request
from adapters.local.process import LocalServiceProcess
from runtime_core.errors import TransportError


class LocalClient(RuntimeClient):
    """A `RuntimeClient` that does not take a service that is gone for one that may come back."""

    def __init__(self, process: LocalServiceProcess) -> None:
        super().__init__(process.url, process.access_token)
        self._process = process

    def _send(self, request: Request) -> Answer:
        try:
            return super()._send(request)
        except TransportError as error:
            if not self._process.has_ended:
                raise
            raise TransportError(
                "The local service has ended, and its jobs with it: start one with "
                "RuntimeService.local() and submit them again."
            ) from error
