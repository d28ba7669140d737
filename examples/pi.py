"""An estimate of pi by throwing darts: a program for the local service.

    runtime-core run examples/pi.py -i samples=1000000 -i batches=5

Its inputs are `samples`, `batches` and `seed`; by default it takes two to three seconds. Without
any service: ``python examples/pi.py``.
"""

from __future__ import annotations

import math
import random
from typing import Any, Protocol


class Messenger(Protocol):
    """What the service hands to a program to publish interim results with."""

    def publish(self, message: Any, final: bool = False) -> None:
        """Send one interim result."""


def main(
    backend: object,  # noqa: ARG001 - what every program is given; this one needs no backend
    user_messenger: Messenger,
    samples: int = 20_000_000,
    batches: int = 20,
    seed: int | None = None,
) -> dict[str, float]:
    """Estimate pi from `samples` darts; publish how far it is after each of the `batches`."""
    generator = random.Random(seed)
    hits = thrown = 0
    interim: dict[str, float] = {}
    for batch in range(1, batches + 1):
        target = samples * batch // batches
        hits += count_hits(generator, target - thrown)
        thrown = target
        interim = estimate(hits, thrown) | {"progress": batch / batches}
        user_messenger.publish(interim)
    return interim


def count_hits(generator: random.Random, darts: int) -> int:
    """Throw darts at a square; count those inside the quarter of a circle."""
    throw = generator.random
    return sum(1 for _ in range(darts) if throw() ** 2 + throw() ** 2 <= 1.0)


def estimate(hits: int, thrown: int) -> dict[str, float]:
    """Give the estimate, and its standard error: each dart is a coin with two sides."""
    share = hits / thrown if thrown else 0.0
    error = 4.0 * math.sqrt(share * (1.0 - share) / thrown) if thrown else math.inf
    return {"estimate": 4.0 * share, "error": error, "samples": thrown}


class _Printer:
    def publish(self, message: Any, final: bool = False) -> None:  # noqa: ARG002
        print(message)


if __name__ == "__main__":
    print(main(None, _Printer()))
