"""A calculation that diverges, as they do: a program for the local service that fails.

    runtime-core run examples/fails.py
    runtime-core run examples/fails.py -i time_step=0.5

A rod with a hot spot cools by the heat equation, in explicit steps. Beyond a `time_step` of a half
(in units of the grid's spacing squared over the diffusivity) these are unstable: ripples grow until
they overflow. The job publishes how that comes, then fails; its reason is the traceback, with the
cause and what to do. The second command has a time step that works.

It needs numpy. Without any service: ``python examples/fails.py``.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Messenger(Protocol):
    """What the service hands to a program to publish interim results with."""

    def publish(self, message: Any, final: bool = False) -> None:
        """Send one interim result."""


class DivergedError(ArithmeticError):
    """The temperatures have left what numbers can hold."""


def main(
    backend: object,  # noqa: ARG001 - what every program is given; this one needs no backend
    user_messenger: Messenger,
    time_step: float = 0.53,
    steps: int = 1000,
    points: int = 101,
) -> dict[str, Any]:
    """Cool the rod; publish its lowest and highest temperature twenty times."""
    print(f"cooling a rod of {points} points in {steps} steps of {time_step}")
    places = np.linspace(-1.0, 1.0, points, dtype=np.float32)
    rod: NDArray[np.float32] = np.float32(100.0) * np.exp(-((places / 0.2) ** 2))
    rod[[0, -1]] = 0.0
    warmth = float(rod.sum())
    for step in range(1, steps + 1):
        try:
            rod = cooled(rod, time_step)
        except FloatingPointError as error:
            raise DivergedError(
                f"the temperatures have diverged in step {step}: a time step of {time_step} is "
                "unstable, take 0.5 or less"
            ) from error
        if step % max(1, steps // 20) == 0:
            extremes = {"coldest": float(rod.min()), "hottest": float(rod.max())}
            user_messenger.publish({"step": step, "of": steps, **extremes})
    return {"temperatures": rod, "lost": 1.0 - float(rod.sum()) / warmth}


def cooled(rod: NDArray[np.float32], time_step: float) -> NDArray[np.float32]:
    """Give the temperatures a time step later; the ends are kept at 0."""
    later = rod.copy()
    with np.errstate(over="raise", invalid="raise"):
        later[1:-1] += time_step * (rod[:-2] - 2.0 * rod[1:-1] + rod[2:])
    return later


class _Printer:
    def publish(self, message: Any, final: bool = False) -> None:  # noqa: ARG002
        print(message)


if __name__ == "__main__":
    print(main(None, _Printer()))
