"""What the log of a job on a Ray cluster says of the program: its interim results and its end."""

from __future__ import annotations

from typing import TypeAlias

import attrs


@attrs.frozen
class Published:
    """The program published an interim result."""

    index: int
    """How many it had published before."""
    text: str
    """The interim result, not decoded."""


@attrs.frozen
class Returned:
    """The program has ended with a result."""

    text: str
    """The result, not decoded."""


@attrs.frozen
class Raised:
    """The program has ended without a result."""

    reason: str
    """Why: a traceback, or a sentence."""


Outcome: TypeAlias = Returned | Raised
"""How a program ended."""

LogEvent: TypeAlias = Published | Returned | Raised
"""What is read from a log."""
