"""Limits on a JSON text, checked before anything is allocated for it.

`parse_json` is `json.loads` behind these limits: a text that is small on the wire can be large as
Python objects, so its size, its number of values and its depth are bounded before it is parsed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Any

import attrs

from runtime_core.errors import DecodeError, UsageError
from runtime_core.value_path import shown

_PIECE = 1 << 20  # characters looked at in one go: small copies, however long the text is
_FIRST_BRACKET = re.compile(r"[ \t\n\r]*[\[{]")
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_STEPS = bytes.maketrans(b"[]{}", b"\x01\xff\x01\xff")  # as signed bytes: one deeper, one back


def _at_least_one(_: object, field: attrs.Attribute[int], value: object) -> None:
    if type(value) is not int or value < 1:
        raise UsageError(f"{field.name} must be an int of at least 1, not {shown(value)}")


@attrs.frozen
class DecodeLimits:
    """How much a text may cost; a text beyond is refused with a `DecodeError` naming the limit.

    Raises:
        UsageError: if a limit is not an int of at least 1.
    """

    max_text_bytes: int = attrs.field(default=256 << 20, validator=_at_least_one)
    """The size of the text, in bytes of UTF-8."""
    max_inflated_bytes: int = attrs.field(default=256 << 20, validator=_at_least_one)
    """The size of all arrays of one text together, in bytes, after they are decompressed."""
    max_nodes: int = attrs.field(default=10_000_000, validator=_at_least_one)
    """The number of values and dict keys; an empty list or dict counts as two.

    A node of a text costs up to 90 bytes as a Python object (measured on 3.11: 32 for a float or
    an empty list, 84 for a short string), so the default is worth about 900 MB at worst: 24 MB of
    ``[],[],``, which would take 600 MB, is beyond it, ten million numbers in a list are not. Bulk
    numbers are better sent as an ndarray, which is one node.
    """
    max_depth: int = attrs.field(default=500, validator=_at_least_one)
    """How many lists and dicts may stand in each other. Python's own limit is about 1,000."""


def parse_json(
    text: str, limits: DecodeLimits, object_hook: Callable[[dict[str, Any]], Any] | None = None
) -> Any:
    """Parse a JSON text within the limits; `object_hook` gets every dict, the inner ones first.

    As in Python's `json`: NaN and Infinity are numbers, the last of duplicate keys wins, and an
    escaped lone surrogate becomes a lone surrogate.

    Raises:
        json.JSONDecodeError: if the text is not JSON.
        DecodeError: if it is beyond a limit, or holds an integer with more digits than Python
            reads (`sys.set_int_max_str_digits`). A text that begins with a bracket may be refused
            for its limits before it is known whether it is JSON.
    """
    _check_size(text, limits)
    _check_structure(text, limits)
    try:
        return json.loads(text, object_hook=object_hook)
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        raise DecodeError(f"The text holds a number that Python does not read: {error}") from error
    except RecursionError as error:
        # The stack is shared with the caller's own calls, so this can come before max_depth.
        raise DecodeError(
            "The text nests lists or dicts deeper than Python's stack allows", limit="max_depth"
        ) from error


def _check_size(text: str, limits: DecodeLimits) -> None:
    if len(text) * 4 > limits.max_text_bytes and _utf8_size(text) > limits.max_text_bytes:
        raise DecodeError(
            f"The text is longer than {limits.max_text_bytes:,} bytes (max_text_bytes)",
            limit="max_text_bytes",
        )


def _utf8_size(text: str) -> int:
    if text.isascii():
        return len(text)
    pieces = (text[start : start + _PIECE] for start in range(0, len(text), _PIECE))
    return sum(len(piece.encode("utf-8", "surrogatepass")) for piece in pieces)


def _check_structure(text: str, limits: DecodeLimits) -> None:
    """Refuse a text with too many nodes, or too deep."""
    if _nodes(text) < limits.max_nodes and text.count("[") + text.count("{") <= limits.max_depth:
        return
    first = _FIRST_BRACKET.match(text)
    if first is None:
        return  # One value at most, or no JSON at all: a long table of numbers as plain text, say.
    nodes, depth = 1, 0
    for outline in _outlines(text, first.end() - 1):
        nodes += _nodes(outline)
        if nodes > limits.max_nodes:
            raise DecodeError(
                f"The text holds more than {limits.max_nodes:,} values and keys (max_nodes)",
                limit="max_nodes",
            )
        brackets = outline.encode("utf-8", "replace").translate(_STEPS, _NOT_BRACKETS)
        steps = memoryview(brackets).cast("b")
        if max(accumulate(steps, initial=depth)) > limits.max_depth:
            raise DecodeError(
                f"The text nests lists or dicts more than {limits.max_depth:,} deep (max_depth)",
                limit="max_depth",
            )
        depth += sum(steps)
        if depth <= 0:
            return  # The first value is complete, or the text is no JSON: nothing more is built.


def _nodes(text: str) -> int:
    """Count what adds a value or a key after the first. Never too few, in a text or an outline."""
    return text.count(",") + text.count(":") + text.count("[") + text.count("{")


def _outlines(text: str, start: int) -> Iterator[str]:
    """Yield the text from `start` piece by piece, without what stands inside its strings."""
    inside, escape = 0, ""
    for position in range(start, len(text), _PIECE):
        piece = escape + text[position : position + _PIECE]
        # Without pairs of backslashes, a backslash before a quote escapes it; then every quote
        # that is left begins or ends a string.
        piece = piece.replace("\\\\", "").replace('\\"', "")
        escape = "\\" if piece.endswith("\\") else ""
        parts = piece.split('"')
        yield "".join(parts[inside::2])
        inside = (inside + len(parts) - 1) % 2
