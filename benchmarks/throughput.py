"""How many interim results a second one stream brings to a user's callback, decoded from JSON.

Ours is `RuntimeJob.stream_results` with the default decoder, and the same of `AsyncRuntimeJob`.
Beside them the original's, which is qiskit-ibmq-provider 0.20.2's in an environment of its own
(`make .venv-ibmq/.stamp`), and what one would write by hand: websocket-client, aiohttp and
websockets, each with `json.loads`. The service is a process of its own that writes frames made
beforehand; each client is one, too. They take turns, and ours is compared with another of the same
round. The CPU time says more than the rate where others use the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import attrs
from _tables import Summary, machine_line, print_table, summarize

HERE = Path(__file__).parent
SIZES = {"small": 200, "large": 1_000_000}
"""Bytes of a message."""

SLOW = ("original", "websocket-client")
CLIENTS = ("ours", "ours, asyncio", *SLOW, "aiohttp", "websockets")
COUNTS = {"small": (200_000, 20_000), "large": (600, 8)}
"""Messages of a stream, about a second's: of the quick clients, and of the slow."""

TARGETS = {"small": 10.0, "large": 50.0}
"""How many times the original's."""
AHEAD_OF = "aiohttp"
"""Whose rate of small messages ours is to exceed."""
BAND = ("aiohttp", "websockets")
"""In whose band, from a tenth to nine tenths of their runs, ours of large messages is to be."""


@attrs.frozen
class Measured:
    """What one client did with one size of messages."""

    client: str
    """Its name."""
    rate: Summary
    """Messages a second."""
    cpu: float
    """Microseconds of CPU time for a message, of all threads."""
    ratio: float
    """How many times as many ours were: the median over the rounds."""


@contextmanager
def service() -> Iterator[str]:
    """Run the service; give its port."""
    command = [sys.executable, str(HERE / "_stream_server.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def run(client: str, kind: str, port: str, original: Path) -> tuple[float, float]:
    """Read one stream; messages a second, and microseconds of CPU time for each."""
    count = COUNTS[kind][client in SLOW]
    python, environment = sys.executable, dict(os.environ)
    if client == "original":
        python = str(original)
        environment.pop("PYTHONPATH", None)
    command = [python, "-W", "ignore", str(HERE / "_stream_clients.py")]
    command += [client, port, f"{kind}-{count}", str(count)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    seconds, cpu_seconds = map(float, done.stdout.split())
    return (count - 1) / seconds, 1e6 * cpu_seconds / (count - 1)


def measure(kind: str, clients: Sequence[str], rounds: int, original: Path) -> list[Measured]:
    with service() as port:
        turns = [
            {client: run(client, kind, port, original) for client in clients} for _ in range(rounds)
        ]
    return [
        Measured(
            client,
            summarize([turn[client][0] for turn in turns]),
            statistics.median(turn[client][1] for turn in turns),
            statistics.median(turn["ours"][0] / turn[client][0] for turn in turns),
        )
        for client in clients
    ]


def verdicts(kind: str, measured: Mapping[str, Measured]) -> Iterator[str]:
    if "original" in measured:
        target = TARGETS[kind]
        yield worded(measured["original"].ratio >= target, f"{target:g} times the original's rate")
    if kind == "small":
        yield worded(measured[AHEAD_OF].ratio >= 1, f"ahead of {AHEAD_OF}")
        return
    low = min(measured[client].rate.low for client in BAND)
    high = max(measured[client].rate.high for client in BAND)
    words = f"within the band of {' and '.join(BAND)}, {low:,.0f} to {high:,.0f}"
    yield worded(measured["ours"].rate.median >= low, words)


def worded(is_met: bool, words: str) -> str:
    return f"{'met' if is_met else 'NOT MET'}: {words}"


def print_report(kind: str, results: Sequence[Measured]) -> None:
    size = SIZES[kind]
    print(f"\nMessages of {size:,} bytes")
    header = ["client", "messages/s", "spread", "MB/s", "CPU us each", "ours is"]
    rows = [
        [
            result.client,
            f"{result.rate.median:,.0f}",
            f"{result.rate.low:,.0f} .. {result.rate.high:,.0f}",
            f"{result.rate.median * size / 1e6:,.1f}",
            f"{result.cpu:,.1f}" if kind == "small" else f"{result.cpu:,.0f}",
            f"{result.ratio:.2f} x",
        ]
        for result in results
    ]
    print_table(header, rows)
    for line in verdicts(kind, {result.client: result for result in results}):
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description="How many messages a second a stream brings.")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each client (at least 2)")
    parser.add_argument("--size", choices=SIZES, action="append", help="by default both")
    parser.add_argument("--original", type=Path, default=HERE.parent / ".venv-ibmq/bin/python")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    if arguments.rounds < 2:
        parser.error("a median with a spread needs at least 2 rounds")
    has_original = arguments.original.exists()
    clients = [client for client in CLIENTS if client != "original" or has_original]
    results = {
        kind: measure(kind, clients, arguments.rounds, arguments.original)
        for kind in arguments.size or SIZES
    }
    if arguments.json:
        plain = {kind: [attrs.asdict(one) for one in found] for kind, found in results.items()}
        print(json.dumps({"machine": machine_line(), "rounds": arguments.rounds, **plain}))
        return
    print(machine_line())
    print(f"One stream into a callback, decoded from JSON: median of {arguments.rounds} rounds")
    if not has_original:
        print("The original is not measured: make .venv-ibmq/.stamp")
    for kind, found in results.items():
        print_report(kind, found)


if __name__ == "__main__":
    main()
