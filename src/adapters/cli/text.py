"""Values and texts of jobs, as they are shown on one line."""

from __future__ import annotations

import reprlib
from typing import Any, TypeAlias

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
    done = progress(value) is not None
    return [
        (printable(str(key)), brief(item))
        for key, item in value.items()
        if not (done and key == "progress")
    ]


def progress(value: Any) -> float | None:
    """Give how far a job is by its own word, from 0 to 1; None if this says nothing of it."""
    share = value.get("progress") if isinstance(value, dict) else None
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        return None
    return float(share)


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
