"""Tests mutants that take effect at import: imports them, and the tests, in a process of their own.

It is forked where the libraries are loaded, but not the core.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections import Counter
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import CodeType

import pytest
from mutants_baseline import Baseline
from mutants_child import OPTIONS, SOURCES, Killer, Outcome, in_child, limit_this_process
from mutants_make import Mutant


class _Finder(SourceFileLoader):
    """Imports a mutant in the place of its module."""

    def __init__(self, mutant: Mutant) -> None:
        super().__init__(f"runtime_core.{mutant.module}", str(SOURCES / f"{mutant.module}.py"))
        self.source = mutant.source

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, self.path, loader=self)

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.source, self.path, "exec")


class _Order:
    """Runs these tests only, in this order."""

    def __init__(self, tests: Sequence[str]) -> None:
        self.places = {test: place for place, test in enumerate(tests)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid in self.places),
            key=lambda item: self.places[item.nodeid],
        )


def import_and_test(mutant: Mutant, baseline: Baseline) -> Outcome:
    """Run the tests against a mutant from its import on: first the files that reach it most."""
    tests = baseline.tests_by_import(mutant)
    files = Counter(test.partition("::")[0] for test in tests)
    own = f"tests/core/test_{mutant.module}.py"
    first = [own] if own in files else [file for file, _ in files.most_common(2)]
    rest = sorted(files.keys() - {*first})
    outcome = Outcome.ALIVE
    for part in filter(None, (first, rest)):
        chosen = [test for test in tests if test.partition("::")[0] in part]

        def work(part: list[str] = part, chosen: list[str] = chosen) -> None:
            limit_this_process()
            sys.meta_path.insert(0, _Finder(mutant))
            importlib.import_module("runtime_core")  # which is the end of many
            plugins = [_Order(chosen), Killer(baseline.seconds)]
            status = pytest.main([*OPTIONS, *part], plugins=plugins)
            if status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
                os._exit(status)

        outcome = in_child(work)
        if outcome is not Outcome.ALIVE:
            break
    return outcome
