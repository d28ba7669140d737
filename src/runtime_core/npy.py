"""Arrays as tagged JSON carries them: base64 of zlib of a `.npy` file, or a nested list.

numpy is imported when the first array is met. Nothing here unpickles. The format is that of
https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
"""

from __future__ import annotations

import ast
import binascii
import io
import math
import zlib
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from runtime_core.errors import DecodeError
from runtime_core.json_limits import Allowance

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PIECE = 1 << 16  # bytes, of input and of output, that are decompressed in one go
_ROW = (list, tuple)  # written alike, so that an array of tuples is read as one of more dimensions
_MOST_DIMENSIONS = 64  # of a numpy array
_MOST_HEADER = 10_000  # characters; it is evaluated as a literal, and numpy too reads no more
_MOST_OF_NO_SIZE = 1 << 16  # items that have no bytes


def inflate(text: str, allowance: Allowance) -> bytearray:
    """Turn base64 of zlib into bytes.

    Raises:
        DecodeError: if that is not allowed; little more than was allowed was allocated.
        ValueError: if the text is not base64, or not zlib, or cut off, or followed by more.
    """
    inflated = bytearray()
    for piece in inflated_pieces(text):
        allowance.take_inflated(len(piece))
        inflated += piece
    return inflated


def inflated_pieces(text: str) -> Iterator[bytes]:
    """Yield what base64 of zlib holds in pieces of bounded size, however well it was compressed.

    Raises:
        ValueError: as `inflate` does.
    """
    inflater = zlib.decompressobj()
    for packed in unpacked_pieces(text):
        rest = packed
        while rest:  # the checksum at the end stays until everything before it came out
            try:
                piece = inflater.decompress(rest, _PIECE)
            except zlib.error as error:
                raise ValueError(f"it is not zlib: {error}") from error
            yield piece
            rest = inflater.unconsumed_tail
        if inflater.unused_data:
            raise ValueError("there is more after the end of the zlib data")
    if not inflater.eof:
        raise ValueError("its zlib data is cut off")


def unpacked_pieces(text: str) -> Iterator[bytes]:
    """Yield what base64 holds in pieces: it is never there as a whole.

    Raises:
        ValueError: if it is not base64.
    """
    size = _PIECE // 3 * 4
    for start in range(0, len(text), size):
        piece = binascii.a2b_base64(text[start : start + size], strict_mode=True)
        if len(piece) * 4 != size * 3 and start + size < len(text):
            raise ValueError("there is more after the end of the base64 text")
        yield piece


class _Header(NamedTuple):
    """What a `.npy` file says of its array."""

    shape: tuple[int, ...]
    order: Any  # "F" or "C"
    dtype: np.dtype[Any]
    start: int
    """Where the array's bytes begin."""

    @property
    def end(self) -> int:
        """Where they end."""
        return self.start + math.prod(self.shape) * self.dtype.itemsize


def read_npy(pieces: Iterator[bytes], allowance: Allowance) -> NDArray[Any]:
    """Make an array of the bytes of a `.npy` file, which it keeps instead of a copy.

    Raises:
        DecodeError: if the array is larger than is allowed; it was not allocated.
        ValueError: if it is not such a file, holds Python objects, or its header does not fit the
            bytes that follow.
        ImportError: without numpy.
    """
    import numpy as np

    head = bytearray()
    for piece in pieces:
        allowance.take_inflated(len(piece))
        head += piece
        if len(head) > _PIECE:
            break
    header = _read_header(head)
    if len(head) <= _PIECE and len(head) != header.end:  # all of it is there
        raise ValueError(_misfit(header, str(len(head) - header.start)))
    allowance.take_inflated(max(0, header.end - len(head)))
    data, at = bytearray(header.end), 0
    for piece in chain([bytes(head)], pieces):
        if at + len(piece) > header.end:
            raise ValueError(_misfit(header, "more"))
        data[at : at + len(piece)] = piece
        at += len(piece)
    if at != header.end:
        raise ValueError(_misfit(header, str(at - header.start)))
    return np.ndarray(header.shape, header.dtype, data, header.start, order=header.order)


def _misfit(header: _Header, follow: str) -> str:
    return f"its header wants {header.end - header.start} bytes of data, and {follow} follow"


def _read_header(head: bytes | bytearray) -> _Header:
    try:
        header = _parse_header(bytes(head[:_PIECE]))
    except Exception as error:
        # It may say anything: ValueError is only the usual outcome of evaluating a literal.
        raise ValueError(f"its .npy header does not read: {error}") from error
    check_dtype(header.dtype, header.shape)
    return header


def _parse_header(head: bytes) -> _Header:
    import numpy as np

    if head[:6] != b"\x93NUMPY" or head[6:8] not in (b"\1\0", b"\2\0", b"\3\0"):
        raise ValueError(f"{head[:8]!r} does not begin a .npy file that is known here")
    version = head[6]
    start = 10 if version == 1 else 12
    length = int.from_bytes(head[8:start], "little")
    text = head[start : start + length].decode("utf-8" if version == 3 else "latin-1")
    if length > _MOST_HEADER or len(head) < start + length:
        raise ValueError(f"it has {length} characters")
    shape, is_fortran, descr = _parse_said(text.strip())
    dtype = np.lib.format.descr_to_dtype(descr)  # each array's own: names of fields can be changed
    return _Header(shape, "F" if is_fortran else "C", dtype, start + length)


@lru_cache(maxsize=16)  # a program's arrays are alike, and this is half of the time for a small one
def _parse_said(text: str) -> tuple[tuple[int, ...], bool, Any]:
    said = ast.literal_eval(text)
    shape, is_fortran, descr = said.pop("shape"), said.pop("fortran_order"), said.pop("descr")
    if said or type(is_fortran) is not bool or type(shape) is not tuple:
        raise ValueError("its keys or their types are not those of the format")
    if any(type(length) is not int or length < 0 for length in shape):
        raise ValueError(f"{shape} is no shape")
    return shape, is_fortran, descr


def check_dtype(dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """Refuse what takes a pickle, or costs nothing.

    Raises:
        ValueError: if an array of this kind is refused.
    """
    if dtype.hasobject:
        raise ValueError(f"its dtype {dtype} holds Python objects, which would need pickle")
    if dtype.itemsize == 0 and math.prod(shape) > _MOST_OF_NO_SIZE:
        raise ValueError("its items have no size, so any number of them would fit into nothing")


def object_array(rows: list[Any], allowance: Allowance | None = None) -> NDArray[np.object_]:
    """Make an array of Python objects: every level of lists of one length is a dimension.

    Raises:
        DecodeError: if it takes more than is allowed.
        ImportError: without numpy.
    """
    import numpy as np

    # Not numpy.array(rows): it would turn [1, "a"] into text, and copy arrays that are elements.
    shape, level = [len(rows)], rows
    while len(shape) < _MOST_DIMENSIONS and level and isinstance(level[0], _ROW):
        length = len(level[0])
        if not all(isinstance(row, _ROW) and len(row) == length for row in level):
            break
        shape.append(length)
        if allowance is not None:
            allowance.take(9 * len(level) * length)
        level = [item for row in level for item in row]
    if allowance is not None:
        allowance.take(8 * len(level))
    array = np.empty(len(level), dtype=object)
    for index, item in enumerate(level):
        array[index] = item
    return array.reshape(shape)


def pack_array(array: NDArray[Any]) -> str:
    """Write an array without Python objects as base64 of zlib of a `.npy` file.

    Raises:
        ValueError: if `.npy` cannot hold it without pickle.
    """
    check_dtype(array.dtype, array.shape)
    file = _npy_file(array)
    _read_header(file.getbuffer()[:_PIECE].tobytes())  # what could not be read is not written
    return binascii.b2a_base64(zlib.compress(file.getbuffer()), newline=False).decode("ascii")


def _npy_file(array: NDArray[Any]) -> io.BytesIO:
    import numpy as np

    file = io.BytesIO()
    try:
        np.lib.format.write_array(file, array, version=(1, 0), allow_pickle=False)
    except UnicodeError:  # names of fields beyond Latin-1
        np.lib.format.write_array(file, array, version=(3, 0), allow_pickle=False)
    return file


def array_of_tag(value: Any, allowance: Allowance) -> NDArray[Any]:
    """Make the array of an `ndarray` tag.

    Raises:
        DecodeError: if the value takes more than is allowed, or numpy is missing.
        ValueError, TypeError, OverflowError: if the value is malformed.
    """
    try:
        if isinstance(value, list):
            return object_array(value, allowance)
        if isinstance(value, str):
            return read_npy(inflated_pieces(value), allowance)
    except ImportError as error:
        raise DecodeError(
            "The text holds an ndarray, and numpy is not installed: "
            "pip install 'runtime-core[numpy]'"
        ) from error
    raise TypeError("it is neither a text nor a list")
