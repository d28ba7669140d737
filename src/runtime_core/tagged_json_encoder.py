"""Writes values as tagged JSON; `tagged_json` has the table of the tags and reads them."""

from __future__ import annotations

import binascii
import json
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from enum import Enum
from types import ModuleType
from typing import Any, NamedTuple

import attrs

from runtime_core.errors import EncodeError
from runtime_core.npy import object_array, pack_array
from runtime_core.settings import INT_KEYS, Settings, as_int_key
from runtime_core.sparse import pack_sparse
from runtime_core.tags import KNOWN_TAGS, AnyTag, Packing, SettingsTag
from runtime_core.value_path import find_path, shown, step

VALUE_KEYS = frozenset({"__type__", "__value__"})
"""The keys of a tagged value."""
SETTINGS_KEYS = VALUE_KEYS | {"__module__", "__class__"}
"""Those of a ``settings`` tag."""

_SCALARS = frozenset({type(None), bool, int, float, str})
_MOST_LEVELS = 100_000  # `json` writes far fewer; a to_json() may go on for ever


def encode_tagged(value: object, tags: Sequence[AnyTag] = ()) -> str:
    """Write a value as tagged JSON, in ASCII; `decode_tagged` reads it back.

    What comes back differs in these ways, for which there are no words: tuples come back as lists
    (inside a set as tuples), frozensets as sets, dates as datetimes, enum members as their values,
    numpy's scalars as plain numbers, a time zone as its offset from UTC. An object with a method
    `to_json` comes back as what that gives, an attrs instance as a dict of its fields, an object
    with a dict `settings` as `Settings`. NaN, Infinity and lone surrogates are written as Python's
    `json` writes them. `tags` are written beside those of the table, and come first.

    Raises:
        EncodeError: naming path and type, if there is no way to write it: a type not mentioned
            here, a dict key that is not a str (in the dicts of settings: or an int), a value that
            contains itself, one nested too deeply, a dict or an attrs instance inside a set.
    """
    levels: list[_Level] = []
    try:
        plain = _rewrite(value, levels, tags)
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
    """Whether a dict has the form of a tagged value that the decoder decodes unasked."""
    tag = found.get("__type__")
    if not isinstance(tag, str) or tag not in KNOWN_TAGS:
        return False
    return found.keys() == (SETTINGS_KEYS if tag == "settings" else VALUE_KEYS)


class _UnwritableError(Exception):
    """There is no word for the value at hand; `encode_tagged` adds where it is."""


class _Pairs(list[Any]):
    """Collects the items of a dict as [key, value] pairs."""

    def __setitem__(self, key: Any, value: Any) -> None:
        self.append([key, value])


class _IntKeys(dict[str, Any]):
    """Collects the items of a dict whose keys are integers."""

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(str(key), value)


class _Inside(Enum):
    """What the place of a value asks of it."""

    ANYTHING = "anything"
    SET = "a set, where no dict can be"
    SETTINGS = "settings, where the keys of dicts may be integers"


class _Rewritten(NamedTuple):
    """A value as `json` writes it; a container is still to be filled with its children."""

    plain: Any
    target: Any = None
    children: Iterable[tuple[Any, Any]] = ()
    inside: _Inside | None = None
    """What the children are inside of; None for what the value itself is inside of."""


@attrs.define
class _Level:
    """A container that is being filled."""

    source: object
    target: Any
    children: Iterator[tuple[Any, Any]]
    inside: _Inside
    key: Any = 0
    """Which of the children is at hand."""


def _rewrite(value: object, levels: list[_Level], tags: Sequence[AnyTag]) -> Any:
    """Rewrite a value into lists, dicts and scalars; `levels` tells where it failed, if it did.

    Without recursion: how deep a value may be does not depend on the caller's stack.
    """
    top: list[Any] = [None]
    levels.append(_Level(top, top, iter([(0, value)]), _Inside.ANYTHING))
    opened: set[int] = set()
    while levels:
        level = levels[-1]
        for key, child in level.children:
            level.key = key
            plain, target, children, inside = _rewritten(child, level.inside, tags)
            level.target[key] = plain
            if target is not None:
                if id(child) in opened:
                    raise _UnwritableError(f"The {_type_name(child)} contains itself")
                if len(levels) > _MOST_LEVELS:
                    raise _UnwritableError("The value nests too deeply")
                opened.add(id(child))
                levels.append(_Level(child, target, iter(children), inside or level.inside))
                break
        else:
            opened.discard(id(level.source))
            levels.pop()
    return top[0]


def _rewritten(value: Any, inside: _Inside, tags: Sequence[AnyTag]) -> _Rewritten:
    if value is None or (isinstance(value, (str, int, float)) and not isinstance(value, Enum)):
        return _Rewritten(value)
    if isinstance(value, (list, tuple)):
        return _list(value, inside)
    if isinstance(value, dict):
        return _dict(value, inside)
    if isinstance(value, Enum):
        return _rewritten(value.value, inside, tags)
    if isinstance(value, complex):
        return _Rewritten(_tagged("complex", [value.real, value.imag]))
    if isinstance(value, date):  # a datetime is one
        return _Rewritten(_tagged("datetime", value.isoformat()))
    if isinstance(value, (set, frozenset)):
        return _list(value, _Inside.SET, "set")
    return _object(value, inside, tags)


def _object(value: Any, inside: _Inside, tags: Sequence[AnyTag]) -> _Rewritten:
    if isinstance(value, (type, ModuleType)):
        raise _unknown(value)
    for tag in tags:
        if isinstance(value, tag.cls if isinstance(tag, SettingsTag) else tag.types):
            return _added(tag, value, inside)
    if sys.modules.get("numpy") is not None:  # without it, the value cannot be one of numpy's
        written = _numpy(value)
        if written is not None:
            return written
    if sys.modules.get("scipy.sparse") is not None and sys.modules["scipy.sparse"].issparse(value):
        return _Rewritten(_packed("spmatrix", pack_sparse, value))
    if isinstance(value, Settings):
        return _settings(value, inside)
    if callable(getattr(type(value), "to_json", None)):
        return _within("to_json", value.to_json(), inside)
    if attrs.has(type(value)):
        names = [field.name for field in attrs.fields(type(value))]
        return _dict({name: getattr(value, name) for name in names}, inside, _type_name(value))
    values = getattr(value, "settings", None)
    if isinstance(values, dict):
        return _settings(Settings(type(value).__module__, type(value).__name__, values), inside)
    raise _unknown(value)


def _added(tag: AnyTag, value: Any, inside: _Inside) -> _Rewritten:
    """Write a value of a type that the local program registered."""
    try:
        if isinstance(tag, SettingsTag):
            return _settings(tag.settings_of(value), inside)
        written = tag.write(value)
        if tag.packing is Packing.JSON:
            return _within(tag.name, written, inside)
        data = zlib.compress(written) if tag.packing is Packing.BASE64_ZLIB else written
        text = binascii.b2a_base64(data, newline=False).decode("ascii")
    except _UnwritableError:
        raise
    except Exception as error:  # whatever the program's own function raises
        raise _UnwritableError(f"The {_type_name(value)} cannot be written: {error!r}") from error
    return _Rewritten(_tagged(tag.name, text))


def _within(tag: str, content: Any, inside: _Inside) -> _Rewritten:
    """A tagged value whose content is still to be written."""
    target = _tagged(tag, None)
    inside = _Inside.ANYTHING if inside is _Inside.SETTINGS else inside
    return _Rewritten(target, target, [("__value__", content)], inside)


def _settings(value: Settings, inside: _Inside) -> _Rewritten:
    if inside is _Inside.SET:
        raise _UnwritableError(f"The settings of {value.class_name} are a dict, and inside a set")
    target = _tagged("settings", None)
    target |= {"__module__": value.module, "__class__": value.class_name}
    return _Rewritten(target, target, [("__value__", value.values)], _Inside.SETTINGS)


def _list(values: Iterable[Any], inside: _Inside, tag: str = "") -> _Rewritten:
    # Only the dicts directly in dicts of settings are searched for integers as keys.
    inside = _Inside.ANYTHING if inside is _Inside.SETTINGS else inside
    items = list(values)
    if _SCALARS.issuperset(map(type, items)):
        return _Rewritten(_tagged(tag, items) if tag else items)
    target = [None] * len(items)
    return _Rewritten(_tagged(tag, target) if tag else target, target, enumerate(items), inside)


def _dict(value: dict[Any, Any], inside: _Inside, name: str = "") -> _Rewritten:
    if inside is _Inside.SET:
        raise _UnwritableError(
            f"The {name or _type_name(value)} is inside a set, and is written as a dict, "
            "which cannot be inside a set when it is read"
        )
    if inside is _Inside.SETTINGS and _has_int_keys(value):
        marked = _IntKeys({INT_KEYS: True})
        return _Rewritten(marked, marked, value.items())
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


def _has_int_keys(value: dict[Any, Any]) -> bool:
    """Whether a dict of settings has keys that are integers, and can be read with them."""
    if INT_KEYS in value:
        raise _UnwritableError(f"The dict key {INT_KEYS!r} has a meaning of its own in settings")
    ints = [key for key in value if type(key) is int]
    for key in value if ints else ():
        if type(key) is not int and (not isinstance(key, str) or as_int_key(key) != key):
            raise _UnwritableError(f"Beside integers, the dict key {shown(key)} is read as another")
    return bool(ints)


def _numpy(value: Any) -> _Rewritten | None:
    import numpy as np

    if isinstance(value, np.bool_):
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
    return None


def _array(array: Any) -> _Rewritten:
    if array.dtype != object:
        return _Rewritten(_packed("ndarray", pack_array, array))
    rows = array.tolist()
    if array.ndim == 0 or object_array(rows).shape != array.shape:
        raise _UnwritableError(
            f"The array of objects has the shape {array.shape}, which nested lists cannot tell: "
            "it is empty, or it has no dimension, or its elements are lists"
        )
    return _list(rows, _Inside.ANYTHING, "ndarray")


def _packed(tag: str, pack: Callable[[Any], str], value: Any) -> dict[str, Any]:
    try:
        return _tagged(tag, pack(value))
    except ValueError as error:
        raise _UnwritableError(f"The {_type_name(value)} cannot be written: {error}") from error


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
