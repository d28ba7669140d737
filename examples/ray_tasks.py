"""Primes, counted by tasks on all CPUs of a Ray cluster: a program that uses Ray inside.

    runtime-core run --ray http://127.0.0.1:8265 --num-cpus 0 examples/ray_tasks.py
    runtime-core run --ray http://127.0.0.1:8265 --num-cpus 0 examples/ray_tasks.py -i parts=100

The range up to `limit` is cut into `parts`, each a Ray task that wants a CPU of its own. As parts
come back the job publishes how far it is, and which worker did each (its node and process); the
result says how many primes there are, what each worker did, and how many parts ran at once on
average. The job itself only waits: `--num-cpus 0` leaves all CPUs to its tasks.

It needs Ray where it runs, as the workers of a Ray cluster have it, and by default takes some ten
seconds of a CPU. Where there is Ray but no cluster, as for ``python examples/ray_tasks.py``, Ray
starts one on this machine.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from importlib import import_module
from itertools import pairwise
from math import isqrt
from typing import Any, Protocol


class Messenger(Protocol):
    """What the service hands to a program to publish interim results with."""

    def publish(self, message: Any, final: bool = False) -> None:
        """Send one interim result."""


def main(
    backend: object,  # noqa: ARG001 - what every program is given; this one needs no backend
    user_messenger: Messenger,
    limit: int = 500_000_000,
    parts: int = 40,
) -> dict[str, Any]:
    """Count the primes below `limit`; publish each of the `parts` as it comes back."""
    ray = load_ray()
    ray.init()
    began = time.monotonic()
    primes = 0
    workers: dict[str, dict[str, float]] = {}
    for done, part in enumerate(in_parts(ray, limit, parts), 1):
        primes += part["primes"]
        worker = workers.setdefault(part["worker"], {"parts": 0, "seconds": 0.0})
        worker["parts"] += 1
        worker["seconds"] += part["seconds"]
        said = {"progress": done / parts, "primes": primes, "worker": part["worker"]}
        user_messenger.publish(said)
    elapsed = time.monotonic() - began
    return {
        "primes": primes,
        "below": limit,
        "cluster_cpus": ray.cluster_resources().get("CPU", 0.0),
        "seconds": elapsed,
        "parts_at_once": sum(worker["seconds"] for worker in workers.values()) / elapsed,
        "workers": workers,
    }


def load_ray() -> Any:
    """Import Ray; only now, so that who has none is told in a sentence."""
    try:
        return import_module("ray")
    except ModuleNotFoundError as error:
        raise RuntimeError(
            "This program spreads its work by Ray, and there is no Ray in the Python that runs it: "
            "run it on a Ray cluster, with `runtime-core run --ray URL`, or `pip install ray` here."
        ) from error


def in_parts(ray: Any, limit: int, parts: int) -> Iterator[dict[str, Any]]:
    """Have each part counted by a task, and give each as it is done, in any order."""
    task = ray.remote(counted)  # which reserves one CPU, unless it is told otherwise
    bounds = [limit * part // parts for part in range(parts + 1)]
    waiting = [task.remote(low, high) for low, high in pairwise(bounds)]
    while waiting:
        done, waiting = ray.wait(waiting)
        yield from ray.get(done)


def counted(low: int, high: int) -> dict[str, Any]:
    """Count the primes of a part, on a worker of the cluster; say which, and how long it took."""
    began = time.monotonic()
    primes = count_primes(low, high)
    node = load_ray().get_runtime_context().get_node_id()
    return {
        "primes": primes,
        "worker": f"{node[:8]}/{os.getpid()}",
        "seconds": time.monotonic() - began,
    }


def count_primes(low: int, high: int) -> int:
    """Count the primes from `low` to below `high`, by the sieve of Eratosthenes."""
    low = max(low, 2)
    if high <= low:
        return 0
    is_prime = bytearray(b"\1") * (high - low)
    for divisor in sieved(isqrt(high - 1) + 1):
        first = max(divisor * divisor, -(-low // divisor) * divisor)
        is_prime[first - low :: divisor] = bytes(len(range(first, high, divisor)))
    return sum(is_prime)


def sieved(limit: int) -> list[int]:
    """Give the primes below `limit`."""
    is_prime = bytearray(b"\1") * limit
    is_prime[:2] = bytes(min(limit, 2))
    for number in range(2, isqrt(limit) + 1):
        if is_prime[number]:
            is_prime[number * number :: number] = bytes(len(range(number * number, limit, number)))
    return [number for number in range(limit) if is_prime[number]]


class _Printer:
    def publish(self, message: Any, final: bool = False) -> None:  # noqa: ARG002
        print(message)


if __name__ == "__main__":
    print(main(None, _Printer()))
