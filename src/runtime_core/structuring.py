"""The rules of `structured`, as hooks of a cattrs converter. Imports cattrs: import it late."""

from __future__ import annotations

import collections.abc
import functools
import types
from collections.abc import Callable, Iterable
from datetime import datetime
from enum import Enum
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NewType,
    TypeAlias,
    Union,
    get_args,
    get_origin,
)

import attrs
import cattrs
from cattrs.errors import ClassValidationError, StructureHandlerNotFoundError

from runtime_core.errors import UsageError
from runtime_core.value_path import shown, step

Hook: TypeAlias = Callable[[Any, Any], Any]

MOST_PROBLEMS = 10
"""How many problems of one value are told."""

_EXACT = (str, bool, int, types.NoneType, complex, datetime)
_COLLECTIONS: dict[Any, tuple[tuple[type, ...], Callable[[list[Any]], Any]]] = {
    list: ((list,), list),
    collections.abc.Sequence: ((list,), list),
    tuple: ((list, tuple), tuple),
    set: ((set, frozenset), set),
    frozenset: ((set, frozenset), frozenset),
}
"""For each type of collection what it accepts, and what makes it of its items."""


class MisfitError(Exception):
    """The value does not fit the type. Each problem is a path below the value, and a text."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        self.problems = problems[:MOST_PROBLEMS]

    def below(self, key: object) -> list[tuple[str, str]]:
        """Tell the problems as seen from what holds the value under `key`; None has no step."""
        prefix = "" if key is None else step(key)
        return [(prefix + path, text) for path, text in self.problems]


@functools.cache
def converter() -> cattrs.Converter:
    """Make the converter, once: cattrs generates and keeps a function for each class."""
    made = cattrs.Converter()
    # cattrs looks these up by class, before it asks for predicates, and would coerce.
    for coerced in (str, int, float, bytes):
        made.register_structure_hook(coerced, lambda value, cls: _hook_for(cls, made)(value, cls))
    made.register_structure_hook_factory(lambda _: True, _hook_for)
    return made


def type_name(cls: Any) -> str:
    """Write a type as its annotation reads."""
    if get_origin(cls) in (Union, types.UnionType):
        return " | ".join(map(type_name, get_args(cls)))
    return cls.__name__ if isinstance(cls, type) else str(cls)


def _hook_for(cls: Any, made: cattrs.Converter) -> Hook:
    """Choose the hook of a type, exactly: a subclass of int, say, is not taken for an int."""
    origin = get_origin(cls) or cls
    if cls in _EXACT:
        return _exact
    if cls is float:
        return _float
    if cls in (Any, object, None):  # None: a field without a type
        return lambda value, _: value
    if origin in _COLLECTIONS:
        return functools.partial(_collection, made)
    if origin in (dict, collections.abc.Mapping):
        return functools.partial(_mapping, made)
    if origin in (Union, types.UnionType):
        return functools.partial(_union, made)
    if origin is Literal:
        return lambda value, _: _choice(value, get_args(cls))
    if isinstance(origin, type) and issubclass(origin, Enum):
        return lambda value, _: _choice(value, origin)
    if isinstance(origin, type) and attrs.has(origin):
        return functools.partial(_class, _build(cls, made))
    if isinstance(origin, type) and (origin.__module__, origin.__name__) == ("numpy", "ndarray"):
        return lambda value, _: value if isinstance(value, origin) else _refuse(cls, value)
    return _wrapped(cls, made)


def _wrapped(cls: Any, made: cattrs.Converter) -> Hook:
    """The hook of what stands for another type: NewType, Annotated, Final, an alias."""
    inner: Any
    if isinstance(cls, NewType):
        inner = cls.__supertype__
    elif get_origin(cls) in (Annotated, Final):
        inner = get_args(cls)[0]
    elif type(cls).__name__ == "TypeAliasType":  # Python 3.12: ``type Name = ...``
        inner = cls.__value__
    elif type(get_origin(cls)).__name__ == "TypeAliasType":  # ``type Name[T] = ...``, with a T
        inner = get_origin(cls).__value__[get_args(cls)]
    else:
        raise UsageError(
            f"{type_name(cls)} is not a type that plain data is made into; "
            "runtime_core.structured has the list of those that are"
        )
    return lambda value, _: made.structure(value, inner)


def _refuse(cls: Any, value: object) -> Any:
    raise _misfit(type_name(cls), value)


def _misfit(expected: str, value: object) -> MisfitError:
    found = "" if value is None else f" ({type(value).__name__})"
    return MisfitError([("", f"expected {expected}, got {shown(value)}{found}")])


def _exact(value: Any, cls: Any) -> Any:
    return value if type(value) is cls else _refuse(cls, value)


def _float(value: Any, cls: Any) -> Any:
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            return _refuse(cls, value)
    return _exact(value, cls)


def _collection(made: cattrs.Converter, value: Any, cls: Any) -> Any:
    accepted, build = _COLLECTIONS[get_origin(cls) or cls]
    if type(value) not in accepted:
        return _refuse(cls, value)
    items = list(value)
    types_of_items = get_args(cls) or (Any, ...)
    if build is not tuple or types_of_items[1:] == (...,):
        types_of_items = types_of_items[:1] * len(items)
    if len(types_of_items) != len(items):
        return _refuse(cls, value)
    keys = range(len(items)) if list in accepted else [None] * len(items)
    return build(_members(zip(keys, items, types_of_items, strict=True), made))


def _mapping(made: cattrs.Converter, value: Any, cls: Any) -> Any:
    if not isinstance(value, dict):
        return _refuse(cls, value)
    key_type, item_type = get_args(cls) or (Any, Any)
    keys = _members(((key, key, key_type) for key in value), made)
    items = _members(((key, item, item_type) for key, item in value.items()), made)
    return dict(zip(keys, items, strict=True))


def _members(members: Iterable[tuple[Any, Any, Any]], made: cattrs.Converter) -> list[Any]:
    """Structure each (key, value, type); tell the problems of all of them."""
    done: list[Any] = []
    problems: list[tuple[str, str]] = []
    for key, value, cls in members:
        try:
            done.append(made.structure(value, cls))
        except MisfitError as misfit:
            problems += misfit.below(key)
            if len(problems) >= MOST_PROBLEMS:
                break
    if problems:
        raise MisfitError(problems)
    return done


def _union(made: cattrs.Converter, value: Any, cls: Any) -> Any:
    choices = get_args(cls)
    if value is None and types.NoneType in choices:
        return None
    choices = tuple(choice for choice in choices if choice is not types.NoneType)
    if len(choices) == 1:
        return made.structure(value, choices[0])  # its problems tell more than "none fits"
    for choice in sorted(
        choices, key=lambda choice: (choice is float, -_known_keys(choice, value))
    ):
        try:
            return made.structure(value, choice)
        except MisfitError:
            continue
    return _refuse(cls, value)


def _known_keys(cls: Any, value: Any) -> int:
    """How many keys of a dict are fields of an attrs class."""
    origin = get_origin(cls) or cls
    if not isinstance(value, dict) or not isinstance(origin, type) or not attrs.has(origin):
        return 0
    return sum(field.name in value for field in attrs.fields(origin))


def _choice(value: Any, choices: Iterable[Any]) -> Any:
    known = [choice.value if isinstance(choice, Enum) else choice for choice in choices]
    for choice, plain in zip(choices, known, strict=True):
        if type(plain) is type(value) and plain == value:
            return choice
    raise _misfit(f"one of {', '.join(map(shown, known))}", value)


def _build(cls: Any, made: cattrs.Converter) -> Hook:
    """Let cattrs generate what makes a class of a dict."""
    try:
        return made.gen_structure_attrs_fromdict(cls)
    except StructureHandlerNotFoundError as error:
        raise UsageError(f"{type_name(cls)} cannot be made of plain data: {error}") from error


def _class(build: Hook, value: Any, cls: Any) -> Any:
    if not isinstance(value, dict):
        return _refuse(cls, value)
    try:
        return build(value, cls)
    except ClassValidationError as group:
        raise MisfitError(_problems(group)) from group


def _problems(group: ClassValidationError) -> list[tuple[str, str]]:
    problems: list[tuple[str, str]] = []
    of_fields, of_class = group.group_exceptions()
    for error, note in of_fields:
        if isinstance(error, MisfitError):
            problems += error.below(note.name)
        elif isinstance(error, KeyError):  # what our hooks raise is a MisfitError
            problems.append((step(note.name), f"missing, expected {type_name(note.type)}"))
        else:
            problems.append((step(note.name), _told(error)))
    return problems + [("", _told(error)) for error in of_class]


def _told(error: Exception) -> str:
    """Tell what a class said against its own values; a validator's text may hold a whole value."""
    if isinstance(error, UsageError):
        raise error from None
    return ": ".join([type(error).__name__, *map(str, error.args[:1])])[:200]
