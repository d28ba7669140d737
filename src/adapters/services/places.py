"""Where in a service's document something stands: `failure.code`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import attrs

from runtime_core.value_path import shown

Where: TypeAlias = str | tuple[str, ...]
"""A place, its steps joined by dots; or several, of which the first that holds something counts."""


@attrs.frozen
class Place:
    """One place in nested objects."""

    steps: tuple[str, ...]
    """The keys that lead to it."""

    @classmethod
    def of(cls, text: str) -> Place:
        """Read a place as it is written, for instance ``failure.code``.

        Raises:
            ValueError: if a step is empty.
        """
        steps = tuple(text.split("."))
        if "" in steps:
            raise ValueError(f"a place is written as keys joined by dots, not as {text!r}")
        return cls(steps)

    def __str__(self) -> str:
        return ".".join(self.steps)

    def find(self, document: object) -> object:
        """Give what stands there; None if nothing does."""
        for step in self.steps:
            if not isinstance(document, Mapping):
                return None
            document = document.get(step)
        return document

    def missing(self, document: object, wanted: str) -> str:
        """Say that something else stands there than is wanted: where it was, and what there is."""
        path, around = "$", None
        for step in self.steps:
            if not isinstance(document, Mapping):
                if around is None:
                    path = f"$.{self}"
                else:
                    wanted = "an object"
                break
            path, around = f"{path}.{step}", document
            document = document.get(step)
        got = f"expected {wanted} at {path}, got {shown(document)}"
        return got if document is not None or around is None else f"{got}; there is {_keys(around)}"


@attrs.frozen
class Places:
    """Some places, of which the first that holds something counts."""

    places: tuple[Place, ...]
    """In their order."""

    @classmethod
    def of(cls, where: Where) -> Places:
        """Read places as they are written.

        Raises:
            ValueError: if a step is empty.
        """
        return cls(tuple(map(Place.of, (where,) if isinstance(where, str) else where)))

    def text(self, document: object) -> str | None:
        """Give the text that stands there; None if there is none, or an empty one."""
        found = self._find(document)
        return found if isinstance(found, str) else None

    def code(self, document: object) -> int | str | None:
        """Give the code that stands there, a number or a text; None if there is none."""
        found = self._find(document)
        return found if isinstance(found, int | str) and not isinstance(found, bool) else None

    def count(self, document: object) -> int | None:
        """Give the whole number from 1 on that stands there; None if there is none."""
        found = self.code(document)
        return found if isinstance(found, int) and found > 0 else None

    def seconds(self, document: object, unit: float) -> float | None:
        """Give the time that stands there in so many seconds each; None if there is none."""
        found = self._find(document)
        if isinstance(found, bool) or not isinstance(found, int | float):
            return None
        try:
            seconds = found * unit
        except OverflowError:
            return None
        return seconds if 0 <= seconds < float("inf") else None

    def _find(self, document: object) -> object:
        for place in self.places:
            if found := place.find(document):
                return found
        return None


def _keys(document: Mapping[object, object]) -> str:
    keys = [shown(key) for key in list(document)[:6]]
    return ", ".join(keys + ["..."] * (len(document) > len(keys))) or "nothing"
