"""Writes values as tagged JSON; `tagged_json` has the table of the tags and reads them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple

import attrs

from runtime_core.errors import EncodeError
from runtime_core.npy import object_array, pack_array
from runtime_core.value_path import find_path, shown, step

_TAGS = frozenset({"datetime", "complex", "set", "ndarray", "dict"})
_KEYS = {"__type__", "__value__"}
_SCALARS = frozenset({type(None), bool, int, float, str})


def encode_tagged(value: object) -> str:
    """Write a value as tagged JSON, in ASCII; `decode_tagged` reads it back.

    What comes back differs in these ways, for which there are no words: tuples come back as lists
    (inside a set as tuples), frozensets as sets, attrs instances as dicts of their fields, enum
    members as their values, numpy's scalars as plain numbers, a time zone as its offset from UTC.
    NaN, Infinity and lone surrogates are written as Python's `json` writes them.

    Raises:
        EncodeError: naming path and type, if there is no way to write it: a type not mentioned
            here, a dict key that is not a str, a value that contains itself, one nested too
            deeply, a dict or an attrs instance inside a set.
    """
    levels: list[_Level] = []
    try:
        plain = _rewrite(value, levels)
    except _UnwritableError as error:
        # The first level is the one around the value.
        path = "$" + "".join(step(level.key) for level in levels[1:])
        raise EncodeError(str(error), path) from error
    try:
        return json.dumps(plain, separators=(",", ":"))
    except ValueError as error:
        raise EncodeError(
            f"An int has more digits than Python writes: {error}", find_path(plain, _too_long)
        ) from error
    except RecursionError as error:
        raise EncodeError("The value nests too deeply") from error


def is_tagged(found: dict[Any, Any]) -> bool:
    """Whether a dict has the form of a tagged value that the decoder decodes."""
    tag = found.get("__type__")
    return isinstance(tag, str) and tag in _TAGS and found.keys() == _KEYS


class _UnwritableError(Exception):
    """There is no word for the value at hand; `encode_tagged` adds where it is."""


class _Pairs(list[Any]):
    """Collects the items of a dict as [key, value] pairs."""

    def __setitem__(self, key: Any, value: Any) -> None:
        self.append([key, value])


class _Rewritten(NamedTuple):
    """A value as `json` writes it; a container is still to be filled with its children."""

    plain: Any
    target: Any = None
    children: Iterable[tuple[Any, Any]] = ()


@attrs.define
class _Level:
    """A container that is being filled."""

    source: object
    target: Any
    children: Iterator[tuple[Any, Any]]
    in_set: bool
    key: Any = 0
    """Which of the children is at hand."""


def _rewrite(value: object, levels: list[_Level]) -> Any:
    """Rewrite a value into lists, dicts and scalars; `levels` tells where it failed, if it did.

    Without recursion: how deep a value may be does not depend on the caller's stack.
    """
    top: list[Any] = [None]
    levels.append(_Level(top, top, iter([(0, value)]), in_set=False))
    opened: set[int] = set()
    while levels:
        level = levels[-1]
        for key, child in level.children:
            level.key = key
            plain, target, children = _rewritten(child, level.in_set)
            level.target[key] = plain
            if target is not None:
                if id(child) in opened:
                    raise _UnwritableError(f"The {_type_name(child)} contains itself")
                opened.add(id(child))
                in_set = level.in_set or isinstance(child, (set, frozenset))
                levels.append(_Level(child, target, iter(children), in_set))
                break
        else:
            opened.discard(id(level.source))
            levels.pop()
    return top[0]


def _rewritten(value: Any, in_set: bool) -> _Rewritten:
    if isinstance(value, Enum):
        return _rewritten(value.value, in_set)
    if value is None or isinstance(value, (str, int, float)):
        return _Rewritten(value)
    if isinstance(value, complex):
        return _Rewritten(_tagged("complex", [value.real, value.imag]))
    if isinstance(value, datetime):
        return _Rewritten(_tagged("datetime", value.isoformat()))
    if isinstance(value, (list, tuple)):
        return _list(value)
    if isinstance(value, (set, frozenset)):
        plain, target, children = _list(value)
        return _Rewritten(_tagged("set", plain), target, children)
    if isinstance(value, dict) or attrs.has(type(value)):
        return _dict(value, in_set)
    if sys.modules.get("numpy") is not None:  # without it, the value cannot be one of numpy's
        return _numpy(value)
    raise _unknown(value)


def _list(values: Iterable[Any]) -> _Rewritten:
    items = list(values)
    if _SCALARS.issuperset(map(type, items)):
        return _Rewritten(items)
    target = [None] * len(items)
    return _Rewritten(target, target, enumerate(items))


def _dict(value: Any, in_set: bool) -> _Rewritten:
    if in_set:
        raise _UnwritableError(
            f"The {_type_name(value)} is inside a set, and is written as a dict, "
            "which cannot be inside a set when it is read"
        )
    if not isinstance(value, dict):
        value = {field.name: getattr(value, field.name) for field in attrs.fields(type(value))}
    for key in value:
        if not isinstance(key, str):
            raise _UnwritableError(
                f"The dict key {shown(key)} is of type {_type_name(key)}: keys must be str"
            )
    if is_tagged(value):
        pairs = _Pairs()
        return _Rewritten(_tagged("dict", pairs), pairs, value.items())
    target: dict[str, Any] = {}
    return _Rewritten(target, target, value.items())


def _numpy(value: Any) -> _Rewritten:
    import numpy as np

    if isinstance(value, np.bool):
        return _Rewritten(bool(value))
    if isinstance(value, np.integer) and not isinstance(value, np.timedelta64):
        return _Rewritten(int(value))
    if isinstance(value, np.floating):
        return _Rewritten(float(value))
    if isinstance(value, np.complexfloating):
        return _Rewritten(_tagged("complex", [float(value.real), float(value.imag)]))
    if type(value) is np.ndarray:
        return _array(value)
    if isinstance(value, np.ndarray):
        raise _UnwritableError(
            f"The {_type_name(value)} would lose what it adds to an array: pass numpy.asarray of it"
        )
    raise _unknown(value)


def _array(array: Any) -> _Rewritten:
    if array.dtype != object:
        try:
            return _Rewritten(_tagged("ndarray", pack_array(array)))
        except ValueError as error:
            raise _UnwritableError(f"The array cannot be written: {error}") from error
    rows = array.tolist()
    if array.ndim == 0 or object_array(rows).shape != array.shape:
        raise _UnwritableError(
            f"The array of objects has the shape {array.shape}, which nested lists cannot tell: "
            "it is empty, or it has no dimension, or its elements are lists"
        )
    plain, target, children = _list(rows)
    return _Rewritten(_tagged("ndarray", plain), target, children)


def _tagged(tag: str, value: object) -> dict[str, Any]:
    return {"__type__": tag, "__value__": value}


def _unknown(value: object) -> _UnwritableError:
    return _UnwritableError(
        f"A value of type {_type_name(value)} has no form in JSON: turn it into plain values"
    )


def _type_name(value: object) -> str:
    kind = type(value)
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )


def _too_long(value: object) -> bool:
    if not isinstance(value, int):
        return False
    try:
        repr(value)
    except ValueError:
        return True
    return False
