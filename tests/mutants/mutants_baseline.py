"""What the tests do without a mutant: how long each takes, and which lines it reaches."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from pathlib import Path

import attrs
import coverage
import pytest
from mutants_child import ROOT, SOURCES
from mutants_make import Mutant

SLOW, SLOW_ELSEWHERE = 0.5, 0.1
"""A test is not asked if it takes more seconds than this; or than this, if it reaches the mutant's
module by another one only."""


@attrs.frozen
class Baseline:
    """What the tests do without a mutant."""

    seconds: dict[str, float]
    """How long each test takes, in seconds of CPU."""
    reached: dict[str, dict[int, list[str]]]
    """Module -> line -> the tests that reach it."""

    def tests_of(self, mutant: Mutant) -> list[str]:
        """The tests that reach a mutant, the fastest first."""
        lines = self.reached.get(mutant.module, {})
        return self._sorted({test for line in mutant.lines for test in lines.get(line, ())})

    def tests_by_import(self, mutant: Mutant) -> list[str]:
        """The tests that may notice what a mutant does at import, the fastest first."""
        near = self._reaching(mutant.module) | self._importing(rf"\.{mutant.module}\b")
        # What a module makes at import is used by those that import it, too; and is public.
        far = self._importing("$").union(*map(self._reaching, _importers(mutant.module)))
        return self._sorted(near | {test for test in far if self.seconds[test] < SLOW_ELSEWHERE})

    def _importing(self, rest: str) -> set[str]:
        files = tuple(f"tests/core/{path.name}::" for path in _that_import(rest, "tests/core"))
        return {test for test in self.seconds if test.startswith(files)}

    def _reaching(self, module: str) -> set[str]:
        return {test for tests in self.reached.get(module, {}).values() for test in tests}

    def _sorted(self, tests: Iterable[str]) -> list[str]:
        quick = [test for test in tests if self.seconds[test] < SLOW]
        return sorted(quick, key=lambda test: (self.seconds[test], test))


def _that_import(rest: str, folder: str) -> list[Path]:
    """The files of a folder that import the core, with this after its name."""
    line = re.compile(rf"\s*(from|import) runtime_core({rest})")
    return [
        path
        for path in ROOT.glob(f"{folder}/*.py")
        if any(map(line.match, path.open(encoding="utf-8")))
    ]


def _importers(module: str) -> list[str]:
    paths = _that_import(rf"\.{module}\b", "src/runtime_core")
    return [path.stem for path in paths if path.stem != "__init__"]


class Measurer:
    """Books what each test reaches, and how long it takes."""

    def __init__(self) -> None:
        self.coverage = coverage.Coverage(
            data_file=None, config_file=False, include=[f"{SOURCES}/*.py"]
        )
        self.seconds: dict[str, float] = {}
        self.failed: list[str] = []
        self.coverage.start()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.coverage.switch_context(nodeid)
        self.seconds[nodeid] = -time.process_time()

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self.seconds[nodeid] += time.process_time()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(f"{report.nodeid}: {report.longrepr}")

    def result(self) -> Baseline:
        self.coverage.stop()
        data = self.coverage.get_data()
        return Baseline(
            dict(self.seconds),
            {Path(file).stem: data.contexts_by_lineno(file) for file in data.measured_files()},
        )
