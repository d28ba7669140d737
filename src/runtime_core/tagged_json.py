"""Tagged JSON: what JSON has no word for goes as ``{"__type__": T, "__value__": V}``.

    T           V                                                           Python
    datetime    ISO 8601 text                                               datetime
    complex     [re, im]                                                    complex
    set         a list                                                      set
    ndarray     base64 of zlib of a .npy file, or a nested list of objects  numpy.ndarray
    spmatrix    base64 of a .npz file                                       a scipy.sparse matrix
    to_json     anything                                                    that
    settings    a dict; beside it `__module__`, `__class__`                 Settings
    dict        a list of [key, value] pairs                                dict

A dict is a tagged value if it has these keys, no other, and a T of the table, or one of a `Tag` or
`SettingsTag` that the caller passes. Every other dict is plain data: tags that only their
inventors' software can read (``Result``, ``QuantumCircuit``) stay the dict that was sent, its
content decoded, and are sent again as they are. Nothing is imported or called because a text names
it (CVE-2024-29032).

The tag ``dict`` is ours: it carries a dict that would otherwise be read as a tagged value.
Other software leaves it as it is.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from runtime_core.errors import DecodeError
from runtime_core.fast_json import fast_parser
from runtime_core.json_limits import Allowance, DecodeLimits, parse_json
from runtime_core.npy import array_of_tag, inflate
from runtime_core.settings import Settings, refuse_collisions, restore_int_keys
from runtime_core.sparse import sparse_of_tag
from runtime_core.tagged_json_encoder import SETTINGS_KEYS, encode_tagged
from runtime_core.tags import AnyTag, Packing, SettingsTag, Tag
from runtime_core.value_path import find_path, shown

__all__ = ["DecodeLimits", "decode_tagged", "encode_tagged", "load_tagged"]

_DEFAULT_LIMITS = DecodeLimits()

_WHITE_SPACE = " \t\n\r"
_MAY_COME_FIRST = _WHITE_SPACE + "\ufeff"  # where `raw_decode` says something else

# What a table takes for each of its items while it grows, in bytes.
_SET_ITEM = 400
_DICT_ITEM = 100

_NUMBERS = frozenset({int, float})


def decode_tagged(
    text: str, limits: DecodeLimits = _DEFAULT_LIMITS, tags: Sequence[AnyTag] = ()
) -> Any:
    """Decode a tagged JSON text; `encode_tagged` is the way back.

    Lists inside a set become tuples, and sets inside a set frozensets: only those can be in one.
    NaN, Infinity, duplicate keys and lone surrogates are read as Python's `json` reads them.
    `tags` are read beside those of the table.

    Raises:
        DecodeError: if the text is not JSON, is beyond a limit, or holds a malformed value under
            a tag of the table or of `tags` (an array without numpy installed as well, a sparse
            matrix without scipy).
    """
    try:
        return load_tagged(text, limits, tags)
    except json.JSONDecodeError as error:
        raise DecodeError(f"The text {shown(text)} is not JSON: {error}") from error


def load_tagged(
    text: str, limits: DecodeLimits = _DEFAULT_LIMITS, tags: Sequence[AnyTag] = ()
) -> Any:
    """Decode like `decode_tagged`, but leave it to the caller what a text is that is not JSON.

    Raises:
        json.JSONDecodeError: if the text is not JSON.
        DecodeError: for everything else that `decode_tagged` refuses.
    """
    # No dict is tagged where no key is, escaped or not. Single characters are found in no time.
    if ("_" in text and "__type__" in text) or ("\\" in text and "\\u" in text):
        return _load_tags(text, limits, tags)
    # Interim results are many and small: nearly all of them are known to be so without a call.
    if len(text) < limits.harmless_size or limits.allow_any(text):
        parse = fast_parser()
        if parse is not None:
            try:
                return parse(text)
            except (ValueError, TypeError, RecursionError):
                pass  # NaN, say
        return _load_small(text, limits)
    return parse_json(text, limits)


def _load_small(text: str, limits: DecodeLimits) -> Any:
    try:
        return _parse_plain(text)
    except json.JSONDecodeError:
        if text[:1] not in _MAY_COME_FIRST:
            raise  # as `json.loads` would
    except (ValueError, RecursionError):
        pass
    return _load_checked(text, limits, ())  # which says what is wrong


def _load_tags(text: str, limits: DecodeLimits, tags: Sequence[AnyTag]) -> Any:
    # Most of the time for a small text goes into a reader and a parser made for it alone: two tags
    # need no reader, and what has others as well is parsed twice.
    if limits.allow_any(text) and not tags and ("complex" in text or "datetime" in text):
        try:
            return _parse_simple(text)
        except (ValueError, TypeError, OverflowError, RecursionError):
            pass
    return _load_checked(text, limits, tags)


def _load_checked(text: str, limits: DecodeLimits, tags: Sequence[AnyTag]) -> Any:
    allowance = Allowance(limits)
    reader = _Reader(allowance, tags)
    value = parse_json(text, limits, reader.decode, allowance)
    if reader.error is not None:
        reader.error.path = find_path(value, lambda found: found is reader.malformed)
        raise reader.error
    return value


class _Reader:
    """Decodes the tagged values of one text; keeps the first failure, to find its path later."""

    error: DecodeError | None = None
    malformed: dict[str, Any] | None = None

    def __init__(self, allowance: Allowance, tags: Sequence[AnyTag]) -> None:
        self.allowance = allowance
        self._decoders = _DECODERS
        self._classes: dict[tuple[str, str], SettingsTag] = {}
        if tags:
            self._add(tags)

    def _add(self, tags: Sequence[AnyTag]) -> None:
        self._decoders = dict(_DECODERS)
        for tag in tags:
            if isinstance(tag, SettingsTag):
                self._classes[tag.module, tag.class_name] = tag
            else:
                self._decoders[tag.name] = partial(_added, tag)

    def decode(self, found: dict[str, Any]) -> Any:
        """Decode a dict whose content is decoded already."""
        tag = found.get("__type__")
        if not isinstance(tag, str) or self.error is not None:
            return found
        try:
            # Two keys, of which one is known: quicker than comparing both to a set.
            if len(found) == 2 and "__value__" in found:
                if tag in _SIMPLE:
                    return _SIMPLE[tag](found["__value__"])
                if tag in self._decoders:
                    return self._decoders[tag](self, found["__value__"])
            if tag == "settings" and found.keys() == SETTINGS_KEYS:
                return self._settings(found["__module__"], found["__class__"], found["__value__"])
        except DecodeError as error:
            self.error = error
        except (ValueError, TypeError, OverflowError) as error:
            value = shown(found["__value__"])
            self.error = DecodeError(f"The {tag} tag is malformed: {error}, in {value}")
            self.error.__cause__ = error
        else:
            return found
        self.malformed = found
        return found

    def _settings(self, module: Any, class_name: Any, values: Any) -> Any:
        if not isinstance(module, str) or not isinstance(class_name, str):
            raise TypeError("its module and its class are not texts")
        if not isinstance(values, dict):
            raise TypeError("it is not a dict")
        restore_int_keys(values, self.allowance)
        tag = self._classes.get((module, class_name))
        if tag is None:
            return Settings(module, class_name, values)
        return _called(tag.class_name, lambda: tag.make(**values))


def _added(tag: Tag, reader: _Reader, value: Any) -> Any:
    if tag.packing is Packing.JSON:
        return _called(tag.name, lambda: tag.read(value))
    if not isinstance(value, str):
        raise TypeError("it is not a text")
    if tag.packing is Packing.BASE64_ZLIB:
        data = bytes(inflate(value, reader.allowance))
    else:
        reader.allowance.take(len(value))
        data = binascii.a2b_base64(value, strict_mode=True)
    return _called(tag.name, lambda: tag.read(data))


def _called(name: str, read: Callable[[], Any]) -> Any:
    """Call what the local program registered; it may raise anything."""
    try:
        return read()
    except Exception as error:
        raise ValueError(f"{name} was refused: {error!r}") from error


def _datetime(value: Any) -> datetime:
    if not isinstance(value, str):
        raise TypeError("it is not ISO 8601 text")
    return datetime.fromisoformat(value)


def _complex(value: Any) -> complex:
    if isinstance(value, list) and len(value) == 2:
        real, imaginary = value
        if type(real) in _NUMBERS and type(imaginary) in _NUMBERS:
            return complex(real, imaginary)
    raise TypeError("it is not a list of two numbers")


def _set(reader: _Reader, value: Any) -> set[Any]:
    if not isinstance(value, list):
        raise TypeError("it is not a list")
    reader.allowance.take(_SET_ITEM * len(value))
    items = [_hashable(reader.allowance, item) for item in value]
    refuse_collisions(items)
    return set(items)


def _hashable(allowance: Allowance, item: Any) -> Any:
    """What it was when it was in a set: only tuples and frozensets are written as others."""
    if isinstance(item, list):
        allowance.take(64 + 8 * len(item))
        return tuple([_hashable(allowance, inner) for inner in item])
    if isinstance(item, set):
        allowance.take(_SET_ITEM * len(item))
        return frozenset(item)
    return item


def _dict(reader: _Reader, value: Any) -> dict[str, Any]:
    if not isinstance(value, list):
        raise TypeError("it is not a list of pairs")
    for pair in value:
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str):
            raise TypeError(f"{shown(pair)} is not a pair of a text and a value")
    reader.allowance.take(_DICT_ITEM * len(value))
    return dict(value)


_SIMPLE: dict[str, Callable[[Any], Any]] = {
    "datetime": _datetime,
    "complex": _complex,
    "to_json": lambda value: value,
}
"""What makes the value of a tag, where that takes no memory to speak of."""

_DECODERS: dict[str, Callable[[_Reader, Any], Any]] = {
    "set": _set,
    "dict": _dict,
    "ndarray": lambda reader, value: array_of_tag(value, reader.allowance),
    "spmatrix": lambda reader, value: sparse_of_tag(value, reader.allowance),
}
"""What makes the value of the others that are one value under a name; made once for all texts."""


def _decode_simple(found: dict[str, Any]) -> Any:
    if "__type__" not in found:
        return found
    if len(found) == 2 and "__value__" in found and found["__type__"] in _SIMPLE:
        return _SIMPLE[found["__type__"]](found["__value__"])
    raise ValueError("It takes a reader to say what this is")


def _whole(raw_decode: Callable[[str], tuple[Any, int]]) -> Callable[[str], Any]:
    """What `json.loads` does, but for white space before the value: half of that is in Python."""

    def parse(text: str) -> Any:
        value, end = raw_decode(text)
        if end != len(text) and text[end:].strip(_WHITE_SPACE):
            raise ValueError("There is more after the value")
        return value

    return parse


_parse_plain = _whole(json.JSONDecoder().raw_decode)
_parse_simple = _whole(json.JSONDecoder(object_hook=_decode_simple).raw_decode)
