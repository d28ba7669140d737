"""Completes the ids of jobs, for the shell: quickly, without a service, and without a word."""

from __future__ import annotations

import argparse
import contextlib

_NEWEST = """
SELECT id, program, status FROM jobs WHERE substr(id, 1, length(:prefix)) = :prefix
ORDER BY key DESC LIMIT 20
"""


def complete_job_ids(prefix: str, parsed_args: argparse.Namespace, **_: object) -> dict[str, str]:
    """Give the newest jobs of that prefix in the store of this machine, each with what it is.

    It reads the file of the store. Whatever goes wrong, the shell completes nothing: there is no
    place on a half-written line for a sentence.
    """
    if any(getattr(parsed_args, name, None) is not None for name in ("url", "ray", "transport")):
        return {}
    try:
        import sqlite3

        from adapters.cli.text import status_word
        from adapters.local.directory import data_directory
        from adapters.local.store import DATABASE

        path = data_directory(getattr(parsed_args, "data", None)) / DATABASE
        # as_uri quotes what would be a parameter.
        store = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=0.2)
        with contextlib.closing(store):
            rows = store.execute(_NEWEST, {"prefix": prefix}).fetchall()
    except Exception:
        return {}
    return {job: f"{program}, {status_word(status)}" for job, program, status in rows}
