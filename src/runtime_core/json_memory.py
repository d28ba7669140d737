"""How much memory a JSON text takes as Python objects: a bound, found without parsing it.

In bytes, as CPython 3.11 to 3.14 allocate them on 64 bits:

    a list       64, with what it reserves for its first items 121, and 9 for each comma
    a dict       64, and 128 more if it has keys, and 44 for each key after its first
    a key        64 and its characters, once however often it occurs; and 88 for the parser's table
                 of all keys, and for a table that grows
    other text   64, and its characters: 1, 2 or 4 for each, as the widest one needs; 32 more if
                 not all are ASCII
    a number     32; an int of more than 18 digits takes more

The values of tags are made beside what they were sent as: see `json_limits.Allowance`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_MOST_OF_A_NODE = 180  # `{"k":{"k":...` with keys that all differ
_MOST_OF_A_CHARACTER = 8  # in a string whose last character is beyond U+FFFF, while it is made
_CALL = 4096  # what parsing takes for itself
_BEYOND_FFFF = re.compile(r"\\u(?:[dD]|$)")  # half of such a character, or cut off


def rough_memory(text: str, nodes: int) -> int:
    """Bound it without a look at its values: much too high, but for texts of few values."""
    is_plain = text.isascii() and "\\" not in text
    return _CALL + nodes * _MOST_OF_A_NODE + len(text) * (1 if is_plain else _MOST_OF_A_CHARACTER)


def most_memory(size: int) -> int:
    """Bound what any text of `size` characters takes."""
    return _CALL + (size + 1) * _MOST_OF_A_NODE + size * _MOST_OF_A_CHARACTER


def memory_of_keys(size: int, keys: int) -> int:
    """Bound what the keys of an ASCII text of `size` characters take if equal ones are not one."""
    return size + 64 * keys


class MemoryTally:
    """Adds up the bound over a text that comes in pieces; `escapes` tells of backslashes in it."""

    def __init__(self, escapes: bool) -> None:
        self._escapes = escapes
        self._lists = self._dicts = self._colons = self._commas = self._points = 0
        self._outside = 0  # characters outside of strings
        self._keys: set[int] = set()
        self._texts = 0
        self._string_bytes = 0
        self._open = self._width = 0  # of a string that goes on in the next piece
        self._growing = 0  # what the longest string takes beside itself while it is made

    def add(self, piece: str, outline: str, strings: Sequence[str], after: Sequence[str]) -> None:
        """Add a piece: what is outside its strings, the strings, and what follows each of them.

        The first string goes on from the piece before, if one was open there; the last goes on in
        the next piece if nothing follows it.
        """
        self._lists += outline.count("[")
        self._dicts += outline.count("{")
        self._colons += outline.count(":")
        self._commas += outline.count(",")
        self._points += outline.count(".")
        self._outside += len(outline)
        width, header = _width(piece)
        if self._width:
            self._open += len(strings[0])
            self._width = max(self._width, width)
            if not after:
                return
            self._close()
            strings, after = strings[1:], after[1:]
        if len(strings) > len(after):
            self._open, self._width = len(strings[-1]), width
        self._add_whole(strings[: len(after)], after, width, header)

    def _close(self) -> None:
        """Count a string that was cut: for what is more, a text, a key, or a key and a number."""
        size, self._growing = self._open_size()
        self._string_bytes += size + 240
        self._texts += 1
        self._open = self._width = 0

    def _open_size(self) -> tuple[int, int]:
        """Its bytes; and how many more it takes while it grows, or a longer one before it did."""
        size = self._open * self._width
        # An escaped one is allocated a quarter too large, and is copied as its characters widen.
        more = size // 4 if self._width == 1 else size * 7 // 8
        return size, max(self._growing, more if self._escapes else 0)

    def _add_whole(
        self, strings: Sequence[str], after: Sequence[str], width: int, header: int
    ) -> None:
        follows = [outside.lstrip()[:1] for outside in after]
        # Where nothing follows, the piece ends: it may be a key.
        keys = [text for text, mark in zip(strings, follows, strict=True) if mark in (":", "")]
        new = {hash(key): len(key) for key in keys}
        for known in self._keys.intersection(new):
            del new[known]
        self._keys.update(new)
        texts = len(strings) - len(keys)
        self._texts += texts
        characters = sum(map(len, strings)) - sum(map(len, keys)) + sum(new.values())
        self._string_bytes += header * texts + (header + 88) * len(new) + width * characters

    @property
    def total(self) -> int:
        """The bound for the pieces so far."""
        with_keys = min(self._dicts, self._colons)
        # None has more keys than there are different ones; five cost no more than one.
        further_keys = self._colons - with_keys if len(self._keys) > 5 else 0
        still_open, growing = self._open_size()
        return (
            _CALL
            + 121 * self._lists
            + 9 * self._commas
            + 64 * self._dicts
            + 128 * with_keys
            + 44 * further_keys
            + self._numbers()
            + self._string_bytes
            + still_open
            + growing
        )

    def _numbers(self) -> int:
        numbers = max(0, self._commas + 1 - self._texts)
        structure = self._commas + self._colons + 2 * (self._lists + self._dicts)
        digits = max(0, self._outside - structure)
        ints = max(0, numbers - self._points)
        long_ints = min(16 * ints, max(0, digits - 4 * numbers))
        return 32 * numbers + long_ints + max(0, digits - 20 * numbers) // 2


def _width(piece: str) -> tuple[int, int]:
    """How many bytes a character of these strings takes at most, and a string for itself."""
    escaped = 1
    if "\\u" in piece:
        escaped = 4 if _BEYOND_FFFF.search(piece) else 2
    if piece.isascii():
        return escaped, (64 if escaped == 1 else 96)
    try:
        piece.encode("latin-1")
    except UnicodeEncodeError:
        pairs = len(piece.encode("utf-16-le", "surrogatepass")) // 2 - len(piece)
        return (4 if pairs else max(escaped, 2)), 96
    return escaped, 96
