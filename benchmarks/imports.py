"""What an import costs, next to an interpreter that imports nothing.

Every run is a fresh interpreter. The cases take turns, and each is compared with the bare run of
its own round, so that a machine that is busy for a while slows them all alike.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

import attrs
from _tables import Summary, machine_line, print_table, summarize


@attrs.frozen
class Case:
    """Something that an interpreter does and then ends."""

    code: str
    """What it runs."""
    budget: float | None = None
    """How many milliseconds more than the bare interpreter it may take; None if it is not ours."""


@attrs.frozen
class Measured:
    """What a case took."""

    case: Case
    """What was measured."""
    total: Summary
    """Milliseconds from start to end of the process."""
    extra: Summary
    """Milliseconds more than the bare interpreter of the same round."""
    ratio: Summary
    """Times the bare interpreter of the same round."""
    modules: int
    """The modules loaded at its end."""


CASES = (
    Case("pass"),
    Case("import attrs, transitions"),
    Case("import runtime_core", budget=80),
    Case("import adapters", budget=200),
)


def interpreter(code: str) -> list[str]:
    # -I: neither the current folder nor the user's environment, only what is installed.
    return [sys.executable, "-I", "-c", code]


def milliseconds(case: Case) -> float:
    start = time.perf_counter()
    subprocess.run(interpreter(case.code), check=True)
    return (time.perf_counter() - start) * 1000


def modules(case: Case) -> int:
    code = f"{case.code}\nimport sys\nprint(len(sys.modules))"
    # Also the warm-up: it leaves the byte code and the files in their caches.
    return int(subprocess.run(interpreter(code), check=True, capture_output=True).stdout)


def measure(rounds: int) -> list[Measured]:
    counts = [modules(case) for case in CASES]
    times = [[milliseconds(case) for case in CASES] for _ in range(rounds)]
    return [
        Measured(
            case,
            total=summarize([row[i] for row in times]),
            extra=summarize([row[i] - row[0] for row in times]),
            ratio=summarize([row[i] / row[0] for row in times]),
            modules=counts[i],
        )
        for i, case in enumerate(CASES)
    ]


def within(measured: Measured) -> bool | None:
    budget = measured.case.budget
    return None if budget is None else measured.extra.median <= budget


def print_report(results: list[Measured], rounds: int) -> None:
    print(f"Imports in a fresh interpreter: median of {rounds} runs (tenth .. nine tenths)")
    print(machine_line())
    header = ["python -c", "ms", "spread", "x bare", "ms more", "budget", "within", "modules"]
    verdicts = {None: "", True: "yes", False: "NO"}
    rows = [
        [
            result.case.code,
            f"{result.total.median:.1f}",
            f"{result.total.low:.1f} .. {result.total.high:.1f}",
            f"{result.ratio.median:.2f}",
            f"{result.extra.median:.1f}",
            "" if result.case.budget is None else f"{result.case.budget:.0f}",
            verdicts[within(result)],
            str(result.modules),
        ]
        for result in results
    ]
    print_table(header, rows)


def print_json(results: list[Measured], rounds: int) -> None:
    cases = [attrs.asdict(result) | {"within_budget": within(result)} for result in results]
    print(json.dumps({"machine": machine_line(), "rounds": rounds, "cases": cases}, indent=2))


def main() -> None:
    parser = argparse.ArgumentParser(description="What an import costs.")
    parser.add_argument("--rounds", type=int, default=20, help="runs of each case (at least 2)")
    parser.add_argument("--json", action="store_true", help="print JSON (times in milliseconds)")
    arguments = parser.parse_args()
    if arguments.rounds < 2:
        parser.error("a median with a spread needs at least 2 rounds")
    results = measure(arguments.rounds)
    if arguments.json:
        print_json(results, arguments.rounds)
    else:
        print_report(results, arguments.rounds)


if __name__ == "__main__":
    main()
