"""What mkdocs does to the pages: it fills in what is made from the code.

`<!-- table: watch -->` becomes a table of the machine, `<!-- diagram: watch -->` the same as a
diagram, `<!-- meanings: watch.WatchSignal -->` what the members of an enum mean.
`<!-- reference: MODULES -->` becomes the entries of the public names that come from these modules,
`<!-- reference: the rest of runtime_core -->` those that no other page has, so that none is
missing, and `<!-- reference: all of runtime_core.testing -->` all names of a package. `<!-- rules:
CLASS -->` becomes what a class of tests holds to, and `<!-- file: PATH -->` a Python file, folded.
"""

from __future__ import annotations

import ast
import importlib
import re
import sys
from functools import partial
from pathlib import Path
from textwrap import indent

sys.path.insert(0, str(Path(__file__).parent))

from draw_regions import REGIONS, as_svg, as_table, meanings

ROOT = Path(__file__).parent.parent
MARKER = re.compile(r"<!-- (table|diagram|meanings|rules|reference|file): ([^>]+?) -->")
SHOWN = {"InterimResults": ("__next__", "close"), "AsyncInterimResults": ("__anext__", "close")}
"""The methods for users, of classes that have others for the driver too."""


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
        if kind == "reference" and not what.startswith(("the rest of ", "all of "))
        for module in what.split()
    }


def reference(what: str) -> str:
    """The entries of the public names of some modules, for mkdocstrings."""
    if what.startswith("all of "):
        package = what.removeprefix("all of ")
        names = list(importlib.import_module(package).__all__)
    elif what.startswith("the rest of "):
        package = what.removeprefix("the rest of ")
        found = public_names(package)
        named = elsewhere()
        names = [name for name, module in found.items() if module not in named]
    else:
        modules = what.split()
        package = modules[0].partition(".")[0]
        found = public_names(package)
        names = [name for module in modules for name in found if found[name] == module]
    if not names:
        raise ValueError(f"no public name comes from {what}")
    return "\n\n".join(map(partial(entry, package), names))


def rules(what: str) -> str:
    """The rules that a class of tests holds to, each with what it says."""
    module, _, name = what.rpartition(".")
    kind = getattr(importlib.import_module(module), name)
    tests = [
        test
        for base in kind.__mro__
        for test in vars(base).values()
        if getattr(test, "__name__", "").startswith("test_")
    ]
    rows = [f"| `{test.__name__}` | {(test.__doc__ or '').splitlines()[0]} |" for test in tests]
    return "\n".join(["| Rule | |", "|---|---|", *rows])


def shown_file(path: str) -> str:
    """A Python file of the repository as a block that unfolds."""
    text = (ROOT / path).read_text(encoding="utf-8").rstrip()
    block = f"```python\n{text}\n```"
    return f'??? example "{path}"\n\n{indent(block, "    ")}'


def entry(package: str, name: str) -> str:
    """The entry of one public name."""
    shown = SHOWN.get(name)
    options = f"\n    options:\n      members: [{', '.join(shown)}]" if shown else ""
    return f"::: {package}.{name}{options}"


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
            case "rules":
                return rules(what)
            case "file":
                return shown_file(what)
            case _:
                return reference(what)

    return MARKER.sub(made, markdown)


def on_page_markdown(markdown: str, **_: object) -> str:
    """Called by mkdocs with the text of each page."""
    return filled_in(markdown)
