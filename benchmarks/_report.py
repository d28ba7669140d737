"""Writes what was measured as a page of Markdown: targets and ratios first, then all figures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import attrs
from _compare import FAR, Row, Spread, Standing, Verdict, ours_of, rows, standings, verdicts
from _machine_facts import MachineFacts
from _runner import Measured, Role, Scenario

_NUMBER = re.compile(r"\**[\d.,/]+( times)?\**( to [\d.,]+)?")


@attrs.frozen
class Outcome:
    """All that a run of the benchmarks has found."""

    scenarios: Sequence[Scenario]
    """What was measured, in the order of the report."""
    measured: Sequence[Measured]
    """All measurements."""
    versions: Mapping[str, Mapping[str, str]]
    """Of each contender: what is installed in its environment."""
    begin: MachineFacts
    """The machine at the beginning."""
    end: MachineFacts
    """The machine at the end."""
    command: str
    """How to run it again."""
    findings: str = ""
    """What has been found out by hand about targets that are missed, in Markdown."""


def markdown(outcome: Outcome, plots: Mapping[str, Sequence[str]]) -> str:
    """The report.

    Args:
        outcome: what was found.
        plots: of each scenario, the names of the files with its plots, beside the report.
    """
    found = {scenario.name: rows(scenario, outcome.measured) for scenario in outcome.scenarios}
    parts = ["# Measured against what a user would pick instead", _head(outcome)]
    judged = [v for s in outcome.scenarios for v in verdicts(s, found[s.name])]
    if judged:
        parts += ["## Targets", _targets(judged)]
    standing = [one for s in outcome.scenarios for one in standings(s, found[s.name])]
    if standing:
        parts += ["## Ratios", _standings(standing)]
    for scenario in outcome.scenarios:
        parts += [f"## {scenario.title}", scenario.about] if scenario.about else []
        parts += [] if scenario.about else [f"## {scenario.title}"]
        parts += [f"![{scenario.title}]({file})" for file in plots.get(scenario.name, ())]
        parts.append(_table_of(scenario, found[scenario.name]))
    parts += ["## What holds it back", outcome.findings] if outcome.findings else []
    parts += ["## Where it ran", _machine(outcome), "## Versions", _versions(outcome)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(outcome: Outcome) -> str:
    return (
        f"Run by `{outcome.command}` on {outcome.begin.when[:10]}. All contenders of a table took "
        "turns on one machine, in an order that rotates; where processes live on from round to "
        "round, a warm-up round is left out. A figure is "
        "the median, with its quartiles. *Ours is* says how many times better ours was than that "
        "contender, as the median over the rounds: below 1 it is the better one. A limit is "
        "the least that does the work, written by hand in Python. Who failed is a row that says "
        "what was seen."
    )


def _targets(judged: Sequence[Verdict]) -> str:
    lines = []
    for verdict in judged:
        target = verdict.target
        bound = f"{'at least' if target.at_least else 'at most'} {ratio_words(target.bound)}"
        of = f" times that of {verdict.against}" if verdict.against else ""
        size = "" if verdict.size is None else f", {verdict.size:,} {verdict.scenario.size_name}"
        reached = "not measured" if verdict.ours is None else ratio_words(verdict.ours)
        lines.append([f"{target.words}{size}", bound + of, reached, _met(verdict)])
    return table(["target", "goal", "reached", ""], lines)


def _met(verdict: Verdict) -> str:
    if verdict.met is None:
        return "could not be told"
    off = verdict.off_by
    if verdict.met:
        return "met" if off is None else f"met, {off:.2f} times better than it has to be"
    return "**missed**" if not off else f"**missed** by a factor of {1 / off:.2f}"


def _standings(standing: Sequence[Standing]) -> str:
    lines = []
    for one in standing:
        size = "" if one.size is None else f", {one.size:,} {one.scenario.size_name}"
        lines.append(
            [
                f"[{one.scenario.title}{size}](#{anchor(one.scenario.title)})",
                *_beside(one.peer, emphasis=one.is_behind),
                *_beside(one.limit, emphasis=one.is_far),
            ]
        )
    words = (
        "How many times better ours is than the best peer, and than the limit. In bold: where it "
        f"is not ahead of a peer, and where it is further than {FAR} times from a limit."
    )
    return words + "\n\n" + table(["", "ours is", "best peer", "ours is", "limit"], lines)


def _beside(row: Row | None, *, emphasis: bool) -> list[str]:
    if row is None or row.better is None:
        return ["", ""]
    mark = "**" if emphasis else ""
    return [f"{mark}{ratio_words(row.better.median)} times{mark}", row.contender.name]


def anchor(title: str) -> str:
    """What a page of Markdown calls a heading in its links."""
    kept = "".join(c for c in title.lower() if c.isalnum() or c in " -_")
    return kept.replace(" ", "-")


def ratio_words(number: float) -> str:
    """A ratio or a figure: below a third as a fraction of one."""
    if 0 < number < 1 / 3:
        return f"1/{1 / number:,.3g}" if number > 1e-3 else f"1/{1 / number:,.0f}"
    return figure_words(number)


def figure_words(number: float) -> str:
    """Three digits, or all that are before the point."""
    if number == 0 or abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:#.3g}".rstrip(".")


def _table_of(scenario: Scenario, found: Sequence[Row]) -> str:
    has_sizes = any(row.size is not None for row in found)
    has_ours = ours_of(scenario) is not None
    better = "lower" if scenario.lower_is_better else "higher"
    header = [
        *([scenario.size_name] if has_sizes else []),
        "",
        *(["ours is"] if has_ours else []),
        f"{scenario.unit} ({better} is better)",
        "quartiles",
        *scenario.details.values(),
        "seen",
    ]
    lines = []
    for row in _ranked(scenario, found):
        name = row.contender.name
        match row.contender.role:
            case Role.OURS:
                name = f"**{name}**"
            case Role.LIMIT:
                name = f"*{name}* (limit)"
            case Role.PEER:
                pass
        lines.append(
            [
                *([f"{row.size:,}"] if row.size is not None else []),
                name,
                *([_times(row.better)] if has_ours else []),
                figure_words(row.value.median) if row.value else "-",
                _quartiles(row.value),
                *(_detail(row.details.get(key)) for key in scenario.details),
                _seen(row),
            ]
        )
    if not any(line[-1] for line in lines):
        header, lines = header[:-1], [line[:-1] for line in lines]
    return table(header, lines)


def _ranked(scenario: Scenario, found: Sequence[Row]) -> list[Row]:
    """By size, then the best first, and last who came to no figure."""
    sign = 1 if scenario.lower_is_better else -1

    def rank(row: Row) -> tuple[int, bool, float]:
        return (row.size or 0, row.value is None, sign * row.value.median if row.value else 0.0)

    return sorted(found, key=rank)


def _times(better: Spread | None) -> str:
    return "" if better is None else f"{figure_words(better.median)} times"


def _quartiles(value: Spread | None) -> str:
    if value is None:
        return ""
    return f"{figure_words(value.low)} to {figure_words(value.high)}"


def _detail(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return figure_words(value)
    return str(value)


def _seen(row: Row) -> str:
    if not row.failures:
        return ""
    often = f"{row.failed} times: " if row.value else ""
    return often + "; ".join(row.failures)


def table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown: what stands in the first column to the left, numbers to the right."""
    shown = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    marks = [
        "---:" if _is_of_numbers([line[index] for line in shown]) else "---"
        for index in range(len(header))
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in [list(header), marks, *shown])


def _is_of_numbers(cells: Sequence[str]) -> bool:
    filled = [cell for cell in cells if cell not in ("", "-")]
    return bool(filled) and all(_NUMBER.fullmatch(cell) for cell in filled)


def _machine(outcome: Outcome) -> str:
    begin, end = outcome.begin, outcome.end
    lines = [
        ["processor", begin.cpu],
        ["cores", str(begin.cores)],
        ["memory", f"{begin.memory_gib:.1f} GiB"],
        ["system", begin.system],
        ["Python", begin.python],
        ["begin", f"{begin.when}, load {_load(begin)}"],
        ["end", f"{end.when}, load {_load(end)}"],
    ]
    return table(["", ""], lines)


def _load(facts: MachineFacts) -> str:
    return " ".join(f"{each:.2f}" for each in facts.load)


def _versions(outcome: Outcome) -> str:
    lines = [
        [name, ", ".join(f"{package} {version}" for package, version in sorted(installed.items()))]
        for name, installed in outcome.versions.items()
    ]
    return table(["contender", "in its environment"], lines)
