"""Tagged JSON: what JSON has no word for goes as ``{"__type__": T, "__value__": V}``.

    T           V                                                           Python
    datetime    ISO 8601 text                                               datetime
    complex     [re, im]                                                    complex
    set         a list                                                      set
    ndarray     base64 of zlib of a .npy file, or a nested list of objects  numpy.ndarray
    dict        a list of [key, value] pairs                                dict

A dict is a tagged value if it has these two keys, no other, and a T of the table. Every other dict
is plain data: tags that only their inventors' software can read (``Result``, ``QuantumCircuit``,
``settings``, ``to_json``, ``spmatrix``) stay the dict that was sent, its content decoded, and are
sent again as they are. Nothing is imported or called because a text names it (CVE-2024-29032).

The tag ``dict`` is ours: it carries a dict that would otherwise be read as a tagged value.
Other software leaves it as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from runtime_core.errors import DecodeError
from runtime_core.json_limits import DecodeLimits, parse_json
from runtime_core.npy import array_of_tag
from runtime_core.tagged_json_encoder import encode_tagged, is_tagged
from runtime_core.value_path import find_path, shown

__all__ = ["DecodeLimits", "decode_tagged", "encode_tagged", "load_tagged"]

_DEFAULT_LIMITS = DecodeLimits()


def decode_tagged(text: str, limits: DecodeLimits = _DEFAULT_LIMITS) -> Any:
    """Decode a tagged JSON text; `encode_tagged` is the way back.

    Lists inside a set become tuples, and sets inside a set frozensets: only those can be in one.
    NaN, Infinity, duplicate keys and lone surrogates are read as Python's `json` reads them.

    Raises:
        DecodeError: if the text is not JSON, is beyond a limit, or holds a malformed value under
            a tag of the table (an array without numpy installed as well).
    """
    try:
        return load_tagged(text, limits)
    except json.JSONDecodeError as error:
        raise DecodeError(f"The text {shown(text)} is not JSON: {error}") from error


def load_tagged(text: str, limits: DecodeLimits = _DEFAULT_LIMITS) -> Any:
    """Decode like `decode_tagged`, but leave it to the caller what a text is that is not JSON.

    Raises:
        json.JSONDecodeError: if the text is not JSON.
        DecodeError: for everything else that `decode_tagged` refuses.
    """
    tags = _Tags(limits.max_inflated_bytes)
    value = parse_json(text, limits, tags.decode)
    if tags.error is not None:
        tags.error.path = find_path(value, lambda found: found is tags.malformed)
        raise tags.error
    return value


class _Tags:
    """Decodes the tagged values of one text; keeps the first failure, to find its path later."""

    error: DecodeError | None = None
    malformed: dict[str, Any] | None = None

    def __init__(self, room: int) -> None:
        self._room = room
        self._decoders: dict[str, Callable[[Any], Any]] = {
            "datetime": _datetime,
            "complex": _complex,
            "set": _set,
            "dict": _dict,
            "ndarray": self._ndarray,
        }

    def decode(self, found: dict[str, Any]) -> Any:
        """Decode a dict whose content is decoded already."""
        if not is_tagged(found) or self.error is not None:
            return found
        tag, value = found["__type__"], found["__value__"]
        try:
            return self._decoders[tag](value)
        except DecodeError as error:
            self.error = error
        except (ValueError, TypeError, OverflowError) as error:
            self.error = DecodeError(f"The {tag} tag is malformed: {error}, in {shown(value)}")
            self.error.__cause__ = error
        self.malformed = found
        return found

    def _ndarray(self, value: Any) -> Any:
        array, inflated = array_of_tag(value, self._room)
        self._room -= inflated
        return array


def _datetime(value: Any) -> datetime:
    if not isinstance(value, str):
        raise TypeError("it is not ISO 8601 text")
    return datetime.fromisoformat(value)


def _complex(value: Any) -> complex:
    if not isinstance(value, list) or [type(part) in (int, float) for part in value] != [True] * 2:
        raise TypeError("it is not a list of two numbers")
    return complex(*value)


def _set(value: Any) -> set[Any]:
    if not isinstance(value, list):
        raise TypeError("it is not a list")
    return {_hashable(item) for item in value}


def _hashable(item: Any) -> Any:
    """What the item was when it was in a set: only tuples and frozensets are written as others."""
    if isinstance(item, list):
        return tuple([_hashable(inner) for inner in item])
    return frozenset(item) if isinstance(item, set) else item


def _dict(value: Any) -> dict[str, Any]:
    if not isinstance(value, list):
        raise TypeError("it is not a list of pairs")
    for pair in value:
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str):
            raise TypeError(f"{shown(pair)} is not a pair of a text and a value")
    return dict(value)
