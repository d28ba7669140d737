"""The jobs on which transports are tried that run this machine's programs."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

from adapters.testing import TransportConformance

PROGRAM = Path(__file__).parent / "conformance_program.py"
"""What they run."""


class Started(TransportConformance):
    """The jobs; give `start`."""

    def start(self, **inputs: object) -> str:
        """Run the program with these inputs; give the job's id."""
        raise NotImplementedError

    def job_that_succeeds(self) -> tuple[str, str]:
        return self.start(result=[40, 2]), "[40,2]"

    def job_that_fails(self) -> tuple[str, str]:
        return self.start(reason="no luck today"), "no luck today"

    def job_that_hangs(self) -> str:
        return self.start(seconds=600)

    def job_that_publishes(self) -> tuple[str, Sequence[str], str]:
        published = [1, "two", {"three": 3}, None, 5.5]
        texts = ["1", '"two"', '{"three":3}', "null", "5.5"]
        return self.start(publish=published, result="end"), texts, '"end"'


def unused_port() -> int:
    """A port that nobody listens at just now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
