"""Starts the benchmarks' server, in a process of its own."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

from _runner import HERE


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """Start it, give its address, end it."""
    command = [sys.executable, str(HERE / "_server.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()
