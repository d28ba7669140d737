"""The example that uses Ray, where there is none: what it counts, and what it says is missing."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from adapters import LocalRunner
from runtime_core import RuntimeJobFailureError

EXAMPLE = Path(__file__).parents[2] / "examples" / "ray_tasks.py"


def has_ray() -> bool:
    try:
        distribution("ray")  # and not the module: there are folders and a benchmark of that name
    except PackageNotFoundError:
        return False
    return True


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("example_ray_tasks", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class RayHere:
    """As much of Ray as the example uses, in this process; the last task is done first."""

    def __init__(self) -> None:
        self.tasks = 0

    def init(self) -> None:
        """There is nothing to connect to."""

    def remote(self, function: Callable[..., Any]) -> Any:
        return SimpleNamespace(remote=lambda *arguments: (function, arguments))

    def wait(self, waiting: list[Any]) -> tuple[list[Any], list[Any]]:
        return waiting[-1:], waiting[:-1]

    def get(self, done: list[Any]) -> list[Any]:
        self.tasks += len(done)
        return [function(*arguments) for function, arguments in done]

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0}

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(get_node_id=lambda: "0123456789abcdef")


class Heard(list[dict[str, Any]]):
    def publish(self, message: Any, final: bool = False) -> None:
        self.append(message)


def slowly(low: int, high: int) -> int:
    return sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(max(low, 2), high))


@pytest.mark.parametrize(
    ("low", "high"),
    [(0, 0), (0, 2), (0, 3), (2, 3), (3, 4), (4, 5), (5, 3), (9, 10), (0, 100), (90, 1000)],
)
def test_the_primes_of_a_part_are_counted(example: ModuleType, low: int, high: int) -> None:
    assert example.count_primes(low, high) == slowly(low, high)


@pytest.mark.parametrize("parts", [1, 7, 40])
def test_the_parts_come_together_in_whatever_order(
    example: ModuleType, monkeypatch: pytest.MonkeyPatch, parts: int
) -> None:
    ray = RayHere()
    monkeypatch.setitem(sys.modules, "ray", ray)
    heard = Heard()
    result = example.main(None, heard, limit=10_000, parts=parts)
    assert result["primes"] == 1229
    assert ray.tasks == len(heard) == parts
    assert [each["progress"] for each in heard] == [n / parts for n in range(1, parts + 1)]
    assert heard[-1]["primes"] == 1229
    [(worker, did)] = result["workers"].items()
    assert (worker, did["parts"]) == (f"01234567/{os.getpid()}", parts)
    assert {each["worker"] for each in heard} == {worker}
    assert result["cluster_cpus"] == 2.0


@pytest.mark.skipif(has_ray(), reason="there is Ray")
def test_where_there_is_no_ray_it_says_what_to_do() -> None:
    with LocalRunner() as runner, pytest.raises(RuntimeJobFailureError) as failed:
        runner.run(str(EXAMPLE)).result(timeout=60)
    last = (failed.value.reason or "").splitlines()[-1]
    assert last == (
        "RuntimeError: This program spreads its work by Ray, and there is no Ray in the Python "
        "that runs it: run it on a Ray cluster, with `runtime-core run --ray URL`, or `pip install "
        "ray` here."
    )
