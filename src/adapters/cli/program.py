"""Reads the program's file, and finds early what the service would refuse late."""

from __future__ import annotations

import ast
import hashlib
import re
import symtable
import warnings
from pathlib import Path

import attrs

from adapters.cli.outcome import CommandError


@attrs.frozen
class Program:
    """A program that is fit to be uploaded."""

    name: str
    """Its name at the service: the file's, and a part that changes with the content."""
    source: str = attrs.field(repr=False)
    """Its text; holds a line break."""


def read_program(path: Path) -> Program:
    """Read a program.

    Raises:
        CommandError: if there is no such file, it is not Python, or it has no `main`.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise CommandError(f"There is no file {str(path)!r}.") from None
    except OSError as error:
        raise CommandError(f"{str(path)!r} cannot be read: {error.strerror or error}.") from error
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CommandError(f"{str(path)!r} is not Python: it is not UTF-8 text.") from error
    if not _has_main(data, path):
        raise CommandError(
            f"{str(path)!r} has no main: a program needs a function "
            "main(backend, user_messenger, **inputs) at its top level."
        )
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", path.stem).strip("-")[:40] or "program"
    return Program(f"{stem}-{hashlib.sha256(data).hexdigest()[:12]}", text + "\n")


def _has_main(data: bytes, path: Path) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are about the program, and it goes to run
            tree = ast.parse(data)
            compile(data, str(path), "exec", dont_inherit=True)  # what ast lets pass
            names = symtable.symtable(data.decode("utf-8-sig"), str(path), "exec")
    except SyntaxError as error:
        where = "" if error.lineno is None else f" in line {error.lineno}"
        raise CommandError(f"{str(path)!r} is not Python: {error.msg}{where}.") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise CommandError(f"{str(path)!r} is not Python: {error}.") from error
    if any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in tree.body):
        return True  # it may come from there
    try:
        main = names.lookup("main")
    except KeyError:
        return False
    return main.is_assigned() or main.is_imported()
