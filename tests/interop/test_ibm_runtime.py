"""qiskit-ibm-runtime 0.51, the successor of the original, against the current dialect.

Twice: against the contract, which says what the client needs and nothing more, and against our
local service.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from current_service import current_service
from theirs import Service, TheirClient, checks_of, their_client

from adapters import RuntimeService
from adapters.local.process import LocalServiceProcess

SCRIPT = "ibm_runtime.py"

PROGRAMS = {
    "echo": "return inputs",
    "talk": "print('a last word')",
    "fail": "print('a last word'); raise ValueError('the mirror cracked')",
    "sleep": "import time; time.sleep(60)",
    "long": "import time; time.sleep(60)",
}


@contextmanager
def local_service() -> Iterator[Service]:
    """Run ours, with the programs that the client's script needs."""
    # Jobs that sleep are left behind by some checks; the others must not wait for them.
    with LocalServiceProcess.start(8) as process:
        with RuntimeService(process.url, process.access_token) as uploading:
            for name, body in PROGRAMS.items():
                source = (
                    f"def main(backend, user_messenger, **inputs):\n{textwrap.indent(body, ' ')}"
                )
                limit = 1 if name == "long" else 60
                metadata = {"name": name, "description": name, "max_execution_time": limit}
                uploading.upload_program(source.encode(), metadata)
        yield process


@pytest.fixture(scope="module", params=[current_service, local_service], ids=["contract", "ours"])
def client(request: pytest.FixtureRequest) -> Iterator[TheirClient]:
    with (
        request.param() as service,
        their_client("INTEROP_PYTHON_IBM_RUNTIME", SCRIPT, service) as client,
    ):
        yield client


@pytest.mark.parametrize("name", checks_of(SCRIPT))
def test_their_client_works(client: TheirClient, name: str) -> None:
    client.check(name)
