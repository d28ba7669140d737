"""Draws what was measured, as SVG that can be read on a light page and on a dark one."""

from __future__ import annotations

import io
import itertools
import math
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from _compare import Row, rows
from _report import figure_words
from _runner import Measured, Role, Scenario
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

COLOURS = {Role.OURS: "#0f8f7c", Role.PEER: "#8a8f98", Role.LIMIT: "#c9a227"}
OURS = ("#0f8f7c", "#35b8a0", "#86d3c3", "#5aa02c")
"""Of the ways of ours that are lines."""
LINES = ("#3b6fb6", "#b5543c", "#7a5ea8", "#5b8c3a", "#b06a9d", "#8a6d3b", "#4d8fa3", "#777777")
"""Of peers that are lines."""
PALETTES = {Role.OURS: OURS, Role.PEER: LINES, Role.LIMIT: (COLOURS[Role.LIMIT], "#8f7215")}
INK, PAPER, GRID = "#010203", "#fdfcfb", "#cacbcc"
"""Stand-ins: which colours they are is left to the page that shows them."""
_THEMES = {INK: ("ink", "#1f2328"), PAPER: ("paper", "#ffffff"), GRID: ("grid", "#d0d7de")}
_STYLE = """<style>
svg { --ink: #1f2328; --paper: #ffffff; --grid: #d0d7de; }
@media (prefers-color-scheme: dark) { svg { --ink: #d6dbe1; --paper: #14181d; --grid: #3a4048; } }
</style>"""
ORDERS = 8.0
"""From which ratio of the largest to the smallest on an axis is logarithmic."""


def draw(scenario: Scenario, measured: Sequence[Measured], folder: Path) -> list[str]:
    """Draw a scenario's plots; give the names of the files, none if there is nothing to draw."""
    found = rows(scenario, measured)
    files = []
    for what, title in (("value", scenario.unit), *scenario.plots.items()):
        if not any(row.figure(what) for row in found):
            continue
        with_sizes = len({row.size for row in found}) > 1
        figure = (_lines if with_sizes else _bars)(scenario, found, what, title)
        name = scenario.name if what == "value" else f"{scenario.name}-{what}"
        _save(figure, folder / f"{name}.svg")
        files.append(f"{name}.svg")
    return files


# ---- one figure for each contender -------------------------------------------------------------


def _bars(scenario: Scenario, found: Sequence[Row], what: str, title: str) -> Figure:
    is_low_good = scenario.lower_is_better or what != "value"

    def rank(row: Row) -> tuple[bool, float]:
        number = row.figure(what)
        return (number is not None, (-1 if is_low_good else 1) * (number or 0.0))

    ranked = sorted(found, key=rank)  # from the bottom to the top
    figure, axes = _new(9.0, 0.9 + 0.36 * len(ranked))
    numbers = [number for row in ranked if (number := row.figure(what))]
    logarithmic = _scale(axes, numbers, "x")
    low, high = min(numbers), max(numbers)
    start = 10 ** math.floor(math.log10(low) - 0.15) if logarithmic else 0.0
    axes.set_xlim(start, high**1.0 * (high / start) ** 0.28 if logarithmic else high * 1.3)
    for place, row in enumerate(ranked):
        _bar(axes, place, row, what, start, logarithmic=logarithmic)
    axes.set_ylim(-0.7, len(ranked) - 0.3)  # room for words where there is no bar
    axes.set_yticks(range(len(ranked)), [_named(row) for row in ranked])
    for label, row in zip(axes.get_yticklabels(), ranked, strict=True):
        label.set_fontweight("bold" if row.contender.role is Role.OURS else "normal")
    axes.set_xlabel(title + (" (logarithmic)" if logarithmic else ""))
    axes.grid(axis="x", color=GRID, linewidth=0.6)
    axes.tick_params(axis="y", length=0)
    return figure


def _named(row: Row) -> str:
    limit = " (limit)" if row.contender.role is Role.LIMIT else ""
    return row.contender.name + limit


def _bar(axes: Axes, place: int, row: Row, what: str, start: float, *, logarithmic: bool) -> None:
    number = row.figure(what)
    if number is None:
        words = row.failures[0] if row.failures else "says nothing of it"
        text = words if len(words) < 70 else words[:67] + "..."
        axes.annotate(
            text, (start, place), (5, 0), textcoords="offset points", va="center", style="italic"
        )
        return
    colour = COLOURS[row.contender.role]
    if logarithmic:  # where the length of a bar would mean nothing
        axes.hlines(place, start, number, color=colour, linewidth=1.2, alpha=0.6)
        axes.plot(number, place, "o", color=colour, markersize=9)
    else:
        axes.barh(place, number, height=0.62, color=colour)
    end = number
    if what == "value" and row.value is not None:
        end = max(row.value.high, number)
        quartiles = [[number - row.value.low], [row.value.high - number]]
        axes.errorbar(number, place, xerr=quartiles, color=INK, linewidth=1.1, capsize=2.5)
    words = figure_words(number)
    axes.annotate(words, (end, place), (6, 0), textcoords="offset points", va="center")


# ---- how it grows ------------------------------------------------------------------------------


def _lines(scenario: Scenario, found: Sequence[Row], what: str, title: str) -> Figure:
    figure, axes = _new(9.0, 4.4)
    colours = {role: itertools.cycle(of) for role, of in PALETTES.items()}
    markers = itertools.cycle("osD^")
    _scale(axes, [number for row in found if (number := row.figure(what))], "y")
    axes.set_xscale("log")
    for contender in scenario.contenders:
        mine = [row for row in found if row.contender == contender]
        is_ours = contender.role is Role.OURS
        marker = next(markers) if is_ours else "o"
        if mine:
            _line(axes, mine, what, next(colours[contender.role]), marker)
    sizes = sorted({row.size for row in found if row.size})
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(scenario.size_name + " (logarithmic)")
    words = title + (" (logarithmic)" if axes.get_yscale() == "log" else "")
    axes.set_ylabel(textwrap.fill(words, 44))
    axes.grid(color=GRID, linewidth=0.6)
    legend = axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)
    for text in legend.get_texts():
        text.set_color(INK)
    return figure


def _line(axes: Axes, mine: Sequence[Row], what: str, colour: str, marker: str) -> None:
    # Nothing, on an axis that has no zero, is said in words.
    known = [(row.size or 0, number) for row in mine if (number := row.figure(what)) is not None]
    drawn = [(size, n) for size, n in known if n > 0 or axes.get_yscale() != "log"]
    absent = [row for row in mine if row.figure(what) is None]
    label = _named(mine[0])
    if len(drawn) < len(known):
        zeros = [f"{size:,}" for size, number in known if (size, number) not in drawn]
        label += f": 0 at {', '.join(zeros)}"
    if absent:
        verb = "fails" if all(row.value is None for row in absent) else "none"
        label += f": {verb} at {', '.join(f'{row.size:,}' for row in absent)}"
    is_ours = mine[0].contender.role is Role.OURS
    axes.plot(
        [size for size, _ in drawn],
        [number for _, number in drawn],
        color=colour,
        linestyle={Role.LIMIT: ":", Role.OURS: "-", Role.PEER: "--"}[mine[0].contender.role],
        linewidth=2.4 if is_ours else 1.4,
        marker=marker,
        markersize=5.5 if is_ours else 3.5,
        label=label,
    )


# ---- the canvas --------------------------------------------------------------------------------


def _new(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), facecolor=PAPER, layout="constrained")
    axes: Axes = figure.subplots()
    axes.set_facecolor(PAPER)
    axes.set_axisbelow(True)
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(GRID)
    return figure, axes


def _scale(axes: Axes, numbers: Sequence[float], axis: str) -> bool:
    """Make an axis logarithmic if what is on it spans more than most of an order."""
    positive = [number for number in numbers if number > 0]
    is_wide = bool(positive) and max(positive) / min(positive) >= ORDERS
    one = axes.xaxis if axis == "x" else axes.yaxis
    if is_wide:
        (axes.set_xscale if axis == "x" else axes.set_yscale)("log")
        one.set_major_locator(LogLocator(numticks=9))
        one.set_minor_formatter(NullFormatter())
    else:
        one.set_major_locator(MaxNLocator(6))
    one.set_major_formatter(FuncFormatter(lambda number, _: _tick(number)))
    return is_wide


def _tick(number: float) -> str:
    return f"{number:,.10g}"


def _save(figure: Figure, path: Path) -> None:
    settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": "report",  # the same figures make the same file
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans", "Verdana", "Helvetica", "Arial"],
        "text.color": INK,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
    }
    text = io.StringIO()
    with mpl.rc_context(settings):
        for axes in figure.axes:
            for one in (axes.xaxis, axes.yaxis):
                one.label.set_color(INK)
                one.set_tick_params(which="both", color=GRID, labelcolor=INK)
            for words in axes.texts:
                words.set_color(INK)
        figure.savefig(text, format="svg", metadata={"Date": None}, facecolor=PAPER)
    path.write_text(_themed(text.getvalue()), encoding="utf-8")


def _themed(svg: str) -> str:
    for stand_in, (name, fallback) in _THEMES.items():
        # Who knows no variables takes the first of the two.
        svg = re.sub(rf"(fill|stroke): {stand_in}", rf"\1: {fallback}; \1: var(--{name})", svg)
    return re.sub(r"(<svg[^>]*>)", lambda found: found[1] + "\n" + _STYLE, svg, count=1)
