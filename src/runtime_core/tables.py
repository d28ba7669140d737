"""Tables in the form that the machine reads while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

State = TypeVar("State")
Signal = TypeVar("Signal")


def by_state(table: Mapping[tuple[State, Signal], State]) -> dict[State, dict[Signal, State]]:
    """The same table as one of rows: state, then signal -> the state that follows.

    Two look-ups by one key take half the time of one by a pair, which has to be made, hashed and
    compared.
    """
    rows: dict[State, dict[Signal, State]] = {}
    for (state, signal), target in table.items():
        rows.setdefault(state, {})[signal] = target
    return rows
