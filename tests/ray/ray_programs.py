"""How the tests here run programs, and for how long they wait."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conditions import eventually
from ray_cluster import RayHead

from adapters import RuntimeJob, RuntimeService
from adapters.job import InterimCallback

PATIENCE = 90.0
"""Seconds for what takes a few: each job waits for a CPU, and for new processes of Ray's."""


def start(
    service: RuntimeService,
    source: str,
    options: Mapping[str, Any] | None = None,
    callback: InterimCallback | None = None,
    **inputs: Any,
) -> RuntimeJob:
    """Run a program that is given as its text."""
    program = service.upload_program(textwrap.dedent(source))
    return service.run(program, options, inputs, callback)


def becomes(head: RayHead, job: RuntimeJob, word: str) -> bool:
    """Wait until Ray itself says this word for the state of a job."""
    return eventually(lambda: head.status(job.job_id()) == word, PATIENCE)


def is_running(pid: int) -> bool:
    """Say whether there is a process of this number that has not ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in ("Z", "X")
