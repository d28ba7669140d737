"""The worker's side of the protocol: JSON lines, a measurement asked for in each, answered in each.

    -> (at the start)                          <- {"hello": NAME, "versions": {...}}
    -> {"measure": SCENARIO, "args": {...}}    <- {"progress": "got 3 of 50"}, as often as it likes
                                               <- {"value": 1.5, "unit": "ms", "details": {...}}
                                               or {"failed": "what was seen"}

Only the standard library is needed: a worker is run by the Python of its contender's environment.
Nothing but the protocol gets to stdout: what is printed there goes to stderr.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any

Measure = Callable[..., dict[str, Any]]
"""Takes the `args` by their names; gives the answer, as by `value`."""


def value(number: float, unit: str, **details: Any) -> dict[str, Any]:
    """An answer with a figure."""
    return {"value": number, "unit": unit, "details": details}


def failed(words: str) -> dict[str, Any]:
    """An answer that says what was seen instead of a figure."""
    return {"failed": words}


def versions(distributions: Sequence[str]) -> dict[str, str]:
    """The versions of Python and of distributions, as they are installed."""
    found = {"python": platform.python_version()}
    for name in distributions:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


_answers = os.fdopen(os.dup(1), "w", encoding="utf-8")


def progress(words: str) -> None:
    """Say how far a measurement is: quoted if it is stopped before its end."""
    _say({"progress": words})


def _say(answer: dict[str, Any]) -> None:
    _answers.write(json.dumps(answer) + "\n")
    _answers.flush()


def serve(name: str, measures: Mapping[str, Measure], distributions: Sequence[str] = ()) -> None:
    """Answer until stdin ends, and end the process, whatever threads there are left.

    Args:
        name: the contender's.
        measures: what it can do, by the names of scenarios.
        distributions: whose versions belong in the report.
    """
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    _say({"hello": name, "versions": versions(distributions)})
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = measures[asked["measure"]](**asked["args"])
        except Exception as error:
            traceback.print_exc()
            answer = failed(f"{type(error).__name__}: {error}")
        _say(answer)
    sys.stderr.flush()
    os._exit(0)
