"""Limits on a JSON text, checked before anything is allocated for it.

`parse_json` is `json.loads` behind these limits, or a parser that comes to the same: a text that is
small on the wire can be large as Python objects, so its size, its number of values, its depth and
its memory are bounded before it is parsed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property
from itertools import accumulate
from typing import Any

import attrs

from runtime_core.errors import DecodeError, UsageError
from runtime_core.fast_json import fast_parser, is_fit
from runtime_core.json_memory import MemoryTally, memory_of_keys, most_memory, rough_memory
from runtime_core.value_path import shown

_PIECE = 1 << 20  # characters looked at in one go: small copies, however long the text is
_SMALL = 4096  # characters of a text for which a look at its structure costs more than the parser
_LEVELS = 16  # of lists and dicts that are taken out as a whole to see how deep a text is
_FEW = 64  # up to so many it is quicker to find the places of a character than to count them
_FIRST_BRACKET = re.compile(r"[ \t\n\r]*[\[{]")
_FIRST_QUOTE = re.compile(r'[ \t\n\r]*"')
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_NOT_STRUCTURE = bytes(byte for byte in range(256) if byte not in b'[]{}"')
_STEPS = bytes.maketrans(b"[]{}", b"\x01\xff\x01\xff")  # as signed bytes: one deeper, one back
_PAIR = b"\x01\xff"


def _at_least_one(_: object, field: attrs.Attribute[int], value: object) -> None:
    if type(value) is not int or value < 1:
        raise UsageError(f"{field.name} must be an int of at least 1, not {shown(value)}")


def _twice_the_larger_size(limits: DecodeLimits) -> int:
    sizes = (limits.max_text_bytes, limits.max_inflated_bytes)
    return 2 * max(size for size in (1, *sizes) if type(size) is int)  # they are checked later


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

    Bulk numbers are better sent as an ndarray, which is one node.
    """
    max_depth: int = attrs.field(default=500, validator=_at_least_one)
    """How many lists and dicts may stand in each other. Python's own limit is about 1,000."""
    max_memory_bytes: int = attrs.field(
        default=attrs.Factory(_twice_the_larger_size, takes_self=True), validator=_at_least_one
    )
    """What decoding may take in memory, the text itself not counted, its arrays included.

    By default twice the larger of the two sizes above: 512 MiB. It is not measured but bounded
    from above, see `json_memory`: ten million numbers in a list are within 512 MiB; 24 MB of
    ``[],[],``, which would take 600, are not.
    """

    @cached_property
    def _harmless_if_shallow(self) -> int:
        """Fewer characters than this hold nothing that is beyond a limit, but for the depth."""
        size = min(self.max_text_bytes // 4, self.max_nodes - 1, _SMALL)
        while size > 0 and most_memory(size) > self.max_memory_bytes // 4:
            size //= 2
        return size

    @cached_property
    def harmless_size(self) -> int:
        """Fewer characters than this hold nothing that is beyond a limit."""
        return min(self._harmless_if_shallow, self.max_depth)

    def allow_any(self, text: str) -> bool:
        """Whether a text is too small for anything in it to be beyond a limit; a quick look."""
        size = len(text)
        return size < self._harmless_if_shallow and (
            size <= self.max_depth or _brackets(text) <= self.max_depth
        )


class Allowance:
    """What the decoding of one text may still take in memory."""

    def __init__(self, limits: DecodeLimits) -> None:
        self._limits = limits
        self._memory = limits.max_memory_bytes
        self._inflated = limits.max_inflated_bytes

    def take(self, size: int) -> None:
        """Count bytes that are about to be allocated.

        Raises:
            DecodeError: if they are more than is left.
        """
        self._memory -= size
        if self._memory < 0:
            raise DecodeError(
                "The values of the text may take more than "
                f"{self._limits.max_memory_bytes:,} bytes of memory (max_memory_bytes)",
                limit="max_memory_bytes",
            )

    def take_inflated(self, size: int) -> None:
        """Count bytes that come out of a decompression.

        Raises:
            DecodeError: if they are more than is left.
        """
        self._inflated -= size
        if self._inflated < 0:
            raise DecodeError(
                "The compressed values of the text decompress to more than "
                f"{self._limits.max_inflated_bytes:,} bytes (max_inflated_bytes)",
                limit="max_inflated_bytes",
            )
        self.take(size)


def parse_json(
    text: str,
    limits: DecodeLimits,
    object_hook: Callable[[dict[str, Any]], Any] | None = None,
    allowance: Allowance | None = None,
) -> Any:
    """Parse a JSON text within the limits; `object_hook` gets every dict, the inner ones first.

    As in Python's `json`: NaN and Infinity are numbers, the last of duplicate keys wins, and an
    escaped lone surrogate becomes a lone surrogate. `allowance` is what the hook draws upon; what
    the text itself takes is taken from it first.

    Raises:
        json.JSONDecodeError: if the text is not JSON.
        DecodeError: if it is beyond a limit, or holds an integer with more digits than Python
            reads (`sys.set_int_max_str_digits`). A text that begins with a bracket may be refused
            for its limits before it is known whether it is JSON.
    """
    _check_size(text, limits)
    memory = _check_structure(text, limits)
    (allowance or Allowance(limits)).take(memory)
    parse = fast_parser() if object_hook is None else None
    if parse is not None and is_fit(text):
        memory += memory_of_keys(len(text), _count(text, ":"))
        if memory <= limits.max_memory_bytes:
            with suppress(ValueError, TypeError, RecursionError):
                return parse(text)
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


def _check_structure(text: str, limits: DecodeLimits) -> int:
    """Refuse a text with too many nodes, or too deep; bound the memory that its values take."""
    brackets = _brackets(text)
    nodes = brackets + _separators(text)
    rough = rough_memory(text, nodes)
    # Much less than is allowed, so that being rough costs the arrays of the text little.
    is_small = rough <= limits.max_memory_bytes // 4
    is_harmless = is_small and nodes < limits.max_nodes
    if is_harmless and (brackets <= limits.max_depth or _is_shallow(text, limits.max_depth)):
        return rough
    first = _FIRST_BRACKET.match(text)
    if first is None:
        # One value at most, or no JSON at all: a long table of numbers as plain text, say.
        return rough if is_small else _memory_of_one(text)
    tally = None if is_small else MemoryTally("\\" in text)
    _walk(text, first.end() - 1, limits, tally)
    return rough if tally is None else tally.total


def _is_shallow(text: str, max_depth: int) -> bool:
    """Whether a quick look is enough to know that nothing in a text of brackets is too deep.

    With all but quotes and brackets taken out, a string without brackets is two quotes in a row.
    If no quote is left once these are taken out too, every bracket has an even number of quotes
    before it, and so none is inside of a string.
    """
    if "\\" in text:
        return False  # a quote may be escaped
    depth, quote = 0, b""
    for start in range(0, len(text), _PIECE):
        piece = text[start : start + _PIECE].encode("utf-8", "replace")
        marks = (quote + piece.translate(None, _NOT_STRUCTURE)).replace(b'""', b"")
        quote = b'"' if marks.endswith(b'"') else b""  # its pair may begin the next piece
        marks, levels = marks.removesuffix(b'"').translate(_STEPS), 0
        while len(marks) > _FEW and levels < _LEVELS:
            # The innermost lists and dicts: without them the rest is one level less deep, or none.
            marks, levels = marks.replace(_PAIR, b""), levels + 1
        steps = memoryview(marks).cast("b")
        if b'"' in marks or levels + max(accumulate(steps, initial=depth)) > max_depth:
            return False
        depth += sum(steps)
    return not quote


def _memory_of_one(text: str) -> int:
    tally = MemoryTally("\\" in text)
    if _FIRST_QUOTE.match(text):
        for piece, _ in _pieces(text, 0):
            tally.add(piece, "", [piece], [])
    return tally.total


def _walk(text: str, start: int, limits: DecodeLimits, tally: MemoryTally | None) -> None:
    """Look at the first value of the text, which is a list or a dict."""
    nodes, depth = 1, 0
    for piece, inside in _pieces(text, start):
        parts = piece.split('"')
        outline = "".join(parts[inside::2])
        nodes += _brackets(outline) + _separators(outline)
        if nodes > limits.max_nodes:
            raise DecodeError(
                f"The text holds more than {limits.max_nodes:,} values and keys (max_nodes)",
                limit="max_nodes",
            )
        if tally is not None:
            tally.add(piece, outline, parts[1 - inside :: 2], parts[2 - inside :: 2])
            Allowance(limits).take(tally.total)
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


# What adds a value or a key after the first. Never too few, in a text or an outline.


def _brackets(text: str) -> int:
    return _count(text, "[") + _count(text, "{")


def _separators(text: str) -> int:
    return _count(text, ",") + _count(text, ":")


def _count(text: str, mark: str) -> int:
    """What `text.count` says, which takes a quarter of a nanosecond for every other character."""
    if len(text) < _SMALL:
        return text.count(mark)
    found, at = 0, text.find(mark)
    while at >= 0 and found < _FEW:
        found += 1
        at = text.find(mark, at + 1)
    return found if at < 0 else found + text.count(mark, at)


def _pieces(text: str, start: int) -> Iterator[tuple[str, int]]:
    """Yield the text from `start` in pieces, and whether each begins inside of a string (1 or 0).

    Every quote in them begins or ends a string.
    """
    inside, escape = 0, ""
    for position in range(start, len(text), _PIECE):
        piece = escape + text[position : position + _PIECE]
        escape = ""
        if "\\" in piece:  # quicker to find that there is none than to replace none
            # Without pairs of backslashes, a backslash before a quote escapes it. What stands for
            # them is no character of a JSON string, so that strings that differ still do.
            piece = piece.replace("\\\\", "\1").replace('\\"', "\2")
            escape = "\\" if piece.endswith("\\") else ""
            piece = piece.removesuffix("\\")
        yield piece, inside
        inside = (inside + piece.count('"')) % 2
