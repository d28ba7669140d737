"""Objects that are sent as the arguments of their class: the tag ``settings``.

What its inventors do with it, import the module that a text names and call what it names there, is
CVE-2024-29032. Here it becomes a `Settings`, which does nothing; `SettingsTag` makes objects of
classes that the local program named.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from runtime_core.json_limits import Allowance
from runtime_core.value_path import shown

INT_KEYS = "__int_keys__"
"""The key that marks a dict whose keys were integers."""

_MOST_ALIKE = 100
_INT_ITEM = 400  # bytes that a key takes while the dict is made anew


@attrs.frozen
class Settings:
    """What a text says of an object: its class, and the arguments to make it. Plain data.

    As it came: nothing was looked up, nothing was called. Encoding it gives the same tag again.
    """

    module: str
    """The module of the class, as the text has it."""
    class_name: str
    """The name of the class in it."""
    values: dict[str, Any] = attrs.field(repr=shown)
    """The arguments."""


def restore_int_keys(values: dict[Any, Any], allowance: Allowance) -> None:
    """Turn keys back into integers in every marked dict inside of dicts, in place.

    Raises:
        DecodeError: if that takes more than is allowed.
        ValueError: if the keys were chosen to make dicts slow.
    """
    todo = [values]
    while todo:
        found = todo.pop()
        todo.extend(inner for inner in found.values() if type(inner) is dict)
        if INT_KEYS in found:
            del found[INT_KEYS]
            allowance.take(_INT_ITEM * len(found))
            items = [(as_int_key(key), inner) for key, inner in found.items()]
            refuse_collisions([key for key, _ in items])
            found.clear()
            found.update(items)


def as_int_key(key: str) -> int | str:
    """Give the int that is written as this key, or the key itself."""
    digits = key.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()) or len(key) > 4000:
        return key
    number = int(key)
    return number if str(number) == key else key


def refuse_collisions(items: Iterable[Any]) -> None:
    """Refuse items of one hash: a set of a million such integers takes hours to build.

    Raises:
        ValueError: if there are more than a hundred that differ.
        TypeError: if one has no hash.
    """
    first: dict[int, Any] = {}
    alike = sum(first.setdefault(hash(item), item) != item for item in items)
    if alike > _MOST_ALIKE:
        raise ValueError(f"{alike} items are of the same hash as another")
