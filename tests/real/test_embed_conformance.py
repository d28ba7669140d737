"""A service that only a dialect describes is held to the rules of every transport."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from scripted_server import ScriptedServer, answer

from adapters import ClientTransport, DialectClient, Transport
from adapters.testing import Patience, TransportConformance

EMBED = Path(__file__).parents[2] / "examples" / "embed_sdk"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"conformance_{name}", EMBED / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ACME = load("sdk").ACME
RUNNING: list[Any] = []


@pytest.fixture(scope="module", autouse=True)
def service() -> Iterator[None]:
    with load("server").AcmeServer(startup=0.001) as server:
        RUNNING.append(server)
        yield
        RUNNING.clear()


class AcmeTransport(ClientTransport):
    """Closes its client: its connections are threads of the service, which is in this process."""

    def __init__(self, url: str, key: str) -> None:
        self.client = DialectClient(url, key, dialect=ACME, max_answer_bytes=5000)
        super().__init__(self.client)

    def close(self) -> None:
        self.client.close()


class TestDialect(TransportConformance):
    unknown_job = "T-000000000000"

    def make_transport(self) -> Transport:
        self.held = ExitStack()
        return AcmeTransport(RUNNING[0].url, RUNNING[0].key)

    def teardown_method(self) -> None:
        super().teardown_method()
        self.held.close()

    def start(self, kernel: str, **arguments: object) -> str:
        assert isinstance(self.transport, AcmeTransport)
        return self.transport.submit(kernel, arguments, {"expires_in": 60})

    def job_that_succeeds(self) -> tuple[str, str]:
        return self.start("primes", below=10), '{"below": 10, "count": 4}'

    def job_that_fails(self) -> tuple[str, str]:
        return self.start("solve", matrix=[[0]], right=[1]), "column 0"

    def job_that_hangs(self) -> str:
        return self.start("ticks", count=0, every=0.01)

    def job_with_large_result(self) -> str:
        return self.start("solve", matrix=[[1, 0], [0, 1]], right=[10**4000, 10**4000])

    def job_with_unknown_word(self) -> tuple[str, str]:
        assert isinstance(self.transport, AcmeTransport)
        return self.transport.submit("primes", {}, {"hold": True}), "HELD"

    def job_of_busy_service(self) -> tuple[str, Patience]:
        busy = answer(422, '{"error": {"code": "SLOW_DOWN", "wait_ms": 7000}}')
        server = self.held.enter_context(ScriptedServer(busy))
        self.transport = AcmeTransport(server.url, "key")
        return self.unknown_job, 7.0

    def unreachable_transport(self) -> Transport:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        return AcmeTransport(f"http://127.0.0.1:{port}", "key")
