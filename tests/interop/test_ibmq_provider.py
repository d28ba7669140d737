"""qiskit-ibmq-provider 0.20.2, the original of `RuntimeJob`, against our local service."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from theirs import TheirClient, checks_of, their_client

from adapters.local.process import LocalServiceProcess

SCRIPT = "ibmq_provider.py"


@pytest.fixture(scope="module")
def client() -> Iterator[TheirClient]:
    with (
        LocalServiceProcess.start(2) as service,
        their_client("INTEROP_PYTHON_IBMQ", SCRIPT, service) as client,
    ):
        yield client


@pytest.mark.parametrize("name", checks_of(SCRIPT))
def test_the_original(client: TheirClient, name: str) -> None:
    client.check(name)
