"""What says where the time goes, with a real service: its parts come to the whole."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "workers"))

import _completing
import _decoding
import _living
import _receiving

from runtime_core.fast_json import fast_parser


def figures(text: str) -> dict[str, float]:
    found = re.findall(r"^(.*?) {2,}([\d.]+)", text, re.MULTILINE)
    return {words: float(number) for words, number in found}


def test_the_stages_of_a_completion_come_to_the_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_completing, "JOBS", 1)
    monkeypatch.setattr(_completing, "SECONDS", 0.05)
    _completing.completing()
    shown = figures(capsys.readouterr().out)
    assert [*shown] == [*_completing.STAGES, "together"]
    assert min(shown.values()) > 0
    assert shown.pop("together") == pytest.approx(sum(shown.values()), abs=0.03)


@pytest.mark.parametrize("kind", ["small", "large"])
def test_the_stages_of_a_message_come_to_the_whole(
    kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_receiving, "MESSAGES", {"small": 2_000, "large": 20})
    monkeypatch.setattr(_receiving, "ROUNDS", 1)
    for owner, name in _receiving.STAGES.values():
        monkeypatch.setattr(owner, name, getattr(owner, name))  # put back when the test ends
    _receiving.receiving(kind)
    shown = figures(capsys.readouterr().out)
    parts = ("loop: all of a read", "callback thread: JSON, callback")
    assert shown["loop: its frames, UTF-8"] < shown["loop: all of a read"]
    rest = shown["all else: turns, threads, polls"]
    assert shown["together"] == pytest.approx(rest + sum(shown[p] for p in parts), abs=0.01)


def test_every_step_of_a_lifecycle_is_timed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_living, "JOBS", 200)
    monkeypatch.setattr(_living, "ROUNDS", 2)
    _living.living()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 1 + len(_living.STEPS) + 2
    columns = list(zip(*([float(each) for each in line[-3:]] for line in lines[1:-1]), strict=True))
    for *steps, total in columns:
        assert min(steps) > 0
        assert total == pytest.approx(sum(steps), abs=0.05)


def test_decoding_is_timed_with_each_parser(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import msgspec

    monkeypatch.setitem(sys.modules, "msgspec", msgspec)  # it is taken away, and put back here
    monkeypatch.setattr(_decoding, "ROUNDS", 1)
    monkeypatch.setattr(_decoding, "SECONDS", 0.01)
    _decoding.decoding("numbers")
    fast_parser.cache_clear()
    shown = figures(capsys.readouterr().out.replace(",", ""))
    assert [*shown] == [
        "json's scanner alone",
        "msgspec alone",
        "ours with the extra fast",
        "ours",
    ]
    assert min(shown.values()) > 0
