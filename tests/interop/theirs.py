"""A client that runs in an environment of its own, and is told by name what to check."""

from __future__ import annotations

import ast
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

_CLIENTS = Path(__file__).parent / "clients"


class Service(Protocol):
    """Where a client is to go."""

    url: str
    access_token: str


class TheirClient:
    """A process of theirs that awaits the names of checks."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def check(self, name: str) -> None:
        """Have the check run; fail with its traceback if it fails."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(name + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the client's process has ended: what it wrote to stderr says why"
        error = json.loads(answer)["error"]
        assert error is None, error


def checks_of(script: str) -> list[str]:
    """Give the names of the checks in a client's script, which cannot be imported here."""
    tree = ast.parse((_CLIENTS / script).read_text(encoding="utf-8"))
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [name for name in names if name.startswith("check_")]


@contextmanager
def their_client(variable: str, script: str, service: Service) -> Iterator[TheirClient]:
    """Run a client's script with the Python that the environment variable `variable` names."""
    python = os.environ.get(variable)
    assert python, f"{variable} must name the Python to run {script} with: `make interop` does it"
    process = subprocess.Popen(
        [python, str(_CLIENTS / script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"INTEROP_URL": service.url, "INTEROP_TOKEN": service.access_token},
    )
    with process:
        try:
            yield TheirClient(process)
        except BaseException:
            process.kill()
            raise
