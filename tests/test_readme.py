"""What the README shows is true: its code runs, its diagram is the table's."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
RUNNING, IN_ASYNCIO, EMBEDDING = BLOCKS


class Vendor:
    """A service with words of its own, asked by the embedding example."""

    def __init__(self) -> None:
        self.words = ["SUBMITTED", "EXECUTING", "EXECUTING", "SUCCEEDED"]

    def status(self, job_id: str) -> str:
        assert job_id == "job-7"
        return self.words.pop(0)

    def download(self, job_id: str) -> str:
        assert job_id == "job-7"
        assert not self.words
        return '{"energy": -1.5}'


def test_the_core_alone_is_embedded_in_20_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    lines = [line for line in EMBEDDING.splitlines() if line.strip()]
    assert len(lines) <= 20
    exec(EMBEDDING, {"vendor": Vendor()})
    assert capsys.readouterr().out == "{'energy': -1.5}\n"
    assert slept == pytest.approx([0.05, 0.05, 0.075])


def test_a_job_is_run_as_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    exec(RUNNING, {})
    *interim, result = capsys.readouterr().out.splitlines()
    assert len(interim) == 4
    assert all(" +- " in line for line in interim)
    assert "'estimate': 3.1" in result


def test_jobs_are_run_in_asyncio_as_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    exec(IN_ASYNCIO, {})
    *interim, results = capsys.readouterr().out.splitlines()
    assert len(interim) == 4
    assert all(" +- " in line for line in interim)
    assert results.count("'estimate': 3.1") == 2


def drawing() -> ModuleType:
    spec = importlib.util.spec_from_file_location("drawing", ROOT / "docs" / "draw_lifecycle.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_state_diagram_is_the_table() -> None:
    draw = drawing()
    assert draw.diagram() in README
    stale = README.replace("RUNNING --> ERROR: JobFailed", "RUNNING --> DONE: JobFailed")
    assert stale != README
    assert draw.with_diagram(stale) == README
