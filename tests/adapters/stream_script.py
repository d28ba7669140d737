"""What a service sends on a stream, and what goes wrong with the connection."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TypeAlias

import attrs
import websocket_bytes
from websocket_bytes import frame

PING, PONG, CLOSE = 9, 10, 8

# ---- what is streamed --------------------------------------------------------------------------


@attrs.frozen
class Said:
    """What a service sends at a time: a message with its frames, or, without text, only frames."""

    at: float
    frames: bytes
    text: str | None = None


def says(at: float, text: str) -> Said:
    return Said(at, websocket_bytes.text(text), text)


def says_in_parts(at: float, *parts: bytes, between: bytes = b"") -> Said:
    """A message in so many fragments, with other frames between them."""
    frames = [
        frame(0 if number else 1, part, fin=number == len(parts) - 1)
        for number, part in enumerate(parts)
    ]
    return Said(at, between.join(frames), b"".join(parts).decode())


def pings(at: float, payload: bytes = b"") -> Said:
    return Said(at, frame(PING, payload))


# ---- what goes wrong ---------------------------------------------------------------------------


class Kind(Enum):
    """What becomes of a connection after so many bytes of the service."""

    RESET = "reset"
    HALF_CLOSE = "half-close"
    STALL = "stall"
    GARBAGE = "garbage"
    BROKEN_PIPE = "broken pipe"
    """Nothing can be written any more; all that the service says can still be read."""
    PAUSE = "pause"
    """What follows comes a little later, and in a read of its own."""
    BYTEWISE = "bytewise"
    """Every further byte in a read of its own."""


@attrs.frozen
class Fault:
    """What happens to a connection."""

    kind: Kind
    at: int = 0
    """After how many bytes."""


GARBAGE = b"\xff" * 40
"""Nowhere in a stream of frames with text is this right; the end of a header it is not, either."""
PAUSE = 0.01

Faults: TypeAlias = Callable[[int], Fault | None]
"""The fault of each connection, by its number."""


def first(fault: Fault) -> Faults:
    return lambda number: fault if number == 1 else None
