"""How messages point at a value and show it: `$.circuits[0].name`, shortened."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterator
from typing import Any


class _Short(reprlib.Repr):
    """A short repr of what came from outside; `reprlib` writes what it does not know whole."""

    def repr_ndarray(self, array: Any, _: int) -> str:
        return f"<ndarray of {str(array.dtype)[:60]} and shape {array.shape}>"


_SHORT = _Short()
_SHORT.maxlevel = 3
_SHORT.maxlist = _SHORT.maxdict = _SHORT.maxset = _SHORT.maxtuple = 4
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60


def shown(value: object) -> str:
    """Write a value for a message: its repr, shortened, whatever its size."""
    return _SHORT.repr(value)


def step(key: object) -> str:
    """Write one step of a path: `[3]` into a list, `.name` or `['a key']` into a dict."""
    if isinstance(key, str) and key.isidentifier() and len(key) <= _SHORT.maxstring:
        return f".{key}"
    return f"[{shown(key)}]"


def find_path(root: object, matches: Callable[[Any], bool]) -> str:
    """Say where the first matching value stands inside nested lists and dicts, else "".

    It walks without recursion and keeps one iterator for each level, so that it costs no memory on
    a big value. For messages only: it is slow.
    """
    keys: list[object] = []
    levels = [iter([(None, root)])]
    while levels:
        for key, value in levels[-1]:
            if matches(value):
                return "$" + "".join(map(step, [*keys, key][1:]))
            if isinstance(value, (dict, list)):
                keys.append(key)
                levels.append(_children(value))
                break
        else:
            levels.pop()
            del keys[len(levels) - 1 :]
    return ""


def _children(value: dict[Any, Any] | list[Any]) -> Iterator[tuple[Any, Any]]:
    return iter(value.items()) if isinstance(value, dict) else enumerate(value)
