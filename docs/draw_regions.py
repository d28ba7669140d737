"""Draws the tables of the machine, as tables in Markdown and as diagrams in SVG, for the pages.

Nothing is written twice: states, signals and moves come from the tables of `runtime_core`. What is
given here is where a state stands in its diagram, and how an arrow bends.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from enum import Enum
from html import escape
from typing import Any, Final, TypeAlias

import attrs

from runtime_core.cancel import CANCEL
from runtime_core.connection import CONNECTION, SUBSCRIPTION
from runtime_core.lifecycle import LIFECYCLE, contradicts
from runtime_core.result import RESULT
from runtime_core.states import JobState
from runtime_core.watch import WATCH

Point: TypeAlias = tuple[float, float]

Table: TypeAlias = Mapping[tuple[Any, Any], Any]
"""(state, signal) -> the state that follows."""

COLUMN, ROW = 230.0, 110.0
"""How far the places of a grid are from each other, in pixels."""

BOX: Final = (118.0, 34.0)
"""Width and height of a state."""

LINE: Final = 14.0
"""The height of a line of text."""


@attrs.frozen
class Region:
    """One table, and how its diagram is laid out."""

    title: str
    """What the diagram shows, for those who do not see it."""
    table: Table
    """The table."""
    places: Mapping[str, Point]
    """Where each state stands: column and row."""
    bends: Mapping[tuple[str, str], float] = attrs.field(factory=dict)
    """How far the middle of an arrow is beside the straight line, in pixels: below 0 to the left of
    who goes along it."""


REGIONS: Final = {
    "lifecycle": Region(
        "The states of a job",
        LIFECYCLE,
        {
            "QUEUED": (0, 1),
            "RUNNING": (1.25, 1),
            "DONE": (2.75, 0),
            "ERROR": (2.75, 1),
            "CANCELLED": (2.75, 2),
        },
        {
            ("QUEUED", "DONE"): -95,
            ("QUEUED", "CANCELLED"): 95,
            ("QUEUED", "ERROR"): 50,
        },
    ),
    "watch": Region(
        "Asking for the status",
        WATCH,
        {"IDLE": (0, 0), "ASKING": (2, 0), "PAUSED": (0, 2.3), "ASKING_AGAIN": (2, 2.3)},
        {
            ("IDLE", "ASKING"): -26,
            ("ASKING", "IDLE"): -14,
            ("ASKING", "ASKING_AGAIN"): -30,
            ("ASKING_AGAIN", "ASKING"): -30,
            ("IDLE", "PAUSED"): -26,
            ("PAUSED", "IDLE"): -26,
            ("ASKING_AGAIN", "IDLE"): -45,
            ("PAUSED", "ASKING"): 30,
        },
    ),
    "cancel": Region(
        "A cancel",
        CANCEL,
        {
            "NONE": (0, 1.6),
            "REQUESTED": (1.1, 1.6),
            "ACCEPTED": (2.8, 0),
            "REJECTED": (2.8, 1.6),
            "UNKNOWN": (2.8, 3.2),
        },
        {
            ("REQUESTED", "ACCEPTED"): -22,
            ("ACCEPTED", "REQUESTED"): -22,
            ("REQUESTED", "REJECTED"): -20,
            ("REJECTED", "REQUESTED"): -20,
            ("REQUESTED", "UNKNOWN"): -22,
            ("UNKNOWN", "REQUESTED"): -22,
            ("ACCEPTED", "UNKNOWN"): -95,
        },
    ),
    "connection": Region(
        "A connection to the stream",
        CONNECTION,
        {"CLOSED": (0, 0), "OPENING": (2, 0), "RETRYING": (0, 2.3), "OPEN": (2, 2.3)},
        {
            ("CLOSED", "OPENING"): -24,
            ("OPENING", "CLOSED"): -14,
            ("OPEN", "CLOSED"): -45,
            ("OPENING", "RETRYING"): -14,
            ("RETRYING", "OPENING"): -45,
        },
    ),
    "subscription": Region(
        "A subscription to interim results",
        SUBSCRIPTION,
        {"NONE": (0, 0), "ACTIVE": (1.4, 0), "ENDED": (2.8, 0)},
        {("ACTIVE", "ENDED"): -22, ("ENDED", "ACTIVE"): -22},
    ),
    "result": Region(
        "The text of the result",
        RESULT,
        {
            "UNKNOWN": (0, 1),
            "FETCHING": (1.35, 1),
            "HELD": (2.7, 0),
            "FAILED": (2.7, 2),
            "RELEASED": (2.7, 1),
        },
        {
            ("UNKNOWN", "FETCHING"): -22,
            ("FETCHING", "UNKNOWN"): -22,
            ("FETCHING", "FAILED"): -22,
            ("FAILED", "FETCHING"): -22,
            ("UNKNOWN", "HELD"): -80,
        },
    ),
}


def name_of(signal: Hashable) -> str:
    """The name of a signal: of an event's class, or of a member of an enum."""
    return signal.name if isinstance(signal, Enum) else getattr(signal, "__name__", str(signal))


def signals(table: Table) -> list[Any]:
    """The signals of a table, in its order."""
    return list(dict.fromkeys(signal for _, signal in table))


def states(table: Table) -> list[Enum]:
    """The states of a table, in the order of their enum."""
    state: Enum = next(iter(table))[0]
    return list(type(state))


def moves(table: Table) -> dict[tuple[str, str], list[str]]:
    """(source, target) -> the signals that lead there; what changes nothing is left out."""
    found: dict[tuple[str, str], list[str]] = {}
    for (source, signal), target in table.items():
        if source is not target:
            found.setdefault((source.name, target.name), []).append(name_of(signal))
    return found


# ---- as a table --------------------------------------------------------------------------------


def as_table(region: Region) -> str:
    """Every state with every signal; in bold where the state changes."""
    columns = signals(region.table)
    lines = [
        "| | " + " | ".join(f"`{name_of(column)}`" for column in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for state in states(region.table):
        cells = [_cell(region.table, state, column) for column in columns]
        lines.append(f"| **{state.name}** | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(table: Table, state: Enum, signal: Any) -> str:
    target = table.get((state, signal))
    if target is None:
        return "refused"
    if target is not state:
        return f"**{target.name}**"
    is_reported = table is LIFECYCLE and contradicts(JobState[state.name], signal())
    return "reported" if is_reported else "·"


def meanings(kind: Iterable[Enum]) -> str:
    """A list of the members of an enum whose values say what they mean."""
    return "\n".join(f"- `{member.name}`: {member.value}" for member in kind)


# ---- as a diagram ------------------------------------------------------------------------------


def as_svg(name: str) -> str:
    """The diagram of a region, on one line: Markdown leaves such HTML as it is."""
    region = REGIONS[name]
    centres = {state: (x * COLUMN, y * ROW) for state, (x, y) in region.places.items()}
    arrows = [
        _arrow(centres[source], centres[target], region.bends.get((source, target), 0.0), words)
        for (source, target), words in moves(region.table).items()
    ]
    boxes = [_box(state, centre) for state, centre in centres.items()]
    drawn = [part for part, _ in arrows] + boxes
    points = [point for _, its in arrows for point in its]
    points += [
        (x + dx * BOX[0] / 2, y + dy * BOX[1] / 2)
        for x, y in centres.values()
        for dx in (-1, 1)
        for dy in (-1, 1)
    ]
    left, right = min(x for x, _ in points) - 8, max(x for x, _ in points) + 8
    top, bottom = min(y for _, y in points) - 8, max(y for _, y in points) + 8
    size = f"{left:.0f} {top:.0f} {right - left:.0f} {bottom - top:.0f}"
    head = (
        f'<defs><marker id="head-{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
        'markerHeight="8" orient="auto"><path d="M0,0 L8,4 L0,8 z"/></marker></defs>'
    )
    body = "".join(drawn).replace("#head", f"#head-{name}")
    return (
        f'<svg class="region" role="img" aria-label="{escape(region.title)}" viewBox="{size}" '
        f'style="max-width: {right - left:.0f}px">{head}{body}</svg>'
    )


def _box(state: str, centre: Point) -> str:
    x, y = centre
    width, height = BOX
    return (
        f'<rect x="{x - width / 2:.0f}" y="{y - height / 2:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" rx="6"/>'
        f'<text class="state" x="{x:.0f}" y="{y + 4:.0f}">{escape(state)}</text>'
    )


def _arrow(start: Point, end: Point, bend: float, words: Sequence[str]) -> tuple[str, list[Point]]:
    """Draw one arrow with its words; give the points that must be in the picture, too."""
    middle = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    length = math.dist(start, end)
    left = (end[1] - start[1]) / length, -(end[0] - start[0]) / length  # y grows downwards
    # Half way a curve is half as far out as its control point.
    control = middle[0] - 2 * bend * left[0], middle[1] - 2 * bend * left[1]
    first, last = _border(start, control), _border(end, control)
    at = tuple(0.25 * a + 0.5 * c + 0.25 * b for a, b, c in zip(first, last, control, strict=True))
    path = f"M{first[0]:.0f},{first[1]:.0f} Q{control[0]:.0f},{control[1]:.0f} "
    path += f"{last[0]:.0f},{last[1]:.0f}"
    shift = (len(words) - 1) * LINE / 2
    texts = "".join(
        f'<text class="signal" x="{at[0]:.0f}" y="{at[1] + 4 - shift + LINE * line:.0f}">'
        f"{escape(word)}</text>"
        for line, word in enumerate(words)
    )
    wide = max(map(len, words)) * 3.6
    corners = [(at[0] + dx, at[1] + dy) for dx in (-wide, wide) for dy in (-shift - 9, shift + 9)]
    return f'<path class="move" d="{path}" marker-end="url(#head)"/>{texts}', corners


def _border(centre: Point, towards: Point) -> Point:
    """Where the line from the centre of a box leaves it."""
    dx, dy = towards[0] - centre[0], towards[1] - centre[1]
    share = min(
        BOX[0] / 2 / abs(dx) if dx else math.inf,
        BOX[1] / 2 / abs(dy) if dy else math.inf,
    )
    return centre[0] + dx * share, centre[1] + dy * share
