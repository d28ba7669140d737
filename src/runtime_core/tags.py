"""Kinds of values that the local program adds to tagged JSON, for one decoder or one call.

The table is closed: what is not in it stays the dict that was sent, whatever it is called. A tag's
functions are the local program's own; what they make of hostile bytes is theirs to answer for.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, TypeAlias

import attrs

from runtime_core.errors import UsageError
from runtime_core.settings import Settings
from runtime_core.value_path import shown

KNOWN_TAGS = frozenset(
    {"datetime", "complex", "set", "ndarray", "spmatrix", "to_json", "settings", "dict"}
)
"""The tags that are decoded without being asked for."""


class Packing(Enum):
    """How a tag's value goes into JSON."""

    __hash__ = object.__hash__

    JSON = "json"
    """As JSON, which may hold tagged values itself."""
    BASE64 = "base64"
    """As base64 of bytes."""
    BASE64_ZLIB = "base64 of zlib"
    """As base64 of bytes compressed with zlib."""


def _is_new(_: object, __: attrs.Attribute[str], name: object) -> None:
    if not isinstance(name, str) or name in {"", *KNOWN_TAGS}:
        raise UsageError(f"A tag's name must be a text, and none of ours, not {shown(name)}")


@attrs.frozen
class Tag:
    """Writes values of some types as ``{"__type__": name, "__value__": ...}``, and reads them.

    Raises:
        UsageError: if the name is one that is decoded already.
    """

    name: str = attrs.field(validator=_is_new)
    """The ``__type__``."""
    types: tuple[type, ...]
    """The types whose values are written so."""
    write: Callable[[Any], Any]
    """Gives what a value is written as: bytes, or with `Packing.JSON` anything that can be."""
    read: Callable[[Any], Any]
    """Makes the value of that: of bytes, or with `Packing.JSON` of what was decoded."""
    packing: Packing = Packing.JSON
    """How it goes into JSON; bytes are unpacked within the limits."""


@attrs.frozen
class SettingsTag:
    """Makes objects of a class of a ``settings`` tag: by ``cls(**values)``, or by `make`.

    Without it, the tag becomes a `Settings`. Values of the class are written by their `settings`.
    """

    cls: type
    """The class."""
    module: str = attrs.field(
        default=attrs.Factory(lambda self: self.cls.__module__, takes_self=True)
    )
    """The module as it is sent; that of the class, if it is not given."""
    class_name: str = attrs.field(
        default=attrs.Factory(lambda self: self.cls.__name__, takes_self=True)
    )
    """The name as it is sent; that of the class, if it is not given."""
    make: Callable[..., Any] = attrs.field(
        default=attrs.Factory(lambda self: self.cls, takes_self=True)
    )
    """Makes the object of the values, as keyword arguments."""

    def settings_of(self, value: Any) -> Settings:
        """Give what an object of the class is written as."""
        return Settings(self.module, self.class_name, value.settings)


AnyTag: TypeAlias = Tag | SettingsTag
"""What the local program may add to tagged JSON."""
