"""The cluster that the tests here share, and what they share of the tests of other services."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ray_cluster import RayHead, ray_head
from service_stories import Gate, fill

from adapters import RuntimeService


@pytest.fixture(scope="session")
def head() -> Iterator[RayHead]:
    """A head with 2 CPUs."""
    with ray_head() as head:
        yield head


@pytest.fixture(scope="session")
def ray(head: RayHead) -> Iterator[RuntimeService]:
    """The service that it is, with the programs of the stories."""
    with RuntimeService.ray(head.url, head.token) as service:
        yield fill(service)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """Lets `gated` go on; at the end all of it, or a test that fails would leave CPUs reserved."""
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.open(1000)
