"""qiskit-ibm-runtime 0.51, the successor of the original, against the current dialect."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from current_service import current_service
from theirs import TheirClient, checks_of, their_client

SCRIPT = "ibm_runtime.py"


@pytest.fixture(scope="module")
def client() -> Iterator[TheirClient]:
    with (
        current_service() as service,
        their_client("INTEROP_PYTHON_IBM_RUNTIME", SCRIPT, service) as client,
    ):
        yield client


@pytest.mark.parametrize("name", checks_of(SCRIPT))
def test_the_contract_is_enough(client: TheirClient, name: str) -> None:
    client.check(name)
