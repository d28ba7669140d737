"""Values and texts of jobs, as they are shown on one line."""

from __future__ import annotations

import math
import reprlib
from typing import Any, TypeAlias

from adapters.services.dialect import LEGACY, Dialect
from runtime_core.events import UnknownStatusReported
from runtime_core.lifecycle import STATED
from runtime_core.states import JobState

Pairs: TypeAlias = list[tuple[str, str]]
"""A name, or nothing, and a value, each."""

_TEXT_LIMIT = 400


class _Brief(reprlib.Repr):
    """The repr of a value, shortened, with numbers that people can read."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = 6
        self.maxstring = self.maxother = 80

    def repr_float(self, x: float, _level: int) -> str:
        return f"{x:.6g}"

    def repr_instance(self, x: Any, level: int) -> str:
        return " ".join(super().repr_instance(x, level).split())  # arrays have line breaks


_BRIEF = _Brief()


def pairs(value: Any) -> Pairs:
    """Give what an interim result says, without its progress."""
    if not isinstance(value, dict):
        return [("", brief(value))]
    if not value:
        return [("", "{}")]
    steps = _steps(value)
    hidden = () if progress(value) is None else ("progress",) if steps is None else ("step", "of")
    said = [(printable(str(key)), brief(item)) for key, item in value.items() if key not in hidden]
    if steps is None:
        return said
    return [("step", f"{brief(steps[0])}/{brief(steps[1])}"), *said]


def progress(value: Any) -> float | None:
    """Give how far a job is by its own word, from 0 to 1; None if this says nothing of it.

    Its own word is a dict with a number ``progress`` from 0 to 1, or with the numbers ``step``
    and ``of``, where ``step`` is at most ``of``.
    """
    if not isinstance(value, dict):
        return None
    share = _number(value.get("progress"))
    if share is not None and 0 <= share <= 1:
        return float(share)
    steps = _steps(value)
    return None if steps is None else float(steps[0] / steps[1])


def word(state: JobState) -> str:
    """Give the word for a state."""
    return "failed" if state is JobState.ERROR else state.value


def status_word(status: str, dialect: Dialect = LEGACY) -> str:
    """Give the word for a status in a service's own word; that itself if we have none for it."""
    event = dialect.status_event({"status": status})
    return status if isinstance(event, UnknownStatusReported) else word(STATED[type(event)])


def standing(position: int) -> str:
    """Say which place in the queue a job has."""
    if position <= 1:
        return "next in line"
    last = {1: "st", 2: "nd", 3: "rd"}.get(position % 10, "th")
    return f"{position}{'th' if position % 100 in (11, 12, 13) else last} in line"


def _steps(value: dict[Any, Any]) -> tuple[float, float] | None:
    share = _number(value.get("progress"))
    if share is not None and 0 <= share <= 1:
        return None  # one word is enough
    step, of = _number(value.get("step")), _number(value.get("of"))
    if step is None or of is None or not 0 <= step <= of or not 0 < of < math.inf:
        return None
    return step, of


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def brief(value: Any) -> str:
    """Show a value in short."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int) and 10_000 <= abs(value) < 10**18:
        return f"{value:,}"
    if isinstance(value, str) and value and value.isprintable() and len(value) <= _TEXT_LIMIT:
        return value
    return _BRIEF.repr(value)


def printable(text: str) -> str:
    """Escape what a terminal might take for an order; lines and tabs stay."""
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else ascii(letter)[1:-1]
        for letter in text
    )
