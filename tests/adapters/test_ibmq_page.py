"""docs/ibmq.md: the table has everything of the original's `RuntimeJob`, and its tests exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from test_ibmq_job import PROPERTIES, THEIRS

TESTS = Path(__file__).parents[1]
PAGE = (Path(__file__).parents[2] / "docs" / "ibmq.md").read_text(encoding="utf-8")
TABLE = PAGE.partition("## `RuntimeJob`, line by line")[2]
LINES = [
    line for line in TABLE.splitlines() if line.startswith("| ") and "as documented" not in line
]
NAMED = sorted(set(re.findall(r"`(\w+\.py)::(\w+)`", TABLE)))


def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_test_that_the_page_names_exists(file: str, name: str) -> None:
    (path,) = TESTS.rglob(file)
    assert name in functions(path)


def test_every_line_names_a_test() -> None:
    assert len(LINES) > 40
    assert [line for line in LINES if "::test_" not in line.split("|")[3]] == []


@pytest.mark.parametrize("method", THEIRS)
def test_every_method_and_parameter_has_a_line(method: str) -> None:
    column = [line.split("|")[1] for line in LINES]
    called = "RuntimeJob" if method == "__init__" else method
    assert any(f"`{called}(" in cell for cell in column)
    for parameter in THEIRS[method].split():
        name = parameter.partition("=")[0]
        wanted = rf"`{name}[`=]" if method == "__init__" else rf"`{called}\({name}\)"
        assert any(re.search(wanted, cell) for cell in column), parameter


@pytest.mark.parametrize("name", PROPERTIES)
def test_every_property_has_a_line(name: str) -> None:
    assert any(f"`{name}`" in line.split("|")[1] for line in LINES)


def test_every_method_that_takes_something_states_its_defaults() -> None:
    for method, parameters in THEIRS.items():
        if method == "__init__" or not parameters:
            continue
        (line,) = (line for line in LINES if f"`{method}(...)`" in line)
        for parameter in parameters.split():
            assert f"`{parameter}`" in line
