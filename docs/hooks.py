"""What mkdocs does to the pages: it fills in what is made from the code.

    <!-- table: watch -->                a table of the machine
    <!-- diagram: watch -->              the same as a diagram
    <!-- meanings: watch.WatchSignal --> what the members of an enum mean
    <!-- reference: runtime_core.events runtime_core.commands -->
                                         the public names that come from these modules
    <!-- reference: the rest of runtime_core -->
                                         those that no other page has
"""

from __future__ import annotations

import ast
import importlib
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from draw_regions import REGIONS, as_svg, as_table, meanings  # noqa: E402

ROOT = Path(__file__).parent.parent
MARKER = re.compile(r"<!-- (table|diagram|meanings|reference): ([^>]+?) -->")
PACKAGES = ("runtime_core", "adapters")


def public_names(package: str) -> dict[str, str]:
    """The public names of a package, each with the module that it comes from."""
    text = (ROOT / "src" / package / "__init__.py").read_text(encoding="utf-8")
    imported = {
        alias.asname or alias.name: node.module
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    public: list[str] = importlib.import_module(package).__all__
    return {name: imported[name] for name in public}


def elsewhere() -> set[str]:
    """The modules that some page names."""
    pages = (ROOT / "docs").rglob("*.md")
    found = [MARKER.findall(page.read_text(encoding="utf-8")) for page in pages]
    return {
        module
        for marks in found
        for kind, what in marks
        if kind == "reference" and not what.startswith("the rest")
        for module in what.split()
    }


def reference(what: str) -> str:
    """The entries of the public names of some modules, for mkdocstrings."""
    if what.startswith("the rest of "):
        package = what.removeprefix("the rest of ")
        names = {n: m for n, m in public_names(package).items() if m not in elsewhere()}
    else:
        modules = what.split()
        package = modules[0].partition(".")[0]
        names = {n: m for n, m in public_names(package).items() if m in modules}
    if not names:
        raise ValueError(f"no public name comes from {what}")
    return "\n\n".join(f"::: {package}.{name}" for name in names)


def filled_in(markdown: str) -> str:
    """The page with everything that is made from the code."""

    def made(match: re.Match[str]) -> str:
        kind, what = match.groups()
        match kind:
            case "table":
                return as_table(REGIONS[what])
            case "diagram":
                return as_svg(what)
            case "meanings":
                module, _, name = what.rpartition(".")
                return meanings(getattr(importlib.import_module(f"runtime_core.{module}"), name))
            case _:
                return reference(what)

    return MARKER.sub(made, markdown)


def on_page_markdown(markdown: str, **_: object) -> str:
    """Called by mkdocs with the text of each page."""
    return filled_in(markdown)
