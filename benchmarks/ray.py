"""How long after its end the result of a job on Ray is here, beside Ray's own client.

`make bench-ray` runs it on a head of its own. In each round the same program runs for each
contender, one after the other: it publishes the time now and then, and returns the time of its end,
by the clock that all processes share. What is measured is how old a time is when it is here: in
`result()`, or in the callback; for Ray's client when the log that it reads, or follows, has it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import attrs
from _tables import Summary, machine_line, print_table, summarize

from adapters import RuntimeService

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "ray"))
from ray_cluster import VARIABLE, RayHead, ray_head  # noqa: E402

PROGRAM = HERE / "_ray_program.py"
GOAL = 1 / 3
"""At most so much of the better of Ray's own ways."""

PEERS = {
    "Ray's client, a poll every 1 s": {"how": "poll", "interval": 1.0},  # as its documentation
    "Ray's client, a poll every 0.1 s": {"how": "poll", "interval": 0.1},
    "Ray's client, its log tail": {"how": "tail", "interval": 0.0},
}
OURS = "ours"


@attrs.define
class Measured:
    """What was measured of one contender, in seconds."""

    end: list[float] = attrs.Factory(list)
    """From the end of the program to its result."""
    publish: list[float] = attrs.Factory(list)
    """From a publish to its callback; empty where there is none."""


class Peer:
    """Ray's client, in a process of its environment."""

    def __init__(self, head: RayHead, folder: str) -> None:
        self._folder = folder
        # -P: beside the script stands this file, which would be taken for Ray.
        command = [os.environ[VARIABLE], "-P", str(HERE / "_ray_peer.py"), head.url, head.token]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, gaps: Sequence[float], how: dict[str, object]) -> Measured:
        """Run a job."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"folder": self._folder, "gaps": gaps, **how}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return Measured(
            **{
                name: [value] if name == "end" else value
                for name, value in json.loads(self._process.stdout.readline()).items()
            }
        )

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@contextmanager
def ray_peer(head: RayHead) -> Iterator[Peer]:
    """A peer that ships the program as a folder, which is how Ray's client does it."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(PROGRAM, folder)
        peer = Peer(head, folder)
        try:
            yield peer
        finally:
            peer.close()


def run_ours(service: RuntimeService, program_id: str, gaps: Sequence[float]) -> Measured:
    """Run a job."""
    delays: list[float] = []

    def callback(_job_id: str, published: float) -> None:
        delays.append(time.monotonic() - published)

    job = service.run(program_id, inputs={"gaps": list(gaps)}, callback=callback)
    ended = job.result(timeout=120)
    return Measured([time.monotonic() - ended], delays)


def measure(rounds: int) -> dict[str, Measured]:
    """Run all contenders in turn, so many times, after a round that does not count."""
    totals = {name: Measured() for name in [*PEERS, OURS]}
    chance = random.Random(7)
    with (
        ray_head() as head,
        ray_peer(head) as peer,
        RuntimeService.ray(head.url, head.token) as service,
    ):
        program_id = service.upload_program(PROGRAM)
        for number in range(rounds + 1):
            # By chance, so that nobody's polls keep step with the program.
            gaps = [chance.uniform(0.1, 0.5) for _ in range(6)]
            names = list(totals)
            for name in names[number % len(names) :] + names[: number % len(names)]:
                if name == OURS:
                    found = run_ours(service, program_id, gaps)
                else:
                    found = peer.run(gaps, PEERS[name])
                if number > 0:
                    totals[name].end += found.end
                    totals[name].publish += found.publish
    return totals


def shown(summary: Summary | None) -> str:
    """Give a time with its spread, in milliseconds."""
    if summary is None:
        return "-"
    return f"{summary.median * 1e3:.0f} ({summary.low * 1e3:.0f} to {summary.high * 1e3:.0f})"


def report(totals: dict[str, Measured]) -> None:
    """Print the table, and how the ratios stand to the goal."""
    ends = {name: summarize(found.end) for name, found in totals.items()}
    publishes = {name: summarize(found.publish) for name, found in totals.items() if found.publish}
    print_table(
        ["ms, median (tenth to nine tenths)", "end to result", "publish to callback"],
        [[name, shown(ends[name]), shown(publishes.get(name))] for name in totals],
    )
    print()
    documented, quickest, tail = PEERS
    for what, ours, theirs, name in (
        ("end to result", ends[OURS], ends[documented], documented),
        ("end to result", ends[OURS], ends[quickest], quickest),
        ("end to result", ends[OURS], ends[tail], tail),
        ("publish to callback", publishes[OURS], publishes[tail], tail),
    ):
        ratio = ours.median / theirs.median
        said = "met" if ratio <= GOAL else "missed"
        print(f"{what}: {ratio:.3f} of {name} (goal: at most {GOAL:.3f}, {said})")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="rounds that count")
    options = parser.parse_args()
    if VARIABLE not in os.environ:
        parser.error(f"it needs an environment with Ray, which {VARIABLE} names: make bench-ray")
    print(f"{machine_line()}; {options.rounds} rounds")
    report(measure(options.rounds))


if __name__ == "__main__":
    main()
