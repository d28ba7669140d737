"""What the benchmarks share: where they ran, medians with their spread, plain tables."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence

import attrs


@attrs.frozen
class Summary:
    """Many measurements of one thing, in the unit that they were taken in."""

    median: float
    """Half of the measurements were smaller."""
    low: float
    """A tenth of the measurements were smaller."""
    high: float
    """A tenth of the measurements were larger."""


def summarize(values: Sequence[float]) -> Summary:
    """The median and the spread of at least two measurements."""
    deciles = statistics.quantiles(values, n=10, method="inclusive")
    return Summary(statistics.median(values), deciles[0], deciles[-1])


def machine_line() -> str:
    """The interpreter and the machine, on one line: numbers mean nothing without them."""
    return (
        f"{platform.python_implementation()} {platform.python_version()}, "
        f"{os.cpu_count()} CPUs, {platform.system()} {platform.machine()}"
    )


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of text: the first column to the left, the others (numbers) to the right."""
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        first, *others = (
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        print("  ".join([first, *others]).rstrip())
