"""What was measured, compared: medians with their spread, ratios, which targets are met."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
from _runner import Contender, Measured, Role, Scenario, Target

FAR = 1.5
"""How many times better a limit may be before ours has to be looked at."""


@attrs.frozen
class Spread:
    """Measurements of one thing."""

    median: float
    """Half of them were smaller."""
    low: float
    """A quarter of them were smaller."""
    high: float
    """A quarter of them were larger."""
    count: int
    """How many there were."""


def spread(values: Sequence[float]) -> Spread:
    """The median and the quartiles of at least one measurement."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0], 1)
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high, len(values))


@attrs.frozen
class Row:
    """What one contender did, for one size."""

    contender: Contender
    """Who."""
    size: int | None
    """For which size, if there are sizes."""
    value: Spread | None
    """Its figure; None if it never came to one."""
    better: Spread | None
    """How many times better ours was in the same rounds; more than 1 is in our favour."""
    details: Mapping[str, Any]
    """What else was said: medians of numbers, the last of texts."""
    failures: tuple[str, ...]
    """What was seen when it failed, each once."""
    failed: int
    """How often it failed, the warm-up included."""

    def figure(self, of: str) -> float | None:
        """The median of the value, or of a detail."""
        if of == "value":
            return self.value.median if self.value else None
        found = self.details.get(of)
        return float(found) if isinstance(found, int | float) else None


@attrs.frozen
class Verdict:
    """Whether a target was met."""

    scenario: Scenario
    """Of which scenario."""
    target: Target
    """Which one."""
    size: int | None
    """For which size, if there are sizes."""
    ours: float | None
    """The ratio, or the figure, that was reached; None if it could not be told."""
    against: str
    """With whom it was compared; who that is if it was the best of several."""

    @property
    def met(self) -> bool | None:
        """None if it could not be told."""
        if self.ours is None:
            return None
        if self.target.at_least:
            return self.ours >= self.target.bound
        return self.ours <= self.target.bound

    @property
    def off_by(self) -> float | None:
        """How many times better it is than it has to be; less than 1 is a miss."""
        if self.ours is None or not self.target.bound:
            return None
        if self.target.at_least:
            return self.ours / self.target.bound
        return self.target.bound / self.ours if self.ours else None


def rows(scenario: Scenario, measured: Sequence[Measured]) -> list[Row]:
    """One row for each contender and size, none left out."""
    mine = [one for one in measured if one.scenario == scenario.name]
    sizes = list(dict.fromkeys(one.size for one in mine))
    return [
        _row(scenario, contender, size, [one for one in mine if one.size == size])
        for size in sizes
        for contender in scenario.contenders
        if contender.takes_part(size) and any(one.contender == contender.name for one in mine)
    ]


def ours_of(scenario: Scenario, size: int | None = None) -> Contender | None:
    """The contender that targets are about: the first of ours that is measured at this size."""
    ours = (c for c in scenario.contenders if c.role is Role.OURS and c.takes_part(size))
    return next(ours, None)


def _row(
    scenario: Scenario, contender: Contender, size: int | None, measured: Sequence[Measured]
) -> Row:
    all_taken = [one for one in measured if one.contender == contender.name]
    kept = [one for one in all_taken if one.round and one.value is not None]
    seen = [one.failed for one in all_taken if one.failed is not None]
    values = [one.value for one in kept if one.value is not None]
    return Row(
        contender=contender,
        size=size,
        value=spread(values) if values else None,
        better=_better(scenario, contender, size, measured),
        details=_details([one.details for one in kept]),
        failures=_different(seen),
        failed=len(seen),
    )


def _better(
    scenario: Scenario, contender: Contender, size: int | None, measured: Sequence[Measured]
) -> Spread | None:
    ours = ours_of(scenario, size)
    if ours is None or contender == ours:
        return None
    by_round: dict[int, dict[str, float]] = {}
    for one in measured:
        if one.round and one.value is not None:
            by_round.setdefault(one.round, {})[one.contender] = one.value
    ratios = []
    for taken in by_round.values():
        mine, theirs = taken.get(ours.name), taken.get(contender.name)
        if mine and theirs:
            ratios.append(theirs / mine if scenario.lower_is_better else mine / theirs)
    return spread(ratios) if ratios else None


def _different(seen: Sequence[str]) -> tuple[str, ...]:
    """What was seen, the first of those that differ in numbers only."""
    return tuple({re.sub(r"[\d.,]+", "0", words): words for words in reversed(seen)}.values())[::-1]


def _details(said: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    details: dict[str, Any] = {}
    for name in dict.fromkeys(name for one in said for name in one):
        values = [one[name] for one in said if name in one]
        numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
        details[name] = statistics.median(numbers) if len(numbers) == len(values) else values[-1]
    return details


def verdicts(scenario: Scenario, found: Sequence[Row]) -> Iterator[Verdict]:
    """Judge each target, at each size that it is about."""
    sizes = list(dict.fromkeys(row.size for row in found))
    for target in scenario.targets:
        for size in sizes:
            if target.size is None or target.size == size:
                ours = ours_of(scenario, size)
                there = [row for row in found if row.size == size]
                mine = next((row for row in there if row.contender == ours), None)
                yield _verdict(scenario, target, size, mine, there)


def _verdict(
    scenario: Scenario, target: Target, size: int | None, mine: Row | None, there: Sequence[Row]
) -> Verdict:
    figure = mine.figure(target.of) if mine else None
    if not target.against:
        return Verdict(scenario, target, size, figure, "")
    with_figures = [(row.figure(target.of), row) for row in there]
    others = [
        (number, row.contender.name)
        for number, row in with_figures
        if number is not None and _is_meant(target.against, row.contender)
    ]
    if figure is None or not others:
        return Verdict(scenario, target, size, None, target.against)
    # What is compared is a cost, whatever the scenario, if the bound is the largest allowed.
    number, name = (max if target.at_least else min)(others)
    return Verdict(scenario, target, size, figure / number if number else None, name)


@attrs.frozen
class Standing:
    """How ours stands in one comparison."""

    scenario: Scenario
    """Of which scenario."""
    size: int | None
    """For which size, if there are sizes."""
    ours: Row
    """Ours."""
    peer: Row | None
    """The best peer that came to a figure."""
    limit: Row | None
    """The limit; the worst of them, if there are several: even that one does less than ours."""

    @property
    def is_behind(self) -> bool:
        """Whether the best peer is better."""
        return (
            self.peer is not None and self.peer.better is not None and self.peer.better.median < 1
        )

    @property
    def is_far(self) -> bool:
        """Whether the limit is more than `FAR` times better."""
        limit = self.limit
        return limit is not None and limit.better is not None and limit.better.median < 1 / FAR


def standings(scenario: Scenario, found: Sequence[Row]) -> Iterator[Standing]:
    """How ours stands at each size, if it came to a figure and has somebody beside it."""
    for size in dict.fromkeys(row.size for row in found):
        ours = ours_of(scenario, size)
        there = [row for row in found if row.size == size and row.value is not None]
        mine = next((row for row in there if row.contender == ours), None)
        peer = _extreme(scenario, there, Role.PEER, best=True)
        limit = _extreme(scenario, there, Role.LIMIT, best=False)
        if mine is not None and (peer or limit):
            yield Standing(scenario, size, mine, peer, limit)


def _extreme(scenario: Scenario, found: Sequence[Row], role: Role, *, best: bool) -> Row | None:
    of_role = [row for row in found if row.contender.role is role]
    pick = min if scenario.lower_is_better is best else max
    return pick(of_role, key=lambda row: row.figure("value") or 0.0, default=None)


def _is_meant(against: str, contender: Contender) -> bool:
    match against:
        case "best peer":
            return contender.role is Role.PEER
        case "limit":
            return contender.role is Role.LIMIT
    return contender.name == against
