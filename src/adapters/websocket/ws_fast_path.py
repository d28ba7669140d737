"""The fast path: plain text messages are cut out of the stream before wsproto sees them.

wsproto takes microseconds for a frame, whatever is in it. Nearly all frames of a stream are plain:
an unmasked text message in one frame. Those are cut here. Everything else, above all everything
that is wrong, goes to wsproto as it came; it stays the authority.
"""

from __future__ import annotations

from codecs import utf_8_decode
from collections.abc import Iterator

_TEXT = 0x81
"""The first byte of a text message in one frame, without reserved bits (RFC 6455, section 5.2)."""
_FINAL = 0x80
_CONTROL = 0x08
_MASKED = 0x80
_LONGEST_HEADER = 10
"""Bytes of a header, but for a masking key: a service's frames have none."""
_LONGEST_PAYLOAD = 2**63 - 1
_LARGE_PART = 64 * 1024


class FastPath:
    """Parts the frames of one connection into texts, and bytes that are wsproto's.

    It follows all frames, to know where messages begin, and judges none: so it is right for as long
    as wsproto finds no fault. When it has found one, or a close frame, ask no more.

    Args:
        max_message_bytes: what is longer is wsproto's, to be refused.
    """

    def __init__(self, max_message_bytes: int) -> None:
        self._max_bytes = min(max_message_bytes, _LONGEST_PAYLOAD)
        # Where wsproto is: what it has of a header that is incomplete, what it has still to get of
        # a frame, whether more frames belong to the message.
        self._header = b""
        self._owed = 0
        self._in_fragments = False
        # A plain message that is not complete: its header, its text so far, the bytes of a
        # character that was cut, and how many bytes are to come.
        self._plain_header = b""
        self._parts: list[str] = []
        self._split = b""
        self._missing = 0

    def cut(self, data: bytes) -> Iterator[list[str] | bytes]:
        """Take what was read; give texts, and bytes for wsproto, in the order of the stream."""
        at = min(self._missing, len(data))
        if at:
            yield from self._collect(memoryview(data)[:at])
        while at < len(data):
            if self._is_between_messages:
                texts, at = self._cut_short(data, at)
                if texts:
                    yield texts
                start, end = self._plain_long(data, at)
                if end > at:
                    yield from self._collect(memoryview(data)[start:end])
                    at = end
                    continue
            start, at = at, self._follow(data, at)
            if at > start:
                yield data[start:at]

    def cut_whole(self, data: bytes) -> list[str]:
        """Give the texts if there is nothing else in the data, and none of them is incomplete.

        Else nothing, and nothing has happened: give the data to `cut` then.
        """
        if self._missing or not self._is_between_messages:
            return []
        texts, at = self._cut_short(data, 0)
        return texts if at == len(data) else []

    @property
    def _is_between_messages(self) -> bool:
        return not (self._owed or self._in_fragments or self._header)

    # ---- plain messages ------------------------------------------------------------------------

    def _cut_short(self, data: bytes, at: int) -> tuple[list[str], int]:
        """Cut off the complete plain messages below 64 KiB; return where something else begins."""
        texts: list[str] = []
        size, max_bytes = len(data), self._max_bytes
        try:
            while data[at] == _TEXT:
                length = data[at + 1]
                start = at + 2
                if length == 126:
                    length = data[at + 2] << 8 | data[at + 3]
                    start = at + 4
                    if length < 126:
                        break
                elif length > 126:
                    break
                end = start + length
                if end > size or length > max_bytes:
                    break
                texts.append(data[start:end].decode())
                at = end
        except (IndexError, UnicodeDecodeError):
            pass  # The data ends, in a header or before one. Or it is no text: wsproto will say so.
        return texts, at

    def _plain_long(self, data: bytes, at: int) -> tuple[int, int]:
        """Begin a plain message that is long or incomplete: where its payload is in the data.

        ``(at, at)`` if there is none.
        """
        header = data[at : at + _LONGEST_HEADER]
        sizes = _sizes(header)
        if sizes is None or header[0] != _TEXT or header[1] & _MASKED:
            return at, at
        own, length = sizes
        if own != _header_size(length) or length > self._max_bytes:
            return at, at
        self._plain_header = header[:own]
        self._missing = length
        return at + own, min(at + own + length, len(data))

    def _collect(self, piece: memoryview) -> Iterator[list[str] | bytes]:
        """Take a piece of the plain message; give it when it is complete.

        If it is not UTF-8, all of it goes to wsproto, at once.
        """
        self._missing -= len(piece)
        data = self._split + piece if self._split else piece
        try:
            text, used = utf_8_decode(data, "strict", not self._missing)
        except UnicodeDecodeError:
            before = "".join(self._parts).encode()
            self._parts, self._split = [], b""
            self._owed, self._missing = self._missing, 0
            yield self._plain_header + before + data
            return
        self._keep(text)
        self._split = bytes(data[used:])
        if not self._missing:
            parts, self._parts = self._parts, []
            yield ["".join(parts)]

    def _keep(self, part: str) -> None:
        """Keep a part: large ones as they are, to be copied once; small ones put together.

        Where a message drips, parts are single characters, which take up to 84 bytes in a list.
        """
        parts = self._parts
        parts.append(part)
        while len(parts) > 1 and len(parts[-2]) <= len(parts[-1]) < _LARGE_PART:
            last = parts.pop()
            parts[-1] += last

    # ---- everything else -----------------------------------------------------------------------

    def _follow(self, data: bytes, at: int) -> int:
        """Return where the message ends that wsproto is in, or the frame, or the data."""
        while at < len(data):
            if not self._owed:
                at = self._follow_header(data, at)
            step = min(self._owed, len(data) - at)
            self._owed -= step
            at += step
            if self._is_between_messages:
                break
        return at

    def _follow_header(self, data: bytes, at: int) -> int:
        known = len(self._header)
        header = self._header + data[at : at + _LONGEST_HEADER - known]
        sizes = _sizes(header)
        if sizes is None:
            self._header = header
            return len(data)
        self._header = b""
        own, self._owed = sizes
        if not header[0] & _CONTROL:
            self._in_fragments = not header[0] & _FINAL
        return at + own - known


def _sizes(header: bytes) -> tuple[int, int] | None:
    """The sizes of header and payload in bytes; None if the header is incomplete."""
    if len(header) < 2:
        return None
    length = header[1] & ~_MASKED
    if length < 126:
        return 2, length
    size = 4 if length == 126 else 10
    return (size, int.from_bytes(header[2:size], "big")) if len(header) >= size else None


def _header_size(length: int) -> int:
    """The size that a header should have, in bytes; wsproto refuses others."""
    if length < 126:
        return 2
    return 4 if length < 65536 else 10
