"""The transport of a real cluster is held to the rules of every transport."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from conformance_jobs import PROGRAM, Started, unused_port
from ray_cluster import RayHead
from ray_programs import PATIENCE
from scripted_server import ScriptedServer, answer

from adapters import RuntimeService, Transport
from adapters.ray.client import RayClient
from adapters.ray.outcomes import Outcomes
from adapters.ray.programs import RayPrograms
from adapters.ray.streams import RayStreams
from adapters.ray.transport import RayTransport
from adapters.testing import Patience

CLUSTER: list[tuple[RayHead, RuntimeService, str]] = []


@pytest.fixture(scope="module", autouse=True)
def cluster(head: RayHead, ray: RuntimeService) -> Iterator[None]:
    CLUSTER.append((head, ray, ray.upload_program(PROGRAM)))
    yield
    CLUSTER.clear()


class ClosingTransport(RayTransport):
    """Closes its client, as a service does."""

    def __init__(self, client: RayClient) -> None:
        outcomes = Outcomes()
        streams = RayStreams(client, outcomes.put)
        super().__init__(client, streams, RayPrograms(client), outcomes)
        self.client = client

    def close(self) -> None:
        self.client.close()


class TestRayTransport(Started):
    patience = PATIENCE
    pause = 0.1

    def setup_method(self) -> None:
        self.held = ExitStack()
        super().setup_method()

    def make_transport(self) -> Transport:
        head, _, _ = CLUSTER[0]
        return ClosingTransport(RayClient(head.url, head.token))

    def teardown_method(self) -> None:
        super().teardown_method()
        self.held.close()

    def start(self, **inputs: object) -> str:
        # By another service: the transport knows nothing of the job but its id.
        _, service, program = CLUSTER[0]
        return service.run(program, inputs=inputs).job_id()

    def job_with_large_result(self) -> str:
        head, _, _ = CLUSTER[0]
        client = RayClient(head.url, head.token, max_answer_bytes=100_000)
        self.transport = ClosingTransport(self.held.enter_context(client))
        return self.start(size=200_000)

    def ask_another(self, says: bytes) -> None:
        """Ask a server that says this."""
        server = self.held.enter_context(ScriptedServer(says))
        client = self.held.enter_context(RayClient(server.url, "token"))
        self.transport = ClosingTransport(client)

    def job_with_unknown_word(self) -> tuple[str, str]:
        self.ask_another(answer(body='{"submission_id": "j1", "status": "Pondering"}'))
        return "j1", "Pondering"

    def job_of_busy_service(self) -> tuple[str, Patience]:
        self.ask_another(answer(429, Retry_After="7"))
        return "j1", 7.0

    def unreachable_transport(self) -> Transport:
        return ClosingTransport(RayClient(f"http://127.0.0.1:{unused_port()}", "token"))
