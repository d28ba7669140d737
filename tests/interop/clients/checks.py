"""Runs checks by name, for a test in another virtual environment: a line in, a line out.

Nothing but the standard library, and what Python 3.11 has: the clients' environments are theirs.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping


def serve(checks: Mapping[str, Callable[[], None]]) -> None:
    """Read names from stdin until it ends; answer each with ``{"error": null or a traceback}``."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the clients print is not an answer
    for line in sys.stdin:
        error = None
        try:
            checks[line.strip()]()
        except BaseException:
            error = traceback.format_exc()
        answers.write(json.dumps({"error": error}) + "\n")
        answers.flush()


def eventually(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Return when `condition` holds; fail if it does not within `seconds`.

    So long, as websocket-client may take ten seconds to see that another thread closed its socket.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to hold in time"
        time.sleep(0.02)


def refused(call: Callable[[], object], error: type[BaseException]) -> BaseException:
    """Give the error of type `error` that `call` raises; fail if it raises none."""
    try:
        call()
    except error as what:
        return what
    raise AssertionError(f"no {error.__name__} was raised")
