"""Sampling that goes on until somebody has seen enough: a program that expects to be cancelled.

    python examples/cancelled.py
    runtime-core run examples/cancelled.py -i temperature=2.0

The first submits this program to the local service, cancels the job after its third interim result,
and shows what a cancelled job leaves. The second runs it until it is cancelled from elsewhere.

What is sampled is the energy of the square Ising lattice, in units of the coupling and per spin; at
the default temperature it is -1.1061 (Onsager's solution, for an infinite lattice). A service ends
a job with SIGTERM, and three seconds later with SIGKILL. This program takes the first for a wish:
it finishes the batch at hand and publishes its lattice, from which another job can go on.

It needs numpy.
"""

from __future__ import annotations

import math
import signal
import threading
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Messenger(Protocol):
    """What the service hands to a program to publish interim results with."""

    def publish(self, message: Any, final: bool = False) -> None:
        """Send one interim result."""


def main(
    backend: object,  # noqa: ARG001 - what every program is given; this one needs no backend
    user_messenger: Messenger,
    temperature: float = 2.5,
    size: int = 64,
    sweeps: int = 500,
    seed: int | None = None,
    lattice: NDArray[np.int8] | None = None,
) -> None:
    """Sample in batches of `sweeps` until SIGTERM; publish the mean energy after each batch.

    The first batch, in which a new lattice comes to equilibrium, does not count. A batch must take
    less time than there is between SIGTERM and SIGKILL.
    """
    if size < 2 or size % 2:
        raise ValueError(f"size must be even, so that the board has two colours, not {size}")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    random = np.random.default_rng(seed)
    if lattice is None:
        lattice = np.ones((size, size), np.int8)
        sample(lattice, temperature, sweeps, random)
    print(f"sampling {lattice.shape[0]} x {lattice.shape[1]} spins at temperature {temperature}")

    means: list[float] = []
    while not stop.is_set():
        means.append(sample(lattice, temperature, sweeps, random))
        user_messenger.publish({"batch": len(means), **summary(means)})
    print(f"asked to stop: {len(means)} batches are done")
    user_messenger.publish({"batches": len(means), **summary(means), "lattice": lattice})


def sample(
    lattice: NDArray[np.int8], temperature: float, sweeps: int, random: np.random.Generator
) -> float:
    """Sweep over the lattice, in place; give the mean energy per spin (Metropolis).

    Spins of one colour of the chess board have no bond with each other: half of the lattice is
    done at a time.
    """
    black = np.indices(lattice.shape).sum(axis=0) % 2 == 0
    energy = 0.0
    for _ in range(sweeps):
        for colour in (black, ~black):
            cost = 2.0 * lattice * neighbours(lattice)
            flips = colour & (random.random(lattice.shape) < np.exp(-cost / temperature))
            lattice[flips] *= -1
        energy -= float(np.mean(lattice * neighbours(lattice))) / 2.0
    return energy / sweeps


def neighbours(lattice: NDArray[np.int8]) -> NDArray[np.int8]:
    """Give the sum of each spin's four neighbours; the edges meet."""
    along_rows = np.roll(lattice, 1, axis=0) + np.roll(lattice, -1, axis=0)
    return along_rows + np.roll(lattice, 1, axis=1) + np.roll(lattice, -1, axis=1)


def summary(means: list[float]) -> dict[str, float]:
    """Give the mean of batches, and its standard error as soon as two batches tell of one."""
    mean = math.fsum(means) / len(means)
    if len(means) < 2:
        return {"energy": mean}
    spread = math.fsum((one - mean) ** 2 for one in means) / (len(means) - 1)
    return {"energy": mean, "uncertainty": math.sqrt(spread / len(means))}


def demonstrate() -> None:
    """Run this program as a job, cancel it after the third interim result, show what is left."""
    from adapters import RuntimeService
    from runtime_core import RuntimeJobCancelledError

    with RuntimeService.local() as service:
        job = service.run(service.upload_program(Path(__file__)))
        for number, interim in enumerate(job.interim_results(), start=1):
            if "lattice" in interim:
                print(f"its last word, with a lattice of magnetisation {interim['lattice'].mean()}")
            else:
                print(interim)
            if number == 3:
                print("cancelling")
                job.cancel()
        try:
            job.result()
        except RuntimeJobCancelledError as error:
            print(error)
        print(f"status {job.status().value}, outcome of the cancel: {job.cancel_outcome()}")
        print("its logs:")
        print(job.logs().rstrip())


if __name__ == "__main__":
    demonstrate()
