"""What waiting for many jobs costs.

100 threads in `result(wait=0.5)`, each for a job of its own that goes on, next to the original
(qiskit-ibmq-provider 0.20.2, in an environment of its own: `make .venv-ibmq/.stamp`), where each
thread polls for itself. Ours by polling, where the service has streams, and without the limit of 10
status requests a second, which is nearly as many requests as the original sends. Then 1,000 jobs in
one `wait()`: the thread that calls it, and those that all jobs of a process share.

The service is a process of its own, and so is each client, freshly started; they take turns. CPU is
the user and system time of the client's process once the first, more frequent polls are over.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
from _stub import call, raise_file_limit, stub
from _tables import Summary, machine_line, print_table, summarize

HERE = Path(__file__).parent
CPU_BOUND = 0.25
"""The part of the original's CPU that ours may take."""
THREADS_BOUND = 4
"""How many threads there may be beside those of the callers."""
TOGETHER = 1000
"""How many jobs one `wait()` waits for."""

NAMES = {
    "original": "original, a thread each in result()",
    "ours": "ours, a thread each in result()",
    "ours-streams": "the same, with streams",
    "ours-unlimited": "the same, polls not limited",
    "wait": f"wait() on {TOGETHER} jobs",
}


@attrs.frozen
class Scale:
    """How much is measured."""

    jobs: int
    """How many threads wait, for as many jobs."""
    seconds: int
    """How long is measured."""
    rounds: int
    """How often, each client in its turn."""


FULL = Scale(jobs=100, seconds=20, rounds=3)
QUICK = Scale(jobs=100, seconds=5, rounds=2)


@attrs.frozen
class Run:
    """What one client took in one run."""

    cpu: float
    """CPU seconds per second."""
    callers: int
    """How many threads waited."""
    threads: int
    """The most threads more than before, those that waited not counted."""
    asked: int
    """How many status requests it sent, from its start on."""
    listed: int
    """How many lists of jobs it asked for."""


def measure(kind: str, python: str, jobs: int, seconds: int) -> Run:
    with stub(jobs) as url:
        script = str(HERE / "_wait_clients.py")
        command = [python, script, kind, url, str(jobs), str(seconds)]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        counts = call(url, "/asked")
    return Run(**json.loads(done.stdout.splitlines()[-1]), **counts)


def compare(scale: Scale, original: Path) -> dict[str, list[Run]]:
    kinds = [kind for kind in NAMES if kind != "original" or original.exists()]
    runs: dict[str, list[Run]] = {kind: [] for kind in kinds}
    for _ in range(scale.rounds):
        for kind, done in runs.items():
            python = str(original) if kind == "original" else sys.executable
            jobs = TOGETHER if kind == "wait" else scale.jobs
            done.append(measure(kind, python, jobs, scale.seconds))
    return runs


def _summary(values: Sequence[float]) -> Summary:
    return summarize([*values, *values])  # one run has no spread


def _ratio(runs: Mapping[str, Sequence[Run]], kind: str) -> Summary | None:
    if kind == "original" or "original" not in runs:
        return None
    pairs = zip(runs[kind], runs["original"], strict=True)
    return _summary([ours.cpu / theirs.cpu for ours, theirs in pairs])


def row(kind: str, runs: Mapping[str, Sequence[Run]]) -> list[str]:
    done = runs[kind]
    cpu, ratio = _summary([run.cpu * 100 for run in done]), _ratio(runs, kind)
    return [
        NAMES[kind],
        f"{cpu.median:.1f} ({cpu.low:.1f} to {cpu.high:.1f})",
        "" if ratio is None else f"{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})",
        str(done[-1].callers),
        str(max(run.threads for run in done)),
        str(done[-1].asked),
        str(done[-1].listed),
    ]


def print_report(scale: Scale, runs: Mapping[str, Sequence[Run]]) -> None:
    print(machine_line())
    print(f"{scale.jobs} jobs that go on, {scale.seconds} s; median (10 % to 90 %)")
    header = ["", "% of a core", "x original", "waiting", "more threads", "polls", "lists"]
    print_table(header, [row(kind, runs) for kind in runs])
    bounded = {kind: _ratio(runs, kind) for kind in ("ours", "ours-streams")}
    if "original" not in runs:
        print("The original is not measured: make .venv-ibmq/.stamp")
    verdicts = {
        f"{NAMES[kind]} below {CPU_BOUND} of the original": ratio.median < CPU_BOUND
        for kind, ratio in bounded.items()
        if ratio is not None
    }
    few = all(run.threads <= THREADS_BOUND for kind in ("ours", "wait") for run in runs[kind])
    verdicts[f"at most {THREADS_BOUND} more threads"] = few
    verdicts["wait() takes one thread of the caller"] = all(r.callers == 1 for r in runs["wait"])
    print("\n".join(f"{what}: {'ok' if held else 'NO'}" for what, held in verdicts.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="measure less: for a first look")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--original", type=Path, default=HERE.parent / ".venv-ibmq/bin/python")
    options = parser.parse_args()
    scale = QUICK if options.quick else FULL
    raise_file_limit(2 * TOGETHER)
    runs = compare(scale, options.original)
    if options.json:
        plain = {kind: [attrs.asdict(run) for run in done] for kind, done in runs.items()}
        print(json.dumps({"machine": machine_line(), **plain}, indent=2))
    else:
        print_report(scale, runs)


if __name__ == "__main__":
    main()
