"""This machine, as a backend."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from adapters.local.records import MAX_COST

PROGRAMS = (
    "a Python file",
    "a folder with a main module",
    "a module that the submitter's Python can import",
)
"""The kinds of programs that run here."""


def usable_cores() -> int:
    """Give how many cores this process may use: how many jobs run at a time by default."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe_backend(name: str, workers: int) -> dict[str, Any]:
    """Give the document of this machine, see `BackendDocument`; any name means it."""
    try:
        ours = version("runtime-core")
    except PackageNotFoundError:
        ours = ""
    return {
        "name": name,
        "version": ours,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "workers": workers,
        "programs": PROGRAMS,
        "max_execution_time": MAX_COST,
    }
