"""The mutants of a module: mutmut's operators, on all of its code, and two more for tables.

mutmut itself mutates bodies of undecorated functions only, as it switches between copies of a
function. Here each mutant is a source text of its own. So properties, constants, defaults of
fields and the tables, which are what the core is, are mutated as well. As in mutmut, decorators
are left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs
import libcst as cst  # pyright: ignore[reportMissingImports]
from libcst.metadata import (  # pyright: ignore[reportMissingImports]
    MetadataWrapper,
    ParentNodeProvider,
    PositionProvider,
)
from mutmut.mutation.mutators import (  # pyright: ignore[reportMissingImports]
    mutation_operators,
)

NEVER_CALLS = {"len", "isinstance", "assert_never", "TypeVar", "cast"}
"""Calls whose arguments are left alone. Of the first two a mutant raises at once, as in mutmut;
the others are there for type checkers."""
DESCRIBED = {
    "_Inside",
    *(
        f"{region}{kind}"
        for region in ("Cancel", "Connection", "Result", "Subscription", "Watch")
        for kind in ("State", "Signal")
    ),
}
"""Enums inside of the core, whose values are descriptions that only people read."""
TYPES_ONLY = {"TypeAlias", "ClassVar", "TypeGuard"}
"""Annotations of what has no meaning at run time: annotations are not evaluated."""


@attrs.frozen
class Mutant:
    """One change to one module."""

    module: str
    """The file's name without its suffix."""
    function: str
    """The outermost function that it is in, with its class; else `<module>`, or the class."""
    operator: str
    """The operator that made it."""
    change: tuple[str, str]
    """The lines that it changes, and what stands there instead; each in one line."""
    source: str = attrs.field(repr=False)
    """The whole text of the changed module."""
    lines: range
    """The lines of the statement that is changed; tests that reach none of them cannot kill it."""
    place: tuple[str, int] | None
    """If it is inside of a function: the qualified name, and the how-manieth of this name in the
    module it is. None if it takes effect when the module is imported."""

    @property
    def key(self) -> str:
        """What names it in the list of survivors, whichever line it has moved to."""
        was, now = self.change
        return f"{self.module}.{self.function}: {was} -> {now or '(nothing)'}"


# ---- operators of our own ----------------------------------------------------------------------


def table_row(node: cst.Dict | cst.Tuple) -> Iterator[cst.CSTNode]:
    """Leave a row of a table out."""
    rows = node.elements
    is_table = isinstance(node, cst.Dict) or all(isinstance(r.value, cst.Tuple) for r in rows)
    if is_table and len(rows) > 1:
        for i in range(len(rows)):
            yield node.with_changes(elements=[*rows[:i], *rows[i + 1 :]])


def table_cell(node: cst.Dict | cst.Tuple) -> Iterator[cst.CSTNode]:
    """Put into a cell of a table what stands in the next one that differs."""
    cells = node.elements
    names = [i for i, c in enumerate(cells) if isinstance(c.value, cst.Name | cst.Attribute)]
    for place, i in enumerate(names):
        for j in (*names[place + 1 :], *names[:place]):
            if not cells[i].value.deep_equals(cells[j].value):
                cell = cells[i].with_changes(value=cells[j].value)
                yield node.with_changes(elements=[*cells[:i], cell, *cells[i + 1 :]])
                break


OPERATORS: list[tuple[Any, Callable[[Any], Iterable[cst.CSTNode]]]] = [
    *mutation_operators,
    (cst.Dict | cst.Tuple, table_row),
    (cst.Dict | cst.Tuple, table_cell),
]
TABLES = {table_row, table_cell}


# ---- finding the places ------------------------------------------------------------------------


@attrs.frozen(eq=False)
class _Found:
    node: cst.CSTNode
    mutated: cst.CSTNode
    statement: cst.CSTNode
    """That of the module which holds the node."""
    function: str
    operator: str
    lines: range
    place: tuple[str, int] | None


class _Finder(cst.CSTVisitor):
    METADATA_DEPENDENCIES = (PositionProvider, ParentNodeProvider)

    def __init__(self) -> None:
        self.found: list[_Found] = []
        self.statement: cst.CSTNode | None = None
        self.names: list[str] = []
        self.functions = 0  # how many of those that we are inside of are functions
        self.seen: dict[str, int] = {}
        self.place: tuple[str, int] | None = None

    def on_visit(self, node: cst.CSTNode) -> bool:
        if _is_left_alone(node, ".".join(self.names)):
            return False
        if isinstance(self.get_metadata(ParentNodeProvider, node, None), cst.Module):
            self.statement = node
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            # What stands before the body takes effect when the module is imported.
            for child in node.children:
                if child is not node.body:
                    child.visit(self)
            self._visit_body(node)
            return False
        self._mutate(node)
        return True

    def _visit_body(self, node: cst.FunctionDef | cst.ClassDef) -> None:
        outermost = isinstance(node, cst.FunctionDef) and not self.functions
        if not self.functions:
            self.names.append(node.name.value)
        name = ".".join(self.names)
        if outermost:
            self.seen[name] = count = self.seen.get(name, 0) + 1
            self.place = (name, count)
        self.functions += isinstance(node, cst.FunctionDef)
        if not _is_overload(node):  # of which only the name counts
            node.body.visit(self)
        self.functions -= isinstance(node, cst.FunctionDef)
        if not self.functions:
            self.names.pop()
        if outermost:
            self.place = None

    def _mutate(self, node: cst.CSTNode) -> None:
        for kind, operator in OPERATORS:
            if isinstance(node, kind) and (operator not in TABLES or not self.functions):
                for mutated in operator(node):
                    where = ".".join(self.names) or "<module>"
                    name = operator.__name__.removeprefix("operator_")
                    assert self.statement is not None
                    found = (node, mutated, self.statement, where, name, self._lines(node))
                    self.found.append(_Found(*found, self.place))

    def _lines(self, node: Any) -> range:
        while not isinstance(node, cst.BaseStatement | cst.Module | cst.ExceptHandler | cst.Else):
            node = self.get_metadata(ParentNodeProvider, node)
        where: Any = self.get_metadata(PositionProvider, node)
        body: Any = getattr(node, "body", None)
        if not isinstance(body, cst.IndentedBlock):
            return range(where.start.line, where.end.line + 1)
        first: Any = self.get_metadata(PositionProvider, body.body[0])
        return range(where.start.line, max(first.start.line, where.start.line + 1))


def _is_overload(node: cst.FunctionDef | cst.ClassDef) -> bool:
    match node.decorators:
        case [cst.Decorator(decorator=cst.Name(value="overload"))]:
            return True
    return False


def _is_left_alone(node: cst.CSTNode, in_class: str) -> bool:
    match node:
        case cst.Annotation() | cst.Decorator() | cst.Import() | cst.ImportFrom():
            return True
        case cst.Call(func=cst.Name(value=name)):
            return name in NEVER_CALLS
        case cst.AnnAssign(annotation=cst.Annotation(annotation=cst.Name(value=name))):
            return name in TYPES_ONLY
        case cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value="__all__"))]):
            return True
        case cst.Assign(value=cst.Call(func=cst.Name(value="TypeVar"))):
            return True
        case cst.Assign(value=cst.SimpleString()) if in_class in DESCRIBED:
            return True
        case cst.If(test=cst.Name(value="TYPE_CHECKING")):
            return True
    return False


# ---- the sources -------------------------------------------------------------------------------


class _Replacer(cst.CSTTransformer):
    def __init__(self, old: cst.CSTNode, new: cst.CSTNode) -> None:
        self.old, self.new = old, new

    def on_visit(self, node: cst.CSTNode) -> bool:
        return node is not self.old

    def on_leave(self, original_node: Any, updated_node: Any) -> Any:
        return self.new if original_node is self.old else updated_node


def _difference(old: str, new: str) -> tuple[str, str]:
    """From the first line that differs to the last, in one line each."""
    gone = [line.strip() for line in old.splitlines()]
    come = [line.strip() for line in new.splitlines()]
    for end in (0, -1):
        while gone and come and gone[end] == come[end]:
            del gone[end], come[end]
    return " ".join(filter(None, gone)), " ".join(filter(None, come))


def mutants_of(path: Path) -> Iterator[Mutant]:
    """All mutants of a module, in the order of its text."""
    wrapper = MetadataWrapper(cst.parse_module(path.read_text(encoding="utf-8")))
    module = wrapper.module
    finder = _Finder()
    wrapper.visit(finder)
    head = "".join(module.code_for_node(line) for line in module.header)
    parts = [module.code_for_node(statement) for statement in module.body]
    for found in finder.found:
        # Only the statement that holds the change is written anew: a module takes too long.
        i = module.body.index(found.statement)
        changed = found.statement.visit(_Replacer(found.node, found.mutated))
        assert isinstance(changed, cst.CSTNode)
        part = module.code_for_node(changed)
        yield Mutant(
            module=path.stem,
            function=found.function,
            operator=found.operator,
            change=_difference(parts[i], part),
            source=head + "".join([*parts[:i], part, *parts[i + 1 :]]),
            lines=found.lines,
            place=found.place,
        )
