"""What the pages in docs/ show is true: their code runs, their tables are the machine's.

The Python blocks of a page run in order in one namespace, in a directory that has the examples. A
block with a title is a file: it is written there, and a later block or command must use it. A
`text` block right after another one is what that prints, with ``...`` for what varies. Of `console`
blocks, `python`, `pytest` and `runtime-core replay` are run, other commands of ours are parsed. Of
what stands below ``<!-- on a cluster -->`` only the syntax is checked here: tests/ray runs it.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from enum import Enum
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import pytest

import adapters
import runtime_core
from adapters.cli.arguments import parse
from adapters.testing import TransportConformance
from runtime_core import OpenStream, StreamOpened, errors
from runtime_core.errors import RuntimeCoreError

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
CLUSTER = "<!-- on a cluster -->"
FENCE = re.compile(r"^( *)```(\w+)([^\n]*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    return module("hooks")


@attrs.frozen
class Block:
    """A fenced block of a page."""

    language: str
    title: str
    text: str
    line: int
    printed: str | None
    """The text block that follows it at once."""
    needs_cluster: bool = False
    """Whether it can be run only where there is a Ray cluster."""


def blocks(page: str) -> list[Block]:
    found: list[Block] = []
    end = 0
    for match in FENCE.finditer(page):
        _, language, attributes, text = match.groups()
        text = textwrap.dedent(text)
        if language == "text" and found and not page[end : match.start()].strip():
            found[-1] = attrs.evolve(found[-1], printed=text)
        else:
            title = re.search(r'title="([^"]+)"', attributes)
            line = page.count("\n", 0, match.start()) + 2
            marked = page[end : match.start()].rstrip().endswith(CLUSTER)
            found.append(Block(language, title[1] if title else "", text, line, None, marked))
        end = match.end()
    return found


# ---- what pages take for granted: a vendor, an account -------------------------------------------


class Provider:
    """An account of the original's, for the service on this machine."""

    class credentials:  # noqa: N801 - an attribute of the original's
        runtime_url = "http://127.0.0.1:9"
        access_token = "token"


GIVEN: dict[str, dict[str, Any]] = {"ibmq.md": {"provider": Provider()}}


# ---- running a page ------------------------------------------------------------------------------


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        place = getattr(sys.modules[name], "__file__", None) or ""
        if place.startswith(str(tmp_path)):
            del sys.modules[name]


def with_code() -> list[Path]:
    return [page for page in PAGES if blocks(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", with_code(), ids=lambda page: str(page.relative_to(DOCS)))
def test_the_code_of_a_page_runs(page: Path, workplace: Path) -> None:
    space: dict[str, Any] = {"__name__": "__main__", **GIVEN.get(page.name, {})}
    unused: list[str] = []
    for block in blocks(page.read_text(encoding="utf-8")):
        unused = [title for title in unused if Path(title).stem not in block.text]
        if block.title:
            (workplace / block.title).write_text(block.text, encoding="utf-8")
            if block.title != "conftest.py":  # which pytest reads by itself
                unused.append(block.title)
            printed = ""
        elif block.needs_cluster:
            check_syntax(block, page)
            continue
        elif block.language == "python":
            printed = run_python(block, page, space)
        elif block.language == "console":
            printed = "".join(map(run_command, commands(block.text)))
        else:
            assert block.language in {"text", "json", "toml"}, f"{page.name}:{block.line}"
            continue
        if block.printed is not None:
            assert matches(block.printed, printed), f"{page.name}:{block.line} printed\n{printed}"
    assert unused == []


def run_python(block: Block, page: Path, space: dict[str, Any]) -> str:
    # The line numbers of a traceback are the page's.
    code = compile("\n" * (block.line - 1) + block.text, str(page), "exec")
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(code, space)
    return out.getvalue()


def check_syntax(block: Block, page: Path) -> None:
    if block.language == "python":
        compile("\n" * (block.line - 1) + block.text, str(page), "exec")
        return
    for program, *arguments in commands(block.text):
        if program == "runtime-core":
            parse(arguments)


def test_a_stream_of_the_page_that_is_closed_between_two_events_leaves_nothing(
    workplace: Path,
) -> None:
    for block in blocks((DOCS / "transport.md").read_text(encoding="utf-8")):
        if block.title.startswith("kiln"):
            (workplace / block.title).write_text(block.text, encoding="utf-8")
    kiln = importlib.import_module("kiln").Kiln()
    transport = importlib.import_module("kiln_transport").KilnTransport(kiln.url)
    stream = transport.stream(kiln.fire(hold=True), OpenStream(1, 0))
    assert next(stream) == StreamOpened(1)
    stream.close()
    assert stream._socket.fileno() == -1
    kiln.close()


def matches(expected: str, printed: str) -> bool:
    parts = expected.rstrip().split("...")
    return re.fullmatch(".*".join(map(re.escape, parts)), printed.rstrip(), re.DOTALL) is not None


def commands(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("$ ")]
    assert lines, "a console block has commands, each after a dollar"
    return [shlex.split(line[2:], comments=True) for line in lines]


RUN = {
    ("python",): [],
    ("pytest",): ["-m", "pytest", "-p", "no:cacheprovider"],
    ("runtime-core", "replay"): ["-m", "adapters.cli", "replay"],
}
"""The commands that are run: what they begin with, and what stands for that after `python`."""


def run_command(words: list[str]) -> str:
    for beginning, instead in RUN.items():
        if tuple(words[: len(beginning)]) == beginning:
            return run_process([*instead, *words[len(beginning) :]])
    program, *arguments = words
    match program:
        case "runtime-core":
            parse(arguments)
        case "make":
            targets = (ROOT / "Makefile").read_text(encoding="utf-8")
            assert all(re.search(rf"^{target}:", targets, re.MULTILINE) for target in arguments)
        case "pip":
            assert arguments[0] == "install"
        case _:
            raise AssertionError(f"nobody tries {program!r}")
    return ""


def run_process(arguments: list[str]) -> str:
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "80"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_what_a_block_prints_is_compared() -> None:
    assert matches("a ... c\n", "a b c\n")
    assert matches("1\n...\n3\n", "1\n2\n2\n3\n")
    assert not matches("a ... c\n", "a b d\n")
    assert not matches("a.c\n", "abc\n")


def test_blocks_are_found_with_what_they_print() -> None:
    page = 'x\n```python\nprint(1)\n```\n\n```text\n1\n```\n\n```python title="a.py"\n2\n```\n'
    first, second = blocks(page)
    assert first == Block("python", "", "print(1)\n", 3, "1\n")
    assert second == Block("python", "a.py", "2\n", 11, None)


def test_blocks_that_need_a_cluster_are_marked() -> None:
    page = f"{CLUSTER}\n```python\n1\n```\n\n```text\n2\n```\n\n```python\n3\n```\n"
    first, second = blocks(page)
    assert first == Block("python", "", "1\n", 3, "2\n", needs_cluster=True)
    assert not second.needs_cluster


# ---- what is made from the code ------------------------------------------------------------------


def regions() -> dict[str, Any]:
    found: dict[str, Any] = module("draw_regions").REGIONS
    return found


def called(signal: Any) -> str:
    return str(signal.name if isinstance(signal, Enum) else signal.__name__)


@pytest.mark.parametrize("name", regions())
def test_a_diagram_has_every_state_and_every_move(name: str, hooks: ModuleType) -> None:
    table: dict[tuple[Enum, Any], Enum] = regions()[name].table
    svg = hooks.as_svg(name)
    states = {state.name for state in type(next(iter(table))[0])}
    assert set(re.findall(r'class="state"[^>]*>(\w+)<', svg)) == states
    moves = [(s.name, t.name) for (s, _), t in table.items() if s is not t]
    assert svg.count('class="move"') == len(set(moves))
    signals = re.findall(r'class="signal"[^>]*>(\w+)<', svg)
    wanted = [
        getattr(g, "__name__", getattr(g, "name", "")) for (s, g), t in table.items() if s is not t
    ]
    assert sorted(signals) == sorted(wanted)


@pytest.mark.parametrize("name", regions())
def test_a_table_says_what_the_machine_does(name: str, hooks: ModuleType) -> None:
    table: dict[tuple[Enum, Any], Enum] = regions()[name].table
    head, _, *rows = hooks.as_table(regions()[name]).splitlines()
    columns = re.findall(r"`(\w+)`", head)
    shown = {
        (row.split("|")[1].strip(" *"), column): cell.strip()
        for row in rows
        for column, cell in zip(columns, row.split("|")[2:-1], strict=True)
    }
    kinds = {called(signal): signal for _, signal in table}
    states = type(next(iter(table))[0])
    assert set(shown) == set(product((s.name for s in states), kinds))
    for (state, signal), cell in shown.items():
        target = table.get((states[state], kinds[signal]))
        if cell.startswith("**"):
            assert target is not None
            assert cell == f"**{target.name}**"
        else:
            assert (cell == "refused") == (target is None)
            assert target in (None, states[state])


def test_every_region_is_on_the_page_of_the_lifecycle(hooks: ModuleType) -> None:
    page = (DOCS / "lifecycle.md").read_text(encoding="utf-8")
    for name in regions():
        assert f"<!-- table: {name} -->" in page
        assert f"<!-- diagram: {name} -->" in page
    assert "<!--" not in hooks.filled_in(page)


@pytest.mark.parametrize("package", [runtime_core, adapters])
def test_the_reference_has_every_public_name_once(package: ModuleType, hooks: ModuleType) -> None:
    texts = [hooks.filled_in(page.read_text(encoding="utf-8")) for page in PAGES]
    entries = re.findall(rf"^::: {package.__name__}\.(\w+)$", "\n".join(texts), re.MULTILINE)
    assert sorted(entries) == sorted(package.__all__)


def test_the_rules_of_the_kit_are_on_the_page_of_transports(hooks: ModuleType) -> None:
    page = hooks.filled_in((DOCS / "transport.md").read_text(encoding="utf-8"))
    shown = re.findall(r"^\| `(test_\w+)` \| (.+) \|$", page, re.MULTILINE)
    assert [name for name, _ in shown] != []
    assert {name for name, _ in shown} == {
        name for name in dir(TransportConformance) if name.startswith("test_")
    }


def test_a_file_that_a_page_shows_is_there_whole(hooks: ModuleType) -> None:
    for name, path in (
        ("embed.md", "examples/embed_core_httpx.py"),
        ("dialect.md", "examples/embed_sdk/sdk.py"),
    ):
        page = hooks.filled_in((DOCS / name).read_text(encoding="utf-8"))
        shown = [block.text for block in blocks(page)]
        assert (ROOT / path).read_text(encoding="utf-8") in shown


def test_what_is_to_be_done_is_said_for_every_error() -> None:
    page = (DOCS / "errors.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|([^|]*)\|([^|]*)\|$", page, re.MULTILINE)
    classes = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, RuntimeCoreError)
    }
    assert {name for name, *_ in rows} == classes
    assert len(rows) == len(classes)
    assert all(cell.strip() for _, *cells in rows for cell in cells)


def test_every_page_is_in_the_navigation_and_every_link_leads_somewhere() -> None:
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    assert sorted(re.findall(r": ([\w/-]+\.md)$", nav, re.MULTILINE)) == sorted(
        str(page.relative_to(DOCS)) for page in PAGES
    )
    for page in PAGES:
        for link in re.findall(r"\]\(([\w./-]+\.md)[#)]", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


@pytest.mark.parametrize(
    ("html", "is_fetched"),
    [
        ('<script src="https://cdn.example/a.js"></script>', True),
        ('<link rel="stylesheet" href="//fonts.example/css?family=Roboto">', True),
        ('<img alt="" src=https://img.example/a.png>', True),
        ("body { background: url('https://img.example/a.png') }", True),
        ('<script src="assets/javascripts/bundle.js"></script>', False),
        ('<a href="https://example.org">a link is followed by who reads</a>', False),
        ('<link rel="canonical" href="https://example.org/">', False),
    ],
)
def test_what_a_site_would_fetch_from_elsewhere_is_found(html: str, is_fetched: bool) -> None:
    assert bool(module("check_site").fetched(html)) == is_fetched
