"""The transports of this project hold to the rules that others are held to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from conformance_jobs import PROGRAM, Started, unused_port
from own_service import OwnService, own_service
from scripted_server import ScriptedServer, answer

from adapters import ClientTransport, LocalRunner, RuntimeClient, RuntimeWebsocketClient, Transport
from adapters.testing import Patience

SERVICE: list[tuple[OwnService, str]] = []


@pytest.fixture(scope="module", autouse=True)
def service() -> Iterator[None]:
    with own_service(workers=2) as own:
        SERVICE.append((own, own.upload_program(PROGRAM)))
        yield
        SERVICE.clear()


class TestHttpAndWebsocket(Started):
    def setup_method(self) -> None:
        self.held = ExitStack()
        super().setup_method()

    def make_transport(self) -> Transport:
        own, _ = SERVICE[0]
        self.client = RuntimeClient(own.url, own.token, max_answer_bytes=100_000)
        streams = RuntimeWebsocketClient.of(self.client, resume="offset")
        return ClientTransport(self.client, streams, streams.traits)

    def teardown_method(self) -> None:
        super().teardown_method()
        self.client.close()
        self.held.close()

    def start(self, **inputs: object) -> str:
        own, program = SERVICE[0]
        return own.run(program, inputs=inputs).job_id()

    def job_with_large_result(self) -> str:
        return self.start(size=200_000)

    def ask_another(self, says: bytes) -> None:
        """Ask a server that says this."""
        server = self.held.enter_context(ScriptedServer(says))
        client = self.held.enter_context(RuntimeClient(server.url, "token"))
        self.transport = ClientTransport(client, None)

    def job_with_unknown_word(self) -> tuple[str, str]:
        self.ask_another(answer(body='{"id": "j1", "status": "Pondering"}'))
        return "j1", "Pondering"

    def job_of_busy_service(self) -> tuple[str, Patience]:
        self.ask_another(answer(429, Retry_After="7"))
        return "j1", 7.0

    def unreachable_transport(self) -> Transport:
        client = RuntimeClient(f"http://127.0.0.1:{unused_port()}", "token")
        return ClientTransport(client, None)


class TestLocalRunner(Started):
    def make_transport(self) -> Transport:
        self.runner = LocalRunner(workers=2)
        return self.runner

    def start(self, **inputs: object) -> str:
        return self.runner.submit(str(PROGRAM), inputs, {})
