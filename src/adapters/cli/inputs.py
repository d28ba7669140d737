"""The values of `-i`: what a program's `main` is called with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adapters.cli.outcome import CommandError
from runtime_core.errors import DecodeError
from runtime_core.tagged_json import load_tagged


def read_inputs(given: Sequence[str]) -> dict[str, Any]:
    """Read the values of `-i`; tagged JSON is understood, so a result can be an input again.

    Raises:
        CommandError: if one is not NAME=VALUE, is there twice, or its file cannot be read.
    """
    inputs: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise CommandError(f"-i wants NAME=VALUE with a name as Python has them, not {text!r}.")
        if name in inputs:
            raise CommandError(f"-i gives {name!r} twice.")
        inputs[name] = _from_file(name, value[1:]) if value[:1] == "@" else _value(name, value)
    return inputs


def _value(name: str, text: str) -> Any:
    try:
        return load_tagged(text)
    except json.JSONDecodeError:
        return text
    except DecodeError as error:
        raise CommandError(f"-i {name}: the value cannot be used: {error}") from error


def _from_file(name: str, path: str) -> Any:
    try:
        return load_tagged(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        why = f"{path!r} cannot be read: {error.strerror or error}."
    except UnicodeDecodeError as error:
        why = f"{path!r} is not UTF-8 text: {error}."
    except json.JSONDecodeError as error:
        why = f"{path!r} is not JSON: {error}."
    except DecodeError as error:
        why = f"{path!r} cannot be used: {error}"
    raise CommandError(f"-i {name}: {why}")
