"""A service that a test has for itself: it ends with the test, and so do its jobs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from adapters import RuntimeService
from adapters.local.process import LocalServiceProcess


class OwnService(RuntimeService):
    """A client of a service process, which knows it."""

    def __init__(self, process: LocalServiceProcess) -> None:
        super().__init__(process.url, process.access_token, resume="offset")
        self.process = process
        self.token = process.access_token


@contextmanager
def own_service(workers: int) -> Iterator[OwnService]:
    with LocalServiceProcess.start(workers) as process, OwnService(process) as service:
        yield service
