"""What is said of figures: medians, ratios, targets; nobody is left out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from _compare import rows, spread, standings, verdicts
from _machine_facts import machine_facts
from _plots import draw
from _report import Outcome, anchor, figure_words, markdown, ratio_words, table
from _runner import Contender, Measured, Role, Scenario, Target
from attrs import evolve

OURS = Contender("ours", "w", Role.OURS)
PEER = Contender("peer", "w")
BETTER = Contender("better peer", "w")
BROKEN = Contender("broken peer", "w")
LIMIT = Contender("limit", "w", Role.LIMIT)
ALL = (OURS, PEER, BETTER, BROKEN, LIMIT)


def scenario(targets: Sequence[Target] = (), *, lower: bool = True) -> Scenario:
    return Scenario(
        "it", "How it is", "ms", ALL, "", lower, targets, details={"n": "number"}, plots={"n": "n"}
    )


def taken(who: Contender, number: int, value: float | None, size: int | None = None) -> Measured:
    failed = "stalled: got 3 of 50 in 2 s" if value is None else None
    details = {} if value is None else {"n": value * 2}
    return Measured("it", size, who.name, number, value, details, failed)


def figures(size: int | None = None) -> list[Measured]:
    ours = {0: 1000.0, 1: 10.0, 2: 11.0, 3: 12.0}
    return [
        *(taken(OURS, number, value, size) for number, value in ours.items()),
        *(taken(PEER, n, value * 3, size) for n, value in ours.items()),
        *(taken(BETTER, n, value / 2, size) for n, value in ours.items()),
        *(taken(BROKEN, n, None, size) for n in (0, 1)),
        *(taken(LIMIT, n, value / 4, size) for n, value in ours.items()),
    ]


def test_a_spread_has_quartiles_also_of_one_figure() -> None:
    assert spread([4.0]).high == 4.0
    many = spread([1, 2, 3, 4, 5])
    assert (many.low, many.median, many.high, many.count) == (2, 3, 4, 5)


def test_the_warm_up_is_left_out_and_nobody_else() -> None:
    found = rows(scenario(), figures())
    assert [row.contender for row in found] == list(ALL)
    assert [row.figure("value") for row in found] == [11, 33, 5.5, None, 2.75]
    assert found[0].figure("n") == 22
    assert found[3].failures == ("stalled: got 3 of 50 in 2 s",)


@pytest.mark.parametrize(("lower", "times"), [(True, 3), (False, 1 / 3)])
def test_ratios_say_how_many_times_better_ours_is(lower: bool, times: float) -> None:
    peer = rows(scenario(lower=lower), figures())[1]
    assert peer.better is not None
    assert peer.better.median == pytest.approx(times)


@pytest.mark.parametrize(
    ("target", "reached", "met"),
    [
        (Target("", 1 / 3, "peer"), 1 / 3, True),
        (Target("", 0.3, "peer"), 1 / 3, False),
        (Target("", 2, "best peer"), 2, True),
        (Target("", 1.5, "limit"), 4, False),
        (Target("", 22, of="n"), 22, True),
        (Target("", 23, of="n", at_least=True), 22, False),
        (Target("", 1, "broken peer"), None, None),
    ],
)
def test_targets_are_judged(target: Target, reached: float | None, met: bool | None) -> None:
    what = scenario([target])
    [verdict] = verdicts(what, rows(what, figures()))
    assert verdict.ours == pytest.approx(reached)
    assert verdict.met is met


def test_a_miss_says_by_how_much() -> None:
    what = scenario([Target("fast", 1.5, "limit")])
    [verdict] = verdicts(what, rows(what, figures()))
    assert verdict.off_by == pytest.approx(1.5 / 4)
    assert "**missed** by a factor of 2.67" in report(what, figures())


def test_ours_is_seen_to_be_behind() -> None:
    [standing] = standings(scenario(), rows(scenario(), figures()))
    assert standing.peer is not None
    assert standing.peer.contender is BETTER
    assert standing.is_behind
    assert standing.is_far
    [other] = standings(scenario(), rows(scenario(), figures()[:8]))
    assert not other.is_behind
    assert not other.is_far


def report(what: Scenario, found: Sequence[Measured]) -> str:
    facts = machine_facts()
    outcome = Outcome([what], found, {"ours": {"python": "3"}}, facts, facts, "the command")
    return markdown(outcome, {"it": ["it.svg"]})


def test_at_a_size_ours_is_the_first_of_ours_that_is_measured_there() -> None:
    few, many = evolve(OURS, name="few", sizes=(10,)), evolve(OURS, name="many")
    both = evolve(scenario([Target("t", 0.5, "peer")]), contenders=(few, many, PEER))
    measured = [taken(who, 1, 1.0, 10) for who in (few, many, PEER)]
    measured += [taken(many, 1, 1.0, 100), taken(PEER, 1, 4.0, 100)]
    found = rows(both, measured)
    assert [(row.contender.name, row.size) for row in found if row.better is None] == [
        ("few", 10),
        ("many", 100),
    ]
    assert [one.ours.contender.name for one in standings(both, found)] == ["few", "many"]
    assert [verdict.ours for verdict in verdicts(both, found)] == [1.0, 0.25]


def test_the_report_has_all_of_them() -> None:
    text = report(scenario([Target("fast", 1.0, "peer")]), figures())
    for name in ("**ours**", "peer", "better peer", "broken peer", "*limit* (limit)"):
        assert f"| {name} |" in text
    assert "stalled: got 3 of 50 in 2 s" in text
    assert "![How it is](it.svg)" in text
    assert "the command" in text
    headings = [anchor(line.lstrip("# ")) for line in text.splitlines() if line.startswith("#")]
    assert set(re.findall(r"\]\(#([^)]*)\)", text)) <= set(headings)


def test_figures_in_words() -> None:
    words = [figure_words(number) for number in (0, 0.001234, 1.0, 12.345, 123.4, 1234567)]
    assert words == ["0", "0.00123", "1.00", "12.3", "123", "1,234,567"]
    assert ratio_words(1 / 30) == "1/30"
    assert ratio_words(1 / 2440) == "1/2,440"
    assert table(["", "n"], [["a|b", "1"]]).splitlines()[1:] == ["| --- | ---: |", "| a\\|b | 1 |"]


@pytest.mark.parametrize("sizes", [(None,), (10, 1000)])
def test_plots_show_all_of_them_also_who_failed(
    sizes: Sequence[int | None], tmp_path: Path
) -> None:
    found = [one for size in sizes for one in figures(size)]
    files = draw(scenario(), found, tmp_path)
    assert files == ["it.svg", "it-n.svg"]
    text = (tmp_path / "it.svg").read_text(encoding="utf-8")
    ET.fromstring(text)
    for one in ALL:
        assert one.name in text
    assert ("stalled: got 3 of 50" if sizes == (None,) else "fails at 10, 1,000") in text
    assert "prefers-color-scheme: dark" in text
    assert "#010203" not in text


def test_nothing_has_no_place_on_a_logarithmic_axis_and_is_said(tmp_path: Path) -> None:
    found = [taken(OURS, 1, 0.0, 10), taken(OURS, 1, 5.0, 1000)]
    found += [taken(PEER, 1, value, size) for value, size in ((1.0, 10), (900.0, 1000))]
    draw(scenario(), found, tmp_path)
    text = (tmp_path / "it.svg").read_text(encoding="utf-8")
    assert "ours: 0 at 10<" in text
    assert "peer<" in text
