"""What decoding a result with one large array costs, next to the quickest way without limits.

The reference does the same with orjson, zlib and numpy: parse the text, undo base64 and zlib, load
the array. Ours does it with Python's own parser, behind limits on size, depth and memory. Both
decode the same texts in turns, and each turn's times are compared with each other; CPU time, so
that other work on the machine counts little. The peak is what Python and numpy allocate at once
while they decode, the text itself not counted.
"""

from __future__ import annotations

import argparse
import base64
import gc
import io
import json
import time
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import orjson
from _tables import Summary, machine_line, print_table, summarize
from numpy.typing import NDArray

from runtime_core import decode_tagged, encode_tagged

MOST_TIME = 1.2
MOST_MEMORY = 3.2

_ITEMS = 6_250_000  # of 8 bytes: 50 MB


def noise() -> NDArray[Any]:
    return np.random.default_rng(1).normal(size=_ITEMS)


def rounded() -> NDArray[Any]:
    return np.round(np.sin(np.arange(_ITEMS) / 1e4), 4)


def counts() -> NDArray[Any]:
    return np.random.default_rng(1).poisson(50, size=_ITEMS)


CASES: dict[str, Callable[[], NDArray[Any]]] = {
    "noise, which does not compress": noise,
    "a wave, to four digits": rounded,
    "counts": counts,
}


def ours(text: str) -> NDArray[Any]:
    array: NDArray[Any] = decode_tagged(text)["result"]
    return array


def reference(text: str) -> NDArray[Any]:
    packed = orjson.loads(text)["result"]["__value__"]
    array: NDArray[Any] = np.load(io.BytesIO(zlib.decompress(base64.b64decode(packed))))
    return array


@attrs.frozen
class Measured:
    """What one text took."""

    name: str
    """What its array holds."""
    text_mb: float
    """The size of the text in megabytes."""
    ours: Summary
    """Milliseconds of CPU time."""
    reference: Summary
    """Milliseconds of CPU time of orjson, zlib and numpy."""
    ratio: Summary
    """Ours in times of the reference, of the same turn."""
    peak: float
    """Our peak in times of the array's size."""
    reference_peak: float
    """The reference's."""

    @property
    def is_within(self) -> bool:
        """Whether both bounds are met."""
        return self.ratio.median <= MOST_TIME and self.peak <= MOST_MEMORY


def milliseconds(decode: Callable[[str], object], text: str) -> float:
    gc.collect()
    start = time.process_time()
    decode(text)
    return (time.process_time() - start) * 1000


def peak(decode: Callable[[str], object], text: str, size: int) -> float:
    gc.collect()
    tracemalloc.start()
    try:
        decode(text)
        return tracemalloc.get_traced_memory()[1] / size
    finally:
        tracemalloc.stop()


def measure(name: str, rounds: int) -> Measured:
    array = CASES[name]()
    text = encode_tagged({"result": array, "shots": 4000})
    for decode in (ours, reference):  # the warm-up, and a check
        assert np.array_equal(decode(text), array)
    turns = [(milliseconds(ours, text), milliseconds(reference, text)) for _ in range(rounds)]
    return Measured(
        name,
        len(text) / 1e6,
        summarize([mine for mine, _ in turns]),
        summarize([theirs for _, theirs in turns]),
        summarize([mine / theirs for mine, theirs in turns]),
        peak(ours, text, array.nbytes),
        peak(reference, text, array.nbytes),
    )


def print_report(results: list[Measured], rounds: int) -> None:
    print(f"Decoding an array of 50 MB: median of {rounds} runs (tenth .. nine tenths), CPU time")
    print(machine_line())
    header = ["array", "text MB", "ours ms", "reference ms", "ratio", "spread", "peak", "its peak"]
    rows = [
        [
            result.name,
            f"{result.text_mb:.0f}",
            f"{result.ours.median:.0f}",
            f"{result.reference.median:.0f}",
            f"{result.ratio.median:.2f}",
            f"{result.ratio.low:.2f} .. {result.ratio.high:.2f}",
            f"{result.peak:.2f}",
            f"{result.reference_peak:.2f}",
        ]
        for result in results
    ]
    print_table(header, rows)
    verdict = "within" if all(result.is_within for result in results) else "NOT WITHIN"
    print(f"{verdict} {MOST_TIME} times the reference, and a peak of {MOST_MEMORY} arrays")


def main() -> None:
    parser = argparse.ArgumentParser(description="What decoding a large result costs.")
    parser.add_argument("--rounds", type=int, default=10, help="runs of each case (at least 2)")
    parser.add_argument("--json", action="store_true", help="print JSON (times in milliseconds)")
    arguments = parser.parse_args()
    if arguments.rounds < 2:
        parser.error("a median with a spread needs at least 2 rounds")
    results = [measure(name, arguments.rounds) for name in CASES]
    if arguments.json:
        cases = [attrs.asdict(result) | {"within": result.is_within} for result in results]
        print(json.dumps({"machine": machine_line(), "rounds": arguments.rounds, "cases": cases}))
    else:
        print_report(results, arguments.rounds)


if __name__ == "__main__":
    main()
